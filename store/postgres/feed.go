package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

// The order of changes is that of a sequence. A number is taken after the locks of the change were,
// so a change has a higher number than each one that it rests on. But transactions end in another
// order, and a reader must not pass a number whose transaction is under way. So each of them holds
// a lock that names a number below its own: see the migration 00021_history_seq. The changes up to
// the lowest of these are complete. Transactions of others do not count.

// Changes implements [store.Feed].
func (s *Store) Changes(ctx context.Context, after store.FeedPosition,
	limit int) (store.FeedPage, error) {
	return callFor(ctx, s, store.Many, scanTimeout,
		func(ctx context.Context, conn *pgx.Conn) (store.FeedPage, error) {
			last, err := lastComplete(ctx, conn)
			if err != nil {
				return store.FeedPage{}, err
			}
			// A transaction that has just read the last number may register after others have
			// taken higher ones. What was complete before stays so.
			last = max(last, after.Seq)
			page, err := feedSource(ctx, conn, last).Read(ctx, after, limit)
			if err != nil {
				return store.FeedPage{}, fmt.Errorf("read the changes: %w", err)
			}
			page.HeldSince, err = heldSince(ctx, conn, last)
			return page, err
		})
}

// FeedEnd implements [store.Feed].
func (s *Store) FeedEnd(ctx context.Context) (store.FeedPosition, error) {
	return call(ctx, s, store.Many,
		func(ctx context.Context, conn *pgx.Conn) (store.FeedPosition, error) {
			last, err := lastComplete(ctx, conn)
			if err != nil {
				return store.FeedPosition{}, err
			}
			// Of a change that is kept: a crash takes back numbers that nothing was kept with.
			ends, err := list(ctx, conn, nil, toFeedPosition, `
				SELECT seq, at
				FROM cliente_history
				WHERE seq > 0 AND seq <= $1
				ORDER BY seq DESC
				LIMIT 1`,
				last)
			switch {
			case err != nil:
				return store.FeedPosition{}, fmt.Errorf("read the end of the feed: %w", err)
			case len(ends) > 0:
				return ends[0], nil
			}
			began, err := orderBegan(ctx, conn)
			return store.FeedPosition{Part: store.FeedOrder, At: began}, err
		})
}

func orderBegan(ctx context.Context, conn *pgx.Conn) (time.Time, error) {
	began, err := one(ctx, conn, func(t *time.Time) []any { return []any{t} }, `
		SELECT order_began
		FROM identity`)
	if err != nil {
		return time.Time{}, fmt.Errorf("read when the order of changes began: %w", err)
	}
	return began, nil
}

func toFeedPosition(p *store.FeedPosition) []any {
	p.Part = store.FeedOrder
	return []any{&p.Seq, &p.At}
}

// lastComplete returns a number up to which all transactions that took one are over. It must have
// come to an end before the changes are looked for: a transaction becomes visible before its lock
// is released.
//
// The order of the two questions matters. Whoever registers after the first takes a higher number
// than the first returns. Who registered before holds its lock at the second, or is over.
func lastComplete(ctx context.Context, conn *pgx.Conn) (last int64, err error) {
	var standby bool
	var locks []int64
	b := new(pgx.Batch)
	b.Queue(`
		SELECT CASE WHEN is_called THEN last_value ELSE 0 END, pg_is_in_recovery()
		FROM cliente_history_seq`).
		QueryRow(func(row pgx.Row) error { return row.Scan(&last, &standby) })
	b.Queue(`
		SELECT objid::bigint
		FROM pg_locks
		JOIN pg_database ON pg_database.oid = database AND datname = current_database()
		WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND classid = $1`,
		int64(lockSpace)).Query(func(rows pgx.Rows) (err error) {
		locks, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		return err
	})
	if err := send(ctx, conn, b); err != nil {
		return 0, fmt.Errorf("ask which changes are complete: %w", err)
	}
	if standby { // it does not know the locks
		return 0, named(conn, &store.EngineError{
			What: "the server is a standby", Detail: "it does not know which changes are complete",
			Cure: toPrimary, Err: store.ErrUnavailable,
		})
	}
	complete := last
	for _, lock := range locks {
		complete = min(complete, numberOf(lock, last))
	}
	return complete, nil
}

