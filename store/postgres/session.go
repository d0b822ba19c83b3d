package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

// sessionColumns are in the order of toSession.
const sessionColumns = `id, user_id, counter, parent, rotated_at, created_at, last_used_at, expires_at,
	token_exp, ended_at, ip, user_agent`

func toSession(n *store.Session) []any {
	return []any{&n.ID, &n.UserID, &n.Counter, &n.Parent, &n.RotatedAt, &n.CreatedAt, &n.LastUsedAt, &n.ExpiresAt,
		&n.TokenExp, (*orZero)(&n.EndedAt), &n.IP, &n.UserAgent}
}

// CreateSession keeps the promise of store.Sessions. The lock excludes UpdateUser and DeleteUser, which take
// theirs first; after waiting for one of them Postgres looks at the user's row anew.
func (s *Store) CreateSession(ctx context.Context, n store.Session, generation int64) error {
	_, err := call(ctx, s, func(ctx context.Context, conn *pgx.Conn) (struct{}, error) {
		created, err := exec(ctx, conn, `
			INSERT INTO sessions (id, user_id, counter, parent, rotated_at, created_at, last_used_at,
				expires_at, token_exp, ip, user_agent)
			SELECT $1::text, id, $2::bigint, $3::bigint, $4::timestamptz, $5::timestamptz, $6::timestamptz,
				$7::timestamptz, $8::timestamptz, $9::text, $10::text
			FROM users
			WHERE id = $11 AND generation = $12 AND NOT disabled
			FOR SHARE`,
			n.ID, n.Counter, n.Parent, store.Instant(n.RotatedAt), store.Instant(n.CreatedAt),
			store.Instant(n.LastUsedAt), store.Instant(n.ExpiresAt), store.Instant(n.TokenExp), n.IP, n.UserAgent,
			n.UserID, generation)
		switch {
		case err != nil:
			return struct{}{}, fmt.Errorf("insert session: %w", err)
		case created == 0:
			return struct{}{}, store.ErrUserChanged
		}
		return struct{}{}, nil
	})
	return err
}

// Session keeps the promise of store.Sessions.
func (s *Store) Session(ctx context.Context, id string) (store.Session, error) {
	return call(ctx, s, func(ctx context.Context, conn *pgx.Conn) (store.Session, error) {
		n, err := one(ctx, conn, toSession, `
			SELECT `+sessionColumns+`
			FROM sessions
			WHERE id = $1`,
			id)
		if err != nil {
			return store.Session{}, fmt.Errorf("read session: %w", err)
		}
		return n, nil
	})
}

// EndSession keeps the promise of store.Sessions. A session that has ended is written again as it was: a
// condition on ended_at would take another trip to tell it from one that does not exist.
func (s *Store) EndSession(ctx context.Context, id string) (store.Session, error) {
	return call(ctx, s, func(ctx context.Context, conn *pgx.Conn) (store.Session, error) {
		n, err := one(ctx, conn, toSession, `
			UPDATE sessions
			SET ended_at = coalesce(ended_at, $1),
				ended_order = coalesce(ended_order, pg_current_xact_id()::text::bigint)
			WHERE id = $2
			RETURNING `+sessionColumns,
			store.Instant(s.now()),
			id)
		if err != nil {
			return store.Session{}, fmt.Errorf("end session: %w", err)
		}
		return n, nil
	})
}

// EndedSessions keeps the promise of store.Sessions. The order of ends is that of the ids of the transactions
// that wrote them, and the mark is the lowest id of those that were still under way: whatever has a lower one
// is in this answer or an earlier one, and whatever commits later has this id or a higher one. A long
// transaction of anybody on the server holds the mark back, and with it makes later answers repeat earlier
// ones, but nothing is missed.
func (s *Store) EndedSessions(ctx context.Context, since store.Mark, alive time.Time) (
	[]store.Ended, store.Mark, error) {
	mark := since
	ended, err := call(ctx, s, func(ctx context.Context, conn *pgx.Conn) ([]store.Ended, error) {
		ended, next, err := endedSince(ctx, conn, since, alive)
		if err == nil && next < since {
			// Ids never fall on one server. This is another, which took over before it knew them all.
			ended, next, err = endedSince(ctx, conn, 0, alive)
		}
		if err != nil {
			return nil, fmt.Errorf("list ended sessions: %w", err)
		}
		mark = next
		return ended, nil
	})
	return ended, mark, err
}

// endedSince gives mark and sessions in one statement, which sees one state of the database.
func endedSince(ctx context.Context, conn *pgx.Conn, since store.Mark, alive time.Time) (
	ended []store.Ended, mark store.Mark, err error) {
	to := func(e *store.Ended) []any { return []any{&mark, &e.ID, &e.TokenExp} }
	ended, err = list(ctx, conn, []store.Ended{}, to, `
		WITH state AS MATERIALIZED (
			SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS mark
		)
		SELECT state.mark, coalesce(sessions.id, ''), coalesce(sessions.token_exp, 'epoch')
		FROM state
		LEFT JOIN sessions ON ended_order >= $1 AND token_exp > $2`,
		int64(since), alive)
	if len(ended) == 1 && ended[0].ID == "" {
		ended = ended[:0] // there is a row also when no session matches, for the mark
	}
	return ended, mark, err
}
