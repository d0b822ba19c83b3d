package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clientes/store"
)

// Writers share commits: creates, updates and ends of sessions that wait at the same moment are
// written in one transaction. The server plans, checks the schema and waits for its disk once for
// all of them. BenchmarkWritesTogether shows what it buys. A writer who finds a free lane does what
// it would do without lanes.
//
// Each keeps its own outcome, and nobody gets an answer before the commit. What cannot be written
// with others is left out, and its own caller writes it alone: a record that another transaction
// has locked, an email that another record has, an update that panics. If the server refuses the
// transaction as a whole, each is written alone.

const (
	// writeLanes is how many transactions of a kind there usually are at once. While one waits for
	// the disk, those who come meanwhile become the next. Two would have batches of half the size.
	writeLanes = 1

	// updateLanes is the same for updates, which wait for the server twice.
	updateLanes = 2

	// maxBatch limits how many writers share a commit, and with it how long each waits for what the
	// others write.
	maxBatch = 64

	// maxLockWait is how many milliseconds a transaction that writers share may wait for a lock. It
	// skips locked rows, but has to wait for an email that another transaction is about to take,
	// and for a migration. The limit is below the second after which the server looks for
	// deadlocks.
	maxLockWait = "100"

	codeLockTimeout = "55P03"
)

var (
	// errAlone is the outcome of a writer who is to write alone, and of a reader likewise.
	errAlone = errors.New("to be done alone")

	// errLocked is errAlone for one who has to wait for a lock of another transaction.
	errLocked = errors.New("to be written alone when a lock is free")
)

// writing is what writers need to share commits.
type writing struct {
	creates *store.Lanes[newCliente, store.Cliente]
	updates [updateLanes]*store.Lanes[*clienteUpdate, store.Cliente]
	ends    *store.Lanes[string, store.Session]
	commits store.BatchCounts

	// locked limits how many writers wait for a lock, each on a connection. All may wait for the
	// same one, and half of the connections are left to others.
	locked semaphore
}

// openLanes makes the lanes of readers and writers. It needs the pools.
func (s *Store) openLanes() {
	conns := int(s.usual.Config().MaxConns)
	s.reading = newReading(s, conns)
	w := &s.writing
	half := max(1, conns/2)
	widening := store.LanesConfig{
		Lanes: writeLanes, Wide: half, Batch: maxBatch, Wait: s.timeout, Late: noneFree(s.timeout),
	}
	fixed := widening
	fixed.Lanes, fixed.Wide = 1, 1 // see updatesOf
	w.creates = store.NewLanes(widening, s.createTogether)
	for i := range w.updates {
		w.updates[i] = store.NewLanes(fixed, s.updateTogether)
	}
	w.ends = store.NewLanes(widening, s.endTogether)
	w.locked = make(semaphore, half)
}

// addTo adds the numbers of those who wait for a lane to those of a pool.
func (w *writing) addTo(p *store.PoolStats) {
	w.creates.AddTo(p)
	for _, l := range w.updates {
		l.AddTo(p)
	}
	w.ends.AddTo(p)
}

// updatesOf returns the lane of a record. All updates of one record use the same lane. In two
// lanes, one would find the record locked by the other, and would wait behind those whom another
// program keeps waiting. For the same reason these lanes must not widen.
func (w *writing) updatesOf(id int64) *store.Lanes[*clienteUpdate, store.Cliente] {
	return w.updates[uint64(id)%updateLanes]
}

// writeAlone is call for a writer whom others have left out, with errAlone or errLocked as the
// reason. The function do begins its transaction with the opening that it gets. A writer who need
// not wait for a lock is done with the first try, and holds its connection hardly longer than a
// shared transaction does.
func writeAlone[T any](ctx context.Context, s *Store, reason error,
	do func(context.Context, *pgx.Conn, opening) (T, error)) (v T, err error) {
	if !errors.Is(reason, errLocked) {
		v, err = call(ctx, s, store.First, func(ctx context.Context, conn *pgx.Conn) (T, error) {
			return do(ctx, conn, shared)
		})
		if !isLockTimeout(err) {
			return v, err
		}
	}
	release, err := s.wait(ctx, s.writing.locked.take)
	if err != nil {
		return v, err
	}
	defer release()
	return call(ctx, s, store.First, func(ctx context.Context, conn *pgx.Conn) (T, error) {
		return do(ctx, conn, plain)
	})
}

