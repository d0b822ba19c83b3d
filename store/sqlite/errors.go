package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"syscall"

	driver "modernc.org/sqlite"
	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// engineError turns an error that has nothing to do with the caller's data, because the file is
// busy, gone, damaged or on a full disk, into a [*store.EngineError]. It returns any other error as
// it is. [Store.outcome] adds which file it is.
func engineError(err error) error {
	if err == nil {
		return nil
	}
	code := codeOf(err)
	e := &store.EngineError{Detail: code.String(), Err: err}
	switch code.ToPrimary() {
	case sqlite.ResultFull:
		e.What = "the disk is full"
		e.Cure = "make room on it"
	case sqlite.ResultReadOnly, sqlite.ResultPerm, sqlite.ResultAuth:
		e.What = "the file cannot be written"
		e.Cure = "let the user that runs this program write to the file, to those beside it " +
			"(-wal, -shm) and to their folder, and mount the volume writable"
	case sqlite.ResultCantOpen:
		e.What = "the file, or one beside it (-wal, -shm), cannot be opened"
		e.Cure = "check that the folder exists, that the user that runs this program may read and " +
			"write in it, and that the system allows enough open files"
	case sqlite.ResultCorrupt:
		e.What = "the file is damaged"
		e.Cure = "stop the server, keep the file, and restore a backup; then check the disk"
	case sqlite.ResultNotADB:
		e.What = "the file is no SQLite database, or its beginning is damaged"
		e.Cure = "stop the server, keep the file, and restore a backup, or correct the URL"
	case sqlite.ResultIOErr:
		e.What = "the disk does not read or write"
		e.Cure = "look into the system's log for the disk's errors; " +
			"the disk may also be full, or the folder gone"
	case sqlite.ResultBusy, sqlite.ResultLocked, sqlite.ResultProtocol:
		e.What = "another process keeps the file locked"
		e.Cure = "end it, or wait for it; `fuser` with the name of the file finds it"
	case sqlite.ResultNoMem:
		e.What = "there is no memory left"
		e.Cure = "give this program more, or end others"
	default:
		return fileError(err)
	}
	return e
}

// fileError is engineError for an error of the operating system.
func fileError(err error) error {
	e := &store.EngineError{Err: err}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return engineError(sqlite.ResultFull.ToError())
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		e.What = "the file or its folder cannot be used"
		e.Cure = "let the user that runs this program read and write there, and mount the volume " +
			"writable"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		e.What = "there are too many open files"
		e.Cure = "raise the limit (ulimit -n, LimitNOFILE)"
	case errors.Is(err, syscall.EIO):
		return engineError(sqlite.ResultIOErr.ToError())
	default:
		return err
	}
	e.Detail = err.Error()
	return e
}

// codeOf returns SQLite's code of an error, whichever of the two ways to SQLite it came.
// Migrations go by database/sql. It returns SQLITE_ERROR for an error of anything else.
func codeOf(err error) sqlite.ResultCode {
	if e := (*driver.Error)(nil); errors.As(err, &e) {
		return sqlite.ResultCode(e.Code())
	}
	return sqlite.ErrCode(err)
}

// isConflict reports whether the engine refused a value because another row has it in a unique
// index.
func isConflict(err error) bool {
	return sqlite.ErrCode(err) == sqlite.ResultConstraintUnique
}

// condition is what calls have learned of the file, for [Store.Ready].
type condition struct {
	damage atomic.Pointer[error] // the first error that said the file is damaged
	full   atomic.Bool           // a write found the disk full, and none has found room since
}

// outcome adds the name of the file to an error of the engine, and remembers what it says of the
// file. It returns any other error, and nil, as it is.
func (s *Store) outcome(err error) error {
	var e *store.EngineError
	if err == nil || !errors.As(err, &e) {
		return err
	}
	err = fmt.Errorf("the database %s: %w", s.path, err)
	switch codeOf(e.Err).ToPrimary() {
	case sqlite.ResultCorrupt, sqlite.ResultNotADB:
		s.learned.damage.CompareAndSwap(nil, &err)
	case sqlite.ResultFull:
		s.learned.full.Store(true)
	}
	return err
}
