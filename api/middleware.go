package api

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"clientes/auth"
	"clientes/store"
)

// noPage is the Content-Security-Policy of what no browser has to show as a page.
const noPage = "default-src 'none'; frame-ancestors 'none'"

// headersOf returns the headers that every answer has at first. Pages and other static files
// replace some of them. All answers share the values, which net/http does not change.
//
// Browsers obey Strict-Transport-Security over https alone. OWASP ASVS 5.0 wants a year, and the
// subdomains too (3.4.1).
func headersOf(public *url.URL) http.Header {
	h := http.Header{
		"X-Content-Type-Options":  {"nosniff"},
		"Cache-Control":           {"no-store"},
		"Content-Security-Policy": {noPage},
		"Vary":                    {"Accept-Encoding"},
	}
	if public.Scheme == "https" {
		h["Strict-Transport-Security"] = []string{"max-age=31536000; includeSubDomains"}
	}
	return h
}

// closeIfDraining tells the client to use another connection for its next request if the server is
// about to stop. It is called when a request begins and again when it is answered: the server may
// have been told to stop in between.
func (s *Server) closeIfDraining(h http.Header) {
	if s.draining.Load() {
		h.Set("Connection", "close")
	}
}

// begin sets the id of the request and the headers that every answer has. It counts the request and
// writes the log line.
func (s *Server) begin(c *gin.Context) {
	start := s.cfg.Now()
	x := &exchange{ResponseWriter: c.Writer, ip: s.clientIP(c)}
	c.Writer = x
	x.id = c.Request.Header.Get("X-Request-Id")
	if !isRequestID(x.id) {
		x.id = newRequestID()
	}
	x.trace = traceID(c.Request.Header)
	h := x.Header()
	x.setHeader(h, "X-Request-Id", x.id)
	maps.Copy(h, s.headers)
	// A Content-Length beside Transfer-Encoding may be an attempt to smuggle a request past a proxy
	// (RFC 9112 section 6.3). net/http drops that header before anybody sees it. So every chunked
	// request is the last of its connection.
	if len(c.Request.TransferEncoding) > 0 {
		h.Set("Connection", "close")
	}
	s.closeIfDraining(h)

	if s.metrics != nil {
		s.metrics.active.Inc()
	}
	defer s.end(c, x, start) // also when a panic comes through
	c.Next()
}

// end counts a request that has begun at start, and writes its log line.
func (s *Server) end(c *gin.Context, x *exchange, start time.Time) {
	now := s.cfg.Now()
	if s.metrics != nil {
		s.metrics.end(c, now.Sub(start))
	}
	s.logRequest(c, x, now, now.Sub(start))
}

// forwardedPause is the least time between two warnings about X-Forwarded-For.
const forwardedPause = time.Hour

// checkForwarded makes X-Forwarded-For readable if a trusted proxy has sent it. It warns of one
// that nobody believes: all clients of an unknown proxy count as one, and are slowed together.
func (s *Server) checkForwarded(h http.Header, from netip.Addr) {
	for _, proxies := range s.cfg.TrustedProxies {
		if proxies.Contains(from) {
			forwardedWithoutPorts(h)
			return
		}
	}
	if s.forwarded.may(s.cfg.Now(), forwardedPause) {
		s.cfg.Log.Warn("X-Forwarded-For came from an address that is not trusted, and is not believed; "+
			"if a proxy of yours has this address, add it to TRUSTED_PROXIES, or else all its clients "+
			"count as one; if not, somebody forges the header, and nothing is to be done",
			"address", from.String())
	}
}

// rarely holds back what would otherwise be logged too often. It is safe for concurrent use.
type rarely struct{ next atomic.Int64 }

// may reports whether it may happen now, for the first time or after a pause.
func (r *rarely) may(now time.Time, pause time.Duration) bool {
	next := r.next.Load()
	return now.Unix() >= next && r.next.CompareAndSwap(next, now.Add(pause).Unix())
}

// forwardedWithoutPorts removes the ports from X-Forwarded-For, which some proxies write there and
// Gin cannot read. Otherwise all clients of such a proxy would be one, and be slowed together for
// what one of them did.
func forwardedWithoutPorts(h http.Header) {
	const name = "X-Forwarded-For"
	for i, line := range h[name] {
		addresses := strings.Split(line, ",")
		for n, address := range addresses {
			address = strings.TrimSpace(address)
			if a, err := netip.ParseAddrPort(address); err == nil {
				address = a.Addr().String()
			}
			addresses[n] = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
		}
		h[name][i] = strings.Join(addresses, ", ")
	}
}

