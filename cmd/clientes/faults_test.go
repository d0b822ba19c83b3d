package main

import (
	"bufio"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clientes/auth/authtest"
)

// planted is an edit of the program that breaks one promise. See testdata/faults.txt.
type planted struct {
	name     string
	promise  string
	check    string   // must find it
	also     []string // other checks that may find it, too
	replicas bool     // it shows only between several processes
	edits    []edit
}

// edit replaces one text of a file by another.
type edit struct{ file, old, new string }

// readFaults reads testdata/faults.txt, which describes its own form.
func readFaults(t *testing.T) (faults []planted) {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "faults.txt"))
	authtest.Must(t, err)
	defer file.Close()
	var (
		f    *planted
		name string // of the file that is edited
		last byte   // what the line before began with
	)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			last = 0
			continue
		}
		key, value, _ := strings.Cut(line, " ")
		switch {
		case key == "fault":
			faults = append(faults, planted{name: value})
			f, name = &faults[len(faults)-1], ""
		case key == "promise":
			f.promise = value
		case key == "check":
			f.check = value
		case key == "also":
			f.also = strings.Fields(value)
		case key == "on" && value == "replicas":
			f.replicas = true
		case key == "file":
			name = value
		case line[0] == '-' && last != '-':
			f.edits = append(f.edits, edit{file: name, old: line[1:]})
		case line[0] == '-':
			f.edits[len(f.edits)-1].old += "\n" + line[1:]
		case line[0] == '+' && last == '-':
			f.edits[len(f.edits)-1].new = line[1:]
		case line[0] == '+' && last == '+':
			f.edits[len(f.edits)-1].new += "\n" + line[1:]
		default:
			t.Fatalf("testdata/faults.txt: cannot read %q of %v", line, f)
		}
		last = line[0]
	}
	return faults
}

// edited returns the text of each file that the fault edits, with the edits. It returns an error if
// an old text does not occur exactly once: the program has changed, and the list must follow.
func (f planted) edited(root string) (map[string]string, error) {
	texts := make(map[string]string)
	for _, e := range f.edits {
		text, edited := texts[e.file]
		original, err := os.ReadFile(filepath.Join(root, e.file))
		switch n := strings.Count(string(original), e.old); {
		case err != nil:
			return nil, err
		case n != 1:
			return nil, fmt.Errorf("%s has this %d times, not once:\n%s", e.file, n, e.old)
		case !edited:
			text = string(original)
		}
		texts[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return texts, nil
}

// The list of planted faults must not rot: TestVerifyFindsPlantedFaults, which builds them, runs
// only where time does not matter.
func TestPlantedFaultsFitTheProgram(t *testing.T) {
	faults := readFaults(t)
	if len(faults) < 30 {
		t.Errorf("there are only %d planted faults", len(faults))
	}
	names := make(map[string]bool)
	for _, f := range faults {
		if names[f.name] || f.promise == "" || len(f.edits) == 0 {
			t.Errorf("%s: twice, without a promise, or without an edit", f.name)
		}
		names[f.name] = true
		texts, err := f.edited(filepath.Join("..", ".."))
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
		for file, text := range texts {
			if _, err := parser.ParseFile(token.NewFileSet(), file, text, 0); err != nil {
				t.Errorf("%s: %v", f.name, err)
			}
		}
	}
}
