package api

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/auth/mail"
	"clientes/store"
)

// An admin invites a user, changes the role, and disables the user. The audit tells of it.
func TestAdminsInTheConsole(t *testing.T) {
	t.Parallel()
	clock := authtest.StoppedAt(store.Instant(time.Now()))
	engine := authtest.SQLite()
	f := newFixture(t, engine.Open(t, engine.Migrated(t), clock.Now), atItsAddress)
	out := f.outbox()
	b := f.browser()
	b.login(store.Admin)
	b.open("/app/#/users")
	b.sees("the-viewer")
	b.checkPage("the users")

	b.open("/app/#/users?user=Ana+Maria")
	b.sees("There is no user named “Ana Maria”.")
	b.open("/app/#/users?limit=2")
	b.click("nav.foot a")
	b.sees("First page")
	b.until(`document.querySelectorAll("tbody tr").length === 1`)

	b.click("#user-new")
	b.fillForm("user", "the-viewer", "email", "davi@example.com")
	b.pick(`dialog select[name="role"]`, "editor")
	b.click("dialog button.main")
	b.until(`document.querySelector("dialog [name=user][aria-invalid]")`)
	b.submit("user", "davi")
	b.sees("An invitation goes to davi@example.com.")
	out.Take(t, mail.Invitation, "davi@example.com")
	davi, err := f.store.UserByName(t.Context(), "davi")
	authtest.Must(t, err)
	b.until(fmt.Sprintf(`location.hash === "#/users/%d" && document.querySelector("#role")`, davi.ID))
	if long() {
		b.checkPage("a user")
	}

	// A login of more than five minutes ago is no proof.
	clock.Advance(6 * time.Minute)
	b.click("#role")
	b.sees("All sessions of davi end")
	b.pick(`dialog select[name="role"]`, "viewer")
	b.click("dialog button.main")
	b.proves()
	b.sees("Saved.")
	b.click("#state")
	b.click("dialog button.main")
	b.proves()
	b.sees("Enable")
	davi, err = f.store.User(t.Context(), davi.ID)
	authtest.Must(t, err)
	if davi.Role != store.Viewer || !davi.Disabled {
		t.Errorf("davi is %+v", davi)
	}

	// The last admin cannot be demoted, and nobody is offered it at their own account.
	b.open(fmt.Sprintf("/app/#/users/%d", f.users[store.Admin].ID))
	b.sees("This is you.")
	b.wantPage(`document.querySelectorAll("main button").length`, "0")

	// An address of a stranger reaches no other route of the API.
	for _, address := range []string{"users/..", "customers/..", "customers/export"} {
		b.open("/app/#/" + address)
		place, _, _ := strings.Cut(address, "/")
		b.until(fmt.Sprintf(`document.querySelector(".places [aria-current]").hash === "#/%s" &&
			document.querySelector("main table, main .state:not([hidden])")`, place))
		b.wantPage(`document.querySelectorAll("main aside, main .notice").length`, "0")
	}

	b.open(fmt.Sprintf("/app/#/audit?user_id=%d", davi.ID))
	for _, text := range []string{"User added", "Editor → Viewer", "User disabled", "the-admin"} {
		b.sees(text)
	}
	b.checkPage("the audit")
	b.click("table button")
	b.until(`document.querySelector("dialog code")?.textContent.length >= 16`)
	if long() {
		b.checkPage("an event")
	}
	b.wantPage(`document.querySelectorAll("[name=event] option").length`,
		fmt.Sprint(1+len(store.EventKinds())))
	b.click("dialog header button")
	b.fillForm("user", "the-viewer")
	b.pick(`main select[name="event"]`, "user_disabled")
	b.click("main form button")
	b.sees("There are no such events.")

	// Other sessions end, a second factor is taken away, and a user is deleted.
	f.enrol(f.tokens[store.Editor])
	editor := f.users[store.Editor].ID
	b.open(fmt.Sprintf("/app/#/users/%d", editor))
	for _, id := range []string{"sessions", "mfa"} {
		b.click("#" + id)
		b.click("dialog button.main")
		b.proves()
	}
	f.wantToken(f.tokens[store.Editor], 401, "token_revoked")
	f.want(f.logIn(store.Editor, ""), 200, "")
	b.click("main button.danger:not([id])")
	b.click("dialog button.main")
	b.proves()
	b.until(`location.hash === "#/users"`)
	if _, err := f.store.User(t.Context(), editor); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the deleted user: %v", err)
	}
	b.open(fmt.Sprintf("/app/#/audit?user_id=%d", editor))
	b.sees("User deleted")
	b.sees("Second factor removed by others")
}

// proves types the password that a change wants as a proof, and waits for what it leads to.
func (b *tab) proves() {
	b.t.Helper()
	b.eval(`document.querySelector("main h1").dataset.before = ""`)
	b.submit("current", testPassword)
	b.until(`!document.querySelector("dialog") && document.querySelector("main h1:not([data-before])")`)
}
