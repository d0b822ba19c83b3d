package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"clientes/store"
)

func networkChecks() []check {
	return []check{
		{"a network is known for NetworkTTL after each login", networkKnown},
		{"a clock that goes back does not make a network older", networkClockBack},
		{"a network that was seen far ahead is new", networkAhead},
		{"mails of a new network are queued, those of a known one are not", networkMails},
		{"an unknown user has no network", networkUnknown},
		{"of logins at once from a new network one is told that it is new", networkRace},
		{"networks are removed when they are too old", networkRemoved},
	}
}

// see notes a login and reports an unexpected answer.
func (f *fixture) see(t *testing.T, u store.User, prefix string, want bool) {
	t.Helper()
	if known, err := seeNetwork(t.Context(), f, u, prefix); err != nil || known != want {
		t.Errorf("%s from %q: known %t, %v, want %t", u.Name, prefix, known, err, want)
	}
}

func networkKnown(t *testing.T, f *fixture) {
	ana, bia := f.user(t, "ana", store.Viewer), f.user(t, "bia", store.Viewer)
	for _, prefix := range texts() {
		if prefix == "" { // no network
			continue
		}
		f.see(t, ana, prefix, false)
		f.see(t, ana, prefix, true)
		f.see(t, bia, prefix, false)
	}
	f.see(t, ana, "192.0.2.1", false)
	for range 3 { // each login starts the time again
		f.clock.add(store.NetworkTTL)
		f.see(t, ana, "192.0.2.1", true)
	}
	f.clock.add(store.NetworkTTL + time.Millisecond)
	f.see(t, ana, "192.0.2.1", false)
	f.see(t, ana, "192.0.2.1", true)
}

func networkClockBack(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	f.see(t, ana, "a", false)
	f.clock.add(-24 * time.Hour)
	f.see(t, ana, "a", true)
	f.clock.add(24*time.Hour + store.NetworkTTL)
	f.see(t, ana, "a", true)
}

func networkAhead(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	f.clock.add(400 * 24 * time.Hour) // the clock is wrong
	f.see(t, ana, "a", false)
	f.clock.add(-400 * 24 * time.Hour)
	f.see(t, ana, "a", false)
	f.see(t, ana, "a", true)
	f.clock.add(store.NetworkTTL + time.Millisecond)
	f.see(t, ana, "a", false)
}

func networkMails(t *testing.T, f *fixture) {
	ana, bia := f.user(t, "ana", store.Viewer), f.user(t, "bia", store.Viewer)
	mail := store.Mail{
		UserID: bia.ID, Kind: store.MailNewNetwork, To: "ana@example.com", Detail: "from afar",
	}
	for range 2 {
		if _, err := seeNetwork(t.Context(), f, ana, "a", mail); err != nil {
			t.Fatal(err)
		}
	}
	got := f.claim(t, f, 10)
	if len(got) != 1 || got[0].UserID != ana.ID || got[0].Kind != mail.Kind ||
		got[0].To != mail.To || got[0].Detail != mail.Detail {
		t.Errorf("got %+v", got)
	}
}

func networkUnknown(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	for _, id := range []int64{ana.ID + 1, 0, -1} {
		_, err := seeNetwork(t.Context(), f, store.User{ID: id}, "a", store.Mail{})
		wantErr(t, err, store.ErrUserChanged)
	}
	f.see(t, ana, "a", false)
	if n, err := f.DeleteNetworks(t.Context(), f.now().Add(time.Hour), 10); err != nil || n != 1 {
		t.Errorf("removed %d, %v", n, err)
	}
}

func networkRace(t *testing.T, f *fixture) {
	stores := []store.Store{f, f.another(t)}
	ana := f.user(t, "ana", store.Viewer)
	for round := range 10 {
		var mu sync.Mutex
		fresh := 0
		var logins []func()
		for i := range 8 {
			logins = append(logins, func() {
				known, err := seeNetwork(t.Context(), stores[i%2], ana, fmt.Sprint(round),
					store.Mail{})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if !known {
					fresh++
				}
			})
		}
		atOnce(logins...)
		if mails := f.claim(t, f, 100); fresh != 1 || len(mails) != 1 {
			t.Fatalf("round %d: new to %d, %d mails", round, fresh, len(mails))
		}
	}
}

func networkRemoved(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	for i := range 4 {
		f.see(t, ana, fmt.Sprint(i), false)
		f.clock.add(time.Hour)
	}
	before := f.now().Add(-2 * time.Hour) // when the third was seen
	for _, c := range []struct{ limit, want int }{{0, 0}, {-1, 0}, {1, 1}, {1000, 1}, {1000, 0}} {
		if n, err := f.DeleteNetworks(t.Context(), before, c.limit); err != nil || n != c.want {
			t.Errorf("removed %d, %v, want %d", n, err, c.want)
		}
	}
	for i := range 4 {
		f.see(t, ana, fmt.Sprint(i), i >= 2)
	}
}
