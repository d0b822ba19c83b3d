package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"clientes/store"
)

func mailChecks() []check {
	return []check{
		{"a mail comes back as it was queued, with the user's generation of links", mailKept},
		{"a mail to a user who is gone is left out", mailNobody},
		{"a mail or login that races the deletion of its user is left out or goes with them",
			mailDeleteRace},
		{"mails are claimed when they are due, those longest due first", mailDue},
		{"a mail that was claimed is claimed again only when the lease is over", mailLease},
		{"a mail that could not be sent waits longer each time, and is dropped in the end",
			mailRetry},
		{"a mail that a clock ahead has written does not wait for it", mailAhead},
		{"a mail that somebody else has claimed by now is theirs", mailTheirs},
		{"a mail that was sent is gone", mailSent},
		{"of many who claim at once one gets each mail", mailClaimRace},
		{"mails wait through a restart", mailRestart},
		{"the queue is as long as there are mails, due or not", mailQueue},
	}
}

// claimed queues a mail to the user and claims it.
func (f *fixture) claimed(t *testing.T, u store.User, m store.Mail) store.Mail {
	t.Helper()
	m.UserID = u.ID
	if err := f.QueueMails(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := f.claim(t, f, 1)
	if len(got) != 1 {
		t.Fatal("there is none")
	}
	return got[0]
}

// claim claims mails for a minute.
func (f *fixture) claim(t *testing.T, st store.Store, limit int) []store.Mail {
	t.Helper()
	mails, err := st.ClaimMails(t.Context(), time.Minute, limit)
	if err != nil || mails == nil {
		t.Fatalf("claim: %v, %v", mails, err)
	}
	return mails
}

func mailKept(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	ana, _, err := f.UpdateUser(t.Context(), ana.ID, func(u store.User) (store.User, error) {
		u.PasswordHash = "new"
		return u, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var queue, want []store.Mail
	for what, s := range texts() {
		m := store.Mail{UserID: ana.ID, Kind: store.MailKind(what), To: s, Detail: s}
		full := m
		full.ID, full.LinkGeneration, full.Tries = 99, 99, 99
		full.CreatedAt, full.NextTry = time.Unix(0, 0), time.Unix(1<<40, 0)
		queue = append(queue, full)
		m.LinkGeneration, m.Tries = ana.LinkGeneration, 1
		m.CreatedAt, m.NextTry = f.now(), store.Instant(f.clock.now().Add(time.Minute))
		want = append(want, m)
	}
	if err := f.QueueMails(t.Context(), queue...); err != nil {
		t.Fatal(err)
	}
	if err := f.QueueMails(t.Context()); err != nil {
		t.Error(err)
	}
	got := f.claim(t, f, 1000)
	if len(got) != len(want) {
		t.Fatalf("%d mails of %d", len(got), len(want))
	}
	for i := range got {
		if got[i].ID < 1 || i > 0 && got[i].ID <= got[i-1].ID {
			t.Errorf("the id is %d", got[i].ID)
		}
		want[i].ID = got[i].ID
		wantSame(t, string(want[i].Kind), got[i], want[i])
	}
}

// mailAhead puts the clock ahead for a moment, in which a mail is queued or tried.
func mailAhead(t *testing.T, f *fixture) {
	for _, ahead := range []time.Duration{time.Hour, 400 * 24 * time.Hour} {
		ana := f.user(t, fmt.Sprint("ana", int(ahead.Hours())), store.Viewer)
		f.clock.add(ahead)
		if err := f.QueueMails(t.Context(), store.Mail{UserID: ana.ID}); err != nil {
			t.Fatal(err)
		}
		f.clock.add(-ahead)
		for try := range int64(store.MaxMailTries) {
			got := f.claim(t, f, 10)
			if len(got) != 1 || got[0].Tries != try+1 {
				t.Fatalf("%v ahead, try %d: got %+v", ahead, try, got)
			}
			f.clock.add(ahead)
			if _, err := f.RetryMail(t.Context(), got[0]); err != nil {
				t.Fatal(err)
			}
			f.clock.add(-ahead)
			wait := got[0].Wait()
			if f.clock.add(wait); ahead <= wait {
				f.clock.add(ahead) // by so much it waits longer: its own wait could be as long
			}
		}
		if got := f.claim(t, f, 10); len(got) != 0 {
			t.Errorf("it was not dropped: %+v", got)
		}
	}
}

func mailNobody(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	err := f.QueueMails(t.Context(), store.Mail{UserID: ana.ID + 1}, store.Mail{UserID: ana.ID},
		store.Mail{})
	if err != nil {
		t.Error(err)
	}
	if got := f.claim(t, f, 10); len(got) != 1 || got[0].UserID != ana.ID {
		t.Errorf("got %+v", got)
	}
}

func mailDeleteRace(t *testing.T, f *fixture) {
	stores := []store.Store{f, f.another(t)}
	for round := range 30 {
		u := f.user(t, fmt.Sprint("user", round), store.Viewer)
		racers := []func(){func() {
			if _, err := stores[round%2].DeleteUser(t.Context(), u.ID); err != nil {
				t.Error(err)
			}
		}}
		for i := range 3 {
			racers = append(racers, func() {
				err := stores[i%2].QueueMails(t.Context(), store.Mail{UserID: u.ID})
				if err != nil {
					t.Errorf("queue: %v", err)
				}
			}, func() {
				if _, err := seeNetwork(t.Context(), stores[i%2], u, "a"); err != nil {
					wantErr(t, err, store.ErrUserChanged)
				}
			})
		}
		atOnce(racers...)
	}
	if got := f.claim(t, f, 1000); len(got) != 0 {
		t.Errorf("left %+v", got)
	}
	if n, err := f.DeleteNetworks(t.Context(), f.now().Add(time.Hour), 1000); err != nil || n != 0 {
		t.Errorf("%d networks were left, %v", n, err)
	}
}

func mailDue(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	var ids []int64
	for range 5 { // each due a second later than the one before
		ids = append(ids, f.claimed(t, ana, store.Mail{}).ID)
		f.clock.add(time.Second)
	}
	if got := f.claim(t, f, 10); len(got) != 0 {
		t.Errorf("not due yet: %+v", got)
	}
	f.clock.add(time.Minute - 4*time.Second - time.Millisecond)
	for _, c := range []struct {
		limit int
		want  []int64
	}{{0, nil}, {-1, nil}, {1000, ids[:1]}, {1000, nil}} {
		f.wantClaim(t, c.limit, c.want...)
	}
	f.clock.add(time.Millisecond) // to the very instant
	f.wantClaim(t, 1000, ids[1])
	f.clock.add(3 * time.Second)
	f.wantClaim(t, 2, ids[2:4]...)
	f.wantClaim(t, 2, ids[4])
}

func (f *fixture) wantClaim(t *testing.T, limit int, want ...int64) {
	t.Helper()
	var ids []int64
	for _, m := range f.claim(t, f, limit) {
		ids = append(ids, m.ID)
	}
	if fmt.Sprint(ids) != fmt.Sprint(want) {
		t.Errorf("claimed %v, want %v", ids, want)
	}
}

func mailLease(t *testing.T, f *fixture) {
	other := f.another(t)
	want := f.claimed(t, f.user(t, "ana", store.Viewer), store.Mail{})
	for _, st := range []store.Store{f, other, f} {
		f.clock.add(time.Minute - time.Millisecond)
		if got := f.claim(t, st, 10); len(got) != 0 {
			t.Errorf("got %+v", got)
		}
		f.clock.add(time.Millisecond)
		want.Tries, want.NextTry = want.Tries+1, f.now().Add(time.Minute)
		if got := f.claim(t, st, 10); len(got) != 1 || got[0] != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func mailRetry(t *testing.T, f *fixture) {
	m := f.claimed(t, f.user(t, "ana", store.Viewer), store.Mail{})
	for try := int64(1); ; try++ {
		if m.Tries != try {
			t.Errorf("got %+v, want try %d", m, try)
		}
		dropped, err := f.RetryMail(t.Context(), m)
		if err != nil || dropped != (try == store.MaxMailTries) {
			t.Fatalf("try %d: dropped %t, %v", try, dropped, err)
		}
		if dropped {
			break
		}
		f.clock.add(m.Wait() - time.Millisecond)
		if got := f.claim(t, f, 10); len(got) != 0 {
			t.Fatalf("try %d: got %+v too soon", try, got)
		}
		f.clock.add(time.Millisecond)
		got := f.claim(t, f, 10)
		if len(got) != 1 {
			t.Fatalf("try %d: got %+v", try, got)
		}
		m = got[0]
	}
	f.clock.add(1000 * time.Hour)
	if got := f.claim(t, f, 10); len(got) != 0 {
		t.Errorf("dropped, but %+v", got)
	}
	if dropped, err := f.RetryMail(t.Context(), m); err != nil || dropped {
		t.Errorf("it was dropped twice: %t, %v", dropped, err)
	}
}

func mailTheirs(t *testing.T, f *fixture) {
	slow := f.claimed(t, f.user(t, "ana", store.Viewer), store.Mail{})
	f.clock.add(time.Minute)
	theirs := f.claim(t, f, 10)
	if len(theirs) != 1 {
		t.Fatalf("got %+v", theirs)
	}
	last := slow
	last.Tries = store.MaxMailTries
	for _, m := range []store.Mail{slow, last} {
		if dropped, err := f.RetryMail(t.Context(), m); err != nil || dropped {
			t.Errorf("dropped %t, %v", dropped, err)
		}
	}
	f.clock.add(slow.Wait()) // less than their lease
	if got := f.claim(t, f, 10); len(got) != 0 {
		t.Errorf("the lease was cut short: %+v", got)
	}
	if dropped, err := f.RetryMail(t.Context(), theirs[0]); err != nil || dropped {
		t.Errorf("dropped %t, %v", dropped, err)
	}
	f.clock.add(theirs[0].Wait())
	f.wantClaim(t, 10, slow.ID)
}

func mailSent(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	m, stays := f.claimed(t, ana, store.Mail{}), f.claimed(t, ana, store.Mail{})
	for range 2 {
		if err := f.DeleteMail(t.Context(), m.ID); err != nil {
			t.Error(err)
		}
		if dropped, err := f.RetryMail(t.Context(), m); err != nil || dropped {
			t.Errorf("dropped %t, %v", dropped, err)
		}
	}
	f.clock.add(time.Hour)
	f.wantClaim(t, 10, stays.ID)
	if err := f.DeleteMail(t.Context(), stays.ID); err != nil {
		t.Error(err)
	}
	if next := f.claimed(t, ana, store.Mail{}); next.ID <= stays.ID {
		t.Errorf("after %d the next id is %d", stays.ID, next.ID)
	}
}

func mailClaimRace(t *testing.T, f *fixture) {
	const rounds, mails, claimers, limit = 10, 12, 8, 3
	stores := []store.Store{f, f.another(t)}
	ana := f.user(t, "ana", store.Viewer)
	for round := range rounds {
		queue := make([]store.Mail, mails)
		for i := range queue {
			queue[i].UserID = ana.ID
		}
		if err := f.QueueMails(t.Context(), queue...); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		given := map[int64]int{}
		claim := func(st store.Store) int {
			got, err := st.ClaimMails(t.Context(), time.Minute, limit)
			if err != nil || len(got) > limit {
				t.Errorf("got %+v, %v", got, err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, m := range got {
				given[m.ID]++
			}
			return len(got)
		}
		var work []func()
		for i := range claimers {
			work = append(work, func() { claim(stores[i%2]) })
		}
		atOnce(work...)
		for claim(f) > 0 { // a mail that one skipped may be one that another did not claim
		}
		for id, n := range given {
			if n != 1 {
				t.Errorf("round %d: mail %d was claimed %d times", round, id, n)
			}
		}
		if len(given) != mails {
			t.Errorf("round %d: %d of %d mails were claimed", round, len(given), mails)
		}
	}
}

func mailRestart(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	st := f.reopen(t)
	err := st.QueueMails(t.Context(), store.Mail{UserID: ana.ID, Kind: store.MailReset, To: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	got := f.claim(t, f.another(t), 10)
	if len(got) != 1 || got[0].To != "a" || got[0].Kind != store.MailReset {
		t.Errorf("got %+v", got)
	}
}

func mailQueue(t *testing.T, f *fixture) {
	want := func(what string, mails int64, oldest time.Time) {
		t.Helper()
		q, err := f.MailQueue(t.Context())
		must(t, err)
		if q.Mails != mails || !q.Oldest.Equal(oldest) || q.Oldest.Location() != time.UTC {
			t.Errorf("%s: %+v, want %d since %v", what, q, mails, oldest)
		}
	}
	want("none", 0, time.Time{})
	ana := f.user(t, "ana", store.Viewer)
	first := f.now()
	must(t, f.QueueMails(t.Context(), store.Mail{UserID: ana.ID}, store.Mail{UserID: ana.ID}))
	f.clock.add(-time.Hour) // the clock is set, and the first mail stays the oldest
	must(t, f.QueueMails(t.Context(), store.Mail{UserID: ana.ID}))
	want("three", 3, first)
	f.clock.add(time.Hour)
	claimed := f.claim(t, f, 1) // the one that is due longest, by its own time
	want("one is being sent", 3, first)
	_, err := f.RetryMail(t.Context(), claimed[0])
	must(t, err)
	want("it could not be sent", 3, first)
	for _, m := range f.claim(t, f, 10) {
		must(t, f.DeleteMail(t.Context(), m.ID))
	}
	want("the others were sent", 1, first.Add(-time.Hour))
	must(t, f.DeleteMail(t.Context(), claimed[0].ID))
	want("all were sent", 0, time.Time{})
}
