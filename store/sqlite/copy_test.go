package sqlite_test

import (
	"testing"

	engine "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"clientes/store"
	"clientes/store/storetest"
)

// TestEveryColumnIsCopied compares [store.Tables] with the schema: a copy would silently lose any
// column missing there. The query leaves out what goose notes, the identity, what triggers fill,
// the order of ends, restores, scrubs, and the probe.
func TestEveryColumnIsCopied(t *testing.T) {
	t.Parallel()
	var columns []string
	err := sqlitex.ExecuteTransient(beside(t, migratedURL(t)), `
		SELECT t.name || '.' || c.name || ' ' || c.type
			|| iif(c.pk = 0 AND NOT c."notnull", ' NULL', '')
			|| iif(c.pk > 0, ' key ' || c.pk, '')
			|| iif(c.pk > 0 AND t.sql LIKE '%AUTOINCREMENT%', ' given', '')
		FROM sqlite_schema t
		JOIN pragma_table_xinfo(t.name) c
		WHERE t.type = 'table'
			AND t.name NOT IN ('sqlite_sequence', 'clientes_migrations',
				'identity', 'session_ends', 'restores', 'scrubbing', 'probe')
			AND t.name NOT LIKE 'clientes\_search%' ESCAPE '\'
			AND (t.name, c.name) <> ('sessions', 'ended_order')`,
		&sqlitex.ExecOptions{ResultFunc: func(stmt *engine.Stmt) error {
			columns = append(columns, stmt.ColumnText(0))
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	storetest.Copied(t, columns, map[store.Kind]string{
		store.KindInteger:    "INTEGER",
		store.KindText:       "TEXT",
		store.KindBoolean:    "INTEGER",
		store.KindTime:       "INTEGER",
		store.KindTimeOrNull: "INTEGER NULL",
	})
}
