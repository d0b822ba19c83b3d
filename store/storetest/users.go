package storetest

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
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
		{"a user is found by name in any case, with white space around it or not", userByName},
		{"email addresses as names are found and taken as Go folds them", userAddressNames},
		{"a user is found by the confirmed email in any case, not by a pending one", userByEmail},
		{"a name that another has in any case is a conflict", userNameConflict},
		{"an email that another has in any case is a conflict", userEmailConflict},
		{"of many creates with one name at once one succeeds", userOneWins},
		{"any number of users have no email", userNoEmail},
		{"any number of users wait for one email, and the first to confirm has it", userPending},
		{"a page holds at most its limit, by ascending id", userPage},
		{"an update keeps what it must not touch", userUpdate},
		{"an update that changes nothing writes nothing", userNoChange},
		{"the error of an update comes back as it is and nothing is written", userChangeError},
		{"a panic in an update reaches the caller and the store goes on", userPanic},
		{"a clock that goes back does not take updated_at along", userClockBack},
		{"many updaters at once lose no update", userUpdaters},
		{"an update ends sessions and cancels links exactly when User says so", userEndsSessions},
		{"generations of links and device tokens rise by one when an update alters them",
			userGenerations},
		{"a code of a second factor is used once, however many try at once", userCodeOnce},
		{"what a second factor uses up is no change of the account", userFactorUsed},
		{"a refused update ends no session", userRefusedEndsNone},
		{"a password hash is replaced only if it is the old one, and no session ends",
			userReplaceHash},
		{"a user without a password gets none by a rehash", userNoPassword},
		{"a rehash beside a password change never brings the old password back", userRehashRace},
		{"effects are kept with the change, or not at all", userEffects},
		{"mails to admins go to every other enabled admin who has an email", userAdminMails},
		{"a deleted user's sessions are ended and stay", userDelete},
		{"a deleted user's mails and networks go, and the audit stays", userDeleteRest},
		{"an id is never used twice", userIDOnce},
		{"the last active admin cannot be deleted, disabled or demoted", userLastAdmin},
		{"an admin can go while another is active", userOtherAdmin},
		{"admins who go at the same instant leave one", userAdminRace},
	}
}

func userIsNew(t *testing.T, f *fixture) {
	in := store.User{
		ID:           77,
		Name:         "Ana",
		Email:        "Ana@Example.com",
		PendingEmail: "Ana@example.org",
		Role:         store.Editor,
		Disabled:     true,
		PasswordHash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA",
		MFA:          store.MFA{Secret: "sealed", On: true, LastStep: 1 << 40, Recovery: "one two"},

		Generation:       9,
		LinkGeneration:   9,
		DeviceGeneration: 9,
		CreatedAt:        time.Unix(0, 0),
		UpdatedAt:        time.Unix(0, 0),
	}
	got, err := f.CreateUser(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID < 1 || got.ID == in.ID {
		t.Errorf("the id is %d", got.ID)
	}
	if got.Generation == in.Generation || got.LinkGeneration == in.LinkGeneration ||
		got.DeviceGeneration == in.DeviceGeneration {
		t.Errorf("a generation is the caller's: %+v", got)
	}
	want := in
	want.ID, want.CreatedAt, want.UpdatedAt = got.ID, f.now(), f.now()
	want.Generation, want.LinkGeneration = got.Generation, got.LinkGeneration
	want.DeviceGeneration = got.DeviceGeneration
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
		in := store.User{
			Name: "user" + strconv.Itoa(i), Email: s, PendingEmail: s, Role: store.Viewer,
			PasswordHash: s,
			MFA:          store.MFA{Secret: s, Recovery: s},
		}
		got, err := f.CreateUser(t.Context(), in)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		read, err := f.User(t.Context(), got.ID)
		if err != nil || read.Email != s || read.PendingEmail != s || read.PasswordHash != s ||
			read.MFA != in.MFA {
			t.Errorf("%s: read %s, %v", what, clip(read), err)
		}
	}
	name := strings.Repeat("aZ09._@+-", store.MaxUserName)[:store.MaxUserName]
	f.user(t, name, store.Viewer)
	if u, err := f.UserByName(t.Context(), strings.ToUpper(name)); err != nil || u.Name != name {
		t.Errorf("the longest name: %+v, %v", u, err)
	}
}

