package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"clientes/auth/authtest"
	"clientes/store/postgres/postgrestest"
)

// before is a database that the version before has filled, with what its users keep.
type before struct {
	url            string
	refresh, other string // tokens of ana, who has a second factor, and of bia
	recovery       string // a code of ana
}

const passwordBefore = "correct horse battery staple 9"

// databasesBefore returns a copy of the fixture of each engine. The secrets in them are made up.
func databasesBefore(t *testing.T) map[string]before {
	t.Helper()
	zipped, err := os.ReadFile("../../store/sqlite/testdata/v18.db.gz")
	authtest.Must(t, err)
	unzip, err := gzip.NewReader(bytes.NewReader(zipped))
	authtest.Must(t, err)
	all, err := io.ReadAll(unzip)
	authtest.Must(t, err)
	file := filepath.Join(t.TempDir(), "clientes.db")
	authtest.Must(t, os.WriteFile(file, all, 0o600))

	dump, err := os.ReadFile("../../store/postgres/testdata/v18.dump")
	authtest.Must(t, err)
	url := postgrestest.Database(t)
	executeOn(t, url, string(dump))
	return map[string]before{
		"sqlite": {
			url:      "sqlite:" + file,
			refresh:  "IsH2dKWN37cNzEkZEwfjUQ.0.AiOcEa8pdGQRzgvZAEXL7JcN5eQn6KwNDD8TAlzcGvQ",
			other:    "3JUy4qiDkesWLo3Qmy7k7w.0.XUTKXXI5bfQ0O3TBgXlvMaH62_A7mDpZdHZ3yZglDbs",
			recovery: "rffdc-rawp7-3dxfz-imnwg-qcjqoe",
		},
		"postgres": {
			url:      url,
			refresh:  "BTgzqQD1rQpQ89ghmYYvWQ.0.EAbLQ5NSqljnzEYsxR_IlSvX_k0Gs3mH8FEANSr6RvM",
			other:    "iyOcUQCSIxSnJhC9Q7pHYA.0.JG3c0Ote9j-XbOEOr7eB9AvsBw19P7FENTLdeKRdOuk",
			recovery: "taoea-t7oxp-4422c-d37fr-nihzvp",
		},
	}
}

// executeOn runs statements on a Postgres as another program would.
func executeOn(t *testing.T, url, statements string) {
	t.Helper()
	conn, err := postgrestest.Connect(t.Context(), url)
	authtest.Must(t, err)
	defer conn.Close(context.Background())
	_, err = conn.PgConn().Exec(t.Context(), statements).ReadAll()
	authtest.Must(t, err)
}

// What the rows are after a migration is compared in the tests of the engines. Here somebody works
// with what the version before has left.
func TestServeCarriesOverADatabaseOfTheVersionBefore(t *testing.T) {
	t.Parallel()
	for engine, b := range databasesBefore(t) {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 1, b.url, "ROOT_SECRET="+rootSecret)
			s := f.on(0)
			s.wantReady(t)
			for name, body := range map[string]map[string]string{
				"/login bia":   {"user": "bia", "password": passwordBefore},
				"/login ana":   {"user": "ana", "password": passwordBefore, "code": b.recovery},
				"/refresh ana": {"refresh_token": b.refresh},
				"/refresh bia": {"refresh_token": b.other},
				"/login zoe":   {"user": "zoe", "password": passwordBefore},
			} {
				path, _, _ := strings.Cut(name, " ")
				if status, text := post(t, s, path, "", body); status != 200 {
					t.Errorf("%s: %d %s", name, status, text)
				}
			}
			if status, text := post(t, s, "/login", "", map[string]string{
				"user": "ana", "password": passwordBefore,
			}); status != 401 || !strings.Contains(text, "mfa_required") {
				t.Errorf("without the second factor: %d %s", status, text)
			}
			token, err := f.do(t.Context(), "POST", s.url("/login"), "",
				loginBody{"bia", passwordBefore})
			authtest.Must(t, err)
			for id, name := range map[int64]string{1: "José Ñandú", 2: "Bruno", 3: "山田"} {
				if got := f.nameOf(t, s, token.Token, id); got != name {
					t.Errorf("customer %d is %q, want %q", id, got, name)
				}
			}
		})
	}
}

