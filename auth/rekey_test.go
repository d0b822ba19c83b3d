package auth

import (
	"context"
	"slices"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/store"
)

// withRoot makes a process sign and seal under a root, and know previous ones as well.
func withRoot(root string, previous ...string) func(*Config) {
	return func(cfg *Config) { cfg.Root, cfg.RootPrevious = root, previous }
}

const rootSecret = "e05b71c96a2df3841907cb62ad54f8b3"

// TestRekey replaces the root under servers that go on. Afterwards the old one is not needed.
func TestRekey(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		old := start(t, e, url, atClock(c))
		ana, bia := old.add(t, store.User{Name: "ana"}), old.add(t, store.User{Name: "bia"})
		old.add(t, store.User{Name: "caio"}) // has none
		dora := old.add(t, store.User{Name: "dora"})
		anaApp, _ := old.enrol(t, ana, c.Now())
		biaApp, _ := old.enrol(t, bia, c.Now())
		ctx := from(t.Context(), "192.0.2.1")
		_, err := old.BeginMFA(ctx, Caller{UserID: dora.ID}, goodPassword)
		must(t, err)
		c.Advance(time.Minute)

		rotated := start(t, e, url, atClock(c), withRoot(rootSecret, testSecret))
		only := start(t, e, url, atClock(c), withRoot(rootSecret))
		got, err := only.Rekey(t.Context())
		must(t, err)
		wantRekeyed(t, "without the old root", got, Rekeyed{
			Unreadable: []string{"ana", "bia"}, Unfinished: 1,
		})

		// A use at a server is a way to seal anew, too.
		rotated.wantTry(t, "192.0.2.1", goodLogin("bia").withCode(biaApp.code(c.Now())), "in")
		before, err := rotated.store.User(t.Context(), ana.ID)
		must(t, err)
		for _, want := range []Rekeyed{{Anew: 2, Already: 1}, {Already: 3}} {
			got, err = rotated.Rekey(t.Context())
			must(t, err)
			wantRekeyed(t, "with the old root", got, want)
		}
		after, err := rotated.store.User(t.Context(), ana.ID)
		must(t, err)
		if after.MFA.Secret == before.MFA.Secret {
			t.Error("nothing was sealed anew")
		}
		after.MFA.Secret, after.UpdatedAt = before.MFA.Secret, before.UpdatedAt
		if after != before {
			t.Errorf("more was changed than the seal: %+v, %+v", before, after)
		}

		c.Advance(time.Minute)
		for name, app := range map[string]authenticator{"ana": anaApp, "bia": biaApp} {
			only.wantTry(t, "192.0.2.1", goodLogin(name).withCode(app.code(c.Now())), "in")
		}
		got, err = only.Rekey(t.Context())
		must(t, err)
		wantRekeyed(t, "once the old root is gone", got, Rekeyed{Already: 3})
	})
}

func wantRekeyed(t *testing.T, when string, got, want Rekeyed) {
	t.Helper()
	if got.Anew != want.Anew || got.Already != want.Already ||
		got.Unfinished != want.Unfinished || !slices.Equal(got.Unreadable, want.Unreadable) {
		t.Errorf("%s: %+v, want %+v", when, got, want)
	}
}

// changingStore changes a user between the list and the update.
type changingStore struct {
	Store
	change func(id int64)
}

func (s changingStore) UpdateUser(
	ctx context.Context, id int64, update func(store.User) (store.User, error),
	effects ...store.EffectsFunc,
) (store.User, []store.Ended, error) {
	s.change(id)
	return s.Store.UpdateUser(ctx, id, update, effects...)
}

// TestRekeyBesideUsers checks that a second factor which changes at the same moment is left alone.
func TestRekeyBesideUsers(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		old := start(t, e, url, atClock(c))
		ana, bia := old.add(t, store.User{Name: "ana"}), old.add(t, store.User{Name: "bia"})
		old.enrol(t, ana, c.Now())
		old.enrol(t, bia, c.Now())
		rotated := start(t, e, url, atClock(c), withRoot(rootSecret, testSecret))
		meanwhile := rotated.over(t, changingStore{rotated.cfg.Store, func(id int64) {
			if id == ana.ID {
				must(t, old.DropMFA(t.Context(), id))
				return
			}
			_, err := rotated.store.DeleteUser(t.Context(), id)
			must(t, err)
		}})
		got, err := meanwhile.Rekey(t.Context())
		must(t, err)
		wantRekeyed(t, "beside users", got, Rekeyed{Already: 1})
		if u, err := rotated.store.User(t.Context(), ana.ID); err != nil || u.MFA.Secret != "" {
			t.Errorf("a second factor that was taken away is back: %v", err)
		}
	})
}

