// Package postgres implements [store.Store] on a PostgreSQL server, which any number of processes
// may share.
//
// It speaks pgx's native protocol over a pool of connections. Between two calls a connection keeps
// nothing but prepared statements. With default_query_exec_mode=exec in the URL it keeps not even
// these, so a pooler in transaction mode may stand in between.
//
// The package needs no right but those to create tables in its schema and temporary tables for an
// import (TEMPORARY on the database, which everybody has by default). It is tested on version 15.
// With the extension pg_trgm a search for a text need not read every record.
//
// The package knows nothing of the other engine, nor of its callers.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"clientes/store"
)

// callTimeout bounds a call, from the wait for a connection to the last answer of the server. After
// it the call ends in [store.ErrUnavailable]. A statement here takes milliseconds. One that takes
// this long waits in a queue that no client will sit out, and would only make it longer.
//
// It also bounds the time to connect where the URL does not (connect_timeout). A busy machine can
// take seconds to start the server's process for a connection, and the caller has the time to wait.
// Connecting goes on when its caller has given up and holds a place in the pool, so it must end
// soon after.
const callTimeout = 5 * time.Second

// scanTimeout bounds a call that may have to look at every record, bulkTimeout one that reads or
// writes them all. Neither waits for a connection longer than other calls do.
const (
	scanTimeout = 30 * time.Second
	bulkTimeout = time.Hour
)

// dialPause is the pause before a dial is tried again.
const dialPause = 10 * time.Millisecond

// usualConns is the size of the pool where the URL names none. pgx's own default of 4 cost a third
// of the creates on two processors, because a connection that waits for a commit does no work. And
// half a dozen processes may share a server that takes 100 connections, as is its default.
const usualConns = 16

// usualPage is how many rows a new page has room for. A larger page grows.
const usualPage = 100

// maxTries limits how often a call is made whose transaction the server ends so that another may go
// on. One of those that collide always gets through, so a few tries are enough for all.
const maxTries = 5

// Store is a [store.Store] on a server. Use [Open] to get one.
type Store struct {
	now     func() time.Time
	clock   *store.Clock  // nil if a test has replaced now
	timeout time.Duration // of a call, see callTimeout
	pool    *pgxpool.Pool
	answers atomic.Uint64 // calls that the server answered: see dropIdle
	full    atomic.Bool   // a write found the disk full, and none has found room since
}

var _ store.Store = (*Store)(nil)

// Open connects to the database that databaseURL names, "postgres://…" with pgx's own options.
// [Migrate] must have created its schema, which Open does not look at. If the server does not
// answer, Open returns [store.ErrUnavailable].
func Open(ctx context.Context, databaseURL string, o store.Options) (*Store, error) {
	config, err := configOf(databaseURL)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	s := &Store{now: o.Now, timeout: cmp.Or(o.CallTimeout, callTimeout), pool: pool}
	if err := s.startClock(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open the database: %w", err)
	}
	return s, nil
}

// Now implements [store.Store]. It is the server's time: processes share a database, but not a
// clock.
func (s *Store) Now() time.Time { return s.now() }

// startClock reads the server's clock for the first time, unless a test has replaced it.
func (s *Store) startClock(ctx context.Context) error {
	now, err := call(ctx, s, serverTime)
	if err == nil && s.now == nil {
		s.clock = store.NewClock(now)
		s.now = s.clock.Now
	}
	return err
}

// serverTime returns what the server's clock shows.
func serverTime(ctx context.Context, conn *pgx.Conn) (time.Time, error) {
	return one(ctx, conn, func(t *time.Time) []any { return []any{t} }, `
		SELECT clock_timestamp()`)
}

// Close waits for the calls under way and closes the connections. No other method may be called
// after it.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}