// Whatever the command is, a place of something else is named in one sentence, and stays as it is.
func TestEveryCommandRefusesAPlaceOfSomethingElse(t *testing.T) {
	inFolder(t, map[string]string{"c.csv": "name\nAna\n"})
	folder := t.TempDir()
	file := filepath.Join(folder, "app.db")
	conn, err := sqlite.OpenConn(file, sqlite.OpenReadWrite|sqlite.OpenCreate)
	authtest.Must(t, err)
	authtest.Must(t, sqlitex.ExecuteScript(conn, `
		CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);
		INSERT INTO users (name) VALUES ('x')`, nil))
	authtest.Must(t, conn.Close())
	text, err := os.ReadFile(file)
	authtest.Must(t, err)
	url := postgrestest.Database(t)
	executeOn(t, url, "CREATE TABLE users (id int)")
	call(t, at("sqlite:other.db"), "", "migrate").want(t, 0, "", "")
	call(t, at("sqlite:other.db"), "", "backup", "other.backup").want(t, 0, "", "")

	for at, want := range map[string]string{
		"sqlite:" + file: "the file " + file + " has tables of something else (users): name a " +
			"file of its own in DATABASE_URL, for example sqlite:clientes.db\n",
		url: " has tables of something else (users): give clientes a database of its own",
	} {
		vars := map[string]string{"DATABASE_URL": at, "SECRET": goodSecret, "PORT": "0"}
		for _, args := range []string{
			"migrate", "migrate status", "serve", "quickstart", "user list", "export",
			"user add a --password-stdin", "user passwd a --password-stdin", "user disable a",
			"import c.csv", "import --dry-run c.csv", "user import c.csv", "sessions end-all",
			"rekey", "backup x", "restore other.backup",
			"copy --from " + at + " --to sqlite:new.db", "copy --from sqlite:other.db --to " + at,
		} {
			if at == url && (args == "backup x" || args == "restore other.backup") {
				continue // for the embedded database alone
			}
			// Or a server that does not refuse would serve for ever.
			ctx, cancel := context.WithTimeout(t.Context(), eventuallySoon)
			r := callWithin(ctx, vars, goodPassword, strings.Fields(args)...)
			cancel()
			if r.status != 1 || !strings.Contains(r.stderr, want) ||
				strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("%s: %+v", args, r)
			}
		}
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, text) {
		t.Errorf("the file has changed, %v", err)
	}
	if names := namesIn(t, folder); len(names) != 1 {
		t.Errorf("left %q", names)
	}
	conn2, err := postgrestest.Connect(t.Context(), url)
	authtest.Must(t, err)
	defer conn2.Close(context.Background())
	tables := 0
	authtest.Must(t, conn2.QueryRow(t.Context(), `
		SELECT count(*)
		FROM pg_class
		WHERE relnamespace = 'public'::regnamespace`).Scan(&tables))
	if tables != 1 {
		t.Errorf("the database has %d tables and indexes", tables)
	}
}

func TestMigrateSaysWhichTableIsMissing(t *testing.T) {
	databases := databasesBefore(t)
	inFolder(t, nil)
	for engine, b := range databases {
		if engine == "postgres" {
			executeOn(t, b.url, "DROP TABLE mails")
		} else {
			conn, err := sqlite.OpenConn(strings.TrimPrefix(b.url, "sqlite:"), sqlite.OpenReadWrite)
			authtest.Must(t, err)
			authtest.Must(t, sqlitex.ExecuteScript(conn, "DROP TABLE mails", nil))
			authtest.Must(t, conn.Close())
		}
		r := call(t, at(b.url), "", "migrate")
		r.want(t, 1, "", "lacks tables of clientes that its migrations made (mails): restore a backup")
		if r.stdout != "" {
			t.Errorf("%s: %s", engine, r.stdout)
		}
	}
}
