package storetest

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"clientes/store"
)

func userChecks() []check {
	return []check{
		{"a new user gets an id and the instant", userIsNew},
		{"text comes back to the byte", userText},
		{"an unknown user is ErrNotFound on read, update and delete", userUnknown},
		{"a user is found by name in any case", userByName},
		{"a name that another has in any case is a conflict", userNameConflict},
		{"an email that another has in any case is a conflict", userEmailConflict},
		{"of many creates with one name at once one succeeds", userOneWins},
		{"any number of users have no email", userNoEmail},
		{"a page holds at most its limit, by ascending id", userPage},
		{"an update keeps what it must not touch", userUpdate},
		{"an update that changes nothing writes nothing", userNoChange},
		{"the error of a change comes back as it is and nothing is written", userChangeError},
		{"a panic in a change reaches the caller and the store goes on", userPanic},
		{"a clock that goes back does not take updated_at along", userClockBack},
		{"many updaters at once lose no update", userUpdaters},
		{"a change ends all sessions exactly when User.EndsSessions says so", userEndsSessions},
		{"a refused change ends no session", userRefusedEndsNone},
		{"a password hash is replaced only if it is the old one, and no session ends", userReplaceHash},
		{"a rehash beside a password change never brings the old password back", userRehashRace},
		{"a deleted user's sessions are ended and stay", userDelete},
		{"an id is never used twice", userIDOnce},
		{"the last active admin can not be deleted, disabled or demoted", userLastAdmin},
		{"an admin can go while another is active", userOtherAdmin},
		{"admins who go at the same instant leave one", userAdminRace},
	}
}

func userIsNew(t *testing.T, f *fixture) {
	in := store.User{
		ID:           77,
		Name:         "Ana",
		Email:        "Ana@Example.com",
		Role:         store.Editor,
		Disabled:     true,
		PasswordHash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA",
		Generation:   9,
		CreatedAt:    time.Unix(0, 0),
		UpdatedAt:    time.Unix(0, 0),
	}
	got, err := f.CreateUser(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID < 1 || got.ID == in.ID {
		t.Errorf("the id is %d", got.ID)
	}
	if got.Generation == in.Generation {
		t.Errorf("the generation is the caller's, %d", got.Generation)
	}
	want := in
	want.ID, want.Generation, want.CreatedAt, want.UpdatedAt = got.ID, got.Generation, f.now(), f.now()
	wantSame(t, "created", got, want)

	read, err := f.User(t.Context(), got.ID)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "read", read, want)
	read, err = f.UserByName(t.Context(), "ana")
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "read by name", read, want)
	page, err := f.Users(t.Context(), 0, 10)
	if err != nil || len(page) != 1 {
		t.Fatalf("listed %v, %v", page, err)
	}
	wantSame(t, "listed", page[0], want)
	if next := f.user(t, "bia", store.Admin); next.ID <= got.ID || next.Disabled {
		t.Errorf("the next one is %+v after %+v", next, got)
	}
}

func userText(t *testing.T, f *fixture) {
	i := 0
	for what, s := range texts() {
		i++
		in := store.User{Name: "user" + strconv.Itoa(i), Email: s, Role: store.Viewer, PasswordHash: s}
		got, err := f.CreateUser(t.Context(), in)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		read, err := f.User(t.Context(), got.ID)
		if err != nil || read.Email != s || read.PasswordHash != s {
			t.Errorf("%s: read %s, %v", what, clip(read), err)
		}
	}
	name := strings.Repeat("aZ09._@+-", store.MaxUserName)[:store.MaxUserName]
	f.user(t, name, store.Viewer)
	if u, err := f.UserByName(t.Context(), strings.ToUpper(name)); err != nil || u.Name != name {
		t.Errorf("the longest name: %+v, %v", u, err)
	}
}

func userUnknown(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	for _, id := range []int64{ana.ID + 1, 0, -1, math.MaxInt64, math.MinInt64} {
		_, err := f.User(t.Context(), id)
		wantErr(t, err, store.ErrNotFound)
		_, err = f.UpdateUser(t.Context(), id, func(u store.User) (store.User, error) {
			t.Errorf("change was called for id %d", id)
			return u, nil
		})
		wantErr(t, err, store.ErrNotFound)
		wantErr(t, f.DeleteUser(t.Context(), id), store.ErrNotFound)
		if err := f.ReplacePasswordHash(t.Context(), id, ana.PasswordHash, "new"); err != nil {
			t.Errorf("replace the hash of user %d: %v", id, err)
		}
	}
}

