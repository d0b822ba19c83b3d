package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"clientes/api/wire"
	"clientes/auth"
	"clientes/store"
)

// serve makes a route of a plain function, which knows nothing of Gin. P is *In. Its decode method
// takes what In needs from the request.
func serve[In, Out any, P interface {
	*In
	decode(*request) error
}](s *Server, status int, f func(context.Context, In) (Out, error)) gin.HandlerFunc {
	return func(c *gin.Context) {
		var in In
		if err := s.decode(c, P(&in)); err != nil {
			s.fail(c, err)
			return
		}
		// Not Gin's own context, which does not end when the client hangs up.
		ctx := c.Request.Context()
		if c.Request.Method != http.MethodGet && c.Request.Method != http.MethodHead {
			ctx = auth.WithOrigin(ctx, s.origin(c)) // a GET writes no event
		}
		out, err := f(ctx, in)
		if err != nil {
			s.fail(c, err)
			return
		}
		s.reply(c, status, out)
	}
}

// origin returns where a request comes from.
func (s *Server) origin(c *gin.Context) auth.Origin {
	x := exchangeOf(c)
	return auth.Origin{
		IP: x.ip, UserAgent: keepable(c.Request.UserAgent(), maxUserAgent), RequestID: x.id,
		ActorID: x.caller.UserID, Session: x.caller.SessionID, Device: s.deviceToken(c.Request),
	}
}

// decode fills an input from the request. The bytes that were reserved for its body are free after
// it.
func (s *Server) decode(c *gin.Context, in interface{ decode(*request) error }) error {
	r := s.request(c)
	defer r.release()
	err := in.decode(r)
	if caller := r.caller(); r.ContentLength != 0 && caller.UserID != 0 {
		// The body may have taken its time. Nobody whose session has ended learns what is wrong
		// with it.
		if ended := s.cfg.Auth.CheckSession(r.Context(), caller); ended != nil {
			return ended
		}
	}
	return err
}

// nothing is the input of a route that takes none, and the output of a route that answers without a
// body.
type nothing struct{}

func (*nothing) decode(*request) error { return nil }

// reply writes what a function returned. A view may have three methods: header for headers of its
// own, status for a status of its own, and appendJSON if that is faster than reflection.
func (s *Server) reply(c *gin.Context, status int, out any) {
	h := c.Writer.Header()
	s.closeIfDraining(h)
	if v, ok := out.(interface{ header(http.Header) }); ok {
		v.header(h)
	}
	if v, ok := out.(interface{ status() int }); ok {
		status = v.status()
	}
	if status == http.StatusNoContent || status == http.StatusNotModified {
		c.Writer.WriteHeader(status)
		c.Writer.WriteHeaderNow()
		return
	}
	appendJSON := func(b []byte) ([]byte, error) { return appendReflected(b, out) }
	if v, ok := out.(interface{ appendJSON([]byte) ([]byte, error) }); ok {
		appendJSON = v.appendJSON
	}
	if err := exchangeOf(c).send(status, appendJSON); err != nil {
		s.fail(c, err)
	}
}

// send writes an answer in JSON. It encodes into a buffer before it sends the status. After an
// error nothing was sent.
func (x *exchange) send(status int, appendJSON func([]byte) ([]byte, error)) error {
	buf := buffers.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= maxBuffer {
			buffers.Put(buf)
		}
	}()
	body, err := appendJSON((*buf)[:0])
	if err != nil {
		return err
	}
	body = append(body, '\n') // for whoever reads it in a terminal
	*buf = body               // which may have grown
	h := x.Header()
	h["Content-Type"] = jsonType
	x.setHeader(h, "Content-Length", strconv.Itoa(len(body)))
	x.WriteHeader(status)
	_, _ = x.Write(body) // an error means that the client hung up
	return nil
}

var jsonType = []string{"application/json; charset=utf-8"}

// maxBuffer is the largest buffer that is kept for another answer, in bytes.
const maxBuffer = 256 << 10

// buffers are reused because a list of a hundred customers has some thirty kilobytes.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

func appendReflected(b []byte, v any) ([]byte, error) {
	j, err := json.Marshal(v)
	return append(b, j...), err
}

