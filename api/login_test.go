package api

import (
	"net/url"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"golang.org/x/crypto/bcrypt"

	"clientes/auth"
	"clientes/auth/authtest"
	"clientes/store"
)

// A client of the tutorial sends and reads this, and nothing more.
func TestTutorial(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		a := f.call("GET", "/", "")
		if a.status != 200 || a.body != `{"message":"Everything is okay!"}` {
			t.Errorf("GET / answered %d %s", a.status, a.body)
		}

		a = f.call("POST", "/login", `{"user":"the-viewer","password":"wrong"}`)
		f.want(a, 401, "invalid_login")
		var refused struct {
			Auth    *bool  `json:"auth"`
			Message string `json:"message"`
		}
		authtest.Must(t, json.Unmarshal([]byte(a.body), &refused))
		if refused.Auth == nil || *refused.Auth || refused.Message != "Invalid Login!" {
			t.Errorf("a wrong login answered %s", a.body)
		}

		a = f.call("POST", "/login", viewerLogin)
		var login struct {
			Auth      bool   `json:"auth"`
			Token     string `json:"token"`
			ExpiresIn int    `json:"expires_in"`
		}
		authtest.Must(t, json.Unmarshal([]byte(a.body), &login))
		if a.status != 200 || !login.Auth || login.Token == "" || login.ExpiresIn != 300 {
			t.Fatalf("login answered %d", a.status)
		}

		a = f.call("GET", "/clientes", "")
		f.want(a, 401, "token_missing")
		if !strings.Contains(a.body, `"message":"No token provided."`) ||
			!strings.Contains(a.body, `"auth":false`) {
			t.Errorf("no token answered %s", a.body)
		}
		a = f.call("GET", "/clientes", "", "x-access-token", "undefined")
		f.want(a, 401, "token_invalid")
		if !strings.Contains(a.body, `"message":"Failed to authenticate token."`) {
			t.Errorf("a bad token answered %s", a.body)
		}

		a = f.call("GET", "/clientes", "", "x-access-token", login.Token)
		if a.status != 200 || a.body != "[]" {
			t.Errorf("no customers are %d %s", a.status, a.body)
		}
		c := f.add(store.Cliente{Name: "Ana"})
		a = f.call("GET", "/clientes", "", "x-access-token", login.Token)
		if a.body != "["+clienteJSON(c)+"]" {
			t.Errorf("the list is %s", a.body)
		}

		a = f.call("POST", "/logout", "", "x-access-token", login.Token)
		if a.status != 200 || a.body != `{"auth":false,"token":null}` {
			t.Errorf("logout answered %d %s", a.status, a.body)
		}
		f.want(f.call("GET", "/clientes", "", "x-access-token", login.Token), 401, "token_revoked")
	})
}