// numberOf returns the number that a lock names by its lower half: the one nearest to the last
// number that was read. It may be above that, if its transaction registered after the read.
func numberOf(lock, last int64) int64 {
	return last - int64(int32(uint32(last)-uint32(lock)))
}

// feedSource reads changes up to the number last.
func feedSource(ctx context.Context, conn *pgx.Conn, last int64) store.FeedSource {
	return store.FeedSource{
		Began: func() (time.Time, error) { return orderBegan(ctx, conn) },
		Older: func(after int64, limit int) ([]store.Change, error) {
			return list(ctx, conn, nil, toChange, `
				SELECT `+changeColumns+`
				FROM (
					SELECT DISTINCT cliente_id AS id
					FROM cliente_history
					WHERE seq <= 0 AND cliente_id > $1
						AND cliente_id <= (SELECT last_unordered FROM identity)
					ORDER BY cliente_id
					LIMIT $2) AS next
				CROSS JOIN LATERAL (
					SELECT *
					FROM cliente_history
					WHERE cliente_id = next.id AND seq <= 0
					ORDER BY version DESC
					LIMIT 1) AS latest
				ORDER BY cliente_id`,
				after, limit)
		},
		Unrecorded: func(after int64, limit int) ([]store.Change, int64, error) {
			return unrecorded(ctx, conn, after, limit)
		},
		Ordered: func(from int64, limit int) ([]store.FeedChange, error) {
			return list(ctx, conn, nil, toFeedChange, `
				SELECT seq, at, `+changeColumns+`
				FROM cliente_history
				WHERE seq > 0 AND seq >= $1 AND seq <= $2
				ORDER BY seq
				LIMIT $3`,
				from, last, limit)
		},
	}
}

func toFeedChange(c *store.FeedChange) []any {
	return append(toFeedPosition(&c.Position), toChange(&c.Change)...)
}

// unrecorded returns those of the next records that have no history. A record that was written by
// hand has none.
func unrecorded(ctx context.Context, conn *pgx.Conn, after int64, limit int) (
	found []store.Change, last int64, err error) {
	type row struct {
		store.Cliente
		recorded bool
	}
	rows, err := list(ctx, conn, nil, func(r *row) []any {
		return append([]any{&r.recorded}, toCliente(&r.Cliente)...)
	}, `
		WITH next AS (
			SELECT id, EXISTS (SELECT FROM cliente_history WHERE cliente_id = id) AS recorded
			FROM (
				SELECT id
				FROM clientes
				WHERE id > $1
				ORDER BY id
				LIMIT $2) AS next
		)
		SELECT recorded, `+clienteColumns+`
		FROM next
		JOIN clientes USING (id)
		WHERE NOT recorded OR id = (SELECT max(id) FROM next)
		ORDER BY id`,
		after, limit)
	for _, r := range rows {
		last = r.ID
		if !r.recorded {
			found = append(found, store.UnrecordedChange(r.Cliente))
		}
	}
	return found, last, err
}

// heldSince returns when the first change above a number was made that is kept already.
func heldSince(ctx context.Context, conn *pgx.Conn, last int64) (time.Time, error) {
	ats, err := list(ctx, conn, nil, func(t *time.Time) []any { return []any{t} }, `
		SELECT at
		FROM cliente_history
		WHERE seq > 0 AND seq > $1
		ORDER BY seq
		LIMIT 1`,
		last)
	if err != nil {
		return time.Time{}, fmt.Errorf("look for changes that wait: %w", err)
	}
	if len(ats) == 0 {
		return time.Time{}, nil
	}
	return ats[0], nil
}
