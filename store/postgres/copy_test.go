package postgres_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clientes/store"
	"clientes/store/postgres"
	"clientes/store/postgres/postgrestest"
	"clientes/store/storetest"
)

// TestEveryColumnIsCopied compares [store.Tables] with the schema: a copy would silently lose any
// column missing there. The query leaves out what goose notes, the identity, and the order of ends.
// Texts in a key must be in byte order, because ReadRows reads them in that order.
func TestEveryColumnIsCopied(t *testing.T) {
	t.Parallel()
	rows, _ := beside(t, postgrestest.Migrated(t, postgres.Migrate)).Query(t.Context(), `
		SELECT table_name || '.' || column_name || ' ' || data_type
			|| CASE is_nullable WHEN 'YES' THEN ' NULL' ELSE '' END
			|| coalesce(' key ' || key.ordinal_position, '')
			|| CASE is_identity WHEN 'YES' THEN ' given' ELSE '' END
			|| CASE
				WHEN key.ordinal_position > 0 AND data_type = 'text'
					AND collation_name IS DISTINCT FROM 'C'
				THEN ' not in the order of bytes' ELSE '' END
		FROM information_schema.columns c
		LEFT JOIN (
			SELECT table_name, column_name, ordinal_position
			FROM information_schema.key_column_usage
			JOIN information_schema.table_constraints USING (table_schema, table_name,
				constraint_name)
			WHERE table_schema = 'public' AND constraint_type = 'PRIMARY KEY'
		) key USING (table_name, column_name)
		WHERE c.table_schema = 'public'
			AND table_name NOT IN ('clientes_migrations', 'identity', 'probe')
			AND (table_name, column_name) <> ('sessions', 'ended_order')`)
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	storetest.Copied(t, columns, map[store.Kind]string{
		store.KindInteger:    "bigint",
		store.KindText:       "text",
		store.KindBoolean:    "boolean",
		store.KindTime:       "timestamp with time zone",
		store.KindTimeOrNull: "timestamp with time zone NULL",
	})
}

// A resumed copy waits for what its dead process may still have under way at the server.
func TestACopyGoesOnAfterWhatIsStillUnderWay(t *testing.T) {
	t.Parallel()
	url := postgrestest.Migrated(t, postgres.Migrate)
	s := open(t, url)
	if err := s.BeginCopy(t.Context(), "source"); err != nil {
		t.Fatal(err)
	}
	dead := beside(t, url)
	for _, sql := range []string{
		"BEGIN",
		"SELECT copying FROM identity FOR UPDATE",
		`INSERT INTO idempotency_keys (user_id, key, fingerprint, cliente_id, used_at)
			VALUES (1, 'key', '', 1, now())`,
	} {
		if _, err := dead.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	begun := make(chan error, 1)
	go func() { begun <- s.BeginCopy(t.Context(), "source") }()
	watch := beside(t, url)
	until(t, "it waits", func() bool { return waiting(t, watch) > 0 })
	if _, err := dead.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := <-begun; err != nil {
		t.Fatal(err)
	}
}

// Times that somebody wrote by hand are cut as every store cuts them, or refused.
func TestTimesThatNoStoreKeeps(t *testing.T) {
	t.Parallel()
	isKeys := func(t store.Table) bool { return t.Name == "idempotency_keys" }
	keys := store.Tables()[slices.IndexFunc(store.Tables(), isKeys)]
	for _, mode := range []string{"cache_statement", "exec"} {
		url := with(t, postgrestest.Migrated(t, postgres.Migrate), "default_query_exec_mode", mode)
		s := open(t, url)
		const insert = `
			INSERT INTO idempotency_keys (user_id, key, fingerprint, cliente_id, used_at)
			VALUES (1, $1::text, '', 1, $1::text::timestamptz)`
		execute(t, url, insert, "2026-11-22 18:00:00.123456-03")
		rows, err := s.ReadRows(t.Context(), keys, nil, 10)
		want := time.Date(2026, 11, 22, 21, 0, 0, 123_000_000, time.UTC)
		if err != nil || len(rows) != 1 || rows[0][4] != any(want) {
			t.Errorf("%s: got %v, %v", mode, rows, err)
		}
		execute(t, url, insert, "infinity")
		rows, err = s.ReadRows(t.Context(), keys, nil, 10)
		if err == nil || !strings.Contains(err.Error(), "used_at is infinity") {
			t.Errorf("%s: got %v, %v", mode, rows, err)
		}
	}
}
