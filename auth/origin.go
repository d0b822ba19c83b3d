package auth

import "context"

// Origin is where a request comes from, as the audit keeps it. The zero Origin is that of the
// command line.
type Origin struct {
	IP        string
	UserAgent string
	RequestID string
	ActorID   int64  // the verified caller, 0 if there is none
	Device    string // a device token from a cookie, not yet verified
}

type originKey struct{}

// WithOrigin returns a context whose events come from there. The origin travels in the context
// because every function that may cause an event would have to pass it on. Nothing is decided by
// it, except in [Auth.Login] and in the functions that ask for the password or a code once more.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

func originOf(ctx context.Context) Origin {
	o, _ := ctx.Value(originKey{}).(Origin)
	return o
}
