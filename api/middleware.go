package api

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"clientes/auth"
	"clientes/store"
)

// exchange is what is known of the request under way, from the middleware that learns it to the log line.
type exchange struct {
	id     string
	caller auth.Caller // after verifyJWT
	query  url.Values  // after checkQuery
	err    error       // what was answered with an error
	cut    bool        // the answer had begun when the error came
}

const exchangeKey = "exchange"

func exchangeOf(c *gin.Context) *exchange { return c.MustGet(exchangeKey).(*exchange) }

// Values that every answer carries; net/http does not change them.
var (
	nosniff = []string{"nosniff"}
	noStore = []string{"no-store"}
)

// begin gives the request its id and every answer its common headers, and writes the one log line.
func (s *Server) begin(c *gin.Context) {
	start := s.cfg.Now()
	x := &exchange{id: c.Request.Header.Get("X-Request-Id")}
	if !isRequestID(x.id) {
		x.id = newRequestID()
	}
	c.Set(exchangeKey, x)
	h := c.Writer.Header()
	h["X-Request-Id"] = []string{x.id}
	h["X-Content-Type-Options"] = nosniff
	h["Cache-Control"] = noStore // a page that may be kept says so itself
	if s.draining.Load() {
		h.Set("Connection", "close")
	}

	// Gin can not read an address with a zone, which IPv6 has within one network, and would take it for none.
	if from, err := netip.ParseAddrPort(c.Request.RemoteAddr); err == nil && from.Addr().Zone() != "" {
		c.Request.RemoteAddr = netip.AddrPortFrom(from.Addr().WithZone(""), from.Port()).String()
	}
	if c.Request.Header["X-Forwarded-For"] != nil && len(s.cfg.TrustedProxies) > 0 {
		forwardedWithoutPorts(c.Request.Header)
	}

	defer s.logRequest(c, x, start) // also when a panic goes through here
	c.Next()
}

// forwardedWithoutPorts leaves of each address in X-Forwarded-For what Gin can read: some proxies write the port beside it,
// and everybody behind one of these would else be taken for the proxy, and slowed for what any of them did.
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

// logRequest writes the one line of a request.
func (s *Server) logRequest(c *gin.Context, x *exchange, start time.Time) {
	level := slog.LevelInfo
	failed := x.err != nil && (x.cut || c.Writer.Status() >= 500 && !expected(x.err))
	theft := errors.Is(x.err, auth.ErrRefreshReused)
	switch {
	case failed:
		level = slog.LevelError
	case theft:
		level = slog.LevelWarn
	}
	ctx := context.Background() // the request's may have ended, and that is no reason to say nothing
	if !s.cfg.Log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 11)
	attrs = append(attrs,
		slog.String("request_id", x.id),
		slog.String("method", c.Request.Method),
		slog.String("path", c.Request.URL.Path), // never the query, which strangers put secrets in
		slog.Int("status", c.Writer.Status()),
		slog.Int("bytes", max(c.Writer.Size(), 0)),
		slog.Float64("took_ms", float64(s.cfg.Now().Sub(start).Microseconds())/1000),
		slog.String("ip", c.ClientIP()),
	)
	if x.caller.UserID != 0 {
		attrs = append(attrs, slog.Int64("user_id", x.caller.UserID), slog.String("jti", x.caller.TokenID))
	}
	if x.err != nil {
		_, p := problemFor(x.err)
		attrs = append(attrs, slog.String("code", p.Code))
	}
	if failed || theft {
		attrs = append(attrs, slog.Any("error", x.err))
	}
	s.cfg.Log.LogAttrs(ctx, level, "request", attrs...)
}

// expected says whether a 5xx is how the server defends itself, and no fault that somebody has to look into.
func expected(err error) bool {
	for _, e := range []error{auth.ErrOverloaded, errTooManyBodies, errTooManyTransfers, errDraining, context.Canceled} {
		if errors.Is(err, e) {
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
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
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

// recover turns a panic into a 500 whose cause is in the log only.
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
			x.err, x.cut = err, true
			panic(http.ErrAbortHandler) // half an answer must not look like a whole one
		}
		s.fail(c, err)
	}()
	c.Next()
}

// verifyJWT lets a request pass whose token is good for somebody who may do this.
func (s *Server) verifyJWT(may access) gin.HandlerFunc {
	if may == anybody {
		return func(*gin.Context) {}
	}
	need := store.Role(may)
	if !need.Valid() {
		panic("api: a route does not say who may call it")
	}
	return func(c *gin.Context) {
		token, err := bearerToken(c.Request.Header)
		if err != nil {
			s.fail(c, err)
			return
		}
		caller, err := s.cfg.Auth.Authenticate(c.Request.Context(), token)
		if err != nil {
			s.fail(c, err)
			return
		}
		exchangeOf(c).caller = caller
		if !caller.Role.Allows(need) {
			s.fail(c, errForbidden)
		}
	}
}

// bearerToken gives the one token of a request. Several must be the same, so that no two parts of a system
// can take the request for two people's.
func bearerToken(h http.Header) (string, error) {
	tokens := givenTokens(h)
	if len(tokens) == 0 {
		return "", errTokenMissing
	}
	for _, t := range tokens[1:] {
		if t != tokens[0] {
			return "", auth.ErrTokenInvalid
		}
	}
	return tokens[0], nil
}

// givenTokens gives every token of a request: x-access-token bare, Authorization after its scheme (RFC 6750
// section 2.1).
func givenTokens(h http.Header) []string {
	var tokens []string
	for _, v := range h["X-Access-Token"] {
		if v != "" {
			tokens = append(tokens, v)
		}
	}
	for _, v := range h["Authorization"] {
		scheme, token, _ := strings.Cut(v, " ")
		if token = strings.Trim(token, " "); token != "" && strings.EqualFold(scheme, "Bearer") {
			tokens = append(tokens, token)
		}
	}
	return tokens
}
