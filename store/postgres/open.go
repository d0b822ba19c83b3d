// Package postgres keeps the promises of package store on a Postgres server, which any number of processes
// may share.
//
// It speaks pgx's native protocol over a pool of connections. Nothing is kept on a connection between two
// calls but prepared statements, and with default_query_exec_mode=exec in the URL not even these, so that a
// pooler in transaction mode may stand in between. It needs no right beyond that of making tables in its
// schema and, for an import, temporary ones (TEMPORARY on the database, which everybody has by default). It is tested on
// version 15. With pg_trgm a search for a text need not read every record.
//
// The package knows neither the other engine nor why anyone asks.
package postgres

import (
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
// this long stands in a queue that no client will sit out, and would only make it longer.
//
// It also bounds an attempt to connect where the URL does not (connect_timeout). A busy machine can
// take seconds to start the server's process for a connection, and whoever waits has the time.
// The attempt outlives its caller and holds a place in the pool, so it must end soon after.
const callTimeout = 5 * time.Second

// scanTimeout bounds a call that may have to look at every record, bulkTimeout one that reads or
// writes them all. Neither waits for a connection longer than other calls do.
const (
	scanTimeout = 30 * time.Second
	bulkTimeout = time.Hour
)

// dialPause is the pause before a dial is tried again.
const dialPause = 10 * time.Millisecond

// usualConns is the size of the pool where the URL says none. More than pgx's own 4, which cost a third of
// the creates on two processors, since a connection that waits for a commit is idle; and few enough for
// half a dozen processes on a server with the default of 100.
const usualConns = 16

// usualPage is how many rows a page has room for at first; larger ones grow.
const usualPage = 100

// maxTries is how often a call is tried when the server ends its transaction so that another may go on.
// One of those that collide always gets through, so that a few tries are enough for all.
const maxTries = 5

// Store is a store.Store on a server. Make it with Open.
type Store struct {
	now     func() time.Time
	pool    *pgxpool.Pool
	answers atomic.Uint64 // calls that the server answered, to tell a slow server from a silent line
}

var _ store.Store = (*Store)(nil)

// Open connects to the database that databaseURL names, "postgres://…" with pgx's own options, whose schema
// Migrate has made; it does not look at the schema. A server that does not answer is store.ErrUnavailable.
// Every instant that the store itself writes is read from now.
func Open(ctx context.Context, databaseURL string, now func() time.Time) (*Store, error) {
	config, err := configOf(databaseURL)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	s := &Store{now: now, pool: pool}
	_, err = call(ctx, s, func(context.Context, *pgx.Conn) (struct{}, error) { return struct{}{}, nil })
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("open the database: %w", err)
	}
	return s, nil
}

// Ready says whether the server answers and holds the schema of this program: nil, store.ErrUnavailable, or
// store.ErrSchema.
func (s *Store) Ready(ctx context.Context) error {
	has, err := call(ctx, s, status)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	return store.CheckMigrations(has)
}

// Close waits for the calls under way and closes the connections. No other method may be called after it.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}

// configOf reads the URL. It fills in what the URL leaves open and pgx leaves unbounded or too small.
func configOf(databaseURL string) (*pgxpool.Config, error) {
	config, err := parse(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("the URL of a Postgres database %w", err)
	}
	// The pool's parser does not tell whether the number is its own default; to the other one it is an
	// option like any that it does not know.
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

// redial returns dial with another try whenever the server's queue of new connections is full, until
// ctx ends. On a Unix socket the system says so at once, where on TCP it would wait.
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

// pinged is the key of a *bool in the context of an acquire: whether a connection was asked if it
// still lives, which sends it over the wire.
type pinged struct{}

// shouldPing reports whether the connection was idle for so long that its line may be gone.
func shouldPing(ctx context.Context, params pgxpool.ShouldPingParams) bool {
	ping := params.IdleDuration > time.Second
	if is, ok := ctx.Value(pinged{}).(*bool); ok && ping {
		*is = true
	}
	return ping
}

// call lends a connection to do for at most callTimeout. It takes it back without any open
// transaction. If the server ended the transaction in favour of another, do is called again.
func call[T any](ctx context.Context, s *Store, do func(context.Context, *pgx.Conn) (T, error)) (T, error) {
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
		case closed: // where the time ran out on the wire, pgx closed it
			s.distrust(ctx, before)
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
			return none, err
		}
	}
}

// acquire waits for a connection for at most callTimeout.
func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, store.ErrUnavailable)
	defer cancel()
	before, wire := s.answers.Load(), false
	conn, err := s.pool.Acquire(context.WithValue(ctx, pinged{}, &wire))
	if err != nil {
		if wire {
			s.distrust(ctx, before)
		}
		return nil, connectError(ctx, err)
	}
	return conn, nil
}

// distrust drops the idle connections if the line has gone silent, as when a firewall forgets it:
// each of them would cost a caller as long to find out. It is for a call that waited on the wire of
// a connection, since a count of answers. The line is silent if the time of the call ran out and no
// other call had an answer meanwhile. A slow server, a lock, a full pool and a caller who hung up
// are no reason: new connections would only add to the load.
func (s *Store) distrust(ctx context.Context, before uint64) {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && s.answers.Load() == before && s.pool.Stat().IdleConns() > 0 {
		s.pool.Reset()
	}
}

