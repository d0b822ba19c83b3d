package sqlite_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	engine "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"clientes/store"
	"clientes/store/sqlite"
	"clientes/store/storetest"
)

// fixtureVersion is the last migration in testdata/v18.db.gz. A program whose last migration it was
// has filled every table there, by its commands and over HTTP.
const fixtureVersion = 18

// fixture returns the URL of a copy of the database in testdata, as it was when version was the
// last migration.
func fixture(t *testing.T, version int64) (url string) {
	t.Helper()
	zipped, err := os.ReadFile("testdata/v18.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	unzip, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(unzip)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "clientes.db")
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
	url = "sqlite:" + path
	if version == fixtureVersion {
		return url
	}
	conn := beside(t, url)
	for _, down := range storetest.DownsBetween(t, version+1, fixtureVersion) {
		if err := sqlitex.ExecuteScript(conn, down, nil); err != nil {
			t.Fatalf("%s: %v", down, err)
		}
	}
	for _, table := range []string{"goose_db_version", "clientes_migrations"} {
		execute(t, conn, fmt.Sprint(`DELETE FROM `, table, ` WHERE version_id > `, version))
	}
	if version <= store.LastEarly {
		execute(t, conn, `DROP TABLE clientes_migrations`)
	}
	return url
}

// contentsOf returns the rows of the tables, each with the columns that the table has in like, or
// of all tables if like is nil.
func contentsOf(t *testing.T, conn *engine.Conn, like map[string]contents) map[string]contents {
	t.Helper()
	texts := func(query string) (all []string) {
		t.Helper()
		err := sqlitex.ExecuteTransient(conn, query, &sqlitex.ExecOptions{
			ResultFunc: func(stmt *engine.Stmt) error {
				var row []string
				for i := range stmt.ColumnCount() {
					row = append(row, fmt.Sprintf("%q", stmt.ColumnText(i)))
				}
				all = append(all, strings.Join(row, " "))
				return nil
			},
		})
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		return all
	}
	name := func(s string) string { return strings.Trim(s, `"`) }
	if like == nil {
		like = make(map[string]contents)
		for _, table := range texts(`
			SELECT name
			FROM sqlite_schema
			WHERE type = 'table' AND name NOT LIKE 'clientes_search%'
				AND name NOT IN ('sqlite_sequence', 'clientes_migrations')`) {
			var columns []string
			for _, c := range texts(`
				SELECT name
				FROM pragma_table_info('` + name(table) + `')
				WHERE name <> 'required_version'`) { // which a breaking migration raises
				columns = append(columns, name(c))
			}
			like[name(table)] = contents{columns: strings.Join(columns, ", ")}
		}
	}
	found := make(map[string]contents)
	for table, c := range like {
		c.rows = texts(`SELECT ` + c.columns + ` FROM ` + table + ` ORDER BY ` + c.columns)
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
				if err := sqlite.Migrate(t.Context(), url); err != nil {
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
