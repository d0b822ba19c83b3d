// Package postgrestest runs a real Postgres for tests.
//
// [Database] and [Migrated] create a database for one test. It is on the server that
// TEST_DATABASE_URL names, whose user needs the right to create databases. Without that variable it
// is on a private cluster. The first call starts the cluster from the installed binaries, and it
// ends with the test process.
//
// [Start] starts a cluster for one test, which the test may stop and start again. [NewCable] puts a
// network that the test can cut before a database, and [Cluster.Pooler] a PgBouncer.
//
// Where no Postgres is installed, the test is skipped. With CI=true it fails instead, so a green
// run there means that Postgres was tested.
package postgrestest

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// timeout bounds whatever a fixture waits for. A test may get a twentieth of a processor.
const timeout = 20 * time.Minute

// Database returns the URL of a new, empty database, which is dropped when t ends.
func Database(t testing.TB) string {
	t.Helper()
	return sharedServer(t).database(t, "template0")
}

// Migrated returns the URL of a new database on which migrate has run. It is dropped when t ends.
//
// On the private cluster migrate runs once, and every database is a copy of the result. So all
// tests of a process must pass the same migrate. It must not leave a connection open, because
// Postgres copies no database that is in use.
func Migrated(t testing.TB, migrate func(ctx context.Context, url string) error) string {
	t.Helper()
	s := sharedServer(t)
	if s.cluster == nil {
		// No template here: it would stay on the server, because no test knows that it is the last.
		url := s.database(t, "template0")
		if err := migrate(t.Context(), url); err != nil {
			t.Fatalf("migrate the database: %v", err)
		}
		return url
	}
	return s.copied(t, migrate)
}

// server is where databases are made.
type server struct {
	base    url.URL  // url replaces its path by the name of a database
	cluster *Cluster // nil for the server of TEST_DATABASE_URL, which outlives this process

	migrated   sync.Once
	migrateErr error
}

// shared returns the one server of the process, because it takes a while to start a cluster. It and
// the files of [initialised] are the only state that this package keeps.
var shared = sync.OnceValues(func() (*server, error) {
	if text, ok := os.LookupEnv("TEST_DATABASE_URL"); ok && text != "" {
		base, err := url.Parse(text)
		if err != nil || base.Scheme != "postgres" && base.Scheme != "postgresql" {
			// The URL stays out of the error: it may hold a password.
			return nil, errors.New("TEST_DATABASE_URL is not a postgres:// URL")
		}
		return &server{base: *base}, nil
	}
	c, err := newCluster()
	if err != nil {
		return nil, err
	}
	if err := c.start(); err != nil {
		return nil, err
	}
	return c.server, nil
})

func sharedServer(t testing.TB) *server {
	t.Helper()
	s, err := shared()
	if err != nil {
		stopTest(t, err)
	}
	return s
}

// stopTest ends a test that has no server. It skips the test if no server is installed, and fails
// it if the server did not start.
func stopTest(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, errNotInstalled) && os.Getenv("CI") != "true" {
		t.Skipf("this test needs a server: %v", err)
	}
	t.Fatalf("this test needs a server: %v", err)
}

// database creates a database from a template. Its name is random, because other processes may use
// the server of TEST_DATABASE_URL too.
func (s *server) database(t testing.TB, template string) string {
	t.Helper()
	name := "test_" + strings.ToLower(rand.Text())
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if err := s.create(ctx, name, template); err != nil {
		t.Fatalf("create a database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		drop := "DROP DATABASE " + name + " WITH (FORCE)"
		var inUse *pgconn.PgError
		err := s.do(ctx, func(*pgx.Conn) string { return drop })
		for errors.As(err, &inUse) && inUse.Code == "55006" && ctx.Err() == nil {
			// The server waits five seconds for the processes that it has ended to be gone.
			err = s.do(ctx, func(*pgx.Conn) string { return drop })
		}
		if err != nil {
			t.Errorf("drop the database of the test: %v", err)
		}
	})
	return s.url(name)
}

// copied creates a copy of a database on which migrate has run once.
func (s *server) copied(t testing.TB, migrate func(ctx context.Context, url string) error) string {
	t.Helper()
	s.migrated.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		s.migrateErr = s.create(ctx, "migrated", "template0")
		if s.migrateErr == nil {
			s.migrateErr = migrate(ctx, s.url("migrated"))
		}
	})
	if s.migrateErr != nil {
		t.Fatalf("migrate the template database: %v", s.migrateErr)
	}
	return s.database(t, "migrated")
}

func (s *server) url(database string) string {
	u := s.base
	u.Path = "/" + database
	return u.String()
}

// create creates a database as a copy of template.
func (s *server) create(ctx context.Context, name, template string) error {
	return s.do(ctx, func(conn *pgx.Conn) string {
		sql := "CREATE DATABASE " + name + " TEMPLATE " + template
		// Version 15 and later copy by way of the log. Where files are not synced, as in our
		// clusters, a copy of the files takes a fifth of the time. On other servers it may take
		// longer.
		if s.cluster != nil && version(conn.PgConn().ParameterStatus("server_version")) >= 15 {
			sql += " STRATEGY file_copy"
		}
		return sql
	})
}

// do runs one statement on the server's own database, over a connection that it closes.
func (s *server) do(ctx context.Context, statement func(*pgx.Conn) string) error {
	conn, err := Connect(ctx, s.base.String())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement(conn))
	return err
}
