package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"clientes/cmd/clientes/config"
)

const (
	// logDelay is how old a line may become before it is written: a killed process loses no more of
	// its log. Warnings and errors do not wait, nor does what came before them.
	logDelay = 100 * time.Millisecond

	// logBatch is how much is written without waiting for more.
	logBatch = 64 << 10

	// logRoom is how much waits for a reader that has stopped: some 4,000 requests.
	logRoom = 1 << 20

	// logEnd is how long the end of a process waits for such a reader.
	logEnd = time.Second
)

// logBuffer writes lines in batches, from a goroutine of its own. A write for each would take
// 15 µs, a third of what the cheapest request takes in all (BenchmarkHTTP, "get one").
//
// A pipe that nobody reads, or a disk that hangs, stops that goroutine and nobody else. Lines for
// which there is no room are dropped and counted. When there is room again, a line in their place
// says how many they were. A logBuffer is safe for concurrent use.
type logBuffer struct {
	to   io.Writer
	wake chan struct{} // of capacity one: whether there is something to write at once
	done chan struct{} // closed when all is written

	mu      sync.Mutex // never held during a write
	lines   []byte
	timer   *time.Timer // runs while there are lines
	full    bool
	dropped dropped                      // not reported yet
	lost    int                          // lines that were dropped since the beginning
	format  func(io.Writer) slog.Handler // nil until the settings are known
	ended   bool
}

// dropped are lines that were not written.
type dropped struct {
	lines int
	since time.Time // of the first of them
}

func (d *dropped) add(more dropped) {
	if d.lines == 0 || more.lines > 0 && more.since.Before(d.since) {
		d.since = more.since
	}
	d.lines += more.lines
}

func newLogBuffer(to io.Writer) *logBuffer {
	b := &logBuffer{to: to, wake: make(chan struct{}, 1), done: make(chan struct{})}
	b.timer = time.AfterFunc(logDelay, b.flush)
	go b.run()
	return b
}

var newline = []byte("\n")

// Write takes one line, or several. It neither fails nor waits: a log that cannot be written must
// not stop the server.
func (b *logBuffer) Write(lines []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	// After a line without room no shorter one is taken, so all that is missing is missing in one
	// place.
	if b.full || len(b.lines)+len(lines) > logRoom {
		b.full = true
		b.drop(bytes.Count(lines, newline))
		return len(lines), nil
	}
	if len(b.lines) == 0 {
		b.timer.Reset(logDelay)
	}
	b.lines = append(b.lines, lines...)
	if len(b.lines) > logBatch {
		b.flush()
	}
	return len(lines), nil
}

// flush has everything written that is there now, without waiting for it.
func (b *logBuffer) flush() {
	select {
	case b.wake <- struct{}{}:
	default: // the goroutine has not begun yet, and will take this too
	}
}

// run writes until the end.
func (b *logBuffer) run() {
	defer close(b.done)
	var batch []byte
	broken := false // whether a write that failed has left the beginning of a line
	for range b.wake {
		var reported dropped
		var ended bool
		batch, reported, ended = b.take(batch)
		if broken {
			n, _ := b.to.Write(newline)
			broken = n == 0
		}
		n := 0
		if len(batch) > 0 && !broken {
			n, _ = b.to.Write(batch)
			broken = n > 0 && batch[n-1] != '\n'
		}
		b.unwritten(batch[n:], reported)
		if ended {
			return
		}
	}
}

// take returns what to write now, and which dropped lines the last line of it reports. It reuses
// the memory of the batch before.
func (b *logBuffer) take(before []byte) (batch []byte, reported dropped, ended bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	batch, b.lines, b.full = b.lines, before[:0], false
	if b.dropped.lines > 0 && b.format != nil {
		reported, b.dropped = b.dropped, dropped{}
		batch = append(batch, b.report(reported)...)
	}
	return batch, reported, b.ended
}

// report returns the line that says how many lines are missing.
func (b *logBuffer) report(d dropped) []byte {
	var line bytes.Buffer
	r := slog.NewRecord(time.Now(), slog.LevelWarn,
		"log lines were dropped, since nobody read them or there was no room on the disk", 0)
	r.Add("lines", d.lines, "since", d.since)
	_ = b.format(&line).Handle(context.Background(), r) // a bytes.Buffer takes everything
	return line.Bytes()
}

// drop counts lines that are dropped now. The caller holds b.mu.
func (b *logBuffer) drop(lines int) {
	b.dropped.add(dropped{lines, time.Now()})
	b.lost += lines
}

// droppedLines returns how many lines were dropped since the beginning.
func (b *logBuffer) droppedLines() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return float64(b.lost)
}

// unwritten counts the lines of what could not be written. The last of them may be a report.
func (b *logBuffer) unwritten(rest []byte, reported dropped) {
	if len(rest) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := bytes.Count(rest, newline)
	if reported.lines > 0 {
		lines--
	}
	b.drop(lines)
	b.dropped.add(reported)
	b.timer.Reset(logDelay) // try again, even if nothing more is logged
}

// end writes what is there. It gives up after [logEnd].
func (b *logBuffer) end() {
	b.mu.Lock()
	b.ended = true
	b.mu.Unlock()
	b.flush()
	select {
	case <-b.done:
	case <-time.After(logEnd):
	}
}

// flushingHandler has the buffer written as soon as something goes wrong.
type flushingHandler struct {
	slog.Handler
	buffer *logBuffer
}

func (h flushingHandler) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		h.buffer.flush()
	}
	return err
}

func (h flushingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return flushingHandler{h.Handler.WithAttrs(attrs), h.buffer}
}

func (h flushingHandler) WithGroup(name string) slog.Handler {
	return flushingHandler{h.Handler.WithGroup(name), h.buffer}
}

// bufferStderr makes standard error a [logBuffer], for a command that serves: from now on nothing
// that the command writes there waits for a reader. [program.endStderr] writes the end of it.
func (p *program) bufferStderr() {
	signal.Ignore(syscall.SIGPIPE) // or the server would die with whoever reads its log
	p.buffer = newLogBuffer(p.stderr)
	p.stderr = p.buffer
}

func (p *program) endStderr() {
	if p.buffer != nil {
		p.buffer.end()
	}
}

// logger returns the log of a server, which goes to the buffered standard error.
func (p *program) logger(c config.Config) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		panic(err) // config.Load accepts no other level
	}
	options := &slog.HandlerOptions{Level: level}
	format := func(w io.Writer) slog.Handler { return newJSONHandler(w, options) }
	if c.LogFormat == "text" || c.LogFormat == "" && isTerminal(p.buffer.to) {
		format = func(w io.Writer) slog.Handler { return newTextHandler(w, options) }
	}
	p.buffer.mu.Lock()
	p.buffer.format = format
	p.buffer.mu.Unlock()
	return slog.New(flushingHandler{format(p.buffer), p.buffer})
}
