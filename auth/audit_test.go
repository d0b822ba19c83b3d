package auth

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/store"
)

func TestTheAuditOfALogin(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay.Truncate(store.AuditWindow))
		log := new(authtest.Log)
		p := start(t, e, url, atClock(c), loggingTo(log))
		ana := p.add(t, store.User{Name: "ana"})
		latest := func() store.Event {
			events, err := p.Events(t.Context(), store.EventFilter{}, 0, 1)
			must(t, err)
			if len(events) == 0 {
				return store.Event{}
			}
			return events[0]
		}
		check := func(kind store.EventKind, userID, actorID, count int64) {
			t.Helper()
			got := latest()
			if got.Kind != kind || got.UserID != userID || got.ActorID != actorID ||
				got.Count != count || got.IP != "192.0.2.1" || got.UserAgent != "test" ||
				got.RequestID != "r1" {
				t.Errorf("the audit has %+v, want %s of %d", got, kind, userID)
			}
			line := log.Take()
			want := []string{
				`"msg":"audit"`,
				`"event":"` + string(kind) + `"`,
				`"ip":"192.0.2.1"`,
				`"request_id":"r1"`,
			}
			if userID != 0 {
				want = append(want, fmt.Sprintf(`"user_id":%d`, userID))
			}
			for _, part := range want {
				if strings.Count(line, part) != 1 {
					t.Errorf("the line of %s is %s", kind, line)
				}
			}
		}
		log.Take()
		right := goodLogin("ana")
		g := p.wantTry(t, "192.0.2.1", right, "in")
		check(store.EventLogin, ana.ID, ana.ID, 1)
		for n := range int64(5) {
			p.wantTry(t, "192.0.2.1", LoginRequest{User: "ana", Password: "hunter2"}, "wrong")
			check(store.EventLoginFailed, ana.ID, 0, n+1)
		}
		p.wantTry(t, "192.0.2.1", right, "wait 1")
		check(store.EventLoginRefused, ana.ID, 0, 1)
		p.wantTry(t, "192.0.2.1", LoginRequest{User: "hunter2", Password: "ana"}, "wrong")
		check(store.EventLoginFailed, 0, 0, 1)
		p.wantTry(t, "192.0.2.1", LoginRequest{User: "hunter3", Password: "ana"}, "wrong")
		check(store.EventLoginFailed, 0, 0, 2)
		ctx := from(t.Context(), "192.0.2.1")
		must(t, p.Logout(ctx, g.Token))
		check(store.EventLogout, ana.ID, ana.ID, 1)
		must(t, p.Logout(ctx, g.Token)) // has nothing left to end
		if got, line := latest(), log.Take(); got.Count != 1 || line != "" {
			t.Errorf("a second logout is the event %+v, logged as %q", got, line)
		}
		c.Advance(time.Second)
		g = p.wantTry(t, "192.0.2.1", right, "in")
		log.Take()
		byAdmin := WithOrigin(ctx,
			Origin{IP: "192.0.2.1", UserAgent: "test", RequestID: "r1", ActorID: 7})
		must(t, p.LogoutEverywhere(byAdmin, ana.ID))
		check(store.EventLogoutEverywhere, ana.ID, 7, 1)
		g = p.wantTry(t, "192.0.2.1", right, "in")
		for range 2 {
			_, err := p.Refresh(ctx, g.RefreshToken)
			must(t, err)
			c.Advance(time.Minute)
		}
		log.Take()
		_, err := p.Refresh(ctx, signRefreshToken(p.keys, strings.Split(g.RefreshToken, ".")[0], 1))
		if err == nil {
			t.Error("a token that was never given is taken")
		}
		check(store.EventRefreshTheft, ana.ID, 0, 1)

		// Of many networks some can be seen.
		failed := store.EventFilter{Kind: store.EventLoginFailed}
		before := countEvents(t, p, failed)
		for i := range 40 {
			ctx := from(t.Context(), fmt.Sprint("198.51.100.", i))
			p.audit.recordStrangers(ctx, store.EventLoginFailed, 0, "")
		}
		if n := countEvents(t, p, failed) - before; n < 2 || n > networkRows {
			t.Errorf("forty addresses are %d rows", n)
		}

		// No event holds what was typed.
		events, err := p.Events(t.Context(), store.EventFilter{}, 0, 100)
		must(t, err)
		if all := fmt.Sprintf("%+v", events); strings.Contains(all, "hunter") ||
			strings.Contains(all, g.RefreshToken) {
			t.Errorf("the audit has %s", all)
		}
	})
}

// TestAnEventThatCannotBeKept checks that the log reports it, and that the logout succeeds.
func TestAnEventThatCannotBeKept(t *testing.T) {
	e := authtest.SQLite()
	log := new(authtest.Log)
	p := start(t, e, e.Migrated(t), loggingTo(log))
	p.add(t, store.User{Name: "ana"})
	token := p.login(t, "ana")
	log.Take()
	must(t, p.over(t, noAudit{p.cfg.Store}).Logout(t.Context(), token))
	if s := log.Take(); !strings.Contains(s, `"level":"ERROR"`) ||
		!strings.Contains(s, `"event":"logout"`) {
		t.Errorf("the log says %s", s)
	}
}

