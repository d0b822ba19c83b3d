package postgres_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clientes/store"
	"clientes/store/postgres"
	"clientes/store/postgres/postgrestest"
)

// openBench opens a store with so many records. Its server syncs every commit to the disk, as one in use
// does.
func openBench(b *testing.B, rows int) *postgres.Store {
	b.Helper()
	url := postgrestest.Start(b, "fsync = on", "full_page_writes = on").URL
	if err := postgres.Migrate(b.Context(), url); err != nil {
		b.Fatal(err)
	}
	s, err := postgres.Open(b.Context(), url, time.Now)
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
	b.ResetTimer() // unlike Loop, RunParallel counts what came before
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

func BenchmarkCreateCliente16AtOnce(b *testing.B) {
	s := openBench(b, 0)
	b.ReportAllocs()
	var last atomic.Int64
	var workers sync.WaitGroup
	work := make(chan struct{})
	for range 16 {
		workers.Go(func() {
			for range work {
				if _, err := s.CreateCliente(b.Context(), 0,
					benchCliente(int(last.Add(1)))); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	workers.Wait()
}

func BenchmarkUpdateCliente(b *testing.B) {
	s := openBench(b, 1)
	b.ReportAllocs()
	for b.Loop() {
		_, err := s.UpdateCliente(b.Context(), 0, 1, func(c store.Cliente) (store.Cliente, error) {
			c.Notes = fmt.Sprint(c.Version)
			return c, nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
