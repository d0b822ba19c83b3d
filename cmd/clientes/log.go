package main

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"clientes/cmd/clientes/config"
)

// logDelay is how old a line may become before it is written: a killed process loses no more of its
// log. Warnings and errors are written at once, with all that came before them.
const logDelay = 100 * time.Millisecond

// logBuffer writes lines in batches. A write for each would take 15 µs, a third of what the
// cheapest request takes in all (BenchmarkHTTP, "get one"). It is safe for concurrent use.
type logBuffer struct {
	mu    sync.Mutex
	to    io.Writer
	lines []byte
	timer *time.Timer // runs while there are lines
}

func newLogBuffer(to io.Writer) *logBuffer {
	b := &logBuffer{to: to}
	b.timer = time.AfterFunc(logDelay, b.flush)
	return b
}

// Write takes one line. It never fails: a log that cannot be written must not stop the server.
func (b *logBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.lines) == 0 {
		b.timer.Reset(logDelay)
	}
	b.lines = append(b.lines, line...)
	if len(b.lines) > 64<<10 {
		b.write()
	}
	return len(line), nil
}

func (b *logBuffer) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.write()
}

func (b *logBuffer) write() {
	if len(b.lines) > 0 {
		_, _ = b.to.Write(b.lines)
		b.lines = b.lines[:0]
	}
}

// flushingHandler writes the buffer as soon as something goes wrong.
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

// logger returns the server's log, and a function that writes the end of it.
func (p *program) logger(c config.Config) (log *slog.Logger, flush func()) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		panic(err) // config.Load accepts no other level
	}
	buffer := newLogBuffer(p.stderr)
	options := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewJSONHandler(buffer, options)
	if c.LogFormat == "text" || c.LogFormat == "" && isTerminal(p.stderr) {
		h = slog.NewTextHandler(buffer, options)
	}
	return slog.New(flushingHandler{h, buffer}), buffer.flush
}
