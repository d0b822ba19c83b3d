package verify

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// networkChecks are the promises about headers, cookies, origins and what an answer must not hold.
func networkChecks() []check {
	return []check{
		{"forwarded-forged", accounts,
			"Headers that name another address or host are not believed.",
			forwardedForged},
		{"cookie-flags", sessions,
			"The cookies are HttpOnly, SameSite=Strict, for this host alone, and Secure behind https.",
			cookieFlags},
		{"cookie-csrf", sessions,
			"A page of another origin can neither use nor set the cookies.",
			cookieCSRF},
		{"cors-closed", people, "Pages of unknown origins get no CORS headers.", corsClosed},
		{"headers", conventions, "Every answer has the headers that protect it.", headers},
		{"request-id", conventions,
			"Every answer has a request id, the caller's own if it is in the form.",
			requestIDs},
		{"errors-hide", conventions,
			"Errors have one shape and say nothing of the inside.",
			errorsHide},
		{"secrets-in-answers", accounts,
			"No answer holds a password, a hash or a secret.",
			secretsInAnswers},
	}
}

// publicURL returns the URL that the server takes for its own, as its published document says.
func (v *verifier) publicURL(ctx context.Context, header http.Header) (*url.URL, error) {
	a, err := v.want(ctx, http.StatusOK, request{
		method: "GET", path: "/openapi.json", header: header,
	})
	if err != nil {
		return nil, err
	}
	var document struct {
		Servers []struct {
			URL string `json:"url"`
		} `json:"servers"`
	}
	if err := a.into(&document); err != nil {
		return nil, err
	}
	if len(document.Servers) == 0 {
		return nil, broken("the published document names no server")
	}
	return url.Parse(document.Servers[0].URL)
}

// forged are headers that name another client or host. The addresses are for documentation (RFC
// 5737).
func forged() (http.Header, []string) {
	h := http.Header{
		"X-Forwarded-For":          {"192.0.2.1, 198.51.100.1"},
		"X-Real-Ip":                {"192.0.2.2"},
		"Forwarded":                {"for=192.0.2.3;host=forged.invalid;proto=https"},
		"X-Client-Ip":              {"192.0.2.4"},
		"True-Client-Ip":           {"192.0.2.5"},
		"Cf-Connecting-Ip":         {"192.0.2.6"},
		"X-Cluster-Client-Ip":      {"192.0.2.7"},
		"Fastly-Client-Ip":         {"192.0.2.8"},
		"X-Appengine-Remote-Addr":  {"192.0.2.9"},
		"X-Original-Forwarded-For": {"192.0.2.10"},
		"X-Forwarded-Host":         {"forged.invalid"},
		"X-Forwarded-Proto":        {"https"},
		"X-Forwarded-Prefix":       {"/forged"},
		"X-Original-Url":           {"/forged"},
		"X-Rewrite-Url":            {"/forged"},
	}
	return h, []string{"192.0.2.", "198.51.100."}
}

