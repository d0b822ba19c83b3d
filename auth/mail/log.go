package mail

import (
	"context"
	"log/slog"
	"net/url"
)

// Log stands in for an SMTP where no server is set: nothing leaves.
type Log struct {
	log    *slog.Logger
	writer writer
	whole  bool
}

// NewLog writes whole mails to the log if whole says so, their links included, which are as good as
// passwords: for a developer, whose server nobody else can reach. Otherwise it says that a mail was
// not sent, and nothing of what is in it.
func NewLog(log *slog.Logger, publicURL *url.URL, whole bool) *Log {
	return &Log{log: log, writer: newWriter(publicURL), whole: whole}
}

// Send never fails but for a message that can not be written: there is nothing that could be tried
// again.
func (l *Log) Send(ctx context.Context, m Message) error {
	if !l.whole {
		l.log.WarnContext(ctx, "a mail was not sent: SMTP_URL is not set", "kind", string(m.Kind))
		return nil
	}
	words, err := l.writer.write(m)
	if err != nil {
		return err
	}
	l.log.InfoContext(ctx, "a mail, here because SMTP_URL is not set", "kind", string(m.Kind), "to", m.To,
		"subject", words.Subject, "link", words.Link, "text", words.plain())
	return nil
}