// configOf reads the URL. It sets what the URL leaves open, if pgx has no limit for it or one that
// is too small.
func configOf(databaseURL string) (*pgxpool.Config, error) {
	config, err := parse(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("the URL of a Postgres database %w", err)
	}
	// The pool's parser does not show if the number is its own default. The parser of a single
	// connection does not know the option, and keeps it among those that it sends to the server.
	if plain, err := pgx.ParseConfig(databaseURL); err == nil {
		if _, ok := plain.RuntimeParams["pool_max_conns"]; !ok {
			config.MaxConns = usualConns
		}
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = callTimeout
	}
	config.ConnConfig.DialFunc = redial(config.ConnConfig.DialFunc)
	config.ShouldPing = shouldPing
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		conn.TypeMap().RegisterType(&pgtype.Type{
			Name:  "timestamptz",
			OID:   pgtype.TimestamptzOID,
			Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
		})
		return nil
	}
	return config, nil
}

// redial returns a dial that tries again while the server's queue of new connections is full, until
// ctx ends. A Unix socket reports a full queue at once, where TCP would wait.
func redial(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		for {
			conn, err := dial(ctx, network, address)
			if !errors.Is(err, syscall.EAGAIN) {
				return conn, err
			}
			select {
			case <-time.After(dialPause):
			case <-ctx.Done():
				return nil, err
			}
		}
	}
}

// pinged is the key of a *bool in the context of an acquire. It is true once a connection was
// pinged, so that the acquire may have waited for the server and not only for the pool.
type pinged struct{}

// shouldPing reports whether the connection was idle for so long that its line may be dead.
func shouldPing(ctx context.Context, params pgxpool.ShouldPingParams) bool {
	ping := params.IdleDuration > time.Second
	if is, ok := ctx.Value(pinged{}).(*bool); ok && ping {
		*is = true
	}
	return ping
}

// call lends a connection to do for at most callTimeout. Whatever transaction do leaves open is
// rolled back. If the server ended the transaction so that another may go on, do is called again.
func call[T any](ctx context.Context, s *Store,
	do func(context.Context, *pgx.Conn) (T, error)) (T, error) {
	return callFor(ctx, s, callTimeout, do)
}

// callFor is call with another timeout, of which at most callTimeout goes into the wait for a
// connection.
func callFor[T any](ctx context.Context, s *Store, limit time.Duration,
	do func(context.Context, *pgx.Conn) (T, error)) (v T, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, store.ErrUnavailable)
	defer cancel()
	conn, err := s.acquire(ctx)
	if err != nil {
		return v, err
	}
	defer conn.Release()
	before := s.answers.Load()
	defer func() {
		switch closed := conn.Conn().IsClosed(); {
		case closed: // pgx closes a connection on which it waited in vain
			s.dropIdle(ctx, before)
		case ctx.Err() == nil:
			s.answers.Add(1)
		}
	}()
	for try := 1; ; try++ {
		v, err = runOnce(ctx, conn.Conn(), do)
		if err == nil {
			return v, nil
		}
		if try == maxTries || !isCollision(err) {
			var none T
			return none, s.outcome(err)
		}
	}
}

// do is callFor for a function that returns nothing but an error.
func do(ctx context.Context, s *Store, limit time.Duration,
	f func(context.Context, *pgx.Conn) error) error {
	_, err := callFor(ctx, s, limit, func(ctx context.Context, conn *pgx.Conn) (struct{}, error) {
		return struct{}{}, f(ctx, conn)
	})
	return err
}

// acquire waits for a connection for at most callTimeout.
func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, store.ErrUnavailable)
	defer cancel()
	before, waitedForServer := s.answers.Load(), false
	conn, err := s.pool.Acquire(context.WithValue(ctx, pinged{}, &waitedForServer))
	if err != nil {
		if waitedForServer {
			s.dropIdle(ctx, before)
		}
		return nil, connectError(ctx, err)
	}
	return conn, nil
}