// runOnce calls do and rolls back what it left open: do may fail, panic, end its goroutine or have
// nothing to write. If the rollback fails, the pool throws the connection away, and with it the
// transaction.
func runOnce[T any](ctx context.Context, conn *pgx.Conn, do func(context.Context, *pgx.Conn) (T, error)) (T, error) {
	defer func() {
		if conn.PgConn().TxStatus() != 'I' {
			conn.Exec(ctx, "ROLLBACK")
		}
	}()
	return do(ctx, conn)
}

// begin gives the start of a transaction, to be sent together with its first statement. READ COMMITTED is
// named because what waits for a lock here must then see what its holder wrote, whatever default the
// database was given.
func begin() *pgx.Batch {
	b := new(pgx.Batch)
	b.Queue("BEGIN ISOLATION LEVEL READ COMMITTED")
	b.Queue(limitIdle(callTimeout))
	return b
}

// limitIdle gives the statement that has the server end this transaction, and its connection, when nothing
// is asked in it for so long: the locks of a client that vanished without a word would else stay for hours.
func limitIdle(d time.Duration) string {
	return fmt.Sprintf("SET LOCAL idle_in_transaction_session_timeout = %d", d.Milliseconds())
}

// beginLong is begin for what can take long, up to the limit. Each statement is planned for its arguments: what is best for
// a rare text is a hundred times too slow for a common one, and the other way around. The server ends it a little before the
// call gives up, which would take the line for dead; and also when nobody waits for it any more: it would else work on for
// those who hung up.
func beginLong(limit time.Duration) *pgx.Batch {
	b := begin()
	b.Queue("SET LOCAL plan_cache_mode = force_custom_plan")
	b.Queue(fmt.Sprintf("SET LOCAL statement_timeout = %d", (limit - time.Second).Milliseconds()))
	// Not every system that Postgres runs on can do this, and then it is an error.
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

// send sends the statements in one go and gives the first error.
func send(ctx context.Context, conn *pgx.Conn, b *pgx.Batch) error {
	return engineError(ctx, conn, conn.SendBatch(ctx, b).Close())
}

// one gives the only row of a query, or store.ErrNotFound. Its columns go where columns of it points.
func one[T any](ctx context.Context, conn *pgx.Conn, columns func(*T) []any, sql string, args ...any) (v T, err error) {
	err = conn.QueryRow(ctx, sql, args...).Scan(columns(&v)...)
	return v, engineError(ctx, conn, err)
}

// list appends the rows of a query to rows. They pass through one variable, which costs less than half the
// memory of pgx.CollectRows.
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

// exec runs a statement that gives no rows and tells how many it changed.
func exec(ctx context.Context, conn *pgx.Conn, sql string, args ...any) (int64, error) {
	tag, err := conn.Exec(ctx, sql, args...)
	return tag.RowsAffected(), engineError(ctx, conn, err)
}

// orZero reads a column that may be NULL, which becomes the zero time.
type orZero time.Time

// ScanTimestamptz does so for pgx.
func (t *orZero) ScanTimestamptz(v pgtype.Timestamptz) error {
	*t = orZero(v.Time)
	return nil
}

// engineError makes a store error of pgx's: store.ErrNotFound, a *store.ConflictError, the error of the
// caller's context if it is what ended, or one that also is store.ErrUnavailable if it says nothing of the
// caller's data. Any other is given back as it is.
func engineError(ctx context.Context, conn *pgx.Conn, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return store.ErrNotFound
	}
	code, constraint := "", ""
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) {
		code, constraint = pg.Code, pg.ConstraintName
	}
	switch {
	case code == "23505" && constraint == "users_name_key":
		return &store.ConflictError{Field: "user"}
	case code == "23505" && (constraint == "users_email_key" || constraint == "clientes_email_key"):
		return &store.ConflictError{Field: "email"}
	case errors.Is(context.Cause(ctx), store.ErrUnavailable):
		return fmt.Errorf("%w: no answer in time: %w", store.ErrUnavailable, err)
	case ctx.Err() != nil:
		return ctx.Err()
	case isUnavailable(code) || conn != nil && conn.IsClosed():
		// pgx closes a connection exactly when it can not go on with it.
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return err
}

// connectError is engineError for a connection that was not to be had: whatever the reason, nothing can be
// asked of the engine.
func connectError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return engineError(ctx, nil, err)
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// isUnavailable says whether a code of the server (PostgreSQL's Appendix A) means that it can not work now.
func isUnavailable(code string) bool {
	switch code {
	case "25006", // read-only: a standby, or a primary no more
		"55P03": // the server's own lock_timeout
		return true
	case "":
		return false
	}
	switch code[:2] {
	case "08", // connection exception
		"40", // serialization failure, deadlock: still after every try
		"53", // insufficient resources: connections, memory, disk
		"57", // operator intervention: shutdown, start, the server's own statement_timeout
		"58": // system error: files
		return true
	}
	return false
}

// isCollision says whether the server ended a transaction so that another may go on: a serialization
// failure or a deadlock.
func isCollision(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}
