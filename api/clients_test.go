package api

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/store"
)

// says fails the test unless the message of an error has each of these texts.
func (f *fixture) says(a answer, texts ...string) {
	f.t.Helper()
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			f.t.Errorf("the answer has nothing of %q: %s", text, a.body)
		}
	}
}

// loginBody is the body of K1 and its neighbours, for a user who exists.
const loginBody = `{"user":"the-viewer","password":"correct horse"}`

func TestBytesBeforeJSON(t *testing.T) {
	f := onSQLite(t)
	utf16 := func(s string, high int) string {
		var b strings.Builder
		for i := range len(s) {
			unit := []byte{s[i], 0}
			b.WriteByte(unit[high])
			b.WriteByte(unit[1-high])
		}
		return b.String()
	}
	for _, c := range []struct {
		name, body string
		status     int
		says       string
	}{
		{"K1 json with bom", "\ufeff" + loginBody, 200, ""},
		{"a bom and a line break", "\ufeff\r\n" + loginBody + "\r\n", 200, ""},
		{"two boms", "\ufeff\ufeff" + loginBody, 400, "U+FEFF"},
		{"a bom alone", "\ufeff", 400, "empty"},
		{"UTF-16 of Windows", "\xff\xfe" + utf16(loginBody, 0), 400, "UTF-16"},
		{"UTF-16, big end first", "\xfe\xff" + utf16(loginBody, 1), 400, "UTF-16"},
		{"UTF-16 without a bom", utf16(loginBody, 0), 400, "UTF-16"},
		{"gzip that nobody names", gzipOf(loginBody), 400, "Content-Encoding: gzip"},
		{"a form", "user=the-viewer&password=correct+horse", 400, "form"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := f.call("POST", "/login", c.body)
			if a.status != c.status {
				t.Fatalf("answered %d %s", a.status, a.body)
			}
			if c.status == 400 {
				f.want(a, 400, "malformed_body")
				f.says(a, c.says)
			}
		})
	}
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/clientes", `{"name":"Ana"}`},
		{"PUT", "/clientes/1", `{"name":"Bia"}`},
		{"PATCH", "/clientes/1", `{"name":"Cai"}`},
		{"POST", "/logout", `{}`},
	} {
		a := f.as(store.Editor, c.method, c.path, "\ufeff"+c.body)
		if a.status != 200 && a.status != 201 {
			t.Errorf("%s %s answered %d %s", c.method, c.path, a.status, a.body)
		}
	}
	f.want(f.call("POST", "/refresh", "\ufeff"+refreshBody(
		granted(t, f.call("POST", "/login", viewerLogin)).RefreshToken)), 200, "")
}

