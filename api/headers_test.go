package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/store"
)

// Every answer has the headers that protect browsers, errors and panics too.
func TestSecurityHeaders(t *testing.T) {
	const policy = "default-src 'none'; frame-ancestors 'none'"
	for _, c := range []struct {
		name    string
		changes []func(*Config)
		hsts    string
	}{
		{"http", nil, ""},
		{"https", []func(*Config){overHTTPS}, "max-age=31536000; includeSubDomains"},
	} {
		f := onSQLite(t, c.changes...)
		for _, r := range []struct{ method, path, body string }{
			{"GET", "/", ""}, {"GET", "/nothing", ""}, {"TRACE", "/login", ""},
			{"OPTIONS", "/login", ""}, {"GET", "/clientes", ""}, {"POST", "/login", viewerLogin},
			{"POST", "/login", "{"}, {"POST", "/login", strings.Repeat(" ", maxBody)},
			{"GET", "/readyz", ""}, {"GET", "/clientes/export", ""}, {"GET", "/clientes/1?x=1", ""},
			{"GET", "/openapi.json", ""}, {"GET", "/docs/page.js", ""}, {"GET", "/docs", ""},
			{"POST", "/logout", ""},
		} {
			h := f.as(store.Admin, r.method, r.path, r.body).header
			if got := h.Get("Strict-Transport-Security"); got != c.hsts {
				t.Errorf("%s: %s %s: Strict-Transport-Security: %q", c.name, r.method, r.path, got)
			}
			want := policy
			if r.path == "/docs" {
				want = docsPolicy
			}
			if got := h.Get("Content-Security-Policy"); got != want {
				t.Errorf("%s: %s %s: Content-Security-Policy: %q", c.name, r.method, r.path, got)
			}
		}
	}
	f := onSQLite(t, func(cfg *Config) { cfg.Store = panickingStore{cfg.Store} })
	if h := f.as(store.Viewer, "GET", "/clientes/1", "").header; h.Get(
		"Content-Security-Policy") != policy {
		t.Errorf("after a panic: %v", h)
	}
}

// A page that opened one of ours cannot lead it elsewhere later, to a login page that looks alike.
func TestPagesLeaveTheirOpener(t *testing.T) {
	f := onSQLite(t)
	for _, path := range []string{"/login", "/app/", "/docs"} {
		a := f.call("GET", path, "", "Cookie", "clientes_refresh=x")
		got := a.header.Get("Cross-Origin-Opener-Policy")
		if a.status != 200 || got != "same-origin" {
			t.Errorf("%s is answered with %d and %q", path, a.status, got)
		}
	}
}

// A browser replaces the headers of what it has by those of a 304.
func TestACachedPageKeepsItsPolicy(t *testing.T) {
	f := onSQLite(t)
	a := f.call("GET", "/docs", "")
	a = f.call("GET", "/docs", "", "If-None-Match", a.header.Get("ETag"))
	if got := a.header.Get("Content-Security-Policy"); a.status != 304 || got != docsPolicy {
		t.Errorf("answered %d with %q", a.status, got)
	}
}

// A logout by cookie has the browser forget this site. No other answer does.
func TestALogoutByCookieClearsTheSite(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		login := f.call("POST", "/login",
			`{"user":"the-viewer","password":"correct horse","cookie":true}`)
		g := granted(t, login)
		for _, c := range []struct {
			path, cookie, body, want string
		}{
			{"/refresh", g.cookie, "", ""},
			{"/logout", g.cookie, "", `"cookies", "storage"`},
			{"/logout", "", "", ""},
			{"/logout", "", refreshBody("x"), ""},
		} {
			a := f.call("POST", c.path, c.body, "Cookie", c.cookie)
			if got := a.header.Get("Clear-Site-Data"); a.status != 200 || got != c.want {
				t.Errorf("%s answered %d with %q", c.path, a.status, got)
			}
		}
	})
}

// A client cannot fill the log with one request, nor control a terminal that shows it.
func TestLoggedPathsAreShortAndPlain(t *testing.T) {
	f := onSQLite(t)
	for id, path := range map[string]string{
		"long": "/" + strings.Repeat("x", 10_000), "c0": "/%1b[2J%0a%7f", "c1": "/%c2%9b2J",
		"bidi": "/%e2%80%ae%e2%80%a8", "invalid": "/%ff%fe",
	} {
		f.want(f.call("GET", path, "", "X-Request-Id", id), 404, "not_found")
		line := f.logLine(id)
		if len(line) > 1000 {
			t.Errorf("%s: the line has %d bytes", id, len(line))
		}
		for _, r := range strings.TrimSuffix(line, "\n") {
			if (r < ' ' || r > '~') && r != '…' {
				t.Errorf("%s: the log has %q", id, line)
			}
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Method = strings.Repeat("X", 10_000)
	r.Header.Set("X-Request-Id", "method")
	f.server.ServeHTTP(httptest.NewRecorder(), r)
	if line := f.logLine("method"); len(line) > 1000 {
		t.Errorf("the line has %d bytes", len(line))
	}
}

// X-Forwarded-For from an unknown proxy is warned of, once an hour.
func TestForwardedByAStranger(t *testing.T) {
	c := authtest.StoppedAt(time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC))
	f := onSQLite(t, func(cfg *Config) {
		cfg.Now = c.Now
		cfg.TrustedProxies = []netip.Prefix{
			netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("fe80::/10"),
		}
	})
	send := func(remote string, headers http.Header) {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr, r.Header = remote, headers
		f.server.ServeHTTP(httptest.NewRecorder(), r)
	}
	forwarded := http.Header{"X-Forwarded-For": {"203.0.113.9"}}
	warnings := func() int { return strings.Count(f.log.String(), "TRUSTED_PROXIES") }
	want := func(n int) {
		t.Helper()
		if got := warnings(); got != n {
			t.Errorf("%d warnings, want %d:\n%s", got, n, f.log.String())
		}
	}
	for _, trusted := range []string{"192.0.2.7:80", "[::ffff:192.0.2.7]:80", "[fe80::1%eth0]:80"} {
		send(trusted, forwarded.Clone())
	}
	send("198.51.100.1:80", http.Header{})
	want(0)
	for i := range 100 {
		send(fmt.Sprintf("198.51.100.%d:80", i+1), forwarded.Clone())
		c.Advance(30 * time.Second) // 50 minutes together
	}
	want(1)
	if !strings.Contains(f.log.String(), `"address":"198.51.100.1"`) {
		t.Errorf("the log does not name it: %s", f.log.String())
	}
	c.Advance(10 * time.Minute)
	send("[2001:db8::1]:80", forwarded.Clone())
	send("[2001:db8::2]:80", forwarded.Clone())
	want(2)
}
