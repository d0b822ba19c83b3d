package auth

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"clientes/auth/authtest"
	"clientes/store"
)

// importRow is a user, or what was wrong with the row.
type importRow struct {
	user store.User
	err  error
}

func rowsOf(rows ...importRow) iter.Seq2[store.User, error] {
	return func(yield func(store.User, error) bool) {
		for _, r := range rows {
			if !yield(r.user, r.err) {
				return
			}
		}
	}
}

func TestImport(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		p := start(t, e, url)
		p.add(t, store.User{Name: "Ana", Email: "ana@example.com", Role: store.Admin})
		good := []importRow{
			{user: store.User{Name: "bia", Email: "Bia@example.com", Role: store.Editor,
				PasswordHash: "$2b$04$/DMVRkg8FjbJ2Kp9zooAGOwg0pq.JTSehiS7cYWKEaO8JUHxGfqQy"}},
			{user: store.User{Name: "caio", Role: store.Viewer, PasswordHash: someHash}},
		}
		checked, err := p.accounts.CheckImport(t.Context(), rowsOf(good...))
		must(t, err)
		if len(checked) != 2 {
			t.Errorf("%+v can be made", checked)
		}
		_, err = p.store.UserByName(t.Context(), "bia")
		wantError(t, "a check made a user", err, store.ErrNotFound)
		made, err := p.accounts.Import(t.Context(), rowsOf(good...))
		must(t, err)
		if len(made) != 2 || made[0].Name != "bia" || made[0].ID == 0 ||
			made[1].PasswordHash != someHash {
			t.Errorf("made %+v", made)
		}
		u, err := p.store.UserByEmail(t.Context(), "bia@example.com")
		if err != nil || u != made[0] {
			t.Errorf("by email: %+v, %v", u, err)
		}
		for _, u := range made {
			events, err := p.Events(t.Context(), store.EventFilter{UserID: u.ID}, 0, 10)
			if err != nil || len(events) != 1 || events[0].Kind != store.EventUserCreated {
				t.Errorf("the audit has %+v, %v", events, err)
			}
		}
		_, err = p.Login(t.Context(), LoginRequest{User: "BIA", Password: "correct hörse Ж"})
		must(t, err)

		fault := func(fields ...string) (err error) {
			for _, f := range fields {
				err = store.JoinInvalid(err, &store.InvalidError{
					Fields: []store.FieldError{{Field: f, Code: "x", Message: "X."}},
				})
			}
			return err
		}
		row := func(name, email string, role store.Role, hash string) importRow {
			return importRow{user: store.User{
				Name: name, Email: email, Role: role, PasswordHash: hash,
			}}
		}
		bad := []importRow{
			// 1: two faults in itself, and both its name and its email are taken
			row("ANA", "ANA@example.com", "root", "plain"),
			row("dora", "", store.Viewer, someHash),                // 2
			{err: fault("", "email")},                              // 3
			row("Dora", "", store.Viewer, ""),                      // 4: taken by 2
			row("a b", "bia@example.com", store.Viewer, someHash),  // 5
			row("a b", "x", store.Viewer, someHash),                // 6: nobody has these
			row("\x00", "x", store.Viewer, "$2b$15$"+someHash[7:]), // 7
		}
		want := []string{
			"1 role invalid_role", "1 password_hash unknown_hash", "1 user taken", "1 email taken",
			"3  x", "3 email x",
			"4 user taken",
			"5 user invalid_user", "5 email taken",
			"6 user invalid_user", "6 email invalid_email",
			"7 user invalid_user", "7 email invalid_email", "7 password_hash malformed_hash",
		}
		for i := range 120 {
			bad = append(bad, row(fmt.Sprint("n", i/2), "", "none", someHash))
			want = append(want, fmt.Sprintf("%d role invalid_role", len(bad)))
			if i%2 == 1 {
				want = append(want, fmt.Sprintf("%d user taken", len(bad)))
			}
		}
		for what, do := range map[string]func() error{
			"check": func() error {
				_, err := p.accounts.CheckImport(t.Context(), rowsOf(bad...))
				return err
			},
			"import": func() error {
				_, err := p.accounts.Import(t.Context(), rowsOf(bad...))
				return err
			},
		} {
			err := do()
			var faults *store.RowsError
			if !errors.As(err, &faults) {
				t.Fatalf("%s: %v", what, err)
			}
			var got []string
			for _, f := range faults.Rows {
				got = append(got, fmt.Sprintf("%d %s %s", f.Row, f.Field, f.Code))
				if strings.Contains(f.Message, "plain") {
					t.Errorf("%s repeats a value: %s", what, f.Message)
				}
			}
			if int(faults.Count) != len(want) || !slices.Equal(got, want[:store.MaxRowErrors]) {
				t.Errorf("%s: %d faults, want %d; the first are\n%s\nwant\n%s", what, faults.Count,
					len(want), strings.Join(got, "\n"),
					strings.Join(want[:store.MaxRowErrors], "\n"))
			}
			_, err = p.store.UserByName(t.Context(), "dora")
			wantError(t, what+" made a user", err, store.ErrNotFound)
		}
		broken := errors.New("broken")
		_, err = p.accounts.Import(t.Context(), rowsOf(good[0], importRow{err: broken}))
		if err != broken {
			t.Errorf("an error of the rows: %v", err)
		}
	})
}
