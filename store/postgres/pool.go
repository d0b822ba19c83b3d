package postgres

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"clientes/store"
)

// callTimeout is how long the server may take for each answer to a call, and how long the call may
// wait for a connection. After it the call ends in [store.ErrUnavailable]. A statement here takes
// milliseconds. One that takes this long waits in a queue that no client will sit out, and would
// only make it longer.
//
// It counts from the last sign of the server and not from the beginning of the call. Over a slow
// line a call of several trips takes long although the server answers each at once. If such calls
// were cut, their connections would be lost, and the next ones would take longer still.
const callTimeout = 5 * time.Second

// maxTimeouts bounds a call in all: it ends after as many times callTimeout, whatever number of
// trips it takes.
const maxTimeouts = 4

// scanTimeout bounds a call that may have to look at every record, bulkTimeout one that reads or
// writes them all. Neither waits for a connection longer than other calls do.
const (
	scanTimeout = 30 * time.Second
	bulkTimeout = time.Hour
)

// usualConns is the number of connections where the URL names none. pgx's own default of 4 cost a
// third of the creates on two processors, because a connection that waits for a commit does no
// work. And half a dozen processes may share a server that takes 100 connections, as is its
// default.
const usualConns = 16

// decidingConns is how many of the connections answer only the questions that decide about
// everybody. With fewer than minShared in all, one more is opened for them instead.
const (
	decidingConns = 2
	minShared     = 4
)

// seldomUsed is how long a connection for these questions may be idle before it is pinged.
const seldomUsed = 30 * time.Second

// maxTries limits how often a call is made whose transaction the server ends so that another may go
// on. One of those that collide always gets through, so a few tries are enough for all. It also
// limits how many lost statements a call survives: see callOn.
const maxTries = 5

// pool is a set of connections and those who wait for one of them.
type pool struct {
	*pgxpool.Pool
	waiting  atomic.Int64 // calls that wait for a connection
	timeouts atomic.Int64 // calls that waited in vain
}

// openPools makes the pools. They connect when they are first used.
func (s *Store) openPools(ctx context.Context, config *pgxpool.Config) (err error) {
	s.lines = &lines{opened: time.Now(), connectSilence: s.timeout * 4 / 5}
	config.ConnConfig.DialFunc = s.lines.dial(config.ConnConfig.DialFunc)
	config.BeforeConnect = s.beforeConnect
	config.AfterConnect = afterConnect
	config.ShouldPing = s.shouldPing
	config.PingTimeout = s.pingTimeout()
	usual, deciding := config, config.Copy()
	deciding.MinConns, deciding.MinIdleConns, deciding.MaxConns = 0, 0, 1
	// The questions come every few seconds, and over a slow line pings would double their time. But
	// where one had no answer, the next must not wait in vain on another dead connection.
	deciding.ShouldPing = func(ctx context.Context, params pgxpool.ShouldPingParams) bool {
		return (s.undecided.Load() || params.IdleDuration > seldomUsed) && s.shouldPing(ctx, params)
	}
	if config.MaxConns >= minShared {
		deciding.MaxConns = decidingConns
		usual.MaxConns -= decidingConns
	}
	s.queue = store.NewQueue(int(usual.MaxConns), s.timeout, s.lines.heardSince)
	usual.MinConns = min(usual.MinConns, usual.MaxConns)
	usual.MinIdleConns = min(usual.MinIdleConns, usual.MaxConns)
	s.transfers = make(semaphore, max(1, usual.MaxConns-1))
	if s.deciding.Pool, err = pgxpool.NewWithConfig(ctx, deciding); err != nil {
		return err
	}
	if s.usual.Pool, err = pgxpool.NewWithConfig(ctx, usual); err != nil {
		s.deciding.Close()
	}
	return err
}

func (s *Store) closePools() {
	s.usual.Close()
	s.deciding.Close()
}

// afterConnect prepares a new connection.
func afterConnect(_ context.Context, conn *pgx.Conn) error {
	conn.TypeMap().RegisterType(&pgtype.Type{
		Name:  "timestamptz",
		OID:   pgtype.TimestamptzOID,
		Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
	})
	return lineOf(conn).connected()
}

// pingTimeout is how long a connection may take to answer a ping, which waits for no lock. Then the
// network path is probably dead, for example because a firewall forgot it.
func (s *Store) pingTimeout() time.Duration { return s.timeout * 2 / 5 }

