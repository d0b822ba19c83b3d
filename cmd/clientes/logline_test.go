package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"clientes/auth/authtest"
)

// lineFormats are the handlers of a log, beside those of slog that they must write the same as.
func lineFormats() map[string][2]func(io.Writer, *slog.HandlerOptions) slog.Handler {
	type handler = func(io.Writer, *slog.HandlerOptions) slog.Handler
	return map[string][2]handler{
		"json": {newJSONHandler, func(w io.Writer, o *slog.HandlerOptions) slog.Handler {
			return slog.NewJSONHandler(w, o)
		}},
		"text": {newTextHandler, func(w io.Writer, o *slog.HandlerOptions) slog.Handler {
			return slog.NewTextHandler(w, o)
		}},
	}
}

// sameLines fails the test if a record is not logged as slog logs it.
func sameLines(t *testing.T, r slog.Record) {
	t.Helper()
	for name, handlers := range lineFormats() {
		var got, want bytes.Buffer
		authtest.Must(t, handlers[0](&got, nil).Handle(t.Context(), r.Clone()))
		authtest.Must(t, handlers[1](&want, nil).Handle(t.Context(), r.Clone()))
		if got.String() != want.String() {
			t.Errorf("%s: the line is\n%swant\n%s", name, &got, &want)
		}
	}
}

// requestRecord is the record of a request, as the API logs it.
func requestRecord(at time.Time) slog.Record {
	r := slog.NewRecord(at, slog.LevelInfo, "request", 0)
	r.AddAttrs(
		slog.String("request_id", "Zk3c0x9Xq1nVbW5T"), slog.String("method", "GET"),
		slog.String("path", "/clientes/17"), slog.Int("status", 200), slog.Int("bytes", 312),
		slog.Float64("took_ms", 0.123), slog.String("ip", "203.0.113.9"),
		slog.Int64("user_id", 3), slog.String("jti", "5V8yTZ0gR2aYw4qJ3bXnQg"),
	)
	return r
}

// Each value is tried in every place of a record that it fits.
func TestLogLinesAreThoseOfSlog(t *testing.T) {
	now := time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)
	record := func(at time.Time, level slog.Level, message string, attrs ...slog.Attr) {
		t.Helper()
		r := slog.NewRecord(at, level, message, 0)
		r.AddAttrs(attrs...)
		sameLines(t, r)
	}
	sameLines(t, requestRecord(now))
	for _, s := range []string{
		"", "plain", "two words", "a=b", `"`, `\`, "a/b?c", "\n", "\t", "\x00", "\x1b[2J", "\x7f",
		"é", "…", "\u2028", "\u202e", "\xff", "<>&", "'", "~!#$%^*()[]{}|;:,.`@-_+", "[::1]",
	} {
		record(now, slog.LevelInfo, s)
		record(now, slog.LevelInfo, "m", slog.String("key", s))
		record(now, slog.LevelInfo, "m", slog.String(s, "value"), slog.Int(s, 0))
	}
	for _, f := range []float64{
		0, math.Copysign(0, -1), 0.001, 0.1, 1, -1.5, 12.34, 1e-6, 9.9e-7, 123456, 1234567, 1e20,
		1e21, 5e-324, math.MaxFloat64, math.NaN(), math.Inf(1), math.Inf(-1),
	} {
		record(now, slog.LevelInfo, "m", slog.Float64("f", f))
	}
	for _, n := range []int64{0, -1, 7, math.MinInt64, math.MaxInt64} {
		record(now, slog.LevelInfo, "m", slog.Int64("n", n))
	}
	for _, at := range []time.Time{
		{}, time.Now(), now.Add(1), now.Add(123 * time.Millisecond), now.Add(123_456_789),
		now.Add(999_999_999), now.AddDate(8000, 0, 0), now.AddDate(-3000, 0, 0),
		now.In(time.FixedZone("", -5400)), now.In(time.FixedZone("", 3661)),
	} {
		record(at, slog.LevelInfo, "m")
	}
	for _, level := range []slog.Level{
		slog.LevelDebug, slog.LevelWarn, slog.LevelError, 1, -100, 100,
	} {
		record(now, level, "m")
	}
	for _, v := range []any{
		nil, true, uint64(7), time.Second, now, errors.New("a b"), []string{"a"}, []byte("x"),
		slog.GroupValue(slog.Int("n", 1)), slog.GroupValue(), struct{ A int }{1}, slog.LevelInfo,
	} {
		record(now, slog.LevelInfo, "m", slog.Any("v", v), slog.Int("n", 1))
		record(now, slog.LevelInfo, "m", slog.Int("n", 1), slog.Any("v", v))
	}
}

func FuzzLogLines(f *testing.F) {
	f.Add("request", "path", "/clientes/17", int64(200), 0.123, int64(1_700_000_000_123_000_000), 0)
	f.Fuzz(func(
		t *testing.T, message, key, text string, n int64, x float64, at int64, level int,
	) {
		r := slog.NewRecord(time.Unix(0, at).UTC(), slog.Level(level), message, 0)
		r.AddAttrs(slog.String(key, text), slog.Int64(key, n), slog.Float64(text, x))
		sameLines(t, r)
	})
}

// Loggers with attributes or groups of their own have them in each line, and a level keeps lines
// out.
func TestLogLinesOfOtherLoggers(t *testing.T) {
	for name, handlers := range lineFormats() {
		lines := func(handler slog.Handler, to *bytes.Buffer) string {
			log := slog.New(handler)
			log.Debug("no")
			log.With("a", 1).Info("m", "b", 2)
			log.WithGroup("g").Info("m", "b", 2)
			log.Info("m", "b", 2)
			var out []string
			for line := range strings.Lines(to.String()) {
				_, after, _ := strings.Cut(line, "INFO")
				out = append(out, after)
			}
			return strings.Join(out, "")
		}
		var got, want bytes.Buffer
		g, w := lines(handlers[0](&got, nil), &got), lines(handlers[1](&want, nil), &want)
		if g != w || strings.Count(g, "\n") != 3 {
			t.Errorf("%s: the lines are\n%swant\n%s", name, g, w)
		}
	}
}

// BenchmarkLogLine compares the line of a request by hand with that of slog.
func BenchmarkLogLine(b *testing.B) {
	r := requestRecord(time.Now())
	for name, handlers := range lineFormats() {
		for i, by := range []string{"by hand", "by slog"} {
			h := handlers[i](io.Discard, nil)
			b.Run(fmt.Sprint(name, " ", by), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					_ = h.Handle(b.Context(), r)
				}
			})
		}
	}
}
