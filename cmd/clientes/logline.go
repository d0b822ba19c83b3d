package main

import (
	"context"
	"io"
	"log/slog"
	"math"
	"strconv"
	"sync"
	"time"
)

// lineHandler appends plain lines by hand: those whose attributes are numbers and plain texts, as
// in the line of a request. It leaves all other lines, and those of loggers with attributes of
// their own, to the handler of slog, which would write the same (BenchmarkLogLine has both).
type lineHandler struct {
	slog.Handler           // of slog, which writes to the same place
	to           io.Writer // safe for concurrent use
	appendLine   func(line []byte, r slog.Record) (_ []byte, plain bool)
}

// newJSONHandler returns a handler that writes as a [slog.JSONHandler] does. Of the options it
// may have only the level.
func newJSONHandler(to io.Writer, options *slog.HandlerOptions) slog.Handler {
	return lineHandler{slog.NewJSONHandler(to, options), to, appendJSONLine}
}

// newTextHandler returns a handler that writes as a [slog.TextHandler] does. Of the options it
// may have only the level.
func newTextHandler(to io.Writer, options *slog.HandlerOptions) slog.Handler {
	return lineHandler{slog.NewTextHandler(to, options), to, appendTextLine}
}

var lineBuffers = sync.Pool{New: func() any { return new([]byte) }}

// Handle implements [slog.Handler].
func (h lineHandler) Handle(ctx context.Context, r slog.Record) error {
	buf := lineBuffers.Get().(*[]byte)
	defer lineBuffers.Put(buf) // lines are short, but for those that are rare
	line, plain := h.appendLine((*buf)[:0], r)
	*buf = line
	if !plain {
		return h.Handler.Handle(ctx, r)
	}
	_, err := h.to.Write(line)
	return err
}

func appendJSONLine(b []byte, r slog.Record) (_ []byte, plain bool) {
	level := r.Level.String()
	plain = hasPlainTime(r) && isPlainJSON(r.Message)
	b = append(b, `{"time":"`...)
	b = r.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(append(b, `","level":"`...), level...)
	b = append(append(b, `","msg":"`...), r.Message...)
	b = append(b, '"')
	r.Attrs(func(a slog.Attr) bool {
		plain = plain && a.Key != "" && isPlainJSON(a.Key)
		b = append(append(append(b, `,"`...), a.Key...), `":`...)
		switch a.Value.Kind() {
		case slog.KindString:
			s := a.Value.String()
			plain = plain && isPlainJSON(s)
			b = append(append(append(b, '"'), s...), '"')
		case slog.KindInt64:
			b = strconv.AppendInt(b, a.Value.Int64(), 10)
		case slog.KindFloat64:
			f := a.Value.Float64()
			// encoding/json writes others with an exponent, or refuses them.
			plain = plain && (f == 0 || math.Abs(f) >= 1e-6 && math.Abs(f) < 1e21)
			b = strconv.AppendFloat(b, f, 'f', -1, 64)
		default:
			plain = false
		}
		return plain
	})
	return append(b, "}\n"...), plain
}

func appendTextLine(b []byte, r slog.Record) (_ []byte, plain bool) {
	plain = hasPlainTime(r) && isPlainWord(r.Message)
	b = append(b, "time="...)
	b = appendMilliseconds(b, r.Time)
	b = append(append(b, " level="...), r.Level.String()...)
	b = append(append(b, " msg="...), r.Message...)
	r.Attrs(func(a slog.Attr) bool {
		plain = plain && isPlainWord(a.Key)
		b = append(append(append(b, ' '), a.Key...), '=')
		switch a.Value.Kind() {
		case slog.KindString:
			s := a.Value.String()
			plain = plain && isPlainWord(s)
			b = append(b, s...)
		case slog.KindInt64:
			b = strconv.AppendInt(b, a.Value.Int64(), 10)
		case slog.KindFloat64:
			b = strconv.AppendFloat(b, a.Value.Float64(), 'g', -1, 64)
		default:
			plain = false
		}
		return plain
	})
	return append(b, '\n'), plain
}

// hasPlainTime reports whether a line has a time, and one whose year has four digits.
func hasPlainTime(r slog.Record) bool {
	return !r.Time.IsZero() && r.Time.Year() >= 0 && r.Time.Year() < 10_000
}

// appendMilliseconds appends a time with three digits after the second. RFC3339Nano is the format
// that the time package writes fastest, but it leaves out zeros at the end: hence a fourth digit,
// which is cut out.
func appendMilliseconds(b []byte, t time.Time) []byte {
	end := len(b) + len("2006-01-02T15:04:05.000")
	t = t.Truncate(time.Millisecond).Add(time.Millisecond / 10)
	b = t.AppendFormat(b, time.RFC3339Nano)
	return append(b[:end], b[end+1:]...)
}

// isPlainJSON reports whether a text stands in JSON as it is.
func isPlainJSON(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// isPlainWord reports whether a text stands in a line of text without quotes.
func isPlainWord(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '=' {
			return false
		}
	}
	return s != ""
}
