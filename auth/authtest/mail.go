package authtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"clientes/auth/mail"
)

// Outbox is an auth.Sender that keeps the mails. It is safe for concurrent use.
type Outbox struct {
	mu    sync.Mutex
	mails []mail.Message
}

// Send implements auth.Sender.
func (o *Outbox) Send(_ context.Context, m mail.Message) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mails = append(o.mails, m)
	return nil
}

// Take waits for a mail of a kind to an email, removes it and returns it.
func (o *Outbox) Take(t testing.TB, kind mail.Kind, to string) (m mail.Message) {
	t.Helper()
	Eventually(t, fmt.Sprintf("a mail of kind %s to %s", kind, to), func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		i := slices.IndexFunc(o.mails,
			func(m mail.Message) bool { return m.Kind == kind && m.To == to })
		if i < 0 {
			return false
		}
		m = o.mails[i]
		o.mails = slices.Delete(o.mails, i, i+1)
		return true
	})
	return m
}

// Left returns the mails that nobody has taken.
func (o *Outbox) Left() []mail.Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.mails)
}

// MailServer is a real SMTP server. It accepts mail only after STARTTLS and with a password. The
// tests of package mail have another one, which can do more.
type MailServer struct {
	addr        string // stays the same when it opens again
	certificate []byte // DER
	config      *tls.Config
	server      *smtp.Server
	listener    net.Listener
	mu          sync.Mutex
	mails       []string
}

// NewMailServer returns a server that is open until the test ends.
func NewMailServer(t testing.TB) *MailServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	Must(t, err)
	s := &MailServer{
		addr:        "127.0.0.1:0",
		certificate: der,
		config: &tls.Config{Certificates: []tls.Certificate{
			{Certificate: [][]byte{der}, PrivateKey: key},
		}},
	}
	s.Open(t)
	t.Cleanup(s.Close)
	return s
}

// Open opens the server again after Close.
func (s *MailServer) Open(t testing.TB) {
	t.Helper()
	listener, err := net.Listen("tcp", s.addr)
	Must(t, err)
	s.addr = listener.Addr().String()
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		_, secured := c.TLSConnectionState()
		return &mailSession{server: s, secured: secured}, nil
	}))
	server.TLSConfig = s.config
	server.ErrorLog = log.New(io.Discard, "", 0)
	s.server, s.listener = server, listener
	go server.Serve(listener)
}

// Close closes the server.
func (s *MailServer) Close() {
	s.server.Close()
	s.listener.Close() // it is still open if Serve had not begun
}

// URL returns the SMTP_URL of the server.
func (s *MailServer) URL() string { return "smtp://postbox:letmein@" + s.addr }

// Certificate returns the server's certificate as PEM.
func (s *MailServer) Certificate() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.certificate})
}

// Mails returns what has arrived. Each begins with a line "To: " with its recipient. The lines that
// quoted-printable has broken are whole again.
func (s *MailServer) Mails() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

type mailSession struct {
	server        *MailServer
	secured, user bool
	to            string
}

func (s *mailSession) Reset()                   {}
func (s *mailSession) Logout() error            { return nil }
func (s *mailSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if s.user = s.secured && user == "postbox" && password == "letmein"; !s.user {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

func (s *mailSession) Mail(string, *smtp.MailOptions) error {
	if !s.user {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	return nil
}

func (s *mailSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	text := strings.ReplaceAll(string(b), "=\r\n", "")
	s.server.mails = append(s.server.mails, "To: "+s.to+"\n"+text)
	return err
}
