package sqlite_test

import (
	"testing"
	"time"

	"clientes/store/sqlite"
	"clientes/store/storetest"
)

// BenchmarkScale takes minutes to fill a million records:
//
//	BENCH_ROWS=1000000 go test ./store/sqlite -run '^$' -bench Scale -benchtime 300x -timeout 1h
func BenchmarkScale(b *testing.B) {
	rows := storetest.Rows(b)
	open := func(rows int) *sqlite.Store {
		s := openBench(b, 0)
		start := time.Now()
		storetest.Fill(b, s, rows)
		b.Logf("%d rows in %s", rows, time.Since(start))
		return s
	}
	small, large := open(10_000), open(rows)
	storetest.BenchmarkScale(b, small, large, rows)
}
