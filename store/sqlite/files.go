package sqlite

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"clientes/store"
)

// A database is three files: the file itself, the WAL (-wal) and the index of the WAL (-shm). While
// a store has them open, SQLite does not notice that one of them was moved, removed or overwritten.
// It goes on writing to a file without a name, which is lost with the process. So a store compares
// the files before and after each commit, and with each question for ended sessions.

// files are the files of a store as they were opened.
type files struct {
	path string

	mu       sync.Mutex
	opened   [3]os.FileInfo // in the order of names
	modified time.Time      // the file's, when its header was last compared with the WAL
	rescued  string         // what [Store.rescue] has made or why not, "" if the file is in place
}

// names returns the names of the three files.
func (f *files) names() [3]string { return [3]string{f.path, f.path + "-wal", f.path + "-shm"} }

var (
	// errLost means that the file was moved, removed, replaced or overwritten.
	errLost = errors.New("it is no longer the file that was opened")

	// errLogLost means that the WAL or its index was moved, removed or replaced, and the file is in
	// its place. Nothing is lost as long as this process lives.
	errLogLost = errors.New("its -wal or -shm was removed while it was open")
)

// connect opens the connections of a store and remembers which files they have open.
func (f *files) connect(ctx context.Context, timeout time.Duration) ([]*sqlite.Conn, error) {
	conns, err := connectAll(ctx, f.path, timeout)
	if err != nil {
		return nil, err
	}
	if err := f.remember(conns); err != nil {
		for _, conn := range conns {
			conn.Close()
		}
		return nil, err
	}
	return conns, nil
}

// remember notes the files that the connections have open.
func (f *files) remember(conns []*sqlite.Conn) error {
	for _, conn := range conns { // the first read opens the WAL
		if _, err := one(conn, scanInteger, `PRAGMA schema_version`); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, name := range f.names() {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		f.opened[i] = info
	}
	f.modified = f.opened[0].ModTime()
	return nil
}

// inPlace returns [store.ErrUnavailable] if a file was moved, removed or replaced since it was
// opened, or if another file was copied over the database.
func (f *files) inPlace() error { return f.verdict(f.compare()) }

// fileInPlace is inPlace for the file alone. It is enough before a commit, because inPlace follows.
func (f *files) fileInPlace() error { return f.verdict(f.compareFile()) }

// verdict says what an operator must know of an error of compare.
func (f *files) verdict(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil:
		f.rescued = ""
		return nil
	case errors.Is(err, errLost):
		next := "what was answered is about to be saved beside it"
		if f.rescued != "" {
			next = f.rescued
		}
		return fmt.Errorf("%w: the database %s: %w: nothing is written any more; %s",
			store.ErrUnavailable, f.path, err, next)
	}
	return fmt.Errorf("%w: the database %s: %w", store.ErrUnavailable, f.path, err)
}

// compare returns errLost or errLogLost.
func (f *files) compare() error {
	if err := f.compareFile(); err != nil {
		return err
	}
	f.mu.Lock()
	opened := f.opened
	f.mu.Unlock()
	for i, name := range f.names() {
		if i == 0 {
			continue
		}
		if info, err := os.Stat(name); err != nil || !os.SameFile(info, opened[i]) {
			return errLogLost
		}
	}
	return nil
}

// compareFile returns errLost.
func (f *files) compareFile() error {
	f.mu.Lock()
	opened, modified := f.opened[0], f.modified
	f.mu.Unlock()
	now, err := os.Stat(f.path)
	if err != nil || !os.SameFile(now, opened) {
		return errLost
	}
	// Checkpoints write the file, and nothing else does.
	if !now.ModTime().Equal(modified) {
		if !f.continued() {
			return fmt.Errorf("another file was copied over it: %w", errLost)
		}
		f.mu.Lock()
		f.modified = now.ModTime()
		f.mu.Unlock()
	}
	return nil
}

