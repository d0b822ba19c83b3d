package api

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"

	"github.com/gin-gonic/gin"

	"clientes/auth/authtest"
)

// The address of a client is the one that Gin finds, with the rules for trusted proxies.
func TestClientAddressesAreThoseOfGin(t *testing.T) {
	proxies := []netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32"),
	}
	f := onSQLite(t, func(cfg *Config) { cfg.TrustedProxies = proxies })
	engine, err := newEngine(proxies)
	authtest.Must(t, err)
	for _, remote := range []string{
		"192.0.2.1:80", "203.0.113.9:80", "[::ffff:192.0.2.1]:80", "[::ffff:203.0.113.9]:80",
		"[2001:db8::1]:80", "[2001:DB8:0:0::0:1]:80", "[2001:db9::1]:80", "[::1]:80",
		"[::ffff:c000:201]:0", "192.0.2.1", "192.0.2.001:80", "@", "", "x:80",
	} {
		for _, forwarded := range [][]string{
			nil, {}, {""}, {"198.51.100.7"}, {"192.0.2.3"}, {"2001:db8::5"}, {"2001:DB9::5"},
			{"198.51.100.7, 192.0.2.2"}, {"198.51.100.7", "192.0.2.2"},
			{"198.51.100.7, x"}, {"x, 198.51.100.7"},
		} {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = remote
			if forwarded != nil {
				r.Header["X-Forwarded-For"] = forwarded
			}
			c := gin.CreateTestContextOnly(httptest.NewRecorder(), engine)
			c.Request = r
			want := c.ClientIP()
			if got := f.server.clientIP(c); got != want {
				t.Errorf("%q with %q is %q, want %q", remote, forwarded, got, want)
			}
		}
	}
}

// A proxy of this process may write another address into each request of a connection.
func TestRequestsOfAConnectionWithOtherAddresses(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	ctx := ConnContext(t.Context(), addressed{})
	r = r.WithContext(ctx)
	r.RemoteAddr = addressed{}.RemoteAddr().String()
	if got := connectionOf(r).ip; got != "203.0.113.9" {
		t.Errorf("the address of the connection is %q", got)
	}
	r.RemoteAddr = "198.51.100.7:80"
	if got := connectionOf(r).ip; got != "198.51.100.7" {
		t.Errorf("the address of the request is %q", got)
	}
}

// addressed is a connection that has nothing but an address.
type addressed struct{ net.Conn }

func (addressed) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(203, 0, 113, 9), Port: 80}
}

// More headers than an exchange has room for are set too, and Add changes no other one.
func TestHeadersShareAnArray(t *testing.T) {
	var x exchange
	h := make(http.Header)
	names := []string{"A", "B", "C", "D", "E", "F"}
	for _, name := range names {
		x.setHeader(h, name, name)
		h.Add(name, "more")
	}
	for _, name := range names {
		if got := h.Values(name); !slices.Equal(got, []string{name, "more"}) {
			t.Errorf("%s is %q", name, got)
		}
	}
}
