package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clientes/auth/authtest"
	"clientes/store/postgres/postgrestest"
)

// Where nothing is set and nothing is there, somebody is in the wrong folder.
func TestNoDatabaseByAccident(t *testing.T) {
	// do runs the program as call does, and keeps what it says of the database that it has made.
	do := func(vars map[string]string, args string) result {
		t.Helper()
		var stdout, stderr bytes.Buffer
		status := run(t.Context(), strings.Fields(args), environment(vars),
			strings.NewReader(goodPassword), &stdout, &stderr)
		return result{status, stdout.String(), stderr.String()}
	}
	const customers = "name\nAna\n"
	made := func() bool {
		files, err := filepath.Glob("*.db*")
		authtest.Must(t, err)
		return len(files) > 0
	}
	folder := func(files map[string]string) (database string) {
		t.Helper()
		inFolder(t, files)
		authtest.Must(t, os.WriteFile("c.csv", []byte(customers), 0o600))
		authtest.Must(t, os.WriteFile("u.csv", []byte("user\nana\n"), 0o600))
		wd, err := os.Getwd()
		authtest.Must(t, err)
		return filepath.Join(wd, "clientes.db")
	}
	adding := []string{
		"user add ana --password-stdin", "import c.csv", "user import u.csv",
	}
	// These need what is in a database. They make none, whatever is set.
	for _, args := range []string{
		"user passwd ana --password-stdin", "user role ana admin", "user disable ana",
		"user enable ana", "user delete ana", "user mfa-off ana", "user list", "export", "rekey",
		"backup b.db", "sessions end-all",
	} {
		database := folder(map[string]string{".env": "SECRET=" + goodSecret + "\n"})
		do(nil, args).want(t, 1, "", "there is no database "+database+
			": go to the folder of the server, or correct DATABASE_URL; `clientes migrate` makes that database")
		if made() {
			t.Errorf("%s has made a database", args)
		}
	}
	// An unset folder, though a platform or a shell has set HOST and PORT.
	for _, vars := range []map[string]string{nil, {"PORT": "3000", "HOST": "127.0.0.1"}} {
		dry := []string{"import c.csv --dry-run", "user import u.csv --dry-run", "restore b.bak"}
		for _, args := range append(dry, adding...) {
			database := folder(nil)
			do(vars, args).want(t, 1, "", "clientes: there is no database "+database+
				", no .env beside it, and DATABASE_URL is not set: go to the folder of the server, or give "+
				"`clientes migrate` first to make that database\n")
			if made() {
				t.Errorf("%s has made a database", args)
			}
		}
	}
	// After the command that it names, or where anything is set, the same commands work.
	for _, args := range adding {
		folder(nil)
		do(nil, "migrate").want(t, 0, "", "")
		if r := do(nil, args); r.status != 0 || r.stderr != "" {
			t.Errorf("%s: %+v", args, r)
		}
		for _, set := range []struct {
			files, vars map[string]string
			database    string
		}{
			{nil, map[string]string{"SECRET": goodSecret}, "clientes.db"},
			{nil, map[string]string{"DATABASE_URL": "sqlite:other.db"}, "other.db"},
			{nil, map[string]string{"DATABASE_URL": "sqlite:clientes.db"}, "clientes.db"},
			{map[string]string{".env": ""}, nil, "clientes.db"},
			{map[string]string{".env": "DATABASE_URL=sqlite:other.db\n"}, nil, "other.db"},
		} {
			database := filepath.Join(filepath.Dir(folder(set.files)), set.database)
			r := do(set.vars, args)
			if r.status != 0 || r.stderr != "clientes: made the database "+database+"\n" {
				t.Errorf("%s with %+v: %+v", args, set, r)
			}
			if r := do(set.vars, "import c.csv"); r.status != 0 || r.stderr != "" {
				t.Errorf("%s with %+v, again: %+v", args, set, r)
			}
		}
	}
	url := postgrestest.Database(t)
	do(at(url), "import c.csv").want(t, 0, "imported 1 customer\n",
		"clientes: made the tables in postgres")
}
