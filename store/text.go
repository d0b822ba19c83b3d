package store

import (
	"fmt"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// MaxEmail is the longest email, in bytes: the longest path of RFC 5321 section 4.5.3.1.3, without
// its angle brackets.
const MaxEmail = 254

// EmailKey returns the form in which two emails are compared without regard to case: NFC after
// Unicode case folding. The engines keep it beside the email, because each of them folds
// differently.
func EmailKey(email string) string {
	if isASCII(email) {
		return strings.ToLower(email)
	}
	// ToLower undoes what Fold does to Cherokee: it swaps the two cases there.
	return norm.NFC.String(strings.ToLower(cases.Fold().String(email)))
}

// NameKey returns the form in which two user names are compared: that of emails, because a name may
// be one. Other names are ASCII, and theirs is lower case. White space at the ends is no part of a
// name.
func NameKey(name string) string { return EmailKey(strings.TrimSpace(name)) }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// name checks the required text that says what a record is called.
func (v *invalid) name(field, s string, limit int) string {
	return v.required(field, s, limit, "A name is required.")
}

// required checks a text of one line that must not be empty, and trims the white space around it.
// The message is for one that is empty.
func (v *invalid) required(field, s string, limit int, message string) string {
	if s = strings.TrimSpace(s); s == "" {
		v.add(field, "required", message)
		return s
	}
	return v.line(field, s, limit)
}

// line checks a text of one line: NFC, no control characters, at most limit code points. It keeps
// only the first fault.
func (v *invalid) line(field, s string, limit int) string {
	return v.text(field, s, limit, func(r rune) bool { return !unicode.IsControl(r) },
		"Control characters are not allowed.")
}

// notes checks a text of many lines. Unlike line it allows tab and newline, and turns CRLF into LF.
func (v *invalid) notes(field, s string, limit int) string {
	return v.text(field, strings.ReplaceAll(s, "\r\n", "\n"), limit,
		func(r rune) bool { return r == '\t' || r == '\n' || !unicode.IsControl(r) },
		"Control characters other than tab and newline are not allowed.")
}

func (v *invalid) text(field, s string, limit int, allowed func(rune) bool, fault string) string {
	if !utf8.ValidString(s) {
		v.add(field, "invalid_text", "The text is not valid UTF-8.")
		return s
	}
	s = norm.NFC.String(s)
	switch {
	case strings.ContainsFunc(s, func(r rune) bool { return !allowed(r) }):
		v.add(field, "invalid_characters", fault)
	case utf8.RuneCountInString(s) > limit:
		v.add(field, "too_long", fmt.Sprintf("At most %d characters are allowed.", limit))
	}
	return s
}

// email checks an optional email: the addr-spec of RFC 5322 with the UTF-8 of RFC 6532, without
// comments, display name or quoted local part.
func (v *invalid) email(field, s string, limit int) string {
	if s == "" {
		return ""
	}
	if !utf8.ValidString(s) {
		v.add(field, "invalid_text", "The text is not valid UTF-8.")
		return s
	}
	s = norm.NFC.String(s)
	if len(s) > limit {
		v.add(field, "too_long", fmt.Sprintf("At most %d bytes are allowed.", limit))
		return s
	}
	// ParseAddress accepts more than an addr-spec, but returns the bare one. If it differs from s,
	// there was a display name, a comment, a quoted part or white space.
	a, err := mail.ParseAddress(s)
	strange := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
	if err != nil || a.Address != s || strings.ContainsFunc(s, strange) {
		v.add(field, "invalid_email", "This is not an email address.")
	}
	return s
}