func forwardedForged(ctx context.Context, v *verifier) (string, error) {
	if v.cfg.BehindProxy {
		return "", notTried("TRUSTED_PROXIES holds this machine, so its headers are believed; " +
			"run it from another one")
	}
	s, err := v.visit(ctx, "viewer")
	if err != nil {
		return "", err
	}
	header, addresses := forged()
	current := func() (string, error) {
		all, err := v.sessionsOf(ctx, s)
		if err != nil {
			return "", err
		}
		at := slices.IndexFunc(all, func(l listed) bool { return l.Current })
		if at < 0 {
			return "", broken("no session is the current one")
		}
		return all[at].IP, nil
	}
	real, err := current()
	if err != nil {
		return "", err
	}
	r := loginRequest(s.user.name, s.user.password, "code", s.user.code())
	r.header = header
	a, err := v.want(ctx, http.StatusOK, r)
	if err != nil {
		return "", err
	}
	if s, err = v.granted(a, s.user); err != nil {
		return "", err
	}
	seen, err := current()
	if err != nil {
		return "", err
	}
	for _, address := range addresses {
		if seen != real && strings.HasPrefix(seen, address) {
			return "", broken("with forged headers the server took %s for the client's address; "+
				"if this machine is one of TRUSTED_PROXIES, run it from another one", seen)
		}
	}
	if seen != real {
		return "", broken("with forged headers the client's address is another: %s, not %s",
			seen, real)
	}
	// So does what an admin sees of a request, where the server has that.
	a, err = v.asAdmin(ctx, request{method: "GET", path: "/doctor", header: header})
	if err != nil {
		return "", err
	}
	var doctor struct {
		Request map[string]any `json:"request"`
	}
	if a.status == http.StatusOK {
		if err := a.into(&doctor); err != nil {
			return "", err
		}
		for _, address := range addresses {
			ip, _ := doctor.Request["address"].(string)
			if ip != real && strings.HasPrefix(ip, address) {
				return "", broken("/doctor takes a forged address for the client's: %s", ip)
			}
		}
	}
	own, err := v.publicURL(ctx, nil)
	if err != nil {
		return "", err
	}
	other, err := v.publicURL(ctx, header)
	if err != nil {
		return "", err
	}
	if own.String() != other.String() {
		return "", broken("with forged headers the server takes %s for its own URL, not %s",
			other, own)
	}
	return fmt.Sprintf("%d headers; the session is still from %s, and the server's URL is the same",
		len(header), real), nil
}

// cookieVisit is visit with cookies.
func (v *verifier) cookieVisit(
	ctx context.Context,
) (s *session, cookies []*http.Cookie, a answer, err error) {
	if s, err = v.visit(ctx, "viewer"); err != nil {
		return nil, nil, a, err
	}
	r := loginRequest(s.user.name, s.user.password, "code", s.user.code())
	r.body.(map[string]any)["cookie"] = true
	if a, err = v.want(ctx, http.StatusOK, r); err != nil {
		return nil, nil, a, err
	}
	cookies = cookiesOf(a)
	for _, c := range cookies {
		v.hide(c.Value)
	}
	v.hide(a.member("token"))
	return s, cookies, a, nil
}

func cookiesOf(a answer) []*http.Cookie { return (&http.Response{Header: a.header}).Cookies() }

// cookieHeader returns the header in which a browser sends cookies.
func cookieHeader(cookies []*http.Cookie, more ...string) http.Header {
	var texts []string
	for _, c := range cookies {
		texts = append(texts, c.Name+"="+c.Value)
	}
	h := http.Header{"Cookie": {strings.Join(texts, "; ")}}
	for i := 0; i+1 < len(more); i += 2 {
		h.Set(more[i], more[i+1])
	}
	return h
}

