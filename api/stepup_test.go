package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"

	"clientes/auth"
	"clientes/auth/authtest"
	"clientes/auth/password"
	"clientes/store"
)

// session is a login over HTTP.
type session struct {
	Token   string `json:"token"`
	Refresh string `json:"refresh_token"`
}

// open logs the user of a role in, with a code if it is not "".
func (f *fixture) open(role store.Role, code string) (s session) {
	f.t.Helper()
	a := f.call("POST", "/login", fmt.Sprintf(
		`{"user":"the-%s","password":"correct horse","code":%q}`, role, code))
	f.want(a, 200, "")
	authtest.Must(f.t, json.Unmarshal([]byte(a.body), &s))
	return s
}

// refresh returns the session after a refresh.
func (f *fixture) refresh(old session) (s session) {
	f.t.Helper()
	a := f.call("POST", "/refresh", fmt.Sprintf(`{"refresh_token":%q}`, old.Refresh))
	f.want(a, 200, "")
	authtest.Must(f.t, json.Unmarshal([]byte(a.body), &s))
	return s
}

// claimsOf returns the claims of a token, unverified.
func claimsOf(t testing.TB, token string) jwt.MapClaims {
	t.Helper()
	c := make(jwt.MapClaims)
	_, _, err := jwt.NewParser().ParseUnverified(token, c)
	authtest.Must(t, err)
	return c
}

// ofVersionBefore returns a token as the version before has minted it.
func ofVersionBefore(t testing.TB, token string) string {
	t.Helper()
	claims := claimsOf(t, token)
	delete(claims, "amr")
	delete(claims, "auth_time")
	old, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).
		SignedString([]byte(testSecret))
	authtest.Must(t, err)
	return old
}

