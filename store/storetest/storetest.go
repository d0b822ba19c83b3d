// Package storetest is the contract of package store as a suite of tests: an engine is finished when it
// passes, and not before. Every check starts on a database of its own and says in its name what it holds
// the engine to.
package storetest

import (
	"context"
	"errors"
	"fmt"
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
		{"selections", selectionChecks()},
		{"histories", historyChecks()},
		{"idempotency", idempotencyChecks()},
		{"imports", importChecks()},
		{"copies", copyChecks()},
		{"users", userChecks()},
		{"user imports", userImportChecks()},
		{"sessions", sessionChecks()},
		{"attempts", attemptChecks()},
		{"mails", mailChecks()},
		{"addresses", addressChecks()},
		{"audit", auditChecks()},
		{"engine", engineChecks()},
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
	st := f.reopen(t)
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return st
}

// reopen is another, but whoever asks closes it.
func (f *fixture) reopen(t *testing.T) store.Store {
	t.Helper()
	st, err := f.engine.Open(t.Context(), f.url, f.clock.now)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return st
}

// now is the instant that the store should give to what it writes.
func (f *fixture) now() time.Time { return store.Instant(f.clock.now()) }

// cliente keeps a record that has only a name and an email.
func (f *fixture) cliente(t *testing.T, name, email string) store.Cliente {
	t.Helper()
	c, err := f.CreateCliente(t.Context(), 0, store.Cliente{Name: name, Email: email})
	if err != nil {
		t.Fatalf("create cliente %q: %v", name, err)
	}
	return c
}

// user keeps an enabled account without an email.
func (f *fixture) user(t *testing.T, name string, role store.Role) store.User {
	t.Helper()
	u, err := f.CreateUser(t.Context(), store.User{Name: name, Role: role, PasswordHash: "hash of " + name})
	if err != nil {
		t.Fatalf("create user %q: %v", name, err)
	}
	return u
}

// session keeps a login of the user.
func (f *fixture) session(t *testing.T, id string, u store.User) store.Session {
	t.Helper()
	n := f.newSession(id, u)
	if _, err := f.CreateSession(t.Context(), n, u.Generation); err != nil {
		t.Fatalf("create session %q: %v", id, err)
	}
	return n
}

// newSession is a login of the user that no store has kept yet.
func (f *fixture) newSession(id string, u store.User) store.Session {
	now := f.now()
	return store.Session{
		ID:         id,
		UserID:     u.ID,
		RotatedAt:  now,
		CreatedAt:  now,
		LastUsedAt: now,
		ExpiresAt:  now.Add(30 * time.Minute),
		TokenExp:   now.Add(5 * time.Minute),
		IP:         "192.0.2.1",
		UserAgent:  "storetest",
	}
}

// wantErr reports an error that is not the one that was promised.
func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("got the error %v, want %v", got, want)
	}
}

// wantConflict reports an error that is not a conflict on the field.
func wantConflict(t *testing.T, got error, field string) {
	t.Helper()
	var conflict *store.ConflictError
	if !errors.As(got, &conflict) || conflict.Field != field {
		t.Errorf("got the error %v, want a conflict on %q", got, field)
	}
}

// wantSame reports a difference between two values, and says of which thing.
func wantSame[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, clip(got), clip(want))
	}
}

// clip keeps the longest texts from filling the screen.
func clip(v any) string {
	s := fmt.Sprintf("%+v", v)
	if len(s) > 600 {
		return fmt.Sprintf("%.600s… (%d bytes)", s, len(s))
	}
	return s
}

// atOnce starts the functions at the same moment, as near as that goes, and waits for them. No more
// than crowd of them run at once: what they ask for has its turn one by one, and on a slow machine
// the last of many would have waited longer than a call may take.
func atOnce(fs ...func()) {
	const crowd = 12
	start, places := make(chan struct{}), make(chan struct{}, crowd)
	var running sync.WaitGroup
	for _, f := range fs {
		running.Go(func() {
			<-start
			places <- struct{}{}
			defer func() { <-places }()
			f()
		})
	}
	close(start)
	running.Wait()
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
