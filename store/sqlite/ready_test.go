package sqlite

import (
	"context"
	"errors"
	"os"
	programs "os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// patient opens a new database with a timeout that no test waits for.
func patient(t *testing.T, folder string) *Store {
	t.Helper()
	url := "sqlite:" + filepath.Join(folder, "clientes.db")
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), url, store.Options{CallTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// locked begins a transaction that writes, as another process would.
func locked(t *testing.T, s *Store) (unlock func()) {
	t.Helper()
	conn, err := connect(t.Context(), s.path, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := exec(conn, `BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	return func() { conn.Close() }
}

// wantOutage fails the test unless an error tells an operator of the file what is the matter, in
// these words, and tells no SQL.
func wantOutage(t *testing.T, err error, path, words string) {
	t.Helper()
	var e *store.EngineError
	if !errors.As(err, &e) || !errors.Is(err, store.ErrUnavailable) ||
		!strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), words) ||
		e.Cure == "" {
		t.Errorf("got %v, want %q", err, words)
	}
	for _, sql := range []string{"SELECT", "INSERT", "PRAGMA", "BEGIN"} {
		if err != nil && strings.Contains(err.Error(), sql) {
			t.Errorf("the error has SQL in it: %v", err)
		}
	}
}

func TestReadyWhileAnotherProcessHoldsTheLock(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	unlock := locked(t, s)
	wantOutage(t, s.Ready(t.Context()), s.path, "another process keeps the file locked")
	unlock()
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// The store is patient, so the test hangs if Ready waits for the import.
func TestReadyDuringAnImport(t *testing.T) {
	t.Parallel()
	s := patient(t, t.TempDir())
	rows := func(yield func(store.Cliente, error) bool) {
		if err := s.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		yield(store.Cliente{Name: "Ana"}, nil)
	}
	if n, err := s.ImportClientes(t.Context(), 0, rows); n != 1 || err != nil {
		t.Error(n, err)
	}
}

// A write that waits for another process's lock is no work of ours. The store must not be taken for
// ready on its account.
func TestReadyWhileOwnWritesWaitForALock(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	unlock := locked(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	written := make(chan error)
	go func() {
		_, err := write(ctx, s, func(*sqlite.Conn) (int, error) { return 0, nil })
		written <- err
	}()
	if err := s.Ready(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	cancel()
	<-written
	unlock()
}

// The deadline of a call is over when it gets the writer. The test hangs if the lock has a timeout
// of its own.
func TestAWriteWaitsOnceForAllThatItWaitsFor(t *testing.T) {
	t.Parallel()
	s := patient(t, t.TempDir())
	unlock := locked(t, s)
	w := <-s.writer
	_, err := w.begin(t.Context(), time.Now())
	s.writer <- w
	unlock()
	if sqlite.ErrCode(err).ToPrimary() != sqlite.ResultBusy {
		t.Errorf("got %v", err)
	}
}

// Exports may hold every connection. The test hangs if a question waits for one of these.
func TestQuestionsAboutEverybodyDoNotWaitForReads(t *testing.T) {
	t.Parallel()
	s := patient(t, t.TempDir())
	for range cap(s.readers) {
		conn := <-s.readers
		defer func() { s.readers <- conn }()
	}
	if _, err := s.SessionEnds(t.Context(), "", nil); err != nil {
		t.Error(err)
	}
	if _, err := s.Session(t.Context(), "x"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	if _, err := s.Identity(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestReadyOnAFullDisk(t *testing.T) {
	t.Parallel()
	s := patient(t, t.TempDir())
	onWriter(t, s, `PRAGMA max_page_count = 90`)
	long := store.Cliente{Name: "x", Notes: strings.Repeat("x", store.MaxNotes)}
	var err error
	for err == nil {
		_, err = s.CreateCliente(t.Context(), 0, long)
	}
	wantOutage(t, err, s.path, "the disk is full (SQLITE_FULL); make room on it")
	for range 2 { // a small write would find its place
		wantOutage(t, s.Ready(t.Context()), s.path, "the disk is full")
	}
	onWriter(t, s, `PRAGMA max_page_count = 4294967294`)
	for range 2 {
		if err := s.Ready(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if s.learned.full.Load() {
		t.Error("it is still taken for full")
	}
}

func TestADamagedFileIsNotReady(t *testing.T) {
	t.Parallel()
	s := patient(t, t.TempDir())
	if _, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"}); err != nil {
		t.Fatal(err)
	}
	onWriter(t, s, `PRAGMA wal_checkpoint(TRUNCATE)`)
	intact, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	put := func(b []byte) {
		t.Helper()
		f, err := os.OpenFile(s.path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt(b, 4096); err != nil { // all pages but the first
			t.Fatal(err)
		}
	}
	put([]byte(strings.Repeat("\xa5", len(intact)-4096)))
	for err = nil; err == nil; {
		_, err = s.CreateUser(t.Context(), store.User{Name: "x", Role: store.Viewer})
	}
	wantOutage(t, err, s.path, "the file is damaged (SQLITE_CORRUPT")
	put(intact[4096:])
	wantOutage(t, s.Ready(t.Context()), s.path, "the file is damaged (SQLITE_CORRUPT")
}

func TestWhatOpenAndMigrateSayOfTheMachine(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	noise := filepath.Join(folder, "noise.db")
	head := "SQLite format 3\x00" + strings.Repeat("\xa5", 8000)
	if err := os.WriteFile(noise, []byte(head), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), "sqlite:"+noise, store.Options{})
	wantOutage(t, err, noise, "is no SQLite database")
	wantOutage(t, Migrate(t.Context(), "sqlite:"+noise), noise, "is no SQLite database")
	_, err = Schema(t.Context(), "sqlite:"+noise)
	wantOutage(t, err, noise, "is no SQLite database")

	_, err = Open(t.Context(), "sqlite:"+folder, store.Options{})
	wantOutage(t, err, folder, "is a folder: name a file in it")
	_, err = Schema(t.Context(), "sqlite:"+folder)
	wantOutage(t, err, folder, "is a folder: name a file in it")
}

// Every code that speaks of the machine is told to the operator.
func TestEngineErrors(t *testing.T) {
	t.Parallel()
	for err, words := range map[error]string{
		sqlite.ResultFull.ToError():            "the disk is full",
		sqlite.ResultReadOnly.ToError():        "cannot be written",
		sqlite.ResultReadOnlyDBMoved.ToError(): "cannot be written",
		sqlite.ResultPerm.ToError():            "cannot be written",
		sqlite.ResultAuth.ToError():            "cannot be written",
		sqlite.ResultCorruptVTab.ToError():     "damaged",
		sqlite.ResultNotADB.ToError():          "no SQLite database",
		sqlite.ResultIOErrWrite.ToError():      "does not read or write (SQLITE_IOERR_WRITE)",
		sqlite.ResultCantOpen.ToError():        "cannot be opened",
		sqlite.ResultBusyRecovery.ToError():    "locked",
		sqlite.ResultLocked.ToError():          "locked",
		sqlite.ResultProtocol.ToError():        "locked",
		sqlite.ResultNoMem.ToError():           "no memory",
		&os.PathError{Err: syscall.ENOSPC}:     "the disk is full",
		&os.PathError{Err: syscall.EROFS}:      "cannot be used",
		&os.PathError{Err: syscall.EACCES}:     "cannot be used",
		&os.PathError{Err: syscall.EMFILE}:     "too many open files",
		&os.PathError{Err: syscall.EIO}:        "does not read or write",
	} {
		wantOutage(t, engineError(err), "", words)
	}
	for _, err := range []error{
		nil, sqlite.ResultConstraintUnique.ToError(), sqlite.ResultError.ToError(),
		store.ErrNotFound, context.Canceled,
	} {
		if got := engineError(err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}

// After the volume is mounted writable again, nobody has to restart the server.
func TestAFileThatMayNotBeWritten(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it mounts a folder as Linux does")
	}
	t.Parallel()
	folder := t.TempDir()
	s := patient(t, folder) // stays open, so that the files beside it exist
	mayWrite := func(may bool) error {
		return os.Chmod(s.path, map[bool]os.FileMode{true: 0o600, false: 0o400}[may])
	}
	if os.Getuid() == 0 { // who may write to every file
		out, err := programs.Command("mount", "--bind", folder, folder).CombinedOutput()
		if err != nil {
			t.Skipf("cannot mount: %v: %s", err, out)
		}
		t.Cleanup(func() { programs.Command("umount", "-l", folder).Run() })
		mayWrite = func(may bool) error {
			mode := map[bool]string{true: "rw", false: "ro"}[may]
			return programs.Command("mount", "-o", "remount,bind,"+mode, folder).Run()
		}
	}
	if err := mayWrite(false); err != nil {
		t.Skipf("cannot mount it read-only: %v", err)
	}
	s, err := Open(t.Context(), "sqlite:"+s.path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	wantOutage(t, s.Ready(t.Context()), s.path, "the file cannot be written")
	if err := mayWrite(true); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"}); err != nil {
		t.Error(err)
	}
}
