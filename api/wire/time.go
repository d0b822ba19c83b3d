package wire

import (
	"strings"
	"time"
)

// Instant is a time in a JSON view.
type Instant time.Time

// MarshalJSON writes RFC 3339 in UTC with milliseconds.
func (t Instant) MarshalJSON() ([]byte, error) { return appendTime(nil, time.Time(t)), nil }

// appendTime writes an instant as a JSON string.
func appendTime(b []byte, t time.Time) []byte {
	return append(appendInstant(append(b, '"'), t), '"')
}

// appendInstant writes an instant as RFC 3339 with milliseconds. time.AppendFormat takes four times
// as long.
func appendInstant(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = appendDigits(b, year, 4)
	b = appendDigits(append(b, '-'), int(month), 2)
	b = appendDigits(append(b, '-'), day, 2)
	b = appendDigits(append(b, 'T'), hour, 2)
	b = appendDigits(append(b, ':'), minute, 2)
	b = appendDigits(append(b, ':'), second, 2)
	b = appendDigits(append(b, '.'), t.Nanosecond()/int(time.Millisecond), 3)
	return append(b, 'Z')
}

func appendDigits(b []byte, n, width int) []byte {
	for range width {
		b = append(b, '0')
	}
	for i := len(b) - 1; n > 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}

// ParseTime reads a time of RFC 3339, with or without a fraction of a second, and returns it in
// UTC.
func ParseTime(s string) (t time.Time, ok bool) {
	t, err := time.Parse(time.RFC3339Nano, s)
	// Package time also takes an hour of one digit, and a comma before the fraction.
	if err != nil || s[len("2006-01-02T15")] != ':' || strings.Contains(s, ",") {
		return time.Time{}, false
	}
	return t.UTC(), true
}