// shared begins transactions that writers share, sharedCreate those that create. The settings end
// with the transaction. Without its second one the server would make a custom plan for each batch
// of creates, as it expects that to be cheaper for a few rows. But the planning takes longer than
// the execution. The plan reads no table, so it stays good when the tables grow.
var (
	shared       = newOpening(limitLocks)
	sharedCreate = newOpening(limitLocks +
		"set_config('plan_cache_mode', 'force_generic_plan', true), ")
)

const limitLocks = "set_config('lock_timeout', '" + maxLockWait + "', true), "

// share calls write for all calls, and sets their errors if it fails. The function write begins a
// transaction, and sets Out of each call, or Err if only that call fails. If it has anything to
// write, it commits and returns true. It may be called again.
func share[In, Out any](ctx context.Context, s *Store, calls []*store.SharedCall[In, Out],
	write func(context.Context, *pgx.Conn) (bool, error)) {
	wrote, err := call(ctx, s, store.First, func(ctx context.Context, conn *pgx.Conn) (
		bool, error) {
		for _, c := range calls {
			c.Err = nil // if this is another try
		}
		return write(ctx, conn)
	})
	if err == nil {
		if wrote {
			s.writing.commits.Add(len(calls))
		}
		return
	}
	switch {
	case isRefusal(err) && len(calls) > 1:
		err = errAlone // one of them may be the reason
	case isLockTimeout(err):
		err = errLocked
	}
	// Where the connection broke, nobody knows what became of the commit, and nothing may be
	// written again.
	for _, c := range calls {
		c.Err = err
	}
}

// isLeftOut reports whether a lane has left a call for its own caller to make.
func isLeftOut(err error) bool { return errors.Is(err, errAlone) || errors.Is(err, errLocked) }

// isRefusal reports whether the server has refused a statement, and goes on with the connection.
func isRefusal(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.SeverityUnlocalized == "ERROR"
}

// isLockTimeout reports whether a transaction has waited for a lock for longer than it may.
func isLockTimeout(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == codeLockTimeout
}

// newCliente is a record to be created.
type newCliente struct {
	by int64
	store.Cliente
}

// createClientes creates many records. $1 is the instant, and the others are arrays: the users, and
// the columns of the rows. It skips rows whose email another record has, and returns the number and
// the id of each other row.
var createClientes = `
	WITH given AS MATERIALIZED (
		SELECT nextval((SELECT pg_get_serial_sequence('clientes', 'id'))) AS id, new.*
		FROM unnest($2::bigint[], ` + strings.Join(textArrays(3), `, `) + `) WITH ORDINALITY
			AS new (user_id, ` + rowColumns + `, number)
	), made AS (
		INSERT INTO clientes (id, version, created_at, updated_at, ` + rowColumns + `)
		OVERRIDING SYSTEM VALUE
		SELECT id, 1, $1::timestamptz, $1::timestamptz, ` + rowColumns + `
		FROM given
		ON CONFLICT (email_key) WHERE email_key <> '' DO NOTHING
		RETURNING id
	), kept AS (
		INSERT INTO cliente_history (` + historyColumns + `)
		SELECT id, 1, 'created', false, user_id,
			coalesce((SELECT users.name FROM users WHERE users.id = user_id), ''),
			$1::timestamptz, $1::timestamptz, $1::timestamptz, ` + textColumns + `
		FROM given
		JOIN made USING (id)
	)
	SELECT number, id
	FROM given
	JOIN made USING (id)`

// textArrays returns the parameters of rowColumns as arrays, from $first on.
func textArrays(first int) []string {
	names := make([]string, rowParameters)
	for i := range names {
		names[i] = `$` + strconv.Itoa(first+i) + `::text[]`
	}
	return names
}

