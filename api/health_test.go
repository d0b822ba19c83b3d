package api

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/store"
)

// countingStore counts the checks of a store, and can hold them up or fail them.
type countingStore struct {
	Store
	asked atomic.Int64
	hold  chan struct{} // closed to let the checks go on
	err   atomic.Pointer[error]
	is    store.Identity
}

func (c *countingStore) Ready(context.Context) error {
	c.asked.Add(1)
	<-c.hold
	if err := c.err.Load(); err != nil {
		return *err
	}
	return nil
}

func (c *countingStore) Identity(context.Context) (store.Identity, error) { return c.is, nil }

func TestACrowdThatAsksSharesTheChecks(t *testing.T) {
	c := &countingStore{hold: make(chan struct{})}
	f := onSQLite(t, func(cfg *Config) {
		c.Store = cfg.Store
		cfg.Store = c
	})
	var crowd sync.WaitGroup
	for range 100 {
		crowd.Go(func() {
			if a := f.call("GET", "/readyz", ""); a.status != 200 {
				t.Errorf("answered %d %s", a.status, a.body)
			}
		})
	}
	f.eventually("the checks are made", func() bool { return c.asked.Load() > 0 })
	if n := c.asked.Load(); n != 1 {
		t.Errorf("%d checks are under way", n)
	}
	close(c.hold)
	crowd.Wait()

	// The answer does not stay for ever, whichever it is.
	err := errors.Join(store.ErrUnavailable, errInside)
	c.err.Store(&err)
	f.eventually("the fault is seen", func() bool {
		return f.call("GET", "/readyz", "").status == 503
	})
	c.err.Store(nil)
	f.waitReady()
}

func TestNotReady(t *testing.T) {
	for _, test := range []struct {
		name   string
		err    error
		is     store.Identity
		checks string
		says   string
	}{
		{"the store cannot write", errors.Join(store.ErrUnavailable, errInside), store.Identity{},
			`{"store":"failed","migrations":"unknown","ended_sessions":"ok","hasher":"ok"}`,
			`The check \"store\" failed`},
		{"it has an error of no kind", errInside, store.Identity{},
			`{"store":"failed","migrations":"unknown","ended_sessions":"ok","hasher":"ok"}`,
			`The check \"store\" failed`},
		{"migrations are missing", store.ErrSchema, store.Identity{},
			`{"store":"ok","migrations":"failed","ended_sessions":"ok","hasher":"ok"}`,
			`The check \"migrations\" failed`},
		{"a copy is not finished", nil, store.Identity{Copying: "x"},
			`{"store":"failed","migrations":"ok","ended_sessions":"ok","hasher":"ok"}`,
			"a copy into the database is not finished"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &countingStore{hold: make(chan struct{}), is: test.is}
			close(c.hold)
			if test.err != nil {
				c.err.Store(&test.err)
			}
			f := onSQLite(t, func(cfg *Config) {
				c.Store = cfg.Store
				cfg.Store = c
			})
			var a answer
			f.eventually("the checks fail as they should", func() bool {
				a = f.call("GET", "/readyz", "")
				return strings.Contains(a.body, test.checks) // at first no ends may be known
			})
			f.want(a, 503, "store_unavailable")
			if !strings.Contains(a.body, test.says) || strings.Contains(a.body, "vault") {
				t.Errorf("answered %s", a.body)
			}
		})
	}
}

// The checks go on if the client that caused them hangs up: others wait for them.
func TestWhoAskedFirstMayHangUp(t *testing.T) {
	c := &countingStore{hold: make(chan struct{})}
	f := onSQLite(t, func(cfg *Config) {
		c.Store = cfg.Store
		cfg.Store = c
	})
	ctx, hangUp := context.WithCancel(t.Context())
	left := make(chan error)
	start := time.Now()
	go func() {
		_, err := f.server.readyz(ctx, nothing{})
		left <- err
	}()
	f.eventually("the checks are made", func() bool { return c.asked.Load() > 0 })
	answered := make(chan error)
	go func() {
		_, err := f.server.readyz(t.Context(), nothing{})
		answered <- err
	}()
	hangUp()
	close(c.hold)
	authtest.Must(t, <-answered)
	<-left
	if n, most := c.asked.Load(), 1+int64(time.Since(start)/readyFor); n > most {
		t.Errorf("it was checked %d times", n)
	}
}
