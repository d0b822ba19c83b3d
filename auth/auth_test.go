package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/store"
	"clientes/store/postgres"
	"clientes/store/postgres/postgrestest"
	"clientes/store/sqlite"
)

// engines give a URL of an empty, migrated database, and open it as often as one likes.
func engines() []engine {
	return []engine{
		{
			"sqlite",
			func(t testing.TB) string {
				url := "sqlite:" + filepath.Join(t.TempDir(), "test.db")
				must(t, sqlite.Migrate(t.Context(), url))
				return url
			},
			func(ctx context.Context, url string, now func() time.Time) (store.Store, error) {
				return sqlite.Open(ctx, url, now)
			},
		},
		{
			"postgres",
			func(t testing.TB) string { return postgrestest.Migrated(t, postgres.Migrate) },
			func(ctx context.Context, url string, now func() time.Time) (store.Store, error) {
				return postgres.Open(ctx, url, now)
			},
		},
	}
}

type engine struct {
	name     string
	migrated func(t testing.TB) string
	open     func(ctx context.Context, url string, now func() time.Time) (store.Store, error)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// process is what one server holds of a database that others use, too.
type process struct {
	*Auth
	accounts *Accounts
	store    store.Store
	away     atomic.Bool // its store answers nothing
}

// start opens the database of url as a server does. Each change may alter the configuration, but for the store.
func start(t testing.TB, e engine, url string, changes ...func(*Config)) *process {
	t.Helper()
	cfg := Config{
		Gate: NewGate(quickHasher, 2, 64), Secret: testSecret, Issuer: "clientes", Audience: "clientes",
		TokenTTL: 5 * time.Minute, SessionIdle: 30 * time.Minute, SessionMax: 720 * time.Hour, RefreshGrace: 30 * time.Second,
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}
	for _, change := range changes {
		change(&cfg)
	}
	st, err := e.open(t.Context(), url, cfg.Now)
	must(t, err)
	p := &process{store: st}
	cfg.Store = switchedStore{st, &p.away}
	p.Auth, err = New(cfg)
	must(t, err)
	p.accounts = NewAccounts(st)
	p.accounts.gate = NewGate(quickHasher, 1, 0)
	ctx, stop := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() { p.Run(ctx) })
	t.Cleanup(func() {
		stop()
		following.Wait()
		must(t, st.Close())
	})
	return p
}

// switchedStore is a store that can be cut off.
type switchedStore struct {
	store.Store
	away *atomic.Bool
}

func (s switchedStore) EndedSessions(ctx context.Context, since store.Mark, alive time.Time) ([]store.Ended, store.Mark, error) {
	if s.away.Load() {
		return nil, 0, store.ErrUnavailable
	}
	return s.Store.EndedSessions(ctx, since, alive)
}

func (s switchedStore) Session(ctx context.Context, id string) (store.Session, error) {
	if s.away.Load() {
		return store.Session{}, store.ErrUnavailable
	}
	return s.Store.Session(ctx, id)
}

func (s switchedStore) EndSession(ctx context.Context, id string) (store.Session, error) {
	if s.away.Load() {
		return store.Session{}, store.ErrUnavailable
	}
	return s.Store.EndSession(ctx, id)
}

func onEachStore(t *testing.T, test func(t *testing.T, e engine, url string)) {
	for _, e := range engines() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			test(t, e, e.migrated(t))
		})
	}
}

const password = "correct horse battery"

// quickHasher is for tests that are not about the work of hashing.
var quickHasher = authtest.Remember(LocalHasher{})

func (p *process) login(t testing.TB, name string) string {
	t.Helper()
	g, err := p.Login(from(t.Context(), "127.0.0.1"), LoginRequest{User: name, Password: password})
	must(t, err)
	return g.Token
}

// from gives a context whose requests come from an address.
func from(ctx context.Context, ip string) context.Context {
	return WithOrigin(ctx, Origin{IP: ip, UserAgent: "test", RequestID: "r1"})
}

// says gives what a process says of a token.
func (p *process) says(t testing.TB, token string) error {
	_, err := p.Authenticate(t.Context(), token)
	return err
}

// eventually waits for what another process, or the turn of a clock, brings about.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not after a minute: %s", what)
		}
	}
}

