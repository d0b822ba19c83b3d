package sqlite_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"clientes/store/sqlite"
	"clientes/store/storetest"
)

// BenchmarkScale takes minutes to fill a million records:
//
//	BENCH_ROWS=1000000 go test ./store/sqlite -run '^$' -bench Scale -benchtime 1000x -timeout 1h
//
// For reads that are faster than the disk use -bench 'Scale/(first|far|any|by_)' -benchtime 50000x,
// and a TMPDIR in memory. Otherwise the system may drop cached pages, and one read in a hundred
// waits for the disk.
func BenchmarkScale(b *testing.B) {
	rows := storetest.Rows(b)
	filled := func(rows int) *sqlite.Store {
		path := filepath.Join(b.TempDir(), "scale.db")
		s := openBenchAt(b, path, 0)
		start := time.Now()
		storetest.Fill(b, s, rows)
		b.Logf("%d rows in %s", rows, time.Since(start))
		// A machine for that many records has the memory for them.
		f, err := os.Open(path)
		if err == nil {
			_, err = io.Copy(io.Discard, f)
			f.Close()
		}
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	small, large := filled(storetest.SmallRows), filled(rows)
	storetest.BenchmarkScale(b, small, large, rows)
}
