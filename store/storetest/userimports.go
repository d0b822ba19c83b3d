package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"clientes/store"
)

func userImportChecks() []check {
	return []check{
		{"many users are made in their order, each as it would be alone", usersMade},
		{"nobody is many too", usersNobody},
		{"names and emails that are taken are reported by row and nothing is kept", usersTaken},
		{"a check does not look at what is empty", usersEmpty},
		{"many users whose context ends are not made", usersCancelled},
		{"of many who create the same users at once one succeeds, and the others get the rows",
			usersAtOnce},
		{"many users are there at once or not at all", usersWhole},
	}
}

func usersMade(t *testing.T, f *fixture) {
	before := f.user(t, "before", store.Admin)
	var users []store.User
	for _, s := range texts() {
		name := fmt.Sprint("User", len(users))
		users = append(users,
			store.User{Name: name, Email: s, PendingEmail: s, Role: store.Viewer, PasswordHash: s})
	}
	for i := range 1200 { // more than one batch
		users = append(users,
			store.User{Name: "many" + strconv.Itoa(i), Role: store.Editor, PasswordHash: "hash"})
	}
	users = append(users, store.User{
		ID: before.ID, Name: "last", Email: "Last@example.com", Role: store.Admin, Disabled: true,
		PasswordHash: "hash", Generation: 7, LinkGeneration: 8, DeviceGeneration: 9,
		CreatedAt: f.now().AddDate(-1, 0, 0),
	})
	given := slices.Clone(users)
	var created []store.User
	made, err := f.CreateUsers(t.Context(), users, func(old, now store.User) store.Effects {
		if old != (store.User{}) {
			t.Errorf("called for a change from %s", clip(old))
		}
		created = append(created, now)
		if now.Name != "last" {
			return store.Effects{}
		}
		return store.Effects{
			Mails:  []store.Mail{{Kind: store.MailInvitation, To: "x@example.com"}},
			Events: []store.Event{{Kind: store.EventUserCreated, Detail: "imported"}},
		}
	})
	if err != nil || len(made) != len(users) {
		t.Fatalf("%d of %d, %v", len(made), len(users), err)
	}
	if !slices.Equal(users, given) {
		t.Error("the caller's users were changed")
	}
	if !slices.Equal(created, made) {
		t.Error("the effects are not of what was created")
	}
	all, err := f.Users(t.Context(), before.ID, len(users)+1)
	if err != nil || len(all) != len(users) {
		t.Fatalf("%d of %d are there, %v", len(all), len(users), err)
	}
	for i, u := range made {
		want := users[i]
		want.ID, want.CreatedAt, want.UpdatedAt = u.ID, f.now(), f.now()
		want.Generation, want.LinkGeneration, want.DeviceGeneration = 0, 0, 0
		wantSame(t, "made", u, want)
		wantSame(t, "listed", all[i], want)
	}
	last := made[len(made)-1]
	if u, err := f.UserByName(t.Context(), "LAST"); err != nil || u != last {
		t.Errorf("by name: %s, %v", clip(u), err)
	}
	if u, err := f.UserByEmail(t.Context(), "last@EXAMPLE.com"); err != nil || u != last {
		t.Errorf("by email: %s, %v", clip(u), err)
	}
	events, err := f.Events(t.Context(), store.EventFilter{}, 0, 10)
	if err != nil || len(events) != 1 || events[0].UserID != last.ID {
		t.Errorf("events %s, %v", clip(events), err)
	}
	mails, err := f.ClaimMails(t.Context(), 0, 10)
	if err != nil || len(mails) != 1 || mails[0].UserID != last.ID {
		t.Errorf("mails %s, %v", clip(mails), err)
	}
	if next := f.user(t, "after", store.Viewer); next.ID <= last.ID {
		t.Errorf("the id %d came after %d", next.ID, last.ID)
	}
}

