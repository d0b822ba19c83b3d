package sqlite

import (
	"context"
	"fmt"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// Sizes implements [store.Store].
func (s *Store) Sizes(ctx context.Context, limit int64) (store.Sizes, error) {
	return read(ctx, s, func(conn *sqlite.Conn) (store.Sizes, error) {
		n, err := one(conn, func(stmt *sqlite.Stmt) store.Sizes {
			return store.Sizes{Users: stmt.ColumnInt64(0), Clientes: stmt.ColumnInt64(1)}
		}, `
			SELECT
				(SELECT count(*) FROM (SELECT 1 FROM users LIMIT ?)),
				(SELECT count(*) FROM (SELECT 1 FROM clientes LIMIT ?))`,
			limit, limit)
		if err != nil {
			return store.Sizes{}, fmt.Errorf("count users and clientes: %w", err)
		}
		return n, nil
	})
}
