package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// place is the file in which the tables are, or are to be made.
type place struct {
	store.Schema
	carry bool // see [store.Place.Schema]
}

// placeOf looks at the file that the connection has open, and changes nothing. It reads all of it
// at one moment: another process may be migrating the file.
func placeOf(ctx context.Context, conn *sqlite.Conn, path string) (p place, err error) {
	all, err := known()
	if err != nil {
		return place{}, err
	}
	made, err := madeTables(all)
	if err != nil {
		return place{}, err
	}
	if err := exec(conn, `BEGIN`); err != nil {
		return place{}, err
	}
	defer exec(conn, `ROLLBACK`)
	found, err := tablesOf(ctx, conn, path, made)
	if err != nil {
		return place{}, err
	}
	ours := found.Ours(made)
	if err := notesOf(ctx, conn, &found, ours); err != nil {
		return place{}, err
	}
	if !ours {
		if found.Mark, err = markOf(conn, len(found.Tables) > 0); err != nil {
			return place{}, err
		}
	}
	p.Schema, p.carry, err = found.Schema(all, made)
	return p, err
}

// tablesOf returns the tables and views of the file. It asks for columns only where they count: the
// virtual tables of other programs may need modules that SQLite does not have here.
func tablesOf(ctx context.Context, conn *sqlite.Conn, path string, made []store.MadeTable) (
	store.Place, error) {
	names, err := list(ctx, conn, nil, scanText, `
		SELECT name
		FROM sqlite_schema
		WHERE type IN ('table', 'view') AND substr(name, 1, 7) <> 'sqlite_'`)
	found := store.Place{
		Name:   "the file " + path,
		Own:    "name a file of its own in DATABASE_URL, for example sqlite:clientes.db",
		Tables: make(map[string][]string),
	}
	for _, name := range names {
		found.Tables[name] = []string{}
	}
	counts := append([]store.MadeTable{{Name: store.MigrationTable}, {Name: store.EarlyTable}},
		made...)
	for _, t := range counts {
		if _, exists := found.Tables[t.Name]; !exists || err != nil {
			continue
		}
		found.Tables[t.Name], err = list(ctx, conn, nil, scanText, `
			SELECT info.name
			FROM sqlite_schema AS s, pragma_table_info(s.name) AS info
			WHERE s.type = 'table' AND s.name = ? AND s.sql NOT LIKE 'CREATE VIRTUAL%'`,
			t.Name)
	}
	return found, err
}

// notesOf adds the migrations that are noted in the file.
func notesOf(ctx context.Context, conn *sqlite.Conn, found *store.Place, ours bool) (err error) {
	read := func(table string) ([]store.Migration, error) {
		if !found.HasNotes(table) {
			return nil, nil
		}
		return list(ctx, conn, nil, scanMigration, `
			SELECT version_id, coalesce(unixepoch(min(tstamp)), 0) * 1000
			FROM `+table+`
			WHERE version_id > 0 AND is_applied
			GROUP BY version_id
			ORDER BY version_id`)
	}
	if found.Noted, err = read(store.MigrationTable); err != nil {
		return err
	}
	if found.Early, err = read(store.EarlyTable); err != nil {
		return err
	}
	for _, column := range found.Tables["identity"] {
		if ours && column == "required_version" {
			found.Required, err = requiredVersion(conn)
		}
	}
	return err
}

// markOf returns how another program has marked a file without tables of ours, or "".
func markOf(conn *sqlite.Conn, tables bool) (string, error) {
	id, err := one(conn, scanInteger, `PRAGMA application_id`)
	if err != nil {
		return "", err
	}
	if id != 0 && id != backupMark {
		return fmt.Sprintf("its application_id is %d", id), nil
	}
	version, err := one(conn, scanInteger, `PRAGMA user_version`)
	if err == nil && version != 0 && !tables {
		return fmt.Sprintf("its user_version is %d", version), nil
	}
	return "", err
}

// placeAt is placeOf on a connection of its own.
func placeAt(ctx context.Context, path string) (place, error) {
	conn, err := connect(ctx, path, callTimeout, "query_only = ON")
	if err != nil {
		return place{}, err
	}
	defer conn.Close()
	return placeOf(ctx, conn, path)
}

// checkForeign refuses a file that something else uses, before anything is made beside it. It opens
// the file so that SQLite takes no locks, makes no other files and leaves a WAL alone. What it
// reads may be of two moments, so it says nothing of our own tables: placeOf does.
func checkForeign(ctx context.Context, path string) error {
	if isAbsent(path) {
		return nil
	}
	conn, err := openImmutable(path)
	if err != nil {
		return nil
	}
	defer conn.Close()
	_, err = placeOf(ctx, conn, path)
	var bad *store.PlaceError
	if errors.As(err, &bad) && bad.Foreign {
		return bad
	}
	tables, err := one(conn, scanBool, `SELECT EXISTS (SELECT 1 FROM sqlite_schema)`)
	if log, e := os.Stat(path + "-wal"); err != nil || tables || e != nil || log.Size() == 0 {
		return nil
	}
	return checkForeignWAL(ctx, conn, path)
}

// checkForeignWAL is checkForeign for a file all of whose tables may be in the WAL. It looks at a
// copy.
func checkForeignWAL(ctx context.Context, conn *sqlite.Conn, path string) error {
	// To read the file itself would end the locks that this process may have on it.
	bytes, err := conn.Serialize("main")
	if err != nil {
		return nil
	}
	folder, err := os.MkdirTemp("", "clientes-")
	if err != nil {
		return nil
	}
	defer os.RemoveAll(folder)
	twin := filepath.Join(folder, "copy")
	if os.WriteFile(twin, bytes, 0o600) != nil || copyLog(path+"-wal", twin+"-wal") != nil {
		return nil
	}
	twinConn, err := connect(ctx, twin, callTimeout, "query_only = ON")
	if err != nil {
		return nil
	}
	defer twinConn.Close()
	_, err = placeOf(ctx, twinConn, path)
	var bad *store.PlaceError
	if errors.As(err, &bad) && bad.Foreign {
		return bad
	}
	return nil
}

// copyLog copies a WAL, which no process locks.
func copyLog(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// openImmutable opens a file as if nobody could change it: see
// https://www.sqlite.org/c3ref/open.html.
func openImmutable(path string) (*sqlite.Conn, error) {
	u := url.URL{Scheme: "file", Path: "/" + strings.TrimPrefix(filepath.ToSlash(path), "/"),
		RawQuery: "immutable=1"}
	return sqlite.OpenConn(u.String(), sqlite.OpenReadOnly|sqlite.OpenURI)
}

func scanText(stmt *sqlite.Stmt) string { return stmt.ColumnText(0) }

// madeTables returns the tables that the migrations make.
func madeTables(all []store.Migration) (made []store.MadeTable, err error) {
	for _, m := range all {
		text, err := fs.ReadFile(migrations, "migrations/"+m.Name)
		if err != nil {
			continue // a migration in Go, which makes none
		}
		made = append(made, store.MadeTables(m.Version, string(text))...)
	}
	return made, nil
}
