package postgres_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"clientes/store"
	"clientes/store/postgres"
	"clientes/store/postgres/postgrestest"
	"clientes/store/storetest"
)

func TestContract(t *testing.T) {
	// Statements that the server prepares, and the two ways to do without, for a pooler in transaction mode.
	// Without, the server knows less about the types of their arguments.
	for _, mode := range []string{"cache_statement", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, engine(func(text string) string {
				u, err := url.Parse(text)
				if err != nil {
					t.Fatal(err)
				}
				q := u.Query()
				q.Set("default_query_exec_mode", mode)
				u.RawQuery = q.Encode()
				return u.String()
			}))
		})
	}
}

// engine is what the contract suite needs of this one. Its URLs are changed by with.
func engine(with func(url string) string) storetest.Engine {
	return storetest.Engine{
		Empty:      func(t *testing.T) string { return with(postgrestest.Database(t)) },
		Migrated:   func(t *testing.T) string { return with(postgrestest.Migrated(t, postgres.Migrate)) },
		Migrate:    postgres.Migrate,
		Migrations: postgres.Migrations,
		Open: func(ctx context.Context, url string, now func() time.Time) (store.Store, error) {
			return postgres.Open(ctx, url, now)
		},
	}
}
