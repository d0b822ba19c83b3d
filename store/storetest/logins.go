package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"clientes/store"
)

func loginChecks() []check {
	return []check{
		{"a login is kept with all that belongs to it", loginKept},
		{"a refused login keeps nothing", loginRefused},
		{"a panic in a login reaches the caller and keeps nothing", loginPanic},
		{"only a login from a new network has the buckets of new ones", loginNewKeys},
		{"logins beside all that locks the same rows lose no count", loginBeside},
	}
}

// openSession opens a session with nothing beside it.
func openSession(ctx context.Context, st store.Store, n store.Session,
	generation int64) ([]store.Ended, error) {
	opened, err := st.OpenSession(ctx, store.Login{Session: n, Generation: generation})
	return opened.Ended, err
}

// seeNetwork logs a user in from a network, and reports whether it was known.
func seeNetwork(ctx context.Context, st store.Store, u store.User, prefix string,
	mails ...store.Mail) (known bool, err error) {
	opened, err := st.OpenSession(ctx, store.Login{
		Session: sessionAt(st.Now(), u), Generation: u.Generation, Network: prefix, Mails: mails,
	})
	return !opened.NewNetwork, err
}

// sessionAt returns another session of a user, which is over at once.
func sessionAt(now time.Time, u store.User) store.Session {
	return store.Session{
		ID: rand.Text(), UserID: u.ID, RotatedAt: now, CreatedAt: now, LastUsedAt: now,
		ExpiresAt: now, TokenExp: now,
	}
}

// fullLogin returns a login that changes all that one may change. It adds one to each bucket.
func (f *fixture) fullLogin(u store.User) store.Login {
	return store.Login{
		Session: sessionAt(f.now(), u), Generation: u.Generation,
		OldHash: u.PasswordHash, NewHash: "renewed",
		Network: "192.0.2.1", Mails: []store.Mail{{Kind: store.MailNewNetwork, To: "to"}},
		Keys: []string{"b", "a"}, NewKeys: []string{"new"},
		Settle: func(isNew bool, buckets []store.Bucket) []store.Event {
			for i := range buckets {
				buckets[i].Count++
				buckets[i].ForgetAt = f.now().Add(time.Hour)
			}
			return []store.Event{{Kind: store.EventLogin, UserID: 999, Detail: fmt.Sprint(isNew)}}
		},
	}
}

// traces returns what logins of a user have left.
func (f *fixture) traces(t *testing.T, u store.User) string {
	t.Helper()
	now, err := f.User(t.Context(), u.ID)
	must(t, err)
	var counts []int64
	for _, b := range f.buckets(t, "a", "b", "new") {
		counts = append(counts, b.Count)
	}
	var details []string
	for _, e := range f.events(t, store.EventFilter{UserID: u.ID, Kind: store.EventLogin}) {
		details = append(details, e.Detail)
	}
	return fmt.Sprint("hash ", now.PasswordHash, ", counts ", counts, ", events ", details,
		", mails ", len(f.claim(t, f, 10)))
}

func loginKept(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	for i, want := range []string{
		"hash renewed, counts [1 1 1], events [true], mails 1",
		"hash renewed, counts [2 2 1], events [false true], mails 0",
	} {
		l := f.fullLogin(ana)
		opened, err := f.OpenSession(t.Context(), l)
		if err != nil || opened.NewNetwork != (i == 0) {
			t.Fatalf("login %d: %+v, %v", i, opened, err)
		}
		n, err := f.Session(t.Context(), l.Session.ID)
		must(t, err)
		if want := (store.Session{}).Apply(l.Session); n.UserID != ana.ID ||
			!n.LastUsedAt.Equal(want.LastUsedAt) {
			t.Errorf("session %d: %+v", i, n)
		}
		if got := f.traces(t, ana); got != want {
			t.Errorf("login %d leaves %s, want %s", i, got, want)
		}
	}
	// Somebody else has changed the hash meanwhile.
	l := f.fullLogin(ana)
	l.NewHash = "renewed once more"
	_, err := f.OpenSession(t.Context(), l)
	must(t, err)
	if u, err := f.User(t.Context(), ana.ID); err != nil || u.PasswordHash != "renewed" {
		t.Errorf("the hash is %q, %v", u.PasswordHash, err)
	}
}

