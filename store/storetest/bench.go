package storetest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clientes/store"
)

// BenchRows is how many records the benchmarks of reads need: see [FillBench].
const BenchRows = 20_000

// FillBench creates that many records, from many goroutines.
func FillBench(b *testing.B, st store.Store, rows int) {
	b.Helper()
	ctx := store.WithRank(b.Context(), store.Insisting)
	var workers sync.WaitGroup
	for w := range 64 {
		workers.Go(func() {
			for i := w; i < rows; i += 64 {
				if _, err := st.CreateCliente(ctx, 0, benchCliente(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
}

func benchCliente(i int) store.Cliente {
	return store.Cliente{
		Name:    fmt.Sprintf("Cliente número %d", i),
		Email:   fmt.Sprintf("cliente%d@example.com", i),
		Phone:   "+55 11 99999-0000",
		Company: "Padaria Central",
		Address: "Rua das Laranjeiras, 100, São Paulo",
	}
}

// BenchCliente measures a read of one of [BenchRows] records.
func BenchCliente(b *testing.B, st store.Store) {
	b.ReportAllocs()
	id := int64(0)
	for b.Loop() {
		id = id%BenchRows + 1
		if _, err := st.Cliente(b.Context(), id); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchClienteParallel is [BenchCliente] on every processor.
func BenchClienteParallel(b *testing.B, st store.Store) {
	b.ReportAllocs()
	b.ResetTimer() // unlike Loop, RunParallel counts what came before
	b.RunParallel(func(pb *testing.PB) {
		for id := int64(0); pb.Next(); {
			id = id%BenchRows + 1
			if _, err := st.Cliente(b.Context(), id); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchClientes20 measures a page of 20, at the beginning and at the end of [BenchRows] records.
func BenchClientes20(b *testing.B, st store.Store) {
	for _, page := range []struct {
		name  string
		after int64
	}{{"first", 0}, {"far", BenchRows - 40}} {
		b.Run(page.name, func(b *testing.B) {
			b.ReportAllocs()
			after := store.Position{ID: page.after}
			for b.Loop() {
				got, err := st.Clientes(b.Context(), store.Selection{}, after, 20)
				if err != nil || len(got) != 20 {
					b.Fatal(len(got), err)
				}
			}
		})
	}
}

// BenchCreateCliente measures creates, one after the other.
func BenchCreateCliente(b *testing.B, st store.Store) {
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		if _, err := st.CreateCliente(b.Context(), 0, benchCliente(i)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchCreateAtOnce measures creates of at least n callers at once.
func BenchCreateAtOnce(b *testing.B, st store.Store, n int) {
	b.ReportAllocs()
	var last atomic.Int64
	b.ResetTimer()
	b.SetParallelism(max(1, n/runtime.GOMAXPROCS(0))) // times the processors
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c := benchCliente(int(last.Add(1)))
			if _, err := st.CreateCliente(b.Context(), 0, c); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchUpdateCliente measures updates of one record, one after the other.
func BenchUpdateCliente(b *testing.B, st store.Store) {
	b.ReportAllocs()
	for b.Loop() {
		_, err := st.UpdateCliente(b.Context(), 0, 1, func(c store.Cliente) (store.Cliente, error) {
			c.Notes = fmt.Sprint(c.Version)
			return c, nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchTogether compares two ways to make the same call, with that many callers at once. The two
// take turns, so any other load on the machine slows both. Each call gets a number of its own.
//
// It reports the time a call takes in each way in microseconds, and the first as a multiple of the
// second ("times"). It reports the same of the CPU time of processes where the system tells it.
func BenchTogether(b *testing.B, callers int, processes func() []string,
	alone, together func(i int) error) {
	const rounds = 8 // of each caller in a turn
	next, turns := 0, 0
	type cost struct{ time, cpu time.Duration }
	turn := func(sum *cost, do func(i int) error) {
		var running sync.WaitGroup
		begun, used := time.Now(), CPUTime(processes()...)
		for range callers {
			from := next
			next += rounds
			running.Go(func() {
				for i := range rounds {
					if err := do(from + i); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		running.Wait()
		sum.time += time.Since(begun)
		sum.cpu += CPUTime(processes()...) - used
	}
	var first, second cost
	for b.Loop() {
		turn(&first, alone)
		turn(&second, together)
		turns++
	}
	each := func(d time.Duration) float64 {
		return float64(d.Microseconds()) / float64(turns*callers*rounds)
	}
	b.ReportMetric(each(first.time), "µs/alone")
	b.ReportMetric(each(second.time), "µs/together")
	b.ReportMetric(first.time.Seconds()/second.time.Seconds(), "times")
	if second.cpu > 0 {
		b.ReportMetric(each(first.cpu), "cpu-µs/alone")
		b.ReportMetric(each(second.cpu), "cpu-µs/together")
		b.ReportMetric(first.cpu.Seconds()/second.cpu.Seconds(), "cpu-times")
	}
	b.ReportMetric(0, "ns/op")
}

// CPUTime returns the CPU time so far of the threads of processes. It is 0 where the system does
// not tell.
func CPUTime(processes ...string) (sum time.Duration) {
	for _, process := range processes {
		threads, _ := filepath.Glob("/proc/" + process + "/task/*/schedstat")
		for _, thread := range threads {
			stat, _ := os.ReadFile(thread)
			first, _, _ := strings.Cut(string(stat), " ")
			n, _ := strconv.Atoi(first)
			sum += time.Duration(n)
		}
	}
	return sum
}
