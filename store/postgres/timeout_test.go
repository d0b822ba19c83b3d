package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clientes/store"
	"clientes/store/postgres/postgrestest"
)

func openForTest(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), postgrestest.Migrated(t, Migrate),
		store.Options{CallTimeout: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// The server ends a statement that takes too long, so it is no sign of a dead network path.
func TestAStatementThatTakesTooLongCostsNoConnections(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	held, err := s.usual.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = do(t.Context(), s, scanTimeout, func(ctx context.Context, conn *pgx.Conn) error {
		held.Release()                          // the pool has an idle connection from now on
		b := beginLong(1200 * time.Millisecond) // so the server allows 200
		b.Queue("SELECT pg_sleep(60)")
		return send(ctx, conn, b)
	})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if idle := s.usual.Stat().IdleConns(); idle != 2 {
		t.Errorf("%d idle connections are left of 2", idle)
	}
}

// EachCliente is not retried, because a retry would pass the same records to each again.
func TestEachClienteIsNotRetried(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	const rows = 2000
	_, err := s.ImportClientes(t.Context(), 0, func(yield func(store.Cliente, error) bool) {
		for i := range rows {
			if !yield(store.Cliente{Name: fmt.Sprint(i)}, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	// Near the end the server reports what a standby reports when it cancels a query, because the
	// primary removes rows that the query reads.
	columns := strings.Replace(clienteColumns, "name", "name || conflict(id) AS name", 1)
	for _, sql := range []string{
		`CREATE FUNCTION conflict(id bigint) RETURNS text STABLE LANGUAGE plpgsql AS $$
		BEGIN
			IF id > 1900 THEN
				RAISE SQLSTATE '40001';
			END IF;
			RETURN '';
		END
		$$`,
		`ALTER TABLE clientes RENAME TO records`,
		`CREATE VIEW clientes AS
		SELECT ` + columns + `
		FROM records`,
		// Otherwise the server may read and sort all records. It would meet the fault before it has
		// sent any.
		`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET enable_seqscan = off', current_database()); END $$`,
	} {
		if err := ask(t, s, sql); err != nil {
			t.Fatal(err)
		}
	}
	s.usual.Reset() // new connections have the new setting
	seen := 0
	err = s.EachCliente(t.Context(), store.Selection{}, func(store.Cliente) error {
		seen++
		return nil
	})
	if !errors.Is(err, store.ErrUnavailable) || seen == 0 || seen > rows {
		t.Errorf("%d records, %v", seen, err)
	}
}