// TestWhatStrangersDoIsKept checks that events of strangers wait, and are kept within a moment,
// when the store is back, and when the process ends.
func TestWhatStrangersDoIsKept(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay.Truncate(store.AuditWindow))
		log := new(authtest.Log)
		p := start(t, e, url, atClock(c), loggingTo(log))
		there := p.cfg.Store
		a := p.over(t, there) // nothing of it runs yet
		kept := func() string {
			events, err := there.Events(t.Context(), store.EventFilter{}, 0, 10)
			must(t, err)
			var all []string
			for _, e := range events {
				all = append(all, fmt.Sprintf("%d of %d from +%v to +%v",
					e.Count, e.UserID, e.At.Sub(someDay), e.LastAt.Sub(someDay)))
			}
			slices.Sort(all)
			return strings.Join(all, ", ")
		}
		ctx := from(t.Context(), "192.0.2.1")
		fail := func(userID int64) {
			a.audit.recordStrangers(ctx, store.EventLoginFailed, userID, "")
		}
		fail(1)
		c.Advance(time.Second)
		fail(1)
		fail(2)
		a.audit.store = noAudit{there}
		wantError(t, "a store that is away", a.audit.flush(ctx), store.ErrUnavailable)
		if events, err := a.Events(ctx, store.EventFilter{}, 0, 10); err != nil ||
			len(events) != 0 {
			t.Errorf("a store that can only be read: %v, %v", events, err)
		}
		c.Advance(time.Second)
		fail(1)
		a.audit.store = there
		running, stop := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			a.audit.run(running)
		}()
		want := "1 of 2 from +1s to +1s, 3 of 1 from +0s to +2s"
		authtest.Eventually(t, want+" is kept", func() bool { return kept() == want })
		fail(3)
		stop()
		<-ended
		want = "1 of 2 from +1s to +1s, 1 of 3 from +2s to +2s, 3 of 1 from +0s to +2s"
		if got := kept(); got != want {
			t.Errorf("at the end, kept is %s", got)
		}

		// Events that happen while others are being kept are not lost at the end either.
		running, stop = context.WithCancel(ctx)
		defer stop()
		a.audit.store = duringRecord{there, sync.OnceFunc(func() { fail(4); stop() })}
		fail(3)
		a.audit.run(running)
		if got := kept(); !strings.Contains(got, "2 of 3 from") ||
			!strings.Contains(got, "1 of 4 from") {
			t.Errorf("at the end of a busy one, kept is %s", got)
		}

		// An event that could not be kept is still the first of its row.
		a.audit.store = duringRecord{
			noAudit{there},
			sync.OnceFunc(func() { c.Advance(time.Second); fail(5) }),
		}
		fail(5)
		first := c.Now()
		a.audit.flush(ctx)
		if got := a.audit.waiting.take(); len(got) != 1 || got[0].Count != 2 ||
			!got[0].At.Equal(first) || !got[0].LastAt.Equal(first.Add(time.Second)) {
			t.Errorf("back in the queue are %+v", got)
		}

		// While the store is away, memory is bounded, and each event is in the log.
		log.Take()
		a.audit.store = noAudit{there}
		for i := range int64(maxWaiting + 10) {
			fail(i)
		}
		if n := len(a.audit.waiting.take()); n != maxWaiting {
			t.Errorf("%d events wait", n)
		}
		if n := strings.Count(log.Take(), `"event":"login_failed"`); n != maxWaiting+10 {
			t.Errorf("the log has %d lines", n)
		}
	})
}

// TestAnEventDoesNotNeedThoseThatWait checks that events of strangers which cannot be kept do not
// keep another one out.
func TestAnEventDoesNotNeedThoseThatWait(t *testing.T) {
	e := authtest.SQLite()
	p := start(t, e, e.Migrated(t))
	p.add(t, store.User{Name: "ana"})
	a := p.over(t, noStrangers{p.cfg.Store})
	ctx := from(t.Context(), "192.0.2.1")
	a.audit.recordStrangers(ctx, store.EventLoginFailed, 0, "")
	_, err := a.Login(ctx, goodLogin("ana"))
	must(t, err)
	if n := countEvents(t, p, store.EventFilter{Kind: store.EventLogin}); n != 1 {
		t.Errorf("%d events of the login are kept", n)
	}
}

// noStrangers is a store that cannot keep an event of a failed login.
type noStrangers struct{ Store }

func (s noStrangers) RecordEvents(ctx context.Context, events ...store.Event) error {
	if events[0].Kind == store.EventLoginFailed {
		return store.ErrUnavailable
	}
	return s.Store.RecordEvents(ctx, events...)
}

