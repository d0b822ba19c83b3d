package api

import (
	"fmt"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/auth/mail"
	"clientes/store"
)

// An admin invites a user, changes the role, and disables the user. The audit tells of it.
func TestAdminsInTheConsole(t *testing.T) {
	clock := authtest.StoppedAt(store.Instant(time.Now()))
	engine := authtest.SQLite()
	f := newFixture(t, engine.Open(t, engine.Migrated(t), clock.Now), atItsAddress)
	out := f.outbox()
	b := f.browser()
	b.login(store.Admin)
	b.open("/app/#/users")
	b.sees("the-viewer")
	b.checkPage("the users")

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
	b.submit("current", testPassword)
	b.sees("Saved.")
	b.click("#state")
	b.click("dialog button.main")
	b.submit("current", testPassword)
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
}
