package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"clientes/auth"
	"clientes/auth/authtest"
	"clientes/auth/password"
	"clientes/store"
	"clientes/store/postgres/postgrestest"
	"clientes/store/storetest"
)

// directions returns the pairs of engines between which a copy can go.
func directions() [][2]string {
	return [][2]string{
		{"sqlite", "postgres"}, {"postgres", "sqlite"},
		{"sqlite", "sqlite"}, {"postgres", "postgres"},
	}
}

// opened returns the store of a database, even if a copy into it is unfinished.
func opened(t *testing.T, url string) store.Store {
	t.Helper()
	st, err := openToCopyInto(t.Context(), url)
	authtest.Must(t, err)
	t.Cleanup(func() { st.Close() })
	return st
}

// tablesOf returns all rows of the database.
func tablesOf(t *testing.T, st store.Store) map[string][][]any {
	t.Helper()
	all := make(map[string][][]any)
	for _, table := range store.Tables() {
		if err := eachBatch(t.Context(), st, table, nil, func(batch [][]any) error {
			all[table.Name] = append(all[table.Name], batch...)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// anyCliente is a check that lets every record be deleted.
func anyCliente(store.Cliente) error { return nil }

// table returns the table of that name.
func table(t *testing.T, name string) store.Table {
	t.Helper()
	all := store.Tables()
	i := slices.IndexFunc(all, func(t store.Table) bool { return t.Name == name })
	if i < 0 {
		t.Fatalf("there is no table %s", name)
	}
	return all[i]
}

// wantLine fails the test if the report of a copy does not have that number of rows for a table,
// with a checksum.
func wantLine(t *testing.T, report, table string, rows int) {
	t.Helper()
	line := fmt.Sprintf(`(?m)^%s +%d +[0-9a-f]{16}$`, table, rows)
	if !regexp.MustCompile(line).MatchString(report) {
		t.Errorf("%s has %d rows, and it says\n%s", table, rows, report)
	}
}

// at returns the setting of a database.
func at(databaseURL string) map[string]string {
	return map[string]string{"DATABASE_URL": databaseURL}
}

// copies runs `clientes copy`.
func copies(t *testing.T, from, to string) result {
	t.Helper()
	return call(t, nil, "", "copy", "--from", from, "--to", to)
}

// A business moves to another database: nobody notices.
func TestCopy(t *testing.T) {
	t.Parallel()
	for _, engines := range directions() {
		t.Run(engines[0]+" to "+engines[1], func(t *testing.T) {
			t.Parallel()
			from, to := engineURLs(t)[engines[0]](t), engineURLs(t)[engines[1]](t)
			old := newFleet(t, 1, from)
			for _, name := range []string{"ana", "bia", "gone"} {
				old.addUser(t, name)
			}
			s := old.on(0)
			lives, ended := old.login(t, s, "ana"), old.login(t, s, "ana")
			everywhere, gone := old.login(t, s, "bia"), old.login(t, s, "gone")
			old.logout(t, s, ended.Token)
			old.wantRefused(t, s, "/login", loginBody{"ana", "wrong"}, "invalid_login")
			old.command(t, "", "user", "disable", "bia")
			old.command(t, "", "user", "delete", "gone")
			source := opened(t, from)
			s.signal(t)
			if status := s.wait(); status != 0 {
				t.Fatalf("status %d: %s", status, s.stderr.String())
			}
			last := storetest.FillTables(t, source) // whose mails the server would have sent
			users, err := source.Extent(t.Context(), table(t, "users"))
			authtest.Must(t, err)

			want := tablesOf(t, source)
			r := copies(t, from, to)
			r.want(t, 0, "everything is copied; ", "")
			for name, rows := range want {
				wantLine(t, r.stdout, name, len(rows))
			}
			target := opened(t, to)
			if got := tablesOf(t, target); !reflect.DeepEqual(got, want) {
				t.Errorf("the copy has\n%v, not\n%v", got, want)
			}
			history, err := target.ClienteHistory(t.Context(), last.ID, 0, 10)
			if err != nil || len(history) != 3 || history[0].Record != last {
				t.Errorf("the history of what was deleted: %v, %v", history, err)
			}
			wantEndsKnown(t, target, ended.Token, everywhere.Token, gone.Token)

			now := newFleet(t, 1, to)
			s = now.on(0)
			now.want(t, s, lives.Token, yes)
			for _, token := range []string{ended.Token, everywhere.Token, gone.Token} {
				now.want(t, s, token, no)
			}
			renewed, err := now.refresh(t, s, lives.Refresh)
			if err != nil || renewed.status != 200 {
				t.Errorf("refresh: %v, %v", renewed, err)
			}
			now.want(t, s, renewed.Token, yes)
			for _, token := range []string{ended.Refresh, everywhere.Refresh, gone.Refresh} {
				now.wantRefused(t, s, "/refresh", refreshBody{token}, "refresh_invalid")
			}
			now.want(t, s, now.login(t, s, "ana").Token, yes)
			for _, name := range []string{"bia", "gone"} {
				now.wantRefused(t, s, "/login", loginBody{name, goodPassword}, "invalid_login")
			}
			now.addUser(t, "gone")
			u, err := target.UserByName(t.Context(), "gone")
			if err != nil || u.ID != users.LastID+1 {
				t.Errorf("the next user is %+v after %d, %v", u, users.LastID, err)
			}
			c, err := target.CreateCliente(t.Context(), 0, store.Cliente{Name: "new"})
			if err != nil || c.ID != last.ID+1 {
				t.Errorf("the next cliente is %d after %d, %v", c.ID, last.ID, err)
			}
		})
	}
}

// wantEndsKnown checks that auth refuses the tokens of ended sessions.
func wantEndsKnown(t *testing.T, st store.Store, tokens ...string) {
	t.Helper()
	a, err := auth.New(auth.Config{
		Store: st, Gate: password.NewGate(password.Local{}, 1, 1),
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Secret: goodSecret, Issuer: "clientes", Audience: "clientes",
		TokenTTL: time.Minute, SessionIdle: time.Hour, SessionMax: time.Hour,
	})
	authtest.Must(t, err)
	for i, token := range tokens {
		if _, err := a.Authenticate(t.Context(), token); !errors.Is(err, auth.ErrTokenRevoked) {
			t.Errorf("session %d, which had ended: %v", i, err)
		}
	}
}

func TestCopyRefuses(t *testing.T) {
	inFolder(t, nil)
	for args, want := range map[string]string{
		"copy":                  "give both databases: --from URL --to URL\n",
		"copy --to sqlite:b.db": "give both databases: --from URL --to URL\n",
		"copy a b":              "`clientes copy` takes no arguments, but 2 were given",
	} {
		call(t, nil, "", strings.Fields(args)...).want(t, 2, "", "clientes: "+want)
	}
	// refused runs a copy that has to end with a status and an error.
	refused := func(from, to string, status int, want string) {
		t.Helper()
		copies(t, from, to).want(t, status, "", "clientes: "+want)
	}
	refused("sqlite:a.db", "mysql://u:sekret@h/d", 2,
		"--to has to begin with sqlite: or postgres://")
	refused("postgres://u:sek/ret@h/d", "sqlite:b.db", 2,
		"--from has an @ behind a /: write / in the password as %2F")
	refused("sqlite:a.db", "sqlite:b.db", 1,
		"--from: there is nothing in the database; is it the right URL?\n")
	if files, _ := os.ReadDir("."); len(files) > 0 {
		t.Fatalf("a refused copy made files: %v", files)
	}

	const same = "--from and --to are the same database"
	call(t, at("sqlite:a.db"), goodPassword, "user", "add", "bob", "--password-stdin").
		want(t, 0, "", "")
	authtest.Must(t, os.Symlink("a.db", "link.db"))
	for _, url := range []string{"sqlite:a.db", "sqlite:./a.db", "sqlite:link.db"} {
		refused("sqlite:a.db", url, 2, same)
	}
	for _, url := range []string{"sqlite:b.db", postgrestest.Database(t)} {
		call(t, at(url), goodPassword, "user", "add", "eve", "--password-stdin").want(t, 0, "", "")
		refused("sqlite:a.db", url, 1, "--to: there are rows in users: "+
			"a copy goes into an empty database only; give another one")
		refused(url, url, 2, same)
		call(t, at(url), "", "user", "list").want(t, 0, "eve", "")
	}
	old := olderSchema(t)
	for flag, r := range map[string]result{
		"--from": copies(t, old, "sqlite:d.db"), "--to": copies(t, "sqlite:a.db", old),
	} {
		r.want(t, 1, "", "clientes: "+flag+": migration 00009_copies.sql is missing: ")
		r.want(t, 1, "",
			"; bring it to this program's schema with `clientes migrate`, its URL in DATABASE_URL\n")
	}
	authtest.Must(t, opened(t, "sqlite:c.db").BeginCopy(t.Context(), "another"))
	refused("sqlite:a.db", "sqlite:c.db", 1,
		"--to: the copy of another database into it is not finished: ")
	refused("sqlite:c.db", "sqlite:d.db", 1,
		"--from: a copy into this database was begun and is not finished: ")

	const gone = "postgres://u:sekret@127.0.0.1:1/d"
	for flag, r := range map[string]result{
		"--from": copies(t, gone, "sqlite:d.db"), "--to": copies(t, "sqlite:a.db", gone),
	} {
		r.want(t, 1, "", "clientes: "+flag+": ")
		r.want(t, 1, "", "; check that the database runs and that the URL leads to it\n")
		if strings.Contains(r.stderr, "sekret") {
			t.Error(r.stderr)
		}
	}
	if _, err := os.Stat("d.db"); err == nil {
		t.Error("a refused copy made a file")
	}
}

// olderSchema returns the URL of a database that lacks a migration.
func olderSchema(t *testing.T) (url string) {
	t.Helper()
	url = "sqlite:older.db"
	call(t, at(url), "", "migrate").want(t, 0, "", "")
	conn, err := sqlite.OpenConn("older.db", sqlite.OpenReadWrite)
	authtest.Must(t, err)
	defer conn.Close()
	const older = "DELETE FROM clientes_migrations WHERE version_id = 9; DROP TABLE identity;"
	authtest.Must(t, sqlitex.ExecuteScript(conn, older, nil))
	return url
}

// Nothing works with a part of a database.
func TestAnUnfinishedCopyIsNotUsed(t *testing.T) {
	onEachEngine(t, func(t *testing.T, vars map[string]string) {
		fileOf(t, "one.csv", "name\nAna\n")
		call(t, at("sqlite:from.db"), "", "import", "one.csv").want(t, 0, "", "")
		is, err := opened(t, "sqlite:from.db").Identity(t.Context())
		authtest.Must(t, err)
		target := opened(t, vars["DATABASE_URL"])
		authtest.Must(t, target.BeginCopy(t.Context(), is.ID))
		vars = maps.Clone(vars)
		vars["SECRET"], vars["PORT"] = goodSecret, "0"
		for _, args := range []string{
			"serve", "quickstart", "user list", "user add a --password-stdin",
			"user passwd a --password-stdin", "user role a admin", "user disable a",
			"user enable a", "user delete a", "import one.csv", "import --dry-run one.csv",
			"export",
		} {
			// Or a server that does not refuse would serve for ever.
			ctx, cancel := context.WithTimeout(t.Context(), eventuallySoon)
			callWithin(ctx, vars, goodPassword, strings.Fields(args)...).
				want(t, 1, "", "clientes: "+errUnfinishedCopy.Error()+"\n")
			cancel()
		}
		call(t, vars, "", "migrate").want(t, 0, "", "") // or a newer program could not go on
		for table, rows := range tablesOf(t, target) {
			t.Errorf("%s has %v", table, rows)
		}
		copies(t, "sqlite:from.db", vars["DATABASE_URL"]).want(t, 0, "everything is copied", "")
		call(t, vars, "", "export").want(t, 0, "Ana", "")
		call(t, vars, goodPassword, "user", "add", "a", "--password-stdin").want(t, 0, "", "")
	})
}

// manyClientes are so many that a copy of them can be interrupted.
const manyClientes = 4_000

// A copy goes on where a kill or an interrupt has stopped it.
func TestCopyGoesOn(t *testing.T) {
	t.Parallel()
	for _, engines := range directions()[:2] {
		t.Run(engines[0]+" to "+engines[1], func(t *testing.T) {
			t.Parallel()
			from := engineURLs(t)[engines[0]](t)
			_, err := opened(t, from).ImportClientes(t.Context(), 0, anas(manyClientes))
			authtest.Must(t, err)
			for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT} {
				to, target := interruptedCopy(t, from, engineURLs(t)[engines[1]], signal)
				call(t, at(to), "", "user", "list").want(t, 1, "", errUnfinishedCopy.Error())
				// No row is ever written over, so a copy that began anew would fail at the first
				// one.
				r := copies(t, from, to)
				r.want(t, 0, "everything is copied", "")
				wantLine(t, r.stdout, "clientes", manyClientes)
				wantLine(t, r.stdout, "cliente_history", manyClientes)
				c, err := target.CreateCliente(t.Context(), 0, store.Cliente{Name: "new"})
				if err != nil || c.ID != manyClientes+1 {
					t.Errorf("after %v the next cliente is %d, %v", signal, c.ID, err)
				}
			}
		})
	}
}

// anas returns n customers.
func anas(n int) iter.Seq2[store.Cliente, error] {
	return func(yield func(store.Cliente, error) bool) {
		for i := range n {
			c := store.Cliente{
				Name: fmt.Sprint("Ana ", i), Email: fmt.Sprintf("ana%d@example.com", i),
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

// interruptedCopy returns a database that holds a part of another one.
func interruptedCopy(
	t *testing.T, from string, newURL func(*testing.T) string, signal syscall.Signal,
) (string, store.Store) {
	t.Helper()
	for range 20 { // it may finish before this process looks
		to := newURL(t)
		target := opened(t, to)
		cmd := command(t, []string{endsAtOnce}, "copy", "--from", from, "--to", to)
		var stderr authtest.Log
		cmd.Stderr = &stderr
		authtest.Must(t, cmd.Start())
		clientes := table(t, "clientes")
		authtest.Eventually(t, "rows are copied", func() bool {
			e, err := target.Extent(t.Context(), clientes)
			authtest.Must(t, err)
			return e.Rows > 0
		})
		authtest.Must(t, cmd.Process.Signal(signal))
		_ = cmd.Wait()
		is, err := target.Identity(t.Context())
		authtest.Must(t, err)
		if is.Copying == "" {
			continue
		}
		const want = "clientes: interrupted before it was done; the same command goes on from there\n"
		status := cmd.ProcessState.ExitCode()
		if signal == syscall.SIGINT && (stderr.String() != want || status != 1) {
			t.Errorf("status %d, %s", status, stderr.String())
		}
		return to, target
	}
	t.Fatal("this machine cannot interrupt a copy")
	return "", nil
}

// The comparison finds what was written to either database after a part of the source was copied.
// Then the target stays unused.
func TestCopyOfADatabaseThatChanges(t *testing.T) {
	ana := func(c store.Cliente) (store.Cliente, error) { c.Notes = "changed"; return c, nil }
	for name, test := range map[string]struct {
		change func(ctx context.Context, source, target store.Store) error
		want   string
	}{
		"changed in the source": {func(ctx context.Context, source, _ store.Store) error {
			_, err := source.UpdateCliente(ctx, 0, 1, ana)
			return err
		}, "clientes: not the same in both databases: clientes: "},
		"deleted in the source": {func(ctx context.Context, source, _ store.Store) error {
			return source.DeleteCliente(ctx, 0, 1, anyCliente)
		}, "clientes: not the same in both databases: clientes: "},
		"changed in the target": {func(ctx context.Context, _, target store.Store) error {
			_, err := target.UpdateCliente(ctx, 0, 1, ana)
			return err
		}, "clientes: not the same in both databases: clientes, cliente_history: "},
		"an email that has moved": {func(ctx context.Context, source, _ store.Store) error {
			if err := source.DeleteCliente(ctx, 0, 1, anyCliente); err != nil {
				return err
			}
			again := store.Cliente{Name: "Ana", Email: "ana@example.com"}
			_, err := source.CreateCliente(ctx, 0, again)
			return err
		}, "clientes: --to: write clientes: something else wrote"},
	} {
		t.Run(name, func(t *testing.T) {
			onEachEngine(t, func(t *testing.T, vars map[string]string) {
				from, to := "sqlite:from.db", vars["DATABASE_URL"]
				fileOf(t, "two.csv", "name,email\nAna,ana@example.com\nBruno,\n")
				call(t, at(from), "", "import", "two.csv").want(t, 0, "", "")
				source, target := opened(t, from), opened(t, to)
				is, err := source.Identity(t.Context())
				authtest.Must(t, err)
				authtest.Must(t, target.BeginCopy(t.Context(), is.ID))
				rows := tablesOf(t, source)["clientes"]
				authtest.Must(t, target.WriteRows(t.Context(), is.ID, table(t, "clientes"), rows))
				authtest.Must(t, test.change(t.Context(), source, target))
				for range 2 {
					r := copies(t, from, to)
					r.want(t, 1, "", test.want)
					r.want(t, 1, "", "; if that was another `clientes copy`, let it finish, "+
						"else stop what uses them, drop the database of --to, and copy again\n")
				}
				call(t, vars, "", "user", "list").want(t, 1, "", errUnfinishedCopy.Error())
			})
		})
	}
}

// Different rows never have the same checksum.
func TestSumsDiffer(t *testing.T) {
	seen := make(map[string]string)
	moment := time.UnixMilli(1)
	for _, row := range [][]any{
		{}, {nil}, {nil, nil}, {true}, {false}, {int64(0)}, {int64(1)},
		{moment}, {moment.Add(time.Millisecond)},
		{""}, {"", ""}, {"a"}, {"a", ""}, {"", "a"}, {"a", "a"}, {"-"}, {"y"},
		{int64(1), "a"}, {"a", int64(1)}, {string(appendValue(nil, "a"))},
	} {
		var text []byte
		for _, v := range row {
			text = appendValue(text, v)
		}
		if other, ok := seen[string(text)]; ok {
			t.Errorf("%q and %s are the same", row, other)
		}
		seen[string(text)] = fmt.Sprintf("%q", row)
	}
	here := appendValue(nil, moment.UTC())
	elsewhere := appendValue(nil, moment.In(time.FixedZone("", 3600)))
	if !bytes.Equal(here, elsewhere) {
		t.Error("one moment is two")
	}
}
