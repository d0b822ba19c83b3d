package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clientes/store"
	"clientes/store/postgres/postgrestest"
	"clientes/store/storetest"
)

// callsOf returns a batch of a lane.
func callsOf[In, Out any](in ...In) (calls []*store.SharedCall[In, Out]) {
	for _, one := range in {
		calls = append(calls, &store.SharedCall[In, Out]{In: one})
	}
	return calls
}

// lockRow locks what a statement selects until unlock is called, as another program would.
func lockRow(t *testing.T, s *Store, sql string, args ...any) (unlock func()) {
	t.Helper()
	return leaveOpen(t, s, sql+" FOR UPDATE", args...)
}

// leaveOpen runs a statement in a transaction that stays open until a call of rollback.
func leaveOpen(t *testing.T, s *Store, sql string, args ...any) (rollback func()) {
	t.Helper()
	conn, err := s.deciding.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tx, err := conn.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), sql, args...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return sync.OnceFunc(func() {
		if err := tx.Rollback(context.Background()); err != nil {
			t.Error(err)
		}
		conn.Release()
	})
}

func newNamed(name, email string) newCliente {
	return newCliente{Cliente: store.Cliente{Name: name, Email: email}}
}

// Whoever cannot be created with the others is left out, and they share one commit.
func TestCreatesShareACommit(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	taken := newNamed("a", "taken@example.com").Cliente
	if _, err := s.CreateCliente(t.Context(), 0, taken); err != nil {
		t.Fatal(err)
	}
	before := s.Stats().Writes
	calls := callsOf[newCliente, store.Cliente](
		newNamed("b", ""), newNamed("c", "TAKEN@example.com"), newNamed("d", "d@example.com"),
		newNamed("e", "d@example.com"), newNamed("f", ""))
	s.createTogether(t.Context(), calls)
	for i, alone := range []bool{false, true, false, true, false} {
		c := calls[i]
		if alone {
			if c.Err != errAlone {
				t.Errorf("%d: got %v, %v", i, c.Out, c.Err)
			}
			continue
		}
		got, err := s.Cliente(t.Context(), c.Out.ID)
		if c.Err != nil || err != nil || got != c.Out || got.Name != c.In.Name {
			t.Errorf("%d: got %v, %v; read %v, %v", i, c.Out, c.Err, got, err)
		}
	}
	if after := s.Stats().Writes; after.Batches != before.Batches+1 ||
		after.Calls != before.Calls+int64(len(calls)) {
		t.Errorf("from %v to %v", before, after)
	}
}

// What the server refuses, or takes too long to do because of one of them, is not kept, and each
// is to be written alone.
func TestARefusedBatchIsWrittenAlone(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	held := newNamed("held", "held@example.com").Cliente
	free := leaveOpen(t, s, createCliente, rowArgs([]any{0, s.now()}, held)...)
	defer free()
	before := s.Stats().Writes
	for what, one := range map[string]newCliente{
		"a text that the server refuses":     newNamed("a\x00b", ""),
		"an email that another may yet take": newNamed("a", held.Email),
	} {
		other := newNamed("innocent", "")
		calls := callsOf[newCliente, store.Cliente](other, one, other)
		s.createTogether(t.Context(), calls)
		for _, c := range calls {
			if c.Err != errAlone {
				t.Errorf("%s: got %v, %v", what, c.Out, c.Err)
			}
		}
	}
	n, err := s.CountClientes(t.Context(), store.Filter{})
	if after := s.Stats().Writes; err != nil || n != 0 || *after != *before {
		t.Errorf("%d are there, %v; from %v to %v", n, err, before, after)
	}
	free()
	if _, err := s.CreateCliente(t.Context(), 0, held); err != nil {
		t.Error(err)
	}
	_, err = s.CreateCliente(t.Context(), 0, newNamed("a\x00b", "").Cliente)
	if err == nil || errors.Is(err, errAlone) {
		t.Errorf("got %v", err)
	}
}

