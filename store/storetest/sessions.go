package storetest

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
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
		{"nobody knows where a session was that ended some time ago", sessionForgotten},
		{"of many who end a session at once all see the same end", sessionEndRace},
		{"the feed has every end once, and nothing that lives", feedHasEnds},
		{"the feed has an end whatever its times are", feedWhateverTime},
		{"the feed begins where it is first asked", feedBegins},
		{"the feed goes on from a watermark, for ends by another store too", feedFromWatermark},
		{"the feed has an end that was written before a watermark and kept after it", feedHeldOpen},
		{"the feed misses no end beside many enders", feedBusy},
		{"whoever asks for sessions learns which live, have ended and are unknown", feedAsked},
		{"a watermark that the database has not reached is ErrUnavailable", feedAhead},
		{"the sessions of a user that live come most recently used first", sessionsOfUser},
		{"of more sessions than a user may have those least recently used end", sessionLimit},
		{"a session is updated as its function says, and its end is for good", sessionUpdate},
		{"an update of a session returns its user of that moment", sessionUpdateUser},
		{"of many updates of a session none is lost", sessionUpdateRace},
		{"all sessions of a user end in one step", sessionsEndTogether},
		{"sessions are removed when nothing can need them", sessionsRemoved},
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
			AMR:        s,
			Remembered: len(s)%2 == 0,
		}
		if _, err := openSession(t.Context(), f, in, ana.Generation); err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		want := in
		for _, p := range []*time.Time{&want.RotatedAt, &want.CreatedAt, &want.LastUsedAt,
			&want.ExpiresAt, &want.TokenExp} {
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
	_, err := openSession(t.Context(), f, f.newSession("s", bia), bia.Generation)
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
		_, err := openSession(t.Context(), f, f.newSession(what, u), generation)
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

	changed, _, err := f.UpdateUser(t.Context(), ana.ID, func(u store.User) (store.User, error) {
		u.PasswordHash = "new"
		return u, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	refused("old generation", ana, ana.Generation)
	f.session(t, "new generation", changed)

	disabled, _, err := f.UpdateUser(t.Context(), ana.ID, func(u store.User) (store.User, error) {
		u.Disabled = true
		return u, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	refused("disabled", disabled, disabled.Generation)
	enabled, _, err := f.UpdateUser(t.Context(), ana.ID, func(u store.User) (store.User, error) {
		u.Disabled = false
		return u, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f.session(t, "enabled again", enabled)

	if _, err := f.DeleteUser(t.Context(), ana.ID); err != nil {
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

	// Ending all sessions ends those that live, and not those that have ended again.
	_, _, err := f.UpdateUser(t.Context(), ana.ID, func(u store.User) (store.User, error) {
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

// follower reads the feed as a process does, and counts what it saw.
type follower struct {
	watermark store.Watermark
	seen      map[string]int
	tokenExp  map[string]time.Time
}

// follow returns a follower that begins now.
func follow(t *testing.T, st store.Store) *follower {
	t.Helper()
	w := &follower{seen: make(map[string]int), tokenExp: make(map[string]time.Time)}
	w.ask(t, st)
	w.want(t)
	return w
}

func (w *follower) ask(t *testing.T, st store.Store) {
	t.Helper()
	ends := sessionEnds(t, st, w.watermark)
	w.watermark = ends.Next
	for _, e := range ends.Since {
		w.seen[e.ID]++
		w.tokenExp[e.ID] = e.TokenExp
	}
}

// sessionEnds asks a store, whose answer must have another watermark.
func sessionEnds(t *testing.T, st store.Store, since store.Watermark, ids ...string) store.Ends {
	t.Helper()
	ends, err := st.SessionEnds(t.Context(), since, ids)
	if err != nil {
		t.Fatal(err)
	}
	if ends.Next == "" {
		t.Fatal("the answer has no watermark")
	}
	return ends
}

func (w *follower) want(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if w.seen[id] == 0 {
			t.Errorf("the feed lacks the end of %q", id)
		}
	}
	if len(w.seen) > len(ids) {
		t.Errorf("the feed has %v, not only %q", w.seen, ids)
	}
}

// wantOnce is want for what nobody ends while it is asked.
func (w *follower) wantOnce(t *testing.T, ids ...string) {
	t.Helper()
	w.want(t, ids...)
	for id, n := range w.seen {
		if n > 1 {
			t.Errorf("the feed has the end of %q %d times", id, n)
		}
	}
}

func feedHasEnds(t *testing.T, f *fixture) {
	w := follow(t, f) // an empty store has an empty feed
	ana := f.user(t, "ana", store.Viewer)
	bia := f.user(t, "bia", store.Viewer)
	caio := f.user(t, "caio", store.Viewer)
	for i, u := range []store.User{ana, ana, bia, bia, caio} {
		f.session(t, u.Name+strconv.Itoa(i), u)
	}
	w.ask(t, f)
	w.want(t)

	if _, err := f.EndSession(t.Context(), "ana0"); err != nil {
		t.Fatal(err)
	}
	_, _, err := f.UpdateUser(t.Context(), bia.ID, func(u store.User) (store.User, error) {
		u.Disabled = true
		return u, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.DeleteUser(t.Context(), caio.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := f.EndSession(t.Context(), "ana0"); err != nil { // it has ended before
		t.Fatal(err)
	}
	for range 3 {
		w.ask(t, f)
		w.wantOnce(t, "ana0", "bia2", "bia3", "caio4")
	}
	if exp := w.tokenExp["ana0"]; exp != f.now().Add(5*time.Minute) {
		t.Errorf("the feed says that the tokens live until %v", exp)
	}
}

func feedWhateverTime(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	w := follow(t, f)
	var ids []string
	for i, at := range []time.Duration{-1, 0, time.Hour, -time.Hour, 400 * 24 * time.Hour} {
		id := strconv.Itoa(i)
		ids = append(ids, id)
		n := f.newSession(id, ana)
		n.TokenExp = f.now().Add(at)
		if _, err := openSession(t.Context(), f, n, ana.Generation); err != nil {
			t.Fatal(err)
		}
		f.clock.add(-at) // and the clock that dates the end steps, too
		if _, err := f.EndSession(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		w.ask(t, f)
		w.wantOnce(t, ids...)
	}
}

func feedBegins(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	for _, id := range []string{"before", "after"} {
		f.session(t, id, ana)
	}
	if _, err := f.EndSession(t.Context(), "before"); err != nil {
		t.Fatal(err)
	}
	w := follow(t, f.another(t))
	if _, err := f.EndSession(t.Context(), "after"); err != nil {
		t.Fatal(err)
	}
	w.ask(t, f)
	w.wantOnce(t, "after")
}

func feedHeldOpen(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	f.session(t, "s", ana)
	other := f.another(t)
	early := follow(t, other)
	var late *follower
	_, _, err := f.UpdateSession(t.Context(), "s", func(n store.Session) (store.Session, error) {
		early.ask(t, other)
		early.want(t)
		late = follow(t, other)
		n.EndedAt = f.now()
		return n, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []*follower{early, late} {
		for range 2 {
			w.ask(t, other)
			w.wantOnce(t, "s")
		}
	}
}

func feedAsked(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	lives := f.session(t, "lives", ana)
	ended := f.session(t, "ended", ana)
	f.session(t, "nobody asks", ana)
	want := map[string]store.SessionState{
		"lives": {TokenExp: lives.TokenExp},
		"ended": {TokenExp: ended.TokenExp, Ended: true},
	}
	w := follow(t, f)
	if _, err := f.EndSession(t.Context(), "ended"); err != nil {
		t.Fatal(err)
	}
	for _, since := range []store.Watermark{"", w.watermark} {
		ids := []string{"ended", "lives", "unknown", "", "Lives", "lives"}
		ends := sessionEnds(t, f.another(t), since, ids...)
		if !maps.Equal(ends.Asked, want) {
			t.Errorf("since %q: got %v, want %v", since, ends.Asked, want)
		}
		ends = sessionEnds(t, f, since)
		if len(ends.Asked) != 0 {
			t.Errorf("since %q: got %v, asked for nothing", since, ends.Asked)
		}
	}
	// A row that was removed is as unknown as one that never was, and many may be asked about.
	f.clock.add(48 * time.Hour)
	if _, err := f.DeleteSessions(t.Context(), f.now(), 10); err != nil {
		t.Fatal(err)
	}
	ids := []string{"lives"}
	for i := range 2000 {
		ids = append(ids, strconv.Itoa(i))
	}
	f.session(t, "1999", ana)
	ends := sessionEnds(t, f, w.watermark, ids...)
	if _, ok := ends.Asked["1999"]; !ok || len(ends.Asked) != 1 {
		t.Errorf("got %v, want only the last one", ends.Asked)
	}
}

func feedAhead(t *testing.T, f *fixture) {
	old := sessionEnds(t, f, "").Next
	ahead := aheadOf(t, old)
	_, err := f.SessionEnds(t.Context(), ahead, nil)
	wantErr(t, err, store.ErrUnavailable)
	sessionEnds(t, f, old)
}

// aheadOf returns the watermark with every number in it higher.
func aheadOf(t *testing.T, w store.Watermark) store.Watermark {
	t.Helper()
	return store.Watermark(regexp.MustCompile(`\b\d+\b`).ReplaceAllStringFunc(string(w),
		func(number string) string {
			n, err := strconv.ParseInt(number, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return strconv.FormatInt(n+1<<20, 10)
		}))
}

func feedFromWatermark(t *testing.T, f *fixture) {
	other := f.another(t)
	ana := f.user(t, "ana", store.Viewer)
	w := follow(t, f)
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
			w.ask(t, f)
			w.wantOnce(t, ids...)
		}
	}
	w.ask(t, f)
	w.wantOnce(t, ids...)
}

func feedBusy(t *testing.T, f *fixture) {
	const enders, each = 8, 25
	stores := []store.Store{f, f.another(t)}
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
	followers := []*follower{follow(t, stores[0]), follow(t, stores[1])}
	var ending sync.WaitGroup
	for e := range enders {
		ending.Go(func() {
			for i := range each - 5 {
				_, err := stores[e%2].EndSession(t.Context(), fmt.Sprintf("%d/%d", e, i))
				if err != nil {
					t.Error(err)
				}
			}
			// The last five go together.
			if _, err := stores[e%2].DeleteUser(t.Context(), users[e].ID); err != nil {
				t.Error(err)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		ending.Wait()
		close(done)
	}()
	for busy := true; busy; {
		select {
		case <-done:
			busy = false // one more round, with everything committed
		default:
		}
		for i := range followers {
			followers[i].ask(t, stores[i])
		}
	}
	for i := range followers {
		followers[i].want(t, all...)
	}
}

func loginRace(t *testing.T, f *fixture) {
	stores := []store.Store{f, f.another(t)}
	ends := map[string]func(st store.Store, u store.User) error{
		"delete": func(st store.Store, u store.User) error {
			_, err := st.DeleteUser(t.Context(), u.ID)
			return err
		},
		"logout everywhere": func(st store.Store, u store.User) error {
			_, err := st.EndSessions(t.Context(), u.ID)
			return err
		},
	}
	for what, update := range map[string]func(*store.User){
		"disable":  func(u *store.User) { u.Disabled = true },
		"password": func(u *store.User) { u.PasswordHash = "new" },
		"role":     func(u *store.User) { u.Role = store.Editor },
	} {
		ends[what] = func(st store.Store, u store.User) error {
			_, _, err := st.UpdateUser(t.Context(), u.ID, func(u store.User) (store.User, error) {
				update(&u)
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
					_, errs[i] = openSession(t.Context(), stores[i%2], f.newSession(ids[i], u),
						u.Generation)
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
					t.Fatalf("%s, round %d: the login got %v and left %+v, %v", what, round, err, n,
						readErr)
				}
			}
		}
	}
	t.Logf("%d logins came before the end and %d after it", before, refused)
}

// living creates a session of u that lives by the store's clock, last used so long ago.
func (f *fixture) living(t *testing.T, id string, u store.User,
	before time.Duration) store.Session {
	t.Helper()
	now := f.clock.now()
	n := f.newSession(id, u)
	n.CreatedAt, n.LastUsedAt, n.RotatedAt = now.Add(-before), now.Add(-before), now.Add(-before)
	n.ExpiresAt, n.TokenExp = now.Add(time.Hour), now.Add(5*time.Minute)
	if _, err := openSession(t.Context(), f, n, u.Generation); err != nil {
		t.Fatal(err)
	}
	return n
}

func sessionsOfUser(t *testing.T, f *fixture) {
	ana, bia := f.user(t, "ana", store.Viewer), f.user(t, "bia", store.Viewer)
	f.living(t, "old", ana, time.Minute)
	f.living(t, "new", ana, time.Second)
	f.living(t, "ended", ana, time.Second)
	f.living(t, "bia", bia, time.Second)
	if _, err := f.EndSession(t.Context(), "ended"); err != nil {
		t.Fatal(err)
	}
	for when, want := range map[time.Duration][]string{0: {"new", "old"}, time.Hour: {}} {
		list, err := f.UserSessions(t.Context(), ana.ID, f.clock.now().Add(when))
		if err != nil || list == nil {
			t.Fatalf("got %v, %v", list, err)
		}
		ids := []string{}
		for _, n := range list {
			ids = append(ids, n.ID)
		}
		if !slices.Equal(ids, want) {
			t.Errorf("after %s there are %v, want %v", when, ids, want)
		}
	}
}

func sessionLimit(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	for i := range store.MaxSessions {
		f.living(t, fmt.Sprint("s", i), ana, time.Duration(i)*time.Second)
	}
	// A refused login ends nothing.
	_, err := openSession(t.Context(), f, f.newSession("refused", ana), ana.Generation+1)
	if !errors.Is(err, store.ErrUserChanged) {
		t.Errorf("got %v", err)
	}
	wantLives(t, f, fmt.Sprint("s", store.MaxSessions-1))

	n := f.newSession("one more", ana)
	n.LastUsedAt, n.ExpiresAt = f.clock.now(), f.clock.now().Add(time.Hour)
	ended, err := openSession(t.Context(), f, n, ana.Generation)
	if err != nil || len(ended) != 1 || ended[0].ID != fmt.Sprint("s", store.MaxSessions-1) {
		t.Errorf("ended %v, %v", ended, err)
	}
	list, err := f.UserSessions(t.Context(), ana.ID, f.clock.now())
	if err != nil || len(list) != store.MaxSessions || list[0].ID != "one more" {
		t.Errorf("%d sessions live, %v", len(list), err)
	}
	// The limit also holds for many logins at once.
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			n := f.newSession(fmt.Sprint("many", i), ana)
			n.LastUsedAt, n.ExpiresAt = f.clock.now(), f.clock.now().Add(time.Hour)
			if _, err := openSession(t.Context(), f, n, ana.Generation); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	list, err = f.UserSessions(t.Context(), ana.ID, f.clock.now())
	if err != nil || len(list) != store.MaxSessions {
		t.Errorf("%d sessions live, %v", len(list), err)
	}
}

func sessionUpdate(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	old := f.living(t, "s", ana, time.Minute)
	_, _, err := f.UpdateSession(t.Context(), "unknown",
		func(n store.Session) (store.Session, error) {
			t.Error("called for an unknown session")
			return n, nil
		})
	wantErr(t, err, store.ErrNotFound)
	refusal := errors.New("no")
	_, _, err = f.UpdateSession(t.Context(), "s", func(n store.Session) (store.Session, error) {
		n.Counter = 99
		return n, refusal
	})
	if err != refusal { // not errors.Is: the promise is unwrapped
		t.Errorf("got %v", err)
	}
	at := f.clock.now().Add(time.Minute)
	got, _, err := f.UpdateSession(t.Context(), "s", func(n store.Session) (store.Session, error) {
		return store.Session{
			ID: "x", UserID: n.UserID + 1, Counter: n.Counter + 1, Parent: n.Counter, IP: "x",
			UserAgent: "x", CreatedAt: at,
			RotatedAt: at, LastUsedAt: at.Add(time.Second), ExpiresAt: at.Add(time.Hour),
			TokenExp: at.Add(time.Minute), AMR: "pwd otp mfa", Remembered: !n.Remembered,
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := old
	want.Parent, want.Counter = old.Counter, old.Counter+1
	want.RotatedAt, want.LastUsedAt = at, at.Add(time.Second)
	want.ExpiresAt, want.TokenExp = at.Add(time.Hour), at.Add(time.Minute)
	want = old.Apply(want)
	kept, err := f.Session(t.Context(), "s")
	if err != nil || kept != got {
		t.Errorf("returned %+v, kept %+v, %v", got, kept, err)
	}
	if got.ID != "s" || got.UserID != ana.ID || got.Counter != want.Counter ||
		got.Parent != want.Parent ||
		!got.LastUsedAt.Equal(want.LastUsedAt) || !got.ExpiresAt.Equal(want.ExpiresAt) ||
		!got.EndedAt.IsZero() || got.IP != kept.IP || got.Remembered != old.Remembered ||
		got.AMR != "pwd otp mfa" {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// An end by UpdateSession is like any other: in the feed, and for good.
	w := follow(t, f)
	ended, _, err := f.UpdateSession(t.Context(), "s",
		func(n store.Session) (store.Session, error) {
			n.EndedAt = at
			return n, nil
		})
	if err != nil || !ended.EndedAt.Equal(store.Instant(at)) {
		t.Errorf("ended %+v, %v", ended, err)
	}
	w.ask(t, f)
	w.wantOnce(t, "s")
	again, _, err := f.UpdateSession(t.Context(), "s",
		func(n store.Session) (store.Session, error) {
			n.EndedAt = time.Time{}
			return n, nil
		})
	if err != nil || again != ended {
		t.Errorf("it lives again: %+v, %v", again, err)
	}
}

func sessionUpdateUser(t *testing.T, f *fixture) {
	f.user(t, "bia", store.Viewer)
	ana := f.user(t, "ana", store.Viewer)
	f.living(t, "s", ana, time.Minute)
	other := f.another(t)
	wantUser := func(what string, want store.User, counter int64, lives bool) {
		t.Helper()
		s, u, err := f.UpdateSession(t.Context(), "s",
			func(n store.Session) (store.Session, error) {
				n.Counter += counter
				return n, nil
			})
		if err != nil || u != want || s.EndedAt.IsZero() != lives {
			t.Errorf("%s: got %+v of %+v, %v; want %+v", what, u, s, err, want)
		}
	}
	change := func(edit func(*store.User)) {
		t.Helper()
		var err error
		ana, _, err = other.UpdateUser(t.Context(), ana.ID, func(u store.User) (store.User, error) {
			edit(&u)
			return u, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	wantUser("as at the login", ana, 1, true)
	change(func(u *store.User) { u.PendingEmail = "ana@example.com" })
	wantUser("with an email", ana, 1, true)
	wantUser("where nothing is written", ana, 0, true)
	change(func(u *store.User) { u.Role = store.Editor })
	wantUser("with another role", ana, 1, false)
	change(func(u *store.User) { u.Disabled = true })
	wantUser("disabled", ana, 0, false)
	if _, err := other.DeleteUser(t.Context(), ana.ID); err != nil {
		t.Fatal(err)
	}
	wantUser("deleted", store.User{}, 1, false)
}

func sessionUpdateRace(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	f.living(t, "s", ana, time.Minute)
	before, err := f.Session(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	stores := []store.Store{f.Store, f.another(t)}
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			_, _, err := stores[i%2].UpdateSession(t.Context(), "s",
				func(n store.Session) (store.Session, error) {
					n.Counter++
					return n, nil
				})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if after, err := f.Session(t.Context(), "s"); err != nil || after.Counter != before.Counter+40 {
		t.Errorf("40 updates took the counter from %d to %d, %v", before.Counter, after.Counter,
			err)
	}
}

func sessionsEndTogether(t *testing.T, f *fixture) {
	ana, bia := f.user(t, "ana", store.Viewer), f.user(t, "bia", store.Viewer)
	f.living(t, "a", ana, 0)
	f.living(t, "b", ana, 0)
	f.living(t, "ended before", ana, 0)
	f.living(t, "bia", bia, 0)
	if _, err := f.EndSession(t.Context(), "ended before"); err != nil {
		t.Fatal(err)
	}
	w := follow(t, f)
	ended, err := f.EndSessions(t.Context(), ana.ID)
	if err != nil || len(ended) != 2 {
		t.Errorf("ended %v, %v", ended, err)
	}
	wantLives(t, f, "bia")
	w.ask(t, f)
	w.wantOnce(t, "a", "b")
	// A login that began before is refused; the user's next one is not.
	_, err = openSession(t.Context(), f, f.newSession("late", ana), ana.Generation)
	if !errors.Is(err, store.ErrUserChanged) {
		t.Errorf("a login that began before: %v", err)
	}
	now, err := f.User(t.Context(), ana.ID)
	if err != nil || now.Generation != ana.Generation+1 {
		t.Errorf("generation %d after %d, %v", now.Generation, ana.Generation, err)
	}
	f.living(t, "next", now, 0)
	if ended, err := f.EndSessions(t.Context(), bia.ID+1); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("nobody's sessions: %v, %v", ended, err)
	}
}

func sessionsRemoved(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	now := f.clock.now()
	for id, ends := range map[string][2]time.Duration{ // expiry and latest token
		"dead": {-2 * time.Hour, -2 * time.Hour}, "dead, too": {-3 * time.Hour, -2 * time.Hour},
		"its token lives": {-2 * time.Hour, time.Minute}, "it lives": {time.Minute, -2 * time.Hour},
	} {
		n := f.newSession(id, ana)
		n.ExpiresAt, n.TokenExp = now.Add(ends[0]), now.Add(ends[1])
		if _, err := openSession(t.Context(), f, n, ana.Generation); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int{1, 1, 0} {
		n, err := f.DeleteSessions(t.Context(), now.Add(-time.Hour), 1)
		if err != nil || n != want {
			t.Errorf("removed %d, %v, want %d", n, err, want)
		}
	}
	for id, want := range map[string]error{
		"dead":            store.ErrNotFound,
		"dead, too":       store.ErrNotFound,
		"its token lives": nil,
		"it lives":        nil,
	} {
		if _, err := f.Session(t.Context(), id); !errors.Is(err, want) {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func sessionForgotten(t *testing.T, f *fixture) {
	u := f.user(t, "ana", store.Viewer)
	f.session(t, "lives", u)
	for _, id := range []string{"first", "second", "third"} {
		f.session(t, id, u)
		_, err := f.EndSession(t.Context(), id)
		must(t, err)
		f.clock.add(time.Minute)
	}
	before := f.now().Add(-time.Minute) // when the third one ended
	for _, want := range []int{1, 1, 0} {
		n, err := f.ForgetOrigins(t.Context(), before, 1)
		if err != nil || n != want {
			t.Errorf("%d were forgotten, %v; want %d", n, err, want)
		}
	}
	for id, known := range map[string]bool{
		"lives": true, "first": false, "second": false, "third": true,
	} {
		n, err := f.Session(t.Context(), id)
		if err != nil || (n.IP != "") != known || (n.UserAgent != "") != known ||
			n.EndedAt.IsZero() != (id == "lives") {
			t.Errorf("%s is %+v, %v", id, n, err)
		}
	}
}
