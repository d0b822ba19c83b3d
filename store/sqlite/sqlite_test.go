package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"clientes/store"
	"clientes/store/sqlite"
	"clientes/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, storetest.Engine{
		Empty: emptyURL,
		Migrated: func(t *testing.T) string {
			url := emptyURL(t)
			if err := sqlite.Migrate(t.Context(), url); err != nil {
				t.Fatal(err)
			}
			return url
		},
		Migrate:    sqlite.Migrate,
		Migrations: sqlite.Migrations,
		Open: func(ctx context.Context, url string, now func() time.Time) (store.Store, error) {
			return sqlite.Open(ctx, url, now)
		},
	})
}

// emptyURL names a file that does not exist, in a folder with a name that must not be taken for part of a
// URL, a query or an escape.
func emptyURL(t *testing.T) string {
	return "sqlite:" + filepath.Join(t.TempDir(), "dados #1 100%41 é.db")
}
