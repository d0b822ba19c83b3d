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

// MaxEmail is the longest address, in bytes: the longest path of RFC 5321 section 4.5.3.1.3, less its
// angle brackets.
const MaxEmail = 254

// EmailKey gives the form of an address in which two are the same without regard to case: NFC after
// Unicode case folding. The stores keep it beside the address, because the engines themselves fold
// differently.
func EmailKey(email string) string {
	if isASCII(email) {
		return strings.ToLower(email)
	}
	// ToLower mends what Fold does to Cherokee, whose two cases it exchanges.
	return norm.NFC.String(strings.ToLower(cases.Fold().String(email)))
}

// NameKey gives the form of a user name in which two are the same without regard to case. A valid name is
// ASCII, so nothing else needs folding; a name that is not valid is no user's.
func NameKey(name string) string {
	return strings.ToLower(name)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// name checks a required text of one line, without the white space around it.
func (v *invalid) name(field, s string, limit int) string {
	if s = strings.TrimSpace(s); s == "" {
		v.add(field, "required", "A name is required.")
		return s
	}
	return v.line(field, s, limit)
}

// line checks text of one line: NFC, no control characters, at most limit code points. Only the first
// fault of a field is kept.
func (v *invalid) line(field, s string, limit int) string {
	return v.text(field, s, limit, func(r rune) bool { return !unicode.IsControl(r) },
		"Control characters are not allowed.")
}

// notes checks text of many lines: as line, but tab and newline are allowed and CRLF becomes LF.
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

// email checks an optional address: RFC 5322's addr-spec with RFC 6532's UTF-8, without comments, display
// name or quoted local part.
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
	// ParseAddress takes more than an addr-spec, but gives the bare one back: what differs had a display
	// name, a comment, a quoted part or white space.
	a, err := mail.ParseAddress(s)
	strange := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
	if err != nil || a.Address != s || strings.ContainsFunc(s, strange) {
		v.add(field, "invalid_email", "This is not an email address.")
	}
	return s
}
