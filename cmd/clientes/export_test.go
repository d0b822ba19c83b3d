//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"clientes/api/wire/wiretest"
	"clientes/auth/authtest"
	"clientes/store"
	"clientes/store/postgres/postgrestest"
)

// naughtyCells returns customers with texts that are hard on formats, as cells of a CSV file.
func naughtyCells() []store.Cliente {
	return []store.Cliente{
		{
			Name: `"Ana ""A"" Souza"`, Email: "ana@example.com", Phone: "+55 11 99999-0000",
			Company: `"Souza, Lima & Co; Ltd"`, Address: "O’Neill's ",
			Notes: "\"two\nlines\tand a tab\"",
		},
		{Name: "=1+1", Phone: "@x", Company: "-2+3", Address: `\n`, Notes: "'already"},
		{Name: "山田 👩‍👩‍👧", Email: "ü@例え.jp", Company: "\u200fعربى", Address: "null"},
	}
}

// naughty returns a file of these customers.
func naughty() string {
	file := strings.Join(wiretest.TextNames(), ",") + "\r\n"
	for _, c := range naughtyCells() {
		file += wiretest.Cells(c) + "\r\n"
	}
	return file
}

// naughtyExport returns an export of these customers, in which every time is TIME.
func naughtyExport() string {
	export := wiretest.Header()
	for i, c := range naughtyCells() {
		export += fmt.Sprintf("%d,%s,1,TIME,TIME\r\n", i+1, wiretest.Cells(c))
	}
	return export
}

// An export can be imported, and an export of that is the same.
func TestExport(t *testing.T) {
	onEachEngine(t, func(t *testing.T, vars map[string]string) {
		call(t, vars, "", "export").want(t, 1, "", "clientes: there is no")
		call(t, vars, naughty(), "import", "-").want(t, 0, "imported 3 customers\n", "")
		want := naughtyExport()
		csv := call(t, vars, "", "export")
		if csv.status != 0 || steady(csv.stdout) != steady(want) || csv.stderr != "" {
			t.Fatalf("status %d, stderr %q, stdout\n%q\nwant\n%q", csv.status, csv.stderr,
				steady(csv.stdout), steady(want))
		}
		lines := call(t, vars, "", "export", "-", "--format", "ndjson").stdout
		ana := `{"id":1,` + wiretest.Members(store.Cliente{
			Name: `Ana \"A\" Souza`, Email: "ana@example.com", Phone: "+55 11 99999-0000",
			Company: "Souza, Lima & Co; Ltd", Address: "O’Neill's ", Notes: `two\nlines\tand a tab`,
		}) + `,"version":1,"created_at":"TIME","updated_at":"TIME"}`
		if first, _, _ := strings.Cut(lines, "\n"); steady(first) != ana {
			t.Errorf("as NDJSON the first is\n%s", first)
		}

		for _, test := range []struct{ file, flag, want string }{
			{"all.csv", "", want}, {"all.ndjson", "", lines}, {"ALL.JSONL", "", lines},
			{"all.txt", "csv", want}, {"ndjson.csv", "ndjson", lines},
		} {
			args := []string{"export", test.file}
			if test.flag != "" {
				args = append(args, "--format", test.flag)
			}
			done := result{0, "exported 3 customers to " + test.file + "\n", ""}
			if r := call(t, vars, "", args...); r != done {
				t.Fatalf("%v: %+v", args, r)
			}
			if got := contentOf(t, test.file); steady(got) != steady(test.want) {
				t.Errorf("%s has\n%s", test.file, got)
			}
			if test.flag != "" {
				continue
			}
			second := at("sqlite:" + test.file + ".db")
			call(t, second, "", "import", test.file).want(t, 0, "imported 3 customers\n", "")
			if again := call(t, second, "", "export").stdout; steady(again) != steady(want) {
				t.Errorf("%s exported again is\n%s", test.file, again)
			}
		}
	})
}

