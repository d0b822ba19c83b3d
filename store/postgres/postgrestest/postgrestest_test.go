package postgrestest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func query[T any](t *testing.T, url, sql string) (T, error) {
	t.Helper()
	var v T
	conn, err := Connect(t.Context(), url)
	if err != nil {
		return v, err
	}
	defer conn.Close(t.Context())
	err = conn.QueryRow(t.Context(), sql).Scan(&v)
	return v, err
}

func TestDatabaseIsEmptyAndEndsWithTheTest(t *testing.T) {
	const tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
	var gone string
	t.Run("inner", func(t *testing.T) {
		gone = Database(t)
		if n, err := query[int](t, gone, tables); n != 0 || err != nil {
			t.Fatalf("a fresh database has %d tables, %v", n, err)
		}
		if again := Database(t); again == gone {
			t.Fatal("two calls returned the same database")
		}
		if s, err := query[string](t, gone, "SELECT lower('ÀÉ')"); s != "àé" || err != nil {
			t.Fatalf("the database does not know letters beyond ASCII: %q, %v", s, err)
		}
	})
	if gone == "" {
		return // the inner test said why
	}
	_, err := query[int](t, gone, tables)
	if e := new(pgconn.PgError); !errors.As(err, &e) || e.Code != "3D000" {
		t.Fatalf("after the test a connection to the database got %v", err)
	}
}

func TestMigratedIsACopyOfOneMigration(t *testing.T) {
	var calls atomic.Int32
	migrate := func(ctx context.Context, url string) error {
		calls.Add(1)
		conn, err := Connect(ctx, url)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, "CREATE TABLE migrated AS SELECT 7 AS n")
		return err
	}
	for range 3 {
		n, err := query[int](t, Migrated(t, migrate), "SELECT n FROM migrated")
		if n != 7 || err != nil {
			t.Fatalf("got %d, %v", n, err)
		}
	}
	if n := calls.Load(); n > 1 && os.Getenv("TEST_DATABASE_URL") == "" {
		t.Fatalf("migrated %d times", n)
	}
}

func TestClusterStopsAndStarts(t *testing.T) {
	c := Start(t, "fsync = on", "application_name = 'it''s set'")
	s, err := query[string](t, c.URL, `
		SELECT current_setting('fsync') || reset_val
		FROM pg_settings
		WHERE name = 'application_name'`)
	if s != "onit's set" || err != nil {
		t.Fatalf("the settings are %q, %v", s, err)
	}
	_, err = query[int](t, c.URL, "CREATE TABLE kept AS SELECT 1")
	if !errors.Is(err, pgx.ErrNoRows) {
		t.Fatal(err)
	}
	for name, end := range map[string]func(){"Stop": c.Stop, "Kill": c.Kill} {
		end()
		if _, err := query[int](t, c.URL, "SELECT 1"); err == nil {
			t.Fatalf("the server answers after %s", name)
		}
		c.Start()
		if n, err := query[int](t, c.URL, "SELECT count(*) FROM kept"); n != 1 || err != nil {
			t.Fatalf("after %s and Start got %d, %v", name, n, err)
		}
	}
}

func TestPoolerInTransactionMode(t *testing.T) {
	c := Start(t)
	pooled := c.Pooler(t, 1)
	url := pooled(c.Database(t)) + "&default_query_exec_mode=exec"
	var backends [2]int
	for i := range backends {
		conn, err := Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		err = conn.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&backends[i])
		if err != nil {
			t.Fatal(err)
		}
	}
	if backends[0] != backends[1] {
		t.Errorf("two clients of a pool of one had the backends %v", backends)
	}
}

// A test process that is killed runs no cleanup of its own.
func TestKilledProcessLeavesNothing(t *testing.T) {
	if os.Getenv("POSTGRESTEST_WAIT_TO_BE_KILLED") != "" {
		fmt.Println("folder", Start(t).folder)
		select {}
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "POSTGRESTEST_WAIT_TO_BE_KILLED=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var folder string
	for lines := bufio.NewScanner(out); folder == "" && lines.Scan(); {
		if line, ok := strings.CutPrefix(lines.Text(), "folder "); ok {
			folder = line
		}
		if strings.HasPrefix(lines.Text(), "--- SKIP") {
			cmd.Wait()
			stopTest(t, errNotInstalled)
		}
	}
	if _, err := os.Stat(filepath.Join(folder, "data", "postmaster.pid")); err != nil {
		t.Fatalf("the process did not start a server: %v", err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	for deadline := time.Now().Add(timeout); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(folder); errors.Is(err, os.ErrNotExist) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still there", folder)
		}
	}
}
