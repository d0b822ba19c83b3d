package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"clientes/store"
)

func sessionChecks() []check {
	return []check{
		{"a session comes back as it was kept", sessionIsKept},
		{"an unknown session is ErrNotFound", sessionUnknown},
		{"a session's id is never taken over by another", sessionIDTaken},
		{"a session of an absent, disabled or changed user is ErrUserChanged", sessionUserChanged},
		{"the end of a session is kept, and the first one stays", sessionEnd},
		{"of many who end a session at once all see the same end", sessionEndRace},
		{"the feed gives every end whose tokens may live, and nothing that lives", feedGivesEnds},
		{"the feed leaves out what no token can name any more", feedAlive},
		{"the feed goes on from a mark, for ends by another store too", feedFromMark},
		{"the feed misses no end beside many enders", feedBusy},
		{"no session survives a login that races the end of all sessions", loginRace},
	}
}

func sessionIsKept(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	zone := time.FixedZone("", 5*60*60+30*60)
	at := func(minutes int) time.Time {
		return time.Date(2026, 2, 28, 23, minutes, 59, 999_999_999, zone)
	}
	for what, s := range texts() {
		in := store.Session{
			ID:         "session " + what,
			UserID:     ana.ID,
			Counter:    3,
			Parent:     1 << 40,
			RotatedAt:  at(1),
			CreatedAt:  at(2),
			LastUsedAt: at(3),
			ExpiresAt:  at(4),
			TokenExp:   at(5),
			IP:         "2001:db8::1",
			UserAgent:  s,
		}
		if err := f.CreateSession(t.Context(), in, ana.Generation); err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		want := in
		for _, p := range []*time.Time{&want.RotatedAt, &want.CreatedAt, &want.LastUsedAt, &want.ExpiresAt, &want.TokenExp} {
			*p = store.Instant(*p)
		}
		got, err := f.Session(t.Context(), in.ID)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		wantSame(t, what, got, want)
	}
}

func sessionUnknown(t *testing.T, f *fixture) {
	f.session(t, "known", f.user(t, "ana", store.Viewer))
	for _, id := range []string{"", "unknown", "Known", "known ", "%", "' OR '1'='1"} {
		_, err := f.Session(t.Context(), id)
		wantErr(t, err, store.ErrNotFound)
		_, err = f.EndSession(t.Context(), id)
		wantErr(t, err, store.ErrNotFound)
	}
	wantLives(t, f, "known")
}

func sessionIDTaken(t *testing.T, f *fixture) {
	ana, bia := f.user(t, "ana", store.Viewer), f.user(t, "bia", store.Viewer)
	first := f.session(t, "s", ana)
	err := f.CreateSession(t.Context(), f.newSession("s", bia), bia.Generation)
	if err == nil || errors.Is(err, store.ErrUserChanged) {
		t.Errorf("got %v", err)
	}
	if got, err := f.Session(t.Context(), "s"); err != nil || got != first {
		t.Errorf("the first is now %+v, %v", got, err)
	}
}

