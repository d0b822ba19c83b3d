package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"clientes/auth/authtest"
)

// server is a process that serves.
type server struct {
	cmd       *exec.Cmd
	addr      string
	stdout    *os.File
	stderr    record // complete after wait
	listening chan string
	finished  chan struct{} // closed when the process has closed its stderr, at its end
}

// record is what a process has written so far. Several goroutines may use it at once.
type record struct {
	mu   sync.Mutex
	text strings.Builder // protected by mu
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// printed returns what the process has written to standard output.
func (s *server) printed(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(s.stdout.Name())
	authtest.Must(t, err)
	return string(b)
}

// launch starts the program and waits until it listens.
func launch(t *testing.T, environ []string, args ...string) *server {
	t.Helper()
	s := begin(t, environ, args...)
	s.wantListening(t)
	return s
}

// begin starts the program with PORT=0. At its end the test kills it if it still runs.
func begin(t *testing.T, environ []string, args ...string) *server {
	t.Helper()
	return beginCommand(t, command(t, environ, args...))
}

// beginCommand is begin for a command that was made already.
func beginCommand(t *testing.T, cmd *exec.Cmd) *server {
	t.Helper()
	cmd.Env = append([]string{"PORT=0", "LOG_FORMAT=json"}, cmd.Env...)
	s := &server{
		cmd:       cmd,
		listening: make(chan string, 1),
		finished:  make(chan struct{}),
	}
	stdout, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	authtest.Must(t, err)
	defer stdout.Close()
	s.stdout, s.cmd.Stdout = stdout, stdout
	stderr, err := s.cmd.StderrPipe()
	authtest.Must(t, err)
	authtest.Must(t, s.cmd.Start())
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		s.wait()
	})
	go func() {
		defer close(s.finished)
		defer close(s.listening)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintln(&s.stderr, lines.Text())
			var line struct {
				Msg  string `json:"msg"`
				Addr string `json:"addr"`
			}
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
				s.listening <- line.Addr
			}
		}
	}()
	return s
}

// wantListening waits until the server logs where it listens.
func (s *server) wantListening(t *testing.T) {
	t.Helper()
	addr, ok := <-s.listening
	if !ok {
		t.Fatalf("it ended with status %d: %s", s.wait(), s.stderr.String())
	}
	s.addr = addr
}

// wantReady waits until the server says that it is ready.
func (s *server) wantReady(t *testing.T) {
	t.Helper()
	s.wantReadyz(t, 200, "")
}

// wantReadyz waits until /readyz has this status and names the check that failed.
func (s *server) wantReadyz(t *testing.T, status int, check string) {
	t.Helper()
	var got string
	authtest.Eventually(t, fmt.Sprintf("/readyz answers %d %q", status, check), func() bool {
		resp, err := http.Get(s.url("/readyz"))
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		text, _, _ := strings.Cut(string(body), `"request_id"`)
		if now := fmt.Sprintf("%d %s", resp.StatusCode, text); now != got {
			got = now
			t.Log(got)
		}
		return err == nil && resp.StatusCode == status && strings.Contains(text, check)
	})
}

func (s *server) signal(t *testing.T) {
	t.Helper()
	err := s.cmd.Process.Signal(syscall.SIGTERM)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
}

// wait waits for the end of the process and returns its exit status, -1 if a signal ended it.
func (s *server) wait() int {
	<-s.finished // Wait would close what is still read
	s.cmd.Wait() // the second time it only fails
	return s.cmd.ProcessState.ExitCode()
}

func (s *server) url(path string) string { return "http://" + s.addr + path }

func secretIn(t *testing.T) {
	t.Helper()
	inFolder(t, map[string]string{".env": "SECRET=" + goodSecret + "\n"})
}

