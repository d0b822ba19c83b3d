// Package storetest is the contract of package store as a suite of tests: an engine is finished when it
// passes, and not before. Every check starts on a database of its own and says in its name what it holds
// the engine to.
package storetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"clientes/store"
)

// Engine is what the suite must be able to do with an engine.
type Engine struct {
	// Empty gives the URL of a new database that nobody migrated, which lives until t ends.
	Empty func(t *testing.T) string

	// Migrated gives the URL of a new database as Migrate leaves it, which lives until t ends. It may be a
	// copy of one that was migrated before, where that is quicker.
	Migrated func(t *testing.T) string

	// Migrate, Migrations and Open are the functions of the engine's package. Open may be called many
	// times with the same URL.
	Migrate    func(ctx context.Context, url string) error
	Migrations func(ctx context.Context, url string) ([]store.Migration, error)
	Open       func(ctx context.Context, url string, now func() time.Time) (store.Store, error)
}

// Run holds an engine to the contract.
func Run(t *testing.T, e Engine) {
	for _, g := range contract() {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range g.checks {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(t, newFixture(t, e))
				})
			}
		})
	}
}

// group is the checks of one file.
type group struct {
	name   string
	checks []check
}

// check is one promise, in a sentence, and what it takes to see it kept.
type check struct {
	name string
	run  func(t *testing.T, f *fixture)
}

func contract() []group {
	return []group{
		{"clientes", clienteChecks()},
	}
}

// fixture is a store on an empty, migrated database, with what a check needs around it.
type fixture struct {
	store.Store
	engine Engine
	url    string
	clock  *clock
}

func newFixture(t *testing.T, e Engine) *fixture {
	f := &fixture{engine: e, url: e.Migrated(t), clock: newClock()}
	f.Store = f.another(t)
	return f
}

// another opens one more store on the same database, as another process would.
func (f *fixture) another(t *testing.T) store.Store {
	t.Helper()
	st, err := f.engine.Open(t.Context(), f.url, f.clock.now)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return st
}

// clock is a time that moves only when a check moves it.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

// newClock starts in another zone and between two milliseconds, so that an engine which keeps either as it
// came is found out.
func newClock() *clock {
	zone := time.FixedZone("", -3*60*60)
	return &clock{t: time.Date(2026, 11, 22, 18, 0, 0, 123_456_789, zone)}
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}
