// Package store is the vocabulary of clientes: users with what is remembered of them, sessions and
// customers, what makes each of them valid, the errors they can end in, and the promises that every engine keeps.
//
// It does no I/O and imports no driver. Package sqlite keeps the promises on one embedded file, package
// postgres on a server that many replicas share, and package storetest holds both to the same suite.
package store

import (
	"context"
	"time"
)

// Store keeps everything that clientes remembers. Its methods may be called from many goroutines at once.
//
// Every method returns the context's own error when the context ends first, and ErrUnavailable (wrapped)
// when the engine can not be reached or is too busy to answer; a write that ended so may or may not have
// been kept. Valid text comes out as it went in, to the byte; what is not (NUL, broken UTF-8) is the caller's to
// refuse before (Cliente.Validate, User.Validate).
type Store interface {
	Users
	Sessions
	Buckets
	Mails
	Networks
	Audit
	Clientes
	Copying

	// Ready says whether the engine answers and holds the schema that this program was built for: nil,
	// ErrUnavailable, or ErrSchema.
	Ready(ctx context.Context) error

	// Close waits for the calls under way and releases what the store holds. No method may be called
	// after it.
	Close() error
}

// Instant cuts t to what every store keeps of a time: UTC, whole milliseconds.
func Instant(t time.Time) time.Time {
	return t.UTC().Truncate(time.Millisecond)
}

// Later gives the later of an instant that was kept and this one, so that a clock that was set back does not move a record's
// last change back.
func Later(kept, now time.Time) time.Time {
	if now = Instant(now); now.After(kept) {
		return now
	}
	return kept
}
