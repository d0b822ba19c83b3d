package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// EraseCliente implements [store.Erasing]. [Store.scrub] does the rest.
func (s *Store) EraseCliente(ctx context.Context, by, id int64, check func(store.Cliente) error,
	events ...store.Event) error {
	return do(ctx, s, func(conn *sqlite.Conn) error {
		return s.eraseCliente(conn, by, id, check, events)
	})
}

var eraseTexts = `
	UPDATE cliente_history
	SET erased = 1, ` + strings.Join(store.TextNames(), ` = '', `) + ` = ''
	WHERE cliente_id = ? AND erased = 0`

func (s *Store) eraseCliente(conn *sqlite.Conn, by, id int64, check func(store.Cliente) error,
	events []store.Event) error {
	c, err := clienteByID(conn, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	last, err := one(conn, scanChange, selectHistory, id, int64(0), int64(0), int64(1))
	switch {
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("read the last change of cliente %d: %w", id, err)
	case err != nil && c.ID == 0:
		return fmt.Errorf("erase cliente %d: %w", id, err)
	case c.ID == 0 && last.Action == store.Erased:
		return nil
	}
	if err := check(c); err != nil {
		return err
	}
	t := store.Tombstone(by, c, last, s.now())
	if err := exec(conn, `DELETE FROM clientes WHERE id = ?`, id); err != nil {
		return fmt.Errorf("delete cliente %d: %w", id, err)
	}
	if err := keepChange(conn, t); err != nil {
		return err
	}
	for _, step := range []struct {
		what, query string
		args        []any
	}{
		{"mark the erasure", `
			UPDATE cliente_history
			SET erased = 2
			WHERE cliente_id = ? AND version = ?`, []any{id, t.Version}},
		{"erase the history", eraseTexts, []any{id}},
		{"erase the fingerprints", `
			UPDATE idempotency_keys
			SET fingerprint = ''
			WHERE cliente_id = ?`, []any{id}},
		{"remember the erasure", `
			INSERT INTO erasures (cliente_id, version, at)
			VALUES (?, ?, ?)
			ON CONFLICT (cliente_id) DO UPDATE
			SET version = excluded.version, at = excluded.at`, []any{id, t.Version, t.At}},
		{"ask for a scrub", wantScrub, nil},
	} {
		if err := exec(conn, step.query, step.args...); err != nil {
			return fmt.Errorf("%s of cliente %d: %w", step.what, id, err)
		}
	}
	for _, e := range events {
		e.ClienteID = id
		if err := s.insertEvent(conn, e); err != nil {
			return err
		}
	}
	return nil
}

// Erasure implements [store.Erasing].
func (s *Store) Erasure(ctx context.Context, clienteID int64) (store.Erasure, error) {
	return read(ctx, s, func(conn *sqlite.Conn) (store.Erasure, error) {
		e, err := one(conn, func(stmt *sqlite.Stmt) store.Erasure {
			return store.Erasure{ClienteID: stmt.ColumnInt64(0), Version: stmt.ColumnInt64(1),
				At: instant(stmt, 2)}
		}, `
			SELECT cliente_id, version, at
			FROM erasures
			WHERE cliente_id = ?`,
			clienteID)
		if err != nil {
			return e, fmt.Errorf("read the erasure of cliente %d: %w", clienteID, err)
		}
		return e, nil
	})
}

// eraseAddresses removes where the user was, and eraseKeyNames how keys were called. An event of a
// key begins with its id, which has 22 characters.
const (
	eraseAddresses = `
	UPDATE sessions
	SET ip = '', user_agent = '', key_name = ''
	WHERE user_id = ?`

	eraseKeyNames = `
	UPDATE audit
	SET detail = iif(substr(detail || ' ', 23, 1) = ' ', substr(detail, 1, 22), ''), key = ''
	WHERE user_id = ? AND kind IN ('key_created', 'key_ended')`
)

// EraseUser implements [store.Erasing].
func (s *Store) EraseUser(ctx context.Context, id int64,
	events ...store.Event) ([]store.Ended, error) {
	known, err := s.knowsUser(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case !known:
		return nil, fmt.Errorf("erase user %d: %w", id, store.ErrNotFound)
	}
	ended, err := write(ctx, s, func(conn *sqlite.Conn) ([]store.Ended, error) {
		ended, err := s.deleteUser(ctx, conn, id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		err = exec(conn, `
			INSERT INTO erased_users (user_id, at)
			VALUES (?, ?)
			ON CONFLICT (user_id) DO NOTHING`,
			id, store.Instant(s.now()))
		if err != nil {
			return nil, fmt.Errorf("remember that user %d is erased: %w", id, err)
		}
		if conn.Changes() > 0 {
			for _, e := range events {
				e.UserID = id
				if err := s.insertEvent(conn, e); err != nil {
					return nil, err
				}
			}
		}
		for _, query := range []string{eraseAddresses, eraseKeyNames} {
			if err := exec(conn, query, id); err != nil {
				return nil, fmt.Errorf("erase the addresses of user %d: %w", id, err)
			}
		}
		return ended, exec(conn, wantScrub)
	})
	if err != nil {
		return nil, err
	}
	if err := s.eraseNames(ctx, id); err != nil {
		return ended, err
	}
	return ended, do(ctx, s, func(conn *sqlite.Conn) error {
		return exec(conn, `
			UPDATE erased_users
			SET checked_at = ?
			WHERE user_id = ?`,
			store.Instant(s.now()), id)
	})
}

// knowsUser reports whether anything is kept of a user.
func (s *Store) knowsUser(ctx context.Context, id int64) (bool, error) {
	known, err := readUntil(ctx, s, func(_ context.Context, conn *sqlite.Conn) (bool, error) {
		return one(conn, scanBool, `
			SELECT EXISTS (SELECT 1 FROM users WHERE id = ?1)
				OR EXISTS (SELECT 1 FROM erased_users WHERE user_id = ?1)
				OR EXISTS (SELECT 1 FROM audit WHERE user_id = ?1)
				OR EXISTS (SELECT 1 FROM sessions WHERE user_id = ?1)
				OR EXISTS (SELECT 1 FROM cliente_history WHERE user_id = ?1)`,
			id)
	})
	if err != nil {
		return false, fmt.Errorf("look for user %d: %w", id, err)
	}
	return known && id != 0, nil // which nobody is, and all strangers are
}

// eraseNames removes what names a user from rows that no index finds. It reads the whole history
// and audit once, and keeps nobody from writing meanwhile.
func (s *Store) eraseNames(ctx context.Context, id int64) error {
	type key struct{ first, second int64 }
	scanKey := func(stmt *sqlite.Stmt) key { return key{stmt.ColumnInt64(0), stmt.ColumnInt64(1)} }
	for _, names := range []struct {
		what, find, erase string
		args              []any
	}{
		{"name", `
			SELECT cliente_id, version
			FROM cliente_history
			WHERE (cliente_id, version) > (?, ?) AND user_id = ? AND user_name NOT IN ('', ?)
			ORDER BY cliente_id, version
			LIMIT ?`, `
			UPDATE cliente_history
			SET user_name = ?3
			WHERE cliente_id = ?1 AND version = ?2`, []any{store.ErasedUserName(id)}},
		{"addresses", `
			SELECT id, 0
			FROM audit
			WHERE (id, 0) > (?1, ?2) AND (actor_id = ?3 OR actor_id = 0 AND user_id = ?3)
				AND (ip <> '' OR user_agent <> '')
			ORDER BY id
			LIMIT ?4`, `
			UPDATE audit
			SET ip = '', user_agent = ''
			WHERE id = ?1 AND ?2 = 0`, nil},
	} {
		err := store.InParts(func(after key) ([]key, error) {
			args := append([]any{after.first, after.second, id}, names.args...)
			return readUntil(ctx, s, func(ctx context.Context, conn *sqlite.Conn) ([]key, error) {
				return list(ctx, conn, nil, scanKey, names.find,
					append(args, int64(store.RowsAtOnce))...)
			})
		}, func(rows []key) error {
			_, err := writeAlone(ctx, s, func(conn *sqlite.Conn) (none struct{}, err error) {
				for _, row := range rows {
					args := append([]any{row.first, row.second}, names.args...)
					if err := exec(conn, names.erase, args...); err != nil {
						return none, err
					}
				}
				return none, nil
			})
			return err
		})
		if err != nil {
			return fmt.Errorf("erase the %s of user %d: %w", names.what, id, err)
		}
	}
	return nil
}

// EraseAgain implements [store.Erasing].
func (s *Store) EraseAgain(ctx context.Context, limit int) (int, error) {
	// Not a record that got the id after a restore, before the ids went on above those of before.
	clientes, err := s.ids(ctx, `
		SELECT cliente_id
		FROM erasures
		WHERE EXISTS (
				SELECT 1
				FROM clientes
				WHERE id = erasures.cliente_id AND created_at <= erasures.at)
			OR (
				SELECT erased <> 2 AND created_at <= erasures.at
				FROM cliente_history
				WHERE cliente_id = erasures.cliente_id
				ORDER BY version DESC
				LIMIT 1)
		LIMIT ?`,
		int64(max(limit, 0)))
	if err != nil {
		return 0, fmt.Errorf("look for customers to erase again: %w", err)
	}
	users, err := s.ids(ctx, `
		SELECT user_id
		FROM erased_users
		WHERE checked_at IS NULL
			OR checked_at < at + ?1 AND at + ?1 <= ?2
			OR EXISTS (SELECT 1 FROM users WHERE id = erased_users.user_id)
			OR EXISTS (
				SELECT 1
				FROM audit
				WHERE user_id = erased_users.user_id AND actor_id IN (0, user_id)
					AND (ip <> '' OR user_agent <> ''))
		LIMIT ?3`,
		store.NamesSettle.Milliseconds(), store.Instant(s.now()), int64(max(limit, 0)))
	if err != nil {
		return 0, fmt.Errorf("look for users to erase again: %w", err)
	}
	erased, err := store.EraseEach(ctx, s, clientes, users)
	if err != nil || limit > 0 && erased >= limit {
		return erased, err // there may be more, and one scrub is for all
	}
	return erased, s.scrub(ctx)
}

// ids returns the ids that a query finds, which may look at many rows.
func (s *Store) ids(ctx context.Context, query string, args ...any) ([]int64, error) {
	return readLong(ctx, s, func(ctx context.Context, conn *sqlite.Conn) ([]int64, error) {
		return list(ctx, conn, nil, scanInteger, query, args...)
	})
}
