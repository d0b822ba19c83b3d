package auth

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/auth/token"
	"clientes/store"
)

const (
	testGrace = 30 * time.Second
	testIdle  = 30 * time.Minute
	testMax   = 24 * time.Hour
)

// holder is somebody who has a refresh token of the one session of a walk.
type holder struct{ token int64 }

// walk is a session at an instant.
type walk struct {
	session store.Session
	now     time.Time
}

func newWalk() walk {
	return walk{
		store.Session{
			CreatedAt:  noon,
			RotatedAt:  noon,
			LastUsedAt: noon,
			ExpiresAt:  noon.Add(testIdle),
		},
		noon,
	}
}

// use presents a token. It returns the newest counter, and what became of the token.
func (w *walk) use(token int64) (int64, rotation) {
	var how rotation
	w.session, how = rotate(w.session, token, w.now, testGrace, testIdle, testMax)
	return w.session.Counter, how
}

func (w *walk) later(d time.Duration) { w.now = w.now.Add(d) }

func good(how rotation) bool { return how == rotated || how == again || how == renewed }

// everyOrder calls try with every sequence of the steps that has this length.
func everyOrder[S any](steps []S, length int, try func([]S)) {
	order := make([]S, length)
	var fill func(int)
	fill = func(i int) {
		if i == length {
			try(order)
			return
		}
		for _, s := range steps {
			order[i] = s
			fill(i + 1)
		}
	}
	fill(0)
}

// TestRetriesLogNobodyOut walks through every order of what happens to an honest
// client: answers that arrive, answers that are lost, two tabs that refresh together, short waits
// and long ones.
func TestRetriesLogNobodyOut(t *testing.T) {
	type step struct {
		name string
		do   func(*walk, *holder) bool
	}
	refresh := func(w *walk, h *holder, arrives bool) bool {
		next, how := w.use(h.token)
		if arrives {
			h.token = next
		}
		return good(how)
	}
	steps := []step{
		{"refresh", func(w *walk, h *holder) bool { return refresh(w, h, true) }},
		{"lost", func(w *walk, h *holder) bool { return refresh(w, h, false) }},
		{"two tabs", func(w *walk, h *holder) bool {
			first, how := w.use(h.token)
			w.later(time.Second)
			second, how2 := w.use(h.token)
			h.token = second
			return good(how) && good(how2) && first == second
		}},
		{"soon", func(w *walk, _ *holder) bool { w.later(time.Second); return true }},
		{"later", func(w *walk, _ *holder) bool { w.later(testGrace); return true }},
	}
	orders := 0
	everyOrder(steps, 7, func(order []step) {
		orders++
		w, h := newWalk(), new(holder)
		for i, s := range order {
			if !s.do(&w, h) {
				var names []string
				for _, s := range order[:i+1] {
					names = append(names, s.name)
				}
				t.Fatalf("logged out by %s", strings.Join(names, ", "))
			}
		}
	})
	if orders != 78125 {
		t.Errorf("%d orders", orders)
	}
}

// TestThiefAndVictimDoNotBothGoOn walks through every order in which the owner of a token, and a
// thief with a copy, come outside the grace. The first of them to come ends the session when coming
// again, at the latest.
func TestThiefAndVictimDoNotBothGoOn(t *testing.T) {
	for before := range 3 { // refreshes before the theft
		for _, lost := range []bool{false, true} { // whether the owner's last answer was lost
			everyOrder([]int{0, 1}, 9, func(order []int) {
				w := newWalk()
				var people [2]holder
				for range before {
					people[0].token, _ = w.use(people[0].token)
					w.later(testGrace)
				}
				if lost {
					w.use(people[0].token)
					w.later(testGrace)
				}
				people[1] = people[0]
				first, both, over := -1, false, false
				for i, who := range order {
					next, how := w.use(people[who].token)
					if over && good(how) {
						t.Fatalf("%v: the session lives again at %d", order, i)
					}
					if good(how) {
						if both && who == first {
							t.Fatalf("%v: both go on at %d", order, i)
						}
						people[who].token = next
						if first < 0 {
							first = who
						}
						both = both || who != first
					} else {
						over = true
						if how == stolen && w.session.EndedAt.IsZero() {
							t.Fatalf("%v: a theft at %d ends nothing", order, i)
						}
					}
					w.later(testGrace)
				}
			})
		}
	}
}

