package api

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"clientes/auth"
	"clientes/auth/authtest"
	"clientes/auth/password"
	"clientes/store"
)

func TestConventions(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		f.add(store.Cliente{Name: "Ana"})
		for _, path := range []string{
			"/nothing", "/clientes//", "/clientes/1//", "/clientes/1/histories",
			"/clientes/1/history/", "/clientes/9/history", "/clientes/x/history",
			"/clientes/import/", "//", "/healthz/", "/docs/nothing", "/.env",
		} {
			f.want(f.as(store.Admin, "GET", path, ""), 404, "not_found")
		}
		for path, allow := range map[string]string{
			"/":                   "GET, HEAD, OPTIONS",
			"/login":              "GET, HEAD, OPTIONS, POST",
			"/logout":             "OPTIONS, POST",
			"/clientes":           "GET, HEAD, OPTIONS, POST",
			"/clientes/1":         "DELETE, GET, HEAD, OPTIONS, PATCH, PUT",
			"/clientes/1/history": "GET, HEAD, OPTIONS",
			"/clientes/import":    "OPTIONS, POST",
			"/healthz":            "GET, HEAD, OPTIONS",
			"/docs":               "GET, HEAD, OPTIONS",
		} {
			for _, method := range []string{"TRACE", "PROPFIND"} {
				a := f.call(method, path, "")
				f.want(a, 405, "method_not_allowed")
				if got := sortedList(a.header.Get("Allow")); got != allow {
					t.Errorf("%s %s: Allow: %s", method, path, got)
				}
			}
			a := f.call("OPTIONS", path, "")
			got := sortedList(a.header.Get("Allow"))
			if a.status != 204 || a.body != "" || got != allow {
				t.Errorf("OPTIONS %s answered %d, Allow: %s", path, a.status, got)
			}
			if strings.Contains(allow, "HEAD") {
				// Go's client reads gzip by itself, except in answers to HEAD.
				plain := []string{"Accept-Encoding", "identity"}
				get := f.as(store.Viewer, "GET", path, "", plain...)
				head := f.as(store.Viewer, "HEAD", path, "", plain...)
				if head.status != get.status || head.body != "" ||
					head.header.Get("Content-Length") != get.header.Get("Content-Length") ||
					head.header.Get("ETag") != get.header.Get("ETag") {
					t.Errorf("HEAD %s answered %d %v", path, head.status, head.header)
				}
			}
		}
		for _, id := range []string{"a", "A.b_c-9", strings.Repeat("x", 64)} {
			got := f.call("GET", "/", "", "X-Request-Id", id).header.Get("X-Request-Id")
			if got != id {
				t.Errorf("X-Request-Id %q became %q", id, got)
			}
			if !strings.Contains(f.log.String(), `"request_id":"`+id+`"`) {
				t.Errorf("the log does not know %q", id)
			}
		}
		for _, id := range []string{"a b", "é", strings.Repeat("x", 65), `"`} {
			got := f.call("GET", "/", "", "X-Request-Id", id).header.Get("X-Request-Id")
			if got == id || got == "" {
				t.Errorf("X-Request-Id %q became %q", id, got)
			}
		}
		for _, path := range []string{"/", "/clientes", "/clientes/1", "/nothing", "/readyz"} {
			h := f.as(store.Viewer, "GET", path, "").header
			if h.Get("Cache-Control") != "no-store" ||
				h.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("GET %s: %v", path, h)
			}
		}
		page := f.call("GET", "/docs", "").header
		policy := page.Get("Content-Security-Policy")
		if !strings.Contains(policy, "frame-ancestors 'none'") ||
			strings.Contains(policy, "unsafe") || page.Get("Referrer-Policy") != "same-origin" ||
			page.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("GET /docs: %v", page)
		}
	})
}

func sortedList(s string) string {
	list := strings.Split(s, ", ")
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func TestHealth(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		if a := f.call("GET", "/healthz", ""); a.status != 200 || a.body != `{"status":"ok"}` {
			t.Errorf("healthz answered %d %s", a.status, a.body)
		}
		f.waitReady()
		f.server.Drain()
		a := f.call("GET", "/readyz", "")
		if f.want(a, 503, "overloaded"); !a.last || a.header.Get("Retry-After") == "" {
			t.Errorf("draining answers %v", a.header)
		}
		if a := f.call("GET", "/healthz", ""); a.status != 200 {
			t.Errorf("healthz answered %d while draining", a.status)
		}
	})
}

