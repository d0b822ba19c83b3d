package mail

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	netmail "net/mail"

	"golang.org/x/net/idna"
)

// Server is the mail server that SMTP_URL names. The zero Server is none.
type Server struct {
	host           string
	port           uint16
	user, password string // both or none
	implicitTLS    bool   // from the first byte; otherwise by STARTTLS
	clear          bool   // as ?tls=none wants it; never with a password
}

// withoutTLS is what a URL ends in whose server may get mail in clear text.
const withoutTLS = "?tls=none"

// ParseServer reads smtp://host or smtps://host, with user:password@ before the host, :port after
// it and ?tls=none at the end where they are needed. Its errors repeat nothing of the URL: if it is
// malformed, nobody can tell which part is the password.
func ParseServer(smtpURL string) (Server, error) {
	smtpURL, inClear := strings.CutSuffix(smtpURL, withoutTLS)
	u, err := url.Parse(smtpURL)
	scheme, rest, _ := strings.Cut(smtpURL, "://")
	scheme = strings.ToLower(scheme)
	switch {
	case scheme != "smtp" && scheme != "smtps" || rest == "":
		return Server{}, errors.New("it has to begin with smtp:// or smtps://, " +
			"as in smtps://user:password@mail.example.com")
	case err != nil || u.Path != "" && u.Path != "/" || strings.ContainsAny(rest, "?#"):
		// An unencoded / ? or # turns the rest of a password into the path or what follows it.
		return Server{}, errors.New("behind smtp:// it may have user:password@, has a host, may " +
			"have :port and ?tls=none, and no more; in user and password all but A-Z, a-z, 0-9 and " +
			"- . _ ~ has to be percent-encoded: @ is %40, # is %23, / is %2F, % is %25")
	case !validHost(u):
		return Server{}, errors.New("its host has to be a name in ASCII or an address, " +
			"IPv6 in square brackets")
	}
	s := Server{
		host: u.Hostname(), port: 587, implicitTLS: scheme == "smtps", clear: inClear,
	}
	if s.implicitTLS {
		s.port = 465
	}
	if u.Port() != "" {
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || port == 0 {
			return Server{}, errors.New("its port has to be a number from 1 to 65535")
		}
		s.port = uint16(port)
	}
	// The other side would wait for a greeting here, or for TLS, until the time is up.
	switch {
	case !s.implicitTLS && s.port == 465:
		return Server{}, errors.New("port 465 is for TLS from the first byte: " +
			"write smtps:// instead of smtp://")
	case s.implicitTLS && (s.port == 587 || s.port == 25):
		return Server{}, fmt.Errorf("port %d is for STARTTLS: write smtp:// instead of smtps://",
			s.port)
	case s.implicitTLS && s.clear:
		return Server{}, errors.New("smtps:// and ?tls=none contradict each other: keep one of them")
	case s.clear && u.User != nil:
		return Server{}, errors.New("no password goes without TLS: leave out user and password, " +
			"or ?tls=none")
	}
	if u.User != nil {
		s.user = u.User.Username()
		s.password, _ = u.User.Password()
		switch {
		case s.user == "" || s.password == "":
			return Server{}, errors.New("user and password go together: " +
				"smtp://user:password@host, or smtp://host without both")
		case strings.ContainsFunc(s.user+s.password, unicode.IsControl):
			return Server{}, errors.New("no control character may stand in user and password, " +
				"percent-encoded or not")
		}
	}
	return s, nil
}

// validHost reports whether the host is a name in ASCII or an address, IPv6 in square brackets.
func validHost(u *url.URL) bool {
	host := u.Hostname()
	return host != "" && isASCII(host) && !strings.ContainsAny(host, "[],;'\"()") &&
		strings.Contains(host, ":") == strings.HasPrefix(u.Host, "[")
}

// String returns the URL in a form that anybody may read. It hides the user, too, because some
// services take one secret as both user and password.
func (s Server) String() string {
	scheme, secret := "smtp", ""
	if s.implicitTLS {
		scheme = "smtps"
	}
	if s.user != "" {
		secret = "***:***@"
	}
	options := ""
	if s.clear {
		options = withoutTLS
	}
	return scheme + "://" + secret + s.address() + options
}

func (s Server) address() string { return net.JoinHostPort(s.host, strconv.Itoa(int(s.port))) }

// mayBeClear reports whether mail may go there without TLS: because the URL says so, or to a relay
// on this machine. Nothing listens on the way to that, and it seldom has a certificate. A password
// is never sent in clear.
func (s Server) mayBeClear() bool { return s.clear || s.password == "" && s.isLocal() }

// IsExposed reports whether mail goes in clear text over a network.
func (s Server) IsExposed() bool { return s.clear && !s.isLocal() }

func (s Server) isLocal() bool {
	ip, err := netip.ParseAddr(s.host)
	return strings.EqualFold(s.host, "localhost") || err == nil && ip.IsLoopback()
}

// ParseFrom reads the sender of mail: an email, or Name <email>. It has to be ASCII before the @:
// otherwise few servers would accept the mail.
func ParseFrom(s string) (netmail.Address, error) {
	a, err := netmail.ParseAddress(s)
	if err == nil {
		a.Address, err = address(a.Address)
	}
	if err != nil || !isASCII(a.Address) {
		return netmail.Address{}, errors.New("it has to be as clientes@example.com or " +
			"Clientes <clientes@example.com>, in ASCII before the @; a name with a comma stands " +
			"between double quotes")
	}
	return *a, nil
}

// address returns the bare email s with its domain in the form that every server accepts (xn--).
func address(s string) (string, error) {
	a, err := netmail.ParseAddress(s)
	if err != nil || a.Address != s || strings.ContainsFunc(s, unicode.IsControl) {
		return "", errors.New("it is not an email")
	}
	at := strings.LastIndexByte(s, '@')
	local, domain := s[:at], s[at+1:]
	if !isASCII(domain) {
		if domain, err = idna.Lookup.ToASCII(domain); err != nil {
			return "", fmt.Errorf("its domain: %w", err)
		}
	}
	return local + "@" + domain, nil
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}
