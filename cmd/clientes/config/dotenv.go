package config

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"clientes/store"
)

// dotenvLine is one setting as it stands in a .env file.
type dotenvLine struct {
	number int    // of its first line, from 1
	name   string // to the left of the sign
	text   string // to the right of it, without the quotes and the white space around it
	quote  byte   // ' or ", 0 for none
}

// readDotenv reads .env in the working folder. No file is no fault.
func (c *Config) readDotenv(
	environment func(string) (string, bool)) (values map[string]string, faults []string) {
	text, exposed, err := readFile(".env")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	c.dotenv = true
	if err != nil {
		return nil, []string{fmt.Sprintf(".env cannot be read: %v", err)}
	}
	values, faults, c.warnings = parseDotenv(text, settings(), environment)
	if why := exposed.fault(".env"); why != "" {
		faults = append(faults, ".env "+why)
	} else if exposed.read && holdsSecrets(values) {
		c.warnOf(&c.exposed, ".env holds secrets, and other users of this machine can read it: "+
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
// Programs that read such files differ. Some cut at a # after a space, drop backslashes, replace
// $NAME by nothing, or take the last of two lines for one name. A secret altered like that signs
// tokens that nobody else can check. So whatever these programs do not read alike is a fault. In
// single quotes a value stands as it is. Otherwise a reference takes the value of an earlier line,
// or else of the environment.
func parseDotenv(src string, known []setting, environment func(string) (string, bool)) (
	values map[string]string, faults, warnings []string) {
	if program := encryptedBy(src); program != "" {
		return nil, []string{".env is encrypted by " + program + ": decrypt it first"}, nil
	}
	src, err := decodeText(src)
	if err != nil {
		return nil, []string{fmt.Sprintf(".env %v", err)}, nil
	}
	lines, faults := scanDotenv(strings.ReplaceAll(src, "\r\n", "\n"))
	if len(faults) > 0 {
		return nil, faults, nil
	}
	settings := make(map[string]setting)
	var names []string
	for _, s := range known {
		for _, name := range s.names() {
			settings[name] = s
			names = append(names, name)
		}
	}
	e := expander{
		names: names, values: make(map[string]string), broken: make(map[string]bool),
		environment: environment,
	}
	set := make(map[string]int) // the line that sets a name to more than nothing
	for _, l := range lines {
		s, ok := settings[l.name]
		exact := s.text || l.name != s.name // any text is a value, so nothing else would notice
		value, why := l.value(&e, exact, s.secret || l.name != s.name)
		e.values[l.name], e.broken[l.name] = value, why != ""
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
		case why != "":
			faults = append(faults, fmt.Sprintf(
				".env line %d: the value of %s %s", l.number, l.name, why))
		case e.differs:
			warnings = append(warnings, fmt.Sprintf(".env line %d: %s refers to an earlier line, "+
				"but the environment has another value of that name", l.number, l.name))
		}
		e.differs = false
		if l.text != "" {
			set[l.name] = l.number
		}
	}
	if len(faults) > 0 {
		return nil, faults, warnings
	}
	return e.values, nil, warnings
}

// comment is what begins a comment behind a value without quotes.
var comment = regexp.MustCompile(`[\s\x{85}\p{Z}]+#`)

// keep is the way out of every doubt about a value.
const keep = "; single quotes keep it as it stands"

// value returns the value of the line, or why it cannot be read. With exact, a comment behind the
// value is such a doubt, and with keepsSpace so is white space that some readers would drop.
func (l dotenvLine) value(e *expander, exact, keepsSpace bool) (value, why string) {
	text := l.text
	switch l.quote {
	case '\'':
		if strings.Contains(text, `\'`) {
			return "", "has a quote inside its quotes, which not every reader takes alike; " +
				"use another value"
		}
		return text, ""
	case '"':
		if strings.Contains(text, `\`) {
			return "", "would lose its backslash" + keep
		}
		return e.expand(text)
	}
	if name := e.secondSetting(text); name != "" {
		return "", "has the setting " + name + " in it; write each on a line of its own" + keep
	}
	switch behind := comment.FindStringIndex(text); {
	case behind != nil && exact:
		return "", "would end before the #; put a comment on a line of its own" + keep
	case behind != nil:
		text = text[:behind[0]]
	}
	first, _ := utf8.DecodeRuneInString(text)
	switch {
	case strings.Contains(text, `\$`):
		return "", "would lose its backslash" + keep
	case strings.ContainsRune(typographic, first) && text != "":
		return "", "begins with a typographic quote; write ' or \" instead"
	case keepsSpace && store.Trim(text) != text:
		return "", "begins or ends with a character that nobody sees, which not every reader " +
			"keeps; delete it, or put the value in single quotes"
	}
	return e.expand(text)
}

// second matches what begins a setting behind a value.
var second = regexp.MustCompile(`[\s\x{85}\p{Z};](?:export\s+)?([A-Z][A-Z_]+)=`)

// secondSetting returns the name of a setting behind a value without quotes, or "". A shell would
// set both.
func (e *expander) secondSetting(text string) string {
	for _, m := range second.FindAllStringSubmatch(text, -1) {
		if slices.Contains(e.names, m[1]) {
			return m[1]
		}
	}
	return ""
}

// expander replaces references to names.
type expander struct {
	names       []string          // of all settings
	values      map[string]string // of the lines so far
	broken      map[string]bool   // the names of lines that cannot be read
	environment func(string) (string, bool)
	differs     bool // whether a name had one value in a line and another in the environment
}

// lookup returns the value of an earlier line, or else of the environment.
func (e *expander) lookup(name string) (value string, set bool) {
	before, isBefore := e.values[name]
	around, isAround := e.environment(name)
	if before != "" {
		e.differs = e.differs || isAround && around != "" && around != before
		return before, true
	}
	return around, isBefore || isAround
}

// operator is what may stand behind a name in braces, as in shells and compose files.
var operator = regexp.MustCompile(`^(?s)([A-Za-z_][A-Za-z0-9_]*)(:?[-+?])?(.*)$`)

// expand returns the text with the values in place of references, or why that is in doubt.
func (e *expander) expand(text string) (value, why string) {
	if strings.Count(text, "`") > 1 {
		return "", commandFault
	}
	var b strings.Builder
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 {
			b.WriteString(text)
			return b.String(), ""
		}
		b.WriteString(text[:i])
		text = text[i:]
		end := len("$")
		for end < len(text) && isNameByte(text[end]) {
			end++
		}
		switch next := (text + " ")[1]; {
		case next == '(':
			return "", commandFault
		case next == '$':
			return "", "has $$, which some readers take for one $" + keep
		case '0' <= next && next <= '9':
			return "", "has a $ before a digit, and some readers would drop both" + keep
		case next == '{':
			end = closingBrace(text) + 1
			if end == 0 {
				return "", "has a ${ without its }" + keep
			}
			value, why := e.braces(text[len("${") : end-1])
			if why != "" {
				return "", why
			}
			b.WriteString(value)
		case end > len("$"):
			name := text[len("$"):end]
			value, _ := e.lookup(name)
			switch {
			case e.broken[name]:
				return "", "refers to a line above it that cannot be read; correct that one too"
			case value == "":
				return "", unsetFault
			}
			b.WriteString(value)
		default:
			b.WriteByte('$')
		}
		text = text[end:]
	}
}

const (
	commandFault = "is a command, and .env runs none: put its output there; " +
		"if it is none, put it between single quotes"
	unsetFault = "has a $ before a name that no line above it sets, nor the environment" + keep
)

// braces returns the value of ${inner}.
func (e *expander) braces(inner string) (value, why string) {
	m := operator.FindStringSubmatch(inner)
	if m == nil || m[2] == "" && m[3] != "" || strings.ContainsAny(inner, `'"`) {
		return "", "has a ${ that cannot be read: write ${NAME}, ${NAME:-default} or " +
			"${NAME:?message}" + keep
	}
	name, operator, rest := m[1], m[2], m[3]
	if e.broken[name] {
		return "", "refers to a line above it that cannot be read; correct that one too"
	}
	value, set := e.lookup(name)
	if strings.HasPrefix(operator, ":") {
		set = value != ""
	}
	switch strings.TrimPrefix(operator, ":") {
	case "-":
		if !set {
			return e.expand(rest)
		}
		return value, ""
	case "+":
		if set {
			return e.expand(rest)
		}
		return "", ""
	case "?":
		if !set {
			return "", unsetFault
		}
		return value, ""
	}
	if value == "" {
		return "", unsetFault
	}
	return value, ""
}

// closingBrace returns the index of the brace that closes the one at the beginning of "${…", or -1.
func closingBrace(s string) int {
	open := 0
	for i := range len(s) {
		switch {
		case s[i] == '{' && i > 0 && s[i-1] == '$':
			open++
		case s[i] == '}':
			if open--; open == 0 {
				return i
			}
		}
	}
	return -1
}

func isNameByte(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_'
}

// scanDotenv splits the text of a .env file into its settings. It takes the part of the usual
// grammar that leaves no doubt: on every line NAME=value or NAME: value, with an optional export
// before it, or a comment, or nothing. A quoted value may go over several lines.
func scanDotenv(src string) (lines []dotenvLine, faults []string) {
	fault := func(number int, what string) {
		faults = append(faults, fmt.Sprintf(".env line %d %s", number, what))
	}
	before := "" // the line before
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
			fault(number, "is not of the form NAME=value"+otherForm(start, before))
		case strings.HasPrefix(start[sign:], ":="):
			fault(number, "is not of the form NAME=value; leave out the colon")
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
		default:
			l.text = strings.TrimRight(l.text, " \t")
		}
		if strings.ContainsFunc(l.text, isStrayControl) {
			fault(l.number, "has a control character in it; delete it"+ofLineEnds(l.text))
		}
		lines = append(lines, l)
		src, before = rest, line
	}
	return lines, faults
}

