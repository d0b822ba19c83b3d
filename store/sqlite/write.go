package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// Writers share commits, because a commit waits for the disk some hundred times longer than writing
// a row takes. Each writer works in a savepoint of one open transaction, lends the connection to
// the next writer, and queues up for it again. All who were waiting by then have written before it
// is their turn again, and the first of them commits for all.
//
// Nobody gets an answer before that commit, not even a caller who changed nothing: it may have seen
// another's row that is not committed yet.

// maxBatch limits how many writers share one commit, and with it how long the first of them waits.
const maxBatch = 128

// writersAtOnce is how many writers may be at work, most of them waiting for each other: those of a
// full batch that is being committed, and those of the next. Others wait in the queue.
const writersAtOnce = 2 * maxBatch

// writer is the one connection that writes. It belongs to whoever took it from the store's channel,
// which serves callers in the order in which they came.
type writer struct {
	conn   *sqlite.Conn // nil if it is lost: see [Store.openAgain]
	open   *batch       // the transaction that is open on conn, or nil
	before int64        // total_changes when it began
	lost   bool         // whether the latest transaction was lost
	atWork atomic.Bool  // there is a transaction, and the one before it was kept: see Ready
	store  *Store
}

// batch is the common outcome of the writers of one transaction.
type batch struct {
	size int
	full bool          // nobody else may join
	done chan struct{} // closed when err is final
	err  error         // of the commit
}

func newWriter(conn *sqlite.Conn, s *Store) *writer {
	conn.SetBusyTimeout(0) // begin waits by itself, so that a context can end it
	return &writer{conn: conn, store: s}
}

// write lends the writing connection to do. If write returns nil, the work of do is kept as a whole
// and is on the disk. If do fails, panics or ends its goroutine, nothing of it is kept. An error of
// do is returned unwrapped.
//
// The context and the timeout of a call count until do begins. From then on the transaction belongs
// to others, too, and a slow do keeps them all waiting.
func write[T any](ctx context.Context, s *Store,
	do func(*sqlite.Conn) (T, error)) (v T, err error) {
	left, err := s.enter(ctx, s.writeQueue, store.First, &s.stats.writer)
	if err != nil {
		return v, s.outcome(err)
	}
	defer s.writeQueue.Leave()
	return writeWithin(ctx, s, left, do)
}

// writeWithin is write with another timeout, and without the queue.
func writeWithin[T any](ctx context.Context, s *Store, timeout time.Duration,
	do func(*sqlite.Conn) (T, error)) (v T, err error) {
	deadline := time.Now().Add(timeout)
	w, err := take(ctx, timeout, s.writer, &s.stats.writer)
	if err != nil {
		return v, s.outcome(err)
	}
	return writeWith(ctx, s, w, deadline, do)
}

// do is write for a function that returns nothing but an error.
func do(ctx context.Context, s *Store, f func(*sqlite.Conn) error) error {
	_, err := write(ctx, s, func(conn *sqlite.Conn) (struct{}, error) {
		return struct{}{}, f(conn)
	})
	return err
}

// writeAlone is write for a slow do. It shares its commit with nobody, so only those wait for it
// who have not written yet.
func writeAlone[T any](ctx context.Context, s *Store,
	do func(*sqlite.Conn) (T, error)) (v T, err error) {
	left, err := s.enter(ctx, s.writeQueue, store.Many, &s.stats.writer)
	if err != nil {
		return v, s.outcome(err)
	}
	defer s.writeQueue.Leave()
	deadline := time.Now().Add(left)
	w, err := take(ctx, left, s.writer, &s.stats.writer)
	if err != nil {
		return v, s.outcome(err)
	}
	w.commit()
	return writeWith(ctx, s, w, deadline, func(conn *sqlite.Conn) (T, error) {
		w.open.full = true
		return do(conn)
	})
}

// writeWith does the work of write for the holder of the writer, and releases the writer.
func writeWith[T any](ctx context.Context, s *Store, w *writer, deadline time.Time,
	do func(*sqlite.Conn) (T, error)) (v T, err error) {
	b, err := w.begin(ctx, deadline)
	if err != nil {
		s.writer <- w
		return v, s.outcome(err)
	}
	defer func() {
		if failed := s.finish(w, b); failed != nil {
			var none T
			v, err = none, s.outcome(fmt.Errorf("commit: %w", failed))
		}
	}()
	err = w.savepoint(func() error {
		v, err = do(w.conn)
		return err
	})
	return v, s.outcome(err)
}

// finish releases the writer and returns when b is committed.
func (s *Store) finish(w *writer, b *batch) error {
	if !b.full && w.open == b {
		s.writer <- w
		select {
		case <-b.done:
			return b.err
		case next, open := <-s.writer:
			if !open { // Close has committed and closed the connection
				return b.err
			}
			w = next
		}
	}
	if w.open == b {
		w.commit()
	}
	err := b.err
	s.writer <- w
	return err
}

