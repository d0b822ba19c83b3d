package store

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Trim returns a text without the white space at its ends and without the characters there that
// nobody sees. Neither is a part of an email, a user name, a phone or a token. It is no function
// for passwords.
func Trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unseen(r) })
}

// trimName is [Trim] for a text that may be in any script. Its last character stays if it changes
// how the one before it looks.
func trimName(s string) string {
	s = strings.TrimLeftFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unseen(r) })
	for s != "" {
		r, size := utf8.DecodeLastRuneInString(s)
		before := s[:len(s)-size]
		if !unicode.IsSpace(r) && !unseen(r) || changes(before, r) {
			break
		}
		s = before
	}
	return s
}

// changes reports whether r, which has no look of its own, changes how the text before it looks.
func changes(before string, r rune) bool {
	last, _ := utf8.DecodeLastRuneInString(before)
	switch {
	case unicode.Is(unicode.Variation_Selector, r): // of an emoji, or of a Mongolian letter
		return before != "" && !unicode.IsSpace(last) && !unseen(last)
	case r == '\u200c', r == '\u200d':
		// After a virama (combining class 9) a joiner makes the half form of a letter: names in
		// Malayalam end so.
		return norm.NFC.PropertiesString(string(last)).CCC() == 9
	case r == '\U000e007f': // the end of a flag such as Scotland's (Unicode Technical Standard 51)
		flag := strings.TrimRightFunc(before, func(r rune) bool {
			return '\U000e0020' <= r && r < '\U000e007f'
		})
		return len(flag) < len(before) && strings.HasSuffix(flag, "🏴")
	}
	return false
}

// unseen reports whether a character shows nothing, not even as white space: what Unicode calls
// default ignorable or a format character, and the blank of Braille. Some format characters of
// Arabic are signs before a number, which everybody sees.
func unseen(r rune) bool {
	switch {
	case r < '\u00ad':
		return false
	case r == '\u2800':
		return true
	}
	return unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point,
		unicode.Variation_Selector) && !unicode.Is(unicode.Prepended_Concatenation_Mark, r)
}

// character returns what to call a character that has to go, and where it is: the place counts
// characters from 1, in the text as it was sent.
func character(s string, at int) string {
	r, _ := utf8.DecodeRuneInString(s[at:])
	place := utf8.RuneCountInString(s[:at]) + 1
	return fmt.Sprintf("%s (U+%04X) at character %d", kindOf(r), r, place)
}

func kindOf(r rune) string {
	switch r {
	case 0:
		return "a NUL character"
	case '\t':
		return "a tab"
	case '\n', '\r', '\u0085':
		return "a line break"
	case '\v':
		return "a vertical tab"
	case '\f':
		return "a form feed"
	case '\u001b':
		return "an escape character"
	case '\u007f':
		return "a delete character"
	case '\u00ad':
		return "a soft hyphen"
	case '\u200b':
		return "a zero-width space"
	case '\u200c', '\u200d':
		return "a zero-width joiner"
	case '\u2028', '\u2029':
		return "a line separator"
	case '\u2060':
		return "a word joiner"
	case '\ufeff':
		return "a byte order mark"
	case '\uff20', '\ufe6b':
		return "a full-width @"
	}
	switch {
	case unicode.Is(unicode.Bidi_Control, r):
		return "a direction mark"
	case unseen(r):
		return "an invisible character"
	case unicode.IsControl(r):
		return "a control character"
	case unicode.IsSpace(r):
		return "a space"
	}
	return "a character"
}

// isBreak reports whether a control character ends a line: Word and PowerPoint write a vertical tab
// where somebody typed Shift and Enter.
func isBreak(r rune) bool {
	return '\n' <= r && r <= '\r' || r == '\u0085'
}
