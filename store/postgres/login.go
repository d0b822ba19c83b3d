package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

// OpenSession implements [store.Sessions]. The lock on the user excludes UpdateUser, EndSessions,
// DeleteUser and other logins of the same user. It comes before those of the buckets, which many
// users share.
func (s *Store) OpenSession(ctx context.Context, l store.Login) (store.Opened, error) {
	return call(ctx, s, store.First, func(ctx context.Context, conn *pgx.Conn) (
		store.Opened, error) {
		isNew, old, err := s.lockLogin(ctx, conn, l)
		if err != nil {
			return store.Opened{}, err
		}
		write := new(pgx.Batch)
		ended := s.queueSession(write, l.Session)
		if l.NewHash != "" {
			s.queueHash(write, l.Session.UserID, l.OldHash, l.NewHash)
		}
		if l.Network != "" {
			s.queueNetwork(write, l.Session.UserID, l.Network)
		}
		buckets, events := l.SettleAll(isNew, old)
		for i, b := range buckets {
			queueBucket(write, old[i], b)
		}
		if isNew {
			for _, m := range l.Mails {
				m.UserID = l.Session.UserID
				s.queueMail(write, m)
			}
		}
		s.queueEffects(write, store.Effects{Events: events})
		write.Queue("COMMIT")
		if err := send(ctx, conn, write); err != nil {
			return store.Opened{}, fmt.Errorf("open session: %w", err)
		}
		return store.Opened{NewNetwork: isNew, Ended: *ended}, nil
	})
}

// lockLogin begins the transaction of a login. It locks the user and the buckets, and reports
// whether the network is new. After it has waited for the user, Postgres reads the row again.
func (s *Store) lockLogin(ctx context.Context, conn *pgx.Conn,
	l store.Login) (isNew bool, buckets []store.Bucket, err error) {
	for {
		var owner int64
		lock := begin()
		lock.Queue(`
			SELECT id
			FROM users
			WHERE id = $1 AND generation = $2 AND NOT disabled
			FOR NO KEY UPDATE`,
			l.Session.UserID, l.Generation).QueryRow(orNone(&owner))
		// A statement of its own, so that it sees what the last holder of the lock has written.
		var seen time.Time
		if l.Network != "" {
			lock.Queue(`
				SELECT last_seen
				FROM addresses
				WHERE user_id = $1 AND prefix = $2`,
				l.Session.UserID, l.Network).QueryRow(orNone(&seen))
		}
		locked := queueBucketLocks(lock, l.Keys)
		if err := send(ctx, conn, lock); err != nil {
			return false, nil, fmt.Errorf("lock login: %w", err)
		}
		if owner == 0 {
			return false, nil, store.ErrUserChanged
		}
		isNew = l.Network != "" && !store.NetworkKnown(seen, store.Instant(s.now()))
		buckets, ok := locked.all()
		if ok && isNew && len(l.NewKeys) > 0 {
			// A trip of its own: a login from a known network has no use for these rows.
			var more []store.Bucket
			lock := new(pgx.Batch)
			locked := queueBucketLocks(lock, l.NewKeys)
			if err := send(ctx, conn, lock); err != nil {
				return false, nil, fmt.Errorf("lock login: %w", err)
			}
			more, ok = locked.all()
			buckets = slices.Concat(buckets, more)
		}
		if ok {
			return isNew, buckets, nil
		}
		if _, err := exec(ctx, conn, "ROLLBACK"); err != nil {
			return false, nil, fmt.Errorf("lock login: %w", err)
		}
	}
}

// orNone scans the only column of a row, if there is a row.
func orNone(to any) func(pgx.Row) error {
	return func(row pgx.Row) error {
		if err := row.Scan(to); !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		return nil
	}
}

// queueSession queues the insert of a session whose user is locked, and the end of those that are
// too many. The lock was in another statement, so these see the sessions of those who held it
// before.
func (s *Store) queueSession(b *pgx.Batch, n store.Session) *[]store.Ended {
	b.Queue(`
		INSERT INTO sessions (id, user_id, counter, parent,
			rotated_at, created_at, last_used_at, expires_at, token_exp, ip, user_agent, amr,
			remembered)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		n.ID, n.UserID, n.Counter, n.Parent,
		store.Instant(n.RotatedAt), store.Instant(n.CreatedAt), store.Instant(n.LastUsedAt),
		store.Instant(n.ExpiresAt), store.Instant(n.TokenExp), n.IP, n.UserAgent, n.AMR,
		n.Remembered)
	return queueEnds(b, s.now(), `id IN (
		SELECT id
		FROM sessions
		WHERE user_id = $2 AND ended_at IS NULL AND expires_at > $1 AND id <> $3
			AND key_hash = ''
		ORDER BY last_used_at DESC, created_at DESC, id
		OFFSET `+strconv.Itoa(store.MaxSessions-1)+`)`,
		n.UserID, n.ID)
}

// queueNetwork queues the note that a user logs in now from a network.
func (s *Store) queueNetwork(b *pgx.Batch, userID int64, prefix string) {
	now := store.Instant(s.now())
	b.Queue(`
		INSERT INTO addresses (user_id, prefix, last_seen)
		VALUES ($1, $2, $3)
		ON CONFLICT (user_id, prefix) DO UPDATE
		SET last_seen = CASE
			WHEN addresses.last_seen > $4 THEN excluded.last_seen
			ELSE greatest(addresses.last_seen, excluded.last_seen)
		END`,
		userID, prefix, now,
		now.Add(store.NetworkTTL))
}

// queueHash queues the replacement of a hash by another one of the same password.
func (s *Store) queueHash(b *pgx.Batch, id int64, old, hash string) {
	b.Queue(`
		UPDATE users
		SET password_hash = $1, updated_at = greatest(updated_at, $2)
		WHERE id = $3 AND password_hash = $4 AND password_hash <> ''`,
		hash, store.Instant(s.now()),
		id, old)
}
