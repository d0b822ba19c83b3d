package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clientes/store"
	"clientes/store/postgres/postgrestest"
)

func patient(t *testing.T, url string) *Store {
	t.Helper()
	s, err := Open(t.Context(), url, store.Options{CallTimeout: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// as executes statements as the superuser of a cluster, and returns the first column of the last.
func as(t *testing.T, url string, statements ...string) (value string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, sql := range statements {
		err := conn.QueryRow(t.Context(), sql).Scan(&value)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	return value
}

// to returns a URL with another user, password or database.
func to(t *testing.T, databaseURL, user, database string) string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, "hunter2")
	if database != "" {
		u.Path = "/" + database
	}
	return u.String()
}

// wantOutage fails the test unless an error tells an operator what is the matter, in these words,
// and tells neither SQL nor the password.
func wantOutage(t *testing.T, err error, words ...string) {
	t.Helper()
	var e *store.EngineError
	if !errors.As(err, &e) || !errors.Is(err, store.ErrUnavailable) || e.Cure == "" {
		t.Errorf("got %v, want %q", err, words)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("got %v, want %q", err, w)
		}
	}
	for _, secret := range []string{"hunter2", "SELECT ", "UPDATE probe", "INSERT "} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error tells of %q: %v", secret, err)
		}
	}
}

// Each fault is made on a server and is met by a store or by Open.
func TestWhatTheEngineSaysOfTheMachine(t *testing.T) {
	t.Parallel()
	c := postgrestest.Start(t)
	as(t, c.URL, "CREATE ROLE app LOGIN", "GRANT CREATE ON SCHEMA public TO app")
	app := to(t, c.URL, "app", "")
	if err := Migrate(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	s := patient(t, app)
	ready := func() error { return s.Ready(t.Context()) }
	opened := func(url string) error {
		s, err := Open(t.Context(), url, store.Options{CallTimeout: 5 * time.Minute})
		if err == nil {
			s.Close()
		}
		return err
	}
	if err := ready(); err != nil {
		t.Fatal(err)
	}

	nowhere := to(t, c.URL, "app", "nowhere")
	wantOutage(t, opened(nowhere), "there is no database named nowhere", "database=nowhere")
	wantOutage(t, Migrate(t.Context(), nowhere), "there is no database named nowhere")
	_, err := Schema(t.Context(), nowhere)
	wantOutage(t, err, "there is no database named nowhere")
	wantOutage(t, opened(to(t, c.URL, "nobody", "")),
		"the server does not let user nobody in", "user=nobody")

	as(t, c.URL, "ALTER ROLE app CONNECTION LIMIT 0")
	wantOutage(t, opened(app), "the server takes no more connections", "pool_max_conns")
	as(t, c.URL, "ALTER ROLE app CONNECTION LIMIT -1")

	as(t, c.URL, "REVOKE UPDATE ON probe FROM app")
	wantOutage(t, ready(), "lacks a right", "postgres://app:***@")
	as(t, c.URL, "GRANT UPDATE ON probe TO app")
	if err := ready(); err != nil {
		t.Error(err)
	}

	as(t, c.URL, "ALTER TABLE clientes RENAME TO hidden")
	_, err = s.Cliente(t.Context(), 1)
	wantOutage(t, err, "a table is missing")
	as(t, c.URL, "ALTER TABLE hidden RENAME TO clientes")

	as(t, c.URL, "ALTER ROLE app SET default_transaction_read_only = on")
	readOnly := patient(t, app)
	wantOutage(t, readOnly.Ready(t.Context()), "the database is read-only", "target_session_attrs")
	as(t, c.URL, "ALTER ROLE app RESET default_transaction_read_only")

	if _, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"}); err != nil {
		t.Fatal(err)
	}
	file := as(t, c.URL, "CHECKPOINT",
		"SELECT current_setting('data_directory') || '/' || pg_relation_filepath('clientes')")
	c.Stop()
	wantOutage(t, opened(app), "cannot be reached", "check that the database runs")
	wantOutage(t, ready())
	spoil(t, file)
	c.Start()
	eventually(t, "the damage is found", func() bool {
		_, err = s.Cliente(t.Context(), 1)
		return err == nil || strings.Contains(err.Error(), "XX001")
	})
	wantOutage(t, err, "the server's files are damaged", "restore a backup")
	if err := ready(); err != nil { // it is the server's to heal
		t.Error(err)
	}
}

