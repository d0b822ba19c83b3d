// Package mail writes the mails that the owner of an account gets, and hands them to an SMTP
// server.
//
// What they say stands in mails.txt. A mail is plain text and, made of the same words, HTML:
// without images, without anything from elsewhere, and without markup of a user's making. The token
// of a link stands in its fragment, which no server's log sees. This room knows neither the store
// nor HTTP, and remembers nothing: when a mail is sent, and whether again, is for the caller to
// say.
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

// ErrUndeliverable means that this mail will not reach this address however often it is tried: the
// server has refused it for good (5xx), or it can not be written. Any other error may be gone at
// the next try: the server is away or busy (4xx), or somebody has to mend it or its settings (TLS,
// password, sender).
var ErrUndeliverable = errors.New("the mail can not be delivered")

// Kind says what a mail is about.
type Kind string

// The kinds of mail. The first three carry a link.
const (
	Reset           Kind = "reset"            // choose another password
	Invitation      Kind = "invitation"       // choose a first password
	Confirm         Kind = "confirm"          // confirm an address: to that address
	PasswordChanged Kind = "password_changed" // the password is another
	EmailChanged    Kind = "email_changed"    // the address is or will be another: to the old one
	NewAddress      Kind = "new_address"      // somebody has logged in from a network address that is new
)

// fragment is what the page behind a link of this kind finds before the token, "" if there is no
// link.
func (k Kind) fragment() string {
	switch k {
	case Reset, Invitation:
		return "reset="
	case Confirm:
		return "confirm="
	}
	return ""
}

// Message is one mail. Kind and To are always needed; each kind says which of the others it uses.
type Message struct {
	Kind      Kind
	To        string        // the address, as package store keeps it
	User      string        // the name of the account: all but Confirm
	Token     string        // what the link carries: Reset, Invitation, Confirm
	ValidFor  time.Duration // how long the token is good from now on: Reset, Invitation, Confirm
	At        time.Time     // when it happened: PasswordChanged, EmailChanged, NewAddress
	IP        string        // where the login came from: NewAddress
	UserAgent string        // and from which program, in its own words: NewAddress
}

// letter is a mail in words.
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
		return letter{}, fmt.Errorf("%w: no mail of kind %q can be written like this", ErrUndeliverable, m.Kind)
	}
	app := w.site.JoinPath("app/")
	var l letter
	if fragment != "" {
		link := *app
		link.Fragment = fragment + m.Token
		l.Link = link.String()
	}
	var text strings.Builder
	if err := words.Execute(&text, map[string]string{
		"User": line(m.User), "Site": w.site.Host, "App": app.String(), "Link": l.Link, "ValidFor": span(m.ValidFor),
		"At": m.At.UTC().Format("2 January 2006, 15:04 UTC"), "IP": line(m.IP), "UserAgent": unlinked(line(m.UserAgent)),
	}); err != nil {
		return letter{}, fmt.Errorf("write a mail of kind %s: %w", m.Kind, err)
	}
	paragraphs := strings.Split(strings.TrimSpace(text.String()), "\n\n")
	l.Subject, l.Paragraphs = paragraphs[0], paragraphs[1:]
	return l, nil
}

// plain is the letter's text.
func (l letter) plain() string { return strings.Join(l.Paragraphs, "\n\n") + "\n" }

// span says how long a link works.
func span(d time.Duration) string {
	if d >= 2*time.Hour {
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
	return fmt.Sprintf("%d minutes", int(d.Minutes()))
}

// line makes one line, not too long, of what a user may have chosen: else it could pass for a
// paragraph of ours.
func line(s string) string {
	const most = 200 // characters: real programs call themselves by less
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

// unlinked breaks what a mail program would make a link of: a stranger who has the password can
// also write to the user here, in our name.
func unlinked(s string) string {
	s = strings.ReplaceAll(s, "://", ": //")
	return regexp.MustCompile(`([.。．｡])(\pL|\d+[:/])`).ReplaceAllString(s, "$1 $2")
}
