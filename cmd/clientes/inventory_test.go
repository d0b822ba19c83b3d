package main

import (
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"clientes/auth/authtest"
)

const inventory = "auth/INVENTORY.md"

// TestInventory checks that auth/INVENTORY.md has every table, every label of a derived key, and
// every use of cryptography.
func TestInventory(t *testing.T) {
	page := readProjectFile(t, inventory)
	inSchema, label := regexp.MustCompile(`CREATE (?:VIRTUAL )?TABLE (\w+)`),
		regexp.MustCompile(`"(clientes [a-z ]+)"`)
	found := 0
	want := func(name, where string) {
		found++
		if !strings.Contains(page, "`"+name+"`") {
			t.Errorf("%s does not say what %s of %s is", inventory, name, where)
		}
	}
	eachSource(t, func(name string, src []byte) {
		switch {
		case path.Ext(name) == ".sql" && strings.Contains(name, "/migrations/"):
			for _, m := range inSchema.FindAllSubmatch(src, -1) {
				want(string(m[1]), name)
			}
		case name == "auth/token/keyring.go":
			for _, m := range label.FindAllSubmatch(src, -1) {
				want(string(m[1]), name)
			}
		case path.Ext(name) == ".go" && !isForTests(name):
			for _, imported := range cryptography(t, name, src) {
				found++
				if !listsUse(page, path.Dir(name), imported) {
					t.Errorf("%s does not say for what %s imports %s", inventory, name, imported)
				}
			}
		}
	})
	if found < 50 {
		t.Errorf("only %d things were looked for", found)
	}
}

func isForTests(name string) bool {
	return strings.HasSuffix(name, "_test.go") || strings.HasSuffix(path.Dir(name), "test") ||
		strings.Contains(name, "testdata/")
}

// cryptography returns which packages of cryptography a file imports.
func cryptography(t *testing.T, name string, src []byte) (all []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly)
	authtest.Must(t, err)
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		authtest.Must(t, err)
		for _, prefix := range []string{
			"crypto/", "golang.org/x/crypto/", "github.com/golang-jwt/", "math/rand",
		} {
			if strings.HasPrefix(imported, prefix) {
				all = append(all, imported)
			}
		}
	}
	return all
}

// listsUse reports whether a line of the page has the folder and the import.
func listsUse(page, folder, imported string) bool {
	for line := range strings.Lines(page) {
		uses, ok := strings.CutPrefix(line, "| `"+folder+"` |")
		uses, _, _ = strings.Cut(uses, "|")
		for use := range strings.SplitSeq(uses, ",") {
			if ok && strings.TrimSpace(use) == imported {
				return true
			}
		}
	}
	return false
}

// TestInventoryCanFail shows that the check finds what is not listed.
func TestInventoryCanFail(t *testing.T) {
	const page = "| `auth` | crypto/aes, crypto/hmac | for |\n"
	for imported, want := range map[string]bool{
		"crypto/aes": true, "crypto/hmac": true, "crypto": false, "crypto/des": false,
	} {
		if got := listsUse(page, "auth", imported); got != want {
			t.Errorf("%s: %t", imported, got)
		}
		if listsUse(page, "auth/token", imported) {
			t.Errorf("%s is listed for another folder", imported)
		}
	}
}
