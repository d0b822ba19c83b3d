package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

// AddKey implements [store.Keys]. The lock on the user excludes what that of OpenSession does.
func (s *Store) AddKey(ctx context.Context, n store.Session, generation int64,
	events ...store.Event) error {
	return do(ctx, s, s.timeout, func(ctx context.Context, conn *pgx.Conn) error {
		var owner int64
		var living int
		lock := begin()
		lock.Queue(`
			SELECT id
			FROM users
			WHERE id = $1 AND generation = $2 AND NOT disabled
			FOR NO KEY UPDATE`,
			n.UserID, generation).QueryRow(orNone(&owner))
		// A statement of its own, so that it sees what the last holder of the lock has written.
		lock.Queue(`
			SELECT count(*)
			FROM sessions
			WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2 AND key_hash <> ''`,
			n.UserID, store.Instant(s.now())).
			QueryRow(func(row pgx.Row) error { return row.Scan(&living) })
		if err := send(ctx, conn, lock); err != nil {
			return fmt.Errorf("lock user %d: %w", n.UserID, err)
		}
		switch {
		case owner == 0:
			return store.ErrUserChanged
		case living >= store.MaxKeys:
			return store.ErrTooManyKeys
		}
		write := new(pgx.Batch)
		write.Queue(`
			INSERT INTO sessions (id, user_id, counter, parent,
				rotated_at, created_at, last_used_at, expires_at, token_exp, ip, user_agent, amr,
				remembered, key_hash, key_name, key_role, key_scopes)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
			n.ID, n.UserID, n.Counter, n.Parent,
			store.Instant(n.RotatedAt), store.Instant(n.CreatedAt), store.Instant(n.LastUsedAt),
			store.Instant(n.ExpiresAt), store.Instant(n.TokenExp), n.IP, n.UserAgent, n.AMR,
			n.Remembered, n.Key.Hash, n.Key.Name, n.Key.Role, n.Key.Scopes)
		for _, e := range events {
			e.UserID = n.UserID
			s.queueEvent(write, e)
		}
		write.Queue("COMMIT")
		if err := send(ctx, conn, write); err != nil {
			return fmt.Errorf("insert key: %w", err)
		}
		return nil
	})
}

// KeyByHash implements [store.Keys].
func (s *Store) KeyByHash(ctx context.Context, hash string) (store.Session, error) {
	return call(ctx, s, store.Single, func(ctx context.Context, conn *pgx.Conn) (
		store.Session, error) {
		n, err := one(ctx, conn, toSession, `
			SELECT `+sessionColumns+`
			FROM sessions
			WHERE key_hash = $1 AND key_hash <> ''`,
			hash)
		if err != nil {
			return store.Session{}, fmt.Errorf("read key: %w", err)
		}
		return n, nil
	})
}

// Keys implements [store.Keys].
func (s *Store) Keys(ctx context.Context, userID int64, now time.Time, after store.KeyPosition,
	limit int) ([]store.OwnedKey, error) {
	after, limit = after.Bound(), max(limit, 0) // a negative one is an error to Postgres
	columns := func(k *store.OwnedKey) []any { return append(toSession(&k.Session), &k.User) }
	return call(ctx, s, store.Many, func(ctx context.Context, conn *pgx.Conn) (
		[]store.OwnedKey, error) {
		keys, err := list(ctx, conn, []store.OwnedKey{}, columns, `
			SELECT `+sessionColumns+`,
				coalesce((SELECT name FROM users WHERE users.id = user_id), '')
			FROM sessions
			WHERE key_hash <> '' AND ended_at IS NULL AND expires_at > $1
				AND ($2::bigint = 0 OR user_id = $2)
				AND (created_at, id) < ($3, $4)
			ORDER BY created_at DESC, id DESC
			LIMIT $5`,
			store.Instant(now), userID,
			store.Instant(after.CreatedAt), after.ID, limit)
		if err != nil {
			return nil, fmt.Errorf("list keys: %w", err)
		}
		return keys, nil
	})
}

// NoteKeyUse implements [store.Keys].
func (s *Store) NoteKeyUse(ctx context.Context, id string, at time.Time) error {
	return do(ctx, s, s.timeout, func(ctx context.Context, conn *pgx.Conn) error {
		b := beginOnce()
		b.Queue(`
			UPDATE sessions
			SET last_used_at = $1
			WHERE id = $2 AND key_hash <> '' AND ended_at IS NULL
				AND (last_used_at <= $3 OR last_used_at = created_at)`,
			store.Instant(at),
			id, store.Instant(at).Add(-store.KeyNoted))
		if err := commit(ctx, conn, b); err != nil {
			return fmt.Errorf("note the use of a key: %w", err)
		}
		return nil
	})
}
