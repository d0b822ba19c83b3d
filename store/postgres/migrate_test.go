package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"net/url"
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

func TestProcessesThatStartAtOnceMigrateOnce(t *testing.T) {
	t.Parallel()
	race := func(t *testing.T, fresh func(t *testing.T) string) {
		for range 4 {
			url := fresh(t)
			var starts [8]*exec.Cmd
			var said [8]bytes.Buffer
			for i := range starts {
				starts[i] = migrator(t, url)
				starts[i].Stderr = &said[i]
				if err := starts[i].Start(); err != nil {
					t.Fatal(err)
				}
			}
			for i := range starts {
				if err := starts[i].Wait(); err != nil {
					t.Errorf("process %d: %v: %s", i, err, &said[i])
				}
			}
			wantReady(t, url)
		}
	}
	t.Run("directly", func(t *testing.T) {
		t.Parallel()
		race(t, func(t *testing.T) string { return postgrestest.Database(t) })
	})
	// With two connections for all of them: one for the lock and one for the work.
	t.Run("through a pooler", func(t *testing.T) {
		t.Parallel()
		c := postgrestest.Start(t)
		through := c.Pooler(t, 2)
		race(t, func(t *testing.T) string {
			return with(t, through(c.Database(t)), "default_query_exec_mode", "exec")
		})
	})
}

// wantReady reports a database that is not ready, or whose migrations were noted twice.
func wantReady(t *testing.T, url string) {
	t.Helper()
	if err := open(t, url).Ready(t.Context()); err != nil {
		t.Error(err)
	}
	n := ask[int](t, beside(t, url),
		"SELECT count(*) - count(DISTINCT version_id) FROM clientes_migrations")
	if n != 0 {
		t.Errorf("%d migrations were noted twice", n)
	}
}

func open(t testing.TB, url string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestMigrateLeavesNoConnectionOpen(t *testing.T) {
	t.Parallel()
	url := postgrestest.Database(t)
	for range 2 { // with and without something to do
		if err := postgres.Migrate(soon(t), url); err != nil {
			t.Fatal(err)
		}
		if _, err := postgres.Schema(t.Context(), url); err != nil {
			t.Fatal(err)
		}
	}
	watch := beside(t, url)
	until(t, "nobody else is connected", func() bool { return others(t, watch) == 0 })
}

// blockMigration makes the first migration wait until release is called: an uncommitted transaction
// has created a table of the same name.
func blockMigration(t *testing.T, url string) (release func()) {
	t.Helper()
	conn := beside(t, url)
	if _, err := conn.Exec(t.Context(), "BEGIN; CREATE TABLE users (id int)"); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
	}
}

// others returns how many other connections this database has.
func others(t *testing.T, conn *pgx.Conn) int {
	t.Helper()
	return ask[int](t, conn, `
		SELECT count(*)
		FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`)
}

// waiting returns how many backends of this database wait for a lock.
func waiting(t *testing.T, conn *pgx.Conn) int {
	t.Helper()
	return ask[int](t, conn, `
		SELECT count(*)
		FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock'`)
}

func TestTheLockOfAKilledMigratorIsFreeAtOnce(t *testing.T) {
	t.Parallel()
	url := postgrestest.Database(t)
	release := blockMigration(t, url)
	watch := beside(t, url)
	killed := migrator(t, url)
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the first migrator is at work", func() bool { return waiting(t, watch) == 1 })
	killed.Process.Kill()
	killed.Wait()

	// The second gets as far as the first, whose client the server has not yet missed.
	done := make(chan error)
	go func() { done <- postgres.Migrate(soon(t), url) }()
	until(t, "the second migrator is at work", func() bool { return waiting(t, watch) == 2 })
	release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wantReady(t, url)
}

// holders returns how many migrators have held the lock for longer than that many seconds.
func holders(t *testing.T, conn *pgx.Conn, seconds int) int {
	t.Helper()
	return ask[int](t, conn, `
		SELECT count(*)
		FROM pg_locks
		JOIN pg_stat_activity USING (pid)
		WHERE datname = current_database() AND locktype = 'advisory' AND granted
			AND clock_timestamp() > xact_start + make_interval(secs => $1)`,
		seconds)
}