// shouldPing reports whether the connection was idle for so long that its line may be dead, or
// since before another one broke. It notes that in the call. If the ping before had no answer, it
// drops the idle connections.
func (s *Store) shouldPing(ctx context.Context, params pgxpool.ShouldPingParams) bool {
	if isOver(ctx) { // pgx would close one connection after the other, each for a ping in vain
		return false
	}
	broken := time.Duration(s.broken.Load())
	if params.IdleDuration <= time.Second && lineOf(params.Conn).heardSince(broken) {
		return false
	}
	if c := callOf(ctx); c != nil {
		if s.pingFailed(c) {
			s.dropIdle(c.ping.sent)
		}
		c.ping = ping{lineOf(params.Conn), s.lines.now()}
	}
	return true
}

// pingFailed reports whether the last ping of a call had no answer. A caller who leaves while it is
// under way says nothing of the line.
func (s *Store) pingFailed(c *callContext) bool {
	return c.ping.failed() && (!isOver(c) || s.lines.now()-c.ping.sent >= s.pingTimeout())
}

// isOver reports whether a caller has left, or its time is up although no timer has told so yet.
func isOver(ctx context.Context) bool {
	end, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(end)
}

// dropIdle closes the idle connections on which nothing was heard since then. It is called when the
// network path is probably dead. Each of them would cost another caller as long to find out.
func (s *Store) dropIdle(since time.Duration) {
	ctx := context.Background() // closing does not wait for an answer
	for _, p := range []*pool{&s.usual, &s.deciding} {
		for _, conn := range p.AcquireAllIdle(ctx) {
			if !lineOf(conn.Conn()).heardSince(since) {
				conn.Conn().Close(ctx)
			}
			conn.Release()
		}
	}
}

// call lends a connection to do for as long as the server answers each trip within callTimeout.
// Whatever transaction do leaves open is rolled back. If the server ended the transaction so that
// another may go on, do is called again.
func call[T any](ctx context.Context, s *Store, rank store.Rank,
	do func(context.Context, *pgx.Conn) (T, error)) (T, error) {
	return callFor(ctx, s, rank, s.timeout, do)
}

// callFor is call with another timeout for each answer. At most callTimeout of it goes into the
// wait for a connection. There is a place in the queue for each connection of the pool, so who has
// one need not wait for others.
func callFor[T any](ctx context.Context, s *Store, rank store.Rank, limit time.Duration,
	do func(context.Context, *pgx.Conn) (T, error)) (v T, err error) {
	waited, err := s.queue.Enter(ctx, rank)
	if err != nil {
		return v, s.notServed(err)
	}
	defer s.queue.Leave()
	return callOn(ctx, s, &s.usual, waited, limit, do)
}

// do is callFor for a write that returns nothing but an error.
func do(ctx context.Context, s *Store, limit time.Duration,
	f func(context.Context, *pgx.Conn) error) error {
	_, err := callFor(ctx, s, store.First, limit, noResult(f))
	return err
}

func noResult(
	f func(context.Context, *pgx.Conn) error,
) func(context.Context, *pgx.Conn) (struct{}, error) {
	return func(ctx context.Context, conn *pgx.Conn) (struct{}, error) {
		return struct{}{}, f(ctx, conn)
	}
}

// decide is call for the questions that decide about everybody, for example which sessions have
// ended. They have connections that no other call takes, so neither a full pool nor a locked table
// stops them.
//
// A caller who has less time than callTimeout leaves, and the call goes on. Otherwise its
// connection would be lost. Over a slow line the next one would take longer still.
func decide[T any](ctx context.Context, s *Store,
	do func(context.Context, *pgx.Conn) (T, error)) (v T, err error) {
	if err := ctx.Err(); err != nil {
		return v, err
	}
	type answer struct {
		v   T
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		v, err := callOn(context.WithoutCancel(ctx), s, &s.deciding, 0, s.timeout, do)
		answers <- answer{v, err}
	}()
	select {
	case a := <-answers:
		s.undecided.Store(a.err != nil)
		return a.v, a.err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) { // a caller who left knows nothing
			s.undecided.Store(true)
		}
		return v, ctx.Err()
	}
}

// notServed counts a call that got no place in the queue, and returns its error.
func (s *Store) notServed(err error) error {
	switch {
	case errors.Is(err, store.ErrUnavailable):
		s.usual.timeouts.Add(1)
		return noneFree(s.timeout)
	case errors.Is(err, context.DeadlineExceeded):
		s.usual.timeouts.Add(1)
	}
	return err
}

// transfer is call for what reads or writes all records. Transfers leave one connection of the pool
// to the others, unless it has only one.
func transfer[T any](ctx context.Context, s *Store,
	do func(context.Context, *pgx.Conn) (T, error)) (v T, err error) {
	release, err := s.wait(ctx, s.transfers.take)
	if err != nil {
		return v, err
	}
	defer release()
	return callFor(ctx, s, store.Many, bulkTimeout, do)
}

