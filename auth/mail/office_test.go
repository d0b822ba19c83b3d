package mail

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	netmail "net/mail"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// office is a real SMTP server that keeps what it gets. Its fields are set before it opens.
type office struct {
	implicitTLS, noTLS, utf8 bool
	mechanisms               []string // "PLAIN", "LOGIN"; with any, it requires the password
	certificate              tls.Certificate
	mail, rcpt, data         func() error // the answer; nil for yes

	addr     string // "127.0.0.1:0" or where it was before
	server   *smtp.Server
	mu       sync.Mutex
	taken    []delivery
	refusals []string
}

type delivery struct {
	helo, user, from, to string
	tls, utf8            bool
	text                 []byte
}

const user, password = "ana@example.com", "hunter2 é"

func (o *office) open(t *testing.T) {
	t.Helper()
	if o.addr == "" {
		o.addr = "127.0.0.1:0"
	}
	if o.certificate.Certificate == nil {
		o.certificate = certificate(t, "127.0.0.1")
	}
	listener, err := net.Listen("tcp", o.addr)
	if err != nil {
		t.Fatal(err)
	}
	o.addr = listener.Addr().String()
	o.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		_, secured := c.TLSConnectionState()
		return &session{o: o, d: delivery{helo: c.Hostname(), tls: secured}}, nil
	}))
	o.server.ErrorLog = log.New(io.Discard, "", 0)
	o.server.EnableSMTPUTF8 = o.utf8
	o.server.AllowInsecureAuth = o.noTLS
	if !o.noTLS {
		o.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{o.certificate}}
	}
	if o.implicitTLS {
		listener = tls.NewListener(listener, o.server.TLSConfig)
	}
	served := make(chan error, 1)
	go func() { served <- o.server.Serve(listener) }()
	t.Cleanup(func() {
		o.server.Close()
		listener.Close() // Serve may not have passed it to the server yet
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// url returns its SMTP_URL, with a user or not.
func (o *office) url(withUser bool) string {
	u := url.URL{Scheme: "smtp", Host: o.addr}
	if o.implicitTLS {
		u.Scheme = "smtps"
	}
	if withUser {
		u.User = url.UserPassword(user, password)
	}
	return u.String()
}

func (o *office) deliveries() []delivery {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]delivery(nil), o.taken...)
}

// refused returns the users and passwords that it did not accept.
func (o *office) refused() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.refusals...)
}

type session struct {
	o *office
	d delivery
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, options *smtp.MailOptions) error {
	if len(s.o.mechanisms) > 0 && s.d.user == "" {
		return smtp.ErrAuthRequired
	}
	s.d.from, s.d.utf8 = from, options.UTF8
	return answer(s.o.mail)
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.d.to = to
	return answer(s.o.rcpt)
}

func (s *session) Data(r io.Reader) error {
	var err error
	if s.d.text, err = io.ReadAll(r); err != nil {
		return err
	}
	if err := answer(s.o.data); err != nil {
		return err
	}
	s.o.mu.Lock()
	defer s.o.mu.Unlock()
	s.o.taken = append(s.o.taken, s.d)
	return nil
}

func answer(f func() error) error {
	if f == nil {
		return nil
	}
	return f()
}

func (s *session) AuthMechanisms() []string { return s.o.mechanisms }

func (s *session) Auth(mechanism string) (sasl.Server, error) {
	if mechanism == "LOGIN" {
		return &loginServer{check: s.check}, nil
	}
	return sasl.NewPlainServer(func(_, u, p string) error { return s.check(u, p) }), nil
}

func (s *session) check(u, p string) error {
	if u != user || p != password {
		s.o.mu.Lock()
		defer s.o.mu.Unlock()
		s.o.refusals = append(s.o.refusals, u+":"+p)
		return errors.New("no")
	}
	s.d.user = u
	return nil
}

// loginServer is the other side of AUTH LOGIN, which go-sasl leaves out.
type loginServer struct {
	check func(user, password string) error
	user  *string
}

func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case response == nil:
		return []byte("Username:"), false, nil
	case l.user == nil:
		u := string(response)
		l.user = &u
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(*l.user, string(response))
}

// certificate returns a self-signed certificate for an address.
func certificate(t *testing.T, ip string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.ParseIP(ip)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// sender returns an SMTP that trusts the office's certificate.
func (o *office) sender(t *testing.T, withUser bool) *SMTP {
	t.Helper()
	s := sender(t, o.url(withUser))
	s.cfg.RootCAs = x509.NewCertPool()
	if o.certificate.Leaf != nil {
		s.cfg.RootCAs.AddCert(o.certificate.Leaf)
	}
	return s
}

func sender(t *testing.T, smtpURL string) *SMTP {
	t.Helper()
	server, err := ParseServer(smtpURL)
	if err != nil {
		t.Fatal(err)
	}
	return NewSMTP(Config{
		Server: server, From: netmail.Address{Name: "São João", Address: "clientes@example.com"},
		PublicURL: &url.URL{Scheme: "https", Host: "api.example.com"}, Timeout: 20 * time.Minute,
		Now: func() time.Time { return time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC) },
	})
}
