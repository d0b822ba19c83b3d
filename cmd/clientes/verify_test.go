package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"clientes/auth/authtest"
	"clientes/cmd/clientes/verify"
	"clientes/store"
	"clientes/store/postgres/postgrestest"
)

// verifyReport is what a test reads of the JSON report.
type verifyReport struct {
	Passed   int      `json:"passed"`
	Failed   int      `json:"failed"`
	NotTried int      `json:"not_tried"`
	Left     []string `json:"left"`
	Results  []struct {
		ID       string `json:"id"`
		Outcome  string `json:"outcome"`
		Evidence string `json:"evidence"`
	} `json:"results"`
}

// verifyFleet runs the command on the processes of a fleet, with settings beside its own, and
// returns the report.
func verifyFleet(
	t *testing.T, f *fleet, settings map[string]string, args ...string,
) (r verifyReport, status int) {
	t.Helper()
	vars := map[string]string{"DATABASE_URL": f.databaseURL, "SECRET": goodSecret}
	for name, value := range settings {
		vars[name] = value
	}
	all := []string{"verify", f.on(0).url(""), "--json"}
	for _, s := range f.servers[1:] {
		all = append(all, "--replica", s.url(""))
	}
	got := call(t, vars, "", append(all, args...)...)
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil {
		t.Fatalf("the report: %v\nstdout %s\nstderr %s", err, got.stdout, got.stderr)
	}
	return r, got.status
}

// wantKept fails the test unless every check of a report has passed.
func (r verifyReport) wantKept(t *testing.T, status int) {
	t.Helper()
	for _, x := range r.Results {
		if x.Outcome != string(verify.Passed) {
			t.Errorf("%s %s: %s", x.ID, x.Outcome, x.Evidence)
		}
	}
	if status != 0 || len(r.Left) > 0 || len(r.Results) == 0 || r.Passed != len(r.Results) {
		t.Errorf("status %d, %d of %d passed, left %q", status, r.Passed, len(r.Results), r.Left)
	}
}

// rows returns what verify makes and must remove: the names of users, and how many customers there
// are.
func (f *fleet) rows(t *testing.T) string {
	t.Helper()
	st, err := openExisting(t.Context(), f.databaseURL)
	authtest.Must(t, err)
	defer st.Close()
	var names []string
	authtest.Must(t, eachUser(t.Context(), st, func(u store.User) error {
		names = append(names, u.Name)
		return nil
	}))
	n, err := st.CountClientes(t.Context(), store.Filter{})
	authtest.Must(t, err)
	return fmt.Sprint(names, n)
}

// addAdmin adds the admin without whom verify could not remove its own.
func (f *fleet) addAdmin(t *testing.T) {
	t.Helper()
	f.command(t, goodPassword, "user", "add", "boss", "--role", "admin", "--password-stdin")
}

// quickChecks are some of each kind that take little time.
var quickChecks = []string{
	"--check", "token-alg-none", "--check", "token-expired", "--check", "logout-everywhere",
	"--check", "refresh-reuse", "--check", "cookie-flags", "--check", "headers",
}

// A good server keeps its promises, and nothing is left behind. All checks run with TEST_LONG.
func TestVerify(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, engineURLs(t)["sqlite"](t))
	f.addAdmin(t)
	before := f.rows(t)
	report, status := verifyFleet(t, f, nil, quickChecks...)
	report.wantKept(t, status)
	if after := f.rows(t); after != before {
		t.Errorf("before %s, afterwards %s", before, after)
	}
	vars := map[string]string{"DATABASE_URL": f.databaseURL, "SECRET": goodSecret}
	for form, want := range map[string]string{
		"--markdown=false": "passed    token-alg-none: ", "--markdown": "| `token-alg-none` | ",
	} {
		file := filepath.Join(t.TempDir(), "report")
		call(t, vars, "", "verify", f.on(0).url(""), form, "--output", file,
			"--check", "token-alg-none").want(t, 0, "", "")
		text, err := os.ReadFile(file)
		authtest.Must(t, err)
		if !strings.Contains(string(text), want) {
			t.Errorf("the report with %s: %s", form, text)
		}
	}
	// With the login of an admin it needs no database.
	call(t, nil, goodPassword, "verify", f.on(0).url(""), "--user", "boss", "--password-stdin",
		"--check", "token-alg-none", "--check", "token-expired").
		want(t, 0, "1 passed, 0 failed, 1 not tried", "")
	call(t, nil, "wrong", "verify", f.on(0).url(""), "--user", "boss", "--password-stdin").
		want(t, 1, "", "does not accept the admin's user name and password")
}