func cookieFlags(ctx context.Context, v *verifier) (string, error) {
	public, err := v.publicURL(ctx, nil)
	if err != nil {
		return "", err
	}
	_, cookies, a, err := v.cookieVisit(ctx)
	if err != nil {
		return "", err
	}
	if a.member("refresh_token") != "" || a.member("device") != "" {
		return "", broken("a login with the cookie has a refresh token or device mark in its body")
	}
	if len(cookies) != 2 {
		return "", broken("a login sets %d cookies, not 2", len(cookies))
	}
	secure := public.Scheme == "https" || strings.HasPrefix(v.base, "https:")
	for _, c := range cookies {
		name, host := strings.CutPrefix(c.Name, "__Host-")
		known := name == "clientes_refresh" || name == "clientes_device"
		for _, f := range []struct {
			fault string
			is    bool
		}{
			{"is not HttpOnly", !c.HttpOnly},
			{"is not SameSite=Strict", c.SameSite != http.SameSiteStrictMode},
			{"names a domain", c.Domain != ""},
			{"is not for the path /", c.Path != "/"},
			{"is not Secure", secure && !c.Secure},
			{"lacks the prefix __Host-", secure && !host},
			{"has the prefix __Host- without Secure", host && !c.Secure},
			{"has an unknown name", !known},
			{"does not end", c.MaxAge <= 0},
		} {
			if f.is {
				return "", broken("the cookie %s %s", c.Name, f.fault)
			}
		}
	}
	a, err = v.do(ctx, request{method: "POST", path: "/refresh", header: cookieHeader(cookies)})
	if err != nil {
		return "", err
	}
	renewed := cookiesOf(a)
	if a.status != http.StatusOK || a.member("refresh_token") != "" || len(renewed) == 0 {
		return "", broken("a refresh by cookie was answered %v with %d cookies", a, len(renewed))
	}
	for _, c := range renewed {
		v.hide(c.Value)
	}
	token := a.member("token")
	v.hide(token)
	a, err = v.do(ctx, request{method: "POST", path: "/logout", header: cookieHeader(renewed)})
	if err != nil {
		return "", err
	}
	cleared := slices.ContainsFunc(cookiesOf(a), func(c *http.Cookie) bool {
		return strings.HasSuffix(c.Name, "clientes_refresh") && c.MaxAge < 0
	})
	if !cleared {
		return "", broken("a logout by cookie (%v) does not clear it", a)
	}
	if site := a.header.Get("Clear-Site-Data"); !strings.Contains(site, `"cookies"`) {
		return "", broken("a logout by cookie says %q in Clear-Site-Data", site)
	}
	if a, err = v.ask(ctx, "", token); err == nil && a.status != http.StatusUnauthorized {
		err = broken("after a logout by cookie its access token was answered %v", a)
	}
	how := "http: without Secure"
	if secure {
		how = "https: __Host- and Secure"
	}
	return "two cookies, each HttpOnly, SameSite=Strict, Path=/, no Domain (" + how + "); " +
		"refresh and logout work by cookie alone", err
}

func cookieCSRF(ctx context.Context, v *verifier) (string, error) {
	public, err := v.publicURL(ctx, nil)
	if err != nil {
		return "", err
	}
	s, cookies, a, err := v.cookieVisit(ctx)
	if err != nil {
		return "", err
	}
	token := a.member("token")
	const evil = "https://forged.invalid"
	other := "http"
	if public.Scheme == "http" {
		other = "https"
	}
	own := public.Scheme + "://" + public.Host
	crossing := map[string][]string{
		"Origin of another site":           {"Origin", evil},
		"Origin null":                      {"Origin", "null"},
		"Origin of the other scheme":       {"Origin", other + "://" + public.Host},
		"Origin that begins like ours":     {"Origin", own + ".forged.invalid"},
		"Sec-Fetch-Site cross-site":        {"Sec-Fetch-Site", "cross-site"},
		"Sec-Fetch-Site same-site":         {"Sec-Fetch-Site", "same-site"},
		"Origin and a friendly Fetch-Site": {"Origin", evil, "Sec-Fetch-Site", "same-origin"},
	}
	for what, header := range crossing {
		for _, path := range []string{"/refresh", "/logout"} {
			a, err := v.do(ctx, request{
				method: "POST", path: path, header: cookieHeader(cookies, header...),
			})
			if err != nil {
				return "", err
			}
			if !a.is(http.StatusForbidden, "cross_origin") {
				return "", broken("POST %s with the cookie and %s was answered %v", path, what, a)
			}
			if len(cookiesOf(a)) > 0 {
				return "", broken("POST %s with the cookie and %s sets a cookie", path, what)
			}
		}
		r := loginRequest(s.user.name, s.user.password)
		r.body.(map[string]any)["cookie"] = true
		r.header = cookieHeader(nil, header...)
		r.header.Del("Cookie")
		a, err := v.do(ctx, r)
		if err != nil {
			return "", err
		}
		if !a.is(http.StatusForbidden, "cross_origin") || len(cookiesOf(a)) > 0 {
			return "", broken("a login for the cookie with %s was answered %v", what, a)
		}
	}
	form := url.Values{
		"user": {s.user.name}, "password": {s.user.password}, "cookie": {"true"},
	}.Encode()
	for media, body := range map[string]string{
		"application/x-www-form-urlencoded": form,
		"text/plain":                        `{"user":"x","password":"x","cookie":true}`,
		"multipart/form-data; boundary=x":   "--x--",
	} {
		a, err := v.do(ctx, request{
			method: "POST", path: "/login", body: body,
			header: http.Header{"Content-Type": {media}},
		})
		if err != nil {
			return "", err
		}
		if a.status != http.StatusUnsupportedMediaType || len(cookiesOf(a)) > 0 {
			return "", broken("a login for the cookie as %s was answered %v", media, a)
		}
	}
	if a, err = v.ask(ctx, "", token); err != nil {
		return "", err
	}
	if !a.accepted() {
		return "", broken("after requests of other origins the session's token was answered %v", a)
	}
	a, err = v.do(ctx, request{method: "POST", path: "/refresh",
		header: cookieHeader(cookies, "Origin", own)})
	if err == nil && a.status != http.StatusOK {
		err = broken("a refresh with the cookie and the server's own origin was answered %v", a)
	}
	return fmt.Sprintf("%d origins at /refresh, /logout and /login, each 403 cross_origin; "+
		"3 media types that forms send, each 415; the server's own origin works",
		len(crossing)), err
}