func TestLoginAndWhoIsAsking(t *testing.T) {
	onEachStore(t, func(t *testing.T, e engine, url string) {
		p := start(t, e, url)
		u, err := p.accounts.Add(t.Context(), store.User{Name: "Ana", Role: store.Editor}, password)
		must(t, err)
		g, err := p.Login(from(t.Context(), "192.0.2.1"), LoginRequest{User: "ANA", Password: password})
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
		if s.UserID != u.ID || s.IP != "192.0.2.1" || s.UserAgent != "test" || !s.EndedAt.IsZero() ||
			!s.ExpiresAt.Equal(s.CreatedAt.Add(30*time.Minute)) || !s.TokenExp.After(s.CreatedAt) {
			t.Errorf("session %+v", s)
		}
		for name, r := range map[string]LoginRequest{
			"a wrong password": {User: "ana", Password: "Correct horse battery"},
			"no password":      {User: "ana"},
			"nobody":           {User: "bia", Password: password},
			"no name at all":   {User: "\x00", Password: password},
		} {
			if _, err := p.Login(t.Context(), r); !errors.Is(err, ErrInvalidLogin) {
				t.Errorf("%s gives %v", name, err)
			}
		}
	})
}

// TestAnEndIsHonouredEverywhere ends sessions in one process and waits for two others to know.
func TestAnEndIsHonouredEverywhere(t *testing.T) {
	onEachStore(t, func(t *testing.T, e engine, url string) {
		a, b := start(t, e, url), start(t, e, url)
		for i, end := range []struct {
			name string
			does func(name, token string) error
			atA  bool // the process that ended it refuses at once
		}{
			{"logout", func(_, token string) error { return a.Logout(t.Context(), token) }, true},
			{"disabling", func(name, _ string) error { return a.accounts.Disable(t.Context(), name) }, false},
			{"another password", func(name, _ string) error { return a.accounts.SetPassword(t.Context(), name, "another horse battery") }, false},
			{"another role", func(name, _ string) error { return a.accounts.SetRole(t.Context(), name, store.Admin) }, false},
			{"deleting", func(name, _ string) error { return a.accounts.Delete(t.Context(), name) }, false},
		} {
			name := fmt.Sprint("user", i)
			_, err := a.accounts.Add(t.Context(), store.User{Name: name, Role: store.Viewer}, password)
			must(t, err)
			token, other := a.login(t, name), b.login(t, name)
			for _, p := range []*process{a, b} {
				must(t, p.says(t, token))
				must(t, p.says(t, other))
			}
			must(t, end.does(name, token))
			if err := a.says(t, token); end.atA && !errors.Is(err, ErrTokenRevoked) {
				t.Errorf("%s: where it happened the token gives %v", end.name, err)
			}
			for _, p := range []*process{a, b} {
				eventually(t, end.name+" is known", func() bool { return errors.Is(p.says(t, token), ErrTokenRevoked) })
			}
			if err := b.says(t, other); end.name == "logout" && err != nil {
				t.Errorf("%s ended another session: %v", end.name, err)
			}
			if end.name != "logout" {
				eventually(t, end.name+" is known of every session", func() bool { return errors.Is(b.says(t, other), ErrTokenRevoked) })
			}
			must(t, b.Logout(t.Context(), token)) // again, elsewhere
		}
	})
}

// TestAProcessThatStartsLateKnowsWhatEnded holds that the deny list is rebuilt from the store.
func TestAProcessThatStartsLateKnowsWhatEnded(t *testing.T) {
	onEachStore(t, func(t *testing.T, e engine, url string) {
		a := start(t, e, url)
		_, err := a.accounts.Add(t.Context(), store.User{Name: "ana", Role: store.Viewer}, password)
		must(t, err)
		ended, alive := a.login(t, "ana"), a.login(t, "ana")
		must(t, a.Logout(t.Context(), ended))
		b := start(t, e, url)
		// From the first moment on, before its first answer from the store as well as after.
		for range 100 {
			if err := b.says(t, ended); !errors.Is(err, ErrTokenRevoked) {
				t.Fatalf("the ended session gives %v", err)
			}
			must(t, b.says(t, alive))
		}
		eventually(t, "the list is current", b.ended.current)
		if err := b.says(t, ended); !errors.Is(err, ErrTokenRevoked) {
			t.Errorf("the ended session gives %v", err)
		}
	})
}

// TestWhoCanNotKnowDoesNotSayYes cuts a process off from its store.
func TestWhoCanNotKnowDoesNotSayYes(t *testing.T) {
	onEachStore(t, func(t *testing.T, e engine, url string) {
		a, b := start(t, e, url), start(t, e, url)
		_, err := a.accounts.Add(t.Context(), store.User{Name: "ana", Role: store.Viewer}, password)
		must(t, err)
		known, ended, alive := a.login(t, "ana"), a.login(t, "ana"), a.login(t, "ana")
		must(t, a.Logout(t.Context(), known))
		eventually(t, "b knows", func() bool { return errors.Is(b.says(t, known), ErrTokenRevoked) })

		b.away.Store(true)
		eventually(t, "b knows that it does not know", func() bool { return !b.ended.current() })
		must(t, a.Logout(t.Context(), ended))
		if err := b.says(t, known); !errors.Is(err, ErrTokenRevoked) {
			t.Errorf("what it knows gives %v", err)
		}
		for _, token := range []string{ended, alive} {
			if err := b.says(t, token); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("what it can not know gives %v", err)
			}
			if err := b.Logout(t.Context(), token); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("a logout that can not be kept gives %v", err)
			}
		}
		if err := b.says(t, "undefined"); !errors.Is(err, ErrTokenInvalid) {
			t.Errorf("a bad token gives %v", err)
		}

		b.away.Store(false)
		if err := b.says(t, ended); !errors.Is(err, ErrTokenRevoked) {
			t.Errorf("asked about the row, it gives %v", err)
		}
		must(t, b.says(t, alive))
		eventually(t, "b is current again", b.ended.current)
		if err := b.says(t, ended); !errors.Is(err, ErrTokenRevoked) {
			t.Errorf("current again, it gives %v", err)
		}
		must(t, b.says(t, alive))
	})
}