func userByName(t *testing.T, f *fixture) {
	ana := f.user(t, "Ana.Maria@x", store.Viewer)
	for _, name := range []string{"Ana.Maria@x", "ana.maria@x", "ANA.MARIA@X"} {
		if u, err := f.UserByName(t.Context(), name); err != nil || u != ana {
			t.Errorf("%q: %+v, %v", name, u, err)
		}
	}
	for _, name := range []string{"", "ana", "Ana.Maria@xy", "Ana_Maria@x", "%", "ana.maria@x ", "' OR '1'='1",
		strings.Repeat("a", 100_000)} {
		_, err := f.UserByName(t.Context(), name)
		wantErr(t, err, store.ErrNotFound)
	}
}

func userNameConflict(t *testing.T, f *fixture) {
	f.user(t, "Ana", store.Viewer)
	for _, name := range []string{"Ana", "ana", "ANA", "aNa"} {
		_, err := f.CreateUser(t.Context(), store.User{Name: name, Email: name + "@example.com", Role: store.Viewer})
		wantConflict(t, err, "user")
	}
	if page, err := f.Users(t.Context(), 0, 10); err != nil || len(page) != 1 {
		t.Errorf("there are %+v, %v", page, err)
	}
	// A refused create leaves nothing behind that would be in the way of the next.
	if _, err := f.CreateUser(t.Context(), store.User{Name: "b", Email: "ana@example.com", Role: store.Viewer}); err != nil {
		t.Error(err)
	}
}

func userEmailConflict(t *testing.T, f *fixture) {
	i := 0
	for a, b := range sameEmails() {
		i++
		name := func(s string) string { return s + strconv.Itoa(i) }
		first, err := f.CreateUser(t.Context(), store.User{Name: name("first"), Email: a, Role: store.Viewer})
		if err != nil {
			t.Fatal(err)
		}
		other := f.user(t, name("other"), store.Viewer)

		_, err = f.CreateUser(t.Context(), store.User{Name: name("second"), Email: b, Role: store.Viewer})
		wantConflict(t, err, "email")
		_, err = f.UpdateUser(t.Context(), other.ID, func(u store.User) (store.User, error) {
			u.Email = b
			return u, nil
		})
		wantConflict(t, err, "email")
		got, err := f.UpdateUser(t.Context(), first.ID, func(u store.User) (store.User, error) {
			u.Email = b
			return u, nil
		})
		if err != nil || got.Email != b {
			t.Errorf("%q to %q: got %+v, %v", a, b, got, err)
		}
	}
	// Customers and users are apart.
	f.cliente(t, "Ana", "ana@example.com")
}

func userOneWins(t *testing.T, f *fixture) {
	stores := []store.Store{f, f.another(t)}
	for round := range 20 {
		var mu sync.Mutex
		created := 0
		var tries []func()
		for i := range 8 {
			tries = append(tries, func() {
				name := fmt.Sprintf("same%d", round)
				if i%3 == 0 {
					name = strings.ToUpper(name)
				}
				_, err := stores[i%2].CreateUser(t.Context(), store.User{Name: name, Role: store.Viewer})
				if err != nil {
					wantConflict(t, err, "user")
					return
				}
				mu.Lock()
				defer mu.Unlock()
				created++
			})
		}
		atOnce(tries...)
		if created != 1 {
			t.Fatalf("round %d: %d creates with one name succeeded", round, created)
		}
	}
}

func userNoEmail(t *testing.T, f *fixture) {
	f.user(t, "a", store.Viewer)
	f.user(t, "b", store.Viewer)
	c, err := f.CreateUser(t.Context(), store.User{Name: "c", Email: "c@example.com", Role: store.Viewer})
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.UpdateUser(t.Context(), c.ID, func(u store.User) (store.User, error) {
		u.Email = ""
		return u, nil
	})
	if err != nil {
		t.Error(err)
	}
}

