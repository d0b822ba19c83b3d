package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"clientes/auth/authtest"
)

// idleAfter is when a server that nobody uses has done all that belongs to its start.
const idleAfter = 2 * time.Second

// BenchmarkStart measures the start of the program on a migrated database: from the start of the
// process to the first answer, in turns with the floor (testdata/floor).
//
//	ms         of the program
//	x-floor    the same as a multiple of the floor's
//	rss-MB     resident memory of the idle server and its process that hashes (Linux only)
//	pss-MB     the same, with a page that processes share counted once
//	floor-MB   resident memory of the idle floor
func BenchmarkStart(b *testing.B) {
	folder := b.TempDir()
	program, floor := build(b, folder, "."), build(b, folder, "./testdata/floor")
	for _, e := range benchEngines {
		b.Run(e.name, func(b *testing.B) {
			url := e.database(b)
			env := append(os.Environ(), "SECRET="+goodSecret, "DATABASE_URL="+url)
			migrate := exec.Command(program, "migrate")
			migrate.Env, migrate.Dir = env, folder
			authtest.Must(b, migrate.Run())
			serve := func() *exec.Cmd {
				cmd := exec.Command(program, "serve")
				cmd.Env, cmd.Dir = env, folder
				return cmd
			}
			bare := func() *exec.Cmd { return exec.Command(floor, url) }
			var ours, floors time.Duration
			for b.Loop() {
				ours += firstAnswer(b, serve(), nil)
				floors += firstAnswer(b, bare(), nil)
			}
			b.ReportMetric(ours.Seconds()*1e3/float64(b.N), "ms")
			b.ReportMetric(ours.Seconds()/floors.Seconds(), "x-floor")
			b.ReportMetric(0, "ns/op") // it would be the time of two programs
			var idle, idleFloor memoryUse
			firstAnswer(b, serve(), &idle)
			firstAnswer(b, bare(), &idleFloor)
			if idle.rss > 0 {
				b.ReportMetric(idle.rss, "rss-MB")
				b.ReportMetric(idle.pss, "pss-MB")
				b.ReportMetric(idleFloor.rss, "floor-MB")
			}
		})
	}
}

// firstAnswer starts a program that serves and returns how long it took to answer. If idle is not
// nil, it waits and adds the memory of the program and of its children.
func firstAnswer(b *testing.B, cmd *exec.Cmd, idle *memoryUse) time.Duration {
	b.Helper()
	var addr string
	read := func() {} // the address, from a program that prints it
	if cmd.Env == nil {
		out, err := cmd.StdoutPipe()
		authtest.Must(b, err)
		read = func() {
			line, err := bufio.NewReader(out).ReadString('\n')
			authtest.Must(b, err)
			addr = strings.TrimSpace(line)
		}
	} else {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		authtest.Must(b, err)
		addr = l.Addr().String()
		authtest.Must(b, l.Close())
		_, port, _ := net.SplitHostPort(addr)
		cmd.Env = append(cmd.Env, "PORT="+port)
	}
	began := time.Now()
	authtest.Must(b, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	read()
	for {
		if conn, err := net.Dial("tcp", addr); err == nil {
			_, err = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", addr)
			authtest.Must(b, err)
			_, err = bufio.NewReader(conn).ReadString('\n')
			authtest.Must(b, err)
			conn.Close()
			break
		}
		if time.Since(began) > time.Minute {
			b.Fatal("it does not answer")
		}
		time.Sleep(500 * time.Microsecond)
	}
	took := time.Since(began)
	if idle != nil {
		time.Sleep(idleAfter)
		for _, pid := range append(children(b, cmd.Process.Pid), cmd.Process.Pid) {
			idle.add(pid)
		}
	}
	return took
}

// memoryUse is what processes use, in megabytes.
type memoryUse struct{ rss, pss float64 }

// add adds what Linux reports of a process.
func (m *memoryUse) add(pid int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid)) // or another system
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			continue
		}
		kb, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "Rss:":
			m.rss += kb / 1024
		case "Pss:":
			m.pss += kb / 1024
		}
	}
}
