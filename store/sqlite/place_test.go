package sqlite_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	engine "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"clientes/store"
	"clientes/store/sqlite"
)

// filesIn returns the contents of the files in a folder by their names.
func filesIn(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(text)
	}
	return all
}

// made returns the folder and the URL of a file that statements have made.
func made(t *testing.T, statements string) (folder, url string) {
	t.Helper()
	folder = t.TempDir()
	path := filepath.Join(folder, "app.db")
	conn, err := engine.OpenConn(path, engine.OpenReadWrite|engine.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	for statement := range strings.SplitSeq(statements, ";") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if err := sqlitex.ExecuteTransient(conn, statement, nil); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	return folder, "sqlite:" + path
}

const otherGoose = `
	CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')));
	INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1), (1, 1), (2, 1)`

func TestAFileOfSomethingElseIsRefusedAndLeftAsItIs(t *testing.T) {
	t.Parallel()
	for name, statements := range map[string]string{
		"A5 users of another app": `CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);
			INSERT INTO users (name) VALUES ('x')`,
		"A1 goose of another service": otherGoose,
		"goose with more versions than ours": otherGoose + `; CREATE TABLE orders (id INTEGER);
			INSERT INTO goose_db_version (version_id, is_applied) VALUES (14, 1), (18, 1), (99, 1)`,
		"goose and tables of our names": otherGoose + `; CREATE TABLE users (id INTEGER);
			CREATE TABLE sessions (id TEXT)`,
		"a goose table of another form": `CREATE TABLE goose_db_version (version TEXT)`,
		"in WAL mode":                   `PRAGMA journal_mode = WAL; CREATE TABLE posts (id INTEGER)`,
		"a view alone":                  `CREATE VIEW one AS SELECT 1`,
		"a virtual table":               `CREATE VIRTUAL TABLE notes USING fts5(text)`,
		"an application_id":             `PRAGMA application_id = 77`,
		"an application_id and a table": `PRAGMA application_id = 77; CREATE TABLE x (id INTEGER)`,
		"a user_version":                `PRAGMA user_version = 3`,
		"a table of one of our names":   `CREATE TABLE clientes (id INTEGER, name TEXT)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder, url := made(t, statements)
			wantRefused(t, folder, url)
		})
	}
	// The other program was killed, or runs: its tables are in the WAL alone.
	t.Run("tables in a WAL", func(t *testing.T) {
		t.Parallel()
		from, url := made(t, `PRAGMA journal_mode = WAL`)
		execute(t, beside(t, url), `CREATE TABLE posts (id INTEGER)`)
		folder := t.TempDir()
		for _, suffix := range []string{"", "-wal"} {
			text, err := os.ReadFile(filepath.Join(from, "app.db") + suffix)
			if err != nil || len(text) == 0 {
				t.Fatal(suffix, err)
			}
			err = os.WriteFile(filepath.Join(folder, "app.db"+suffix), text, 0o600)
			if err != nil {
				t.Fatal(err)
			}
		}
		wantRefused(t, folder, "sqlite:"+filepath.Join(folder, "app.db"))
	})
}

// wantRefused calls everything that opens a file, and fails the test if that is not refused or
// anything in the folder changes.
func wantRefused(t *testing.T, folder, url string) {
	t.Helper()
	before := filesIn(t, folder)
	_, schema := sqlite.Schema(t.Context(), url)
	good := migratedURL(t)
	_, restoreInto := sqlite.Restore(t.Context(), url, strings.TrimPrefix(good, "sqlite:"), nothing)
	_, restoreFrom := sqlite.Restore(t.Context(), good, strings.TrimPrefix(url, "sqlite:"), nothing)
	for call, err := range map[string]error{
		"migrate": sqlite.Migrate(t.Context(), url), "schema": schema,
		"restore into": restoreInto, "restore from": restoreFrom,
	} {
		var bad *store.PlaceError
		if !errors.As(err, &bad) || !bad.Foreign || errors.Is(err, store.ErrSchema) {
			t.Errorf("%s: got %v", call, err)
		}
	}
	after := filesIn(t, folder)
	for name, text := range after {
		if before[name] != text {
			t.Errorf("%s has changed", name)
		}
	}
	if len(after) != len(before) {
		t.Errorf("it left %d files, before %d", len(after), len(before))
	}
}

func nothing(int64, int64) {}

func TestAFileWithNothingInItIsTaken(t *testing.T) {
	t.Parallel()
	for _, statements := range []string{
		`VACUUM`, `PRAGMA journal_mode = WAL`, `CREATE TABLE x (id INTEGER); DROP TABLE x`,
		// What the version before leaves where its start was interrupted.
		strings.Split(otherGoose, "INSERT")[0],
	} {
		_, url := made(t, statements)
		if err := sqlite.Migrate(t.Context(), url); err != nil {
			t.Errorf("%s: %v", statements, err)
		}
	}
}

func TestADatabaseThatLacksATableIsRefused(t *testing.T) {
	t.Parallel()
	for _, version := range []int64{14, fixtureVersion} {
		for _, table := range []string{"mails", "users", "audit"} {
			url := fixture(t, version)
			execute(t, beside(t, url), `PRAGMA foreign_keys = OFF`)
			execute(t, beside(t, url), `DROP TABLE `+table)
			_, schema := sqlite.Schema(t.Context(), url)
			for _, err := range []error{schema, sqlite.Migrate(t.Context(), url)} {
				var bad *store.PlaceError
				if !errors.As(err, &bad) || bad.Foreign || !strings.Contains(bad.Fault, table) {
					t.Errorf("of version %d, without %s: got %v", version, table, err)
				}
			}
		}
	}
}

// Another service may bring its goose to where our tables are: its table is not ours.
func TestGooseOfAServiceThatCameLaterIsNotRead(t *testing.T) {
	t.Parallel()
	url := migratedURL(t)
	conn := beside(t, url)
	if err := sqlitex.ExecuteScript(conn, otherGoose, nil); err != nil {
		t.Fatal(err)
	}
	execute(t, conn, `DELETE FROM clientes_migrations WHERE version_id = 17`)
	execute(t, conn, `DROP TABLE probe`)
	if err := sqlite.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	noted := contentsOf(t, conn, map[string]contents{"goose_db_version": {columns: "version_id"}})
	if got := noted["goose_db_version"].rows; !slices.Equal(got, []string{`"0"`, `"1"`, `"2"`}) {
		t.Errorf("got %q", got)
	}
	if err := open(t, url).Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// Each place that cannot be used is named once, with what to do.
func TestAPlaceThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"G5 /nope/x.db": "there is no folder " + folder + "/nope: make it, or name another file " +
			"in DATABASE_URL",
		"G5 /nope/further/x.db": "there is no folder " + folder + "/nope/further: make it, " +
			"or name another file in DATABASE_URL",
		"a folder /": folder + " is a folder: name a file in it in DATABASE_URL, for example " +
			"sqlite:" + folder + "/clientes.db",
		"in a file /file/x.db": file + " is a file, and no folder for " + file + "/x.db: " +
			"correct DATABASE_URL",
		"in a folder of a file /file/further/x.db": file + " is a file, and no folder for " + file +
			"/further/x.db: correct DATABASE_URL",
	} {
		url := "sqlite:" + folder + path[strings.Index(path, "/"):]
		_, schema := sqlite.Schema(t.Context(), url)
		for call, err := range map[string]error{
			"migrate": sqlite.Migrate(t.Context(), url), "schema": schema,
		} {
			if fmt.Sprint(err) != want {
				t.Errorf("%s, %s: got %v, want %s", path, call, err, want)
			}
		}
	}
	for _, url := range []string{"sqlite:~/x.db", "sqlite:~ana/x.db", "sqlite:~"} {
		err := sqlite.CheckURL(url)
		if err == nil || !strings.Contains(err.Error(), "begins with ~") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if names := filesIn(t, folder); len(names) != 1 {
		t.Errorf("left %q", names)
	}
}

// An operator may keep tables beside ours, but not in the place of one that is still to be made.
func TestATableInTheWayIsNamed(t *testing.T) {
	t.Parallel()
	url := fixture(t, 16)
	path := strings.TrimPrefix(url, "sqlite:")
	change := func(statement string) {
		t.Helper()
		conn, err := engine.OpenConn(path, engine.OpenReadWrite)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		execute(t, conn, statement)
	}
	change(`CREATE TABLE probe ("of" text)`)
	err := sqlite.Migrate(t.Context(), url)
	var bad *store.PlaceError
	if !errors.As(err, &bad) || !strings.Contains(bad.Fault, "(probe)") || bad.Cure != "rename it" {
		t.Errorf("got %v", err)
	}
	change(`ALTER TABLE probe RENAME TO my_probe`)
	if err := sqlite.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
}
