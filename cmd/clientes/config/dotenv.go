package config

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/joho/godotenv"
)

// dotenvLine is one setting as it stands in a .env file.
type dotenvLine struct {
	number int    // of its first line, from 1
	name   string // to the left of the sign
	text   string // to the right of it, without the quotes and the white space around it
	quote  byte   // ' or ", 0 for none
}

// readDotenv reads .env in the working folder. No file is no fault.
func (c *Config) readDotenv() (values map[string]string, faults []string) {
	text, exposed, err := readFile(".env")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, []string{fmt.Sprintf(".env cannot be read: %v", err)}
	}
	values, faults, c.warnings = parseDotenv(text, settings())
	if why := exposed.fault(".env"); why != "" {
		faults = append(faults, ".env "+why)
	} else if exposed.read && holdsSecrets(values) {
		c.warn(".env holds secrets, and other users of this machine can read it: " +
			"`chmod 600 .env` ends that")
	}
	return values, faults
}

func holdsSecrets(values map[string]string) bool {
	for _, s := range settings() {
		if value := values[s.name]; value != "" && (s.secret || mayHavePassword(value)) {
			return true
		}
	}
	return false
}

// parseDotenv returns the values of a .env file, what is wrong with it, and what is strange about
// it. With a fault there are no values. No fault or warning repeats a value.
//
// godotenv decides what a value is, but it alters some of them in silence. It cuts at a # after a
// space, replaces $NAME by other values or nothing, drops backslashes, and takes the last of two
// lines for one name. A secret altered like that signs tokens that nobody else can check. So the
// file is first read here, line by line, and whatever godotenv would alter is a fault.
func parseDotenv(src string, known []setting) (
	values map[string]string, faults, warnings []string) {
	src = strings.TrimPrefix(src, "\ufeff") // what Windows editors begin a UTF-8 file with
	src = strings.ReplaceAll(src, "\r\n", "\n")
	lines, faults := scanDotenv(src)
	if len(faults) > 0 {
		return nil, faults, nil
	}
	values, err := godotenv.Unmarshal(src)
	if err != nil {
		// The error quotes the file.
		return nil, []string{".env cannot be read: write one NAME=value a line"}, nil
	}

	settings := make(map[string]setting)
	var names []string
	for _, s := range known {
		for _, name := range s.names() {
			settings[name] = s
			names = append(names, name)
		}
	}
	last := make(map[string]int) // the line that godotenv takes
	for _, l := range lines {
		last[l.name] = l.number
	}
	set := make(map[string]int) // the line that sets a name to more than nothing
	for _, l := range lines {
		s, ok := settings[l.name]
		switch before := set[l.name]; {
		case !ok:
			warnings = append(warnings, fmt.Sprintf(
				".env line %d: nobody knows %.64s; the nearest known name is %s",
				l.number, l.name, nearest(l.name, names)))
		case before > 0:
			faults = append(faults, fmt.Sprintf(
				".env line %d: %s is set for the second time, line %d did it before; keep one",
				l.number, l.name, before))
		case l.quote == 0 && strings.HasPrefix(l.text, "#"):
			faults = append(faults, fmt.Sprintf(
				".env line %d: the comment would become the value of %s; "+
					"write it on a line of its own, or put the value in single quotes",
				l.number, l.name))
		case (s.text || l.name != s.name) && last[l.name] == l.number:
			if why := l.altered(values, set); why != "" {
				faults = append(faults, fmt.Sprintf(
					".env line %d: the value of %s %s", l.number, l.name, why))
			}
		}
		if l.text != "" {
			set[l.name] = l.number
		}
	}
	if len(faults) > 0 {
		return nil, faults, warnings
	}
	return values, nil, warnings
}

// reference is what godotenv replaces by the value of an earlier line.
var reference = regexp.MustCompile(`\$(\{[A-Z0-9_]+\}|[A-Z0-9_]+)`)

