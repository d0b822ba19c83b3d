package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"clientes/auth/authtest"
	"clientes/store/postgres/postgrestest"
)

// BenchmarkLoginFlood gets one customer after the other while it is quiet, and then while 32
// clients log in with wrong passwords. Each login has another name and comes from another network,
// so that nothing but the gate holds them back. Run it by hand, with -benchtime=1x:
//
//	quiet-p99-µs, flood-p99-µs  how long GET /clientes/{id} takes at most in 99 of 100 cases
//	x-quiet                     the one as a multiple of the other
//	x-hash-limit                logins a second, as a part of what their processors could hash
//	peak-MB                     the most memory that server and hasher ever held (Linux only)
func BenchmarkLoginFlood(b *testing.B) {
	folder := b.TempDir()
	program := build(b, folder, ".")
	b.Setenv("TRUSTED_PROXIES", "127.0.0.0/8")
	var took []time.Duration
	for range 20 {
		start := time.Now()
		argon2.IDKey([]byte("wrong"), make([]byte, 16), 2, 19*1024, 1, 32)
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	limit := float64(max(1, runtime.GOMAXPROCS(0)-1)) / took[len(took)/2].Seconds()
	for _, e := range []struct{ name, url string }{
		{"sqlite", "sqlite:" + filepath.Join(folder, "flood.db")},
		{"postgres", postgrestest.Database(b)},
	} {
		b.Run(e.name, func(b *testing.B) {
			s := startServer(b, program, e.url)
			for b.Loop() {
				s.p99(b, time.Second) // warms up
				quiet := s.p99(b, 3*time.Second)
				stop := s.flood(b)
				s.p99(b, time.Second)
				before, start := stop.answered.Load(), time.Now()
				flooded := s.p99(b, 5*time.Second)
				logins := float64(stop.answered.Load()-before) / time.Since(start).Seconds()
				stop.end()
				b.ReportMetric(float64(quiet.Microseconds()), "quiet-p99-µs")
				b.ReportMetric(float64(flooded.Microseconds()), "flood-p99-µs")
				b.ReportMetric(float64(flooded)/float64(quiet), "x-quiet")
				b.ReportMetric(logins, "logins/s")
				b.ReportMetric(logins/limit, "x-hash-limit")
				if peak := peakMemory(b, s.pid); peak > 0 {
					b.ReportMetric(peak, "peak-MB")
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// p99 gets customers for a while and returns the time that 99 of 100 responses took at most.
func (to *target) p99(b *testing.B, during time.Duration) time.Duration {
	b.Helper()
	c, err := net.Dial("tcp", to.addr)
	authtest.Must(b, err)
	defer c.Close()
	r := bufio.NewReader(c)
	var took []time.Duration
	for end := time.Now().Add(during); time.Now().Before(end); {
		req := to.request("GET", "/clientes/"+strconv.Itoa(1+len(took)%benchRecords), "")
		start := time.Now()
		if _, err := io.WriteString(c, req); err != nil {
			b.Fatal(err)
		}
		if err := readAnswer(r); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
		time.Sleep(time.Millisecond) // a page of customers now and then, not a flood of its own
	}
	slices.Sort(took)
	return took[len(took)*99/100]
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

// flood is 32 clients with wrong passwords.
type flood struct {
	answered atomic.Int64
	ended    atomic.Bool
	clients  sync.WaitGroup
}

func (f *flood) end() {
	f.ended.Store(true)
	f.clients.Wait()
}

func (to *target) flood(b *testing.B) *flood {
	f := new(flood)
	var n atomic.Int64
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	for range 32 {
		f.clients.Go(func() {
			for !f.ended.Load() {
				i := n.Add(1)
				req, _ := http.NewRequest("POST", "http://"+to.addr+"/login",
					strings.NewReader(fmt.Sprintf(`{"user":"user%d","password":"wrong"}`, i)))
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("X-Forwarded-For",
					fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255))
				resp, err := client.Do(req)
				if err != nil {
					b.Error(err)
					return
				}
				resp.Body.Close()
				if resp.StatusCode == http.StatusUnauthorized {
					f.answered.Add(1)
				}
			}
		})
	}
	return f
}
