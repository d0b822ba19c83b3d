//go:build linux

package password

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
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

	"clientes/auth/authtest"
)

// aProcess returns a Process that ends with the test, and its log.
func aProcess(t *testing.T) (*Process, *authtest.Log) {
	t.Helper()
	log := new(authtest.Log)
	p, err := StartProcess(hashPasswords, slog.New(slog.NewTextHandler(log, nil)))
	must(t, err)
	t.Cleanup(p.Close)
	must(t, p.Started())
	return p, log
}

// wantHashes hashes a password and verifies it, and another, against the hash.
func wantHashes(t *testing.T, h Hasher) {
	t.Helper()
	hash, err := h.Hash(goodPassword, nil)
	must(t, err)
	for password, want := range map[string]bool{goodPassword: true, goodPassword + "x": false} {
		good, rehashed, err := h.Verify(hash, password, true)
		if good != want || rehashed != "" || err != nil {
			t.Fatalf("%q against the hash of %q: %t, %q, %v",
				password, goodPassword, good, rehashed, err)
		}
	}
}

// pid returns the id of the process, or 0.
func (p *Process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		return 0
	}
	return p.running.pid
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

// proc reads what Linux reports of a process.
func proc(t *testing.T, pid int, name string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestProcess(t *testing.T) {
	p, log := aProcess(t)
	wantHashes(t, p)
	for password, known := range map[string][]string{"password1": nil, "zoltrix99": {"zoltrix"}} {
		if hash, err := p.Hash(password, known); hash != "" || err != nil {
			t.Errorf("%q, which is easy to guess, has the hash %q, %v", password, hash, err)
		}
	}
	odd := "\xff\x00 é" // is hashed as it was received
	foreign, err := bcrypt.GenerateFromPassword([]byte(odd), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if good, rehashed, err := p.Verify(string(foreign), odd, false); !good || rehashed != "" ||
		err != nil {
		t.Errorf("a hash from elsewhere: %t, %q, %v", good, rehashed, err)
	}
	good, rehashed, err := p.Verify(string(foreign), odd, true)
	if !good || rehashed == "" || err != nil {
		t.Fatalf("a hash from elsewhere that is to be replaced: %t, %q, %v", good, rehashed, err)
	}
	if good, again, err := p.Verify(rehashed, odd, true); !good || again != "" || err != nil {
		t.Errorf("the hash in its place: %t, %q, %v", good, again, err)
	}
	if p.Close(); log.String() != "" {
		t.Errorf("an end that was wanted says %s", log)
	}
	if _, err := p.Hash(goodPassword, nil); err == nil ||
		!strings.Contains(err.Error(), "the server ends") {
		t.Errorf("after its end it: %v", err)
	}
}

// TestReadyAsksTheProcess stops the process, which is then no use to anybody, and ends it, after
// which another one starts.
func TestReadyAsksTheProcess(t *testing.T) {
	p, _ := aProcess(t)
	gate := p.Gate()
	must(t, gate.Ready(t.Context()))
	if n := gate.HasherRestarts(); n != 0 {
		t.Errorf("%d restarts at the start", n)
	}
	first := p.pid()
	send(t, first, syscall.SIGSTOP)
	// The system stops it in its own time.
	authtest.Eventually(t, "the process that is stopped does not answer", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		return errors.Is(gate.Ready(ctx), ErrNoHasher)
	})
	send(t, first, syscall.SIGCONT)
	must(t, gate.Ready(t.Context()))
	send(t, first, syscall.SIGKILL)
	authtest.Eventually(t, "another process answers", func() bool {
		return gate.Ready(t.Context()) == nil && p.pid() != first
	})
	if n := gate.HasherRestarts(); n != 1 {
		t.Errorf("%d restarts after one", n)
	}
	p.Close()
	if err := gate.Ready(t.Context()); !errors.Is(err, ErrNoHasher) {
		t.Errorf("the process was closed: %v", err)
	}
}

// TestAnotherProcessStarts checks that what waits when the process ends, and what it was busy with,
// is done by the next.
func TestAnotherProcessStarts(t *testing.T) {
	p, log := aProcess(t)
	gate := p.Gate()
	hash, err := p.Hash(goodPassword, nil)
	if err != nil {
		t.Fatal(err)
	}
	first := p.pid()
	var done atomic.Int32
	var logins sync.WaitGroup
	for range 32 {
		logins.Go(func() {
			if err := gate.Do(t.Context(), func(h Hasher) error {
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
	authtest.Eventually(t, "some were verified", func() bool { return done.Load() > 2 })
	send(t, first, syscall.SIGKILL)
	logins.Wait()
	want := fmt.Sprintf(`the next password starts another" pid=%d error="`, first)
	if !strings.Contains(log.String(), want) {
		t.Errorf("the log has no %s:\n%s", want, log)
	}

	// A process that cannot be understood is ended.
	odd := p.pid()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/fd/1", odd), []byte{0}, 0); err != nil {
		t.Fatal(err)
	}
	if wantHashes(t, p); p.pid() == odd {
		t.Error("a process that says odd things goes on")
	}

	// A process that hangs is ended, even if it does not read what is more than a pipe holds. The
	// time is too short for the next one, too.
	send(t, p.pid(), syscall.SIGSTOP)
	p.timeout = time.Millisecond
	if _, _, err := p.Verify(hash, strings.Repeat("x", 1<<20), false); err == nil ||
		!strings.Contains(err.Error(), "gave no answer") {
		t.Errorf("with a process that hangs it: %v", err)
	}
	want = `error="no answer within 1ms: signal: killed"`
	if strings.Count(log.String(), want) != 2 {
		t.Errorf("the log does not say twice %s:\n%s", want, log)
	}
	p.timeout = hashTimeout
	wantHashes(t, p)
}

func TestAProcessOutlivesSignalsButNotItsServer(t *testing.T) {
	p, _ := aProcess(t)
	wantHashes(t, p)
	// A terminal and timeout(1) send these to the server and to its process, perhaps more than
	// once.
	var ignored uint64
	for line := range strings.Lines(proc(t, p.pid(), "status")) {
		if mask, ok := strings.CutPrefix(line, "SigIgn:"); ok {
			var err error
			if ignored, err = strconv.ParseUint(strings.TrimSpace(mask), 16, 64); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		if ignored&(1<<(s-1)) == 0 {
			t.Errorf("%s is not ignored", s)
		}
	}

	cmd := p.cmd(t.Context())
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

func TestAProcessThatCannotStart(t *testing.T) {
	for file, want := range map[string]string{
		"/nonexistent": "passwords cannot be hashed: start a process that hashes passwords: fork/exec /nonexistent: " +
			"no such file or directory; the system has to",
		"/bin/false": "passwords cannot be hashed: two processes that hash passwords gave no answer: ",
	} {
		p := startProcess(file, hashPasswords, slog.New(slog.DiscardHandler))
		defer p.Close()
		err := p.Started()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, without %q", file, err, want)
		}
	}
}

// panicking is a Hasher that panics at every password.
type panicking struct{}

func (panicking) Verify(string, string, bool) (bool, string, error) { panic("odd") }
func (panicking) Hash(string, []string) (string, error)             { panic("odd") }
func (panicking) Ready(context.Context) error                       { panic("odd") }

func TestAPanicEndsNoOtherLogin(t *testing.T) {
	near, far := net.Pipe()
	ended := make(chan error)
	go func() { ended <- serve(far, panicking{}) }()
	client := rpc.NewClient(near)
	for range 2 {
		err1 := client.Call(serviceName+".Verify", VerifyArgs{}, new(VerifyReply))
		err2 := client.Call(serviceName+".Hash", HashArgs{}, new(string))
		for _, err := range []error{err1, err2} {
			if err == nil || !strings.Contains(err.Error(), "panic: odd\n") ||
				!strings.Contains(err.Error(), "process_test.go") {
				t.Errorf("a panic: %v", err)
			}
		}
	}
	client.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
