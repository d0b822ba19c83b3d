package sqlite_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	engine "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"clientes/store"
	"clientes/store/sqlite"
	"clientes/store/storetest"
)

// children are the programs that this test binary runs when it starts itself again, to see what
// several processes do to one file.
func children() map[string]func(url string) error {
	return map[string]func(url string) error{
		"migrate": migrateAndOpen,
		"create":  createForEver,

		"serve":      serveForEver,
		"checkpoint": checkpointForEver,
		"import":     importForEver,
		"examine":    printExamination,
		"erase":      eraseForEver,
	}
}

func TestMain(m *testing.M) {
	if child, ok := children()[os.Getenv("SQLITE_TEST_CHILD")]; ok {
		go func() {
			io.Copy(io.Discard, os.Stdin) // until the tests have ended, in whatever way
			os.Exit(1)
		}()
		if err := child(os.Getenv("SQLITE_TEST_URL")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// startChild returns the command that runs a child on the database. The child ends with the tests.
func startChild(t *testing.T, name, url string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	_, err := cmd.StdinPipe() // it is closed when this process ends
	must(t, err)
	cmd.Env = append(os.Environ(), "SQLITE_TEST_CHILD="+name, "SQLITE_TEST_URL="+url)
	return cmd
}

// long reports whether the tests that take long are to run, too.
func long() bool { return os.Getenv("TEST_LONG") != "" }

func TestReadsSeeWrites(t *testing.T) {
	t.Parallel()
	s, err := sqlite.Open(t.Context(), migratedURL(t), store.Options{CallTimeout: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	storetest.ReadsSeeWrites(t, s)
}

func TestContract(t *testing.T) {
	storetest.Run(t, storetest.Engine{
		Empty:    emptyURL,
		Migrated: migratedURL,
		Migrate:  sqlite.Migrate,
		Schema:   sqlite.Schema,
		Open: func(ctx context.Context, url string, now func() time.Time) (store.Store, error) {
			return sqlite.Open(ctx, url, store.Options{Now: now, CallTimeout: 5 * time.Minute})
		},
		MigrateReporting: sqlite.MigrateReporting,
		Execute: func(ctx context.Context, url, statements string) (err error) {
			conn, err := engine.OpenConn(strings.TrimPrefix(url, "sqlite:"), engine.OpenReadWrite)
			if err != nil {
				return err
			}
			defer conn.Close()
			conn.SetBlockOnBusy()
			conn.SetInterrupt(ctx.Done())
			// The write lock first: a transaction that asks for it later may not wait for it.
			end, err := sqlitex.ImmediateTransaction(conn)
			if err != nil {
				return err
			}
			defer end(&err)
			return sqlitex.ExecuteScript(conn, statements, nil)
		},
		Breaking: `
			UPDATE identity SET required_version = 999`,
	})
}

// emptyURL names a file that does not exist. Its folder has a name that must not be taken for part
// of a URL, a query or an escape.
func emptyURL(t *testing.T) string {
	folder := filepath.Join(t.TempDir(), "dados #1 100%41 é")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + filepath.Join(folder, "clientes.db")
}

func migratedURL(t *testing.T) string {
	url := emptyURL(t)
	if err := sqlite.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	return url
}

// open opens a store whose calls wait as long as a busy machine needs.
func open(t *testing.T, url string) *sqlite.Store {
	t.Helper()
	return openWith(t, url, store.Options{CallTimeout: 5 * time.Minute})
}

func openWith(t *testing.T, url string, o store.Options) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// beside opens the file as another program would.
func beside(t *testing.T, url string) *engine.Conn {
	t.Helper()
	conn, err := engine.OpenConn(strings.TrimPrefix(url, "sqlite:"), engine.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func execute(t *testing.T, conn *engine.Conn, query string) {
	t.Helper()
	if err := sqlitex.ExecuteTransient(conn, query, nil); err != nil {
		t.Fatal(err)
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"", "sqlite", "sqlite:", "clientes.db", "file:clientes.db", "postgres://localhost/x",
		"sqlite::memory:", "sqlite://clientes.db", "sqlite:///tmp/clientes.db",
		"sqlite:clientes.db?mode=ro",
	} {
		if err := sqlite.Migrate(t.Context(), url); err == nil {
			t.Errorf("%q was migrated", url)
		}
		if _, err := sqlite.Schema(t.Context(), url); err == nil {
			t.Errorf("%q has migrations", url)
		}
		if s, err := sqlite.Open(t.Context(), url, store.Options{}); err == nil {
			t.Errorf("%q was opened", url)
			s.Close()
		}
	}
}

func TestARelativePathIsOfTheWorkingFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := sqlite.Migrate(t.Context(), "sqlite:file:x.db"); err != nil {
		t.Fatal(err)
	}
	if err := open(t, "sqlite:file:x.db").Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat("file:x.db"); err != nil {
		t.Error(err)
	}
}

func TestAnAbsentFileStaysAbsent(t *testing.T) {
	t.Parallel()
	url := emptyURL(t)
	if _, err := sqlite.Schema(t.Context(), url); err != nil {
		t.Error(err)
	}
	_, err := sqlite.Open(t.Context(), url, store.Options{})
	if !errors.Is(err, store.ErrSchema) {
		t.Errorf("open: %v", err)
	}
	if _, err := os.Stat(strings.TrimPrefix(url, "sqlite:")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat: %v", err)
	}
}

func TestAFileThatIsNoDatabaseIsRefusedAndLeftAlone(t *testing.T) {
	t.Parallel()
	url := emptyURL(t)
	path := strings.TrimPrefix(url, "sqlite:")
	text := bytes.Repeat([]byte("Not a database.\n"), 1000)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := sqlite.Migrate(t.Context(), url); err == nil {
		t.Error("it was migrated")
	}
	if _, err := sqlite.Open(t.Context(), url, store.Options{}); err == nil {
		t.Error("it was opened")
	}
	if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, text) {
		t.Errorf("it was changed: %v", err)
	}
}

func TestOnlyTheOwnerMayReadTheFiles(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	t.Parallel()
	url := migratedURL(t)
	s := open(t, url)
	if _, err := s.CreateUser(t.Context(), store.User{Name: "ana", Role: store.Admin}); err != nil {
		t.Fatal(err)
	}
	path := strings.TrimPrefix(url, "sqlite:")
	for _, name := range []string{path, path + "-wal", path + "-shm", path + ".lock"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", filepath.Base(name), info.Mode())
		}
	}
}

func TestEveryTableIsStrict(t *testing.T) {
	t.Parallel()
	loose := ""
	err := sqlitex.ExecuteTransient(beside(t, migratedURL(t)), `
		SELECT name
		FROM pragma_table_list
		WHERE NOT strict AND schema = 'main'
			AND name NOT LIKE 'sqlite%'
			AND name <> 'clientes_migrations'
			AND name NOT LIKE 'clientes_search%'`, // whose tables are FTS5's own
		&sqlitex.ExecOptions{ResultFunc: func(stmt *engine.Stmt) error {
			loose += stmt.ColumnText(0) + " "
			return nil
		}})
	if err != nil || loose != "" {
		t.Errorf("not STRICT: %s, %v", loose, err)
	}
}

func TestADatabaseThatLacksAMigration(t *testing.T) {
	t.Parallel()
	url := migratedURL(t)
	s := open(t, url)
	has, err := sqlite.Schema(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	last := has.Migrations[len(has.Migrations)-1]
	conn := beside(t, url)
	if strings.HasSuffix(last.Name, ".sql") {
		err := sqlitex.ExecuteScript(conn, storetest.Downs(t, last.Version)[0], nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	execute(t, conn, fmt.Sprint(`
		DELETE FROM clientes_migrations
		WHERE version_id = `, last.Version))
	err = s.Ready(t.Context())
	if !errors.Is(err, store.ErrSchema) || !strings.Contains(err.Error(), last.Name) {
		t.Errorf("ready: %v", err)
	}
	if err := sqlite.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("ready: %v", err)
	}
}

// The database is of a time when an account had only a name, an email and a password.
func TestUsersOfAnOlderDatabaseAreKept(t *testing.T) {
	t.Parallel()
	url := migratedURL(t)
	conn := beside(t, url)
	for _, down := range storetest.Downs(t, 10) {
		if err := sqlitex.ExecuteScript(conn, down, nil); err != nil {
			t.Fatalf("%s: %v", down, err)
		}
	}
	execute(t, conn, `ALTER TABLE clientes_migrations RENAME TO goose_db_version`)
	execute(t, conn, `DELETE FROM goose_db_version WHERE version_id >= 10`)
	execute(t, conn, `
		INSERT INTO users (name, name_key, email, email_key, role, disabled, password_hash,
			generation, created_at, updated_at)
		VALUES ('Ana', 'ana', 'Ana@example.com', 'ana@example.com', 'admin', 0, 'hash', 3, 1000,
			2000),
			('bia', 'bia', '', '', 'viewer', 1, 'hash of bia', 0, 3000, 3000)`)

	if err := sqlite.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	storetest.WantOldUsers(t, open(t, url))
}

// While another process writes for longer than a caller waits, writes are refused and reads go on.
func TestAFileThatAnotherProcessIsWriting(t *testing.T) {
	t.Parallel()
	url := migratedURL(t)
	s := openWith(t, url, store.Options{})
	ana, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"})
	if err != nil {
		t.Fatal(err)
	}
	conn := beside(t, url)
	execute(t, conn, `BEGIN IMMEDIATE`)

	var calls sync.WaitGroup
	for range 3 {
		calls.Go(func() {
			_, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Bia"})
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("create: %v", err)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.DeleteUser(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("delete: %v", err)
	}
	if got, err := s.Cliente(t.Context(), ana.ID); err != nil || got != ana {
		t.Errorf("read: %+v, %v", got, err)
	}
	calls.Wait()

	execute(t, conn, `COMMIT`)
	if _, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Caio"}); err != nil {
		t.Errorf("create: %v", err)
	}
	page, err := s.Clientes(t.Context(), store.Selection{}, store.Position{}, 10)
	if err != nil || len(page) != 2 {
		t.Errorf("left: %+v, %v", page, err)
	}
}

func TestManyProcessesMayMigrateAFreshFileAtOnce(t *testing.T) {
	t.Parallel()
	for range 10 {
		url := emptyURL(t)
		var processes sync.WaitGroup
		for range 8 {
			processes.Go(func() {
				out, err := startChild(t, "migrate", url).CombinedOutput()
				if err != nil || len(out) > 0 {
					t.Errorf("%v: %s", err, out)
				}
			})
		}
		processes.Wait()
		has, err := sqlite.Schema(t.Context(), url)
		lacking := func(m store.Migration) bool { return !m.Applied }
		if err != nil || len(has.Migrations) == 0 || slices.ContainsFunc(has.Migrations, lacking) {
			t.Errorf("migrations: %+v, %v", has, err)
		}
	}
}

// migrateAndOpen does what a server does when it starts.
func migrateAndOpen(url string) error {
	ctx := context.Background()
	if err := sqlite.Migrate(ctx, url); err != nil {
		return err
	}
	s, err := sqlite.Open(ctx, url, store.Options{})
	if err != nil {
		return err
	}
	// On a busy machine the others may delay it for longer than a caller waits.
	for err = store.ErrUnavailable; errors.Is(err, store.ErrUnavailable); {
		err = s.Ready(ctx)
	}
	if err != nil {
		return err
	}
	for err = store.ErrUnavailable; errors.Is(err, store.ErrUnavailable); {
		_, err = s.CreateCliente(ctx, 0, store.Cliente{Name: "Ana"})
	}
	return errors.Join(err, s.Close())
}

// A power cut cannot be tested here. A process that is killed while it writes can.
func TestWhatWasAnsweredSurvivesAKill(t *testing.T) {
	t.Parallel()
	url := migratedURL(t)
	answered := make(map[string]bool)
	for round := range 6 {
		child := startChild(t, "create", url)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var complaints bytes.Buffer
		child.Stderr = &complaints
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if answered[lines.Text()] {
				t.Errorf("%s was answered twice", lines.Text())
			}
			answered[lines.Text()] = true
			if n == 50+37*round {
				if err := child.Process.Kill(); err != nil { // SIGKILL
					t.Fatal(err)
				}
			}
		}
		child.Wait()
		if complaints.Len() > 0 {
			t.Fatalf("round %d: %s", round, &complaints)
		}
		s := open(t, url)
		there := make(map[string]bool)
		for after := int64(0); ; {
			page, err := s.Clientes(t.Context(), store.Selection{}, store.Position{ID: after}, 1000)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, c := range page {
				there[fmt.Sprint(c.ID, c.Name)] = true
				after = c.ID
			}
		}
		for line := range answered {
			if !there[line] {
				t.Errorf("round %d: %q was answered and is gone", round, line)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// createForEver writes from many goroutines and prints each write that returned, until it is
// killed.
func createForEver(url string) error {
	s, err := sqlite.Open(context.Background(), url, store.Options{})
	if err != nil {
		return err
	}
	errs := make(chan error)
	for w := range 8 {
		go func() {
			for i := 0; ; i++ {
				c, err := s.CreateCliente(context.Background(), 0,
					store.Cliente{Name: fmt.Sprintf("%d %d/%d", os.Getpid(), w, i)})
				if err != nil {
					errs <- err
					return
				}
				os.Stdout.WriteString(fmt.Sprint(c.ID, c.Name) + "\n") // one write for a whole line
			}
		}()
	}
	return <-errs
}

// TestAFileThatIsGoneIsNotWrittenTo removes the database under the store, which SQLite itself would
// not notice.
func TestAFileThatIsGoneIsNotWrittenTo(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "clientes.db")
	if err := sqlite.Migrate(t.Context(), "sqlite:"+path); err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), "sqlite:"+path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // nothing there, and another file there
		if err := s.Ready(t.Context()); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("ready: %v", err)
		}
		_, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "lost"})
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("create: %v", err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(path+".moved", path); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("back in its place: %v", err)
	}
}

// TestWhatIsNoDatabaseIsLeftAlone checks that a wrong path costs nothing but an error.
func TestWhatIsNoDatabaseIsLeftAlone(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	text := filepath.Join(folder, "notes.txt")
	note := []byte("not a database, but some text of mine")
	if err := os.WriteFile(text, note, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{text, folder} {
		if err := sqlite.Migrate(t.Context(), "sqlite:"+path); err == nil {
			t.Errorf("%s was migrated", path)
		}
		if _, err := os.Stat(path + ".lock"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s has a lock: %v", path, err)
		}
	}
}
