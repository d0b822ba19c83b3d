package auth

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/auth/token"
	"clientes/store"
)

func TestLoginAndWhoIsAsking(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		p := start(t, e, url)
		u := p.add(t, store.User{Name: "Ana", Role: store.Editor})
		g, err := p.Login(from(t.Context(), "192.0.2.1"), goodLogin("ANA"))
		must(t, err)
		if g.ExpiresIn != 5*time.Minute || g.User.ID != u.ID || g.User.Name != "Ana" {
			t.Errorf("granted %v to %v", g.ExpiresIn, g.User.ID)
		}
		c, err := p.Authenticate(t.Context(), g.Token)
		must(t, err)
		if c.UserID != u.ID || c.Role != store.Editor || c.TokenID == "" {
			t.Errorf("caller %+v", c)
		}
		s, err := p.store.Session(t.Context(), c.SessionID)
		must(t, err)
		if s.UserID != u.ID || s.IP != "192.0.2.1" || s.UserAgent != "test" ||
			!s.EndedAt.IsZero() || !s.ExpiresAt.Equal(s.CreatedAt.Add(30*time.Minute)) ||
			!s.TokenExp.After(s.CreatedAt) {
			t.Errorf("session %+v", s)
		}
		for name, r := range map[string]LoginRequest{
			"a wrong password": {User: "ana", Password: "Correct horse battery"},
			"no password":      {User: "ana"},
			"nobody":           {User: "bia", Password: goodPassword},
			"no name at all":   {User: "\x00", Password: goodPassword},
		} {
			if _, err := p.Login(t.Context(), r); !errors.Is(err, ErrInvalidLogin) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestAnEndIsHonouredEverywhere ends sessions in one process and waits until others know it.
func TestAnEndIsHonouredEverywhere(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		a, b := start(t, e, url), start(t, e, url)
		for i, end := range []struct {
			name string
			does func(name, token string) error
			atA  bool // the process that ended it refuses at once
		}{
			{"logout", func(_, token string) error { return a.Logout(t.Context(), token) }, true},
			{"disabling", func(name, _ string) error {
				return a.accounts.Disable(t.Context(), name)
			}, false},
			{"another password", func(name, _ string) error {
				return a.accounts.SetPassword(t.Context(), name, "another horse battery")
			}, false},
			{"another role", func(name, _ string) error {
				return a.accounts.SetRole(t.Context(), name, store.Admin)
			}, false},
			{"deleting", func(name, _ string) error {
				return a.accounts.Delete(t.Context(), name)
			}, false},
		} {
			name := fmt.Sprint("user", i)
			a.add(t, store.User{Name: name})
			token, other := a.login(t, name), b.login(t, name)
			for _, p := range []*process{a, b} {
				must(t, p.verdict(t, token))
				must(t, p.verdict(t, other))
			}
			must(t, end.does(name, token))
			if err := a.verdict(t, token); end.atA && !errors.Is(err, ErrTokenRevoked) {
				t.Errorf("%s: where it happened the token: %v", end.name, err)
			}
			for _, p := range []*process{a, b} {
				authtest.Eventually(t, end.name+" is known",
					func() bool { return errors.Is(p.verdict(t, token), ErrTokenRevoked) })
			}
			if err := b.verdict(t, other); end.name == "logout" && err != nil {
				t.Errorf("%s ended another session: %v", end.name, err)
			}
			if end.name != "logout" {
				authtest.Eventually(t, end.name+" is known of every session",
					func() bool { return errors.Is(b.verdict(t, other), ErrTokenRevoked) })
			}
			must(t, b.Logout(t.Context(), token)) // again, elsewhere
		}
	})
}

