package api

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
	"golang.org/x/text/unicode/norm"

	"clientes/auth/authtest"
	"clientes/auth/mail"
	"clientes/store"
)

// outbox has the server send its mail until the test ends.
func (f *fixture) outbox() *authtest.Outbox {
	out := new(authtest.Outbox)
	ctx, stop := context.WithCancel(context.Background())
	var sending sync.WaitGroup
	sending.Go(func() { f.auth.SendMail(ctx, out, 0) })
	f.t.Cleanup(func() {
		stop()
		sending.Wait()
	})
	return out
}

func openSignup(cfg *Config) { cfg.SignupOpen = true }

// userOf reads a user as a client does.
func userOf(t testing.TB, a answer) (u struct {
	ID           int64  `json:"id"`
	User         string `json:"user"`
	Email        string `json:"email"`
	PendingEmail string `json:"pending_email"`
	MFA          bool   `json:"mfa"`
	Role         string `json:"role"`
	Disabled     bool   `json:"disabled"`
	CreatedAt    string `json:"created_at"`
	UpdatedAt    string `json:"updated_at"`
}) {
	t.Helper()
	authtest.Must(t, json.Unmarshal([]byte(a.body), &u, json.RejectUnknownMembers(true)))
	return u
}

// loginAs returns a token of a user, by the password.
func (f *fixture) loginAs(user, password string) string {
	f.t.Helper()
	a := f.call("POST", "/login", fmt.Sprintf(`{"user":%q,"password":%q}`, user, password))
	f.want(a, 200, "")
	var v struct {
		Token string `json:"token"`
	}
	authtest.Must(f.t, json.Unmarshal([]byte(a.body), &v))
	return v.Token
}

const (
	goodPassword   = "five grumpy violets"
	betterPassword = "six grumpy violets sing"
)

