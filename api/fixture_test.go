package api

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"clientes/api/wire"
	"clientes/auth"
	"clientes/auth/authtest"
	"clientes/auth/password"
	"clientes/store"
)

const (
	testSecret   = "0123456789abcdef0123456789abcdef"
	testPassword = "correct horse"
	ownHost      = "clientes.test"

	// testHash is a hash of testPassword of the current kind and cost, so no login replaces it.
	testHash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0IG9mIDE2IQ$HBrtvCKevMXJFIg8QpATBuuxxiXMc2gjQwL+yHXhvUQ"
)

// TestMain has more parallel tests run at once than there are cores, because most wait for a store.
// The command line's own -parallel is read after this, and wins.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// quickHasher is for tests that are not about the work of hashing.
var quickHasher = authtest.Remember(password.Local{})

// hasherFor returns quickHasher to a test, and to a benchmark one that does the work.
func hasherFor(t testing.TB) password.Hasher {
	if _, is := t.(*testing.B); is {
		return password.Local{}
	}
	return quickHasher
}

func engines() []authtest.Engine {
	return []authtest.Engine{authtest.SQLite(), authtest.Postgres()}
}

// emptyStore returns a store without records. [newFixture] closes it.
func emptyStore(t testing.TB, e authtest.Engine) store.Store {
	t.Helper()
	return e.Open(t, e.Migrated(t), time.Now)
}

// onSQLite serves an empty store, for a test to which the engine makes no difference.
func onSQLite(t testing.TB, changes ...func(*Config)) *fixture {
	t.Helper()
	return newFixture(t, emptyStore(t, authtest.SQLite()), changes...)
}

// onEachStore runs a test with a server over an empty store of each engine, in parallel.
func onEachStore(t *testing.T, test func(t *testing.T, f *fixture), changes ...func(*Config)) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		test(t, newFixture(t, e.Open(t, url, time.Now), changes...))
	})
}

// onEachClock is onEachStore with a store on a clock that stands still until the test advances it.
func onEachClock(t *testing.T, test func(t *testing.T, f *fixture, c *authtest.Clock),
	changes ...func(*Config)) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(store.Instant(time.Now()))
		test(t, newFixture(t, e.Open(t, url, c.Now), changes...), c)
	})
}

// stopTheClock stops the clock of a server, so that no wait ends while a test is slow.
func stopTheClock(cfg *Config) { cfg.Now = authtest.StoppedAt(time.Now().Round(0)).Now }

// atItsAddress makes browsers reach a server where it listens.
func atItsAddress(cfg *Config) { cfg.PublicURL = nil }

// overHTTPS makes browsers reach a server over https.
func overHTTPS(cfg *Config) { cfg.PublicURL = &url.URL{Scheme: "https", Host: ownHost} }

// fixture is a server that listens, with a user of each role.
type fixture struct {
	t      testing.TB
	store  store.Store
	auth   *auth.Auth
	config auth.Config // of auth
	server *Server
	url    string
	log    *authtest.Log
	users  map[store.Role]store.User
	tokens map[store.Role]string
}

// newFixture serves a store, which it closes when t ends. Each change may alter the configuration.
func newFixture(t testing.TB, st store.Store, changes ...func(*Config)) *fixture {
	t.Helper()
	f := &fixture{
		t: t, store: st, log: new(authtest.Log),
		users: make(map[store.Role]store.User), tokens: make(map[store.Role]string),
	}
	cfg := Config{
		Store: st, Log: slog.New(slog.NewJSONHandler(f.log, nil)), Now: time.Now,
		PublicURL: &url.URL{Scheme: "http", Host: ownHost}, Console: true,
	}
	for _, change := range changes {
		change(&cfg)
	}
	listening := httptest.NewUnstartedServer(nil)
	if cfg.PublicURL == nil {
		cfg.PublicURL = &url.URL{Scheme: "http", Host: listening.Listener.Addr().String()}
	}
	var err error
	f.config = auth.Config{
		Store: st, Gate: password.NewGate(hasherFor(t), 2, 64), Secret: testSecret,
		Issuer: "clientes", Audience: "clientes",
		TokenTTL: 300 * time.Second, SessionIdle: 30 * time.Minute, SessionMax: 720 * time.Hour,
		RememberIdle: 336 * time.Hour,
		RefreshGrace: 30 * time.Second, Now: cfg.Now, Log: cfg.Log,
	}
	f.auth, err = auth.New(f.config)
	authtest.Must(t, err)
	cfg.Auth = f.auth
	f.server, err = New(cfg)
	authtest.Must(t, err)
	listening.Config.Handler = f.server
	listening.Config.ConnContext = ConnContext
	listening.Config.WriteTimeout = time.Minute // or a deadline of one answer is one of the next
	listening.Config.DisableGeneralOptionsHandler = true
	listening.Start()
	f.url = listening.URL
	ctx, stop := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() { f.auth.Run(ctx) })
	t.Cleanup(func() {
		listening.Close()
		stop()
		following.Wait()
		authtest.Must(t, st.Close())
		f.checkLog()
	})
	for _, role := range store.Roles() {
		f.users[role], err = st.CreateUser(t.Context(),
			store.User{Name: "the-" + string(role), Role: role, PasswordHash: testHash})
		authtest.Must(t, err)
		f.tokens[role] = f.login(role)
	}
	return f
}

