package main

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"clientes/auth/authtest"
)

// wantAnswers sends requests one after the other.
func wantAnswers(t *testing.T, url string, n int) {
	t.Helper()
	for range n {
		resp, err := http.Get(url)
		authtest.Must(t, err)
		_, err = io.Copy(io.Discard, resp.Body) // or the connection is not used again
		authtest.Must(t, errors.Join(err, resp.Body.Close()))
	}
}

// A server whose log nobody reads answers and stops as any other. A reader that comes back learns
// how many lines are missing.
func TestAServerWhoseLogNobodyReads(t *testing.T) {
	t.Parallel()
	reader, stderr, err := os.Pipe()
	authtest.Must(t, err)
	defer reader.Close()
	settings := append(settingsOfOwn(t), "PORT=0", "LOG_FORMAT=json", endsAtOnce)
	cmd := command(t, settings, "serve")
	cmd.Stderr = stderr
	authtest.Must(t, cmd.Start())
	stderr.Close()
	log := bufio.NewReaderSize(reader, 16)
	next := func(pattern string) string {
		t.Helper()
		for {
			line, err := log.ReadString('\n')
			authtest.Must(t, err)
			if found := regexp.MustCompile(pattern).FindStringSubmatch(line); found != nil {
				return found[1]
			}
		}
	}
	url := "http://" + next(`"msg":"listening","addr":"([^"]*)"`)
	// The lines of these requests are more than the pipe and the log's own memory hold. A line has
	// the first 256 bytes of a path.
	const requests = 4000
	path := "/" + strings.Repeat("x", 300)
	wantAnswers(t, url+path, requests)
	next(`"level":"WARN","msg":"(log lines were dropped)`)
	wantAnswers(t, url+path, requests)
	authtest.Must(t, cmd.Process.Signal(syscall.SIGTERM))
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// Neither does it matter where a log cannot be written at all.
func TestAServerWhoseLogCannotBeWritten(t *testing.T) {
	closed := func() *os.File {
		reader, stderr, err := os.Pipe()
		authtest.Must(t, err)
		reader.Close()
		return stderr
	}
	full := func() *os.File {
		f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Skip(err)
		}
		return f
	}
	for name, stderr := range map[string]func() *os.File{"closed pipe": closed, "full disk": full} {
		t.Run(name, func(t *testing.T) {
			inFolder(t, nil)
			to := stderr()
			defer to.Close()
			s := &server{cmd: command(t, []string{"PORT=0", endsAtOnce}, "quickstart")}
			stdout, err := os.Create("stdout")
			authtest.Must(t, err)
			defer stdout.Close()
			s.stdout, s.cmd.Stdout, s.cmd.Stderr = stdout, stdout, to
			authtest.Must(t, s.cmd.Start())
			var url string
			authtest.Eventually(t, "it says where it serves", func() bool {
				url = regexp.MustCompile(`http://[0-9.]+:[0-9]+`).FindString(s.printed(t))
				return url != ""
			})
			wantAnswers(t, url+"/healthz", 100)
			s.signal(t)
			if err := s.cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A server whose terminal is closed stops as it does on SIGTERM, however often it is told.
func TestAClosedTerminalStopsAServer(t *testing.T) {
	secretIn(t)
	// The server would inherit it if this process ignored the signal, as under nohup.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	s := launch(t, []string{"SHUTDOWN_DELAY=1s", endsAtOnce}, "serve")
	for stopping := false; !stopping; {
		authtest.Must(t, s.cmd.Process.Signal(syscall.SIGHUP))
		resp, err := http.Get(s.url("/readyz"))
		authtest.Must(t, err)
		resp.Body.Close()
		stopping = resp.StatusCode == 503
	}
	for s.cmd.Process.Signal(syscall.SIGHUP) == nil { // until the process has ended
		select {
		case <-s.finished:
			s.cmd.Wait()
		default:
		}
	}
	if status := s.wait(); status != 0 || !strings.Contains(s.stderr.String(), `"msg":"stopped"`) {
		t.Errorf("status %d, log %s", status, s.stderr.String())
	}
}

// With nohup(1) it goes on.
func TestNohup(t *testing.T) {
	needs(t, "sh")
	secretIn(t)
	cmd := command(t, []string{endsAtOnce}, "serve")
	wrapped := exec.Command("sh", "-c", `trap '' HUP; exec "$0" serve`, cmd.Path)
	wrapped.Env = cmd.Env
	s := beginCommand(t, wrapped)
	s.wantListening(t)
	for range 100 {
		authtest.Must(t, s.cmd.Process.Signal(syscall.SIGHUP))
	}
	wantAnswers(t, s.url("/readyz"), 1)
	s.signal(t)
	if status := s.wait(); status != 0 || !strings.Contains(s.stderr.String(), `"msg":"stopped"`) {
		t.Errorf("status %d, log %s", status, s.stderr.String())
	}
}