func corsClosed(ctx context.Context, v *verifier) (string, error) {
	s, err := v.shared(ctx, "viewer")
	if err != nil {
		return "", err
	}
	public, err := v.publicURL(ctx, nil)
	if err != nil {
		return "", err
	}
	origins := []string{
		"https://forged.invalid", "null", "http://localhost.forged.invalid",
		public.Scheme + "://" + public.Host + ".forged.invalid",
		"https://forged.invalid:443", "file://",
	}
	n := 0
	for _, origin := range origins {
		for _, r := range []request{
			{method: "GET", path: "/clientes?limit=1", token: s.token},
			{method: "GET", path: "/clientes?limit=1"},
			{method: "GET", path: "/" + v.tag},
			loginRequest("", ""),
			{method: "OPTIONS", path: "/clientes", header: http.Header{
				"Access-Control-Request-Method":  {"PUT"},
				"Access-Control-Request-Headers": {"x-access-token"},
			}},
			{method: "OPTIONS", path: "/login", header: http.Header{
				"Access-Control-Request-Method":          {"POST"},
				"Access-Control-Request-Private-Network": {"true"},
			}},
		} {
			if r.header == nil {
				r.header = http.Header{}
			}
			r.header.Set("Origin", origin)
			a, err := v.do(ctx, r)
			if err != nil {
				return "", err
			}
			for name := range a.header {
				if strings.HasPrefix(name, "Access-Control-Allow-") {
					return "", broken("%s %s with Origin %s was answered with %s: %s",
						r.method, r.path, origin, name, a.header.Get(name))
				}
			}
			n++
		}
	}
	return fmt.Sprintf("%d requests and preflights from %d origins, none with a CORS header",
		n, len(origins)), nil
}

// ownName finds this program in a Server header. Proxies name themselves there.
var ownName = regexp.MustCompile(`(?i)clientes|\bgo\b|\bgin\b`)