// Somebody has stolen the token of an admin and wants what outlives it: an admin of their own, and
// the account of the first one. Every link of that chain breaks, and the owner can still do it all.
func TestOneStolenTokenIsNotTheWholeHouse(t *testing.T) {
	onEachClock(t, func(t *testing.T, f *fixture, c *authtest.Clock) {
		first := f.users[store.Admin]
		_, err := f.store.CreateUser(t.Context(),
			store.User{Name: "second", Role: store.Admin, PasswordHash: testHash})
		authtest.Must(t, err)
		f.want(f.as(store.Admin, "PATCH", "/me",
			`{"email":"first@example.com","current":"correct horse"}`), 200, "")
		secret, _ := f.enrol(f.tokens[store.Admin])
		code := func() string { // each works once
			c.Advance(30 * time.Second)
			return oneTime(t, secret, c.Now())
		}
		own := f.open(store.Admin, code())
		// The thief has a token of each admin, and the cookie's refresh token of one.
		stolen := map[string]string{"first": own.Token, "second": f.loginAs("second", testPassword)}
		c.Advance(5 * time.Minute)
		own = f.refresh(own)
		stolen["first, refreshed"] = own.Token

		before, err := f.auth.Users(t.Context(), 0, 10)
		authtest.Must(t, err)
		user := fmt.Sprintf("/users/%d", first.ID)
		viewer := fmt.Sprintf("/users/%d", f.users[store.Viewer].ID)
		links := []struct{ method, path, body string }{
			{"POST", "/users", `{"user":"evil","role":"admin","password":"five grumpy violets"}`},
			{"PATCH", viewer, `{"role":"admin"}`},
			{"DELETE", user + "/mfa", ``},
			{"PATCH", user, `{"email":"evil@example.com"}`},
			{"PATCH", user, `{"role":"viewer"}`},
			{"PATCH", user, `{"disabled":true}`},
			{"PATCH", viewer, `{"disabled":false}`},
			{"DELETE", user + "/sessions", ``},
			{"DELETE", user, ``},
			{"DELETE", "/users/99999", ``}, // the proof comes before the question who there is
		}
		for whose, token := range stolen {
			for _, l := range links {
				a := f.call(l.method, l.path, l.body, "x-access-token", token)
				if strings.HasSuffix(l.path, "/mfa") && whose != "second" {
					f.want(a, 403, "forbidden") // one's own
				} else {
					f.want(a, 403, "step_up_required")
				}
				if h := a.header.Get("WWW-Authenticate"); h != "" {
					t.Errorf("%s %s: WWW-Authenticate: %s", l.method, l.path, h)
				}
			}
			for _, own := range []string{"PATCH /me", "POST /password", "DELETE /me/mfa"} {
				method, path, _ := strings.Cut(own, " ")
				body := map[string]string{
					"PATCH": `{"email":"evil@example.com"}`,
					"POST":  `{"password":"five grumpy violets"}`, "DELETE": `{}`,
				}[method]
				a := f.call(method, path, body, "x-access-token", token)
				f.want(a, 422, "validation_failed")
			}
		}
		f.want(f.call("POST", "/login", `{"user":"evil","password":"five grumpy violets"}`),
			401, "invalid_login")
		f.want(f.call("POST", "/login", `{"user":"the-admin","password":"correct horse"}`),
			401, "mfa_required")
		after, err := f.auth.Users(t.Context(), 0, 10)
		authtest.Must(t, err)
		if fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("the users are\n%+v\nand were\n%+v", after, before)
		}

		// Whoever guesses is told, and counted.
		as := func(method, path, body string) answer {
			t.Helper()
			return f.call(method, path, body, "x-access-token", own.Token)
		}
		const admin = `{"user":"third","role":"admin","password":"five grumpy violets"%s}`
		for proof, faults := range map[string]string{
			`,"current":"wrong","code":"123456"`:      "current:wrong_password",
			`,"current":"correct horse"`:              "code:required",
			`,"code":"123456"`:                        "current:required",
			`,"current":"correct horse","code":"abc"`: "code:wrong_code",
		} {
			a := as("POST", "/users", fmt.Sprintf(admin, proof))
			if a.status != 422 || a.faults() != faults {
				t.Errorf("%s: %d %q, want %q", proof, a.status, a.faults(), faults)
			}
		}
		// A faulty request uses no code up. Another one does, once.
		proof := `"current":"correct horse","code":"` + code() + `"`
		a := as("POST", "/users", fmt.Sprintf(`{"user":"t h","role":"admin",%s}`, proof))
		if a.status != 422 || a.faults() != "user:invalid_user email:required" {
			t.Errorf("%d %q", a.status, a.faults())
		}
		f.want(as("POST", "/users", fmt.Sprintf(admin, ","+proof)), 201, "")
		a = as("DELETE", viewer, "{"+proof+"}")
		if a.status != 422 || a.faults() != "code:wrong_code" {
			t.Errorf("a code twice: %d %q", a.status, a.faults())
		}
		proof = `{"current":"correct horse","code":"` + code() + `"}`
		f.want(as("DELETE", viewer+"/sessions", proof), 204, "")
		proof = strings.Replace(proof, "}", `,"x":1}`, 1)
		if a := as("DELETE", viewer, proof); a.faults() != "x:unknown_member" {
			t.Errorf("%d %q", a.status, a.faults())
		}
		// A new login needs no further proof for five minutes.
		own = f.open(store.Admin, code())
		c.Advance(4 * time.Minute)
		f.want(as("PATCH", viewer, `{"role":"editor"}`), 200, "")
		f.want(as("DELETE", viewer+"/mfa", ""), 204, "")
		f.want(as("DELETE", viewer, ""), 204, "")
		f.want(as("DELETE", viewer, ""), 404, "not_found")
		c.Advance(time.Minute)
		f.want(as("DELETE", viewer, ""), 403, "step_up_required")
	})
}

// One's own email and password need a code, too, where a second factor is on.
func TestOnesOwnNeedsTheCode(t *testing.T) {
	onEachClock(t, func(t *testing.T, f *fixture, c *authtest.Clock) {
		s := f.open(store.Viewer, "")
		secret, recovery := f.enrol(s.Token)
		as := func(method, path, body string) answer {
			return f.call(method, path, body, "x-access-token", s.Token)
		}
		faulty := func(a answer, faults string) {
			t.Helper()
			if a.status != 422 || a.faults() != faults {
				t.Errorf("%d %q, want %q", a.status, a.faults(), faults)
			}
		}
		email := `{"email":"v@example.com","current":"correct horse"%s}`
		faulty(as("PATCH", "/me", fmt.Sprintf(email, "")), "code:required")
		used := `,"code":"` + oneTime(t, secret, c.Now()) + `"` // it has confirmed the factor
		faulty(as("PATCH", "/me", fmt.Sprintf(email, used)), "code:wrong_code")
		f.want(as("PATCH", "/me", fmt.Sprintf(email, `,"code":"`+recovery[0]+`"`)), 200, "")

		c.Advance(30 * time.Second)
		code := `,"code":"` + oneTime(t, secret, c.Now()) + `"`
		const change = `{"current":"correct horse","password":%q%s}`
		faulty(as("POST", "/password", fmt.Sprintf(change, goodPassword, "")), "code:required")
		faulty(as("POST", "/password", fmt.Sprintf(change, goodPassword, used)), "code:wrong_code")
		// A password that is refused uses no code up.
		faulty(as("POST", "/password", fmt.Sprintf(change, "password1", code)),
			"password:too_guessable")
		f.want(as("POST", "/password", fmt.Sprintf(change, goodPassword, code)), 204, "")
		f.want(as("GET", "/me", ""), 401, "token_revoked")
	})
}

