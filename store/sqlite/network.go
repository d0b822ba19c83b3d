package sqlite

import (
	"context"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// DeleteNetworks implements [store.Networks].
func (s *Store) DeleteNetworks(ctx context.Context, before time.Time, limit int) (int, error) {
	return write(ctx, s, func(conn *sqlite.Conn) (int, error) {
		err := exec(conn, `
			DELETE FROM addresses
			WHERE (user_id, prefix) IN (
				SELECT user_id, prefix
				FROM addresses
				WHERE last_seen < ?
				ORDER BY last_seen
				LIMIT ?)`,
			store.Instant(before), int64(max(limit, 0)))
		if err != nil {
			return 0, fmt.Errorf("delete networks: %w", err)
		}
		return conn.Changes(), nil
	})
}