func TestRotationHonoursTheEnds(t *testing.T) {
	w := newWalk()
	w.session.EndedAt = noon
	if _, how := w.use(0); how != refused {
		t.Errorf("after a logout: %d", how)
	}
	w = newWalk()
	w.later(testIdle - time.Millisecond)
	if _, how := w.use(0); how != rotated {
		t.Errorf("just before the idle end: %d", how)
	}
	w.later(testIdle)
	if _, how := w.use(1); how != refused {
		t.Errorf("at the idle end: %d", how)
	}
	if !w.session.EndedAt.Equal(w.now) {
		t.Error("its end was not written")
	}
	w.later(-testIdle)
	if _, how := w.use(1); how != refused {
		t.Errorf("after the clock was set back: %d", how)
	}
	w = newWalk()
	token := int64(0)
	for w.now.Before(noon.Add(testMax)) {
		var how rotation
		if token, how = w.use(token); !good(how) {
			t.Fatalf("after %s: %d", w.now.Sub(noon), how)
		}
		if w.session.ExpiresAt.After(noon.Add(testMax)) {
			t.Fatalf("it would end at %s", w.session.ExpiresAt)
		}
		w.later(20 * time.Minute)
	}
	if _, how := w.use(token); how != refused {
		t.Errorf("at the absolute end: %d", how)
	}
}

func TestLowerLimitsEndASessionAtOnce(t *testing.T) {
	w := newWalk()
	w.later(time.Minute)
	want := w.session
	want.EndedAt = w.now
	after, how := rotate(w.session, 0, w.now, testGrace, 10*time.Second, 10*time.Second)
	if how != refused || after != want {
		t.Errorf("a session of a minute ago, under a limit of ten seconds: %d, %+v", how, after)
	}
}

func TestARememberedSessionMayBeIdleForLonger(t *testing.T) {
	const day = 24 * time.Hour
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		clock := authtest.StoppedAt(noon)
		p := start(t, e, url, atClock(clock))
		forgetful := p.with(t, func(cfg *Config) { cfg.RememberIdle = 0 })
		p.add(t, store.User{Name: "ana"})
		in := func(p *process, remember bool, want time.Duration) string {
			t.Helper()
			r := goodLogin("ana")
			r.Remember = remember
			g, err := p.Login(t.Context(), r)
			must(t, err)
			if g.RefreshExpiresIn != want {
				t.Errorf("remember %t: it lives for %s, want %s", remember, g.RefreshExpiresIn,
					want)
			}
			return g.RefreshToken
		}
		remembered := in(p, true, 14*day)
		unused, other := in(p, true, 14*day), in(p, false, 30*time.Minute)
		unheeded := in(forgetful, true, 30*time.Minute)

		clock.Advance(30 * time.Minute)
		for what, token := range map[string]string{"of another": other, "unheeded": unheeded} {
			_, err := p.Refresh(t.Context(), token)
			wantError(t, "after 30 minutes, "+what, err, ErrRefreshInvalid)
		}
		refresh := func(want time.Duration) {
			t.Helper()
			g, err := p.Refresh(t.Context(), remembered)
			must(t, err)
			if g.RefreshExpiresIn != want {
				t.Errorf("refreshed, it lives for %s, want %s", g.RefreshExpiresIn, want)
			}
			remembered = g.RefreshToken
		}
		clock.Advance(13*day - 30*time.Minute)
		refresh(14 * day)
		clock.Advance(day)
		_, err := p.Refresh(t.Context(), unused)
		wantError(t, "after 14 days", err, ErrRefreshInvalid)
		clock.Advance(12 * day)
		refresh(4 * day) // it ends 30 days after the login
	})
}