// TestRoots walks through every change of the roots, as replicas go through it. What one of them
// signs is good at the one before it and at the one after it.
func TestRoots(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		const next = "51f6d0a83be94c7712ae58d90c6b3f24"
		secret := func(s ...string) func(*Config) { return withSecrets(s[0], s[1:]...) }
		steps := []struct {
			name   string
			change []func(*Config)
		}{
			{"the old secret", []func(*Config){secret(otherSecret)}},
			{"the secret is known", []func(*Config){secret(otherSecret, testSecret)}},
			{"the secret signs", []func(*Config){secret(testSecret, otherSecret)}},
			{"no root", []func(*Config){secret(testSecret)}},
			{"a root is known", []func(*Config){secret(testSecret), withRoot("", rootSecret)}},
			{"a root signs", []func(*Config){secret(testSecret), withRoot(rootSecret, testSecret)}},
			{"a root alone", []func(*Config){secret(testSecret), withRoot(rootSecret)}},
			{"the next root is known",
				[]func(*Config){secret(testSecret), withRoot(rootSecret, next)}},
			{"the next root signs",
				[]func(*Config){secret(testSecret), withRoot(next, rootSecret)}},
			{"the next root alone", []func(*Config){secret(testSecret), withRoot(next)}},
			{"another secret is known",
				[]func(*Config){secret(testSecret, otherSecret), withRoot(next)}},
			{"another secret signs",
				[]func(*Config){secret(otherSecret, testSecret), withRoot(next)}},
			{"another secret alone", []func(*Config){secret(otherSecret), withRoot(next)}},
			{"back to no root: it is known",
				[]func(*Config){secret(otherSecret), withRoot(next, otherSecret)}},
			{"back to no root: it signs nothing",
				[]func(*Config){secret(otherSecret), withRoot("", next)}},
		}
		c := authtest.StoppedAt(someDay)
		var processes []*process
		for _, s := range steps {
			processes = append(processes, start(t, e, url, append(s.change, atClock(c))...))
		}
		ana := processes[0].add(t, store.User{Name: "ana", Email: "ana@example.com"})
		app, _ := processes[0].enrol(t, ana, c.Now())
		for i, p := range processes {
			for _, other := range []int{i - 1, i + 1} {
				if other < 0 || other >= len(processes) {
					continue
				}
				c.Advance(time.Minute)
				q, what := processes[other], steps[i].name+", and then: "+steps[other].name
				g := p.wantTry(t, "192.0.2.1", goodLogin("ana").withCode(app.code(c.Now())), "in")
				if _, err := q.Authenticate(t.Context(), g.Token); err != nil {
					t.Errorf("%s: the access token: %v", what, err)
				}
				if _, err := q.Refresh(t.Context(), g.RefreshToken); err != nil {
					t.Errorf("%s: the refresh token: %v", what, err)
				}
				if _, ok := parseDeviceToken(q.keys, g.Device); !ok {
					t.Errorf("%s: the device token is not good", what)
				}
				u, err := p.store.User(t.Context(), ana.ID)
				must(t, err)
				link, err := q.links.parse(p.links.sign(store.MailReset, u), store.MailReset)
				must(t, err)
				if err := q.links.check(link, u); err != nil {
					t.Errorf("%s: the link: %v", what, err)
				}
				if _, ok := q.ParseCursor("list", p.SignCursor("list", "7")); !ok {
					t.Errorf("%s: the cursor is not good", what)
				}
			}
		}
	})
}

// TestAStolenSecretSignsNothingElse checks what a thief of SECRET can make if there is a root.
func TestAStolenSecretSignsNothingElse(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		thief := start(t, e, url) // knows SECRET and the database
		p := start(t, e, url, withRoot(rootSecret))
		ana := p.add(t, store.User{Name: "ana", Email: "ana@example.com"})
		g := p.wantTry(t, "192.0.2.1", goodLogin("ana"), "in")
		session, _, ok := parseRefreshToken(p.keys, g.RefreshToken)
		if !ok {
			t.Fatal("the refresh token is not one")
		}
		if _, err := p.Refresh(t.Context(), signRefreshToken(thief.keys, session, 0)); err == nil {
			t.Error("a forged refresh token is accepted")
		}
		u, err := p.store.User(t.Context(), ana.ID)
		must(t, err)
		link := thief.links.sign(store.MailReset, u)
		_, _, err = thief.links.follow(t.Context(), link, store.MailReset)
		must(t, err)
		_, _, err = p.links.follow(t.Context(), link, store.MailReset)
		wantError(t, "a forged link", err, ErrLinkInvalid)
		forged := signDeviceToken(thief.keys, u, "AAAAAAAAAAAAAAAAAAAAAA", p.store.Now())
		if _, ok := parseDeviceToken(p.keys, forged); ok {
			t.Error("a forged device token is accepted")
		}
		// Another SECRET ends what the thief has, and costs ana one refresh.
		after := start(t, e, url, withSecrets(otherSecret), withRoot(rootSecret))
		_, err = after.Authenticate(t.Context(), g.Token)
		wantError(t, "a token of the stolen secret", err, ErrTokenInvalid)
		_, err = after.Refresh(t.Context(), g.RefreshToken)
		must(t, err)
	})
}
