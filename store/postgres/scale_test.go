package postgres_test

import (
	"testing"
	"time"

	"clientes/store/postgres"
	"clientes/store/postgres/postgrestest"
	"clientes/store/storetest"
)

// BenchmarkScale takes minutes to fill ten million records, and some 15 GB of disk:
//
//	BENCH_ROWS=10000000 go test ./store/postgres -run '^$' -bench Scale \
//		-benchtime 500x -timeout 3h
func BenchmarkScale(b *testing.B) {
	rows := storetest.Rows(b)
	// With fsync the files are on the disk and not in memory, where there is no room for them.
	cluster := postgrestest.Start(b, "fsync = on", "shared_buffers = 8GB",
		"maintenance_work_mem = 1GB", "max_wal_size = 16GB")
	filled := func(rows int) *postgres.Store {
		url := cluster.Database(b)
		if err := postgres.Migrate(b.Context(), url); err != nil {
			b.Fatal(err)
		}
		s := open(b, url)
		start := time.Now()
		storetest.Fill(b, s, rows)
		b.Logf("%d rows in %s", rows, time.Since(start))
		execute(b, url, "VACUUM ANALYZE")
		// A server for that many records has the memory for them.
		execute(b, url, "CREATE EXTENSION pg_prewarm")
		execute(b, url, `
			SELECT pg_prewarm(oid)
			FROM pg_class
			WHERE relname LIKE 'clientes%' AND relkind IN ('r', 'i')`)
		return s
	}
	small, large := filled(storetest.SmallRows), filled(rows)
	storetest.BenchmarkScale(b, small, large, rows)
}
