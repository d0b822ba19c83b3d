package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/auth/password"
	"clientes/auth/token"
	"clientes/store"
)

// key makes a key for the user of that name as the command line does.
func (p *process) key(t testing.TB, name string) NewKey {
	t.Helper()
	k, err := p.accounts.AddKey(t.Context(), name, KeyRequest{Name: "Shop", Lasts: KeyLasts})
	must(t, err)
	return k
}

func TestAKeyStandsWhereATokenStands(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		p := start(t, e, url)
		u := p.add(t, store.User{Name: "ana", Role: store.Editor})
		me, _ := p.callerOf(t, "ana", goodPassword)
		ctx := WithOrigin(t.Context(), Origin{IP: "192.0.2.1", ActorID: u.ID})
		k, err := p.Auth.AddKey(ctx, me, KeyRequest{
			Name: " Shop ", Role: new(store.Viewer), Lasts: time.Hour,
			Scopes: []store.Scope{store.ScopeChanges, store.ScopeRead},
		}, Proof{Current: goodPassword})
		must(t, err)
		if k.Key.Name != "Shop" || k.Key.Scopes != "clientes:read changes" || k.User != "ana" {
			t.Errorf("made %+v", k)
		}
		for _, text := range []string{k.Text, " " + k.Text + "\n"} {
			c, err := p.Authenticate(t.Context(), text)
			must(t, err)
			if c.UserID != u.ID || c.Role != store.Viewer || !c.IsKey || c.SessionID != k.ID ||
				!c.AuthTime.IsZero() || c.MFA || !c.Allows(store.ScopeRead) ||
				c.Allows(store.ScopeWrite) || c.Allows("") {
				t.Errorf("caller %+v", c)
			}
		}
		// It is no session to its user, who may end it as a key.
		sessions, err := p.Sessions(t.Context(), me)
		if err != nil || len(sessions) != 1 {
			t.Errorf("%d sessions, %v", len(sessions), err)
		}
		wantError(t, "ended as a session", p.EndSession(ctx, me, k.ID), store.ErrNotFound)
		wantError(t, "ended by id", p.Auth.EndKey(ctx, me, k.ID), nil)
		wantError(t, "ended", p.verdict(t, k.Text), ErrTokenRevoked)
		wantError(t, "ended twice", p.Auth.EndKey(ctx, me, k.ID), store.ErrNotFound)
		wantError(t, "of a login", p.Auth.EndKey(ctx, me, me.SessionID), store.ErrNotFound)
		for _, kind := range []store.EventKind{store.EventKeyCreated, store.EventKeyEnded} {
			events, err := p.Events(t.Context(), store.EventFilter{Kind: kind}, 0, 10)
			if err != nil || len(events) != 1 || events[0].Detail != k.ID+" Shop" ||
				events[0].UserID != u.ID || events[0].ActorID != u.ID {
				t.Errorf("%s: %+v, %v", kind, events, err)
			}
		}
	})
}

func TestWhatNoKeyIs(t *testing.T) {
	e := authtest.SQLite()
	url := e.Migrated(t)
	c := authtest.NewClock()
	p := start(t, e, url, atClock(c))
	p.add(t, store.User{Name: "ana"})
	unknown, _ := token.NewKey()
	p.away.Store(true)
	for _, text := range []string{"clk_", unknown[:30], unknown[1:], unknown + "x",
		strings.ToUpper(unknown)} {
		wantError(t, text, p.verdict(t, text), ErrTokenInvalid) // without a question to the store
		wantError(t, "logout of "+text, p.Logout(t.Context(), text), nil)
	}
	wantError(t, "one that nobody can look up", p.verdict(t, unknown), store.ErrUnavailable)
	wantError(t, "its logout", p.Logout(t.Context(), unknown), store.ErrUnavailable)
	p.away.Store(false)
	wantError(t, "unknown", p.verdict(t, unknown), ErrTokenInvalid)

	k := p.key(t, "ana")
	who, err := p.Authenticate(t.Context(), k.Text)
	must(t, err)
	if left := who.Expires.Sub(c.Now()); left > KeyLasts || left < KeyLasts-time.Minute {
		t.Errorf("it expires in %v", left)
	}
	c.Advance(KeyLasts)
	wantError(t, "at its end", p.verdict(t, k.Text), ErrTokenExpired)
	wantError(t, "at its end, elsewhere", start(t, e, url, atClock(c)).verdict(t, k.Text),
		ErrTokenExpired)
	wantError(t, "ended after its end", p.accounts.EndKey(t.Context(), k.ID), store.ErrNotFound)
}

