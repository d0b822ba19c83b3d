package auth

import (
	"context"
	"errors"
	"fmt"

	"clientes/store"
)

// LoginRequest is what somebody who wants to log in has sent. The context says where from, see
// [WithOrigin].
type LoginRequest struct {
	User     string // in any case
	Password string
	Code     string // of the second factor: a one-time password or a recovery code, "" for none
	Device   string // the device token of an earlier login from the same client, "" for none
	Captcha  string // the solution of the challenge of a [ChallengeError], "" for none
	Remember bool   // the session may stay unused for [Config].RememberIdle
}

// Login opens a session for a user who knows the password, and who has the second factor if they
// have set one up. [ErrInvalidLogin], [ErrMFARequired], [ErrMFAInvalid], a *[TooManyError], mostly
// within a *[ChallengeError], or [ErrOverloaded] refuse it.
func (a *Auth) Login(ctx context.Context, r LoginRequest) (_ Grant, err error) {
	defer func() { a.metrics.login(err) }()
	r.User, r.Code = store.Trim(r.User), store.Trim(r.Code)
	u, err := store.User{}, store.ErrNotFound
	if name, ok := store.UserName(r.User); ok { // no store need look at other texts of strangers
		u, err = a.cfg.Store.UserByName(ctx, name)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Grant{}, fmt.Errorf("look up user: %w", err)
	}
	try, err := a.guard.checkPassword(ctx, u, r.Password, func() (*attempt, error) {
		strangers := a.guard.captchas.forLogin(r.User, r.Captcha)
		return a.guard.reserveBy(ctx, u, r.User, r.Device, strangers)
	})
	if err != nil {
		return Grant{}, err
	}
	defer try.Pass(ctx) // unless it ends otherwise: the password was right
	if u.MFA.On {
		if err := a.guard.checkCode(ctx, u, r.Code, try); err != nil {
			return Grant{}, err
		}
	}
	return a.openSession(ctx, u, try, r.Remember)
}