// Each of those who update with others has its own outcome. Those who change one record take turns.
func TestUpdatesShareACommit(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	var ids [3]int64
	for i := range ids {
		c, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"})
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = c.ID
	}
	unlock := lockRow(t, s, `SELECT FROM clientes WHERE id = $1`, ids[2])
	defer unlock()
	note := func(c store.Cliente) (store.Cliente, error) {
		c.Notes += "x"
		return c, nil
	}
	refusal := errors.New("refused")
	before := s.Stats().Writes
	gone := &clienteUpdate{id: ids[0], update: note}
	gone.leave()
	calls := callsOf[*clienteUpdate, store.Cliente](
		&clienteUpdate{id: ids[0], update: note},
		&clienteUpdate{id: ids[1], update: note},
		&clienteUpdate{id: ids[2], update: note}, // locked
		&clienteUpdate{id: 999, update: note},
		&clienteUpdate{id: ids[0], update: func(c store.Cliente) (store.Cliente, error) {
			return c, refusal
		}},
		&clienteUpdate{id: ids[0], update: func(store.Cliente) (store.Cliente, error) {
			panic("boom")
		}},
		&clienteUpdate{id: ids[0], update: func(c store.Cliente) (store.Cliente, error) {
			c.Email = "a@example.com" // might conflict
			return c, nil
		}},
		&clienteUpdate{id: ids[0], update: func(c store.Cliente) (store.Cliente, error) {
			return c, nil
		}},
		gone,
		&clienteUpdate{id: ids[0], update: note},
	)
	s.updateTogether(t.Context(), calls)
	for i, want := range []struct {
		version int64
		err     error
	}{
		{2, nil}, {2, nil}, {0, errLocked}, {0, store.ErrNotFound}, {0, refusal}, {0, errAlone},
		{0, errAlone}, {2, nil}, {0, errAlone}, {3, nil},
	} {
		c := calls[i]
		if !errors.Is(c.Err, want.err) || c.Err == nil && (c.Out.Version != want.version ||
			c.Out.ID != c.In.id || c.Out.Notes != strings.Repeat("x", int(want.version)-1)) {
			t.Errorf("%d: got %+v, %v", i, c.Out, c.Err)
		}
	}
	for i, want := range []int64{3, 2, 1} {
		if got, err := s.Cliente(t.Context(), ids[i]); err != nil || got.Version != want {
			t.Errorf("%d: got %+v, %v", i, got, err)
		}
	}
	if after := s.Stats().Writes; after.Batches != before.Batches+1 {
		t.Errorf("from %v to %v", before, after)
	}
}