// userAddressNames checks names that are email addresses: every engine compares them as Go does.
func userAddressNames(t *testing.T, f *fixture) {
	long := strings.Repeat("é", 30) + "@" + strings.Repeat(strings.Repeat("a", 60)+".", 3) + "org"
	for _, c := range []struct {
		name  string
		same  []string // the same name
		other []string // other names
	}{
		{"o'brien@example.com", []string{"O'Brien@EXAMPLE.com", " o'brien@example.com\t"},
			[]string{"obrien@example.com", "o''brien@example.com", "o\u2019brien@example.com"}},
		{"jos\u00e9@example.com", []string{"JOS\u00c9@example.com", "jose\u0301@example.com"},
			[]string{"jose@example.com"}},
		{"stra\u00dfe@example.com", []string{"STRASSE@example.com", "STRA\u1e9eE@example.com"},
			[]string{"strase@example.com"}},
		{"ni\u00f1o@example.com", []string{"NI\u00d1O@example.com"}, []string{"nino@example.com"}},
		{"ilker@example.com", []string{"ILKER@example.com"},
			[]string{"\u0130lker@example.com", "\u0131lker@example.com"}},
		{"mark@example.com", []string{"mar\u212a@example.com"}, nil}, // the sign of Kelvin
		{"%_@example.com", nil, []string{"ab@example.com"}},
		{long, []string{strings.ToUpper(long)}, nil},
	} {
		u := f.user(t, c.name, store.Viewer)
		for _, same := range c.same {
			if got, err := f.UserByName(t.Context(), same); err != nil || got != u {
				t.Errorf("%q of %q: %+v, %v", same, c.name, got, err)
			}
			taken := store.User{Name: same, Role: store.Viewer}
			_, err := f.CreateUser(t.Context(), taken)
			var conflict *store.ConflictError
			if !errors.As(err, &conflict) || conflict.Field != "user" {
				t.Errorf("create %q beside %q: %v", same, c.name, err)
			}
			var rows *store.RowsError
			err = f.CheckUsers(t.Context(), []store.User{taken})
			if !errors.As(err, &rows) || rows.Rows[0].Field != "user" {
				t.Errorf("check %q beside %q: %v", same, c.name, err)
			}
		}
		for _, other := range c.other {
			if got, err := f.UserByName(t.Context(), other); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%q finds %q, %v", other, got.Name, err)
			}
		}
	}
}

func userUnknown(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Viewer)
	for _, id := range []int64{ana.ID + 1, 0, -1, math.MaxInt64, math.MinInt64} {
		_, err := f.User(t.Context(), id)
		wantErr(t, err, store.ErrNotFound)
		_, _, err = f.UpdateUser(t.Context(), id, func(u store.User) (store.User, error) {
			t.Errorf("update was called for id %d", id)
			return u, nil
		})
		wantErr(t, err, store.ErrNotFound)
		_, err = f.DeleteUser(t.Context(), id)
		wantErr(t, err, store.ErrNotFound)
		if err := f.ReplacePasswordHash(t.Context(), id, ana.PasswordHash, "new"); err != nil {
			t.Errorf("replace the hash of user %d: %v", id, err)
		}
	}
}

func userByName(t *testing.T, f *fixture) {
	ana := f.user(t, "Ana.Maria@x", store.Viewer)
	for _, name := range []string{
		"Ana.Maria@x", "ana.maria@x", "ANA.MARIA@X", "ana.maria@x ", "\u00a0\tAna.Maria@x\u200b\n",
	} {
		if u, err := f.UserByName(t.Context(), name); err != nil || u != ana {
			t.Errorf("%q: %+v, %v", name, u, err)
		}
	}
	for _, name := range []string{
		"", "ana", "Ana.Maria@xy", "Ana_Maria@x", "%", "ana. maria@x", "' OR '1'='1",
		strings.Repeat("a", 100_000),
	} {
		_, err := f.UserByName(t.Context(), name)
		wantErr(t, err, store.ErrNotFound)
	}
}

func userByEmail(t *testing.T, f *fixture) {
	f.user(t, "nobody", store.Viewer) // has no email, and is not found by ""
	pending, err := f.CreateUser(t.Context(),
		store.User{Name: "pending", PendingEmail: "ana@example.com", Role: store.Viewer})
	if err != nil {
		t.Fatal(err)
	}
	for _, email := range []string{"", "ana@example.com", "%", strings.Repeat("a", 100_000)} {
		_, err := f.UserByEmail(t.Context(), email)
		wantErr(t, err, store.ErrNotFound)
	}
	i := 0
	for a, b := range sameEmails() {
		i++
		u, err := f.CreateUser(t.Context(),
			store.User{Name: fmt.Sprint("user", i), Email: a, Role: store.Viewer})
		if err != nil {
			t.Fatal(err)
		}
		for _, email := range []string{a, b} {
			got, err := f.UserByEmail(t.Context(), email)
			if err != nil || got != u || got.ID == pending.ID {
				t.Errorf("%q: %+v, %v", email, got, err)
			}
		}
		if _, err := f.DeleteUser(t.Context(), u.ID); err != nil {
			t.Fatal(err)
		}
	}
}

