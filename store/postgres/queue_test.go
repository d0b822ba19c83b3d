package postgres

import (
	"context"
	"errors"
	"net/url"
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