// A text that a spreadsheet would run is exported as it is, without --spreadsheet-safe.
func TestExportForSpreadsheets(t *testing.T) {
	inFolder(t, nil)
	call(t, nil, naughty(), "import", "-").want(t, 0, "", "")
	cells := naughtyCells()[1]
	call(t, nil, "", "export").want(t, 0, "\r\n2,"+wiretest.Cells(cells)+",1,", "")
	cells.Name, cells.Phone, cells.Company = "'=1+1", "'@x", "'-2+3"
	call(t, nil, "", "export", "--spreadsheet-safe").
		want(t, 0, "\r\n2,"+wiretest.Cells(cells)+",1,", "")
	call(t, nil, "", "export", "safe.csv", "--spreadsheet-safe").
		want(t, 0, "exported 3 customers to safe.csv\n", "")
	const safe = ",ana@example.com,'+55 11 99999-0000,\"Souza"
	if got := contentOf(t, "safe.csv"); !strings.Contains(got, safe) {
		t.Errorf("the file has\n%s", got)
	}
}

func contentOf(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	authtest.Must(t, err)
	return string(b)
}

// A file is replaced by a complete one or not at all, and no other file is left.
func TestReplaceFile(t *testing.T) {
	inFolder(t, map[string]string{"old": "old", "target": "old"})
	authtest.Must(t, os.Chmod("old", 0o644))
	authtest.Must(t, os.Mkdir("folder", 0o700))
	authtest.Must(t, os.Symlink("../target", "folder/link"))
	want := func(names ...string) {
		t.Helper()
		if got := append(namesIn(t, "."), namesIn(t, "folder")...); !slices.Equal(got, names) {
			t.Errorf("there are %q, not %q", got, names)
		}
	}
	broken := errors.New("broken")
	for _, name := range []string{"old", "new", "folder/link"} {
		half := func(w io.Writer) error {
			io.WriteString(w, "half")
			return broken
		}
		if err := replaceFile(name, half); err != broken {
			t.Errorf("%s: %v", name, err)
		}
	}
	want("folder", "old", "target", "link")
	if contentOf(t, "old") != "old" || contentOf(t, "target") != "old" {
		t.Error("what was there is lost")
	}

	for name, mode := range map[string]fs.FileMode{
		"old": 0o644, "new": 0o600, "folder/link": 0o600,
	} {
		whole := func(w io.Writer) error {
			if before, err := os.ReadFile(name); err == nil && string(before) != "old" {
				t.Errorf("while %s is written it has %q", name, before)
			}
			_, err := io.WriteString(w, "whole")
			return err
		}
		if err := replaceFile(name, whole); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		info, err := os.Stat(name)
		authtest.Must(t, err)
		if info.Mode() != mode || contentOf(t, name) != "whole" {
			t.Errorf("%s: %v, %q", name, info.Mode(), contentOf(t, name))
		}
	}
	want("folder", "new", "old", "target", "link")
	if info, err := os.Lstat("folder/link"); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("the link is %v, %v", info.Mode(), err)
	}
}

// A pipe stays a pipe: its reader gets the export.
func TestExportIntoANamedPipe(t *testing.T) {
	inFolder(t, nil)
	call(t, nil, "name\nAna\n", "import", "-").want(t, 0, "", "")
	authtest.Must(t, syscall.Mkfifo("pipe.csv", 0o600))
	reader, err := os.OpenFile("pipe.csv", os.O_RDONLY|syscall.O_NONBLOCK, 0)
	authtest.Must(t, err)
	defer reader.Close()
	call(t, nil, "", "export", "pipe.csv").want(t, 0, "exported 1 customer to pipe.csv\n", "")
	if b, err := io.ReadAll(reader); err != nil || !strings.Contains(string(b), "\r\n1,Ana,") {
		t.Errorf("the reader got %q, %v", b, err)
	}
	if info, err := os.Stat("pipe.csv"); err != nil || info.Mode().Type() != fs.ModeNamedPipe {
		t.Errorf("it is %v now, %v", info.Mode(), err)
	}
}

