package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"clientes/store"
	"clientes/store/postgres"
	"clientes/store/postgres/postgrestest"
)

// insertByHand adds the version $1 of the record 1 as another program would.
const insertByHand = `
	INSERT INTO cliente_history (cliente_id, version, action, user_id, user_name, at,
		name, email, phone, company, address, notes, created_at, updated_at)
	SELECT cliente_id, $1, 'updated', 0, '', at, name, '', '', '', '', '', created_at, updated_at
	FROM cliente_history
	WHERE cliente_id = 1 AND version = 1`

// TestTheFeedWaitsForEarlierWriters holds transactions open. A change of one of them has an earlier
// place than those of others that end before, and must not be passed.
func TestTheFeedWaitsForEarlierWriters(t *testing.T) {
	t.Parallel()
	url := postgrestest.Migrated(t, postgres.Migrate)
	s, err := postgres.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	create := func(name string) {
		t.Helper()
		if _, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	var position store.FeedPosition
	want := func(held bool, want ...string) {
		t.Helper()
		p, err := s.Changes(t.Context(), position, 100)
		if err != nil {
			t.Fatal(err)
		}
		position = p.Next
		var got []string
		for _, c := range p.Changes {
			got = append(got, fmt.Sprintf("%d.%d", c.Record.ID, c.Version))
		}
		if strings.Join(got, " ") != strings.Join(want, " ") || p.HeldSince.IsZero() == held {
			t.Fatalf("got %v, held since %v, want %v, held: %t", got, p.HeldSince, want, held)
		}
	}
	create("Ana")
	want(false, "1.1")
	conns := [...]*pgx.Conn{beside(t, url), beside(t, url), beside(t, url)}
	run := func(conn int, sql string, args ...any) {
		t.Helper()
		if _, err := conns[conn].Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	const first, second, foreign = 0, 1, 2
	run(foreign, "BEGIN")
	run(foreign, "SELECT pg_current_xact_id()") // of whoever uses the same server
	create("Bia")
	want(false, "2.1")
	run(first, "BEGIN")
	run(first, insertByHand, 2)
	create("Cid")
	want(true)
	run(second, "BEGIN")
	run(second, insertByHand, 3)
	create("Dora")
	want(true)
	run(first, "ROLLBACK")
	want(true, "3.1")
	run(second, "COMMIT")
	want(false, "1.3", "4.1")
	run(foreign, "COMMIT")

	// A savepoint that is taken back takes its lock along, and the next change registers again.
	run(first, "BEGIN")
	run(first, "SAVEPOINT s")
	run(first, insertByHand, 4)
	run(first, "ROLLBACK TO s")
	create("Eva")
	want(false, "5.1")
	run(first, insertByHand, 4)
	create("Fabio")
	want(true)
	run(first, "COMMIT")
	want(false, "1.4", "6.1")

	// One that registers late may name a lower number than what was read before.
	run(first, "BEGIN")
	run(first, `SELECT pg_advisory_xact_lock_shared((1668049253::bigint << 32) | 1)`)
	create("Gil")
	want(true)
	run(first, "COMMIT")
	want(false, "7.1")

	// One that registers between the two questions of the feed names a higher number than the last
	// that the feed has read.
	run(first, "BEGIN")
	run(first, `SELECT pg_advisory_xact_lock_shared((1668049253::bigint << 32) | 1000)`)
	create("Hugo")
	want(false, "8.1")
	if end, err := s.FeedEnd(t.Context()); err != nil || end != position {
		t.Fatalf("the feed ends at %+v, %v, want %+v", end, err, position)
	}
	run(first, "COMMIT")
}

// TestTheFeedCountsBeyond32Bits crosses the place where the locks of writers begin anew: each names
// the lower half of a number.
func TestTheFeedCountsBeyond32Bits(t *testing.T) {
	t.Parallel()
	url := postgrestest.Migrated(t, postgres.Migrate)
	s, err := postgres.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	execute(t, url, `SELECT setval('cliente_history_seq', 4294967290)`)
	conn := beside(t, url)
	run := func(sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	var position store.FeedPosition
	for i := range 12 {
		if _, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "x"}); err != nil {
			t.Fatal(err)
		}
		if i == 3 {
			run("BEGIN")
			run(insertByHand, 2)
		}
		p, err := s.Changes(t.Context(), position, 10)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(p.Changes); (n == 1) != (i <= 3) || n > 1 {
			t.Fatalf("%d changes at %d", n, i)
		}
		position = p.Next
	}
	run("COMMIT")
	p, err := s.Changes(t.Context(), position, 10)
	if err != nil || len(p.Changes) != 9 || p.Changes[0].Version != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
}
