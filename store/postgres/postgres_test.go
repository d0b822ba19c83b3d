package postgres_test

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clientes/store"
	"clientes/store/postgres"
	"clientes/store/postgres/postgrestest"
	"clientes/store/storetest"
)

// TestMain also migrates, when this test binary starts itself again to see what several processes
// do to one database.
func TestMain(m *testing.M) {
	if url := os.Getenv("POSTGRES_TEST_MIGRATE"); url != "" {
		if err := postgres.Migrate(context.Background(), url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	// Most tests wait for Postgres or for time to pass, so more of them than there are cores can
	// run at once. The command line's own -parallel is read after this, and wins.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// migrator returns the command that migrates the database in a process of its own.
func migrator(t *testing.T, url string) *exec.Cmd {
	cmd := exec.CommandContext(soon(t), os.Args[0])
	cmd.Env = append(os.Environ(), "POSTGRES_TEST_MIGRATE="+url)
	return cmd
}

// long reports whether the tests that take long are to run, too.
func long() bool { return os.Getenv("TEST_LONG") != "" }

func TestReadsSeeWrites(t *testing.T) {
	t.Parallel()
	s, err := postgres.Open(t.Context(), postgrestest.Migrated(t, postgres.Migrate),
		store.Options{CallTimeout: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	storetest.ReadsSeeWrites(t, s)
}

func TestContract(t *testing.T) {
	t.Parallel()
	// pgx prepares its statements, as it does by default.
	t.Run("prepared", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, engine(
			func(t *testing.T) string { return postgrestest.Database(t) },
			func(t *testing.T) string { return postgrestest.Migrated(t, postgres.Migrate) },
		))
	})
	// Every transaction may be on another connection of the server.
	t.Run("as an ordinary user, through a pooler in transaction mode", func(t *testing.T) {
		t.Parallel()
		c := forOrdinaryUsers(t)
		through := c.Pooler(t, 8)
		pooled := func(db string) string {
			return with(t, through(db), "default_query_exec_mode", "exec")
		}
		storetest.Run(t, engine(
			func(t *testing.T) string { return pooled(c.empty(t)) },
			// Not through the pooler: it would keep a connection, and no database in use is copied.
			func(t *testing.T) string { return pooled(c.migrated(t)) },
		))
	})
}

// The arguments are in the text of the statements, where the server knows less about types.
func TestContractInTheSimpleProtocol(t *testing.T) {
	t.Parallel()
	if !long() {
		t.Skip("TEST_LONG is not set")
	}
	c := forOrdinaryUsers(t)
	simple := func(db string) string {
		return with(t, db, "default_query_exec_mode", "simple_protocol")
	}
	storetest.Run(t, engine(
		func(t *testing.T) string { return simple(c.empty(t)) },
		func(t *testing.T) string { return simple(c.migrated(t)) },
	))
}

// ordinary is a cluster with a user who may only create tables. Its administrator prefers other
// defaults than ours.
type ordinary struct{ *postgrestest.Cluster }

func forOrdinaryUsers(t *testing.T) ordinary {
	t.Helper()
	c := ordinary{postgrestest.Start(t,
		"default_transaction_isolation = 'serializable'",
		"timezone = 'America/Sao_Paulo'",
	)}
	execute(t, c.URL, "CREATE ROLE app LOGIN")
	isSuper := ask[bool](t, beside(t, c.empty(t)), `
		SELECT rolsuper
		FROM pg_roles
		WHERE rolname = current_user`)
	if isSuper {
		t.Fatal("the user is not an ordinary one")
	}
	return c
}

func mayMakeTables(ctx context.Context, db string) error {
	conn, err := postgrestest.Connect(ctx, db)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "GRANT CREATE ON SCHEMA public TO app")
	return err
}

// empty returns the URL of a new database, for the user.
func (c ordinary) empty(t *testing.T) string {
	t.Helper()
	db := c.Database(t)
	if err := mayMakeTables(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return with(t, db, "user", "app")
}

// migrated returns the URL of a new database with all tables, for the user, who has made them.
func (c ordinary) migrated(t *testing.T) string {
	t.Helper()
	return with(t, c.Migrated(t, func(ctx context.Context, db string) error {
		if err := mayMakeTables(ctx, db); err != nil {
			return err
		}
		return postgres.Migrate(ctx, with(t, db, "user", "app"))
	}), "user", "app")
}

func engine(empty, migrated func(t *testing.T) string) storetest.Engine {
	return storetest.Engine{
		Empty:    empty,
		Migrated: migrated,
		Migrate:  postgres.Migrate,
		Schema:   postgres.Schema,
		Open: func(ctx context.Context, url string, now func() time.Time) (store.Store, error) {
			return postgres.Open(ctx, url, store.Options{Now: now, CallTimeout: 5 * time.Minute})
		},
		MigrateReporting: postgres.MigrateReporting,
		Execute: func(ctx context.Context, url, statements string) error {
			conn, err := postgrestest.Connect(ctx, url)
			if err != nil {
				return err
			}
			defer conn.Close(ctx)
			_, err = conn.PgConn().Exec(ctx, statements).ReadAll()
			return err
		},
		Breaking: `
			SELECT pg_advisory_xact_lock(1668049253, 10);
			UPDATE identity SET required_version = 999`,
	}
}

func TestAURLAtFaultKeepsItsPassword(t *testing.T) {
	t.Parallel()
	const unreadable = "as %2F"
	for url, says := range map[string]string{
		"":                           "postgres://",
		"postgres":                   "postgres://",
		"sqlite:clientes.db":         "postgres://",
		"mysql://a:sekret@h/d":       "postgres://",
		"host=h password=sekret":     "postgres://",
		"postgres://a:sek%zzret@h/d": "as %25",
		"postgres://a:sek ret@h:x/d": "invalid port",
		"postgres://a:sek/sek@h/d":   unreadable,
		"postgres://a:1/sek@h/d":     unreadable,
		"postgres://a:1/sek@h:p/d":   unreadable,
		"postgres://a:b@c/sek@h/d":   unreadable,
		"postgres://a:1?sek@h/d":     "", // readable to pgx
		"postgres://a:1#sek@h/d":     "", // readable to libpq
		"postgres://a:b:sek@h:x/d":   "invalid port",

		"postgres://a:sekret@h/d?pool_max_conns=many":       "pool_max_conns",
		"postgres://a:sekret@h/d?pool_max_conns=0":          "pool_max_conns",
		"postgres://a:sekret@h/d?sslmode=maybe":             "sslmode",
		"postgres://h/d?password=sekret&sslmode=maybe":      "sslmode",
		"postgres://h/d?pass%77ord=sekret&sslmode=maybe":    "sslmode",
		"postgres://a:sekret@h/d?default_query_exec_mode=x": "default_query_exec_mode",
		"postgres://a:sekret@127.0.0.1:1/d":                 "127.0.0.1:1",
	} {
		_, opened := postgres.Open(t.Context(), url, store.Options{})
		_, listed := postgres.Schema(t.Context(), url)
		for _, err := range []error{opened, listed, postgres.Migrate(t.Context(), url)} {
			if err == nil || !strings.Contains(err.Error(), says) ||
				strings.Contains(err.Error(), "sek") {
				t.Errorf("%q: %v", url, err)
			}
		}
	}
}

// with adds options to a URL.
func with(t *testing.T, text string, options ...string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for i := 0; i < len(options); i += 2 {
		q.Set(options[i], options[i+1])
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// beside connects to the database as another program would.
func beside(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := postgrestest.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// execute runs a statement on a connection of its own.
func execute(t testing.TB, url, sql string, args ...any) {
	t.Helper()
	conn, err := postgrestest.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// ask returns the one value of a query.
func ask[T any](t *testing.T, conn *pgx.Conn, sql string, args ...any) (v T) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// soon returns a context for calls that must end by themselves. A test of waiting then fails
// instead of waiting.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// until waits for something that must happen.
func until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Minute)
	for ; !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after 20 minutes: %s", what)
		}
	}
}
