package postgres

import "clientes/store"

// Stats implements [store.Store]. A call that opens a connection waits for it.
func (s *Store) Stats() store.Stats {
	usual := s.usual.stats("usual")
	s.queue.AddTo(&usual)
	s.reading.addTo(&usual)
	s.writing.addTo(&usual)
	reads, writes := s.reading.sizes(), s.writing.commits.Stats()
	stats := store.Stats{
		Pools: []store.PoolStats{usual, s.deciding.stats("deciding")},
		Reads: &reads, Writes: &writes,
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
		Waiting: int(p.waiting.Load()), Taken: s.AcquireCount(),
		Waited: s.AcquireDuration(), Timeouts: p.timeouts.Load(),
	}
}
