package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"clientes/auth"
	"clientes/auth/authtest"
)

// What a browser sends when a person posts the form of a page of this server: a new one, and one
// that knows no Sec-Fetch headers or does not send them over plain http.
var (
	newBrowser = []string{
		"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "same-origin",
		"Origin", "http://" + ownHost,
	}
	oldBrowser = []string{
		"Accept", "text/html,application/xhtml+xml,*/*;q=0.8", "Origin", "http://" + ownHost,
	}
)

// post posts fields of the login page.
func (f *fixture) post(fields string, headers ...string) answer {
	f.t.Helper()
	return f.call("POST", "/login", fields, append(headers, "Content-Type", mediaForm)...)
}

const viewerForm = "user=the-viewer&password=correct+horse"

// Who gets the redirects of the tutorial's web app, and who JSON.
func TestWhoGetsRedirects(t *testing.T) {
	const own, listed = "http://" + ownHost, "https://app.example"
	f := onSQLite(t, func(c *Config) { c.CORSOrigins = []string{listed} })
	const html = "text/html,application/xhtml+xml,*/*;q=0.8"
	for _, c := range []struct {
		name                       string
		mode, site, origin, accept string
		redirect                   bool
	}{
		{"a browser", "navigate", "same-origin", own, html, true},
		{"a browser, in a frame or with any Accept", "navigate", "same-origin", own, "", true},
		{"a browser that hides the origin", "navigate", "same-origin", "", html, true},
		{"over plain http", "", "", own, html, true},
		{"without Sec-Fetch-Mode", "", "same-origin", own, "TEXT/HTML", true},
		{"without Sec-Fetch-Site", "navigate", "", own, html, true},

		{"curl", "", "", "", "*/*", false},
		{"nothing at all", "", "", "", "", false},
		{"an old browser without Origin", "", "", "", html, false},
		{"a script", "cors", "same-origin", own, "*/*", false},
		{"a script that takes HTML", "cors", "same-origin", own, html, false},
		{"an old script", "", "", own, "application/json, text/plain, */*", false},
		{"no HTML, please", "", "", own, "text/html;q=0, */*", false},
		{"another site", "navigate", "cross-site", "https://evil.example", html, false},
		{"another site that hides its origin", "navigate", "cross-site", "null", html, false},
		{"another site over plain http", "", "", "http://evil.example", html, false},
		{"another site over plain http that hides", "", "", "null", html, false},
		{"a sandboxed frame", "navigate", "", "null", html, false},
		{"a sibling", "navigate", "same-site", "http://sub." + ownHost, html, false},
		{"a bookmark", "navigate", "none", "", html, false},
		{"another scheme", "navigate", "", "https://" + ownHost, html, false},
		{"another port", "", "", own + ":81", html, false},
		// It may use the API. But its form would log the visitor in as somebody else.
		{"an origin of CORS_ORIGINS", "navigate", "cross-site", listed, html, false},
		{"an origin of CORS_ORIGINS over plain http", "", "", listed, html, false},
	} {
		a := f.post(viewerForm, "Sec-Fetch-Mode", c.mode, "Sec-Fetch-Site", c.site,
			"Origin", c.origin, "Accept", c.accept)
		status, to, cookies := 200, "", 0
		if c.redirect {
			status, to, cookies = 303, "/app/", 2
		}
		got := a.header.Values("Set-Cookie")
		if a.status != status || a.header.Get("Location") != to || len(got) != cookies {
			t.Errorf("%s is answered with %d to %q, Set-Cookie: %q, want %d to %q and %d cookies",
				c.name, a.status, a.header.Get("Location"), got, status, to, cookies)
		}
	}
	// The page was opened by another name of the server. The cookie would be refused later.
	a := f.post(viewerForm, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "same-origin",
		"Origin", "https://alias.example")
	wantRedirect(t, a, "/login?error=cross_origin&fail=true")

	// Whatever the headers say, JSON and a file are answered with JSON.
	f.want(f.call("POST", "/login", viewerLogin, newBrowser...), 200, "")
	f.want(f.call("POST", "/login", "x", append(newBrowser, "Content-Type", "text/plain")...),
		415, "unsupported_media_type")
	f.want(f.call("POST", "/logout", "x=y", append(newBrowser, "Content-Type", mediaForm)...),
		200, "")
}