// TestWorkOfASessionThatHasEnded begins long work when the session has just ended.
func TestWorkOfASessionThatHasEnded(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		p := start(t, e, url)
		p.add(t, store.User{Name: "ana"})
		me, token := p.callerOf(t, "ana", goodPassword)
		before, stop := p.WhileSession(t.Context(), me)
		defer stop()
		must(t, p.Logout(t.Context(), token))
		after, stop := p.WhileSession(t.Context(), me)
		defer stop()
		wantError(t, "work that was under way", context.Cause(before), ErrTokenRevoked)
		wantError(t, "work that begins", context.Cause(after), ErrTokenRevoked)
	})
}

// TestALoginDoesNotOutliveTheSessions disables a user between the check of the password
// and the insert of the session.
func TestALoginDoesNotOutliveTheSessions(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		p := start(t, e, url)
		p.add(t, store.User{Name: "ana"})
		for name, end := range map[string]func(ctx context.Context) error{
			"a new password": func(ctx context.Context) error {
				return p.accounts.SetPassword(ctx, "ana", goodPassword)
			},
			"another role": func(ctx context.Context) error {
				return p.accounts.SetRole(ctx, "ana", store.Editor)
			},
			"disabled": func(ctx context.Context) error { return p.accounts.Disable(ctx, "ana") },
			"deleted":  func(ctx context.Context) error { return p.accounts.Delete(ctx, "ana") },
		} {
			u, err := p.store.UserByName(t.Context(), "ana")
			if errors.Is(err, store.ErrNotFound) {
				u, err = p.accounts.Add(t.Context(), store.User{Name: "ana", Role: store.Viewer},
					goodPassword)
			}
			must(t, err)
			if u.Disabled {
				must(t, p.accounts.Enable(t.Context(), "ana"))
			}
			another := p.over(t, endingStore{p.store, end})
			_, err = another.Login(t.Context(), goodLogin("ana"))
			if !errors.Is(err, ErrInvalidLogin) {
				t.Errorf("%s while the login was under way: %v", name, err)
			}
		}
	})
}

// TestARightPasswordThatLostTheRace is not counted as a failure: its user has made no mistake.
func TestARightPasswordThatLostTheRace(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		p := start(t, e, url)
		ana := p.add(t, store.User{Name: "ana"})
		late := p.over(t, endingStore{p.store, func(ctx context.Context) error {
			return p.LogoutEverywhere(ctx, ana.ID)
		}})
		for range 2 * nameLimit.Free {
			late.wantTry(t, "192.0.2.1", goodLogin("ana"), "wrong")
		}
		p.wantTry(t, "192.0.2.1", goodLogin("ana"), "in")
	})
}

// endingStore does something to a user just before a session is created.
type endingStore struct {
	Store
	end func(context.Context) error
}

func (s endingStore) OpenSession(ctx context.Context, l store.Login) (store.Opened, error) {
	if err := s.end(ctx); err != nil {
		return store.Opened{}, err
	}
	return s.Store.OpenSession(ctx, l)
}

