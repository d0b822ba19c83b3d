//go:build linux

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/rpc"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"clientes/auth"
)

// aHasher is one that ends with the test, and its log.
func aHasher(t *testing.T) (*hasher, *lockedOutput) {
	t.Helper()
	log := new(lockedOutput)
	h, err := startHasher(slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	return h, log
}

// wantHash hashes a password and holds it against its hash.
func wantHash(t *testing.T, h auth.Hasher) {
	t.Helper()
	var hash string
	if err := h.Hash(auth.NewPassword{Password: goodPassword}, &hash); err != nil {
		t.Fatal(err)
	}
	for password, good := range map[string]bool{goodPassword: true, goodPassword + "x": false} {
		var checked auth.Checked
		if err := h.Check(auth.Check{Hash: hash, Password: password, Renew: true}, &checked); err != nil || checked != (auth.Checked{Good: good}) {
			t.Fatalf("%q against the hash of %q: %+v, %v", password, goodPassword, checked, err)
		}
	}
}

// send sends a signal to the process of a hasher.
func (h *hasher) send(t *testing.T, s syscall.Signal) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := syscall.Kill(h.running.pid, s); err != nil {
		t.Fatal(err)
	}
}

// pid gives the process of a hasher, or 0.
func (h *hasher) pid() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running == nil {
		return 0
	}
	return h.running.pid
}

func TestHasher(t *testing.T) {
	h, log := aHasher(t)
	wantHash(t, h)
	for _, in := range []auth.NewPassword{
		{Password: "password1"}, {Password: "zoltrix99", Known: []string{"zoltrix"}},
	} {
		var hash string
		if err := h.Hash(in, &hash); err != nil || hash != "" {
			t.Errorf("%q, which is easy to guess, has the hash %q, %v", in.Password, hash, err)
		}
	}
	// As it was received, whatever it is.
	odd := "\xff\x00 " + strings.Repeat("é", 200)
	foreign, err := bcrypt.GenerateFromPassword([]byte(odd[:20]), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for _, renew := range []bool{true, false} {
		var checked, again auth.Checked
		if err := h.Check(auth.Check{Hash: string(foreign), Password: odd[:20], Renew: renew}, &checked); err != nil {
			t.Fatal(err)
		}
		if !checked.Good || renew != (checked.Renewed != "") {
			t.Fatalf("with renew %t a hash from elsewhere gives %+v", renew, checked)
		}
		if !renew {
			continue
		}
		if err := h.Check(auth.Check{Hash: checked.Renewed, Password: odd[:20], Renew: true}, &again); err != nil || again != (auth.Checked{Good: true}) {
			t.Errorf("the hash that replaces it gives %+v, %v", again, err)
		}
	}
	pid := h.pid()
	h.close()
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("after its end the process gives %v", err)
	}
	if err := h.Hash(auth.NewPassword{Password: goodPassword}, new(string)); err == nil {
		t.Error("after its end it hashes")
	}
	if log.String() != "" {
		t.Errorf("an end that was wanted says %s", log)
	}
}

func TestAHasherStartsAnotherProcess(t *testing.T) {
	h, log := aHasher(t)
	wantHash(t, h)
	first := h.pid()
	h.send(t, syscall.SIGKILL)
	eventually(t, "it knows that its process has ended", func() bool { return h.pid() != first })
	if want := fmt.Sprintf(`level=ERROR msg="the process that hashes passwords has ended; the next password starts another" pid=%d error="signal: killed"`, first); !strings.Contains(log.String(), want) {
		t.Errorf("the log has no %s:\n%s", want, log)
	}
	wantHash(t, h)

	// One that hangs is ended, and does not keep whoever waits for it.
	second := h.pid()
	h.timeout = 10 * time.Millisecond
	h.send(t, syscall.SIGSTOP)
	if err := h.Hash(auth.NewPassword{Password: goodPassword}, new(string)); err == nil {
		t.Error("one that was stopped hashes")
	}
	eventually(t, "it knows that its process was ended", func() bool { return h.pid() != second })
	if want := "no answer within 10ms"; !strings.Contains(log.String(), want) {
		t.Errorf("the log has no %s:\n%s", want, log)
	}
	h.timeout = time.Minute
	wantHash(t, h)
}

func TestAHasherEndsWhenItsServerSaysSo(t *testing.T) {
	h, _ := aHasher(t)
	wantHash(t, h)
	pid := h.pid()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} { // as a terminal sends them to both
		h.send(t, s)
		wantHash(t, h)
	}
	if h.pid() != pid {
		t.Error("a signal has ended its process")
	}

	// The server may have died.
	cmd := h.command(t.Context())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("without a server: %v", err)
	}
}

func TestAHasherThatCanNotStart(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	h := &hasher{program: "/nonexistent", ctx: ctx, stop: stop}
	if _, err := h.process(); err == nil || !strings.Contains(err.Error(), "the system has to let this program run its own file") {
		t.Errorf("it gives %v", err)
	}
}

// panicking is a hasher that does not like its passwords.
type panicking struct{}

func (panicking) Check(auth.Check, *auth.Checked) error { panic("odd") }
func (panicking) Hash(auth.NewPassword, *string) error  { panic("odd") }

func TestAPanicEndsNoOtherLogin(t *testing.T) {
	near, far := net.Pipe()
	ended := make(chan error)
	go func() { ended <- serveHasher(far, panicking{}) }()
	client := rpc.NewClient(near)
	for range 2 {
		err1 := client.Call(hashService+".Check", auth.Check{}, new(auth.Checked))
		err2 := client.Call(hashService+".Hash", auth.NewPassword{}, new(string))
		for _, err := range []error{err1, err2} {
			if err == nil || !strings.Contains(err.Error(), "panic: odd\n") || !strings.Contains(err.Error(), "hasher_test.go") {
				t.Errorf("a panic gives %v", err)
			}
		}
	}
	client.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// The server hashes nothing itself, and who looks into the environment of the process that does finds no secret.
func TestServeHashesInAProcessOfItsOwn(t *testing.T) {
	secretIn(t)
	call(t, nil, goodPassword, "user", "add", "ana", "--password-stdin").want(t, 0, "", "")
	s := launch(t, []string{"SECRET=" + goodSecret}, "serve")
	pids := children(t, s.cmd.Process.Pid)
	if len(pids) != 1 {
		t.Fatalf("the server has the processes %v", pids)
	}
	read := func(name string) string {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pids[0], name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got := read("cmdline"); got != "clientes\x00"+hashPasswords+"\x00" {
		t.Errorf("the process is called %q", got)
	}
	if got := read("environ"); !strings.HasPrefix(got, "GOMAXPROCS=") || strings.Count(got, "\x00") != 1 {
		t.Errorf("its environment is %q", got)
	}
	login := `{"user":"ana","password":"` + goodPassword + `"}`
	if status := s.post(t, "/login", login); status != http.StatusOK {
		t.Errorf("a login has status %d", status)
	}
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server has another", func() bool {
		return s.post(t, "/login", login) == http.StatusOK && !slices.Equal(children(t, s.cmd.Process.Pid), pids)
	})
	s.signal(t)
	if status := s.wait(); status != 0 {
		t.Errorf("status %d, log %s", status, s.stderr.String())
	}
}
