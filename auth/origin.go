package auth

import "context"

// Origin is where a request comes from, as the audit keeps it. The zero Origin is that of the
// command line.
type Origin struct {
	IP        string
	UserAgent string
	RequestID string
	ActorID   int64  // the verified caller, 0 if there is none
	Session   string // the id of the caller's session, "" if there is no caller
	Device    string // a device token from a cookie, not yet verified
}

type originKey struct{}

// WithOrigin returns a context for a request that comes from o. It is in the context because
// otherwise every function that may cause an event would have to pass it on. Only IP, Device
// and Session decide anything: the limits, the mail about a new network, and whether an account may
// still be changed.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

func originOf(ctx context.Context) Origin {
	o, _ := ctx.Value(originKey{}).(Origin)
	return o
}
