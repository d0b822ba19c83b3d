package main

import (
	"bufio"
	"bytes"
	"fmt"
	"go/ast"
	gobuild "go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"clientes/auth/authtest"
	"clientes/cmd/clientes/verify"
	"clientes/store/postgres/postgrestest"
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
	t.Parallel()
	faults := readFaults(t)
	if len(faults) < 30 {
		t.Errorf("there are only %d planted faults", len(faults))
	}
	checks := make(map[string]bool)
	for _, p := range verify.Promises() {
		checks[p.ID] = true
	}
	root := filepath.Join("..", "..")
	compiled := importCompiled(t, root)
	page := readProjectFile(t, "cmd/clientes/VERIFY.md")
	names := make(map[string]bool)
	for _, f := range faults {
		row := fmt.Sprintf("| `%s` | %s | `%s` |\n", f.name, f.promise, f.check)
		if !strings.Contains(page, row) {
			t.Errorf("cmd/clientes/VERIFY.md lacks %s", row)
		}
		if names[f.name] || f.promise == "" || len(f.edits) == 0 {
			t.Errorf("%s: twice, without a promise, or without an edit", f.name)
		}
		names[f.name] = true
		for _, id := range append(f.also, f.check) {
			if !checks[id] {
				t.Errorf("%s: verify has no check %q", f.name, id)
			}
		}
		texts, err := f.edited(root)
		if err == nil {
			err = checkTypes(root, texts, compiled)
		}
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
	}
}

// importCompiled returns an importer of the packages of the project and of all that they import.
func importCompiled(t *testing.T, root string) types.Importer {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps",
		"-f", "{{.ImportPath}} {{.Export}}", "./...")
	var stderr bytes.Buffer
	list.Dir, list.Stderr = root, &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	files := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		files[path] = file
	}
	return importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(files[path])
	})
}

// checkTypes returns an error if a package does not compile with the edited texts. It takes the
// other packages as they are.
func checkTypes(root string, texts map[string]string, compiled types.Importer) error {
	dirs := make(map[string]bool)
	for file := range texts {
		dirs[filepath.Dir(file)] = true
	}
	for dir := range dirs {
		pkg, err := gobuild.ImportDir(filepath.Join(root, dir), 0)
		if err != nil {
			return err
		}
		var files []*ast.File
		set := token.NewFileSet()
		for _, name := range pkg.GoFiles {
			file := filepath.Join(dir, name)
			var text any // nil: as the file has it
			if edited, ok := texts[file]; ok {
				text = edited
			}
			parsed, err := parser.ParseFile(set, filepath.Join(root, file), text, 0)
			if err != nil {
				return err
			}
			files = append(files, parsed)
		}
		check := types.Config{Importer: compiled}
		if _, err := check.Check("clientes/"+dir, set, files, nil); err != nil {
			return err
		}
	}
	return nil
}

// overlaid writes the edited files and the overlay that names them (go help build).
func (f planted) overlaid(t *testing.T) (overlay string) {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	authtest.Must(t, err)
	texts, err := f.edited(root)
	authtest.Must(t, err)
	dir, replaced := t.TempDir(), make(map[string]string)
	for file, text := range texts {
		edited := filepath.Join(dir, strconv.Itoa(len(replaced))+".go")
		authtest.Must(t, os.WriteFile(edited, []byte(text), 0o600))
		replaced[filepath.Join(root, file)] = edited
	}
	b, err := json.Marshal(map[string]any{"Replace": replaced})
	authtest.Must(t, err)
	overlay = filepath.Join(dir, "overlay.json")
	authtest.Must(t, os.WriteFile(overlay, b, 0o600))
	return overlay
}

// build builds the program with the fault.
func (f planted) build(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "clientes")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", f.overlaid(t),
		"-ldflags", "-s -w", "-o", program, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// verifyResult is a line of the report of verify.
type verifyResult struct {
	ID       string `json:"id"`
	Outcome  string `json:"outcome"`
	Evidence string `json:"evidence"`
}

// verified serves with a program, and returns the outcome of each check of verify with what it has
// seen. Verify itself has no fault.
func (f planted) verified(t *testing.T, program string) (outcome, seen map[string]string) {
	t.Helper()
	databaseURL, n := "sqlite:"+filepath.Join(t.TempDir(), "clientes.db"), 1
	if f.replicas {
		databaseURL, n = postgrestest.Database(t), 3
	}
	environ := []string{"DATABASE_URL=" + databaseURL, "SECRET=" + goodSecret, endsAtOnce}
	add := command(t, environ, "user", "add", "boss", "--role", "admin", "--password-stdin")
	add.Stdin = strings.NewReader(goodPassword)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("add an admin: %v\n%s", err, out)
	}
	// A login, because verify makes no admin for a server that does not check what it has signed.
	args := []string{"verify", "--json", "--user", "boss", "--password-stdin"}
	for i := range n {
		serve := exec.CommandContext(t.Context(), program, "serve")
		serve.Env = environ
		s := beginCommand(t, serve)
		s.wantListening(t)
		s.wantReady(t)
		if i > 0 {
			args = append(args, "--replica")
		}
		args = append(args, s.url(""))
	}
	var stdout, stderr bytes.Buffer
	try := command(t, environ, args...)
	try.Stdin, try.Stdout, try.Stderr = strings.NewReader(goodPassword), &stdout, &stderr
	err := try.Run() // status 1 is what a fault should cause
	var report struct {
		Results []verifyResult `json:"results"`
	}
	if json.Unmarshal(stdout.Bytes(), &report) != nil || len(report.Results) == 0 {
		t.Fatalf("verify reports nothing: %v\n%s%s", err, stdout.String(), stderr.String())
	}
	outcome, seen = make(map[string]string), make(map[string]string)
	for _, r := range report.Results {
		outcome[r.ID], seen[r.ID] = r.Outcome, r.Evidence
	}
	return outcome, seen
}

// A verify that finds nothing is worth nothing. So each fault of the list is built into a program
// of its own, which verify tries. It must find that promise broken. In the good program it must
// find nothing.
func TestVerifyFindsPlantedFaults(t *testing.T) {
	if !long() {
		t.Skip("TEST_LONG is not set")
	}
	building, trying := make(chan struct{}, 2), make(chan struct{}, 3) // verify mostly waits
	faults := append(readFaults(t),
		planted{name: "none"}, planted{name: "none, three replicas", replicas: true})
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			building <- struct{}{}
			program := func() string {
				defer func() { <-building }()
				return f.build(t)
			}()
			trying <- struct{}{}
			defer func() { <-trying }()
			outcome, seen := f.verified(t, program)
			if f.check != "" && outcome[f.check] != string(verify.Failed) {
				t.Errorf("%s is %s: %s", f.check, outcome[f.check], seen[f.check])
			}
			for id, o := range outcome {
				switch {
				case o != string(verify.Failed):
				case id == f.check:
					t.Logf("found by %s: %s", id, seen[id])
				case slices.Contains(f.also, id):
					t.Logf("also by %s: %s", id, seen[id])
				default:
					t.Errorf("unexpected: %s: %s", id, seen[id])
				}
			}
		})
	}
}
