package auth

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"clientes/store"
)

// linksAt returns links that are checked at an instant.
func linksAt(t testing.TB, now time.Time, secret string, previous ...string) *links {
	t.Helper()
	keys := testKeys(t, secret, previous...)
	return &links{keys: keys, users: nobodyAt(now)}
}

// nobodyAt is a store without users in which the time stands still.
type nobodyAt time.Time

func (n nobodyAt) Now() time.Time { return time.Time(n) }

func (n nobodyAt) User(context.Context, int64) (store.User, error) {
	return store.User{}, store.ErrNotFound
}

func linkKinds() []store.MailKind {
	return []store.MailKind{store.MailReset, store.MailInvitation, store.MailConfirm}
}

// checkToken returns what becomes of a token that comes as a link of these kinds for a user.
func (l *links) checkToken(linkToken string, u store.User, kinds ...store.MailKind) error {
	k, err := l.parse(linkToken, kinds...)
	if err != nil {
		return err
	}
	return l.check(k, u)
}

func TestLinks(t *testing.T) {
	ana := store.User{
		ID:             7,
		Name:           "ana",
		Email:          "ana@example.com",
		PendingEmail:   "new@example.com",
		Role:           store.Viewer,
		LinkGeneration: 3,
	}
	a := linksAt(t, noon, testSecret)
	for _, kind := range linkKinds() {
		token := a.sign(kind, ana)
		if len(token) > 100 {
			t.Errorf("%s: %s", kind, token)
		}
		if err := a.checkToken(token, ana, kind); err != nil {
			t.Errorf("%s: it is not good: %v", kind, err)
		}
		for _, other := range linkKinds() {
			if err := a.checkToken(token, ana, other); (err == nil) != (kind == other) {
				t.Errorf("a link of kind %s as one of %s: %v", kind, other, err)
			}
			// Its kind cannot be overwritten either.
			_, rest, _ := strings.Cut(token, ".")
			err := a.checkToken(string(other)+"."+rest, ana, linkKinds()...)
			if (err == nil) != (kind == other) {
				t.Errorf("a link of kind %s rewritten to %s: %v", kind, other, err)
			}
		}
		for name, alter := range map[string]func(*store.User){
			"another user":          func(u *store.User) { u.ID = 8 },
			"another generation":    func(u *store.User) { u.LinkGeneration++ },
			"an earlier generation": func(u *store.User) { u.LinkGeneration-- },
			"a disabled user":       func(u *store.User) { u.Disabled = true },
			"another email": func(u *store.User) {
				u.Email, u.PendingEmail = "bia@example.com", "bia2@example.com"
			},
			"an email in capitals": func(u *store.User) {
				u.Email, u.PendingEmail = "Ana@example.com", "New@example.com"
			},
			"no email": func(u *store.User) { u.Email, u.PendingEmail = "", "" },
			"the two emails exchanged": func(u *store.User) {
				u.Email, u.PendingEmail = u.PendingEmail, u.Email
			},
		} {
			u := ana
			alter(&u)
			if err := a.checkToken(token, u, kind); !errors.Is(err, ErrLinkInvalid) {
				t.Errorf("%s: %s: %v", kind, name, err)
			}
		}
		for after, good := range map[time.Duration]bool{
			-time.Hour:                     false, // from a clock that was ahead
			-time.Minute:                   true,
			linkFor(kind) - time.Second:    true,
			linkFor(kind):                  false,
			linkFor(kind) + 1000*time.Hour: false,
		} {
			then := linksAt(t, noon.Add(after), testSecret)
			if err := then.checkToken(token, ana, kind); (err == nil) != good {
				t.Errorf("%s: after %s: %v", kind, after, err)
			}
		}
		rotated := linksAt(t, noon, otherSecret, testSecret)
		if err := rotated.checkToken(token, ana, kind); err != nil {
			t.Errorf("%s: after a rotation: %v", kind, err)
		}
		dropped := linksAt(t, noon, otherSecret)
		if err := dropped.checkToken(token, ana, kind); !errors.Is(err, ErrLinkInvalid) {
			t.Errorf("%s: of a secret that is gone: %v", kind, err)
		}
		// No byte of it can be changed.
		for i := range token {
			for _, c := range []byte{'0', '9', 'A', 'a', '.', '-', '\n', '=', ' ', 0} {
				forged := []byte(token)
				if forged[i] == c {
					continue
				}
				forged[i] = c
				err := a.checkToken(string(forged), ana, linkKinds()...)
				if !errors.Is(err, ErrLinkInvalid) {
					t.Errorf("%q is good", forged)
				}
			}
		}
	}
	for _, token := range []string{
		"", ".", "...", "reset", "reset.7", "reset.7.1", "reset.7.99999999999.",
		"reset.7.99999999999.AAAA", "reset.-7.99999999999.AAAA",
		"reset.99999999999999999999.1.AAAA", "reset.7.99999999999999999999.AAAA",
		strings.Repeat("reset.", 1000), "password_changed.7.99999999999.AAAA",
	} {
		if err := a.checkToken(token, ana, linkKinds()...); !errors.Is(err, ErrLinkInvalid) {
			t.Errorf("%q: %v", token, err)
		}
	}
}

// TestLinksLast checks which kinds of mail have a link, and how long it is good.
func TestLinksLast(t *testing.T) {
	want := map[store.MailKind]time.Duration{
		store.MailReset:      30 * time.Minute,
		store.MailInvitation: 72 * time.Hour,
		store.MailConfirm:    72 * time.Hour,
	}
	others := []store.MailKind{
		store.MailPasswordChanged, store.MailEmailChanged, store.MailNewNetwork,
	}
	for _, kind := range append(linkKinds(), others...) {
		if got := linkFor(kind); got != want[kind] {
			t.Errorf("%s: %s", kind, got)
		}
	}
}
