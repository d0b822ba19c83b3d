package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/store/postgres/postgrestest"
)

// Somebody locks the table of customers while two hundred clients read it. Meanwhile the process
// knows its tokens and is ready. When the lock is gone, everybody is answered again.
//
// The lock is held until requests were refused because of it, or for TEST_LOCK (25s).
func TestALockedTableStopsNothingElse(t *testing.T) {
	t.Parallel()
	atLeast, err := time.ParseDuration(os.Getenv("TEST_LOCK"))
	if err != nil {
		atLeast = 0
	}
	for _, size := range []string{"2", "16", "64"} {
		t.Run("with a pool of "+size, func(t *testing.T) {
			if atLeast == 0 {
				t.Parallel()
			}
			cluster := postgrestest.Start(t)
			f := newFleet(t, 1, cluster.URL+"&pool_max_conns="+size)
			s := f.on(0)
			f.command(t, goodPassword, "user", "add", "ana", "--role", "admin", "--password-stdin")
			token := f.login(t, s, "ana").Token
			record := map[string]string{"name": "Kei"}
			if a, err := f.do(t.Context(), "POST", s.url("/clientes"), token, record); err != nil ||
				a.status != 201 {
				t.Fatalf("%v, %v", a, err)
			}
			conn, err := postgrestest.Connect(t.Context(), cluster.URL)
			authtest.Must(t, err)
			defer conn.Close(context.Background())
			sessions := func() (n int) {
				authtest.Must(t, conn.QueryRow(t.Context(), `
					SELECT sessions
					FROM pg_stat_database
					WHERE datname = current_database()`).Scan(&n))
				return n
			}

			stop, counts := f.crowd(t, s, 200, token)
			defer stop()
			answered := 0
			authtest.Eventually(t, "the clients are answered", func() bool {
				answered += counts()["200"]
				return answered >= 200
			})
			before := sessions()
			_, err = conn.Exec(t.Context(), `
				BEGIN;
				LOCK TABLE clientes IN ACCESS EXCLUSIVE MODE`)
			authtest.Must(t, err)
			locked := time.Now()
			counts()
			others := map[string]int{}
			var refused int
			for refused == 0 || time.Since(locked) < atLeast {
				for _, path := range []string{"/readyz", "/clientes/0", "/me", "/users"} {
					a, err := f.do(t.Context(), "GET", s.url(path), token, nil)
					authtest.Must(t, err)
					others[fmt.Sprint(path, " ", a.status)]++
				}
				refused += counts()["503"]
			}
			if n := others["/readyz 503"]; n > 0 {
				t.Errorf("%d times not ready", n)
			}
			if n := others["/clientes/0 503"]; n > 0 {
				t.Errorf("%d times it did not know a token", n)
			}
			_, err = conn.Exec(t.Context(), "ROLLBACK")
			authtest.Must(t, err)
			released := time.Now()
			counts()
			authtest.Eventually(t, "everybody is answered", func() bool {
				time.Sleep(100 * time.Millisecond)
				n := counts()
				return n["503"] == 0 && n["200"] > 0
			})
			t.Logf("locked for %v: %d refused, others %v; well after %v; %d new connections",
				released.Sub(locked).Round(time.Second), refused, others,
				time.Since(released).Round(time.Millisecond), sessions()-before)
		})
	}
}

// crowd makes n clients read a customer again and again, until stop is called. The function counts
// returns how often each status was answered since its last call.
func (f *fleet) crowd(t *testing.T, s *server, n int, token string) (
	stop func(), counts func() map[string]int) {
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	seen := map[string]int{}
	var running sync.WaitGroup
	for range n {
		running.Go(func() {
			for ctx.Err() == nil {
				a, err := f.do(ctx, "GET", s.url("/clientes/1"), token, nil)
				if ctx.Err() != nil {
					return
				}
				status := fmt.Sprint(a.status)
				if err != nil {
					status = err.Error()
				}
				mu.Lock()
				seen[status]++
				mu.Unlock()
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	counts = func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		was := seen
		seen = map[string]int{}
		return was
	}
	return func() {
		cancel()
		running.Wait()
	}, counts
}
