package store

import "time"

// Steady watches a clock. Rows must not be removed by age while the clock may be wrong: what is
// deleted does not come back when the clock is right again. A [Clock] protects a process that runs.
// One that starts while the clock is wrong knows of no other time, so it waits. It is for one
// caller at a time.
type Steady struct {
	clock   func() time.Time
	elapsed func() time.Duration
	now, at time.Duration // what both showed at the last look
	since   time.Duration
	looked  bool
}

// NewSteady returns a Steady that begins to watch the clock now.
func NewSteady(clock func() time.Time) *Steady { return newSteady(clock, sinceBoot) }

func newSteady(clock func() time.Time, elapsed func() time.Duration) *Steady {
	s := &Steady{clock: clock, elapsed: elapsed}
	s.For()
	return s
}

// For returns for how long the clock has gone at the pace of the monotonic one. Call it often: only
// from one call to the next does it notice a step.
func (s *Steady) For() time.Duration {
	now, at := time.Duration(s.clock().UnixMilli())*time.Millisecond, s.elapsed()
	if step := (now - s.now) - (at - s.at); !s.looked || step.Abs() > stepTolerance {
		s.since, s.looked = at, true
	}
	s.now, s.at = now, at
	return at - s.since
}
