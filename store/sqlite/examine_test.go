package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	engine "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"clientes/store"
	"clientes/store/sqlite"
)

// found returns the findings of a check.
func found(t *testing.T, url, id string) (of []store.Finding) {
	t.Helper()
	for _, f := range sqlite.Examine(t.Context(), url) {
		if f.ID == id {
			of = append(of, f)
		}
	}
	return of
}

// wantFinding fails the test unless a check has one finding, of this level, with these words.
func wantFinding(t *testing.T, url, id string, level store.Level, message, cure string) {
	t.Helper()
	of := found(t, url, id)
	if len(of) != 1 || of[0].Level != level || !strings.Contains(of[0].Message, message) ||
		!strings.Contains(of[0].Cure, cure) || (of[0].Cure == "") != (level == store.LevelOK) {
		t.Fatalf("%s: got %q, want %s: %s; %s", id, of, level, message, cure)
	}
}

// examined returns the path and the URL of a database in a folder that only this user can open.
func examined(t *testing.T) (path, url string) {
	t.Helper()
	url = migratedURL(t)
	return strings.TrimPrefix(url, "sqlite:"), url
}

// Nothing changes, whether the server is stopped or was killed.
func TestExamineASoundDatabaseChangesNothing(t *testing.T) {
	t.Parallel()
	path, url := examined(t)
	wantUnchanged(t, url)
	s := open(t, url)
	if _, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"}); err != nil {
		t.Fatal(err)
	}
	killed := filepath.Join(t.TempDir(), "clientes.db")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		copyTo(t, path+suffix, killed+suffix)
	}
	if info, err := os.Stat(killed + "-wal"); err != nil || info.Size() == 0 {
		t.Fatal("there is no WAL", err)
	}
	wantUnchanged(t, "sqlite:"+killed)
}

// wantUnchanged fails the test unless Examine finds no fault, and leaves the folder as it was.
func wantUnchanged(t *testing.T, url string) {
	t.Helper()
	folder := filepath.Dir(strings.TrimPrefix(url, "sqlite:"))
	before := filesIn(t, folder)
	wantSound(t, url)
	after := filesIn(t, folder)
	for name, text := range after {
		// In the index of the WAL every reader has a place.
		if before[name] != text && !strings.HasSuffix(name, "-shm") {
			t.Errorf("%s has changed", name)
		}
	}
	if len(after) != len(before) {
		t.Errorf("it left %d files, before %d", len(after), len(before))
	}
}

func wantSound(t *testing.T, url string) {
	t.Helper()
	ids := make(map[string]bool)
	for _, f := range sqlite.Examine(t.Context(), url) {
		// How full the disk of this machine is, nobody knows. Some have their /tmp in memory.
		if f.ID != "database-space" && !strings.Contains(f.Message, "in memory") &&
			(f.Level != store.LevelOK || f.Message == "" || f.Cure != "") {
			t.Errorf("got %+v", f)
		}
		if ids[f.ID] {
			t.Errorf("%s comes twice", f.ID)
		}
		ids[f.ID] = true
	}
	if len(ids) < 6 {
		t.Errorf("only %d checks", len(ids))
	}
}

func TestExamineAFileThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	in := func(name string) string { return "sqlite:" + filepath.Join(folder, name) }
	must(t, os.WriteFile(filepath.Join(folder, "text"), []byte(strings.Repeat("no database", 99)),
		0o600))
	_, foreign := made(t, `CREATE TABLE posts (id INTEGER)`)
	_, marked := made(t, `PRAGMA application_id = 77`)
	good := migratedURL(t)
	backup := filepath.Join(folder, "backup.db")
	_, err := sqlite.WriteBackup(t.Context(), good, backup, nothing)
	must(t, err)
	for _, test := range []struct {
		url        string
		level      store.Level
		says, cure string
		heal       func()
		healed     store.Level
	}{
		{in("new.db"), store.LevelWarn, "there is no file " + folder + "/new.db yet",
			"run `clientes migrate`", func() {
				must(t, sqlite.Migrate(t.Context(),
					in("new.db")))
			}, "ok"},
		{in("deep/x.db"), store.LevelFail, "there is no folder " + folder + "/deep", "make it",
			func() { must(t, os.Mkdir(filepath.Join(folder, "deep"), 0o700)) }, "warn"},
		{in(""), store.LevelFail, folder + " is a folder", "name a file in it", nil, ""},
		{in("text"), store.LevelFail, "the file is no SQLite database", "correct the URL",
			func() { must(t, os.Remove(filepath.Join(folder, "text"))) }, "warn"},
		{foreign, store.LevelFail, "has tables of something else (posts)",
			"name a file of its own in DATABASE_URL", nil, ""},
		{marked, store.LevelFail, "its application_id is 77", "name a file of its own", nil, ""},
		{"sqlite:" + backup, store.LevelFail, "is a backup that was put here by hand",
			"give `clientes restore` that name", func() {
				must(t, os.Rename(backup, backup+".moved"))
				must(t, second(sqlite.Restore(t.Context(), "sqlite:"+backup, backup+".moved",
					nothing)))
			}, "ok"},
		{"sqlite:~/x.db", store.LevelFail, "begins with ~", "correct DATABASE_URL", nil, ""},
	} {
		before := filesIn(t, folder)
		wantFinding(t, test.url, "database-open", test.level, test.says, test.cure)
		if after := filesIn(t, folder); len(after) != len(before) {
			t.Errorf("%s: it left %d files, before %d", test.url, len(after), len(before))
		}
		if test.heal != nil {
			test.heal()
			if of := found(t, test.url,
				"database-open"); len(of) != 1 || of[0].Level != test.healed {
				t.Errorf("%s: after the cure got %q", test.url, of)
			}
			must(t, os.RemoveAll(filepath.Join(folder, "deep")))
		}
	}
}

func TestExamineSchemas(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		broken, says, cure, heal string
		level                    store.Level
	}{
		"older": {`DELETE FROM clientes_migrations WHERE version_id = 17; DROP TABLE probe`,
			"the database lacks the migrations 00017_probe.sql", "run `clientes migrate`", "",
			store.LevelWarn},
		"newer": {`UPDATE identity SET required_version = 99`,
			"a newer clientes has changed the database",
			"run a version of clientes that knows it", `UPDATE identity SET required_version = 15`,
			store.LevelFail},
		"a copy that is not finished": {`UPDATE identity SET copying = 'x'`,
			"a copy into the database was begun", "give the same `clientes copy` again",
			`UPDATE identity SET copying = ''`, store.LevelFail},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, url := examined(t)
			change(t, path, test.broken)
			wantFinding(t, url, "database-schema", test.level, test.says, test.cure)
			if test.heal == "" {
				must(t, sqlite.Migrate(t.Context(), url))
			} else {
				change(t, path, test.heal)
			}
			wantFinding(t, url, "database-schema", store.LevelOK, "the schema has all", "")
		})
	}
}

// change runs statements on the file and closes it.
func change(t *testing.T, path, statements string) {
	t.Helper()
	conn, err := engine.OpenConn(path, engine.OpenReadWrite)
	must(t, err)
	must(t, sqlitex.ExecuteScript(conn, statements, nil))
	must(t, conn.Close())
}

func TestExamineADamagedFile(t *testing.T) {
	t.Parallel()
	path, url := examined(t)
	s, err := sqlite.Open(t.Context(), url, store.Options{})
	must(t, err)
	must(t, second(s.ImportClientes(t.Context(), 0, func(yield func(store.Cliente, error) bool) {
		for range 500 {
			yield(store.Cliente{Name: "Ana", Notes: strings.Repeat("x", 500)}, nil)
		}
	})))
	must(t, s.Close())
	backup := filepath.Join(t.TempDir(), "backup.db")
	must(t, second(sqlite.WriteBackup(t.Context(), url, backup, nothing)))
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	info, err := file.Stat()
	must(t, err)
	// The pages at the end are of the table that was written last.
	_, err = file.WriteAt(make([]byte, 3*4096), info.Size()-4*4096)
	must(t, err)
	must(t, file.Close())
	wantFinding(t, url, "database-integrity", store.LevelFail, "is damaged",
		"use `clientes restore BACKUP`, which keeps it")
	must(t, second(sqlite.Restore(t.Context(), url, backup, nothing)))
	wantFinding(t, url, "database-integrity", store.LevelOK, "is not damaged", "")

	change(t, path, `INSERT INTO mails VALUES (NULL, 99, '', '', '', 0, 0, 0, 0)`)
	wantFinding(t, url, "database-integrity", store.LevelFail,
		"a row of the table mails refers to one that is not there",
		"use `clientes restore BACKUP`")
	must(t, second(sqlite.Restore(t.Context(), url, backup, nothing)))
	wantFinding(t, url, "database-integrity", store.LevelOK, "is not damaged", "")
}

