package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

func openForTest(tb testing.TB) *Store {
	tb.Helper()
	url := "sqlite:" + filepath.Join(tb.TempDir(), "clientes.db")
	if err := Migrate(tb.Context(), url); err != nil {
		tb.Fatal(err)
	}
	s, err := Open(tb.Context(), url, store.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func insert(conn *sqlite.Conn, name string) error {
	return exec(conn, `
		INSERT INTO clientes (name, email, email_key, phone, company, address, notes, version,
			created_at, updated_at)
		VALUES (?, '', '', '', '', '', '', 1, 0, 0)`,
		name)
}

// onWriter runs statements on the writing connection, outside of any transaction.
func onWriter(t *testing.T, s *Store, queries ...string) {
	t.Helper()
	w := <-s.writer
	defer func() { s.writer <- w }()
	for _, q := range queries {
		_, err := one(w.conn, func(*sqlite.Stmt) int { return 0 }, q)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
	}
}

// addDeferred adds a constraint that only the commit checks, and breakDeferred breaks it.
func addDeferred(t *testing.T, s *Store) {
	t.Helper()
	onWriter(t, s,
		`CREATE TABLE parent (id INTEGER PRIMARY KEY)`,
		`CREATE TABLE child (parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)`)
}

func breakDeferred(conn *sqlite.Conn) error {
	return exec(conn, `INSERT INTO child (parent) VALUES (1)`)
}

func names(t *testing.T, s *Store) string {
	t.Helper()
	page, err := s.Clientes(t.Context(), store.Selection{}, store.Position{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range page {
		names = append(names, c.Name)
	}
	return strings.Join(names, " ")
}

// TestWritersShareACommit takes two writers of one batch through the steps of write. Neither is
// kept before the commit, and the second needs no commit of its own.
func TestWritersShareACommit(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	w := <-s.writer
	first, err := w.begin(t.Context(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.savepoint(func() error { return insert(w.conn, "first") }); err != nil {
		t.Fatal(err)
	}
	second, err := w.begin(t.Context(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if first != second {
		t.Error("the second writer has a transaction of its own")
	}
	refused := errors.New("refused")
	err = w.savepoint(func() error {
		if err := insert(w.conn, "second"); err != nil {
			t.Error(err)
		}
		return refused
	})
	if err != refused {
		t.Errorf("got %v", err)
	}
	if got := names(t, s); got != "" {
		t.Errorf("before the commit others see %q", got)
	}
	if err := s.finish(w, first); err != nil {
		t.Error(err)
	}
	if got := names(t, s); got != "first" {
		t.Errorf("after the commit others see %q", got)
	}
	if err := s.finish(<-s.writer, second); err != nil {
		t.Error(err)
	}
}

// One writer breaks a deferred constraint. The commit notices it, and then nothing of the batch is
// kept.
func TestAFailedCommitFailsTheWholeBatch(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	addDeferred(t, s)
	w := <-s.writer
	b, err := w.begin(t.Context(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.savepoint(func() error { return insert(w.conn, "innocent") }); err != nil {
		t.Fatal(err)
	}
	if _, err := w.begin(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	err = w.savepoint(func() error { return breakDeferred(w.conn) })
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.finish(w, b); sqlite.ErrCode(err) != sqlite.ResultConstraintForeignKey {
			t.Errorf("got %v", err)
		}
		w = <-s.writer
	}
	s.writer <- w
	if _, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "later"}); err != nil {
		t.Error(err)
	}
	if got := names(t, s); got != "later" {
		t.Errorf("kept %q", got)
	}
}

// SQLite may end the whole transaction by itself when one writer's statement fails.
func TestATransactionThatSQLiteEndsFailsTheWholeBatch(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	w := <-s.writer
	b, err := w.begin(t.Context(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.savepoint(func() error { return insert(w.conn, "innocent") }); err != nil {
		t.Fatal(err)
	}
	if _, err := w.begin(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the disk is on fire")
	err = w.savepoint(func() error {
		if err := exec(w.conn, `ROLLBACK`); err != nil {
			t.Error(err)
		}
		return broken
	})
	if err != broken {
		t.Errorf("got %v", err)
	}
	for range 2 {
		if err := s.finish(w, b); !errors.Is(err, store.ErrUnavailable) || errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		w = <-s.writer
	}
	s.writer <- w
	if _, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "later"}); err != nil {
		t.Error(err)
	}
	if got := names(t, s); got != "later" {
		t.Errorf("kept %q", got)
	}
}

func TestAFullDiskIsUnavailable(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	onWriter(t, s, `PRAGMA max_page_count = 40`)
	long := store.Cliente{Name: "x", Notes: strings.Repeat("x", store.MaxNotes)}
	kept := 0
	var err error
	for range 100 {
		if _, err = s.CreateCliente(t.Context(), 0, long); err != nil {
			break
		}
		kept++
	}
	if !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("after %d got %v", kept, err)
	}
	// Small writes beside large ones that fail: a write that returned nil must be there.
	var mu sync.Mutex
	var writers sync.WaitGroup
	for i := range 20 {
		writers.Go(func() {
			c := store.Cliente{Name: "x"}
			if i%2 == 0 {
				c = long
			}
			if _, err := s.CreateCliente(t.Context(), 0, c); err == nil {
				mu.Lock()
				defer mu.Unlock()
				kept++
			}
		})
	}
	writers.Wait()
	onWriter(t, s, `PRAGMA max_page_count = 4294967294`)
	if _, err := s.CreateCliente(t.Context(), 0, long); err != nil {
		t.Error(err)
	}
	if there := len(strings.Fields(names(t, s))); there != kept+1 {
		t.Errorf("%d are there, %d were answered", there, kept+1)
	}
}

// More writers than one batch holds, all of them in line before the first commit.
func TestMoreWritersThanABatchHolds(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	w := <-s.writer
	var writers sync.WaitGroup
	for range 3 * maxBatch {
		writers.Go(func() {
			err := do(t.Context(), s, func(conn *sqlite.Conn) error {
				if w.open.size > maxBatch {
					t.Errorf("a batch has %d writers", w.open.size)
				}
				return insert(conn, "x")
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	s.writer <- w
	writers.Wait()
	if got := len(strings.Fields(names(t, s))); got != 3*maxBatch {
		t.Errorf("%d were kept", got)
	}
}

// Close may come between a writer's work and its turn to commit.
func TestCloseCommitsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	url := "sqlite:" + filepath.Join(t.TempDir(), "clientes.db")
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := <-s.writer
	b, err := w.begin(t.Context(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.savepoint(func() error { return insert(w.conn, "kept") }); err != nil {
		t.Fatal(err)
	}
	s.writer <- w
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if w.open == b || b.err != nil {
		t.Errorf("it is not committed: %v", b.err)
	}
	if s, err = Open(t.Context(), url, store.Options{}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := names(t, s); got != "kept" {
		t.Errorf("left %q", got)
	}
}

// A restored copy, for example one made by VACUUM INTO, is not in WAL mode.
func TestOpenSetsWhatDurabilityNeeds(t *testing.T) {
	t.Parallel()
	url := "sqlite:" + filepath.Join(t.TempDir(), "clientes.db")
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	path, err := pathOf(url)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := connect(t.Context(), path, callTimeout, "journal_mode = DELETE")
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := <-s.writer
	defer func() { s.writer <- w }()
	for query, want := range map[string]string{
		`PRAGMA journal_mode`:         "wal",
		`PRAGMA synchronous`:          "2", // FULL
		`PRAGMA fullfsync`:            "1",
		`PRAGMA checkpoint_fullfsync`: "1",
		`PRAGMA foreign_keys`:         "1",
	} {
		got, err := one(w.conn, func(stmt *sqlite.Stmt) string { return stmt.ColumnText(0) }, query)
		if err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", query, got, err, want)
		}
	}
	reader := <-s.readers
	defer func() { s.readers <- reader }()
	if err := insert(reader, "x"); sqlite.ErrCode(err) != sqlite.ResultReadOnly {
		t.Errorf("a reading connection wrote: %v", err)
	}
}

func TestNoConnectionForTooLongIsUnavailable(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	var all []*sqlite.Conn
	for range cap(s.readers) {
		all = append(all, <-s.readers)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.Cliente(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Cliente(t.Context(), 1); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	for _, conn := range all {
		s.readers <- conn
	}
	if _, err := s.Cliente(t.Context(), 1); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// The context does not interrupt a list; list looks at it with each row. Nothing else stops a long
// one.
func TestAListEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	for range 3 {
		if _, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	conn := <-s.readers
	defer func() { s.readers <- conn }()
	rows := 0
	_, err := list(ctx, conn, nil, func(*sqlite.Stmt) int {
		rows++
		cancel()
		return 0
	}, `SELECT id FROM clientes`)
	if !errors.Is(err, context.Canceled) || rows != 1 {
		t.Errorf("after %d rows got %v", rows, err)
	}
	if conn.CheckReset() != "" {
		t.Error("the statement goes on reading at that instant of the database")
	}
}
