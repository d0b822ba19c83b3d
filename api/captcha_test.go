package api

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"clientes/auth/authtest"
	"clientes/auth/captcha"
	"clientes/auth/mail"
	"clientes/store"
)

// solved returns the solution of the challenge in an answer.
func (f *fixture) solved(a answer) string {
	f.t.Helper()
	var p problem
	authtest.Must(f.t, json.Unmarshal([]byte(a.body), &p))
	solution, err := captcha.Solve(p.Challenge)
	if err != nil {
		f.t.Fatalf("%v: %d %s", err, a.status, a.body)
	}
	return solution
}

// failUnder fails to log in under a name until it has to wait.
func (f *fixture) failUnder(name string) {
	f.t.Helper()
	for range 5 {
		f.want(f.call("POST", "/login", `{"user":"`+name+`","password":"wrong"}`),
			401, "invalid_login")
	}
}

// A login that has to wait has a challenge, and its solution stands in for the waiting.
func TestALoginWithACaptcha(t *testing.T) {
	onEachClock(t, func(t *testing.T, f *fixture, c *authtest.Clock) {
		login := func(password, captcha string) answer {
			t.Helper()
			return f.call("POST", "/login",
				`{"user":"the-viewer","password":"`+password+`","captcha":"`+captcha+`"}`)
		}
		f.failUnder("the-viewer")
		a := f.call("POST", "/login", viewerLogin)
		f.want(a, 429, "too_many_attempts")
		if a.header.Get("Retry-After") != "1" || !strings.Contains(a.body, `"auth":false`) ||
			strings.Contains(a.body, "did not count") {
			t.Errorf("%v %s", a.header, a.body)
		}
		solution := f.solved(a)
		f.want(login("wrong", solution), 401, "invalid_login")
		for _, bad := range []string{solution, "x", f.solved(a)} {
			a = login("correct horse", bad)
			f.want(a, 429, "too_many_attempts")
			if a.header.Get("Retry-After") != "2" || !strings.Contains(a.body, "did not count") {
				t.Errorf("%v %s", a.header, a.body)
			}
		}
		form := url.Values{
			"user": {"THE-viewer"}, "password": {"correct horse"}, "captcha": {f.solved(a)},
		}
		f.want(f.call("POST", "/login", form.Encode(), "Content-Type", mediaForm), 200, "")

		// A name of no user is no different.
		f.failUnder("nobody")
		a = f.call("POST", "/login", `{"user":"nobody","password":"x"}`)
		a = f.call("POST", "/login",
			`{"user":"nobody","password":"x","captcha":"`+f.solved(a)+`"}`)
		f.want(a, 401, "invalid_login")
		f.want(f.call("POST", "/login", `{"user":"nobody","password":"x","captcha":null}`),
			429, "too_many_attempts")

		a = f.call("POST", "/login", `{"user":"nobody","password":"x","captcha":7}`)
		if f.want(a, 422, "validation_failed"); a.faults() != "captcha:invalid_type" {
			t.Errorf("faults %s", a.faults())
		}
		// Where no captcha is taken there is no challenge.
		for range 5 {
			f.want(f.as(store.Viewer, "POST", "/me/mfa", `{"current":"wrong"}`),
				422, "validation_failed")
		}
		a = f.as(store.Viewer, "POST", "/me/mfa", `{"current":"correct horse"}`)
		if f.want(a, 429, "too_many_attempts"); strings.Contains(a.body, "challenge") {
			t.Errorf("%s", a.body)
		}
	})
}

// From the fourth of a network on, sign-ups and links need a captcha each. A user who exists and
// one who does not get the same answers.
func TestCaptchaRequired(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(store.Instant(time.Now()))
		f := newFixture(t, e.Open(t, url, c.Now), openSignup)
		for _, r := range []struct {
			path, body   string
			status, free int
			code         string
		}{
			{"/signup", `{"user":"the-viewer","password":"five grumpy violets"`,
				409, 3, "conflict"},
			{"/password/forgot", `{"user":"the-viewer"`, 202, 3, ""},
			{"/password/forgot", `{"user":"nobody"`, 202, 0, ""},
		} {
			for range r.free {
				f.want(f.call("POST", r.path, r.body+`}`), r.status, r.code)
			}
			a := f.call("POST", r.path, r.body+`}`)
			f.want(a, 429, "captcha_required")
			if a.header.Get("Retry-After") != "900" || strings.Contains(a.body, `"auth"`) {
				t.Errorf("%s: %v %s", r.path, a.header, a.body)
			}
			with := r.body + `,"captcha":"` + f.solved(a) + `"}`
			f.want(f.call("POST", r.path, with), r.status, r.code)
			a = f.call("POST", r.path, with)
			f.want(a, 429, "captcha_required")
			if !strings.Contains(a.body, "did not count") {
				t.Errorf("%s: %s", r.path, a.body)
			}
		}
		// A body with a fault counts, too: a stranger's password is judged all the same.
		faulty := `{"user":"eva","password":"password123","x":1`
		a := f.call("POST", "/signup", faulty+`}`)
		f.want(a, 429, "captcha_required")
		f.want(f.call("POST", "/signup", faulty+`,"captcha":"`+f.solved(a)+`"}`),
			422, "validation_failed")
		c.Advance(15 * time.Minute)
		f.want(f.call("POST", "/password/forgot", `{"user":"nobody"}`), 202, "")
		f.want(f.call("POST", "/signup", `{"user":"eva","password":"five grumpy violets"}`),
			201, "")
	})
}

// Strangers keep a name blocked. Its owner follows a link in a mail, and is let in.
func TestAResetLetsTheOwnerIn(t *testing.T) {
	onEachClock(t, func(t *testing.T, f *fixture, c *authtest.Clock) {
		out := f.outbox()
		_, err := f.store.CreateUser(t.Context(), store.User{
			Name: "ana", Email: "ana@example.com", Role: store.Viewer, PasswordHash: testHash,
		})
		authtest.Must(t, err)
		f.failUnder("ana")
		f.want(f.call("POST", "/password/forgot", `{"user":"ana"}`), 202, "")
		link := out.Take(t, mail.Reset, "ana@example.com").Token
		a := f.call("POST", "/password/reset",
			`{"token":"`+link+`","password":"five grumpy violets"}`)
		f.want(a, 200, "")
		if len(a.header.Values("Set-Cookie")) > 0 {
			t.Errorf("it sets %q", a.header.Values("Set-Cookie"))
		}
		deviceToken := device(t, a)
		f.want(f.call("POST", "/login", `{"user":"ana","password":"five grumpy violets"}`), 200, "")
		f.failUnder("ana")
		login := `{"user":"ana","password":"five grumpy violets"`
		f.want(f.call("POST", "/login", login+`}`), 429, "too_many_attempts")
		f.want(f.call("POST", "/login", login+`,"device":"`+deviceToken+`"}`), 200, "")
	})
}