// logRequest writes the log line of a request that has ended now.
func (s *Server) logRequest(c *gin.Context, x *exchange, now time.Time, took time.Duration) {
	level := slog.LevelInfo
	// Half an answer that is no cut ended because of its client.
	begun := x.Status() == http.StatusOK
	failed := x.err != nil && (x.cut || !begun && x.status >= 500 && !expected(x.err))
	theft := x.err != nil && errors.Is(x.err, auth.ErrRefreshReused)
	switch {
	case failed:
		level = slog.LevelError
	case theft:
		level = slog.LevelWarn
	}
	ctx := context.Background() // the request's own may have ended
	handler := s.cfg.Log.Handler()
	if !handler.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 12)
	attrs = append(attrs,
		slog.String("request_id", x.id),
		slog.String("method", loggable(c.Request.Method)),
		// Never the query, where clients put secrets. Escaped, it has no character that a terminal
		// obeys.
		slog.String("path", loggable(withoutKeys(c.Request.URL.EscapedPath()))),
		slog.Int("status", x.Status()),
		slog.Int("bytes", max(x.Size(), 0)),
		slog.Float64("took_ms", float64(took.Microseconds())/1000),
		slog.String("ip", x.ip),
	)
	if x.trace != "" {
		attrs = append(attrs, slog.String("trace_id", x.trace))
	}
	if x.caller.UserID != 0 {
		attrs = append(attrs, slog.Int64("user_id", x.caller.UserID), tokenAttr(x.caller))
	}
	if x.err != nil {
		attrs = append(attrs, slog.String("code", x.code))
	}
	if failed || theft {
		attrs = append(attrs, slog.Any("error", x.err))
	}
	// Not LogAttrs, which would look up the line that calls it (BenchmarkRequests).
	r := slog.NewRecord(now, level, "request", 0)
	r.AddAttrs(attrs...)
	_ = handler.Handle(ctx, r) // as slog.Logger does: nobody could be told
}

// withoutKeys returns a path without what may be a key, which people take for its id.
func withoutKeys(path string) string {
	before, _, has := strings.Cut(path, "clk_")
	if !has {
		return path
	}
	return before + "…"
}

// tokenAttr names the token of a caller, or the key by its id.
func tokenAttr(c auth.Caller) slog.Attr {
	if c.IsKey {
		return slog.String("key", c.SessionID)
	}
	return slog.String("jti", c.TokenID)
}

// maxLogged is how many bytes of a text of the client are logged. A path of 16 KiB in each line
// would fill the disk, and push other lines out of the log.
const maxLogged = 256

func loggable(s string) string {
	if len(s) <= maxLogged {
		return s
	}
	return s[:maxLogged] + "…"
}

// isOurFault reports whether somebody has to find out why an error came about. The answer may be a
// redirect.
func isOurFault(err error) bool {
	status, _ := problemFor(err)
	return status >= 500 && !expected(err)
}

// expected reports whether a 5xx is a defence of the server, and not a fault that somebody has to
// find.
func expected(err error) bool {
	for _, defence := range []error{
		store.ErrOverloaded, auth.ErrOverloaded, errTooManyBodies, errTooManyTransfers,
		errTooManyListeners, errDraining, context.Canceled,
	} {
		if errors.Is(err, defence) {
			return true
		}
	}
	return false
}

func isRequestID(s string) bool {
	if len(s) < 1 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

func newRequestID() string {
	var b [12]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// recover turns a panic into a 500. Its cause is in the log only.
func (s *Server) recover(c *gin.Context) {
	defer func() {
		p := recover()
		switch {
		case p == nil:
			return
		case p == http.ErrAbortHandler:
			panic(p)
		}
		err := fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		if c.Writer.Written() {
			x := exchangeOf(c)
			x.refuse(err)
			x.cut = true
			panic(http.ErrAbortHandler) // half an answer must not look like a whole one
		}
		s.fail(c, err)
	}()
	c.Next()
}

// verifyJWT refuses a request without a good token of a user who may call the route, or a key that
// has the scope, too.
func (s *Server) verifyJWT(may access, scope store.Scope) gin.HandlerFunc {
	if may == anybody {
		return func(*gin.Context) {}
	}
	need := store.Role(may)
	if may == unfinished {
		need = store.Viewer
	}
	if !need.Valid() {
		panic("api: a route without access")
	}
	lacksScope := scopeMissing(scope)
	return func(c *gin.Context) {
		token, err := accessToken(c.Request.Header)
		if err != nil {
			s.fail(c, err)
			return
		}
		caller, err := s.cfg.Auth.Authenticate(c.Request.Context(), token)
		if err != nil {
			if auth.IsKey(token) {
				err = ofKey(err)
			}
			s.fail(c, err)
			return
		}
		exchangeOf(c).caller = caller
		switch {
		case !caller.Role.Allows(need):
			s.fail(c, errForbidden)
		case !caller.Allows(scope):
			s.fail(c, lacksScope)
		case caller.LacksMFA && may != unfinished:
			s.fail(c, auth.ErrMFASetupRequired)
		}
	}
}
