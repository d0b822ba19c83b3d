package auth

import (
	"fmt"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/auth/throttle"
	"clientes/store"
)

// TestJumpsOfTheClock does what people do while the store's clock is wrong, and again when it is
// right. Nobody waits for longer than a quarter of an hour, and what has ended stays ended.
func TestJumpsOfTheClock(t *testing.T) {
	for _, jump := range []time.Duration{
		time.Hour, -time.Hour, 400 * 24 * time.Hour, -24 * time.Hour,
	} {
		t.Run(jump.String(), func(t *testing.T) {
			authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
				checkJump(t, e, url, jump)
			})
		})
	}
}

func checkJump(t *testing.T, e authtest.Engine, url string, jump time.Duration) {
	c := authtest.NewClock()
	p := start(t, e, url, atClock(c))
	for _, name := range []string{"ana", "bia", "eva"} {
		p.add(t, store.User{Name: name})
	}
	ended, err := p.Login(from(t.Context(), "192.0.2.1"), goodLogin("eva"))
	must(t, err)
	must(t, p.LogoutRefresh(t.Context(), ended.RefreshToken))

	c.Advance(jump)
	for range 7 {
		p.try(t, "192.0.2.1", LoginRequest{User: "ana", Password: "wrong"})
		c.Advance(20 * time.Second)
	}
	g, err := p.Login(from(t.Context(), "192.0.2.2"), goodLogin("bia"))
	must(t, err)
	_, err = p.Refresh(t.Context(), ended.RefreshToken)
	wantError(t, "what has ended, while the clock is wrong", err, ErrRefreshInvalid)

	c.Advance(-jump)
	_, err = p.Refresh(t.Context(), ended.RefreshToken)
	wantError(t, "what has ended", err, ErrRefreshInvalid)
	// The first attempt may be refused, and pulls the count back.
	if _, end := p.try(t, "192.0.2.1", goodLogin("ana")); end != "in" {
		c.Advance(15 * time.Minute)
		p.wantTry(t, "192.0.2.1", goodLogin("ana"), "in")
	}
	again, err := p.Refresh(t.Context(), g.RefreshToken)
	switch {
	case jump > 0 && jump <= maxAhead:
		must(t, err)
		if again.ExpiresIn != p.cfg.TokenTTL {
			t.Errorf("a token for %v", again.ExpiresIn)
		}
	default: // nobody can tell how long it was unused, or for long
		wantError(t, "a session of long ago or far ahead", err, ErrRefreshInvalid)
		c.Advance(jump) // wrong again
		_, err = p.Refresh(t.Context(), g.RefreshToken)
		wantError(t, "a session that was refused", err, ErrRefreshInvalid)
	}
}

// TestTheGraceOfAClockAhead uses a token twice whose session was rotated by a clock ahead.
func TestTheGraceOfAClockAhead(t *testing.T) {
	w := newWalk()
	w.later(time.Hour / 3)
	first, _ := w.use(0)
	w.later(-10 * time.Second)
	if second, how := w.use(0); how != again || second != first {
		t.Errorf("ten seconds back: %d", how)
	}
	w.later(-10 * time.Minute)
	if _, how := w.use(0); how != renewed {
		t.Errorf("ten minutes back: %d", how)
	}
}

// TestACodeAfterAClockAhead uses codes after one was used an hour ahead.
func TestACodeAfterAClockAhead(t *testing.T) {
	secret := []byte("12345678901234567890")
	last := stepAt(noon.Add(time.Hour))
	code := totp(secret, stepAt(noon))
	step, ok := codeStep(secret, code, noon, last)
	if !ok {
		t.Fatal("a code is refused for an hour")
	}
	if _, ok := codeStep(secret, code, noon, step); ok {
		t.Error("it works twice")
	}
}

// TestCountsOutliveTheSecret rotates the secret as the page says, and then replaces it at once.
func TestCountsOutliveTheSecret(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		const third = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		c := authtest.StoppedAt(someDay)
		p := start(t, e, url, atClock(c))
		p.add(t, store.User{Name: "ana"})
		secrets := map[string]*process{
			"the first": p,
			"added":     p.with(t, withSecrets(testSecret, otherSecret)),
			"swapped":   p.with(t, withSecrets(otherSecret, testSecret)),
			"dropped":   p.with(t, withSecrets(otherSecret)),
		}
		for _, name := range []string{"ana", "nobody"} {
			wrong := LoginRequest{User: name, Password: "wrong"}
			order := []string{"the first", "first", "added", "swapped", "dropped"}
			for i := range 5 {
				at := secrets[order[min(i, 3)]]
				if at == nil {
					at = p
				}
				at.wantTry(t, fmt.Sprintf("192.0.2.%d", i), wrong, "wrong")
			}
			for what, at := range secrets {
				if what == "the first" {
					continue // it does not know the key of those that only have the second
				}
				if _, end := at.try(t, "192.0.2.9", wrong); end != "wait 1" {
					t.Errorf("%s, %s: it ends in %q", name, what, end)
				}
			}
		}
		p.with(t, withSecrets(third)).wantTry(t, "192.0.2.9", goodLogin("ana"), "wait 1")
	})
}

// TestABucketOfAClockAhead fails under a clock ahead, for each kind of limit.
func TestABucketOfAClockAhead(t *testing.T) {
	for _, limit := range []throttle.Limit{nameLimit, networkLimit, codesLimit, mailsLimit} {
		c := authtest.StoppedAt(someDay)
		l := throttle.NewLimiter(authtest.Buckets{}, c.Now)
		b := newBucket("x", limit)
		c.Advance(400 * 24 * time.Hour)
		for range limit.Free {
			_, err := l.Ask(t.Context(), b)
			must(t, err)
		}
		c.Advance(-400 * 24 * time.Hour)
		longest := limit.Window
		if limit.Slowed {
			longest = 15 * time.Minute
		}
		if _, err := l.Reserve(t.Context(), b); err == nil {
			t.Errorf("%+v: it is not counted", limit)
		}
		c.Advance(longest)
		r, err := l.Reserve(t.Context(), b)
		must(t, err)
		must(t, r.Release(t.Context()))
	}
}
