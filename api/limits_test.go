package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"clientes/auth"
	"clientes/auth/authtest"
	"clientes/auth/password"
	"clientes/store"
)

// fill makes the bucket of a key look as if n had been counted in it just now.
func (f *fixture) fill(key string, n int64) {
	f.t.Helper()
	err := f.store.UpdateBuckets(f.t.Context(), []string{key}, func(rows []store.Bucket) error {
		now := store.Instant(f.store.Now())
		rows[0].Count, rows[0].Since, rows[0].LastAt = n, now, now
		rows[0].ForgetAt = now.Add(15 * time.Minute)
		return nil
	})
	authtest.Must(f.t, err)
}

func TestRightPasswordsAreLimited(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		known := device(t, f.call("POST", "/login", viewerLogin))
		f.fill(fmt.Sprintf("passes %d", f.users[store.Viewer].ID), 598)
		f.want(f.call("POST", "/login", viewerLogin), 200, "")
		f.want(f.call("POST", "/login", viewerLogin), 200, "")
		a := f.call("POST", "/login", viewerLogin)
		f.want(a, 429, "too_many_attempts")
		if !strings.Contains(a.body, `"auth":false`) || !strings.Contains(a.body, "too often") ||
			a.header.Get("Retry-After") == "" {
			t.Errorf("the answer is %s, Retry-After %s", a.body, a.header.Get("Retry-After"))
		}
		f.want(f.call("POST", "/login",
			`{"user":"the-viewer","password":"correct horse","device":"`+known+`"}`), 200, "")
		f.want(f.call("POST", "/login", `{"user":"the-editor","password":"correct horse"}`),
			200, "")
	})
}

// A client that refreshes in a loop is stopped after 1,200 times. The count is in the memory of the
// process, so the engine makes no difference.
func TestARefreshInALoopIsStopped(t *testing.T) {
	e, c := authtest.SQLite(), authtest.StoppedAt(store.Instant(time.Now()))
	f := newFixture(t, e.Open(t, e.Migrated(t), c.Now))
	g := granted(t, f.call("POST", "/login", viewerLogin))
	token := g.RefreshToken
	for range 1199 {
		next, err := f.auth.Refresh(t.Context(), token)
		authtest.Must(t, err)
		token = next.RefreshToken
	}
	token = granted(t, f.call("POST", "/refresh", refreshBody(token))).RefreshToken
	a := f.call("POST", "/refresh", refreshBody(token))
	f.want(a, 429, "too_many_attempts")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	f.wantToken(g.Token, 200, "")
	f.want(f.call("POST", "/logout", refreshBody(token)), 200, "")
	f.wantToken(g.Token, 401, "token_revoked")
}

// TestWhatCallersDoIsCounted checks how many events somebody with a token can cause.
func TestWhatCallersDoIsCounted(t *testing.T) {
	onEachClock(t, func(t *testing.T, f *fixture, _ *authtest.Clock) {
		rows := func(kind string) (counts []int64) {
			a := f.as(store.Admin, "GET",
				fmt.Sprintf("/audit?event=%s&user_id=%d", kind, f.users[store.Viewer].ID), "")
			var events []struct {
				Count int64 `json:"count"`
			}
			authtest.Must(t, json.Unmarshal([]byte(a.body), &events))
			for _, e := range events {
				counts = append(counts, e.Count)
			}
			return counts
		}
		want := func(kind, want string) {
			t.Helper()
			if got := fmt.Sprint(rows(kind)); got != want {
				t.Errorf("the rows of %s count %s, want %s", kind, got, want)
			}
		}
		for range 10 {
			g := granted(t, f.call("POST", "/login", viewerLogin))
			for range 3 {
				f.want(f.call("POST", "/logout", "", "x-access-token", g.Token), 200, "")
			}
		}
		want("login", "[9 1 1]") // one when the fixture began, and one from a new network
		want("logout", "[10]")
		path := fmt.Sprintf("/users/%d", f.users[store.Viewer].ID)
		for range 5 {
			f.want(f.as(store.Admin, "DELETE", path+"/sessions", ""), 204, "")
			f.want(f.as(store.Admin, "PATCH", path, `{"disabled":true}`), 200, "")
			f.want(f.as(store.Admin, "PATCH", path, `{"disabled":false}`), 200, "")
		}
		want("logout_everywhere", "[5]")
		want("user_disabled", "[5]")
		want("user_enabled", "[5]")
	})
}

