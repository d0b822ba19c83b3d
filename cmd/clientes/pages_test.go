package main

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"clientes/auth/authtest"
)

// TestPages checks what can be counted in the pages of the project: their lines and their links.
func TestPages(t *testing.T) {
	pages := filesOf(t, ".md")
	if len(pages) < 7 {
		t.Fatalf("only %d pages were found", len(pages))
	}
	if n := strings.Count(readProjectFile(t, "README.md"), "\n"); n > 250 {
		t.Errorf("README.md has %d lines; 250 is the most that a front door may have", n)
	}
	for _, page := range pages {
		text := readProjectFile(t, page)
		for i, line := range strings.Split(text, "\n") {
			if utf8.RuneCountInString(line) > 120 {
				t.Errorf("%s:%d has more than 120 columns", page, i+1)
			}
		}
		for _, fault := range brokenLinks(t, page, text) {
			t.Errorf("%s: %s", page, fault)
		}
	}
}

// TestBrokenLinks shows that the check of the links finds what it is for.
func TestBrokenLinks(t *testing.T) {
	for text, want := range map[string]int{
		"[a](README.md)":                          0,
		"[a](README.md#test-it)":                  0,
		"[a](api)":                                0,
		"[a](https://example.com/x.md)":           0,
		"# Über `x`, ok?\n[a](#über-x-ok)":        0,
		"[a](READ.md)":                            1,
		"[a](README.md#test-that)":                1,
		"[a](#nowhere)":                           1,
		"[a](../README.md)":                       1,
		"```sh\n[a](READ.md)\n# not a title\n```": 0,
	} {
		if got := brokenLinks(t, "TEXT.md", text); len(got) != want {
			t.Errorf("%q: got the faults %q, want %d", text, got, want)
		}
	}
}

// TestCommentsReferToPagesOfThisRepository checks that a reader can open what comments refer to.
func TestCommentsReferToPagesOfThisRepository(t *testing.T) {
	comments := 0
	eachSource(t, func(name string, src []byte) {
		for _, c := range wordsOf(name, src).comments {
			comments++
			text := strings.Join(strings.Fields(c.text), " ")
			for _, fault := range foreignPages(t, name, text) {
				t.Errorf("%s:%d: a comment refers to %s, which is not in the repository",
					name, c.line, fault)
			}
		}
	})
	if comments < 1000 {
		t.Errorf("only %d comments were looked at", comments)
	}
}

// TestForeignPages shows that the check of the comments finds what it is for.
func TestForeignPages(t *testing.T) {
	for text, want := range map[string]int{
		"see section 3 of the contract":     1,
		"as the contract promises":          1,
		"see contract.md":                   1,
		"see design.md, style.md":           2,
		"see README.md and store/README.md": 0,
		"see RFC 9110 section 13.1.1":       0,
		"the contractor":                    0,
	} {
		if got := foreignPages(t, "api/api.go", text); len(got) != want {
			t.Errorf("%q: got %q, want %d", text, got, want)
		}
	}
	const run = "Run holds an engine to the contract."
	if got := foreignPages(t, "store/storetest/storetest.go", run); len(got) > 0 {
		t.Errorf("storetest is the contract of the engines, but got %q", got)
	}
}

const projectRoot = "../.."

// filesOf returns the files of the project with that extension, by their paths from its root.
// Hidden folders are not part of the project.
func filesOf(t *testing.T, ext string) []string {
	t.Helper()
	var files []string
	project := os.DirFS(projectRoot)
	err := fs.WalkDir(project, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && len(name) > 1 && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case !d.IsDir() && path.Ext(name) == ext:
			files = append(files, name)
		}
		return nil
	})
	authtest.Must(t, err)
	return files
}

func readProjectFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(projectRoot, name))
	authtest.Must(t, err)
	return string(b)
}

func inProject(name string) bool {
	if !fs.ValidPath(name) { // it leads out of the project
		return false
	}
	_, err := os.Stat(filepath.Join(projectRoot, name))
	return err == nil
}

var (
	fence    = regexp.MustCompile("(?ms)^ *```(\\w*)[^\n]*\n(.*?)^ *```$")
	codeSpan = regexp.MustCompile("`[^`\n]*`")
	linkTo   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ +(.*?) *$`)
)

// block is one fenced block of a page.
type block struct{ lang, text string }

func fencedBlocks(markdown string) []block {
	var blocks []block
	for _, m := range fence.FindAllStringSubmatch(markdown, -1) {
		blocks = append(blocks, block{m[1], m[2]})
	}
	return blocks
}

// brokenLinks returns the relative links of a page that lead nowhere.
func brokenLinks(t *testing.T, page, text string) (faults []string) {
	text = fence.ReplaceAllString(text, "")
	for _, m := range linkTo.FindAllStringSubmatch(codeSpan.ReplaceAllString(text, ""), -1) {
		file, anchor, hasAnchor := strings.Cut(m[1], "#")
		if strings.Contains(file, ":") { // another site
			continue
		}
		target := text
		if file != "" {
			name := path.Join(path.Dir(page), file)
			if !inProject(name) {
				faults = append(faults, m[1]+" leads to no file")
				continue
			}
			if hasAnchor {
				target = fence.ReplaceAllString(readProjectFile(t, name), "")
			}
		}
		if hasAnchor && !hasHeading(target, anchor) {
			faults = append(faults, m[1]+" leads to no heading")
		}
	}
	return faults
}

// hasHeading reports whether a page has a heading for which GitHub makes this anchor.
func hasHeading(text, anchor string) bool {
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1])
		if slug == anchor {
			return true
		}
	}
	return false
}

var (
	pageName    = regexp.MustCompile(`[\w./-]*\w\.md\b`)
	theContract = regexp.MustCompile(`(?i)\b(sections? [\d.]+ of )?the( wire)? contract('s)?\b`)
)

// foreignPages returns what a comment refers to and a reader of the repository cannot open. A page
// is named by its path from the root, or from the folder of the file. Only package storetest may
// speak of a contract, for it is the one of the engines.
func foreignPages(t *testing.T, file, text string) (faults []string) {
	for _, name := range pageName.FindAllString(text, -1) {
		if !inProject(path.Clean(name)) && !inProject(path.Join(path.Dir(file), name)) {
			faults = append(faults, name)
		}
	}
	if path.Dir(file) != "store/storetest" {
		faults = append(faults, theContract.FindAllString(text, -1)...)
	}
	return faults
}
