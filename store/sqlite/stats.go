package sqlite

import (
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

// Stats implements [store.Store].
func (s *Store) Stats() store.Stats {
	readers := s.stats.readers.stats("readers", cap(s.readers), len(s.readers))
	s.readQueue.AddTo(&readers)
	deciding := s.stats.deciding.stats("deciding", cap(s.deciding), len(s.deciding))
	writer := s.stats.writer.stats("writer", cap(s.writer), len(s.writer))
	s.writeQueue.AddTo(&writer)
	writes := s.commits.Stats()
	return store.Stats{Pools: []store.PoolStats{readers, deciding, writer}, Writes: &writes}
}