// login returns a new token for the user of a role.
func (f *fixture) login(role store.Role) string {
	f.t.Helper()
	g, err := f.auth.Login(f.t.Context(),
		auth.LoginRequest{User: "the-" + string(role), Password: testPassword})
	authtest.Must(f.t, err)
	return g.Token
}

// checkLog fails the test if a secret, a password, a hash or a token was logged.
func (f *fixture) checkLog() {
	log := f.log.String()
	for what, secret := range map[string]string{
		"secret": testSecret, "password": testPassword, "hash": "$argon2id$", "token": "eyJhbGciOi",
	} {
		if strings.Contains(log, secret) {
			f.t.Errorf("the log has a %s in it:\n%s", what, log)
		}
	}
	if keyText.MatchString(log) {
		f.t.Errorf("the log has a key in it:\n%s", log)
	}
}

// keyText is the text of a key. An id is shorter, and may have its beginning in it by chance.
var keyText = regexp.MustCompile(`clk_[0-9A-Za-z]{24}`)

// logLine waits for the log line of a request and returns it. A client may have a long answer, or
// hang up, before the line is written.
func (f *fixture) logLine(requestID string) string {
	f.t.Helper()
	var lines []string
	f.eventually(requestID+" is logged", func() bool {
		for l := range strings.Lines(f.log.String()) {
			if strings.Contains(l, `"msg":"request"`) &&
				strings.Contains(l, `"request_id":"`+requestID+`"`) {
				lines = append(lines, l)
			}
		}
		return lines != nil
	})
	if len(lines) != 1 {
		f.t.Fatalf("%d lines of %s: %s", len(lines), requestID, lines)
	}
	return lines[0]
}

// eventually waits for what another process or goroutine brings about.
func (f *fixture) eventually(what string, is func() bool) {
	f.t.Helper()
	authtest.Eventually(f.t, what, is)
}

// soon returns the next value of a channel. It fails the test if none comes.
func soon[T any](t testing.TB, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(authtest.Timeout):
		t.Fatal("nothing came in a minute")
	}
	return v
}

// answer is the answer of a server.
type answer struct {
	status int
	header http.Header
	body   string // that of JSON without the newline at its end
	last   bool   // the server closes the connection
}

// code returns the code of an error.
func (a answer) code() string {
	var p problem
	_ = json.Unmarshal([]byte(a.body), &p)
	return p.Code
}

// faults returns "field:code" of each entry of errors.
func (a answer) faults() string {
	var p problem
	_ = json.Unmarshal([]byte(a.body), &p)
	var s []string
	for _, e := range p.Errors {
		s = append(s, e.Field+":"+e.Code)
	}
	return strings.Join(s, " ")
}

// call sends a request and checks the answer against openapi.yaml. Headers come as name, value,
// name, value…; a body without a Content-Type is JSON.
func (f *fixture) call(method, path, body string, headers ...string) answer {
	f.t.Helper()
	a, err := f.try(method, path, body, headers...)
	authtest.Must(f.t, err)
	return a
}

