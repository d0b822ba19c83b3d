package main

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/store/postgres/postgrestest"
)

// A database that answers late is slow, and not down: every request is answered as ever.
func TestASlowDatabaseIsNotDown(t *testing.T) {
	t.Parallel()
	delays := []time.Duration{50 * time.Millisecond, 500 * time.Millisecond}
	if long() {
		delays = append(delays, 1500*time.Millisecond)
	}
	for _, delay := range delays {
		t.Run(delay.String(), func(t *testing.T) {
			t.Parallel()
			cluster := postgrestest.Start(t)
			cable, through := postgrestest.NewCable(t, cluster.URL)
			f := newFleet(t, 1, through)
			s := f.on(0)
			f.command(t, goodPassword, "user", "add", "ana", "--role", "admin", "--password-stdin")
			token := f.login(t, s, "ana").Token
			cable.Slow(delay)
			var late, total atomic.Int64
			round := func() bool {
				before := late.Load()
				var running sync.WaitGroup
				for _, r := range []struct {
					method, path string
					body         any
					want         int
				}{
					{"POST", "/clientes", map[string]string{"name": "Kei"}, 201},
					{"GET", "/clientes", nil, 200},
					{"GET", "/me", nil, 200},
					{"GET", "/readyz", nil, 200},
				} {
					running.Go(func() {
						a, err := f.do(t.Context(), r.method, s.url(r.path), token, r.body)
						total.Add(1)
						switch {
						case err != nil:
							t.Error(err)
						case a.status == http.StatusServiceUnavailable:
							late.Add(1)
						case a.status != r.want:
							t.Errorf("%s %s: %v", r.method, r.path, a)
						}
					})
				}
				running.Wait()
				return late.Load() == before
			}
			// Not in the first round: this machine may be slow, too.
			authtest.Eventually(t, "all requests are answered", round)
			for range 3 {
				round()
			}
			t.Logf("%d of %d requests were 503", late.Load(), total.Load())
		})
	}
}
