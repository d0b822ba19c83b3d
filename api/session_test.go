package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"clientes/auth/authtest"
	"clientes/store"
)

// grant is what a client keeps of a login or a refresh.
type grant struct {
	Token            string `json:"token"`
	RefreshToken     string `json:"refresh_token"`
	RefreshExpiresIn int    `json:"refresh_expires_in"`
	cookie           string // as it is sent back: name=value
}

// granted reads the answer to a login or a refresh that succeeded.
func granted(t testing.TB, a answer) grant {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("answered %d %s", a.status, a.body)
	}
	var g grant
	authtest.Must(t, json.Unmarshal([]byte(a.body), &g))
	g.cookie, _, _ = strings.Cut(a.header.Get("Set-Cookie"), ";")
	return g
}

const viewerLogin = `{"user":"the-viewer","password":"correct horse"}`

func refreshBody(token string) string { return fmt.Sprintf(`{"refresh_token":%q}`, token) }

func (f *fixture) wantToken(token string, status int, code string) {
	f.t.Helper()
	f.want(f.call("GET", "/clientes", "", "x-access-token", token), status, code)
}

func TestRemember(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		const form = "user=the-viewer&password=correct+horse"
		for body, want := range map[string]int{
			viewerLogin: 1800,
			`{"user":"the-viewer","password":"correct horse","remember":true}`:  14 * 86400,
			`{"user":"the-viewer","password":"correct horse","remember":false}`: 1800,
			`{"user":"the-viewer","password":"correct horse","remember":null}`:  1800,
			form: 1800, form + "&remember=true": 14 * 86400, form + "&remember=on": 14 * 86400,
			form + "&remember=false": 1800, form + "&remember=": 1800,
		} {
			media := mediaJSON
			if strings.HasPrefix(body, "user=") {
				media = mediaForm
			}
			g := granted(t, f.call("POST", "/login", body, "Content-Type", media))
			again := granted(t, f.call("POST", "/refresh", refreshBody(g.RefreshToken)))
			if g.RefreshExpiresIn != want || again.RefreshExpiresIn != want {
				t.Errorf("%s: lives for %d s and %d s, want %d", body, g.RefreshExpiresIn,
					again.RefreshExpiresIn, want)
			}
		}
		const maxAge = "; Max-Age=1209600;"
		a := f.call("POST", "/login", `{"user":"the-viewer","password":"correct horse",
			"remember":true,"cookie":true}`, "Origin", "http://"+ownHost)
		again := f.call("POST", "/refresh", "", "Origin", "http://"+ownHost,
			"Cookie", granted(t, a).cookie)
		for _, a := range []answer{a, again} {
			if got := a.header.Get("Set-Cookie"); !strings.Contains(got, maxAge) {
				t.Errorf("%d, the cookie is %s", a.status, got)
			}
		}
	})
}

func TestRefresh(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		first := granted(t, f.call("POST", "/login", viewerLogin))
		if first.RefreshToken == "" || first.RefreshExpiresIn != 1800 {
			t.Fatalf("login gave %+v", first)
		}
		second := granted(t, f.call("POST", "/refresh", refreshBody(first.RefreshToken)))
		f.wantToken(second.Token, 200, "")
		f.wantToken(first.Token, 200, "") // until it expires
		if second.RefreshToken == first.RefreshToken || second.RefreshExpiresIn != 1800 {
			t.Errorf("refresh gave %+v", second)
		}
		// The answer was lost, so the client asks again and gets the same.
		again := granted(t, f.call("POST", "/refresh", refreshBody(first.RefreshToken)))
		if again.RefreshToken != second.RefreshToken {
			t.Error("a repeated refresh gave another successor")
		}
		third := granted(t, f.call("POST", "/refresh", refreshBody(second.RefreshToken)))
		// The first token is now neither the newest nor the one before: a thief has it.
		f.want(f.call("POST", "/refresh", refreshBody(first.RefreshToken)), 401, "refresh_invalid")
		f.want(f.call("POST", "/refresh", refreshBody(third.RefreshToken)), 401, "refresh_invalid")
		f.wantToken(third.Token, 401, "token_revoked")
		if !strings.Contains(f.log.String(), "was ended") {
			t.Error("the log does not tell of the theft")
		}
	})
}

