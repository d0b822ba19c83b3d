package store

import (
	"testing"
	"time"
)

// TestClock reads a clock that steps, and checks when the steps are believed.
func TestClock(t *testing.T) {
	start := time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)
	var elapsed, off time.Duration // of the other clock
	c := newClock(start, func() time.Duration { return elapsed })
	pass := func(d time.Duration, want time.Duration) {
		t.Helper()
		for end := elapsed + d; elapsed < end; {
			elapsed += time.Second
			c.Read(start.Add(elapsed + off))
		}
		if got := c.Now().Sub(start.Add(elapsed)); got != want {
			t.Errorf("after %v with the other clock off by %v, the clock is off by %v, want %v",
				elapsed, off, got, want)
		}
	}
	pass(time.Minute, 0)
	off = 400 * 24 * time.Hour
	pass(66*time.Second, 0)
	off = 0
	pass(time.Hour, 0)
	off = -time.Hour
	pass(9*time.Minute, 0)
	off = time.Hour // another step: it has to last, too
	pass(9*time.Minute, 0)
	pass(2*time.Minute, time.Hour)
	off = 0
	pass(9*time.Minute, time.Hour)
	pass(2*time.Minute, 0)
	off = time.Second // within the tolerance
	pass(time.Second, time.Second)
	off = 0
	pass(time.Hour, time.Second) // it does not go back for so little
	if n := c.Steps(); n != 5 {
		t.Errorf("%d steps of the other clock were noticed, want 5", n)
	}
}