// The log has what went wrong inside, under the request's id. The answer does not.
func TestAFailingStore(t *testing.T) {
	away := fmt.Errorf("%w: %w", store.ErrUnavailable, errInside)
	for _, c := range []struct {
		name   string
		store  Store
		status int
		code   string
		logged string
	}{
		{"away", brokenStore{err: away}, 503, "store_unavailable", "db.internal.example"},
		{"not migrated", brokenStore{err: store.ErrSchema}, 503, "store_unavailable", "schema"},
		{"at a loss", brokenStore{err: errInside}, 500, "internal", "db.internal.example"},
		{"in panic", panickingStore{}, 500, "internal", "the inside of it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := onSQLite(t, func(cfg *Config) { cfg.Store = c.store })
			a := f.as(store.Viewer, "GET", "/clientes/1", "", "X-Request-Id", "the-one")
			f.want(a, c.status, c.code)
			for _, inner := range []string{
				"internal.example", "SELECT", "inside", ".go", "goroutine",
			} {
				if strings.Contains(a.body, inner) {
					t.Errorf("the answer tells of %q: %s", inner, a.body)
				}
			}
			if (a.header.Get("Retry-After") != "") != (c.status == 503) {
				t.Errorf("Retry-After: %q", a.header.Get("Retry-After"))
			}
			line := f.logLine("the-one")
			if !strings.Contains(line, `"level":"ERROR"`) || !strings.Contains(line, c.logged) {
				t.Errorf("the log says %s", line)
			}
			if c.name == "in panic" && !strings.Contains(line, "cliente.go") {
				t.Errorf("the log does not say where the panic was: %s", line)
			}
			if c.code == "store_unavailable" {
				f.want(f.call("GET", "/readyz", ""), 503, "store_unavailable")
			}
		})
	}
}

// A store that refuses defends itself. The client may try again soon, and nobody has to find out
// why.
func TestAStoreThatRefuses(t *testing.T) {
	busy := brokenStore{err: fmt.Errorf("read cliente 1: %w", store.ErrOverloaded)}
	f := onSQLite(t, func(cfg *Config) { cfg.Store = busy })
	a := f.as(store.Viewer, "GET", "/clientes/1", "", "X-Request-Id", "the-one")
	f.want(a, 503, "overloaded")
	if got := a.header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After: %q", got)
	}
	line := f.logLine("the-one")
	if !strings.Contains(line, `"level":"INFO"`) || !strings.Contains(line, `"code":"overloaded"`) {
		t.Errorf("the log says %s", line)
	}
}

// After a panic in the middle of an answer the client sees a broken answer, and the log has the
// panic.
func TestAPanicInTheMiddleOfAnAnswer(t *testing.T) {
	f := onSQLite(t)
	f.server.engine.GET("/half", func(c *gin.Context) {
		c.String(http.StatusOK, strings.Repeat("half ", 10_000))
		panic("the inside of it")
	})
	for _, encoding := range []string{"identity", "gzip"} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", f.url+"/half", nil)
		authtest.Must(t, err)
		id := "the-half-" + encoding
		req.Header.Set("X-Request-Id", id)
		req.Header.Set("Accept-Encoding", encoding)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err == nil { // with gzip, all of it was still in a buffer
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: half an answer looks like a whole one", encoding)
		}
		line := f.logLine(id)
		if !strings.Contains(line, `"level":"ERROR"`) ||
			!strings.Contains(line, "the inside of it") {
			t.Errorf("the log says %s", line)
		}
	}
}

// A body in chunks is refused as soon as it is too large.
func TestBodiesWithoutALength(t *testing.T) {
	f := onSQLite(t)
	send := func(body io.Reader) int {
		req, err := http.NewRequestWithContext(t.Context(), "POST", f.url+"/clientes",
			struct{ io.Reader }{body})
		authtest.Must(t, err)
		req.Header.Set("Content-Type", mediaJSON)
		req.Header.Set("x-access-token", f.tokens[store.Editor])
		resp, err := http.DefaultTransport.RoundTrip(req)
		authtest.Must(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		authtest.Must(t, err)
		validateResponse(t, req, resp, b)
		return resp.StatusCode
	}
	const record = `{"name":"x"}`
	padded := func(size int) io.Reader {
		blanks := strings.Repeat(" ", size-len(record))
		return io.MultiReader(strings.NewReader(record), strings.NewReader(blanks))
	}
	if status := send(padded(maxBody)); status != 201 {
		t.Errorf("1 MiB answered %d", status)
	}
	if status := send(padded(maxBody + 1)); status != 413 {
		t.Errorf("1 MiB and a byte answered %d", status)
	}
}

func TestAFullGate(t *testing.T) {
	gate := password.NewGate(password.Local{}, 1, 0)
	f := onSQLite(t)
	full, err := auth.New(auth.Config{
		Store: f.store, Gate: gate, Secret: testSecret, Issuer: "clientes", Audience: "clientes",
		TokenTTL: 5 * time.Minute, SessionIdle: 30 * time.Minute, SessionMax: 30 * time.Minute,
		Now: f.server.cfg.Now, Log: f.server.cfg.Log,
	})
	authtest.Must(t, err)
	f.server.cfg.Auth = full
	entered, leave := make(chan bool), make(chan bool)
	go func() {
		_ = gate.Do(t.Context(), func(password.Hasher) error {
			entered <- true
			<-leave
			return nil
		})
	}()
	<-entered
	a := f.call("POST", "/login", viewerLogin)
	if f.want(a, 503, "overloaded"); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	// An unknown user costs the same.
	f.want(f.call("POST", "/login", `{"user":"nobody","password":"correct horse"}`),
		503, "overloaded")
	leave <- true
}

func TestTrustedProxies(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for _, c := range []struct {
		name    string
		trusted []netip.Prefix
		headers []string
		want    string
	}{
		{"nobody is believed", nil,
			[]string{"X-Forwarded-For", "192.0.2.1", "X-Real-IP", "192.0.2.2"}, "127.0.0.1"},
		{"a proxy is", loopback,
			[]string{"X-Forwarded-For", "192.0.2.1"}, "192.0.2.1"},
		{"what stands before the proxy's own word is not", loopback,
			[]string{"X-Forwarded-For", "198.51.100.7, 192.0.2.1"}, "192.0.2.1"},
		{"some write the port", loopback,
			[]string{"X-Forwarded-For", "198.51.100.7:80,192.0.2.1:49152"}, "192.0.2.1"},
		{"of IPv6, too", loopback,
			[]string{"X-Forwarded-For", "[2001:db8::1]:49152"}, "2001:db8::1"},
		{"and some brackets alone", loopback,
			[]string{"X-Forwarded-For", "[2001:db8::1]"}, "2001:db8::1"},
		{"no other header is", loopback,
			[]string{"X-Real-IP", "192.0.2.1"}, "127.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := onSQLite(t, func(cfg *Config) { cfg.TrustedProxies = c.trusted })
			headers := append(c.headers, "X-Request-Id", "it")
			f.want(f.call("POST", "/login", viewerLogin, headers...), 200, "")
			line := f.logLine("it")
			if !strings.Contains(line, `"ip":"`+c.want+`"`) {
				t.Errorf("logged %s", line)
			}
		})
	}
}

