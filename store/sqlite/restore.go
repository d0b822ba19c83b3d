package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// Restored is what [Restore] has done.
type Restored struct {
	Backup                // what was put in place
	store.EndedAll        // what it brought back and was ended
	Kept           string // where the database is that was there before, "" if there was none
	Erased         int    // how many customers and users were erased again
	KnowsIDs       bool   // whether ids go on exactly where they were, and do not jump
	Unreadable     error  // why nothing could be learned of the one that was there before
}

// ErrInUse refuses to restore a database that a process has open.
var ErrInUse = errors.New("a process has the database open")

// Restore puts a copy of a backup in the place of the database that the URL names, and keeps what
// was there beside it. Before, it checks the backup, migrates it, and ends what it must not bring
// back: see [store.Restoring]. The backup may be any copy of a database of this program, with a WAL
// beside it or not. It stays as it is.
//
// If a process has the database open, Restore returns [ErrInUse]. If it is stopped at any moment,
// either the old or the new database is there as a whole, or none, and it can be called again.
func Restore(ctx context.Context, databaseURL, from string,
	progress func(done, total int64)) (r Restored, err error) {
	path, err := pathOf(databaseURL)
	if err != nil {
		return Restored{}, err
	}
	if from, err = filepath.Abs(from); err != nil {
		return Restored{}, err
	}
	if err := mayRestore(path, from); err != nil {
		return Restored{}, err
	}
	for _, file := range []string{path, from} {
		if err := checkForeign(ctx, file); err != nil {
			return Restored{}, err
		}
	}
	// As Migrate does, which every server calls at its start.
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	switch locked, err := lock.TryLock(); {
	case err != nil:
		return Restored{}, explain(path, "lock "+path, fileError(err))
	case !locked:
		return Restored{}, fmt.Errorf("%s: %w", path, ErrInUse)
	}
	defer lock.Close()
	if inUse(path) {
		return Restored{}, fmt.Errorf("%s: %w", path, ErrInUse)
	}
	old, err := foldOld(ctx, path)
	if err != nil {
		return Restored{}, err
	}
	next := path + ".restoring"
	if err := removeDatabase(next); err != nil { // of a call that was stopped
		return Restored{}, err
	}
	defer func() { err = errors.Join(err, removeDatabase(next)) }()
	if r, err = prepareRestore(ctx, next, from, old, progress); err != nil {
		return Restored{}, err
	}
	if inUse(path) {
		return Restored{}, fmt.Errorf("%s: %w", path, ErrInUse)
	}
	if err := giveAway(path, next, path+".lock"); err != nil {
		return Restored{}, err
	}
	r.Kept, err = swap(path, next, old)
	return r, err
}

// mayRestore returns an error if the file to restore is none, or is the database.
func mayRestore(path, from string) error {
	info, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("the backup %s cannot be read: %w; give the name of a file that exists",
			from, errors.Unwrap(err))
	}
	there, err := os.Lstat(path) // pathOf has followed the links that lead anywhere
	switch {
	case err == nil && !there.Mode().IsRegular():
		return fmt.Errorf("the database %s is not a file, and is left as it is; correct DATABASE_URL",
			path)
	case err == nil && os.SameFile(info, there):
		return fmt.Errorf("%s is the database itself; move it to another name and give that", from)
	}
	if err := checkFile(from); err != nil {
		return fmt.Errorf("%s cannot be restored: %w", from, err)
	}
	if info.Size() == 0 {
		return fmt.Errorf("%s cannot be restored: it is empty", from)
	}
	return nil
}

// oldDatabase is the one that is to be replaced.
type oldDatabase struct {
	path   string
	exists bool
	folded bool // its WAL is in the file
	id     string
	last   map[string]int64 // the last ids; nil if they could not be read
	fault  error            // why it could not be read or folded
}