// createTogether serves a lane.
func (s *Store) createTogether(ctx context.Context,
	calls []*store.SharedCall[newCliente, store.Cliente]) {
	share(ctx, s, calls, func(ctx context.Context, conn *pgx.Conn) (wrote bool, err error) {
		if len(calls) == 1 {
			calls[0].Out, err = s.insertOne(ctx, conn, shared.beginOnce(), calls[0].In)
			return true, err
		}
		return true, s.insertMany(ctx, conn, calls)
	})
}

// insertMany creates the records of the calls with one statement. It sets errAlone for those whose
// email another record has.
func (s *Store) insertMany(ctx context.Context, conn *pgx.Conn,
	calls []*store.SharedCall[newCliente, store.Cliente]) error {
	users := make([]int64, len(calls))
	var columns [rowParameters][]string
	for i := range columns {
		columns[i] = make([]string, len(calls))
	}
	for i, c := range calls {
		c.Out = s.newCliente(c.In.Cliente)
		c.Out.CreatedAt, c.Out.UpdatedAt = calls[0].Out.CreatedAt, calls[0].Out.CreatedAt
		c.Err = errAlone
		users[i] = c.In.by
		for j, value := range rowTexts(c.Out) {
			columns[j][i] = value
		}
	}
	args := []any{calls[0].Out.CreatedAt, users}
	for _, column := range columns {
		args = append(args, column)
	}
	b := sharedCreate.beginOnce()
	b.Queue(createClientes, args...).Query(func(rows pgx.Rows) error {
		var number, id int64
		_, err := pgx.ForEachRow(rows, []any{&number, &id}, func() error {
			calls[number-1].Out.ID, calls[number-1].Err = id, nil
			return nil
		})
		return err
	})
	if err := commit(ctx, conn, b); err != nil {
		return fmt.Errorf("insert %d clientes: %w", len(calls), err)
	}
	return nil
}

// clienteUpdate is a record to be updated. Whoever serves its lane calls the update, unless its
// caller has left: see [clienteUpdate.leave].
type clienteUpdate struct {
	by, id int64
	update func(store.Cliente) (store.Cliente, error)

	mu   sync.Mutex
	left bool
}

// call calls the update. If it panics, it is to be called again by its own caller.
func (u *clienteUpdate) call(old store.Cliente) (c store.Cliente, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.left {
		return c, errAlone
	}
	defer func() {
		if recover() != nil {
			err = errAlone
		}
	}()
	return u.update(old)
}

// leave returns when nobody calls the update any more.
func (u *clienteUpdate) leave() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.left = true
}

// updateTogether serves a lane. Those who change one record see each other's changes, in the order
// in which they came.
func (s *Store) updateTogether(ctx context.Context,
	calls []*store.SharedCall[*clienteUpdate, store.Cliente]) {
	share(ctx, s, calls, func(ctx context.Context, conn *pgx.Conn) (bool, error) {
		records, err := lockFree(ctx, conn, calls)
		if err != nil {
			return false, err
		}
		write := new(pgx.Batch)
		for _, c := range calls {
			old, free := records[c.In.id]
			if !free {
				c.Err = errLocked
				continue
			}
			if old.ID == 0 {
				c.Err = fmt.Errorf("lock cliente %d: %w", c.In.id, store.ErrNotFound)
				continue
			}
			c.Out, c.Err = c.In.call(old)
			switch {
			case c.Err != nil:
			case c.Out.SameText(old):
				c.Out = old
			case len(calls) > 1 && c.Out.Email != old.Email:
				c.Err = errAlone // it may conflict, or wait for another transaction
			default:
				c.Out = s.queueReplacement(write, c.In.by, old, c.Out, store.Updated)
				records[c.In.id] = c.Out
			}
		}
		if write.Len() == 0 {
			return false, nil
		}
		write.Queue("COMMIT")
		if err := send(ctx, conn, write); err != nil {
			return false, fmt.Errorf("update %s: %w", clientesOf(calls), err)
		}
		return true, nil
	})
}

