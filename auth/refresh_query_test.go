package auth

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"clientes/auth/authtest"
	"clientes/auth/token"
	"clientes/store"
)

// countingStore counts what a refresh or a logout asks of a store. Without a store below it every
// other call panics, so that no call goes unseen.
type countingStore struct {
	Store
	asked atomic.Int64
}

func (s *countingStore) UpdateSession(ctx context.Context, id string,
	change func(store.Session) (store.Session, error)) (store.Session, store.User, error) {
	s.asked.Add(1)
	if s.Store == nil {
		return store.Session{}, store.User{}, store.ErrUnavailable
	}
	return s.Store.UpdateSession(ctx, id, change)
}

// withoutUsers is a store whose users are gone, but not their sessions.
type withoutUsers struct{ Store }

func (s withoutUsers) UpdateSession(ctx context.Context, id string,
	change func(store.Session) (store.Session, error)) (store.Session, store.User, error) {
	n, _, err := s.Store.UpdateSession(ctx, id, change)
	return n, store.User{}, err
}

func (s *countingStore) EndSession(ctx context.Context, id string) (store.Session, error) {
	s.asked.Add(1)
	if s.Store == nil {
		return store.Session{}, store.ErrUnavailable
	}
	return s.Store.EndSession(ctx, id)
}

func newCounting(t *testing.T, below Store) (*Auth, *countingStore) {
	t.Helper()
	counted := &countingStore{Store: below}
	cfg := testConfig()
	cfg.Store, cfg.Previous = counted, []string{strings.Repeat("previous", 4)}
	a, err := New(cfg)
	must(t, err)
	return a, counted
}

// TestAForgedRefreshTokenAsksTheStoreNothing checks that a forged token is refused by its MAC, so
// that a flood of them never reaches the database.
func TestAForgedRefreshTokenAsksTheStoreNothing(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	e := authtest.SQLite()
	url := e.Migrated(t)
	p := start(t, e, url)
	p.add(t, store.User{Name: "ana"})
	g, err := p.Login(t.Context(), goodLogin("ana"))
	must(t, err)
	good := g.RefreshToken
	id, rest, _ := strings.Cut(good, ".")
	counter, mac, _ := strings.Cut(rest, ".")

	forged := []string{
		"",
		".",
		"..",
		id,
		id + ".",
		id + "." + counter,
		id + "." + counter + ".",
		"." + counter + "." + mac,
		id + ".." + mac,
		id + "." + counter + "." + mac + ".",
		id + "." + counter + "." + mac + "." + mac,
		"." + good,
		good + "=",
		id + " ." + counter + "." + mac,
		id + "." + counter + ".\n" + mac,
		good[:10] + "\u200b" + good[10:],
		id + ".1." + mac,
		id + ".00." + mac,
		id + ".-1." + mac,
		id + ".+0." + mac,
		token.NewID() + "." + counter + "." + mac,
		mac + "." + counter + "." + id,
		id + counter + "." + mac,
		strings.ToUpper(good),
		g.Token,
		strings.Repeat("A", 257),
		good + strings.Repeat("A", 256),
	}
	// One character changed, everywhere. The last of a MAC also has bits that stand for nothing.
	for i := range good {
		for _, c := range []byte{alphabet[i%64], alphabet[(i+1)%64], good[i] ^ 1, good[i] ^ 0x20} {
			if c != good[i] {
				forged = append(forged, good[:i]+string(c)+good[i+1:])
			}
		}
	}
	for _, c := range alphabet {
		if other := good[:len(good)-1] + string(c); other != good {
			forged = append(forged, other)
		}
	}
	// A thief of the database has ids and counters, but no secret of ours.
	for _, secret := range []string{
		strings.Repeat("a", 32), strings.Repeat("\x00", 32), testSecret + "x",
	} {
		keys := testKeys(t, secret)
		for n := range int64(10) {
			forged = append(forged, signRefreshToken(keys, id, n))
		}
	}
	// A MAC of another purpose under the right secret.
	forged = append(forged, testKeys(t, testSecret).Sign(token.Link, id+".0"))
	for range 10_000 {
		forged = append(forged,
			token.NewID()+"."+strconv.Itoa(len(forged))+"."+token.NewID()+token.NewID()[:21])
	}

	a, counted := newCounting(t, nil)
	for _, given := range forged {
		if _, err := a.Refresh(t.Context(), given); !errors.Is(err, ErrRefreshInvalid) {
			t.Errorf("refresh with %q: %v", given, err)
		}
		if err := a.LogoutRefresh(t.Context(), given); err != nil {
			t.Errorf("logout with %q: %v", given, err)
		}
	}
	if n := counted.asked.Load(); n != 0 {
		t.Errorf("%d forged tokens asked the store %d times", len(forged), n)
	}

	// The same counter sees a token of ours, even under a previous secret. Otherwise zero would
	// prove nothing.
	a, counted = newCounting(t, p.store)
	if _, err := a.Refresh(t.Context(), good); err != nil || counted.asked.Load() != 1 {
		t.Errorf("a good token: %v, and the store was asked %d times", err, counted.asked.Load())
	}
	previous := testKeys(t, strings.Repeat("previous", 4))
	if err := a.LogoutRefresh(t.Context(), signRefreshToken(previous, id, 0)); err != nil ||
		counted.asked.Load() != 2 {
		t.Errorf("a token of a previous secret: %v, and the store was asked %d times", err,
			counted.asked.Load())
	}
	a, _ = newCounting(t, withoutUsers{p.store})
	g, err = p.Login(t.Context(), goodLogin("ana"))
	must(t, err)
	if _, err := a.Refresh(t.Context(), g.RefreshToken); !errors.Is(err, ErrRefreshInvalid) {
		t.Errorf("a token of nobody: %v", err)
	}
	t.Logf("%d forged tokens, each for a refresh and a logout: 0 calls of the store; a good one: 1",
		len(forged))
}
