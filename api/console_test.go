package api

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"clientes/api/console"
	"clientes/auth/authtest"
)

// TestConsoleBudget holds the whole of what a browser may load, with client.js, to 150 KiB.
func TestConsoleBudget(t *testing.T) {
	script, err := assets.ReadFile("client/client.js")
	authtest.Must(t, err)
	size := len(script)
	authtest.Must(t, fs.WalkDir(console.Files(), ".", func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			var info fs.FileInfo
			if info, err = e.Info(); err == nil {
				size += int(info.Size())
			}
		}
		return err
	}))
	t.Logf("%d of %d bytes", size, 150<<10)
	if size > 150<<10 {
		t.Errorf("the console has %d bytes, more than %d", size, 150<<10)
	}
}

// TestDictionaries holds the dictionaries to what is shown: each has a text for every label of the
// pages and for every code of an error, no text that nobody uses, and the same values in it.
func TestDictionaries(t *testing.T) {
	used := make(map[string]string) // where each key is used
	pages := console.Files()
	names, err := fs.Glob(pages, "*.*")
	authtest.Must(t, err)
	for _, name := range names {
		text, err := fs.ReadFile(pages, name)
		authtest.Must(t, err)
		switch filepath.Ext(name) {
		case ".js":
			for _, m := range regexp.MustCompile(`\bt\(\s*"([^"]+)"`).FindAllSubmatch(text, -1) {
				used[string(m[1])] = name
			}
			computed := regexp.MustCompile("\\bt\\(\\s*[^\"\\s)]").FindAll(text, -1)
			if name != "words.js" && computed != nil {
				t.Errorf("%s has keys of words that are no literals: %q", name, computed)
			}
		case ".html":
			for _, m := range regexp.MustCompile(`data-t="([^"]+)"`).FindAllSubmatch(text, -1) {
				used[string(m[1])] = name
			}
		}
	}
	for _, code := range errorCodes(t) {
		used["code."+code] = "an error"
	}
	for _, code := range faultCodes(t) {
		used["fault."+code] = "a fault of a field"
	}

	languages := []string{"en", "pt-BR", "es"}
	values := make(map[string]string) // of the English text
	for _, language := range languages {
		text, err := fs.ReadFile(pages, language+".json")
		authtest.Must(t, err)
		var words map[string]string
		authtest.Must(t, json.Unmarshal(text, &words))
		for _, key := range slices.Sorted(maps.Keys(used)) {
			if strings.TrimSpace(words[key]) == "" {
				t.Errorf("%s.json has no %q, for %s", language, key, used[key])
			}
		}
		for _, key := range slices.Sorted(maps.Keys(words)) {
			if used[key] == "" {
				t.Errorf("%s.json has %q, which nobody uses", language, key)
			}
			in := regexp.MustCompile(`{\w+}`).FindAllString(words[key], -1)
			slices.Sort(in)
			if language == "en" {
				values[key] = strings.Join(in, " ")
			} else if got := strings.Join(in, " "); got != values[key] {
				t.Errorf("%s.json has the values %q in %q, en.json %q", language, got, key, values[key])
			}
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		if lines = lines[1 : len(lines)-1]; !slices.IsSorted(keysOf(lines)) {
			t.Errorf("%s.json is not sorted", language)
		}
	}
}

// keysOf returns the keys of a dictionary's lines.
func keysOf(lines []string) []string {
	keys := make([]string, len(lines))
	for i, line := range lines {
		keys[i], _, _ = strings.Cut(line, ":")
	}
	return keys
}

// errorCodes returns the codes of all errors that a page may have to show.
func errorCodes(t *testing.T) []string {
	t.Helper()
	codes := []string{"internal"}
	for _, r := range replies {
		codes = append(codes, r.code)
	}
	// Those of client.js itself, in the source or in its documentation.
	for name, own := range map[string]string{
		"client/client.js":   `code: "([a-z_]+)"`,
		"client/client.d.ts": `(?:code is the server's, or|with the code) "([a-z_]+)"`,
	} {
		text, err := assets.ReadFile(name)
		authtest.Must(t, err)
		text = bytes.ReplaceAll(text, []byte("`"), nil)
		for _, m := range regexp.MustCompile(own).FindAllSubmatch(text, -1) {
			codes = append(codes, string(m[1]))
		}
	}
	return codes
}

// faultCodes returns the codes of all faults of single fields, as the source has them.
func faultCodes(t *testing.T) []string {
	t.Helper()
	const code = `"([a-z_]+)"`
	made := regexp.MustCompile(
		`(?:FieldError\{[^}]*\bCode:\s*` +
			`|fault\.Code\s*=\s*` +
			`|store\.Invalid\([^,()]*,\s*` +
			`|\bv\.add\([^,()]*,\s*` +
			`|\.about\([^,()]*,\s*` +
			`|fileFault\(` +
			`|hashFault\()` + code)
	var codes []string
	for _, folder := range []string{".", "wire", "../auth", "../store"} {
		authtest.Must(t, filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || filepath.Ext(path) != ".go" ||
				strings.HasSuffix(path, "_test.go") || strings.Contains(path, "test/") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range made.FindAllSubmatch(text, -1) {
				codes = append(codes, string(m[1]))
			}
			return err
		}))
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}