func TestATokenThatTheStoreHasLostIsNoTheft(t *testing.T) {
	w := newWalk()
	if _, how := w.use(5); how != refused || !w.session.EndedAt.IsZero() {
		t.Errorf("a token above the row's: %d, ended %s", how, w.session.EndedAt)
	}
}

func TestRefreshTokens(t *testing.T) {
	old := testKeys(t, testSecret)
	refreshToken := signRefreshToken(old, testSession, 7)
	for _, keys := range []*token.Keyring{
		old, testKeys(t, otherSecret, testSecret), testKeys(t, testSecret, otherSecret),
	} {
		id, n, ok := parseRefreshToken(keys, refreshToken)
		if id != testSession || n != 7 || !ok {
			t.Errorf("read as %q, %d, %t", id, n, ok)
		}
	}
	if _, _, ok := parseRefreshToken(testKeys(t, otherSecret), refreshToken); ok {
		t.Error("a secret that is no longer configured is accepted")
	}
	for _, text := range []string{"", testSession, testSession + ".", testSession + ".a"} {
		if _, _, ok := parseRefreshToken(old, old.Sign(token.Refresh, text)); ok {
			t.Errorf("%q is accepted", text)
		}
	}
}

// TestTheRowsOfOldSessionsGo cleans a real store.
func TestTheRowsOfOldSessionsGo(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		p := start(t, e, url)
		u := p.add(t, store.User{Name: "ana"})
		now := time.Now()
		for i := range cleanBatch + 1 {
			old := now.Add(-2 * keepDead)
			n := store.Session{
				ID:         fmt.Sprint(i),
				UserID:     u.ID,
				CreatedAt:  old,
				LastUsedAt: old,
				RotatedAt:  old,
				ExpiresAt:  old,
				TokenExp:   old,
			}
			_, err := p.store.OpenSession(t.Context(),
				store.Login{Session: n, Generation: u.Generation})
			must(t, err)
		}
		g, err := p.Login(t.Context(), goodLogin("ana"))
		must(t, err)
		newCleaner(p.cfg).once(t.Context())
		for _, id := range []string{"0", fmt.Sprint(cleanBatch)} {
			if _, err := p.store.Session(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("session %s: %v", id, err)
			}
		}
		again := start(t, e, url)
		must(t, again.verdict(t, g.Token))
		_, err = again.Refresh(t.Context(), g.RefreshToken)
		must(t, err)
	})
}

// BenchmarkDenyList measures what a million ended sessions cost: bytes an entry, the time of a
// look-up, and the time to check a token with and without them.
func BenchmarkDenyList(b *testing.B) {
	const entries = 1_000_000
	id := func(i int) (s token.SessionID) {
		binary.LittleEndian.PutUint64(s[:], uint64(i)*0x9E3779B97F4A7C15) // spread like random ids
		binary.LittleEndian.PutUint64(s[8:], uint64(i))
		return s
	}
	memory := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := memory()
	var full sessionSet
	for i := range entries {
		full.end(id(i), noon)
	}
	bytes := float64(memory()-before) / entries
	b.Run("look-up", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if full.state(id(i%entries)) != ended {
				b.Fatal("forgotten")
			}
		}
		b.ReportMetric(bytes, "B/entry")
	})
	check := func(list *sessionSet) func(b *testing.B) {
		issuer := token.NewIssuer(token.IssuerConfig{
			Keys: testKeys(b, testSecret), Issuer: "clientes", Audience: "clientes",
			TTL: time.Minute, Now: func() time.Time { return noon },
		})
		s := store.Session{ID: testSession, CreatedAt: noon, AMR: amrBoth}
		minted, err := issuer.Mint(
			store.User{ID: 7, Role: store.Editor}, s, issuer.Validity(time.Hour))
		must(b, err)
		return func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a, err := issuer.Verify(minted)
				if err != nil || list != nil && list.state(a.Session) == ended {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("check without", check(nil))
	b.Run("check with", check(&full))
	runtime.KeepAlive(&full)
}
