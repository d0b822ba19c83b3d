package password

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clientes/store"
)

// aDenylist opens a list of that content, which is closed with the test.
func aDenylist(t *testing.T, content string) (*Denylist, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "denied.txt")
	must(t, os.WriteFile(file, []byte(content), 0o600))
	d, err := OpenDenylist(file)
	if err == nil {
		t.Cleanup(func() { must(t, d.Close()) })
	}
	return d, err
}

// hashLines returns what Have I Been Pwned would publish of the passwords.
func hashLines(passwords []string, newline string) string {
	var lines []string
	for i, password := range passwords {
		lines = append(lines, fmt.Sprintf("%X:%d", sha1.Sum([]byte(password)), i*i+1))
	}
	slices.Sort(lines)
	return strings.Join(lines, newline)
}

func TestHashesAreFoundOnDisk(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 100, 5000} {
		var leaked []string
		for i := range n {
			leaked = append(leaked, fmt.Sprintf("Zoë's secret number %d", i))
		}
		for name, content := range map[string]string{
			"as it is published":      hashLines(leaked, "\r\n") + "\r\n",
			"with other ends of line": hashLines(leaked, "\n") + "\n",
			"without the last end":    hashLines(leaked, "\n"),
			"in lower case":           strings.ToLower(hashLines(leaked, "\n")),
		} {
			d, err := aDenylist(t, content)
			must(t, err)
			for i := 0; i < n; i += max(1, n/100) {
				password := leaked[i]
				if found, err := d.hasHash(password); !found || err != nil {
					t.Fatalf("%d hashes %s: %q is found: %t, %v", n, name, password, found, err)
				}
				if found, err := d.hasHash(password + "x"); found || err != nil {
					t.Fatalf("%d hashes %s: %q is found: %t, %v", n, name, password+"x", found, err)
				}
			}
		}
	}
}

func TestAGateRefusesWhatIsDenied(t *testing.T) {
	const known = "Zoë's secret number 1"
	hashes, err := aDenylist(t, hashLines([]string{known, "another one of them"}, "\r\n"))
	must(t, err)
	oldMac, err := aDenylist(t, "Padaria\rZyqqix\r")
	must(t, err)
	words, err := aDenylist(t, "\ufeffPadaria Pão Quente\r\nZyqqix\r\n\r\nпирожковая\r\n")
	must(t, err)
	for _, test := range []struct {
		rules          Rules
		password, want string
	}{
		{Rules{}, known, ""},
		{Rules{Denied: hashes}, known, "too_guessable"},
		{Rules{Denied: hashes}, known + "?", ""},
		{Rules{Denied: words}, "padaria pao quente", "too_guessable"},
		{Rules{Denied: words}, "PADARIA PÃO QUENTE2024!", "too_guessable"},
		{Rules{Denied: words}, "zyqqix77", "too_guessable"},
		{Rules{Denied: oldMac}, "zyqqix77", "too_guessable"},
		{Rules{Denied: words}, "2yqq1x7391!!", "too_guessable"},
		{Rules{Denied: words}, "my.zyqqix", "too_guessable"}, // as a part
		{Rules{Denied: words}, "Пирожковая12", "too_guessable"},
		{Rules{Denied: words}, "zyqqix eats figs with Lampe", ""},
		{Rules{Least: 15}, "h7Gd-3kQp5tVq!", "too_short"},
		{Rules{Least: 15}, "h7Gd-3kQp5tVq!m", ""},
		{Rules{Least: 3}, "h7Gd-3k", "too_short"},
	} {
		g := NewGate(Local{}, 1, 0)
		g.Rules = test.rules
		for _, lane := range []*Gate{g, g.Known()} {
			_, err := lane.HashNew(t.Context(), store.User{}, test.password)
			var invalid *store.InvalidError
			refused := errors.As(err, &invalid) && invalid.Fields[0].Code == test.want
			if test.want == "" && err != nil || test.want != "" && !refused {
				t.Errorf("%q: %v, want %q", test.password, err, test.want)
			}
		}
	}
	g := NewGate(Local{}, 1, 0)
	g.Rules.Denied = hashes
	// As a disk that fails.
	must(t, os.WriteFile(hashes.hashes.Name(), []byte(strings.Repeat("x", 500)), 0o600))
	_, err = g.HashNew(t.Context(), store.User{}, goodPassword)
	var invalid *store.InvalidError
	if err == nil || errors.As(err, &invalid) {
		t.Errorf("a list that became unreadable: %v", err)
	}
}

func TestFilesThatAreNoDenylist(t *testing.T) {
	var many []string
	for i := range 3000 {
		many = append(many, fmt.Sprint("password ", i))
	}
	good := strings.Split(hashLines(many, "\n"), "\n")
	unordered := slices.Clone(good)
	unordered[0], unordered[2999] = unordered[2999], unordered[0]
	backwards := slices.Clone(good)
	slices.Reverse(backwards)
	for content, want := range map[string]string{
		"":                                     "is empty",
		"\n\n":                                 "is empty",
		"0123456789ABCDEF0123456789ABCDEF:3\n": "NTLM",
		strings.Repeat("word\n", 1<<18):        "more than",
		"caf\xe9\n":                            "UTF-8",
		strings.Join(unordered, "\n"):          "not in the order",
		strings.Join(backwards, "\n"):          "not in the order",
		good[0] + "\n" + good[1] + ":\n":       "is not HASH:COUNT",
		good[0] + "\n" + strings.Repeat("A", 9_999) + "\n": "is not HASH:COUNT",
		good[0] + "\npassword\n":                           "is not HASH:COUNT",
		"\ufeff" + good[0] + "\r\n" + good[1] + "\r\n":     "byte order mark",
		"\n" + good[0] + "\n":                              "begins with something else",
		"# of 2026\n" + good[0] + "\n":                     "begins with something else",
		"p\x00a\x00d\x00\n\x00":                            "UTF-8",
		// A download that was broken off, and lines that hold nothing.
		strings.Join(good, "\r\n")[:100_000]: "is not HASH:COUNT",
		strings.Join(good, "\n") + "\n\n":    "is not HASH:COUNT",
	} {
		_, err := aDenylist(t, content)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q…: %v, want %q", content, err, want)
		}
	}
	if _, err := OpenDenylist(t.TempDir()); err == nil {
		t.Error("a folder is taken")
	}
	absent := filepath.Join(t.TempDir(), "absent")
	if _, err := OpenDenylist(absent); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