// A process that cannot know whether a key has ended never guesses, seen before or not.
func TestAKeyOfAStoreThatIsAway(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		p := start(t, e, url)
		p.add(t, store.User{Name: "ana"})
		k := p.key(t, "ana")
		must(t, p.verdict(t, k.Text))
		p.away.Store(true)
		authtest.Eventually(t, "it does not know", func() bool {
			return errors.Is(p.verdict(t, k.Text), store.ErrUnavailable)
		})
		must(t, start(t, e, url).accounts.EndKey(t.Context(), k.ID))
		p.away.Store(false)
		authtest.Eventually(t, "it knows again", func() bool {
			return !errors.Is(p.verdict(t, k.Text), store.ErrUnavailable)
		})
		wantError(t, "ended meanwhile", p.verdict(t, k.Text), ErrTokenRevoked)
	})
}

// TestTheEndOfAKeyIsHonouredEverywhere ends keys in one process, by all that ends one.
func TestTheEndOfAKeyIsHonouredEverywhere(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		a, b := start(t, e, url), start(t, e, url)
		boss := a.add(t, store.User{Name: "boss", Role: store.Admin})
		ctx := t.Context()
		for i, end := range []struct {
			name string
			does func(u store.User, k NewKey) error
			ends bool
		}{
			{"logout", func(_ store.User, k NewKey) error { return a.Logout(ctx, k.Text) }, true},
			{"by its user", func(u store.User, k NewKey) error {
				return a.Auth.EndKey(ctx, Caller{UserID: u.ID, Role: u.Role}, k.ID)
			}, true},
			{"by an admin", func(_ store.User, k NewKey) error {
				return a.Auth.EndKey(ctx, Caller{UserID: boss.ID, Role: store.Admin}, k.ID)
			}, true},
			{"by the command line", func(_ store.User, k NewKey) error {
				return a.accounts.EndKey(ctx, k.ID)
			}, true},
			{"disabling", func(u store.User, _ NewKey) error {
				return a.accounts.Disable(ctx, u.Name)
			}, true},
			{"another role", func(u store.User, _ NewKey) error {
				return a.accounts.SetRole(ctx, u.Name, store.Admin)
			}, true},
			{"deleting", func(u store.User, _ NewKey) error {
				return a.accounts.Delete(ctx, u.Name)
			}, true},
			{"another password", func(u store.User, _ NewKey) error {
				return a.accounts.SetPassword(ctx, u.Name, "another horse battery")
			}, false},
			{"logout everywhere", func(u store.User, _ NewKey) error {
				return a.LogoutEverywhere(ctx, u.ID)
			}, false},
			{"by somebody else", func(_ store.User, k NewKey) error {
				err := a.Auth.EndKey(ctx, Caller{UserID: boss.ID, Role: store.Editor}, k.ID)
				if errors.Is(err, store.ErrNotFound) {
					return nil
				}
				return fmt.Errorf("got %w", err)
			}, false},
			{"the end of all", func(store.User, NewKey) error {
				_, err := a.store.EndAll(ctx, nil)
				return err
			}, true},
		} {
			u := a.add(t, store.User{Name: fmt.Sprint("user", i)})
			k := a.key(t, u.Name)
			session := a.login(t, u.Name)
			for _, p := range []*process{a, b} {
				must(t, p.verdict(t, k.Text))
				must(t, p.verdict(t, session))
			}
			if err := end.does(u, k); err != nil {
				t.Errorf("%s: %v", end.name, err)
			}
			for _, p := range []*process{a, b} {
				if end.ends {
					authtest.Eventually(t, end.name+" is known",
						func() bool { return errors.Is(p.verdict(t, k.Text), ErrTokenRevoked) })
					continue
				}
				if end.name != "by somebody else" {
					authtest.Eventually(t, end.name+" is known of the login",
						func() bool { return errors.Is(p.verdict(t, session), ErrTokenRevoked) })
				}
				must(t, p.verdict(t, k.Text))
			}
			if end.ends { // a process that has never seen the key
				wantError(t, end.name+", to another process",
					start(t, e, url).verdict(t, k.Text), ErrTokenRevoked)
			}
		}
	})
}

