//go:build linux

package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"clientes/auth/authtest"
)

// watched runs the program with a terminal for standard error, and for standard output if that is
// nil. It returns all that was shown.
func watched(t *testing.T, vars map[string]string, stdin io.Reader, stdout io.Writer,
	args ...string) (status int, shown string) {
	t.Helper()
	person, terminal := newTerminal(t)
	seen := make(chan string)
	// It ends with an error when the other end is closed.
	go func() { b, _ := io.ReadAll(person); seen <- string(b) }()
	if stdout == nil {
		stdout = terminal
	}
	status = run(t.Context(), args, environment(vars), stdin, stdout, terminal)
	terminal.Close()
	return status, <-seen
}

// left returns what is on the screen at the end. A carriage return goes to the start of the line,
// and the next text overwrites it.
func left(shown string) string {
	var lines []string
	for line := range strings.SplitSeq(shown, "\n") {
		var cells []rune
		for part := range strings.SplitSeq(line, "\r") {
			over := []rune(part)
			cells = append(over, cells[min(len(over), len(cells)):]...)
		}
		lines = append(lines, strings.TrimRight(string(cells), " "))
	}
	return strings.Join(lines, "\n")
}

// A person sees each step, and at the end only the result.
func TestProgress(t *testing.T) {
	onEachEngine(t, func(t *testing.T, vars map[string]string) {
		call(t, vars, "", "migrate").want(t, 0, "", "")
		fileOf(t, "all.csv", "name\nAna\nBruno\n")
		file, err := os.Open("all.csv")
		authtest.Must(t, err)
		defer file.Close()
		var piped bytes.Buffer
		for _, test := range []struct {
			args   []string
			stdin  io.Reader
			stdout io.Writer
			steps  []string
			left   string
		}{
			{[]string{"import", "all.csv"}, nil, nil,
				[]string{"reading   0% |", "/15 B)", "storing   0% |", "(0/2, ", "finishing"},
				"imported 2 customers\n"},
			{[]string{"import", "-"}, file, nil,
				[]string{"reading   0% |", "/15 B)", "storing", "finishing"},
				"imported 2 customers\n"},
			{[]string{"import", "-", "--dry-run"}, strings.NewReader("name\nCelik\n"), nil,
				[]string{"reading ", "checking   0% |", "(0/1, ", "finishing"},
				"1 customer can be imported; nothing was changed\n"},
			{[]string{"import", "-"}, strings.NewReader("name,phone\n,1\n"), nil,
				[]string{"reading "},
				"row 1, name: A name is required.\nclientes: the file has a fault; nothing was imported\n"},
			{[]string{"export", "out.csv"}, nil, nil, []string{"exporting   0% |", "(0/4, "},
				"exported 4 customers to out.csv\n"},
			{[]string{"export"}, nil, &piped, []string{"exporting   0% |"}, ""},
		} {
			stdin := test.stdin
			if stdin == nil {
				stdin = strings.NewReader("")
			}
			status, shown := watched(t, vars, stdin, test.stdout, test.args...)
			if want := strings.HasPrefix(test.left, "row"); (status == 1) != want {
				t.Errorf("%v: status %d", test.args, status)
			}
			rest := shown
			for _, step := range test.steps {
				_, after, found := strings.Cut(rest, step)
				if !found {
					t.Errorf("%v does not show %q after what came before:\n%q", test.args, step,
						shown)
				}
				rest = after
			}
			if got := left(shown); got != test.left {
				t.Errorf("%v leaves %q on the screen of\n%q", test.args, got, shown)
			}
		}
		got := piped.String()
		if !strings.HasPrefix(got, "id,name,") || strings.Count(got, "\r\n") != 5 {
			t.Errorf("standard output has\n%s", got)
		}
		// No bar is drawn across an export to the terminal.
		status, shown := watched(t, vars, strings.NewReader(""), nil, "export")
		drawn := strings.Contains(shown, "exporting")
		if status != 0 || drawn || !strings.HasPrefix(shown, "id,name,") {
			t.Errorf("status %d, shown\n%s", status, shown)
		}
	})
}

// A copy shows what it copies, and what it reads on both sides to compare.
func TestProgressOfACopy(t *testing.T) {
	onEachEngine(t, func(t *testing.T, vars map[string]string) {
		call(t, at("sqlite:from.db"), "name\nAna\nBruno\n", "import", "-", "--format", "csv").
			want(t, 0, "", "")
		status, shown := watched(t, nil, strings.NewReader(""), nil,
			"copy", "--from", "sqlite:from.db", "--to", vars["DATABASE_URL"])
		rest := shown
		for _, step := range []string{"copying   0% |", "(0/4, ", "comparing   0% |", "(0/8, "} {
			_, after, found := strings.Cut(rest, step)
			if !found {
				t.Errorf("it does not show %q after what came before:\n%q", step, shown)
			}
			rest = after
		}
		got := left(shown)
		if status != 0 || !strings.HasPrefix(got, "TABLE ") || strings.Contains(got, "%") {
			t.Errorf("status %d, and on the screen of\n%q\nit leaves\n%s", status, shown, got)
		}
	})
}
