package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"clientes/store"
)

func keyChecks() []check {
	return []check{
		{"a key comes back as it was kept, with its event", keyIsKept},
		{"an unknown hash is ErrNotFound", keyUnknown},
		{"a key of an absent, disabled or changed user is ErrUserChanged", keyUserChanged},
		{"keys and logins are in lists of their own, with limits of their own", keysApart},
		{"a page of keys goes on behind the last one", keyPages},
		{"keys end with another role, disabling and deletion, not with a password", keyEnds},
		{"the last use of a key is kept every ten minutes", keyUses},
		{"no key survives a change of the role that it races", keyRace},
	}
}

// newKey returns the session of a key of the user that no store has kept yet.
func (f *fixture) newKey(id string, u store.User) store.Session {
	n := f.newSession(id, u)
	n.Remembered = false
	n.ExpiresAt = n.CreatedAt.Add(90 * 24 * time.Hour)
	n.TokenExp = n.ExpiresAt
	n.Key = store.Key{
		Hash: "hash of " + id, Name: "name of " + id, Role: u.Role, Scopes: "clientes:read changes",
	}
	return n
}

// key creates a key of the user.
func (f *fixture) key(t *testing.T, id string, u store.User) store.Session {
	t.Helper()
	n := f.newKey(id, u)
	must(t, f.AddKey(t.Context(), n, u.Generation))
	return n
}

// keys returns the ids of the keys that live, of a user or of all.
func (f *fixture) keys(t *testing.T, userID int64) (ids []string) {
	t.Helper()
	keys, err := f.Keys(t.Context(), userID, f.now(), store.KeyPosition{}, 1000)
	if err != nil || keys == nil {
		t.Fatalf("got %v, %v", keys, err)
	}
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	return ids
}

func keyIsKept(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Editor)
	for what, s := range texts() {
		n := f.newKey("key "+what, ana)
		n.Key = store.Key{Hash: "#" + s, Name: s, Role: store.Viewer, Scopes: s}
		must(t, f.AddKey(t.Context(), n, ana.Generation,
			store.Event{Kind: store.EventKeyCreated, UserID: 999, Detail: what}))
		got, err := f.KeyByHash(t.Context(), n.Key.Hash)
		must(t, err)
		wantSame(t, what, got, n)
		got, err = f.Session(t.Context(), n.ID)
		must(t, err)
		wantSame(t, what, got, n)
	}
	events := f.events(t, store.EventFilter{UserID: ana.ID, Kind: store.EventKeyCreated})
	if len(events) != len(texts()) {
		t.Errorf("%d events", len(events))
	}
	// A hash has one key, also when that has ended.
	first := f.key(t, "first", ana)
	_, err := f.EndSession(t.Context(), "first")
	must(t, err)
	second := f.newKey("second", ana)
	second.Key.Hash = first.Key.Hash
	if err := f.AddKey(t.Context(), second, ana.Generation); err == nil {
		t.Error("two keys have one hash")
	}
	got, err := f.KeyByHash(t.Context(), first.Key.Hash)
	if err != nil || got.ID != "first" || got.EndedAt.IsZero() {
		t.Errorf("got %+v, %v", got, err)
	}
	// Nor does an update of the session change what the key is.
	got, _, err = f.UpdateSession(t.Context(), "key empty",
		func(n store.Session) (store.Session, error) {
			n.Key = store.Key{Hash: "other"}
			return n, nil
		})
	if err != nil || got.Key.Hash == "other" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func keyUnknown(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	f.session(t, "a login", ana)
	f.key(t, "known", ana)
	for _, hash := range []string{"", "unknown", "Hash of known", "hash of known ", "%"} {
		_, err := f.KeyByHash(t.Context(), hash)
		wantErr(t, err, store.ErrNotFound)
	}
	must(t, f.NoteKeyUse(t.Context(), "unknown", f.now()))
}

