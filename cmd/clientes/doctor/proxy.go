package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"clientes/store"
)

// private are the networks that whole clouds and companies share.
var private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"),
}

// The shortest networks of public addresses that are taken for somebody's own proxies: the ranges
// that large CDNs publish have up to these.
const (
	widestIPv4 = 12
	widestIPv6 = 28
)

// proxies looks at TRUSTED_PROXIES. The server has no TLS of its own, so with https in PUBLIC_URL
// there is a proxy.
func proxies(_ context.Context, s Setup) []store.Finding {
	const id = "proxy"
	var r report
	c := s.Config
	var names []string
	for _, p := range c.TrustedProxies {
		names = append(names, p.String())
		widest := widestIPv4
		if p.Addr().Is6() {
			widest = widestIPv6
		}
		const cure = "name the addresses of your proxies in TRUSTED_PROXIES, such as " +
			"10.0.3.7, 10.0.3.8"
		switch {
		case p.Bits() == 0:
			r.fail(id, fmt.Sprintf("TRUSTED_PROXIES has %s: whoever sends X-Forwarded-For "+
				"chooses the address that failed logins are counted for", p), cure)
		case isWidePrivate(p):
			r.warn(id, fmt.Sprintf("TRUSTED_PROXIES has %s, a whole private network: every "+
				"machine in it can choose the address that failed logins are counted for", p), cure)
		case p.Bits() < widest && !isOwn(p):
			r.fail(id, fmt.Sprintf("TRUSTED_PROXIES has %s, in which strangers have addresses", p),
				cure)
		}
	}
	https := s.public().Scheme == "https"
	switch {
	case https && len(c.TrustedProxies) == 0:
		r.fail(id, "PUBLIC_URL is https, so a proxy ends TLS before this server, but "+
			"TRUSTED_PROXIES is empty: all clients count as one address, and are slowed together",
			"set TRUSTED_PROXIES to the address that the proxy connects from: `GET /doctor` "+
				"through it shows that as \"peer\"")
	case https && c.IsLoopback() && !c.TrustsLoopback():
		r.fail(id, fmt.Sprintf("HOST is %s, so the proxy before this server runs on this "+
			"machine, but TRUSTED_PROXIES does not have its address: all clients count as one",
			c.Host),
			"add 127.0.0.1 to TRUSTED_PROXIES")
	}
	switch {
	case len(names) == 0:
		r.okUnless(id, "nobody's X-Forwarded-For is believed, and PUBLIC_URL needs no proxy")
	default:
		r.okUnless(id, "X-Forwarded-For is believed from %s alone", strings.Join(names, ", "))
	}
	return r
}

// isWidePrivate reports whether a network is private, and one that more than a single site shares.
func isWidePrivate(p netip.Prefix) bool {
	for _, whole := range private {
		least := 16 // that of a bridge of Docker, or of a network in a cloud
		if p.Addr().Is6() {
			least = 48
		}
		if p.Bits() >= whole.Bits() && whole.Contains(p.Addr()) {
			return p.Bits() < max(least, whole.Bits()+1)
		}
	}
	return false
}

// isOwn reports whether a network has private addresses or those of this machine alone.
func isOwn(p netip.Prefix) bool {
	own := append(slices.Clone(private), netip.MustParsePrefix("127.0.0.0/8"))
	return slices.ContainsFunc(own, func(whole netip.Prefix) bool {
		return p.Bits() >= whole.Bits() && whole.Contains(p.Addr())
	})
}
