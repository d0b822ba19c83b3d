package store

import (
	"sync"
	"time"
)

const (
	// stepTolerance is how far a reading may be off before it counts as a step. Slewing clocks and
	// slow networks stay below it.
	stepTolerance = 2 * time.Second

	// believeStepAfter is how long a step must last before a [Clock] follows it. A clock that is
	// wrong for a minute must not make a day's worth of rows old. A machine that starts without a
	// battery-backed clock gets the right time soon after.
	believeStepAfter = 10 * time.Minute
)

// Clock is the time that an engine writes and compares. It reads another clock that may be set at
// any moment, and goes on at the pace of the monotonic clock when that one steps. It follows a step
// only after the other clock has kept it for ten minutes. So a clock that is wrong for a moment
// makes nothing expire, and brings nothing back. It is safe for concurrent use.
type Clock struct {
	elapsed func() time.Duration // monotonic, and counts the time that the machine sleeps

	mu      sync.Mutex
	base    time.Time // the time when elapsed was at
	at      time.Duration
	step    time.Duration // how far the other clock is off, 0 if it is not
	stepped time.Duration // since when
	steps   int64
}

// NewClock returns a Clock that shows now.
func NewClock(now time.Time) *Clock { return newClock(now, sinceBoot) }

func newClock(now time.Time, elapsed func() time.Duration) *Clock {
	return &Clock{elapsed: elapsed, base: now, at: elapsed()}
}

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now(c.elapsed())
}

func (c *Clock) now(elapsed time.Duration) time.Time { return c.base.Add(elapsed - c.at) }

// Steps returns how often the other clock was set, forward or back, as far as Read has noticed.
func (c *Clock) Steps() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.steps
}

// Read tells the Clock what the other clock shows now, and returns the time.
func (c *Clock) Read(other time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	elapsed := c.elapsed()
	step := other.Round(0).Sub(c.now(elapsed).Round(0))
	switch off := step.Abs() > stepTolerance; {
	case off && (step-c.step).Abs() > stepTolerance:
		c.step, c.stepped = step, elapsed
		c.steps++
	case !off && c.step != 0: // it was set right
		c.steps++
	}
	switch {
	case step.Abs() <= stepTolerance && step > 0, // the other clock runs faster
		step.Abs() > stepTolerance && elapsed-c.stepped >= believeStepAfter:
		c.base, c.at, c.step = other, elapsed, 0
	case step.Abs() <= stepTolerance:
		c.step = 0
	}
	return c.now(elapsed)
}
