package auth

import (
	"context"
	"errors"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/store"
)

// TestAProcessThatStartsLateKnowsWhatEnded checks that the memory is rebuilt from the store.
func TestAProcessThatStartsLateKnowsWhatEnded(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		a := start(t, e, url)
		a.add(t, store.User{Name: "ana"})
		ended, alive := a.login(t, "ana"), a.login(t, "ana")
		must(t, a.Logout(t.Context(), ended))
		b := start(t, e, url)
		// From the first moment on, before and after the first answer of the store.
		for range 100 {
			wantError(t, "the ended session", b.verdict(t, ended), ErrTokenRevoked)
			must(t, b.verdict(t, alive))
		}
		authtest.Eventually(t, "the list is current", b.denied.current)
		wantError(t, "the ended session", b.verdict(t, ended), ErrTokenRevoked)
	})
}

// TestNoGuessWithoutAStore cuts a process off from its store.
func TestNoGuessWithoutAStore(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		a, b := start(t, e, url), start(t, e, url)
		a.add(t, store.User{Name: "ana"})
		known, ended, alive := a.login(t, "ana"), a.login(t, "ana"), a.login(t, "ana")
		must(t, a.Logout(t.Context(), known))
		authtest.Eventually(t, "b knows",
			func() bool { return errors.Is(b.verdict(t, known), ErrTokenRevoked) })
		authtest.Eventually(t, "b can decide", func() bool { return b.EndsKnown() == nil })

		b.away.Store(true)
		authtest.Eventually(t, "b knows that it does not know",
			func() bool { return b.EndsKnown() != nil })
		must(t, a.Logout(t.Context(), ended))
		wantError(t, "what it knows", b.verdict(t, known), ErrTokenRevoked)
		for _, token := range []string{ended, alive} {
			wantError(t, "what it cannot know", b.verdict(t, token), store.ErrUnavailable)
			err := b.Logout(t.Context(), token)
			wantError(t, "a logout that cannot be kept", err, store.ErrUnavailable)
		}
		wantError(t, "a bad token", b.verdict(t, "undefined"), ErrTokenInvalid)

		b.away.Store(false)
		authtest.Eventually(t, "b can decide again", func() bool { return b.EndsKnown() == nil })
		wantError(t, "it", b.verdict(t, ended), ErrTokenRevoked)
		must(t, b.verdict(t, alive))
	})
}

// TestNoClockBringsASessionBack ends sessions by a clock that is ahead, and cleans up by it. Then
// the clock is right again.
func TestNoClockBringsASessionBack(t *testing.T) {
	for name, ahead := range map[string]time.Duration{
		"an hour": time.Hour, "400 days": 400 * 24 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
				clock := authtest.NewClock()
				// No token expires while this test runs, on a slow machine either.
				long := func(cfg *Config) {
					cfg.TokenTTL, cfg.SessionIdle, cfg.SessionMax = 20*time.Hour, 20*time.Hour,
						20*time.Hour
				}
				a, b := start(t, e, url, long, atClock(clock)), start(t, e, url, long)
				a.add(t, store.User{Name: "ana"})
				tokens := make(map[string]string)
				for _, what := range []string{
					"ended here", "ended elsewhere", "ended before", "ended here and removed",
					"alive",
				} {
					tokens[what] = a.login(t, "ana")
					must(t, b.verdict(t, tokens[what]))
				}
				must(t, a.Logout(t.Context(), tokens["ended before"]))

				clock.Advance(ahead)
				must(t, a.Logout(t.Context(), tokens["ended here"]))
				must(t, a.Logout(t.Context(), tokens["ended here and removed"]))
				must(t, b.Logout(t.Context(), tokens["ended elsewhere"]))
				authtest.Eventually(t, "a knows of the end elsewhere", func() bool {
					return a.stateOf(t, tokens["ended elsewhere"]) != living
				})
				known := &a.denied.known
				era := known.era.Load()
				clock.Advance(forgetEvery)
				authtest.Eventually(t, "a forgets", func() bool { return known.era.Load() != era })
				gone := a.sessionOf(t, tokens["ended here and removed"])
				_, err := a.store.DeleteSessions(t.Context(), clock.Now().Add(-keepDead), 1000)
				must(t, err)
				_, err = a.store.Session(t.Context(), gone)
				if lost := errors.Is(err, store.ErrNotFound); lost != (ahead > 24*time.Hour) {
					t.Fatalf("removed: %t, %v", lost, err)
				}

				clock.Advance(-ahead - forgetEvery)
				c := start(t, e, url, long)
				for what, token := range tokens {
					// A row may be gone before b has asked which sessions ended.
					authtest.Eventually(t, "b knows what ended", func() bool {
						return what == "alive" || errors.Is(b.verdict(t, token), ErrTokenRevoked)
					})
				}
				for range 3 {
					for what, token := range tokens {
						for _, p := range []*process{a, b, c} {
							err := p.verdict(t, token)
							if what == "alive" && ahead < 24*time.Hour {
								must(t, err)
							} else if what != "alive" && !errors.Is(err, ErrTokenRevoked) {
								t.Errorf("%s: %v", what, err)
							}
						}
					}
				}
				// What lived is lost with its row, for everybody.
				if ahead > 24*time.Hour {
					for _, p := range []*process{a, b, c} {
						authtest.Eventually(t, "the lost session is refused", func() bool {
							return errors.Is(p.verdict(t, tokens["alive"]), ErrTokenRevoked)
						})
					}
				}
			})
		})
	}
}