func userNameConflict(t *testing.T, f *fixture) {
	f.user(t, "Ana", store.Viewer)
	for _, name := range []string{"Ana", "ana", "ANA", "aNa"} {
		_, err := f.CreateUser(t.Context(),
			store.User{Name: name, Email: name + "@example.com", Role: store.Viewer})
		wantConflict(t, err, "user")
	}
	if page, err := f.Users(t.Context(), 0, 10); err != nil || len(page) != 1 {
		t.Errorf("there are %+v, %v", page, err)
	}
	// A refused create leaves nothing behind that would make the next one fail.
	_, err := f.CreateUser(t.Context(),
		store.User{Name: "b", Email: "ana@example.com", Role: store.Viewer})
	if err != nil {
		t.Error(err)
	}
}

func userEmailConflict(t *testing.T, f *fixture) {
	i := 0
	for a, b := range sameEmails() {
		i++
		name := func(s string) string { return s + strconv.Itoa(i) }
		first, err := f.CreateUser(t.Context(),
			store.User{Name: name("first"), Email: a, Role: store.Viewer})
		if err != nil {
			t.Fatal(err)
		}
		other := f.user(t, name("other"), store.Viewer)

		_, err = f.CreateUser(t.Context(),
			store.User{Name: name("second"), Email: b, Role: store.Viewer})
		wantConflict(t, err, "email")
		_, _, err = f.UpdateUser(t.Context(), other.ID, func(u store.User) (store.User, error) {
			u.Email = b
			return u, nil
		})
		wantConflict(t, err, "email")
		got, _, err := f.UpdateUser(t.Context(), first.ID, func(u store.User) (store.User, error) {
			u.Email = b
			return u, nil
		})
		if err != nil || got.Email != b {
			t.Errorf("%q to %q: got %+v, %v", a, b, got, err)
		}
	}
	// Emails of customers and users are separate.
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
				_, err := stores[i%2].CreateUser(t.Context(),
					store.User{Name: name, Role: store.Viewer})
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
	c, err := f.CreateUser(t.Context(),
		store.User{Name: "c", Email: "c@example.com", Role: store.Viewer})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = f.UpdateUser(t.Context(), c.ID, func(u store.User) (store.User, error) {
		u.Email = ""
		return u, nil
	})
	if err != nil {
		t.Error(err)
	}
}

func userPending(t *testing.T, f *fixture) {
	stores := []store.Store{f, f.another(t)}
	var waiting []store.User
	for i := range 8 {
		u, err := f.CreateUser(t.Context(), store.User{
			Name: fmt.Sprint("user", i), Email: fmt.Sprint(i, "@example.com"), Role: store.Viewer,
		})
		if err != nil {
			t.Fatal(err)
		}
		email := "ana@example.com"
		if i%2 == 0 {
			email = strings.ToUpper(email)
		}
		u, _, err = f.UpdateUser(t.Context(), u.ID, func(u store.User) (store.User, error) {
			u.PendingEmail = email
			return u, nil
		})
		if err != nil || u.PendingEmail != email {
			t.Fatalf("got %+v, %v", u, err)
		}
		waiting = append(waiting, u)
	}
	confirmed := make([]bool, len(waiting))
	var confirms []func()
	for i, u := range waiting {
		confirms = append(confirms, func() {
			got, _, err := stores[i%2].UpdateUser(t.Context(), u.ID,
				func(u store.User) (store.User, error) {
					u.Email = u.PendingEmail
					return u, nil
				})
			if err != nil {
				wantConflict(t, err, "email")
				return
			}
			confirmed[i] = true
			if got.Email != u.PendingEmail || got.PendingEmail != "" ||
				got.LinkGeneration != u.LinkGeneration+1 || got.Generation != u.Generation {
				t.Errorf("%+v became %+v", u, got)
			}
		})
	}
	atOnce(confirms...)
	has := 0
	for i, u := range waiting {
		got, err := f.User(t.Context(), u.ID)
		switch {
		case err != nil:
			t.Error(err)
		case confirmed[i]:
			has++
		case got != u:
			t.Errorf("the refused %+v became %+v", u, got)
		}
	}
	if has != 1 {
		t.Errorf("%d users confirmed one email", has)
	}
}

