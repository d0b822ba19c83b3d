//go:build unix

package main

import (
	"bytes"
	"encoding/json"
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

	"clientes/auth/authtest"
	"clientes/cmd/clientes/config"
	"clientes/store/postgres/postgrestest"
)

// tour returns the pages in the order in which somebody new reads them. The first one starts a
// server that the others use, until cmd/clientes/README.md goes to Postgres.
func tour() []string {
	return []string{
		"README.md", "api/README.md", "auth/README.md", "cmd/clientes/README.md",
		"cmd/clientes/BACKUP.md", "SECURITY.md",
	}
}

// workshop returns the pages whose commands run tests. In a copy of the project all that is tested
// is compiled anew, which takes half a minute.
func workshop() []string { return []string{"store/README.md", "CONTRIBUTING.md"} }

// isShown reports whether a command of the pages is only shown, because it takes too long, or needs
// hidden files of the project or more than Go, curl and openssl.
func isShown(script string) bool {
	for _, prefix := range []string{
		"go test -shuffle=on ", "go test -race ", "go test ./store/postgres ",
		"go test ./cmd/clientes -run ",
		"TEST_ROUNDS=", "TEST_TOOLS=", "TEST_LONG=", "BENCH_ROWS=", "npx ",
		".ci/run", "make ", "docker ", "apt-get ",
	} {
		if strings.HasPrefix(script, prefix) {
			return true
		}
	}
	return false
}

// TestREADME does what a new user does: every command of the tour in its order, in a fresh copy
// of the project and in one shell. It compares the answers with those that the pages print. Only
// these differ: the port, the password that quickstart printed, and the database on Postgres.
func TestREADME(t *testing.T) {
	t.Parallel()
	if compared := tryPages(t, tour()); compared < 20 {
		t.Errorf("only %d answers were compared", compared)
	}
}

// TestPagesForDevelopers does the same with the pages for those who change the program.
func TestPagesForDevelopers(t *testing.T) {
	t.Parallel()
	if !long() {
		t.Skip("TEST_LONG is not set")
	}
	tryPages(t, workshop())
}

// tryPages runs the commands of pages, and returns how many answers it has compared.
func tryPages(t *testing.T, pages []string) (compared int) {
	t.Helper()
	needs(t, "go", "sh", "sed", "curl", "openssl")
	u := &newUser{folder: copyOfProject(t), port: freePort(t)}
	for _, page := range pages {
		began := time.Now()
		compared += u.follow(t, page)
		t.Logf("%s took %.1f s", page, time.Since(began).Seconds())
	}
	u.leavesNothing(t)
	return compared
}

// TestREADMENamesEverySetting holds the table of settings to what there is.
func TestREADMENamesEverySetting(t *testing.T) {
	page := readProjectFile(t, "cmd/clientes/README.md")
	for _, name := range config.Names() {
		if !strings.Contains(page, "`"+name+"`") {
			t.Errorf("cmd/clientes/README.md does not say what %s is", name)
		}
	}
}

// steady makes an answer comparable. What differs each time gets one text, and JSON is compacted,
// because the pages wrap it. In the pages a long token ends in "…".
func steady(answer string) string {
	answer = strings.TrimSpace(strings.ReplaceAll(answer, "\r", ""))
	for _, r := range [][2]string{
		{`eyJ[\w.-]+…?`, "TOKEN"},
		{`("refresh_token": ?)"[\w-]+…?\.(\d+)\.[\w-]+…?"`, `$1"SESSION.$2.MAC"`},
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`, "TIME"},
		{`cursor=[\w-]+`, "cursor=CURSOR"},
		{`("cursor": ?)"[\w-]+"`, `$1"CURSOR"`},
		{`("device": ?)"[^"]+"`, `$1"DEVICE"`},
		{`("request_id": ?)"[\w-]+"`, `$1"ID"`},
		{`("user_agent": ?)"curl/[^"]+"`, `$1"curl"`},
		{`(?m)^X-Request-Id: .*$`, "X-Request-Id: ID"},
		{`(?m)^Date: .*$`, "Date: DATE"},
	} {
		answer = regexp.MustCompile(r[0]).ReplaceAllString(answer, r[1])
	}
	header, body, found := strings.Cut(answer, "\n\n")
	if !found || !strings.HasPrefix(header, "HTTP/") {
		header, body = "", answer
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(body)); err == nil {
		body = compact.String()
	}
	return strings.TrimSpace(header + "\n\n" + body)
}

