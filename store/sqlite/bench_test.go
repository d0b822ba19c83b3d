package sqlite_test

import (
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"clientes/store"
	"clientes/store/sqlite"
)

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
	s, err := sqlite.Open(b.Context(), url, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })

	var workers sync.WaitGroup
	for w := range 64 {
		workers.Go(func() {
			for i := w; i < rows; i += 64 {
				if _, err := s.CreateCliente(b.Context(), 0, benchCliente(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
	return s
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

const benchRows = 20_000

func BenchmarkCliente(b *testing.B) {
	s := openBench(b, benchRows)
	b.ReportAllocs()
	id := int64(0)
	for b.Loop() {
		id = id%benchRows + 1
		if _, err := s.Cliente(b.Context(), id); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkClienteParallel(b *testing.B) {
	s := openBench(b, benchRows)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for id := int64(0); pb.Next(); {
			id = id%benchRows + 1
			if _, err := s.Cliente(b.Context(), id); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkClientes20(b *testing.B) {
	s := openBench(b, benchRows)
	for _, page := range []struct {
		name  string
		after int64
	}{{"first", 0}, {"far", benchRows - 40}} {
		b.Run(page.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got, err := s.Clientes(b.Context(), store.Selection{},
					store.Position{ID: page.after}, 20); err != nil || len(got) != 20 {
					b.Fatal(len(got), err)
				}
			}
		})
	}
}

func BenchmarkCreateCliente(b *testing.B) {
	s := openBench(b, 0)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		if _, err := s.CreateCliente(b.Context(), 0, benchCliente(i)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCreateCliente64AtOnce(b *testing.B) {
	s := openBench(b, 0)
	b.ReportAllocs()
	var next struct {
		sync.Mutex
		i int
	}
	b.ResetTimer()
	b.SetParallelism(max(1, 64/runtime.GOMAXPROCS(0))) // times the processors
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			next.Lock()
			next.i++
			i := next.i
			next.Unlock()
			if _, err := s.CreateCliente(b.Context(), 0, benchCliente(i)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
