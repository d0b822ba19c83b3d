package config

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// checkOrigins looks at the origins of CORS_ORIGINS. Browsers send theirs in one form, and they are
// compared byte by byte, so any other form would never match.
func (c *Config) checkOrigins(bad faults) {
	all := c.values["CORS_ORIGINS"]
	c.CORSOrigins = nil
	if all == "" {
		return
	}
	for origin := range listed(all) {
		c.CORSOrigins = append(c.CORSOrigins, origin)
		shown, meant := quoted(origin, all), browserOrigin(origin)
		switch {
		case meant == origin && meant != "":
		case origin == "":
			bad.add("CORS_ORIGINS", "has \"\" in it: take away the comma beside it")
		case strings.Contains(origin, "*"):
			bad.add("CORS_ORIGINS", "has %s in it, but has to be origins as browsers write them, "+
				"without *: name each, separated by commas", shown)
		case strings.EqualFold(origin, "null"), strings.HasPrefix(origin, "file:"):
			bad.add("CORS_ORIGINS", "has %s in it, but every file and every page in a sandbox is "+
				"of the origin null: serve the page over http, and name that origin", shown)
		case !isASCII(origin):
			bad.add("CORS_ORIGINS", "has %s in it, but has to be origins as browsers write them: "+
				"in ASCII, where such a name begins with xn--", shown)
		default:
			bad.add("CORS_ORIGINS", "has %s in it, but has to be origins as browsers write them, "+
				"separated by commas: %s", shown, example(meant, "https://app.example.com"))
		}
	}
}

// example returns what a value may have been meant to be, or else another good one. What may be a
// password is not repeated.
func example(meant, other string) string {
	if meant == "" || mayHavePassword(meant) || len(meant) > 60 {
		return other
	}
	return meant
}

// isWeb reports whether an origin is that of a page of the web.
func isWeb(origin string) bool {
	return strings.HasPrefix(origin, "http://") || strings.HasPrefix(origin, "https://")
}

// otherOrigin is an origin of another scheme than http and https, such as capacitor://localhost.
// Programs send it as they registered it, so it is taken as it stands.
var otherOrigin = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://[A-Za-z0-9._-]+(:[0-9]{1,5})?$`)

// notOfPages are schemes of the web which no page has as its origin.
var notOfPages = map[string]string{"ws": "http", "wss": "https"}

// browserOrigin returns the origin of a URL exactly as a browser writes it: in lower case, without
// a path, without the port that the scheme has anyway. It returns "" if it finds none.
func browserOrigin(s string) string {
	u, err := url.Parse(s)
	if err == nil && u.Host == "" && !strings.Contains(s, ":/") {
		scheme := "https://"
		if strings.HasPrefix(s, "localhost") || strings.HasPrefix(s, "127.") {
			scheme = "http://"
		}
		u, err = url.Parse(scheme + s)
	}
	if err != nil || u.Hostname() == "" || strings.Contains(s, "*") || u.User != nil {
		return ""
	}
	if page, ok := notOfPages[u.Scheme]; ok {
		u.Scheme = page
	}
	usual, web := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	if !web {
		origin := u.Scheme + "://" + u.Host
		if u.Scheme == "file" || !otherOrigin.MatchString(origin) {
			return ""
		}
		return origin
	}
	host := browserHost(u.Hostname())
	if host == "" {
		return ""
	}
	if u.Port() == "" {
		return u.Scheme + "://" + host
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		return ""
	}
	if number := strconv.FormatUint(port, 10); number != usual {
		host += ":" + number
	}
	return u.Scheme + "://" + host
}

// browserHost returns a host as browsers write it, or "" if it is none in ASCII.
func browserHost(host string) string {
	ip, err := netip.ParseAddr(host)
	switch {
	case err == nil && ip.Is6():
		return strings.TrimSuffix(net.JoinHostPort(ip.String(), ""), ":")
	case err == nil:
		return ip.String()
	case !validHost(host):
		return ""
	}
	return strings.ToLower(host)
}

// checkProxies warns of networks that are not written as their first address: somebody may have
// meant that address alone.
func (c *Config) checkProxies(bad faults) {
	if !bad.none("TRUSTED_PROXIES") {
		return
	}
	for part := range listed(c.values["TRUSTED_PROXIES"]) {
		if p, err := netip.ParsePrefix(part); err == nil && p != p.Masked() {
			c.warn("TRUSTED_PROXIES has %s in it, which is all of %s: write that, or %s alone",
				part, p.Masked(), p.Addr())
		}
	}
}
