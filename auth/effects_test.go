package auth

import (
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/store"
)

// TestTheCommandLineIsReported checks that the commands cause the same mails as the API.
func TestTheCommandLineIsReported(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		a := startMailing(t, e, url, time.Now, nil)
		ctx := t.Context()
		a.add(t, store.User{Name: "ana", Email: "ana@example.com", Role: store.Admin})
		bia := a.add(t, store.User{Name: "bia", Email: "bia@example.com"})
		wantMails := func(what string, want ...string) {
			t.Helper()
			var got []string
			for _, m := range queued(t, a.store) {
				got = append(got, strings.TrimSpace(fmt.Sprint(m.Kind, " ", m.To, " ", m.Detail)))
				must(t, a.store.DeleteMail(ctx, m.ID))
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("%s: there are the mails %q, want %q", what, got, want)
			}
		}
		wantMails("the first users")
		must(t, a.accounts.SetRole(ctx, "bia", store.Admin))
		wantMails("an admin",
			"role_changed bia@example.com admin", "new_admin ana@example.com 0 bia")
		must(t, a.accounts.SetRole(ctx, "bia", store.Admin))
		wantMails("the same role")
		must(t, a.accounts.SetRole(ctx, "bia", store.Viewer))
		wantMails("another role", "role_changed bia@example.com viewer")
		must(t, a.accounts.DropMFA(ctx, "bia"))
		wantMails("no second factor to take away")
		a.change(t, bia, func(u *store.User) { u.MFA = store.MFA{Secret: "under none", On: true} })
		must(t, a.accounts.DropMFA(ctx, "BIA"))
		wantMails("no second factor", "mfa_taken_away bia@example.com")
		wantError(t, "of nobody", a.accounts.DropMFA(ctx, "nobody"), store.ErrNotFound)

		_, err := a.accounts.Import(ctx, users(12))
		must(t, err)
		wantMails("an import", "new_admin ana@example.com 0 u0, u1, u2, u3, u4, u5, u6, u7, u8, u9, "+
			"and 2 more")
	})
}

// users returns rows of admins without emails, and a viewer before them.
func users(n int) iter.Seq2[store.User, error] {
	return func(yield func(store.User, error) bool) {
		ok := yield(store.User{Name: "v", Role: store.Viewer, PasswordHash: goodHash()}, nil)
		for i := 0; ok && i < n; i++ {
			ok = yield(store.User{
				Name: fmt.Sprint("u", i), Role: store.Admin, PasswordHash: goodHash(),
			}, nil)
		}
	}
}