// A server that requires a second factor of everybody gets one from each user of verify. One
// without the pages for people is no worse.
func TestVerifyWithARequiredSecondFactor(t *testing.T) {
	if !long() {
		t.Skip("TEST_LONG is not set")
	}
	t.Parallel()
	f := newFleet(t, 1, engineURLs(t)["sqlite"](t), "REQUIRE_MFA=all", "CONSOLE=off")
	f.addAdmin(t)
	before := f.rows(t)
	report, status := verifyFleet(t, f, nil, "--check", "logout-everywhere", "--check", "own-proof",
		"--check", "second-factor", "--check", "logout-refresh", "--check", "step-up",
		"--check", "user-unique", "--check", "methods")
	report.wantKept(t, status)
	if after := f.rows(t); after != before {
		t.Errorf("before %s, afterwards %s", before, after)
	}
	// The one of the operator has none, and verify must not set one up, whatever the name.
	f.command(t, goodPassword, "user", "add", "verify-team", "--role", "admin", "--password-stdin")
	for _, name := range []string{"boss", "verify-team"} {
		call(t, nil, goodPassword, "verify", f.on(0).url(""), "--user", name, "--password-stdin").
			want(t, 1, "", "requires a second factor of this admin")
	}
}

// What is broken is found, and said with exit status 1.
func TestVerifyFindsWhatIsBroken(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, engineURLs(t)["sqlite"](t))
	f.addAdmin(t)
	server, err := url.Parse(f.on(0).url(""))
	authtest.Must(t, err)
	proxy := httputil.NewSingleHostReverseProxy(server)
	proxy.ModifyResponse = func(r *http.Response) error {
		r.Header.Del("X-Content-Type-Options")
		return nil
	}
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Whatever the token: also after its end.
		if r.URL.Path == "/clientes/0" && strings.Count(r.Header.Get("X-Access-Token"), ".") == 2 {
			http.Error(w, `{"code":"not_found"}`, http.StatusNotFound)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(broken.Close)
	vars := map[string]string{"DATABASE_URL": f.databaseURL, "SECRET": goodSecret}
	before := f.rows(t)
	// With a login, since it does not tell which tokens SECRET has signed.
	got := call(t, vars, goodPassword, "verify", broken.URL, "--user", "boss", "--password-stdin",
		"--check", "headers", "--check", "token-alg-none", "--check", "logout-everywhere",
		"--check", "request-id")
	got.want(t, 1, "1 passed, 3 failed", "3 of 4 promises do not hold")
	for _, want := range []string{
		"has no X-Content-Type-Options: nosniff", "was answered 404 not_found on a guarded route",
		"right after it had ended the session",
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("the report lacks %q: %s", want, got.stdout)
		}
	}
	if after := f.rows(t); after != before {
		t.Errorf("before %s, afterwards %s", before, after)
	}
}

// stdoutFunc is called for what a command prints.
type stdoutFunc func(text []byte)

func (f stdoutFunc) Write(text []byte) (int, error) {
	f(text)
	return len(text), nil
}

// The admin is gone before the report is printed: SIGPIPE may end the process there.
func TestVerifyPrintsWhenAllIsRemoved(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, engineURLs(t)["sqlite"](t))
	f.addAdmin(t)
	before, then := f.rows(t), "nothing printed"
	vars := map[string]string{"DATABASE_URL": f.databaseURL, "SECRET": goodSecret}
	status := run(t.Context(), []string{"verify", f.on(0).url(""), "--check", "token-alg-none"},
		func(name string) (string, bool) { value, ok := vars[name]; return value, ok },
		strings.NewReader(""), stdoutFunc(func([]byte) { then = f.rows(t) }), io.Discard)
	if then != before || status != 0 {
		t.Errorf("status %d; before %s, while printing %s", status, before, then)
	}
}

// An interrupt ends the run, which removes what it made.
func TestVerifyIsInterrupted(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, engineURLs(t)["sqlite"](t))
	f.addAdmin(t)
	before := f.rows(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	report, err := verify.Run(ctx, verify.Config{
		URL: f.on(0).url(""), Admin: verify.Credentials{User: "boss", Password: goodPassword},
		Only: []string{"token-alg-none", "refresh-reuse"}, Now: time.Now,
		Progress: func(verify.Result) { cancel() },
	})
	authtest.Must(t, err)
	if !report.Interrupted || report.Err() == nil || report.Count(verify.Passed) != 1 ||
		report.Count(verify.NotTried) != 1 || len(report.Left) > 0 {
		t.Errorf("the report: %s, %+v, left %q", report.Summary(), report.Results, report.Left)
	}
	if after := f.rows(t); after != before {
		t.Errorf("before %s, afterwards %s", before, after)
	}
}

