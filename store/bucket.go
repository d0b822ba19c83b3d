package store

import (
	"context"
	"time"
)

// Bucket is what is remembered of those who tried something that may not be tried without end: to guess a
// password or a code, or to have mail sent.
//
// There is one small row a key, and none where nothing counts. What bounds their number is that each has a
// time to be forgotten, and that a row comes only of an attempt that was let through: of a million made-up
// names there are as many rows as the processor could check passwords for in the time that the rows are
// kept, less those that the count of the sender's address refused.
type Bucket struct {
	Key          string    // who tried what, chosen by package auth: short, and nothing that must stay secret
	Count        int64     // how many attempts count against the key; with 0 the row is removed
	Since        time.Time // when the first of them was, for a limit that has a window
	LastAt       time.Time // when the last of them was
	BlockedUntil time.Time // none is let through before
	ForgetAt     time.Time // from then on nothing needs the row
}

// Buckets keeps the counts of attempts.
type Buckets interface {
	// UpdateBuckets hands the attempts of these keys, which are distinct, to change and keeps what it leaves
	// in their place, as one atomic step: whoever else counts on one of the keys comes before or after. They
	// are in the order of the keys, and where there is no row (any more) only the Key is set. An error of
	// change is given back unwrapped and nothing is written; the store may call change again.
	//
	// It is for change to treat what is past its ForgetAt like none: the row may still be there.
	UpdateBuckets(ctx context.Context, keys []string, change func([]Bucket) error) error

	// DeleteBuckets removes up to limit rows whose ForgetAt is before the given time. It says how many it
	// removed.
	DeleteBuckets(ctx context.Context, before time.Time, limit int) (int, error)
}

// Apply gives what a store keeps of n in the place of a.
func (a Bucket) Apply(n Bucket) Bucket {
	n.Key = a.Key
	for _, t := range []*time.Time{&n.Since, &n.LastAt, &n.BlockedUntil, &n.ForgetAt} {
		*t = Instant(*t)
	}
	return n
}
