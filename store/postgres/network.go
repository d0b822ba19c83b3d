package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

// SeeNetwork implements [store.Networks]. The lock on the user makes it atomic: a new network has
// no row to lock.
func (s *Store) SeeNetwork(ctx context.Context, userID int64, prefix string,
	mails ...store.Mail) (known bool, err error) {
	return callFirst(ctx, s, func(ctx context.Context, conn *pgx.Conn) (bool, error) {
		now := store.Instant(s.now())
		known := false
		lock := begin()
		lock.Queue(`
			SELECT id
			FROM users
			WHERE id = $1
			FOR NO KEY UPDATE`,
			userID).QueryRow(func(row pgx.Row) error { return row.Scan(&userID) })
		// A statement of its own, so that it sees what the last holder of the lock has written.
		lock.Queue(`
			SELECT last_seen
			FROM addresses
			WHERE user_id = $1 AND prefix = $2`,
			userID, prefix).QueryRow(func(row pgx.Row) error {
			var seen time.Time
			err := row.Scan(&seen)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			known = err == nil && store.NetworkKnown(seen, now)
			return err
		})
		if err := send(ctx, conn, lock); err != nil {
			return false, fmt.Errorf("read network of user %d: %w", userID, err)
		}
		write := new(pgx.Batch)
		write.Queue(`
			INSERT INTO addresses (user_id, prefix, last_seen)
			VALUES ($1, $2, $3)
			ON CONFLICT (user_id, prefix) DO UPDATE
			SET last_seen = CASE
				WHEN addresses.last_seen > $4 THEN excluded.last_seen
				ELSE greatest(addresses.last_seen, excluded.last_seen)
			END`,
			userID, prefix, now,
			now.Add(store.NetworkTTL))
		if !known {
			for _, m := range mails {
				m.UserID = userID
				s.queueMail(write, m)
			}
		}
		write.Queue("COMMIT")
		if err := send(ctx, conn, write); err != nil {
			return false, fmt.Errorf("write network of user %d: %w", userID, err)
		}
		return known, nil
	})
}

// DeleteNetworks implements [store.Networks]. It skips rows that another process has locked.
func (s *Store) DeleteNetworks(ctx context.Context, before time.Time, limit int) (int, error) {
	return call(ctx, s, func(ctx context.Context, conn *pgx.Conn) (int, error) {
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
