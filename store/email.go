package store

import (
	"fmt"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxEmail is the longest email, in bytes: the longest path of RFC 5321 section 4.5.3.1.3, without
// its angle brackets.
const MaxEmail = 254

// email checks an optional email: the addr-spec of RFC 5322 with the UTF-8 of RFC 6532, without
// comments, display name or quoted local part. White space around it is no part of it.
func (v *invalid) email(field, s string, limit int) string {
	if !utf8.ValidString(s) {
		v.add(field, "invalid_text", "The text is not valid UTF-8.")
		return s
	}
	sent := s
	s = norm.NFC.String(Trim(s))
	if len(s) > limit {
		v.add(field, "too_long",
			fmt.Sprintf("At most %d bytes are allowed; this has %d.", limit, len(s)))
	} else if fault := emailFault(sent, s); fault != "" {
		v.add(field, "invalid_email", "This is not an email address"+fault)
	}
	return s
}

// emailFault returns the end of a sentence on why s is no email, or "" if it is one. It is NFC and
// without white space around it, unlike the text that was sent.
func emailFault(sent, s string) string {
	if s == "" {
		return ""
	}
	if at := strayRune(sent); at >= 0 {
		return ": it has " + character(sent, at) + "."
	}
	// ParseAddress accepts more than an addr-spec, but returns the bare one. If it differs from s,
	// there was a display name, a comment, a quoted part or white space.
	a, err := mail.ParseAddress(s)
	if err == nil && a.Address == s && !isQuoted(s) && !strings.ContainsAny(s, fullWidthAts) {
		return ""
	}
	if hint := emailHint(sent, s); hint != "" {
		return ": " + hint
	}
	return "."
}

const fullWidthAts = "\uff20\ufe6b" // as keyboards for Chinese and Japanese type it

// emailHint returns what to do about a slip that people often make, "" for any other.
func emailHint(sent, s string) string {
	lower := strings.ToLower(s)
	local, domain, hasAt := strings.Cut(s, "@")
	switch {
	case strings.HasPrefix(lower, "mailto:"):
		return `leave out "mailto:".`
	case strings.Contains(s, "://"):
		return "it is the address of a web page."
	case isQuoted(s):
		return "leave out the quotation marks around it."
	case strings.ContainsAny(s, fullWidthAts):
		return "it has " + character(sent, strings.IndexAny(sent, fullWidthAts)) + "; write @."
	case strings.Count(s, "@") > 1 && strings.ContainsFunc(s, isBetween):
		return "these are several; give one."
	case strings.ContainsAny(s, "<>"):
		return "leave out the angle brackets and what stands outside of them."
	case strings.ContainsAny(s, "()"):
		return "leave out the parentheses and what stands in them."
	case strings.Contains(s, `"`):
		return "one with quotation marks in it is not taken."
	case !hasAt:
		return "it has no @."
	case strings.Contains(domain, "@"):
		return "it has more than one @."
	case local == "":
		return "nothing stands before the @."
	case domain == "":
		return "nothing stands after the @."
	case strings.HasSuffix(s, "."):
		return "leave out the dot at its end."
	case strings.HasSuffix(s, ",") || strings.HasSuffix(s, ";"):
		return "leave out the " + markName(s[len(s)-1]) + " at its end."
	case strings.ContainsAny(s, ",;"):
		at := strings.IndexAny(sent, ",;")
		return fmt.Sprintf("it has a %s at character %d; is it a dot?",
			markName(sent[at]), utf8.RuneCountInString(sent[:at])+1)
	case strings.Contains(s, ".."):
		return "two dots stand together."
	case strings.HasPrefix(s, "."), strings.HasSuffix(local, "."), strings.HasPrefix(domain, "."):
		return "a dot stands at the beginning or the end of a part."
	}
	return ""
}

// isBetween reports whether people write a character between two addresses.
func isBetween(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(",;/|", r) }

func markName(c byte) string {
	if c == ',' {
		return "comma"
	}
	return "semicolon"
}

// isQuoted reports whether a text stands in quotation marks of some kind. An address in apostrophes
// is one by RFC 5322, but no domain ends in one.
func isQuoted(s string) bool {
	first, _ := utf8.DecodeRuneInString(s)
	last, size := utf8.DecodeLastRuneInString(s)
	mark := func(r rune) bool { return r == '`' || unicode.Is(unicode.Quotation_Mark, r) }
	return size < len(s) && mark(first) && mark(last)
}

// strayRune returns where in the text that was sent the first character is that no email has: a
// control character, one that nobody sees, or white space. It returns -1 if there is none, and does
// not look at white space in several words, on which there is more to say.
func strayRune(sent string) int {
	s := Trim(sent)
	words := strings.ContainsAny(s, `<>()",;`) || strings.Count(s, "@") != 1
	at := strings.IndexFunc(s, func(r rune) bool {
		if unicode.IsSpace(r) {
			return !words
		}
		return unseen(r) || unicode.IsControl(r)
	})
	if at < 0 {
		return -1
	}
	return strings.Index(sent, s) + at
}
