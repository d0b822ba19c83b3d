package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

// Sizes implements [store.Store].
func (s *Store) Sizes(ctx context.Context, limit int64) (store.Sizes, error) {
	return call(ctx, s, store.Single, func(ctx context.Context, conn *pgx.Conn) (
		store.Sizes, error) {
		n, err := one(ctx, conn, func(n *store.Sizes) []any { return []any{&n.Users, &n.Clientes} }, `
			SELECT
				(SELECT count(*) FROM (SELECT 1 FROM users LIMIT $1) AS counted),
				(SELECT count(*) FROM (SELECT 1 FROM clientes LIMIT $1) AS counted)`,
			limit)
		if err != nil {
			return store.Sizes{}, fmt.Errorf("count users and clientes: %w", err)
		}
		return n, nil
	})
}
