package store

import (
	"context"
	"time"
)

// NetworkTTL is for how long an address is known that a user has logged in from.
const NetworkTTL = 90 * 24 * time.Hour

// Networks keeps from which addresses users have logged in, so that a login from a new one can be told of.
type Networks interface {
	// SeeNetwork notes that the user logs in now from an address, by a prefix of it that package auth chooses,
	// and says whether they have also done so in the last NetworkTTL. If not, the mails, which are to that
	// user whatever they say, go into the queue. It is one atomic step: of logins at once from a new address
	// one is told that it is. ErrNotFound if there is no such user.
	SeeNetwork(ctx context.Context, userID int64, prefix string, mails ...Mail) (known bool, err error)

	// DeleteNetworks removes up to limit rows that were last seen before the given time. It says how many it
	// removed.
	DeleteNetworks(ctx context.Context, before time.Time, limit int) (int, error)
}
