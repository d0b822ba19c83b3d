//go:build linux

package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"clientes/auth/authtest"
)

// proc reads what Linux reports of a process.
func proc(t *testing.T, pid int, name string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	authtest.Must(t, err)
	return string(b)
}

// TestServeHashesInAProcessOfItsOwn checks that a server hashes nothing itself. Its secrets are not
// in the environment of the process that does, and its metrics tell of another one.
func TestServeHashesInAProcessOfItsOwn(t *testing.T) {
	secretIn(t)
	call(t, nil, goodPassword, "user", "add", "ana", "--password-stdin").want(t, 0, "", "")
	s := launch(t, []string{"SECRET=" + goodSecret, "METRICS_ADDR=127.0.0.1:0"}, "serve")
	wantMetric := func(line string) {
		t.Helper()
		if !strings.Contains(scrape(t, s.metricsAddr(t)), "\n"+line+"\n") {
			t.Errorf("the metrics do not have %q", line)
		}
	}
	hashing := func() int {
		of := children(t, s.cmd.Process.Pid)
		if len(of) != 1 {
			return 0
		}
		return of[0]
	}
	login := func() int {
		return s.post(t, "/login", `{"user":"ana","password":"`+goodPassword+`"}`)
	}
	if status := login(); status != http.StatusOK {
		t.Fatalf("a login has status %d", status)
	}
	pid := hashing()
	if got := proc(t, pid, "cmdline"); got != "clientes\x00"+hashPasswords+"\x00" {
		t.Errorf("the process is called %q", got)
	}
	if got := proc(t, pid, "comm"); got != "clientes\n" {
		t.Errorf("the process is called %q", got)
	}
	environ := proc(t, pid, "environ")
	if !strings.HasPrefix(environ, "GOMAXPROCS=") || strings.Count(environ, "\x00") != 1 {
		t.Errorf("its environment is %q", environ)
	}
	var flags int
	_, err := fmt.Sscanf(proc(t, pid, "fdinfo/0"), "pos: 0\nflags: %o", &flags)
	if err != nil || flags&syscall.O_NONBLOCK == 0 {
		t.Errorf("it waits for passwords in a system call, and keeps a processor: flags %o, %v",
			flags, err)
	}

	wantMetric("clientes_password_hasher_restarts_total 0")
	wantMetric("clientes_password_hash_duration_seconds_count 1")

	// The server has another when it needs one.
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("end process %d: %v", pid, err)
	}
	if status := login(); status != http.StatusOK {
		t.Errorf("a login after the end of the process has status %d", status)
	}
	if now := hashing(); now == 0 || now == pid {
		t.Errorf("the process was %d and is %d", pid, now)
	}
	wantMetric("clientes_password_hasher_restarts_total 1")
	wantMetric("clientes_password_hash_duration_seconds_count 2")
	wantMetric(`clientes_logins_total{result="ok"} 2`)
	s.signal(t)
	if status := s.wait(); status != 0 {
		t.Errorf("status %d, log %s", status, s.stderr.String())
	}
}
