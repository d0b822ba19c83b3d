package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

// attemptColumns are in the order of toAttempt.
const attemptColumns = `key, count, since, last_at, blocked_until, forget_at`

func toAttempt(a *store.Bucket) []any {
	return []any{&a.Key, &a.Count, &a.Since, &a.LastAt, &a.BlockedUntil, &a.ForgetAt}
}

// UpdateBuckets implements [store.Buckets].
func (s *Store) UpdateBuckets(ctx context.Context, keys []string, change func([]store.Bucket) error) error {
	_, err := call(ctx, s, func(ctx context.Context, conn *pgx.Conn) (struct{}, error) {
		old, err := lockAttempts(ctx, conn, keys)
		if err != nil {
			return struct{}{}, err
		}
		attempts := append([]store.Bucket{}, old...)
		if err := change(attempts); err != nil {
			return struct{}{}, err
		}
		write := new(pgx.Batch)
		for i, a := range attempts {
			queueBucket(write, old[i], old[i].Apply(a))
		}
		write.Queue("COMMIT")
		if err := send(ctx, conn, write); err != nil {
			return struct{}{}, fmt.Errorf("write attempts: %w", err)
		}
		return struct{}{}, nil
	})
	return err
}

// DeleteBuckets implements [store.Buckets]. Rows that another process is at are passed over.
func (s *Store) DeleteBuckets(ctx context.Context, before time.Time, limit int) (int, error) {
	return call(ctx, s, func(ctx context.Context, conn *pgx.Conn) (int, error) {
		removed, err := exec(ctx, conn, `
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
			return 0, fmt.Errorf("delete attempts: %w", err)
		}
		return int(removed), nil
	})
}

// lockAttempts begins a transaction in which nobody else counts on these keys, and gives their attempts. Rows
// are made for those that have none, since what is not there can not be locked; whoever gives up takes theirs
// back with the transaction. First the new ones are made and then all are locked, each time in the order of
// the keys: so two calls that share keys never wait for each other.
func lockAttempts(ctx context.Context, conn *pgx.Conn, keys []string) ([]store.Bucket, error) {
	for {
		found := make(map[string]store.Bucket, len(keys))
		b := begin()
		b.Queue(`
			INSERT INTO attempts (key, count, since, last_at, blocked_until, forget_at)
			SELECT key, 0, $2::timestamptz, $2::timestamptz, $2::timestamptz, $2::timestamptz
			FROM unnest($1::text[]) AS key
			ORDER BY key COLLATE "C"
			ON CONFLICT (key) DO NOTHING`,
			keys, time.Time{})
		b.Queue(`
			SELECT `+attemptColumns+`
			FROM attempts
			WHERE key = ANY ($1::text[])
			ORDER BY key
			FOR UPDATE`,
			keys).Query(func(rows pgx.Rows) error {
			var a store.Bucket
			_, err := pgx.ForEachRow(rows, toAttempt(&a), func() error {
				found[a.Key] = a
				return nil
			})
			return err
		})
		if err := send(ctx, conn, b); err != nil {
			return nil, fmt.Errorf("lock attempts: %w", err)
		}
		attempts := make([]store.Bucket, 0, len(keys))
		for _, key := range keys {
			if a, ok := found[key]; ok {
				attempts = append(attempts, a)
			}
		}
		if len(attempts) == len(keys) {
			return attempts, nil
		}
		// One was there for the first statement and removed by another before the second could lock it.
		if _, err := exec(ctx, conn, "ROLLBACK"); err != nil {
			return nil, fmt.Errorf("lock attempts: %w", err)
		}
	}
}

// queueBucket queues the writing of what became of the attempts of a key. A row that counts nothing is removed
// also if nothing of it is altered: lockAttempts has made it.
func queueBucket(b *pgx.Batch, old, a store.Bucket) {
	switch {
	case a.Count == 0:
		b.Queue(`DELETE FROM attempts WHERE key = $1`, a.Key)
	case a != old:
		b.Queue(`
			UPDATE attempts
			SET count = $1, since = $2, last_at = $3, blocked_until = $4, forget_at = $5
			WHERE key = $6`,
			a.Count, a.Since, a.LastAt, a.BlockedUntil, a.ForgetAt,
			a.Key)
	}
}
