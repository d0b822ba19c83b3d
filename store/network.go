package store

import (
	"context"
	"time"
)

// NetworkTTL is how long a network is remembered from which a user has logged in.
const NetworkTTL = 90 * 24 * time.Hour

// Networks keeps the networks from which users have logged in, so that auth can report a login from
// a new one. [Sessions.OpenSession] notes them.
//
// A row that was seen further ahead than NetworkTTL is from a clock that was wrong, and does not
// count.
type Networks interface {
	// DeleteNetworks removes up to limit rows that were last seen before the given time, and
	// returns how many it removed.
	DeleteNetworks(ctx context.Context, before time.Time, limit int) (int, error)
}

// NetworkKnown reports whether a network that was last seen then is known now.
func NetworkKnown(seen, now time.Time) bool { return now.Sub(seen).Abs() <= NetworkTTL }