// Somebody who knows the password and no code uses up the wrong codes of strangers. The owner, who
// got a mail about it, can still change the password and all else that needs a code.
func TestAThiefOfThePasswordStopsNoOwner(t *testing.T) {
	onEachClock(t, func(t *testing.T, f *fixture, c *authtest.Clock) {
		s := f.open(store.Admin, "")
		secret, recovery := f.enrol(s.Token)
		f.fill(fmt.Sprintf("codes %d", f.users[store.Admin].ID), 19)
		c.Advance(30 * time.Second)
		code := oneTime(t, secret, c.Now())
		f.want(f.logIn(store.Admin, "no code"), 401, "mfa_invalid")
		f.want(f.logIn(store.Admin, code), 429, "too_many_attempts")

		as := func(method, path, body string) answer {
			return f.call(method, path, fmt.Sprintf(body, code), "x-access-token", s.Token)
		}
		f.want(as("DELETE", fmt.Sprintf("/users/%d/sessions", f.users[store.Viewer].ID),
			`{"current":"correct horse","code":%q}`), 204, "")
		code = recovery[0]
		f.want(as("POST", "/password",
			`{"current":"correct horse","code":%q,"password":"`+goodPassword+`"}`), 204, "")
	})
}

// Somebody with a stolen session and the password has twenty guesses a day at a code. They take
// none from the owner's logins and other sessions.
func TestCodesOfSessionsAreCounted(t *testing.T) {
	onEachClock(t, func(t *testing.T, f *fixture, c *authtest.Clock) {
		s := f.open(store.Admin, "")
		secret, recovery := f.enrol(s.Token)
		path := fmt.Sprintf("/users/%d/sessions", f.users[store.Viewer].ID)
		as := func(code string) answer {
			return f.call("DELETE", path, `{"current":"correct horse","code":"`+code+`"}`,
				"x-access-token", s.Token)
		}
		for range 20 {
			f.want(as("no code"), 422, "validation_failed")
		}
		c.Advance(30 * time.Second)
		code := oneTime(t, secret, c.Now())
		f.want(as(code), 429, "too_many_attempts")
		known := "clientes_device=" + device(t, f.call("POST", "/login",
			`{"user":"the-admin","password":"correct horse","code":"`+code+`"}`))
		s = f.open(store.Admin, recovery[0])
		f.want(as(recovery[1]), 204, "")
		for range 20 { // none of them is looked at from the sixth on
			f.call("POST", "/login",
				`{"user":"the-admin","password":"correct horse","code":"no code"}`)
		}
		f.want(f.logIn(store.Admin, recovery[2], "Cookie", known), 200, "")
	})
}

// What a login was made with stands in its tokens, and a factor that was taken away does not.
func TestHowTheLoginWasMade(t *testing.T) {
	onEachClock(t, func(t *testing.T, f *fixture, c *authtest.Clock) {
		want := func(what, token string, at time.Time, amr string) {
			t.Helper()
			claims := claimsOf(t, token)
			if claims["auth_time"] != float64(at.Unix()) ||
				fmt.Sprint(claims["amr"]) != "["+amr+"]" {
				t.Errorf("%s: auth_time %v, amr %v", what, claims["auth_time"], claims["amr"])
			}
		}
		login := c.Now()
		s := f.open(store.Admin, "")
		want("a password", s.Token, login, "pwd")
		secret, recovery := f.enrol(s.Token)
		viewer := fmt.Sprintf("/users/%d/sessions", f.users[store.Viewer].ID)
		// The login used no second factor, so it is no proof of a user who has one.
		f.want(f.call("DELETE", viewer, "", "x-access-token", s.Token), 403, "step_up_required")
		c.Advance(time.Minute)
		s = f.refresh(s)
		want("a factor that was confirmed", s.Token, login, "pwd otp mfa")
		f.want(f.call("DELETE", viewer, "", "x-access-token", s.Token), 204, "")

		login = c.Now()
		s = f.open(store.Admin, oneTime(t, secret, login))
		want("a code", s.Token, login, "pwd otp mfa")
		want("a recovery code", f.open(store.Admin, recovery[0]).Token, login, "pwd otp mfa")
		c.Advance(time.Minute)
		authtest.Must(t, f.auth.DropMFA(t.Context(), f.users[store.Admin].ID))
		want("a factor that was taken away", f.refresh(s).Token, login, "pwd")
	})
}

