package postgres

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clientes/store"
	"clientes/store/postgres/postgrestest"
)

// Calls that wait, get no connection in time or may not wait are counted.
func TestPoolsCountThoseWhoWait(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	usual := func() store.PoolStats { return s.Stats().Pools[0] }
	if got := usual(); got.Name != "usual" || got.Max != usualConns-decidingConns ||
		s.Stats().Pools[1].Name != "deciding" || s.Stats().Pools[1].Max != decidingConns {
		t.Fatalf("got %+v", s.Stats().Pools)
	}
	nothing := func(ctx context.Context, conn *pgx.Conn) error { return nil }
	release := holdConns(t, s, usual().Max)
	before := usual()
	if before.Used != before.Max || before.Idle != 0 || before.Timeouts != 0 {
		t.Errorf("all are used: %+v", before)
	}
	waits := make(chan error, 1)
	go func() { waits <- do(t.Context(), s, s.timeout, nothing) }()
	for usual().Waiting == 0 {
		time.Sleep(time.Millisecond)
	}
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := do(soon, s, s.timeout, nothing); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if got := usual(); got.Timeouts != 1 || got.Waiting != 1 || got.Taken != before.Taken {
		t.Errorf("one has timed out, one waits: %+v", got)
	}
	release()
	if err := <-waits; err != nil {
		t.Error(err)
	}
	got := usual()
	if got.Taken != before.Taken+1 || got.Waited <= before.Waited || got.Used != 0 ||
		got.Idle != got.Max || got.Waiting != 0 {
		t.Errorf("from %+v to %+v", before, got)
	}
}

// Calls that wait for others of their kind are counted besides those that wait for a connection.
func TestPoolsCountThoseWhoWaitForALane(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	same := func(c store.Cliente) (store.Cliente, error) { return c, nil }
	var all store.Selection
	ana := store.Cliente{Name: "Ana"}
	var calls sync.WaitGroup
	defer calls.Wait()
	defer holdConns(t, s, s.Stats().Pools[0].Max)()
	for what, call := range map[string]func(){
		"reads of a cliente": func() { s.Cliente(t.Context(), 1) },
		"reads of a user":    func() { s.User(t.Context(), 1) },
		"reads of a session": func() { s.Session(t.Context(), "x") },
		"pages":              func() { s.Clientes(t.Context(), all, store.Position{}, 20) },
		"creates":            func() { s.CreateCliente(t.Context(), 0, ana) },
		"updates of one":     func() { s.UpdateCliente(t.Context(), 0, 1, same) },
		"updates of another": func() { s.UpdateCliente(t.Context(), 0, 2, same) },
		"logouts":            func() { s.EndSession(t.Context(), "x") },
	} {
		waiting := func() int { // for a lane
			n := s.Stats().Pools[0].Waiting
			var queue store.PoolStats
			s.queue.AddTo(&queue)
			return n - queue.Waiting
		}
		before, begun := waiting(), 0
		eventually(t, what+" wait for a lane", func() bool {
			if begun++; begun > 100 {
				t.Fatalf("no %s wait for a lane", what)
			}
			calls.Go(call)
			return waiting() > before
		})
	}
}

// A client that hangs up, or a server that refuses, is no timeout.
func TestOtherFaultsAreNoTimeouts(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Cliente(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for _, p := range s.Stats().Pools {
		if p.Timeouts != 0 {
			t.Errorf("got %+v", p)
		}
	}
}

// The server's clock is that of the store, so its steps are.
func TestStepsOfTheServersClockAreCounted(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), postgrestest.Migrated(t, Migrate), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := s.Now()
	s.readClock(now, time.Millisecond)
	if n := s.Stats().ClockSteps; n != 0 {
		t.Errorf("%d steps of a clock that is right", n)
	}
	s.readClock(now.Add(time.Hour), time.Millisecond)
	if n := s.Stats().ClockSteps; n != 1 {
		t.Errorf("%d steps", n)
	}
}
