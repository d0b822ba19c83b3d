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
	step    time.Duration // at the last look, 0 if there was none
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
	s.step = (now - s.now) - (at - s.at)
	if !s.looked || s.step.Abs() <= stepTolerance {
		s.step = 0
	}
	if !s.looked || s.step != 0 {
		s.since, s.looked = at, true
	}
	s.now, s.at = now, at
	return at - s.since
}

// Step returns by how much the clock was set between the last two calls of For, or 0.
func (s *Steady) Step() time.Duration { return s.step }
