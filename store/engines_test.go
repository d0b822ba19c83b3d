package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clientes/store"
)

// migrationsOf returns the names and the texts of an engine's migrations.
func migrationsOf(t *testing.T, engine string) (names []string, texts map[string]string) {
	t.Helper()
	texts = make(map[string]string)
	for _, pattern := range []string{"migrations/*.sql", "0*.go"} {
		files, err := filepath.Glob(filepath.Join(engine, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no %s, %v", engine, pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Base(file)
			names = append(names, name)
			texts[name] = string(text)
		}
	}
	slices.Sort(names)
	return names, texts
}

// TestEnginesHaveTheSameMigrations compares the file names of both engines' migrations.
func TestEnginesHaveTheSameMigrations(t *testing.T) {
	a, _ := migrationsOf(t, "sqlite")
	b, _ := migrationsOf(t, "postgres")
	if !slices.Equal(a, b) {
		t.Errorf("sqlite has\n%q, postgres\n%q", a, b)
	}
	last := fmt.Sprintf("%05d_", store.SchemaVersion)
	if !strings.HasPrefix(a[len(a)-1], last) {
		t.Errorf("SchemaVersion is %d, the last migration is %s", store.SchemaVersion, a[len(a)-1])
	}
}

// TestAMigrationSaysIfOlderServersCanLiveWithIt holds the migrations to the rules of the README.
func TestAMigrationSaysIfOlderServersCanLiveWithIt(t *testing.T) {
	for engine, lock := range map[string][]string{
		"sqlite": nil,
		"postgres": {
			"SET LOCAL lock_timeout = '4s';",
			"SELECT pg_advisory_xact_lock(1668049253, 10);",
		},
	} {
		names, texts := migrationsOf(t, engine)
		for i, name := range names[14:] {
			if err := checkMigration(15+i, texts[name], lock...); err != nil {
				t.Errorf("%s: %s: %v; see store/README.md", engine, name, err)
			}
		}
	}
	const up = "-- +goose Up\n"
	const breaking = up + "SELECT l;\nUPDATE identity SET required_version = 17;\nDROP TABLE x;\n"
	for text, ok := range map[string]bool{
		up + "-- Additive: nobody reads it.\nALTER TABLE x;": true,
		"package x\n\n// Additive: nobody reads it.\n":       true,
		breaking:                                                   true,
		up + "ALTER TABLE x;":                                      false,
		up + "-- Additive:\nALTER TABLE x;":                        false,
		"-- Additive: yes.\n" + breaking:                           false,
		strings.Replace(breaking, "SELECT l;", "", 1):              false,
		strings.Replace(breaking, "SELECT l;", "DROP TABLE y;", 1): false,
		strings.ReplaceAll(breaking, "17", "16"):                   false,
	} {
		if err := checkMigration(17, text, "SELECT l;"); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// checkMigration returns an error unless a migration has a comment "Additive: why", or begins with
// the lock and the statements of a breaking migration.
func checkMigration(version int, text string, lock ...string) error {
	additive, changes := false, []string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		comment := strings.HasPrefix(line, "--") || strings.HasPrefix(line, "//")
		_, why, says := strings.Cut(line, " Additive: ")
		additive = additive || comment && says && why != ""
		if !comment && line != "" {
			changes = append(changes, line)
		}
	}
	begin := append(lock, fmt.Sprintf("UPDATE identity SET required_version = %d;", version))
	begins := len(changes) >= len(begin) && slices.Equal(changes[:len(begin)], begin)
	switch {
	case additive && begins:
		return fmt.Errorf("it is called additive, but begins as a breaking one")
	case !additive && !begins:
		return fmt.Errorf("it has no comment \"Additive: why\", nor does it begin with %q", begin)
	}
	return nil
}

// TestTheTablesOfTheMigrationsAreKnown holds the files to the form that [store.MadeTables] reads: a
// table that it overlooks could be missing from a database, and nobody would say so.
func TestTheTablesOfTheMigrationsAreKnown(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		names, texts := migrationsOf(t, engine)
		made := make(map[string]store.MadeTable)
		for i, name := range names {
			if !strings.HasSuffix(name, ".sql") {
				continue
			}
			tables := store.MadeTables(int64(i+1), texts[name])
			for _, table := range tables {
				made[table.Name] = table
			}
			up, _, _ := strings.Cut(texts[name], "-- +goose Down")
			n := strings.Count(up, "TABLE ") - strings.Count(up, "ALTER TABLE ")
			if n != len(tables) {
				t.Errorf("%s: %s makes %d tables, got %v", engine, name, n, tables)
			}
		}
		for _, table := range store.Tables() {
			got := made[table.Name]
			for _, column := range got.Columns {
				known := slices.ContainsFunc(table.Columns, func(c store.Column) bool {
					return c.Name == column
				})
				if !known && column != "search" && column != "ended_order" {
					t.Errorf("%s: %s has no column %s", engine, table.Name, column)
				}
			}
			if len(got.Columns) <= table.Key {
				t.Errorf("%s: %s has the columns %q", engine, table.Name, got.Columns)
			}
		}
	}
}
