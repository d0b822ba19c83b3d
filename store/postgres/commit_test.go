package postgres

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"clientes/store"
	"clientes/store/storetest"
)

// A transaction of one trip may fail at its very end, when its statements have succeeded. The
// caller must learn that.
func TestACommitThatFails(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	err := do(t.Context(), s, s.timeout, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := exec(ctx, conn, `
			CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
			AS $$ BEGIN RAISE EXCEPTION 'too late'; END $$;
			CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON clientes
			DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.name = 'late')
			EXECUTE FUNCTION refuse()`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"early", "late", "early"} {
		c, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: name})
		if refused := err != nil; refused != (name == "late") {
			t.Errorf("%s: got %v, %v", name, c, err)
		}
	}
	calls := callsOf[newCliente, store.Cliente](newNamed("early", ""), newNamed("late", ""))
	s.createTogether(t.Context(), calls)
	for _, c := range calls {
		if c.Err != errAlone {
			t.Errorf("together: got %v, %v", c.Out, c.Err)
		}
	}
	all, err := s.Clientes(t.Context(), store.Selection{}, store.Position{}, 10)
	if err != nil || len(all) != 2 {
		t.Errorf("the store has %v, %v", all, err)
	}
}

// What runs in one trip is READ COMMITTED even if the database prefers something else, and so a
// statement that waited for a lock sees what its holder wrote.
func TestOneTripIsReadCommitted(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	for _, level := range []string{"read committed", "repeatable read", "serializable"} {
		got, err := call(t.Context(), s, store.First, func(ctx context.Context, conn *pgx.Conn) (
			got string, err error) {
			_, err = exec(ctx, conn, "SELECT set_config('default_transaction_isolation', $1, false)",
				level)
			if err != nil {
				return "", err
			}
			b := beginOnce()
			b.Queue("SELECT current_setting('transaction_isolation')").
				QueryRow(func(row pgx.Row) error { return row.Scan(&got) })
			return got, commit(ctx, conn, b)
		})
		if err != nil || got != "read committed" {
			t.Errorf("%s: got %q, %v", level, got, err)
		}
		if _, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: level}); err != nil {
			t.Error(err)
		}
	}
	if s.unprepared.Load() {
		t.Error("the store believes that a pooler has lost its statements")
	}
}

// BenchmarkCommit compares a create of one trip with the same one in a transaction that says where
// it begins and ends.
func BenchmarkCommit(b *testing.B) {
	s, processes := openForBenchTogether(b)
	create := func(send func(context.Context, *pgx.Conn, *pgx.Batch) error) func(i int) error {
		return func(i int) error {
			_, err := call(context.Background(), s, store.First, func(ctx context.Context,
				conn *pgx.Conn) (struct{}, error) {
				c := s.newCliente(store.Cliente{Name: fmt.Sprint("Cliente número ", i)})
				batch := beginOnce()
				batch.Queue(createCliente, rowArgs([]any{int64(0), c.CreatedAt}, c)...)
				return struct{}{}, send(ctx, conn, batch)
			})
			return err
		}
	}
	for _, writers := range []int{1, 4} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			storetest.BenchTogether(b, writers, processes,
				create(commitExplicitly), create(commit))
		})
	}
}
