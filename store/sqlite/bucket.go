package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// attemptColumns are in the order of scanAttempt.
const attemptColumns = `key, count, since, last_at, blocked_until, forget_at`

func scanAttempt(stmt *sqlite.Stmt) store.Bucket {
	return store.Bucket{
		Key:          stmt.ColumnText(0),
		Count:        stmt.ColumnInt64(1),
		Since:        instant(stmt, 2),
		LastAt:       instant(stmt, 3),
		BlockedUntil: instant(stmt, 4),
		ForgetAt:     instant(stmt, 5),
	}
}

// UpdateBuckets implements [store.Buckets]. What has others come before or after is that there is one
// writer.
func (s *Store) UpdateBuckets(ctx context.Context, keys []string, change func([]store.Bucket) error) error {
	_, err := write(ctx, s, func(conn *sqlite.Conn) (struct{}, error) {
		old := make([]store.Bucket, len(keys))
		for i, key := range keys {
			a, err := attemptOf(conn, key)
			if err != nil {
				return struct{}{}, err
			}
			old[i] = a
		}
		attempts := append([]store.Bucket{}, old...)
		if err := change(attempts); err != nil {
			return struct{}{}, err
		}
		for i, a := range attempts {
			if err := updateBucket(conn, old[i], old[i].Apply(a)); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	})
	return err
}

// DeleteBuckets implements [store.Buckets].
func (s *Store) DeleteBuckets(ctx context.Context, before time.Time, limit int) (int, error) {
	return write(ctx, s, func(conn *sqlite.Conn) (int, error) {
		err := exec(conn, `
			DELETE FROM attempts
			WHERE key IN (
				SELECT key
				FROM attempts
				WHERE forget_at < ?
				ORDER BY forget_at
				LIMIT ?)`,
			store.Instant(before), int64(max(limit, 0)))
		if err != nil {
			return 0, fmt.Errorf("delete attempts: %w", err)
		}
		return conn.Changes(), nil
	})
}

// attemptOf gives the attempts of a key, none if there is no row.
func attemptOf(conn *sqlite.Conn, key string) (store.Bucket, error) {
	a, err := one(conn, scanAttempt, `
		SELECT `+attemptColumns+`
		FROM attempts
		WHERE key = ?`,
		key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return store.Bucket{Key: key}, nil
	case err != nil:
		return store.Bucket{}, fmt.Errorf("read attempts: %w", err)
	}
	return a, nil
}

// updateBucket writes what became of the attempts of a key.
func updateBucket(conn *sqlite.Conn, old, a store.Bucket) (err error) {
	switch {
	case a == old:
	case a.Count == 0:
		err = exec(conn, `DELETE FROM attempts WHERE key = ?`, a.Key)
	default:
		err = exec(conn, `
			INSERT INTO attempts (key, count, since, last_at, blocked_until, forget_at)
			VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (key) DO UPDATE
			SET count = excluded.count, since = excluded.since, last_at = excluded.last_at,
				blocked_until = excluded.blocked_until, forget_at = excluded.forget_at`,
			a.Key, a.Count, a.Since, a.LastAt, a.BlockedUntil, a.ForgetAt)
	}
	if err != nil {
		return fmt.Errorf("write attempts: %w", err)
	}
	return nil
}
