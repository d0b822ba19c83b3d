package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clientes/auth/authtest"
	"clientes/store"
	"clientes/store/postgres/postgrestest"
)

// onEachEngine runs a test over a fresh database of each engine, in a folder of its own.
func onEachEngine(t *testing.T, test func(t *testing.T, vars map[string]string)) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			inFolder(t, nil)
			vars := map[string]string{"DATABASE_URL": "sqlite:clientes.db"}
			if engine == "postgres" {
				vars["DATABASE_URL"] = postgrestest.Database(t)
			}
			test(t, vars)
		})
	}
}

// stored returns all customers of the database, and the history of each.
func stored(t *testing.T, vars map[string]string) (all []store.Cliente, changes [][]store.Change) {
	t.Helper()
	url := vars["DATABASE_URL"]
	st, err := engineOf(url).open(t.Context(), url, store.Options{})
	authtest.Must(t, err)
	defer st.Close()
	if err := st.EachCliente(t.Context(), store.Selection{}, func(c store.Cliente) error {
		all = append(all, c)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		h, err := st.ClienteHistory(t.Context(), c.ID, 0, 10)
		authtest.Must(t, err)
		changes = append(changes, h)
	}
	return all, changes
}

// folderForTemporaryFiles makes a folder for temporary files, and returns a function that lists it.
func folderForTemporaryFiles(t *testing.T) (names func() []string) {
	t.Helper()
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	return func() []string { return namesIn(t, folder) }
}

func namesIn(t *testing.T, folder string) (names []string) {
	t.Helper()
	files, err := os.ReadDir(folder)
	authtest.Must(t, err)
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

func fileOf(t *testing.T, name, text string) {
	t.Helper()
	authtest.Must(t, os.WriteFile(name, []byte(text), 0o600))
}

// An import creates the database, no matter where the format comes from: the flag, the name or the
// content.
func TestImport(t *testing.T) {
	onEachEngine(t, func(t *testing.T, vars map[string]string) {
		temporary := folderForTemporaryFiles(t)
		for _, test := range []struct{ file, flag, text, imported string }{
			{"a.csv", "", "\ufeffemail;name;notes\r\nana@example.com;Ana;\"a\nb\"\r\n;Bruno;\r\n",
				"2 customers"},
			{"b.CSV", "", "id,name,email,version\n7,=1+1,,3\n", "1 customer"},
			{"c.ndjson", "", `{"name":"Çelik","email":"c@example.com"}`, "1 customer"},
			{"d.jsonl", "", "\n" + `{"id":1,"name":"Dara","email":"d@example.com","version":3}` +
				"\n", "1 customer"},
			{"e.csv", "ndjson", `{"name":"Eri"}`, "1 customer"},
			{"f.txt", "csv", "name\nFlora\n", "1 customer"},
			{"g.txt", "", "name\nGil\n", "1 customer"},
			{"h.txt", "", "\ufeff \n" + `{"name":"Hana"}`, "1 customer"},
			{"-", "csv", "name\nIvo\n", "1 customer"},
			{"-", "", "\n\n" + `{"name":"Jô"}`, "1 customer"},
			{"-", "", "name\nKei\n", "1 customer"},
		} {
			args, stdin := []string{"import", test.file}, test.text
			if test.file != stdStream {
				fileOf(t, test.file, test.text)
				stdin = ""
			}
			if test.flag != "" {
				args = append(args, "--format", test.flag)
			}
			done := result{0, "imported " + test.imported + "\n", ""}
			if r := call(t, vars, stdin, args...); r != done {
				t.Errorf("%v: %+v", args, r)
			}
		}
		all, changes := stored(t, vars)
		var names []string
		for i, c := range all {
			names = append(names, c.Name)
			h := changes[i]
			if len(h) != 1 || h[0].UserID != 0 || h[0].User != "" || h[0].Record != c {
				t.Errorf("the history of %q is %+v", c.Name, h)
			}
		}
		if !slices.Equal(names, []string{
			"Ana", "Bruno", "=1+1", "Çelik", "Dara", "Eri",
			"Flora", "Gil", "Hana", "Ivo", "Jô", "Kei",
		}) {
			t.Fatalf("the names are %q", names)
		}
		if all[0].Notes != "a\nb" || all[0].Email != "ana@example.com" || all[2].Version != 1 ||
			all[2].ID != 3 {
			t.Errorf("%+v, %+v", all[0], all[2])
		}
		if left := temporary(); left != nil {
			t.Errorf("it left %q", left)
		}
	})
}

// Faults are listed by row and field, and nothing is kept: not even a database is created.
func TestImportFaults(t *testing.T) {
	for _, test := range []struct{ name, format, text, stderr string }{
		{"one", "csv", "name,phone\n ,1\n",
			"row 1, name: A name is required.\nclientes: the file has a fault; nothing was imported\n"},
		{"several", "csv", "name,email\nAna,\n,x\nBruno,,3\n", `row 2, name: A name is required.
row 2, email: This is not an email address: it has no @.
row 3: The row has 3 cells, and the file 2 columns. A text with a comma in it has to be in double quotes.
clientes: the file has 3 faults; nothing was imported
`},
		{"the header", "csv", "nome,e\x1b[31m\nmail\n", `the file: "nome", "e\x1b[31m" are no columns. The columns are name, email, phone, company, address, notes. Rename the others or take them out, or say what each column is, from the left, with --columns=name (an empty one is passed over).
clientes: the file has a fault; nothing was imported
`},
		{"no file", "csv", "",
			"the file, name: The file is empty: its first line has to name the columns.\n" +
				"clientes: the file has a fault; nothing was imported\n"},
		{"JSON", "ndjson", `{"name":"Ana"}` + "\n" + `[1]` + "\n" + `{"name":"Bruno","e\nmail":1}`, `row 2: The line is an array; send one object, without the square brackets.
row 3, e mail: There is no such member; did you mean "email"?
clientes: the file has 2 faults; nothing was imported
`},
	} {
		t.Run(test.name, func(t *testing.T) {
			inFolder(t, nil)
			temporary := folderForTemporaryFiles(t)
			for _, args := range [][]string{{}, {"--dry-run"}} {
				r := call(t, nil, test.text,
					append([]string{"import", "-", "--format", test.format}, args...)...)
				if r != (result{1, "", test.stderr}) {
					t.Errorf("status %d, stdout %q, stderr\n%swant\n%s", r.status, r.stdout,
						r.stderr, test.stderr)
				}
			}
			if made := append(namesIn(t, "."), temporary()...); made != nil {
				t.Errorf("it made %q", made)
			}
		})
	}
}

func TestTheFirstHundredFaultsAreListed(t *testing.T) {
	inFolder(t, nil)
	r := call(t, nil, "name,phone\n"+strings.Repeat(",1\n", 250), "import", "-")
	var want strings.Builder
	for i := range 100 {
		fmt.Fprintf(&want, "row %d, name: A name is required.\n", i+1)
	}
	want.WriteString("clientes: the file has 250 faults, of which these are the first 100; " +
		"nothing was imported\n")
	if r != (result{1, "", want.String()}) {
		t.Errorf("status %d, stderr\n%s", r.status, r.stderr)
	}
}

// Faults that only the database knows are listed in the same way. A dry run finds the same, and
// keeps nothing.
func TestImportOfTakenEmails(t *testing.T) {
	onEachEngine(t, func(t *testing.T, vars map[string]string) {
		fresh := "name,email\nAna,ana@example.com\nBia,bia@example.com\nAna,ANA@example.com\n"
		for _, args := range [][]string{{"import", "-", "--dry-run"}, {"import", "-"}} {
			call(t, vars, fresh, args...).want(t, 1, "", `row 3, email: Another record has this email.
clientes: the file has a fault; nothing was imported
`)
			if args[len(args)-1] == "--dry-run" {
				wantFresh(t, vars)
			}
		}

		good := "name,email\nAna,ana@example.com\nBruno,bruno@example.com\n"
		r := call(t, vars, good, "import", "-", "--dry-run")
		if r != (result{0, "2 customers can be imported; nothing was changed\n", ""}) {
			t.Errorf("%+v", r)
		}
		if all, _ := stored(t, vars); len(all) != 0 {
			t.Fatalf("a dry run kept %+v", all)
		}
		call(t, vars, good, "import", "-").want(t, 0, "imported 2 customers\n", "")

		taken := "name,email\nCelik,c@example.com\nAna,ANA@example.com\nDara,C@example.com\n"
		want := `row 2, email: Another record has this email.
row 3, email: Another record has this email.
clientes: the file has 2 faults; nothing was imported
`
		for _, args := range [][]string{{"import", "-"}, {"import", "-", "--dry-run"}} {
			if r := call(t, vars, taken, args...); r != (result{1, "", want}) {
				t.Errorf("%v: %+v", args, r)
			}
		}
		if all, _ := stored(t, vars); len(all) != 2 {
			t.Errorf("%+v", all)
		}
	})
}

func TestImportOfNothing(t *testing.T) {
	inFolder(t, map[string]string{"header.csv": "name\n", "empty.ndjson": ""})
	for _, name := range []string{"header.csv", "empty.ndjson"} {
		call(t, nil, "", "import", name).want(t, 0, "imported 0 customers\n", "")
	}
	call(t, nil, "", "import", "absent.csv").
		want(t, 1, "", "clientes: open absent.csv: no such file or directory\n")
	call(t, nil, "", "import", ".").want(t, 1, "", "clientes: read .: is a directory\n")
}

// interruptible is a call of run that a test interrupts.
type interruptible struct {
	interrupt context.CancelFunc
	ended     chan result
}

func start(t *testing.T, vars map[string]string, stdin io.Reader, args ...string) *interruptible {
	ctx, cancel := context.WithCancel(t.Context())
	i := &interruptible{cancel, make(chan result, 1)}
	go func() {
		var stdout, stderr bytes.Buffer
		status := run(ctx, args, environment(vars), stdin, &stdout, &stderr)
		i.ended <- result{status, stdout.String(), stderr.String()}
	}()
	return i
}

// wantInterrupted interrupts the call, and waits for its end.
func (i *interruptible) wantInterrupted(t *testing.T) {
	t.Helper()
	i.interrupt()
	select {
	case r := <-i.ended:
		if r != (result{1, "", "clientes: interrupted before it was done\n"}) {
			t.Errorf("%+v", r)
		}
	case <-time.After(authtest.Timeout):
		t.Fatal("the interrupt does not end it")
	}
}

// An interrupt ends a command that waits for input, before it has touched the database.
func TestInterruptedWhileReading(t *testing.T) {
	inFolder(t, nil)
	temporary := folderForTemporaryFiles(t)
	stdin, sender := io.Pipe()
	defer sender.Close()
	i := start(t, at("sqlite:clientes.db"), stdin, "import", "-", "--format", "csv")
	if _, err := io.WriteString(sender, "name\nAna\n"); err != nil { // returns when it was read
		t.Fatal(err)
	}
	i.wantInterrupted(t)
	if left := append(namesIn(t, "."), temporary()...); left != nil {
		t.Errorf("it left %q", left)
	}
}

// An interrupt while rows are stored keeps none of them, not even if the server reads them later.
func TestInterruptedWhileStoring(t *testing.T) {
	inFolder(t, nil)
	vars := map[string]string{"DATABASE_URL": postgrestest.Database(t)}
	call(t, vars, "", "migrate").want(t, 0, "", "")
	l := lock(t, vars["DATABASE_URL"], anotherAna)
	rows := strings.NewReader("name,email\nAna,ana@example.com\nBruno,\n")
	i := start(t, vars, rows, "import", "-")
	l.waitForWaiter(t)
	i.wantInterrupted(t)
	l.unlock(t)
	if all, _ := stored(t, vars); len(all) != 0 {
		t.Errorf("%d customers were kept", len(all))
	}
}

// A kill keeps none either: the server was never told to commit.
func TestKilledWhileStoring(t *testing.T) {
	inFolder(t, map[string]string{"new.csv": "name,email\nAna,ana@example.com\nBruno,\n"})
	vars := map[string]string{"DATABASE_URL": postgrestest.Database(t)}
	call(t, vars, "", "migrate").want(t, 0, "", "")
	l := lock(t, vars["DATABASE_URL"], anotherAna)
	cmd := command(t, []string{"DATABASE_URL=" + vars["DATABASE_URL"]}, "import", "new.csv")
	authtest.Must(t, cmd.Start())
	l.waitForWaiter(t)
	authtest.Must(t, cmd.Process.Kill())
	cmd.Wait()
	l.unlock(t)
	if all, _ := stored(t, vars); len(all) != 0 {
		t.Errorf("%d customers were kept", len(all))
	}
}

// locker holds a lock in a database.
type locker struct {
	holder, watcher *pgx.Conn
}

// anotherAna inserts a customer without a commit. An INSERT with the same email has to wait for
// her.
const anotherAna = `
	INSERT INTO clientes (name, email, email_key, phone, company, address, notes, version, created_at, updated_at)
	VALUES ('Ana', 'ana@example.com', 'ana@example.com', '', '', '', '', 1, now(), now())`

// lock returns a lock that a statement takes.
func lock(t *testing.T, databaseURL, statement string) *locker {
	t.Helper()
	l := new(locker)
	for _, conn := range []**pgx.Conn{&l.holder, &l.watcher} {
		var err error
		if *conn, err = postgrestest.Connect(t.Context(), databaseURL); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*conn).Close(context.Background()) })
	}
	for _, sql := range []string{"BEGIN", statement} {
		if _, err := l.holder.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// waitForWaiter waits until somebody waits for the lock.
func (l *locker) waitForWaiter(t *testing.T) {
	t.Helper()
	l.waitFor(t, "wait_event_type = 'Lock'", 1)
}

// unlock releases the lock and waits until the server has ended the work of clients that are gone.
func (l *locker) unlock(t *testing.T) {
	t.Helper()
	if _, err := l.holder.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	l.waitFor(t, "true", 0)
}

// waitFor waits until the database has that many other connections of a kind.
func (l *locker) waitFor(t *testing.T, condition string, n int) {
	t.Helper()
	what := fmt.Sprintf("the database has %d connections with %s", n, condition)
	ours := []uint32{l.holder.PgConn().PID(), l.watcher.PgConn().PID()}
	authtest.Eventually(t, what, func() bool {
		var others int
		authtest.Must(t, l.watcher.QueryRow(t.Context(), `
			SELECT count(*)
			FROM pg_stat_activity
			WHERE datname = current_database() AND backend_type = 'client backend'
				AND pid <> ALL ($1) AND `+condition, ours).Scan(&others))
		return others == n
	})
}

// wantFresh fails the test if anything has been made of the database.
func wantFresh(t *testing.T, vars map[string]string) {
	t.Helper()
	call(t, vars, "", "export").want(t, 1, "", "clientes: there is no")
	if files := namesIn(t, "."); len(files) > 0 {
		t.Errorf("there are %q", files)
	}
}

// A dry run says what the real run would say, where no database can be made, too.
func TestDryRunWhereNoDatabaseCanBeMade(t *testing.T) {
	inFolder(t, nil)
	authtest.Must(t, os.Mkdir("closed", 0o500))
	for path, want := range map[string]string{
		"absent/c.db": "/absent: make it, or name another file in DATABASE_URL",
		"closed/c.db": "may not make files in it: as root, chown",
	} {
		if path == "closed/c.db" && os.Getuid() == 0 {
			continue // may write everywhere
		}
		vars := map[string]string{"DATABASE_URL": "sqlite:" + path}
		for what, file := range map[string]string{
			"import": "name\nAna\n", "user import": "user,password_hash\nana," + bcryptHash + "\n",
		} {
			args := append(strings.Fields(what), "-")
			trial := call(t, vars, file, append(args, "--dry-run")...)
			trial.want(t, 1, "", want)
			if real := call(t, vars, file, args...); real != trial {
				t.Errorf("%s into %s: %+v, but the dry run %+v", what, path, real, trial)
			}
		}
	}
	if files := namesIn(t, "."); len(files) != 1 {
		t.Errorf("there are %q", files)
	}
}
