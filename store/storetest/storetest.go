// Package storetest is the contract of package store as a suite of tests: an engine is finished
// when it passes. Every check starts on a database of its own, and its name is the promise that it
// checks.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"clientes/store"
)

// Engine is what the suite needs of an engine.
type Engine struct {
	// Empty returns the URL of a new database that nobody migrated. It lasts until t ends.
	Empty func(t *testing.T) string

	// Migrated returns the URL of a new database as Migrate leaves it. It lasts until t ends. It
	// may be a copy of one that was migrated before, if that is quicker.
	Migrated func(t *testing.T) string

	// Migrate, Schema and Open are the functions of the engine's package. Open may be called
	// many times with the same URL.
	Migrate func(ctx context.Context, url string) error
	Schema  func(ctx context.Context, url string) (store.Schema, error)
	Open    func(ctx context.Context, url string, now func() time.Time) (store.Store, error)

	// MigrateReporting is the function of the engine's package.
	MigrateReporting func(ctx context.Context, url string,
		report func(store.MigrationProgress)) error

	// Execute runs statements in one transaction, as another program would.
	Execute func(ctx context.Context, url, statements string) error

	// Breaking is what a breaking migration with the number 999 begins with.
	Breaking string
}

// Run checks an engine against the contract.
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

// check is one promise and the test of it.
type check struct {
	name string
	run  func(t *testing.T, f *fixture)
}

func contract() []group {
	return []group{
		{"clientes", clienteChecks()},
		{"selections", selectionChecks()},
		{"histories", historyChecks()},
		{"erasures", erasureChecks()},
		{"feeds", feedChecks()},
		{"writes together", writesTogetherChecks()},
		{"idempotency", idempotencyChecks()},
		{"imports", importChecks()},
		{"copies", copyChecks()},
		{"restoring", restoringChecks()},
		{"users", userChecks()},
		{"user imports", userImportChecks()},
		{"sessions", sessionChecks()},
		{"keys", keyChecks()},
		{"buckets", bucketChecks()},
		{"mails", mailChecks()},
		{"logins", loginChecks()},
		{"networks", networkChecks()},
		{"audit", auditChecks()},
		{"reads together", readsTogetherChecks()},
		{"engine", engineChecks()},
		{"stats", statsChecks()},
		{"schema", schemaChecks()},
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

// reopen is another, but the caller closes the store.
func (f *fixture) reopen(t *testing.T) store.Store {
	t.Helper()
	st, err := f.engine.Open(t.Context(), f.url, f.clock.now)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return st
}

// now returns the instant that the store should write.
func (f *fixture) now() time.Time { return store.Instant(f.clock.now()) }

// cliente creates a record that has only a name and an email.
func (f *fixture) cliente(t *testing.T, name, email string) store.Cliente {
	t.Helper()
	c, err := f.CreateCliente(t.Context(), 0, store.Cliente{Name: name, Email: email})
	if err != nil {
		t.Fatalf("create cliente %q: %v", name, err)
	}
	return c
}

// everyText is a record whose texts all differ.
func everyText() store.Cliente {
	var c store.Cliente
	for _, text := range c.Texts() {
		*text.Value = "Ána's " + text.Name
	}
	return c
}

// withTexts is a record that has s in every text but the email.
func withTexts(s string) store.Cliente {
	var c store.Cliente
	for _, text := range c.Texts() {
		if text.Name != "email" {
			*text.Value = s
		}
	}
	return c
}

// longest is a record whose texts are as long as they may be.
func longest() store.Cliente {
	var c store.Cliente
	for _, text := range c.Texts() {
		*text.Value = strings.Repeat("\U0001F600", text.Max) // four bytes each
	}
	const domain = "@example.com"
	c.Email = strings.Repeat("a", store.MaxEmail-len(domain)) + domain
	return c
}

// drop deletes a record.
func (f *fixture) drop(t *testing.T, id int64) {
	t.Helper()
	err := f.DeleteCliente(t.Context(), 0, id, func(store.Cliente) error { return nil })
	if err != nil {
		t.Fatalf("delete cliente %d: %v", id, err)
	}
}

// user creates an enabled account without an email.
func (f *fixture) user(t *testing.T, name string, role store.Role) store.User {
	t.Helper()
	u, err := f.CreateUser(t.Context(),
		store.User{Name: name, Role: role, PasswordHash: "hash of " + name})
	if err != nil {
		t.Fatalf("create user %q: %v", name, err)
	}
	return u
}

// session creates a session of the user.
func (f *fixture) session(t *testing.T, id string, u store.User) store.Session {
	t.Helper()
	n := f.newSession(id, u)
	if _, err := openSession(t.Context(), f, n, u.Generation); err != nil {
		t.Fatalf("create session %q: %v", id, err)
	}
	return n
}

// newSession returns a session of the user that no store has kept yet.
func (f *fixture) newSession(id string, u store.User) store.Session {
	now := f.now()
	return store.Session{
		ID:         id,
		UserID:     u.ID,
		RotatedAt:  now,
		CreatedAt:  now,
		LastUsedAt: now,
		AMR:        "pwd",
		Remembered: true,
		ExpiresAt:  now.Add(30 * time.Minute),
		TokenExp:   now.Add(5 * time.Minute),
		IP:         "192.0.2.1",
		UserAgent:  "storetest",
	}
}

// wantErr reports an error other than the expected one.
func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("got the error %v, want %v", got, want)
	}
}

// wantConflict reports an error other than a conflict on the field.
func wantConflict(t *testing.T, got error, field string) {
	t.Helper()
	var conflict *store.ConflictError
	if !errors.As(got, &conflict) || conflict.Field != field {
		t.Errorf("got the error %v, want a conflict on %q", got, field)
	}
}

// wantSame reports a difference between two values.
func wantSame[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, clip(got), clip(want))
	}
}

// clip shortens texts that would fill the screen.
func clip(v any) string {
	s := fmt.Sprintf("%+v", v)
	if len(s) > 600 {
		return fmt.Sprintf("%.600s… (%d bytes)", s, len(s))
	}
	return s
}

// atOnce starts the functions as nearly at the same moment as it can, and waits for them.
//
// No more than crowd of them run at once. They may all wait for one lock, and on a slow machine the
// last of many would wait longer than a call may take.
func atOnce(fs ...func()) {
	const crowd = 12
	start, slots := make(chan struct{}), make(chan struct{}, crowd)
	var running sync.WaitGroup
	for _, f := range fs {
		running.Go(func() {
			<-start
			slots <- struct{}{}
			defer func() { <-slots }()
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

// newClock starts in another zone and between two milliseconds, so that an engine fails if it keeps
// either.
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