func TestALongMigrationKeepsTheLock(t *testing.T) {
	t.Parallel()
	url := postgrestest.Database(t)
	release := blockMigration(t, url)
	done := make(chan error)
	go func() { done <- postgres.Migrate(soon(t), url) }()
	watch := beside(t, url)
	until(t, "the migrator is at work", func() bool { return waiting(t, watch) == 1 })
	// Longer than the server tolerates a silent migrator.
	until(t, "the lock is kept", func() bool { return holders(t, watch, 12) == 1 })
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAMigratorThatLosesTheLockStops(t *testing.T) {
	t.Parallel()
	url := postgrestest.Database(t)
	release := blockMigration(t, url)
	done := make(chan error)
	go func() { done <- postgres.Migrate(soon(t), url) }()
	watch := beside(t, url)
	until(t, "the migrator is at work", func() bool { return waiting(t, watch) == 1 })
	n := ask[int](t, watch, `
		SELECT count(pg_terminate_backend(pid))
		FROM pg_locks
		JOIN pg_stat_activity USING (pid)
		WHERE datname = current_database() AND locktype = 'advisory'`)
	if n != 1 {
		t.Fatalf("%d held the lock", n)
	}
	if err := <-done; !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	until(t, "its statement was given up", func() bool { return waiting(t, watch) == 0 })
	release()
	if err := postgres.Migrate(soon(t), url); err != nil {
		t.Error(err)
	}
	wantReady(t, url)
}

func TestMigrateWaitsNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	url := postgrestest.Database(t)
	release := blockMigration(t, url)
	done := make(chan error)
	go func() { done <- postgres.Migrate(soon(t), url) }()
	watch := beside(t, url)
	until(t, "the first migrator is at work", func() bool { return waiting(t, watch) == 1 })

	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := postgres.Migrate(ctx, url); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The database is of a time when an account had only a name, an email and a password.
func TestUsersOfAnOlderDatabaseAreKept(t *testing.T) {
	t.Parallel()
	url := postgrestest.Migrated(t, postgres.Migrate)
	for _, down := range storetest.Downs(t, 10) {
		execute(t, url, down)
	}
	execute(t, url, "ALTER TABLE clientes_migrations RENAME TO goose_db_version")
	execute(t, url, "DELETE FROM goose_db_version WHERE version_id >= 10")
	execute(t, url, `
		INSERT INTO users (name, name_key, email, email_key, role, disabled, password_hash,
			generation, created_at, updated_at)
		VALUES ('Ana', 'ana', 'Ana@example.com', 'ana@example.com', 'admin', false, 'hash', 3,
			to_timestamp(1), to_timestamp(2)),
			('bia', 'bia', '', '', 'viewer', true, 'hash of bia', 0, to_timestamp(3),
				to_timestamp(3))`)

	if err := postgres.Migrate(soon(t), url); err != nil {
		t.Fatal(err)
	}
	storetest.WantOldUsers(t, open(t, url))
}

func TestAFailedMigrationLeavesNothingHalfDone(t *testing.T) {
	t.Parallel()
	url := postgrestest.Database(t)
	execute(t, url, "CREATE TABLE sessions (other int)") // of another program
	if err := postgres.Migrate(soon(t), url); err == nil || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	execute(t, url, "DROP TABLE sessions")
	if err := postgres.Migrate(soon(t), url); err != nil {
		t.Error(err)
	}
	wantReady(t, url)
}

func TestADatabaseOfAnotherEncodingIsRefused(t *testing.T) {
	t.Parallel()
	cluster := postgrestest.Start(t)
	execute(t, cluster.URL, `
		CREATE DATABASE latin
		TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'`)
	u, err := url.Parse(cluster.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/latin"
	err = postgres.Migrate(t.Context(), u.String())
	if err == nil || !strings.Contains(err.Error(), "LATIN1") {
		t.Errorf("got %v", err)
	}
}
