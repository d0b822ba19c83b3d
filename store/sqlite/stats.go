package sqlite

import (
	"math/bits"
	"sync/atomic"
	"time"

	"clientes/store"
)

// poolCounts counts the calls that take a connection. A call that need not wait costs one of them.
type poolCounts struct {
	waiting, taken, waited, timeouts atomic.Int64 // waited in nanoseconds
}

// stats returns the numbers of a pool of which so many connections are free.
func (c *poolCounts) stats(name string, most, free int) store.PoolStats {
	return store.PoolStats{
		Name: name, Max: most, Used: most - free, Idle: free,
		Waiting: int(c.waiting.Load()), Taken: c.taken.Load(),
		Waited: time.Duration(c.waited.Load()), Timeouts: c.timeouts.Load(),
	}
}

// batchCounts counts commits by the number of writers that share them: counts[i] are those with
// more than 1<<(i-1) and at most 1<<i.
type batchCounts struct {
	writers atomic.Int64
	counts  [8]atomic.Int64
}

func (c *batchCounts) add(writers int) {
	c.writers.Add(int64(writers))
	c.counts[bits.Len(uint(writers-1))].Add(1)
}

// Stats implements [store.Store].
func (s *Store) Stats() store.Stats {
	batches := &store.BatchStats{Writers: s.batches.writers.Load()}
	for i := range s.batches.counts {
		batches.Commits += s.batches.counts[i].Load()
		batches.AtMost[i] = batches.Commits
	}
	readers := s.stats.readers.stats("readers", cap(s.readers), len(s.readers))
	s.reading.AddTo(&readers)
	writer := s.stats.writer.stats("writer", cap(s.writer), len(s.writer))
	s.writing.AddTo(&writer)
	deciding := s.stats.first.stats("deciding", cap(s.first), len(s.first))
	return store.Stats{Pools: []store.PoolStats{readers, deciding, writer}, Batches: batches}
}