func loginRefused(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	before := f.traces(t, ana)
	changed := ana
	changed.Generation++
	for _, u := range []store.User{changed, {ID: ana.ID + 1}} {
		l := f.fullLogin(u)
		_, err := f.OpenSession(t.Context(), l)
		wantErr(t, err, store.ErrUserChanged)
		_, err = f.Session(t.Context(), l.Session.ID)
		wantErr(t, err, store.ErrNotFound)
	}
	if after := f.traces(t, ana); after != before {
		t.Errorf("there is %s, and was %s", after, before)
	}
}

func loginPanic(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	before := f.traces(t, ana)
	l := f.fullLogin(ana)
	l.Settle = func(bool, []store.Bucket) []store.Event { panic("out") }
	func() {
		defer func() {
			if recover() != "out" {
				t.Error("the panic was lost")
			}
		}()
		f.OpenSession(t.Context(), l)
	}()
	if after := f.traces(t, ana); after != before {
		t.Errorf("there is %s, and was %s", after, before)
	}
	_, err := f.OpenSession(t.Context(), f.fullLogin(ana))
	must(t, err)
}

func loginNewKeys(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	for _, c := range []struct {
		network string
		want    []string
	}{
		{"192.0.2.1", []string{"b", "a", "new"}}, {"192.0.2.1", []string{"b", "a"}},
		{"192.0.2.2", []string{"b", "a", "new"}}, {"", []string{"b", "a"}},
	} {
		var got []string
		l := f.fullLogin(ana)
		l.Network = c.network
		l.Settle = func(isNew bool, buckets []store.Bucket) []store.Event {
			got = nil
			for _, b := range buckets {
				got = append(got, b.Key)
			}
			return nil
		}
		_, err := f.OpenSession(t.Context(), l)
		must(t, err)
		if !slices.Equal(got, c.want) {
			t.Errorf("a login from %q has the buckets %q, want %q", c.network, got, c.want)
		}
	}
}

// loginBeside has users who share buckets log in on two stores, while others count on these, end
// the users' sessions and record events.
func loginBeside(t *testing.T, f *fixture) {
	stores := []store.Store{f, f.another(t)}
	users := []store.User{f.user(t, "ana", store.Viewer), f.user(t, "bia", store.Viewer)}
	const rounds = 5
	var jobs []func()
	for i := range 4 * rounds {
		st, u := stores[i%2], users[i/2%2]
		jobs = append(jobs, func() {
			l := f.fullLogin(u)
			l.Network, l.NewHash = fmt.Sprint(i%3), ""
			l.NewKeys = []string{"new " + u.Name}
			if i%2 == 0 {
				slices.Reverse(l.Keys)
			}
			now, err := st.User(t.Context(), u.ID)
			if err != nil {
				t.Error(err)
				return
			}
			for l.Generation = now.Generation; ; l.Generation++ {
				_, err := st.OpenSession(t.Context(), l)
				if err == nil {
					return
				} else if !errors.Is(err, store.ErrUserChanged) || l.Generation > 4*rounds {
					t.Errorf("login: %v", err)
					return
				}
			}
		}, func() {
			err := st.UpdateBuckets(t.Context(), []string{"a", "new " + u.Name, "b"},
				func(buckets []store.Bucket) error {
					for i := range buckets {
						buckets[i].Count++
						buckets[i].ForgetAt = f.now().Add(time.Hour)
					}
					return nil
				})
			if err != nil {
				t.Errorf("count: %v", err)
			}
		}, func() {
			err := st.RecordEvents(t.Context(), store.Event{Kind: store.EventLogout, UserID: u.ID})
			if err != nil {
				t.Errorf("record: %v", err)
			}
		})
		if i%5 == 0 {
			jobs = append(jobs, func() {
				if _, err := st.EndSessions(t.Context(), u.ID); err != nil {
					t.Errorf("end sessions: %v", err)
				}
			})
		}
	}
	atOnce(jobs...)
	for _, b := range f.buckets(t, "a", "b") {
		if b.Count != 2*4*rounds {
			t.Errorf("%s has the count %d, want %d", b.Key, b.Count, 2*4*rounds)
		}
	}
}
