package auth

import (
	"context"
	"errors"
	"fmt"

	"clientes/store"
)

// SignUp makes a user for a stranger: a viewer. Their email waits until its link is followed, so
// the stranger does not learn whether it is somebody's. It returns a *[store.InvalidError] that
// lists every field at fault, or a *[store.ConflictError] on "user". A network from which too many
// sign up gets a *[ChallengeError], see [ErrCaptchaRequired] and [WithCaptcha].
func (a *Auth) SignUp(ctx context.Context, name, email, newPassword string) (store.User, error) {
	// A network may sign up as often as it may ask for links: each costs a hash, and may send a
	// mail to a stranger.
	if err := a.guard.captchas.ask(ctx, captchaSignup); err != nil {
		return store.User{}, err
	}
	u := store.User{
		Name: store.Trim(name), PendingEmail: store.Trim(email), Role: store.Viewer,
	}
	var fault error
	u.PasswordHash, fault = a.cfg.Gate.HashNew(ctx, u, newPassword)
	u, err := u.Validate()
	if err := store.JoinInvalid(err, fault); err != nil {
		return store.User{}, err
	}
	switch _, err := a.cfg.Store.UserByName(ctx, u.Name); {
	case err == nil: // before mayConfirm counts a mail that would not go out
		return store.User{}, &store.ConflictError{Field: "user"}
	case !errors.Is(err, store.ErrNotFound):
		return store.User{}, fmt.Errorf("look up user: %w", err)
	}
	fx := newEffects(ctx)
	fx.created = store.EventSignup
	if u.PendingEmail != "" {
		if fx.confirm, err = a.mayConfirm(ctx, u.PendingEmail); err != nil {
			return store.User{}, err
		}
	}
	return a.accounts.create(ctx, fx, u, nil)
}

// CheckSignUp returns what [Auth.SignUp] would find wrong with a stranger's password, for a body
// with other faults. It counts like a sign-up, since it is as much work.
func (a *Auth) CheckSignUp(ctx context.Context, u store.User, newPassword string) error {
	if err := a.guard.captchas.ask(ctx, captchaSignup); err != nil {
		return err
	}
	return a.CheckPassword(ctx, u, newPassword)
}

// CheckNewPassword is the [password.Rules.CheckNew] of the rules that hold here.
func (a *Auth) CheckNewPassword(newPassword string) error {
	return a.cfg.Gate.Rules.CheckNew(newPassword)
}

// CheckPassword returns a *[store.InvalidError] on "password" if u may not have this one. To know
// whether it is easy to guess takes as long as a hash.
func (a *Auth) CheckPassword(ctx context.Context, u store.User, newPassword string) error {
	_, err := a.cfg.Gate.HashNew(ctx, u, newPassword)
	return err
}

// mayConfirm counts a mail that asks whether an email is the user's, and reports whether it may be
// sent. If others have asked too often it may not. Neither they nor the user learn of each other.
func (a *Auth) mayConfirm(ctx context.Context, email string) (bool, error) {
	wait, err := a.guard.limiter.Ask(ctx, confirmsToBucket(a.keys, email))
	return wait == 0, err
}

// ChangeEmail sets the caller's email, "" for none. It counts once its link was followed. Another
// email than the present one requires a proof of the caller. ChangeEmail returns a
// *[store.InvalidError], [ErrTokenRevoked] if the caller's sessions were ended meanwhile, or a
// *[TooManyError].
func (a *Auth) ChangeEmail(
	ctx context.Context, c Caller, email string, p Proof,
) (store.User, error) {
	u, err := a.Me(ctx, c)
	if err != nil {
		return store.User{}, err
	}
	valid, err := store.User{Name: u.Name, Email: email, Role: u.Role}.Validate()
	if err != nil {
		return store.User{}, err
	}
	email = valid.Email
	fx := newEffects(ctx)
	if email == u.Email {
		return a.updateMe(ctx, fx, u, func(u *store.User) { u.PendingEmail = "" })
	}
	if err := a.checkProof(ctx, c, u, p); err != nil {
		return store.User{}, err
	}
	if email == "" {
		return a.updateMe(ctx, fx, u, func(u *store.User) { u.Email, u.PendingEmail = "", "" })
	}
	wait, err := a.guard.limiter.Ask(ctx, confirmsBucket(u.ID))
	switch {
	case err != nil:
		return store.User{}, err
	case wait > 0:
		return store.User{}, &TooManyError{Wait: wait, Asked: true}
	}
	if fx.confirm, err = a.mayConfirm(ctx, email); err != nil {
		return store.User{}, err
	}
	return a.updateMe(ctx, fx, u, func(u *store.User) { u.PendingEmail = email })
}

// ConfirmEmail makes the pending email the user's own, for whoever got the link with this token. It
// returns [ErrLinkInvalid], or a *[store.ConflictError] on "email" if the email has become somebody
// else's.
func (a *Auth) ConfirmEmail(ctx context.Context, linkToken string) error {
	k, _, err := a.links.follow(ctx, linkToken, store.MailConfirm)
	if err != nil {
		return err
	}
	_, err = a.links.use(ctx, newEffects(ctx), k, func(u *store.User) { u.Email = u.PendingEmail })
	return err
}

// ChangePassword sets another password for a caller with a proof, and ends all their sessions. It
// returns a *[store.InvalidError], [ErrTokenRevoked] if the caller's sessions were ended meanwhile,
// or a *[TooManyError].
func (a *Auth) ChangePassword(ctx context.Context, c Caller, p Proof, newPassword string) error {
	u, err := a.Me(ctx, c)
	if err != nil {
		return err
	}
	if err := a.checkCurrent(ctx, c, u, p); err != nil {
		return err
	}
	hash, err := a.cfg.Gate.Known().HashNew(ctx, u, newPassword)
	if err != nil {
		return err
	}
	_, err = a.updateOwner(ctx, newEffects(ctx), c, u, p.Code, func(u *store.User) error {
		u.PasswordHash = hash
		return nil
	})
	return err
}

// Me returns the caller, or [ErrTokenRevoked] if they are gone.
func (a *Auth) Me(ctx context.Context, c Caller) (store.User, error) {
	u, err := a.cfg.Store.User(ctx, c.UserID)
	if errors.Is(err, store.ErrNotFound) {
		err = ErrTokenRevoked
	}
	return u, err
}

// updateMe updates the caller, who was u when they proved that they may. If all their sessions were
// ended since, that of this request was, too.
func (a *Auth) updateMe(
	ctx context.Context, fx *effects, u store.User, update func(*store.User),
) (store.User, error) {
	return a.tryUpdateMe(ctx, fx, u, func(u *store.User) error { update(u); return nil })
}

// tryUpdateMe is updateMe for an update that may refuse.
func (a *Auth) tryUpdateMe(
	ctx context.Context, fx *effects, u store.User, update func(*store.User) error,
) (store.User, error) {
	u, err := a.accounts.update(ctx, fx, u.ID, func(now store.User) (store.User, error) {
		if err := stillMe(u, now); err != nil {
			return now, err
		}
		err := update(&now)
		return now, err
	})
	if errors.Is(err, store.ErrNotFound) {
		err = ErrTokenRevoked
	}
	return u, err
}

// stillMe returns ErrTokenRevoked if all sessions of the caller, who was u when they proved that
// they may, were ended since.
func stillMe(u, now store.User) error {
	if now.Generation != u.Generation || now.Disabled {
		return ErrTokenRevoked
	}
	return nil
}