// requireMFA replaces the server by one that requires a second factor of a role and above.
func (f *fixture) requireMFA(role store.Role) {
	f.t.Helper()
	var err error
	f.auth, err = auth.New(auth.Config{
		Store: f.store, Gate: password.NewGate(quickHasher, 2, 64), Secret: testSecret,
		Issuer: "clientes", Audience: "clientes", RequireMFA: role,
		TokenTTL: 300 * time.Second, SessionIdle: 30 * time.Minute, SessionMax: 720 * time.Hour,
		RefreshGrace: 30 * time.Second, Now: f.server.cfg.Now, Log: f.server.cfg.Log,
	})
	authtest.Must(f.t, err)
	listening := httptest.NewUnstartedServer(nil)
	cfg := f.server.cfg
	cfg.Auth = f.auth
	cfg.PublicURL = &url.URL{Scheme: "http", Host: listening.Listener.Addr().String()}
	f.server, err = New(cfg)
	authtest.Must(f.t, err)
	listening.Config.Handler = f.server
	listening.Start()
	f.t.Cleanup(listening.Close)
	f.url = listening.URL
}

// Who must have a second factor and has none can set one up, end sessions, and nothing else.
func TestASecondFactorIsRequired(t *testing.T) {
	onEachClock(t, func(t *testing.T, f *fixture, c *authtest.Clock) {
		f.requireMFA(store.Admin)
		f.want(f.as(store.Editor, "GET", "/clientes", ""), 200, "")
		s := f.open(store.Admin, "")
		for _, r := range f.server.routes() {
			if r.may == anybody {
				continue
			}
			path := strings.ReplaceAll(r.path, ":id", "999999")
			a := f.call(r.method, path, "", "x-access-token", s.Token)
			refused := a.status == http.StatusForbidden && a.code() == "mfa_setup_required"
			setup := strings.HasPrefix(path, "/sessions") || path == "/me" ||
				path == "/me/mfa" || path == "/me/mfa/confirm"
			if refused == setup {
				t.Errorf("%s %s is answered %d %q", r.method, path, a.status, a.code())
			}
		}
		secret, _ := f.enrol(s.Token)
		f.want(f.call("GET", "/clientes", "", "x-access-token", s.Token),
			403, "mfa_setup_required")
		s = f.refresh(s)
		f.want(f.call("GET", "/clientes", "", "x-access-token", s.Token), 200, "")
		f.want(f.call("GET", "/users", "", "x-access-token", s.Token), 200, "")
		f.want(f.call("DELETE", "/me/mfa", `{"current":"correct horse","code":"123456"}`,
			"x-access-token", s.Token), 403, "forbidden")
		c.Advance(30 * time.Second)
		s = f.open(store.Admin, oneTime(t, secret, c.Now()))
		f.want(f.call("GET", "/users", "", "x-access-token", s.Token), 200, "")

		// A factor that another admin takes away has to be set up anew.
		authtest.Must(t, f.auth.DropMFA(t.Context(), f.users[store.Admin].ID))
		s = f.refresh(s)
		f.want(f.call("GET", "/users", "", "x-access-token", s.Token), 403, "mfa_setup_required")
		f.enrol(s.Token)
		s = f.refresh(s)
		f.want(f.call("GET", "/users", "", "x-access-token", s.Token), 200, "")

		// A session of the version before knows nothing of its login.
		old := ofVersionBefore(t, s.Token)
		f.want(f.call("GET", "/users", "", "x-access-token", old), 403, "mfa_setup_required")
		f.want(f.call("POST", "/logout", `{"everywhere":true}`, "x-access-token", old), 200, "")
		f.requireMFA("")
	})
}

// An old token, without auth_time and amr, is good, and its login was long ago.
func TestATokenOfTheVersionBefore(t *testing.T) {
	f := onSQLite(t)
	old := ofVersionBefore(t, f.tokens[store.Admin])
	path := fmt.Sprintf("/users/%d", f.users[store.Viewer].ID)
	f.want(f.call("GET", path, "", "x-access-token", old), 200, "")
	f.want(f.call("DELETE", path, "", "x-access-token", old), 403, "step_up_required")
	f.want(f.call("DELETE", path, `{"current":"correct horse"}`, "x-access-token", old), 204, "")
}

// A 403 for want of a role says so to programs (RFC 6750 section 3.1).
func TestInsufficientScope(t *testing.T) {
	f := onSQLite(t)
	a := f.as(store.Viewer, "GET", "/users", "")
	f.want(a, 403, "forbidden")
	const want = `Bearer realm="clientes", error="insufficient_scope"`
	if got := a.header.Get("WWW-Authenticate"); got != want {
		t.Errorf("WWW-Authenticate: %s", got)
	}
}
