package main

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDoctorPage checks that DOCTOR.md has a row for every check of settings, requests and URLs in
// the code, and for no other.
func TestDoctorPage(t *testing.T) {
	page := readProjectFile(t, "cmd/clientes/DOCTOR.md")
	rows := regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| (?:fail|warn) \\|")
	inCode := ""
	eachSource(t, func(name string, src []byte) {
		ours := name == "api/doctor.go" || strings.HasPrefix(name, "cmd/clientes/doctor/")
		if ours && !isForTests(name) {
			inCode += string(src)
		}
	})
	ids := submatches(regexp.MustCompile(`\b(?:id = |ok\(|warn\(|fail\(|okUnless\(|certificate\(|return )`+
		`"([a-z]+(?:-[a-z]+)*)"`), inCode)
	want := slices.DeleteFunc(submatches(rows, page), isOfDatabase)
	if len(ids) < 40 || !slices.Equal(want, ids) {
		t.Errorf("the page has %q, the code %q", want, ids)
	}
}

func isOfDatabase(id string) bool { return strings.HasPrefix(id, "database-") }

// TestDoctorPageDatabase holds the ids of the page to those of the engines.
func TestDoctorPageDatabase(t *testing.T) {
	t.Parallel()
	_, page, found := strings.Cut(readProjectFile(t, "cmd/clientes/DOCTOR.md"), "\n### Postgres\n")
	if !found {
		t.Fatal("the page has no section of Postgres")
	}
	ofPostgres, page, _ := strings.Cut(page, "\n### SQLite\n")
	ofSQLite, _, _ := strings.Cut(page, "\n## ")
	for engine, section := range map[string]string{"postgres": ofPostgres, "sqlite": ofSQLite} {
		rows := submatches(regexp.MustCompile("(?m)^\\| `(database-[a-z]+)`"), section)
		inCode := ""
		eachSource(t, func(name string, src []byte) {
			if path.Dir(name) == "store/"+engine && !strings.HasSuffix(name, "_test.go") {
				inCode += string(src)
			}
		})
		ids := submatches(regexp.MustCompile(`"(database-[a-z]+)"`), inCode)
		if !slices.Equal(rows, ids) {
			t.Errorf("%s: the page has %q, the code %q", engine, rows, ids)
		}
	}
}

// submatches returns the texts of the first group, each once and in order.
func submatches(pattern *regexp.Regexp, text string) (all []string) {
	for _, match := range pattern.FindAllStringSubmatch(text, -1) {
		all = append(all, match[1])
	}
	slices.Sort(all)
	return slices.Compact(all)
}
