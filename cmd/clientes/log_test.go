package main

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"

	"clientes/auth/authtest"
	"clientes/cmd/clientes/config"
)

// countedLog is a log that counts the writes.
type countedLog struct {
	authtest.Log
	writes atomic.Int64
}

func (l *countedLog) Write(p []byte) (int, error) {
	l.writes.Add(1)
	return l.Log.Write(p)
}

// A line waits a moment for others. A warning and the end of the log do not.
func TestTheLogIsWrittenInBatches(t *testing.T) {
	var out countedLog
	p := &program{stderr: &out}
	log, flush := p.logger(config.Config{LogLevel: "info", LogFormat: "json"})
	lines := func() int { return strings.Count(out.String(), "\n") }
	log.Info("one")
	authtest.Eventually(t, "the line is written", func() bool { return lines() > 0 })
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
	writes := out.writes.Load()
	for range 2000 {
		log.Info(strings.Repeat("x", 100))
	}
	if lines() < 1000 {
		t.Errorf("of 2004 lines %d are written: the buffer has no bound", lines())
	}
	if n := out.writes.Load() - writes; n > 1000 {
		t.Errorf("2000 lines took %d writes", n)
	}
}

// Only on a terminal is the log text for people.
func TestLogFormat(t *testing.T) {
	for format, want := range map[string]string{
		"": `{"time":`, "json": `{"time":`, "text": "time=",
	} {
		var stderr bytes.Buffer
		p := &program{stderr: &stderr}
		log, _ := p.logger(config.Config{LogLevel: "warn", LogFormat: format})
		log.Info("too low")
		log.Warn("high enough")
		got := stderr.String()
		if !strings.HasPrefix(got, want) || strings.Contains(got, "too low") {
			t.Errorf("%q: %s", format, got)
		}
	}
}
