package sqlite

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// SQLite does not notice that the WAL beside a file belongs to another file, for example because a
// backup was copied over the file of a killed server. It applies the pages of the one to the other.
//
// So every commit raises PRAGMA user_version by one, from a number that was random when the
// database was made. The first page of the file holds that number, and so each commit has that page
// in the WAL. A WAL continues a file if the file's first page is one of those in the WAL, or the
// one just before them.

// backupMark is the PRAGMA application_id of a backup. A server refuses such a file, because the
// sessions that ended after it, and the ids that were given, would come again: see [Restore].
const backupMark = 0x434C424B // CLBK

// header is what the first page of a file says of the file. See
// https://www.sqlite.org/fileformat2.html#the_database_header
type header struct {
	version uint32 // user_version: the commits, see countCommit
	cookie  uint32 // schema_version, which VACUUM raises, too
	free    uint32 // freelist_count
	mark    uint32 // application_id
}

const headerSize = 100

func parseHeader(page []byte) header {
	at := func(offset int) uint32 { return binary.BigEndian.Uint32(page[offset:]) }
	return header{version: at(60), cookie: at(40), free: at(36), mark: at(68)}
}

// readHeader reads the header of the file alone, without its WAL. It must not be called while this
// process has the file open: to close a file ends all locks that a process has on it.
func readHeader(path string) (header, error) {
	file, err := os.Open(path)
	if err != nil {
		return header{}, err
	}
	defer file.Close()
	page := make([]byte, headerSize)
	if _, err := io.ReadFull(file, page); err != nil {
		return header{}, err
	}
	return parseHeader(page), nil
}

// walSummary is the part of a WAL that SQLite would look at: the frames whose salts are those of
// the WAL's header.
type walSummary struct {
	salts  uint64
	frames int
	firsts []header // of the frames that hold the first page of the database
}

// readWAL returns the summary of a WAL. It has no frames if there is no WAL, or an empty one.
func readWAL(path string) (w walSummary, err error) {
	file, err := os.Open(path + "-wal")
	if errors.Is(err, fs.ErrNotExist) {
		return w, nil
	}
	if err != nil {
		return w, err
	}
	defer file.Close() // no process locks it
	const fileHeader, frameHeader = 32, 24
	head := make([]byte, fileHeader)
	if _, err := io.ReadFull(file, head); err != nil {
		return w, ignoreEnd(err)
	}
	w.salts = binary.BigEndian.Uint64(head[16:])
	pageSize := int64(binary.BigEndian.Uint32(head[8:]))
	if pageSize < 512 || pageSize > 65536 {
		return w, nil // SQLite ignores it, too
	}
	frame := make([]byte, frameHeader+headerSize)
	for at := int64(fileHeader); ; at += frameHeader + pageSize {
		if _, err := file.ReadAt(frame, at); err != nil {
			return w, ignoreEnd(err)
		}
		if binary.BigEndian.Uint64(frame[8:]) != w.salts {
			return w, nil
		}
		w.frames++
		if binary.BigEndian.Uint32(frame) == 1 {
			w.firsts = append(w.firsts, parseHeader(frame[frameHeader:]))
		}
	}
}

func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// continues reports whether the WAL may be applied to a file with the header h. It does not know of
// any reason against a WAL that holds no first page: an older program has written it.
func (w walSummary) continues(h header) bool {
	if len(w.firsts) == 0 {
		return true
	}
	for _, first := range w.firsts {
		if first == h {
			return true
		}
	}
	first := w.firsts[0]
	// A commit of an older program does not count. A database that has just got its first number
	// goes on with a random one.
	follows := first.version == h.version || first.version == h.version+1 || h.version == unseeded
	return follows && h.cookie <= first.cookie
}

// unseeded is the first number that a database ever gets.
const unseeded = 1

// countCommit raises the number of commits in the transaction that is open. It leaves a database
// alone that has no number yet.
func countCommit(conn *sqlite.Conn) error {
	version, err := one(conn, scanInteger, `PRAGMA user_version`)
	if err != nil {
		return fmt.Errorf("read the number of commits: %w", err)
	}
	if version == 0 {
		return nil
	}
	next := int32(version) + 1
	if next == 0 || next == unseeded {
		next = unseeded + 1
	}
	if err := setVersion(conn, next); err != nil {
		return fmt.Errorf("count the commit: %w", err)
	}
	return nil
}

// setVersion sets user_version. A PRAGMA takes no parameters.
func setVersion(conn *sqlite.Conn, version int32) error {
	return engineError(sqlitex.ExecuteTransient(conn,
		"PRAGMA user_version = "+strconv.Itoa(int(version)), nil))
}

// seed sets the random number of a database unless it has one. Two commits do that, because the
// first of a WAL must follow the number that is in the file.
func seed(conn *sqlite.Conn) error {
	version, err := one(conn, scanInteger, `PRAGMA user_version`)
	if err != nil || version != 0 {
		return err
	}
	return reseed(conn)
}

