// Package postgres implements [store.Store] on a PostgreSQL server, which any number of processes
// may share.
//
// It speaks pgx's native protocol over a pool of connections. Between two calls a connection keeps
// nothing but prepared statements, and not even these if a pooler in transaction mode stands in
// between: see pooler.go.
//
// The package needs no right but those to create tables and a function in its schema and temporary
// tables for an import (TEMPORARY on the database, which everybody has by default). It is tested on
// version 15. With the extension pg_trgm a search for a text need not read every record.
//
// The package knows nothing of the other engine, nor of its callers.
package postgres

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"clientes/store"
)

// usualPage is how many rows a new page has room for. A larger page grows.
const usualPage = 100

// Store is a [store.Store] on a server. Use [Open] to get one.
type Store struct {
	now       func() time.Time
	clock     *store.Clock  // nil if a test has replaced now
	timeout   time.Duration // of a call, see callTimeout
	usual     pool
	queue     *store.Queue // in front of usual
	reading   reading
	deciding  pool         // see decide
	undecided atomic.Bool  // the latest question of decide had no answer
	broken    atomic.Int64 // when a connection last broke, see lines.now
	transfers semaphore    // see transfer
	lines     *lines       // of both pools
	writing   writing
	taking    taking
	full      atomic.Bool // a write found the disk full, and none has found room since

	log        *slog.Logger
	unprepared atomic.Bool // see stopPreparing
}

var _ store.Store = (*Store)(nil)

