package store

import (
	"testing"
	"time"
)

func TestSteady(t *testing.T) {
	now, elapsed := time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC), time.Hour
	s := newSteady(
		func() time.Time { return now }, func() time.Duration { return elapsed })
	look := func(what string, jump time.Duration, want time.Duration) {
		t.Helper()
		now, elapsed = now.Add(time.Minute+jump), elapsed+time.Minute
		if got := s.For(); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
		step := jump
		if step == time.Second { // within the tolerance
			step = 0
		}
		if got := s.Step(); got != step {
			t.Errorf("%s: a step of %v, want %v", what, got, step)
		}
	}
	look("a minute", 0, time.Minute)
	look("another, a little fast", time.Second, 2*time.Minute)
	look("a jump ahead", 400*24*time.Hour, 0)
	look("it stays there", 0, time.Minute)
	look("it is corrected", -400*24*time.Hour, 0)
	look("a minute later", 0, time.Minute)
	look("a day back", -24*time.Hour, 0)
	for i := range 60 {
		look("an hour", 0, time.Duration(i+1)*time.Minute)
	}
}
