package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"clientes/auth/authtest"
	"clientes/store"
)

// office is a real mail server. It counts what it gets.
type office struct {
	certificate tls.Certificate // none: no STARTTLS
	implicitTLS bool
	sender      int // the code of its answer to a sender, 0 if it takes all
	mails       atomic.Int64
}

type officeSession struct {
	*office
	user bool
}

func (s *officeSession) Reset()                   {}
func (s *officeSession) Logout() error            { return nil }
func (s *officeSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *officeSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if s.user = user == "postbox" && password == "letmein"; !s.user {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

func (s *officeSession) Mail(string, *smtp.MailOptions) error {
	if s.sender > 0 {
		return &smtp.SMTPError{Code: s.sender, Message: "not your address"}
	}
	return nil
}

func (s *officeSession) Rcpt(string, *smtp.RcptOptions) error {
	s.mails.Add(1)
	return nil
}

func (s *officeSession) Data(io.Reader) error { return nil }

// open returns where the server listens until the test ends.
func (o *office) open(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	authtest.Must(t, err)
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &officeSession{office: o}, nil
	}))
	server.ErrorLog = log.New(io.Discard, "", 0)
	if o.certificate.Certificate != nil {
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{o.certificate}}
	}
	at := listener.Addr().String()
	if o.implicitTLS {
		listener = tls.NewListener(listener, server.TLSConfig)
	}
	go server.Serve(listener)
	t.Cleanup(func() {
		server.Close()
		listener.Close()
	})
	return at
}

// certificateFor returns a self-signed certificate of an address.
func certificateFor(t *testing.T, address string, from, to time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	authtest.Must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to,
		IPAddresses: []net.IP{netip.MustParseAddr(address).AsSlice()},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	authtest.Must(t, err)
	leaf, err := x509.ParseCertificate(der)
	authtest.Must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// TestMailServer looks at real mail servers: each fault, and the sound one that its cure leads to.
func TestMailServer(t *testing.T) {
	t.Chdir(t.TempDir())
	const fail, warn, ok = store.LevelFail, store.LevelWarn, store.LevelOK
	now := time.Now()
	hour, year := now.Add(-time.Hour), now.Add(365*24*time.Hour)
	good := certificateFor(t, "127.0.0.1", hour, year)
	expired := certificateFor(t, "127.0.0.1", hour.Add(-time.Hour), hour)
	ending := certificateFor(t, "127.0.0.1", hour, now.Add(50*time.Hour))
	foreign := certificateFor(t, "192.0.2.1", hour, year)
	const user = "postbox:letmein@"
	tests := []struct {
		name     string
		office   *office
		scheme   string
		user     string
		stranger bool // whether nobody vouches for the certificate
		id       string
		level    store.Level
		want     string
	}{
		{"sound", &office{certificate: good}, "smtp", user, false, "mail", ok, "takes mail"},
		{"sound, smtps", &office{certificate: good, implicitTLS: true}, "smtps", user, false,
			"mail", ok, "takes mail"},
		{"a good certificate", &office{certificate: good}, "smtp", user, false,
			"mail-tls", ok, "is good until"},
		{"a relay on this machine", &office{}, "smtp", "", false, "mail-tls", ok, "in clear"},
		{"no STARTTLS", &office{}, "smtp", user, false, "mail", fail, "write smtps://"},
		{"STARTTLS instead of TLS", &office{certificate: good}, "smtps", user, false,
			"mail", fail, "smtp:// in SMTP_URL is for STARTTLS"},
		{"a wrong password", &office{certificate: good}, "smtp", "postbox:wrong-one@", false,
			"mail", fail, "correct them there"},
		{"a foreign certificate", &office{certificate: foreign}, "smtp", user, false,
			"mail", fail, "for another name"},
		{"a certificate of nobody", &office{certificate: good}, "smtp", user, true,
			"mail", fail, "SSL_CERT_FILE"},
		{"an expired certificate", &office{certificate: expired}, "smtp", user, false,
			"mail", fail, "have it renewed"},
		{"a certificate that ends soon", &office{certificate: ending}, "smtp", user, false,
			"mail-tls", warn, "in 2 days"},
		{"a refused sender", &office{certificate: good, sender: 553}, "smtp", user, false,
			"mail", fail, "set MAIL_FROM to an address"},
		{"a sender that has to wait", &office{certificate: good, sender: 451}, "smtp", user, false,
			"mail", warn, "451"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			at := test.office.open(t)
			s := settingsOf(t, with("SMTP_URL", test.scheme+"://"+test.user+at,
				"MAIL_FROM", "clientes@example.com"))
			s.RootCAs = x509.NewCertPool()
			if leaf := test.office.certificate.Leaf; leaf != nil && !test.stranger {
				s.RootCAs.AddCert(leaf)
			}
			found := mailServer(t.Context(), s)
			want(t, found, test.id, test.level, test.want)
			wantNoSecret(t, found)
			if test.office.mails.Load() > 0 {
				t.Error("it has sent mail")
			}
		})
	}
	t.Run("nobody", func(t *testing.T) {
		o := &office{}
		at := o.open(t)
		s := settingsOf(t, with("SMTP_URL", "smtp://localhost:1", "MAIL_FROM", "a@example.com"))
		want(t, mailServer(t.Context(), s), "mail", fail, "check host and port")
		s = settingsOf(t, with("SMTP_URL", "smtp://"+at, "MAIL_FROM", "a@example.com"))
		want(t, mailServer(t.Context(), s), "mail", ok, "")
	})
	for name, says := range map[string]struct {
		text  string
		level store.Level
		want  string
	}{
		"it refuses this machine": {"554 go away\r\n", fail, "whether this machine may send"},
		"it is busy":              {"421 too many\r\n", warn, "takes no mail at this moment"},
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			authtest.Must(t, err)
			defer listener.Close()
			go func() {
				if conn, err := listener.Accept(); err == nil {
					io.WriteString(conn, says.text)
					io.Copy(io.Discard, conn)
					conn.Close()
				}
			}()
			s := settingsOf(t, with("SMTP_URL", "smtp://"+listener.Addr().String(),
				"MAIL_FROM", "a@example.com"))
			want(t, mailServer(t.Context(), s), "mail", says.level, says.want)
		})
	}
	t.Run("in clear over a network", func(t *testing.T) {
		server := settingsOf(t, with("SMTP_URL", "smtp://192.0.2.1:1025?tls=none",
			"MAIL_FROM", "a@example.com"))
		ctx, cancel := contextThatEnds(t)
		defer cancel()
		want(t, mailServer(ctx, server), "mail-tls", warn, "drop ?tls=none")
	})
	t.Run("no sender", func(t *testing.T) {
		s := settingsOf(t, with("SMTP_URL", "smtp://localhost"))
		want(t, Examine(t.Context(), s), "mail-from", fail, "SMTP_URL needs it")
	})
}
