package store

// Login is what is kept of somebody who has proven who they are.
type Login struct {
	Session    Session
	Generation int64 // of the user when the proof was verified

	// NewHash replaces OldHash, an older hash of the same password, unless the user's hash has
	// changed meanwhile. If NewHash is "", the hash stays.
	OldHash, NewHash string

	// Network is where the login comes from, named by a prefix that package auth chooses, or "". It
	// is new if the user has not logged in from it within the last [NetworkTTL]. Then the Mails are
	// queued, to this user whatever their UserID is.
	Network string
	Mails   []Mail

	// Keys name the buckets that the login changes, and NewKeys those that only a login from a new
	// network changes, after them. All must be distinct.
	Keys, NewKeys []string

	// Settle, if there is one, is called with the buckets of the keys, as that of
	// [Buckets.UpdateBuckets]. The store keeps what it leaves in the slice, and the events that it
	// returns as events of this user. The store may call it again.
	Settle func(isNew bool, buckets []Bucket) []Event
}

// Opened is what came of a [Login].
type Opened struct {
	NewNetwork bool
	Ended      []Ended // the least recently used sessions, if the user had too many
}

// SettleAll calls Settle with copies of the old buckets, which are in the order of Keys and, if the
// network is new, NewKeys. It returns the buckets and the events that a store has to keep.
func (l Login) SettleAll(isNew bool, old []Bucket) (buckets []Bucket, events []Event) {
	buckets = append(buckets, old...)
	if l.Settle != nil {
		events = l.Settle(isNew, buckets)
	}
	for i := range buckets {
		buckets[i] = old[i].Apply(buckets[i])
	}
	for i := range events {
		events[i].UserID = l.Session.UserID
	}
	return buckets, events
}
