package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clientes/store"
	"clientes/store/storetest"
)

// A page that the server refuses is no reason to refuse those that share its trip: all of them are
// to be read alone.
func TestARefusedPageIsReadAlone(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	c, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"})
	if err != nil {
		t.Fatal(err)
	}
	query := func(after string) pageQuery {
		return pageQuery{20, selectClientes + ` > 0 AND name_key > $1`, []any{after}}
	}
	calls := callsOf[pageQuery, []store.Cliente](query("a"), query("\x00"))
	s.readPages(t.Context(), calls)
	for i, c := range calls {
		if !errors.Is(c.Err, errAlone) {
			t.Errorf("%d: got %v, %v", i, c.Out, c.Err)
		}
	}
	var reads sync.WaitGroup
	for i := range 100 {
		reads.Go(func() {
			after := store.Position{Name: "a", ID: 1}
			if i%10 == 0 {
				after.Name = "\x00"
			}
			got, err := s.Clientes(t.Context(), store.Selection{Sort: store.ByName}, after, 20)
			if (err != nil) != (i%10 == 0) || err == nil && (len(got) != 1 || got[0] != c) {
				t.Errorf("%d: got %v, %v", i, got, err)
			}
		})
	}
	reads.Wait()
}

// A row that the server cannot read is no reason to refuse those that share its trip.
func TestARefusedRowIsReadAlone(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	var ids []int64
	for range 3 {
		c, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, c.ID)
	}
	damaged := ids[1]
	if err := do(t.Context(), s, s.timeout, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.PgConn().Exec(ctx, fmt.Sprintf(`
			ALTER TABLE clientes RENAME TO kept;
			CREATE FUNCTION readable(id bigint) RETURNS boolean LANGUAGE plpgsql AS $$
			BEGIN
				IF id = %d THEN
					RAISE EXCEPTION 'invalid page' USING ERRCODE = 'XX001';
				END IF;
				RETURN true;
			END
			$$;
			CREATE VIEW clientes AS SELECT * FROM kept WHERE readable(id)`, damaged)).ReadAll()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	taken, formed := make(chan struct{}), make(chan struct{}) // the only lane; the batch behind it
	lane := store.NewLanes(store.LanesConfig{Lanes: 1, Batch: maxTogether},
		func(ctx context.Context, calls []*store.SharedCall[int64, store.Cliente]) {
			if calls[0].In == 0 {
				close(taken)
				<-formed
				return
			}
			readByKey(s, toCliente, func(c *store.Cliente) int64 { return c.ID },
				selectClientes)(ctx, calls)
		})
	var reads sync.WaitGroup
	reads.Go(func() { _, _ = lane.Do(t.Context(), 0) })
	<-taken
	for _, id := range ids {
		reads.Go(func() {
			c, err := readOne(t.Context(), s, lane, toCliente, selectClientes, id)
			if (err != nil) != (id == damaged) || err == nil && c.ID != id {
				t.Errorf("%d: got %v, %v", id, c, err)
			}
		})
	}
	eventually(t, "all wait", func() bool {
		var stats store.PoolStats
		lane.AddTo(&stats)
		return stats.Waiting == len(ids)
	})
	close(formed)
	reads.Wait()
}

// Reads that the server refuses because of its own state are not sent once more.
func TestOnlyARowIsAReasonToReadAlone(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{
		"XX001": true,  // a damaged page
		"22021": true,  // a value that the server cannot take
		"57014": false, // the time of a statement is up
		"53200": false, // no memory
		"42501": false, // no right
	} {
		err := error(&pgconn.PgError{Code: code, SeverityUnlocalized: "ERROR"})
		if got := mayBeOne(engineError(t.Context(), nil, err)); got != want {
			t.Errorf("%s: got %v", code, got)
		}
	}
}

// BenchmarkReadsTogether compares readers who share trips, if they wait at the same moment, with
// readers each of whom has trips of its own.
func BenchmarkReadsTogether(b *testing.B) {
	s, processes := openForBenchTogether(b)
	id := func(i int) int64 { return int64(i%storetest.BenchRows) + 1 }
	page := func(i int) pageQuery {
		sql := `
			SELECT ` + clienteColumns + `
			FROM clientes
			WHERE id > $1
			ORDER BY id
			LIMIT 20`
		return pageQuery{20, sql, []any{id(i) - 1}}
	}
	cliente := readByKey(s, toCliente, func(c *store.Cliente) int64 { return c.ID }, selectClientes)
	for what, read := range map[string]struct{ alone, together func(i int) error }{
		"get": {
			func(i int) error {
				only := callsOf[int64, store.Cliente](id(i))
				cliente(b.Context(), only)
				return only[0].Err
			},
			func(i int) error {
				_, err := s.reading.clientes.Do(b.Context(), id(i))
				return err
			},
		},
		"list": {
			func(i int) error {
				only := callsOf[pageQuery, []store.Cliente](page(i))
				s.readPages(b.Context(), only)
				return only[0].Err
			},
			func(i int) error {
				_, err := s.reading.pages.Do(b.Context(), page(i))
				return err
			},
		},
	} {
		for _, readers := range []int{1, 4, 64} {
			b.Run(fmt.Sprintf("%s/%d", what, readers), func(b *testing.B) {
				storetest.BenchTogether(b, readers, processes, read.alone, read.together)
			})
		}
	}
}