// reseed sets a new random number, so that no WAL of an earlier state continues it.
func reseed(conn *sqlite.Conn) error {
	if err := setVersion(conn, unseeded); err != nil {
		return err
	}
	return setVersion(conn, rand.Int32N(1<<30)+1<<10)
}

// seedAt is seed on a connection of its own.
func seedAt(ctx context.Context, path string) error {
	conn, err := connect(ctx, path, callTimeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := seed(conn); err != nil {
		return fmt.Errorf("number the commits: %w", err)
	}
	return nil
}

// checkPair returns why a file and the WAL beside it must not be opened, or nil. It opens neither
// with SQLite, which would apply the one to the other. It also returns how many frames the WAL has:
// a process that ended well leaves none.
func checkPair(path string) (frames int, err error) {
	return comparePair(path, true, readHeader)
}

// checkPairOfBackup is checkPair for a file that may bear the mark of a backup.
func checkPairOfBackup(path string) (frames int, err error) {
	return comparePair(path, false, readHeader)
}

func comparePair(path string, refuseBackup bool, headerOf func(path string) (header, error)) (
	frames int, err error) {
	const waits = fs.ModeNamedPipe | fs.ModeSocket | fs.ModeDevice // to open one can take forever
	if info, err := os.Stat(path); err == nil && info.Mode()&waits != 0 {
		return 0, &badFileError{path, "is not a file", "correct DATABASE_URL"}
	}
	const tries = 20
	for try := 1; ; try++ {
		wal, err := readWAL(path)
		if err != nil {
			return 0, err
		}
		h, err := headerOf(path)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, io.EOF):
			if wal.frames > 0 {
				return wal.frames, &badFileError{path, "is missing or empty, and the log " +
					"of its last writes is beside it (-wal)",
					"bring the file back, or use `clientes restore BACKUP`; to begin anew, " +
						"move the -wal and -shm away first"}
			}
			return 0, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return wal.frames, nil // no database: SQLite says so
		case err != nil:
			return 0, err
		case h.mark == backupMark && refuseBackup:
			return wal.frames, &badFileError{path, "is a backup that was put here by hand: " +
				"sessions that have ended since would be open again, and ids be given twice",
				"move it to another name, and give `clientes restore` that name"}
		case wal.continues(h):
			return wal.frames, nil
		}
		// Another process may have moved both on between the two reads.
		after, err := readWAL(path)
		if err != nil {
			return 0, err
		}
		again, err := headerOf(path)
		if err == nil && again == h && after.salts == wal.salts || try == tries {
			return wal.frames, &badFileError{path, fmt.Sprintf(
				"and the log beside it (-wal) are of two databases, or of two states of one: "+
					"the file has commit %d, the log begins at %d and ends at %d",
				h.version, wal.firsts[0].version, wal.firsts[len(wal.firsts)-1].version),
				"use `clientes restore BACKUP`, which keeps both; " +
					"to use the file as it is, move the -wal and -shm away first"}
		}
		time.Sleep(time.Millisecond)
	}
}

// badFileError is a file that must not be used as it is.
type badFileError struct {
	path, fault, cure string
}

func (e *badFileError) Error() string { return e.path + " " + e.fault + "; " + e.cure }

// smallFile is the size up to which a file is checked at each start. It takes less than a second,
// and finds a copy that was made with cp while the file was written.
const smallFile = 64 << 20

// checkDamage returns an error if a quick_check finds damage. It looks at a small file, and at any
// whose last process did not end well.
func checkDamage(ctx context.Context, path string, frames int) error {
	info, err := os.Stat(path)
	if err != nil || frames == 0 && info.Size() > smallFile {
		return err
	}
	if info.Size() > smallFile && inUse(path) { // the WAL is another process's
		return nil
	}
	conn, err := connect(ctx, path, callTimeout, "query_only = ON")
	if err == nil {
		defer conn.Close()
		err = checkIntegrity(ctx, conn, "quick_check")
	}
	if code := sqlite.ErrCode(err).ToPrimary(); code == sqlite.ResultCorrupt {
		return damaged(path, err)
	}
	return err
}

func damaged(path string, err error) *badFileError {
	return &badFileError{path, "is damaged: " + err.Error(),
		"use `clientes restore BACKUP`, which keeps it"}
}

// checkIntegrity runs PRAGMA quick_check or integrity_check.
func checkIntegrity(ctx context.Context, conn *sqlite.Conn, check string) error {
	conn.SetInterrupt(ctx.Done())
	defer conn.SetInterrupt(nil)
	faults := ""
	err := sqlitex.ExecuteTransient(conn, "PRAGMA "+check+"(1)", &sqlitex.ExecOptions{
		ResultFunc: func(stmt *sqlite.Stmt) error {
			if text := stmt.ColumnText(0); text != "ok" {
				faults = text
			}
			return nil
		},
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil && faults != "":
		err = fmt.Errorf("%w: %s", sqlite.ResultCorrupt.ToError(), faults)
	}
	return err
}
