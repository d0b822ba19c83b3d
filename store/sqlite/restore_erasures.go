package sqlite

import (
	"context"
	"errors"
	"fmt"
)

// takeErasures notes in the database at path who was erased in the one at old, which it is to
// replace. Both must be of one origin, because ids are all that is noted. It does nothing if old is
// from before there were erasures. [Store.EraseAgain] erases them.
func takeErasures(ctx context.Context, path, old string) (err error) {
	conn, err := connect(ctx, path, callTimeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := exec(conn, `ATTACH ? AS old`, old); err != nil {
		return fmt.Errorf("open %s: %w", old, err)
	}
	exists, err := one(conn, scanBool, `
		SELECT EXISTS (
			SELECT 1
			FROM old.sqlite_schema
			WHERE type = 'table' AND name = 'erasures')`)
	if err != nil || !exists {
		return err
	}
	for _, statement := range []string{
		`BEGIN`, `
		INSERT OR IGNORE INTO main.erasures (cliente_id, version, at)
		SELECT cliente_id, version, at
		FROM old.erasures`, `
		INSERT OR IGNORE INTO main.erased_users (user_id, at)
		SELECT user_id, at
		FROM old.erased_users`,
		`COMMIT`,
	} {
		if err := exec(conn, statement); err != nil {
			return fmt.Errorf("note who was erased: %w", err)
		}
	}
	return nil
}