func TestALoginFromANewNetworkIsReported(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p := start(t, e, url, atClock(c))
		ana, bia := p.add(t, store.User{Name: "ana"}), p.add(t, store.User{Name: "bia"})
		p.change(t, ana, func(u *store.User) { u.Email = "ana@example.com" })
		p.change(t, bia, func(u *store.User) { u.PendingEmail = "bia@example.com" })
		login := func(name, ip string, mails int) {
			t.Helper()
			p.wantTry(t, ip, goodLogin(name), "in")
			c.Advance(time.Second)
			queued, err := p.store.ClaimMails(t.Context(), 1000*24*time.Hour, 10)
			must(t, err)
			if len(queued) != mails {
				t.Errorf("%s from %s queues %d mails, want %d", name, ip, len(queued), mails)
			}
			for _, m := range queued {
				if m.Kind != store.MailNewNetwork || m.To != "ana@example.com" ||
					m.UserID != ana.ID || m.Detail != ip+" test" {
					t.Errorf("queued is %+v", m)
				}
			}
		}
		login("ana", "192.0.2.1", 1) // the first network is new, too
		login("ana", "192.0.2.1", 0)
		login("ana", "192.0.2.2", 1)
		login("ana", "192.0.2.2", 0)
		login("ana", "2001:db8:1:2::1", 1)
		login("ana", "2001:db8:1:2:3::1", 0)
		login("ana", "2001:db8:1:3::1", 1)
		login("bia", "192.0.2.1", 0)
		login("bia", "192.0.2.2", 0)
		p.wantTry(t, "192.0.2.9", LoginRequest{User: "ana", Password: "wrong"}, "wrong")
		c.Advance(store.NetworkTTL - time.Minute)
		login("ana", "192.0.2.2", 0)
		c.Advance(2 * time.Minute)
		login("ana", "192.0.2.2", 0) // seen again a moment ago
		login("ana", "192.0.2.1", 1)
	})
}

// TestHalfLoginsOfTwoNetworks checks that those of the owner do not hide where a thief's come from.
func TestHalfLoginsOfTwoNetworks(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p := start(t, e, url, atClock(c))
		ana := p.add(t, store.User{Name: "ana"})
		p.enrol(t, ana, c.Now())
		for i := range 64 { // home, and a botnet
			ip := fmt.Sprint("192.0.2.", i)
			p.wantTry(t, ip, goodLogin("ana"), "code?")
			if i%4 == 0 { // few codes are looked at
				p.wantTry(t, ip, goodLogin("ana").withCode("99999x"), "wrong code")
				must(t, p.guard.limiter.Clear(t.Context(), nameBucket(p.keys, ana.ID, "ana")))
			}
		}
		for _, kind := range []store.EventKind{store.EventMFAMissing, store.EventMFAFailed} {
			filter := store.EventFilter{UserID: ana.ID, Kind: kind}
			events, err := p.Events(t.Context(), filter, 0, 1000)
			must(t, err)
			if n := len(events); n < 2 || n > networkRows {
				t.Errorf("%s has %d rows", kind, n)
			}
		}
	})
}

// TestALoginThatCannotBeKept checks that such a login leaves nothing: no session, no count of its
// attempt and no mail. Its end does not hang on whether the client still waits.
func TestALoginThatCannotBeKept(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		p := start(t, e, url)
		ana := p.add(t, store.User{Name: "ana"})
		p.change(t, ana, func(u *store.User) { u.Email = "ana@example.com" })
		a := p.over(t, noSessions{p.cfg.Store})
		ctx, right := from(t.Context(), "192.0.2.1"), goodLogin("ana")
		for range 2 * nameLimit.Free {
			_, err := a.Login(ctx, right)
			wantError(t, "without a session a login", err, store.ErrUnavailable)
		}
		queued := func() int {
			mails, err := p.store.ClaimMails(t.Context(), time.Hour, 10)
			must(t, err)
			return len(mails)
		}
		if n := queued(); n != 0 {
			t.Errorf("%d mails tell of it", n)
		}
		hanging, hangUp := context.WithCancel(ctx)
		g, err := p.over(t, endingStore{p.store, func(context.Context) error {
			hangUp()
			return nil
		}}).Login(hanging, right)
		if err != nil || g.Token == "" {
			t.Errorf("a login whose client hangs up at its end: %+v, %v", g, err)
		}
		if n := queued(); n != 1 {
			t.Errorf("%d mails tell of the next one", n)
		}
	})
}

type noSessions struct{ Store }

func (noSessions) OpenSession(context.Context, store.Login) (store.Opened, error) {
	return store.Opened{}, store.ErrUnavailable
}

// noAudit is a store that cannot keep an event.
type noAudit struct{ Store }

func (noAudit) RecordEvents(context.Context, ...store.Event) error { return store.ErrUnavailable }

// duringRecord is a store in which something happens just before an event is kept.
type duringRecord struct {
	Store
	before func()
}

func (s duringRecord) RecordEvents(ctx context.Context, events ...store.Event) error {
	s.before()
	return s.Store.RecordEvents(ctx, events...)
}