func headers(ctx context.Context, v *verifier) (string, error) {
	s, err := v.visit(ctx, "viewer")
	if err != nil {
		return "", err
	}
	public, err := v.publicURL(ctx, nil)
	if err != nil {
		return "", err
	}
	token := s.token
	const private, page = 1, 2 // kinds of answers
	requests := []struct {
		request
		kind int
	}{
		{request{method: "GET", path: "/"}, 0},
		{request{method: "GET", path: "/healthz"}, 0},
		{request{method: "GET", path: "/openapi.json"}, 0},
		{request{method: "GET", path: "/" + v.tag}, 0},
		{request{method: "DELETE", path: "/clientes"}, 0},
		{request{method: "GET", path: "/clientes"}, 0},
		{request{method: "GET", path: "/clientes?limit=1", token: token}, private},
		{request{method: "GET", path: "/clientes/0", token: token}, 0},
		{request{method: "GET", path: "/clientes/export", token: token}, private},
		{request{method: "GET", path: "/me", token: token}, private},
		{request{method: "GET", path: "/sessions", token: token}, private},
		{request{method: "GET", path: "/users", token: token}, 0},
		{request{method: "GET", path: "/users?limit=1", token: v.admin.token}, private},
		{request{method: "GET", path: "/audit?limit=1", token: v.admin.token}, private},
		{loginRequest(s.user.name, s.user.password, "code", s.user.code()), private},
		{refreshRequest(s.refresh), private},
		{request{method: "GET", path: "/login"}, page},
		{request{method: "GET", path: "/docs"}, page},
	}
	for _, r := range requests {
		r.header = http.Header{"Accept-Encoding": {"gzip"}}
		a, err := v.do(ctx, r.request)
		if err != nil {
			return "", err
		}
		get := a.header.Get
		policy := get("Content-Security-Policy")
		html := strings.HasPrefix(get("Content-Type"), "text/html")
		stored := !strings.Contains(get("Cache-Control"), "no-store")
		bearer := strings.HasPrefix(get("WWW-Authenticate"), `Bearer realm="clientes"`)
		scope := strings.Contains(get("WWW-Authenticate"), `error="insufficient_scope"`)
		tokens := r.method == "POST" && (r.path == "/login" || r.path == "/refresh")
		https := public.Scheme == "https"
		for _, f := range []struct {
			fault string
			is    bool
		}{
			{"has no X-Content-Type-Options: nosniff", get("X-Content-Type-Options") != "nosniff"},
			{"has X-Powered-By", get("X-Powered-By") != ""},
			{"names the program in Server", ownName.MatchString(get("Server"))},
			{"has no Content-Security-Policy", policy == ""},
			{"may be framed", !strings.Contains(policy, "frame-ancestors 'none'")},
			{"allows inline script", strings.Contains(policy, "'unsafe-inline'")},
			{"has no default-src 'none' for an answer",
				!html && !strings.Contains(policy, "default-src 'none'")},
			{"may be stored", r.kind == private && stored},
			{"is answered with another status than 2xx", r.kind == private && a.status/100 != 2},
			{"has no Referrer-Policy for a page", html && get("Referrer-Policy") == ""},
			{"has no WWW-Authenticate", a.status == 401 && !bearer},
			{"has no error in WWW-Authenticate", a.status == 403 && !scope},
			{"has no Allow", a.status == 405 && get("Allow") == ""},
			{"is compressed although it has a token", tokens && get("Content-Encoding") != ""},
			{"has no Strict-Transport-Security behind https",
				https && get("Strict-Transport-Security") == ""},
		} {
			if f.is {
				return "", broken("%v (%d) %s", r.request, a.status, f.fault)
			}
		}
	}
	a, err := v.ask(ctx, "", "x.y.z")
	if err == nil && !strings.Contains(a.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
		err = broken("a bad token is answered %v without error=\"invalid_token\"", a)
	}
	return fmt.Sprintf("%d answers, each with nosniff and a content policy; private ones with "+
		"no-store", len(requests)), err
}