// TestALoginThatBeganBeforeDoesNotOutliveTheEnd disables a user between the check of the password and the
// insert of the session.
func TestALoginThatBeganBeforeDoesNotOutliveTheEnd(t *testing.T) {
	onEachStore(t, func(t *testing.T, e engine, url string) {
		p := start(t, e, url)
		_, err := p.accounts.Add(t.Context(), store.User{Name: "ana", Role: store.Viewer}, password)
		must(t, err)
		for name, end := range map[string]func(ctx context.Context) error{
			"a new password": func(ctx context.Context) error { return p.accounts.SetPassword(ctx, "ana", password) },
			"another role":   func(ctx context.Context) error { return p.accounts.SetRole(ctx, "ana", store.Editor) },
			"disabled":       func(ctx context.Context) error { return p.accounts.Disable(ctx, "ana") },
			"deleted":        func(ctx context.Context) error { return p.accounts.Delete(ctx, "ana") },
		} {
			u, err := p.store.UserByName(t.Context(), "ana")
			if errors.Is(err, store.ErrNotFound) {
				u, err = p.accounts.Add(t.Context(), store.User{Name: "ana", Role: store.Viewer}, password)
			}
			must(t, err)
			if u.Disabled {
				must(t, p.accounts.Enable(t.Context(), "ana"))
			}
			cfg := p.cfg
			cfg.Store = endingStore{p.store, end}
			another, err := New(cfg)
			must(t, err)
			_, err = another.Login(t.Context(), LoginRequest{User: "ana", Password: password})
			if !errors.Is(err, ErrInvalidLogin) {
				t.Errorf("%s while the login was under way: %v", name, err)
			}
		}
	})
}

// endingStore does something to a user at the worst moment.
type endingStore struct {
	store.Store
	end func(context.Context) error
}

func (s endingStore) CreateSession(ctx context.Context, x store.Session, generation int64) ([]store.Ended, error) {
	if err := s.end(ctx); err != nil {
		return nil, err
	}
	return s.Store.CreateSession(ctx, x, generation)
}

func TestAccounts(t *testing.T) {
	onEachStore(t, func(t *testing.T, e engine, url string) {
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
			t.Errorf("a hash of no kind gives %v", err)
		}
		u, err := a.Add(ctx, store.User{Name: "ana", Role: store.Viewer, PasswordHash: nobodysHash}, "")
		must(t, err)
		if u.PasswordHash != nobodysHash {
			t.Error("the hash was changed")
		}
		if _, err = a.Add(ctx, store.User{Name: "ANA", Role: store.Viewer}, password); !errors.As(err, &conflict) || conflict.Field != "user" {
			t.Errorf("a name twice gives %v", err)
		}
		if err := a.SetRole(ctx, "ana", "root"); !errors.As(err, &invalid) {
			t.Errorf("no such role gives %v", err)
		}
		if err := a.SetPassword(ctx, "ana", "short"); !errors.As(err, &invalid) {
			t.Errorf("a short password gives %v", err)
		}
		for name, err := range map[string]error{
			"another's name": a.SetPassword(ctx, "ana", "zoltrix99"), "a good one": a.SetPassword(ctx, "ana", password),
		} {
			if err != nil {
				t.Errorf("%s as a password gives %v", name, err)
			}
		}
		_, err = a.Add(ctx, store.User{Name: "bia", Email: "zoltrix@example.com", Role: store.Viewer}, "zoltrix99")
		if !errors.As(err, &invalid) || invalid.Fields[0].Field != "password" || invalid.Fields[0].Code != "too_guessable" {
			t.Errorf("the own email as the first password gives %v", err)
		}
		_, err = a.Add(ctx, store.User{Name: "bia", Email: "zoltrix@example.com", Role: store.Viewer}, password)
		must(t, err)
		if err := a.SetPassword(ctx, "bia", "zoltrix99"); !errors.As(err, &invalid) || invalid.Fields[0].Code != "too_guessable" {
			t.Errorf("the own email as another password gives %v", err)
		}
		must(t, a.SetRole(ctx, "Ana", store.Admin))
		for name, err := range map[string]error{
			"disable": a.Disable(ctx, "ana"), "demote": a.SetRole(ctx, "ana", store.Editor), "delete": a.Delete(ctx, "ana"),
		} {
			if !errors.Is(err, store.ErrLastAdmin) {
				t.Errorf("%s the last admin: %v", name, err)
			}
		}
		for name, err := range map[string]error{
			"role": a.SetRole(ctx, "nobody", store.Viewer), "password": a.SetPassword(ctx, "nobody", password),
			"disable": a.Disable(ctx, "nobody"), "enable": a.Enable(ctx, "nobody"), "delete": a.Delete(ctx, "nobody"),
		} {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s of nobody: %v", name, err)
			}
		}
	})
}