// A check that finds no time to look at all says so.
func TestExamineHasNoTime(t *testing.T) {
	t.Parallel()
	_, url := examined(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, f := range sqlite.Examine(ctx, url) {
		if f.ID == "database-integrity" && (f.Level != store.LevelOK ||
			!strings.Contains(f.Message, "not all of")) {
			t.Errorf("got %q", f)
		}
	}
}

func TestExamineLong(t *testing.T) {
	if !long() {
		t.Skip("it writes a long log, and runs with TEST_LONG")
	}
	path, url := examined(t)
	s := open(t, url)
	reader := beside(t, url)
	execute(t, reader, `BEGIN`)
	execute(t, reader, `SELECT count(*) FROM users`)
	writer := beside(t, url)
	execute(t, writer, `CREATE TABLE filler (x)`)
	execute(t, writer, `INSERT INTO filler VALUES (zeroblob(140000000))`)
	execute(t, writer, `DROP TABLE filler`)
	wantFinding(t, url, "database-wal", store.LevelWarn, "the log beside the file (-wal) has 13",
		"end what reads for long, a backup or an export or the sqlite3 shell (`fuser "+path+"`")
	execute(t, reader, `ROLLBACK`)
	for range 3 { // one to move the log to the file, one to begin it anew
		if _, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"}); err != nil {
			t.Fatal(err)
		}
	}
	wantFinding(t, url, "database-wal", store.LevelOK, "is short", "")
}

func TestExamineTheLastBackup(t *testing.T) {
	t.Parallel()
	path, url := examined(t)
	wantFinding(t, url, "database-backup", store.LevelOK, "the database is new", "")
	change(t, path, `UPDATE clientes_migrations SET tstamp = datetime('now', '-3 days')`)
	wantFinding(t, url, "database-backup", store.LevelWarn,
		"no backup of this database was ever noted",
		"run `clientes backup FILE` every night")
	backup := filepath.Join(t.TempDir(), "backup.db")
	make := func() { must(t, second(sqlite.WriteBackup(t.Context(), url, backup, nothing))) }
	make()
	wantFinding(t, url, "database-backup", store.LevelOK, "the last backup was made ", "")
	old := time.Now().Add(-72 * time.Hour)
	later := time.Now().Add(24 * time.Hour)
	must(t, os.Chtimes(path+".last-backup", later, later))
	wantFinding(t, url, "database-backup", store.LevelWarn, "is still to come", "set the clock")
	must(t, os.Chtimes(path+".last-backup", old, old))
	wantFinding(t, url, "database-backup", store.LevelWarn, "the last backup was made 3 days ago",
		"let it `touch "+path+".last-backup` after each")
	moved := path + ".moved"
	must(t, os.Rename(path, moved))
	wantFinding(t, url, "database-open", store.LevelFail, "is gone, or empty", "clientes restore")
	must(t, os.WriteFile(path, nil, 0o600))
	wantFinding(t, url, "database-open", store.LevelFail, "is gone, or empty", "clientes restore")
	must(t, os.Rename(moved, path))

	// A restore makes no backup younger.
	must(t, second(sqlite.Restore(t.Context(), url, backup, nothing)))
	wantFinding(t, url, "database-backup", store.LevelWarn, "the last backup was made 3 days ago",
		"")
	make()
	wantFinding(t, url, "database-backup", store.LevelOK, "the last backup was made ", "")
	must(t, os.Chtimes(path+".last-backup", old, old))
	_, err := sqlite.CopyBackup(t.Context(), url, new(strings.Builder), nothing)
	must(t, err)
	wantFinding(t, url, "database-backup", store.LevelOK, "the last backup was made ", "")
}

func printExamination(url string) error {
	for _, f := range sqlite.Examine(context.Background(), url) {
		fmt.Println(f.ID, f.Level, f.Message+"; "+f.Cure)
	}
	return nil
}
