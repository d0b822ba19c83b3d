package verify

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// headerChecks are the promises about headers, origins and what an answer must not hold.
func headerChecks() []check {
	return []check{
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

// insideOf returns the first such word of an answer. The id of a request is random, so any of them
// may stand there by chance.
func insideOf(body []byte, requestID string) []byte {
	if requestID != "" {
		body = bytes.ReplaceAll(body, []byte(requestID), nil)
	}
	return inside.Find(body)
}

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
			if word := insideOf(a.body, a.member("request_id")); word != nil {
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