// Express finds the tutorial's routes in any case of letters, with or without a slash at the end.
func TestPathsAsExpressFindsThem(t *testing.T) {
	f := onSQLite(t)
	f.add(store.Cliente{Name: "Ana"})
	for _, c := range []struct {
		name, method, path string
		status             int
	}{
		{"K3 trailing slash", "POST", "/login/", 200},
		{"K3 trailing slash", "GET", "/clientes/", 200},
		{"K4 path in another case", "POST", "/Login", 200},
		{"K4 path in another case", "GET", "/Clientes", 200},
		{"both", "GET", "/CLIENTES/", 200},
		{"with a query", "GET", "/clientes/?limit=1", 200},
		{"a record", "GET", "/clientes/1/", 200},
		{"a record in capitals", "GET", "/Clientes/1", 200},
		{"HEAD", "HEAD", "/Clientes/1/", 200},
		{"PATCH", "PATCH", "/Clientes/1/", 200},
		{"logout", "POST", "/LOGOUT/", 200},
		{"no such record", "GET", "/Clientes/9/", 404},
		{"no number", "GET", "/clientes/x/", 404},
		{"another method", "DELETE", "/Clientes/", 405},
		{"another method of a record", "POST", "/clientes/1/", 405},
		{"OPTIONS", "OPTIONS", "/Clientes/", 204},

		{"two slashes at the end", "GET", "/clientes//", 404},
		{"two slashes before it", "GET", "//clientes", 404},
		{"an escaped letter", "GET", "/%63lientes", 404},
		{"an escaped slash", "GET", "/clientes%2F", 404},
		{"an escaped slash after an id", "GET", "/clientes/1%2F", 404},
		{"a space", "GET", "/clientes%20", 404},
		{"a dot", "GET", "/clientes/.", 404},
		{"a letter that folds", "GET", "/cliente%C5%BF", 404},
		// Routes that the tutorial does not have are strict.
		{"me", "GET", "/me/", 404},
		{"Me", "GET", "/Me", 404},
		{"import", "POST", "/clientes/import/", 404},
		{"Import", "POST", "/Clientes/import", 404},
		{"export", "GET", "/clientes/export/", 404},
		{"history", "GET", "/clientes/1/history/", 404},
		{"History", "GET", "/Clientes/1/history", 404},
		{"healthz", "GET", "/healthz/", 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := ""
			switch {
			case c.method == "POST":
				body = loginBody
			case c.method == "PATCH":
				body = `{"name":"Bia"}`
			}
			a := f.as(store.Admin, c.method, c.path, body)
			if a.status != c.status || a.header.Get("Location") != "" {
				t.Errorf("%s %s answered %d %s", c.method, c.path, a.status, a.body)
			}
			f.tokens[store.Admin] = f.login(store.Admin) // the logout ended it
		})
	}
	// What the answer says of paths is canonical.
	a := f.as(store.Editor, "POST", "/Clientes/", `{"name":"Bia"}`)
	if got := a.header.Get("Location"); a.status != 201 || got != "/clientes/2" {
		t.Errorf("answered %d, Location %s", a.status, got)
	}
	a = f.as(store.Editor, "GET", "/CLIENTES/?limit=1", "")
	if got := a.header.Get("Link"); !strings.HasPrefix(got, "</clientes?limit=1&cursor=") {
		t.Errorf("answered %d, Link %s", a.status, got)
	}
	f.want(f.call("GET", "/Clientes/", ""), 401, "token_missing")
	a = f.call("DELETE", "/Clientes/", "")
	if got := sortedList(a.header.Get("Allow")); got != "GET, HEAD, OPTIONS, POST" {
		t.Errorf("answered %d, Allow %s", a.status, got)
	}
}

func FuzzTutorialPath(f *testing.F) {
	for _, s := range []string{"/Login/", "/clientes/1/", "//clientes", "/clientes//", "/", "*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		canonical, ok := tutorialPath(path)
		switch {
		case !ok && !strings.HasPrefix(canonical, "/clientes/") && canonical != path:
			t.Errorf("%q became %q", path, canonical)
		case ok && strings.HasSuffix(canonical, "/"):
			t.Errorf("%q became %q", path, canonical)
		case ok && len(path)-len(canonical) > 1:
			t.Errorf("%q became %q", path, canonical)
		}
		if again, _ := tutorialPath(canonical); ok && again != canonical {
			t.Errorf("%q became %q and then %q", path, canonical, again)
		}
	})
}

// jQuery and others add the parameter "_", so that nothing is cached.
func TestCacheBusters(t *testing.T) {
	f := onSQLite(t)
	for name, path := range map[string]string{
		"K5 cache buster": "/clientes?_=1700000000000", "twice": "/clientes?_=1&_=2",
		"empty": "/clientes?_=", "bare": "/clientes?_", "beside others": "/clientes?limit=1&_=1",
		"export": "/clientes/export?_=1", "me": "/me?_=1", "static": "/openapi.json?_=1",
		"an unknown customer": "/clientes/1?_=1", "root": "/?_=x",
	} {
		want := 200
		if name == "an unknown customer" {
			want = 404
		}
		if a := f.as(store.Viewer, "GET", path, ""); a.status != want {
			t.Errorf("%s: answered %d %s", name, a.status, a.body)
		}
	}
	f.want(f.call("POST", "/login?_=1", loginBody), 200, "")
	for _, query := range []string{"__=1", "_x=1", "_[]=1", "cache=1"} {
		f.want(f.as(store.Viewer, "GET", "/clientes?"+query, ""), 400, "invalid_parameter")
	}
	f.add(store.Cliente{Name: "Ana"})
	f.add(store.Cliente{Name: "Bia"})
	a := f.as(store.Viewer, "GET", "/clientes?limit=1&_=17", "")
	if link := a.header.Get("Link"); link == "" || strings.Contains(link, "_=") {
		t.Errorf("Link: %s", link)
	}
}

