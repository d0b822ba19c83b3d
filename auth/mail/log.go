package mail

import (
	"context"
	"log/slog"
	"net/url"
)

// Log takes the place of an [SMTP] where no server is set. No mail leaves the process.
type Log struct {
	log    *slog.Logger
	writer writer
	whole  bool
}

// NewLog returns a Log. If whole is set it writes whole mails to the log, with their links, which
// are as good as passwords. That is for a developer, whose server nobody else can reach. Otherwise
// it logs that a mail was not sent, and nothing of its content.
func NewLog(log *slog.Logger, publicURL *url.URL, whole bool) *Log {
	return &Log{log: log, writer: newWriter(publicURL), whole: whole}
}

// Send fails only for a message that cannot be written. Trying again never helps.
func (l *Log) Send(ctx context.Context, m Message) error {
	if !l.whole {
		l.log.WarnContext(ctx, "a mail was not sent: SMTP_URL is not set", "kind", string(m.Kind))
		return nil
	}
	words, err := l.writer.write(m)
	if err != nil {
		return err
	}
	l.log.InfoContext(ctx, "a mail, here because SMTP_URL is not set", "kind", string(m.Kind),
		"to", m.To, "subject", words.Subject, "link", words.Link, "text", words.plain())
	return nil
}
