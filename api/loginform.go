package api

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"clientes/auth"
)

// postLogin answers the form of the login page with a redirect, as the tutorial's web app did, and
// everybody else with JSON.
func (s *Server) postLogin() gin.HandlerFunc {
	answer := serve(s, http.StatusOK, s.login)
	return func(c *gin.Context) {
		if !s.cfg.Console || !s.isLoginForm(c.Request.Header) {
			answer(c)
			return
		}
		in := loginInput{cookie: true}
		err := s.decode(c, &in)
		var v loginView
		if err == nil {
			v, err = s.login(auth.WithOrigin(c.Request.Context(), s.origin(c)), in)
		}
		to := "/app/"
		if err != nil {
			exchangeOf(c).refuse(err)
			to = "/login?" + loginFault(err, in.Code != "").Encode()
		}
		v.header(c.Writer.Header()) // no cookies if it was refused
		s.seeOther(c, to)
	}
}

// loginFault returns the query that has the login page tell of an error. It has names and codes
// only: an address is kept in histories and logs.
func loginFault(err error, hadCode bool) url.Values {
	_, p := problemFor(err)
	q := url.Values{"fail": {"true"}}
	switch p.Code {
	case "invalid_login":
	case "mfa_required":
		return url.Values{"code": {"true"}}
	case "too_many_attempts":
		q.Set("wait", retryAfter(err))
	case "mfa_invalid":
		hadCode = true
	default:
		q.Set("error", p.Code)
	}
	if hadCode {
		q.Set("code", "true")
	}
	return q
}

// isLoginForm reports whether a browser has posted the form of a page of our own, and is about to
// show the answer. The form of a foreign page must not log its visitor in as somebody else, so a
// request that does not tell where it comes from is none. Origin is then checked as for every login
// that sets the cookie.
func (s *Server) isLoginForm(h http.Header) bool {
	if media, _ := parseContentType(h.Get("Content-Type")); media != mediaForm {
		return false
	}
	if mode := h.Get("Sec-Fetch-Mode"); mode != "navigate" && (mode != "" || !takesHTML(h)) {
		return false
	}
	// Browsers send Sec-Fetch-Site over https and to loopback only.
	if site := h.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	return slices.Contains(ownOrigins(s.cfg.PublicURL), h.Get("Origin"))
}

// takesHTML reports whether Accept lists text/html by name, as that of a browser that opens a page
// does. Programs send */*.
func takesHTML(h http.Header) bool {
	for part := range strings.SplitSeq(strings.Join(h["Accept"], ","), ",") {
		media, params := parseContentType(part)
		weight, err := strconv.ParseFloat(params["q"], 64)
		if media == "text/html" && (err != nil || weight > 0) {
			return true
		}
	}
	return false
}