// A user signs up, confirms an email, forgets the password and sets another.
func TestAnAccountOfOnesOwn(t *testing.T) {
	// The clock stands still, so that no wait is over because this machine is slow.
	onEachClock(t, func(t *testing.T, f *fixture, _ *authtest.Clock) {
		out := f.outbox()
		a := f.call("POST", "/signup",
			`{"user":"ana","password":"five grumpy violets","email":"ana@example.com"}`)
		f.want(a, 201, "")
		u := userOf(t, a)
		if u.User != "ana" || u.Role != "viewer" || u.Email != "" ||
			u.PendingEmail != "ana@example.com" || u.Disabled {
			t.Errorf("signed up: %s", a.body)
		}
		f.want(f.call("POST", "/signup", `{"user":"ANA","password":"five grumpy violets"}`),
			409, "conflict")
		// The new address gets no other mail yet.
		f.want(f.call("POST", "/password/forgot", `{"user":"ana"}`), 202, "")
		confirm := out.Take(t, mail.Confirm, "ana@example.com").Token
		f.want(f.call("POST", "/password/reset",
			`{"token":"`+confirm+`","password":"six grumpy violets sing"}`),
			422, "reset_invalid")
		f.want(f.call("POST", "/email/confirm", `{"token":"`+confirm+`"}`), 204, "")
		a = f.call("POST", "/email/confirm", `{"token":"`+confirm+`"}`)
		if f.want(a, 422, "reset_invalid"); a.faults() != "token:invalid_link" {
			t.Errorf("faults %s", a.faults())
		}
		token := f.loginAs("ana", goodPassword)
		out.Take(t, mail.NewNetwork, "ana@example.com")
		me := func(method, body string) answer {
			return f.call(method, "/me", body, "x-access-token", token)
		}
		if u := userOf(t, me("GET", "")); u.Email != "ana@example.com" || u.PendingEmail != "" {
			t.Errorf("confirmed: %+v", u)
		}

		// The user changes the email.
		a = me("PATCH", `{"email":"new@example.com"}`)
		if f.want(a, 422, "validation_failed"); a.faults() != "current:required" {
			t.Errorf("faults %s", a.faults())
		}
		a = me("PATCH", `{"email":"new@example.com","current":"wrong"}`)
		if f.want(a, 422, "validation_failed"); !strings.HasPrefix(a.faults(), "current:") {
			t.Errorf("faults %s", a.faults())
		}
		a = me("PATCH", `{"email":"new@example.com","current":"five grumpy violets"}`)
		f.want(a, 200, "")
		if u := userOf(t, a); u.Email != "ana@example.com" || u.PendingEmail != "new@example.com" {
			t.Errorf("patched: %s", a.body)
		}
		out.Take(t, mail.EmailChanged, "ana@example.com")
		f.want(f.call("POST", "/email/confirm",
			`{"token":"`+out.Take(t, mail.Confirm, "new@example.com").Token+`"}`),
			204, "")
		out.Take(t, mail.EmailChanged, "ana@example.com")
		if u := userOf(t, me("PATCH", `{}`)); u.Email != "new@example.com" || u.PendingEmail != "" {
			t.Errorf("now: %+v", u)
		}

		// The user forgets the password.
		f.want(f.call("POST", "/password/forgot", `{"email":"NEW@example.com"}`), 202, "")
		reset := out.Take(t, mail.Reset, "new@example.com").Token
		f.want(f.call("POST", "/email/confirm", `{"token":"`+reset+`"}`), 422, "reset_invalid")
		a = f.call("POST", "/password/reset", `{"token":"`+reset+`","password":"new@example.com"}`)
		if f.want(a, 422, "validation_failed"); a.faults() != "password:too_guessable" {
			t.Errorf("faults %s", a.faults())
		}
		f.want(f.call("POST", "/password/reset",
			`{"token":"`+reset+`","password":"six grumpy violets sing"}`),
			200, "")
		f.want(me("GET", ""), 401, "token_revoked")
		f.want(f.call("POST", "/password/reset",
			`{"token":"`+reset+`","password":"six grumpy violets sing"}`),
			422, "reset_invalid")
		out.Take(t, mail.PasswordChanged, "new@example.com")

		// The user changes the password.
		token = f.loginAs("ana", betterPassword)
		other := f.loginAs("ana", betterPassword)
		a = f.call("POST", "/password",
			`{"current":"five grumpy violets","password":"seven grumpy violets"}`,
			"x-access-token", token)
		if f.want(a, 422, "validation_failed"); !strings.HasPrefix(a.faults(), "current:") {
			t.Errorf("faults %s", a.faults())
		}
		f.want(f.call("POST", "/password",
			`{"current":"six grumpy violets sing","password":"seven grumpy violets"}`,
			"x-access-token", token),
			204, "")
		for _, ended := range []string{token, other} {
			f.want(f.call("GET", "/me", "", "x-access-token", ended), 401, "token_revoked")
		}
		out.Take(t, mail.PasswordChanged, "new@example.com")
		token = f.loginAs("ana", "seven grumpy violets")
		for range 5 {
			f.want(f.call("POST", "/password",
				`{"current":"wrong","password":"six grumpy violets sing"}`,
				"x-access-token", token),
				422, "validation_failed")
		}
		a = f.call("POST", "/password",
			`{"current":"seven grumpy violets","password":"six grumpy violets sing"}`,
			"x-access-token", token)
		if f.want(a, 429, "too_many_attempts"); a.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		if left := out.Left(); len(left) > 0 {
			t.Errorf("nobody has taken %+v", left)
		}
		for _, secret := range []string{goodPassword, betterPassword, confirm, reset} {
			if strings.Contains(f.log.String(), secret) {
				t.Errorf("%s is in the log", secret)
			}
		}
	}, openSignup)
}

func TestSignupIsClosed(t *testing.T) {
	f := onSQLite(t)
	for _, body := range []string{
		`{"user":"ana","password":"five grumpy violets"}`, `{`, `{"x":1}`,
	} {
		f.want(f.call("POST", "/signup", body), 403, "signup_closed")
	}
	if _, err := f.store.UserByName(t.Context(), "ana"); err == nil {
		t.Error("somebody has signed up")
	}
}

