package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

// sessionColumns are in the order of toSession.
const sessionColumns = `id, user_id, counter, parent,
	rotated_at, created_at, last_used_at, expires_at, token_exp, ended_at,
	ip, user_agent, amr, remembered, key_hash, key_name, key_role, key_scopes`

func toSession(n *store.Session) []any {
	return []any{&n.ID, &n.UserID, &n.Counter, &n.Parent,
		&n.RotatedAt, &n.CreatedAt, &n.LastUsedAt, &n.ExpiresAt, &n.TokenExp, (*orZero)(&n.EndedAt),
		&n.IP, &n.UserAgent, &n.AMR, &n.Remembered,
		&n.Key.Hash, &n.Key.Name, &n.Key.Role, &n.Key.Scopes}
}

const selectSessions = `
	SELECT ` + sessionColumns + `
	FROM sessions
	WHERE id`

// Session implements [store.Sessions].
func (s *Store) Session(ctx context.Context, id string) (store.Session, error) {
	n, err := readOne(ctx, s, s.reading.sessions, toSession, selectSessions, id)
	if err != nil {
		return store.Session{}, fmt.Errorf("read session: %w", err)
	}
	return n, nil
}

// UserSessions implements [store.Sessions].
func (s *Store) UserSessions(ctx context.Context, userID int64,
	now time.Time) ([]store.Session, error) {
	return call(ctx, s, store.Single, func(ctx context.Context, conn *pgx.Conn) (
		[]store.Session, error) {
		sessions, err := list(ctx, conn, []store.Session{}, toSession, `
			SELECT `+sessionColumns+`
			FROM sessions
			WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2 AND key_hash = ''
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
	unlock, err := s.take(ctx, &s.taking.sessions, id)
	if err != nil {
		return store.Session{}, store.User{}, fmt.Errorf("lock session: %w", err)
	}
	defer unlock()
	var u store.User
	n, err := call(ctx, s, store.First, func(ctx context.Context, conn *pgx.Conn) (
		n store.Session, err error) {
		var old store.Session
		u = store.User{}
		lock := begin()
		lock.Queue(`
			SELECT `+sessionColumns+`
			FROM sessions
			WHERE id = $1
			FOR NO KEY UPDATE`,
			id).QueryRow(func(row pgx.Row) error { return row.Scan(toSession(&old)...) })
		// A statement of its own, so that it sees what the last holder of the lock has done.
		lock.Queue(selectUsers+` = (SELECT user_id FROM sessions WHERE id = $1)`,
			id).Query(func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, toUser(&u), func() error { return nil })
			return err
		})
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
				token_exp = $6, amr = $7
			WHERE id = $8`,
			n.Counter, n.Parent, n.RotatedAt, n.LastUsedAt, n.ExpiresAt, n.TokenExp, n.AMR,
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
	if err != nil {
		return store.Session{}, store.User{}, err
	}
	return n, u, nil
}

// EndSession implements [store.Sessions]. A session that has ended is written again as it was. A
// condition on ended_at would take another trip to tell it from an unknown one.
//
// The statement has a transaction of its own, at our isolation level. Where the database's default
// is serializable, others' reads would make it fail again and again.
func (s *Store) EndSession(ctx context.Context, id string) (store.Session, error) {
	n, err := s.writing.ends.Do(ctx, id)
	if isLeftOut(err) {
		return s.endAlone(ctx, id, err)
	}
	return n, err
}

func (s *Store) endAlone(ctx context.Context, id string, reason error) (store.Session, error) {
	return writeAlone(ctx, s, reason, func(ctx context.Context, conn *pgx.Conn,
		o opening) (store.Session, error) {
		return s.endOne(ctx, conn, o.beginOnce(), id)
	})
}

// endOne adds to a transaction of one trip that has begun in b, and commits it.
func (s *Store) endOne(ctx context.Context, conn *pgx.Conn, b *pgx.Batch,
	id string) (n store.Session, _ error) {
	b.Queue(`
		UPDATE sessions
		SET ended_at = coalesce(ended_at, $1),
			ended_order = coalesce(ended_order, pg_current_xact_id()::text::bigint)
		WHERE id = $2
		RETURNING `+sessionColumns,
		store.Instant(s.now()),
		id).QueryRow(func(row pgx.Row) error { return row.Scan(toSession(&n)...) })
	if err := commit(ctx, conn, b); err != nil {
		return store.Session{}, fmt.Errorf("end session: %w", err)
	}
	return n, nil
}

// EndSessions implements [store.Sessions].
func (s *Store) EndSessions(ctx context.Context, userID int64) ([]store.Ended, error) {
	return call(ctx, s, store.First, func(ctx context.Context, conn *pgx.Conn) (
		[]store.Ended, error) {
		b := beginOnce()
		b.Queue(`
			UPDATE users
			SET generation = generation + 1
			WHERE id = $1
			RETURNING id`,
			userID).QueryRow(func(row pgx.Row) error { return row.Scan(&userID) })
		// A statement of its own, so that it sees the session of a login that held the lock before.
		ended := queueEnds(b, s.now(), `user_id = $2 AND key_hash = ''`, userID)
		if err := commit(ctx, conn, b); err != nil {
			return nil, fmt.Errorf("end sessions of user %d: %w", userID, err)
		}
		return *ended, nil
	})
}

// DeleteSessions implements [store.Sessions]. It skips rows that another process has locked.
func (s *Store) DeleteSessions(ctx context.Context, before time.Time, limit int) (int, error) {
	return call(ctx, s, store.Single, func(ctx context.Context, conn *pgx.Conn) (int, error) {
		removed, err := change(ctx, conn, `
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

// ForgetOrigins implements [store.Sessions]. It skips rows that another process has locked.
func (s *Store) ForgetOrigins(ctx context.Context, before time.Time, limit int) (int, error) {
	return call(ctx, s, store.Single, func(ctx context.Context, conn *pgx.Conn) (int, error) {
		forgotten, err := change(ctx, conn, `
			UPDATE sessions
			SET ip = '', user_agent = ''
			WHERE id IN (
				SELECT id
				FROM sessions
				WHERE ended_at < $1 AND (ip <> '' OR user_agent <> '')
				ORDER BY ended_at
				LIMIT $2
				FOR UPDATE SKIP LOCKED)`,
			store.Instant(before), max(limit, 0))
		if err != nil {
			return 0, fmt.Errorf("forget where ended sessions were: %w", err)
		}
		return int(forgotten), nil
	})
}

// SessionEnds implements [store.Sessions]. Ends are ordered by the ids of the transactions that
// wrote them. A watermark is a snapshot: it says of each transaction whether it was over. So an
// answer has exactly the ends of those that were not over at the last one and are over now, however
// long others stay open.
//
// It refuses a standby, which learns of ends late.
func (s *Store) SessionEnds(ctx context.Context, since store.Watermark, ids []string) (
	store.Ends, error) {
	return decide(ctx, s, func(ctx context.Context, conn *pgx.Conn) (store.Ends, error) {
		var state snapshot
		ends := store.Ends{Asked: make(map[string]store.SessionState, len(ids))}
		old := snapshotOf(since)
		sent := time.Now()
		ask := new(pgx.Batch)
		if since == "" {
			queueSnapshot(ask, &state)
		} else {
			queueEndsSince(ask, old, &state, &ends.Since)
		}
		if len(ids) > 0 {
			// A statement of its own sees nothing older than the one before it.
			queueStates(ask, ids, ends.Asked)
		}
		if err := send(ctx, conn, ask); err != nil {
			return store.Ends{}, fmt.Errorf("ask which sessions ended: %w", err)
		}
		trip := time.Since(sent)
		switch {
		case state.standby:
			return store.Ends{}, named(conn, &store.EngineError{
				What: "the server is a standby", Detail: "it learns late that sessions ended",
				Cure: toPrimary, Err: store.ErrUnavailable,
			})
		case since != "" && (state.server != old.server || state.behind):
			return store.Ends{}, fmt.Errorf("%w: another server has taken over, or this one was "+
				"started again", store.ErrUnavailable)
		}
		s.readClock(state.time, trip)
		ends.Next = state.watermark()
		return ends, nil
	})
}

// snapshot is what a server knows of its transactions at one moment.
type snapshot struct {
	server  string // when the server was started: another one has another time
	text    string // of the type pg_snapshot
	standby bool
	behind  bool // the server has given out fewer ids than when the watermark was taken
	time    time.Time
}

// snapshotColumns are in the order of snapshot.columns. They are NULL nowhere.
const snapshotColumns = `extract(epoch FROM pg_postmaster_start_time())::text, state.now::text,
	pg_is_in_recovery(), clock_timestamp()`

func (n *snapshot) columns() []any { return []any{&n.server, &n.text, &n.standby, &n.time} }

func (n *snapshot) watermark() store.Watermark { return store.Watermark(n.server + " " + n.text) }

func snapshotOf(w store.Watermark) snapshot {
	server, text, _ := strings.Cut(string(w), " ")
	return snapshot{server: server, text: text}
}

// queueSnapshot queues the question for the present snapshot. It waits for a lock on the table of
// sessions, as the next questions do: an answer that these cannot follow would be no answer.
func queueSnapshot(b *pgx.Batch, now *snapshot) {
	b.Queue(`
		SELECT ` + snapshotColumns + `
		FROM (SELECT pg_current_snapshot() AS now) AS state
		LEFT JOIN (SELECT FROM sessions LIMIT 0) AS locked ON true`).QueryRow(func(row pgx.Row) error {
		return row.Scan(now.columns()...)
	})
}

// queueEndsSince queues the question for the present snapshot and the ends since an older one. It
// is one statement, which sees one state of the database.
//
// Ids not below the present snapshot come from another server, with rows that were restored here.
// They are no ends since the old one, and would be in every answer.
func queueEndsSince(b *pgx.Batch, old snapshot, now *snapshot, ended *[]store.Ended) {
	b.Queue(`
		WITH state AS MATERIALIZED (
			SELECT pg_current_snapshot() AS now
		)
		SELECT `+snapshotColumns+`,
			pg_snapshot_xmax(state.now) < pg_snapshot_xmax($1::text::pg_snapshot),
			coalesce(sessions.id, ''), coalesce(sessions.token_exp, 'epoch')
		FROM state
		LEFT JOIN sessions ON ended_order >= pg_snapshot_xmin($1::text::pg_snapshot)::text::bigint
			AND ended_order < pg_snapshot_xmax(state.now)::text::bigint
			AND NOT pg_visible_in_snapshot(ended_order::text::xid8, $1::text::pg_snapshot)`,
		old.text).Query(func(rows pgx.Rows) error {
		var e store.Ended
		_, err := pgx.ForEachRow(rows, append(now.columns(), &now.behind, &e.ID, &e.TokenExp),
			func() error {
				if e.ID != "" { // if no session matches, one row carries the snapshot
					*ended = append(*ended, e)
				}
				return nil
			})
		return err
	})
}

// queueStates queues the question for the state of those of the sessions that there are.
func queueStates(b *pgx.Batch, ids []string, states map[string]store.SessionState) {
	b.Queue(`
		SELECT id, ended_at IS NOT NULL, token_exp
		FROM sessions
		WHERE id = ANY ($1::text[])`,
		ids).Query(func(rows pgx.Rows) error {
		var id string
		var state store.SessionState
		_, err := pgx.ForEachRow(rows, []any{&id, &state.Ended, &state.TokenExp}, func() error {
			states[id] = state
			return nil
		})
		return err
	})
}

// readClock tells the store's clock what the server's clock showed in the middle of a trip. A slow
// trip tells too little.
func (s *Store) readClock(t time.Time, trip time.Duration) {
	if s.clock != nil && trip <= time.Second {
		s.clock.Read(t.Add(trip / 2))
	}
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