// ofLineEnds returns what may have left a control character.
func ofLineEnds(text string) string {
	if strings.Contains(text, "\r") {
		return "; if it comes from the ends of lines, save the file with those of Unix (LF)"
	}
	return ""
}

// encryptedBy returns the program that has encrypted a file, or "".
func encryptedBy(src string) string {
	for _, p := range []struct{ begins, name string }{
		{"\x00GITCRYPT\x00", "git-crypt"}, {"$ANSIBLE_VAULT;", "ansible-vault"},
		{"age-encryption.org/", "age"}, {"-----BEGIN AGE ENCRYPTED", "age"},
		{"-----BEGIN PGP MESSAGE", "PGP"}, {"Salted__", "openssl enc"},
	} {
		if strings.HasPrefix(src, p.begins) {
			return p.name
		}
	}
	return ""
}

// commands are what other files have before a name.
var commands = strings.Fields(
	"set setx setenv declare -x var env arg local readonly typeset let const")

// otherForm returns what to do about a line of another kind of file, which stands below another.
func otherForm(line, before string) string {
	first, _, _ := strings.Cut(strings.ToLower(line), " ")
	name, _, _ := strings.Cut(line, "=")
	name = strings.TrimRight(name, " \t")
	switch {
	case strings.HasSuffix(before, `\`):
		return "; a value goes over several lines only between quotes, without a backslash at their ends"
	case slices.Contains(commands, first):
		return "; leave out the command before the name"
	case strings.HasPrefix(first, "$env:"), strings.HasPrefix(first, "$") && first != "$":
		return "; leave out the $ and what belongs to PowerShell"
	case first == "-", strings.HasPrefix(first, "{"), strings.HasPrefix(first, `"`):
		return ", but of a YAML or JSON file; take away what stands around name and value"
	case !isASCII(name):
		return "; something in its name is not what it looks like, or is not seen at all: " +
			"type the name and the sign again"
	case slices.Contains(Names(), strings.TrimRight(strings.ToUpper(first), " \t")):
		return "; write = between name and value"
	}
	return "; begin it with # if it is a comment"
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

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}