func TestLoginBodies(t *testing.T) {
	f := onSQLite(t)
	form := func(pairs ...string) string {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Add(pairs[i], pairs[i+1])
		}
		return v.Encode()
	}
	for _, c := range []struct {
		name, media, body string
		status            int
		code, faults      string
	}{
		{"JSON", "", `{"user":"the-viewer","password":"correct horse"}`, 200, "", ""},
		{"the name in capitals", "", `{"user":"THE-Viewer","password":"correct horse"}`,
			200, "", ""},
		{"username", "", `{"username":"the-viewer","password":"correct horse"}`, 200, "", ""},
		{"unknown members", "", `{"user":"the-viewer","password":"correct horse","memory":true}`,
			200, "", ""},
		{"a charset", "application/json; charset=UTF-8",
			`{"user":"the-viewer","password":"correct horse"}`, 200, "", ""},
		{"the form", mediaForm, form("user", "the-viewer", "password", "correct horse"),
			200, "", ""},
		{"the form with username", mediaForm,
			form("username", "the-viewer", "password", "correct horse"), 200, "", ""},

		{"a password with blanks", "", `{"user":"the-viewer","password":"correct horse "}`,
			401, "invalid_login", ""},
		{"a password in capitals", "", `{"user":"the-viewer","password":"Correct horse"}`,
			401, "invalid_login", ""},
		{"nobody", "", `{"user":"nobody","password":"correct horse"}`, 401, "invalid_login", ""},
		{"nobody's kind of name", "", `{"user":"a\u0000b'; --","password":"correct horse"}`,
			401, "invalid_login", ""},
		{"a very long password", "", `{"user":"the-viewer","password":"` +
			strings.Repeat("x", 15<<10) + `"}`, 401, "invalid_login", ""},

		{"nothing", "", `{}`, 422, "validation_failed", "user:required password:required"},
		{"empty", "", `{"user":"","password":""}`,
			422, "validation_failed", "user:required password:required"},
		{"null", "", `{"user":null,"password":null}`,
			422, "validation_failed", "user:required password:required"},
		{"numbers", "", `{"user":1,"password":2}`,
			422, "validation_failed", "user:required password:required"},
		{"objects", "", `{"user":{"$ne":""},"password":{"$gt":""}}`,
			422, "validation_failed", "user:required password:required"},
		{"a cookie that is no boolean", "",
			`{"user":"the-viewer","password":"correct horse","cookie":"true"}`, 422,
			"validation_failed", "cookie:invalid_type"},
		{"a remember that is no boolean", "",
			`{"user":"the-viewer","password":"correct horse","remember":"on"}`, 422,
			"validation_failed", "remember:invalid_type"},
		{"a form whose remember is neither", mediaForm,
			form("user", "the-viewer", "password", "correct horse", "remember", "maybe"), 422,
			"validation_failed", "remember:invalid_type"},
		{"no cookie", "", `{"user":"the-viewer","password":"correct horse","cookie":null}`,
			200, "", ""},
		{"no password", "", `{"user":"the-viewer"}`, 422, "validation_failed", "password:required"},
		{"USER for user", "", `{"USER":"the-viewer","password":"x"}`,
			422, "validation_failed", "user:required"},
		{"a form with two users", mediaForm, form("user", "a", "user", "b", "password", "x"),
			422, "validation_failed", "user:required"},

		{"an array", "", `[]`, 400, "malformed_body", ""},
		{"text", "", `"abc"`, 400, "malformed_body", ""},
		{"half", "", `{"user":`, 400, "malformed_body", ""},
		{"more", "", `{"user":"a","password":"b"}x`, 400, "malformed_body", ""},
		{"a member twice", "", `{"user":"a","user":"b","password":"b"}`, 400, "malformed_body", ""},
		{"a lone surrogate", "", `{"user":"\ud800","password":"b"}`, 400, "malformed_body", ""},
		{"broken UTF-8", "", "{\"user\":\"\xff\",\"password\":\"b\"}", 400, "malformed_body", ""},
		{"a broken form", mediaForm, "user=%zz", 400, "malformed_body", ""},
		{"a form of broken UTF-8", mediaForm, "user=%ff&password=x", 400, "malformed_body", ""},
		{"no body", "", "", 400, "malformed_body", ""},
		{"null for all", "", `null`, 400, "malformed_body", ""},
		{"text/plain", "text/plain", `{"user":"a","password":"b"}`,
			415, "unsupported_media_type", ""},
		{"another charset", "application/json; charset=latin1", `{"user":"a","password":"b"}`,
			415, "unsupported_media_type", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var headers []string
			if c.media != "" {
				headers = []string{"Content-Type", c.media}
			}
			a := f.call("POST", "/login", c.body, headers...)
			f.want(a, c.status, c.code)
			if a.faults() != c.faults {
				t.Errorf("faults %q, want %q", a.faults(), c.faults)
			}
			if strings.Contains(a.body, "correct horse") {
				t.Error("the answer repeats the password")
			}
		})
	}
}

func TestABcryptHashIsReplacedAtLogin(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		hash, err := bcrypt.GenerateFromPassword([]byte("old password"), bcrypt.MinCost)
		authtest.Must(t, err)
		u, err := f.store.CreateUser(t.Context(),
			store.User{Name: "old", Role: store.Viewer, PasswordHash: string(hash)})
		authtest.Must(t, err)
		for range 2 {
			a := f.call("POST", "/login", `{"user":"old","password":"old password"}`)
			if a.status != 200 {
				t.Fatalf("login answered %d", a.status)
			}
			now, err := f.store.User(t.Context(), u.ID)
			authtest.Must(t, err)
			if !strings.HasPrefix(now.PasswordHash, "$argon2id$") {
				t.Errorf("the hash is still %.4s", now.PasswordHash)
			}
		}
	})
}

func TestADisabledUserIsNobody(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		accounts := auth.NewAccounts(f.store)
		authtest.Must(t, accounts.Disable(t.Context(), "the-viewer"))
		f.want(f.call("POST", "/login", viewerLogin), 401, "invalid_login")
		f.eventually("the token of a disabled user is refused", func() bool {
			return f.as(store.Viewer, "GET", "/clientes", "").code() == "token_revoked"
		})
		authtest.Must(t, accounts.Enable(t.Context(), "the-viewer"))
		a := f.call("POST", "/login", viewerLogin)
		if a.status != 200 {
			t.Errorf("an enabled user's login answered %d", a.status)
		}
		f.want(f.as(store.Viewer, "GET", "/clientes", ""), 401, "token_revoked")
	})
}

