//go:build linux

package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/rpc"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
	file, err := ownFile()
	if err != nil {
		t.Fatal(err)
	}
	h, err := startHasher(file, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	return h, log
}

// wantHashes hashes a password and holds it, and another, against the hash.
func wantHashes(t *testing.T, h auth.Hasher) {
	t.Helper()
	hash, err := h.Hash(goodPassword, nil)
	if err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]bool{goodPassword: true, goodPassword + "x": false} {
		if good, rehashed, err := h.Verify(hash, password, true); good != want || rehashed != "" || err != nil {
			t.Fatalf("%q against the hash of %q: %t, %q, %v", password, goodPassword, good, rehashed, err)
		}
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

func send(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if pid <= 0 { // would be a whole group
		t.Fatal("there is no process")
	}
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatalf("send %s to process %d: %v", s, pid, err)
	}
}

// proc reads what Linux says of a process.
func proc(t *testing.T, pid int, name string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestHasher(t *testing.T) {
	h, log := aHasher(t)
	wantHashes(t, h)
	for password, known := range map[string][]string{"password1": nil, "zoltrix99": {"zoltrix"}} {
		if hash, err := h.Hash(password, known); hash != "" || err != nil {
			t.Errorf("%q, which is easy to guess, has the hash %q, %v", password, hash, err)
		}
	}
	odd := "\xff\x00 é" // is hashed as it was received
	foreign, err := bcrypt.GenerateFromPassword([]byte(odd), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if good, rehashed, err := h.Verify(string(foreign), odd, false); !good || rehashed != "" || err != nil {
		t.Errorf("a hash from elsewhere gives %t, %q, %v", good, rehashed, err)
	}
	good, rehashed, err := h.Verify(string(foreign), odd, true)
	if !good || rehashed == "" || err != nil {
		t.Fatalf("a hash from elsewhere that is to be replaced gives %t, %q, %v", good, rehashed, err)
	}
	if good, again, err := h.Verify(rehashed, odd, true); !good || again != "" || err != nil {
		t.Errorf("the hash in its place gives %t, %q, %v", good, again, err)
	}
	if h.close(); log.String() != "" {
		t.Errorf("an end that was wanted says %s", log)
	}
	if _, err := h.Hash(goodPassword, nil); err == nil || !strings.Contains(err.Error(), "the server ends") {
		t.Errorf("after its end it gives %v", err)
	}
}

// What waits when the process ends, and what it was busy with, is done by the next.
func TestAHasherStartsAnotherProcess(t *testing.T) {
	h, log := aHasher(t)
	gate := newGate(h)
	hash, err := h.Hash(goodPassword, nil)
	if err != nil {
		t.Fatal(err)
	}
	first := h.pid()
	var done atomic.Int32
	var logins sync.WaitGroup
	for range 32 {
		logins.Go(func() {
			if err := gate.Do(t.Context(), func(h auth.Hasher) error {
				good, _, err := h.Verify(hash, goodPassword, false)
				if err == nil && !good {
					t.Error("a good password is wrong")
				}
				return err
			}); err != nil {
				t.Error(err)
			}
			done.Add(1)
		})
	}
	eventually(t, "some were verified", func() bool { return done.Load() > 2 })
	send(t, first, syscall.SIGKILL)
	logins.Wait()
	if want := fmt.Sprintf(`the next password starts another" pid=%d error="`, first); !strings.Contains(log.String(), want) {
		t.Errorf("the log has no %s:\n%s", want, log)
	}

	// One that can not be understood is ended.
	odd := h.pid()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/fd/1", odd), []byte{0}, 0); err != nil {
		t.Fatal(err)
	}
	if wantHashes(t, h); h.pid() == odd {
		t.Error("a process that says odd things goes on")
	}

	// One that hangs is ended, even if it does not read what is more than a pipe holds. The time is too short for the next, too.
	send(t, h.pid(), syscall.SIGSTOP)
	h.timeout = time.Millisecond
	if _, _, err := h.Verify(hash, strings.Repeat("x", 1<<20), false); err == nil || !strings.Contains(err.Error(), "gave no answer") {
		t.Errorf("with a process that hangs it gives %v", err)
	}
	if want := `error="no answer within 1ms: signal: killed"`; strings.Count(log.String(), want) != 2 {
		t.Errorf("the log does not say twice %s:\n%s", want, log)
	}
	h.timeout = hashTimeout
	wantHashes(t, h)
}

func TestAHasherOutlivesSignalsButNotItsServer(t *testing.T) {
	h, _ := aHasher(t)
	wantHashes(t, h)
	// A terminal and timeout(1) send these to the server and to its process, perhaps more than once.
	var ignored uint64
	for line := range strings.Lines(proc(t, h.pid(), "status")) {
		if mask, ok := strings.CutPrefix(line, "SigIgn:"); ok {
			var err error
			if ignored, err = strconv.ParseUint(strings.TrimSpace(mask), 16, 64); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		if ignored&(1<<(s-1)) == 0 {
			t.Errorf("%s is not ignored", s)
		}
	}

	cmd := h.command(t.Context())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stdin.Close() // as it is when the server has died
	if err := cmd.Wait(); err != nil {
		t.Errorf("without a server: %v", err)
	}
}

func TestAHasherThatCanNotStart(t *testing.T) {
	for file, want := range map[string]string{
		"/nonexistent": "start a process that hashes passwords: fork/exec /nonexistent: no such file or directory; the system has to",
		"/bin/false":   "two processes that hash passwords gave no answer: ",
	} {
		if _, err := startHasher(file, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v, without %q", file, err, want)
		}
	}
}

// panicking is a hasher that does not like its passwords.
type panicking struct{}

func (panicking) Verify(string, string, bool) (bool, string, error) { panic("odd") }
func (panicking) Hash(string, []string) (string, error)             { panic("odd") }

func TestAPanicEndsNoOtherLogin(t *testing.T) {
	near, far := net.Pipe()
	ended := make(chan error)
	go func() { ended <- serveHashes(far, panicking{}) }()
	client := rpc.NewClient(near)
	for range 2 {
		err1 := client.Call(hashServiceName+".Verify", VerifyArgs{}, new(VerifyReply))
		err2 := client.Call(hashServiceName+".Hash", HashArgs{}, new(string))
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

// A server hashes nothing itself, and its secrets are not with the process that does.
func TestServeHashesInAProcessOfItsOwn(t *testing.T) {
	secretIn(t)
	call(t, nil, goodPassword, "user", "add", "ana", "--password-stdin").want(t, 0, "", "")
	s := launch(t, []string{"SECRET=" + goodSecret}, "serve")
	hashing := func() int {
		of := children(t, s.cmd.Process.Pid)
		if len(of) != 1 {
			return 0
		}
		return of[0]
	}
	login := func() int { return s.post(t, "/login", `{"user":"ana","password":"`+goodPassword+`"}`) }
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
	if got := proc(t, pid, "environ"); !strings.HasPrefix(got, "GOMAXPROCS=") || strings.Count(got, "\x00") != 1 {
		t.Errorf("its environment is %q", got)
	}
	var flags int
	if _, err := fmt.Sscanf(proc(t, pid, "fdinfo/0"), "pos: 0\nflags: %o", &flags); err != nil || flags&syscall.O_NONBLOCK == 0 {
		t.Errorf("it waits for passwords in a system call, and keeps a processor: flags %o, %v", flags, err)
	}

	// The server has another when it needs one.
	send(t, pid, syscall.SIGKILL)
	if status := login(); status != http.StatusOK {
		t.Errorf("a login after the end of the process has status %d", status)
	}
	if now := hashing(); now == 0 || now == pid {
		t.Errorf("the process was %d and is %d", pid, now)
	}
	s.signal(t)
	if status := s.wait(); status != 0 {
		t.Errorf("status %d, log %s", status, s.stderr.String())
	}
}
