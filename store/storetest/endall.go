package storetest

import (
	"errors"
	"testing"
	"time"

	"clientes/store"
)

func restoringChecks() []check {
	return []check{
		{"EndAll ends every session, and every process learns it", endAllSessions},
		{"EndAll cancels what a generation stands for, at a number that never comes again",
			endAllGenerations},
		{"EndAll removes queued mails and idempotency keys, and leaves attempts alone",
			endAllRemoves},
		{"no id up to the last ones is assigned after EndAll", endAllKnownIDs},
		{"ids jump where nobody knows the last ones", endAllUnknownIDs},
		{"EndAll on an empty database is recorded too", endAllEmpty},
		{"a login that races EndAll opens no session that lives", endAllRace},
	}
}

func endAll(t *testing.T, st store.Store, lastIDs map[string]int64) store.EndedAll {
	t.Helper()
	all, err := st.EndAll(t.Context(), lastIDs)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func endAllSessions(t *testing.T, f *fixture) {
	other := f.another(t)
	ana, bia := f.user(t, "ana", store.Viewer), f.user(t, "bia", store.Admin)
	f.session(t, "ana", ana)
	f.session(t, "bia", bia)
	f.session(t, "ended", bia)
	if _, err := f.EndSession(t.Context(), "ended"); err != nil {
		t.Fatal(err)
	}
	start, err := other.SessionEnds(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	before, err := f.Session(t.Context(), "ended")
	if err != nil {
		t.Fatal(err)
	}
	f.clock.add(time.Minute)
	if all := endAll(t, f, nil); all.Sessions != 2 || all.Users != 2 {
		t.Errorf("got %+v", all)
	}
	since, err := other.SessionEnds(t.Context(), start.Next, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]bool)
	for _, e := range since.Since {
		got[e.ID] = true
	}
	for _, id := range []string{"ana", "bia", "ended"} {
		if !got[id] {
			t.Errorf("the end of %s does not come", id)
		}
		n, err := f.Session(t.Context(), id)
		if err != nil || n.EndedAt.IsZero() {
			t.Errorf("got %+v, %v", n, err)
		}
	}
	if after, err := f.Session(t.Context(), "ended"); err != nil || after != before {
		t.Errorf("what had ended became %+v, %v", after, err)
	}
	events := f.events(t, store.EventFilter{Kind: store.EventAllEnded})
	if len(events) != 1 || events[0].Detail != "sessions 2, users 2, mails 0, answers 0" {
		t.Errorf("events %+v", events)
	}
}

func endAllGenerations(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	f.updateUser(t, ana.ID, func(u *store.User) { u.LinkGeneration, u.DeviceGeneration = 3, 5 })
	seen := make(map[int64]bool)
	last := ana
	for range 3 {
		endAll(t, f, nil)
		u, err := f.User(t.Context(), ana.ID)
		if err != nil {
			t.Fatal(err)
		}
		// Between a backup and its restore a person causes a few steps, a script some thousands.
		const steps = 1 << 20
		for what, raised := range map[string]int64{
			"generation":        u.Generation - last.Generation,
			"link generation":   u.LinkGeneration - last.LinkGeneration,
			"device generation": u.DeviceGeneration - last.DeviceGeneration,
		} {
			if raised < steps {
				t.Errorf("%s was raised by %d", what, raised)
			}
		}
		if raised := u.Generation - last.Generation; seen[raised] {
			t.Errorf("it was raised by %d twice: the same backup may be restored twice", raised)
		} else {
			seen[raised] = true
		}
		if u.PasswordHash != ana.PasswordHash || u.Role != ana.Role {
			t.Errorf("got %+v", u)
		}
		last = u
	}
	_, err := openSession(t.Context(), f, f.newSession("s", ana), ana.Generation)
	wantErr(t, err, store.ErrUserChanged)
	f.session(t, "s", last)
}

func endAllRemoves(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	for range 2 {
		err := f.QueueMails(t.Context(), store.Mail{UserID: ana.ID, Kind: store.MailReset})
		if err != nil {
			t.Fatal(err)
		}
	}
	f.count(t, f, "key")
	first, _, err := f.CreateClienteOnce(t.Context(), ana.ID, store.Cliente{Name: "Ana"}, "key")
	if err != nil {
		t.Fatal(err)
	}
	if all := endAll(t, f, nil); all.Mails != 2 || all.Answers != 1 {
		t.Errorf("got %+v", all)
	}
	if mails := f.claim(t, f, 10); len(mails) > 0 {
		t.Errorf("mails %+v are left", mails)
	}
	if b := f.buckets(t, "key"); b[0].Count != 1 {
		t.Errorf("the attempts are %+v", b)
	}
	again, replayed, err := f.CreateClienteOnce(t.Context(), ana.ID, store.Cliente{Name: "Ana"},
		"key")
	if err != nil || replayed || again.ID == first.ID {
		t.Errorf("got %+v, %t, %v", again, replayed, err)
	}
	if got, err := f.Cliente(t.Context(), first.ID); err != nil || got != first {
		t.Errorf("got %+v, %v", got, err)
	}
}

func endAllKnownIDs(t *testing.T, f *fixture) {
	f.user(t, "ana", store.Viewer)
	f.cliente(t, "one", "")
	f.cliente(t, "two", "")
	endAll(t, f, map[string]int64{"users": 40, "clientes": 1, "audit": 60, "mails": 70})
	if u := f.user(t, "bia", store.Viewer); u.ID != 41 {
		t.Errorf("the user has the id %d", u.ID)
	}
	if c := f.cliente(t, "three", ""); c.ID != 3 {
		t.Errorf("the customer has the id %d", c.ID)
	}
	events := f.events(t, store.EventFilter{Kind: store.EventAllEnded})
	if len(events) != 1 || events[0].ID != 61 {
		t.Errorf("events %+v", events)
	}
}

func endAllUnknownIDs(t *testing.T, f *fixture) {
	deleted := f.fill(t)
	last := make(map[string]int64)
	for _, table := range store.Tables() {
		e, err := f.Extent(t.Context(), table)
		if err != nil {
			t.Fatal(err)
		}
		last[table.Name] = e.LastID
	}
	endAll(t, f, nil)
	const least, most = 1e9, 1e12 + 100
	for _, table := range store.Tables() {
		e, err := f.Extent(t.Context(), table)
		if err != nil {
			t.Fatal(err)
		}
		if jump := e.LastID - last[table.Name]; table.IDs && (jump < least || jump > most) {
			t.Errorf("the ids of %s jump by %d", table.Name, jump)
		}
	}
	if c := f.cliente(t, "new", ""); c.ID < deleted.ID+least {
		t.Errorf("the customer has the id %d", c.ID)
	}
}

func endAllEmpty(t *testing.T, f *fixture) {
	if all := endAll(t, f, nil); all != (store.EndedAll{}) {
		t.Errorf("got %+v", all)
	}
	if events := f.events(t, store.EventFilter{}); len(events) != 1 {
		t.Errorf("events %+v", events)
	}
	if u := f.user(t, "ana", store.Viewer); u.ID < 1e9 {
		t.Errorf("the user has the id %d", u.ID)
	}
}

func endAllRace(t *testing.T, f *fixture) {
	other := f.another(t)
	for range 5 {
		var users []store.User
		var work []func()
		for i := range 6 {
			u := f.user(t, f.now().Format("15:04:05.000")+string(rune('a'+i)), store.Viewer)
			users = append(users, u)
			work = append(work, func() {
				_, err := openSession(t.Context(), other, f.newSession(u.Name, u), u.Generation)
				if err != nil && !errors.Is(err, store.ErrUserChanged) {
					t.Error(err)
				}
			})
		}
		work = append(work, func() { endAll(t, f, nil) })
		atOnce(work...)
		for _, u := range users {
			left, err := f.UserSessions(t.Context(), u.ID, f.now())
			if err != nil || len(left) > 0 {
				t.Errorf("user %d has the sessions %+v, %v", u.ID, left, err)
			}
		}
		f.clock.add(time.Second)
	}
}
