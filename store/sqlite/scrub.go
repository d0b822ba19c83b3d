package sqlite

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"clientes/store"
)

// SQLite overwrites with zeros what is deleted, because all connections set secure_delete.
// Four kinds of copies stay all the same:
//
//   - The search index keeps the sequences of a text that was replaced or deleted. They stay until
//     their part of the index is merged with others. [Store.scrub] merges all. FTS5 could remove
//     them at once (secure-delete), but then an update takes ten times as long.
//   - When SQLite moves rows to another page, copies stay in the gap of the first one. The gap is
//     between its list of cells and its first cell. Nothing overwrites them when the rows are
//     deleted. scrub fills the gaps with zeros.
//   - The WAL holds pages as they were before. scrub moves all to the file and cuts the WAL to
//     nothing.
//   - Programs before migration 23 overwrote nothing. [rebuild] writes the whole file anew, once.

// wantScrub goes with each erasure.
const wantScrub = `
	UPDATE scrubbing
	SET wanted = wanted + 1`

// scrubPages is how many pages are looked at, and perhaps written, at a time: some 5 ms.
const scrubPages = 500

// scrub overwrites what is left of erased texts, if there is anything. It looks at each page, which
// takes two seconds for a gigabyte. It writes only those with something in their gap. When it
// begins, an erased text is nowhere but in such gaps, and SQLite copies no gap to another page. So
// a page that was cleared stays clear of it.
func (s *Store) scrub(ctx context.Context) error {
	ctx = store.WithRank(ctx, store.Insisting)
	wanted, err := readMany(ctx, s, func(conn *sqlite.Conn) (int64, error) {
		wanted, err := one(conn, scanInteger, `
			SELECT wanted
			FROM scrubbing
			WHERE wanted > done`)
		if err != nil {
			return 0, err
		}
		return wanted, mayClear(conn)
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("look for what to scrub: %w", err)
	}
	if s.scrubbed.Load() < wanted { // else only the WAL is left, of a call that could not cut it
		if err := s.mergeIndex(ctx); err != nil {
			return fmt.Errorf("merge the search index: %w", err)
		}
		if err := s.scrubFile(ctx); err != nil {
			return err
		}
		s.scrubbed.Store(wanted)
	}
	if err := s.cutWAL(ctx); err != nil {
		return err
	}
	return do(ctx, s, func(conn *sqlite.Conn) error {
		return exec(conn, `
			UPDATE scrubbing
			SET done = max(done, ?)`,
			wanted)
	})
}

// scrubFile clears the gaps of all pages.
func (s *Store) scrubFile(ctx context.Context) error {
	for first, more := int64(1), true; more; first += scrubPages {
		var used []int64
		var err error
		used, more, err = s.usedGaps(ctx, first)
		if err == nil && len(used) > 0 {
			err = s.clearGaps(ctx, used)
		}
		if err != nil {
			return fmt.Errorf("scrub the pages from %d: %w", first, err)
		}
	}
	return nil
}

// mergePages is about how many pages of the search index are written at a time: a few ms.
const mergePages = 64

// mergeIndex merges all parts of the search index, so that nothing of replaced texts is left.
func (s *Store) mergeIndex(ctx context.Context) error {
	for pages := int64(-mergePages); ; pages = mergePages { // below 0 it begins with all parts
		more, err := writeAlone(ctx, s, func(conn *sqlite.Conn) (bool, error) {
			before, err := one(conn, scanInteger, totalChanges)
			if err != nil {
				return false, err
			}
			err = exec(conn, `
				INSERT INTO clientes_search (clientes_search, rank)
				VALUES ('merge', ?)`,
				pages)
			if err != nil {
				return false, err
			}
			after, err := one(conn, scanInteger, totalChanges)
			// The statement itself is one. See https://www.sqlite.org/fts5.html#the_merge_command
			return after-before >= 2, err
		})
		if err != nil || !more {
			return err
		}
	}
}

// usedGaps returns which of the pages from first on have something in their gap, and whether there
// are pages after them.
func (s *Store) usedGaps(ctx context.Context, first int64) (used []int64, more bool, err error) {
	used, err = readMany(ctx, s, func(conn *sqlite.Conn) ([]int64, error) {
		count, err := one(conn, scanInteger, `PRAGMA page_count`)
		if err != nil {
			return nil, err
		}
		more = first+scrubPages <= count
		var used []int64
		for number := first; number <= min(count, first+scrubPages-1); number++ {
			page, err := readPage(conn, number)
			if err != nil {
				return nil, err
			}
			if len(bytes.Trim(gap(page, number), "\x00")) > 0 {
				used = append(used, number)
			}
		}
		return used, ctx.Err()
	})
	return used, more, err
}

// mayClear returns an error for a file in which a page of another kind can look like one with
// cells. An overflow page and one of the freelist begin with the number of another page. Its first
// byte is 0 or 1 below 2<<24 pages, 137 GB, and a page with cells begins with 2 or more. With
// auto_vacuum there are also pages that point at others.
func mayClear(conn *sqlite.Conn) error {
	moving, err := one(conn, scanInteger, `PRAGMA auto_vacuum`)
	if err != nil {
		return err
	}
	pages, err := one(conn, scanInteger, `PRAGMA page_count`)
	switch {
	case err != nil:
		return err
	case moving != 0:
		return &store.EngineError{
			What: "erased texts may be left in the file", Detail: "PRAGMA auto_vacuum is set",
			Cure: "stop the servers and call: sqlite3 FILE 'PRAGMA auto_vacuum = 0; VACUUM'",
			Err:  store.ErrNotCleared,
		}
	case pages >= 2<<24:
		return &store.EngineError{
			What: "erased texts may be left in the file", Detail: "it is larger than 137 GB",
			Cure: "stop the servers and call: sqlite3 FILE VACUUM", Err: store.ErrNotCleared,
		}
	}
	return nil
}

// clearGaps fills the gaps of pages with zeros. They may have changed since they were looked at.
func (s *Store) clearGaps(ctx context.Context, pages []int64) error {
	_, err := writeAlone(ctx, s, func(conn *sqlite.Conn) (struct{}, error) {
		for _, number := range pages {
			page, err := readPage(conn, number)
			if err != nil {
				return struct{}{}, err
			}
			clear(gap(page, number))
			err = sqlitex.Execute(conn, `
				UPDATE sqlite_dbpage
				SET data = ?
				WHERE pgno = ?`,
				&sqlitex.ExecOptions{Args: []any{page, number}})
			if err != nil {
				return struct{}{}, engineError(err)
			}
		}
		return struct{}{}, nil
	})
	return err
}

// readPage returns a page of the file as the connection sees it. It is empty if there is none.
func readPage(conn *sqlite.Conn, number int64) ([]byte, error) {
	page, err := one(conn, func(stmt *sqlite.Stmt) []byte {
		b := make([]byte, stmt.ColumnLen(0))
		stmt.ColumnBytes(0, b)
		return b
	}, `
		SELECT data
		FROM sqlite_dbpage
		WHERE pgno = ?`,
		number)
	if errors.Is(err, store.ErrNotFound) { // the file became shorter
		return nil, nil
	}
	return page, err
}

// gap returns what lies between the list of cells and the first cell of a page, or nil if it is a
// page of another kind. SQLite reads nothing there. A page that is not as SQLite writes it, in any
// respect, is left alone. See https://www.sqlite.org/fileformat2.html#b_tree_pages and mayClear.
func gap(page []byte, number int64) []byte {
	const fileHeader = 100 // on the first page
	head := 0
	if number == 1 {
		head = fileHeader
	}
	if len(page) < head+12 {
		return nil
	}
	list := head
	switch page[head] {
	case 2, 5: // inner pages of an index and of a table
		list += 12
	case 10, 13: // leaves
		list += 8
	default:
		return nil
	}
	at := func(place int) int { return int(binary.BigEndian.Uint16(page[place:])) }
	free, cells, to := at(head+1), at(head+3), at(head+5)
	from := list + 2*cells
	if to < from || to > len(page) || free != 0 && free < to {
		return nil // an empty page of 64 KB, or damage
	}
	for i := range cells {
		if cell := at(list + 2*i); cell < to || cell >= len(page) {
			return nil
		}
	}
	return page[from:to]
}

// cutWAL moves the WAL to the file and cuts it to nothing. It returns [store.ErrUnavailable] while
// another connection reads an older state. Commits wait meanwhile.
func (s *Store) cutWAL(ctx context.Context) error {
	w, err := take(ctx, s.timeout, s.writer, &s.stats.writer)
	if err != nil {
		return s.outcome(err)
	}
	defer func() { s.writer <- w }()
	w.commit()
	if w.conn == nil {
		return fmt.Errorf("cut the WAL: the database is not open: %w", store.ErrUnavailable)
	}
	if err := s.files.inPlace(); err != nil {
		return s.outcome(err)
	}
	const tries = 20
	for range tries {
		if done, err := truncate(w.conn); done || err != nil {
			return s.outcome(err)
		}
		time.Sleep(5 * time.Millisecond) // most reads are over by then
	}
	return fmt.Errorf("cut the WAL while others read: %w", store.ErrUnavailable)
}

// truncate reports whether the WAL is empty now.
func truncate(conn *sqlite.Conn) (done bool, err error) {
	err = sqlitex.ExecuteTransient(conn, `PRAGMA wal_checkpoint(TRUNCATE)`,
		&sqlitex.ExecOptions{ResultFunc: func(stmt *sqlite.Stmt) error {
			done = stmt.ColumnInt(0) == 0
			return nil
		}})
	if sqlite.ErrCode(err).ToPrimary() == sqlite.ResultBusy {
		return false, nil
	}
	return done, engineError(err)
}

// rebuild writes a file anew in which older programs have deleted something, as they did not
// overwrite it. It needs room for two more copies of the file on the disk.
func rebuild(ctx context.Context, path string, report func(store.MigrationProgress)) (err error) {
	conn, err := connect(ctx, path, callTimeout, writerPragmas()...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	done, err := one(conn, scanBool, `SELECT rebuilt FROM scrubbing`)
	if err != nil || done {
		return err
	}
	report(store.MigrationProgress{Name: "the file is written anew, to overwrite what was deleted"})
	conn.SetInterrupt(ctx.Done())
	for _, statement := range []string{
		`PRAGMA auto_vacuum = NONE`, // see mayClear
		// The entries of deleted records stay in the search index until it is merged.
		`INSERT INTO clientes_search (clientes_search) VALUES ('optimize')`,
		`VACUUM`,
		`UPDATE scrubbing SET rebuilt = 1`,
	} {
		if err := sqlitex.ExecuteTransient(conn, statement, nil); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return engineError(err)
		}
	}
	_, err = truncate(conn)
	return err
}
