// Package api serves clientes over HTTP.
//
// A request becomes a call of a plain function, and what the function returns becomes the answer.
// The table of routes in api.go has a line for each route, with the role that may call it. The
// adapter that decodes, calls and answers is in serve.go. Errors become answers by one table in
// errors.go. Each resource has a file with its inputs, its functions and its views. A list is a
// page (page.go).
//
// Only the adapter, the middleware and the streams (import, export and changes) know Gin. The
// package does not know which engine stores the records, or how a token is made.
package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"clientes/auth"
	"clientes/store"
)

// Config is what a Server is made of. Store, Auth, Log, Now and PublicURL are required.
type Config struct {
	Store Store
	Auth  *auth.Auth
	Log   *slog.Logger
	Now   func() time.Time // time.Now, except in tests

	// PublicURL is where browsers find the server: its own origin for cookies.
	PublicURL *url.URL

	// CORSOrigins are the other origins whose pages may use the API, compared exactly. If there are
	// none, no answer has CORS headers.
	CORSOrigins []string

	// TrustedProxies are the only networks whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix

	// SignupOpen lets strangers create their own account.
	SignupOpen bool

	// Console serves the pages for people: the login page, and the console at /app/.
	Console bool

	// RequireIfMatch refuses to write over a record without If-Match (428).
	RequireIfMatch bool

	// Metrics is where the server registers its metrics. If it is nil, nothing is counted.
	Metrics prometheus.Registerer

	// Examine looks for what is wrong with the set-up, for GET /doctor. If it is nil, only the
	// request is examined.
	Examine func(context.Context) []store.Finding
}

// Store is the part of a [store.Store] that the API needs beside [auth.Auth].
type Store interface {
	store.Clientes
	store.Feed
	store.Erasing
	Now() time.Time
	Ready(ctx context.Context) error
	Identity(ctx context.Context) (store.Identity, error)
}

// check returns an error that names every required field that is missing.
func (cfg *Config) check() error {
	var missing []string
	for _, field := range []struct {
		name  string
		given bool
	}{
		{"Store", cfg.Store != nil},
		{"Auth", cfg.Auth != nil},
		{"Log", cfg.Log != nil},
		{"Now", cfg.Now != nil},
		{"PublicURL", cfg.PublicURL != nil},
	} {
		if !field.given {
			missing = append(missing, field.name)
		}
	}
	if missing == nil {
		return nil
	}
	return fmt.Errorf("api.Config lacks %s", strings.Join(missing, ", "))
}

// Server answers the requests of clientes. It is an http.Handler.
type Server struct {
	cfg      Config
	engine   *gin.Engine
	packing  http.Handler // the engine, with compressed answers
	secret   map[string]bool
	decoding *semaphore.Weighted // larger bodies that are being decoded
	exports  *semaphore.Weighted // that the store still reads

	bodies          room // larger bodies of verified callers that arrive, in bytes
	strangersBodies room // larger bodies on routes for anybody, in bytes
	imports         room // under way
	downloads       room // exports that clients still read
	listeners       room // requests that follow the changes, by session

	feed         *feed
	commentEvery time.Duration // commentEvery

	allow map[string][]string // the methods of each pattern

	forwarded rarely      // the warning about X-Forwarded-For
	headers   http.Header // of every answer, unless it has its own

	metrics *metrics // nil if there are none

	draining atomic.Bool
	drained  context.Context // ends when draining begins
	drain    context.CancelFunc
	ready    shared[readiness]
	examined shared[[]store.Finding] // the set-up, for GET /doctor
}

// route is one line of the table of routes. A query parameter that is not in query is refused.
type route struct {
	method string
	path   string
	may    access
	scope  store.Scope // that a key needs
	query  []string
	answer gin.HandlerFunc
}

// access is who may call a route: anybody, or a user of a role or above. Unfinished is every user,
// even one who must have a second factor and has none yet. A route without one cannot be mounted.
type access string

const (
	anybody    access = "anybody"
	unfinished access = "unfinished"
	viewers           = access(store.Viewer)
	editors           = access(store.Editor)
	admins            = access(store.Admin)
)