// A report that nobody reads ends the process. Nothing is left behind.
func TestVerifyIntoAClosedPipe(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, engineURLs(t)["sqlite"](t))
	f.addAdmin(t)
	before := f.rows(t)
	r, w, err := os.Pipe()
	authtest.Must(t, err)
	r.Close()
	defer w.Close()
	cmd := command(t, []string{"DATABASE_URL=" + f.databaseURL, "SECRET=" + goodSecret},
		"verify", f.on(0).url(""), "--check", "token-alg-none")
	cmd.Stdout = w
	if cmd.Run() == nil {
		t.Error("the report was written")
	}
	if after := f.rows(t); after != before {
		t.Errorf("before %s, afterwards %s", before, after)
	}
}

// Where verify cannot begin it says why, and makes nothing.
func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	newURL := engineURLs(t)["sqlite"]
	f, other := newFleet(t, 1, newURL(t)), newURL(t)
	vars := func(databaseURL string) map[string]string {
		return map[string]string{"DATABASE_URL": databaseURL, "SECRET": goodSecret}
	}
	server := f.on(0).url("")
	stranger := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(stranger.Close)
	moved := httptest.NewServer(http.RedirectHandler("https://example.com", http.StatusFound))
	t.Cleanup(moved.Close)
	nowhere := httptest.NewServer(http.NotFoundHandler())
	nowhere.Close()
	missing := filepath.Join(t.TempDir(), "missing.db")
	for _, c := range []struct {
		database string
		args     []string
		status   int
		want     string
	}{
		{f.databaseURL, []string{"https://example.com"}, 2, "give --user NAME"},
		{f.databaseURL, []string{server, "--replica", "https://example.com"}, 2,
			"give --user NAME"},
		{f.databaseURL, []string{"http://example.com", "--user", "boss"}, 2, "in clear"},
		{f.databaseURL, []string{server, "--replica", "http://192.0.2.1", "--user", "boss"}, 2,
			"in clear"},
		{f.databaseURL, []string{server + "/x"}, 2, "more than a scheme, a host and a port"},
		{f.databaseURL, []string{"http://a:b@127.0.0.1"}, 2, "must not hold a user name"},
		{f.databaseURL, []string{"127.0.0.1:3000"}, 2, "is not the URL of a server"},
		{f.databaseURL, []string{server, "--check", "x"}, 2, `there is no check "x"`},
		{f.databaseURL, []string{server, "--json", "--markdown"}, 2, "give one of them"},
		{f.databaseURL, nil, 2, "takes URL"},
		{f.databaseURL, []string{nowhere.URL}, 1, "no server answers"},
		{f.databaseURL, []string{stranger.URL}, 1, "is not clientes"},
		{f.databaseURL, []string{strings.Replace(server, "http", "https", 1)}, 1, "with http://"},
		{f.databaseURL, []string{moved.URL}, 1, "redirects"},
		{f.databaseURL, []string{server}, 1, "has no other admin"},
		{"sqlite:" + missing, []string{server}, 1, "clientes migrate"},
	} {
		call(t, vars(c.database), "", append([]string{"verify"}, c.args...)...).
			want(t, c.status, "", c.want)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("a database was made by accident")
	}
	// The server of another secret may be anybody's: it does not get the password of an admin.
	g := &fleet{databaseURL: other}
	g.addAdmin(t)
	before := g.rows(t)
	strange := vars(other)
	strange["SECRET"] = otherSecret
	call(t, strange, "", "verify", server).want(t, 1, "", "does not know SECRET of this folder")
	// The server of another database does not know the admin, who is removed again.
	call(t, vars(other), "", "verify", server).want(t, 1, "", "uses another database")
	if after := g.rows(t); after != before {
		t.Errorf("before %s, afterwards %s", before, after)
	}
}

// No admin gets mail of the admin that verify makes.
func TestVerifySendsNoMail(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, engineURLs(t)["sqlite"](t))
	f.command(t, goodPassword, "user", "add", "boss", "--role", "admin", "--email",
		"boss@example.com", "--password-stdin")
	report, status := verifyFleet(t, f, nil, "--check", "role-change-ends", "--check",
		"second-factor")
	report.wantKept(t, status)
	// On loopback without SMTP_URL, mail is written to the log.
	f.on(0).signal(t)
	f.on(0).wait()
	if log := f.on(0).stderr.String(); strings.Contains(log, "boss@example.com") {
		t.Errorf("the log has mail: %s", log)
	}
}

// tableRow is a row of the table of promises in the page.
var tableRow = regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| ([^|]*) \\|$")

