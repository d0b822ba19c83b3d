package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"clientes/store"
)

// pick chooses an option of a select.
func (b *tab) pick(selector, value string) {
	b.t.Helper()
	b.until(fmt.Sprintf("document.querySelector(%q)", selector))
	b.eval(fmt.Sprintf(`(e => {
		e.value = %q;
		e.dispatchEvent(new Event("change", { bubbles: true }));
	})(document.querySelector(%q))`, value, selector))
}

// One's own account, from the roles to the new password that ends it all.
func TestAccountInTheConsole(t *testing.T) {
	f := onSQLite(t, atItsAddress)
	b, other := f.browser(), f.browser()
	b.login(store.Editor)
	other.login(store.Editor)

	// What the role may not do is not offered, and a typed address says so.
	places := b.eval(`[...document.querySelectorAll("nav a")].map((a) => a.textContent).join()`)
	if places != "Customers,Account" {
		t.Errorf("an editor is offered %s", places)
	}
	for _, place := range []string{"users", "users/1", "audit"} {
		b.open("/app/#/" + place)
		b.sees("Your role does not allow this.")
	}

	b.open("/app/#/account")
	b.sees("Chrome on Linux")
	b.checkPage("the account")
	b.click("#sessions-end")
	b.click("dialog button.main")
	b.sees("Logged out there.")
	b.until(`document.querySelectorAll(".sessions li").length === 1`)
	other.open("/app/#/account")
	other.until(`location.pathname === "/login"`)

	// The second factor.
	b.click("#mfa-set-up")
	b.fill(`dialog input[name="current"]`, "wrong")
	b.click("dialog button.main")
	b.until(`document.querySelector("dialog [aria-invalid]")`)
	b.fill(`dialog input[name="current"]`, testPassword)
	b.click("dialog button.main")
	b.until(`document.querySelector("svg.qr path")?.getBBox().width >= 21`)
	if long() {
		b.checkPage("the QR code")
	}
	secret := strings.ReplaceAll(b.eval(`document.querySelector(".key").textContent`), " ", "")
	if uri := b.eval(`document.querySelector("dialog a").href`); !strings.Contains(uri, secret) {
		t.Errorf("the link for a phone is %s", uri)
	}
	b.fill(`dialog input[name="code"]`, oneTime(t, secret, f.store.Now()))
	b.click("dialog button.main")
	b.sees("Keep these recovery codes")
	codes := strings.Fields(b.eval(`document.querySelector(".codes").innerText`))
	if len(codes) != 10 {
		t.Fatalf("recovery codes: %q", codes)
	}
	b.eval(`navigator.clipboard.writeText = async (text) => { window.copied = text; }`)
	b.click("dialog .codes + .actions button")
	b.sees("Copied.")
	if got := strings.Fields(b.eval("window.copied")); !slices.Equal(got, codes) {
		t.Errorf("copied is %q, want %q", got, codes)
	}
	b.click("dialog button.main")
	b.until(`!document.querySelector("dialog") && document.querySelector("#mfa-end")`)
	if page := b.eval("document.documentElement.outerHTML"); strings.Contains(page, codes[0]) {
		t.Error("the recovery codes are still on the page")
	}
	f.want(f.logIn(store.Editor, ""), 401, "mfa_required")
	f.want(f.logIn(store.Editor, codes[0]), 200, "")
	b.click("#mfa-renew")
	b.fill(`dialog input[name="current"]`, testPassword)
	b.fill(`dialog input[name="code"]`, codes[1])
	b.click("dialog button.main")
	b.sees("Keep these recovery codes")
	codes = strings.Fields(b.eval(`document.querySelector(".codes").innerText`))
	b.click("dialog button.main")
	b.click("#mfa-end")
	b.fill(`dialog input[name="current"]`, testPassword)
	b.fill(`dialog input[name="code"]`, codes[0])
	b.click("dialog button.main")
	b.until(`document.querySelector("#mfa-set-up")`)

	b.click("#email-change")
	b.fill(`dialog input[name="email"]`, "ana@example.com")
	b.fill(`dialog input[name="current"]`, testPassword)
	b.click("dialog button.main")
	b.sees("A link was mailed to ana@example.com.")

	b.click("#password-change")
	b.fill(`dialog input[name="current"]`, testPassword)
	b.fill(`dialog input[name="password"]`, "a staple in a battery")
	b.click("dialog button.main")
	b.sees("Log in with the new password.")
	f.want(f.logIn(store.Editor, ""), 401, "invalid_login")
	b.click("main a")
	b.fill("#user", "the-editor")
	b.fill("#password", "a staple in a battery")
	b.click("button.main")
	b.until(`location.pathname === "/app/" && document.querySelector("main h1")`)
}

// One session ends alone, the known devices are forgotten, and then all sessions end.
func TestSessionsInTheConsole(t *testing.T) {
	f := onSQLite(t, atItsAddress)
	f.want(f.logIn(store.Editor, "", "User-Agent", "<img src=x onerror=alert(1)>"), 200, "")
	b := f.browser()
	b.open("/login")
	b.eval(`localStorage.setItem("clientes_language", "es")`)
	b.login(store.Editor)
	b.open("/app/#/account")
	b.until(`document.querySelectorAll(".sessions li").length === 3`)
	const row = `[...document.querySelectorAll(".sessions li")].findIndex(
		(li) => li.innerText.includes("<img")) + 1`
	b.click(".sessions li:nth-child(" + b.eval(row) + ") button")
	b.click("dialog button.main")
	b.until(`document.querySelectorAll(".sessions li").length === 2`)
	if left := b.eval(row); left != "0" {
		t.Error("another session than the chosen one has ended")
	}

	b.click("#devices-forget")
	b.click("dialog button.main")
	b.until(`!document.querySelector("dialog") && document.querySelector(".toast")`)
	f.wantAudited("devices_cancelled", store.Editor, store.EventDevicesCancelled)

	other := b.another()
	other.open("/app/#/account")
	other.until(`document.querySelector("#everywhere")`)
	b.click("#everywhere")
	b.click("dialog button.main")
	for _, tab := range []*tab{b, other} {
		tab.until(`location.pathname === "/login" && document.documentElement.lang === "es"`)
	}
	f.wantToken(f.tokens[store.Editor], 401, "token_revoked")
}

// Whoever must have a second factor is led to it, can do nothing else, and goes on with it.
func TestARequiredSecondFactorInTheConsole(t *testing.T) {
	f := onSQLite(t, atItsAddress)
	f.requireMFA(store.Admin)
	b := f.browser()
	b.login(store.Admin)
	b.until(`document.querySelector("main input[name=current]")`)
	b.open("/app/#/users")
	b.sees("Your account must have a second factor")
	b.fill(`main input[name="current"]`, testPassword)
	b.click("main button.main")
	b.until(`document.querySelector(".key")`)
	secret := strings.ReplaceAll(b.eval(`document.querySelector(".key").textContent`), " ", "")
	b.fill(`main input[name="code"]`, oneTime(t, secret, f.store.Now()))
	b.click("main button.main")
	b.sees("Keep these recovery codes")
	b.click("main button.main")
	b.until(`document.querySelector(".bar h1")`)
	b.open("/app/#/users")
	b.sees("the-viewer")
}
