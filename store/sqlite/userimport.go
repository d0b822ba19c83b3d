package sqlite

import (
	"context"
	"fmt"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// CreateUsers implements [store.Users]. It holds the one writer while it checks and writes, so
// nobody takes a name in between.
func (s *Store) CreateUsers(ctx context.Context, users []store.User,
	effects ...store.EffectsFunc) ([]store.User, error) {
	return writeAlone(ctx, s, func(conn *sqlite.Conn) ([]store.User, error) {
		if err := checkUsers(ctx, conn, users); err != nil {
			return nil, err
		}
		made := make([]store.User, len(users))
		for i, u := range users {
			err := ctx.Err()
			if err == nil {
				made[i], err = s.insertUser(conn, u, effects)
			}
			if err != nil {
				return nil, err
			}
		}
		return made, nil
	})
}

// CheckUsers implements [store.Users].
func (s *Store) CheckUsers(ctx context.Context, users []store.User) error {
	_, err := readMany(ctx, s, func(conn *sqlite.Conn) (struct{}, error) {
		return struct{}{}, checkUsers(ctx, conn, users)
	})
	return err
}

// checkUsers returns a [*store.RowsError] if names or emails are taken.
func checkUsers(ctx context.Context, conn *sqlite.Conn, users []store.User) error {
	type taken struct{ name, email bool }
	scan := func(stmt *sqlite.Stmt) taken { return taken{stmt.ColumnBool(0), stmt.ColumnBool(1)} }
	names, emails := make(map[string]bool), make(map[string]bool)
	for _, u := range users {
		if err := ctx.Err(); err != nil {
			return err
		}
		name, email := store.NameKey(u.Name), store.EmailKey(u.Email)
		is, err := one(conn, scan, `
			SELECT
				EXISTS (SELECT 1 FROM users WHERE name_key = ?),
				EXISTS (SELECT 1 FROM users WHERE email_key = ? AND email_key <> '')`,
			name, email)
		if err != nil {
			return fmt.Errorf("look for names and emails that are taken: %w", err)
		}
		if is.name {
			names[name] = true
		}
		if is.email {
			emails[email] = true
		}
	}
	return store.TakenUsers(users, names, emails)
}