// foldOld moves the WAL of the old database into its file, and reads its last ids. It leaves a
// database alone that is damaged, or whose WAL is of another one. It returns [ErrInUse] if another
// connection is open.
func foldOld(ctx context.Context, path string) (old oldDatabase, err error) {
	if isAbsent(path) {
		return oldDatabase{}, nil
	}
	old.path, old.exists = path, true
	// SQLite would remove the WAL of what is no database.
	if old.fault = checkFile(path); old.fault != nil {
		return old, nil
	}
	if _, old.fault = checkPair(path); old.fault != nil {
		return old, nil
	}
	conn, err := connect(ctx, path, callTimeout)
	if err != nil {
		old.fault = err
		return old, nil
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	conn.SetBusyTimeout(0)
	// SQLite leaves the WAL only for a connection that is alone.
	mode, fault := one(conn, func(stmt *sqlite.Stmt) string { return stmt.ColumnText(0) },
		`PRAGMA journal_mode = DELETE`)
	switch {
	case sqlite.ErrCode(fault).ToPrimary() == sqlite.ResultBusy, fault == nil && mode == "wal":
		return old, fmt.Errorf("%s: %w", path, ErrInUse)
	case fault != nil:
		old.fault = fault
		return old, nil
	}
	old.folded = true
	is, fault := identity(conn)
	if old.fault = fault; fault != nil {
		return old, nil
	}
	old.id, old.last = is.ID, make(map[string]int64)
	for _, t := range store.Tables() {
		if t.IDs {
			last, fault := lastID(conn, t.Name)
			if fault != nil {
				old.fault, old.last = fault, nil
				return old, nil
			}
			old.last[t.Name] = last
		}
	}
	return old, nil
}

// prepareRestore makes the file that is to be put in place, of a backup.
func prepareRestore(ctx context.Context, next, from string, old oldDatabase,
	progress func(done, total int64)) (r Restored, err error) {
	// Before SQLite opens it. A copy of a live database has its WAL beside it.
	for _, suffix := range []string{"-wal", ""} {
		if err := copyFile(from+suffix, next+suffix, progress); err != nil &&
			(suffix == "" || !errors.Is(err, fs.ErrNotExist)) {
			return Restored{}, fmt.Errorf("copy %s: %w", from+suffix, err)
		}
	}
	if _, err := checkPairOfBackup(next); err != nil {
		return Restored{}, fmt.Errorf("%s cannot be restored: %w", from, err)
	}
	conn, err := connect(ctx, next, callTimeout)
	if err != nil {
		return Restored{}, fmt.Errorf("%s cannot be restored: %w", from, err)
	}
	r.KnowsIDs, err = unmark(ctx, next, conn, old, &r.Backup)
	if err = errors.Join(err, conn.Close()); err != nil {
		return Restored{}, fmt.Errorf("%s cannot be restored: %w", from, err)
	}
	r.Unreadable = old.fault
	if err := migrate(ctx, next, func(store.MigrationProgress) {}); err != nil {
		return Restored{}, fmt.Errorf("migrate a copy of %s: %w", from, err)
	}
	if r.KnowsIDs {
		// If the old one cannot be read, whoever follows the changes has to begin again.
		r.Unreadable = errors.Join(
			continueChanges(ctx, next, old.path, time.Now()), takeErasures(ctx, next, old.path))
	}
	s, err := Open(ctx, scheme+next, store.Options{})
	if err != nil {
		return Restored{}, err
	}
	last := old.last
	if !r.KnowsIDs {
		last = nil
	}
	if r.EndedAll, err = s.EndAll(ctx, last); err == nil {
		r.Erased, err = store.EraseAllAgain(ctx, s)
	}
	if err = errors.Join(err, s.Close()); err != nil {
		return Restored{}, err
	}
	return r, syncFile(next)
}

// unmark checks a copy of a backup and makes it a database again. It reports whether the old
// database knows every id that was given since: it must be the one that the backup is of, and go on
// from there.
func unmark(ctx context.Context, path string, conn *sqlite.Conn, old oldDatabase,
	b *Backup) (knowsIDs bool, err error) {
	if err := checkWhole(ctx, path, conn, b); err != nil {
		return false, err
	}
	is, err := identity(conn)
	switch {
	case err != nil:
		return false, err
	case is.Copying != "":
		return false, errors.New("a copy of another database into it was never finished")
	}
	knowsIDs = old.last != nil && old.id == is.ID
	for table, last := range old.last {
		backup, err := lastID(conn, table)
		if err != nil {
			return false, err
		}
		knowsIDs = knowsIDs && last >= backup
	}
	if err := exec(conn, `PRAGMA application_id = 0`); err != nil {
		return false, err
	}
	return knowsIDs, reseed(conn)
}

// swap puts next in the place of path and returns the name under which it keeps what was there.
func swap(path, next string, old oldDatabase) (kept string, err error) {
	folder := filepath.Dir(path)
	_, noLog := os.Stat(path + "-wal")
	if old.exists || noLog == nil {
		kept = besideName(path, "before-restore")
	}
	linked := false
	if old.folded {
		// Of a whole database there is one under the name at every moment.
		linked = os.Link(path, kept) == nil
	}
	if old.exists && !linked {
		// The file first: without it no process starts, whatever is left beside it.
		if err := os.Rename(path, kept); err != nil {
			return "", err
		}
	}
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		if err := os.Rename(path+suffix, kept+suffix); err != nil &&
			!errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	if err := syncFolder(folder); err != nil {
		return "", err
	}
	if err := os.Rename(next, path); err != nil {
		if kept != "" {
			err = fmt.Errorf("%w; the database that was there is %s", err, kept)
		}
		return kept, err
	}
	return kept, syncFolder(folder)
}

// removeDatabase removes the files of a database that nobody has open.
func removeDatabase(path string) error {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal", ".lock"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// copyFile copies a file to a new one, which only its owner may read.
func copyFile(from, to string, progress func(done, total int64)) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	done := int64(0)
	counted := writerFunc(func(b []byte) (int, error) {
		n, err := out.Write(b)
		done += int64(n)
		progress(done, info.Size())
		return n, err
	})
	if _, err := io.Copy(counted, in); err != nil {
		return err
	}
	return out.Sync()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
