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

func engineChecks() []check {
	return []check{
		{"a migrated store is ready", ready},
		{"users and clientes are counted up to a limit", sizes},
		{"a database without migrations is ErrSchema until it is migrated", schemaMissing},
		{"migrations are listed as missing before and as applied after", migrationsListed},
		{"migrating again changes nothing", migrateAgain},
		{"many may migrate an empty database at once", migrateAtOnce},
		{"the schema is read at one moment while another process migrates", schemaMeanwhile},
		{"what one store writes another on the same database reads", openTwice},
		{"what was written is there after a restart", restart},
		{"close waits for the calls under way", closeWaits},
		{"a context that has ended is the error of every method, and nothing is written",
			contextEnded},
		{"a call that waits for another's update ends with its context", contextEndsWaiting},
		{"reading goes on beside an update and does not see it early", readBesideChange},
		{"writes that fail beside others take nothing of theirs along", failuresApart},
	}
}

func ready(t *testing.T, f *fixture) {
	for range 3 {
		if err := f.Ready(t.Context()); err != nil {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantErr(t, f.Ready(ctx), context.Canceled)
}

func sizes(t *testing.T, f *fixture) {
	want := func(limit, users, clientes int64) {
		t.Helper()
		n, err := f.Sizes(t.Context(), limit)
		if err != nil || n != (store.Sizes{Users: users, Clientes: clientes}) {
			t.Errorf("up to %d: %+v, %v", limit, n, err)
		}
	}
	want(10, 0, 0)
	f.user(t, "ana", store.Viewer)
	for _, name := range []string{"a", "b", "c"} {
		f.cliente(t, name, "")
	}
	want(10, 1, 3)
	want(3, 1, 3)
	want(2, 1, 2)
}

// openError opens the database and returns the error of Open or Ready. An engine may notice a fault
// at either step.
func openError(t *testing.T, f *fixture, url string) error {
	t.Helper()
	st, err := f.engine.Open(t.Context(), url, f.clock.now)
	if err != nil {
		return err
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	return st.Ready(t.Context())
}

func schemaMissing(t *testing.T, f *fixture) {
	url := f.engine.Empty(t)
	wantErr(t, openError(t, f, url), store.ErrSchema)
	if err := f.engine.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	if err := openError(t, f, url); err != nil {
		t.Error(err)
	}
}

func migrationsListed(t *testing.T, f *fixture) {
	list := func(url string, applied bool) []store.Migration {
		t.Helper()
		schema, err := f.engine.Schema(t.Context(), url)
		got := schema.Migrations
		if err != nil || len(got) == 0 {
			t.Fatalf("got %+v, %v", got, err)
		}
		for i, m := range got {
			number := fmt.Sprintf("%05d_", i+1)
			if m.Version != int64(i+1) || !strings.HasPrefix(m.Name, number) ||
				m.Applied != applied || m.At.IsZero() == applied {
				t.Errorf("got %+v, want %s, applied: %t", m, number, applied)
			}
			if m.At.Location() != time.UTC {
				t.Errorf("%v is not UTC", m.At)
			}
		}
		return got
	}
	url := f.engine.Empty(t)
	list(url, false)
	list(url, false) // reading the list changes nothing
	wantErr(t, openError(t, f, url), store.ErrSchema)

	before := time.Now().Add(-2 * time.Second) // an engine may cut to the second
	if err := f.engine.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	for _, m := range list(url, true) {
		if m.At.Before(before) || m.At.After(time.Now().Add(time.Second)) {
			t.Errorf("%s was applied at %v", m.Name, m.At)
		}
	}
	list(f.url, true)
}

func migrateAgain(t *testing.T, f *fixture) {
	ana := f.cliente(t, "Ana", "")
	before, err := f.engine.Schema(t.Context(), f.url)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // with a store open beside it, as the command line does beside the server
		if err := f.engine.Migrate(t.Context(), f.url); err != nil {
			t.Fatal(err)
		}
	}
	after, err := f.engine.Schema(t.Context(), f.url)
	if err != nil || fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("from\n%v to\n%v, %v", before, after, err)
	}
	if got, err := f.Cliente(t.Context(), ana.ID); err != nil || got != ana {
		t.Errorf("got %+v, %v", got, err)
	}
}

func migrateAtOnce(t *testing.T, f *fixture) {
	for range 3 {
		url := f.engine.Empty(t)
		var starts []func()
		for range 8 {
			starts = append(starts, func() {
				if err := f.engine.Migrate(t.Context(), url); err != nil {
					t.Error(err)
				}
				if err := openError(t, f, url); err != nil {
					t.Error(err)
				}
			})
		}
		atOnce(starts...)
	}
}

func schemaMeanwhile(t *testing.T, f *fixture) {
	for range 5 {
		url := f.engine.Empty(t)
		migrated := make(chan struct{})
		atOnce(
			func() {
				defer close(migrated)
				if err := f.engine.Migrate(t.Context(), url); err != nil {
					t.Error(err)
				}
			},
			func() {
				for {
					if _, err := f.engine.Schema(t.Context(), url); err != nil {
						t.Error(err)
					}
					select {
					case <-migrated:
						return
					default:
					}
				}
			})
	}
}

func openTwice(t *testing.T, f *fixture) {
	other := f.another(t)
	ana := f.cliente(t, "Ana", "ana@example.com")
	if got, err := other.Cliente(t.Context(), ana.ID); err != nil || got != ana {
		t.Fatalf("got %+v, %v", got, err)
	}
	changed, err := other.UpdateCliente(t.Context(), 0, ana.ID,
		func(c store.Cliente) (store.Cliente, error) {
			c.Notes = "by the other"
			return c, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.Cliente(t.Context(), ana.ID); err != nil || got != changed {
		t.Errorf("got %+v, %v", got, err)
	}
	third := f.reopen(t)
	if err := third.Close(); err != nil {
		t.Error(err)
	}
	if err := f.Ready(t.Context()); err != nil {
		t.Errorf("after another store was closed: %v", err)
	}
}

func restart(t *testing.T, f *fixture) {
	st := f.reopen(t)
	c, err := st.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana", Email: "ana@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	u, err := st.CreateUser(t.Context(),
		store.User{Name: "ana", Role: store.Admin, PasswordHash: "hash"})
	if err != nil {
		t.Fatal(err)
	}
	n := f.newSession("s", u)
	if _, err := openSession(t.Context(), st, n, u.Generation); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	st = f.another(t)
	if got, err := st.Cliente(t.Context(), c.ID); err != nil || got != c {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := st.User(t.Context(), u.ID); err != nil || got != u {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := st.Session(t.Context(), n.ID); err != nil || got != n {
		t.Errorf("got %+v, %v", got, err)
	}
}

func closeWaits(t *testing.T, f *fixture) {
	st := f.reopen(t)
	ana := f.cliente(t, "Ana", "")
	entered, leave := make(chan struct{}), make(chan struct{})
	var enter sync.Once
	var calls sync.WaitGroup
	calls.Go(func() {
		_, err := st.UpdateCliente(t.Context(), 0, ana.ID,
			func(c store.Cliente) (store.Cliente, error) {
				enter.Do(func() { close(entered) })
				<-leave
				c.Name = "kept"
				return c, nil
			})
		if err != nil {
			t.Errorf("the call that was under way: %v", err)
		}
	})
	<-entered
	closed := make(chan struct{})
	calls.Go(func() {
		defer close(closed)
		if err := st.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	select {
	case <-closed:
		t.Error("it closed while a call was under way")
	case <-time.After(50 * time.Millisecond): // longer would catch more that do not wait
	}
	close(leave)
	calls.Wait()
	if got, err := f.Cliente(t.Context(), ana.ID); err != nil || got.Name != "kept" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func contextEnded(t *testing.T, f *fixture) {
	ana := f.cliente(t, "Ana", "")
	f.user(t, "admin", store.Admin)
	viewer := f.user(t, "viewer", store.Viewer)
	session := f.session(t, "s", viewer)
	key := f.key(t, "a key", viewer)
	mail := f.claimed(t, viewer, store.Mail{Kind: store.MailReset})
	if _, err := seeNetwork(t.Context(), f, viewer, "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	if err := f.RecordEvents(t.Context(), store.Event{Kind: store.EventSignup}); err != nil {
		t.Fatal(err)
	}
	picture := func() string {
		t.Helper()
		clientes, err := f.Clientes(t.Context(), store.Selection{}, store.Position{}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		users, err := f.Users(t.Context(), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		n, err := f.Session(t.Context(), "s")
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Session(t.Context(), "new")
		return fmt.Sprint(clientes, users, n, err, f.buckets(t, "x"), f.mailsAndEvents(t))
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	withReason, cancelFor := context.WithCancelCause(t.Context())
	cancelFor(errors.New("a reason"))

	before := picture()
	for name, call := range Calls(t, f, Subjects{ana, viewer, session, key, mail}) {
		// More calls than there are connections: if one call keeps its connection, a later one gets
		// none.
		for range 20 {
			err := call(cancelled)
			if !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s: got %v", name, err)
			}
		}
		if err := call(withReason); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", name, err)
		}
		err := call(late)
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if after := picture(); after != before {
		t.Errorf("from\n%s\nto\n%s", before, after)
	}
}

// holdCliente runs an update of a record that does not return until release is called.
func holdCliente(t *testing.T, f *fixture, id int64) (release func()) {
	t.Helper()
	entered, leave, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var enter, left sync.Once
	go func() {
		defer close(done)
		_, err := f.UpdateCliente(t.Context(), 0, id, func(c store.Cliente) (store.Cliente, error) {
			enter.Do(func() { close(entered) })
			<-leave
			c.Name = "changed"
			return c, nil
		})
		if err != nil {
			t.Errorf("the slow update: %v", err)
		}
	}()
	<-entered
	release = func() {
		left.Do(func() { close(leave) })
		<-done
	}
	t.Cleanup(release)
	return release
}

func contextEndsWaiting(t *testing.T, f *fixture) {
	other := f.another(t)
	ana := f.cliente(t, "Ana", "")
	release := holdCliente(t, f, ana.ID)
	for _, st := range []store.Store{f, other} {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Millisecond,
			errors.New("a reason"))
		_, err := st.UpdateCliente(ctx, 0, ana.ID, func(c store.Cliente) (store.Cliente, error) {
			c.Notes = "by the one who gave up"
			return c, nil
		})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	}
	release()
	got, err := f.Cliente(t.Context(), ana.ID)
	if err != nil || got.Name != "changed" || got.Notes != "" {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, st := range []store.Store{f, other} { // both still work
		if _, err := st.CreateCliente(t.Context(), 0, store.Cliente{Name: "Bia"}); err != nil {
			t.Error(err)
		}
	}
}

func readBesideChange(t *testing.T, f *fixture) {
	ana, bia := f.cliente(t, "Ana", ""), f.cliente(t, "Bia", "")
	release := holdCliente(t, f, ana.ID)
	for _, st := range []store.Store{f, f.another(t)} {
		if got, err := st.Cliente(t.Context(), ana.ID); err != nil || got != ana {
			t.Errorf("got %+v, %v", got, err)
		}
		page, err := st.Clientes(t.Context(), store.Selection{}, store.Position{}, 10)
		if err != nil || len(page) != 2 || page[0] != ana || page[1] != bia {
			t.Errorf("got %+v, %v", page, err)
		}
	}
	if err := f.Ready(t.Context()); err != nil {
		t.Errorf("while its own update is under way: %v", err)
	}
	release()
	if got, err := f.Cliente(t.Context(), ana.ID); err != nil || got.Name != "changed" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// failuresApart mixes writes that succeed, that are refused for every possible reason, that panic
// and that give up, again and again. An engine may put those of one moment into one transaction.
func failuresApart(t *testing.T, f *fixture) {
	const workers, rounds = 12, 20
	taken := f.cliente(t, "taken", "taken@example.com")
	refusal := errors.New("refused")
	ctx := t.Context()
	gone, cancel := context.WithCancel(ctx)
	cancel()

	kept := make([][]store.Cliente, workers)
	var work []func()
	for w := range workers {
		work = append(work, func() {
			for i := range rounds {
				c, err := f.CreateCliente(ctx, 0, store.Cliente{Name: fmt.Sprintf("%d/%d", w, i)})
				if err != nil {
					t.Error(err)
					return
				}
				kept[w] = append(kept[w], c)
				spoil := func(c store.Cliente) store.Cliente {
					c.Notes = strings.Repeat("spoilt ", 1000)
					return c
				}
				switch (w + i) % 6 {
				case 0:
					_, err = f.CreateCliente(ctx, 0, spoil(store.Cliente{Email: taken.Email}))
					wantConflict(t, err, "email")
				case 1:
					_, err = f.UpdateCliente(ctx, 0, c.ID,
						func(c store.Cliente) (store.Cliente, error) {
							c.Email = taken.Email
							return spoil(c), nil
						})
					wantConflict(t, err, "email")
				case 2:
					_, err = f.UpdateCliente(ctx, 0, c.ID,
						func(c store.Cliente) (store.Cliente, error) {
							return spoil(c), refusal
						})
					wantErr(t, err, refusal)
				case 3:
					func() {
						defer func() {
							if recover() == nil {
								t.Error("the panic did not come through")
							}
						}()
						f.DeleteCliente(ctx, 0, c.ID, func(store.Cliente) error { panic("boom") })
					}()
				case 4:
					_, err = f.CreateCliente(gone, 0, spoil(c))
					wantErr(t, err, context.Canceled)
				case 5:
					_, err = f.CreateUser(ctx, store.User{Name: "x", Role: "emperor"})
					if err == nil {
						t.Error("a role that does not exist was kept")
					}
				}
			}
		})
	}
	atOnce(work...)
	want := map[store.Cliente]bool{taken: true}
	for _, cs := range kept {
		for _, c := range cs {
			want[c] = true
		}
	}
	page, err := f.Clientes(ctx, store.Selection{}, store.Position{}, 1000)
	if err != nil || len(page) != len(want) {
		t.Errorf("%d clientes are there, %v; %d were answered", len(page), err, len(want))
	}
	for _, c := range page {
		if !want[c] {
			t.Errorf("no caller created %s", clip(c))
		}
	}
}
