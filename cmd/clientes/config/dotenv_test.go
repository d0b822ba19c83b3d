package config

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/joho/godotenv"
)

func TestDotenv(t *testing.T) {
	tests := []struct{ file, name, want string }{
		{"SECRET=abc", "SECRET", "abc"},
		{"\ufeffSECRET=abc\r\nPORT=1\r\n", "SECRET", "abc"},
		{"# a comment\n\n  export SECRET = abc  \n", "SECRET", "abc"},
		{"SECRET: abc", "SECRET", "abc"},
		{"exported=1", "exported", "1"},
		{`SECRET='a#b $C "d" \e ' # a comment`, "SECRET", `a#b $C "d" \e `},
		{`SECRET="a #b 'c'"`, "SECRET", `a #b 'c'`},
		{"SECRET='a  \n  b'\nPORT=1", "SECRET", "a  \n  b"},
		{"SECRET='a\n#b\n'\nPORT=1", "PORT", "1"},
		{"SECRET=a#b", "SECRET", "a#b"},
		{"SECRET=a$", "SECRET", "a$"},
		{"SECRET='pa$word'", "SECRET", "pa$word"},
		{"A=x\nSECRET=a$A}", "SECRET", "ax}"},
		{`SECRET=a\b`, "SECRET", `a\b`},
		{"SECRET=é", "SECRET", "é"},
		{"SECRET=", "SECRET", ""},
		{"SECRET=\nSECRET=abc", "SECRET", "abc"},
		{"PORT=3000 # the port", "PORT", "3000"},
		{"PASSWORD=x\nDATABASE_URL=postgres://u:${PASSWORD}@h/$PASSWORD", "DATABASE_URL",
			"postgres://u:x@h/x"},
		{"X=1\nX=2\nPORT=3", "X", "2"}, // another program's business
	}
	for _, test := range tests {
		values, faults, _ := parseDotenv(test.file, settings(), environment(nil))
		if len(faults) > 0 || values[test.name] != test.want {
			t.Errorf("%q: %s is %q, want %q; faults %q", test.file, test.name, values[test.name],
				test.want, faults)
		}
	}
}

func TestDotenvFaults(t *testing.T) {
	tests := []struct{ file, want string }{
		{"SECRET=hunter2\nSECRET=hunter2", "line 2: SECRET is set for the second time, line 1"},
		{"SECRET=hunter2\nSECRET=", "line 2: SECRET is set for the second time, line 1"},
		{"SECRET=\nSECRET=hunter2\nSECRET=x", "line 3: SECRET is set for the second time, line 2"},
		{"SECRET=hunter2 #3", "line 1: the value of SECRET would end before the #"},
		{"SECRET=hunter2\t#3", "line 1: the value of SECRET would end before the #"},
		{"SECRET_FILE=hunter2 #3", "line 1: the value of SECRET_FILE would end before the #"},
		{"SECRET= # hunter2", "line 1: the comment would become the value of SECRET"},
		{"PORT= # hunter2", "line 1: the comment would become the value of PORT"},
		{"\nISSUER=a$HUNTER2",
			"line 2: the value of ISSUER has a $ before a name that no line above it sets"},
		{`SECRET="a${HUNTER2}"`, "line 1: the value of SECRET has a $ before a name"},
		{"SECRET=a$HUNTER2\nHUNTER2=x", "line 1: the value of SECRET has a $ before a name"},
		{"HUNTER2=\nSECRET=a$HUNTER2", "line 2: the value of SECRET has a $ before a name"},
		{"SECRET=pa$hunter2", "line 1: the value of SECRET has a $ before a name"},
		{`SECRET="hunter2\n"`, "line 1: the value of SECRET would lose its backslash"},
		{`SECRET=hunter2\$X`, "line 1: the value of SECRET would lose its backslash"},
		{`SECRET='hunter2\''`, "line 1: the value of SECRET has a quote inside its quotes"},
		{"SECRET=hunter2\u00a0", "line 1: the value of SECRET begins or ends with a character that nobody"},
		{"SECRET=\u00a0hunter2",
			"line 1: the value of SECRET begins or ends with a character that nobody"},
		{"SECRET='hunter2'x", "line 1 goes on after its closing quote"},
		{"SECRET='a\nb'hunter2'", "line 2 goes on after its closing quote"},
		{"SECRET=''hunter2''", "line 1 goes on after its closing quote"},
		{"SECRET='hunter2' PORT=1", "line 1 goes on after its closing quote"},
		{"SECRET='hunter2\nPORT=1", "line 1 opens a quote that nothing closes"},
		{"SECRET=\"hunter2\rx\"", "line 1 has a control character"},
		{"PORT=1\rSECRET=hunter2", "line 1 has a control character"},
		{"SECRET=hunter2\x00", "line 1 has a control character"},
		{"hunter2", "line 1 is not of the form NAME=value"},
		{"\n\nhunter2\nSECRET=x", "line 3 is not of the form NAME=value"},
		{"HUNTER 2=x", "line 1 is not of the form NAME=value"},
		{"=hunter2", "line 1 is not of the form NAME=value"},
		{"2HUNTER=x", "line 1 is not of the form NAME=value"},
		{"SECRET=hunter2\xff", "is not text in UTF-8"},
	}
	for _, test := range tests {
		values, faults, _ := parseDotenv(test.file, settings(), environment(nil))
		all := strings.Join(faults, "; ")
		if len(values) > 0 || !strings.Contains(all, test.want) {
			t.Errorf("%q: faults %q, want %q", test.file, faults, test.want)
		}
		if strings.Contains(strings.ToLower(all), "hunter2") {
			t.Errorf("%q: the fault repeats the value: %q", test.file, faults)
		}
	}
}

