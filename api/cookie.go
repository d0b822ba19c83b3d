package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/rs/cors"

	"clientes/auth"
)

// preflightAge is for how long browsers may keep the answer to a preflight.
const preflightAge = 2 * time.Hour

// The cookies of a login: the refresh token, and the mark of the client. The prefix, which cookieName puts before them,
// makes browsers refuse one unless it came over https, for this host alone (RFC 6265bis section 4.1.3.2).
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

// cookieTokens gives the refresh tokens that are in cookies, nil if there are none. Several come where servers
// share a host, as on a developer's machine.
func (s *Server) cookieTokens(r *http.Request) []string { return s.cookieValues(r, refreshCookieName) }

// deviceMark gives the mark of the client that is in a cookie, "" if there is none.
func (s *Server) deviceMark(r *http.Request) string {
	if marks := s.cookieValues(r, deviceCookieName); marks != nil {
		return marks[0]
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

// refreshCookie makes the cookie for a refresh token that is good for so long; for none it clears the cookie.
func (s *Server) refreshCookie(token string, goodFor time.Duration) *http.Cookie {
	return s.newCookie(refreshCookieName, token, goodFor)
}

// deviceCookie makes the cookie for the mark of a client. A logout leaves it: it lets nobody in.
func (s *Server) deviceCookie(mark string) *http.Cookie {
	return s.newCookie(deviceCookieName, mark, auth.DeviceTokenTTL)
}

func (s *Server) newCookie(name, value string, goodFor time.Duration) *http.Cookie {
	c := &http.Cookie{
		Name: s.cookieName(name), Value: value, Path: "/",
		HttpOnly: true, Secure: s.secure(), SameSite: http.SameSiteStrictMode,
		MaxAge: max(1, int(goodFor/time.Second)), // 0 would be a cookie without an end
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

// checkOrigin refuses a request that bears a cookie of ours and may change something, unless a page of our own sent it
// or one whose origin may use the API. SameSite alone would let in every other origin of the same site.
func (s *Server) checkOrigin(c *gin.Context) {
	switch c.Request.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return
	}
	if s.cookieTokens(c.Request) == nil && s.deviceMark(c.Request) == "" {
		return
	}
	if err := s.ownOrigin(c.Request.Header); err != nil {
		s.fail(c, err)
	}
}

// ownOrigin gives errCrossOrigin if a browser sent this from a page that may not use the cookie. What is no browser
// says neither Origin nor Sec-Fetch-Site, and has no cookie but its own. (http.CrossOriginProtection would take
// http for https.)
func (s *Server) ownOrigin(h http.Header) error {
	switch origin := h.Get("Origin"); {
	case origin == s.cfg.PublicURL.Scheme+"://"+s.cfg.PublicURL.Host, slices.Contains(s.cfg.CORSOrigins, origin):
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

// allowOrigins says to browsers that the pages of the configured origins may use the API (the Fetch standard's
// CORS protocol). Where there are none it says nothing at all.
func (s *Server) allowOrigins() gin.HandlerFunc {
	if len(s.cfg.CORSOrigins) == 0 {
		return func(*gin.Context) {}
	}
	policy := cors.New(cors.Options{
		AllowedOrigins:   s.cfg.CORSOrigins,
		AllowedMethods:   []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"},
		AllowedHeaders:   []string{"Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "X-Access-Token", "X-Request-Id"},
		ExposedHeaders:   []string{"Link", "ETag", "Location", "Retry-After", "X-Request-Id", "X-Total-Count", "Idempotency-Replayed"},
		AllowCredentials: true, // for the cookie of pages on the same site
		MaxAge:           int(preflightAge / time.Second),
	})
	return func(c *gin.Context) {
		policy.HandlerFunc(c.Writer, c.Request)
		if c.Request.Method == http.MethodOptions && c.Request.Header.Get("Access-Control-Request-Method") != "" {
			c.AbortWithStatus(http.StatusNoContent)
		}
	}
}
