package store

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Stats are what a store counts while it is open. Counts begin at its start and only grow.
type Stats struct {
	Pools []PoolStats // always the same ones, in the same order

	// Writes are the commits that writers can share and that changed something, and their writers.
	// It is nil if no writers share a commit in this engine.
	Writes *BatchStats

	// Reads are the reads, and the calls that shared them. It is nil if no calls share a read in
	// this engine.
	Reads *BatchStats

	// ClockSteps is how often the clock of a database server was set, as [Clock] has noticed.
	// An engine that goes by the clock of this machine has no other one.
	ClockSteps int64
}

// PoolStats is how a pool of connections is used.
type PoolStats struct {
	Name       string
	Max        int // how many connections it may have
	Used, Idle int
	Waiting    int           // calls that wait for a connection, or for one of the [Lanes]
	Taken      int64         // calls that got one
	Waited     time.Duration // by those in all
	Timeouts   int64         // calls that got none in time
	Refused    int64         // calls that a [Queue] or [Lanes] refused with [ErrOverloaded]
}

// BatchStats is how many calls have shared a trip to the database.
type BatchStats struct {
	Batches, Calls int64

	// AtMost are the batches by the number of their calls: AtMost[i] of them had at most 1<<i.
	AtMost [8]int64
}

// Add returns the numbers of both together.
func (b BatchStats) Add(more BatchStats) BatchStats {
	b.Batches += more.Batches
	b.Calls += more.Calls
	for i, n := range more.AtMost {
		b.AtMost[i] += n
	}
	return b
}

// BatchCounts counts batches by the number of their calls. It is safe for concurrent use.
type BatchCounts struct {
	calls  atomic.Int64
	counts [8]atomic.Int64 // counts[i] are those with more than 1<<(i-1) calls and at most 1<<i
}

// Add counts a batch of 1 to 128 calls.
func (c *BatchCounts) Add(calls int) {
	c.calls.Add(int64(calls))
	c.counts[bits.Len(uint(calls-1))].Add(1)
}

// Stats returns the numbers so far.
func (c *BatchCounts) Stats() BatchStats {
	b := BatchStats{Calls: c.calls.Load()}
	for i := range c.counts {
		b.Batches += c.counts[i].Load()
		b.AtMost[i] = b.Batches
	}
	return b
}