// If .env cannot be read, a missing SECRET is no second fault: .env may set it.
func TestABrokenDotenvIsTheOnlyFault(t *testing.T) {
	inFolder(t, map[string]string{".env": "SECRET='x"})
	if _, err := Load(environment(nil), "SECRET"); len(faultsOf(err)) != 1 {
		t.Error(err)
	}
	inFolder(t, nil)
	if err := os.Mkdir(".env", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(environment(nil), "SECRET"); len(faultsOf(err)) != 1 {
		t.Error(err)
	}
}

// FuzzDotenv looks for a file whose SECRET is read as something else than stands there. A value has
// to stand in the file, apart from references. Before it, back to its sign, only a quote or space
// may stand. Behind it, up to the end of its line, only a quote, space, or a comment after a quote.
// Where godotenv can read a file without references too, it has to agree.
func FuzzDotenv(f *testing.F) {
	for _, file := range []string{
		"SECRET=abc", "SECRET='a #b'", "SECRET=\"a\\nb\" # c", "export SECRET: a$B",
		"A=1\nSECRET=${A}b",
		"SECRET='a\nb'", "SECRET=a\nSECRET=b", "SECRET=a #b", "PORT=1 # c\nSECRET_FILE=x", "X", "=",
		"'",
		"export =\nSECRET=\t'", "SECRET=a\u00a0#b", "\ufeffSECRET=é\r\n",
		"SECRET=a$B-${C}$", "SECRET=\"${A}\"", "SECRET='${A}'", "SECRET=$(a b)`c`", "SECRET=a$$b$1",
		"SECRET=${A:-${B:-c}}${D+e}", "SECRET=${A", "\xff\xfeS\x00=\x00a\x00",
		"set SECRET=a", "SECRET=“a”", "SECRET=\u200ba",
	} {
		f.Add(file)
	}
	known := settings()
	around := func(name string) (string, bool) { return "«" + name + "»", true }
	value := regexp.MustCompile(`«(\w+)»`)
	braces := regexp.MustCompile(`\$\{(\w+)\}`)
	f.Fuzz(func(t *testing.T, file string) {
		values, faults, warnings := parseDotenv(file, known, around)
		if len(faults) > 0 && values != nil {
			t.Fatalf("values beside the faults %q", faults)
		}
		for _, s := range append(faults, warnings...) {
			if len(s) > 300+2*len(file) || strings.Contains(s, "\n") {
				t.Fatalf("not one sentence: %q", s)
			}
		}
		secret := values["SECRET"]
		text, err := decodeText(file)
		if secret == "" || err != nil {
			return
		}
		text = strings.ReplaceAll(text, "\r\n", "\n")
		if read, err := godotenv.Unmarshal(text); err == nil && !strings.Contains(file, "$") &&
			read["SECRET"] != secret {
			t.Fatalf("%q is read as SECRET %q, by godotenv as %q", file, secret, read["SECRET"])
		}
		if strings.Contains(text, "$") {
			if len(values) > 1 || strings.ContainsAny(text, "«»") {
				return // a reference may be to another line
			}
			text = braces.ReplaceAllString(text, "$$$1")
			secret = value.ReplaceAllString(braces.ReplaceAllString(secret, "$$$1"), "$$$1")
			if strings.Contains(text, "${") {
				return // what stands behind the name may count
			}
		}
		for from := 0; ; {
			i := strings.Index(text[from:], secret)
			if i < 0 {
				t.Fatalf("%q is read as SECRET %q", file, secret)
			}
			from += i
			if standsAlone(text[:from], text[from+len(secret):]) {
				return
			}
			from++
		}
	})
}

// standsAlone reports whether all of the value of a SECRET stands between these two texts.
func standsAlone(before, after string) bool {
	const blank = " \t"
	line, _, _ := strings.Cut(after, "\n")
	line = strings.TrimRight(line, blank)
	quoted := false
	for _, quote := range []string{"'", `"`} {
		if strings.HasSuffix(before, quote) && strings.HasPrefix(line, quote) {
			before, line, quoted = before[:len(before)-1], strings.TrimLeft(line[1:], blank), true
			break
		}
	}
	if line != "" && !(quoted && line[0] == '#') {
		return false
	}
	before = strings.TrimRight(before, blank)
	if !strings.HasSuffix(before, "=") && !strings.HasSuffix(before, ":") {
		return false
	}
	before, named := strings.CutSuffix(strings.TrimRight(before[:len(before)-1], blank), "SECRET")
	before = before[strings.LastIndex(before, "\n")+1:]
	before = strings.TrimLeft(before, blank)
	return named && (before == "" || strings.TrimRight(before, blank) == "export" &&
		before != "export")
}
