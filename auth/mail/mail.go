// Package mail writes the mails to owners of accounts, and sends them by an SMTP server.
//
// An [SMTP] sends a [Message] by the [Server] of its [Config]. A [Log] takes its place where no
// server is set. The words of each [Kind] of mail are in mails.txt.
//
// The package promises three things. A mail is plain text and HTML of the same words: without
// images, without anything from elsewhere, and without markup of a user's making. The token of a
// link is in its fragment, which no server's log sees. And if a mail will never arrive, the error
// is [ErrUndeliverable].
//
// It knows neither the store nor HTTP, and remembers nothing. The caller decides when a mail is
// sent, and whether again.
package mail

import (
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"net/url"
	"regexp"
	"strings"
	texttemplate "text/template"
	"time"
	"unicode"
)

// ErrUndeliverable means that this mail will never reach this email: the server has refused it for
// good (5xx), or it cannot be written. After any other error the next try may succeed: the server
// is away or busy (4xx), or somebody has to fix it or its settings (TLS, password, sender).
var ErrUndeliverable = errors.New("the mail cannot be delivered")

// Kind is what a mail is about.
type Kind string

// The kinds of mail. The first three carry a link.
const (
	Reset           Kind = "reset"            // choose another password
	Invitation      Kind = "invitation"       // choose a first password
	Confirm         Kind = "confirm"          // confirm an email: to that email
	PasswordChanged Kind = "password_changed" // the password was changed
	EmailChanged    Kind = "email_changed"    // the email was or will be changed: to the old one
	NewNetwork      Kind = "new_address"      // somebody has logged in from a new network

	// The kinds about what a thief might do.
	HalfLogin        Kind = "half_login"        // a right password without a right code
	MFAOn            Kind = "mfa_on"            // the second factor is on
	MFAOff           Kind = "mfa_off"           // it is off
	MFATakenAway     Kind = "mfa_taken_away"    // an admin or a command took it away
	RecoveryUsed     Kind = "recovery_used"     // a recovery code was used
	RecoveryRenewed  Kind = "recovery_renewed"  // the recovery codes are new ones
	RoleChanged      Kind = "role_changed"      // the role is another
	DevicesCancelled Kind = "devices_cancelled" // all device tokens were cancelled
	NewAdmin         Kind = "new_admin"         // there is another admin: to the admins
)

// fragment returns what precedes the token in a link of this kind, "" if the mail has no link.
func (k Kind) fragment() string {
	switch k {
	case Reset:
		return "reset="
	case Invitation:
		return "invite="
	case Confirm:
		return "confirm="
	}
	return ""
}

// Message is one mail. Kind and To are always needed. The comments name the kinds that need the
// other fields.
type Message struct {
	Kind      Kind
	To        string        // the email, as package store keeps it
	User      string        // the name of the account: all except Confirm
	Token     string        // what the link carries: Reset, Invitation, Confirm
	ValidFor  time.Duration // how long the token is good: Reset, Invitation, Confirm
	At        time.Time     // when it happened: all without a link
	IP        string        // where the login came from: NewNetwork, HalfLogin
	UserAgent string        // the User-Agent header of that login: NewNetwork, HalfLogin

	// Detail is the role of RoleChanged, how many codes are left after RecoveryUsed, and the names
	// of NewAdmin.
	Detail string
	By     string // who made the admin: NewAdmin
	Keys   string // the keys of the account that go on, "" if there are none: PasswordChanged
}

// letter is the words of a mail.
type letter struct {
	Subject    string
	Paragraphs []string
	Link       string // "" or one of the paragraphs
}

//go:embed mails.txt mail.html
var templates embed.FS

// writer turns messages into words.
type writer struct {
	text *texttemplate.Template
	html *htmltemplate.Template
	site *url.URL
}

func newWriter(publicURL *url.URL) writer {
	return writer{
		text: texttemplate.Must(texttemplate.ParseFS(templates, "mails.txt")),
		html: htmltemplate.Must(htmltemplate.ParseFS(templates, "mail.html")),
		site: publicURL,
	}
}

func (w writer) write(m Message) (letter, error) {
	words := w.text.Lookup(string(m.Kind))
	fragment := m.Kind.fragment()
	if words == nil || (fragment == "") != (m.Token == "") {
		return letter{}, fmt.Errorf("%w: no mail of kind %q can be written like this",
			ErrUndeliverable, m.Kind)
	}
	app := w.site.JoinPath("app/")
	var l letter
	if fragment != "" {
		link := *app
		link.Fragment = fragment + m.Token
		l.Link = link.String()
	}
	keys := ""
	if m.Keys != "" {
		keys = unlinked(line(m.Keys))
	}
	var text strings.Builder
	if err := words.Execute(&text, map[string]string{
		"User": line(m.User), "Site": w.site.Host, "App": app.String(), "Link": l.Link,
		"ValidFor": span(m.ValidFor), "At": m.At.UTC().Format("2 January 2006, 15:04 UTC"),
		"IP": line(m.IP), "UserAgent": unlinked(line(m.UserAgent)),
		"Detail": line(m.Detail), "By": line(m.By), "Keys": keys,
	}); err != nil {
		return letter{}, fmt.Errorf("write a mail of kind %s: %w", m.Kind, err)
	}
	paragraphs := strings.Split(strings.TrimSpace(text.String()), "\n\n")
	l.Subject, l.Paragraphs = paragraphs[0], paragraphs[1:]
	return l, nil
}

// plain returns the letter as plain text.
func (l letter) plain() string { return strings.Join(l.Paragraphs, "\n\n") + "\n" }

// span returns a time in words.
func span(d time.Duration) string {
	if d >= 2*time.Hour {
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
	return fmt.Sprintf("%d minutes", int(d.Minutes()))
}

// line returns a text of a user's as one line, not too long. Otherwise it could pass for a
// paragraph of ours.
func line(s string) string {
	const most = 200 // characters: the names of real programs are shorter
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if s = strings.Join(strings.Fields(s), " "); s == "" {
		return "unknown"
	}
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return s
}

// unlinked breaks what a mail program would turn into a link. Otherwise a stranger who has the
// password could send the user a link in our name.
func unlinked(s string) string {
	s = strings.ReplaceAll(s, "://", ": //")
	return regexp.MustCompile(`([.。．｡])(\pL|\d+[:/])`).ReplaceAllString(s, "$1 $2")
}
