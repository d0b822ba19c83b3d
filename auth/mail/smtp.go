package mail

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	netmail "net/mail"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// Config is what an [SMTP] is made of. Every field except RootCAs is required.
type Config struct {
	Server    Server
	From      netmail.Address // see ParseFrom
	PublicURL *url.URL        // where links lead: scheme and host
	Timeout   time.Duration   // for one mail, from the first packet to the last
	RootCAs   *x509.CertPool  // may vouch for the server; nil for those that this machine trusts
	Now       func() time.Time
}

// SMTP sends mail by a server. It is safe for concurrent use.
type SMTP struct {
	cfg    Config
	writer writer
	domain string // the sender's: it hides the name of this machine
}

// NewSMTP returns an SMTP for the server of cfg. It does not connect to it.
func NewSMTP(cfg Config) *SMTP {
	at := strings.LastIndexByte(cfg.From.Address, '@')
	return &SMTP{cfg: cfg, writer: newWriter(cfg.PublicURL), domain: cfg.From.Address[at+1:]}
}

// Send sends one mail over a connection of its own. Without an error the server has accepted it.
// [ErrUndeliverable] means that it never will. After any other error the mail may be tried again.
// In rare cases (the server's last answer was lost) that sends it twice.
func (s *SMTP) Send(ctx context.Context, m Message) error {
	to, err := address(m.To)
	if err != nil {
		return fmt.Errorf("%w: the address: %w", ErrUndeliverable, err)
	}
	msg, err := s.compose(to, m)
	if err != nil {
		return err
	}
	late := fmt.Errorf("it took longer than %s: %w", s.cfg.Timeout, context.DeadlineExceeded)
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.Timeout, late)
	defer cancel() // closes the connection
	if err := s.deliver(ctx, msg, !isASCII(to)); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("%w (%w)", cause, err)
		}
		return fmt.Errorf("send mail by %s: %w", s.cfg.Server, err)
	}
	return nil
}

func (s *SMTP) compose(to string, m Message) (*gomail.Msg, error) {
	l, err := s.writer.write(m)
	if err != nil {
		return nil, err
	}
	var html strings.Builder
	if err := s.writer.html.Execute(&html, l); err != nil {
		return nil, fmt.Errorf("write a mail of kind %s in HTML: %w", m.Kind, err)
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(&s.cfg.From)
	msg.ToMailAddress(&netmail.Address{Address: to})
	msg.Subject(l.Subject)
	msg.SetDateWithValue(s.cfg.Now())
	msg.SetMessageIDWithValue(rand.Text() + "@" + s.domain)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no out-of-office replies
	msg.SetBodyString(gomail.TypeTextPlain, l.plain())
	msg.AddAlternativeString(gomail.TypeTextHTML, html.String())
	return msg, nil
}

// greet opens a session with the server, with its TLS and the login.
func (s *SMTP) greet(
	ctx context.Context, international bool,
) (*gomail.Client, *smtp.Client, error) {
	client, err := gomail.NewClient(s.cfg.Server.host, s.options(ctx, international)...)
	if err != nil {
		return nil, nil, err
	}
	session, err := client.DialToSMTPClientWithContext(ctx)
	// The connection's deadline may come before the context's, and go-mail hides its error.
	if err != nil && !s.cfg.Server.implicitTLS && (errors.Is(ctx.Err(), context.DeadlineExceeded) ||
		strings.Contains(err.Error(), "i/o timeout")) {
		return nil, nil, fmt.Errorf("no mail server answers; check the port in SMTP_URL: one with "+
			"TLS from the first byte is silent unless SMTP_URL begins with smtps://, and some "+
			"networks block the ports of mail: %w", context.DeadlineExceeded)
	}
	if err != nil {
		return nil, nil, withCure(err)
	}
	return client, session, nil
}

// Probed is what [SMTP.Probe] has found.
type Probed struct {
	TLS      bool
	NotAfter time.Time // the end of the server's certificate, if there is TLS
}

// Probe greets the server as Send does, with TLS and the login, and names the sender to it. It
// sends no mail. Its errors are those of Send.
func (s *SMTP) Probe(ctx context.Context) (Probed, error) {
	late := fmt.Errorf("%s did not answer within %s: %w", s.cfg.Server, s.cfg.Timeout,
		context.DeadlineExceeded)
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.Timeout, late)
	defer cancel() // closes the connection
	client, session, err := s.greet(ctx, false)
	if err != nil {
		return Probed{}, err
	}
	if err := session.Mail(s.cfg.From.Address); err != nil {
		return Probed{}, refusedSender(err)
	}
	_ = session.Reset() // the connection ends anyway
	var found Probed
	if state, ok := session.TLSConnectionState(); ok && len(state.PeerCertificates) > 0 {
		found = Probed{TLS: true, NotAfter: state.PeerCertificates[0].NotAfter}
	}
	_ = client.CloseWithSMTPClient(session)
	return found, nil
}

