package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// sessionColumns are in the order of scanSession.
const sessionColumns = `id, user_id, counter, parent,
	rotated_at, created_at, last_used_at, expires_at, token_exp, ended_at,
	ip, user_agent, amr, remembered, key_hash, key_name, key_role, key_scopes`

func scanSession(stmt *sqlite.Stmt) store.Session {
	s := store.Session{
		ID:         stmt.ColumnText(0),
		UserID:     stmt.ColumnInt64(1),
		Counter:    stmt.ColumnInt64(2),
		Parent:     stmt.ColumnInt64(3),
		RotatedAt:  instant(stmt, 4),
		CreatedAt:  instant(stmt, 5),
		LastUsedAt: instant(stmt, 6),
		ExpiresAt:  instant(stmt, 7),
		TokenExp:   instant(stmt, 8),
		IP:         stmt.ColumnText(10),
		UserAgent:  stmt.ColumnText(11),
		AMR:        stmt.ColumnText(12),
		Remembered: stmt.ColumnBool(13),
		Key: store.Key{
			Hash:   stmt.ColumnText(14),
			Name:   stmt.ColumnText(15),
			Role:   store.Role(stmt.ColumnText(16)),
			Scopes: stmt.ColumnText(17),
		},
	}
	if !stmt.ColumnIsNull(9) {
		s.EndedAt = instant(stmt, 9)
	}
	return s
}

// Session implements [store.Sessions].
func (s *Store) Session(ctx context.Context, id string) (store.Session, error) {
	return decide(ctx, s, func(conn *sqlite.Conn) (store.Session, error) {
		return sessionByID(conn, id)
	})
}

// UserSessions implements [store.Sessions].
func (s *Store) UserSessions(ctx context.Context, userID int64,
	now time.Time) ([]store.Session, error) {
	return read(ctx, s, func(conn *sqlite.Conn) ([]store.Session, error) {
		sessions, err := list(ctx, conn, []store.Session{}, scanSession, `
			SELECT `+sessionColumns+`
			FROM sessions
			WHERE user_id = ? AND ended_at IS NULL AND expires_at > ? AND key_hash = ''
			ORDER BY last_used_at DESC, created_at DESC, id`,
			userID, store.Instant(now))
		if err != nil {
			return nil, fmt.Errorf("list sessions of user %d: %w", userID, err)
		}
		return sessions, nil
	})
}

// UpdateSession implements [store.Sessions].
func (s *Store) UpdateSession(ctx context.Context, id string,
	update func(store.Session) (store.Session, error)) (store.Session, store.User, error) {
	var u store.User
	n, err := write(ctx, s, func(conn *sqlite.Conn) (store.Session, error) {
		old, err := sessionByID(conn, id)
		if err != nil {
			return store.Session{}, err
		}
		u, err = userByID(conn, old.UserID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return store.Session{}, err
		}
		n, err := update(old)
		if err != nil {
			return store.Session{}, err
		}
		n = old.Apply(n)
		if n == old {
			return old, nil
		}
		err = exec(conn, `
			UPDATE sessions
			SET counter = ?, parent = ?, rotated_at = ?, last_used_at = ?, expires_at = ?,
				token_exp = ?, amr = ?
			WHERE id = ?`,
			n.Counter, n.Parent, n.RotatedAt, n.LastUsedAt, n.ExpiresAt, n.TokenExp, n.AMR,
			id)
		if err != nil {
			return store.Session{}, fmt.Errorf("update session: %w", err)
		}
		if old.EndedAt.IsZero() && !n.EndedAt.IsZero() {
			if err := endSession(conn, id, n.EndedAt); err != nil {
				return store.Session{}, err
			}
		}
		return n, nil
	})
	if err != nil {
		return store.Session{}, store.User{}, err
	}
	return n, u, nil
}

// EndSession implements [store.Sessions].
func (s *Store) EndSession(ctx context.Context, id string) (store.Session, error) {
	return write(ctx, s, func(conn *sqlite.Conn) (store.Session, error) {
		n, err := sessionByID(conn, id)
		if err != nil || !n.EndedAt.IsZero() {
			return n, err
		}
		n.EndedAt = store.Instant(s.now())
		return n, endSession(conn, id, n.EndedAt)
	})
}

// EndSessions implements [store.Sessions].
func (s *Store) EndSessions(ctx context.Context, userID int64) ([]store.Ended, error) {
	return write(ctx, s, func(conn *sqlite.Conn) ([]store.Ended, error) {
		err := exec(conn, `UPDATE users SET generation = generation + 1 WHERE id = ?`, userID)
		switch {
		case err != nil:
			return nil, fmt.Errorf("raise generation of user %d: %w", userID, err)
		case conn.Changes() == 0:
			return nil, store.ErrNotFound
		}
		return s.endSessions(ctx, conn, `user_id = ? AND key_hash = ''`, userID)
	})
}

// DeleteSessions implements [store.Sessions].
func (s *Store) DeleteSessions(ctx context.Context, before time.Time, limit int) (int, error) {
	return write(ctx, s, func(conn *sqlite.Conn) (int, error) {
		err := exec(conn, `
			DELETE FROM sessions
			WHERE id IN (
				SELECT id
				FROM sessions
				WHERE expires_at < ? AND token_exp < ?
				ORDER BY expires_at
				LIMIT ?)`,
			store.Instant(before), store.Instant(before), int64(max(limit, 0)))
		if err != nil {
			return 0, fmt.Errorf("delete sessions: %w", err)
		}
		return conn.Changes(), nil
	})
}