func wantRedirect(t testing.TB, a answer, to string) {
	t.Helper()
	if got := a.header.Get("Location"); a.status != 303 || got != to {
		t.Errorf("answered %d to %q, want 303 to %q:\n%s", a.status, got, to, a.body)
	}
	if got := a.header.Values("Set-Cookie"); got != nil && to != "/app/" {
		t.Errorf("Set-Cookie: %q", got)
	}
}

// Where a refused form leads, and that neither the address nor the log has what was typed.
func TestWhereTheFormLeads(t *testing.T) {
	f := onSQLite(t, stopTheClock)
	for _, c := range []struct{ name, form, query string }{
		{"wrong password", "user=the-viewer&password=wrong", "fail=true"},
		{"unknown user", "user=nobody&password=wrong", "fail=true"},
		{"a header in a name", "user=x%0d%0aX:+1&password=x", "error=validation_failed&fail=true"},
		{"no password", "user=the-viewer&password=", "error=validation_failed&fail=true"},
		{"twice", viewerForm + "&password=other", "error=validation_failed&fail=true"},
		{"no form", "user=%zz", "error=malformed_body&fail=true"},
		{"JSON", `{"user":"x"}`, "error=unsupported_media_type&fail=true"},
		{"a large one", "user=" + strings.Repeat("x", maxStrangersBody),
			"error=body_too_large&fail=true"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantRedirect(t, f.post(c.form, newBrowser...), "/login?"+c.query)
		})
	}
	// A box of the page has the session remembered.
	remembered := f.post(viewerForm+"&remember=true", newBrowser...)
	cookie, err := http.ParseSetCookie(remembered.header.Get("Set-Cookie"))
	if want := int(f.config.RememberIdle / time.Second); err != nil || cookie.MaxAge != want {
		t.Errorf("the cookie is %v, %v; want %d seconds", cookie, err, want)
	}
	// Nobody may lead a person elsewhere.
	a := f.post(viewerForm+"&next=https://evil.example&redirect=//evil.example", newBrowser...)
	wantRedirect(t, a, "/app/")

	for range 5 {
		wantRedirect(t, f.post("user=hasty&password=wrong", oldBrowser...), "/login?fail=true")
	}
	a = f.post("user=hasty&password=wrong&code=123456", oldBrowser...)
	wantRedirect(t, a, "/login?code=true&fail=true&wait=1")
	line := f.logLine(a.header.Get("X-Request-Id"))
	if !strings.Contains(line, `"code":"too_many_attempts"`) {
		t.Errorf("the log has no code: %s", line)
	}
}

// A form over a living session of that browser ends it, as every login does that sets the cookie.
func TestTheFormEndsTheSessionBefore(t *testing.T) {
	f := onSQLite(t)
	refresh := func(a answer) string {
		cookie, _, _ := strings.Cut(a.header.Get("Set-Cookie"), ";")
		return cookie
	}
	first := refresh(f.post(viewerForm, newBrowser...))
	second := refresh(f.post(viewerForm, append(newBrowser, "Cookie", first)...))
	f.want(f.call("POST", "/refresh", "", "Cookie", first), 401, "refresh_invalid")
	f.want(f.call("POST", "/refresh", "", "Cookie", second), 200, "")
	// A wrong password leaves the session alone.
	third := refresh(f.post(viewerForm, newBrowser...))
	wantRedirect(t, f.post("user=x&password=wrong", append(newBrowser, "Cookie", third)...),
		"/login?fail=true")
	f.want(f.call("POST", "/refresh", "", "Cookie", third), 200, "")
	// A page of another site cannot reach it.
	f.want(f.post(viewerForm, "Cookie", third, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site",
		"cross-site", "Origin", "https://evil.example"), 403, "cross_origin")
}

func TestTheFormOverHTTPS(t *testing.T) {
	f := onSQLite(t, overHTTPS)
	a := f.post(viewerForm, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "same-origin",
		"Origin", "https://"+ownHost)
	wantRedirect(t, a, "/app/")
	cookies := a.header.Values("Set-Cookie")
	if len(cookies) != 2 {
		t.Fatalf("Set-Cookie: %q", cookies)
	}
	for _, c := range cookies {
		if !strings.HasPrefix(c, "__Host-clientes_") ||
			!strings.Contains(c, "; Secure; SameSite=Strict") {
			t.Errorf("Set-Cookie: %s", c)
		}
	}
}