func TestServe(t *testing.T) {
	secretIn(t)
	s := launch(t, nil, "serve")
	s.wantReady(t)

	// A request that net/http would answer by itself.
	conn, err := net.Dial("tcp", s.addr)
	authtest.Must(t, err)
	defer conn.Close()
	fmt.Fprint(conn, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != 204 || resp.Header.Get("Allow") == "" ||
		resp.Header.Get("X-Request-Id") == "" {
		t.Errorf("OPTIONS *: %+v, %v", resp, err)
	}
	s.signal(t)
	if status := s.wait(); status != 0 || !strings.Contains(s.stderr.String(), `"msg":"stopped"`) {
		t.Errorf("status %d, log %s", status, s.stderr.String())
	}
}

func TestServeRefusesToStart(t *testing.T) {
	inFolder(t, nil)
	call(t, nil, "", "serve").
		want(t, 1, "", "SECRET is missing; `openssl rand -hex 32` makes a good one")
	call(t, map[string]string{"SECRET": "weak"}, "", "serve").
		want(t, 1, "", "SECRET cannot be used")
	if files, _ := os.ReadDir("."); len(files) > 0 {
		t.Errorf("a start that failed made files: %v", files)
	}

	busy, err := net.Listen("tcp", "127.0.0.1:0")
	authtest.Must(t, err)
	defer busy.Close()
	_, port, _ := net.SplitHostPort(busy.Addr().String())
	vars := map[string]string{"SECRET": goodSecret, "PORT": port}
	call(t, vars, "", "serve").want(t, 1, "", "clientes: cannot listen on 127.0.0.1:"+port)
}

// rawClient speaks HTTP on one connection. Unlike net/http's client it never sends a request twice.
type rawClient struct {
	addr string
	conn net.Conn
	in   *bufio.Reader
}

var errNoConnection = errors.New("no connection")

// get sends one request on the open connection, or on a new one if there is none, and reads the
// answer.
func (c *rawClient) get(path string) (*http.Response, error) {
	if c.conn == nil {
		conn, err := net.Dial("tcp", c.addr)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNoConnection, err)
		}
		c.conn, c.in = conn, bufio.NewReader(conn)
	}
	_, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: clientes\r\n\r\n", path)
	if err != nil {
		return nil, err
	}
	return c.answer()
}

func (c *rawClient) answer() (*http.Response, error) {
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return nil, err
	}
	if resp.Close {
		c.conn.Close()
		c.conn = nil
	}
	return resp, nil
}

// halfALogin returns a client that has sent the header of a login. The server has asked for its
// body of that many bytes, so the request is under way until the client sends that.
func halfALogin(t *testing.T, addr string, body int) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	authtest.Must(t, err)
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST /login HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", body)
	c := &rawClient{addr: addr, conn: conn, in: bufio.NewReader(conn)}
	if resp, err := http.ReadResponse(c.in, nil); err != nil || resp.StatusCode != 100 {
		t.Fatal(resp, err)
	}
	return c
}

// When SIGTERM comes, eight clients send requests on their own connections and one is in the middle
// of a login. The server answers all that was sent before the signal.
func TestSIGTERMUnderLoadCutsNoRequest(t *testing.T) {
	secretIn(t)
	// A client may be slow to send what it began before the signal.
	s := launch(t, []string{"SHUTDOWN_DELAY=1s"}, "serve")

	const body = `{"user":"abc","password":"wrong"}`
	slow := halfALogin(t, s.addr, len(body))

	var (
		signalled atomic.Bool
		answered  atomic.Int64
		clients   sync.WaitGroup
		warm      sync.WaitGroup // every client has got some answers
	)
	warm.Add(8)
	for range 8 {
		clients.Go(func() {
			c := &rawClient{addr: s.addr}
			for n := 0; ; n++ {
				if n == 20 {
					warm.Done()
				}
				// The request goes out before the signal, or at worst beside it.
				before := !signalled.Load()
				resp, err := c.get("/clientes")
				switch {
				case err != nil && before && !(errors.Is(err, errNoConnection) && signalled.Load()):
					t.Errorf("a request that was sent before the signal was cut: %v", err)
					return
				case err != nil:
					return // the server has gone
				case resp.StatusCode != 401:
					t.Errorf("status %d", resp.StatusCode)
					return
				}
				answered.Add(1)
			}
		})
	}
	warm.Wait()
	signalled.Store(true)
	s.signal(t)
	clients.Wait() // they all saw that nobody listens any more: Shutdown has begun

	_, err := io.WriteString(slow.conn, body)
	authtest.Must(t, err)
	resp, err := slow.answer()
	if err != nil || resp.StatusCode != 401 || !resp.Close {
		t.Errorf("the login that was under way: %+v, %v", resp, err)
	}
	if status := s.wait(); status != 0 {
		t.Errorf("status %d, log %s", status, s.stderr.String())
	}
	if answered.Load() < 8*20 {
		t.Errorf("only %d answers", answered.Load())
	}
}

