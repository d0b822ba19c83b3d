package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// OpenSession implements [store.Sessions]. It excludes UpdateUser, EndSessions, DeleteUser and
// other logins because there is one writer.
func (s *Store) OpenSession(ctx context.Context, l store.Login) (store.Opened, error) {
	return write(ctx, s, func(conn *sqlite.Conn) (opened store.Opened, err error) {
		if opened.Ended, err = s.insertSession(ctx, conn, l.Session, l.Generation); err != nil {
			return store.Opened{}, err
		}
		if l.NewHash != "" {
			if err := s.replaceHash(conn, l.Session.UserID, l.OldHash, l.NewHash); err != nil {
				return store.Opened{}, err
			}
		}
		keys, effects := l.Keys, store.Effects{}
		if opened.NewNetwork, err = s.seeNetwork(conn, l.Session.UserID, l.Network); err != nil {
			return store.Opened{}, err
		}
		if opened.NewNetwork {
			keys = slices.Concat(keys, l.NewKeys)
			for _, m := range l.Mails {
				m.UserID = l.Session.UserID
				effects.Mails = append(effects.Mails, m)
			}
		}
		old, err := bucketsByKey(conn, keys)
		if err != nil {
			return store.Opened{}, err
		}
		buckets, events := l.SettleAll(opened.NewNetwork, old)
		for i, b := range buckets {
			if err := updateBucket(conn, old[i], b); err != nil {
				return store.Opened{}, err
			}
		}
		effects.Events = events
		return opened, s.keepEffects(conn, effects)
	})
}

// insertSession inserts a session of a user who has this generation, and ends those that are too
// many.
func (s *Store) insertSession(ctx context.Context, conn *sqlite.Conn, n store.Session,
	generation int64) ([]store.Ended, error) {
	err := exec(conn, `
		INSERT INTO sessions (id, user_id, counter, parent,
			rotated_at, created_at, last_used_at, expires_at, token_exp, ip, user_agent, amr,
			remembered)
		SELECT ?, id, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
		FROM users
		WHERE id = ? AND generation = ? AND NOT disabled`,
		n.ID, n.Counter, n.Parent, n.RotatedAt, n.CreatedAt, n.LastUsedAt,
		n.ExpiresAt, n.TokenExp, n.IP, n.UserAgent, n.AMR, n.Remembered,
		n.UserID, generation)
	switch {
	case err != nil:
		return nil, fmt.Errorf("insert session: %w", err)
	case conn.Changes() == 0:
		return nil, store.ErrUserChanged
	}
	return s.endSessions(ctx, conn, `id IN (
		SELECT id
		FROM sessions
		WHERE user_id = ? AND ended_at IS NULL AND expires_at > ? AND id <> ? AND key_hash = ''
		ORDER BY last_used_at DESC, created_at DESC, id
		LIMIT -1 OFFSET `+strconv.Itoa(store.MaxSessions-1)+`)`,
		n.UserID, store.Instant(s.now()), n.ID)
}

// seeNetwork notes that a user logs in now from a network, and reports whether it is new.
func (s *Store) seeNetwork(conn *sqlite.Conn, userID int64, prefix string) (isNew bool, err error) {
	if prefix == "" {
		return false, nil
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
	isNew = err != nil || !store.NetworkKnown(seen, now)
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
	return isNew, nil
}