func TestTokenHeaders(t *testing.T) {
	f := onSQLite(t)
	good, other := f.tokens[store.Viewer], f.tokens[store.Editor]
	for _, c := range []struct {
		name    string
		headers []string
		code    string // "" when let in
	}{
		{"x-access-token", []string{"x-access-token", good}, ""},
		{"bearer", []string{"Authorization", "Bearer " + good}, ""},
		{"bearer in any case", []string{"Authorization", "bEARER  " + good}, ""},
		{"both, the same", []string{"x-access-token", good, "Authorization", "Bearer " + good}, ""},
		{"another scheme beside it",
			[]string{"x-access-token", good, "Authorization", "Basic YTpi"}, ""},
		{"both, another", []string{"x-access-token", good, "Authorization", "Bearer " + other}, ""},
		{"two x-access-token", []string{"x-access-token", good, "X-Access-Token", other},
			"token_invalid"},
		{"none", nil, "token_missing"},
		{"another scheme", []string{"Authorization", "Basic YTpi"}, "token_missing"},
		{"the scheme alone", []string{"Authorization", "Bearer"}, "token_missing"},
		{"the scheme in x-access-token", []string{"x-access-token", "Bearer " + good}, ""},
		{"a cookie", []string{"Cookie", "x-access-token=" + good}, "token_missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := f.call("GET", "/clientes", "", c.headers...)
			if c.code == "" {
				f.want(a, 200, "")
				return
			}
			f.want(a, 401, c.code)
			challenge := a.header.Get("WWW-Authenticate")
			if strings.Contains(challenge, `error="invalid_token"`) != (c.code == "token_invalid") {
				t.Errorf("WWW-Authenticate: %s", challenge)
			}
		})
	}
	f.want(f.call("GET", "/clientes?x-access-token="+good, ""), 401, "token_missing")
	f.want(f.call("GET", "/clientes?token="+good, "", "x-access-token", good),
		400, "invalid_parameter")
}

func TestLogout(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		const done = `{"auth":false,"token":null}`
		a, b := f.login(store.Viewer), f.login(store.Viewer)
		for name, headers := range map[string][]string{
			"no token":      nil,
			"a bad token":   {"x-access-token", "undefined"},
			"a forged one":  {"x-access-token", a[:len(a)-4] + "AAAA"},
			"a form":        {"Content-Type", mediaForm},
			"an empty JSON": {"Content-Type", mediaJSON},
			"no JSON":       {"Content-Type", mediaJSON},
		} {
			body := map[string]string{"a form": "a=b", "an empty JSON": "{}"}[name]
			got := f.call("POST", "/logout", body, headers...)
			if got.status != 200 || got.body != done {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
		}
		for _, token := range []string{a, b} {
			f.want(f.call("GET", "/clientes", "", "x-access-token", token), 200, "")
		}
		// Two different tokens each end their own.
		f.want(f.call("POST", "/logout", "", "x-access-token", a, "Authorization", "Bearer "+b),
			200, "")
		for range 2 {
			for _, token := range []string{a, b} {
				f.want(f.call("GET", "/clientes", "", "x-access-token", token),
					401, "token_revoked")
				f.want(f.call("POST", "/logout", "", "x-access-token", token), 200, "")
			}
		}
		f.want(f.as(store.Viewer, "GET", "/clientes", ""), 200, "")
		f.want(f.call("POST", "/logout", `{"x":`), 400, "malformed_body")
		// Whatever the body is, the token in the header is ended.
		for _, c := range []struct {
			body, media string
			status      int
		}{
			{"null", mediaJSON, 200}, {"a=b", mediaForm, 200},
			{"x", "text/plain;charset=UTF-8", 200}, {"", "text/plain", 200},
			{"", mediaJSON, 200}, {"x", "multipart/form-data; boundary=x", 200},
			{`{"x":`, mediaJSON, 400}, {`"x"`, mediaJSON, 400},
			{`{"everywhere":"yes"}`, mediaJSON, 400},
			{strings.Repeat(" ", maxStrangersBody+1), mediaJSON, 413},
			{`{"refresh_token":`, "text/plain", 200},
		} {
			token := f.login(store.Viewer)
			a := f.call("POST", "/logout", c.body, "Content-Type", c.media, "x-access-token", token)
			if a.status != c.status {
				t.Errorf("%.9q as %s answered %d", c.body, c.media, a.status)
			}
			f.want(f.call("GET", "/clientes", "", "x-access-token", token), 401, "token_revoked")
		}
	})
}

func TestRoles(t *testing.T) {
	f := onSQLite(t)
	id := f.add(store.Cliente{Name: "Ana"}).ID
	path := clientePath(id)
	for _, role := range store.Roles() {
		f.want(f.as(role, "GET", "/clientes", ""), 200, "")
		f.want(f.as(role, "GET", path, ""), 200, "")
		for _, write := range [][3]string{
			{"POST", "/clientes", `{"name":"Bia"}`},
			{"PUT", path, `{"name":"Ana"}`},
			{"PATCH", path, `{"name":"Ana"}`},
			{"DELETE", "/clientes/999999", ""},
		} {
			a := f.as(role, write[0], write[1], write[2])
			if role == store.Viewer {
				f.want(a, 403, "forbidden")
			} else if a.status == 403 || a.status == 401 {
				t.Errorf("%s of %s answered %d", write[0], role, a.status)
			}
		}
	}
}