// fail answers with an error in the one shape that all errors have, and keeps it for the log.
func (s *Server) fail(c *gin.Context, err error) {
	x := exchangeOf(c)
	if x.caller.IsKey {
		err = ofKey(err)
	}
	p := x.refuse(err)
	h := x.Header()
	s.closeIfDraining(h)
	switch x.status {
	case http.StatusUnauthorized:
		hint := tokenHint(err)
		x.setHeader(h, "Www-Authenticate", challengeFor(err, hint))
		if hint != "" && s.cfg.Log.Enabled(c.Request.Context(), slog.LevelDebug) {
			s.cfg.Log.Debug("refused a token", "request_id", x.id, "code", p.Code, "reason", hint)
		}
	case http.StatusForbidden:
		if errors.Is(err, errForbidden) { // RFC 6750 section 3.1
			h.Set("WWW-Authenticate", scopeChallenge(err))
		}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", retryAfter(err))
	}
	c.Abort()
	if err := x.send(x.status, p.appendJSON); err != nil {
		panic(err) // a problem has nothing but text and numbers
	}
}

// aboutToken reports whether the reason for a 401 is a token that was sent.
func aboutToken(err error) bool {
	for _, fault := range []error{
		auth.ErrTokenInvalid, auth.ErrTokenExpired, auth.ErrTokenRevoked, auth.ErrRefreshInvalid,
	} {
		if errors.Is(err, fault) {
			return true
		}
	}
	return false
}

// request is what a decode method reads from. It keeps Gin out of the inputs.
type request struct {
	*http.Request
	server   *Server
	exchange *exchange
	params   gin.Params          // of the path
	writer   http.ResponseWriter // told when a body is too large
	reserved int64               // of the server's room for bodies
}

func (s *Server) request(c *gin.Context) *request {
	return &request{
		Request: c.Request, server: s, exchange: exchangeOf(c), params: c.Params, writer: c.Writer,
	}
}

// caller returns the verified caller of a route that is not for anybody.
func (r *request) caller() auth.Caller { return r.exchange.caller }

// callerInput is the input of a route that needs nothing but its caller.
type callerInput struct {
	caller auth.Caller
}

func (in *callerInput) decode(r *request) error {
	in.caller = r.caller()
	return nil
}

// id returns the id of the record in the path. Anything but a positive integer is the id of no
// record.
func (r *request) id() (int64, error) {
	id, ok := parseID(r.params.ByName("id"))
	if !ok {
		return 0, store.ErrNotFound
	}
	return id, nil
}

func parseID(s string) (id int64, ok bool) {
	id, err := strconv.ParseInt(s, 10, 64)
	return id, err == nil && id >= 1 && s[0] != '+' && s[0] != '0'
}

// query returns a query parameter that the route takes, without white space around it. checkQuery
// has refused any that is there twice.
func (r *request) query(name string) (value string, given bool) {
	values := r.exchange.query[name]
	if len(values) == 0 {
		return "", false
	}
	return store.Trim(values[0]), true
}

// boolQuery reads a query parameter that is true or false, false if it is not given.
func (r *request) boolQuery(name string) (bool, error) {
	switch text, given := r.query(name); {
	case !given || text == "false":
		return false, nil
	case text == "true":
		return true, nil
	}
	return false, invalidParameter("The parameter %q is true or false.", name)
}

// lostPlus refuses a query parameter with a space where only a + can have been.
func lostPlus(name string) error {
	return invalidParameter("The parameter %q has a space where a + may have been "+
		"(a + in it is written %%2B).", name)
}

// timeQuery returns a time in a query parameter, the zero time if it is absent.
func (r *request) timeQuery(name string) (time.Time, error) {
	s, given := r.query(name)
	if !given {
		return time.Time{}, nil
	}
	t, ok := wire.ParseTime(s)
	switch {
	case !ok:
		return t, invalidParameter("The parameter %q is a time like 2026-11-22T18:00:00.000Z "+
			"(a + in it is written %%2B).", name)
	case t.Year() < 1:
		return time.Time{}, nil // before everything, and no store can compare with it
	}
	return t, nil
}

// checkQuery refuses query parameters that a route does not take, or that are there twice.
func (s *Server) checkQuery(takes []string) gin.HandlerFunc {
	return func(c *gin.Context) {
		if c.Request.URL.RawQuery == "" {
			return
		}
		q, err := url.ParseQuery(c.Request.URL.RawQuery)
		if err != nil {
			s.fail(c, invalidParameter("The query string is malformed: "+
				"a %% in it is written %%25, and a ; %%3B."))
			return
		}
		for name, values := range q {
			switch {
			case name == "_": // of clients that want nothing cached, such as jQuery
				continue
			case !slices.Contains(takes, name):
				s.fail(c, invalidParameter("There is no parameter %q here.", wire.Excerpt(name)))
				return
			case len(values) > 1:
				s.fail(c, invalidParameter("The parameter %q is given more than once.", name))
				return
			}
		}
		exchangeOf(c).query = q
	}
}