func TestAKeyNeedsAProofAndARoleOfItsUser(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		p := start(t, e, url)
		u, me := p.newCaller(t, "ana")
		good, proof := KeyRequest{Name: "Shop", Lasts: time.Hour}, Proof{Current: goodPassword}
		long := strings.Repeat("é", 101)
		for what, c := range map[string]struct {
			change func(*KeyRequest, *Proof)
			field  string
		}{
			"no proof":       {func(_ *KeyRequest, p *Proof) { p.Current = "" }, "current"},
			"wrong password": {func(_ *KeyRequest, p *Proof) { p.Current = "wrong" }, "current"},
			"no name":        {func(r *KeyRequest, _ *Proof) { r.Name = " \u200b" }, "name"},
			"long name":      {func(r *KeyRequest, _ *Proof) { r.Name = long }, "name"},
			"two lines":      {func(r *KeyRequest, _ *Proof) { r.Name = "a\nb" }, "name"},
			"role above": {func(r *KeyRequest, _ *Proof) {
				r.Role = new(store.Editor)
			}, "role"},
			"no such role": {func(r *KeyRequest, _ *Proof) {
				r.Role = new(store.Role("root"))
			}, "role"},
			"short": {func(r *KeyRequest, _ *Proof) {
				r.Lasts = MinKeyLasts - 1
			}, "expires_in"},
			"long": {func(r *KeyRequest, _ *Proof) {
				r.Lasts = MaxKeyLasts + 1
			}, "expires_in"},
			"no scope": {func(r *KeyRequest, _ *Proof) {
				r.Scopes = []store.Scope{}
			}, "scopes"},
			"unknown scope": {func(r *KeyRequest, _ *Proof) {
				r.Scopes = []store.Scope{"root"}
			}, "scopes"},
			"scope above role": {func(r *KeyRequest, _ *Proof) {
				r.Scopes = []store.Scope{store.ScopeRead, store.ScopeWrite}
			}, "scopes"},
		} {
			r, proof := good, proof
			c.change(&r, &proof)
			_, err := p.Auth.AddKey(t.Context(), me, r, proof)
			wantFault(t, what, err, c.field)
		}
		// All that is wrong is told at once.
		_, err := p.Auth.AddKey(t.Context(), me, KeyRequest{Role: new(store.Role("root"))}, Proof{})
		var invalid *store.InvalidError
		if !errors.As(err, &invalid) || len(invalid.Fields) != 4 {
			t.Errorf("got %v", err)
		}
		failed := store.EventFilter{UserID: u.ID, Kind: store.EventLoginFailed}
		if n := countEvents(t, p, failed); n != 1 {
			t.Errorf("%d failed logins", n)
		}
		if keys, err := p.Auth.Keys(t.Context(), me, store.KeyPosition{}, 10); len(keys) > 0 {
			t.Errorf("keys %+v, %v", keys, err)
		}
	})
}

func TestAKeyOfAUserWithASecondFactor(t *testing.T) {
	e := authtest.SQLite()
	c := authtest.NewClock()
	p := start(t, e, e.Migrated(t), atClock(c), func(cfg *Config) { cfg.RequireMFA = store.Viewer })
	u, me := p.newCaller(t, "ana")
	without := p.key(t, "ana")
	app, _ := p.enrol(t, u, c.Now())
	r := KeyRequest{Name: "Shop", Lasts: time.Hour}
	_, err := p.Auth.AddKey(t.Context(), me, r, Proof{Current: goodPassword})
	wantFault(t, "without a code", err, "code")
	c.Advance(30 * time.Second)
	code := app.code(c.Now())
	k, err := p.Auth.AddKey(t.Context(), me, r, Proof{Current: goodPassword, Code: code})
	must(t, err)
	_, err = p.Auth.AddKey(t.Context(), me, r, Proof{Current: goodPassword, Code: code})
	wantFault(t, "a code again", err, "code")
	for text, lacks := range map[string]bool{without.Text: true, k.Text: false} {
		who, err := p.Authenticate(t.Context(), text)
		if err != nil || who.LacksMFA != lacks || who.MFA == lacks {
			t.Errorf("caller %+v, %v", who, err)
		}
	}
}

