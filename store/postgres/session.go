package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clientes/store"
)

// sessionColumns are in the order of toSession.
const sessionColumns = `id, user_id, counter, parent,
	rotated_at, created_at, last_used_at, expires_at, token_exp, ended_at,
	ip, user_agent`

func toSession(n *store.Session) []any {
	return []any{&n.ID, &n.UserID, &n.Counter, &n.Parent,
		&n.RotatedAt, &n.CreatedAt, &n.LastUsedAt, &n.ExpiresAt, &n.TokenExp, (*orZero)(&n.EndedAt),
		&n.IP, &n.UserAgent}
}

// CreateSession implements [store.Sessions]. The lock excludes UpdateUser, EndSessions, DeleteUser
// and other logins of the same user. After it has waited for one of them, Postgres reads the user's
// row again.
func (s *Store) CreateSession(ctx context.Context, n store.Session,
	generation int64) ([]store.Ended, error) {
	return call(ctx, s, func(ctx context.Context, conn *pgx.Conn) ([]store.Ended, error) {
		var created int64
		insert := begin()
		insert.Queue(`
			WITH owner AS (
				SELECT id
				FROM users
				WHERE id = $11 AND generation = $12 AND NOT disabled
				FOR NO KEY UPDATE
			)
			INSERT INTO sessions (id, user_id, counter, parent,
				rotated_at, created_at, last_used_at, expires_at, token_exp, ip, user_agent)
			SELECT $1::text, id, $2::bigint, $3::bigint,
				$4::timestamptz, $5::timestamptz, $6::timestamptz,
				$7::timestamptz, $8::timestamptz, $9::text, $10::text
			FROM owner`,
			n.ID, n.Counter, n.Parent, store.Instant(n.RotatedAt), store.Instant(n.CreatedAt),
			store.Instant(n.LastUsedAt), store.Instant(n.ExpiresAt), store.Instant(n.TokenExp),
			n.IP, n.UserAgent,
			n.UserID, generation).Exec(func(tag pgconn.CommandTag) error {
			created = tag.RowsAffected()
			return nil
		})
		// A statement of its own, so that it sees the sessions of those who held the lock before.
		ended := queueEnds(insert, s.now(), `id IN (
			SELECT id
			FROM sessions
			WHERE user_id = $2 AND ended_at IS NULL AND expires_at > $1 AND id <> $3
			ORDER BY last_used_at DESC, created_at DESC, id
			OFFSET `+strconv.Itoa(store.MaxSessions-1)+`)
			AND EXISTS (SELECT FROM sessions WHERE id = $3)`,
			n.UserID, n.ID)
		insert.Queue("COMMIT")
		if err := send(ctx, conn, insert); err != nil {
			return nil, fmt.Errorf("insert session: %w", err)
		}
		if created == 0 {
			return nil, store.ErrUserChanged
		}
		return *ended, nil
	})
}

// Session implements [store.Sessions].
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