func TestRefreshBodies(t *testing.T) {
	f := onSQLite(t)
	good := granted(t, f.call("POST", "/login", viewerLogin)).RefreshToken
	id, rest, _ := strings.Cut(good, ".")
	_, mac, _ := strings.Cut(rest, ".")
	for name, token := range map[string]string{
		"of no form":            "x",
		"no counter":            id + "." + mac,
		"another counter":       id + ".1." + mac,
		"a counter with a sign": id + ".+0." + mac,
		"another session":       "AAECAwQFBgcICQoLDA0ODw.0." + mac,
		"no MAC":                id + ".0.",
		"half a MAC":            good[:len(good)-9],
		"padded":                good + "=",
		"with a blank":          id + ". " + rest,
		"too long":              strings.Repeat("x", 300),
		"an access token":       f.tokens[store.Viewer],
	} {
		a := f.call("POST", "/refresh", refreshBody(token))
		if a.status != 401 || a.code() != "refresh_invalid" ||
			!strings.Contains(a.header.Get("WWW-Authenticate"), "invalid_token") {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	for body, want := range map[string]string{
		"":                       "refresh_invalid",
		"{}":                     "refresh_invalid",
		`{"refresh_token":""}`:   "refresh_invalid",
		`{"refresh_token":null}`: "refresh_invalid",
		`{"refresh_token":1}`:    "malformed_body",
		`[]`:                     "malformed_body",
		`{"refresh_token":"x"`:   "malformed_body",
	} {
		a := f.call("POST", "/refresh", body)
		if a.code() != want || strings.Contains(a.header.Get("WWW-Authenticate"), "error") {
			t.Errorf("%s: %d %s, %s", body, a.status, a.body, a.header.Get("WWW-Authenticate"))
		}
	}
	f.want(f.call("POST", "/refresh", "refresh_token=x", "Content-Type", mediaForm),
		415, "unsupported_media_type")
	f.want(f.call("POST", "/refresh", fmt.Sprintf(`{"refresh_token":%q,"device":"x"}`, good)),
		200, "")
	// A refresh token is no access token.
	f.wantToken(good, 401, "token_invalid")
}

func TestLogoutEndsWhatIsGiven(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		login := func() grant { return granted(t, f.call("POST", "/login", viewerLogin)) }
		a, b, c, other := login(), login(), login(), login()
		f.want(f.call("POST", "/logout", refreshBody(a.RefreshToken), "x-access-token", b.Token),
			200, "")
		for _, g := range []grant{a, b} {
			f.wantToken(g.Token, 401, "token_revoked")
			f.want(f.call("POST", "/refresh", refreshBody(g.RefreshToken)), 401, "refresh_invalid")
		}
		f.wantToken(c.Token, 200, "")
		// A refresh token that was used still names its session.
		granted(t, f.call("POST", "/refresh", refreshBody(c.RefreshToken)))
		f.want(f.call("POST", "/logout", refreshBody(c.RefreshToken)), 200, "")
		f.wantToken(c.Token, 401, "token_revoked")
		f.wantToken(other.Token, 200, "")

		// With any media type, and beside a token that is no good.
		for body, media := range map[string]string{
			refreshBody("%s"): "text/plain;charset=UTF-8", "refresh_token=%s": mediaForm,
		} {
			g := login()
			f.call("POST", "/logout", fmt.Sprintf(body, g.RefreshToken), "Content-Type", media)
			f.wantToken(g.Token, 401, "token_revoked")
		}
		// As no other route takes a token.
		for header, value := range map[string]string{
			"x-access-token": `"%s"`, "Authorization": "%s", "authorization": "JWT '%s'",
		} {
			g := login()
			f.want(f.call("POST", "/logout", "", header, fmt.Sprintf(value, g.Token)), 200, "")
			f.wantToken(g.Token, 401, "token_revoked")
		}
		f.want(f.call("POST", "/logout", `{"everywhere":true}`), 401, "token_missing")
		f.want(f.call("POST", "/logout",
			fmt.Sprintf(`{"everywhere":true,"refresh_token":%q}`, other.RefreshToken)),
			401, "token_missing")
		f.wantToken(other.Token, 200, "") // to refresh with and ask again
		f.want(f.call("POST", "/logout", `{"everywhere":true}`, "x-access-token", a.Token),
			401, "token_revoked")
		f.want(f.call("POST", "/logout", `{"everywhere":true}`, "x-access-token", "undefined"),
			401, "token_invalid")
		f.want(f.call("POST", "/logout", `{"everywhere":1}`, "x-access-token", login().Token),
			400, "malformed_body")
		f.wantToken(other.Token, 200, "")
		one, two, editor := login(), login(), f.login(store.Editor)
		f.want(f.call("POST", "/logout", "everywhere=true", "Content-Type", mediaForm,
			"x-access-token", one.Token),
			200, "")
		for _, g := range []grant{one, two, other} {
			f.wantToken(g.Token, 401, "token_revoked")
			f.want(f.call("POST", "/refresh", refreshBody(g.RefreshToken)), 401, "refresh_invalid")
		}
		f.wantToken(editor, 200, "")
		f.wantToken(login().Token, 200, "")
	})
}