// For SHUTDOWN_DELAY after the signal /readyz answers 503 and all else is served.
func TestDraining(t *testing.T) {
	secretIn(t)
	s := launch(t, []string{"SHUTDOWN_DELAY=1h"}, "serve")
	s.signal(t)
	c := &rawClient{addr: s.addr}
	for {
		resp, err := c.get("/readyz")
		authtest.Must(t, err)
		if resp.StatusCode == 503 {
			break
		}
	}
	for path, want := range map[string]int{
		"/": 200, "/healthz": 200, "/readyz": 503, "/clientes": 401, "/nowhere": 404,
	} {
		resp, err := c.get(path)
		if err != nil || resp.StatusCode != want || !resp.Close {
			t.Errorf("%s while draining: %+v, %v", path, resp, err)
		}
	}
	s.end(t)
}

// end sends signals until one ends the process at once.
func (s *server) end(t *testing.T) {
	t.Helper()
	for {
		select {
		case <-s.finished:
			if s.wait() == 0 {
				t.Errorf("the second signal did not end it at once: status 0, log %s", s.stderr.String())
			}
			return
		case <-time.After(20 * time.Millisecond):
			s.cmd.Process.Signal(syscall.SIGTERM) // it fails if the process has just ended
		}
	}
}

// What takes longer than SHUTDOWN_TIMEOUT is cut, and the exit status says so.
func TestShutdownTimeout(t *testing.T) {
	secretIn(t)
	s := launch(t, []string{"SHUTDOWN_TIMEOUT=0s"}, "serve")
	halfALogin(t, s.addr, 9)
	s.signal(t)
	const cut = "clientes: stopped, but requests that took longer than SHUTDOWN_TIMEOUT (0s) were cut"
	if status := s.wait(); status != 1 || !strings.Contains(s.stderr.String(), cut) {
		t.Errorf("status %d, log %s", status, s.stderr.String())
	}
}

// Signals that come within sameSignal count as one, so nothing is cut.
func TestASignalSentTwiceIsOne(t *testing.T) {
	secretIn(t)
	for n := 5000; n > 1; n /= 2 {
		s := launch(t, nil, "serve")
		start := time.Now()
		for range n {
			s.signal(t)
		}
		moment := time.Since(start)
		status := s.wait()
		if moment >= sameSignal/2 { // and the last has to arrive
			continue // this machine was too busy to send them at the same moment
		}
		if status != 0 {
			t.Errorf("status %d, log %s", status, s.stderr.String())
		}
		return
	}
	t.Error("this machine cannot send two signals at one moment")
}

// Where no temporary file can be made, the start says so. The server serves all the same.
func TestServeWithoutTemporaryFiles(t *testing.T) {
	secretIn(t)
	s := launch(t, []string{"TMPDIR=/nonexistent"}, "serve")
	resp, err := http.Get(s.url("/readyz"))
	authtest.Must(t, err)
	resp.Body.Close()
	s.signal(t)
	const warning = `"level":"WARN","msg":"no temporary file can be made, so imports and exports will fail; ` +
		`set TMPDIR to a folder with room that this user can write","folder":"/nonexistent"`
	if status := s.wait(); status != 0 || !strings.Contains(s.stderr.String(), warning) {
		t.Errorf("status %d, log %s", status, s.stderr.String())
	}
	vars := []string{"TMPDIR=/nonexistent"}
	out, err := command(t, vars, "import", "/dev/null").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "TMPDIR names the folder for it") {
		t.Errorf("import: %v, %s", err, out)
	}
}

// The start says which database it has opened, and what is in there.
func TestServeSaysWhatItServes(t *testing.T) {
	t.Parallel()
	settings := settingsOfOwn(t)
	vars := varsOf(settings)
	for _, want := range []string{
		`"made":true,"users":0,"clientes":0}`,
		`"made":false,"users":1,"clientes":2}`,
		`"made":false,"users":1,"clientes":"more than 10000"}`,
	} {
		s := launch(t, settings, "serve")
		s.signal(t)
		want = `"msg":"opened the database","url":"` + vars["DATABASE_URL"] + `",` + want
		if status := s.wait(); status != 0 || !strings.Contains(s.stderr.String(), want) {
			t.Errorf("status %d, no %s in the log %s", status, want, s.stderr.String())
		}
		file := "name\nAna\nBia\n"
		if strings.Contains(want, `"users":1`) {
			file = "name\n" + strings.Repeat("Ana\n", countedRows)
		} else {
			call(t, vars, goodPassword, "user", "add", "ana", "--password-stdin").
				want(t, 0, "", "")
		}
		call(t, vars, file, "import", "-").want(t, 0, "", "")
	}
}
