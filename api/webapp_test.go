package api

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/go-json-experiment/json"

	"clientes/auth/authtest"
	"clientes/auth/mail"
	"clientes/store"
)

// ready waits until the script of the login page has the form.
func (b *tab) ready() {
	b.t.Helper()
	b.until(`document.querySelector(".peek")`)
}

// A wrong login and its message, both links, and pages that are closed to strangers.
func TestTheLoginPageInABrowser(t *testing.T) {
	t.Parallel()
	f := onSQLite(t, atItsAddress, openSignup)
	b := f.browser()
	// Whoever wants to see a place gets there after the login.
	b.open("/app/#/account")
	b.at("/login#/account")
	b.ready()
	b.submit("user", "the-viewer", "password", "wrong")
	b.sees("Incorrect username or password!")
	b.checkPage("a wrong login")
	b.click(`[href="#forgot"]`)
	b.sees("We send you a link")
	b.wantPage(`document.querySelector("[name=who]").value`, "the-viewer")
	if long() {
		b.checkPage("forgot")
	}
	b.eval("history.back()")
	b.click(`[href="#signup"]`)
	b.sees("Create an account")
	b.checkPage("signup")
	b.eval("history.go(-1)")
	b.submit("password", testPassword)
	b.atConsole()

	// Whoever is logged in goes on, also from elsewhere, and to where the link leads.
	other := b.another()
	other.open("/login#/account")
	other.at("/app/#/account")
}

// Somebody types faster than the scripts of the page arrive.
func TestScriptsLeaveTheFocusOfTheLoginPage(t *testing.T) {
	t.Parallel()
	f := onSQLite(t, atItsAddress)
	b := f.browser()
	must(b, cdppage.AddScriptToEvaluateOnNewDocument,
		cdppage.AddScriptToEvaluateOnNewDocumentParams{
			Source: `new MutationObserver((_, observer) => {
			const input = document.querySelector("#password");
			if (!input) return;
			observer.disconnect();
			input.focus();
		}).observe(document, { childList: true, subtree: true })`,
		})
	b.open("/login")
	b.until(`document.querySelector(".peek") && document.querySelector(".puzzle")`)
	if got := b.eval("document.activeElement.id"); got != "password" {
		t.Errorf("the focus is at %q", got)
	}
}

// A stranger signs up, confirms the email by the link in a mail and logs in. Then they forget the
// password and set another one.
func TestAnAccountInABrowser(t *testing.T) {
	t.Parallel()
	f := onSQLite(t, atItsAddress, openSignup)
	out := f.outbox()
	b := f.browser()
	b.open("/login#signup")
	b.sees("Create an account")
	b.submit("user", "ana", "email", "ana", "password", "12345678")
	b.until(`document.querySelectorAll("[aria-invalid]").length === 2`)
	b.submit("email", "ana@example.com", "password", goodPassword)
	b.sees("ana@example.com")
	b.ready()

	confirm := out.Take(t, mail.Confirm, "ana@example.com").Token
	other := b.another() // the mail program opens another tab
	other.open("/app/#confirm=" + confirm)
	other.sees("Confirm your email")
	other.at("/login") // the token is gone
	if long() {
		other.checkPage("confirm")
	}
	other.click("button.main")
	other.sees("Your email is confirmed.")
	other.open("/app/?_=2#confirm=" + confirm)
	other.sees("Confirm your email")
	other.at("/login")
	other.click("button.main")
	other.sees("used before")
	if long() {
		other.checkPage("a used link")
	}
	b.submit("password", goodPassword)
	b.atConsole()

	// Strangers who fail under the name make nobody wait who has followed a link.
	f.failUnder("ana")
	stranger := f.browser()
	stranger.open("/login#forgot")
	stranger.submit("who", "ana@example.com")
	stranger.sees("on its way")
	reset := out.Take(t, mail.Reset, "ana@example.com").Token
	stranger.open("/app/#reset=" + reset)
	stranger.sees("Choose a new password")
	stranger.at("/login")
	stranger.checkPage("reset")
	stranger.submit("password", "ana")
	stranger.until(`document.querySelector("[aria-invalid]")`)
	stranger.submit("password", betterPassword)
	stranger.sees("Your password has been changed.")
	stranger.wantPage(`Boolean(sessionStorage.getItem("clientes_device"))`, "true")
	f.failUnder("ana")
	stranger.click(".button.main")
	stranger.ready()
	stranger.submit("user", "ana", "password", betterPassword)
	stranger.atConsole()
	stranger.wantPage("sessionStorage.length", "0")
	b.at("/login") // the session of the old password has ended, as the list there learns

	// An invitation is a link, too.
	f.want(f.as(store.Admin, "POST", "/users",
		`{"user":"bia","email":"bia@example.com","role":"viewer"}`), 201, "")
	b.ready()
	b.open("/app/#invite=" + out.Take(t, mail.Invitation, "bia@example.com").Token)
	b.sees("Welcome")
	b.submit("password", betterPassword)
	b.sees("Your account is ready.")
	f.loginAs("bia", betterPassword)
}

