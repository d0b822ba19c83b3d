package sqlite_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"clientes/store"
	"clientes/store/sqlite"
	"clientes/store/storetest"
)

// openBench opens a new store with that many records.
func openBench(b *testing.B, rows int) *sqlite.Store {
	b.Helper()
	return openBenchAt(b, filepath.Join(b.TempDir(), "bench.db"), rows)
}

func openBenchAt(b *testing.B, path string, rows int) *sqlite.Store {
	b.Helper()
	url := "sqlite:" + path
	if err := sqlite.Migrate(b.Context(), url); err != nil {
		b.Fatal(err)
	}
	s, err := sqlite.Open(b.Context(), url, store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	storetest.FillBench(b, s, rows)
	return s
}

func BenchmarkCliente(b *testing.B) {
	storetest.BenchCliente(b, openBench(b, storetest.BenchRows))
}

func BenchmarkClienteParallel(b *testing.B) {
	storetest.BenchClienteParallel(b, openBench(b, storetest.BenchRows))
}

func BenchmarkClientes20(b *testing.B) {
	storetest.BenchClientes20(b, openBench(b, storetest.BenchRows))
}

func BenchmarkCreateCliente(b *testing.B) {
	storetest.BenchCreateCliente(b, openBench(b, 0))
}

func BenchmarkCreateCliente64AtOnce(b *testing.B) {
	storetest.BenchCreateAtOnce(b, openBench(b, 0), 64)
}

func BenchmarkUpdateCliente(b *testing.B) {
	storetest.BenchUpdateCliente(b, openBench(b, 1))
}

// BenchmarkCreateBesideAnErasure measures creates while the file is cleared of an erased customer,
// and without that. BENCH_ROWS says how many customers there are. max-ms/beside is how long the
// clearing kept a writer waiting at most.
func BenchmarkCreateBesideAnErasure(b *testing.B) {
	s := openBench(b, 0)
	storetest.Fill(b, s, storetest.Rows(b))
	create := func() time.Duration {
		began := time.Now()
		if _, err := s.CreateCliente(b.Context(), 0, store.Cliente{Name: "Ana"}); err != nil {
			b.Error(err)
		}
		return time.Since(began)
	}
	var alone, beside []time.Duration
	for id := int64(1); b.Loop(); id++ {
		if err := s.EraseCliente(b.Context(), 0, id, anyway); err != nil {
			b.Fatal(err)
		}
		cleared := make(chan error, 1)
		go func() {
			_, err := s.EraseAgain(b.Context(), 1)
			cleared <- err
		}()
		for before := len(beside); ; {
			beside = append(beside, create())
			select {
			case err := <-cleared:
				if err != nil {
					b.Fatal(err)
				}
			default:
				continue
			}
			for range len(beside) - before {
				alone = append(alone, create())
			}
			break
		}
	}
	for name, took := range map[string][]time.Duration{"alone": alone, "beside": beside} {
		slices.Sort(took)
		ms := func(i int) float64 { return float64(took[i].Microseconds()) / 1000 }
		b.ReportMetric(ms(len(took)/2), "p50-ms/"+name)
		b.ReportMetric(ms(len(took)*99/100), "p99-ms/"+name)
		b.ReportMetric(ms(len(took)-1), "max-ms/"+name)
	}
}