// The scopes that keys need, which may do nothing else: see noKey.
const (
	reads  = store.ScopeRead
	writes = store.ScopeWrite
	users  = store.ScopeUsers
	follow = store.ScopeChanges
	audit  = store.ScopeAudit
	doctor = store.ScopeDoctor

	// noKey is for what is a person's (password, sessions, keys), and for what needs no token.
	noKey store.Scope = ""
)

func (s *Server) routes() []route {
	return []route{
		{"GET", "/", anybody, noKey, nil, serve(s, 200, s.home)},
		{"POST", "/login", anybody, noKey, nil, s.postLogin()},
		{"POST", "/refresh", anybody, noKey, nil, serve(s, 200, s.refresh)},
		{"POST", "/logout", anybody, noKey, nil, serve(s, 200, s.logout)},

		{"GET", "/sessions", unfinished, noKey, nil, serve(s, 200, s.listSessions)},
		{"DELETE", "/sessions/:id", unfinished, noKey, nil, serve(s, 204, s.deleteSession)},

		{"POST", "/signup", anybody, noKey, nil, serve(s, 201, s.signup)},
		{"GET", "/me", unfinished, noKey, nil, serve(s, 200, s.getMe)},
		{"PATCH", "/me", unfinished, noKey, nil, serve(s, 200, s.patchMe)},
		{"POST", "/email/confirm", anybody, noKey, nil, serve(s, 204, s.confirmEmail)},
		{"POST", "/password", viewers, noKey, nil, serve(s, 204, s.changePassword)},
		{"POST", "/password/forgot", anybody, noKey, nil, serve(s, 202, s.forgotPassword)},
		{"POST", "/password/reset", anybody, noKey, nil, serve(s, 200, s.resetPassword)},

		{"GET", "/users", admins, users, usersQuery(), serve(s, 200, s.listUsers)},
		{"POST", "/users", admins, users, nil, serve(s, 201, s.createUser)},
		{"GET", "/users/:id", admins, users, nil, serve(s, 200, s.getUser)},
		{"PATCH", "/users/:id", admins, users, nil, serve(s, 200, s.patchUser)},
		{"DELETE", "/users/:id", admins, users, []string{"erase"}, serve(s, 204, s.deleteUser)},
		{"DELETE", "/users/:id/sessions", admins, users, nil, serve(s, 204, s.deleteUserSessions)},

		{"GET", "/keys", viewers, noKey, pageQuery(), serve(s, 200, s.listKeys)},
		{"POST", "/keys", viewers, noKey, nil, serve(s, 201, s.createKey)},
		{"DELETE", "/keys/:id", viewers, noKey, nil, serve(s, 204, s.deleteKey)},

		{"POST", "/me/mfa", unfinished, noKey, nil, serve(s, 200, s.beginMFA)},
		{"POST", "/me/mfa/confirm", unfinished, noKey, nil, serve(s, 200, s.confirmMFA)},
		{"DELETE", "/me/mfa", unfinished, noKey, nil, serve(s, 204, s.endMFA)},
		{"POST", "/me/mfa/recovery", viewers, noKey, nil, serve(s, 200, s.renewRecovery)},
		{"DELETE", "/me/devices", viewers, noKey, nil, serve(s, 204, s.cancelDevices)},
		{"DELETE", "/users/:id/mfa", admins, users, nil, serve(s, 204, s.dropMFA)},
		{"GET", "/audit", admins, audit, auditQuery(), serve(s, 200, s.listEvents)},

		{"GET", "/clientes", viewers, reads, listQuery(), serve(s, 200, s.listClientes)},
		{"POST", "/clientes", editors, writes, nil, serve(s, 201, s.createCliente)},
		{"POST", "/clientes/import", editors, writes, importQuery(), s.importClientes},
		{"GET", "/clientes/changes", viewers, follow, changesQuery(), s.changes()},
		{"GET", "/clientes/export", viewers, reads, selectionQuery(), s.exportClientes},
		{"GET", "/clientes/:id", viewers, reads, nil, serve(s, 200, s.getCliente)},
		{"PUT", "/clientes/:id", editors, writes, nil, serve(s, 200, s.replaceCliente)},
		{"PATCH", "/clientes/:id", editors, writes, nil, serve(s, 200, s.patchCliente)},
		{"DELETE", "/clientes/:id", editors, writes, nil, serve(s, 204, s.deleteCliente)},
		{"GET", "/clientes/:id/history", viewers, reads, pageQuery(),
			serve(s, 200, s.clienteHistory)},
		{"POST", "/clientes/:id/restore", editors, writes, nil, serve(s, 200, s.restoreCliente)},
		{"POST", "/clientes/:id/erase", admins, writes, nil, serve(s, 204, s.eraseCliente)},
		{"GET", "/clientes/:id/everything", admins, reads, nil, s.everything},

		{"GET", "/healthz", anybody, noKey, nil, serve(s, 200, s.healthz)},
		{"GET", "/readyz", anybody, noKey, nil, serve(s, 200, s.readyz)},
		{"GET", "/doctor", admins, doctor, nil, serve(s, 200, s.doctor)},
	}
}

