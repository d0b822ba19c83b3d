package auth

import "context"

// CanHash returns nil if passwords can be hashed.
func (a *Auth) CanHash(ctx context.Context) error { return a.cfg.Gate.Ready(ctx) }