// The form as a browser without scripts sends it, in three languages.
func TestTheFormWithoutScripts(t *testing.T) {
	t.Parallel()
	f := onSQLite(t, atItsAddress)
	b := f.browser()
	must(b, emulation.SetScriptExecutionDisabled,
		emulation.SetScriptExecutionDisabledParams{Value: true})
	for language, fail := range map[string]string{
		"en": "Incorrect username or password!", "pt-BR": "Usuário ou senha incorretos!",
		"es-AR": "¡Usuario o contraseña incorrectos!",
	} {
		b.speaks(language)
		b.open("/app/")
		b.at("/login")
		b.submit("user", "the-viewer", "password", "wrong")
		b.at("/login?fail=true")
		b.sees(fail)
	}
	b.submit("user", "the-viewer", "password", testPassword)
	b.at("/app/")
}

// The page wants the code of a second factor by itself, and loses nothing that was typed.
func TestASecondFactorInABrowser(t *testing.T) {
	t.Parallel()
	f := onSQLite(t, atItsAddress)
	now := time.Now()
	a := f.as(store.Viewer, "POST", "/me/mfa", `{"current":"correct horse"}`)
	var enrolment struct {
		Secret string `json:"secret"`
	}
	authtest.Must(t, json.Unmarshal([]byte(a.body), &enrolment))
	f.want(f.as(store.Viewer, "POST", "/me/mfa/confirm",
		`{"code":"`+oneTime(t, enrolment.Secret, now)+`"}`), 200, "")
	b := f.browser()
	b.open("/login")
	b.ready()
	b.submit("user", "the-viewer", "password", testPassword)
	b.until(`document.activeElement.name === "code"`)
	if long() {
		b.checkPage("a code")
	}
	b.submit("code", "123456")
	b.until(`document.querySelector("[name=code][aria-invalid]")`)
	b.submit("code", oneTime(t, enrolment.Secret, now.Add(30*time.Second)))
	b.atConsole()
}

// Whoever has to wait solves a puzzle instead. If there is none left, the page counts the seconds.
func TestAPuzzleInABrowser(t *testing.T) {
	t.Parallel()
	e := authtest.SQLite()
	// The clock stands still, or the second that it has to wait could pass.
	c := authtest.StoppedAt(store.Instant(time.Now()))
	f := newFixture(t, e.Open(t, e.Migrated(t), c.Now), atItsAddress)
	f.failUnder("the-viewer")
	b := f.browser()
	b.open("/login")
	b.ready()
	b.eval(`(() => {
		window.seen = [];
		new MutationObserver((changes) => {
			for (const c of changes) for (const n of c.addedNodes) seen.push(n.textContent);
		}).observe(document.querySelector(".puzzle"), { childList: true });
	})()`)
	b.submit("user", "the-viewer", "password", "wrong")
	b.sees("Incorrect username or password!")
	if seen := b.eval("seen.join()"); !strings.Contains(seen, "solving a puzzle") {
		t.Errorf("while it solves the puzzle the page shows %q", seen)
	}
	b.open("/login?fail=true&wait=2")
	b.until(`document.querySelector("button.main").disabled`)
	b.sees("Log in (")
	b.until(`!document.querySelector("button.main").disabled`)
	b.sees("You can try again now.")
}

// Nobody uses a session for thirty minutes, and it has ended: on the page, and for the server.
func TestThirtyIdleMinutesInABrowser(t *testing.T) {
	t.Parallel()
	e := authtest.SQLite()
	c := authtest.StoppedAt(store.Instant(time.Now()))
	f := newFixture(t, e.Open(t, e.Migrated(t), c.Now), atItsAddress)
	b := f.browser()
	b.login(store.Viewer)
	c.Advance(29 * time.Minute)
	b.open("/app/") // a use
	b.atConsole()
	c.Advance(30*time.Minute + time.Second)
	b.later(30*time.Minute + time.Second)
	b.sees("Your session has ended")
	b.open("/app/")
	b.at("/login")
}
