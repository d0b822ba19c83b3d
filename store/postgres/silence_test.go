package postgres

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"clientes/store"
	"clientes/store/postgres/postgrestest"
)

// openThroughCable opens a store with that many idle connections over a cable.
func openThroughCable(t *testing.T, idle int, timeout time.Duration) (
	*Store, *postgrestest.Cable) {
	t.Helper()
	cable, through := postgrestest.NewCable(t, postgrestest.Migrated(t, Migrate))
	s, err := Open(t.Context(), through, store.Options{CallTimeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cable.Cut(postgrestest.Broken) // otherwise Close could wait for an answer
		s.Close()
	})
	holdConns(t, s, idle)()
	return s, cable
}

// holdConns takes connections of the pool until release is called.
func holdConns(t *testing.T, s *Store, n int) (release func()) {
	t.Helper()
	var all []*pgxpool.Conn
	for range n {
		if _, err := s.queue.Enter(t.Context(), store.Insisting); err != nil {
			t.Fatal(err)
		}
		conn, err := s.usual.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, conn)
	}
	return func() {
		for _, conn := range all {
			conn.Release()
			s.queue.Leave()
		}
	}
}

// ask makes the server run a statement.
func ask(t testing.TB, s *Store, sql string) error {
	t.Helper()
	return do(t.Context(), s, s.timeout, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := exec(ctx, conn, sql)
		return err
	})
}

// eventually waits until is returns true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 minutes: %s", what)
		}
	}
}

