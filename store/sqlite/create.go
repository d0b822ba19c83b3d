package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// Creates that wait at the same moment are written together by the first of them whose turn it is
// at the writer, with one statement for up to maxRows of them. The others need no turn. They share
// their commit with all other writers: see write.go. BenchmarkCreatesTogether shows what it buys.

// maxRows is how many rows one statement inserts.
const maxRows = 16

// errWritten ends the wait for the writer of a create that another one has written.
var errWritten = errors.New("another create has written this one")

// creates are those that wait for the writer.
type creates struct {
	mu      sync.Mutex
	waiting []*create
}

// create is a record to be created and its outcome.
type create struct {
	by      int64
	c       store.Cliente
	err     error
	batch   *batch                  // that it was written in, or nil
	written context.CancelCauseFunc // ends its wait
}

// add lets a create wait.
func (cs *creates) add(n *create) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.waiting = append(cs.waiting, n)
}

// remove ends the wait of a create, and reports whether it was still waiting.
func (cs *creates) remove(n *create) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	i := slices.Index(cs.waiting, n)
	if i < 0 {
		return false
	}
	cs.waiting = slices.Delete(cs.waiting, i, i+1)
	return true
}

// take ends the wait of the first creates, of most at most, and returns them.
func (cs *creates) take(most int) []*create {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	n := min(most, len(cs.waiting))
	taken := cs.waiting[:n:n]
	cs.waiting = cs.waiting[n:]
	return taken
}

// CreateCliente implements [store.Clientes].
func (s *Store) CreateCliente(ctx context.Context, by int64,
	c store.Cliente) (store.Cliente, error) {
	left, err := s.enter(ctx, s.writeQueue, store.First, &s.stats.writer)
	if err != nil {
		return store.Cliente{}, s.outcome(err)
	}
	defer s.writeQueue.Leave()
	deadline := time.Now().Add(left)
	waiting, written := context.WithCancelCause(ctx)
	defer written(nil)
	n := &create{by: by, c: c, written: written}
	s.creates.add(n)
	w, err := take(waiting, left, s.writer, &s.stats.writer)
	switch waited := s.creates.remove(n); {
	case err == nil && waited:
		err = s.writeCreates(ctx, w, deadline, n)
	case err == nil:
		s.writer <- w
		err = n.outcome(waiting)
	case !waited: // another one is writing it, or has written it
		err = n.outcome(waiting)
	}
	if err != nil {
		return store.Cliente{}, s.outcome(err)
	}
	return n.c, nil
}

// outcome returns the outcome of a create that another one writes. The context is that of its wait.
func (n *create) outcome(waiting context.Context) error {
	<-waiting.Done()
	if !errors.Is(context.Cause(waiting), errWritten) {
		return ended(waiting)
	}
	if <-n.batch.done; n.batch.err != nil {
		return fmt.Errorf("commit: %w", n.batch.err)
	}
	return n.err
}

// errLostCreate is the outcome of creates whose writer panicked or ended its goroutine.
var errLostCreate = errors.New("the write was lost")

// writeCreates writes n and those that wait by now, and releases the writer.
func (s *Store) writeCreates(ctx context.Context, w *writer, deadline time.Time,
	n *create) (err error) {
	b, err := w.begin(ctx, deadline)
	if err != nil {
		s.writer <- w
		return err
	}
	all := append([]*create{n}, s.creates.take(maxBatch-b.size)...)
	b.size += len(all) - 1
	b.full = b.size == maxBatch
	err = errLostCreate
	defer func() { // also after a panic, or everybody would wait for the writer
		for _, other := range all {
			if err != nil {
				other.err = err
			}
			other.batch = b
			other.written(errWritten)
		}
		err = n.err
		if failed := s.finish(w, b); failed != nil {
			err = fmt.Errorf("commit: %w", failed)
		}
	}()
	err = w.savepoint(func() error { return s.insertCreates(w.conn, all) })
	return err
}

// insertCreates writes new records. If one of those in a statement has an email that another record
// has, each of them is written by itself.
func (s *Store) insertCreates(conn *sqlite.Conn, all []*create) error {
	for rows := range slices.Chunk(all, maxRows) {
		if len(rows) > 1 {
			err := s.insertRows(conn, rows)
			if err == nil {
				continue
			}
			if !isConflict(err) {
				return err
			}
			// SQLite has undone the whole statement.
		}
		for _, n := range rows {
			var conflict *store.ConflictError
			n.c, n.err = s.insertCliente(conn, n.by, n.c)
			if n.err != nil && !errors.As(n.err, &conflict) {
				return n.err
			}
		}
	}
	return nil
}

var (
	createClientes = statements(func(rows int) string {
		return `
	INSERT INTO clientes (version, created_at, updated_at, ` + rowColumns + `)
	VALUES ` + repeat(`(1, ?1, ?1, `+parameters(rowParameters)+`)`, rows)
	})

	insertCreated = statements(func(rows int) string {
		return `
	INSERT INTO cliente_history (` + historyColumns + `)
	VALUES ` + repeat(`(?, ?, 1, 'created', 0, ?, coalesce((SELECT name FROM users WHERE id = ?), ''),
		?, ?, ?, `+parameters(store.ClienteTexts)+`)`, rows)
	})
)

func repeat(row string, rows int) string { return strings.Repeat(`, `+row, rows)[2:] }

// statements returns a statement for each number of rows up to maxRows.
func statements(of func(rows int) string) (all [maxRows + 1]string) {
	for rows := range all[1:] {
		all[rows+1] = of(rows + 1)
	}
	return all
}

// insertRows writes new records and the first steps of their history.
func (s *Store) insertRows(conn *sqlite.Conn, rows []*create) error {
	now := store.Instant(s.now())
	args := make([]any, 0, 7*len(rows))
	args = append(args, now)
	for _, n := range rows {
		sortKey, emailKey, searchText := n.c.Keys()
		args = append(args, &n.c, sortKey, emailKey, searchText)
	}
	if err := exec(conn, createClientes[len(rows)], args...); err != nil {
		return fmt.Errorf("insert %d clientes: %w", len(rows), err)
	}
	// One statement assigns ids that follow each other.
	first := conn.LastInsertRowID() - int64(len(rows)) + 1
	seq, err := one(conn, scanInteger, `SELECT `+nextSeq)
	if err != nil {
		return fmt.Errorf("number the changes: %w", err)
	}
	args = args[:0]
	for i, n := range rows {
		n.c.ID, n.c.Version, n.c.CreatedAt, n.c.UpdatedAt = first+int64(i), 1, now, now
		args = append(args, seq+int64(i), n.c.ID, n.by, n.by, now, now, now, &n.c)
	}
	if err := exec(conn, insertCreated[len(rows)], args...); err != nil {
		return fmt.Errorf("keep the creation of %d clientes: %w", len(rows), err)
	}
	return nil
}
