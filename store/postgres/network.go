package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

// DeleteNetworks implements [store.Networks]. It skips rows that another process has locked.
func (s *Store) DeleteNetworks(ctx context.Context, before time.Time, limit int) (int, error) {
	return call(ctx, s, store.Single, func(ctx context.Context, conn *pgx.Conn) (int, error) {
		removed, err := change(ctx, conn, `
			DELETE FROM addresses
			WHERE (user_id, prefix) IN (
				SELECT user_id, prefix
				FROM addresses
				WHERE last_seen < $1
				ORDER BY last_seen
				LIMIT $2
				FOR UPDATE SKIP LOCKED)`,
			store.Instant(before), max(limit, 0))
		if err != nil {
			return 0, fmt.Errorf("delete networks: %w", err)
		}
		return int(removed), nil
	})
}
