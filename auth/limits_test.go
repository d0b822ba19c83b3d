package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/auth/throttle"
	"clientes/store"
)

// fill makes a bucket look as if n had been counted in it just now.
func (p *process) fill(t testing.TB, b throttle.Bucket, n int64) {
	t.Helper()
	now := store.Instant(p.store.Now())
	must(t, p.store.UpdateBuckets(t.Context(), b.Keys, func(rows []store.Bucket) error {
		for i := range rows {
			rows[i].Count, rows[i].Since, rows[i].LastAt = n, now, now
			rows[i].ForgetAt = now.Add(b.Limit.Window)
		}
		return nil
	}))
}

// TestRightPasswordsAreLimited has somebody who knows a password log in again and again, at two
// processes in turn.
func TestRightPasswordsAreLimited(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p, q := start(t, e, url, atClock(c)), start(t, e, url, atClock(c))
		ana := p.add(t, store.User{Name: "ana"})
		p.add(t, store.User{Name: "bia"})
		right, wrong := goodLogin("ana"), LoginRequest{User: "ana", Password: "wrong"}
		known := right.withDevice(p.wantTry(t, "192.0.2.1", right, "in").Device)
		p.fill(t, passesBucket(ana.ID, false), passesLimit.Free-2)
		for range 4 {
			q.wantTry(t, "192.0.2.1", wrong, "wrong") // counts elsewhere
		}
		p.wantTry(t, "192.0.2.1", right, "in")
		q.wantTry(t, "192.0.2.2", right, "in")
		for _, ip := range []string{"192.0.2.1", "198.51.100.1"} {
			for _, r := range []LoginRequest{right, wrong} {
				p.wantTry(t, ip, r, "wait 900")
				q.wantTry(t, ip, r, "wait 900")
			}
		}
		_, err := p.Login(from(t.Context(), "192.0.2.1"), right)
		var many *TooManyError
		if !errors.As(err, &many) || !many.Asked {
			t.Errorf("one of too many logins: %v", err)
		}
		// The owner on a known device is counted apart, and nobody else is.
		p.wantTry(t, "192.0.2.1", known, "in")
		q.wantTry(t, "192.0.2.1", goodLogin("bia"), "in")
		p.fill(t, passesBucket(ana.ID, true), passesLimit.Free-1)
		p.wantTry(t, "192.0.2.1", known, "in")
		q.wantTry(t, "192.0.2.1", known, "wait 900")
		c.Advance(passesLimit.Window)
		p.wantTry(t, "192.0.2.1", right, "in")
		q.wantTry(t, "192.0.2.1", known, "in")

		// All users of a network together.
		p.fill(t, newPasses("192.0.2.1", networkPassesLimit), networkPassesLimit.Free-1)
		p.wantTry(t, "192.0.2.1", goodLogin("bia"), "in")
		q.wantTry(t, "192.0.2.1", right, "wait 900")
		q.wantTry(t, "192.0.2.1", known, "in")
		q.wantTry(t, "192.0.2.2", right, "in")
	})
}

// TestARightPasswordAloneCounts has somebody without the second factor send the right password.
func TestARightPasswordAloneCounts(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		p := start(t, e, url, atClock(authtest.StoppedAt(someDay)))
		ana := p.add(t, store.User{Name: "ana"})
		p.change(t, ana, func(u *store.User) {
			u.MFA = store.MFA{Secret: sealSecret(p.keys, u.ID, make([]byte, secretLen)), On: true}
		})
		p.fill(t, passesBucket(ana.ID, false), passesLimit.Free-2)
		p.wantTry(t, "192.0.2.1", goodLogin("ana"), "code?")
		p.fill(t, codesBucket(ana.ID, strangersCodes), codesLimit.Free-1)
		p.wantTry(t, "192.0.2.1", goodLogin("ana").withCode("000000x"), "wrong code")
		// No more codes are looked at.
		p.wantTry(t, "192.0.2.1", goodLogin("ana").withCode("000000"), "wait 86400")
		p.wantTry(t, "192.0.2.1", goodLogin("ana"), "wait 900")
	})
}

// TestACurrentPasswordCounts checks the limit of the right password of a user with a session.
func TestACurrentPasswordCounts(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		p := start(t, e, url, atClock(authtest.StoppedAt(someDay)))
		ana, caller := p.newCaller(t, "ana")
		p.fill(t, passesBucket(ana.ID, true), passesLimit.Free-1)
		_, err := p.BeginMFA(t.Context(), caller, goodPassword)
		must(t, err)
		_, err = p.BeginMFA(t.Context(), caller, goodPassword)
		wantError(t, "one of too many", err, ErrTooManyAttempts)
		p.wantTry(t, "192.0.2.1", goodLogin("ana"), "in")
	})
}

