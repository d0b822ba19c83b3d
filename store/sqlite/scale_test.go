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
// What is quicker than a read of the disk is measured best with -bench 'Scale/(first|far|any|by_)', -benchtime 50000x, and
// TMPDIR in memory: where the system takes back the pages that it has cached, a read in a hundred goes to the disk.
func BenchmarkScale(b *testing.B) {
	rows := storetest.Rows(b)
	open := func(rows int) *sqlite.Store {
		path := filepath.Join(b.TempDir(), "scale.db")
		s := openBenchAt(b, path, 0)
		start := time.Now()
		storetest.Fill(b, s, rows)
		b.Logf("%d rows in %s", rows, time.Since(start))
		// A machine for so many has the memory for them.
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
	small, large := open(10_000), open(rows)
	storetest.BenchmarkScale(b, small, large, rows)
}