func keyUserChanged(t *testing.T, f *fixture) {
	refused := func(what string, u store.User, generation int64) {
		t.Helper()
		event := store.Event{Kind: store.EventKeyCreated}
		wantErr(t, f.AddKey(t.Context(), f.newKey(what, u), generation, event),
			store.ErrUserChanged)
		_, err := f.KeyByHash(t.Context(), "hash of "+what)
		wantErr(t, err, store.ErrNotFound)
	}
	ana := f.user(t, "ana", store.Viewer)
	refused("unknown user", store.User{ID: ana.ID + 1}, ana.Generation)
	refused("lower generation", ana, ana.Generation-1)
	refused("higher generation", ana, ana.Generation+1)
	f.updateUser(t, ana.ID, func(u *store.User) { u.Disabled = true })
	now, err := f.User(t.Context(), ana.ID)
	must(t, err)
	refused("disabled", now, now.Generation)
	if events := f.events(t, store.EventFilter{}); len(events) > 0 {
		t.Errorf("events %+v", events)
	}
}

func keysApart(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	for i := range store.MaxKeys {
		f.key(t, fmt.Sprint("k", i), ana)
	}
	event := store.Event{Kind: store.EventKeyCreated}
	wantErr(t, f.AddKey(t.Context(), f.newKey("one more", ana), ana.Generation, event),
		store.ErrTooManyKeys)
	_, err := f.Session(t.Context(), "one more")
	wantErr(t, err, store.ErrNotFound)
	for i := range store.MaxSessions + 1 {
		f.living(t, fmt.Sprint("s", i), ana, time.Duration(-i)*time.Second)
	}
	logins, err := f.UserSessions(t.Context(), ana.ID, f.clock.now())
	if err != nil || len(logins) != store.MaxSessions {
		t.Errorf("%d logins, %v", len(logins), err)
	}
	for _, n := range logins {
		if n.Key != (store.Key{}) {
			t.Fatalf("a key is a login: %+v", n)
		}
	}
	if n := len(f.keys(t, ana.ID)); n != store.MaxKeys {
		t.Errorf("%d keys", n)
	}
	// One that has ended makes room, and so does one whose time is up.
	_, err = f.EndSession(t.Context(), "k0")
	must(t, err)
	f.key(t, "instead", ana)
	f.clock.add(91 * 24 * time.Hour)
	f.key(t, "later", ana)
	if got := f.keys(t, ana.ID); !slices.Equal(got, []string{"later"}) {
		t.Errorf("got %v", got)
	}
	// The limit also holds for many at once.
	bia := f.user(t, "bia", store.Viewer)
	stores := []store.Store{f.Store, f.another(t)}
	var all []func()
	for i := range store.MaxKeys + 10 {
		all = append(all, func() {
			n := f.newKey(fmt.Sprint("b", i), bia)
			err := stores[i%2].AddKey(t.Context(), n, bia.Generation)
			if err != nil && !errors.Is(err, store.ErrTooManyKeys) {
				t.Error(err)
			}
		})
	}
	atOnce(all...)
	if n := len(f.keys(t, bia.ID)); n != store.MaxKeys {
		t.Errorf("%d keys of many at once", n)
	}
}

func keyPages(t *testing.T, f *fixture) {
	ana, bia := f.user(t, "ana", store.Viewer), f.user(t, "bia", store.Viewer)
	f.session(t, "a login", ana)
	f.key(t, "b", ana)
	f.key(t, "a", bia) // at the same instant
	f.clock.add(time.Second)
	f.key(t, "c", ana)
	f.key(t, "ended", ana)
	_, err := f.EndSession(t.Context(), "ended")
	must(t, err)
	var got []string
	for after := (store.KeyPosition{}); ; {
		page, err := f.Keys(t.Context(), 0, f.now(), after, 1)
		must(t, err)
		if len(page) == 0 {
			break
		}
		got = append(got, page[0].ID+" of "+page[0].User)
		after = store.KeyPosition{CreatedAt: page[0].CreatedAt, ID: page[0].ID}
	}
	if want := []string{"c of ana", "b of ana", "a of bia"}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if got := f.keys(t, ana.ID); !slices.Equal(got, []string{"c", "b"}) {
		t.Errorf("of ana: %v", got)
	}
	if none, err := f.Keys(t.Context(), 0, f.now(), store.KeyPosition{}, -1); err != nil ||
		len(none) > 0 {
		t.Errorf("of none: %v, %v", none, err)
	}
}

