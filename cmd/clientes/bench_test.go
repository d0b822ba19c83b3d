package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"clientes/auth/authtest"
	"clientes/store/postgres/postgrestest"
)

const (
	benchClients  = 8   // connections that ask at once
	benchRequests = 400 // requests of each connection in a round
	benchRecords  = 1000
)

// BenchmarkHTTP measures the whole server, with its log on, against the floor (testdata/floor): a
// bare handler with the same queries. Each is a process of its own. So is this one, which only
// writes and reads bytes. Rounds of the two take turns, so that the ratios hold when the machine's
// speed drifts:
//
//	x-floor-rps  requests a second, as a part of the floor's (1 is as fast)
//	x-floor-cpu  processor time a request, as a multiple of the floor's (Linux only)
func BenchmarkHTTP(b *testing.B) {
	folder := b.TempDir()
	server, floor := build(b, folder, "."), build(b, folder, "./testdata/floor")
	for _, e := range []struct{ name, url string }{
		{"sqlite", "sqlite:" + filepath.Join(folder, "bench.db")},
		{"postgres", postgrestest.Database(b)},
	} {
		b.Run(e.name, func(b *testing.B) {
			s := startServer(b, server, e.url)
			f := startFloor(b, floor, e.url)
			s.connect(b)
			f.connect(b)
			for _, r := range benchmarked() {
				b.Run(r.name, func(b *testing.B) { compare(b, s, f, "floor", r.request) })
			}
		})
	}
}

// BenchmarkHTTPMetrics measures the server with metrics and without, as [BenchmarkHTTP] does:
//
//	x-off-rps  requests a second, as a part of those without metrics (1 is as fast)
//	x-off-cpu  processor time a request, as a multiple of that without metrics (Linux only)
func BenchmarkHTTPMetrics(b *testing.B) {
	folder := b.TempDir()
	server := build(b, folder, ".")
	on := startServer(b, server, "sqlite:"+filepath.Join(folder, "on.db"), metricsHere)
	off := startServer(b, server, "sqlite:"+filepath.Join(folder, "off.db"))
	on.connect(b)
	off.connect(b)
	for _, r := range benchmarked() {
		b.Run(r.name, func(b *testing.B) { compare(b, on, off, "off", r.request) })
	}
}

// benchmarkedRequest makes requests of one kind.
type benchmarkedRequest struct {
	name    string
	request func(to *target) []byte
}

func benchmarked() []benchmarkedRequest {
	var created atomic.Int64
	return []benchmarkedRequest{
		{"list 20", func(to *target) []byte {
			return to.request("GET", "/clientes"+to.limit, "")
		}},
		{"get one", func(to *target) []byte {
			return to.request("GET",
				"/clientes/"+strconv.FormatInt(1+created.Add(1)%benchRecords, 10), "")
		}},
		{"create one", func(to *target) []byte {
			return to.request("POST", "/clientes", benchCliente(created.Add(1)))
		}},
	}
}

// compare measures a server and another, in rounds that take turns. The name is that of the other.
func compare(b *testing.B, s, o *target, name string, request func(*target) []byte) {
	s.round(b, request)
	o.round(b, request)
	var server, other spent
	for b.Loop() {
		server.add(s.round(b, request))
		other.add(o.round(b, request))
	}
	n := float64(b.N * benchClients * benchRequests)
	b.ReportMetric(n/server.wall.Seconds(), "req/s")
	b.ReportMetric(other.wall.Seconds()/server.wall.Seconds(), "x-"+name+"-rps")
	if other.cpu > 0 {
		b.ReportMetric(server.cpu.Seconds()*1e6/n, "cpu-µs/req")
		b.ReportMetric(server.cpu.Seconds()/other.cpu.Seconds(), "x-"+name+"-cpu")
	}
	b.ReportMetric(0, "ns/op") // it would be the time of two servers, which means nothing
}

type spent struct{ wall, cpu time.Duration }

func (a *spent) add(b spent) { a.wall += b.wall; a.cpu += b.cpu }

// connect opens the connections that rounds go over.
func (to *target) connect(b *testing.B) {
	b.Helper()
	for range benchClients {
		c, err := net.Dial("tcp", to.addr)
		authtest.Must(b, err)
		b.Cleanup(func() { c.Close() })
		to.conns = append(to.conns, c)
	}
}

// target is a server in a process of its own.
type target struct {
	addr    string
	pid     int
	headers string
	limit   string
	conns   []net.Conn
}

