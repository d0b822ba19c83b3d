package store

import (
	"log/slog"
	"time"
)

// Options is what an engine is opened with beside its URL. The zero Options are for production.
type Options struct {
	// Now replaces the engine's own clock, for tests. If it is nil, Postgres uses the server's
	// clock and SQLite the machine's, both through a [Clock].
	Now func() time.Time

	// CallTimeout replaces the five seconds that a call waits for the engine, for tests on a
	// machine that is busy with something else.
	CallTimeout time.Duration

	// Log receives what an operator should know of the engine while it is open, such as a pooler
	// that Postgres is behind. If it is nil, nobody is told.
	Log *slog.Logger
}