func keyEnds(t *testing.T, f *fixture) {
	type change = func(id int64) ([]store.Ended, error)
	endSessions := func(id int64) ([]store.Ended, error) { return f.EndSessions(t.Context(), id) }
	deleteUser := func(id int64) ([]store.Ended, error) { return f.DeleteUser(t.Context(), id) }
	for what, c := range map[string]struct {
		ends bool
		do   change
	}{
		"password": {false, f.changing(t, func(u *store.User) { u.PasswordHash = "other" })},
		"logins":   {false, endSessions},
		"role":     {true, f.changing(t, func(u *store.User) { u.Role = store.Editor })},
		"both": {true, f.changing(t, func(u *store.User) {
			u.PasswordHash, u.Role = "other", store.Editor
		})},
		"disabled": {true, f.changing(t, func(u *store.User) { u.Disabled = true })},
		"deleted":  {true, deleteUser},
	} {
		u := f.user(t, what, store.Viewer)
		f.living(t, "login "+what, u, 0)
		key := f.key(t, "key "+what, u)
		w := follow(t, f)
		ended, err := c.do(u.ID)
		must(t, err)
		w.ask(t, f)
		if !c.ends {
			w.wantOnce(t, "login "+what)
			wantLives(t, f, key.ID)
			continue
		}
		w.wantOnce(t, "login "+what, key.ID)
		if !slices.ContainsFunc(ended, func(e store.Ended) bool {
			return e.ID == key.ID && e.TokenExp.Equal(key.TokenExp)
		}) {
			t.Errorf("%s ended %v", what, ended)
		}
	}
}

// changing returns a function that updates a user.
func (f *fixture) changing(
	t *testing.T, change func(*store.User),
) func(int64) ([]store.Ended, error) {
	return func(id int64) ([]store.Ended, error) {
		_, ended, err := f.UpdateUser(t.Context(), id, func(u store.User) (store.User, error) {
			change(&u)
			return u, nil
		})
		return ended, err
	}
}

func keyUses(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	begun := f.key(t, "k", ana).CreatedAt
	login := f.living(t, "login", ana, time.Hour)
	lastUse := func(id string) time.Duration {
		t.Helper()
		n, err := f.Session(t.Context(), id)
		must(t, err)
		return n.LastUsedAt.Sub(begun)
	}
	for _, use := range []struct{ at, want time.Duration }{
		{time.Second, time.Second}, // the first use, whenever it is
		{store.KeyNoted, time.Second},
		{store.KeyNoted + time.Second, store.KeyNoted + time.Second},
		{time.Minute, store.KeyNoted + time.Second}, // of a slow process
	} {
		must(t, f.NoteKeyUse(t.Context(), "k", begun.Add(use.at)))
		if got := lastUse("k"); got != use.want {
			t.Errorf("after a use at %s: %s, want %s", use.at, got, use.want)
		}
	}
	_, err := f.EndSession(t.Context(), "k")
	must(t, err)
	before := lastUse("login")
	for _, id := range []string{"k", login.ID} { // neither lives as a key
		must(t, f.NoteKeyUse(t.Context(), id, begun.Add(24*time.Hour)))
	}
	if lastUse("k") > time.Hour || lastUse("login") != before {
		t.Errorf("used at %s and %s", lastUse("k"), lastUse("login"))
	}
}

func keyRace(t *testing.T, f *fixture) {
	const rounds, keys = 5, 20 // 100 in all
	other := f.another(t)
	for round := range rounds {
		u := f.user(t, fmt.Sprint("u", round), store.Viewer)
		var mu sync.Mutex
		var kept []string
		all := []func(){func() {
			_, err := f.changing(t, func(u *store.User) { u.Role = store.Editor })(u.ID)
			if err != nil {
				t.Error(err)
			}
		}}
		for i := range keys {
			n := f.newKey(fmt.Sprint("k", round, ".", i), u)
			st := []store.Store{f.Store, other}[i%2]
			all = append(all, func() {
				switch err := st.AddKey(t.Context(), n, u.Generation); {
				case err == nil:
					mu.Lock()
					kept = append(kept, n.ID)
					mu.Unlock()
				case !errors.Is(err, store.ErrUserChanged):
					t.Error(err)
				}
			})
		}
		// The change comes somewhere in between.
		at := round * len(all) / rounds
		all[0], all[at] = all[at], all[0]
		atOnce(all...)
		if living := f.keys(t, u.ID); len(living) > 0 {
			t.Errorf("round %d: %v live with a role that is gone", round, living)
		}
		for _, id := range kept {
			if n, err := f.Session(t.Context(), id); err != nil || n.EndedAt.IsZero() {
				t.Errorf("round %d: %+v, %v", round, n, err)
			}
		}
	}
}