// newUser is somebody with a fresh copy of the project and a shell, whose variables stay from block
// to block.
type newUser struct {
	folder, port string
	password     string      // that quickstart printed
	server       *foreground // that quickstart started, nil before and after
}

var databaseURL = regexp.MustCompile(`postgres://[^']*`)

// follow runs the commands of a page, and returns how many answers it has compared.
func (u *newUser) follow(t *testing.T, page string) (compared int) {
	t.Helper()
	var answer string
	for _, b := range fencedBlocks(readProjectFile(t, page)) {
		switch b.lang {
		case "sh":
			if !isShown(b.text) {
				answer = u.paste(t, page, b.text)
			}
		case "json", "http", "csv", "text":
			compared++
			if got, want := steady(answer), steady(b.text); got != want {
				t.Errorf("%s prints\n%s\nand the answer is\n%s", page, want, got)
			}
		}
	}
	return compared
}

// paste runs the commands of one block and returns what they print.
func (u *newUser) paste(t *testing.T, page, script string) string {
	t.Helper()
	if strings.HasSuffix(script, " quickstart\n") {
		u.server = u.start(t, script)
		u.password = u.server.waitFor(t, regexp.MustCompile(`(?m)^ *password +(\S+)$`))
		u.waitReady(t)
		return ""
	}
	script = strings.Replace(script, "the password that quickstart printed", u.password, 1)
	if strings.Contains(script, "export DATABASE_URL=") {
		if u.server != nil {
			u.server.stop(t)
			u.server = nil
		}
		script = databaseURL.ReplaceAllLiteralString(script, postgrestest.Database(t))
	}
	if before, found := strings.CutSuffix(script, "./clientes serve\n"); found {
		u.run(t, before)
		server := u.start(t, "./clientes serve\n")
		u.waitReady(t)
		server.stop(t)
		return ""
	}
	answer := u.run(t, script)
	if strings.Contains(answer, "warning: no ") { // tests, benchmarks or fuzz tests
		t.Errorf("%s: a command finds nothing to do: %s%s", page, script, answer)
	}
	return answer
}

// leavesNothing fails the test if the commands have left files that Git would show as untracked.
func (u *newUser) leavesNothing(t *testing.T) {
	t.Helper()
	ignored := append(strings.Fields(readProjectFile(t, ".gitignore")), "/.shell")
	err := filepath.WalkDir(u.folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(u.folder, path)
		authtest.Must(t, err)
		if _, err := os.Stat(filepath.Join("../..", name)); err == nil {
			return nil
		}
		for _, pattern := range ignored {
			of := filepath.Base(name)
			if strings.HasPrefix(pattern, "/") {
				of = "/" + name
			}
			if matches, err := filepath.Match(pattern, of); matches && err == nil {
				return nil
			}
		}
		t.Errorf("the pages leave %s", name)
		return nil
	})
	authtest.Must(t, err)
}

func (u *newUser) command(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	script = strings.ReplaceAll(script, "127.0.0.1:3000", "127.0.0.1:"+u.port)
	cmd := exec.Command("sh", "-c",
		"set -ae\n[ ! -f .shell ] || . ./.shell\n"+script+"export -p > .shell\n")
	cmd.Dir = u.folder
	cmd.Env = append(os.Environ(), "PORT="+u.port)
	// A group of its own, so that `go run` and what it runs end together.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
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
	output authtest.Log
	ended  chan error
}

func (u *newUser) start(t *testing.T, script string) *foreground {
	t.Helper()
	s := &foreground{cmd: u.command(t, script), ended: make(chan error, 1)}
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	authtest.Must(t, s.cmd.Start())
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
	case <-time.After(authtest.Timeout):
		t.Fatalf("it does not stop: %s", s.output.String())
	}
	if !strings.Contains(s.output.String(), "stopped") {
		t.Errorf("it did not stop as it should: %s", s.output.String())
	}
}

// waitFor waits until the server has printed a match, and returns its first group.
func (s *foreground) waitFor(t *testing.T, what *regexp.Regexp) string {
	t.Helper()
	deadline := time.Now().Add(authtest.Timeout)
	for ; time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
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
	deadline := time.Now().Add(authtest.Timeout)
	for ; time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
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
		case strings.HasPrefix(name, "."), strings.Contains(name, ".db"),
			path == "clientes", path == "password.txt":
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
	authtest.Must(t, err)
	return to
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	authtest.Must(t, err)
	defer l.Close()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}
