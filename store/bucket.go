package store

import (
	"context"
	"time"
)

// Bucket counts attempts at something that must not be tried without limit: to guess a password or
// a code, or to have mail sent.
//
// There is one small row per key, and none where nothing counts. Two rules bound the number of
// rows: each has a time to be forgotten, and only an attempt that was let through writes one. So an
// attacker who makes up a million names causes rows only for those whose password the server has
// time to check. The bucket of the attacker's network refuses most of the attempts before that.
type Bucket struct {
	Key          string    // who tried what, chosen by package auth: short, and no secret
	Count        int64     // how many attempts count against the key; with 0 the row is removed
	Since        time.Time // when the first of them was, for a limit that has a window
	LastAt       time.Time // when the last of them was
	BlockedUntil time.Time // none is let through before
	ForgetAt     time.Time // from then on nothing needs the row
}

// Buckets keeps the counts of attempts.
type Buckets interface {
	// UpdateBuckets calls update with the buckets of these keys, which must be distinct, and keeps
	// what update leaves in the slice. The call is one atomic step: any other call with one of the
	// keys comes before or after it. The buckets are in the order of the keys. Where there is no
	// row, only the Key is set.
	//
	// An error of update is returned unwrapped, and nothing is written. The store may call update
	// again. A bucket past its ForgetAt may still be there: update must treat it as empty.
	UpdateBuckets(ctx context.Context, keys []string, update func([]Bucket) error) error

	// DeleteBuckets removes up to limit rows whose ForgetAt is before the given time, and returns
	// how many it removed.
	DeleteBuckets(ctx context.Context, before time.Time, limit int) (int, error)
}

// Apply returns what a store keeps when n replaces b: the Key stays, and times are cut to instants.
func (b Bucket) Apply(n Bucket) Bucket {
	n.Key = b.Key
	for _, t := range []*time.Time{&n.Since, &n.LastAt, &n.BlockedUntil, &n.ForgetAt} {
		*t = Instant(*t)
	}
	return n
}
