package api

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/rs/cors"

	"clientes/auth"
)

// preflightAge is how long browsers may keep the answer to a preflight.
const preflightAge = 2 * time.Hour

// The cookies of a login: the refresh token and the device token. With the prefix that cookieName
// adds, browsers refuse a cookie unless it came over https and for this host alone (RFC 6265bis
// section 4.1.3.2).
const (
	refreshCookieName = "clientes_refresh"
	deviceCookieName  = "clientes_device"
)

func (s *Server) cookieName(name string) string {
	if s.secure() {
		return "__Host-" + name
	}
	return name
}

func (s *Server) secure() bool { return s.cfg.PublicURL.Scheme == "https" }

// cookieTokens returns the refresh tokens that are in cookies, nil if there are none. There are
// several where servers share a host, as on a developer's machine.
func (s *Server) cookieTokens(r *http.Request) []string {
	return s.cookieValues(r, refreshCookieName)
}

// deviceToken returns the device token that is in a cookie, "" if there is none.
func (s *Server) deviceToken(r *http.Request) string {
	if tokens := s.cookieValues(r, deviceCookieName); tokens != nil {
		return tokens[0]
	}
	return ""
}

func (s *Server) cookieValues(r *http.Request, name string) []string {
	if r.Header["Cookie"] == nil {
		return nil
	}
	var values []string
	for _, c := range r.CookiesNamed(s.cookieName(name)) {
		if c.Value != "" {
			values = append(values, c.Value)
		}
	}
	return values
}

// refreshCookie returns the cookie for a refresh token, or one that clears it if the token is "".
func (s *Server) refreshCookie(token string, goodFor time.Duration) *http.Cookie {
	return s.newCookie(refreshCookieName, token, goodFor)
}

// deviceCookie returns the cookie for a device token. A logout leaves it, because it lets nobody
// in.
func (s *Server) deviceCookie(token string) *http.Cookie {
	return s.newCookie(deviceCookieName, token, auth.DeviceTokenTTL)
}

func (s *Server) newCookie(name, value string, goodFor time.Duration) *http.Cookie {
	c := &http.Cookie{
		Name: s.cookieName(name), Value: value, Path: "/",
		HttpOnly: true, Secure: s.secure(), SameSite: http.SameSiteStrictMode,
		MaxAge: max(1, int(goodFor/time.Second)), // with 0 net/http would leave the end out
	}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}

func setCookies(h http.Header, cookies ...*http.Cookie) {
	for _, c := range cookies {
		if c != nil {
			h.Add("Set-Cookie", c.String())
		}
	}
}

// checkOrigin refuses a request that has a cookie of ours and may change something, unless it was
// sent by a page of our own or of an origin that may use the API. SameSite alone would let in every
// other origin of the same site.
func (s *Server) checkOrigin(c *gin.Context) {
	switch c.Request.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return
	}
	if s.cookieTokens(c.Request) == nil && s.deviceToken(c.Request) == "" {
		return
	}
	if err := s.ownOrigin(c.Request.Header); err != nil {
		s.fail(c, err)
	}
}

// ownOrigin returns errCrossOrigin if a browser sent the request from a page that may not use the
// cookie. Other clients send neither Origin nor Sec-Fetch-Site, and have no cookies but their own.
// http.CrossOriginProtection would not do: it treats http and https as one origin.
func (s *Server) ownOrigin(h http.Header) error {
	switch origin := h.Get("Origin"); {
	case slices.Contains(ownOrigins(s.cfg.PublicURL), origin),
		slices.Contains(s.cfg.CORSOrigins, origin):
		return nil
	case origin != "":
		return errCrossOrigin
	}
	switch h.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return nil
	}
	return errCrossOrigin
}

// ownOrigins returns the origins of a server's own pages. This machine has several names for
// itself, and a person opens any of them.
func ownOrigins(public *url.URL) []string {
	origins := []string{public.Scheme + "://" + public.Host}
	loopback := []string{"localhost", "127.0.0.1", "::1"}
	if !slices.Contains(loopback, public.Hostname()) {
		return origins
	}
	for _, name := range loopback {
		host := strings.TrimSuffix(net.JoinHostPort(name, public.Port()), ":")
		origins = append(origins, public.Scheme+"://"+host)
	}
	return origins
}

// allowOrigins tells browsers that the pages of the configured origins may use the API (the CORS
// protocol of the Fetch standard). If there are none, it adds no headers at all.
func (s *Server) allowOrigins() gin.HandlerFunc {
	if len(s.cfg.CORSOrigins) == 0 {
		return func(*gin.Context) {}
	}
	policy := cors.New(cors.Options{
		AllowedOrigins: s.cfg.CORSOrigins,
		AllowedMethods: []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"},
		// Tracing and other libraries add headers that nobody can list beforehand.
		AllowedHeaders: []string{"*"},
		ExposedHeaders: []string{
			"Link", "ETag", "Location", "Retry-After", "X-Request-Id", "X-Total-Count",
			"Idempotency-Replayed",
		},
		AllowCredentials: true, // for the cookie of pages on the same site
		// For a server within the network of the browser, such as a developer's machine.
		AllowPrivateNetwork: true,
		MaxAge:              int(preflightAge / time.Second),
	})
	return func(c *gin.Context) {
		policy.HandlerFunc(c.Writer, c.Request)
		asked := c.Request.Header.Get("Access-Control-Request-Method")
		if c.Request.Method == http.MethodOptions && asked != "" {
			if methods := s.allow[c.FullPath()]; methods != nil {
				c.Header("Allow", strings.Join(methods, ", "))
			}
			c.AbortWithStatus(http.StatusNoContent)
		}
	}
}