func usersNobody(t *testing.T, f *fixture) {
	if made, err := f.CreateUsers(t.Context(), nil); len(made) != 0 || err != nil {
		t.Errorf("%v, %v", made, err)
	}
	if err := f.CheckUsers(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func usersTaken(t *testing.T, f *fixture) {
	_, err := f.CreateUser(t.Context(),
		store.User{
			Name:         "Ana",
			Email:        "Ana@example.com",
			PendingEmail: "pending@example.com",
			Role:         store.Viewer,
		})
	if err != nil {
		t.Fatal(err)
	}
	users := []store.User{
		{Name: "one", Email: "pending@example.com"},
		// 1: a pending email belongs to nobody yet
		{Name: "ANA", Email: "ana@EXAMPLE.com"},  // 2: both
		{Name: "two"},                            // 3
		{Name: "TWO", Email: "two@example.com"},  // 4: the name
		{Name: "three"},                          // 5
		{Name: "four", Email: "Two@Example.com"}, // 6: the email
		{Name: "Ana@example.com", Email: "pending2@b.example"},
		// 7: a name that is another user's email
		{Name: "five", PendingEmail: "ana@example.com"},          // 8
		{Name: "six", PendingEmail: "ana@example.com"},           // 9
		{Name: "seven", Email: strings.Repeat("é", 50) + "@b.c"}, // 10
		{Name: "eight", Email: strings.Repeat("É", 50) + "@B.C"}, // 11: the email
	}
	want := []string{"2 user", "2 email", "4 user", "6 email", "11 email"}
	for range 150 {
		users = append(users, store.User{Name: "two"})
		want = append(want, fmt.Sprintf("%d user", len(users)))
	}
	for i := range users {
		users[i].Role = store.Viewer
	}
	for what, do := range map[string]func() error{
		"create": func() error {
			_, err := f.CreateUsers(t.Context(), users, func(_, _ store.User) store.Effects {
				return store.Effects{Events: []store.Event{{Kind: store.EventUserCreated}}}
			})
			return err
		},
		"check": func() error { return f.CheckUsers(t.Context(), users) },
	} {
		var faults *store.RowsError
		if err := do(); !errors.As(err, &faults) {
			t.Fatalf("%s: %v", what, err)
		}
		var got []string
		for _, row := range faults.Rows {
			got = append(got, fmt.Sprintf("%d %s", row.Row, row.Field))
			if row.FieldError != store.TakenName() && row.FieldError != store.TakenEmail() {
				t.Errorf("%s: %+v", what, row)
			}
		}
		if faults.Count != int64(len(want)) || !slices.Equal(got, want[:store.MaxRowErrors]) {
			t.Errorf("%s: %d faults: %v", what, faults.Count, got)
		}
		if all, err := f.Users(t.Context(), 0, 10); err != nil || len(all) != 1 {
			t.Errorf("%s: %d users are there, %v", what, len(all), err)
		}
		events, err := f.Events(t.Context(), store.EventFilter{}, 0, 10)
		if err != nil || len(events) != 0 {
			t.Errorf("%s: events %v, %v", what, events, err)
		}
	}
	good := []store.User{users[0], users[2], users[4], users[6], users[7], users[8], users[9]}
	if err := f.CheckUsers(t.Context(), good); err != nil {
		t.Error(err)
	}
	if made, err := f.CreateUsers(t.Context(), good); err != nil || len(made) != len(good) {
		t.Errorf("%d are made, %v", len(made), err)
	}
}

func usersEmpty(t *testing.T, f *fixture) {
	f.user(t, "ana", store.Viewer)
	users := []store.User{{}, {}, {Name: "bia"}, {Email: "bia@example.com"}, {}}
	if err := f.CheckUsers(t.Context(), users); err != nil {
		t.Error(err)
	}
	var faults *store.RowsError
	err := f.CheckUsers(t.Context(),
		append(users, store.User{Email: "bia@example.com"}, store.User{Name: "Ana"}))
	if !errors.As(err, &faults) || faults.Count != 2 || faults.Rows[0].Row != 6 ||
		faults.Rows[1].Row != 7 {
		t.Errorf("got %v", err)
	}
}

func usersCancelled(t *testing.T, f *fixture) {
	var users []store.User
	for i := range 3000 {
		users = append(users, store.User{Name: "user" + strconv.Itoa(i), Role: store.Viewer})
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := f.CreateUsers(ctx, users, func(_, now store.User) store.Effects {
		if now.Name == "user1500" {
			cancel()
		}
		return store.Effects{}
	})
	wantErr(t, err, context.Canceled)
	wantErr(t, f.CheckUsers(ctx, users), context.Canceled)
	if all, err := f.Users(t.Context(), 0, 10); err != nil || len(all) != 0 {
		t.Errorf("%d users are there, %v", len(all), err)
	}
	if made, err := f.CreateUsers(t.Context(), users); err != nil || len(made) != len(users) {
		t.Errorf("%d are made, %v", len(made), err)
	}
}

func usersAtOnce(t *testing.T, f *fixture) {
	stores := []store.Store{f, f.another(t)}
	for round := range 5 {
		var made atomic.Int64
		var tries []func()
		for i := range 6 {
			tries = append(tries, func() {
				var users []store.User
				for j := range 20 {
					users = append(users, store.User{
						Name:  fmt.Sprintf("same%d-%d", round, j),
						Email: fmt.Sprintf("%d-%d@example.com", round, j), Role: store.Viewer,
					})
				}
				if i%2 == 0 {
					slices.Reverse(users) // so that imports also meet from both ends
				}
				if i == 5 { // one creates only one of them
					_, err := stores[1].CreateUser(t.Context(), users[10])
					if err != nil {
						wantConflict(t, err, "user")
						return
					}
					made.Add(1)
					return
				}
				_, err := stores[i%2].CreateUsers(t.Context(), users)
				var faults *store.RowsError
				switch {
				case err == nil:
					made.Add(1)
				case !errors.As(err, &faults):
					t.Errorf("refused with %v", err)
				case faults.Count != 40 && faults.Count != 2:
					t.Errorf("refused with %d faults", faults.Count)
				}
			})
		}
		atOnce(tries...)
		if made.Load() != 1 {
			t.Fatalf("round %d: %d succeeded", round, made.Load())
		}
	}
}

func usersWhole(t *testing.T, f *fixture) {
	const many = 1500
	var users []store.User
	for i := range many {
		users = append(users, store.User{Name: "user" + strconv.Itoa(i), Role: store.Viewer})
	}
	done := make(chan struct{})
	other := f.another(t)
	atOnce(func() {
		defer close(done)
		if _, err := f.CreateUsers(t.Context(), users); err != nil {
			t.Error(err)
		}
	}, func() {
		for {
			seen, err := other.Users(t.Context(), 0, many+1)
			if err != nil || len(seen) != 0 && len(seen) != many {
				t.Errorf("%d users are there, %v", len(seen), err)
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
}
