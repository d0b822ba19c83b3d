// Package postgrestest gives tests a real Postgres.
//
// Database and Migrated give a database of its own to each test, on the server that TEST_DATABASE_URL names
// (its user needs the right to create databases), else on a private cluster that the first call starts from
// the installed binaries and that ends with the test process. Start gives a cluster of one's own, which a
// test may stop and start as it likes. Where no Postgres is installed the test is skipped; with CI=true it
// fails, so that a green run there means that Postgres was tried.
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
)

// patience bounds whatever a fixture waits for, on a machine that is busy with other tests.
const patience = 2 * time.Minute

// Database gives the URL of a fresh, empty database, which is dropped when t ends.
func Database(t testing.TB) string {
	t.Helper()
	return sharedServer(t).database(t, "template0")
}

// Migrated gives the URL of a fresh database on which migrate has run, and drops it when t ends. On the
// private cluster migrate runs once, and every database is a copy of the result: all tests of a process
// must pass the same one, and it may leave no connection open, for Postgres copies no database in use.
func Migrated(t testing.TB, migrate func(ctx context.Context, url string) error) string {
	t.Helper()
	s := sharedServer(t)
	if s.cluster == nil {
		// A template would be left behind there, for nothing tells when the last test is done.
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
	base    url.URL  // its path is replaced by a database's name
	cluster *Cluster // nil when it is the server of TEST_DATABASE_URL, which outlives us

	migrated   sync.Once
	migrateErr error
}

// shared is one for the whole process, since starting a cluster takes a second: the only state that this
// package keeps.
var shared = sync.OnceValues(func() (*server, error) {
	if text, ok := os.LookupEnv("TEST_DATABASE_URL"); ok && text != "" {
		base, err := url.Parse(text)
		if err != nil || base.Scheme != "postgres" && base.Scheme != "postgresql" {
			return nil, errors.New("TEST_DATABASE_URL is not a postgres:// URL") // it may hold a password
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

// stopTest ends a test that can not have its server: quietly only where there is nothing to start.
func stopTest(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, errNotInstalled) && os.Getenv("CI") != "true" {
		t.Skipf("this test needs a server: %v", err)
	}
	t.Fatalf("this test needs a server: %v", err)
}

// database makes a database from a template. Its name is random, for a foreign server may serve other
// processes too.
func (s *server) database(t testing.TB, template string) string {
	t.Helper()
	name := "test_" + strings.ToLower(rand.Text())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.create(ctx, name, template); err != nil {
		t.Fatalf("create a database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err := s.do(ctx, func(conn *pgx.Conn) string { return "DROP DATABASE " + name + " WITH (FORCE)" })
		if err != nil {
			t.Errorf("drop the database of the test: %v", err)
		}
	})
	return s.url(name)
}

// copied makes a copy of a database on which migrate has run once.
func (s *server) copied(t testing.TB, migrate func(ctx context.Context, url string) error) string {
	t.Helper()
	s.migrated.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
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

// create makes a database as a copy of template.
func (s *server) create(ctx context.Context, name, template string) error {
	return s.do(ctx, func(conn *pgx.Conn) string {
		sql := "CREATE DATABASE " + name + " TEMPLATE " + template
		// Five times quicker than by the log, which is the default since version 15, where files are not
		// synced; elsewhere it may be slower.
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