func TestTheDenyListForgetsWhatNoTokenCanName(t *testing.T) {
	var l denyList
	old, young := sessionID{1}, sessionID{2}
	l.add(old, noon.Add(time.Second))
	l.add(young, noon.Add(time.Minute))
	l.add(young, noon) // an earlier end of the same session shortens nothing
	l.forget(noon)
	if !l.has(old) || !l.has(young) {
		t.Error("forgot too early")
	}
	l.forget(noon.Add(3 * time.Second))
	if l.has(old) || !l.has(young) {
		t.Errorf("old %t, young %t", l.has(old), l.has(young))
	}
}

// TestLogoutOfATokenFromAnotherClock ends what a process with a clock ahead of ours has signed.
func TestLogoutOfATokenFromAnotherClock(t *testing.T) {
	onEachStore(t, func(t *testing.T, e engine, url string) {
		p := start(t, e, url)
		_, err := p.accounts.Add(t.Context(), store.User{Name: "ana", Role: store.Viewer}, password)
		must(t, err)
		token := p.login(t, "ana")
		ahead, err := newTokens(testSecret, nil, "clientes", "clientes", func() time.Time { return time.Now().Add(-time.Minute) })
		must(t, err)
		p.tokens = ahead // whose clock is behind
		if err := p.says(t, token); !errors.Is(err, ErrTokenInvalid) {
			t.Errorf("a token from the future gives %v", err)
		}
		must(t, p.Logout(t.Context(), token))
		now, err := newTokens(testSecret, nil, "clientes", "clientes", time.Now)
		must(t, err)
		p.tokens = now
		if err := p.says(t, token); !errors.Is(err, ErrTokenRevoked) {
			t.Errorf("after the logout it gives %v", err)
		}
	})
}

// TestTheOldestSessionOfTooManyIsRefusedAtOnce logs in once more than a user may.
func TestTheOldestSessionOfTooManyIsRefusedAtOnce(t *testing.T) {
	onEachStore(t, func(t *testing.T, e engine, url string) {
		p := start(t, e, url)
		u, err := p.accounts.Add(t.Context(), store.User{Name: "ana", Role: store.Viewer}, password)
		must(t, err)
		oldest := p.login(t, "ana")
		now := time.Now().Add(time.Second)
		for range store.MaxSessions - 1 {
			_, err := p.store.CreateSession(t.Context(), store.Session{
				ID: randomID(), UserID: u.ID, CreatedAt: now, LastUsedAt: now, RotatedAt: now, ExpiresAt: now.Add(time.Hour), TokenExp: now,
			}, u.Generation)
			must(t, err)
		}
		must(t, p.says(t, oldest))
		p.login(t, "ana")
		if err := p.says(t, oldest); !errors.Is(err, ErrTokenRevoked) {
			t.Errorf("it gives %v", err)
		}
	})
}

// TestTheSecond holds that a session which ended elsewhere is refused within the second that the contract promises: no
// answer of the store is trusted for longer, and the next one is asked for in time.
func TestTheSecond(t *testing.T) {
	if trustFor >= time.Second {
		t.Errorf("an answer is trusted for %s", trustFor)
	}
	if askEvery*2 > trustFor {
		t.Errorf("asking every %s leaves no room for a slow answer in %s", askEvery, trustFor)
	}
	now := noon
	e := newEndedSessions(nil, func() time.Time { return now }, slog.New(slog.DiscardHandler))
	if e.current() {
		t.Error("nobody has asked, and it knows")
	}
	e.asOf.Store(&now)
	for after, want := range map[time.Duration]bool{0: true, trustFor: true, trustFor + 1: false, time.Hour: false} {
		asked := noon.Add(-after)
		e.asOf.Store(&asked)
		if e.current() != want {
			t.Errorf("after %s it is current: %t", after, !want)
		}
	}
}