// New returns a Server. It returns an error for a configuration with which some request would
// panic.
func New(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	engine, err := newEngine(cfg.TrustedProxies)
	if err != nil {
		return nil, err
	}
	compressed, err := compressor()
	if err != nil {
		return nil, err
	}
	published, err := staticFiles(cfg.PublicURL.String())
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, engine: engine, packing: compressed(engine), secret: secretRoutes(),
		decoding: semaphore.NewWeighted(2), exports: semaphore.NewWeighted(maxTransfers),
		bodies: room{
			size: maxBodies, share: bodiesOfOne, full: errTooManyBodies, used: errTooManyBodies,
		},
		strangersBodies: room{
			size: maxStrangersBodies, share: strangersOfOne,
			full: errTooManyBodies, used: errTooManyBodies,
		},
		imports: room{
			size: maxTransfers, share: 1, full: errTooManyTransfers, used: errOwnTransfer,
		},
		downloads: room{
			size: maxDownloads, share: 1, full: errTooManyTransfers, used: errOwnTransfer,
		},
		listeners: room{
			size: maxListeners, share: listenersOfOne,
			full: errTooManyListeners, used: errOwnListeners,
		},
		feed: newFeed(cfg.Store, cfg.Now, cfg.Log), commentEvery: commentEvery,
		headers: headersOf(cfg.PublicURL),
		allow:   make(map[string][]string),
	}
	s.drained, s.drain = context.WithCancel(context.Background())
	if s.metrics, err = newMetrics(s, cfg.Metrics); err != nil {
		return nil, err
	}
	routes := s.routes()
	for _, p := range published {
		routes = append(routes, route{"GET", p.path, anybody, noKey, nil, gin.WrapH(p)})
	}
	if cfg.Console {
		pages, err := s.consoleRoutes()
		if err != nil {
			return nil, err
		}
		routes = append(routes, pages...)
	}
	s.mount(routes)
	return s, nil
}

// newEngine returns an engine without routes, which takes each path as it is written.
func newEngine(trustedProxies []netip.Prefix) (*gin.Engine, error) {
	gin.SetMode(gin.ReleaseMode) // or it prints to standard output
	e := gin.New()
	e.RedirectTrailingSlash = false
	e.HandleMethodNotAllowed = true
	e.UseRawPath = true // or /clientes/5%2Fhistory would be /clientes/5/history
	e.UnescapePathValues = false
	e.RemoteIPHeaders = []string{"X-Forwarded-For"}
	trusted := make([]string, len(trustedProxies))
	for i, p := range trustedProxies {
		trusted[i] = p.String()
	}
	if err := e.SetTrustedProxies(trusted); err != nil {
		return nil, fmt.Errorf("trusted proxies: %w", err)
	}
	return e, nil
}