// spoil overwrites a file in its place.
func spoil(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(strings.Repeat("\xa5", 8192)), 0); err != nil {
		t.Fatal(err)
	}
}

// Every code that speaks of the machine is told to the operator.
func TestEngineErrors(t *testing.T) {
	t.Parallel()
	for code, words := range map[string]string{
		"53100": "disk is full", "53200": "no memory", "53300": "no more connections",
		"53400": "at a limit", "57P01": "was stopped", "57P02": "was stopped or crashed",
		"57P03": "starts or stops", "57014": "took too long", "08006": "connection failed",
		"08P01": "connection failed", "25006": "read-only", "28000": "refuses the user",
		"28P01": "refuses the user", "3D000": "no such database", "42501": "lacks a right",
		"42P01": "table is missing", "3F000": "no such schema", "58030": "cannot use its files",
		"XX001": "files are damaged", "XX002": "files are damaged", "26000": "prepared statement",
		"42P05": "prepared statement", "55P03": "holds a lock", "40001": "too many others",
		"57P05": "ended the work",
	} {
		err := engineError(t.Context(), nil, &pgconn.PgError{Code: code, Message: "m"})
		wantOutage(t, err, words, "SQLSTATE "+code)
	}
	for _, code := range []string{"22021", "23505", "42601", "XX000"} {
		pg := &pgconn.PgError{Code: code}
		if err := engineError(t.Context(), nil, pg); err != pg {
			t.Errorf("%s became %v", code, err)
		}
	}
}

// The row of a process that vanished in the middle stays locked for a while. Only if all are, a
// store is not ready.
func TestReadyDoesNotWaitForAnotherProcess(t *testing.T) {
	t.Parallel()
	s := patient(t, postgrestest.Migrated(t, Migrate))
	hold := func(sql string) (release func()) {
		conn, err := pgx.Connect(t.Context(), s.usual.Config().ConnString())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "BEGIN; "+sql); err != nil {
			t.Fatal(err)
		}
		return func() { conn.Close(context.Background()) }
	}
	release := hold("SELECT FROM probe WHERE id < 16 FOR UPDATE")
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	last := hold("SELECT FROM probe WHERE id = 16 FOR UPDATE")
	if err := s.Ready(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	last()
	release()
	eventually(t, "it is ready", func() bool { return s.Ready(t.Context()) == nil })
	release = hold("LOCK TABLE probe")
	wantOutage(t, s.Ready(t.Context()), "holds a lock for too long")
	release()
	release = hold("LOCK TABLE sessions")
	asking, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	// An answer that the next question cannot follow would be no answer.
	if _, err := s.SessionEnds(asking, "", nil); err == nil {
		t.Error("it knows which sessions ended, but their table is locked")
	}
	release()
	release = hold("LOCK TABLE clientes, sessions, users")
	eventually(t, "it is ready", func() bool { return s.Ready(t.Context()) == nil })
	release()
}

func TestProbesDoNotGrow(t *testing.T) {
	t.Parallel()
	// No transaction of another test may keep the room of old rows.
	db := postgrestest.Start(t).URL
	if err := Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	s := patient(t, db)
	var crowd sync.WaitGroup
	for range 4 {
		crowd.Go(func() {
			for range 1000 {
				if err := s.Ready(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	crowd.Wait()
	// Postgres reuses a row when nobody can see it any more, which on a busy machine takes a while:
	// seven pages were seen there. Where nobody may, these probes take 16.
	if as(t, db, "SELECT (pg_relation_size('probe') / 8192 < 12)::text") != "true" {
		t.Error("the table grew to 12 pages at least")
	}
	if n := as(t, db, "SELECT count(*)::text FROM probe"); n != fmt.Sprint(16) {
		t.Errorf("it has %s rows", n)
	}
}

// A disk that was full is looked at again before the store is ready.
func TestReadyAfterAFullDisk(t *testing.T) {
	t.Parallel()
	s := patient(t, postgrestest.Migrated(t, Migrate))
	full := &pgconn.PgError{Code: "53100"}
	_, err := call(t.Context(), s, store.Single, func(ctx context.Context, conn *pgx.Conn) (
		int, error) {
		return 0, engineError(ctx, conn, full)
	})
	if !s.full.Load() {
		t.Fatalf("%v is not noticed", err)
	}
	if err := s.Ready(t.Context()); err != nil || s.full.Load() {
		t.Errorf("%v, still full: %t", err, s.full.Load())
	}
}