// A fault of ours is logged as one, although the answer is a redirect.
func TestAFaultBehindTheFormIsLogged(t *testing.T) {
	f := onSQLite(t)
	authtest.Must(t, f.store.Close())
	a := f.post(viewerForm, newBrowser...)
	to, err := url.Parse(a.header.Get("Location"))
	if err != nil || a.status != 303 || to.Query().Get("error") == "" {
		t.Fatalf("answered %d to %q", a.status, to)
	}
	if line := f.logLine(a.header.Get("X-Request-Id")); !strings.Contains(line, `"level":"ERROR"`) {
		t.Errorf("logged: %s", line)
	}
}

// A server that remembers nobody (REMEMBER_IDLE=0) does not offer it.
func TestWhoMayBeRemembered(t *testing.T) {
	f := onSQLite(t)
	const offer = `name="remember"`
	if page := f.call("GET", "/login", "").body; !strings.Contains(page, offer) {
		t.Errorf("the page does not offer it:\n%s", page)
	}
	config := f.config
	config.RememberIdle = 0
	forgetful, err := auth.New(config)
	authtest.Must(t, err)
	cfg := f.server.cfg
	cfg.Auth = forgetful
	f.server, err = New(cfg)
	authtest.Must(t, err)
	w := httptest.NewRecorder()
	f.server.ServeHTTP(w, httptest.NewRequest("GET", "/login", nil))
	if page := w.Body.String(); w.Code != 200 || strings.Contains(page, offer) {
		t.Errorf("answered %d:\n%s", w.Code, page)
	}
}

// The login page, as a browser without scripts sees it.
func TestLoginPage(t *testing.T) {
	f := onSQLite(t, openSignup)
	for _, c := range []struct{ query, languages, lang, text string }{
		{"", "", "en", "Log in to see your customers."},
		{"", "fr, *;q=0.1", "en", "Log in"},
		{"", "pt-BR,pt;q=0.9,en;q=0.8", "pt-BR", "Senha"},
		{"", "pt-PT", "pt-BR", "Senha"},
		{"", "es-419,es;q=0.9", "es", "Contraseña"},
		{"", "a broken one;;q=x", "en", "Password"},
		{"?fail=true", "en", "en", `role="alert">Incorrect username or password!</div>`},
		{"?fail=true", "pt", "pt-BR", "Usuário ou senha incorretos!"},
		{"?fail=true", "es", "es", "¡Usuario o contraseña incorrectos!"},
		{"?code=true", "en", "en", "This account has a second factor."},
		{"?code=true", "en", "en", `autocomplete="one-time-code"`},
		{"?code=true&fail=true", "en", "en", "The code is wrong or was used."},
		{"?fail=true&wait=8", "en", "en", "Try again in 8 s."},
		{"?fail=true&error=unheard_of", "en", "en", "The server could not log you in now."},
		{"?_=1", "en", "en", "Log in"},
	} {
		a := f.call("GET", "/login"+c.query, "", "Accept-Language", c.languages)
		if a.status != 200 || !strings.Contains(a.body, c.text) ||
			!strings.Contains(a.body, fmt.Sprintf("<html lang=%q", c.lang)) {
			t.Errorf("/login%s in %q: %d, without %q:\n%s", c.query, c.languages, a.status, c.text,
				a.body)
		}
		if got := a.header["Vary"]; !slices.Contains(got, "Accept-Language") {
			t.Errorf("Vary: %s", got)
		}
		if got := a.header.Get("Content-Security-Policy"); got != consolePolicy {
			t.Errorf("the policy is %s", got)
		}
	}
	for _, query := range []string{
		"?utm_source=x", "?fail=yes", "?code=", "?wait=0", "?wait=x", "?wait=86401",
		"?fail=true&fail=true",
	} {
		f.want(f.call("GET", "/login"+query, ""), 400, "invalid_parameter")
	}
	text := f.call("GET", "/login?error=%3Cb%3E&fail=true", "").body
	if strings.Contains(text, "<b>") || strings.Contains(text, "%3Cb") {
		t.Errorf("the page repeats what its address says:\n%s", text)
	}
	if !strings.Contains(text, `href="#signup"`) || !strings.Contains(text, `href="#forgot"`) {
		t.Errorf("a link is missing:\n%s", text)
	}
	// As Express finds it.
	if a := f.call("GET", "/Login/", ""); a.status != 200 {
		t.Errorf("/Login/ is answered with %d", a.status)
	}
	if a := f.call("HEAD", "/login", ""); a.status != 200 || a.body != "" {
		t.Errorf("HEAD is answered with %d", a.status)
	}
	closed := onSQLite(t).call("GET", "/login", "").body
	if strings.Contains(closed, "signup") {
		t.Errorf("sign-up is closed, but on the page:\n%s", closed)
	}
}