// mount has the engine serve routes, HEAD where there is GET, and OPTIONS.
func (s *Server) mount(routes []route) {
	e := s.engine
	allow := s.allow
	// Pages of other origins may read the refusal of a method, too: CORS comes first.
	e.Use(s.begin, s.recover, s.allowOrigins(), s.checkMethod, s.checkOrigin)
	e.NoRoute(s.noRoute)
	e.NoMethod(func(c *gin.Context) { s.fail(c, methodNotAllowed(c.Request.Method)) })
	for _, r := range routes {
		for _, method := range withHead(r.method) {
			e.Handle(method, r.path, s.verifyJWT(r.may, r.scope), s.checkQuery(r.query), r.answer)
			allow[r.path] = append(allow[r.path], method)
		}
	}
	for path, methods := range allow {
		methods = append(methods, "OPTIONS")
		slices.Sort(methods)
		allow[path] = methods
		e.OPTIONS(path, serveOptions(strings.Join(methods, ", ")))
	}
}

// checkMethod refuses methods that a path does not take although a pattern that covers it does.
// Without it, "GET /clientes/import" would be the customer with the id "import".
func (s *Server) checkMethod(c *gin.Context) {
	methods, ok := s.allow[c.Request.URL.EscapedPath()]
	if ok && !slices.Contains(methods, c.Request.Method) {
		c.Header("Allow", strings.Join(methods, ", "))
		s.fail(c, methodNotAllowed(c.Request.Method))
	}
}

// methodNotAllowed returns the error for a method that a path does not take. fetch sends "patch" as
// it is, although it writes "get" and "post" in capitals.
func methodNotAllowed(method string) error {
	switch capitals := strings.ToUpper(method); capitals {
	case method:
	case "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT":
		return &requestError{errMethodNotAllowed,
			"The method is written in capital letters: " + capitals + "."}
	}
	return errMethodNotAllowed
}

// noRoute answers for every path without a route. "OPTIONS *" is about the server as a whole (RFC
// 9110 section 9.3.7), and health checks of proxies send it.
func (s *Server) noRoute(c *gin.Context) {
	if c.Request.Method == http.MethodOptions && c.Request.URL.Path == "*" {
		c.Header("Allow", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")
		c.Writer.WriteHeader(http.StatusNoContent)
		c.Writer.WriteHeaderNow()
		return
	}
	s.fail(c, errNoRoute)
}

// withHead adds HEAD to GET: net/http then drops the body.
func withHead(method string) []string {
	if method == "GET" {
		return []string{"GET", "HEAD"}
	}
	return []string{method}
}

func serveOptions(allow string) gin.HandlerFunc {
	return func(c *gin.Context) {
		c.Header("Allow", allow)
		c.Writer.WriteHeader(http.StatusNoContent)
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = s.asExpress(r)
	if !acceptsGzip(r) || r.Method == http.MethodPost && s.secret[r.URL.Path] {
		s.engine.ServeHTTP(w, r)
		return
	}
	s.packing.ServeHTTP(w, r)
}

// asExpress returns a request with the path of the tutorial's route that Express finds for it: in
// any case of letters, with or without one slash at the end. Express compares the path as it came,
// so an escaped letter is another one. Other requests are returned as they are.
func (s *Server) asExpress(r *http.Request) *http.Request {
	path, ok := tutorialPath(r.URL.Path)
	if !ok || path == r.URL.Path || r.URL.RawPath != "" || s.allow[r.URL.Path] != nil {
		return r
	}
	if _, taken := s.allow[path]; taken && strings.Count(path, "/") > 1 {
		return r // "/Clientes/Import" is another route, and strict
	}
	found := *r
	url := *r.URL
	url.Path = path
	found.URL = &url
	return &found
}

// tutorialPath returns the canonical form of a path of the tutorial's routes.
func tutorialPath(path string) (canonical string, ok bool) {
	const records = "/clientes/"
	short := strings.TrimSuffix(path, "/")
	if len(short) > len(records) && strings.EqualFold(short[:len(records)], records) {
		id := short[len(records):]
		if strings.HasPrefix(short, records) { // as almost always: nothing is put together
			return short, !strings.Contains(id, "/")
		}
		return records + id, !strings.Contains(id, "/")
	}
	switch lower := strings.ToLower(short); lower {
	case "/login", "/logout", "/clientes":
		return lower, true
	}
	return path, false
}

// Drain announces that this server is about to stop. From now on /readyz answers 503, and every
// answer asks its client to open its next connection elsewhere. Streams of changes end, and nobody
// waits for changes any more.
func (s *Server) Drain() {
	s.draining.Store(true)
	s.drain()
}