// altered returns why the value that godotenv made of the line is not what the line seems to say,
// and what to do; "" if it is. A reference to a name that an earlier line sets is meant to be
// replaced.
func (l dotenvLine) altered(values map[string]string, set map[string]int) string {
	const keep = "; single quotes keep it as it stands"
	value := values[l.name]
	switch {
	case l.quote == '\'' && strings.Contains(l.text, `\'`):
		return "has a quote inside its quotes, which not every reader takes alike; use another value"
	case value == l.text:
		return ""
	case l.quote == 0 && strings.Contains(l.text, " #"),
		l.quote == 0 && strings.Contains(l.text, "\t#"):
		return "would end before the #; put a comment on a line of its own" + keep
	case l.quote == '"' && strings.Contains(l.text, `\`),
		l.quote == 0 && strings.Contains(l.text, `\$`):
		return "would lose its backslash" + keep
	}
	unknown := false
	replaced := reference.ReplaceAllStringFunc(l.text, func(m string) string {
		name := strings.Trim(m, "${}")
		unknown = unknown || set[name] == 0
		return values[name]
	})
	switch {
	case unknown:
		return "has a $ before a name that no line above it sets, and would lose both" + keep
	case replaced != value:
		return "would not be read as it stands; put it in single quotes, with none inside"
	}
	return ""
}

// scanDotenv splits the text of a .env file into its settings. It takes the part of godotenv's
// grammar that leaves no doubt: on every line NAME=value or NAME: value, with an optional export
// before it, or a comment, or nothing. A quoted value may go over several lines.
func scanDotenv(src string) (lines []dotenvLine, faults []string) {
	fault := func(number int, what string) {
		faults = append(faults, fmt.Sprintf(".env line %d %s", number, what))
	}
	if !utf8.ValidString(src) {
		return nil, []string{".env is not text in UTF-8; save it as that"}
	}
	for number := 1; src != ""; number++ {
		line, rest, _ := strings.Cut(src, "\n")
		start := strings.TrimLeft(line, " \t")
		if start == "" || start[0] == '#' {
			src = rest
			continue
		}
		if after, ok := strings.CutPrefix(start, "export"); ok &&
			strings.TrimLeft(after, " \t") != after {
			start = strings.TrimLeft(after, " \t")
		}
		sign := strings.IndexAny(start, "=:")
		l := dotenvLine{number: number}
		if sign > 0 {
			l.name = strings.TrimRight(start[:sign], " \t")
			l.text = strings.TrimLeft(start[sign+1:], " \t")
		}
		r, _ := utf8.DecodeRuneInString(l.text)
		switch {
		case !validName(l.name):
			fault(number, "is not of the form NAME=value; begin it with # if it is a comment")
		case r == '\'' || r == '"':
			l.quote = byte(r)
			open := src[len(line)-len(l.text)+1:]
			end := closingQuote(open, l.quote)
			if end < 0 {
				fault(number, "opens a quote that nothing closes")
				return nil, faults
			}
			l.text = open[:end]
			number += strings.Count(l.text, "\n")
			line, rest, _ = strings.Cut(open[end+1:], "\n")
			if line = strings.Trim(line, " \t"); line != "" && line[0] != '#' {
				fault(number, "goes on after its closing quote; "+
					"a quote cannot stand inside a value quoted with it")
			}
		case unicode.IsSpace(r):
			fault(number, "has a strange kind of space after its sign; write a plain one or none")
		default:
			l.text = strings.TrimRight(l.text, " \t")
		}
		if strings.ContainsFunc(l.text, isStrayControl) {
			fault(l.number, "has a control character in it; delete it")
		}
		lines = append(lines, l)
		src = rest
	}
	return lines, faults
}

// isStrayControl reports whether r is a control character that no value has.
func isStrayControl(r rune) bool { return r != '\t' && r != '\n' && unicode.IsControl(r) }

// closingQuote returns the index of the first quote without a backslash before it, or -1.
func closingQuote(s string, quote byte) int {
	for i := range len(s) {
		if s[i] == quote && (i == 0 || s[i-1] != '\\') {
			return i
		}
	}
	return -1
}

// validName reports whether a shell could set this name too.
func validName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', c == '_':
		case i > 0 && ('0' <= c && c <= '9' || c == '.'):
		default:
			return false
		}
	}
	return name != ""
}