func TestExportToWhereItCannot(t *testing.T) {
	inFolder(t, nil)
	call(t, nil, "", "migrate").want(t, 0, "", "")
	authtest.Must(t, os.Mkdir("a.csv", 0o700))
	call(t, nil, "", "export", "a.csv").want(t, 1, "",
		"clientes: a.csv is a folder; give the name of a file\n")
	call(t, nil, "", "export", "absent/b.csv").want(t, 1, "", "clientes: open absent/")
}

// An interrupt in the middle of an export leaves the file as it was, and nothing beside it.
func TestInterruptedExport(t *testing.T) {
	inFolder(t, map[string]string{"all.csv": "the old ones"})
	vars := map[string]string{"DATABASE_URL": postgrestest.Database(t)}
	call(t, vars, "name\nAna\n", "import", "-").want(t, 0, "", "")
	l := lock(t, vars["DATABASE_URL"], "LOCK TABLE clientes IN ACCESS EXCLUSIVE MODE")
	i := start(t, vars, strings.NewReader(""), "export", "all.csv")
	l.waitForWaiter(t)
	i.wantInterrupted(t)
	l.unlock(t)
	if names := namesIn(t, "."); len(names) != 1 || contentOf(t, "all.csv") != "the old ones" {
		t.Errorf("there are %q, with %q", names, contentOf(t, "all.csv"))
	}
}

// A reader of only the beginning, such as head, ends the command quietly.
func TestExportIntoAClosedPipe(t *testing.T) {
	inFolder(t, nil)
	call(t, nil, "name\nAna\n", "import", "-").want(t, 0, "", "")
	reader, stdout, err := os.Pipe()
	authtest.Must(t, err)
	defer stdout.Close()
	reader.Close()
	cmd := command(t, nil, "export")
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = stdout, &stderr
	err = cmd.Run()
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	quiet := status.Signaled() && status.Signal() == syscall.SIGPIPE && stderr.String() == ""
	// If the parent ignores the signal, as some test runners do, it is an error like any other.
	const brokenPipe = "clientes: write /dev/stdout: broken pipe\n"
	reported := status.ExitStatus() == 1 && stderr.String() == brokenPipe
	if err == nil || !quiet && !reported {
		t.Errorf("%v, stderr %q", err, stderr.String())
	}
}

// A killed export leaves no file, or one that a later export into the folder removes.
func TestAKilledExportLeavesNothing(t *testing.T) {
	inFolder(t, map[string]string{exportPrefix + "old": "half", exportPrefix + "new": "half"})
	old := time.Now().Add(-abandoned - time.Hour)
	authtest.Must(t, os.Chtimes(exportPrefix+"old", old, old))
	vars := map[string]string{"DATABASE_URL": postgrestest.Database(t)}
	call(t, vars, "name\nAna\n", "import", "-").want(t, 0, "", "")
	l := lock(t, vars["DATABASE_URL"], "LOCK TABLE clientes IN ACCESS EXCLUSIVE MODE")
	cmd := command(t, []string{"DATABASE_URL=" + vars["DATABASE_URL"]}, "export", "all.csv")
	authtest.Must(t, cmd.Start())
	l.waitForWaiter(t)
	authtest.Must(t, cmd.Process.Kill())
	cmd.Wait()
	l.unlock(t)
	names := namesIn(t, ".")
	if !slices.Contains(names, exportPrefix+"new") || slices.Contains(names, exportPrefix+"old") {
		t.Errorf("there are %q", names)
	}
	if f, err := namelessFile("."); err == nil {
		f.Close()
		if len(names) != 1 {
			t.Errorf("the export has left one of %q", names)
		}
	}
	call(t, vars, "", "export", "all.csv").want(t, 0, "exported 1 customer", "")
}