// A link-local IPv6 address comes with a zone.
func TestAClientOfTheSameNetworkHasAnAddress(t *testing.T) {
	proxy := netip.MustParsePrefix("fe80::2/128")
	f := onSQLite(t, func(cfg *Config) { cfg.TrustedProxies = []netip.Prefix{proxy} })
	for remote, want := range map[string]string{
		"[fe80::1%eth0]:49152": "fe80::1", "[fe80::2%eth0]:49152": "203.0.113.9",
		"192.0.2.1:49152": "192.0.2.1", "[2001:db8::1]:49152": "2001:db8::1", "@": "",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = remote
		r.Header.Set("X-Forwarded-For", "203.0.113.9")
		id := fmt.Sprintf("from-%x", remote)
		r.Header.Set("X-Request-Id", id)
		f.server.ServeHTTP(httptest.NewRecorder(), r)
		if line := f.logLine(id); !strings.Contains(line, `"ip":"`+want+`"`) {
			t.Errorf("%q is logged as %s, want %q", remote, line, want)
		}
	}
}

// The client of net/http would refuse to send these headers.
func TestHeadersThatNoStoreCanKeep(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		authtest.Must(t, err)
		defer conn.Close()
		_, err = fmt.Fprintf(conn, "POST /login HTTP/1.1\r\nHost: x\r\n"+
			"User-Agent: \xff\xfe%s\r\nContent-Type: application/json\r\n"+
			"Content-Length: %d\r\n\r\n%s",
			strings.Repeat("é", 400), len(viewerLogin), viewerLogin)
		authtest.Must(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		authtest.Must(t, err)
		defer resp.Body.Close()
		if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 {
			t.Errorf("answered %d %s", resp.StatusCode, b)
		}
	})
}

// A route without access cannot be mounted.
func TestARouteSaysWhoMayCallIt(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a route for no role was mounted")
		}
	}()
	(&Server{}).verifyJWT("", noKey)
}

// A configuration that would make a request panic is refused at once.
func TestNewNeedsItsConfiguration(t *testing.T) {
	whole := func() Config {
		return Config{
			Store: brokenStore{}, Auth: new(auth.Auth), Log: slog.New(slog.DiscardHandler),
			Now: time.Now, PublicURL: new(url.URL),
		}
	}
	if _, err := New(whole()); err != nil {
		t.Errorf("with all of it: %v", err)
	}
	for name, drop := range map[string]func(*Config){
		"Store":                            func(c *Config) { c.Store = nil },
		"Auth":                             func(c *Config) { c.Auth = nil },
		"Log":                              func(c *Config) { c.Log = nil },
		"Now":                              func(c *Config) { c.Now = nil },
		"PublicURL":                        func(c *Config) { c.PublicURL = nil },
		"Store, Auth, Log, Now, PublicURL": func(c *Config) { *c = Config{} },
	} {
		cfg := whole()
		drop(&cfg)
		if _, err := New(cfg); err == nil || err.Error() != "api.Config lacks "+name {
			t.Errorf("without %s: %v", name, err)
		}
	}
}