func (to *target) request(method, path, body string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n%s", method, path, to.addr, to.headers)
	if body != "" {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return b.Bytes()
}

// round sends benchRequests over each connection and reads the responses.
func (to *target) round(b *testing.B, request func(*target) []byte) spent {
	b.Helper()
	requests := make([][][]byte, benchClients) // made before the clock starts
	for i := range requests {
		for range benchRequests {
			requests[i] = append(requests[i], request(to))
		}
	}
	cpu, start := cpuTime(to.pid), time.Now()
	var wg sync.WaitGroup
	errs := make(chan error, benchClients)
	for i, c := range to.conns {
		wg.Go(func() {
			r := bufio.NewReaderSize(c, 32<<10)
			for _, req := range requests[i] {
				if _, err := c.Write(req); err != nil {
					errs <- err
					return
				}
				if err := readAnswer(r); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		b.Fatal(err)
	default:
	}
	return spent{time.Since(start), cpuTime(to.pid) - cpu}
}

// readAnswer skips one response that has a Content-Length, as cheaply as possible.
func readAnswer(r *bufio.Reader) error {
	length := -1
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		switch {
		case first && !bytes.HasPrefix(line, []byte("HTTP/1.1 20")):
			return fmt.Errorf("answered %s", line)
		case bytes.HasPrefix(line, []byte("Content-Length: ")):
			length, err = strconv.Atoi(string(bytes.TrimSpace(line[16:])))
			if err != nil {
				return err
			}
		case len(line) == 2:
			_, err := r.Discard(length)
			return err
		}
	}
}

// cpuTime returns the processor time that a process has used, 0 where there is no /proc.
func cpuTime(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The fields after the command's name in brackets; 14 and 15 count in hundredths of a second.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

func build(b *testing.B, folder, pkg string) string {
	b.Helper()
	program := filepath.Join(folder, filepath.Base(pkg)+".bin")
	if out, err := exec.Command("go", "build", "-o", program, pkg).CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return program
}

// startServer starts clientes on a database with benchRecords customers in it. Its log goes to a
// file.
func startServer(b *testing.B, program, url string, settings ...string) *target {
	b.Helper()
	env := append(os.Environ(), settings...)
	env = append(env, "SECRET="+goodSecret, "DATABASE_URL="+url, "PORT=0", "TOKEN_TTL=1h",
		"SESSION_IDLE=1h", "LOG_FORMAT=json")
	add := exec.Command(program, "user", "add", "bench", "--role", "editor", "--password-stdin")
	add.Env, add.Dir, add.Stdin = env, b.TempDir(), strings.NewReader(goodPassword)
	if out, err := add.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	log, err := os.Create(filepath.Join(b.TempDir(), "log"))
	authtest.Must(b, err)
	b.Cleanup(func() { log.Close() })
	cmd := exec.Command(program, "serve")
	cmd.Env, cmd.Dir, cmd.Stderr = env, b.TempDir(), log
	startProcess(b, cmd)
	to := &target{addr: listening(b, log.Name()), pid: cmd.Process.Pid, limit: "?limit=20"}

	resp, err := http.Post("http://"+to.addr+"/login", "application/json",
		strings.NewReader(`{"user":"bench","password":"`+goodPassword+`"}`))
	authtest.Must(b, err)
	defer resp.Body.Close()
	var login struct {
		Token string `json:"token"`
	}
	authtest.Must(b, json.UnmarshalRead(resp.Body, &login))
	to.headers = "x-access-token: " + login.Token + "\r\n"
	for i := range benchRecords {
		req, _ := http.NewRequest("POST", "http://"+to.addr+"/clientes",
			strings.NewReader(benchCliente(-int64(i)-1)))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("x-access-token", login.Token)
		resp, err := http.DefaultClient.Do(req)
		authtest.Must(b, err)
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusCreated {
			b.Fatalf("create answered %d", resp.StatusCode)
		}
	}
	return to
}

func benchCliente(n int64) string {
	return fmt.Sprintf(`{"name":"Ana Beatriz Conceição","email":"ana.%d@example.com","phone":"+55 11 99999-0000","company":"Exemplo Ltda.","address":"Rua das Laranjeiras 100, São Paulo","notes":""}`,
		n)
}

// listening waits until the server has logged its address.
func listening(b *testing.B, log string) string {
	b.Helper()
	addr := ""
	authtest.Eventually(b, "the server listens", func() bool {
		text, err := os.ReadFile(log)
		authtest.Must(b, err)
		for line := range bytes.Lines(text) {
			var entry struct {
				Message string `json:"msg"`
				Addr    string `json:"addr"`
			}
			if json.Unmarshal(line, &entry) == nil && entry.Message == "listening" {
				addr = entry.Addr
			}
		}
		return addr != ""
	})
	return addr
}

func startFloor(b *testing.B, program, url string) *target {
	b.Helper()
	cmd := exec.Command(program, url)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	authtest.Must(b, err)
	startProcess(b, cmd)
	addr, err := bufio.NewReader(out).ReadString('\n')
	authtest.Must(b, err)
	return &target{addr: strings.TrimSpace(addr), pid: cmd.Process.Pid}
}

func startProcess(b *testing.B, cmd *exec.Cmd) {
	b.Helper()
	authtest.Must(b, cmd.Start())
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}