func TestSessions(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		f.want(f.call("POST", "/logout", `{"everywhere":true}`,
			"x-access-token", f.tokens[store.Viewer]),
			200, "")
		mine := granted(t, f.call("POST", "/login", viewerLogin, "User-Agent", "the phone"))
		other := granted(t, f.call("POST", "/login", viewerLogin, "User-Agent", "the laptop"))
		list := func(token string) []sessionJSON {
			a := f.call("GET", "/sessions", "", "x-access-token", token)
			f.want(a, 200, "")
			var s []sessionJSON
			authtest.Must(t, json.Unmarshal([]byte(a.body), &s))
			return s
		}
		l := list(mine.Token)
		if len(l) != 2 || l[0].UserAgent != "the laptop" || l[0].Current ||
			l[1].UserAgent != "the phone" || !l[1].Current || l[1].IP != "127.0.0.1" {
			t.Fatalf("sessions %+v", l)
		}
		// Nobody sees the session of another user, not even an admin.
		f.want(f.as(store.Admin, "DELETE", "/sessions/"+l[0].ID, ""), 404, "not_found")
		for _, id := range []string{"x", "AAECAwQFBgcICQoLDA0ODw", "1", "%00"} {
			f.want(f.call("DELETE", "/sessions/"+id, "", "x-access-token", mine.Token),
				404, "not_found")
		}
		f.want(f.call("DELETE", "/sessions/"+l[0].ID, "", "x-access-token", mine.Token), 204, "")
		f.want(f.call("DELETE", "/sessions/"+l[0].ID, "", "x-access-token", mine.Token),
			404, "not_found")
		f.wantToken(other.Token, 401, "token_revoked")
		f.wantToken(mine.Token, 200, "")
		if l := list(mine.Token); len(l) != 1 {
			t.Errorf("%d sessions are left", len(l))
		}

		path := fmt.Sprintf("/users/%d/sessions", f.users[store.Viewer].ID)
		f.want(f.as(store.Editor, "DELETE", path, ""), 403, "forbidden")
		f.want(f.as(store.Admin, "DELETE", path, ""), 204, "")
		f.wantToken(mine.Token, 401, "token_revoked")
		f.want(f.as(store.Admin, "DELETE", "/users/999999/sessions", ""), 404, "not_found")
		f.want(f.as(store.Admin, "DELETE", "/users/x/sessions", ""), 404, "not_found")
		f.want(f.call("GET", "/sessions", ""), 401, "token_missing")
	})
}

type sessionJSON struct {
	ID        string `json:"id"`
	IP        string `json:"ip"`
	UserAgent string `json:"user_agent"`
	Current   bool   `json:"current"`
}

func TestFiftyTabsRefreshAtOnce(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		token := granted(t, f.call("POST", "/login", viewerLogin)).RefreshToken
		for range 3 {
			successors := make([]string, 50)
			authtest.AtOnce(len(successors), func(i int) {
				a, err := f.try("POST", "/refresh", refreshBody(token))
				if err != nil || a.status != 200 {
					t.Errorf("%d %s %v", a.status, a.body, err)
					return
				}
				successors[i] = granted(t, a).RefreshToken
			})
			for _, s := range successors {
				if s != successors[0] {
					t.Fatal("two successors of one token")
				}
			}
			token = successors[0]
		}
	})
}

