package postgres

import "clientes/store"

// Stats implements [store.Store]. A call that opens a connection waits for it.
func (s *Store) Stats() store.Stats {
	writes := s.writing.commits.Stats()
	stats := store.Stats{
		Pools:  []store.PoolStats{s.usual.stats("usual"), s.deciding.stats("deciding")},
		Writes: &writes,
	}
	if s.clock != nil {
		stats.ClockSteps = s.clock.Steps()
	}
	return stats
}

func (p *pool) stats(name string) store.PoolStats {
	s := p.Stat()
	return store.PoolStats{
		Name: name,
		Max:  int(s.MaxConns()), Used: int(s.AcquiredConns()), Idle: int(s.IdleConns()),
		// More may try than may wait: those are refused at once.
		Waiting: int(min(p.waiting.Load(), maxWaiting)),
		Taken:   s.AcquireCount(), Waited: s.AcquireDuration(), Timeouts: p.timeouts.Load(),
	}
}