// TestTheAuditIsNotFilled checks how many rows of the audit somebody can cause who knows a
// password.
func TestTheAuditIsNotFilled(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		p := start(t, e, url, atClock(authtest.StoppedAt(someDay)))
		ana := p.add(t, store.User{Name: "ana"})
		rows := func(kind store.EventKind) (counts []int64) {
			events, err := p.Events(t.Context(),
				store.EventFilter{UserID: ana.ID, Kind: kind}, 0, 1000)
			must(t, err)
			for _, e := range events {
				counts = append(counts, e.Count)
			}
			return counts
		}
		want := func(kind store.EventKind, want ...int64) {
			t.Helper()
			if got := rows(kind); !slices.Equal(got, want) {
				t.Errorf("the rows of %s count %v, want %v", kind, got, want)
			}
		}
		ctx := from(t.Context(), "192.0.2.1")
		for range 10 {
			g := p.wantTry(t, "192.0.2.1", goodLogin("ana"), "in")
			must(t, p.Logout(ctx, g.Token))
		}
		want(store.EventLogin, 9, 1) // the first was from a new network
		want(store.EventLogout, 10)
		for range 3 {
			must(t, p.LogoutEverywhere(ctx, ana.ID))
			g := p.wantTry(t, "192.0.2.1", goodLogin("ana"), "in")
			id, _, _ := parseRefreshToken(p.keys, g.RefreshToken)
			for _, n := range []int64{0, 1, 0} {
				p.Refresh(ctx, signRefreshToken(p.keys, id, n))
			}
		}
		want(store.EventLogoutEverywhere, 3)
		want(store.EventRefreshTheft, 3)
		for i := range 60 {
			p.wantTry(t, fmt.Sprint("198.51.100.", i), goodLogin("ana"), "in")
		}
		if n := len(rows(store.EventLogin)); n > 1+int(newNetworksLimit.Free)+networkRows {
			t.Errorf("60 new networks are %d rows", n)
		}
		own := WithOrigin(ctx, Origin{IP: "192.0.2.1", ActorID: ana.ID})
		for i := range 10 {
			_, err := p.ChangeUser(own, ana.ID, func(u store.User) (store.User, error) {
				u.Role = []store.Role{store.Editor, store.Viewer}[i%2]
				return u, nil
			})
			must(t, err)
		}
		want(store.EventRoleChanged, 5, 5)
	})
}

// writeCounter counts the writes of logouts.
type writeCounter struct {
	Store
	ends, events *atomic.Int64
}

func (s writeCounter) EndSession(ctx context.Context, id string) (store.Session, error) {
	s.ends.Add(1)
	return s.Store.EndSession(ctx, id)
}

func (s writeCounter) RecordEvents(ctx context.Context, events ...store.Event) error {
	s.events.Add(1)
	return s.Store.RecordEvents(ctx, events...)
}

// TestALogoutOfAnEndedSessionWritesNothing sends old tokens again, to the process that ended the
// session and to another.
func TestALogoutOfAnEndedSessionWritesNothing(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		p := start(t, e, url)
		p.add(t, store.User{Name: "ana"})
		g := p.wantTry(t, "192.0.2.1", goodLogin("ana"), "in")
		counting := writeCounter{p.cfg.Store, new(atomic.Int64), new(atomic.Int64)}
		a, b := p.over(t, counting), p.over(t, counting)
		for range 3 {
			for _, at := range []*process{a, b} {
				must(t, at.Logout(t.Context(), g.Token))
				must(t, at.LogoutRefresh(t.Context(), g.RefreshToken))
				wantError(t, "the ended session", at.verdict(t, g.Token), ErrTokenRevoked)
			}
		}
		if ends, events := counting.ends.Load(), counting.events.Load(); ends != 1 || events != 1 {
			t.Errorf("12 logouts are %d ends and %d events", ends, events)
		}
	})
}

