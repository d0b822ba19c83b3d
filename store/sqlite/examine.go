package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// checkTimeout is how long [Examine] looks for damage.
const checkTimeout = 5 * time.Second

// Examine looks at the database that a URL names, and returns what an operator should know of it.
// It opens connections of its own, changes nothing, makes no file, and takes some ten seconds at
// most. It also speaks for a database that cannot be opened. This process may have the database
// open.
func Examine(ctx context.Context, databaseURL string) []store.Finding {
	const id = "database-open"
	path, err := pathOf(databaseURL)
	if err != nil {
		return []store.Finding{{ID: id, Level: store.LevelFail, Message: err.Error(),
			Cure: "correct DATABASE_URL"}}
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = CanMake(databaseURL)
	}
	if err != nil {
		return []store.Finding{findingOf(id, explain(path, "look at "+path, err))}
	}
	findings := examineDisk(path)
	if _, err := os.Stat(path + backupNote); err == nil && (info == nil || info.Size() == 0) {
		return append(findings, failure(id, "find the file, or put a backup in its place "+
			"(`clientes restore BACKUP`); do not start the server, which would begin with nothing",
			"the database %s is gone, or empty: there was a backup of it", path))
	}
	if info == nil {
		return append(findings, store.Finding{ID: id, Level: store.LevelWarn,
			Message: "there is no file " + path + " yet",
			Cure: "run `clientes migrate`, which makes it, as `clientes serve` does; if there is " +
				"a database elsewhere, name it in DATABASE_URL"})
	}
	findings = append(findings, examineFiles(path)...)
	if err := mayLook(ctx, path); err != nil {
		return append(findings, findingOf(id, explain(path, "look at "+path, err)))
	}
	conn, err := openToLook(path)
	if err != nil {
		return append(findings, findingOf(id, explain(path, "open "+path, err)))
	}
	defer conn.Close()
	p, err := placeOf(ctx, conn, path)
	if err != nil {
		return append(findings, findingOf(id, explain(path, "look at "+path, err)))
	}
	findings = append(findings, store.Finding{ID: id, Level: store.LevelOK,
		Message: "the file " + path + " can be opened"})
	for _, look := range []func(context.Context, *sqlite.Conn, string, place) store.Finding{
		examineSchema, examineIntegrity, examineWAL, examineBackup,
	} {
		findings = append(findings, look(ctx, conn, path, p))
	}
	return findings
}

// findingOf is [store.FindingOf] for the errors of this package, too.
func findingOf(id string, err error) store.Finding {
	f := store.FindingOf(id, err)
	if bad := (*badFileError)(nil); errors.As(err, &bad) {
		f.Message, f.Cure = bad.path+" "+bad.fault, bad.cure
	}
	return f
}

func okay(id, format string, args ...any) store.Finding {
	return store.Finding{ID: id, Level: store.LevelOK, Message: fmt.Sprintf(format, args...)}
}

func warning(id, cure, format string, args ...any) store.Finding {
	return store.Finding{ID: id, Level: store.LevelWarn, Message: fmt.Sprintf(format, args...),
		Cure: cure}
}

func failure(id, cure, format string, args ...any) store.Finding {
	return store.Finding{ID: id, Level: store.LevelFail, Message: fmt.Sprintf(format, args...),
		Cure: cure}
}

// mayLook returns why the file must not be opened, as [Schema] does. But it opens the file by
// SQLite alone: this process may have it open, and would lose its locks.
func mayLook(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir() || !info.Mode().IsRegular():
		return checkFile(path) // which opens no such file
	}
	if _, closed := closedFiles(path); closed != "" {
		return fs.ErrPermission
	}
	if err := checkForeign(ctx, path); err != nil {
		return err
	}
	_, err = comparePair(path, true, headerBeside)
	return err
}

// openToLook opens a file so that nothing is written, and nothing made beside it. A process that
// has the file open has a WAL, too, and so has one that was killed. With it, SQLite opens the file
// for reading alone, and leaves both as they are. Without it the file alone is the database, and to
// open it in the usual way would make a WAL.
func openToLook(path string) (*sqlite.Conn, error) {
	var conn *sqlite.Conn
	_, err := os.Stat(path + "-wal")
	if err == nil {
		conn, err = sqlite.OpenConn(path, sqlite.OpenReadOnly)
	} else {
		conn, err = openImmutable(path)
	}
	if err != nil {
		return nil, engineError(err)
	}
	conn.SetBusyTimeout(time.Second)
	return conn, nil
}

func examineSchema(_ context.Context, conn *sqlite.Conn, _ string, p place) store.Finding {
	const id = "database-schema"
	copying, err := one(conn, scanBool, `
		SELECT EXISTS (
			SELECT 1
			FROM pragma_table_info('identity')
			WHERE name = 'copying')`)
	if err == nil && copying {
		copying, err = one(conn, scanBool, `
			SELECT EXISTS (
				SELECT 1
				FROM identity
				WHERE copying <> '')`)
	}
	if err != nil {
		return findingOf(id, err)
	}
	return p.Finding(id, copying)
}

func examineIntegrity(ctx context.Context, conn *sqlite.Conn, path string, _ place) store.Finding {
	const id = "database-integrity"
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	err := checkIntegrity(ctx, conn, "quick_check")
	switch {
	case ctx.Err() != nil:
		return okay(id, "no damage was found in %s; not all of %s was looked at", checkTimeout,
			path)
	case sqlite.ErrCode(err).ToPrimary() == sqlite.ResultCorrupt:
		return findingOf(id, damaged(path, err))
	case err != nil:
		return findingOf(id, engineError(err))
	}
	broken, err := brokenReferences(ctx, conn)
	switch {
	case ctx.Err() != nil:
		return okay(id, "the file is not damaged; not all of its foreign keys were looked at")
	case err != nil:
		return findingOf(id, err)
	case broken != "":
		return failure(id, "stop the server, keep the file, and use `clientes restore BACKUP`; "+
			"then find out what else writes to the file",
			"a row of the table %s refers to one that is not there: another program has written "+
				"to the file without its foreign keys", broken)
	}
	return okay(id, "the file is not damaged")
}

