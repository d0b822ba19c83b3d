//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"clientes/store/postgres/postgrestest"
)

// TestREADME does what a new user does: every command of README.md in its order, in a fresh copy of the project,
// and compares what is answered with what README.md says. Only these are different: the port, the password
// that quickstart printed, and the database that Postgres has. The test command itself is for .ci/run.
func TestREADME(t *testing.T) {
	needs(t, "go", "curl", "openssl")
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := fencedBlocks(string(readme))
	if len(blocks) < 20 || blocks[0].text != "go run ./cmd/clientes quickstart\n" {
		t.Fatalf("README.md has %d blocks and begins with %q", len(blocks), blocks[0].text)
	}
	u := &newUser{folder: copyOfProject(t), port: freePort(t)}
	quickstart := u.start(t, blocks[0].text)
	password := quickstart.waitFor(t, regexp.MustCompile(`(?m)^ *password +(\S+)$`))
	u.waitReady(t)

	var answer string
	for i, b := range blocks[1:] {
		switch {
		case b.lang == "sh" && strings.HasPrefix(b.text, "go test"):
		case b.lang == "sh":
			script := strings.Replace(b.text, "the password that quickstart printed", password, 1)
			if strings.Contains(script, "export DATABASE_URL=") {
				if quickstart != nil {
					quickstart.stop(t)
					quickstart = nil
				}
				script = regexp.MustCompile(`postgres://[^']*`).ReplaceAllLiteralString(script, postgrestest.Database(t))
			}
			if before, found := strings.CutSuffix(script, "./clientes serve\n"); found {
				u.run(t, before)
				server := u.start(t, "./clientes serve\n")
				u.waitReady(t)
				server.stop(t)
				continue
			}
			answer = u.run(t, script)
		case b.lang == "json" || b.lang == "http" || b.lang == "csv" || b.lang == "text":
			if got, want := steady(answer), steady(b.text); got != want {
				t.Errorf("block %d: README.md says\n%s\nand the server\n%s", i, want, got)
			}
		}
	}
}

// TestREADMENamesEverySetting holds the table of settings to what there is.
func TestREADMENamesEverySetting(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings() {
		for _, name := range s.names() {
			if !bytes.Contains(readme, []byte("`"+name+"`")) {
				t.Errorf("README.md does not say what %s is", name)
			}
		}
	}
}

type block struct{ lang, text string }

func fencedBlocks(markdown string) []block {
	var blocks []block
	for _, m := range regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$").FindAllStringSubmatch(markdown, -1) {
		blocks = append(blocks, block{m[1], m[2]})
	}
	return blocks
}

// steady replaces what is different each time.
func steady(answer string) string {
	answer = strings.TrimSpace(strings.ReplaceAll(answer, "\r", ""))
	for _, r := range [][2]string{
		{`eyJ[\w-]+\.[\w-]+\.[\w-]+`, "TOKEN"},
		{`[\w-]{22}\.(\d+)\.[\w-]{43}`, "SESSION.$1.MAC"},
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`, "TIME"},
		{`cursor=[\w-]+`, "cursor=CURSOR"},
		{`"device":"[\w.-]+"`, `"device":"MARK"`},
		{`"request_id":"[\w-]+"`, `"request_id":"ID"`},
		{`(?m)^X-Request-Id: .*$`, "X-Request-Id: ID"},
		{`(?m)^Date: .*$`, "Date: DATE"},
	} {
		answer = regexp.MustCompile(r[0]).ReplaceAllString(answer, r[1])
	}
	return answer
}

// newUser is somebody with a fresh copy of the project and a shell, whose variables stay from block to block.
type newUser struct {
	folder, port string
}

func (u *newUser) command(t *testing.T, script string) *exec.Cmd {
	script = strings.ReplaceAll(script, "127.0.0.1:3000", "127.0.0.1:"+u.port)
	cmd := exec.Command("sh", "-c", "set -ae\n[ ! -f .shell ] || . ./.shell\n"+script+"export -p > .shell\n")
	cmd.Dir = u.folder
	cmd.Env = append(os.Environ(), "PORT="+u.port)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that `go run` and what it runs end together
	return cmd
}

func (u *newUser) run(t *testing.T, script string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := u.command(t, script)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s\n%v: %s%s", script, err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// foreground is a command that goes on until it is told to stop.
type foreground struct {
	cmd    *exec.Cmd
	output lockedOutput
	ended  chan error
}

func (u *newUser) start(t *testing.T, script string) *foreground {
	t.Helper()
	s := &foreground{cmd: u.command(t, script), ended: make(chan error, 1)}
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.ended <- s.cmd.Wait() }()
	t.Cleanup(func() { _ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) })
	return s
}

// stop sends what Ctrl+C sends, and waits.
func (s *foreground) stop(t *testing.T) {
	t.Helper()
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGINT)
	select {
	case <-s.ended:
	case <-time.After(time.Minute):
		t.Fatalf("it does not stop: %s", s.output.String())
	}
	if !strings.Contains(s.output.String(), "stopped") {
		t.Errorf("it did not stop as it should: %s", s.output.String())
	}
}

// waitFor waits until the server has printed what matches, and gives the first group of it.
func (s *foreground) waitFor(t *testing.T, what *regexp.Regexp) string {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if m := what.FindStringSubmatch(s.output.String()); m != nil {
			return m[1]
		}
		select {
		case err := <-s.ended:
			t.Fatalf("it ended: %v: %s", err, s.output.String())
		default:
		}
	}
	t.Fatalf("it does not print %s: %s", what, s.output.String())
	return ""
}

func (u *newUser) waitReady(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if u.command(t, "curl -sf http://127.0.0.1:3000/readyz\n").Run() == nil {
			return
		}
	}
	t.Fatal("the server is not ready")
}

// copyOfProject copies what a clone has: no hidden file, no database, no built program.
func copyOfProject(t *testing.T) string {
	t.Helper()
	to := t.TempDir()
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil:
			return err
		case path == ".":
			return nil
		case strings.HasPrefix(name, ".") && d.IsDir():
			return fs.SkipDir
		case strings.HasPrefix(name, "."), strings.Contains(name, ".db"), path == "clientes", path == "password.txt":
			return nil
		case d.IsDir():
			return os.Mkdir(filepath.Join(to, path), 0o755)
		}
		b, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, path), b, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}