// dropIdle closes idle connections after a timeout that was not pool exhaustion: the network path
// is probably dead, for example because a firewall forgot it. Each of them would cost another
// caller as long to find out.
//
// It keeps them if any other call got an answer since the counter of answers was before. Then the
// server is slow or a lock is held, and new connections would only add to the load. It also keeps
// them if the caller hung up.
func (s *Store) dropIdle(ctx context.Context, before uint64) {
	timedOut := errors.Is(ctx.Err(), context.DeadlineExceeded)
	if timedOut && s.answers.Load() == before && s.pool.Stat().IdleConns() > 0 {
		s.pool.Reset()
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

// begin returns a batch that begins a transaction, for the caller to add its first statements. It
// names READ COMMITTED, whatever default the database has: a statement that waited for a lock must
// see what its holder wrote.
func begin() *pgx.Batch {
	b := new(pgx.Batch)
	b.Queue("BEGIN ISOLATION LEVEL READ COMMITTED")
	b.Queue(limitIdle(callTimeout))
	return b
}

// limitIdle returns the statement that makes the server end this transaction, and its connection,
// when no statement has come for d. Otherwise the locks of a client that vanished would stay for
// hours.
func limitIdle(d time.Duration) string {
	return fmt.Sprintf("SET LOCAL idle_in_transaction_session_timeout = %d", d.Milliseconds())
}

// beginLong is begin for statements that can take long, up to the limit.
//
// Postgres plans each of them for its arguments. The best plan for a rare text is a hundred times
// slower than needed for a common one, and the other way around.
//
// The server ends a statement a second before the call gives up: a call that gave up first would
// close the connection, as if the network path were dead. Where it can, the server also ends a
// statement whose client has hung up.
func beginLong(limit time.Duration) *pgx.Batch {
	b := begin()
	b.Queue("SET LOCAL plan_cache_mode = force_custom_plan")
	b.Queue(fmt.Sprintf("SET LOCAL statement_timeout = %d", (limit - time.Second).Milliseconds()))
	// On systems where Postgres cannot notice that a client is gone, the setting is an error.
	b.Queue(`
		DO $$
		BEGIN
			SET LOCAL client_connection_check_interval = 1000;
		EXCEPTION
			WHEN OTHERS THEN
				NULL;
		END
		$$`)
	return b
}

// send sends the statements in one trip and returns the first error.
func send(ctx context.Context, conn *pgx.Conn, b *pgx.Batch) error {
	return engineError(ctx, conn, conn.SendBatch(ctx, b).Close())
}

// one returns the only row of a query, or [store.ErrNotFound]. The function columns returns where
// in a T the columns of the row belong.
func one[T any](ctx context.Context, conn *pgx.Conn, columns func(*T) []any,
	sql string, args ...any) (v T, err error) {
	err = conn.QueryRow(ctx, sql, args...).Scan(columns(&v)...)
	return v, engineError(ctx, conn, err)
}

// list appends the rows of a query to rows. All pass through one variable, which takes less than
// half the memory of pgx.CollectRows.
func list[T any](ctx context.Context, conn *pgx.Conn, rows []T, columns func(*T) []any,
	sql string, args ...any) ([]T, error) {
	answer, _ := conn.Query(ctx, sql, args...) // its error is also answer.Err
	defer answer.Close()
	var row T
	to := columns(&row)
	for answer.Next() {
		if err := answer.Scan(to...); err != nil {
			return nil, engineError(ctx, conn, err)
		}
		rows = append(rows, row)
	}
	if err := answer.Err(); err != nil {
		return nil, engineError(ctx, conn, err)
	}
	return rows, nil
}

func toInteger(n *int64) []any { return []any{n} }

func toBool(is *bool) []any { return []any{is} }

// exec runs a statement that returns no rows. It returns the number of rows that it changed.
func exec(ctx context.Context, conn *pgx.Conn, sql string, args ...any) (int64, error) {
	tag, err := conn.Exec(ctx, sql, args...)
	return tag.RowsAffected(), engineError(ctx, conn, err)
}

// orZero reads a column that may be NULL. NULL becomes the zero time.
type orZero time.Time

// ScanTimestamptz implements [pgtype.TimestamptzScanner].
func (t *orZero) ScanTimestamptz(v pgtype.Timestamptz) error {
	*t = orZero(v.Time)
	return nil
}