// The console is closed to strangers.
func TestConsolePage(t *testing.T) {
	f := onSQLite(t)
	for _, method := range []string{"GET", "HEAD"} {
		wantRedirect(t, f.call(method, "/app/", ""), "/login")
		wantRedirect(t, f.call(method, "/app/", "", "Cookie", "clientes_refresh="), "/login")
		wantRedirect(t, f.call(method, "/app", ""), "/app/")
		a := f.call(method, "/app/", "", "Cookie", "clientes_refresh=anything")
		if a.status != 200 || !slices.Contains(a.header["Vary"], "Cookie") ||
			a.header.Get("Content-Security-Policy") != consolePolicy {
			t.Errorf("%s is answered with %d, %v", method, a.status, a.header)
		}
	}
	f.want(f.call("GET", "/app/?x=1", ""), 400, "invalid_parameter")
	f.want(f.call("POST", "/app/", "{}"), 405, "method_not_allowed")
	over := onSQLite(t, overHTTPS)
	wantRedirect(t, over.call("GET", "/app/", "", "Cookie", "clientes_refresh=x"), "/login")
	a := over.call("GET", "/app/", "", "Cookie", "__Host-clientes_refresh=x")
	if a.status != 200 {
		t.Errorf("answered %d", a.status)
	}
}

// The pages load what is there, and nothing inline, which their policy forbids.
func TestConsoleFiles(t *testing.T) {
	f := onSQLite(t)
	files, err := consoleFiles()
	authtest.Must(t, err)
	for name, file := range files {
		a := f.call("GET", file.path, "")
		if a.status != 200 || a.header.Get("Content-Type") != file.mediaType {
			t.Errorf("%s is answered with %d, %s", name, a.status, a.header.Get("Content-Type"))
		}
		tag := a.header.Get("ETag")
		if a := f.call("GET", file.path, "", "If-None-Match", tag); a.status != 304 {
			t.Errorf("%s is answered with %d the second time", name, a.status)
		}
	}
	for _, path := range []string{
		"/app/app.html", "/app/login.html", "/app/console.go", "/app/nothing.js", "/app/app.js/",
		"/app/..%2Fconsole.go",
	} {
		f.want(f.call("GET", path, ""), 404, "not_found")
	}
	inline := regexp.MustCompile(
		`(?i)<style|<script[^>]*>[^<]|\s(style|on[a-z]+)\s*=|javascript:`)
	for _, path := range []string{"/login?fail=true", "/app/"} {
		html := f.call("GET", path, "", "Cookie", "clientes_refresh=x").body
		if found := inline.FindString(html); found != "" {
			t.Errorf("%s has %q in it", path, found)
		}
		refs := regexp.MustCompile(`(?:src|href)="(/[^"]*)"`).FindAllStringSubmatch(html, -1)
		if len(refs) < 3 {
			t.Errorf("%s loads %d files only", path, len(refs))
		}
		for _, ref := range refs {
			if a := f.call("GET", ref[1], ""); a.status != 200 {
				t.Errorf("%s needs %s, which is answered with %d", path, ref[1], a.status)
			}
		}
	}
}

// The document has the pages, so these answers are not held against it.
func TestWithoutConsole(t *testing.T) {
	f := onSQLite(t, func(c *Config) { c.Console = false })
	for path, want := range map[string]int{
		"/app/": 404, "/app": 404, "/app/look.css": 404, "/login": 405,
	} {
		resp, err := http.Get(f.url + path)
		authtest.Must(t, err)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s is answered with %d, not %d", path, resp.StatusCode, want)
		}
		if allow := resp.Header.Get("Allow"); want == 405 && allow != "OPTIONS, POST" {
			t.Errorf("Allow: %s", allow)
		}
	}
	a := f.post(viewerForm, newBrowser...)
	if f.want(a, 200, ""); a.header.Get("Set-Cookie") != "" {
		t.Error("the form sets a cookie")
	}
}