func TestCookies(t *testing.T) {
	const own, listed = "http://" + ownHost, "https://app.example"
	f := onSQLite(t, func(c *Config) { c.CORSOrigins = []string{listed} })
	cookieLogin := `{"user":"the-viewer","password":"correct horse","cookie":true}`
	a := f.call("POST", "/login", cookieLogin, "Origin", own)
	got := a.header.Get("Set-Cookie")
	if !strings.HasPrefix(got, "clientes_refresh=") || strings.Contains(got, "Secure") ||
		!strings.Contains(got, "HttpOnly") || !strings.Contains(got, "SameSite=Strict") ||
		!strings.Contains(got, "Path=/;") {
		t.Errorf("Set-Cookie: %s", got)
	}
	first := granted(t, a)
	if first.RefreshToken != "" {
		t.Error("the refresh token is in the body, too")
	}
	second := granted(t, f.call("POST", "/refresh", "", "Cookie", first.cookie, "Origin", own))
	if second.RefreshToken != "" || second.cookie == first.cookie || second.cookie == "" {
		t.Errorf("refresh gave %+v", second)
	}
	f.wantToken(second.Token, 200, "")

	// The origins whose pages may use the cookie.
	for _, c := range []struct {
		origin, site string
		good         bool
	}{
		{own, "", true}, {own, "same-origin", true}, {"", "", true}, {"", "none", true},
		{"", "same-origin", true},
		{"https://" + ownHost, "", false}, {own + ":81", "", false}, {"null", "", false},
		{"https://evil.example", "cross-site", false},
		{"", "same-site", false}, {"", "cross-site", false},
		{"http://sub." + ownHost, "same-site", false}, {strings.ToUpper(own), "", false},
	} {
		for _, r := range [][2]string{
			{"/refresh", ""}, {"/logout", ""}, {"/login", viewerLogin}, {"/login", cookieLogin},
		} {
			cookie := "clientes_refresh=nothing"
			if r[1] == cookieLogin {
				cookie = ""
			}
			a := f.call("POST", r[0], r[1],
				"Cookie", cookie, "Origin", c.origin, "Sec-Fetch-Site", c.site)
			refused := a.code() == "cross_origin"
			if refused == c.good || refused && a.status != 403 {
				t.Errorf("%s from %q %q answered %d %s", r[0], c.origin, c.site, a.status, a.code())
			}
		}
	}
	// Any page may ask without the cookie, or read.
	f.want(f.call("POST", "/login", viewerLogin, "Origin", "https://evil.example"), 200, "")
	f.want(f.as(store.Viewer, "GET", "/clientes", "", "Cookie", second.cookie,
		"Origin", "https://evil.example"),
		200, "")
	f.want(f.as(store.Editor, "POST", "/clientes", `{"name":"x"}`, "Cookie", second.cookie,
		"Origin", "https://evil.example"),
		403, "cross_origin")
	form := url.Values{
		"user": {"the-viewer"}, "password": {"correct horse"}, "cookie": {"true"},
	}
	f.want(f.call("POST", "/login", form.Encode(), "Content-Type", mediaForm, "Origin", own),
		415, "unsupported_media_type")

	a = f.call("POST", "/logout", "", "Cookie", second.cookie, "Origin", own)
	got = a.header.Get("Set-Cookie")
	if a.status != 200 || !strings.HasPrefix(got, "clientes_refresh=;") ||
		!strings.Contains(got, "Max-Age=0") {
		t.Errorf("logout answered %d, Set-Cookie: %s", a.status, got)
	}
	f.wantToken(second.Token, 401, "token_revoked")
	f.want(f.call("POST", "/refresh", "", "Cookie", second.cookie), 401, "refresh_invalid")
}

// An app in a web view has an origin of its own scheme. The N1 case.
func TestOriginsOfApps(t *testing.T) {
	const listed = "capacitor://localhost"
	origins := []string{
		listed, "ionic://localhost", "tauri://localhost", "app://.",
		"chrome-extension://abcdefghijklmnopabcdefghijklmnop",
		"moz-extension://2c1f0b7e-55b1-4f4e-9d0e-8a4a4cf3a0b1", "vscode-webview://0abc9def",
	}
	f := onSQLite(t, func(c *Config) { c.CORSOrigins = origins })
	const login = `{"user":"the-viewer","password":"correct horse","cookie":true}`
	for _, origin := range origins {
		a := f.call("POST", "/login", login, "Origin", origin)
		f.want(a, 200, "")
		if got := a.header.Get("Access-Control-Allow-Origin"); got != origin {
			t.Errorf("%s: allowed is %q", origin, got)
		}
		g := granted(t, a)
		a = f.call("POST", "/refresh", "", "Cookie", g.cookie, "Origin", origin)
		f.want(a, 200, "")
	}
	for _, origin := range []string{
		"capacitor://localhost.evil.example", "capacitor://evil", "ionic://localhost:80",
		"http://localhost", "https://localhost", "app://", "null",
	} {
		a := f.call("POST", "/login", login, "Origin", origin)
		f.want(a, 403, "cross_origin")
		if got := a.header.Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("%s: allowed is %q", origin, got)
		}
	}
}

