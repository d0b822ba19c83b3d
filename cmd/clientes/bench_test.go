package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"

	"clientes/auth/authtest"
	"clientes/store/postgres/postgrestest"
)

const (
	benchRecords = 1000 // customers in a database before the first round
	roundSeconds = 1.0

	// capacityConnections of a closed loop keep a server of a few processors busy.
	capacityConnections = 64

	openSeconds = 5.0 // how long an open loop lasts, which sends at a fixed rate
)

// BenchmarkHTTP measures the whole server, with its log on, against the floor (testdata/floor): a
// bare handler that makes the same queries. Both have a database of their own with the same
// customers, and testdata/load sends them the same requests. Each is a process of its own. Rounds
// of one second on the server and on the floor take turns, so that the ratios hold when the
// machine's speed drifts. -benchtime 9x means nine rounds of each. It reports medians over the
// rounds:
//
//	req/s           requests a second
//	x-floor-rps     the same as a part of the floor's (1 is as fast)
//	cpu-µs/req      processor time a request (Linux only, as all that follows)
//	x-floor-cpu     the same as a multiple of the floor's
//	x-floor-pg-cpu  processor time of Postgres a request, as a multiple of what the floor takes
//
// A sub-benchmark is named engine/kind/connections: list is the first page of 20 customers, get is
// one of 900, create a new one with its history. With forged, a token with a wrong signature is
// refused. The floor checks no token, so there it is GET /, which asks no database.
func BenchmarkHTTP(b *testing.B) {
	folder := b.TempDir()
	server, floor := build(b, folder, "."), build(b, folder, "./testdata/floor")
	l := startLoad(b, folder)
	for _, e := range benchEngines {
		b.Run(e.name, func(b *testing.B) {
			url := e.database(b)
			l := &rounds{load: l, postgres: postmaster(b, url)}
			s := startServer(b, server, url)
			f := startFloor(b, server, floor, e.database(b), s)
			for _, k := range append(benchKinds, forged) {
				b.Run(k.name, func(b *testing.B) {
					for _, n := range []int{1, 4, 16, 64, 256} {
						b.Run(strconv.Itoa(n), func(b *testing.B) {
							l.compare(b, s, f, "floor", k, n)
						})
					}
				})
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
	l := &rounds{load: startLoad(b, folder)}
	on := startServer(b, server, "sqlite:"+filepath.Join(folder, "on.db"), metricsHere)
	off := startServer(b, server, "sqlite:"+filepath.Join(folder, "off.db"))
	for _, k := range benchKinds {
		b.Run(k.name, func(b *testing.B) { l.compare(b, on, off, "off", k, 16) })
	}
}

// BenchmarkOverload sends requests at a fixed rate, whether or not the server keeps up: a part or a
// multiple of its capacity. That is what 64 connections got just before, each of which sends its
// next request when it has the answer to its last. A sub-benchmark is named engine/kind/multiple:
//
//	answered/s  good answers a second
//	x-capacity  the same as a part of the capacity
//	refused/s   answers of 503
//	unsent/s    requests for which no connection was free, of which there are 64 to 2,048
//	failed/s    requests without an answer, or with another one
//	p50-ms      how long the good answers took, from when their requests should have begun
//	p99-ms      the same for 99 of 100
func BenchmarkOverload(b *testing.B) {
	folder := b.TempDir()
	server := build(b, folder, ".")
	l := startLoad(b, folder)
	for _, e := range benchEngines {
		b.Run(e.name, func(b *testing.B) {
			s := startServer(b, server, e.database(b))
			for _, k := range benchKinds {
				b.Run(k.name, func(b *testing.B) {
					for _, x := range []float64{0.5, 0.9, 1, 1.5, 3} {
						b.Run(strconv.FormatFloat(x, 'f', 1, 64), func(b *testing.B) {
							l.overload(b, s, k, x)
						})
					}
				})
			}
		})
	}
}

func (l *load) overload(b *testing.B, s *target, k benchKind, x float64) {
	all := make(map[string][]float64)
	for b.Loop() {
		send := func(connections int, seconds, rate float64) answers {
			o := k.order(s)
			o.Connections, o.Seconds, o.Rate = connections, seconds, rate
			return l.send(b, s, o)
		}
		closed := send(capacityConnections, 2, 0)
		capacity := float64(closed.Answered) / closed.Seconds
		rate := x * capacity
		// So many that requests which wait find the server's limit, and not ours. Not more, as a
		// server closes connections on which it has heard nothing for a while.
		connections := int(min(2048, max(capacityConnections, rate)))
		send(connections, 0.5, 0) // a first request on a connection costs several times as much
		open := send(connections, openSeconds, rate)
		if open.Other > 0 {
			b.Logf("%d failed: %s", open.Other, open.Fault)
		}
		answered := float64(open.Answered) / open.Seconds
		for unit, v := range map[string]float64{
			"answered/s": answered,
			"x-capacity": answered / capacity,
			"refused/s":  float64(open.Refused) / open.Seconds,
			"unsent/s":   float64(open.Unsent) / open.Seconds,
			"failed/s":   float64(open.Other) / open.Seconds,
			"p50-ms":     open.P50,
			"p99-ms":     open.P99,
		} {
			all[unit] = append(all[unit], v)
		}
	}
	reportMedians(b, all)
}

func reportMedians(b *testing.B, all map[string][]float64) {
	for unit, v := range all {
		slices.Sort(v)
		b.ReportMetric((v[(len(v)-1)/2]+v[len(v)/2])/2, unit)
	}
	b.ReportMetric(0, "ns/op") // it would be the time of all rounds, which means nothing
}

// benchEngines have a new, empty database for each call.
var benchEngines = []struct {
	name     string
	database func(b *testing.B) string
}{
	{"sqlite", func(b *testing.B) string {
		return "sqlite:" + filepath.Join(b.TempDir(), "bench.db")
	}},
	{"postgres", func(b *testing.B) string { return postgrestest.Database(b) }},
}

// benchKind makes the requests of one kind.
type benchKind struct {
	name  string
	order func(to *target) order
}

var benchKinds = []benchKind{
	{"list", func(to *target) order {
		return order{Request: to.request("GET", "/clientes?limit=20", ""), Want: "200"}
	}},
	{"get", func(to *target) order {
		// All these ids have three digits.
		return order{Request: to.request("GET", "/clientes/{n}", ""), First: 100, Numbers: 900,
			Want: "200"}
	}},
	{"create", func(to *target) order {
		to.created += 1_000_000 // more than any order creates
		return order{Request: to.request("POST", "/clientes", benchCliente("{n}")),
			First: to.created, Numbers: 1_000_000, Want: "201"}
	}},
}

var forged = benchKind{"forged", func(to *target) order {
	with := *to
	with.headers = to.forged
	if to.floor {
		return order{Request: with.request("GET", "/", ""), Want: "200"}
	}
	return order{Request: with.request("GET", "/clientes/100", ""), Want: "401"}
}}

// benchCliente returns a customer whose email has a number in it.
func benchCliente(n string) string {
	return `{"name":"Ana Beatriz Conceição","email":"ana.` + n + `@example.com","phone":"+55 11 99999-0000","company":"Exemplo Ltda.","address":"Rua das Laranjeiras 100, São Paulo","notes":""}`
}

// rounds compares two servers.
type rounds struct {
	*load
	postgres int // the process that started all others of Postgres, or 0
}

// compare measures a server and another. The name is that of the other.
func (l *rounds) compare(b *testing.B, s, o *target, name string, k benchKind, connections int) {
	round := func(to *target, seconds float64) (r answers, cpu, database float64) {
		order := k.order(to)
		order.Connections, order.Seconds = connections, seconds
		cpuBefore, databaseBefore := cpuTime(to.pid), familyTime(l.postgres)
		r = l.send(b, to, order)
		cpu, database = cpuTime(to.pid)-cpuBefore, familyTime(l.postgres)-databaseBefore
		if r.Other > 0 || r.Refused > 0 {
			b.Fatalf("%d refused, %d failed: %s", r.Refused, r.Other, r.Fault)
		}
		n := float64(r.Answered)
		return r, cpu / n, database / n
	}
	round(s, roundSeconds/2) // opens the connections and warms up
	round(o, roundSeconds/2)
	all := make(map[string][]float64)
	add := func(unit string, v float64) { all[unit] = append(all[unit], v) }
	for i := 0; b.Loop(); i++ {
		var took [2]answers
		var cpu, database [2]float64
		for j := range 2 {
			which := (i + j) % 2 // who is first changes as well
			took[which], cpu[which], database[which] = round([]*target{s, o}[which], roundSeconds)
		}
		rate := func(r answers) float64 { return float64(r.Answered) / r.Seconds }
		add("req/s", rate(took[0]))
		add("x-"+name+"-rps", rate(took[0])/rate(took[1]))
		if cpu[1] > 0 {
			add("cpu-µs/req", cpu[0]*1e6)
			add("x-"+name+"-cpu", cpu[0]/cpu[1])
		}
		if database[1] > 1e-6 {
			add("x-"+name+"-pg-cpu", database[0]/database[1])
		}
	}
	reportMedians(b, all)
}

// load is the process that sends requests: testdata/load. The program declares order and answers
// under the same names.
type load struct {
	in  io.Writer
	out *bufio.Reader
}

type order struct {
	Addr        string  `json:"addr"`
	Connections int     `json:"connections"`
	Request     string  `json:"request"`
	First       int64   `json:"first"`
	Numbers     int64   `json:"numbers"`
	Want        string  `json:"want"`
	Seconds     float64 `json:"seconds"`
	Rate        float64 `json:"rate"`
}

type answers struct {
	Answered int64   `json:"answered"`
	Refused  int64   `json:"refused"`
	Unsent   int64   `json:"unsent"`
	Other    int64   `json:"other"`
	Fault    string  `json:"fault"`
	Seconds  float64 `json:"seconds"`
	P50      float64 `json:"p50"`
	P99      float64 `json:"p99"`
}

func startLoad(b *testing.B, folder string) *load {
	b.Helper()
	cmd := exec.Command(build(b, folder, "./testdata/load"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	authtest.Must(b, err)
	out, err := cmd.StdoutPipe()
	authtest.Must(b, err)
	startProcess(b, cmd)
	return &load{in, bufio.NewReader(out)}
}

// send has the load program do what an order says.
func (l *load) send(b *testing.B, to *target, o order) (r answers) {
	b.Helper()
	o.Addr = to.addr
	text, err := json.Marshal(o)
	authtest.Must(b, err)
	_, err = l.in.Write(append(text, '\n'))
	authtest.Must(b, err)
	text, err = l.out.ReadBytes('\n')
	authtest.Must(b, err)
	authtest.Must(b, json.Unmarshal(text, &r))
	if r.Answered == 0 {
		b.Fatalf("nothing was answered: %d refused, %d failed: %s", r.Refused, r.Other, r.Fault)
	}
	return r
}

// target is a server in a process of its own.
type target struct {
	addr    string
	pid     int
	floor   bool
	headers string
	forged  string // headers with a token that is refused
	created int64  // the number of the last customer that an order created
}

func (to *target) request(method, path, body string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n%s", method, path, to.addr, to.headers)
	if body != "" {
		length := len(strings.ReplaceAll(body, "{n}", strconv.FormatInt(to.created, 10)))
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", length)
	}
	b.WriteString("\r\n" + body)
	return b.String()
}

// cpuTime returns the seconds of processor time that a process has used, 0 where there is no
// schedstat in /proc, which counts nanoseconds of each thread.
func cpuTime(pid int) (seconds float64) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, name := range threads {
		text, _ := os.ReadFile(name)
		var ns float64
		_, _ = fmt.Sscan(string(text), &ns)
		seconds += ns / 1e9
	}
	return seconds
}

// familyTime returns the processor time of a process, of its children, and of those that ended.
func familyTime(pid int) (seconds float64) {
	if pid == 0 {
		return 0
	}
	names, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range names {
		stat, _ := os.ReadFile(name)
		// The fields after the command's name in brackets: the second is the parent.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 15 {
			continue // it has just ended
		}
		id, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		switch {
		case id == pid:
			// Fields 16 and 17 of proc(5) count the children that ended, in hundredths of a second.
			user, _ := strconv.Atoi(fields[13])
			system, _ := strconv.Atoi(fields[14])
			seconds += cpuTime(id) + float64(user+system)/100
		case fields[1] == strconv.Itoa(pid):
			seconds += cpuTime(id)
		}
	}
	return seconds
}

// postmaster returns the process that started all others of a Postgres on this machine, or 0.
func postmaster(b *testing.B, url string) (pid int) {
	b.Helper()
	if !strings.HasPrefix(url, "postgres") {
		return 0
	}
	conn, err := pgx.Connect(b.Context(), url)
	authtest.Must(b, err)
	defer conn.Close(b.Context())
	// A server elsewhere, or a user who may not read this, is no reason to fail.
	_ = conn.QueryRow(b.Context(),
		`SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)::int`).Scan(&pid)
	return pid
}

func build(b *testing.B, folder, pkg string) string {
	b.Helper()
	program := filepath.Join(folder, filepath.Base(pkg)+".bin")
	args := []string{"build", "-o", program}
	if pkg == "." { // as a release
		args = append(args, "-tags", "nomsgpack", "-pgo=release.pgo")
	}
	if out, err := exec.Command("go", append(args, pkg)...).CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return program
}

// prepare makes a database with a user and benchRecords customers in it, and returns the settings
// of a server on it.
func prepare(b *testing.B, program, url string) (env []string) {
	b.Helper()
	env = append(os.Environ(), "SECRET="+goodSecret, "DATABASE_URL="+url, "PORT=0", "TOKEN_TTL=1h",
		"SESSION_IDLE=1h", "LOG_FORMAT=json")
	var customers strings.Builder
	for i := range benchRecords {
		customers.WriteString(benchCliente(strconv.Itoa(firstNumber-1-i)) + "\n")
	}
	for _, c := range []struct {
		args  []string
		stdin string
	}{
		{[]string{"user", "add", "bench", "--role", "editor", "--password-stdin"}, goodPassword},
		{[]string{"import", "-", "--format", "ndjson"}, customers.String()},
	} {
		cmd := exec.Command(program, c.args...)
		cmd.Env, cmd.Dir, cmd.Stdin = env, b.TempDir(), strings.NewReader(c.stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
	return env
}

// firstNumber is in the email of the first customer that a round creates. Those before it have as
// many digits.
const firstNumber = 5_000_000_000

// startServer starts clientes on a new database with benchRecords customers in it. Its log goes to
// a file.
func startServer(b *testing.B, program, url string, settings ...string) *target {
	b.Helper()
	env := append(prepare(b, program, url), settings...)
	log, err := os.Create(filepath.Join(b.TempDir(), "log"))
	authtest.Must(b, err)
	b.Cleanup(func() { log.Close() })
	cmd := exec.Command(program, "serve")
	cmd.Env, cmd.Dir, cmd.Stderr = env, b.TempDir(), log
	startProcess(b, cmd)
	to := &target{addr: listening(b, log.Name()), pid: cmd.Process.Pid, created: firstNumber}

	resp, err := http.Post("http://"+to.addr+"/login", "application/json",
		strings.NewReader(`{"user":"bench","password":"`+goodPassword+`"}`))
	authtest.Must(b, err)
	defer resp.Body.Close()
	var login struct {
		Token string `json:"token"`
	}
	authtest.Must(b, json.UnmarshalRead(resp.Body, &login))
	if resp.StatusCode != http.StatusOK {
		b.Fatalf("login answered %d", resp.StatusCode)
	}
	to.headers = "x-access-token: " + login.Token + "\r\n"
	// The same token with the signature of another.
	signature := strings.LastIndexByte(login.Token, '.') + 1
	to.forged = "x-access-token: " + login.Token[:signature] +
		strings.Repeat("A", len(login.Token)-signature) + "\r\n"
	return to
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

// startFloor starts the floor on a new database with the same customers as that of a server. It is
// sent the same headers.
func startFloor(b *testing.B, clientes, program, url string, s *target) *target {
	b.Helper()
	prepare(b, clientes, url)
	cmd := exec.Command(program, url)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	authtest.Must(b, err)
	startProcess(b, cmd)
	addr, err := bufio.NewReader(out).ReadString('\n')
	authtest.Must(b, err)
	return &target{addr: strings.TrimSpace(addr), pid: cmd.Process.Pid, created: firstNumber,
		floor: true, headers: s.headers, forged: s.forged}
}

func startProcess(b *testing.B, cmd *exec.Cmd) {
	b.Helper()
	authtest.Must(b, cmd.Start())
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}