// The page has a table of all promises, in the words of the code.
func TestVerifyPage(t *testing.T) {
	var got, want []string
	page := readProjectFile(t, "cmd/clientes/VERIFY.md")
	page, _, _ = strings.Cut(page, "\n## Who verifies verify\n") // with a table of another kind
	for _, row := range tableRow.FindAllStringSubmatch(page, -1) {
		got = append(got, row[1]+": "+row[2])
	}
	for _, p := range verify.Promises() {
		want = append(want, p.ID+": "+p.Sentence)
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("the table of VERIFY.md lacks %s", line)
		}
	}
	if len(got) != len(want) {
		t.Errorf("the table of VERIFY.md has %d promises, the code %d", len(got), len(want))
	}
	listed := call(t, nil, "", "verify", "--list")
	if n := strings.Count(listed.stdout, "\n"); listed.status != 0 || n != len(want) {
		t.Errorf("--list has %d lines: %s", n, listed.stderr)
	}
	var promises []struct{ ID, Section, Promise string }
	listed = call(t, nil, "", "verify", "--list", "--json")
	authtest.Must(t, json.Unmarshal([]byte(listed.stdout), &promises,
		json.MatchCaseInsensitiveNames(true)))
	if len(promises) != len(want) || promises[0].Promise == "" {
		t.Errorf("--list --json has %d promises, the first one %q", len(promises), promises)
	}
}

// What a proxy before the server refuses by itself is no fault of the server, nor is the name that
// the proxy calls itself.
func TestVerifyBehindAProxy(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, engineURLs(t)["sqlite"](t), "TRUSTED_PROXIES=127.0.0.1,::1")
	f.addAdmin(t)
	server, err := url.Parse(f.on(0).url(""))
	authtest.Must(t, err)
	pass := httputil.NewSingleHostReverseProxy(server)
	pass.ModifyResponse = func(r *http.Response) error {
		r.Header.Set("Server", "nginx/1.22.1")
		return nil
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := 0
		switch {
		case strings.ContainsRune(r.URL.Path, 0):
			status = http.StatusBadRequest
		case r.ContentLength > 1<<20:
			status = http.StatusRequestEntityTooLarge
		}
		if status == 0 {
			pass.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Server", "nginx/1.22.1")
		http.Error(w, "<html>", status)
	}))
	defer proxy.Close()
	vars := map[string]string{"DATABASE_URL": f.databaseURL, "SECRET": goodSecret}
	got := call(t, vars, "", "verify", proxy.URL,
		"--check", "headers", "--check", "errors-hide", "--check", "body-limits")
	got.want(t, 0, "2 passed, 0 failed, 1 not tried", "")
	for _, want := range []string{
		"the proxy itself refused 1 of them", "the proxy before the server refuses a body of 10485",
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("the report does not say %q:\n%s", want, got.stdout)
		}
	}
}

// TestVerifyEverything runs every check on both engines and on three processes.
func TestVerifyEverything(t *testing.T) {
	if !long() {
		t.Skip("TEST_LONG is not set")
	}
	for name, f := range map[string]func(t *testing.T) *fleet{
		"sqlite": func(t *testing.T) *fleet {
			return newFleet(t, 1, engineURLs(t)["sqlite"](t))
		},
		"postgres": func(t *testing.T) *fleet {
			return newFleet(t, 1, postgrestest.Database(t))
		},
		"a second factor for all": func(t *testing.T) *fleet {
			return newFleet(t, 1, engineURLs(t)["sqlite"](t), "REQUIRE_MFA=all")
		},
		"a second factor for admins": func(t *testing.T) *fleet {
			return newFleet(t, 1, engineURLs(t)["sqlite"](t), "REQUIRE_MFA=admin", "SIGNUP=open",
				"REQUIRE_IF_MATCH=true", "PUBLIC_URL=https://clientes.example.com")
		},
		"short times": func(t *testing.T) *fleet {
			return newFleet(t, 1, engineURLs(t)["sqlite"](t), "TOKEN_TTL=10s", "SESSION_MAX=2m",
				"PASSWORD_MIN=64", "CORS_ORIGINS=https://a.example.com")
		},
		"three replicas": func(t *testing.T) *fleet {
			return newFleet(t, 3, postgrestest.Database(t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := f(t)
			f.addAdmin(t)
			before := f.rows(t)
			var settings map[string]string
			if name == "a second factor for admins" {
				settings = map[string]string{"SIGNUP": "open"} // as in the server's folder
			}
			report, status := verifyFleet(t, f, settings, "--slow")
			report.wantKept(t, status)
			for _, x := range report.Results {
				t.Logf("%s: %s", x.ID, x.Evidence)
			}
			if after := f.rows(t); after != before {
				t.Errorf("before %s, afterwards %s", before, after)
			}
		})
	}
}