func TestAccounts(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		a := start(t, e, url).accounts
		ctx := t.Context()
		var invalid *store.InvalidError
		var conflict *store.ConflictError
		_, err := a.Add(ctx, store.User{Name: "a b", Email: "x", Role: "root"}, "short")
		if !errors.As(err, &invalid) || len(invalid.Fields) != 4 {
			t.Errorf("every fault at once: %v", err)
		}
		_, err = a.Add(ctx, store.User{Name: "ana", Role: store.Viewer, PasswordHash: "plain"}, "")
		if !errors.As(err, &invalid) || invalid.Fields[0].Field != "password_hash" {
			t.Errorf("a hash of no kind: %v", err)
		}
		u, err := a.Add(ctx, store.User{Name: "ana", Role: store.Viewer, PasswordHash: someHash},
			"")
		must(t, err)
		if u.PasswordHash != someHash {
			t.Error("the hash was changed")
		}
		_, err = a.Add(ctx, store.User{Name: "ANA", Role: store.Viewer}, goodPassword)
		if !errors.As(err, &conflict) || conflict.Field != "user" {
			t.Errorf("a name twice: %v", err)
		}
		if err := a.SetRole(ctx, "ana", "root"); !errors.As(err, &invalid) {
			t.Errorf("no such role: %v", err)
		}
		if err := a.SetPassword(ctx, "ana", "short"); !errors.As(err, &invalid) {
			t.Errorf("a short password: %v", err)
		}
		for name, err := range map[string]error{
			"another's name": a.SetPassword(ctx, "ana", "zoltrix99"),
			"a good one":     a.SetPassword(ctx, "ana", goodPassword),
		} {
			if err != nil {
				t.Errorf("%s as a password: %v", name, err)
			}
		}
		_, err = a.Add(ctx,
			store.User{Name: "bia", Email: "zoltrix@example.com", Role: store.Viewer}, "zoltrix99")
		if !errors.As(err, &invalid) || invalid.Fields[0].Field != "password" ||
			invalid.Fields[0].Code != "too_guessable" {
			t.Errorf("the own email as the first password: %v", err)
		}
		_, err = a.Add(ctx,
			store.User{Name: "bia", Email: "zoltrix@example.com", Role: store.Viewer}, goodPassword)
		must(t, err)
		err = a.SetPassword(ctx, "bia", "zoltrix99")
		if !errors.As(err, &invalid) || invalid.Fields[0].Code != "too_guessable" {
			t.Errorf("the user's email as another password: %v", err)
		}
		must(t, a.SetRole(ctx, "Ana", store.Admin))
		for name, err := range map[string]error{
			"disable": a.Disable(ctx, "ana"),
			"demote":  a.SetRole(ctx, "ana", store.Editor),
			"delete":  a.Delete(ctx, "ana"),
		} {
			if !errors.Is(err, store.ErrLastAdmin) {
				t.Errorf("%s the last admin: %v", name, err)
			}
		}
		for name, err := range map[string]error{
			"role":     a.SetRole(ctx, "nobody", store.Viewer),
			"password": a.SetPassword(ctx, "nobody", goodPassword),
			"disable":  a.Disable(ctx, "nobody"),
			"enable":   a.Enable(ctx, "nobody"),
			"delete":   a.Delete(ctx, "nobody"),
		} {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s of nobody: %v", name, err)
			}
		}
	})
}

// TestLogoutOfATokenFromAnotherClock ends what a process with a clock ahead of ours has signed.
func TestLogoutOfATokenFromAnotherClock(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		p := start(t, e, url)
		p.add(t, store.User{Name: "ana"})
		accessToken := p.login(t, "ana")
		real := p.access
		p.access = token.NewIssuer(token.IssuerConfig{
			Keys: p.keys, Issuer: "clientes", Audience: "clientes", TTL: time.Minute,
			Now: func() time.Time { return time.Now().Add(-time.Hour) }, // its clock is behind
		})
		wantError(t, "a token from the future", p.verdict(t, accessToken), ErrTokenInvalid)
		must(t, p.Logout(t.Context(), accessToken))
		p.access = real
		wantError(t, "after the logout it", p.verdict(t, accessToken), ErrTokenRevoked)
	})
}

// TestTheOldestSessionOfTooManyIsRefusedAtOnce logs in once more than a user may.
func TestTheOldestSessionOfTooManyIsRefusedAtOnce(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		p := start(t, e, url)
		u := p.add(t, store.User{Name: "ana"})
		oldest := p.login(t, "ana")
		now := time.Now().Add(time.Second)
		for range store.MaxSessions - 1 {
			n := store.Session{
				ID:         token.NewID(),
				UserID:     u.ID,
				CreatedAt:  now,
				LastUsedAt: now,
				RotatedAt:  now,
				ExpiresAt:  now.Add(time.Hour),
				TokenExp:   now,
			}
			_, err := p.store.OpenSession(t.Context(),
				store.Login{Session: n, Generation: u.Generation})
			must(t, err)
		}
		must(t, p.verdict(t, oldest))
		p.login(t, "ana")
		wantError(t, "it", p.verdict(t, oldest), ErrTokenRevoked)
	})
}