// begin joins the open batch or opens a new one.
func (w *writer) begin(ctx context.Context, deadline time.Time) (*batch, error) {
	if w.open == nil {
		if w.conn == nil {
			return nil, fmt.Errorf("the database could not be opened again: %w",
				store.ErrUnavailable)
		}
		if err := w.store.files.fileInPlace(); err != nil {
			return nil, err
		}
		// What is written to a damaged file is lost with the backup that replaces it.
		if damage := w.store.learned.damage.Load(); damage != nil {
			return nil, *damage
		}
		if err := w.beginTransaction(ctx, deadline); err != nil {
			return nil, err
		}
		w.before, _ = one(w.conn, scanInteger, totalChanges)
		w.open = &batch{done: make(chan struct{})}
		w.atWork.Store(!w.lost)
	}
	w.open.size++
	w.open.full = w.open.size == maxBatch
	return w.open, nil
}

// beginTransaction waits while another process writes, until ctx ends, but at most until the
// deadline. It tries at least once. It returns [store.ErrSchema] if this program must not write to
// the database. While the transaction is open, no migration begins.
func (w *writer) beginTransaction(ctx context.Context, deadline time.Time) error {
	for {
		err := exec(w.conn, `BEGIN IMMEDIATE`)
		if err == nil {
			return w.checkSchema()
		}
		if sqlite.ErrCode(err).ToPrimary() != sqlite.ResultBusy || time.Now().After(deadline) {
			return fmt.Errorf("begin: %w", err)
		}
		select {
		case <-ctx.Done():
			return ended(ctx)
		case <-time.After(time.Millisecond):
		}
	}
}

// checkSchema ends the transaction again if it returns an error.
func (w *writer) checkSchema() error {
	version, err := requiredVersion(w.conn)
	if sqlite.ErrCode(err) == sqlite.ResultError { // no such column
		err = fmt.Errorf("%w: %w", store.ErrSchema, err)
	}
	if err == nil {
		err = store.Schema{Required: version}.CheckRequired()
	}
	if err != nil {
		w.rollback()
	}
	return err
}

// savepoint runs do, and undoes what it wrote unless do returns nil.
func (w *writer) savepoint(do func() error) (err error) {
	if err := exec(w.conn, `SAVEPOINT job`); err != nil {
		return fmt.Errorf("savepoint: %w", err)
	}
	kept := false
	defer func() { // deferred, because do calls functions of our callers, which may panic
		if !kept {
			w.undo(err)
		}
	}()
	if err := do(); err != nil {
		return err
	}
	if err := exec(w.conn, `RELEASE job`); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	kept = true
	return nil
}

// undo ends the savepoint without keeping what was written in it. If the savepoint is gone, SQLite
// has ended the whole transaction, as it may when the disk is full. Then the batch is lost.
func (w *writer) undo(cause error) {
	err := exec(w.conn, `ROLLBACK TO job`)
	if err == nil {
		err = exec(w.conn, `RELEASE job`)
	}
	if err == nil {
		return
	}
	w.rollback()
	if e := (*store.EngineError)(nil); errors.As(cause, &e) { // of the file, and so of all writers
		w.end(fmt.Errorf("the transaction was lost: %w", e))
		return
	}
	// Not the cause alone: what refused one writer, perhaps a conflict, is no answer to the others.
	w.end(fmt.Errorf("%w: the transaction was lost: %w (after: %v)", store.ErrUnavailable, err,
		cause))
}

// commit commits the open batch, if there is one.
func (w *writer) commit() {
	if w.open == nil {
		return
	}
	w.end(w.commitTransaction())
}

// commitTransaction returns nil if the transaction is on the disk, in files that have a name.
func (w *writer) commitTransaction() error {
	after, err := one(w.conn, scanInteger, totalChanges)
	changed := after != w.before
	if err == nil && changed {
		err = countCommit(w.conn)
	}
	if err == nil {
		err = exec(w.conn, `COMMIT`)
	}
	switch {
	case err != nil:
		w.rollback()
		return err
	case changed:
		w.store.commits.Add(w.open.size)
		return w.store.kept(w.conn)
	}
	return nil
}

const totalChanges = `SELECT total_changes()`

// end tells all writers of the open batch its outcome.
func (w *writer) end(err error) {
	w.open.err = err
	w.lost = err != nil
	close(w.open.done)
	w.open = nil
	w.atWork.Store(false)
}

// rollback ends the transaction, unless SQLite has already done so.
func (w *writer) rollback() {
	if !w.conn.AutocommitEnabled() {
		exec(w.conn, `ROLLBACK`)
	}
}
