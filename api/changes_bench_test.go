package api

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/store"
	"clientes/store/storetest"
)

// BenchmarkFollowers measures how long a change takes from its commit to each of many streams. It
// also measures what a stream costs, both of its ends together: memory, processor time for each
// change, and for each second in which nothing changes.
func BenchmarkFollowers(b *testing.B) {
	for _, e := range engines() {
		for _, n := range []int{1, 100, 1000} {
			b.Run(fmt.Sprintf("%s/%d", e.Name, n), func(b *testing.B) {
				f := newFixture(b, emptyStore(b, e))
				f.server.listeners.share = maxListeners
				before := memoryInUse()
				arrived := make(chan time.Time, n)
				var open sync.WaitGroup
				for range n {
					w := f.dial()
					w.in = bufio.NewReaderSize(w.Conn, 1<<10)
					w.begin(store.Viewer, "GET", "/clientes/changes",
						[]string{"Accept: " + mediaEvents}, "")
					open.Add(1)
					go readArrivals(w, open.Done, arrived)
				}
				open.Wait()
				perFollower := float64(memoryInUse()-before) / float64(n)
				const quiet = 2 * time.Second
				used := storetest.CPUTime("self")
				time.Sleep(quiet)
				idle := storetest.CPUTime("self") - used
				var took []time.Duration
				used = storetest.CPUTime("self")
				for b.Loop() {
					f.add(store.Cliente{Name: "Ana"})
					written := time.Now()
					for range n {
						took = append(took, (<-arrived).Sub(written))
					}
				}
				used = storetest.CPUTime("self") - used
				slices.Sort(took)
				ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
				b.ReportMetric(ms(took[len(took)/2]), "p50-ms")
				b.ReportMetric(ms(took[len(took)*99/100]), "p99-ms")
				b.ReportMetric(perFollower, "B/follower")
				b.ReportMetric(float64(used.Microseconds())/float64(len(took)), "cpu-µs/event")
				b.ReportMetric(float64(idle.Microseconds())/quiet.Seconds()/float64(n),
					"idle-cpu-µs/s")
			})
		}
	}
}

// readArrivals tells when each change arrives. It calls begun at the beginning of the stream.
func readArrivals(w *rawConn, begun func(), arrived chan<- time.Time) {
	for began := false; ; {
		line, err := w.in.ReadSlice('\n')
		switch text := string(line); {
		case err != nil && err != bufio.ErrBufferFull:
			return
		case !began && strings.HasPrefix(text, ": changes"):
			began = true
			begun()
		case strings.HasPrefix(text, "event: change"):
			arrived <- time.Now()
		}
	}
}

// unchecked returns the body of an answer, which it does not compare with openapi.yaml: that takes
// longer than the answer.
func (f *fixture) unchecked(path string) string {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), "GET", f.url+path, nil)
	authtest.Must(f.t, err)
	req.Header.Set("x-access-token", f.tokens[store.Viewer])
	resp, err := http.DefaultTransport.RoundTrip(req)
	authtest.Must(f.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	authtest.Must(f.t, err)
	if resp.StatusCode != http.StatusOK {
		f.t.Fatalf("answered %d %s", resp.StatusCode, body)
	}
	return string(body)
}

// memoryInUse returns the bytes of the heap and of stacks that are in use.
func memoryInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// BenchmarkReadChanges reads the feed from its beginning, BENCH_ROWS changes of it. The heap at a
// tenth of the way and at the end are the same if nothing is kept.
func BenchmarkReadChanges(b *testing.B) {
	rows, _ := strconv.Atoi(cmp.Or(os.Getenv("BENCH_ROWS"), "2000"))
	for _, e := range engines() {
		b.Run(e.Name, func(b *testing.B) {
			f := newFixture(b, emptyStore(b, e))
			_, err := f.store.ImportClientes(b.Context(), 0,
				func(yield func(store.Cliente, error) bool) {
					for i := range rows {
						c := store.Cliente{
							Name:  fmt.Sprint("Ana Souza ", i),
							Email: fmt.Sprintf("a%d@example.com", i),
							Phone: "+55 11 99999-0000", Address: "Rua das Flores 12, São Paulo",
						}
						if !yield(c, nil) {
							return
						}
					}
				})
			authtest.Must(b, err)
			f.tokens[store.Viewer] = f.loginAs("the-viewer", testPassword) // it took minutes
			var early, late int64
			for b.Loop() {
				cursor, read := "0", 0
				for more := true; more; {
					body := f.unchecked("/clientes/changes?limit=1000&since=" + cursor)
					read += strings.Count(body, `"action":`)
					_, rest, _ := strings.Cut(body[max(0, len(body)-100):], `"cursor":"`)
					cursor, rest, _ = strings.Cut(rest, `"`)
					more = strings.HasSuffix(rest, "true}\n")
					if read >= rows/10 && early == 0 {
						early = memoryInUse()
					}
				}
				if read != rows {
					b.Fatalf("%d changes of %d", read, rows)
				}
				late = memoryInUse()
			}
			perSecond := float64(rows) * float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(perSecond, "changes/s")
			b.ReportMetric(float64(early)/(1<<20), "MiB-at-10%")
			b.ReportMetric(float64(late)/(1<<20), "MiB-at-100%")
		})
	}
}
