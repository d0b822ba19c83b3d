package authtest

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"clientes/store"
	"clientes/store/postgres"
	"clientes/store/postgres/postgrestest"
	"clientes/store/sqlite"
)

// Engine is a kind of store.
type Engine struct {
	Name string

	// Migrated returns the URL of an empty database with the present schema.
	Migrated func(t testing.TB) string

	open func(ctx context.Context, url string, now func() time.Time) (store.Store, error)
}

// Open opens a database, as often as a test likes. The test has to close the store.
func (e Engine) Open(t testing.TB, url string, now func() time.Time) store.Store {
	t.Helper()
	st, err := e.open(t.Context(), url, now)
	Must(t, err)
	return st
}

// SQLite is the engine for tests to which it makes no difference.
func SQLite() Engine {
	return Engine{
		Name: "sqlite",
		Migrated: func(t testing.TB) string {
			url := "sqlite:" + filepath.Join(t.TempDir(), "test.db")
			Must(t, sqlite.Migrate(t.Context(), url))
			return url
		},
		open: func(ctx context.Context, url string, now func() time.Time) (store.Store, error) {
			return sqlite.Open(ctx, url, store.Options{Now: now, CallTimeout: 5 * time.Minute})
		},
	}
}

// Postgres is an engine on the server of package postgrestest.
func Postgres() Engine {
	return Engine{
		Name: "postgres",
		Migrated: func(t testing.TB) string {
			return postgrestest.Migrated(t, postgres.Migrate)
		},
		open: func(ctx context.Context, url string, now func() time.Time) (store.Store, error) {
			return postgres.Open(ctx, url, store.Options{Now: now, CallTimeout: 5 * time.Minute})
		},
	}
}

// OnEachStore runs a test on an empty database of each engine, in parallel.
func OnEachStore(t *testing.T, test func(t *testing.T, e Engine, url string)) {
	for _, e := range []Engine{SQLite(), Postgres()} {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			test(t, e, e.Migrated(t))
		})
	}
}