// A server on loopback is found under several names.
func TestOwnOriginsOnLoopback(t *testing.T) {
	const login = `{"user":"the-viewer","password":"correct horse","cookie":true}`
	for _, public := range []string{"localhost:3000", "127.0.0.1:3000", "[::1]:3000"} {
		f := onSQLite(t, func(c *Config) { c.PublicURL = &url.URL{Scheme: "http", Host: public} })
		for origin, status := range map[string]int{
			"http://localhost:3000": 200, "http://127.0.0.1:3000": 200, "http://[::1]:3000": 200,
			"https://localhost:3000": 403, "http://localhost:3001": 403, "http://localhost": 403,
			"http://0.0.0.0:3000": 403, "http://localhost.evil.example:3000": 403,
		} {
			if a := f.call("POST", "/login", login, "Origin", origin); a.status != status {
				t.Errorf("at %s from %s: status %d, want %d", public, origin, a.status, status)
			}
		}
	}
}

func TestManyCookiesOfOneName(t *testing.T) {
	f := onSQLite(t)
	first := granted(t, f.call("POST", "/login", viewerLogin))
	second := granted(t, f.call("POST", "/login", viewerLogin))
	f.want(f.call("POST", "/logout", "",
		"Cookie", "clientes_refresh="+first.RefreshToken+"; clientes_refresh="+second.RefreshToken),
		200, "")
	f.wantToken(first.Token, 401, "token_revoked")
	f.wantToken(second.Token, 401, "token_revoked")
}

func TestCookiesOverHTTPS(t *testing.T) {
	f := onSQLite(t, overHTTPS)
	a := f.call("POST", "/login", `{"user":"the-viewer","password":"correct horse","cookie":true}`,
		"Origin", "https://"+ownHost)
	got := a.header.Get("Set-Cookie")
	if !strings.HasPrefix(got, "__Host-clientes_refresh=") || !strings.Contains(got, "; Secure") {
		t.Errorf("Set-Cookie: %s", got)
	}
	g := granted(t, a)
	granted(t, f.call("POST", "/refresh", "", "Cookie", g.cookie))
	// Over https the name of the cookie for http means nothing.
	f.want(f.call("POST", "/refresh", "", "Cookie", strings.TrimPrefix(g.cookie, "__Host-")),
		401, "refresh_invalid")
}

func TestCORS(t *testing.T) {
	const listed = "https://app.example"
	none := onSQLite(t)
	origins := []string{listed, "http://localhost:5173", "capacitor://localhost", "app://."}
	some := onSQLite(t, func(c *Config) { c.CORSOrigins = origins })
	ask := func(f *fixture, method, origin string, headers ...string) http.Header {
		req, err := http.NewRequestWithContext(t.Context(), method, f.url+"/clientes", nil)
		authtest.Must(t, err)
		req.Header.Set("Origin", origin)
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		authtest.Must(t, err)
		resp.Body.Close()
		if resp.Header.Get("X-Request-Id") == "" || method == "OPTIONS" && resp.StatusCode != 204 {
			t.Errorf("%s from %s answered %d %v", method, origin, resp.StatusCode, resp.Header)
		}
		return resp.Header
	}
	preflight := []string{
		"Access-Control-Request-Method", "PATCH",
		"Access-Control-Request-Headers", "content-type,idempotency-key,if-match,x-access-token",
	}
	for _, h := range []http.Header{
		ask(none, "GET", listed), ask(none, "OPTIONS", listed, preflight...),
	} {
		for name := range h {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("without origins configured there is %s", name)
			}
		}
	}
	for _, origin := range origins {
		h := ask(some, "GET", origin)
		if h.Get("Access-Control-Allow-Origin") != origin ||
			h.Get("Access-Control-Allow-Credentials") != "true" ||
			!slices.Contains(h["Vary"], "Origin") ||
			!strings.Contains(strings.ToLower(h.Get("Access-Control-Expose-Headers")),
				"x-request-id") {
			t.Errorf("GET from %s: %v", origin, h)
		}
		h = ask(some, "OPTIONS", origin, preflight...)
		if h.Get("Access-Control-Allow-Origin") != origin ||
			!strings.Contains(h.Get("Access-Control-Allow-Methods"), "PATCH") ||
			!strings.Contains(h.Get("Access-Control-Allow-Headers"), "x-access-token") ||
			h.Get("Access-Control-Max-Age") != "7200" {
			t.Errorf("preflight from %s: %v", origin, h)
		}
	}
	for _, origin := range []string{
		"https://evil.example", "http://app.example", listed + ".evil.example", "null",
	} {
		for _, h := range []http.Header{
			ask(some, "GET", origin), ask(some, "OPTIONS", origin, preflight...),
		} {
			if h.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s is allowed: %v", origin, h)
			}
		}
	}
	if h := ask(some, "OPTIONS", listed); h.Get("Allow") == "" {
		t.Errorf("OPTIONS that is no preflight: %v", h)
	}
}