// An admin finds a user by name, as the tutorial's findUser does.
func TestUsersByName(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for _, name := range []string{
			"Ana", "o'brien@example.com", "eva+x@example.com", "jos\u00e9@example.com",
		} {
			_, err := f.store.CreateUser(t.Context(), store.User{Name: name, Role: store.Viewer})
			authtest.Must(t, err)
		}
		for _, c := range []struct {
			query, want string // the name of the one user, "" for none
			status      int
		}{
			{"user=Ana", "Ana", 200},
			{"user=aNA", "Ana", 200},
			{"user=%20ana%09", "Ana", 200},
			{"user=ana&limit=1", "Ana", 200},
			{"user=O'BRIEN@example.com", "o'brien@example.com", 200},
			{"user=o%27brien%40EXAMPLE.com", "o'brien@example.com", 200},
			{"user=eva%2Bx@example.com", "eva+x@example.com", 200},
			{"user=JOSE%CC%81@example.com", "jos\u00e9@example.com", 200},
			{"user=an", "", 200},
			{"user=ana2", "", 200},
			{"user=%25", "", 200},
			{"user=%FF", "", 200},
			{"user=" + strings.Repeat("a", 300), "", 200},
			{"user=eva+x@example.com", "", 400},
			{"user=", "", 400},
			{"user=%20", "", 400},
			{"user=ana&name=ana", "", 400},
			{"name=ana", "", 400},
			{"user=ana&limit=0", "", 400},
			{"user=ana&cursor=x", "", 400},
		} {
			a := f.as(store.Admin, "GET", "/users?"+c.query, "")
			f.want(a, c.status, map[int]string{400: "invalid_parameter"}[c.status])
			if c.status != 200 {
				continue
			}
			var users []struct {
				User string `json:"user"`
			}
			authtest.Must(t, json.Unmarshal([]byte(a.body), &users))
			found := len(users) == 1 && users[0].User == c.want
			if c.want == "" && a.body != "[]" || c.want != "" && !found {
				t.Errorf("%s: %s", c.query, a.body)
			}
			if a.header.Get("Link") != "" {
				t.Errorf("%s: there is a next page: %s", c.query, a.header.Get("Link"))
			}
		}
		for _, role := range []store.Role{store.Viewer, store.Editor} {
			f.want(f.as(role, "GET", "/users?user=ana", ""), 403, "forbidden")
		}
		f.want(f.call("GET", "/users?user=ana", ""), 401, "token_missing")
	})
}

// An email address is a user name wherever one is sent.
func TestAddressesAsUserNames(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		const password = "five grumpy violets"
		for _, name := range []string{
			"o'brien@example.com", "jos\u00e9@ex\u00e4mple.com",
			"first.middle.last.person@department.faculty.university-hospital.example.org",
		} {
			body := fmt.Sprintf(`{"user":%q,"password":%q}`, " "+name+" ", password)
			a := f.as(store.Admin, "POST", "/users", body)
			f.want(a, 201, "")
			if u := userOf(t, a); u.User != name || u.Email != "" {
				t.Errorf("made %s", a.body)
			}
			body = fmt.Sprintf(`{"user":%q,"password":%q}`, strings.ToUpper(name), password)
			f.want(f.as(store.Admin, "POST", "/users", body), 409, "conflict")
			f.want(f.call("POST", "/signup", body), 409, "conflict")
			f.loginAs(strings.ToUpper(name), password)
			f.loginAs(norm.NFD.String(name), password)
		}
		a := f.as(store.Admin, "POST", "/users", `{"user":"jos\u00e9","password":"`+password+`"}`)
		f.want(a, 422, "validation_failed")
	}, openSignup, trustLoopback)
}

// A password is the same in whatever Unicode form a keyboard writes it.
func TestPasswordsInAnyForm(t *testing.T) {
	f := onSQLite(t)
	const composed = "cr\u00e8me br\u00fbl\u00e9e violets"
	const apart = "cre\u0300me bru\u0302le\u0301e violets"
	for i, set := range []string{composed, apart} {
		user := fmt.Sprint("ana", i)
		f.want(f.as(store.Admin, "POST", "/users",
			fmt.Sprintf(`{"user":%q,"password":%q}`, user, set)), 201, "")
		f.loginAs(user, composed)
		f.loginAs(user, apart)
		f.want(f.call("POST", "/login", fmt.Sprintf(`{"user":%q,"password":%q}`, user,
			"creme brulee violets")), 401, "invalid_login")
	}
	four := strings.Repeat("e\u0301", 4)
	f.want(f.as(store.Admin, "POST", "/users", fmt.Sprintf(`{"user":"x","password":%q}`, four)),
		422, "validation_failed")
}

