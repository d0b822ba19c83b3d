package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// bucketColumns are in the order of scanBucket.
const bucketColumns = `key, count, since, last_at, blocked_until, forget_at`

func scanBucket(stmt *sqlite.Stmt) store.Bucket {
	return store.Bucket{
		Key:          stmt.ColumnText(0),
		Count:        stmt.ColumnInt64(1),
		Since:        instant(stmt, 2),
		LastAt:       instant(stmt, 3),
		BlockedUntil: instant(stmt, 4),
		ForgetAt:     instant(stmt, 5),
	}
}

// UpdateBuckets implements [store.Buckets]. It is atomic because there is one writer.
func (s *Store) UpdateBuckets(ctx context.Context, keys []string,
	update func([]store.Bucket) error) error {
	return do(ctx, s, func(conn *sqlite.Conn) error {
		old := make([]store.Bucket, len(keys))
		for i, key := range keys {
			a, err := bucketByKey(conn, key)
			if err != nil {
				return err
			}
			old[i] = a
		}
		buckets := append([]store.Bucket{}, old...)
		if err := update(buckets); err != nil {
			return err
		}
		for i, a := range buckets {
			if err := updateBucket(conn, old[i], old[i].Apply(a)); err != nil {
				return err
			}
		}
		return nil
	})
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
			return 0, fmt.Errorf("delete buckets: %w", err)
		}
		return conn.Changes(), nil
	})
}

// bucketByKey returns the bucket of a key, an empty one if there is no row.
func bucketByKey(conn *sqlite.Conn, key string) (store.Bucket, error) {
	a, err := one(conn, scanBucket, `
		SELECT `+bucketColumns+`
		FROM attempts
		WHERE key = ?`,
		key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return store.Bucket{Key: key}, nil
	case err != nil:
		return store.Bucket{}, fmt.Errorf("read buckets: %w", err)
	}
	return a, nil
}

// updateBucket writes what changed in a bucket.
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
		return fmt.Errorf("write buckets: %w", err)
	}
	return nil
}
