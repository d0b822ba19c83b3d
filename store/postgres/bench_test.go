package postgres_test

import (
	"testing"

	"clientes/store/postgres"
	"clientes/store/postgres/postgrestest"
	"clientes/store/storetest"
)

// openBench opens a new store with that many records. Its server syncs every commit to the disk, as
// one in production does.
func openBench(b *testing.B, rows int) *postgres.Store {
	b.Helper()
	url := postgrestest.Start(b, "fsync = on", "full_page_writes = on").URL
	if err := postgres.Migrate(b.Context(), url); err != nil {
		b.Fatal(err)
	}
	s := open(b, url)
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

func BenchmarkCreateCliente16AtOnce(b *testing.B) {
	storetest.BenchCreateAtOnce(b, openBench(b, 0), 16)
}

func BenchmarkUpdateCliente(b *testing.B) {
	storetest.BenchUpdateCliente(b, openBench(b, 1))
}