// When the server has ended all connections, as after a crash, only one caller finds that out.
func TestEndedConnectionsCostOneCaller(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	idle := make([]*pgxpool.Conn, 8)
	for i := range idle {
		var err error
		if idle[i], err = s.usual.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, conn := range idle {
		conn.Release()
	}
	_, err := decide(t.Context(), s, func(ctx context.Context, conn *pgx.Conn) (int64, error) {
		return exec(ctx, conn, `
			SELECT pg_terminate_backend(pid)
			FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	})
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for range 2 * len(idle) {
		if _, err := s.Clientes(t.Context(), store.Selection{}, store.Position{}, 1); err != nil {
			failed++
		}
	}
	if failed > 1 {
		t.Errorf("%d callers failed", failed)
	}
}

// A caller whose time is up while a ping is under way says nothing of the other idle connections.
func TestACallerWhoLeavesAPingClosesNothing(t *testing.T) {
	t.Parallel()
	const idle = 8
	s, cable := openThroughCable(t, idle, 5*time.Minute)
	s.broken.Store(int64(s.lines.now())) // so that the next call pings
	cable.Cut(postgrestest.Silent)
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Cliente(soon, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	left := s.usual.AcquireAllIdle(t.Context())
	for _, conn := range left {
		conn.Release()
	}
	if len(left) < idle/2 { // the timers of a ping and of its caller may differ a little
		t.Errorf("%d of %d connections are left", len(left), idle)
	}
}

// When the network path of many idle connections is dead, only one caller waits to find out.
func TestASilentLineCostsOneCaller(t *testing.T) {
	t.Parallel()
	const idle = 8
	s, cable := openThroughCable(t, idle, time.Second)
	before := s.usual.Stat().NewConnsCount()
	cable.Cut(postgrestest.Silent)
	cable.Join() // for new connections only
	if err := ask(t, s, "SELECT"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("over the silent line: %v", err)
	}
	if n := s.usual.Stat().IdleConns(); n != 0 {
		t.Errorf("%d connections of the silent line are left", n)
	}
	eventually(t, "it answers", func() bool { return ask(t, s, "SELECT") == nil })
	if n := s.usual.Stat().NewConnsCount() - before; n >= idle {
		t.Errorf("%d new connections for one caller", n)
	}
}

// While the server is silent, those who change one record do not wait for each other's time to end.
func TestUpdatesDoNotQueueUpOverASilentLine(t *testing.T) {
	t.Parallel()
	const timeout = time.Second
	s, cable := openThroughCable(t, 2, timeout)
	c, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"})
	if err != nil {
		t.Fatal(err)
	}
	cable.Cut(postgrestest.Silent)
	var longest atomic.Int64
	var updates sync.WaitGroup
	for range 8 * maxBatch {
		updates.Go(func() {
			start := time.Now()
			_, err := s.UpdateCliente(t.Context(), 0, c.ID,
				func(c store.Cliente) (store.Cliente, error) { return c, nil })
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
			longest.Store(max(longest.Load(), int64(time.Since(start))))
		})
	}
	updates.Wait()
	if d := time.Duration(longest.Load()); d > 3*timeout {
		t.Errorf("one waited for %v", d)
	}
}

// A connection that was idle for a while is pinged first, so not even one caller fails.
func TestASilentLineIsFoundByAPing(t *testing.T) {
	t.Parallel()
	s, cable := openThroughCable(t, 8, 5*time.Second)
	time.Sleep(1100 * time.Millisecond) // shouldPing
	cable.Cut(postgrestest.Silent)
	cable.Join() // for new connections only
	eventually(t, "it answers", func() bool { return ask(t, s, "SELECT") == nil })
	if n := s.usual.Stat().IdleConns(); n != 1 {
		t.Errorf("%d idle connections are left, all but one of the silent line", n)
	}
}

// While the line is silent, new connections are silent too, and they stay so when it is well again.
// They must not hold the pool for long.
func TestALineThatWasSilentIsWellAgain(t *testing.T) {
	t.Parallel()
	for _, how := range []postgrestest.CableState{postgrestest.Silent, postgrestest.Broken} {
		t.Run(string(how), func(t *testing.T) {
			t.Parallel()
			s, cable := openThroughCable(t, 4, time.Second)
			stop := underLoad(t, s, 40)
			defer stop()
			cable.Cut(how)
			eventually(t, "it is noticed", func() bool {
				return errors.Is(ask(t, s, "SELECT"), store.ErrUnavailable)
			})
			_, err := s.Identity(t.Context())
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("a question about everybody: %v", err)
			}
			cable.Join()
			well := time.Now()
			eventually(t, "it is well again", func() bool {
				return ask(t, s, "SELECT") == nil && s.Ready(t.Context()) == nil
			})
			t.Logf("well again after %v", time.Since(well))
		})
	}
}

// underLoad makes n callers ask again and again until stop is called.
func underLoad(t *testing.T, s *Store, n int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range n {
		running.Go(func() {
			for ctx.Err() == nil {
				_, err := s.Cliente(ctx, 1)
				if err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrNotFound) &&
					!errors.Is(err, store.ErrUnavailable) &&
					!errors.Is(err, store.ErrOverloaded) {
					t.Error(err)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// A call that waited in vain for a free connection says nothing of the network path. Nor does one
// that waited for a slow statement while the server answered others, on whatever connection.
func TestWaitingCostsNoConnections(t *testing.T) {
	t.Parallel()
	const size = 4
	for what, wait := range map[string]func(t *testing.T, s *Store) error{
		"for a connection": func(t *testing.T, s *Store) error {
			release := holdConns(t, s, int(s.usual.Config().MaxConns))
			defer release()
			return ask(t, s, "SELECT")
		},
		"for a slow statement": func(t *testing.T, s *Store) error {
			return do(t.Context(), s, 0, func(ctx context.Context, conn *pgx.Conn) error {
				if err := s.Ready(t.Context()); err != nil {
					t.Error(err)
				}
				_, err := exec(ctx, conn, "SELECT pg_sleep(3600)")
				return err
			})
		},
		"for its own callback": func(t *testing.T, s *Store) error {
			return do(t.Context(), s, 0, func(ctx context.Context, conn *pgx.Conn) error {
				if err := s.Ready(t.Context()); err != nil {
					t.Error(err)
				}
				<-ctx.Done()
				_, err := exec(ctx, conn, "SELECT")
				return err
			})
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s, _ := openThroughCable(t, size, 2*time.Second)
			if err := wait(t, s); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
			if n := s.usual.Stat().IdleConns(); n < size-1 {
				t.Errorf("%d idle connections are left of %d", n, size)
			}
		})
	}
}

// Over a slow line a call takes long because it has several trips, and each of them is answered. It
// is not cut: its connection would be lost, and the next call would take longer still.
func TestASlowLineIsNotDown(t *testing.T) {
	t.Parallel()
	const timeout = 8 * time.Second
	cable, through := postgrestest.NewCable(t, postgrestest.Migrated(t, Migrate))
	cable.Slow(timeout * 3 / 10) // as 1,500 ms to 5 s
	s, err := Open(t.Context(), through, store.Options{CallTimeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	begun := time.Now()
	c, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"})
	if err != nil {
		t.Fatal(err)
	}
	// A new connection for each of them, so each takes all trips that a call can take.
	s.usual.Reset()
	_, err = s.UpdateCliente(t.Context(), 0, c.ID, func(c store.Cliente) (store.Cliente, error) {
		c.Name = "Bia"
		return c, nil
	})
	if err != nil {
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if n := s.usual.Stat().NewConnsCount(); n != 2 {
		t.Errorf("it took %d connections", n)
	}
}

// A dial that meets a full queue of new connections tries again until ctx ends.
func TestADialWaitsWhileTheQueueIsFull(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	tries := 0
	dial := redial(func(context.Context, string, string) (net.Conn, error) {
		if tries++; tries < 3 {
			return nil, syscall.EAGAIN
		}
		return ours, nil
	})
	if conn, err := dial(t.Context(), "unix", "x"); conn != ours || err != nil || tries != 3 {
		t.Errorf("%v, %v after %d tries", conn, err, tries)
	}

	ctx, cancel := context.WithCancel(t.Context())
	dial = redial(func(context.Context, string, string) (net.Conn, error) {
		cancel()
		return nil, syscall.EAGAIN
	})
	if _, err := dial(ctx, "unix", "x"); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("got %v", err)
	}
}

// While reads get no answer, the next ones take other connections: neither a dead one nor a slow
// line holds up all readers.
func TestReadsThatGetNoAnswerHoldUpNobody(t *testing.T) {
	t.Parallel()
	const idle = 6
	s, cable := openThroughCable(t, idle, 5*time.Minute)
	ctx, hangUp := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	cable.Cut(postgrestest.Silent)
	eventually(t, "they take all connections", func() bool {
		reading.Go(func() { s.Cliente(ctx, 1) })
		return s.usual.Stat().AcquiredConns() >= idle
	})
	hangUp()
	reading.Wait()
}
