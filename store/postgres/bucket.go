package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

// bucketColumns are in the order of toBucket.
const bucketColumns = `key, count, since, last_at, blocked_until, forget_at`

func toBucket(b *store.Bucket) []any {
	return []any{&b.Key, &b.Count, &b.Since, &b.LastAt, &b.BlockedUntil, &b.ForgetAt}
}

// UpdateBuckets implements [store.Buckets].
func (s *Store) UpdateBuckets(ctx context.Context, keys []string,
	update func([]store.Bucket) error) error {
	return do(ctx, s, s.timeout, func(ctx context.Context, conn *pgx.Conn) error {
		old, err := lockBuckets(ctx, conn, keys)
		if err != nil {
			return err
		}
		buckets := append([]store.Bucket{}, old...)
		if err := update(buckets); err != nil {
			return err
		}
		write := new(pgx.Batch)
		for i, b := range buckets {
			queueBucket(write, old[i], old[i].Apply(b))
		}
		write.Queue("COMMIT")
		if err := send(ctx, conn, write); err != nil {
			return fmt.Errorf("write buckets: %w", err)
		}
		return nil
	})
}

// DeleteBuckets implements [store.Buckets]. It skips rows that another process has locked.
func (s *Store) DeleteBuckets(ctx context.Context, before time.Time, limit int) (int, error) {
	return call(ctx, s, store.Single, func(ctx context.Context, conn *pgx.Conn) (int, error) {
		removed, err := change(ctx, conn, `
			DELETE FROM attempts
			WHERE key IN (
				SELECT key
				FROM attempts
				WHERE forget_at < $1
				ORDER BY forget_at
				LIMIT $2
				FOR UPDATE SKIP LOCKED)`,
			store.Instant(before), max(limit, 0))
		if err != nil {
			return 0, fmt.Errorf("delete buckets: %w", err)
		}
		return int(removed), nil
	})
}

// lockBuckets begins a transaction in which nobody else counts on these keys, and returns their
// buckets.
func lockBuckets(ctx context.Context, conn *pgx.Conn, keys []string) ([]store.Bucket, error) {
	for {
		lock := begin()
		locked := queueBucketLocks(lock, keys)
		if err := send(ctx, conn, lock); err != nil {
			return nil, fmt.Errorf("lock buckets: %w", err)
		}
		if buckets, ok := locked.all(); ok {
			return buckets, nil
		}
		if _, err := exec(ctx, conn, "ROLLBACK"); err != nil {
			return nil, fmt.Errorf("lock buckets: %w", err)
		}
	}
}

// lockedBuckets are the buckets of keys that a transaction has locked.
type lockedBuckets struct {
	keys  []string
	found map[string]store.Bucket
}

// queueBucketLocks queues the lock of the buckets of these keys. It inserts the rows that are
// missing, because a missing row cannot be locked; a rollback removes them again.
//
// First all new rows are inserted and then all rows are locked, both in the order of the keys. So
// two calls that share keys never deadlock.
func queueBucketLocks(lock *pgx.Batch, keys []string) *lockedBuckets {
	locked := &lockedBuckets{keys, make(map[string]store.Bucket, len(keys))}
	if len(keys) == 0 {
		return locked
	}
	lock.Queue(`
		INSERT INTO attempts (key, count, since, last_at, blocked_until, forget_at)
		SELECT key, 0, $2::timestamptz, $2::timestamptz, $2::timestamptz, $2::timestamptz
		FROM unnest($1::text[]) AS key
		ORDER BY key COLLATE "C"
		ON CONFLICT (key) DO NOTHING`,
		keys, time.Time{})
	lock.Queue(`
		SELECT `+bucketColumns+`
		FROM attempts
		WHERE key = ANY ($1::text[])
		ORDER BY key
		FOR UPDATE`,
		keys).Query(func(rows pgx.Rows) error {
		var b store.Bucket
		_, err := pgx.ForEachRow(rows, toBucket(&b), func() error {
			locked.found[b.Key] = b
			return nil
		})
		return err
	})
	return locked
}

// all returns the buckets in the order of the keys. It reports false if one is missing: its row was
// there for the first statement, and another process removed it before the second one could lock
// it. Then the transaction must begin again.
func (l *lockedBuckets) all() ([]store.Bucket, bool) {
	buckets := make([]store.Bucket, len(l.keys))
	for i, key := range l.keys {
		b, ok := l.found[key]
		if !ok {
			return nil, false
		}
		buckets[i] = b
	}
	return buckets, true
}

// queueBucket queues what changed in a bucket. An empty one is removed even if it did not change:
// lockBuckets has inserted it.
func queueBucket(write *pgx.Batch, old, b store.Bucket) {
	switch {
	case b.Count == 0:
		write.Queue(`DELETE FROM attempts WHERE key = $1`, b.Key)
	case b != old:
		write.Queue(`
			UPDATE attempts
			SET count = $1, since = $2, last_at = $3, blocked_until = $4, forget_at = $5
			WHERE key = $6`,
			b.Count, b.Since, b.LastAt, b.BlockedUntil, b.ForgetAt,
			b.Key)
	}
}