var (
	selectFreeCliente = selectClientes + ` = $1
	FOR UPDATE SKIP LOCKED`

	selectFreeClientes = selectClientes + ` = ANY ($1)
	FOR UPDATE SKIP LOCKED`
)

// lockFree begins a transaction in which nobody else changes the records of the calls, and reads
// them. It leaves out those that another transaction has locked. Those that do not exist are zero.
func lockFree(ctx context.Context, conn *pgx.Conn,
	calls []*store.SharedCall[*clienteUpdate, store.Cliente]) (map[int64]store.Cliente, error) {
	records := make(map[int64]store.Cliente, len(calls))
	read := func(rows pgx.Rows) error {
		var c store.Cliente
		_, err := pgx.ForEachRow(rows, toCliente(&c), func() error {
			records[c.ID] = c
			return nil
		})
		return err
	}
	ids := keysOf(calls, func(u *clienteUpdate) int64 { return u.id })
	b := shared.begin()
	if len(calls) == 1 {
		b.Queue(selectFreeCliente, ids[0]).Query(read)
	} else {
		b.Queue(selectFreeClientes, ids).Query(read)
	}
	if err := send(ctx, conn, b); err != nil {
		return nil, fmt.Errorf("lock %s: %w", clientesOf(calls), err)
	}
	missing := slices.DeleteFunc(ids, func(id int64) bool {
		_, free := records[id]
		return free
	})
	if len(missing) == 0 {
		return records, nil
	}
	absent, err := list(ctx, conn, nil, func(id *int64) []any { return []any{id} }, `
		SELECT id
		FROM unnest($1::bigint[]) AS missing (id)
		WHERE NOT EXISTS (SELECT FROM clientes WHERE clientes.id = missing.id)`,
		missing)
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", clientesOf(calls), err)
	}
	for _, id := range absent {
		records[id] = store.Cliente{}
	}
	return records, nil
}

// clientesOf names the records of the calls for an error.
func clientesOf(calls []*store.SharedCall[*clienteUpdate, store.Cliente]) string {
	if len(calls) == 1 {
		return fmt.Sprintf("cliente %d", calls[0].In.id)
	}
	return fmt.Sprintf("%d clientes", len(calls))
}

// endFree ends the sessions with the ids $2 as endSession does, without those that another
// transaction has locked.
const endFree = `
	WITH free AS MATERIALIZED (
		SELECT id AS free_id
		FROM sessions
		WHERE id = ANY ($2::text[])
		FOR NO KEY UPDATE SKIP LOCKED
	)
	UPDATE sessions
	SET ended_at = coalesce(ended_at, $1),
		ended_order = coalesce(ended_order, pg_current_xact_id()::text::bigint)
	FROM free
	WHERE id = free_id
	RETURNING ` + sessionColumns

// endTogether serves a lane.
func (s *Store) endTogether(ctx context.Context,
	calls []*store.SharedCall[string, store.Session]) {
	share(ctx, s, calls, func(ctx context.Context, conn *pgx.Conn) (wrote bool, err error) {
		if len(calls) == 1 {
			calls[0].Out, err = s.endOne(ctx, conn, shared.beginOnce(), calls[0].In)
			return true, err
		}
		ids := keysOf(calls, func(id string) string { return id })
		ended := make(map[string]store.Session, len(calls))
		b := shared.beginOnce()
		b.Queue(endFree, store.Instant(s.now()), ids).Query(func(rows pgx.Rows) error {
			var n store.Session
			_, err := pgx.ForEachRow(rows, toSession(&n), func() error {
				ended[n.ID] = n
				return nil
			})
			return err
		})
		if err := commit(ctx, conn, b); err != nil {
			return false, fmt.Errorf("end %d sessions: %w", len(calls), err)
		}
		for _, c := range calls {
			n, free := ended[c.In]
			if c.Out = n; !free { // or there is none
				c.Err = errLocked
			}
		}
		return len(ended) > 0, nil
	})
}
