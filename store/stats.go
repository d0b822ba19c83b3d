package store

import "time"

// Stats are what a store counts while it is open. Counts begin at its start and only grow.
type Stats struct {
	Pools []PoolStats // always the same ones, in the same order

	// Batches is nil if no writers share a commit in this engine.
	Batches *BatchStats

	// ClockSteps is how often the clock of a database server was set, as [Clock] has noticed.
	// An engine that goes by the clock of this machine has no other one.
	ClockSteps int64
}

// PoolStats is how a pool of connections is used.
type PoolStats struct {
	Name       string
	Max        int // how many connections it may have
	Used, Idle int
	Waiting    int           // calls that wait for a connection
	Taken      int64         // calls that got one
	Waited     time.Duration // by those in all
	Timeouts   int64         // calls that got none in time
	Refused    int64         // calls that ended in [ErrOverloaded], since too many waited
}

// BatchStats is how many writers have shared the commits that changed something.
type BatchStats struct {
	Commits, Writers int64

	// AtMost are the commits by the number of their writers: AtMost[i] of them had at most 1<<i.
	AtMost [8]int64
}
