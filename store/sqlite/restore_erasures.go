package sqlite

import (
	"context"
	"fmt"

	"zombiezen.com/go/sqlite"
)

// takeErasures notes in the database at path who was erased in the one at old, which it is to
// replace. Both must be of one origin, because ids are all that is noted. It does nothing if old is
// from before there were erasures. [Store.EraseAgain] erases them.
func takeErasures(ctx context.Context, path, old string) error {
	return withOld(ctx, path, old, func(conn *sqlite.Conn) error {
		exists, err := one(conn, scanBool, `
			SELECT EXISTS (
				SELECT 1
				FROM old.sqlite_schema
				WHERE type = 'table' AND name = 'erasures')`)
		if err != nil || !exists {
			return err
		}
		for _, statement := range []string{`
			INSERT OR IGNORE INTO main.erasures (cliente_id, version, at)
			SELECT cliente_id, version, at
			FROM old.erasures`, `
			INSERT OR IGNORE INTO main.erased_users (user_id, at)
			SELECT user_id, at
			FROM old.erased_users`,
		} {
			if err := exec(conn, statement); err != nil {
				return fmt.Errorf("note who was erased: %w", err)
			}
		}
		return nil
	})
}