func requestIDs(ctx context.Context, v *verifier) (string, error) {
	seen := make(map[string]bool)
	for _, id := range []string{v.tag, "a", "A-Za_z0.9", strings.Repeat("x", 64)} {
		a, err := v.do(ctx, request{
			method: "GET", path: "/" + v.tag, header: http.Header{"X-Request-Id": {id}},
		})
		if err != nil {
			return "", err
		}
		if got := a.header.Get("X-Request-Id"); got != id || a.member("request_id") != id {
			return "", broken("the request id %q came back as %q", id, got)
		}
	}
	bad := []string{"", "a b", strings.Repeat("x", 65), `"><script>`, "ä", "a/b"}
	for _, id := range bad {
		a, err := v.do(ctx, request{
			method: "GET", path: "/" + v.tag, header: http.Header{"X-Request-Id": {id}},
		})
		if err != nil {
			return "", err
		}
		got := a.header.Get("X-Request-Id")
		if got == id || got == "" || seen[got] || a.member("request_id") != got {
			return "", broken("the request id %q came back as %q", id, got)
		}
		seen[got] = true
	}
	return fmt.Sprintf("4 ids came back, %d others were replaced", len(bad)), nil
}

// inside are words that only the inside of a server says.
var inside = regexp.MustCompile(`(?i)sqlite|sqlstate|\bpgx|postgres|\bselect\b|\binsert into\b|` +
	`\.go:\d|goroutine|panic|runtime error|stack|/home/|/usr/|/tmp/|constraint|` +
	`strconv\.|json:|store:|auth:|invalid syntax`)

func errorsHide(ctx context.Context, v *verifier) (string, error) {
	s, err := v.shared(ctx, "editor")
	if err != nil {
		return "", err
	}
	deep := strings.Repeat("[", 20_000)
	long := strings.Repeat("9", 400)
	requests := []request{
		{method: "GET", path: "/" + v.tag},
		{method: "PROPFIND", path: "/clientes"},
		{method: "GET", path: "/clientes/" + long},
		{method: "GET", path: "/clientes/9223372036854775807"},
		{method: "GET", path: "/clientes/-1"},
		{method: "GET", path: "/clientes/1%27%20OR%201=1"},
		{method: "GET", path: "/clientes/%00"},
		{method: "GET", path: "/clientes/%ff%fe"},
		{method: "GET", path: "/clientes?limit=" + long},
		{method: "GET", path: "/clientes?cursor=%00"},
		{method: "GET", path: "/clientes?cursor=eyJhIjoxfQ"},
		{method: "GET", path: "/clientes?sort=name;drop"},
		{method: "GET", path: "/clientes?q=%27%22%5C%25_%00"},
		{method: "GET", path: "/clientes?q=%ff"},
		{method: "GET", path: "/clientes?updated_since=yesterday"},
		{method: "GET", path: "/clientes?" + v.tag + "=1"},
		{method: "GET", path: "/clientes/1/history?cursor=x"},
		{method: "POST", path: "/clientes", body: "{"},
		{method: "POST", path: "/clientes", body: "[]"},
		{method: "POST", path: "/clientes", body: deep},
		{method: "POST", path: "/clientes", body: `{"name":{"a":1}}`},
		{method: "POST", path: "/clientes", body: `{"name":"\ud800"}`},
		{method: "POST", path: "/clientes", body: `{"name":"a\u0000b"}`},
		{method: "POST", path: "/clientes", body: "{\"name\":\"\xff\"}"},
		{method: "POST", path: "/clientes", body: `{"name":"a","email":"not one"}`},
		{method: "POST", path: "/clientes", body: `{"name":"a"} x`},
		{method: "PUT", path: "/clientes/0", body: `{"name":"a"}`},
		{method: "PATCH", path: "/clientes/0", body: `{"id":"x"}`},
		{method: "POST", path: "/clientes/import", body: "name\nA\n",
			header: http.Header{"Content-Type": {"x/y"}}},
		{method: "POST", path: "/clientes/import", body: "\x00\x01",
			header: http.Header{"Content-Type": {"text/csv"}}},
		{method: "GET", path: "/users"},
		{method: "DELETE", path: "/sessions/x"},
		{method: "POST", path: "/login", body: `{"user":1}`},
		{method: "POST", path: "/refresh", body: `{"refresh_token":"a.b.c"}`},
		{method: "POST", path: "/password/reset",
			body: `{"token":"a.b.c","password":"` + newPassword() + `"}`},
		{method: "POST", path: "/email/confirm", body: `{"token":"` + long + `"}`},
	}
	var byProxy atomic.Int64
	calls := make([]func() error, len(requests))
	for i, r := range requests {
		r.token = s.token
		calls[i] = func() error {
			a, err := v.do(ctx, r)
			if err != nil {
				return err
			}
			path, _, _ := strings.Cut(r.path, "?")
			if len(path) > 40 {
				path = path[:40] + "…"
			}
			where := "number " + strconv.Itoa(i+1) + ", " + r.method + " " + path
			if a.status >= 500 {
				return broken("%s was answered %v", where, a)
			}
			if word := inside.Find(a.body); word != nil {
				return broken("%s was answered %v with the word %q", where, a, word)
			}
			if a.status < 400 {
				return nil // as a search for odd characters is
			}
			if a.byProxy() {
				byProxy.Add(1)
				return nil
			}
			if a.code() == "" || a.member("message") == "" || a.member("request_id") == "" {
				return broken("%s was answered %v without message, code and request_id", where, a)
			}
			return nil
		}
	}
	if err := together(4, calls...); err != nil {
		return "", err
	}
	seen := fmt.Sprintf("%d odd requests, no 5xx, each refusal with message, code and request_id, "+
		"none with a word of the inside", len(requests))
	if n := byProxy.Load(); n > 0 {
		seen += fmt.Sprintf("; the proxy itself refused %d of them", n)
	}
	return seen, nil
}