// Tokens as clients send them. The description in the challenge says what is wrong.
func TestTokensAsTheyAreSent(t *testing.T) {
	debug := new(authtest.Log)
	f := onSQLite(t, func(cfg *Config) {
		cfg.Log = slog.New(slog.NewJSONHandler(debug, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	const x, authorization = "x-access-token", "Authorization"
	good, other := f.tokens[store.Viewer], f.tokens[store.Editor]
	refresh := granted(t, f.call("POST", "/login", viewerLogin)).RefreshToken
	idToken := "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.eyJpc3MiOiJodHRwczovL2V4YW1wbGUuY29tIn0." +
		strings.Repeat("A", 342)
	for _, c := range []struct {
		name    string
		headers []string
		code    string // "" when let in
		says    string // in the description
	}{
		{"K6 bearer undefined beside",
			[]string{x, good, authorization, "Bearer undefined"}, "", ""},
		{"bearer null beside", []string{x, good, authorization, "Bearer null"}, "", ""},
		{"another bearer beside", []string{x, good, authorization, "Bearer " + other}, "", ""},
		{"rubbish beside", []string{x, good, authorization, "x.y.z"}, "", ""},
		{"undefined in x-access-token",
			[]string{x, "undefined", authorization, "Bearer " + good}, "", ""},
		{"null in x-access-token", []string{x, "null", authorization, "Bearer " + good}, "", ""},
		{"Bearer alone in x-access-token",
			[]string{x, "Bearer", authorization, "Bearer " + good}, "", ""},
		{"Bearer undefined in x-access-token",
			[]string{x, "Bearer undefined", authorization, "bearer " + good}, "", ""},
		{"L1 bearer in x-access-token", []string{x, "Bearer " + good}, "", ""},
		{"bearer in small letters", []string{x, "bearer  " + good}, "", ""},
		{"a tab", []string{authorization, "Bearer\t" + good}, "", ""},
		{"the same twice", []string{x, good, x, "Bearer " + good}, "", ""},
		{"undefined and a token", []string{x, "undefined", x, good}, "", ""},

		{"another token decides", []string{x, good[:len(good)-4] + "AAAA", authorization,
			"Bearer " + good}, "token_invalid", "signature"},
		{"two different", []string{x, good, x, other}, "token_invalid", "different"},
		{"two different bearers", []string{authorization, "Bearer " + good, authorization,
			"Bearer " + other}, "token_invalid", "different"},
		{"undefined alone", []string{x, "undefined"}, "token_invalid", "placeholder"},
		{"null alone", []string{authorization, "Bearer null"}, "token_invalid", "placeholder"},
		{"an object", []string{x, "[object Object]"}, "token_invalid", "placeholder"},
		{"a variable of Postman", []string{authorization, "Bearer {{token}}"},
			"token_invalid", "placeholder"},
		{"null in quotes beside a token",
			[]string{x, `"null"`, authorization, "Bearer " + good}, "", ""},
		{"null of Objective-C beside a token",
			[]string{x, "(null)", authorization, "Bearer " + good}, "", ""},
		{"null of Objective-C", []string{authorization, "Bearer <null>"},
			"token_invalid", "placeholder"},
		{"a variable of a shell", []string{x, "${TOKEN}"}, "token_invalid", "placeholder"},
		{"a list", []string{x, good + ", " + good}, "token_invalid", "comma"},
		{"a list of schemes", []string{authorization, "Bearer " + good + ", Basic YTpi"},
			"token_invalid", "comma"},
		{"undefined in both", []string{x, "undefined", authorization, "Bearer undefined"},
			"token_invalid", "placeholder"},
		{"Bearer alone", []string{x, "Bearer"}, "token_missing", "no token after Bearer"},

		{"L3 authorization without scheme", []string{authorization, good},
			"token_invalid", "needs Bearer"},
		{"Bearer without a space", []string{authorization, "Bearer" + good},
			"token_invalid", "needs Bearer"},
		{"L4 scheme jwt", []string{authorization, "JWT " + good},
			"token_invalid", "another scheme"},
		{"scheme Token", []string{authorization, "Token " + good},
			"token_invalid", "another scheme"},
		{"a colon", []string{authorization, "Bearer: " + good}, "token_invalid", "another scheme"},
		{"the password", []string{authorization, "Basic YTpi"}, "token_missing", "Bearer"},
		{"quotes", []string{x, `"` + good + `"`}, "token_invalid", "quotation"},
		{"quotes after the scheme", []string{authorization, `Bearer "` + good + `"`},
			"token_invalid", "quotation"},
		{"the scheme twice", []string{authorization, "Bearer Bearer " + good},
			"token_invalid", "twice"},
		{"JSON", []string{x, `{"token":"` + good + `"}`}, "token_invalid", "JSON"},
		{"a refresh token", []string{x, refresh}, "token_invalid", "refresh token"},
		{"an id_token of another issuer", []string{authorization, "Bearer " + idToken},
			"token_invalid", "another server"},
		{"cut off", []string{x, good[:len(good)-20]}, "token_invalid", "cut off"},
		{"escaped", []string{x, good + "%0A"}, "token_invalid", "URL encoding"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := f.call("GET", "/clientes", "", append(c.headers, "X-Request-Id", "asked")...)
			if c.code == "" {
				f.want(a, 200, "")
				return
			}
			f.want(a, 401, c.code)
			challenge := a.header.Get("WWW-Authenticate")
			given := strings.Contains(challenge, `error="invalid_token"`)
			if !strings.Contains(challenge, `error_description="`) ||
				!strings.Contains(challenge, c.says) || given != (c.code == "token_invalid") {
				t.Errorf("WWW-Authenticate: %s", challenge)
			}
			if strings.Count(challenge, `"`)%2 != 0 || strings.Contains(challenge, `\`) {
				t.Errorf("WWW-Authenticate is not written as RFC 6750 wants: %s", challenge)
			}
		})
	}
	// A client that sends no header learns nothing more than the scheme.
	if got := f.call("GET", "/clientes", "").header.Get("WWW-Authenticate"); got !=
		`Bearer realm="clientes"` {
		t.Errorf("WWW-Authenticate: %s", got)
	}
	log := debug.String()
	if !strings.Contains(log, `"level":"DEBUG","msg":"refused a token","request_id":"asked"`) ||
		!strings.Contains(log, "twice") {
		t.Errorf("the log does not say why: %.2000s", log)
	}
	for _, secret := range []string{good[:20], refresh[:20], good[len(good)-20:], idToken[:20]} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has a token in it")
		}
	}
	f.want(f.call("POST", "/logout", "", x, "Bearer "+good), 200, "")
	a := f.call("GET", "/clientes", "", x, good)
	if f.want(a, 401, "token_revoked"); !strings.Contains(
		a.header.Get("WWW-Authenticate"), "session") {
		t.Errorf("WWW-Authenticate: %s", a.header.Get("WWW-Authenticate"))
	}
}

// A logout ends the session of a token in whatever dress it came: its client believes that it has.
func TestLogoutOfTokensInOddDress(t *testing.T) {
	f := onSQLite(t)
	const x, authorization = "x-access-token", "Authorization"
	for _, c := range []struct {
		name string
		sent func(grant) (body string, headers []string)
	}{
		{"quotes", func(g grant) (string, []string) {
			return "", []string{x, `"` + g.Token + `"`}
		}},
		{"scheme JWT", func(g grant) (string, []string) {
			return "", []string{authorization, "JWT " + g.Token}
		}},
		{"no scheme", func(g grant) (string, []string) {
			return "", []string{authorization, g.Token}
		}},
		{"a list", func(g grant) (string, []string) {
			return "", []string{x, g.Token + ", " + g.Token}
		}},
		{"the scheme twice", func(g grant) (string, []string) {
			return "", []string{authorization, "Bearer Bearer: " + g.Token}
		}},
		{"invisible characters", func(g grant) (string, []string) {
			return "", []string{x, "\u200b" + g.Token + "\ufeff"}
		}},
		{"refreshToken", func(g grant) (string, []string) {
			return `{"refreshToken":"` + g.RefreshToken + `"}`, nil
		}},
		{"nested", func(g grant) (string, []string) {
			return `{"data":{"refresh_token":"` + g.RefreshToken + `"}}`, nil
		}},
		{"an access token in the body", func(g grant) (string, []string) {
			return `{"token":"` + g.Token + `"}`, nil
		}},
		{"refresh_token in quotes", func(g grant) (string, []string) {
			return `{"refresh_token":"\"` + g.RefreshToken + `\""}`, nil
		}},
		{"refreshToken in a form", func(g grant) (string, []string) {
			return "refreshToken=" + g.RefreshToken + "\n", []string{"Content-Type", mediaForm}
		}},
		{"a body that is cut off", func(g grant) (string, []string) {
			return `{"refresh_token":"` + g.RefreshToken + `"`, nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := granted(t, f.call("POST", "/login", viewerLogin))
			other := granted(t, f.call("POST", "/login", viewerLogin))
			body, headers := c.sent(g)
			f.call("POST", "/logout", body, headers...)
			f.wantToken(g.Token, 401, "token_revoked")
			f.wantToken(other.Token, 200, "")
		})
	}
	// A token that was changed ends nothing.
	g := granted(t, f.call("POST", "/login", viewerLogin))
	f.want(f.call("POST", "/logout", `{"token":"`+g.Token[:len(g.Token)-2]+`AA"}`), 200, "")
	f.wantToken(g.Token, 200, "")
}

// Forms as people send them from files and from curl.
func TestFormsAsTheyAreSent(t *testing.T) {
	f := onSQLite(t)
	for _, c := range []struct {
		name, body string
		status     int
		says       string
	}{
		{"a line break at the end", "user=the-viewer&password=correct+horse\n", 200, ""},
		{"of Windows", "user=the-viewer&password=correct+horse\r\n", 200, ""},
		{"a byte order mark", "\ufeffuser=the-viewer&password=correct+horse", 200, ""},
		{"a line break of the password", "user=the-viewer&password=correct+horse%0A", 401, ""},
		{"a user twice", "user=the-viewer&user=the-viewer&password=x", 422, "more than once"},
		{"a password twice", "user=the-viewer&password=x&password=x", 422, "more than once"},
		{"no user", "password=x", 422, "A user is required"},
		{"a percent sign", "user=the-viewer&password=100%", 400, "%25"},
		{"a semicolon", "user=the-viewer;password=x", 400, "%3B"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := f.call("POST", "/login", c.body, "Content-Type", mediaForm)
			if a.status != c.status {
				t.Fatalf("answered %d %s", a.status, a.body)
			}
			f.says(a, c.says)
		})
	}
}

// If-None-Match on a write is obeyed: "PUT only what is not there" must write over nothing.
func TestIfNoneMatchOfWrites(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		path := clientePath(f.add(store.Cliente{Name: "Ana"}).ID)
		for _, c := range []struct {
			name, header string
			status       int
			code         string
		}{
			{"any", "*", 412, "version_mismatch"},
			{"this version", `"1"`, 412, "version_mismatch"},
			{"this version, compressed", `W/"1-gzip"`, 412, "version_mismatch"},
			{"one of several", `"7", "1"`, 412, "version_mismatch"},
			{"no tag", "1", 400, "invalid_parameter"},
		} {
			for _, method := range []string{"PUT", "PATCH", "DELETE"} {
				body := ""
				if method != "DELETE" {
					body = `{"name":"Bia"}`
				}
				a := f.as(store.Editor, method, path, body, "If-None-Match", c.header)
				if f.want(a, c.status, c.code); !strings.Contains(a.body, "If-None-Match") {
					t.Errorf("%s, %s: %s", c.name, method, a.body)
				}
			}
		}
		f.says(f.as(store.Viewer, "GET", path, ""), `"Ana"`)
		// RFC 9110 section 13.2.2: If-Match is looked at first.
		f.want(f.as(store.Editor, "PATCH", path, `{"name":"Bia"}`,
			"If-Match", `"1"`, "If-None-Match", `"1"`), 412, "version_mismatch")
		f.want(f.as(store.Editor, "PUT", path, `{"name":"Bia"}`, "If-None-Match", `"2"`), 200, "")
		f.want(f.as(store.Editor, "DELETE", path, "", "If-None-Match", `"1"`), 204, "")
		f.want(f.as(store.Editor, "PUT", path, `{"name":"Bia"}`, "If-None-Match", "*"),
			404, "not_found")
	})
}

// A plus that was not written %2B is a space, and no email has one.
func TestSearchesWithALostPlus(t *testing.T) {
	f := onSQLite(t)
	f.add(store.Cliente{Name: "Ana Souza", Email: "ana+news@example.com", Company: "Café @ Centro"})
	for query, found := range map[string]bool{
		"ana+news@example.com": false, "ana%20news@example.com": false, "a+b+c@d": false,
		"ana%2Bnews@example.com": true, "news@example": true, "ana+souza": true,
		"caf%C3%A9+@+centro": true, "@+centro": true, "caf%C3%A9+@": true,
	} {
		a := f.as(store.Viewer, "GET", "/clientes?q="+query, "")
		if found {
			f.want(a, 200, "")
			f.says(a, `"Ana Souza"`)
			continue
		}
		f.want(a, 400, "invalid_parameter")
		f.says(a, "%2B")
	}
	a := f.as(store.Viewer, "GET", "/clientes?q=100%", "")
	f.want(a, 400, "invalid_parameter")
	f.says(a, "%25")
}

func TestAnExpiredTokenSaysSo(t *testing.T) {
	clock := authtest.StoppedAt(store.Instant(time.Now()))
	f := onSQLite(t, func(cfg *Config) { cfg.Now = clock.Now })
	clock.Advance(10 * time.Minute)
	a := f.as(store.Viewer, "GET", "/clientes", "")
	if f.want(a, 401, "token_expired"); !strings.Contains(
		a.header.Get("WWW-Authenticate"), "expired; refresh it") {
		t.Errorf("WWW-Authenticate: %s", a.header.Get("WWW-Authenticate"))
	}
	clock.Advance(-20 * time.Minute)
	a = f.as(store.Viewer, "GET", "/clientes", "")
	if f.want(a, 401, "token_invalid"); !strings.Contains(
		a.header.Get("WWW-Authenticate"), "not valid yet") {
		t.Errorf("WWW-Authenticate: %s", a.header.Get("WWW-Authenticate"))
	}
}

// A body of another type than the route takes is refused with what to do.
func TestContentTypesAsTheyAreSent(t *testing.T) {
	f := onSQLite(t, func(cfg *Config) { cfg.SignupOpen = true })
	const formBody = "user=the-viewer&password=correct+horse"
	for _, c := range []struct {
		name, media, body string
		status            int
		says              string
	}{
		{"capitals", "APPLICATION/JSON", loginBody, 200, ""},
		{"a semicolon", "application/json;", loginBody, 200, ""},
		{"two semicolons", "application/json;;charset=utf-8", loginBody, 200, ""},
		{"no name of a parameter", "application/json; utf-8", loginBody, 200, ""},
		{"another parameter", "application/json; odata=verbose", loginBody, 200, ""},
		{"L8 charset utf8", "application/json; charset=utf8", loginBody, 200, ""},
		{"UTF8", "application/json;charset=UTF8", loginBody, 200, ""},
		{"quotes", `application/json; charset="utf-8"`, loginBody, 200, ""},
		{"L9 charset single quotes", "application/json; charset='utf-8'", loginBody, 200, ""},
		{"ASCII", "application/json; charset=us-ascii", loginBody, 200, ""},
		{"a form with a charset", mediaForm + "; charset=UTF-8", formBody, 200, ""},
		{"a form with utf8", mediaForm + ";charset=utf8", formBody, 200, ""},

		{"latin1", "application/json; charset=iso-8859-1", loginBody, 415, `iso-8859-1`},
		{"windows", "application/json; charset='windows-1252'", loginBody, 415, `windows-1252`},
		{"UTF-16", "application/json; charset=utf-16", loginBody, 415, `utf-16`},
		{"two charsets", "application/json; charset=utf-8; charset=utf-16", loginBody, 415,
			"application/json"},
		{"text/json", "text/json", loginBody, 415, `text/json`},
		{"a vendor's", "application/vnd.api+json", loginBody, 415, `application/vnd.api+json`},
		{"text/plain, of fetch", "text/plain;charset=UTF-8", loginBody, 415, `text/plain`},
		{"multipart", "multipart/form-data; boundary=x", "--x--", 415, `multipart/form-data`},
		{"none", "", loginBody, 415, "no Content-Type"},
		{"rubbish", "json", loginBody, 415, `json`},
		{"two types", "application/json, text/plain", loginBody, 415, `application/json, text`},
		{"L5 json as form", mediaForm, `{"user":"abc","password":"x"}`, 415,
			"add -H 'Content-Type: application/json'"},
		{"JSON of PowerShell's curl as form", mediaForm, `{user:abc,password:x}`, 415, "curl"},
		{"an array as form", mediaForm, " [1]", 415, "curl"},
		{"JSON with a bom as form", mediaForm, "\ufeff{}", 415, "curl"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := f.call("POST", "/login", c.body, "Content-Type", c.media)
			if c.status == 200 {
				f.want(a, 200, "")
				return
			}
			f.want(a, 415, "unsupported_media_type")
			f.says(a, c.says)
			b := f.chunked("/login", c.body, "Content-Type", c.media)
			if c.media != "" {
				f.want(b, 415, "unsupported_media_type")
			}
		})
	}
	for _, path := range []string{"/clientes", "/refresh", "/signup"} {
		a := f.as(store.Editor, "POST", path, `{"name":"Ana"}`, "Content-Type", mediaForm)
		f.want(a, 415, "unsupported_media_type")
		f.says(a, "add -H 'Content-Type: application/json'", "curl -d")
	}
	a := f.as(store.Editor, "PATCH", "/clientes/1", `{"name":"Ana"}`, "Content-Type", mediaForm)
	f.says(a, "application/merge-patch+json")
	// A logout ends what is given, whatever it is called.
	g := granted(t, f.call("POST", "/login", viewerLogin))
	f.want(f.call("POST", "/logout", refreshBody(g.RefreshToken), "Content-Type", mediaForm),
		200, "")
	f.wantToken(g.Token, 401, "token_revoked")
}

func FuzzParseContentType(f *testing.F) {
	for _, s := range []string{
		"application/json", "application/json;;charset=utf-8", "text/csv; charset='x'", ";",
		"a/b;c", `a/b; c="d;e"`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, given string) {
		media, _ := parseContentType(given)
		if media != strings.ToLower(media) || strings.ContainsAny(media, " ;\"") {
			t.Errorf("%q is %q", given, media)
		}
	})
}

// A refresh without refresh_token is no reason to log everybody out.
func TestRefreshWithAnotherMember(t *testing.T) {
	f := onSQLite(t)
	g := granted(t, f.call("POST", "/login", viewerLogin))
	for name, body := range map[string]string{
		"L6 refreshToken": `{"refreshToken":"` + g.RefreshToken + `"}`,
		"token":           `{"token":"` + g.RefreshToken + `"}`,
		"refresh-token":   `{"refresh-token":"` + g.RefreshToken + `"}`,
		"capitals":        `{"REFRESH_TOKEN":"` + g.RefreshToken + `"}`,
		"nested":          `{"data":{"refresh_token":"` + g.RefreshToken + `"}}`,
	} {
		a := f.call("POST", "/refresh", body)
		f.want(a, 422, "validation_failed")
		if a.faults() != "refresh_token:required" || strings.Contains(a.body, g.RefreshToken) {
			t.Errorf("%s: %s", name, a.body)
		}
	}
	for _, body := range []string{
		"", "{}", `{"refresh_token":""}`, `{"refresh_token":null,"x":1}`,
	} {
		f.want(f.call("POST", "/refresh", body), 401, "refresh_invalid")
	}
	a := f.call("POST", "/login", `{"user":"the-viewer","password":"correct horse","cookie":true}`)
	f.want(f.call("POST", "/refresh", `{"refreshToken":"x"}`, "Cookie", granted(t, a).cookie),
		200, "")
}

func TestPreflights(t *testing.T) {
	const local, app = "http://localhost:5173", "capacitor://localhost"
	f := onSQLite(t, func(cfg *Config) { cfg.CORSOrigins = []string{local, app} })
	ask := func(origin string, headers ...string) http.Header {
		return f.call("OPTIONS", "/clientes", "", append(headers, "Origin", origin)...).header
	}
	const method, wanted = "Access-Control-Request-Method", "Access-Control-Request-Headers"
	for _, c := range []struct{ name, origin, method, headers string }{
		{"N3 preflight traceparent", local, "GET", "traceparent,x-access-token"},
		{"OpenTelemetry", local, "PATCH", "baggage,content-type,traceparent,tracestate"},
		{"Sentry", app, "POST", "baggage,sentry-trace,x-access-token"},
		{"jQuery", local, "DELETE", "x-requested-with"},
		{"capitals", local, "PUT", "Authorization, If-Match, X-Access-Token"},
		{"a star", local, "GET", "*"},
		{"nobody's", app, "GET", "x-whatever,ngrok-skip-browser-warning"},
		{"none", app, "HEAD", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := ask(c.origin, method, c.method, wanted, c.headers)
			if h.Get("Access-Control-Allow-Origin") != c.origin ||
				h.Get("Access-Control-Allow-Methods") != c.method ||
				h.Get("Access-Control-Allow-Headers") != c.headers ||
				h.Get("Access-Control-Allow-Credentials") != "true" {
				t.Errorf("%v", h)
			}
			h = ask("https://evil.example", method, c.method, wanted, c.headers)
			for name := range h {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("an unlisted origin gets %s", name)
				}
			}
		})
	}
	h := ask(local, method, "GET", "Access-Control-Request-Private-Network", "true")
	if h.Get("Access-Control-Allow-Private-Network") != "true" {
		t.Errorf("%v", h)
	}
	for _, origin := range []string{local, app} {
		h := f.as(store.Viewer, "GET", "/clientes", "", "Origin", origin, "traceparent", "0").header
		if h.Get("Access-Control-Allow-Origin") != origin ||
			h.Get("Access-Control-Expose-Headers") != "Link, Etag, Location, Retry-After, "+
				"X-Request-Id, X-Total-Count, Idempotency-Replayed" {
			t.Errorf("%v", h)
		}
	}
	// A page may read every refusal, too.
	for method, path := range map[string]string{
		"PUT": "/login", "POST": "/clientes/export", "GET": "/nothing", "DELETE": "/Clientes/",
	} {
		a := f.as(store.Viewer, method, path, "", "Origin", app)
		if a.status < 404 || a.header.Get("Access-Control-Allow-Origin") != app {
			t.Errorf("%s %s answered %d %v", method, path, a.status, a.header)
		}
	}
	// A page of the app may use the cookie, as pages of other listed origins may.
	a := f.call("POST", "/login", `{"user":"the-viewer","password":"correct horse","cookie":true}`,
		"Origin", app)
	f.want(f.call("POST", "/refresh", "", "Cookie", granted(t, a).cookie, "Origin", app), 200, "")
}

func TestOptionsOfTheServer(t *testing.T) {
	f := onSQLite(t)
	for name, request := range map[string]string{
		"Q1 options asterisk": "OPTIONS * HTTP/1.0\r\n\r\n",
		"with a host":         "OPTIONS * HTTP/1.0\r\nHost: x\r\n\r\n",
		"HTTP/1.1":            "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"of HAProxy":          "OPTIONS / HTTP/1.0\r\n\r\n",
		"closed":              "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"absolute":            "OPTIONS http://x/Login/ HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		w := f.dial()
		w.send(request)
		resp, err := http.ReadResponse(w.in, nil)
		authtest.Must(t, err)
		if resp.StatusCode != 204 || resp.Header.Get("Allow") == "" ||
			resp.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: answered %d %v", name, resp.StatusCode, resp.Header)
		}
	}
	for _, request := range []string{"GET * HTTP/1.1\r\nHost: x\r\n\r\n"} {
		w := f.dial()
		w.send(request)
		resp, err := http.ReadResponse(w.in, nil)
		authtest.Must(t, err)
		if resp.StatusCode != 400 && resp.StatusCode != 404 {
			t.Errorf("%q: answered %d %v", request, resp.StatusCode, resp.Header)
		}
	}
}

// HTTP as old and odd clients speak it.
func TestOldAndOddHTTP(t *testing.T) {
	f := onSQLite(t)
	login := "Content-Type: application/json\r\nContent-Length: 48\r\n"
	for _, c := range []struct {
		name, request string
		status        int
		says          string
	}{
		{"HTTP/1.0", "POST /login HTTP/1.0\r\n" + login + "\r\n" + loginBody, 200, "token"},
		{"absolute form", "POST http://x/login HTTP/1.1\r\nHost: x\r\n" + login + "\r\n" +
			loginBody, 200, "token"},
		{"chunked", "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" +
			"Transfer-Encoding: chunked\r\n\r\n30\r\n" + loginBody + "\r\n0\r\n\r\n", 200, "token"},
		{"close", "POST /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + login + "\r\n" +
			loginBody, 200, "token"},
		{"a method in small letters",
			"patch /clientes/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405, "PATCH"},
		{"get in small letters", "get /clientes HTTP/1.1\r\nHost: x\r\n\r\n", 405, "GET"},
		{"a method override", "POST /clientes/1 HTTP/1.1\r\nHost: x\r\n" +
			"X-HTTP-Method-Override: DELETE\r\nContent-Length: 0\r\n\r\n", 405, "Allow"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := f.dial()
			w.send(c.request)
			resp, err := http.ReadResponse(w.in, nil)
			authtest.Must(t, err)
			body := make([]byte, 4096)
			n, _ := resp.Body.Read(body)
			if resp.StatusCode != c.status || !strings.Contains(string(body[:n]), c.says) {
				t.Errorf("answered %d %s", resp.StatusCode, body[:n])
			}
		})
	}
	w := f.hold("", "/login", []string{"Content-Length: 48"}, loginBody) // Expect: 100-continue
	resp, err := http.ReadResponse(w.in, nil)
	authtest.Must(t, err)
	if resp.StatusCode != 200 {
		t.Errorf("answered %d", resp.StatusCode)
	}
}