// Open connects to the database that databaseURL names, "postgres://…" with pgx's own options.
// [Migrate] must have created its schema, which Open does not look at. If the server does not
// answer, Open returns [store.ErrUnavailable].
func Open(ctx context.Context, databaseURL string, o store.Options) (*Store, error) {
	s := &Store{now: o.Now, timeout: cmp.Or(o.CallTimeout, callTimeout), log: o.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	config, err := configOf(databaseURL, s.timeout)
	if err != nil {
		return nil, err
	}
	if err := s.openPools(ctx, config); err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	s.openLanes()
	g, err := decide(ctx, s, greet)
	if err != nil {
		s.closePools()
		return nil, fmt.Errorf("open the database: %w", err)
	}
	s.startClock(g.now)
	if !g.direct && prepares(config.ConnConfig.DefaultQueryExecMode) {
		probing, cancel := context.WithTimeout(ctx, s.timeout)
		defer cancel()
		if losesStatements(probing, config.ConnConfig) {
			s.stopPreparing()
		}
	}
	return s, nil
}

// Now implements [store.Store]. It is the server's time: processes share a database, but not a
// clock.
func (s *Store) Now() time.Time { return s.now() }

// startClock starts at the time of the server's clock, unless a test has replaced it.
func (s *Store) startClock(now time.Time) {
	if s.now == nil {
		s.clock = store.NewClock(now)
		s.now = s.clock.Now
	}
}

// Close waits for the calls under way and closes the connections. No other method may be called
// after it.
func (s *Store) Close() error {
	s.closePools()
	return nil
}

// configOf reads the URL. It sets what the URL leaves open, if pgx has no limit for it or one that
// is too small.
func configOf(databaseURL string, timeout time.Duration) (*pgxpool.Config, error) {
	config, err := parse(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("the URL of a Postgres database %w", err)
	}
	// The pool's parser does not show if the number is its own default. The parser of a single
	// connection does not know the option, and keeps it among those that it sends to the server.
	if plain, err := pgx.ParseConfig(config.ConnString()); err == nil {
		if _, ok := plain.RuntimeParams["pool_max_conns"]; !ok {
			config.MaxConns = usualConns
		}
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		// To connect takes four or five trips. And a busy machine can take seconds to start the
		// server's process for the connection.
		config.ConnConfig.ConnectTimeout = 2 * timeout
	}
	// A database or a role may have others by default, and values that come as text would be read
	// wrong.
	config.ConnConfig.RuntimeParams["client_encoding"] = "UTF8"
	config.ConnConfig.RuntimeParams["datestyle"] = "ISO, MDY"
	if _, named := config.ConnConfig.RuntimeParams["application_name"]; !named {
		config.ConnConfig.RuntimeParams["application_name"] = applicationName
	}
	config.ConnConfig.DialFunc = redial(config.ConnConfig.DialFunc)
	return config, nil
}

// applicationName is by what the server's pg_stat_activity names connections of this program.
const applicationName = "clientes"

// checkSchema fails with codeNewerSchema if a newer program has changed the database so that this
// one must not write to it. Otherwise no such migration begins before the end of the transaction.
var checkSchema = fmt.Sprintf("clientes_check_schema(%d)", store.SchemaVersion)

// codeNewerSchema is the error code of checkSchema. Its detail is the migration to know.
const codeNewerSchema = "ZS001"

// opening is how a transaction that writes begins: with the check of the schema, and with settings
// that end with the transaction.
type opening struct{ check, checkOnce string }

func newOpening(settings string) opening {
	return opening{
		"SELECT " + settings + checkSchema,
		"SELECT " + settings + readCommitted + checkSchema,
	}
}

var plain = newOpening("")

// begin returns a batch that begins a transaction which writes, for the caller to add its first
// statements. Everything that writes begins with it, or with beginOnce.
func (o opening) begin() *pgx.Batch {
	b := beginReading()
	b.Queue(o.check)
	return b
}

func begin() *pgx.Batch { return plain.begin() }

// beginReading is begin for a transaction that does not write. It names READ COMMITTED, whatever
// default the database has: a statement that waited for a lock must see what its holder wrote.
func beginReading() *pgx.Batch {
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

// beginLong is beginReading for statements that can take long, up to the limit.
//
// Postgres plans each of them for its arguments. The best plan for a rare text is a hundred times
// slower than needed for a common one, and the other way around.
//
// The server ends a statement a second before the call gives up: a call that gave up first would
// close the connection, as if the network path were dead. Where it can, the server also ends a
// statement whose client has hung up.
func beginLong(limit time.Duration) *pgx.Batch {
	b := beginReading()
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

// list appends the rows of a query to rows.
func list[T any](ctx context.Context, conn *pgx.Conn, rows []T, columns func(*T) []any,
	sql string, args ...any) ([]T, error) {
	answer, _ := conn.Query(ctx, sql, args...) // its error is also answer.Err
	rows, err := appendRows(rows, answer, columns)
	return rows, engineError(ctx, conn, err)
}

// queueList is list for a query of a batch. The result is there once the batch was sent.
func queueList[T any](b *pgx.Batch, result *[]T, rows []T, columns func(*T) []any,
	sql string, args ...any) {
	b.Queue(sql, args...).Query(func(answer pgx.Rows) (err error) {
		*result, err = appendRows(rows, answer, columns)
		return err
	})
}

// appendRows appends the rows of an answer to rows. All pass through one variable, which takes less
// than half the memory of pgx.CollectRows.
func appendRows[T any](rows []T, answer pgx.Rows, columns func(*T) []any) ([]T, error) {
	defer answer.Close()
	var row T
	to := columns(&row)
	for answer.Next() {
		if err := answer.Scan(to...); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	if err := answer.Err(); err != nil {
		return nil, err
	}
	return rows, nil
}

func toBool(is *bool) []any { return []any{is} }

// exec runs a statement that returns no rows. It returns the number of rows that it changed.
func exec(ctx context.Context, conn *pgx.Conn, sql string, args ...any) (int64, error) {
	tag, err := conn.Exec(ctx, sql, args...)
	return tag.RowsAffected(), engineError(ctx, conn, err)
}

// change runs one statement that writes, in a transaction of its own and in one trip. It returns
// the number of rows that it changed.
func change(ctx context.Context, conn *pgx.Conn, sql string, args ...any) (rows int64, err error) {
	b := beginOnce()
	b.Queue(sql, args...).Exec(func(tag pgconn.CommandTag) error {
		rows = tag.RowsAffected()
		return nil
	})
	return rows, commit(ctx, conn, b)
}

// orZero reads a column that may be NULL. NULL becomes the zero time.
type orZero time.Time

// ScanTimestamptz implements [pgtype.TimestamptzScanner].
func (t *orZero) ScanTimestamptz(v pgtype.Timestamptz) error {
	*t = orZero(v.Time)
	return nil
}
