package sqlite

import (
	"context"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// sessionColumns are in the order of scanSession.
const sessionColumns = `id, user_id, counter, parent, rotated_at, created_at, last_used_at, expires_at,
	token_exp, ended_at, ip, user_agent`

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
	}
	if !stmt.ColumnIsNull(9) {
		s.EndedAt = instant(stmt, 9)
	}
	return s
}

// CreateSession keeps the promise of store.Sessions. What excludes UpdateUser and DeleteUser is that there
// is one writer.
func (s *Store) CreateSession(ctx context.Context, n store.Session, generation int64) error {
	_, err := write(ctx, s, func(conn *sqlite.Conn) (struct{}, error) {
		err := exec(conn, `
			INSERT INTO sessions (id, user_id, counter, parent, rotated_at, created_at, last_used_at,
				expires_at, token_exp, ip, user_agent)
			SELECT ?, id, ?, ?, ?, ?, ?, ?, ?, ?, ?
			FROM users
			WHERE id = ? AND generation = ? AND NOT disabled`,
			n.ID, n.Counter, n.Parent, n.RotatedAt, n.CreatedAt, n.LastUsedAt,
			n.ExpiresAt, n.TokenExp, n.IP, n.UserAgent,
			n.UserID, generation)
		switch {
		case err != nil:
			return struct{}{}, fmt.Errorf("insert session: %w", err)
		case conn.Changes() == 0:
			return struct{}{}, store.ErrUserChanged
		}
		return struct{}{}, nil
	})
	return err
}

// Session keeps the promise of store.Sessions.
func (s *Store) Session(ctx context.Context, id string) (store.Session, error) {
	return read(ctx, s, func(conn *sqlite.Conn) (store.Session, error) {
		return sessionByID(conn, id)
	})
}

// EndSession keeps the promise of store.Sessions.
func (s *Store) EndSession(ctx context.Context, id string) (store.Session, error) {
	return write(ctx, s, func(conn *sqlite.Conn) (store.Session, error) {
		n, err := sessionByID(conn, id)
		if err != nil || !n.EndedAt.IsZero() {
			return n, err
		}
		if err := countEnd(conn); err != nil {
			return store.Session{}, err
		}
		n.EndedAt = store.Instant(s.now())
		err = exec(conn, `
			UPDATE sessions
			SET ended_at = ?, ended_order = (SELECT last FROM session_ends)
			WHERE id = ?`,
			n.EndedAt,
			id)
		if err != nil {
			return store.Session{}, fmt.Errorf("end session: %w", err)
		}
		return n, nil
	})
}

// EndedSessions keeps the promise of store.Sessions. The mark is the last number in the order of ends that
// was committed before the sessions are read, so whatever commits in between comes twice rather than never.
func (s *Store) EndedSessions(ctx context.Context, since store.Mark, alive time.Time) (
	[]store.Ended, store.Mark, error) {
	mark := since
	ended, err := read(ctx, s, func(conn *sqlite.Conn) (_ []store.Ended, err error) {
		mark, err = one(conn, func(stmt *sqlite.Stmt) store.Mark { return store.Mark(stmt.ColumnInt64(0)) }, `
			SELECT last
			FROM session_ends`)
		if err != nil {
			return nil, fmt.Errorf("read the last end: %w", err)
		}
		ended, err := list(ctx, conn, []store.Ended{}, scanEnded, `
			SELECT id, token_exp
			FROM sessions
			WHERE ended_order > ? AND token_exp > ?`,
			int64(since), alive)
		if err != nil {
			return nil, fmt.Errorf("list ended sessions: %w", err)
		}
		return ended, nil
	})
	if err != nil {
		return nil, since, err
	}
	return ended, mark, nil
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

// countEnd steps the order of ends. As there is one writer, a number is never visible before a lower one.
func countEnd(conn *sqlite.Conn) error {
	if err := exec(conn, `UPDATE session_ends SET last = last + 1`); err != nil {
		return fmt.Errorf("count the end: %w", err)
	}
	return nil
}
