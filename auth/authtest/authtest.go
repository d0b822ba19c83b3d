// Package authtest has what the tests of auth, its subpackages and their callers share. That is a
// clock, a log, empty databases, an outbox and a mail server, and ways to wait and to do many
// things at once.
//
// It imports neither auth nor its subpackages, except mail, so that their tests can use it.
package authtest

import (
	"bytes"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Must ends the test if err is not nil.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Timeout bounds every wait of a test. It is never reached, even on a machine that gets a twentieth
// of its processors: a test that fails has to fail for a reason other than speed.
const Timeout = 20 * time.Minute

// Deadline returns when a wait of a test has to end: after [Timeout], or shortly before the tests
// run out of the time that -timeout allows them. The testing package then ends the program, and no
// test could say what it waited for.
func Deadline(t testing.TB) time.Time {
	deadline := time.Now().Add(Timeout)
	if d, ok := t.(interface{ Deadline() (time.Time, bool) }); ok { // benchmarks have none
		if end, ok := d.Deadline(); ok && end.Add(-5*time.Second).Before(deadline) {
			return end.Add(-5 * time.Second)
		}
	}
	return deadline
}

// Eventually waits for what another process or goroutine brings about. It ends the test if that has
// not happened by its [Deadline].
func Eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	start := time.Now()
	for deadline := Deadline(t); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", time.Since(start).Round(time.Second), what)
		}
	}
}

// AtOnce calls do with 0 to n-1 and waits for all of them. No more than a crowd run at once: where
// each has its turn at one row, the last of many would wait on a slow machine for longer than a
// call may take.
func AtOnce(n int, do func(i int)) {
	const crowd = 12
	slots := make(chan struct{}, crowd)
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			do(i)
		})
	}
	running.Wait()
}

// Clock is a clock that a test can advance. It is safe for concurrent use.
type Clock struct {
	start time.Time // the zero time if the clock runs
	ahead atomic.Int64
}

// NewClock returns a clock that runs.
func NewClock() *Clock { return new(Clock) }

// StoppedAt returns a clock that stands still until it is advanced.
func StoppedAt(t time.Time) *Clock { return &Clock{start: t} }

// Now returns the time of the clock.
func (c *Clock) Now() time.Time {
	ahead := time.Duration(c.ahead.Load())
	if c.start.IsZero() {
		return time.Now().Add(ahead)
	}
	return c.start.Add(ahead)
}

// Advance moves the clock, backwards if d is negative.
func (c *Clock) Advance(d time.Duration) { c.ahead.Add(int64(d)) }

// Log is a log that a test reads while it is written.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements [io.Writer].
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns what was written since the last call of Take.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Take returns what was written since the last call of Take, and removes it.
func (l *Log) Take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.b.String()
	l.b.Reset()
	return s
}

// InBubble is [synctest.Test]. With the race detector it skips the test, see UnderRace. Tests with
// real stores and real time run with it.
func InBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if UnderRace {
		t.Skip("the race detector crashes within a bubble; the test runs without it")
	}
	synctest.Test(t, f)
}

// Samples returns the values of metrics in Prometheus's text format, each by its name with labels
// as they stand there.
func Samples(t testing.TB, text string) map[string]float64 {
	t.Helper()
	samples := make(map[string]float64)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		line = strings.TrimSpace(line)
		at := strings.LastIndexByte(line, ' ') + 1
		value, err := strconv.ParseFloat(line[at:], 64)
		Must(t, err)
		samples[strings.TrimSpace(line[:at])] = value
	}
	return samples
}
