// Package sqlite implements [store.Store] on one file, through SQLite compiled to Go, so that a
// laptop or a small shop needs no database server.
//
// One connection writes, because SQLite has one writer at a time. A few others read beside it (WAL
// mode). Writers that wait at the same moment share a commit: see write.go. A write is on the disk
// before its caller gets an answer. Other processes may use the same file, for example the command
// line beside the server. The file must not be on a network file system.
//
// The package knows nothing of the other engine, nor of its callers.
package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"clientes/store"
)

// callTimeout is how long a call waits in all, for a connection and for a lock that another process
// holds, before it returns [store.ErrUnavailable].
const callTimeout = 5 * time.Second

// scanTimeout is how long a call may take that may have to look at every record. A call that reads
// or writes all records may take until its context ends.
const scanTimeout = 30 * time.Second

// usualPage is how many rows a new page has room for. A larger page grows.
const usualPage = 100

// Store is a [store.Store] on one file. Use [Open] to get one.
type Store struct {
	now        func() time.Time
	timeout    time.Duration // of a call, see callTimeout
	path       string
	files      files
	readers    chan *sqlite.Conn // the free ones
	deciding   chan *sqlite.Conn // one more: see decide
	writer     chan *writer      // empty while somebody uses it
	readQueue  *store.Queue      // in front of readers
	writeQueue *store.Queue      // in front of writer
	atWork     *atomic.Bool      // the writer's
	learned    condition
	creates    creates
	scrubbed   atomic.Int64 // up to which wanted number no page has erased text: see scrub

	stats   struct{ readers, deciding, writer poolCounts }
	commits store.BatchCounts
}

var _ store.Store = (*Store)(nil)

// Open opens the database that url names, "sqlite:PATH". [Migrate] must have created it: if the
// file is absent, Open returns [store.ErrSchema].
func Open(ctx context.Context, url string, o store.Options) (*Store, error) {
	path, err := pathOf(url)
	if err != nil {
		return nil, err
	}
	_, err = os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("open %s: there is no such file: %w", path, store.ErrSchema)
	case err != nil:
		return nil, explain(path, "open "+path, fileError(err))
	}
	timeout := cmp.Or(o.CallTimeout, callTimeout)
	s := &Store{
		now:     o.Now,
		timeout: timeout,
		path:    path,
		files:   files{path: path},
	}
	conns, err := s.files.connect(ctx, timeout)
	if err != nil {
		return nil, explain(path, "open "+path, err)
	}
	s.readers = make(chan *sqlite.Conn, len(conns)-2)
	s.deciding = make(chan *sqlite.Conn, 1)
	s.writer = make(chan *writer, 1)
	s.readQueue = store.NewQueue(cap(s.readers), timeout, nil)
	s.writeQueue = store.NewQueue(writersAtOnce, timeout, nil)
	if s.now == nil {
		clock := store.NewClock(time.Now())
		s.now = func() time.Time { return clock.Read(time.Now()) }
	}
	w := newWriter(conns[0], s)
	s.atWork = &w.atWork
	s.writer <- w
	s.deciding <- conns[1]
	for _, c := range conns[2:] {
		s.readers <- c
	}
	return s, nil
}

// Now implements [store.Store].
func (s *Store) Now() time.Time { return s.now() }

// Close waits for the calls under way and closes the file. No other method may be called after it.
//
// If the file has lost its place, the connections stay open until the process ends: the last one
// would write to a file that somebody else has put there, and remove the WAL beside it.
func (s *Store) Close() error {
	lost := errors.Is(s.files.inPlace(), errLost)
	w, open := <-s.writer // first, because an import that holds it also reads
	if !open {
		return nil
	}
	w.commit() // for callers who have written and wait for their turn to commit
	var conns []*sqlite.Conn
	if w.conn != nil { // or all are closed: see openAgain
		for range cap(s.readers) {
			conns = append(conns, <-s.readers)
		}
		conns = append(conns, <-s.deciding, w.conn)
	}
	var errs []error
	for _, conn := range conns {
		if !lost {
			errs = append(errs, conn.Close())
		}
	}
	close(s.readers)
	close(s.deciding)
	close(s.writer)
	return errors.Join(errs...)
}

// readers returns the number of connections that read. A read costs processor time and hardly ever
// waits, so a few more than there are processors are enough.
func readers() int { return max(4, runtime.GOMAXPROCS(0)+1) }