// TestAKnownUserPassesAFlood fills the queue for strangers. A login with a device token, and a user
// with a session, are next all the same.
func TestAKnownUserPassesAFlood(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		const waiting = 8
		known := device(t, f.call("POST", "/login", viewerLogin))
		gate := password.NewGate(quickHasher, 1, waiting)
		var err error
		f.server.cfg.Auth, err = auth.New(auth.Config{
			Store: f.store, Gate: gate, Secret: testSecret, Issuer: "clientes",
			Audience: "clientes", TokenTTL: 5 * time.Minute, SessionIdle: 30 * time.Minute,
			SessionMax: 30 * time.Minute, Now: f.server.cfg.Now, Log: f.server.cfg.Log,
		})
		authtest.Must(t, err)
		full := func(gate *password.Gate) bool {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			err := gate.Do(ctx, func(password.Hasher) error { return context.Canceled })
			return errors.Is(err, auth.ErrOverloaded)
		}
		leave := make(chan bool)
		var came atomic.Int64 // strangers
		enter := func(gate *password.Gate, f func()) {
			go gate.Do(t.Context(), func(password.Hasher) error { f(); return nil })
		}
		defer close(leave)
		for range 1 + waiting {
			enter(gate, func() { came.Add(1); <-leave })
		}
		f.eventually("the queue for strangers is full",
			func() bool { return full(gate) && came.Load() == 1 })
		login := func(user, device string) string {
			return `{"user":"` + user + `","password":"correct horse","device":"` + device + `"}`
		}
		for i, r := range [][2]string{
			{"/login", login("the-viewer", known)},
			{"/me/mfa", `{"current":"correct horse"}`},
		} {
			f.want(f.call("POST", "/login", viewerLogin), 503, "overloaded")
			f.want(f.call("POST", "/login", login("the-editor", known)), 503, "overloaded")
			// The lane has one place less than it needs to be full, so that it shows when the
			// request is in it.
			for range waiting {
				enter(gate.Known(), func() {})
			}
			answers := make(chan answer, 1)
			go func() {
				a, err := f.try("POST", r[0], r[1], "x-access-token", f.tokens[store.Viewer])
				if err != nil {
					t.Error(err)
				}
				answers <- a
			}()
			f.eventually("the lane is full", func() bool { return full(gate.Known()) })
			leave <- true
			f.want(soon(t, answers), 200, "")
			enter(gate, func() { came.Add(1); <-leave })
			before := int64(2 + i)
			f.eventually("the next stranger is in, and the queue is full again", func() bool {
				return came.Load() == before && full(gate)
			})
		}
	})
}

// TestAnIPv6SiteIsSlowed has strangers of one /48 fail, of whom no network fails often.
func TestAnIPv6SiteIsSlowed(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		f.fill("address 2001:db8:7::/48", 499)
		fail := func(i int, ip string) answer {
			return f.call("POST", "/login", fmt.Sprintf(`{"user":"user%d","password":"wrong"}`, i),
				"X-Forwarded-For", ip)
		}
		f.want(fail(1, "2001:db8:7:1::1"), 401, "invalid_login")
		f.want(fail(2, "2001:db8:7:2::1"), 429, "too_many_attempts")
		f.want(fail(3, "2001:db8:8:1::1"), 401, "invalid_login")
		f.want(fail(4, "::ffff:192.0.2.1"), 401, "invalid_login")
	}, stopTheClock, trustLoopback)
}

// noEnds is a store that cannot end a session while it is told so.
type noEnds struct {
	store.Store
	away atomic.Bool
}

func (s *noEnds) EndSession(ctx context.Context, id string) (store.Session, error) {
	if s.away.Load() {
		return store.Session{}, store.ErrUnavailable
	}
	return s.Store.EndSession(ctx, id)
}

// TestACookieLoginEndsTheSessionBefore is OWASP ASVS 5.0, 7.2.4.
func TestACookieLoginEndsTheSessionBefore(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		st := &noEnds{Store: e.Open(t, url, time.Now)}
		f := newFixture(t, st)
		const own = "http://" + ownHost
		body := func(role store.Role, password string) string {
			return fmt.Sprintf(`{"user":"the-%s","password":%q,"cookie":true}`, role, password)
		}
		login := func(role store.Role, cookie string) grant {
			t.Helper()
			return granted(t, f.call("POST", "/login", body(role, testPassword),
				"Origin", own, "Cookie", cookie))
		}
		first, elsewhere := login(store.Viewer, ""), login(store.Viewer, "")
		// What is no login over this session does not end it.
		f.want(f.call("POST", "/login", body(store.Viewer, "wrong"),
			"Origin", own, "Cookie", first.cookie), 401, "invalid_login")
		f.want(f.call("POST", "/login", body(store.Viewer, testPassword),
			"Origin", "https://evil.example", "Cookie", first.cookie), 403, "cross_origin")
		f.want(f.call("POST", "/login", viewerLogin, "Origin", own, "Cookie", first.cookie),
			200, "")
		login(store.Viewer, first.cookie[:len(first.cookie)-2]+"xx") // another MAC
		f.wantToken(first.Token, 200, "")

		// If the store cannot end it now, the browser has its old session still.
		st.away.Store(true)
		a := f.call("POST", "/login", body(store.Viewer, testPassword),
			"Origin", own, "Cookie", first.cookie)
		f.want(a, 503, "store_unavailable")
		if set := a.header.Values("Set-Cookie"); set != nil {
			t.Errorf("a login that failed sets %q", set)
		}
		f.wantToken(first.Token, 200, "")
		st.away.Store(false)

		second := login(store.Viewer, first.cookie)
		f.wantToken(first.Token, 401, "token_revoked")
		f.want(f.call("POST", "/refresh", "", "Cookie", first.cookie), 401, "refresh_invalid")
		f.wantToken(second.Token, 200, "")
		third := login(store.Editor, second.cookie+"; "+first.cookie) // by another user
		f.wantToken(second.Token, 401, "token_revoked")
		f.wantToken(third.Token, 200, "")
		f.wantToken(elsewhere.Token, 200, "")
		login(store.Editor, third.cookie)
		granted(t, f.call("POST", "/refresh", "", "Cookie", elsewhere.cookie))
	})
}