func sessionUserChanged(t *testing.T, f *fixture) {
	refused := func(what string, u store.User, generation int64) {
		t.Helper()
		err := f.CreateSession(t.Context(), f.newSession(what, u), generation)
		if !errors.Is(err, store.ErrUserChanged) {
			t.Errorf("%s: got %v", what, err)
		}
		_, err = f.Session(t.Context(), what)
		wantErr(t, err, store.ErrNotFound)
	}
	ana := f.user(t, "ana", store.Viewer)
	refused("unknown user", store.User{ID: ana.ID + 1}, ana.Generation)
	refused("lower generation", ana, ana.Generation-1)
	refused("higher generation", ana, ana.Generation+1)

	changed, err := f.UpdateUser(t.Context(), ana.ID, func(u store.User) (store.User, error) {
		u.PasswordHash = "new"
		return u, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	refused("old generation", ana, ana.Generation)
	f.session(t, "new generation", changed)

	disabled, err := f.UpdateUser(t.Context(), ana.ID, func(u store.User) (store.User, error) {
		u.Disabled = true
		return u, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	refused("disabled", disabled, disabled.Generation)
	enabled, err := f.UpdateUser(t.Context(), ana.ID, func(u store.User) (store.User, error) {
		u.Disabled = false
		return u, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f.session(t, "enabled again", enabled)

	if err := f.DeleteUser(t.Context(), ana.ID); err != nil {
		t.Fatal(err)
	}
	refused("deleted", enabled, enabled.Generation)
}

func sessionEnd(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	want := f.session(t, "s", ana)
	f.session(t, "other", ana)
	f.clock.add(time.Minute)
	want.EndedAt = f.now()
	for range 2 {
		got, err := f.EndSession(t.Context(), "s")
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, "ended", got, want)
		got, err = f.Session(t.Context(), "s")
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, "read", got, want)
		f.clock.add(time.Minute)
	}
	wantLives(t, f, "other")
	if u, err := f.User(t.Context(), ana.ID); err != nil || u != ana {
		t.Errorf("the user is now %+v, %v", u, err)
	}
	f.session(t, "next", ana)

	// What ends all sessions ends those that live, not again those that have ended.
	_, err := f.UpdateUser(t.Context(), ana.ID, func(u store.User) (store.User, error) {
		u.PasswordHash = "new"
		return u, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantEnded(t, f, "s", want.EndedAt)
	wantEnded(t, f, "other", f.now())
	wantEnded(t, f, "next", f.now())
}

func sessionEndRace(t *testing.T, f *fixture) {
	stores := []store.Store{f, f.another(t)}
	ana := f.user(t, "ana", store.Viewer)
	for round := range 20 {
		id := strconv.Itoa(round)
		f.session(t, id, ana)
		ends := make([]store.Session, 8)
		var enders []func()
		for i := range ends {
			enders = append(enders, func() {
				f.clock.add(time.Millisecond)
				var err error
				if ends[i], err = stores[i%2].EndSession(t.Context(), id); err != nil {
					t.Error(err)
				}
			})
		}
		atOnce(enders...)
		for _, got := range ends {
			if got != ends[0] || got.EndedAt.IsZero() {
				t.Fatalf("round %d: one saw %+v, another %+v", round, got, ends[0])
			}
		}
	}
}

// follower asks the feed as a process does, and remembers what it heard of.
type follower struct {
	mark store.Mark
	seen map[string]time.Time
}

func (w *follower) ask(t *testing.T, st store.Store, alive time.Time) {
	t.Helper()
	ended, mark, err := st.EndedSessions(t.Context(), w.mark, alive)
	if err != nil {
		t.Fatal(err)
	}
	w.mark = mark
	if w.seen == nil {
		w.seen = make(map[string]time.Time)
	}
	for _, e := range ended {
		w.seen[e.ID] = e.TokenExp
	}
}

func (w *follower) want(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if _, ok := w.seen[id]; !ok {
			t.Errorf("the feed did not give the end of %q", id)
		}
	}
	if len(w.seen) > len(ids) {
		t.Errorf("the feed gave %v, not only %q", w.seen, ids)
	}
}

func feedGivesEnds(t *testing.T, f *fixture) {
	alive := f.now()
	new(follower).ask(t, f, alive) // an empty store has an empty feed

	ana, bia, caio := f.user(t, "ana", store.Viewer), f.user(t, "bia", store.Viewer), f.user(t, "caio", store.Viewer)
	for i, u := range []store.User{ana, ana, bia, bia, caio} {
		f.session(t, u.Name+strconv.Itoa(i), u)
	}
	var nothing follower
	nothing.ask(t, f, alive)
	nothing.want(t)

	if _, err := f.EndSession(t.Context(), "ana0"); err != nil {
		t.Fatal(err)
	}
	_, err := f.UpdateUser(t.Context(), bia.ID, func(u store.User) (store.User, error) {
		u.Disabled = true
		return u, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.DeleteUser(t.Context(), caio.ID); err != nil {
		t.Fatal(err)
	}
	var zero follower
	zero.ask(t, f, alive)
	zero.want(t, "ana0", "bia2", "bia3", "caio4")
	if exp := zero.seen["ana0"]; exp != f.now().Add(5*time.Minute) {
		t.Errorf("the feed says that the tokens live until %v", exp)
	}
	nothing.ask(t, f, alive)
	nothing.want(t, "ana0", "bia2", "bia3", "caio4")

	// What ended is there for a process that starts later, and to one that reads through another store.
	var later follower
	later.ask(t, f.another(t), alive)
	later.want(t, "ana0", "bia2", "bia3", "caio4")
}

func feedAlive(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	alive := f.now()
	for id, exp := range map[string]time.Time{
		"before": alive.Add(-time.Millisecond),
		"at":     alive,
		"after":  alive.Add(time.Millisecond),
		"long":   alive.Add(time.Hour),
	} {
		n := f.newSession(id, ana)
		n.TokenExp = exp
		if err := f.CreateSession(t.Context(), n, ana.Generation); err != nil {
			t.Fatal(err)
		}
		if _, err := f.EndSession(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	var w follower
	w.ask(t, f, alive)
	w.want(t, "after", "long")
	w = follower{}
	w.ask(t, f, alive.Add(time.Hour))
	w.want(t)
}

func feedFromMark(t *testing.T, f *fixture) {
	other := f.another(t)
	ana := f.user(t, "ana", store.Viewer)
	alive := f.now()
	var w follower
	var ids []string
	for i := range 10 {
		id := strconv.Itoa(i)
		ids = append(ids, id)
		f.session(t, id, ana)
		st := []store.Store{f, other}[i%2]
		if _, err := st.EndSession(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			w.ask(t, f, alive)
			w.want(t, ids...)
		}
	}
	w.ask(t, f, alive)
	w.want(t, ids...)
}

func feedBusy(t *testing.T, f *fixture) {
	const enders, each = 8, 25
	stores := []store.Store{f, f.another(t)}
	alive := f.now()
	var all []string
	users := make([]store.User, enders)
	for e := range enders {
		users[e] = f.user(t, "user"+strconv.Itoa(e), store.Viewer)
		for i := range each {
			id := fmt.Sprintf("%d/%d", e, i)
			f.session(t, id, users[e])
			all = append(all, id)
		}
	}
	var ending sync.WaitGroup
	for e := range enders {
		ending.Go(func() {
			for i := range each - 5 {
				if _, err := stores[e%2].EndSession(t.Context(), fmt.Sprintf("%d/%d", e, i)); err != nil {
					t.Error(err)
				}
			}
			// The last five go together.
			if err := stores[e%2].DeleteUser(t.Context(), users[e].ID); err != nil {
				t.Error(err)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		ending.Wait()
		close(done)
	}()
	followers := make([]follower, 2)
	for busy := true; busy; {
		select {
		case <-done:
			busy = false // one round more, in which everything is committed
		default:
		}
		for i := range followers {
			followers[i].ask(t, stores[i], alive)
		}
	}
	for i := range followers {
		followers[i].want(t, all...)
	}
}

func loginRace(t *testing.T, f *fixture) {
	stores := []store.Store{f, f.another(t)}
	ends := map[string]func(st store.Store, u store.User) error{
		"delete": func(st store.Store, u store.User) error { return st.DeleteUser(t.Context(), u.ID) },
	}
	for what, change := range map[string]func(*store.User){
		"disable":  func(u *store.User) { u.Disabled = true },
		"password": func(u *store.User) { u.PasswordHash = "new" },
		"role":     func(u *store.User) { u.Role = store.Editor },
	} {
		ends[what] = func(st store.Store, u store.User) error {
			_, err := st.UpdateUser(t.Context(), u.ID, func(u store.User) (store.User, error) {
				change(&u)
				return u, nil
			})
			return err
		}
	}
	var before, refused int
	for what, end := range ends {
		for round := range 30 {
			u := f.user(t, fmt.Sprintf("%s%d", what, round), store.Viewer)
			const logins = 3
			errs := make([]error, logins)
			ids := make([]string, logins)
			racers := []func(){func() {
				if err := end(stores[round%2], u); err != nil {
					t.Error(err)
				}
			}}
			for i := range logins {
				ids[i] = fmt.Sprintf("%s/%d/%d", what, round, i)
				racers = append(racers, func() {
					errs[i] = stores[i%2].CreateSession(t.Context(), f.newSession(ids[i], u), u.Generation)
				})
			}
			atOnce(racers...)
			for i, err := range errs {
				n, readErr := f.Session(t.Context(), ids[i])
				switch {
				case err == nil && readErr == nil && !n.EndedAt.IsZero():
					before++
				case errors.Is(err, store.ErrUserChanged) && errors.Is(readErr, store.ErrNotFound):
					refused++
				default:
					t.Fatalf("%s, round %d: the login got %v and left %+v, %v", what, round, err, n, readErr)
				}
			}
		}
	}
	t.Logf("%d logins came before the end and %d after it", before, refused)
}