// Admins create, change and delete users.
func TestUsers(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		out := f.outbox()
		a := f.as(store.Admin, "POST", "/users",
			`{"user":"ana","email":"ana@example.com","role":"editor"}`)
		f.want(a, 201, "")
		u := userOf(t, a)
		path := fmt.Sprint("/users/", u.ID)
		if u.User != "ana" || u.Email != "ana@example.com" || u.Role != "editor" || u.Disabled ||
			a.header.Get("Location") != path {
			t.Errorf("made %s at %s", a.body, a.header.Get("Location"))
		}
		if got := f.as(store.Admin, "GET", path, ""); got.body != a.body {
			t.Errorf("made %s, got %s", a.body, got.body)
		}
		f.want(f.call("POST", "/login", `{"user":"ana","password":"five grumpy violets"}`),
			401, "invalid_login")
		invitation := out.Take(t, mail.Invitation, "ana@example.com").Token
		f.want(f.call("POST", "/password/reset",
			`{"token":"`+invitation+`","password":"five grumpy violets"}`),
			200, "")
		token := f.loginAs("ana", goodPassword)

		// The answer to a GET can be sent back. It changes nothing, so the session does not end.
		got := f.as(store.Admin, "GET", path, "").body
		if same := f.as(store.Admin, "PATCH", path, got); same.body != got {
			t.Errorf("PATCH of %s gave %s", got, same.body)
		}
		f.want(f.call("GET", "/me", "", "x-access-token", token), 200, "")

		for _, c := range []struct{ body, faults string }{
			{`{"user":"bia"}`, "user:unchangeable"},
			{`{"password":"five grumpy violets"}`, "password:unknown_member"},
			{`{"role":null}`, "role:invalid_role"},
			{`{"email":"x","role":"root","nome":"Ana"}`,
				"nome:unknown_member email:invalid_email role:invalid_role"},
			{`{"user":"bia","role":"root","nome":1}`,
				"nome:unknown_member role:invalid_role user:unchangeable"},
		} {
			a := f.as(store.Admin, "PATCH", path, c.body)
			if f.want(a, 422, "validation_failed"); a.faults() != c.faults {
				t.Errorf("%s: faults %s", c.body, a.faults())
			}
		}
		f.want(f.as(store.Admin, "PATCH", path, `{"disabled":"yes"}`), 400, "malformed_body")
		f.want(f.as(store.Admin, "PATCH", "/users/999999", `{"role":"root"}`),
			422, "validation_failed")
		f.want(f.as(store.Admin, "PATCH", "/users/999999", `{"role":"editor"}`), 404, "not_found")

		// A stolen token is not enough to take an admin's account over.
		own := fmt.Sprint("/users/", f.users[store.Admin].ID)
		a = f.as(store.Admin, "PATCH", own, `{"email":"thief@example.com"}`)
		if f.want(a, 422, "validation_failed"); a.faults() != "email:your_own" {
			t.Errorf("an admin's own email: %s", a.faults())
		}
		f.want(f.as(store.Admin, "PATCH", own, f.as(store.Admin, "GET", own, "").body), 200, "")
		f.want(f.as(store.Admin, "DELETE", own+"/mfa", ""), 403, "forbidden")
		f.want(f.as(store.Admin, "DELETE", path+"/mfa", ""), 204, "")

		a = f.as(store.Admin, "PATCH", path, `{"role":"viewer"}`, "Content-Type", mediaMergePatch)
		if f.want(a, 200, ""); userOf(t, a).Role != "viewer" {
			t.Errorf("patched: %s", a.body)
		}
		f.want(f.call("GET", "/me", "", "x-access-token", token), 401, "token_revoked")
		token = f.loginAs("ana", goodPassword)
		a = f.as(store.Admin, "PATCH", path, `{"disabled":true,"email":"ana@example.org"}`)
		if f.want(a, 200, ""); !userOf(t, a).Disabled || userOf(t, a).Email != "ana@example.org" {
			t.Errorf("patched: %s", a.body)
		}
		out.Take(t, mail.EmailChanged, "ana@example.com")
		f.want(f.call("GET", "/me", "", "x-access-token", token), 401, "token_revoked")
		f.want(f.call("POST", "/login", `{"user":"ana","password":"five grumpy violets"}`),
			401, "invalid_login")
		a = f.as(store.Admin, "PATCH", path, `{"disabled":null,"email":null}`)
		if f.want(a, 200, ""); userOf(t, a).Disabled || userOf(t, a).Email != "" {
			t.Errorf("patched: %s", a.body)
		}
		token = f.loginAs("ana", goodPassword)
		a = f.as(store.Admin, "DELETE", path, "")
		if f.want(a, 204, ""); a.body != "" {
			t.Errorf("DELETE answered %s", a.body)
		}
		f.want(f.call("GET", "/me", "", "x-access-token", token), 401, "token_revoked")
		for _, method := range []string{"GET", "PATCH", "DELETE"} {
			body := ""
			if method == "PATCH" {
				body = `{}`
			}
			f.want(f.as(store.Admin, method, path, body), 404, "not_found")
		}

		// The last admin stays, whoever tries.
		admin := fmt.Sprint("/users/", f.users[store.Admin].ID)
		for body, field := range map[string]string{
			`{"role":"editor"}`: "role", `{"disabled":true}`: "disabled",
		} {
			a := f.as(store.Admin, "PATCH", admin, body)
			if f.want(a, 409, "conflict"); a.faults() != field+":last_admin" {
				t.Errorf("%s: faults %s", body, a.faults())
			}
		}
		f.want(f.as(store.Admin, "DELETE", admin, ""), 409, "conflict")
		f.want(f.as(store.Admin, "GET", "/me", ""), 200, "")
	})
}