func TestRefreshesAreLimited(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p, q := start(t, e, url, atClock(c)), start(t, e, url, atClock(c))
		p.rotated = throttle.NewMemory(3, rotationsWindow)
		p.add(t, store.User{Name: "ana"})
		g := p.wantTry(t, "192.0.2.1", goodLogin("ana"), "in")
		refresh := func(at *process) string {
			t.Helper()
			next, err := at.Refresh(t.Context(), g.RefreshToken)
			var many *TooManyError
			switch {
			case err == nil:
				g = next
				return "in"
			case errors.As(err, &many) && many.Asked:
				return "wait " + strconv.FormatInt(many.Seconds(), 10)
			}
			t.Fatal(err)
			return ""
		}
		for _, tabs := range []int{10, 10, 1} {
			before := g
			for range tabs { // the same answer again does not count
				g = before
				if got := refresh(p); got != "in" {
					t.Errorf("a refresh ends in %q", got)
				}
			}
		}
		if got := refresh(p); got != "wait 900" {
			t.Errorf("the fourth refresh ends in %q", got)
		}
		// The token was not used up. Other sessions and other processes count for themselves.
		other := g
		g = p.wantTry(t, "192.0.2.1", goodLogin("ana"), "in")
		if got := refresh(p); got != "in" {
			t.Errorf("a refresh of another session ends in %q", got)
		}
		g = other
		if got := refresh(q); got != "in" {
			t.Errorf("a refresh elsewhere ends in %q", got)
		}
		c.Advance(rotationsWindow)
		if got := refresh(p); got != "in" {
			t.Errorf("a refresh in the next window ends in %q", got)
		}
		// So does each other successor of a token that comes again.
		c.Advance(rotationsWindow)
		parent := g
		for _, want := range []string{"in", "in", "in", "wait 720"} {
			g = parent
			if got := refresh(p); got != want {
				t.Errorf("the same token once more ends in %q, want %q", got, want)
			}
			c.Advance(time.Minute)
		}
	})
}

// TestAnIPv6SiteIsSlowed fails from many networks of one /48.
func TestAnIPv6SiteIsSlowed(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p, q := start(t, e, url, atClock(c)), start(t, e, url, atClock(c))
		p.add(t, store.User{Name: "ana"})
		known := p.wantTry(t, "2001:db8:1::1", goodLogin("ana"), "in").Device
		site := networkBuckets("2001:db8:1::1")[1]
		if !strings.HasSuffix(site.Keys[0], "2001:db8:1::/48") {
			t.Fatalf("the bucket of the site is %s", site.Keys)
		}
		p.fill(t, site, siteLimit.Free-2)
		wrong := func(i int) LoginRequest {
			return LoginRequest{User: fmt.Sprint("nobody", i), Password: "wrong"}
		}
		p.wantTry(t, "2001:db8:1:1::1", wrong(1), "wrong")
		q.wantTry(t, "2001:db8:1:2::1", wrong(2), "wrong")
		q.wantTry(t, "2001:db8:1:3::1", wrong(3), "wait 1")
		p.wantTry(t, "2001:db8:1:ffff::1", goodLogin("ana"), "wait 1")
		p.wantTry(t, "2001:db8:1:ffff::1", goodLogin("ana").withDevice(known), "in")
		p.wantTry(t, "2001:db8:2:1::1", wrong(4), "wrong")
		p.wantTry(t, "::ffff:192.0.2.1", wrong(5), "wrong")
		if n := len(networkBuckets("::ffff:192.0.2.1")); n != 2 {
			t.Errorf("an IPv4 address has %d buckets", n)
		}
		c.Advance(time.Second)
		q.wantTry(t, "2001:db8:1:3::1", wrong(6), "wrong")
		q.wantTry(t, "2001:db8:1:4::1", wrong(7), "wait 2")

		// What anybody may request.
		ask := func(ip string) time.Duration {
			t.Helper()
			err := p.guard.captchas.ask(from(t.Context(), ip), captchaSignup)
			var many *TooManyError
			if errors.As(err, &many) {
				return many.Wait
			}
			must(t, err)
			return 0
		}
		p.fill(t, askedBuckets("signup", "2001:db8:1::1")[1], siteAskedLimit.Free-1)
		if wait := ask("2001:db8:1:1::1"); wait != 0 {
			t.Errorf("the last of a site waits %v", wait)
		}
		if wait := ask("2001:db8:1:2::1"); wait != siteAskedLimit.Window {
			t.Errorf("one more of the site waits %v", wait)
		}
		if wait := ask("2001:db8:2:2::1") + ask("192.0.2.1"); wait != 0 {
			t.Errorf("others wait %v", wait)
		}
	})
}
