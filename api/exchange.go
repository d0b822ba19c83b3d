package api

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"

	"github.com/gin-gonic/gin"

	"clientes/auth"
)

// exchange is a request and its answer, as the middleware knows them. The log line has some of it.
//
// It is the writer of its Gin context, where [exchangeOf] finds it. Gin's own Set would make a map
// for each request. BenchmarkRequests counts the allocations.
type exchange struct {
	gin.ResponseWriter // Gin's own

	id     string
	trace  string      // the trace id of the caller, "" if there is none
	ip     string      // the address of the client
	caller auth.Caller // after verifyJWT
	query  url.Values  // after checkQuery
	err    error       // became the answer
	cut    bool        // whether the answer had begun before the error
	status int         // of err
	code   string      // of err

	// values are those of headers of the answer. One array takes the place of a slice for each.
	values [4]string
	used   int
}

// exchangeOf returns the exchange of a request that [Server.begin] has seen.
func exchangeOf(c *gin.Context) *exchange { return c.Writer.(*exchange) }

// Unwrap is for [http.ResponseController].
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// FlushError is for [http.ResponseController]. Gin's own Flush loses the error.
func (x *exchange) FlushError() error {
	x.WriteHeaderNow()
	if below, ok := x.ResponseWriter.(interface{ Unwrap() http.ResponseWriter }); ok {
		return http.NewResponseController(below.Unwrap()).Flush()
	}
	return http.NewResponseController(x.ResponseWriter).Flush()
}

// setHeader sets a header of the answer. The key must be in its canonical form.
func (x *exchange) setHeader(h http.Header, key, value string) {
	if x.used == len(x.values) {
		h[key] = []string{value}
		return
	}
	x.values[x.used] = value
	x.used++
	h[key] = x.values[x.used-1 : x.used : x.used] // without room, so that Add copies it
}

// refuse keeps the error that becomes the answer, for the log, and returns what to answer.
func (x *exchange) refuse(err error) *problem {
	status, p := problemFor(err)
	x.err, x.status, x.code = err, status, p.Code
	p.RequestID = x.id
	return p
}

type connKey struct{}

// connection is what all requests of a connection share. Its Conn is nil if [connectionOf] has made
// it for one request.
type connection struct {
	net.Conn
	remote string         // the address with the port, as requests have it
	from   netip.AddrPort // zero if the address has another form
	ip     string         // from without the port, as text
}

// ConnContext is for [http.Server], which calls it for each connection. It lets a [Server] reset
// the connection of an export that is cut, and read the address of a client once for all its
// requests.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, newConnection(c, c.RemoteAddr().String()))
}

func newConnection(c net.Conn, remote string) *connection {
	conn := &connection{Conn: c, remote: remote}
	if from, err := netip.ParseAddrPort(remote); err == nil {
		// Neither Gin nor a prefix knows an IPv6 address with a zone.
		conn.from = netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())
		conn.ip = conn.from.Addr().String()
	}
	return conn
}

// connectionOf returns the connection of a request. Without [ConnContext], or where a handler has
// written another RemoteAddr, it is one for this request alone.
func connectionOf(r *http.Request) *connection {
	conn, ok := r.Context().Value(connKey{}).(*connection)
	if !ok || conn.remote != r.RemoteAddr {
		return newConnection(nil, r.RemoteAddr)
	}
	return conn
}

// resetAtClose makes the end of the connection of a request a reset. After a plain close, what the
// system has not sent yet, often megabytes, would still reach a client whose session has ended. And
// a client of HTTP/1.0, for example nginx, would take the close for the end of a whole export (RFC
// 9112 section 6.3).
func resetAtClose(r *http.Request) {
	conn, _ := r.Context().Value(connKey{}).(*connection)
	if conn == nil {
		return
	}
	if tcp, ok := conn.Conn.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0) // an error means that the connection is gone
	}
}

// clientIP returns the address of the client: of the connection, or what X-Forwarded-For says if
// only trusted proxies have written that.
func (s *Server) clientIP(c *gin.Context) string {
	conn := connectionOf(c.Request)
	forwarded := c.Request.Header["X-Forwarded-For"] != nil
	if conn.from.IsValid() {
		if !forwarded {
			return conn.ip
		}
		c.Request.RemoteAddr = conn.from.String()
	}
	if forwarded {
		s.checkForwarded(c.Request.Header, conn.from.Addr())
	}
	return c.ClientIP()
}