// UserSessions implements [store.Sessions].
func (s *Store) UserSessions(ctx context.Context, userID int64,
	now time.Time) ([]store.Session, error) {
	return call(ctx, s, func(ctx context.Context, conn *pgx.Conn) ([]store.Session, error) {
		sessions, err := list(ctx, conn, []store.Session{}, toSession, `
			SELECT `+sessionColumns+`
			FROM sessions
			WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2
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
	update func(store.Session) (store.Session, error)) (store.Session, error) {
	return call(ctx, s, func(ctx context.Context, conn *pgx.Conn) (n store.Session, err error) {
		var old store.Session
		lock := begin()
		lock.Queue(`
			SELECT `+sessionColumns+`
			FROM sessions
			WHERE id = $1
			FOR NO KEY UPDATE`,
			id).QueryRow(func(row pgx.Row) error { return row.Scan(toSession(&old)...) })
		if err := send(ctx, conn, lock); err != nil {
			return store.Session{}, fmt.Errorf("lock session: %w", err)
		}
		if n, err = update(old); err != nil {
			return store.Session{}, err
		}
		if n = old.Apply(n); n == old {
			return old, nil
		}
		write := new(pgx.Batch)
		write.Queue(`
			UPDATE sessions
			SET counter = $1, parent = $2, rotated_at = $3, last_used_at = $4, expires_at = $5,
				token_exp = $6
			WHERE id = $7`,
			n.Counter, n.Parent, n.RotatedAt, n.LastUsedAt, n.ExpiresAt, n.TokenExp,
			id)
		if old.EndedAt.IsZero() && !n.EndedAt.IsZero() {
			queueEnds(write, n.EndedAt, `id = $2`, id)
		}
		write.Queue("COMMIT")
		if err := send(ctx, conn, write); err != nil {
			return store.Session{}, fmt.Errorf("update session: %w", err)
		}
		return n, nil
	})
}

// EndSession implements [store.Sessions]. A session that has ended is written again as it was. A
// condition on ended_at would take another trip to tell it from an unknown one.
//
// The statement has a transaction of its own, at our isolation level. Where the database's default
// is serializable, others' reads would make it fail again and again.
func (s *Store) EndSession(ctx context.Context, id string) (store.Session, error) {
	return call(ctx, s, func(ctx context.Context, conn *pgx.Conn) (n store.Session, _ error) {
		end := begin()
		end.Queue(`
			UPDATE sessions
			SET ended_at = coalesce(ended_at, $1),
				ended_order = coalesce(ended_order, pg_current_xact_id()::text::bigint)
			WHERE id = $2
			RETURNING `+sessionColumns,
			store.Instant(s.now()),
			id).QueryRow(func(row pgx.Row) error { return row.Scan(toSession(&n)...) })
		end.Queue("COMMIT")
		if err := send(ctx, conn, end); err != nil {
			return store.Session{}, fmt.Errorf("end session: %w", err)
		}
		return n, nil
	})
}

// EndSessions implements [store.Sessions].
func (s *Store) EndSessions(ctx context.Context, userID int64) ([]store.Ended, error) {
	return call(ctx, s, func(ctx context.Context, conn *pgx.Conn) ([]store.Ended, error) {
		b := begin()
		b.Queue(`
			UPDATE users
			SET generation = generation + 1
			WHERE id = $1
			RETURNING id`,
			userID).QueryRow(func(row pgx.Row) error { return row.Scan(&userID) })
		// A statement of its own, so that it sees the session of a login that held the lock before.
		ended := queueEnds(b, s.now(), `user_id = $2`, userID)
		b.Queue("COMMIT")
		if err := send(ctx, conn, b); err != nil {
			return nil, fmt.Errorf("end sessions of user %d: %w", userID, err)
		}
		return *ended, nil
	})
}

// DeleteSessions implements [store.Sessions]. It skips rows that another process has locked.
func (s *Store) DeleteSessions(ctx context.Context, before time.Time, limit int) (int, error) {
	return call(ctx, s, func(ctx context.Context, conn *pgx.Conn) (int, error) {
		removed, err := exec(ctx, conn, `
			DELETE FROM sessions
			WHERE id IN (
				SELECT id
				FROM sessions
				WHERE expires_at < $1 AND token_exp < $1
				ORDER BY expires_at
				LIMIT $2
				FOR UPDATE SKIP LOCKED)`,
			store.Instant(before), max(limit, 0))
		if err != nil {
			return 0, fmt.Errorf("delete sessions: %w", err)
		}
		return int(removed), nil
	})
}

// EndedSessions implements [store.Sessions]. Ends are ordered by the ids of the transactions that
// wrote them. The watermark is the lowest id still running: every end below it is in this answer or
// an earlier one, and every later commit has this id or a higher one.
//
// A long transaction of anybody on the server holds the watermark back. Later answers then repeat
// earlier ones, but nothing is missed.
func (s *Store) EndedSessions(ctx context.Context, since store.Watermark, alive time.Time) (
	[]store.Ended, store.Watermark, error) {
	type answer struct {
		ended []store.Ended
		next  store.Watermark
	}
	a, err := decide(ctx, s, func(ctx context.Context, conn *pgx.Conn) (answer, error) {
		ended, next, err := endedSince(ctx, conn, since, alive)
		if err == nil && next < since {
			// Ids never fall on one server. This is another one, which took over before it had them
			// all.
			ended, next, err = endedSince(ctx, conn, 0, alive)
		}
		if err != nil {
			return answer{next: since}, fmt.Errorf("list ended sessions: %w", err)
		}
		return answer{ended, next}, nil
	})
	return a.ended, a.next, err
}

// endedSince returns the watermark and the sessions of one statement, which sees one state of the
// database.
func endedSince(ctx context.Context, conn *pgx.Conn, since store.Watermark, alive time.Time) (
	ended []store.Ended, watermark store.Watermark, err error) {
	to := func(e *store.Ended) []any { return []any{&watermark, &e.ID, &e.TokenExp} }
	ended, err = list(ctx, conn, []store.Ended{}, to, `
		WITH state AS MATERIALIZED (
			SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS watermark
		)
		SELECT state.watermark, coalesce(sessions.id, ''), coalesce(sessions.token_exp, 'epoch')
		FROM state
		LEFT JOIN sessions ON ended_order >= $1 AND token_exp > $2`,
		int64(since), alive)
	if len(ended) == 1 && ended[0].ID == "" {
		ended = ended[:0] // if no session matches, one row carries the watermark
	}
	return ended, watermark, err
}

// queueEnds queues the end of the sessions that match a condition and have not ended; $1 is the
// instant. The result holds them once the batch was sent. The update must not stand in one
// statement with a lock on the user: only the next statement sees the session of a login that held
// the lock before.
func queueEnds(b *pgx.Batch, at time.Time, where string, args ...any) *[]store.Ended {
	ended := &[]store.Ended{}
	b.Queue(`
		UPDATE sessions
		SET ended_at = $1, ended_order = pg_current_xact_id()::text::bigint
		WHERE ended_at IS NULL AND `+where+`
		RETURNING id, token_exp`,
		append([]any{store.Instant(at)}, args...)...).Query(func(rows pgx.Rows) (err error) {
		*ended, err = pgx.AppendRows(*ended, rows,
			func(row pgx.CollectableRow) (e store.Ended, err error) {
				err = row.Scan(&e.ID, &e.TokenExp)
				return e, err
			})
		return err
	})
	return ended
}
