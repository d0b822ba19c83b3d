package auth

import (
	"context"
	"errors"

	"clientes/store"
)

// EndsKnown returns nil while this process knows which sessions ended, and [store.ErrUnavailable]
// while it has to ask the store about every token.
func (a *Auth) EndsKnown() error {
	if a.denied.current() {
		return nil
	}
	return errors.Join(store.ErrUnavailable, errEndsUnknown)
}

var errEndsUnknown = errors.New("the store has not reported lately which sessions ended")

// CanHash returns nil if passwords can be hashed.
func (a *Auth) CanHash(ctx context.Context) error { return a.cfg.Gate.Ready(ctx) }