func userPage(t *testing.T, f *fixture) {
	if page, err := f.Users(t.Context(), 0, 10); err != nil || page == nil || len(page) != 0 {
		t.Errorf("an empty store gave %#v, %v", page, err)
	}
	var all []store.User
	for i := range 5 {
		all = append(all, f.user(t, "user"+strconv.Itoa(9-i), store.Viewer))
	}
	for _, c := range []struct {
		after       int64
		limit       int
		first, last int // of all
	}{
		{0, 3, 0, 3},
		{all[2].ID, 3, 3, 5},
		{all[4].ID, 3, 5, 5},
		{math.MaxInt64, 3, 5, 5},
		{math.MinInt64, 1000, 0, 5},
		{0, 0, 0, 0},
		{0, -1, 0, 0},
	} {
		page, err := f.Users(t.Context(), c.after, c.limit)
		if err != nil || page == nil || fmt.Sprint(page) != fmt.Sprint(all[c.first:c.last]) {
			t.Errorf("%d after %d: got %+v, %v", c.limit, c.after, page, err)
		}
	}
}

func userUpdate(t *testing.T, f *fixture) {
	old := f.user(t, "Ana", store.Viewer)
	f.clock.add(time.Minute)
	got, err := f.UpdateUser(t.Context(), old.ID, func(u store.User) (store.User, error) {
		wantSame(t, "what change is handed", u, old)
		return store.User{
			ID:           u.ID + 1,
			Name:         "other",
			Email:        "ana@example.com",
			Role:         store.Editor,
			Disabled:     true,
			PasswordHash: "other",
			Generation:   u.Generation + 50,
			CreatedAt:    u.CreatedAt.Add(time.Hour),
			UpdatedAt:    u.UpdatedAt.Add(-time.Hour),
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := store.User{
		ID:           old.ID,
		Name:         "Ana",
		Email:        "ana@example.com",
		Role:         store.Editor,
		Disabled:     true,
		PasswordHash: "other",
		Generation:   old.Generation + 1,
		CreatedAt:    old.CreatedAt,
		UpdatedAt:    f.now(),
	}
	wantSame(t, "updated", got, want)
	read, err := f.User(t.Context(), old.ID)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "read", read, want)
}

func userNoChange(t *testing.T, f *fixture) {
	old := f.user(t, "ana", store.Admin)
	f.session(t, "s", old)
	f.clock.add(time.Hour)
	got, err := f.UpdateUser(t.Context(), old.ID, func(u store.User) (store.User, error) {
		u.ID, u.Name, u.Generation, u.CreatedAt, u.UpdatedAt = 99, "other", 99, time.Time{}, time.Time{}
		return u, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "given back", got, old)
	read, err := f.User(t.Context(), old.ID)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "read", read, old)
	wantLives(t, f, "s")
}

func userChangeError(t *testing.T, f *fixture) {
	old := f.user(t, "ana", store.Viewer)
	refusal := errors.New("refused")
	_, err := f.UpdateUser(t.Context(), old.ID, func(u store.User) (store.User, error) {
		u.Role = store.Admin
		return u, refusal
	})
	if err != refusal { // not errors.Is: it is promised unwrapped
		t.Errorf("got %v", err)
	}
	if read, err := f.User(t.Context(), old.ID); err != nil || read != old {
		t.Errorf("left %+v, %v", read, err)
	}
}

func userPanic(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	for range 40 {
		func() {
			defer func() {
				if recover() != "boom" {
					t.Error("the panic did not come through")
				}
			}()
			f.UpdateUser(t.Context(), ana.ID, func(store.User) (store.User, error) { panic("boom") })
		}()
	}
	if read, err := f.User(t.Context(), ana.ID); err != nil || read != ana {
		t.Errorf("left %+v, %v", read, err)
	}
	f.user(t, "bia", store.Viewer)
}

func userClockBack(t *testing.T, f *fixture) {
	old := f.user(t, "ana", store.Viewer)
	f.clock.add(-24 * time.Hour)
	got, err := f.UpdateUser(t.Context(), old.ID, func(u store.User) (store.User, error) {
		u.Email = "ana@example.com"
		return u, nil
	})
	if err != nil || !got.UpdatedAt.Equal(old.UpdatedAt) {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := f.ReplacePasswordHash(t.Context(), old.ID, old.PasswordHash, "new"); err != nil {
		t.Error(err)
	}
	if read, err := f.User(t.Context(), old.ID); err != nil || read.UpdatedAt.Before(old.UpdatedAt) {
		t.Errorf("read %+v, %v", read, err)
	}
}

func userUpdaters(t *testing.T, f *fixture) {
	const updaters = 40
	stores := []store.Store{f, f.another(t)}
	ana := f.user(t, "ana", store.Viewer)
	var updates []func()
	for i := range updaters {
		updates = append(updates, func() {
			_, err := stores[i%2].UpdateUser(t.Context(), ana.ID, func(u store.User) (store.User, error) {
				u.PasswordHash += "x"
				return u, nil
			})
			if err != nil {
				t.Errorf("updater %d: %v", i, err)
			}
		})
	}
	atOnce(updates...)
	got, err := f.User(t.Context(), ana.ID)
	if err != nil || got.Generation != ana.Generation+updaters ||
		got.PasswordHash != ana.PasswordHash+strings.Repeat("x", updaters) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func userEndsSessions(t *testing.T, f *fixture) {
	f.user(t, "root", store.Admin) // so that no change meets the last admin
	bystander := f.user(t, "bystander", store.Editor)
	f.session(t, "bystander", bystander)

	// Every change that the fields allow, not only those that one would think of.
	states := []store.User{}
	for _, role := range store.Roles() {
		for _, disabled := range []bool{false, true} {
			for _, hash := range []string{"one", "two"} {
				for _, email := range []string{"", "ana@example.com"} {
					states = append(states, store.User{Role: role, Disabled: disabled, PasswordHash: hash, Email: email})
				}
			}
		}
	}
	ana := f.user(t, "ana", store.Viewer)
	set := func(v store.User) store.User {
		t.Helper()
		u, err := f.UpdateUser(t.Context(), ana.ID, func(u store.User) (store.User, error) {
			u.Role, u.Disabled, u.PasswordHash, u.Email = v.Role, v.Disabled, v.PasswordHash, v.Email
			return u, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for i, from := range states {
		for j, to := range states {
			old := set(from)
			id := fmt.Sprintf("%d to %d", i, j)
			if !from.Disabled {
				f.session(t, id, old)
			}
			f.clock.add(time.Second)
			got := set(to)
			ends := from.EndsSessions(to)
			want := old
			want.Role, want.Disabled, want.PasswordHash, want.Email = to.Role, to.Disabled, to.PasswordHash, to.Email
			if ends {
				want.Generation++
			}
			if from != to {
				want.UpdatedAt = f.now()
			}
			wantSame(t, id, got, want)
			switch {
			case from.Disabled: // no session could begin
			case ends:
				wantEnded(t, f, id, f.now())
			default:
				wantLives(t, f, id)
			}
		}
	}
	wantLives(t, f, "bystander")
	if u, err := f.User(t.Context(), bystander.ID); err != nil || u != bystander {
		t.Errorf("the bystander is %+v, %v", u, err)
	}
}

// wantLives reports a session that is not there or has ended.
func wantLives(t *testing.T, st store.Store, id string) {
	t.Helper()
	if n, err := st.Session(t.Context(), id); err != nil || !n.EndedAt.IsZero() {
		t.Errorf("session %q should live: %+v, %v", id, n, err)
	}
}

// wantEnded reports a session that is not there or did not end at that instant.
func wantEnded(t *testing.T, st store.Store, id string, at time.Time) {
	t.Helper()
	if n, err := st.Session(t.Context(), id); err != nil || n.EndedAt != at {
		t.Errorf("session %q should have ended at %v: %+v, %v", id, at, n, err)
	}
}

func userRefusedEndsNone(t *testing.T, f *fixture) {
	taken, err := f.CreateUser(t.Context(), store.User{Name: "taken", Email: "taken@example.com", Role: store.Viewer})
	if err != nil {
		t.Fatal(err)
	}
	admin := f.user(t, "admin", store.Admin)
	f.session(t, "admin", admin)
	_, err = f.UpdateUser(t.Context(), admin.ID, func(u store.User) (store.User, error) {
		u.PasswordHash, u.Email = "new", strings.ToUpper(taken.Email)
		return u, nil
	})
	wantConflict(t, err, "email")
	_, err = f.UpdateUser(t.Context(), admin.ID, func(u store.User) (store.User, error) {
		u.PasswordHash, u.Disabled = "new", true
		return u, nil
	})
	wantErr(t, err, store.ErrLastAdmin)
	wantErr(t, f.DeleteUser(t.Context(), admin.ID), store.ErrLastAdmin)
	wantLives(t, f, "admin")
	if read, err := f.User(t.Context(), admin.ID); err != nil || read != admin {
		t.Errorf("left %+v, %v", read, err)
	}
	f.session(t, "next", admin) // the generation is still good
}

func userReplaceHash(t *testing.T, f *fixture) {
	ana, bia := f.user(t, "ana", store.Admin), f.user(t, "bia", store.Viewer)
	f.session(t, "s", ana)
	f.clock.add(time.Second)
	for _, c := range []struct{ old, hash, want string }{
		{"other", "stolen", ana.PasswordHash},
		{"", "stolen", ana.PasswordHash},
		{ana.PasswordHash, "better", "better"},
		{ana.PasswordHash, "stolen", "better"},
		{"better", "best", "best"},
	} {
		if err := f.ReplacePasswordHash(t.Context(), ana.ID, c.old, c.hash); err != nil {
			t.Error(err)
		}
		u, err := f.User(t.Context(), ana.ID)
		if err != nil || u.PasswordHash != c.want || u.Generation != ana.Generation {
			t.Errorf("%q for %q left %+v, %v", c.hash, c.old, u, err)
		}
	}
	wantLives(t, f, "s")
	f.session(t, "next", ana)
	if u, err := f.User(t.Context(), bia.ID); err != nil || u != bia {
		t.Errorf("the other user is %+v, %v", u, err)
	}
}

func userRehashRace(t *testing.T, f *fixture) {
	stores := []store.Store{f, f.another(t)}
	ana := f.user(t, "ana", store.Viewer)
	for round := range 50 {
		old, err := f.User(t.Context(), ana.ID)
		if err != nil {
			t.Fatal(err)
		}
		changed := "new password " + strconv.Itoa(round)
		atOnce(
			func() {
				_, err := stores[round%2].UpdateUser(t.Context(), ana.ID, func(u store.User) (store.User, error) {
					u.PasswordHash = changed
					return u, nil
				})
				if err != nil {
					t.Error(err)
				}
			},
			func() {
				if err := f.ReplacePasswordHash(t.Context(), ana.ID, old.PasswordHash, "old password"); err != nil {
					t.Error(err)
				}
			},
		)
		if u, err := f.User(t.Context(), ana.ID); err != nil || u.PasswordHash != changed {
			t.Fatalf("round %d: %+v, %v", round, u, err)
		}
	}
}

func userDelete(t *testing.T, f *fixture) {
	ana, err := f.CreateUser(t.Context(), store.User{Name: "Ana", Email: "ana@example.com", Role: store.Viewer})
	if err != nil {
		t.Fatal(err)
	}
	bia := f.user(t, "bia", store.Viewer)
	f.session(t, "ended before", ana)
	f.session(t, "alive", ana)
	f.session(t, "of bia", bia)
	before, err := f.EndSession(t.Context(), "ended before")
	if err != nil {
		t.Fatal(err)
	}
	f.clock.add(time.Minute)
	if err := f.DeleteUser(t.Context(), ana.ID); err != nil {
		t.Fatal(err)
	}
	_, err = f.User(t.Context(), ana.ID)
	wantErr(t, err, store.ErrNotFound)
	_, err = f.UserByName(t.Context(), "Ana")
	wantErr(t, err, store.ErrNotFound)
	wantErr(t, f.DeleteUser(t.Context(), ana.ID), store.ErrNotFound)
	wantEnded(t, f, "ended before", before.EndedAt)
	wantEnded(t, f, "alive", f.now())
	wantLives(t, f, "of bia")

	again, err := f.CreateUser(t.Context(), store.User{Name: "ANA", Email: "ANA@example.com", Role: store.Viewer})
	if err != nil || again.ID <= bia.ID {
		t.Errorf("name and email are not free again: %+v, %v", again, err)
	}
}

func userIDOnce(t *testing.T, f *fixture) {
	f.user(t, "a", store.Viewer)
	last := f.user(t, "b", store.Viewer)
	for i := range 3 {
		if err := f.DeleteUser(t.Context(), last.ID); err != nil {
			t.Fatal(err)
		}
		next := f.user(t, "c"+strconv.Itoa(i), store.Viewer)
		if next.ID <= last.ID {
			t.Errorf("after %d went the next id is %d", last.ID, next.ID)
		}
		last = next
	}
}

// departures are the ways in which an admin ceases to be one.
func departures() map[string]func(t *testing.T, st store.Store, id int64) error {
	update := func(change func(*store.User)) func(t *testing.T, st store.Store, id int64) error {
		return func(t *testing.T, st store.Store, id int64) error {
			_, err := st.UpdateUser(t.Context(), id, func(u store.User) (store.User, error) {
				change(&u)
				return u, nil
			})
			return err
		}
	}
	return map[string]func(t *testing.T, st store.Store, id int64) error{
		"deleted":  func(t *testing.T, st store.Store, id int64) error { return st.DeleteUser(t.Context(), id) },
		"disabled": update(func(u *store.User) { u.Disabled = true }),
		"an editor with an email": update(func(u *store.User) {
			u.Role, u.Email = store.Editor, "x@example.com"
		}),
		"a viewer": update(func(u *store.User) { u.Role = store.Viewer }),
	}
}

func userLastAdmin(t *testing.T, f *fixture) {
	admin := f.user(t, "admin", store.Admin)
	f.user(t, "editor", store.Editor)
	disabled := f.user(t, "disabled", store.Admin)
	_, err := f.UpdateUser(t.Context(), disabled.ID, func(u store.User) (store.User, error) {
		u.Disabled = true
		return u, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f.session(t, "s", admin)
	for how, depart := range departures() {
		if err := depart(t, f, admin.ID); !errors.Is(err, store.ErrLastAdmin) {
			t.Errorf("%s: got %v", how, err)
		}
		if u, err := f.User(t.Context(), admin.ID); err != nil || u != admin {
			t.Errorf("%s: left %+v, %v", how, u, err)
		}
	}
	wantLives(t, f, "s")

	// Whatever else may happen to the last admin, and to one who is disabled anyway.
	_, err = f.UpdateUser(t.Context(), admin.ID, func(u store.User) (store.User, error) {
		u.Email, u.PasswordHash = "admin@example.com", "new"
		return u, nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := f.DeleteUser(t.Context(), disabled.ID); err != nil {
		t.Error(err)
	}
}

func userOtherAdmin(t *testing.T, f *fixture) {
	f.user(t, "stays", store.Admin)
	for how, depart := range departures() {
		goes := f.user(t, "goes", store.Admin)
		if err := depart(t, f, goes.ID); err != nil {
			t.Errorf("%s: %v", how, err)
		}
		if u, err := f.User(t.Context(), goes.ID); err == nil && u.ActiveAdmin() {
			t.Errorf("%s: left %+v", how, u)
		}
		if err := f.DeleteUser(t.Context(), goes.ID); err != nil && how != "deleted" {
			t.Error(err)
		}
	}
}

func userAdminRace(t *testing.T, f *fixture) {
	stores := []store.Store{f, f.another(t)}
	ways := departures()
	n := 0
	admin := func() store.User {
		n++
		return f.user(t, "admin"+strconv.Itoa(n), store.Admin)
	}
	a := admin()
	for round := range 10 {
		for howA := range ways {
			for howB := range ways {
				b := admin()
				var errA, errB error
				atOnce(
					func() { errA = ways[howA](t, stores[round%2], a.ID) },
					func() { errB = ways[howB](t, stores[1], b.ID) },
				)
				gone, how := a, howA
				switch {
				case errA == nil && errors.Is(errB, store.ErrLastAdmin):
					a = b
				case errB == nil && errors.Is(errA, store.ErrLastAdmin):
					gone, how = b, howB
				default:
					t.Fatalf("one %s, one %s: %v and %v", howA, howB, errA, errB)
				}
				if u, err := f.User(t.Context(), a.ID); err != nil || u != a {
					t.Fatalf("one %s, one %s: the one left is %+v, %v", howA, howB, u, err)
				}
				if err := f.DeleteUser(t.Context(), gone.ID); how != "deleted" && err != nil {
					t.Fatal(err) // its email would be in the next one's way
				}
			}
		}
	}
}
