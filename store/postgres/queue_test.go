package postgres

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clientes/store"
	"clientes/store/postgres/postgrestest"
)

// fullPool returns a store whose only connection for usual calls is in use until release is called.
// Its queue refuses after a part of the timeout.
func fullPool(t *testing.T, timeout time.Duration) (s *Store, release func()) {
	t.Helper()
	u, err := url.Parse(postgrestest.Migrated(t, Migrate))
	if err != nil {
		t.Fatal(err)
	}
	options := u.Query()
	options.Set("pool_max_conns", "1")
	u.RawQuery = options.Encode()
	s, err = Open(t.Context(), u.String(), store.Options{CallTimeout: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	s.queue = store.NewQueue(1, timeout, s.lines.heardSince)
	return s, holdConns(t, s, 1)
}

func goList(t *testing.T, s *Store) chan error {
	list := make(chan error, 1)
	go func() {
		_, err := s.Clientes(t.Context(), store.Selection{}, store.Position{}, 20)
		list <- err
	}()
	return list
}

// While every connection is in use and the server answers others, who waits is soon refused.
func TestAFullPoolRefuses(t *testing.T) {
	t.Parallel()
	s, release := fullPool(t, 5*time.Second)
	list := goList(t, s)
	eventually(t, "the list is refused", func() bool {
		if err := s.Ready(t.Context()); err != nil { // a sign of the server
			t.Fatal(err)
		}
		return len(list) == 1
	})
	if err := <-list; !errors.Is(err, store.ErrOverloaded) || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the list got %v", err)
	}
	if p := s.Stats().Pools[0]; p.Refused != 1 || p.Timeouts != 0 {
		t.Errorf("counted %+v", p)
	}
	release()
	if err := <-goList(t, s); err != nil {
		t.Errorf("when they were free: %v", err)
	}
}

// A write has the next connection, before a list that came earlier.
func TestWritesGoFirst(t *testing.T) {
	t.Parallel()
	s, release := fullPool(t, 5*time.Minute)
	waiting := func(n int) func() bool {
		return func() bool { return s.Stats().Pools[0].Waiting == n }
	}
	list := goList(t, s)
	eventually(t, "the list waits", waiting(1))
	entered, leave := make(chan struct{}), make(chan struct{})
	written := make(chan error, 1)
	go func() {
		written <- do(t.Context(), s, s.timeout, func(context.Context, *pgx.Conn) error {
			close(entered)
			<-leave
			return nil
		})
	}()
	eventually(t, "the write waits", waiting(2))
	release()
	<-entered
	if len(list) != 0 || !waiting(1)() {
		t.Error("the list was answered before the write")
	}
	close(leave)
	if err := <-written; err != nil {
		t.Error(err)
	}
	if err := <-list; err != nil {
		t.Error(err)
	}
}

// A server that is silent is down, and not busy.
func TestASilentServerIsNotOverloaded(t *testing.T) {
	t.Parallel()
	s, release := fullPool(t, 200*time.Millisecond)
	defer release()
	_, err := s.Cliente(t.Context(), 1)
	if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrOverloaded) {
		t.Errorf("got %v", err)
	}
	if p := s.Stats().Pools[0]; p.Refused != 0 || p.Timeouts != 1 {
		t.Errorf("counted %+v", p)
	}
}

// Whoever waits for a row that another call has locked leaves the connections to others.
func TestOneRowTakesOneConnection(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(postgrestest.Migrated(t, Migrate))
	if err != nil {
		t.Fatal(err)
	}
	options := u.Query()
	options.Set("pool_max_conns", "3")
	u.RawQuery = options.Encode()
	s, err := Open(t.Context(), u.String(), store.Options{CallTimeout: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	ana, err := s.CreateUser(t.Context(), store.User{Name: "ana", Role: store.Editor})
	if err != nil {
		t.Fatal(err)
	}
	now := s.Now()
	_, err = s.OpenSession(t.Context(), store.Login{Session: store.Session{
		ID: "s", UserID: ana.ID, RotatedAt: now, CreatedAt: now, LastUsedAt: now, ExpiresAt: now,
		TokenExp: now,
	}})
	if err != nil {
		t.Fatal(err)
	}
	first := store.Cliente{Name: "x"}
	if _, _, err = s.CreateClienteOnce(t.Context(), ana.ID, first, "k"); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		lock string
		call func(context.Context) error
	}{
		{`SELECT FROM sessions`, func(ctx context.Context) error {
			_, _, err := s.UpdateSession(ctx, "s", func(n store.Session) (store.Session, error) {
				n.Counter++
				return n, nil
			})
			return err
		}},
		{`SELECT FROM idempotency_keys`, func(ctx context.Context) error {
			_, _, err := s.CreateClienteOnce(ctx, ana.ID, first, "k")
			return err
		}},
	} {
		unlock := lockRow(t, s, row.lock)
		defer unlock()
		var begun atomic.Int64
		var calls sync.WaitGroup
		const most = 20
		for range most {
			calls.Go(func() {
				begun.Add(1)
				if err := row.call(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		eventually(t, "all of them wait", func() bool {
			return begun.Load() == most && s.usual.Stat().AcquiredConns() > 0
		})
		gone, leave := context.WithCancel(t.Context())
		leave()
		if err := row.call(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller who has left: %v", err)
		}
		if err := <-goList(t, s); err != nil {
			t.Error(err)
		}
		if n := s.usual.Stat().AcquiredConns(); n != 1 {
			t.Errorf("%d connections wait for one row", n)
		}
		unlock()
		calls.Wait()
	}
	if n, err := s.Session(t.Context(), "s"); err != nil || n.Counter != 20 {
		t.Errorf("got %+v, %v", n, err)
	}
	var queue store.PoolStats
	if s.queue.AddTo(&queue); queue.Waited != 0 || queue.Refused != 0 {
		t.Errorf("others waited: %+v", queue)
	}
}

// Who waits for a row in vain learns that its holder is at work.
func TestARowThatIsHeldTooLong(t *testing.T) {
	t.Parallel()
	s, release := fullPool(t, time.Minute)
	release()
	s.timeout = 10 * time.Millisecond
	for want, row := range map[error]struct {
		turns *store.KeyedMutex
		key   string
		call  func() error
	}{
		store.ErrUnavailable: {&s.taking.sessions, "s", func() error {
			_, _, err := s.UpdateSession(t.Context(), "s", nil)
			return err
		}},
		store.ErrKeyInProgress: {&s.taking.keys, "7 k", func() error {
			_, _, err := s.CreateClienteOnce(t.Context(), 7, store.Cliente{Name: "x"}, "k")
			return err
		}},
	} {
		unlock, err := row.turns.Lock(t.Context(), row.key)
		if err != nil {
			t.Fatal(err)
		}
		if err := row.call(); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		unlock()
	}
}