// wait calls take with a context that ends after the time that a call may wait for a connection.
// Then it returns [store.ErrUnavailable].
func (s *Store) wait(ctx context.Context, take func(context.Context) (release func(), err error)) (
	release func(), err error) {
	waiting, done := newCall(ctx, s.lines, s.timeout, s.timeout)
	defer done()
	if release, err = take(waiting); err != nil {
		return nil, engineError(waiting, nil, err)
	}
	return release, nil
}

// semaphore limits how many callers do something at once. It holds one value for each of them.
type semaphore chan struct{}

// take takes a place until a call of release, or returns the cause of the end of ctx.
func (s semaphore) take(ctx context.Context) (release func(), err error) {
	select {
	case s <- struct{}{}:
		return func() { <-s }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// taking lets those who want one row wait for each other before they take a connection. Otherwise
// refreshes of one session, or creates with one idempotency key, would take all connections to wait
// for its lock.
type taking struct{ sessions, keys store.KeyedMutex }

// take waits for a row that other calls of this process may hold.
func (s *Store) take(ctx context.Context, rows *store.KeyedMutex, key string) (
	unlock func(), err error) {
	return s.wait(ctx, func(ctx context.Context) (func(), error) { return rows.Lock(ctx, key) })
}

// callOn calls do on a connection of a pool. If a pooler lost a prepared statement, it calls do
// again on a connection that prepares none. The transaction that lost it has changed nothing. What
// the caller has waited in the queue counts as part of the wait for a connection.
func callOn[T any](ctx context.Context, s *Store, p *pool, waited, limit time.Duration,
	do func(context.Context, *pgx.Conn) (T, error)) (v T, err error) {
	for range maxTries {
		v, err = callOnce(ctx, s, p, waited, limit, do)
		if !isLostStatement(err) {
			break
		}
		s.stopPreparing()
	}
	return v, err
}

// callOnce calls do on one connection, and again there if the transaction collided with another.
func callOnce[T any](parent context.Context, s *Store, p *pool, waited, limit time.Duration,
	do func(context.Context, *pgx.Conn) (T, error)) (v T, err error) {
	limit = max(limit, s.timeout)
	ctx, done := newCall(parent, s.lines, s.timeout-waited, max(limit, maxTimeouts*s.timeout))
	defer done()
	conn, err := s.acquire(ctx, p)
	if err != nil {
		return v, err
	}
	defer conn.Release()
	line := lineOf(conn.Conn())
	ctx.heard.Store(int64(s.lines.now()))
	ctx.limit.Store(int64(limit))
	line.call.Store(ctx)
	defer func() {
		line.call.Store(nil)
		if conn.Conn().IsClosed() { // pgx closes a connection on which it waited in vain
			s.suspect(ctx)
		}
	}()
	for try := 1; ; try++ {
		v, err = runOnce(ctx, conn.Conn(), do)
		if err == nil {
			return v, nil
		}
		if isLostStatement(err) { // the pool must not lend it again
			conn.Conn().Close(ctx)
		}
		if try == maxTries || !isCollision(err) {
			var none T
			return none, s.outcome(err)
		}
	}
}

// acquire takes a connection that is free, or waits for a new one for as long as the server answers
// each trip.
func (s *Store) acquire(ctx *callContext, p *pool) (*pgxpool.Conn, error) {
	p.waiting.Add(1)
	defer p.waiting.Add(-1)
	conn, err := p.Acquire(ctx)
	if s.pingFailed(ctx) {
		s.dropIdle(ctx.ping.sent)
	}
	if err != nil {
		if ctx.timedOut() {
			p.timeouts.Add(1)
		}
		return nil, connectError(ctx, err)
	}
	return conn, nil
}

// suspect looks at a call whose connection was lost. If it broke, the server may have crashed, and
// all that are idle broke with it: each has to answer a ping before its next call. If the call
// waited for the server for longer than a ping may take, and nothing was heard on any other
// connection meanwhile, the network path is probably dead. Otherwise the server is slow or a lock
// is held, and new connections would only add to the load.
func (s *Store) suspect(ctx *callContext) {
	if ctx.Err() == nil {
		s.broken.Store(int64(s.lines.now()))
		return
	}
	since := time.Duration(ctx.heard.Load())
	silent := s.lines.heard.Load() <= int64(since)
	if ctx.timedOut() && silent && s.lines.now()-since >= s.pingTimeout() {
		s.dropIdle(since)
	}
}

// runOnce calls do and rolls back what it left open: do may fail, panic, end its goroutine or have
// nothing to write. If the rollback fails, the pool discards the connection, and with it the
// transaction.
func runOnce[T any](ctx context.Context, conn *pgx.Conn,
	do func(context.Context, *pgx.Conn) (T, error)) (T, error) {
	defer func() {
		if conn.PgConn().TxStatus() != 'I' {
			conn.Exec(ctx, "ROLLBACK")
		}
	}()
	return do(ctx, conn)
}