// continued reports whether the WAL still belongs to the file. Where it cannot tell, because the
// file cannot be read at this moment, it returns true.
func (f *files) continued() bool {
	for range 10 { // another process may move both on between two reads
		before, err := headerBeside(f.path)
		if err != nil {
			return true
		}
		if before.mark == backupMark {
			return false
		}
		wal, err := readWAL(f.path)
		if err != nil || wal.continues(before) {
			return true
		}
		after, err := headerBeside(f.path)
		if err != nil {
			return true
		}
		again, err := readWAL(f.path)
		if err != nil {
			return true
		}
		if after == before && again.salts == wal.salts {
			return false
		}
	}
	return true
}

// headerBeside is readHeader for a process that has the file open. SQLite knows which files are,
// and with "immutable" it reads the file alone, without a lock or the WAL.
func headerBeside(path string) (h header, err error) {
	u := url.URL{Scheme: "file", Path: "/" + strings.TrimPrefix(filepath.ToSlash(path), "/"),
		RawQuery: "immutable=1"}
	conn, err := sqlite.OpenConn(u.String(), sqlite.OpenReadOnly, sqlite.OpenURI)
	if err != nil {
		return header{}, engineError(err)
	}
	defer conn.Close()
	for query, to := range map[string]*uint32{
		`PRAGMA user_version`:   &h.version,
		`PRAGMA schema_version`: &h.cookie,
		`PRAGMA freelist_count`: &h.free,
		`PRAGMA application_id`: &h.mark,
	} {
		value, err := one(conn, scanInteger, query)
		if err != nil {
			return header{}, err
		}
		*to = uint32(value)
	}
	return h, nil
}

// look returns what inPlace returns, after it did what helps: it opens the files again if the WAL
// was removed, and saves what was answered if the file itself was.
func (s *Store) look(ctx context.Context) error {
	err := s.files.inPlace()
	switch {
	case errors.Is(err, errLogLost):
		return s.openAgain(ctx)
	case errors.Is(err, errLost):
		s.rescue(ctx)
		return s.files.inPlace()
	}
	return err
}

// kept returns nil if what conn has committed cannot get lost. If the WAL was removed, it moves
// what is in there to the file. So writes go on until [Store.look] opens the files again.
func (s *Store) kept(conn *sqlite.Conn) error {
	err := s.files.inPlace()
	if errors.Is(err, errLogLost) && checkpoint(conn) == nil {
		return nil
	}
	return err
}