// Who waits for a record that another program has locked waits alone.
func TestALockedRecordDelaysOnlyItsOwnUpdates(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	var ids []int64
	for range 2 * updateLanes {
		c, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, c.ID)
	}
	unlock := lockRow(t, s, `SELECT FROM clientes WHERE id = $1`, ids[0])
	defer unlock()
	update := func(id int64) {
		_, err := s.UpdateCliente(t.Context(), 0, id, func(c store.Cliente) (store.Cliente, error) {
			c.Notes += "x"
			return c, nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	var locked, others sync.WaitGroup
	const most = 40 // more than there are connections
	for range most {
		locked.Go(func() { update(ids[0]) })
	}
	eventually(t, "as many wait for it as may", func() bool {
		return len(s.writing.locked) == cap(s.writing.locked)
	})
	for i := range most {
		others.Go(func() { update(ids[1+i%(len(ids)-1)]) })
	}
	others.Wait()
	if c, err := s.Cliente(t.Context(), ids[0]); err != nil || c.Version != 1 {
		t.Errorf("it is not locked: %+v, %v", c, err)
	}
	unlock()
	locked.Wait()
	if c, err := s.Cliente(t.Context(), ids[0]); err != nil || c.Version != 1+most {
		t.Errorf("got %+v, %v", c, err)
	}
}

// Writers who wait for an email that another program may yet take leave half of the connections to
// others, also if the server has refused a transaction that they shared.
func TestALockedEmailLeavesHalfOfTheConnections(t *testing.T) {
	t.Parallel()
	const most = 40 // more than there are connections
	held := newNamed("held", "held@example.com").Cliente
	for what, write := range map[string]func(s *Store, id int64) error{
		"creates": func(s *Store, _ int64) error {
			_, err := s.CreateCliente(t.Context(), 0, held)
			return err
		},
		"updates": func(s *Store, id int64) error {
			_, err := s.UpdateCliente(t.Context(), 0, id,
				func(c store.Cliente) (store.Cliente, error) {
					c.Email = held.Email
					return c, nil
				})
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := openForTest(t)
			for range most {
				_, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"})
				if err != nil {
					t.Fatal(err)
				}
			}
			free := leaveOpen(t, s, createCliente, rowArgs([]any{0, s.now()}, held)...)
			defer free()
			var writers sync.WaitGroup
			var kept atomic.Int64
			for id := range int64(most) {
				writers.Go(func() {
					var conflict *store.ConflictError
					switch err := write(s, id+1); {
					case err == nil:
						kept.Add(1)
					case !errors.As(err, &conflict):
						t.Error(err)
					}
				})
			}
			half := cap(s.writing.locked)
			eventually(t, "as many wait for it as may", func() bool {
				stuck, err := decide(t.Context(), s, countStuck)
				if err != nil || stuck > half {
					t.Fatalf("%d connections wait for one email, %v", stuck, err)
				}
				return len(s.writing.locked) == half
			})
			holdConns(t, s, int(s.usual.Config().MaxConns)-half)()
			free()
			writers.Wait()
			if n := kept.Load(); n != 1 {
				t.Errorf("%d have got the email", n)
			}
		})
	}
}

// countStuck counts the connections that wait for a lock for longer than those who share one may.
func countStuck(ctx context.Context, conn *pgx.Conn) (int, error) {
	return one(ctx, conn, func(n *int) []any { return []any{n} }, `
		SELECT count(*)
		FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock'
			AND query_start < clock_timestamp() - interval '10 s'`)
}

// Ends of sessions share a commit, also those of one session.
func TestLogoutsShareACommit(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	u, err := s.CreateUser(t.Context(), store.User{Name: "ana", Role: store.Editor})
	if err != nil {
		t.Fatal(err)
	}
	now := s.Now()
	for _, id := range []string{"a", "b", "c"} {
		_, err := s.OpenSession(t.Context(), store.Login{Session: store.Session{
			ID: id, UserID: u.ID, RotatedAt: now, CreatedAt: now, LastUsedAt: now,
			ExpiresAt: now, TokenExp: now,
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	unlock := lockRow(t, s, `SELECT FROM sessions WHERE id = $1`, "c")
	defer unlock()
	before := s.Stats().Writes
	calls := callsOf[string, store.Session]("a", "b", "a", "c", "unknown")
	s.endTogether(t.Context(), calls)
	for i, c := range calls {
		if alone := i > 2; alone && c.Err != errLocked ||
			!alone && (c.Err != nil || c.Out.ID != c.In || c.Out.EndedAt.IsZero()) {
			t.Errorf("%d: got %+v, %v", i, c.Out, c.Err)
		}
	}
	if after := s.Stats().Writes; after.Batches != before.Batches+1 {
		t.Errorf("from %v to %v", before, after)
	}
	one := callsOf[string, store.Session]("c")
	s.endTogether(t.Context(), one)
	if one[0].Err != errLocked {
		t.Errorf("the locked one: got %v", one[0].Err)
	}
}

// openForBenchTogether opens a new store with [storetest.BenchRows] records, on a server that syncs
// every commit to the disk. It also returns the processes of the server.
func openForBenchTogether(b *testing.B) (s *Store, processes func() []string) {
	url := postgrestest.Start(b, "fsync = on", "full_page_writes = on").URL
	if err := Migrate(b.Context(), url); err != nil {
		b.Fatal(err)
	}
	// Nobody is refused, even on a slow machine.
	s, err := Open(b.Context(), url, store.Options{CallTimeout: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	storetest.FillBench(b, s, storetest.BenchRows)
	server, err := call(b.Context(), s, store.Single,
		func(ctx context.Context, conn *pgx.Conn) (string, error) {
			return one(ctx, conn, func(pid *string) []any { return []any{pid} }, `
				SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)`)
		})
	if err != nil {
		b.Fatal(err)
	}
	return s, func() []string {
		children, _ := os.ReadFile("/proc/" + server + "/task/" + server + "/children")
		return strings.Fields(string(children))
	}
}

// BenchmarkWritesTogether compares writers who share commits with writers each of whom has a
// transaction of its own.
func BenchmarkWritesTogether(b *testing.B) {
	s, processes := openForBenchTogether(b)
	const rows = storetest.BenchRows
	ctx := context.Background()
	u, err := s.CreateUser(ctx, store.User{Name: "ana", Role: store.Editor, PasswordHash: "x"})
	if err != nil {
		b.Fatal(err)
	}
	record := func(what string, i int) newCliente {
		return newCliente{u.ID, store.Cliente{
			Name:    fmt.Sprintf("Cliente número %d", i),
			Email:   fmt.Sprintf("%s%d@example.com", what, i),
			Phone:   "+55 11 99999-0000",
			Company: "Padaria Central",
			Address: "Rua das Laranjeiras, 100, São Paulo",
		}}
	}
	update := func(i int) *clienteUpdate {
		return &clienteUpdate{by: u.ID, id: int64(i*7919%rows) + 1,
			update: func(c store.Cliente) (store.Cliente, error) {
				c.Notes = fmt.Sprint(i)
				return c, nil
			}}
	}
	session := func(i int) string { return fmt.Sprint("session ", i%rows) }
	if err := ask(b, s, `
		INSERT INTO sessions (id, user_id, counter, parent, rotated_at, created_at, last_used_at,
			expires_at, token_exp, ip, user_agent)
		SELECT 'session ' || i, 1, 0, 0, now(), now(), now(), now() + '1 h', now() + '1 h', '', ''
		FROM generate_series(0, 20000) AS i`); err != nil {
		b.Fatal(err)
	}
	runs := 0
	for what, write := range map[string]struct{ alone, together func(i int) error }{
		"create": {
			func(i int) error {
				_, err := s.createAlone(ctx, record(fmt.Sprint("alone", runs, "x"), i), errAlone)
				return err
			},
			func(i int) error {
				n := record(fmt.Sprint("together", runs, "x"), i)
				_, err := s.CreateCliente(ctx, n.by, n.Cliente)
				return err
			},
		},
		"update": {
			func(i int) error {
				_, err := s.updateAlone(ctx, update(i), errAlone)
				return err
			},
			func(i int) error {
				n := update(i)
				_, err := s.UpdateCliente(ctx, n.by, n.id, n.update)
				return err
			},
		},
		"logout": {
			func(i int) error {
				_, err := s.endAlone(ctx, session(i), errAlone)
				return err
			},
			func(i int) error {
				_, err := s.EndSession(ctx, session(i))
				return err
			},
		},
	} {
		for _, writers := range []int{1, 4, 16, 64} {
			b.Run(fmt.Sprintf("%s/%d", what, writers), func(b *testing.B) {
				runs++
				storetest.BenchTogether(b, writers, processes, write.alone, write.together)
			})
		}
	}
}