func userPage(t *testing.T, f *fixture) {
	if page, err := f.Users(t.Context(), 0, 10); err != nil || page == nil || len(page) != 0 {
		t.Errorf("an empty store has %#v, %v", page, err)
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
	got, _, err := f.UpdateUser(t.Context(), old.ID, func(u store.User) (store.User, error) {
		wantSame(t, "what update is called with", u, old)
		return store.User{
			ID:           u.ID + 1,
			Name:         "other",
			Email:        "ana@example.com",
			PendingEmail: "ana@example.org",
			Role:         store.Editor,
			Disabled:     true,
			PasswordHash: "other",
			MFA:          store.MFA{Secret: "sealed", On: true, LastStep: 7, Recovery: "one two"},

			Generation:       u.Generation + 50,
			LinkGeneration:   u.LinkGeneration + 50,
			DeviceGeneration: u.DeviceGeneration - 50,
			CreatedAt:        u.CreatedAt.Add(time.Hour),
			UpdatedAt:        u.UpdatedAt.Add(-time.Hour),
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := store.User{
		ID:           old.ID,
		Name:         "Ana",
		Email:        "ana@example.com",
		PendingEmail: "ana@example.org",
		Role:         store.Editor,
		Disabled:     true,
		PasswordHash: "other",
		MFA:          store.MFA{Secret: "sealed", On: true, LastStep: 7, Recovery: "one two"},

		Generation:       old.Generation + 1,
		LinkGeneration:   old.LinkGeneration + 1,
		DeviceGeneration: old.DeviceGeneration + 1,
		CreatedAt:        old.CreatedAt,
		UpdatedAt:        f.now(),
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
	got, _, err := f.UpdateUser(t.Context(), old.ID, func(u store.User) (store.User, error) {
		u.ID, u.Name, u.Generation = 99, "other", 99
		u.CreatedAt, u.UpdatedAt = time.Time{}, time.Time{}
		return u, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "returned", got, old)
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
	_, _, err := f.UpdateUser(t.Context(), old.ID, func(u store.User) (store.User, error) {
		u.Role = store.Admin
		return u, refusal
	})
	if err != refusal { // not errors.Is: the promise is unwrapped
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
			f.UpdateUser(t.Context(), ana.ID,
				func(store.User) (store.User, error) { panic("boom") })
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
	got, _, err := f.UpdateUser(t.Context(), old.ID, func(u store.User) (store.User, error) {
		u.Email = "ana@example.com"
		return u, nil
	})
	if err != nil || !got.UpdatedAt.Equal(old.UpdatedAt) {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := f.ReplacePasswordHash(t.Context(), old.ID, old.PasswordHash, "new"); err != nil {
		t.Error(err)
	}
	read, err := f.User(t.Context(), old.ID)
	if err != nil || read.UpdatedAt.Before(old.UpdatedAt) {
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
			_, _, err := stores[i%2].UpdateUser(t.Context(), ana.ID,
				func(u store.User) (store.User, error) {
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
	f.user(t, "root", store.Admin) // so that no update meets the last admin
	bystander := f.user(t, "bystander", store.Editor)
	f.session(t, "bystander", bystander)

	// Every change that the fields allow, not only the obvious ones.
	states := []store.User{}
	for _, role := range store.Roles() {
		for _, disabled := range []bool{false, true} {
			for _, hash := range []string{"one", "two"} {
				for _, email := range []string{"", "ana@example.com"} {
					states = append(states, store.User{
						Role: role, Disabled: disabled, PasswordHash: hash, Email: email,
					})
				}
			}
		}
	}
	ana := f.user(t, "ana", store.Viewer)
	set := func(v store.User) (store.User, []store.Ended) {
		t.Helper()
		u, ended, err := f.UpdateUser(t.Context(), ana.ID, func(u store.User) (store.User, error) {
			u.Role, u.Disabled = v.Role, v.Disabled
			u.PasswordHash, u.Email = v.PasswordHash, v.Email
			return u, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return u, ended
	}
	for i, from := range states {
		for j, to := range states {
			old, _ := set(from)
			id := fmt.Sprintf("%d to %d", i, j)
			if !from.Disabled {
				f.session(t, id, old)
			}
			f.clock.add(time.Second)
			got, ended := set(to)
			ends := from.EndsSessions(to)
			want := old
			want.Role, want.Disabled = to.Role, to.Disabled
			want.PasswordHash, want.Email = to.PasswordHash, to.Email
			if ends {
				want.Generation++
			}
			if from.CancelsLinks(to) {
				want.LinkGeneration++
			}
			if from != to {
				want.UpdatedAt = f.now()
			}
			wantSame(t, id, got, want)
			this := func(e store.Ended) bool { return e.ID == id }
			if slices.ContainsFunc(ended, this) != (ends && !from.Disabled) || !ends &&
				len(ended) > 0 {
				t.Errorf("%s: the ended sessions are %v", id, ended)
			}
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

func userGenerations(t *testing.T, f *fixture) {
	u := f.user(t, "ana", store.Viewer)
	for _, ask := range []func(*store.User){
		func(u *store.User) { u.LinkGeneration++ },
		func(u *store.User) { u.LinkGeneration = -7 },
		func(u *store.User) { u.DeviceGeneration++ },
		func(u *store.User) { u.DeviceGeneration = -7 },
		func(u *store.User) { u.LinkGeneration, u.DeviceGeneration = 7, 7 },
		// Both the caller and the new email raise it: it rises by one all the same.
		func(u *store.User) { u.LinkGeneration, u.Email = 7, "ana@example.com" },
		// Only the store raises it.
		func(u *store.User) { u.Generation = 7 },
	} {
		f.clock.add(time.Second)
		asked := u
		ask(&asked)
		want := u
		if asked.LinkGeneration != u.LinkGeneration {
			want.LinkGeneration++
		}
		if asked.DeviceGeneration != u.DeviceGeneration {
			want.DeviceGeneration++
		}
		if want.Email = asked.Email; want != u {
			want.UpdatedAt = f.now()
		}
		got, ended, err := f.UpdateUser(t.Context(), u.ID, func(u store.User) (store.User, error) {
			ask(&u)
			return u, nil
		})
		if err != nil || len(ended) != 0 {
			t.Fatalf("ended %v, %v", ended, err)
		}
		wantSame(t, "updated", got, want)
		read, err := f.User(t.Context(), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, "read", read, want)
		u = read
	}
}

func userCodeOnce(t *testing.T, f *fixture) {
	stores := []store.Store{f, f.another(t)}
	used := errors.New("used")
	ana := f.user(t, "ana", store.Viewer)
	for step := int64(1); step <= 10; step++ {
		var mu sync.Mutex
		passed := 0
		var tries []func()
		for i := range 8 {
			tries = append(tries, func() {
				_, _, err := stores[i%2].UpdateUser(t.Context(), ana.ID,
					func(u store.User) (store.User, error) {
						if u.MFA.LastStep >= step {
							return u, used
						}
						u.MFA.LastStep = step
						return u, nil
					})
				if err != nil {
					wantErr(t, err, used)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				passed++
			})
		}
		atOnce(tries...)
		if passed != 1 {
			t.Fatalf("one code was taken %d times", passed)
		}
	}
}

func userFactorUsed(t *testing.T, f *fixture) {
	u, err := f.CreateUser(t.Context(), store.User{
		Name: "ana", Role: store.Viewer,
		MFA: store.MFA{Secret: "sealed", On: true, Recovery: "one two"},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.session(t, "s", u)
	for _, c := range []struct {
		mfa    store.MFA
		change bool
	}{
		{store.MFA{Secret: "sealed", On: true, LastStep: 5, Recovery: "one two"}, false},
		{store.MFA{Secret: "sealed", On: true, LastStep: 5, Recovery: "two"}, false},
		{store.MFA{Secret: "other", On: true, LastStep: 5, Recovery: "two"}, true},
		{store.MFA{}, true},
	} {
		f.clock.add(time.Second)
		want := u
		if want.MFA = c.mfa; c.change {
			want.UpdatedAt = f.now()
		}
		got, _, err := f.UpdateUser(t.Context(), u.ID, func(u store.User) (store.User, error) {
			u.MFA = c.mfa
			return u, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, "updated", got, want)
		if u, err = f.User(t.Context(), u.ID); err != nil {
			t.Fatal(err)
		}
		wantSame(t, "read", u, want)
	}
	wantLives(t, f, "s")
}

// wantLives reports a session that is missing or has ended.
func wantLives(t *testing.T, st store.Store, id string) {
	t.Helper()
	if n, err := st.Session(t.Context(), id); err != nil || !n.EndedAt.IsZero() {
		t.Errorf("session %q should live: %+v, %v", id, n, err)
	}
}

// wantEnded reports a session that is missing or did not end at that instant.
func wantEnded(t *testing.T, st store.Store, id string, at time.Time) {
	t.Helper()
	if n, err := st.Session(t.Context(), id); err != nil || n.EndedAt != at {
		t.Errorf("session %q should have ended at %v: %+v, %v", id, at, n, err)
	}
}

func userRefusedEndsNone(t *testing.T, f *fixture) {
	taken, err := f.CreateUser(t.Context(),
		store.User{Name: "taken", Email: "taken@example.com", Role: store.Viewer})
	if err != nil {
		t.Fatal(err)
	}
	admin := f.user(t, "admin", store.Admin)
	f.session(t, "admin", admin)
	_, _, err = f.UpdateUser(t.Context(), admin.ID, func(u store.User) (store.User, error) {
		u.PasswordHash, u.Email = "new", strings.ToUpper(taken.Email)
		return u, nil
	})
	wantConflict(t, err, "email")
	_, _, err = f.UpdateUser(t.Context(), admin.ID, func(u store.User) (store.User, error) {
		u.PasswordHash, u.Disabled = "new", true
		return u, nil
	})
	wantErr(t, err, store.ErrLastAdmin)
	_, err = f.DeleteUser(t.Context(), admin.ID)
	wantErr(t, err, store.ErrLastAdmin)
	wantLives(t, f, "admin")
	if read, err := f.User(t.Context(), admin.ID); err != nil || read != admin {
		t.Errorf("left %+v, %v", read, err)
	}
	f.session(t, "next", admin) // the generation is still valid
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

func userNoPassword(t *testing.T, f *fixture) {
	invited, err := f.CreateUser(t.Context(), store.User{Name: "invited", Role: store.Viewer})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.ReplacePasswordHash(t.Context(), invited.ID, "", "stolen"); err != nil {
		t.Error(err)
	}
	if u, err := f.User(t.Context(), invited.ID); err != nil || u != invited {
		t.Errorf("left %+v, %v", u, err)
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
				_, _, err := stores[round%2].UpdateUser(t.Context(), ana.ID,
					func(u store.User) (store.User, error) {
						u.PasswordHash = changed
						return u, nil
					})
				if err != nil {
					t.Error(err)
				}
			},
			func() {
				err := f.ReplacePasswordHash(t.Context(), ana.ID, old.PasswordHash, "old password")
				if err != nil {
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
	ana, err := f.CreateUser(t.Context(),
		store.User{Name: "Ana", Email: "ana@example.com", Role: store.Viewer})
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
	ended, err := f.DeleteUser(t.Context(), ana.ID)
	if err != nil || len(ended) != 1 || ended[0].ID != "alive" {
		t.Fatalf("the ended sessions are %v, %v", ended, err)
	}
	_, err = f.User(t.Context(), ana.ID)
	wantErr(t, err, store.ErrNotFound)
	_, err = f.UserByName(t.Context(), "Ana")
	wantErr(t, err, store.ErrNotFound)
	_, err = f.DeleteUser(t.Context(), ana.ID)
	wantErr(t, err, store.ErrNotFound)
	wantEnded(t, f, "ended before", before.EndedAt)
	wantEnded(t, f, "alive", f.now())
	wantLives(t, f, "of bia")

	again, err := f.CreateUser(t.Context(),
		store.User{Name: "ANA", Email: "ANA@example.com", Role: store.Viewer})
	if err != nil || again.ID <= bia.ID {
		t.Errorf("name and email are not free again: %+v, %v", again, err)
	}
}

// mailsAndEvents returns the mails that are due and the events, as text.
func (f *fixture) mailsAndEvents(t *testing.T) string {
	t.Helper()
	mails, err := f.ClaimMails(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	events, err := f.Events(t.Context(), store.EventFilter{}, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	s := ""
	for _, m := range mails {
		s += fmt.Sprintf("mail %s to %d at generation %d\n", m.Kind, m.UserID, m.LinkGeneration)
	}
	for _, e := range events {
		s += fmt.Sprintf("event %s of %d by %d: %s\n", e.Kind, e.UserID, e.ActorID, e.Detail)
	}
	return s
}

func userEffects(t *testing.T, f *fixture) {
	bia, err := f.CreateUser(t.Context(),
		store.User{Name: "bia", Email: "bia@example.com", Role: store.Viewer})
	if err != nil {
		t.Fatal(err)
	}
	var olds, news []store.User
	mailAndEvent := func(mail store.MailKind, event store.EventKind) store.EffectsFunc {
		return func(old, now store.User) store.Effects {
			olds, news = append(olds, old), append(news, now)
			return store.Effects{
				Mails: []store.Mail{{UserID: bia.ID, Kind: mail, To: "x@example.com"}},
				Events: []store.Event{{
					UserID: bia.ID, ActorID: 5, Kind: event, Detail: fmt.Sprint(now.LinkGeneration),
				}},
			}
		}
	}
	want := ""
	wantEffects := func(what string, old, now store.User) {
		t.Helper()
		if len(olds) == 0 || olds[len(olds)-1] != old || news[len(news)-1] != now {
			t.Errorf("%s: it was called with %+v to %+v, want %+v to %+v",
				what, olds, news, old, now)
		}
		if got := f.mailsAndEvents(t); got != want {
			t.Errorf("%s: there is\n%swant\n%s", what, got, want)
		}
	}
	ana, err := f.CreateUser(t.Context(), store.User{Name: "ana", Role: store.Viewer},
		mailAndEvent(store.MailInvitation, store.EventUserCreated))
	if err != nil {
		t.Fatal(err)
	}
	want = fmt.Sprintf("mail invitation to %d at generation 0\nevent user_created of %d by 5: 0\n",
		ana.ID, ana.ID)
	wantEffects("created", store.User{}, ana)

	refuse := func(what string, update func(store.User) (store.User, error),
		effects ...store.EffectsFunc) (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("panic: %v", v)
			}
			if got := f.mailsAndEvents(t); got != want {
				t.Errorf("%s: there is\n%s", what, got)
			}
			if u, err := f.User(t.Context(), ana.ID); err != nil || u != ana {
				t.Errorf("%s: the user is %+v, %v", what, u, err)
			}
		}()
		_, _, err = f.UpdateUser(t.Context(), ana.ID, update, effects...)
		return err
	}
	both := mailAndEvent(store.MailEmailChanged, store.EventEmailChanged)
	refusal := errors.New("refused")
	wantErr(t, refuse("refused", func(u store.User) (store.User, error) {
		u.Email = "ana@example.com"
		return u, refusal
	}, both), refusal)
	wantConflict(t, refuse("conflict", func(u store.User) (store.User, error) {
		u.Email = bia.Email
		return u, nil
	}, both), "email")
	err = refuse("panic", func(u store.User) (store.User, error) {
		u.Email = "ana@example.com"
		return u, nil
	}, both, func(_, _ store.User) store.Effects { panic("boom") })
	if err == nil || err.Error() != "panic: boom" {
		t.Errorf("the panic did not come through: %v", err)
	}
	_, err = f.CreateUser(t.Context(), store.User{Name: "Ana", Role: store.Viewer}, both)
	wantConflict(t, err, "user")
	if got := f.mailsAndEvents(t); got != want {
		t.Errorf("a refused create: there is\n%s", got)
	}

	now, _, err := f.UpdateUser(t.Context(), ana.ID, func(u store.User) (store.User, error) {
		u.PasswordHash = "new"
		return u, nil
	}, mailAndEvent(store.MailPasswordChanged, store.EventPasswordChanged),
		mailAndEvent(store.MailNewNetwork, store.EventPasswordReset))
	if err != nil || now.LinkGeneration != 1 {
		t.Fatalf("got %+v, %v", now, err)
	}
	want = fmt.Sprintf(`mail invitation to %[1]d at generation 0
mail password_changed to %[1]d at generation 1
mail new_address to %[1]d at generation 1
event password_reset of %[1]d by 5: 1
event password_changed of %[1]d by 5: 1
event user_created of %[1]d by 5: 0
`, ana.ID)
	wantEffects("updated", ana, now)

	// Effects are kept even if the update alters nothing.
	_, _, err = f.UpdateUser(t.Context(), ana.ID,
		func(u store.User) (store.User, error) { return u, nil },
		mailAndEvent(store.MailConfirm, store.EventEmailRequested))
	if err != nil {
		t.Fatal(err)
	}
	want = strings.Replace(want, "event", fmt.Sprintf(`mail confirm to %[1]d at generation 1
event email_requested of %[1]d by 5: 1
event`, ana.ID), 1)
	wantEffects("the same", now, now)
}

// userAdminMails has one user become an admin, and go at once.
func userAdminMails(t *testing.T, f *fixture) {
	want := make(map[int64]string)
	for _, u := range []store.User{
		{Name: "ana", Email: "ana@example.com", Role: store.Admin},
		{Name: "bia", Email: "bia@example.com", Role: store.Admin},
		{Name: "caio", Email: "caio@example.com", Role: store.Editor},
		{Name: "davi", Role: store.Admin, PendingEmail: "davi@example.com"},
		{Name: "eva", Email: "eva@example.com", Role: store.Admin, Disabled: true},
	} {
		u, err := f.CreateUser(t.Context(), u)
		if err != nil {
			t.Fatal(err)
		}
		if u.ActiveAdmin() && u.Email != "" {
			want[u.ID] = u.Email
		}
	}
	effects := func(_, now store.User) store.Effects {
		return store.Effects{ToAdmins: []store.Mail{
			{UserID: 999, Kind: store.MailNewAdmin, To: "x@example.com", Detail: now.Name},
		}}
	}
	wantMails := func(what string) {
		t.Helper()
		got := make(map[int64]string)
		for _, m := range f.claim(t, f, 100) {
			got[m.UserID] += m.To
			if m.Kind != store.MailNewAdmin || m.Detail != "fay" {
				t.Errorf("%s: there is %+v", what, m)
			}
			if err := f.DeleteMail(t.Context(), m.ID); err != nil {
				t.Fatal(err)
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: mails to %v, want %v", what, got, want)
		}
	}
	fay, err := f.CreateUser(t.Context(),
		store.User{Name: "fay", Email: "fay@example.com", Role: store.Admin}, effects)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.DeleteUser(t.Context(), fay.ID); err != nil {
		t.Fatal(err)
	}
	wantMails("created and deleted")
	made, err := f.CreateUsers(t.Context(), []store.User{
		{Name: "fay", Email: "fay@example.com", Role: store.Viewer},
	}, effects)
	if err != nil {
		t.Fatal(err)
	}
	wantMails("imported")
	_, _, err = f.UpdateUser(t.Context(), made[0].ID, func(u store.User) (store.User, error) {
		u.Role = store.Admin
		return u, nil
	}, effects)
	if err != nil {
		t.Fatal(err)
	}
	wantMails("updated")
}

func userDeleteRest(t *testing.T, f *fixture) {
	ana, bia := f.user(t, "ana", store.Viewer), f.user(t, "bia", store.Viewer)
	for _, u := range []store.User{ana, bia} {
		err := f.QueueMails(t.Context(), store.Mail{UserID: u.ID, Kind: store.MailReset})
		if err != nil {
			t.Fatal(err)
		}
		_, err = seeNetwork(t.Context(), f, u, "192.0.2.1",
			store.Mail{Kind: store.MailNewNetwork})
		if err != nil {
			t.Fatal(err)
		}
		err = f.RecordEvents(t.Context(), store.Event{UserID: u.ID, Kind: store.EventLogin})
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := f.DeleteUser(t.Context(), ana.ID,
		store.Event{UserID: 99, ActorID: bia.ID, Kind: store.EventUserDeleted})
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.DeleteUser(t.Context(), ana.ID, store.Event{Kind: store.EventUserDeleted})
	wantErr(t, err, store.ErrNotFound)
	want := fmt.Sprintf(`mail reset to %[2]d at generation 0
mail new_address to %[2]d at generation 0
event user_deleted of %[1]d by %[2]d: 
event login of %[2]d by 0: 
event login of %[1]d by 0: 
`, ana.ID, bia.ID)
	if got := f.mailsAndEvents(t); got != want {
		t.Errorf("there is\n%swant\n%s", got, want)
	}
	if n, err := f.DeleteNetworks(t.Context(), f.now().Add(time.Hour), 10); err != nil || n != 1 {
		t.Errorf("%d networks were left, %v", n, err)
	}
}

func userIDOnce(t *testing.T, f *fixture) {
	f.user(t, "a", store.Viewer)
	last := f.user(t, "b", store.Viewer)
	for i := range 3 {
		if _, err := f.DeleteUser(t.Context(), last.ID); err != nil {
			t.Fatal(err)
		}
		next := f.user(t, "c"+strconv.Itoa(i), store.Viewer)
		if next.ID <= last.ID {
			t.Errorf("after %d went the next id is %d", last.ID, next.ID)
		}
		last = next
	}
}

// departures are the ways in which an admin stops being one.
func departures() map[string]func(t *testing.T, st store.Store, id int64) error {
	by := func(update func(*store.User)) func(t *testing.T, st store.Store, id int64) error {
		return func(t *testing.T, st store.Store, id int64) error {
			_, _, err := st.UpdateUser(t.Context(), id, func(u store.User) (store.User, error) {
				update(&u)
				return u, nil
			})
			return err
		}
	}
	return map[string]func(t *testing.T, st store.Store, id int64) error{
		"deleted": func(t *testing.T, st store.Store, id int64) error {
			_, err := st.DeleteUser(t.Context(), id)
			return err
		},
		"disabled": by(func(u *store.User) { u.Disabled = true }),
		"an editor with an email": by(func(u *store.User) {
			u.Role, u.Email = store.Editor, "x@example.com"
		}),
		"a viewer": by(func(u *store.User) { u.Role = store.Viewer }),
	}
}

func userLastAdmin(t *testing.T, f *fixture) {
	admin := f.user(t, "admin", store.Admin)
	f.user(t, "editor", store.Editor)
	disabled := f.user(t, "disabled", store.Admin)
	_, _, err := f.UpdateUser(t.Context(), disabled.ID, func(u store.User) (store.User, error) {
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

	// Anything else may happen to the last admin, and everything to a disabled one.
	_, _, err = f.UpdateUser(t.Context(), admin.ID, func(u store.User) (store.User, error) {
		u.Email, u.PasswordHash = "admin@example.com", "new"
		return u, nil
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := f.DeleteUser(t.Context(), disabled.ID); err != nil {
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
		if _, err := f.DeleteUser(t.Context(), goes.ID); err != nil && how != "deleted" {
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
				if _, err := f.DeleteUser(t.Context(), gone.ID); how != "deleted" && err != nil {
					t.Fatal(err) // its email would conflict with the next one
				}
			}
		}
	}
}