// as is call with the token of a role.
func (f *fixture) as(role store.Role, method, path, body string, headers ...string) answer {
	f.t.Helper()
	return f.call(method, path, body, append(headers, "x-access-token", f.tokens[role])...)
}

func (f *fixture) try(method, path, body string, headers ...string) (answer, error) {
	var from io.Reader
	if body != "" {
		from = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path, from)
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		req.Header.Set("Content-Type", mediaJSON)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Content-Type" {
			req.Header.Del(headers[i])
		}
		if headers[i+1] != "" {
			req.Header.Add(headers[i], headers[i+1])
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	return f.read(resp)
}

// read reads an answer to its end.
func (f *fixture) read(resp *http.Response) (answer, error) {
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	validateResponse(f.t, resp.Request, resp, b)
	body := string(b)
	if strings.HasPrefix(resp.Header.Get("Content-Type"), mediaJSON) && body != "" {
		var ended bool
		if body, ended = strings.CutSuffix(body, "\n"); !ended || strings.HasSuffix(body, "\n") {
			f.t.Errorf("the answer does not end with one newline: %q", b)
		}
	}
	return answer{resp.StatusCode, resp.Header, body, resp.Close}, nil
}

// rawConn is a connection on which a test may send anything at any time.
type rawConn struct {
	net.Conn
	f   *fixture
	in  *bufio.Reader
	req *http.Request
}

// dial opens a connection to the server. The end of the test closes it.
func (f *fixture) dial() *rawConn {
	f.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	authtest.Must(f.t, err)
	f.t.Cleanup(func() { conn.Close() })
	return &rawConn{Conn: conn, f: f, in: bufio.NewReader(conn)}
}

// send sends text as it is.
func (w *rawConn) send(text string) {
	w.f.t.Helper()
	_, err := io.WriteString(w, text)
	authtest.Must(w.f.t, err)
}

// begin sends the head of a request with the token of a role, and the beginning of its body.
func (w *rawConn) begin(role store.Role, method, path string, headers []string, body string) {
	w.f.t.Helper()
	var err error
	w.req, err = http.NewRequestWithContext(w.f.t.Context(), method, w.f.url+path, nil)
	authtest.Must(w.f.t, err)
	head := method + " " + path + " HTTP/1.1\r\n"
	for _, h := range append(headers, "Host: x", "x-access-token: "+w.f.tokens[role]) {
		head += h + "\r\n"
	}
	w.send(head + "\r\n" + body)
}

// answer reads the answer to its end.
func (w *rawConn) answer() answer {
	w.f.t.Helper()
	resp, err := http.ReadResponse(w.in, w.req)
	authtest.Must(w.f.t, err)
	a, err := w.f.read(resp)
	authtest.Must(w.f.t, err)
	return a
}

// add creates a customer without HTTP.
func (f *fixture) add(c store.Cliente) store.Cliente {
	f.t.Helper()
	c, err := f.store.CreateCliente(f.t.Context(), 0, c)
	authtest.Must(f.t, err)
	return c
}

// waitReady waits until the server says that it is ready.
func (f *fixture) waitReady() {
	f.t.Helper()
	f.eventually("readyz answers 200", func() bool {
		return f.call("GET", "/readyz", "").status == 200
	})
}

// want fails the test unless an answer has this status and code.
func (f *fixture) want(a answer, status int, code string) {
	f.t.Helper()
	if a.status != status || a.code() != code {
		f.t.Errorf("answered %d %q, want %d %q:\n%.500s", a.status, a.code(), status, code, a.body)
	}
}

// brokenStore fails like a store that cannot be reached.
type brokenStore struct {
	Store
	err error
}

func (b brokenStore) Cliente(context.Context, int64) (store.Cliente, error) {
	return store.Cliente{}, b.err
}
func (b brokenStore) Ready(context.Context) error { return b.err }

// panickingStore panics with a secret.
type panickingStore struct{ Store }

func (panickingStore) Cliente(context.Context, int64) (store.Cliente, error) {
	panic("the inside of it")
}

var errInside = errors.New("connect to db.internal.example: SELECT secrets FROM vault")

// wireTime returns an instant as the API writes it.
func wireTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func clienteJSON(c store.Cliente) string {
	return string(wire.AppendCliente(nil, &c))
}