// deliver talks to the server until ctx ends.
func (s *SMTP) deliver(ctx context.Context, msg *gomail.Msg, international bool) error {
	client, session, err := s.greet(ctx, international)
	if err != nil {
		return err
	}
	if able, _ := session.Extension("SMTPUTF8"); international && !able {
		return fmt.Errorf("%w: the server does not take addresses beyond ASCII (SMTPUTF8)",
			ErrUndeliverable)
	}
	err = client.SendWithSMTPClient(session, msg)
	var refused *gomail.SendError
	isRefused := errors.As(err, &refused) && refused.ErrorCode() >= 500
	if isRefused && refused.Reason != gomail.ErrSMTPMailFrom {
		// It refuses this recipient or this text. A refused sender is for the operator to fix.
		err = fmt.Errorf("%w: %w", ErrUndeliverable, err)
	} else if isRefused {
		err = refusedSender(err)
	}
	if err == nil || refused != nil && refused.ErrorCode() != 0 {
		_ = client.CloseWithSMTPClient(session) // QUIT: the mail stays delivered if this fails
	}
	return err
}

func refusedSender(err error) error {
	return fmt.Errorf("the server refuses the sender, which MAIL_FROM names; set MAIL_FROM to an "+
		"address that the user in SMTP_URL may send from: %w", err)
}

// IsTemporary reports whether a server has said that the same may succeed later.
func IsTemporary(err error) bool {
	var said *textproto.Error
	return errors.As(err, &said) && said.Code >= 400 && said.Code < 500
}

// withCure adds to an error of the greeting what SMTP_URL has to be, if that is known.
func withCure(err error) error {
	var (
		lookup    *net.DNSError
		said      *textproto.Error
		noTLS     tls.RecordHeaderError
		stranger  x509.UnknownAuthorityError
		otherName x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &stranger):
		return fmt.Errorf("nobody whom this machine trusts has signed the server's certificate; "+
			"SSL_CERT_FILE names a file of certificates to trust instead: %w", err)
	case errors.As(err, &otherName):
		return fmt.Errorf("the server's certificate is for another name; write that name in "+
			"SMTP_URL: %w",
			err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("the server's certificate is not good at this time; have it renewed, "+
			"and "+
			"check the clock of this machine: %w", err)
	case strings.Contains(err.Error(), "SMTP AUTH failed"): // it has no other mark
		return fmt.Errorf("the server refuses the user or the password in SMTP_URL; correct "+
			"them there, where all but letters, digits and - . _ ~ is percent-encoded: %w", err)
	case strings.Contains(err.Error(), "does not support SMTP AUTH"):
		return fmt.Errorf("the server takes no user and password; leave them out of SMTP_URL, "+
			"or use "+
			"the port that takes them: %w", err)
	case errors.As(err, &noTLS):
		return fmt.Errorf("the server does not begin with TLS, which smtps:// is for; "+
			"smtp:// in SMTP_URL is for STARTTLS: %w", err)
	case strings.Contains(err.Error(), "does not support STARTTLS"): // it has no other mark
		return fmt.Errorf("the server does not offer STARTTLS; for a port with TLS from the first "+
			"byte write smtps:// in SMTP_URL, and for one in a network where nobody else listens "+
			"put ?tls=none behind it, without user and password: %w", err)
	case errors.As(err, &lookup):
		return fmt.Errorf("the name of the server is not known here; correct it in SMTP_URL, or "+
			"the DNS that this machine asks: %w", err)
	case errors.As(err, &said):
		return fmt.Errorf("the server takes nothing from this machine; ask who runs it "+
			"whether this machine may send mail by it: %w", err)
	}
	return err
}

// options returns how go-mail has to talk to the server. By default it would watch ctx only until
// it is connected, leave the connection open when the greeting fails, and report a mail as failed
// if RSET or QUIT failed.
func (s *SMTP) options(ctx context.Context, international bool) []gomail.Option {
	server := s.cfg.Server
	config := &tls.Config{
		ServerName: server.host, RootCAs: s.cfg.RootCAs, MinVersion: tls.VersionTLS12,
	}
	startTLS := gomail.TLSMandatory // without it only the greeting is sent
	if server.implicitTLS || server.mayBeClear() {
		startTLS = gomail.NoTLS
	}
	options := []gomail.Option{
		gomail.WithHELO(s.domain),
		gomail.WithTimeout(2 * s.cfg.Timeout), // ctx ends before, with a reason
		gomail.WithTLSConfig(config),
		gomail.WithTLSPolicy(startTLS),
		gomail.WithoutNoop(),
		gomail.WithoutRset(),
		// go-mail passes its own context, which ends as soon as there is a session, and an address
		// without brackets.
		gomail.WithDialContextFunc(func(_ context.Context, network, _ string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, server.address())
			if err != nil {
				return nil, err
			}
			context.AfterFunc(ctx, func() { _ = conn.Close() })
			if !server.implicitTLS {
				return conn, nil
			}
			secured := tls.Client(conn, config)
			return secured, secured.HandshakeContext(ctx)
		}),
	}
	if server.user != "" {
		options = append(options,
			gomail.WithUsername(server.user), gomail.WithPassword(server.password),
			// The others that the server offers come after these.
			gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthPlain, gomail.SMTPAuthLogin))
	}
	if !international {
		// A server that gets SMTPUTF8 may not find another one that accepts the mail.
		options = append(options, gomail.WithoutSMTPUTF8())
	}
	return options
}