func TestNewUserBodies(t *testing.T) {
	f := onSQLite(t, openSignup, trustLoopback)
	_, err := f.store.CreateUser(t.Context(),
		store.User{Name: "ana", Email: "ana@example.com", Role: store.Viewer})
	authtest.Must(t, err)
	for i, c := range []struct {
		path, body   string
		status       int
		code, faults string
	}{
		{"/users", `{"user":"b1","password":"five grumpy violets",` +
			`"id":9,"version":"x","created_at":null,"updated_at":[]}`, 201, "", ""},
		{"/users", `{"user":"b2","password":"five grumpy violets","email":null,"role":null}`,
			201, "", ""},
		{"/users", `{"user":"b3"}`, 422, "validation_failed", "email:required"},
		{"/users", `{"user":"b3","password":null,"email":""}`,
			422, "validation_failed", "email:required"},
		{"/users", `{"user":"b3","email":"b3@example.com","password":""}`,
			422, "validation_failed", "password:too_short"},
		{"/users", `{"user":"b3","role":"root","password":""}`,
			422, "validation_failed", "role:invalid_role password:too_short"},
		{"/users", `{"user":"b3","password":"short"}`,
			422, "validation_failed", "password:too_short"},
		{"/users", `{"user":"b 3","role":"root","email":"x"}`,
			422, "validation_failed", "user:invalid_user email:invalid_email role:invalid_role"},
		{"/users", `{"user":"b3","password":"five grumpy violets","disabled":true}`,
			422, "validation_failed", "disabled:unknown_member"},
		{"/users", `{"password":"five grumpy violets"}`,
			422, "validation_failed", "user:invalid_user"},
		{"/users", `{"user":"ANA","password":"five grumpy violets"}`,
			409, "conflict", "user:taken"},
		{"/users", `{"user":"b3","email":"ANA@example.com"}`, 409, "conflict", "email:taken"},
		{"/users", `{"user":1}`, 400, "malformed_body", ""},
		{"/users", `[]`, 400, "malformed_body", ""},

		// Of the most used passwords.
		{"/users", `{"user":"d1","password":"futurama"}`,
			422, "validation_failed", "password:too_guessable"},
		{"/users", `{"user":"d1","password":"krokodil"}`,
			422, "validation_failed", "password:too_guessable"},
		{"/users", `{"user":"d1","password":"1z2x3c4v"}`,
			422, "validation_failed", "password:too_guessable"},
		{"/users", `{"user":"d1","password":"192837465"}`,
			422, "validation_failed", "password:too_guessable"},
		{"/users", `{"user":"d1","password":"ghbdtnbr"}`,
			422, "validation_failed", "password:too_guessable"},
		{"/users", `{"user":"d1","password":"Flamengo1981"}`,
			422, "validation_failed", "password:too_guessable"},

		{"/signup", `{"user":"c1","password":"five grumpy violets","id":9}`, 201, "", ""},
		// The answer tells nobody whose email it is.
		{"/signup", `{"user":"c2","password":"five grumpy violets","email":"ana@example.com"}`,
			201, "", ""},
		{"/signup", `{"user":"c3","password":"five grumpy violets","role":"admin"}`,
			422, "validation_failed", "role:unknown_member"},
		{"/signup", `{"user":"c 3","password":"short","email":"x","role":"admin"}`, 422,
			"validation_failed",
			"role:unknown_member user:invalid_user email:invalid_email password:too_short"},
		{"/signup", `{"user":"c3"}`, 422, "validation_failed", "password:too_short"},
		{"/signup", `{"user":"clarissa99","password":"clarissa99"}`,
			422, "validation_failed", "password:too_guessable"},
		{"/signup", `{"user":"c3","password":["five grumpy violets"]}`, 400, "malformed_body", ""},

		{"/password/forgot", `{"user":"nobody"}`, 202, "", ""},
		{"/password/forgot", `{"email":"nobody@example.com"}`, 202, "", ""},
		{"/password/forgot", `{"email":"\u0000"}`, 202, "", ""},
		{"/password/forgot", `{"user":"ana"}`, 202, "", ""},
		{"/password/forgot", `{}`, 422, "validation_failed", "email:required"},
		{"/password/forgot", `{"user":"ana","email":"ana@example.com"}`,
			422, "validation_failed", "email:required"},
		{"/password/forgot", `{"usr":"ana"}`,
			422, "validation_failed", "usr:unknown_member email:required"},

		{"/password/reset", `{}`, 422, "validation_failed", "token:required password:too_short"},
		{"/password/reset", `{"token":"reset.1.99999999999.AAAA","password":"five grumpy violets"}`,
			422, "reset_invalid", "token:invalid_link"},
		{"/password/reset",
			`{"token":"reset.999.99999999999.AAAA","password":"five grumpy violets"}`, 422,
			"reset_invalid", "token:invalid_link"},
		{"/password/reset", `{"token":"\u0000","password":"five grumpy violets"}`,
			422, "reset_invalid", "token:invalid_link"},
		{"/email/confirm", `{}`, 422, "validation_failed", "token:required"},
		{"/email/confirm", `{"token":"x"}`, 422, "reset_invalid", "token:invalid_link"},

		{"/password", `{}`, 422, "validation_failed", "current:required password:too_short"},
		{"/password", `{"curent":"x"}`,
			422, "validation_failed", "curent:unknown_member current:required password:too_short"},
	} {
		// Each comes from another network, or some would need a captcha.
		ip := fmt.Sprint("192.0.2.", i+1)
		a := f.as(store.Admin, "POST", c.path, c.body, "X-Forwarded-For", ip)
		if f.want(a, c.status, c.code); a.faults() != c.faults {
			t.Errorf("%s %s: faults %s", c.path, c.body, a.faults())
		}
	}
	for _, c := range []struct {
		body   string
		status int
		faults string
	}{
		{`{"role":"admin"}`, 422, "role:unknown_member"},
		{`{"email":"x","user":"ana"}`, 422, "user:unknown_member email:invalid_email"},
		{`{"email":"","current":""}`, 200, ""}, // there is none
		{`{"id":1}`, 200, ""},
	} {
		a := f.as(store.Viewer, "PATCH", "/me", c.body)
		if a.status != c.status || a.faults() != c.faults {
			t.Errorf("%s answered %d, faults %s", c.body, a.status, a.faults())
		}
	}
}

