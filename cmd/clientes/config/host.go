package config

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// buildTriplet is the name of a kind of machine, which conda exports as HOST beside its compilers:
// x86_64-conda-linux-gnu, arm64-apple-darwin20.0.0.
var buildTriplet = regexp.MustCompile(`^(x86_64|i[3-6]86|aarch64|arm64|armv\w+|powerpc64le|ppc64le|` +
	`s390x|riscv64)-[\w.]+-(linux|darwin|mingw|windows|freebsd)[\w.-]*$`)

// checkHost looks at HOST, which some shells set to something else than where to listen.
func (c *Config) checkHost(bad faults) {
	if !strings.Contains(c.Host, "%") { // the zone of an address is a name as the system writes it
		c.Host = strings.ToLower(c.Host)
	}
	_, port, splitErr := net.SplitHostPort(c.Host)
	inBrackets := strings.HasPrefix(c.Host, "[") && strings.HasSuffix(c.Host, "]")
	shown := quoted(c.Host, c.Host)
	own, _ := os.Hostname() // without it nothing is compared
	own = strings.ToLower(own)
	short, _, _ := strings.Cut(own, ".")
	fromShell := c.origins["HOST"] == "environment"
	switch {
	case strings.Contains(c.Host, "://"):
		bad.add("HOST", "is %s, but has to be an address to listen on, such as 127.0.0.1 or "+
			"0.0.0.0; the URL that browsers use belongs into PUBLIC_URL", shown)
	case inBrackets:
		bad.add("HOST", "is %s, but has to be without the brackets", shown)
	case c.Host == "*":
		bad.add("HOST", "is %s, but has to be 0.0.0.0 or :: for all addresses", shown)
	case fromShell && buildTriplet.MatchString(c.Host):
		bad.add("HOST", "is %s and comes from the environment, where conda or a compiler has set "+
			"it to a kind of machine: `unset HOST`, or set it to 127.0.0.1", shown)
	case fromShell && c.Host != "localhost" && (c.Host == own || c.Host == short && short != ""):
		bad.add("HOST", "is %s, the name of this machine, and comes from the environment, where "+
			"csh and zsh put it by themselves: set HOST to 127.0.0.1 for this machine alone, or "+
			"to 0.0.0.0 or an address for others", shown)
	case validHost(c.Host):
	case splitErr == nil && port != "" && !strings.Contains(port, "/"):
		bad.add("HOST", "is %s, but has to be without a port, which belongs into PORT; for all "+
			"addresses HOST is 0.0.0.0", shown)
	default:
		bad.add("HOST", "is %s, but has to be an address such as 127.0.0.1 or :: or a host name, "+
			"without a port", shown)
	}
}

// validHost reports whether s can be listened on: an IP address, or what looks like a name.
func validHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		letter := r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r))
		return !letter && r != '.' && r != '-' && r != '_'
	})
}

// listensEverywhere reports whether the server listens on all addresses, none of which HOST names.
func (c Config) listensEverywhere() bool {
	ip, err := netip.ParseAddr(c.Host)
	return err == nil && ip.Unmap().IsUnspecified()
}

// checkMetricsAddr looks at where /metrics is served, which must not be where the API is.
func (c *Config) checkMetricsAddr(bad faults) {
	if c.MetricsAddr == "" || !bad.none("METRICS_ADDR") {
		return
	}
	host, port, err := net.SplitHostPort(c.MetricsAddr)
	n, portErr := strconv.ParseUint(port, 10, 16)
	shown := quoted(c.MetricsAddr, c.MetricsAddr)
	switch {
	case strings.Contains(c.MetricsAddr, "://"):
		bad.add("METRICS_ADDR", "is %s, but has to be an address to listen on, not a URL: "+
			"127.0.0.1:9090", shown)
	case err != nil || portErr != nil:
		bad.add("METRICS_ADDR", "is %s, but has to be an address and a port: 127.0.0.1:9090", shown)
	case host == "":
		bad.add("METRICS_ADDR", "is %s, but has to name the address too: 127.0.0.1:%d for this "+
			"machine alone, or 0.0.0.0:%d for all", shown, n, n)
	case !validHost(host):
		bad.add("METRICS_ADDR", "is %s, whose host has to be an address such as 127.0.0.1 or [::1] "+
			"or a host name", shown)
	case n != 0 && n == uint64(c.Port) && bad.none("HOST", "PORT") && overlap(host, c.Host):
		bad.add("METRICS_ADDR", "is %s, where the API listens: choose another port", shown)
	}
}

// overlap reports whether two servers of one port cannot listen on these hosts.
func overlap(a, b string) bool {
	x, y := address(a), address(b)
	return x == y || x.IsUnspecified() || y.IsUnspecified() || strings.EqualFold(a, b)
}

// address returns the address of a host, the zero one for a name.
func address(host string) netip.Addr {
	if strings.EqualFold(host, "localhost") {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	ip, _ := netip.ParseAddr(host)
	return ip.Unmap()
}

// IsMetricsLoopback reports whether only this machine can reach METRICS_ADDR.
func (c Config) IsMetricsLoopback() bool {
	host, _, _ := net.SplitHostPort(c.MetricsAddr)
	return IsLoopbackHost(host)
}

// IsLoopbackHost reports whether a host is this machine itself: localhost, or an address of its
// own that no other machine can reach. Other names are not resolved.
func IsLoopbackHost(host string) bool { return address(host).IsLoopback() }

// TrustsLoopback reports whether the server believes X-Forwarded-For from this machine.
func (c Config) TrustsLoopback() bool {
	return slices.ContainsFunc(c.TrustedProxies, func(p netip.Prefix) bool {
		return p.Contains(address("localhost")) || p.Contains(netip.IPv6Loopback())
	})
}

// LocalURL returns the URL of a server that listens on this host and port, for a client on the same
// machine.
func LocalURL(host string, port int) string {
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.Is6() {
			host = "::1"
		}
	}
	// url.URL escapes an IPv6 zone.
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(host, strconv.Itoa(port))}
	return u.String()
}
