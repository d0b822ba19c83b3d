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
	Attempts
	Mails
	Addresses
	Audit
	Clientes

	// Ready says whether the engine answers and holds the schema that this program was built for: nil,
	// ErrUnavailable, or ErrSchema.
	Ready(ctx context.Context) error

	// Close waits for the calls under way and releases what the store holds. No method may be called
	// after it.
	Close() error
}

// Migration is one numbered step of an engine's schema.
type Migration struct {
	Version int64  // counts from 1, the same number on both engines
	Name    string // the file's name
	Applied bool
	At      time.Time // when it was applied, the zero time if it was not
}

// Instant cuts t to what every store keeps of a time: UTC, whole milliseconds.
func Instant(t time.Time) time.Time {
	return t.UTC().Truncate(time.Millisecond)
}