// connectAll opens the connections of a store. The first one is for the writer, the others read.
func connectAll(ctx context.Context, path string, timeout time.Duration) (
	conns []*sqlite.Conn, err error) {
	defer func() {
		if err != nil {
			for _, c := range conns {
				c.Close()
			}
		}
	}()
	pragmas := writerPragmas()
	for range 2 + readers() {
		conn, err := connect(ctx, path, timeout, pragmas...)
		if err != nil {
			return conns, err
		}
		conns = append(conns, conn)
		pragmas = []string{"query_only = ON"}
	}
	return conns, nil
}

// writerPragmas returns what the writing connection sets. Only that one may switch the file to WAL.
// Without fullfsync macOS answers before the data is on the disk; elsewhere it changes nothing.
func writerPragmas() []string {
	return []string{
		"journal_mode = WAL",
		"synchronous = FULL",
		"fullfsync = ON",
		"checkpoint_fullfsync = ON",
		"foreign_keys = ON",
		"journal_size_limit = 67108864", // return the log of a large import to the disk
	}
}

// connect opens the file, which must exist, and sets the pragmas. The connection waits for the lock
// of another process until the timeout.
func connect(ctx context.Context, path string, timeout time.Duration, pragmas ...string) (
	*sqlite.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		return nil, engineError(err)
	}
	conn.SetBusyTimeout(timeout)
	pragmas = append([]string{"secure_delete = ON"}, pragmas...) // see scrub.go
	for _, p := range pragmas {
		if err := sqlitex.ExecuteTransient(conn, "PRAGMA "+p, nil); err != nil {
			conn.Close()
			return nil, engineError(err)
		}
	}
	return conn, nil
}

// take waits for something free until ctx ends, but at most for the timeout. It counts the call.
func take[C any](ctx context.Context, timeout time.Duration, free <-chan C,
	counts *poolCounts) (C, error) {
	var none C
	if ctx.Err() != nil {
		return none, ended(ctx)
	}
	var c C
	open := true
	select {
	case c, open = <-free:
	default:
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		start := time.Now()
		counts.waiting.Add(1)
		defer counts.waiting.Add(-1)
		select {
		case c, open = <-free:
			counts.waited.Add(int64(time.Since(start)))
		case <-ctx.Done():
			return none, ended(ctx)
		case <-timer.C:
			counts.timeouts.Add(1)
			return none, noneFree(timeout)
		}
	}
	if !open {
		return none, fmt.Errorf("the store is closed: %w", store.ErrUnavailable)
	}
	counts.taken.Add(1)
	return c, nil
}

// errNoneFree means that a call has waited for a connection in vain.
var errNoneFree = errors.New("no connection was free")

func noneFree(waited time.Duration) error {
	return &store.EngineError{
		What: "no connection was free in time", Detail: waited.String(),
		Cure: "try again when the import or the long reads that are under way are done",
		Err:  errNoneFree,
	}
}

// enter waits for a place in a queue, and returns how much time is left for the call. It counts a
// call that waits in vain.
func (s *Store) enter(ctx context.Context, q *store.Queue, own store.Rank, counts *poolCounts) (
	time.Duration, error) {
	waited, err := q.Enter(ctx, own)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		err = ended(ctx)
	case errors.Is(err, store.ErrUnavailable):
		counts.timeouts.Add(1)
		err = noneFree(s.timeout)
	}
	return s.timeout - waited, err
}

// read lends a connection to do, which must only read. The context does not interrupt it. For that
// zombiezen starts a goroutine at each call, which doubles the cost of a record (BenchmarkCliente,
// 4.7 to 8.5 µs). Instead list looks at the context with each row.
func read[T any](ctx context.Context, s *Store, do func(*sqlite.Conn) (T, error)) (T, error) {
	return readAs(ctx, s, store.Single, do)
}

// readMany is read for many records.
func readMany[T any](ctx context.Context, s *Store, do func(*sqlite.Conn) (T, error)) (T, error) {
	return readAs(ctx, s, store.Many, do)
}

// readAs is read with another rank. There is a place in the queue for each connection, so who has
// one waits for a connection only while they are opened anew.
func readAs[T any](ctx context.Context, s *Store, rank store.Rank,
	do func(*sqlite.Conn) (T, error)) (v T, err error) {
	left, err := s.enter(ctx, s.readQueue, rank, &s.stats.readers)
	if err != nil {
		return v, s.outcome(err)
	}
	defer s.readQueue.Leave()
	conn, err := take(ctx, left, s.readers, &s.stats.readers)
	if err != nil {
		return v, s.outcome(err)
	}
	defer func() { s.readers <- conn }()
	v, err = do(conn)
	return v, s.outcome(err)
}