// brokenReferences returns the name of a table with a foreign key that leads nowhere, or "".
func brokenReferences(ctx context.Context, conn *sqlite.Conn) (string, error) {
	conn.SetInterrupt(ctx.Done())
	defer conn.SetInterrupt(nil)
	table, err := one(conn, scanText, `
		SELECT "table"
		FROM pragma_foreign_key_check
		LIMIT 1`)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return table, err
}

// examineWAL looks at the size of the WAL. Nothing can shorten it while somebody reads a state from
// its beginning.
func examineWAL(_ context.Context, _ *sqlite.Conn, path string, _ place) store.Finding {
	const id = "database-wal"
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > longWAL {
		return warning(id, "end what reads for long, a backup or an export or the sqlite3 shell "+
			"(`fuser "+path+"` finds it); the next writes make the log short again",
			"the log beside the file (-wal) has %s: something has been reading one state for "+
				"long, or an import is under way", sizeText(info.Size()))
	}
	return okay(id, "the log beside the file (-wal) is short")
}

// longWAL is twice the size to which a long log is cut, see writerPragmas.
const longWAL = 128 << 20

// backupNote is the suffix of the file whose time is that of the last good backup. It is beside the
// database and not in it, so a restore leaves it alone: the backup which was restored is older, and
// there may be later ones. Whatever else makes backups may touch it.
const backupNote = ".last-backup"

// noteBackup notes that a backup was made. If it cannot, the backup is as good, and [Examine] warns
// of its age.
func noteBackup(path string) {
	note := path + backupNote
	file, err := os.OpenFile(note, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	file.Close()
	os.Chtimes(note, time.Time{}, time.Now())
	giveAway(path, note)
}

func examineBackup(_ context.Context, _ *sqlite.Conn, path string, p place) store.Finding {
	const id = "database-backup"
	note := path + backupNote
	cure := fmt.Sprintf("run `clientes backup FILE` every night, with FILE on another disk; if "+
		"something else makes backups, let it `touch %s` after each", note)
	info, err := os.Stat(note)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if len(p.Migrations) > 0 && time.Since(p.Migrations[0].At) < store.BackupAge {
			return okay(id, "the database is new, and has no backup yet")
		}
		return warning(id, cure, "no backup of this database was ever noted")
	case err != nil:
		return findingOf(id, explain(path, "look at "+note, err))
	}
	age := time.Since(info.ModTime())
	if age < -time.Hour {
		return warning(id, "set the clock of this machine, and `touch "+note+"` after a backup",
			"the last backup was made at %s, which is still to come",
			info.ModTime().UTC().Format(time.RFC3339))
	}
	if age > store.BackupAge {
		return warning(id, cure, "the last backup was made %s ago", ageText(age))
	}
	return okay(id, "the last backup was made %s ago", ageText(age))
}

func ageText(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}

func sizeText(bytes int64) string {
	switch {
	case bytes >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
	case bytes >= 1<<20:
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%d kiB", bytes>>10)
}

// examineFiles looks at whose the files are and who may read them.
func examineFiles(path string) []store.Finding {
	const id = "database-files"
	files, _ := closedFiles(path)
	var found []store.Finding
	owner := ownerOf(path)
	readers := owner
	if info, err := os.Stat(path); err == nil && info.Mode()&0o040 != 0 {
		readers += " and the group of the file"
	}
	for _, file := range files {
		if ownerOf(file) != owner {
			found = append(found, failure(id, fmt.Sprintf("as root, chown %s %s", owner,
				strings.Join(files, " ")), "%s belongs to %s, and the database to %s: a server "+
				"cannot use both", file, ownerOf(file), owner))
			break
		}
	}
	if folder := filepath.Dir(path); openToOthers(folder) {
		found = append(found, examineModes(id, folder, files)...)
	}
	if len(found) == 0 {
		found = append(found, okay(id, "only %s can read the files", readers))
	}
	return found
}

// examineModes looks at what every user of the machine may do to files in a folder that all can
// reach.
func examineModes(id, folder string, files []string) (found []store.Finding) {
	if info, err := os.Stat(folder); err == nil && info.Mode()&0o002 != 0 &&
		info.Mode()&fs.ModeSticky == 0 {
		found = append(found, failure(id, "chmod o-w "+folder,
			"every user of this machine can replace the database: %s is open to all", folder))
	}
	for _, bits := range []struct {
		mode fs.FileMode
		is   func(id, cure, format string, args ...any) store.Finding
		may  string
	}{
		{0o002, failure, "write to"},
		{0o004, warning, "read"},
	} {
		for _, file := range files {
			info, err := os.Stat(file)
			if err == nil && info.Mode()&bits.mode != 0 && !strings.HasSuffix(file, ".lock") {
				return append(found, bits.is(id, "chmod 600 "+strings.Join(files, " "),
					"every user of this machine can %s %s, password hashes included", bits.may,
					file))
			}
		}
	}
	return found
}

// openToOthers reports whether every user can reach what is in a folder.
func openToOthers(folder string) bool {
	for {
		info, err := os.Stat(folder)
		if err != nil || info.Mode()&0o001 == 0 {
			return false
		}
		up := filepath.Dir(folder)
		if up == folder {
			return true
		}
		folder = up
	}
}