// checkpoint moves everything from the WAL to the file, and waits a moment for readers of older
// states.
func checkpoint(conn *sqlite.Conn) error {
	const tries = 200
	for range tries {
		done := false
		err := sqlitex.ExecuteTransient(conn, `PRAGMA wal_checkpoint(FULL)`,
			&sqlitex.ExecOptions{ResultFunc: func(stmt *sqlite.Stmt) error {
				done = stmt.ColumnInt(0) == 0 && stmt.ColumnInt(1) == stmt.ColumnInt(2)
				return nil
			}})
		if done {
			return nil
		}
		if err != nil && sqlite.ErrCode(err).ToPrimary() != sqlite.ResultBusy {
			return engineError(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("%w: the WAL cannot be moved to the file while others read",
		store.ErrUnavailable)
}

// openAgain moves what is in a WAL without a name to the file, and then opens all connections anew.
// It waits for those that are in use, but not for long ones.
func (s *Store) openAgain(ctx context.Context) error {
	w, err := take(ctx, s.timeout, s.writer, &s.stats.writer)
	if err != nil {
		return err
	}
	defer func() { s.writer <- w }()
	w.commit()
	if err := s.files.inPlace(); !errors.Is(err, errLogLost) {
		return err // somebody else has done it
	}
	if w.conn != nil { // or an earlier call could not open the file
		if err := checkpoint(w.conn); err != nil {
			return err
		}
		if err := s.closeAll(ctx, w); err != nil {
			return fmt.Errorf("open the database again: %w", err)
		}
	}
	return s.connectAgain(ctx, w)
}

// reopenToWrite opens all connections anew if the files may be written now. SQLite opens a file for
// reading alone, without an error, where that is all that it may do, and stays with it.
func (s *Store) reopenToWrite(ctx context.Context) error {
	w, err := take(ctx, s.timeout, s.writer, &s.stats.writer)
	if err != nil {
		return err
	}
	defer func() { s.writer <- w }()
	if w.open != nil || w.conn == nil {
		return nil
	}
	allowWriting(s.path)
	for _, name := range s.files.names() {
		if err := writableFile(name); err != nil {
			return err
		}
	}
	if err := s.closeAll(ctx, w); err != nil {
		return fmt.Errorf("open the database to write: %w", err)
	}
	return s.connectAgain(ctx, w)
}

// connectAgain opens all connections for the holder of the writer, after closeAll.
func (s *Store) connectAgain(ctx context.Context, w *writer) error {
	conns, err := s.files.connect(ctx, s.timeout)
	if err != nil {
		return fmt.Errorf("open the database again: %w", err)
	}
	conns[0].SetBusyTimeout(0)
	w.conn = conns[0]
	s.deciding <- conns[1]
	for _, conn := range conns[2:] {
		s.readers <- conn
	}
	return nil
}

// closeAll closes all connections for the holder of the writer, or none. They are closed before
// another is opened: SQLite would share the old index among all connections of a process.
func (s *Store) closeAll(ctx context.Context, w *writer) error {
	deciding, err := take(ctx, s.timeout, s.deciding, &s.stats.deciding)
	if err != nil {
		return err
	}
	var readers []*sqlite.Conn
	for len(readers) < cap(s.readers) {
		conn, err := take(ctx, s.timeout, s.readers, &s.stats.readers)
		if err != nil {
			s.deciding <- deciding
			for _, conn := range readers {
				s.readers <- conn
			}
			return err
		}
		readers = append(readers, conn)
	}
	for _, conn := range append(readers, deciding, w.conn) {
		conn.Close()
	}
	w.conn = nil
	return nil
}

// rescue saves what was answered to a new file beside the database, whose own file has lost its
// name. It does so once, but tries again if no connection was free. What was overwritten cannot be
// saved.
func (s *Store) rescue(ctx context.Context) {
	f := &s.files
	if err := f.compare(); !errors.Is(err, errLost) {
		return
	}
	f.mu.Lock()
	if f.rescued != "" {
		f.mu.Unlock()
		return
	}
	f.rescued = "what was answered is being saved beside it"
	f.mu.Unlock()
	said := s.save(ctx)
	f.mu.Lock()
	f.rescued = said
	f.mu.Unlock()
}

// save does the work of rescue, and returns what the operator must know, or "" if no connection was
// free.
func (s *Store) save(ctx context.Context) string {
	s.files.mu.Lock()
	opened := s.files.opened[0]
	s.files.mu.Unlock()
	if info, err := os.Stat(s.path); err == nil && os.SameFile(info, opened) {
		return "stop the server and use `clientes restore BACKUP`"
	}
	to := besideName(s.path, "rescued")
	conn, err := take(ctx, s.timeout, s.readers, &s.stats.readers)
	if err != nil {
		return ""
	}
	defer func() { s.readers <- conn }()
	if err := vacuumInto(conn, to); err != nil {
		os.Remove(to)
		return fmt.Sprintf("what was answered could not be saved: %v", err)
	}
	return "everything that was answered is in " + to + ": stop the server, move the file that " +
		"is to be served to " + s.path + " without any -wal and -shm of before, and start again"
}

// besideName returns the name of a file beside the database that says what it is and when it was
// made.
func besideName(path, what string) string {
	return path + "." + what + "-" + time.Now().UTC().Format("20060102T150405.000Z")
}

// vacuumInto writes everything that is committed to a new file, which is on the disk then. The
// connection may be one that must only read.
func vacuumInto(conn *sqlite.Conn, to string) (err error) {
	file, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE, 0o600) // SQLite would let others read it
	if err != nil {
		return err
	}
	file.Close()
	if err := exec(conn, `PRAGMA query_only = OFF`); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, exec(conn, `PRAGMA query_only = ON`)) }()
	if err := sqlitex.ExecuteTransient(conn, `VACUUM INTO ?`,
		&sqlitex.ExecOptions{Args: []any{to}}); err != nil {
		return engineError(err)
	}
	return syncFile(to)
}

// syncFile waits until a file and its name are on the disk.
func syncFile(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder waits until the names in a folder are on the disk. Some systems cannot do that, and
// need not.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) &&
		!errors.Is(err, os.ErrInvalid) && !errors.Is(err, os.ErrPermission) {
		return err
	}
	return nil
}
