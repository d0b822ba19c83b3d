package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// SeeNetwork implements [store.Networks]. It is atomic because there is one writer.
func (s *Store) SeeNetwork(ctx context.Context, userID int64, prefix string,
	mails ...store.Mail) (known bool, err error) {
	return write(ctx, s, func(conn *sqlite.Conn) (bool, error) {
		if _, err := userByID(conn, userID); err != nil {
			return false, err
		}
		now := store.Instant(s.now())
		scan := func(stmt *sqlite.Stmt) time.Time { return instant(stmt, 0) }
		seen, err := one(conn, scan, `
			SELECT last_seen
			FROM addresses
			WHERE user_id = ? AND prefix = ?`,
			userID, prefix)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return false, fmt.Errorf("read network of user %d: %w", userID, err)
		}
		known := err == nil && store.NetworkKnown(seen, now)
		err = exec(conn, `
			INSERT INTO addresses (user_id, prefix, last_seen)
			VALUES (?, ?, ?)
			ON CONFLICT (user_id, prefix) DO UPDATE
			SET last_seen = CASE
				WHEN last_seen > ? THEN excluded.last_seen
				ELSE max(last_seen, excluded.last_seen)
			END`,
			userID, prefix, now,
			now.Add(store.NetworkTTL))
		if err != nil {
			return false, fmt.Errorf("write network of user %d: %w", userID, err)
		}
		if known {
			return true, nil
		}
		for _, m := range mails {
			m.UserID = userID
			if err := s.insertMail(conn, m); err != nil {
				return false, err
			}
		}
		return false, nil
	})
}

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