// decide is read for questions that decide about every request: which sessions ended, whether
// the store is ready. One connection is for them alone, so that they need not wait for exports.
func decide[T any](ctx context.Context, s *Store,
	do func(*sqlite.Conn) (T, error)) (v T, err error) {
	conn, err := take(ctx, s.timeout, s.deciding, &s.stats.deciding)
	if err != nil {
		return v, s.outcome(err)
	}
	defer func() { s.deciding <- conn }()
	v, err = do(conn)
	return v, s.outcome(err)
}

// readLong is readMany for calls that can take long. It is interrupted when ctx ends, and after
// scanTimeout, with [store.ErrUnavailable].
func readLong[T any](ctx context.Context, s *Store,
	do func(context.Context, *sqlite.Conn) (T, error)) (v T, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, scanTimeout, store.ErrUnavailable)
	defer cancel()
	return readUntil(ctx, s, do)
}

// readUntil is readLong without scanTimeout.
func readUntil[T any](ctx context.Context, s *Store,
	do func(context.Context, *sqlite.Conn) (T, error)) (v T, err error) {
	return readMany(ctx, s, func(conn *sqlite.Conn) (T, error) {
		conn.SetInterrupt(ctx.Done())
		defer conn.SetInterrupt(nil)
		v, err := do(ctx, conn)
		if err != nil && ctx.Err() != nil {
			err = ended(ctx)
		}
		return v, err
	})
}

// ended returns the error of a call whose context has ended: [store.ErrUnavailable] if the cause
// says so, because the call took too long, and otherwise the context's own.
func ended(ctx context.Context) error {
	if err := context.Cause(ctx); errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return ctx.Err()
}

// one returns the only row of a query, or [store.ErrNotFound].
func one[T any](conn *sqlite.Conn, scan func(*sqlite.Stmt) T, query string,
	args ...any) (v T, err error) {
	stmt, err := prepare(conn, query, args)
	if err != nil {
		return v, err
	}
	defer stmt.Reset() // or the connection would keep this snapshot of the database
	row, err := stmt.Step()
	switch {
	case err != nil:
		return v, engineError(err)
	case !row:
		return v, store.ErrNotFound
	}
	return scan(stmt), nil
}

// list appends the rows of a query to rows.
func list[T any](ctx context.Context, conn *sqlite.Conn, rows []T, scan func(*sqlite.Stmt) T,
	query string, args ...any) ([]T, error) {
	stmt, err := prepare(conn, query, args)
	if err != nil {
		return nil, err
	}
	defer stmt.Reset()
	for {
		row, err := stmt.Step()
		switch {
		case err != nil:
			return nil, engineError(err)
		case !row:
			return rows, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		rows = append(rows, scan(stmt))
	}
}

func scanInteger(stmt *sqlite.Stmt) int64 { return stmt.ColumnInt64(0) }

func scanBool(stmt *sqlite.Stmt) bool { return stmt.ColumnBool(0) }

// exec runs a statement that returns no rows.
func exec(conn *sqlite.Conn, query string, args ...any) error {
	stmt, err := prepare(conn, query, args)
	if err != nil {
		return err
	}
	_, err = stmt.Step()
	return engineError(err)
}

// prepare returns a statement, which the connection keeps from the first call on, bound to its
// arguments. Each is an int64, a bool, a string, a time.Time or nil, or a [*store.Cliente], which
// stands for its texts.
func prepare(conn *sqlite.Conn, query string, args []any) (*sqlite.Stmt, error) {
	stmt, err := conn.Prepare(query)
	if err != nil {
		return nil, engineError(err)
	}
	n := 0 // the parameter that was bound last
	for _, arg := range args {
		n++
		switch arg := arg.(type) {
		case int64:
			stmt.BindInt64(n, arg)
		case bool:
			stmt.BindBool(n, arg)
		case string:
			stmt.BindText(n, arg)
		case store.Role:
			stmt.BindText(n, string(arg))
		case time.Time:
			stmt.BindInt64(n, arg.UnixMilli())
		case nil:
			stmt.BindNull(n)
		case *store.Cliente:
			for i, t := range arg.Texts() {
				stmt.BindText(n+i, *t.Value)
			}
			n += store.ClienteTexts - 1
		default:
			// An error that held the argument would move every caller's arguments to the heap.
			return nil, errors.New("an argument is of a type that no column has")
		}
	}
	return stmt, nil
}

// instant reads a column of Unix milliseconds.
func instant(stmt *sqlite.Stmt, column int) time.Time {
	return time.UnixMilli(stmt.ColumnInt64(column)).UTC()
}
