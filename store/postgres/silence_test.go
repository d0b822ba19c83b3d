package postgres

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"clientes/store"
	"clientes/store/postgres/postgrestest"
)

// openThroughCable opens a store with that many idle connections over a cable.
func openThroughCable(t *testing.T, idle int) (*Store, *postgrestest.Cable) {
	t.Helper()
	cable, through := postgrestest.NewCable(t, postgrestest.Migrated(t, Migrate))
	s, err := Open(t.Context(), through, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	var all []*pgxpool.Conn
	for range idle {
		conn, err := s.pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, conn)
	}
	for _, conn := range all {
		conn.Release()
	}
	return s, cable
}

// ask makes the server run a statement, in a call of at most limit.
func ask(t *testing.T, s *Store, limit time.Duration, sql string) error {
	t.Helper()
	return do(t.Context(), s, limit, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := exec(ctx, conn, sql)
		return err
	})
}

// When the network path of many idle connections is dead, only one caller waits to find out.
func TestASilentLineCostsOneCaller(t *testing.T) {
	t.Parallel()
	for what, since := range map[string]time.Duration{
		"a moment ago":             0,
		"a while ago, so it pings": 1100 * time.Millisecond,
	} {
		t.Run("the last answer was "+what, func(t *testing.T) {
			t.Parallel()
			s, cable := openThroughCable(t, 8)
			time.Sleep(since)
			cable.Cut(postgrestest.Silent)
			cable.Join() // for new connections only
			if err := ask(t, s, time.Second, "SELECT"); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("over the silent line: %v", err)
			}
			if n := s.pool.Stat().IdleConns(); n != 0 {
				t.Errorf("%d connections of the silent line are left", n)
			}
			if err := ask(t, s, callTimeout, "SELECT"); err != nil {
				t.Errorf("the next: %v", err)
			}
			cable.Cut(postgrestest.Broken) // otherwise Close would wait for an answer
		})
	}
}

// A call that waited in vain for a free connection says nothing of the network path. Nor does one
// that waited for a slow statement while the server answered others.
func TestWaitingCostsNoConnections(t *testing.T) {
	t.Parallel()
	const size = 4
	for what, wait := range map[string]func(t *testing.T, s *Store) error{
		"for a connection": func(t *testing.T, s *Store) error {
			var held []*pgxpool.Conn
			for range s.pool.Config().MaxConns {
				conn, err := s.pool.Acquire(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				held = append(held, conn)
			}
			err := ask(t, s, 50*time.Millisecond, "SELECT")
			for _, conn := range held {
				conn.Release()
			}
			return err
		},
		"for a slow statement": func(t *testing.T, s *Store) error {
			return do(t.Context(), s, time.Second, func(ctx context.Context, conn *pgx.Conn) error {
				if err := s.Ready(t.Context()); err != nil {
					t.Error(err)
				}
				_, err := exec(ctx, conn, "SELECT pg_sleep(60)")
				return err
			})
		},
		"for its own callback": func(t *testing.T, s *Store) error {
			return do(t.Context(), s, time.Second, func(ctx context.Context, conn *pgx.Conn) error {
				<-ctx.Done()
				_, err := exec(ctx, conn, "SELECT")
				return err
			})
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s, _ := openThroughCable(t, size)
			if err := wait(t, s); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
			if n := s.pool.Stat().IdleConns(); n < size-1 {
				t.Errorf("%d idle connections are left of %d", n, size)
			}
		})
	}
}

// A busy machine may need longer than a second to answer a new connection.
func TestAConnectionMayComeLate(t *testing.T) {
	t.Parallel()
	cable, through := postgrestest.NewCable(t, postgrestest.Migrated(t, Migrate))
	cable.Slow(600 * time.Millisecond)
	s, err := Open(t.Context(), through, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
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