// TestASessionThatTheDatabaseLostIsRefused removes the row of a session that lives, as a database
// does that was restored from a copy.
func TestASessionThatTheDatabaseLostIsRefused(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		a := start(t, e, url)
		a.add(t, store.User{Name: "ana"})
		lost := a.login(t, "ana")
		me, err := a.Authenticate(t.Context(), lost)
		must(t, err)
		work, stop := a.WhileSession(t.Context(), me)
		defer stop()
		_, err = a.store.DeleteSessions(t.Context(), time.Now().Add(10_000*time.Hour), 1000)
		must(t, err)
		kept := a.login(t, "ana")

		late := start(t, e, url)
		wantError(t, "where it was never known, it", late.verdict(t, lost), ErrTokenRevoked)
		command := a.with(t, func(*Config) {})
		wantError(t, "a command finds it", command.verdict(t, lost), ErrTokenRevoked)
		authtest.Eventually(t, "where it was known, it is refused", func() bool {
			return errors.Is(a.verdict(t, lost), ErrTokenRevoked)
		})
		authtest.Eventually(t, "its work ends", func() bool {
			return errors.Is(context.Cause(work), ErrTokenRevoked)
		})
		for _, p := range []*process{a, late, command} {
			must(t, p.verdict(t, kept))
		}
	})
}

// TestALogoutOfALostSessionCountsHere logs out where the row is gone and the memory has it.
func TestALogoutOfALostSessionCountsHere(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		a := start(t, e, url)
		a.add(t, store.User{Name: "ana"})
		for range 20 {
			lost := a.login(t, "ana")
			must(t, a.verdict(t, lost))
			_, err := a.store.DeleteSessions(t.Context(), time.Now().Add(10_000*time.Hour), 1000)
			must(t, err)
			must(t, a.Logout(t.Context(), lost))
			wantError(t, "it", a.verdict(t, lost), ErrTokenRevoked)
		}
	})
}

// sessionOf returns the session of an access token.
func (p *process) sessionOf(t testing.TB, accessToken string) string {
	t.Helper()
	a, _ := p.access.Verify(accessToken)
	return a.SessionID
}

// stateOf returns what the memory of the process says of a token's session.
func (p *process) stateOf(t testing.TB, accessToken string) state {
	t.Helper()
	a, _ := p.access.Verify(accessToken)
	return p.denied.known.state(a.Session)
}
