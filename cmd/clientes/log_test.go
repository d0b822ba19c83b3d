package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

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

// stopTimer leaves only what does not wait for the timer.
func stopTimer(b *logBuffer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timer = time.AfterFunc(time.Hour, func() {})
}

func (l *countedLog) lines() int { return strings.Count(l.String(), "\n") }

// A line waits a moment for others. A warning and the end of the log do not.
func TestTheLogIsWrittenInBatches(t *testing.T) {
	var out countedLog
	p := &program{stderr: &out}
	p.bufferStderr()
	log := p.logger(config.Config{LogLevel: "info", LogFormat: "json"})
	log.Info("one")
	authtest.Eventually(t, "the line is written", func() bool { return out.lines() == 1 })
	stopTimer(p.buffer)
	log.Info("two")
	log.With("a", 1).WithGroup("b").Warn("three")
	authtest.Eventually(t, "the warning is written", func() bool { return out.lines() == 3 })
	writes := out.writes.Load()
	for range 2000 {
		log.Info(strings.Repeat("x", 100))
	}
	authtest.Eventually(t, "most are written", func() bool { return out.lines() > 1000 })
	log.Info("the last one")
	p.endStderr()
	if n := out.lines(); n != 2004 {
		t.Errorf("at the end there are %d lines", n)
	}
	if n := out.writes.Load() - writes; n > 1000 {
		t.Errorf("2000 lines took %d writes", n)
	}
}

// stuckLog is a log whose writes wait, as those to a pipe do that nobody reads.
type stuckLog struct {
	countedLog
	begun, release chan struct{}
}

func (l *stuckLog) Write(p []byte) (int, error) {
	l.begun <- struct{}{}
	<-l.release
	return l.countedLog.Write(p)
}

// While nobody reads the log, nobody waits for it. What had no room is counted in its place.
func TestALogThatNobodyReads(t *testing.T) {
	out := &stuckLog{begun: make(chan struct{}, 1000), release: make(chan struct{})}
	p := &program{stderr: out}
	p.bufferStderr()
	log := p.logger(config.Config{LogLevel: "info", LogFormat: "json"})
	log.Warn("first")
	<-out.begun
	const lines = 30_000
	for n := range lines {
		log.Info("line", "n", n)
	}
	p.endStderr() // it returns, or this test never ends
	close(out.release)
	<-p.buffer.done
	written := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	last := written[len(written)-1]
	number := regexp.MustCompile(
		`"msg":"log lines were dropped.*"lines":(\d+),"since":"2`).FindStringSubmatch(last)
	if number == nil {
		t.Fatalf("the last line is %s", last)
	}
	for n, line := range written[1 : len(written)-1] {
		if !strings.HasSuffix(line, fmt.Sprintf(`"n":%d}`, n)) {
			t.Fatalf("line %d is %s", n, line)
		}
	}
	if missing, _ := strconv.Atoi(number[1]); len(written)-2+missing != lines ||
		p.buffer.droppedLines() != float64(missing) {
		t.Errorf("of %d lines %d are there and %d are missing, %v were counted", lines,
			len(written)-2, missing, p.buffer.droppedLines())
	}
	if size := len(out.String()); size < logRoom || size > logRoom+2*logBatch {
		t.Errorf("%d bytes are there", size)
	}
}

// fullDisk takes so many bytes and then fails, as a disk that is full.
type fullDisk struct {
	countedLog
	room atomic.Int64
}

func (d *fullDisk) Write(p []byte) (int, error) {
	n := min(int64(len(p)), d.room.Load())
	d.room.Add(-n)
	d.countedLog.Write(p[:n])
	if n < int64(len(p)) {
		return int(n), syscall.ENOSPC
	}
	return int(n), nil
}

// A disk that was full cuts at most one line, and the log goes on on the next one.
func TestALogOnAFullDisk(t *testing.T) {
	out := new(fullDisk)
	p := &program{stderr: out}
	p.bufferStderr()
	log := p.logger(config.Config{LogLevel: "info", LogFormat: "text"})
	stopTimer(p.buffer)
	failed := func(what string) {
		t.Helper()
		before := out.writes.Load()
		log.Warn(what)
		authtest.Eventually(t, what, func() bool { return out.writes.Load() > before })
	}
	failed("no room")
	out.room.Store(100)
	failed("room for a report and the beginning of a line, or for some of the report")
	failed("no room again")
	out.room.Store(1 << 20)
	log.Warn("room")
	authtest.Eventually(t, "the report", func() bool {
		return strings.Contains(out.String(), "lines=")
	})
	p.endStderr()
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 4 || len(lines[0]) != 100 || !strings.Contains(lines[1], "msg=room") ||
		!strings.Contains(lines[2], `level=WARN msg="log lines were dropped`) ||
		!strings.Contains(lines[2], " lines=3 since=") || p.buffer.droppedLines() != 3 {
		t.Errorf("the log is\n%s\n%v lines were counted", out.String(), p.buffer.droppedLines())
	}
}

// Only on a terminal is the log text for people.
func TestLogFormat(t *testing.T) {
	for format, want := range map[string]string{
		"": `{"time":`, "json": `{"time":`, "text": "time=",
	} {
		var stderr bytes.Buffer
		p := &program{stderr: &stderr}
		p.bufferStderr()
		log := p.logger(config.Config{LogLevel: "warn", LogFormat: format})
		log.Info("too low")
		log.Warn("high enough")
		p.endStderr()
		got := stderr.String()
		if !strings.HasPrefix(got, want) || strings.Contains(got, "too low") {
			t.Errorf("%q: %s", format, got)
		}
	}
}
