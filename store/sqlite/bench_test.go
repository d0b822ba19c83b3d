package sqlite_test

import (
	"path/filepath"
	"testing"

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
