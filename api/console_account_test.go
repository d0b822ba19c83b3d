package api

import (
	"slices"
	"strings"
	"testing"

	"clientes/store"
)

// One's own account, from the roles to the new password that ends it all.
func TestAccountInTheConsole(t *testing.T) {
	t.Parallel()
	f := onSQLite(t, atItsAddress)
	b, other := f.browser(), f.browser()
	b.login(store.Editor)
	other.login(store.Editor)

	// What the role may not do is not offered, and a typed address says so.
	b.wantPage(`[...document.querySelectorAll("nav a")].map((a) => a.textContent).join()`,
		"Customers,Account")
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
	other.at("/login") // its list of customers follows the changes, and so learns of the end

	// The second factor.
	b.click("#mfa-set-up")
	b.submit("current", "wrong")
	b.until(`document.querySelector("dialog [aria-invalid]")`)
	b.submit("current", testPassword)
	b.until(`document.querySelector("svg.qr path")?.getBBox().width >= 21`)
	if long() {
		b.checkPage("the QR code")
	}
	secret := strings.ReplaceAll(b.eval(`document.querySelector(".key").textContent`), " ", "")
	if uri := b.eval(`document.querySelector("dialog a").href`); !strings.Contains(uri, secret) {
		t.Errorf("the link for a phone is %s", uri)
	}
	b.submit("code", oneTime(t, secret, f.store.Now()))
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
	b.submit("current", testPassword, "code", codes[1])
	b.sees("Keep these recovery codes")
	codes = strings.Fields(b.eval(`document.querySelector(".codes").innerText`))
	b.click("dialog button.main")
	b.click("#mfa-end")
	b.submit("current", testPassword, "code", codes[0])
	b.until(`document.querySelector("#mfa-set-up")`)

	b.click("#email-change")
	b.submit("email", "ana@example.com", "current", testPassword)
	b.sees("A link was mailed to ana@example.com.")

	b.click("#password-change")
	b.submit("current", testPassword, "password", "a staple in a battery")
	b.sees("Log in with the new password.")
	f.want(f.logIn(store.Editor, ""), 401, "invalid_login")
	b.click("main a")
	b.submit("user", "the-editor", "password", "a staple in a battery")
	b.atConsole()
}

// One session ends alone, the known devices are forgotten, and then all sessions end.
func TestSessionsInTheConsole(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	f := onSQLite(t, atItsAddress)
	f.requireMFA(store.Admin)
	b := f.browser()
	b.login(store.Admin)
	b.until(`document.querySelector("main input[name=current]")`)
	b.open("/app/#/users")
	b.sees("Your account must have a second factor")
	b.submit("current", testPassword)
	b.until(`document.querySelector(".key")`)
	secret := strings.ReplaceAll(b.eval(`document.querySelector(".key").textContent`), " ", "")
	b.submit("code", oneTime(t, secret, f.store.Now()))
	b.sees("Keep these recovery codes")
	b.click("main button.main")
	b.until(`document.querySelector(".bar h1")`)
	b.open("/app/#/users")
	b.sees("the-viewer")
}