// ForgetOrigins implements [store.Sessions].
func (s *Store) ForgetOrigins(ctx context.Context, before time.Time, limit int) (int, error) {
	return write(ctx, s, func(conn *sqlite.Conn) (int, error) {
		err := exec(conn, `
			UPDATE sessions
			SET ip = '', user_agent = ''
			WHERE id IN (
				SELECT id
				FROM sessions
				WHERE ended_at < ? AND (ip <> '' OR user_agent <> '')
				ORDER BY ended_at
				LIMIT ?)`,
			store.Instant(before), int64(max(limit, 0)))
		if err != nil {
			return 0, fmt.Errorf("forget where ended sessions were: %w", err)
		}
		return conn.Changes(), nil
	})
}

// SessionEnds implements [store.Sessions]. The watermark is the last committed number in the order
// of ends, read before the sessions. So an end that is committed in between is returned twice
// rather than never.
func (s *Store) SessionEnds(ctx context.Context, since store.Watermark, ids []string) (
	store.Ends, error) {
	if err := s.look(ctx); err != nil {
		return store.Ends{}, s.outcome(err)
	}
	return decide(ctx, s, func(conn *sqlite.Conn) (store.Ends, error) {
		last, err := one(conn, scanInteger, `
			SELECT last
			FROM session_ends`)
		if err != nil {
			return store.Ends{}, fmt.Errorf("read the last end: %w", err)
		}
		ends := store.Ends{Next: store.Watermark(strconv.FormatInt(last, 10))}
		if since != "" {
			if ends.Since, err = endsSince(ctx, conn, since, last); err != nil {
				return store.Ends{}, fmt.Errorf("list ended sessions: %w", err)
			}
		}
		ends.Asked, err = sessionStates(ctx, conn, ids)
		if err != nil {
			return store.Ends{}, fmt.Errorf("look up sessions: %w", err)
		}
		return ends, nil
	})
}

// endsSince returns the sessions that ended since a watermark. The last number is not below it,
// unless the file was replaced by an older one.
func endsSince(ctx context.Context, conn *sqlite.Conn, since store.Watermark,
	last int64) ([]store.Ended, error) {
	from, err := strconv.ParseInt(string(since), 10, 64)
	switch {
	case err != nil || from > last:
		return nil, fmt.Errorf("%w: the watermark %q is of another database", store.ErrUnavailable,
			since)
	case from == last:
		return nil, nil
	}
	return list(ctx, conn, []store.Ended(nil), scanEnded, `
		SELECT id, token_exp
		FROM sessions
		WHERE ended_order > ?`,
		from)
}

// sessionStates returns the state of those of the sessions that there are.
func sessionStates(ctx context.Context, conn *sqlite.Conn, ids []string) (
	map[string]store.SessionState, error) {
	states := make(map[string]store.SessionState, len(ids))
	scan := func(stmt *sqlite.Stmt) store.SessionState {
		return store.SessionState{Ended: stmt.ColumnBool(0), TokenExp: instant(stmt, 1)}
	}
	for _, id := range ids {
		state, err := one(conn, scan, `
			SELECT ended_at IS NOT NULL, token_exp
			FROM sessions
			WHERE id = ?`,
			id)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return nil, err
		case ctx.Err() != nil:
			return nil, ctx.Err()
		default:
			states[id] = state
		}
	}
	return states, nil
}

func scanEnded(stmt *sqlite.Stmt) store.Ended {
	return store.Ended{ID: stmt.ColumnText(0), TokenExp: instant(stmt, 1)}
}

func sessionByID(conn *sqlite.Conn, id string) (store.Session, error) {
	n, err := one(conn, scanSession, `
		SELECT `+sessionColumns+`
		FROM sessions
		WHERE id = ?`,
		id)
	if err != nil {
		return store.Session{}, fmt.Errorf("read session: %w", err)
	}
	return n, nil
}

// endSession ends one session that has not ended.
func endSession(conn *sqlite.Conn, id string, at time.Time) error {
	if err := countEnd(conn); err != nil {
		return err
	}
	err := exec(conn, `
		UPDATE sessions
		SET ended_at = ?, ended_order = (SELECT last FROM session_ends)
		WHERE id = ?`,
		at,
		id)
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// endSessions ends the sessions that match a condition and have not ended, and returns them.
func (s *Store) endSessions(ctx context.Context, conn *sqlite.Conn, where string,
	args ...any) ([]store.Ended, error) {
	if err := countEnd(conn); err != nil {
		return nil, err
	}
	ended, err := list(ctx, conn, []store.Ended{}, scanEnded, `
		UPDATE sessions
		SET ended_at = ?, ended_order = (SELECT last FROM session_ends)
		WHERE ended_at IS NULL AND `+where+`
		RETURNING id, token_exp`,
		append([]any{store.Instant(s.now())}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("end sessions: %w", err)
	}
	return ended, nil
}

// countEnd steps the order of ends. Because there is one writer, no number becomes visible before a
// lower one.
func countEnd(conn *sqlite.Conn) error {
	if err := exec(conn, `UPDATE session_ends SET last = last + 1`); err != nil {
		return fmt.Errorf("count the end: %w", err)
	}
	return nil
}
