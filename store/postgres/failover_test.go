//go:build unix

package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"clientes/store"
	"clientes/store/postgres"
	"clientes/store/postgres/postgrestest"
)

// writers write customers until stop is called, and remember those that were answered.
type writers struct {
	mu       sync.Mutex
	answered map[int64]bool
	refused  int
	stop     func()
}

func writeAtOnce(t *testing.T, s *postgres.Store, n int) *writers {
	ctx, cancel := context.WithCancel(t.Context())
	w := &writers{answered: make(map[int64]bool)}
	var running sync.WaitGroup
	for range n {
		running.Go(func() {
			for ctx.Err() == nil {
				c, err := s.CreateCliente(ctx, 0, store.Cliente{Name: "x"})
				w.mu.Lock()
				switch {
				case err == nil:
					w.answered[c.ID] = true
				case errors.Is(err, store.ErrUnavailable):
					w.refused++
				case errors.Is(err, store.ErrOverloaded): // the crowd is large
				case ctx.Err() == nil:
					t.Error(err)
				}
				w.mu.Unlock()
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	w.stop = func() {
		cancel()
		running.Wait()
	}
	return w
}

// counts returns how many writes were answered and refused.
func (w *writers) counts() (answered, refused int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.answered), w.refused
}

// until waits until more writes were answered, or refused.
func (w *writers) until(t *testing.T, answered, refused int) {
	t.Helper()
	a, r := w.counts()
	until(t, "there are more answers", func() bool {
		nowA, nowR := w.counts()
		return nowA >= a+answered && nowR >= r+refused
	})
}

// Whatever becomes of the server or of what is before it, under load: when it is back, so is the
// store, and every answered write is there.
func TestItIsWellAgainUnderLoad(t *testing.T) {
	t.Parallel()
	const crowd = 60 // more than there are connections
	for what, fault := range map[string]struct {
		pooled     bool
		start, end func(c *postgrestest.Cluster, restartPooler func())
	}{
		"stopped": {false, func(c *postgrestest.Cluster, _ func()) { c.Stop() },
			func(c *postgrestest.Cluster, _ func()) { c.Start() }},
		"killed": {false, func(c *postgrestest.Cluster, _ func()) { c.Kill() },
			func(c *postgrestest.Cluster, _ func()) { c.Start() }},
		"PgBouncer killed": {true, func(c *postgrestest.Cluster, _ func()) { c.KillPooler() },
			func(_ *postgrestest.Cluster, restart func()) { restart() }},
		"PgBouncer paused": {true, func(c *postgrestest.Cluster, _ func()) { c.PausePooler() },
			func(c *postgrestest.Cluster, _ func()) { c.ResumePooler() }},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			cluster := postgrestest.Start(t, "fsync = on", "full_page_writes = on")
			if err := postgres.Migrate(t.Context(), cluster.URL); err != nil {
				t.Fatal(err)
			}
			url := cluster.URL
			restart := func() {}
			if fault.pooled {
				url = with(t, cluster.Pooler(t, 8)(url), "default_query_exec_mode", "exec")
				restart = func() { cluster.Pooler(t, 8) }
			}
			s := open(t, url)
			w := writeAtOnce(t, s, crowd)
			defer w.stop()
			w.until(t, 200, 0)
			fault.start(cluster, restart)
			w.until(t, 0, crowd)
			fault.end(cluster, restart)
			back := time.Now()
			w.until(t, crowd, 0)
			until(t, "it is ready", func() bool { return s.Ready(t.Context()) == nil })
			t.Logf("well again after %v", time.Since(back).Round(time.Millisecond))
			w.stop()
			w.wantKept(t, s)
		})
	}
}

// wantKept fails the test if a write that was answered is not there.
func (w *writers) wantKept(t *testing.T, s *postgres.Store) {
	t.Helper()
	for id := range w.answered {
		if _, err := s.Cliente(t.Context(), id); err != nil {
			t.Errorf("cliente %d was answered: %v", id, err)
			return
		}
	}
}

// The standby has the address of its primary after a failover.
func TestAFailover(t *testing.T) {
	t.Parallel()
	// Without a standby a commit would wait for one.
	primary := postgrestest.Start(t, "synchronous_commit = local")
	if err := postgres.Migrate(t.Context(), primary.URL); err != nil {
		t.Fatal(err)
	}
	standby := primary.Standby(t)
	execute(t, primary.URL, "ALTER SYSTEM SET synchronous_standby_names = '*'")
	execute(t, primary.URL, "ALTER SYSTEM SET synchronous_commit = 'on'")
	execute(t, primary.URL, "SELECT pg_reload_conf()")
	cable, through := postgrestest.NewCable(t, primary.URL)
	s := open(t, through)
	w := writeAtOnce(t, s, 40)
	defer w.stop()
	w.until(t, 200, 0)
	primary.Kill()
	cable.Lead(t, standby.URL)
	w.until(t, 0, 40) // it can only be read
	standby.Promote()
	back := time.Now()
	w.until(t, 40, 0)
	until(t, "it is ready", func() bool { return s.Ready(t.Context()) == nil })
	t.Logf("well again after %v", time.Since(back).Round(time.Millisecond))
	w.stop()
	w.wantKept(t, s)
}
