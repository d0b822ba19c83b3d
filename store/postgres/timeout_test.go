package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clientes/store"
	"clientes/store/postgres/postgrestest"
)

func openForTest(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), postgrestest.Migrated(t, Migrate), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// A statement that takes too long is the server's to end, and no reason to think that the line is dead.
func TestAStatementThatTakesTooLongCostsNoConnections(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	held, err := s.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = callFor(t.Context(), s, scanTimeout, func(ctx context.Context, conn *pgx.Conn) (struct{}, error) {
		held.Release()                          // from now on there is an idle one beside this
		b := beginLong(1200 * time.Millisecond) // of which the server takes 200
		b.Queue("SELECT pg_sleep(60)")
		return struct{}{}, send(ctx, conn, b)
	})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if idle := s.pool.Stat().IdleConns(); idle != 2 {
		t.Errorf("%d idle connections are left of 2", idle)
	}
}

// What each has had it must not get again.
func TestAReadingOfEverythingIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	const rows = 2000
	if _, err := s.ImportClientes(t.Context(), 0, func(yield func(store.Cliente, error) bool) {
		for i := range rows {
			if !yield(store.Cliente{Name: fmt.Sprint(i)}, nil) {
				return
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	// Near the end the server reports what a standby does when it has to end a query for the primary's sake.
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
		SELECT id, name || conflict(id) AS name, email, phone, company, address, notes, version, created_at, updated_at
		FROM records`,
		// Or it would read all of them before it sorts them, and meet the fault before the first is sent.
		`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET enable_seqscan = off', current_database()); END $$`,
	} {
		if _, err := call(t.Context(), s, func(ctx context.Context, conn *pgx.Conn) (int64, error) {
			return exec(ctx, conn, sql)
		}); err != nil {
			t.Fatal(err)
		}
	}
	s.pool.Reset() // for the setting
	seen := 0
	err := s.EachCliente(t.Context(), store.Selection{}, func(store.Cliente) error {
		seen++
		return nil
	})
	if !errors.Is(err, store.ErrUnavailable) || seen == 0 || seen > rows {
		t.Errorf("%d records, %v", seen, err)
	}
}
