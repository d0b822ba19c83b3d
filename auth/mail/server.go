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

// Server is where mail is handed over, as SMTP_URL names it. The zero Server is none.
type Server struct {
	host           string
	port           uint16
	user, password string // both or none
	implicitTLS    bool   // from the first byte; else by STARTTLS
}

// ParseServer reads smtp://host or smtps://host, with user:password@ before the host and :port
// behind it where they are needed. Its errors repeat nothing of the URL, which may be malformed in
// such a way that no one can tell what of it is the password.
func ParseServer(smtpURL string) (Server, error) {
	u, err := url.Parse(smtpURL)
	scheme, rest, _ := strings.Cut(smtpURL, "://")
	scheme = strings.ToLower(scheme)
	switch {
	case scheme != "smtp" && scheme != "smtps" || rest == "":
		return Server{}, errors.New("it has to begin with smtp:// or smtps://, as in smtps://user:password@mail.example.com")
	case err != nil || u.Path != "" && u.Path != "/" || strings.ContainsAny(rest, "?#"):
		// A / ? or # that is not encoded makes the rest of a password the path or what follows it.
		return Server{}, errors.New("behind smtp:// it may have user:password@, has a host, may have :port, and no more; " +
			"in user and password all but A-Z, a-z, 0-9 and - . _ ~ has to be percent-encoded")
	case u.Hostname() == "" || !isASCII(u.Hostname()) || strings.ContainsAny(u.Hostname(), "[]") || strings.Contains(u.Hostname(), ":") != strings.HasPrefix(u.Host, "["):
		return Server{}, errors.New("its host has to be a name in ASCII or an address, IPv6 in square brackets")
	}
	s := Server{host: u.Hostname(), port: 587, implicitTLS: scheme == "smtps"}
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
	if u.User != nil {
		s.user = u.User.Username()
		s.password, _ = u.User.Password()
		switch {
		case s.user == "" || s.password == "":
			return Server{}, errors.New("user and password go together: smtp://user:password@host, or smtp://host without both")
		case strings.ContainsFunc(s.user+s.password, unicode.IsControl):
			return Server{}, errors.New("no control character may stand in user and password, percent-encoded or not")
		}
	}
	return s, nil
}

// String gives the URL as it may be read by anybody: some services take one and the same secret as
// user and password.
func (s Server) String() string {
	scheme, secret := "smtp", ""
	if s.implicitTLS {
		scheme = "smtps"
	}
	if s.user != "" {
		secret = "***:***@"
	}
	return scheme + "://" + secret + s.address()
}

func (s Server) address() string { return net.JoinHostPort(s.host, strconv.Itoa(int(s.port))) }

// mayBeClear says whether mail may go there without TLS: nothing listens on the way to a relay on
// this machine, which seldom has a certificate for it. A password goes nowhere in clear.
func (s Server) mayBeClear() bool {
	ip, err := netip.ParseAddr(s.host)
	return s.password == "" && (strings.EqualFold(s.host, "localhost") || err == nil && ip.IsLoopback())
}

// ParseFrom reads whom mail is from: an address, or Name <address>. Before the @ it has to be
// ASCII: few servers would take the mail otherwise.
func ParseFrom(s string) (netmail.Address, error) {
	a, err := netmail.ParseAddress(s)
	if err == nil {
		a.Address, err = address(a.Address)
	}
	if err != nil || !isASCII(a.Address) {
		return netmail.Address{}, errors.New("it has to be as clientes@example.com or Clientes <clientes@example.com>, " +
			"in ASCII before the @")
	}
	return *a, nil
}

// address gives the bare address s with its domain in the form that every server takes (xn--).
func address(s string) (string, error) {
	a, err := netmail.ParseAddress(s)
	if err != nil || a.Address != s || strings.ContainsFunc(s, unicode.IsControl) {
		return "", errors.New("it is none")
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