// A key of a lower role opens nothing that its user may not have without a second factor.
func TestAKeyOfAUserWhoMustHaveASecondFactor(t *testing.T) {
	e := authtest.SQLite()
	p := start(t, e, e.Migrated(t), func(cfg *Config) { cfg.RequireMFA = store.Admin })
	for name, role := range map[string]store.Role{"ana": store.Admin, "bia": store.Editor} {
		p.add(t, store.User{Name: name, Role: role})
		k, err := p.accounts.AddKey(t.Context(), name,
			KeyRequest{Name: "Shop", Role: new(store.Viewer), Lasts: time.Hour})
		must(t, err)
		for range 2 { // then it is cached
			who, err := p.Authenticate(t.Context(), k.Text)
			if err != nil || who.LacksMFA != (role == store.Admin) {
				t.Errorf("the caller of an %s is %+v, %v", role, who, err)
			}
		}
	}
}

// TestNoKeyOutlivesTheRoleOfItsUser has many keys made while their user gets another role.
func TestNoKeyOutlivesTheRoleOfItsUser(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		a, b := start(t, e, url), start(t, e, url)
		_, me := a.newCaller(t, "ana")
		r := KeyRequest{Name: "Shop", Role: new(store.Viewer), Lasts: time.Hour}
		var mu sync.Mutex
		var made []NewKey
		authtest.AtOnce(101, func(i int) {
			if i == 50 {
				if err := b.accounts.SetRole(t.Context(), "ana", store.Editor); err != nil {
					t.Error(err)
				}
				return
			}
			u, err := b.store.UserByName(t.Context(), "ana")
			if err != nil || u.Role != store.Viewer {
				return
			}
			key, err := r.Check(u.Role)
			if err != nil {
				t.Error(err)
			}
			k, err := []*process{a, b}[i%2].Auth.accounts.addKey(t.Context(), u, key, time.Hour)
			switch {
			case err == nil:
				mu.Lock()
				made = append(made, k)
				mu.Unlock()
			case !errors.Is(err, store.ErrUserChanged):
				t.Error(err)
			}
		})
		keys, err := a.Auth.Keys(t.Context(), me, store.KeyPosition{}, 1000)
		if err != nil || len(keys) > 0 {
			t.Errorf("%d keys live, %v", len(keys), err)
		}
		for _, k := range made {
			authtest.Eventually(t, "the key has ended", func() bool {
				return errors.Is(a.verdict(t, k.Text), ErrTokenRevoked)
			})
		}
		t.Logf("%d keys were made before the change", len(made))
	})
}

func TestTheLastUseOfAKeyIsNoted(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		a, b := start(t, e, url, atClock(c)), start(t, e, url, atClock(c))
		a.add(t, store.User{Name: "ana"})
		k := a.key(t, "ana")
		used := func() time.Duration {
			s, err := a.store.Session(t.Context(), k.ID)
			must(t, err)
			return s.LastUsedAt.Sub(someDay)
		}
		c.Advance(time.Second)
		must(t, a.verdict(t, k.Text))
		authtest.Eventually(t, "the first use is noted",
			func() bool { return used() == time.Second })
		c.Advance(store.KeyNoted - 1)
		for _, p := range []*process{a, b} {
			must(t, p.verdict(t, k.Text))
		}
		c.Advance(1)
		must(t, b.verdict(t, k.Text))
		authtest.Eventually(t, "the next one is noted",
			func() bool { return used() == time.Second+store.KeyNoted })
	})
}

// A use that cannot be noted is no reason to refuse the key.
type notingStore struct {
	store.Store
	noted chan string
}

func (s notingStore) NoteKeyUse(_ context.Context, id string, _ time.Time) error {
	s.noted <- id
	return store.ErrUnavailable
}

func TestAUseThatCannotBeNoted(t *testing.T) {
	e := authtest.SQLite()
	p := start(t, e, e.Migrated(t))
	p.add(t, store.User{Name: "ana"})
	k := p.key(t, "ana")
	log := new(authtest.Log)
	broken := notingStore{p.store, make(chan string, 10)}
	other := p.over(t, broken).with(t, loggingTo(log))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { other.uses.run(ctx); close(done) }()
	must(t, other.verdict(t, k.Text))
	if id := <-broken.noted; id != k.ID {
		t.Errorf("noted %s", id)
	}
	authtest.Eventually(t, "the log tells of it",
		func() bool { return strings.Contains(log.String(), "cannot note when keys") })
	must(t, other.verdict(t, k.Text))
	stop()
	<-done
	if n := len(broken.noted); n > 0 {
		t.Errorf("%d more uses were noted within ten minutes", n)
	}
	// Without anybody to note them, uses wait, and no request does.
	for range maxUses + 10 {
		other.uses.note(&knownKey{caller: Caller{SessionID: "x"}}, time.Now())
	}
	if n := len(other.uses.waiting); n != maxUses {
		t.Errorf("%d wait", n)
	}
}

