package store

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// EmailKey returns the form in which two emails are compared without regard to case: NFC after
// Unicode case folding. The engines keep it beside the email, because each of them folds
// differently.
func EmailKey(email string) string {
	if isASCII(email) {
		return strings.ToLower(email)
	}
	if key, ok := latinEmailKeys().fold(email); ok {
		return key
	}
	return emailKeyOfAny(email)
}

// emailKeyOfAny is EmailKey for any text.
func emailKeyOfAny(email string) string {
	// ToLower undoes what Fold does to Cherokee: it swaps the two cases there.
	return norm.NFC.String(strings.ToLower(cases.Fold().String(email)))
}

// NameKey returns the form in which two user names are compared: that of emails, because a name may
// be one. Other names are ASCII, and theirs is lower case. White space at the ends is no part of a
// name. What somebody types may be in any form of Unicode, so NFC comes first, as it does before a
// name is kept: the two do not commute for every letter of Greek.
func NameKey(name string) string {
	if name = Trim(name); isASCII(name) {
		return strings.ToLower(name)
	}
	return EmailKey(norm.NFC.String(name))
}

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

// required checks a text of one line that must not be empty, and drops what nobody sees at its
// ends. The message is for one that is empty.
func (v *invalid) required(field, s string, limit int, message string) string {
	kept := trimName(norm.NFC.String(s))
	if kept == "" {
		v.add(field, "required", message)
		return ""
	}
	return v.text(field, s, Trim(s), kept, limit, unicode.IsControl)
}

// phone checks a text of one line, and drops what nobody sees: phones mark the direction of a
// number that somebody copies.
func (v *invalid) phone(field, s string, limit int) string {
	kept := s
	if !isASCII(s) && utf8.ValidString(s) {
		kept = strings.Map(func(r rune) rune {
			if unseen(r) {
				return -1
			}
			return r
		}, s)
	}
	return v.text(field, s, Trim(s), Trim(kept), limit, unicode.IsControl)
}

// line checks a text of one line: NFC, no control characters, at most limit code points. It keeps
// only the first fault.
func (v *invalid) line(field, s string, limit int) string {
	return v.text(field, s, s, s, limit, unicode.IsControl)
}

// lines checks a text of many lines. Unlike line it allows tab and newline, and makes every other
// end of a line a newline.
func (v *invalid) lines(field, s string, limit int) string {
	kept := s
	if strings.ContainsAny(s, "\r\v\f") || strings.Contains(s, "\u0085") { // which is rare
		kept = newlines.Replace(s)
	}
	return v.text(field, s, s, kept, limit, func(r rune) bool {
		return r != '\t' && !isBreak(r) && unicode.IsControl(r)
	})
}

// newlines makes every end of a line a newline.
var newlines = strings.NewReplacer(
	"\r\n", "\n", "\r", "\n", "\v", "\n", "\f", "\n", "\u0085", "\n")

// text checks a text and returns what is kept of it, as NFC. No stray character may be in inner,
// which is a part of what was sent. A fault names the place in the latter, because that is what its
// sender can look at.
func (v *invalid) text(
	field, sent, inner, kept string, limit int, stray func(rune) bool,
) string {
	if !utf8.ValidString(sent) {
		v.add(field, "invalid_text", "The text is not valid UTF-8.")
		return sent
	}
	kept = norm.NFC.String(kept)
	if at := strings.IndexFunc(inner, stray); at >= 0 {
		cure := "remove it."
		if r, _ := utf8.DecodeRuneInString(inner[at:]); isBreak(r) {
			cure = "this text has one line."
		}
		where := character(sent, strings.Index(sent, inner)+at)
		v.add(field, "invalid_characters", "There is "+where+"; "+cure)
	} else if n := utf8.RuneCountInString(kept); n > limit {
		v.add(field, "too_long",
			fmt.Sprintf("At most %d characters are allowed; this has %d.", limit, n))
	}
	return kept
}
