// Package store is the vocabulary of clientes: customers, users, sessions and what is remembered
// about them. It says what makes each of them valid, which errors an engine returns, and what every
// engine promises.
//
// The package does no I/O and imports no driver. It knows neither SQL nor JSON, nor how a token is
// made. Package sqlite keeps everything in one file, package postgres on a server that many
// processes share. Package storetest holds both to the same tests.
package store

import (
	"context"
	"time"
)

// Store keeps everything that clientes remembers. It is safe for concurrent use.
//
// Every method returns the context's own error if the context ends first. It returns
// [ErrUnavailable], wrapped, if the engine cannot be reached or is too busy to answer. After either
// error a write may have been kept or not. It returns [ErrOverloaded] if it was refused before it
// began.
//
// A method that writes returns a [*NewerSchemaError] and changes nothing if a newer program has
// changed the database so that this one must not write to it.
//
// Valid text is returned as it was given, byte for byte. The caller must refuse other text (NUL,
// broken UTF-8) before it gets here: see [Cliente.Validate] and [User.Validate].
type Store interface {
	Users
	Sessions
	Keys
	Buckets
	Mails
	Networks
	Audit
	Clientes
	Erasing
	Feed
	Copying
	Restoring

	// Now returns the time that all who use the database go by: when a session ends, how long an
	// attempt waits, which rows are old. It does not follow a clock that is wrong for a moment.
	Now() time.Time

	// Sizes returns how many users and customers there are. It stops counting at limit, so it takes
	// no longer on a large database.
	Sizes(ctx context.Context, limit int64) (Sizes, error)

	// Stats returns what the store counts. It asks the database nothing, and costs next to nothing.
	Stats() Stats

	// Ready returns nil if the database holds all migrations that this program knows, and no other
	// one that it must know, and if a write to it would be kept. To know that, it writes. Otherwise
	// it returns ErrUnavailable or [ErrSchema]. A store whose own write is under way may be ready
	// without another one.
	Ready(ctx context.Context) error

	// Close waits for the calls under way and releases what the store holds. No method may be
	// called after it.
	Close() error
}

// Instant returns t in UTC, cut to whole milliseconds: the form in which every engine keeps a time.
func Instant(t time.Time) time.Time {
	return t.UTC().Truncate(time.Millisecond)
}

// maxAhead is how far ahead of now an instant may lie that is kept. Beyond it, it is no clock that
// was set back a little: the clock was wrong when the instant was written.
const maxAhead = 24 * time.Hour

// Later returns the later one of an instant that was kept and now. With it, a clock that was set
// back does not move a record's last change back. An instant of a clock that was more than a day
// ahead does not count: otherwise changes would have that time until it comes.
func Later(kept, now time.Time) time.Time {
	if now = Instant(now); now.After(kept) || kept.Sub(now) > maxAhead {
		return now
	}
	return kept
}

// Sizes are numbers of rows.
type Sizes struct {
	Users, Clientes int64
}