func TestTheMailOfAPasswordNamesTheKeys(t *testing.T) {
	e := authtest.SQLite()
	server := authtest.NewMailServer(t)
	m := startMailing(t, e, e.Migrated(t), time.Now, smtpTo(t, server))
	m.add(t, store.User{Name: "ana", Email: "ana@example.com"})
	for _, name := range []string{"Shop", "list.example"} {
		_, err := m.accounts.AddKey(t.Context(), "ana", KeyRequest{Name: name, Lasts: time.Hour})
		must(t, err)
	}
	ended := m.key(t, "ana")
	must(t, m.accounts.EndKey(t.Context(), ended.ID))
	must(t, m.accounts.SetPassword(t.Context(), "ana", "another "+goodPassword))
	authtest.Eventually(t, "the mail has arrived", func() bool { return len(server.Mails()) > 0 })
	text := strings.Join(strings.Fields(server.Mails()[0]), " ")
	if !strings.Contains(text, "Your keys: 2 (list. example, Shop).") {
		t.Errorf("%s", text)
	}
}

func TestEachKey(t *testing.T) {
	e := authtest.SQLite()
	p := start(t, e, e.Migrated(t))
	p.add(t, store.User{Name: "ana"})
	p.add(t, store.User{Name: "bia"})
	p.key(t, "ana")
	p.key(t, "bia")
	users := func(name string) (got []string, err error) {
		err = p.accounts.EachKey(t.Context(), name, func(k store.OwnedKey) error {
			got = append(got, k.User)
			return nil
		})
		slices.Sort(got)
		return got, err
	}
	if got, err := users(""); err != nil || !slices.Equal(got, []string{"ana", "bia"}) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := users("BIA"); err != nil || !slices.Equal(got, []string{"bia"}) {
		t.Errorf("got %v, %v", got, err)
	}
	_, err := users("nobody")
	wantError(t, "nobody", err, store.ErrNotFound)
	must(t, p.accounts.Disable(t.Context(), "ana"))
	_, err = p.accounts.AddKey(t.Context(), "ana", KeyRequest{Name: "x", Lasts: time.Hour})
	wantError(t, "a disabled user", err, store.ErrUserChanged)
}

// BenchmarkAuthenticateKey compares a key with an access token, both seen before.
func BenchmarkAuthenticateKey(b *testing.B) {
	e := authtest.SQLite()
	p := start(b, e, e.Migrated(b))
	p.add(b, store.User{Name: "ana"})
	texts := map[string]string{"token": p.login(b, "ana"), "key": p.key(b, "ana").Text}
	for range 3 { // in turns, because a machine is never as quick twice
		for what, text := range texts {
			must(b, p.verdict(b, text))
			ctx := b.Context()
			b.Run(what, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := p.Authenticate(ctx, text); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// endingHasher ends a session while it verifies a password.
type endingHasher struct {
	password.Hasher
	end func()
}

func (h endingHasher) Verify(hash, given string, active bool) (bool, string, error) {
	h.end()
	return h.Hasher.Verify(hash, given, active)
}

func TestASessionThatEndsMeanwhileMakesNoKey(t *testing.T) {
	e := authtest.SQLite()
	p := start(t, e, e.Migrated(t))
	_, me := p.newCaller(t, "ana")
	slow := p.with(t, func(cfg *Config) {
		end := func() { must(t, p.EndSession(t.Context(), me, me.SessionID)) }
		cfg.Gate = password.NewGate(endingHasher{quickHasher, end}, 1, 0)
	})
	_, err := slow.Auth.AddKey(t.Context(), me, KeyRequest{Name: "Shop", Lasts: time.Hour},
		Proof{Current: goodPassword})
	wantError(t, "a key of a session that has ended", err, ErrTokenRevoked)
}
