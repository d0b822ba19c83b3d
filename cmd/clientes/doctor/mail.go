package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"clientes/auth/mail"
	"clientes/store"
)

// endsSoon is how long before its end a certificate is warned of. Most are renewed a month before.
const endsSoon = 14 * 24 * time.Hour

// mailServer greets the mail server, with its TLS and its login, and sends nothing.
func mailServer(ctx context.Context, s Setup) []store.Finding {
	const id = "mail"
	var r report
	c := s.Config
	switch {
	case c.SMTP == (mail.Server{}) && s.isInside():
		r.ok(id, "without SMTP_URL, the log has the mail of this server on loopback")
		return r
	case c.SMTP == (mail.Server{}):
		r.warn(id, "SMTP_URL is not set: no mail is sent, so nobody can set a forgotten "+
			"password or learns of a change of theirs", "set SMTP_URL and MAIL_FROM")
		return r
	}
	if c.SMTP.IsExposed() {
		r.warn("mail-tls", "SMTP_URL has tls=none: whoever listens on the way to the mail "+
			"server reads the links in mail, which are as good as passwords",
			"use STARTTLS or smtps://, and drop ?tls=none")
	}
	sender := mail.NewSMTP(mail.Config{
		Server: c.SMTP, From: c.MailFrom, PublicURL: s.public(), Timeout: networkTimeout,
		RootCAs: s.RootCAs, Now: s.Now,
	})
	server, err := sender.Probe(ctx)
	switch {
	case err != nil && mail.IsTemporary(err):
		r.warn(id, fmt.Sprintf("%s takes no mail at this moment: %v", c.SMTP, errors.Unwrap(err)),
			"wait: the server tries again for hours; if that stays, ask who runs the mail server")
		return r
	case err != nil:
		message, cure := partsOfMail(err)
		r.fail(id, message, cure)
		return r
	}
	r.ok(id, "%s answers, and takes mail from %s", c.SMTP, c.MailFrom.Address)
	if !server.TLS {
		if !c.SMTP.IsExposed() {
			r.ok("mail-tls", "mail goes in clear to a server on this machine")
		}
		return r
	}
	return append(r, certificate("mail-tls", "the mail server", server.NotAfter, s.Now())...)
}

// partsOfMail returns what is wrong, with what the mail server or the network said, and the cure.
func partsOfMail(err error) (message, cure string) {
	message, cure, known := strings.Cut(err.Error(), "; ")
	if !known {
		return fmt.Sprintf("the mail server cannot be reached: %v", err),
			"check host and port in SMTP_URL, and that this machine may connect to them: " +
				"many networks block the ports of mail"
	}
	cause := errors.Unwrap(err)
	if errors.Is(cause, context.DeadlineExceeded) {
		return fmt.Sprintf("%s within %s", message, networkTimeout),
			strings.TrimSuffix(cure, fmt.Sprintf(": %v", cause))
	}
	return fmt.Sprintf("%s (%v)", message, cause),
		strings.TrimSuffix(cure, fmt.Sprintf(": %v", cause))
}

// certificate looks at when a certificate that is good now will end.
func certificate(id, whose string, end, now time.Time) []store.Finding {
	var r report
	left := end.Sub(now)
	if left < endsSoon {
		r.warn(id, fmt.Sprintf("the certificate of %s ends on %s, in %.0f days", whose,
			end.Format(time.DateOnly), left.Hours()/24),
			"renew it, and look why that did not happen by itself")
	}
	r.okUnless(id, "the certificate of %s is good until %s", whose, end.Format(time.DateOnly))
	return r
}