// The links lead through all users.
func TestPagesOfUsers(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for i := range 20 {
			_, err := f.store.CreateUser(t.Context(),
				store.User{Name: fmt.Sprint("u", i), Role: store.Viewer, PasswordHash: testHash})
			authtest.Must(t, err)
		}
		next := regexp.MustCompile(`^<([^>]*)>; rel="next"$`)
		for _, limit := range []int{1, 7, 22, 23, 24, 1000} {
			var seen []int64
			for path := fmt.Sprint("/users?limit=", limit); path != ""; {
				a := f.as(store.Admin, "GET", path, "")
				f.want(a, 200, "")
				if strings.Contains(a.body, "$") || strings.Contains(a.body, "hash") {
					t.Errorf("a hash: %s", a.body)
				}
				var page []struct {
					ID int64 `json:"id"`
				}
				authtest.Must(t, json.Unmarshal([]byte(a.body), &page))
				if len(page) > limit {
					t.Errorf("%d users on a page of %d", len(page), limit)
				}
				for _, u := range page {
					seen = append(seen, u.ID)
				}
				path = ""
				if m := next.FindStringSubmatch(a.header.Get("Link")); m != nil {
					path = m[1]
				}
			}
			if len(seen) != 23 || !slices.IsSorted(seen) || len(slices.Compact(seen)) != 23 {
				t.Errorf("limit %d: %v", limit, seen)
			}
		}
		f.want(f.as(store.Admin, "GET", "/users?limit=0", ""), 400, "invalid_parameter")
		f.want(f.as(store.Admin, "GET", "/users?cursor=aWQ6MQ", ""), 400, "invalid_parameter")
		f.want(f.as(store.Admin, "GET", "/users?cursor=", ""), 400, "invalid_parameter")
		f.want(f.as(store.Admin, "GET", "/users?sort=name", ""), 400, "invalid_parameter")
	})
}
