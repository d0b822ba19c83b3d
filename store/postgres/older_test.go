package postgres_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"clientes/store"
	"clientes/store/postgres"
	"clientes/store/postgres/postgrestest"
	"clientes/store/storetest"
)

// fixtureVersion is the last migration in testdata/v18.dump. A program whose last migration it was
// has filled every table there, by its commands and over HTTP.
const fixtureVersion = 18

// fixture returns the URL of a copy of the database in testdata, as it was when version was the
// last migration.
func fixture(t *testing.T, version int64) (url string) {
	t.Helper()
	dump, err := os.ReadFile("testdata/v18.dump")
	if err != nil {
		t.Fatal(err)
	}
	url = postgrestest.Database(t)
	script := func(sql string) {
		t.Helper()
		if _, err := beside(t, url).PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	script(string(dump))
	if version == fixtureVersion {
		return url
	}
	for _, down := range storetest.DownsBetween(t, version+1, fixtureVersion) {
		script(down)
	}
	for _, table := range []string{"goose_db_version", "clientes_migrations"} {
		script(fmt.Sprint(`DELETE FROM `, table, ` WHERE version_id > `, version))
	}
	if version <= store.LastEarly {
		script(`DROP TABLE clientes_migrations`)
	}
	return url
}

// contentsOf returns the rows of the tables, each with the columns that the table has in like, or
// of all tables if like is nil.
func contentsOf(t *testing.T, conn *pgx.Conn, like map[string]contents) map[string]contents {
	t.Helper()
	texts := func(query string) []string {
		t.Helper()
		rows, err := conn.Query(t.Context(), query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		all, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		return all
	}
	if like == nil {
		like = make(map[string]contents)
		for _, line := range texts(`
			SELECT table_name || ' ' || string_agg(column_name, ', ' ORDER BY ordinal_position)
			FROM information_schema.columns
			WHERE table_schema = 'public' AND table_name <> 'clientes_migrations'
			GROUP BY table_name`) {
			table, columns, _ := strings.Cut(line, " ")
			like[table] = contents{columns: columns}
		}
	}
	found := make(map[string]contents)
	for table, c := range like {
		c.rows = texts(`
			SELECT ROW (` + c.columns + `)::text
			FROM ` + table + `
			ORDER BY 1`)
		found[table] = c
	}
	return found
}

type contents struct {
	columns string
	rows    []string
}

func TestADatabaseOfEveryEarlierVersionIsCarriedOver(t *testing.T) {
	t.Parallel()
	for version := int64(1); version <= fixtureVersion; version++ {
		t.Run(fmt.Sprint("of version ", version), func(t *testing.T) {
			t.Parallel()
			url := fixture(t, version)
			conn := beside(t, url)
			before := contentsOf(t, conn, nil)
			if version == fixtureVersion {
				for table, c := range before {
					if len(c.rows) == 0 {
						t.Errorf("%s has no rows", table)
					}
				}
			}
			if version < store.LastEarly {
				delete(before, "goose_db_version") // programs of then notice what they do not know
			}
			for range 2 {
				if err := postgres.Migrate(soon(t), url); err != nil {
					t.Fatal(err)
				}
			}
			after := contentsOf(t, conn, before)
			for table, c := range before {
				if got := after[table].rows; fmt.Sprint(got) != fmt.Sprint(c.rows) {
					t.Errorf("%s had\n%q, now\n%q", table, c.rows, got)
				}
			}
			noted := contentsOf(t, conn, map[string]contents{
				"clientes_migrations": {columns: "version_id, is_applied"},
				"goose_db_version":    {columns: "version_id, is_applied"},
			})
			for table, want := range map[string]int{
				"clientes_migrations": store.SchemaVersion, "goose_db_version": store.LastEarly,
			} {
				if got := noted[table].rows; len(got) != want+1 { // and goose's own first row
					t.Errorf("%s has %q", table, got)
				}
			}
			s := open(t, url)
			if err := s.Ready(t.Context()); err != nil {
				t.Error(err)
			}
			if version > 2 {
				if c, err := s.Cliente(t.Context(), 1); err != nil || c.Name != "José Ñandú" {
					t.Errorf("got %+v, %v", c, err)
				}
			}
			if _, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "new"}); err != nil {
				t.Error(err)
			}
		})
	}
}
