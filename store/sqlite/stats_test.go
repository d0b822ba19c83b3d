package sqlite

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// poolNamed returns the numbers of a pool.
func (s *Store) poolNamed(t *testing.T, name string) store.PoolStats {
	t.Helper()
	for _, p := range s.Stats().Pools {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("there is no pool %s", name)
	return store.PoolStats{}
}

// Each call that waits is counted while it waits, and its time when it gets a connection.
func TestPoolsCountThoseWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		free := make(chan int, 1)
		var c poolCounts
		want := func(what string, waiting, taken int64, waited time.Duration, timeouts int64) {
			t.Helper()
			synctest.Wait()
			got := c.stats("x", 1, len(free))
			if int64(got.Waiting) != waiting || got.Taken != taken || got.Waited != waited ||
				got.Timeouts != timeouts {
				t.Errorf("%s: %+v", what, got)
			}
		}
		free <- 1
		if _, err := take(t.Context(), time.Minute, free, &c); err != nil {
			t.Fatal(err)
		}
		want("the first takes it", 0, 1, 0, 0)
		var second, third sync.WaitGroup
		second.Go(func() {
			if _, err := take(t.Context(), time.Minute, free, &c); err != nil {
				t.Error(err)
			}
		})
		want("the second waits", 1, 1, 0, 0)
		time.Sleep(3 * time.Second)
		free <- 1
		second.Wait()
		want("it has waited", 0, 2, 3*time.Second, 0)
		third.Go(func() {
			if _, err := take(t.Context(), time.Minute, free, &c); !errors.Is(err, errNoneFree) {
				t.Error(err)
			}
		})
		third.Wait()
		want("the third gets none in time", 0, 2, 3*time.Second, 1)
	})
}

// The pools of a store are those that its calls use.
func TestStatsOfEachPool(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	w, reader, deciding := <-s.writer, <-s.readers, <-s.deciding
	for name, want := range map[string]int{
		"writer": 0, "deciding": 0, "readers": cap(s.readers) - 1,
	} {
		if p := s.poolNamed(t, name); p.Used != 1 || p.Idle != want || p.Max != want+1 {
			t.Errorf("%+v", p)
		}
	}
	s.deciding <- deciding
	s.readers <- reader
	s.writer <- w
	taken := func(name string) int64 { return s.poolNamed(t, name).Taken }
	for _, one := range []struct {
		pool string
		call func() error
	}{
		{"writer", func() error {
			return do(t.Context(), s, func(conn *sqlite.Conn) error { return insert(conn, "x") })
		}},
		{"readers", func() error { // what the writer has written
			_, err := s.Cliente(t.Context(), 1)
			return err
		}},
		{"deciding", func() error {
			_, err := s.SessionEnds(t.Context(), "", nil)
			return err
		}},
	} {
		before := taken(one.pool)
		if err := one.call(); err != nil {
			t.Fatal(err)
		}
		if n := taken(one.pool) - before; n != 1 {
			t.Errorf("%s: %d were taken", one.pool, n)
		}
	}
}

// Commits are counted by how many share them, and those that fail are not.
func TestBatchesAreCountedByTheirWriters(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	share := func(writers int, write func(conn *sqlite.Conn) error) {
		t.Helper()
		w := <-s.writer
		for range writers {
			if _, err := w.begin(t.Context(), time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			if err := write(w.conn); err != nil {
				t.Fatal(err)
			}
		}
		w.commit()
		s.writer <- w
	}
	x := func(conn *sqlite.Conn) error { return insert(conn, "x") }
	for _, writers := range []int{1, 2, 3, 3, maxBatch} {
		share(writers, x)
	}
	share(5, func(conn *sqlite.Conn) error { return nil }) // changes nothing
	onWriter(t, s,
		`CREATE TABLE parent (id INTEGER PRIMARY KEY)`,
		`CREATE TABLE child (parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)`)
	share(6, func(conn *sqlite.Conn) error { // the commit fails
		return exec(conn, `INSERT INTO child (parent) VALUES (1)`)
	})
	want := store.BatchStats{
		Batches: 5, Calls: 1 + 2 + 3 + 3 + maxBatch, AtMost: [8]int64{1, 2, 4, 4, 4, 4, 4, 5},
	}
	if got := s.Stats().Writes; *got != want {
		t.Errorf("got %+v, want %+v", *got, want)
	}
	_, err := writeAlone(t.Context(), s, func(conn *sqlite.Conn) (int, error) { return 0, x(conn) })
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Stats().Writes; got.Batches != 6 || got.AtMost[0] != 2 {
		t.Errorf("after one that shares with nobody: %+v", got)
	}
}
