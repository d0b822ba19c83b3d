package sqlite

import (
	"context"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// AddKey implements [store.Keys]. It excludes what OpenSession does because there is one writer.
func (s *Store) AddKey(ctx context.Context, n store.Session, generation int64,
	events ...store.Event) error {
	return do(ctx, s, func(conn *sqlite.Conn) error {
		err := exec(conn, `
			INSERT INTO sessions (id, user_id, counter, parent,
				rotated_at, created_at, last_used_at, expires_at, token_exp, ip, user_agent, amr,
				remembered, key_hash, key_name, key_role, key_scopes)
			SELECT ?, id, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
			FROM users
			WHERE id = ? AND generation = ? AND NOT disabled`,
			n.ID, n.Counter, n.Parent, n.RotatedAt, n.CreatedAt, n.LastUsedAt,
			n.ExpiresAt, n.TokenExp, n.IP, n.UserAgent, n.AMR, n.Remembered,
			n.Key.Hash, n.Key.Name, n.Key.Role, n.Key.Scopes,
			n.UserID, generation)
		switch {
		case err != nil:
			return fmt.Errorf("insert key: %w", err)
		case conn.Changes() == 0:
			return store.ErrUserChanged
		}
		living, err := one(conn, scanInteger, `
			SELECT count(*)
			FROM sessions
			WHERE user_id = ? AND ended_at IS NULL AND expires_at > ? AND key_hash <> ''`,
			n.UserID, store.Instant(s.now()))
		switch {
		case err != nil:
			return fmt.Errorf("count the keys of user %d: %w", n.UserID, err)
		case living > store.MaxKeys:
			return store.ErrTooManyKeys
		}
		for _, e := range events {
			e.UserID = n.UserID
			if err := s.insertEvent(conn, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// KeyByHash implements [store.Keys].
func (s *Store) KeyByHash(ctx context.Context, hash string) (store.Session, error) {
	return read(ctx, s, func(conn *sqlite.Conn) (store.Session, error) {
		n, err := one(conn, scanSession, `
			SELECT `+sessionColumns+`
			FROM sessions
			WHERE key_hash = ? AND key_hash <> ''`,
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
	after, limit = after.Bound(), max(limit, 0) // a negative one is no limit to SQLite
	scan := func(stmt *sqlite.Stmt) store.OwnedKey {
		return store.OwnedKey{Session: scanSession(stmt), User: stmt.ColumnText(18)}
	}
	return readMany(ctx, s, func(conn *sqlite.Conn) ([]store.OwnedKey, error) {
		keys, err := list(ctx, conn, []store.OwnedKey{}, scan, `
			SELECT `+sessionColumns+`,
				coalesce((SELECT name FROM users WHERE users.id = user_id), '')
			FROM sessions
			WHERE key_hash <> '' AND ended_at IS NULL AND expires_at > ?
				AND (? = 0 OR user_id = ?)
				AND (created_at, id) < (?, ?)
			ORDER BY created_at DESC, id DESC
			LIMIT +?`,
			store.Instant(now), userID, userID,
			store.Instant(after.CreatedAt), after.ID, int64(limit))
		if err != nil {
			return nil, fmt.Errorf("list keys: %w", err)
		}
		return keys, nil
	})
}

// NoteKeyUse implements [store.Keys].
func (s *Store) NoteKeyUse(ctx context.Context, id string, at time.Time) error {
	return do(ctx, s, func(conn *sqlite.Conn) error {
		err := exec(conn, `
			UPDATE sessions
			SET last_used_at = ?
			WHERE id = ? AND key_hash <> '' AND ended_at IS NULL
				AND (last_used_at <= ? OR last_used_at = created_at)`,
			store.Instant(at),
			id, store.Instant(at).Add(-store.KeyNoted))
		if err != nil {
			return fmt.Errorf("note the use of a key: %w", err)
		}
		return nil
	})
}
