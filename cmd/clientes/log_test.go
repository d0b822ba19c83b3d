package main

import (
	"strings"
	"testing"
	"time"
)

// TestTheLogIsWrittenInBatches holds that a line waits a moment for others, but never a warning, and never the end.
func TestTheLogIsWrittenInBatches(t *testing.T) {
	var out lockedOutput
	log, flush := (&program{stderr: &out}).logger(config{LogLevel: "info", LogFormat: "json"})
	lines := func() int { return strings.Count(out.String(), "\n") }
	log.Info("one")
	for deadline := time.Now().Add(time.Minute); lines() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the line was never written")
		}
	}
	log.Info("two")
	log.With("a", 1).WithGroup("b").Warn("three")
	if lines() != 3 {
		t.Errorf("after a warning there are %d lines", lines())
	}
	log.Info("four")
	flush()
	flush()
	if lines() != 4 {
		t.Errorf("at the end there are %d lines", lines())
	}
	writes := out.writes()
	for range 2000 {
		log.Info(strings.Repeat("x", 100))
	}
	if lines() < 1000 {
		t.Errorf("of 2004 lines %d are written: the buffer has no bound", lines())
	}
	if n := out.writes() - writes; n > 1000 {
		t.Errorf("2000 lines took %d writes", n)
	}
}
