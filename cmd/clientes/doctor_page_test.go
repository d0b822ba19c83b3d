package main

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"clientes/cmd/clientes/config"
)

// TestDoctorPage checks that DOCTOR.md has a row for every check in the code, and for no other.
func TestDoctorPage(t *testing.T) {
	page := readProjectFile(t, "cmd/clientes/DOCTOR.md")
	inPage := make(map[string]bool)
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| (?:fail|warn|warn, fail)? ?\\|").
		FindAllStringSubmatch(page, -1) {
		inPage[m[1]] = true
	}
	inCode := make(map[string]bool)
	forms := []*regexp.Regexp{
		regexp.MustCompile(`\bid = "([a-z-]+)"`),
		regexp.MustCompile(`\.(?:ok|warn|fail|okUnless)\("([a-z-]+)"`),
		regexp.MustCompile(`\bcertificate\("([a-z-]+)"`),
		regexp.MustCompile(`return "(env-file|configuration)"`),
		regexp.MustCompile(`"(database-[a-z]+)"`),
	}
	eachSource(t, func(name string, src []byte) {
		examines := name == "api/doctor.go" || strings.HasPrefix(name, "cmd/clientes/doctor/") ||
			strings.HasPrefix(name, "store/")
		if !examines || isForTests(name) {
			return
		}
		for _, form := range forms {
			for _, m := range form.FindAllSubmatch(src, -1) {
				inCode[string(m[1])] = true
			}
		}
	})
	for _, name := range config.Names() { // the ids of their faults
		delete(inCode, strings.ToLower(strings.ReplaceAll(name, "_", "-")))
	}
	if len(inCode) < 40 {
		t.Errorf("only %d checks were found in the code", len(inCode))
	}
	for _, id := range slices.Sorted(maps.Keys(inCode)) {
		if !inPage[id] {
			t.Errorf("DOCTOR.md has no row for %s", id)
		}
		delete(inPage, id)
	}
	for id := range inPage {
		t.Errorf("DOCTOR.md has a row for %s, which no code has", id)
	}
}