// hashes finds password hashes, keys and the members that would hold them.
var hashes = regexp.MustCompile(`\$argon2|\$2[aby]\$|\$scrypt|\$pbkdf2|` +
	`"(password|password_hash|hash|secret|totp|refresh_token|recovery_codes)"\s*:\s*["\[]`)

func secretsInAnswers(ctx context.Context, v *verifier) (string, error) {
	s, err := v.visit(ctx, "viewer")
	if err != nil {
		return "", err
	}
	id := decimal(s.user.id)
	admin := v.admin.token
	requests := []request{
		{method: "GET", path: "/me", token: s.token},
		{method: "GET", path: "/sessions", token: s.token},
		{method: "GET", path: "/clientes?limit=10", token: s.token},
		{method: "GET", path: "/users?limit=100", token: admin},
		{method: "GET", path: "/users/" + id, token: admin},
		{method: "PATCH", path: "/users/" + id, token: admin, body: `{}`},
		{method: "GET", path: "/audit?limit=100", token: admin},
		{method: "GET", path: "/audit?limit=100&user_id=" + id, token: admin},
		{method: "GET", path: "/doctor", token: admin},
		{method: "GET", path: "/readyz"},
		{method: "POST", path: "/users", token: admin, body: map[string]any{
			"user": s.user.name, "password": s.user.password, "role": "viewer"}},
		{method: "POST", path: "/users", token: admin, body: map[string]any{
			"user": v.newName(), "password": newPassword(), "role": "none"}},
		loginRequest(s.user.name, s.user.password+"x", "device", s.device),
	}
	v.mu.Lock()
	secrets := slices.Clone(v.secrets)
	v.mu.Unlock()
	for _, r := range requests {
		a, err := v.do(ctx, r)
		if err != nil {
			return "", err
		}
		if found := hashes.Find(a.body); found != nil {
			return "", broken("%v is answered with something like %q", r, found)
		}
		for _, secret := range secrets {
			if strings.Contains(string(a.body), secret) {
				return "", broken("%v is answered with a secret of this run", r)
			}
		}
	}
	return fmt.Sprintf("%d answers without a password, hash, token or secret", len(requests)), nil
}
