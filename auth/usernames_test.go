package auth

import (
	"testing"

	"clientes/auth/authtest"
	"clientes/auth/password"
	"clientes/store"
)

// TestANameThatIsAnotherUsersEmail checks that a user whose name is somebody else's email gets
// neither their account nor their mail, and that the other way round it is the same.
func TestANameThatIsAnotherUsersEmail(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.NewClock()
		a := startMailing(t, e, url, c.Now, nil)
		add := func(name, email, secret string) store.User {
			hash, err := password.Local{}.Hash(secret, nil)
			must(t, err)
			u, err := a.store.CreateUser(t.Context(), store.User{
				Name: name, Email: email, Role: store.Viewer, PasswordHash: hash,
			})
			must(t, err)
			return u
		}
		victim := add("ana", "Ana@example.com", "victims grumpy violets")
		thief := add("ana@example.com", "thief@example.com", "thieves grumpy violets")
		for _, l := range []struct {
			name, secret string
			want         int64 // 0 if nobody may come in
		}{
			{"ana", "victims grumpy violets", victim.ID},
			{"ana@example.com", "thieves grumpy violets", thief.ID},
			{"ANA@example.com", "victims grumpy violets", 0},
			{"ana", "thieves grumpy violets", 0},
			{"thief@example.com", "thieves grumpy violets", 0}, // an email is no name
		} {
			g, err := a.Login(t.Context(), LoginRequest{User: l.name, Password: l.secret})
			if (err == nil) != (l.want != 0) || g.User.ID != l.want {
				t.Errorf("%s with %q: user %d, %v", l.name, l.secret, g.User.ID, err)
			}
		}
		for _, f := range []struct{ name, email, to string }{
			{"ana@example.com", "", "thief@example.com"},
			{"", "ana@example.com", "Ana@example.com"},
			{"ana", "", "Ana@example.com"},
			{" \u200b", " ana@EXAMPLE.com\n", "Ana@example.com"},
			{"thief@example.com", "", ""}, // nobody has that name
		} {
			a.mailsTo(t)
			must(t, a.ForgotPassword(t.Context(), f.name, f.email))
			mails := a.mailsTo(t)
			delete(mails, "")
			want := map[string]string{f.to: "reset"}
			delete(want, "")
			wantMails(t, "forgot "+f.name+f.email, mails, want)
		}
	})
}

// TestImportedWithoutPassword checks that users without a password come without mail, cannot log
// in, and set a password by a link.
func TestImportedWithoutPassword(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.NewClock()
		a := startMailing(t, e, url, c.Now, nil)
		var rows []importRow
		for name, hash := range map[string]string{
			"ana@example.com": "", "bia@example.com": " NULL ",
			"caio@example.com": "!aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		} {
			rows = append(rows, importRow{user: store.User{
				Name: name, Email: name, Role: store.Viewer, PasswordHash: hash,
			}})
		}
		rows = append(rows, importRow{user: store.User{Name: "dora", Role: store.Viewer}})
		made, err := a.accounts.Import(t.Context(), rowsOf(rows...))
		must(t, err)
		wantMails(t, "after the import", a.mailsTo(t), nil)
		for _, u := range made {
			if u.PasswordHash != "" {
				t.Errorf("%s has the hash %q", u.Name, u.PasswordHash)
			}
			for _, guess := range []string{"", "NULL", "!"} {
				_, err := a.Login(t.Context(), LoginRequest{User: u.Name, Password: guess})
				wantError(t, u.Name+" logs in with "+guess, err, ErrInvalidLogin)
			}
			must(t, a.ForgotPassword(t.Context(), u.Name, ""))
			mails := a.mailsTo(t)
			delete(mails, "")
			want := map[string]string{u.Email: "reset"}
			delete(want, "")
			wantMails(t, "forgot of "+u.Name, mails, want)
		}
	})
}

// TestAnEmailOfWhiteSpaceIsNone checks that nobody comes without a password whom no mail reaches.
func TestAnEmailOfWhiteSpaceIsNone(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.NewClock()
		a := startMailing(t, e, url, c.Now, nil)
		u := store.User{Name: "ana", Email: " \u200b\n", Role: store.Viewer}
		_, err := a.AddUser(t.Context(), u, "")
		wantFault(t, "white space for an email", err, "email")
	})
}
