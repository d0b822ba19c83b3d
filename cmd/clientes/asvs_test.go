package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"clientes/auth/authtest"
)

// asvsRequirements is how many requirements of ASVS 5.0 the page answers: levels 1 and 2, and level
// 3 of V6, V7, V9 and V11, without V17.
const asvsRequirements = 269

var (
	requirement  = regexp.MustCompile(`\b\d+\.\d+\.\d+\b`)
	fileInSpan   = regexp.MustCompile(`^([\w.-]+/)*([\w-]+\.(go|md|yaml|sum|mod)|Dockerfile|Makefile)$`)
	testFunction = regexp.MustCompile(`(?m)^func ((Test|Fuzz|Example)\w*)\(`)
	testInSpan   = regexp.MustCompile(`^(Test|Fuzz|Example)\w*$`)
)

// TestASVS checks that every requirement has a verdict, and that every file, name and test in the
// page exists.
func TestASVS(t *testing.T) {
	tests := make(map[string]bool)
	eachTestFile(t, func(src []byte) {
		for _, f := range testFunction.FindAllSubmatch(src, -1) {
			tests[string(f[1])] = true
		}
	})
	page := readProjectFile(t, "auth/ASVS.md")
	for _, fault := range asvsFaults(t, page, tests) {
		t.Error(fault)
	}
	answered := make(map[string]bool)
	for row := range strings.Lines(page) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(row, "|"), "|")
		if !strings.HasPrefix(row, "|") {
			continue
		}
		for _, id := range requirement.FindAllString(cell, -1) {
			answered[id] = true
		}
	}
	if len(answered) != asvsRequirements {
		t.Errorf("the page answers %d requirements, want %d", len(answered), asvsRequirements)
	}
}

// TestASVSFaults shows that the check of the page finds what it is for.
func TestASVSFaults(t *testing.T) {
	tests := map[string]bool{"TestASVS": true}
	for span, want := range map[string]int{
		"TestASVS":                        0,
		"TestNothing":                     1,
		"api/api.go":                      0,
		"api/api.go routes":               0,
		"api/api.go nowhere":              1,
		"api/nowhere.go":                  1,
		"auth/README.md":                  0,
		"POST /users":                     0,
		"cmd/clientes/main.go main xyzzy": 1,
	} {
		if got := asvsFaults(t, "| 1.1.1 | met | `"+span+"` | |\n", tests); len(got) != want {
			t.Errorf("%s: got %q, want %d", span, got, want)
		}
	}
}

// asvsFaults returns what the code spans of a page name and is not there: tests, files, and words
// in files. A span is a test, or a file with the words that it must have.
func asvsFaults(t *testing.T, page string, tests map[string]bool) (faults []string) {
	t.Helper()
	for _, span := range codeSpan.FindAllString(page, -1) {
		words := strings.Fields(strings.Trim(span, "`"))
		switch {
		case len(words) == 1 && testInSpan.MatchString(words[0]):
			if !tests[words[0]] {
				faults = append(faults, "there is no test "+words[0])
			}
		case !fileInSpan.MatchString(words[0]):
		case !inProject(words[0]):
			faults = append(faults, "there is no file "+words[0])
		default:
			text := readProjectFile(t, words[0])
			for _, word := range words[1:] {
				if !strings.Contains(text, word) {
					faults = append(faults, "there is no "+word+" in "+words[0])
				}
			}
		}
	}
	return faults
}

// eachTestFile calls f with each file of tests of the project.
func eachTestFile(t *testing.T, f func(src []byte)) {
	t.Helper()
	for _, name := range filesOf(t, ".go") {
		if strings.HasSuffix(name, "_test.go") {
			b, err := os.ReadFile(filepath.Join(projectRoot, name))
			authtest.Must(t, err)
			f(b)
		}
	}
}
