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
		old, err := bucketsByKey(conn, keys)
		if err != nil {
			return err
		}
		buckets := append([]store.Bucket{}, old...)
		if err := update(buckets); err != nil {
			return err
		}
		for i, b := range buckets {
			if err := updateBucket(conn, old[i], old[i].Apply(b)); err != nil {
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

// bucketsByKey returns the buckets of these keys, an empty one where there is no row.
func bucketsByKey(conn *sqlite.Conn, keys []string) ([]store.Bucket, error) {
	buckets := make([]store.Bucket, len(keys))
	for i, key := range keys {
		b, err := one(conn, scanBucket, `
			SELECT `+bucketColumns+`
			FROM attempts
			WHERE key = ?`,
			key)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("read buckets: %w", err)
		}
		b.Key = key
		buckets[i] = b
	}
	return buckets, nil
}

// updateBucket writes what changed in a bucket.
func updateBucket(conn *sqlite.Conn, old, b store.Bucket) (err error) {
	switch {
	case b == old:
	case b.Count == 0:
		err = exec(conn, `DELETE FROM attempts WHERE key = ?`, b.Key)
	default:
		err = exec(conn, `
			INSERT INTO attempts (key, count, since, last_at, blocked_until, forget_at)
			VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (key) DO UPDATE
			SET count = excluded.count, since = excluded.since, last_at = excluded.last_at,
				blocked_until = excluded.blocked_until, forget_at = excluded.forget_at`,
			b.Key, b.Count, b.Since, b.LastAt, b.BlockedUntil, b.ForgetAt)
	}
	if err != nil {
		return fmt.Errorf("write buckets: %w", err)
	}
	return nil
}
