package auth

import (
	"context"
	"errors"
	"fmt"

	"clientes/store"
)

// SignUp makes a user as a stranger says: a viewer. Their email waits until its link is followed, and so does not tell
// the stranger whether it is somebody's. It gives a *store.InvalidError that lists every field at fault, or a
// *store.ConflictError on "user"; and to an address from which too many sign up a *TooManyError.
func (a *Auth) SignUp(ctx context.Context, name, email, password string) (store.User, error) {
	u := store.User{Name: name, PendingEmail: email, Role: store.Viewer}
	if prefix := addressPrefix(originOf(ctx).IP); prefix != "" {
		// As often as it may ask for links: each costs a hash and may send a mail to a stranger.
		wait, err := a.countOne(ctx, askedTally("signup", prefix))
		switch {
		case err != nil:
			return store.User{}, err
		case wait > 0:
			return store.User{}, &TooManyError{Wait: wait, Asked: true}
		}
	}
	var fault error
	u.PasswordHash, fault = a.accounts().newHash(ctx, u, password)
	u, err := u.Validate()
	if err := store.JoinInvalid(err, fault); err != nil {
		return store.User{}, err
	}
	switch _, err := a.cfg.Store.UserByName(ctx, u.Name); {
	case err == nil: // before a mail is counted that would not be sent
		return store.User{}, &store.ConflictError{Field: "user"}
	case !errors.Is(err, store.ErrNotFound):
		return store.User{}, fmt.Errorf("look up user: %w", err)
	}
	how := changing(ctx)
	how.created = store.EventSignup
	if u.PendingEmail != "" {
		wait, err := a.countOne(ctx, a.addressMailsTally(u.PendingEmail))
		if err != nil {
			return store.User{}, err
		}
		how.confirm = wait == 0
	}
	return a.accounts().create(ctx, how, u, nil)
}

// ChangeEmail has the caller say which email is theirs: "" for none. It counts once its link was followed. Another one than
// they have needs the current password. It gives a *store.InvalidError, ErrTokenRevoked if the caller's sessions were ended
// meanwhile, or a *TooManyError.
func (a *Auth) ChangeEmail(ctx context.Context, c Caller, email, current string) (store.User, error) {
	u, err := a.Me(ctx, c)
	if err != nil {
		return store.User{}, err
	}
	valid, err := store.User{Name: u.Name, Email: email, Role: u.Role}.Validate()
	if err != nil {
		return store.User{}, err
	}
	email = valid.Email
	how := changing(ctx)
	if email == u.Email {
		return a.changeMe(ctx, how, u, func(u store.User) (store.User, error) {
			u.PendingEmail = ""
			return u, nil
		})
	}
	if err := a.checkCurrent(ctx, c, u, current); err != nil {
		return store.User{}, err
	}
	if email == "" {
		return a.changeMe(ctx, how, u, func(u store.User) (store.User, error) {
			u.Email, u.PendingEmail = "", ""
			return u, nil
		})
	}
	wait, err := a.countOne(ctx, confirmsTally(u.ID))
	switch {
	case err != nil:
		return store.User{}, err
	case wait > 0:
		return store.User{}, &TooManyError{Wait: wait, Asked: true}
	}
	if wait, err = a.countOne(ctx, a.addressMailsTally(email)); err != nil {
		return store.User{}, err
	}
	how.confirm = wait == 0 // else, others have asked: they, too, are told nothing of each other
	return a.changeMe(ctx, how, u, func(u store.User) (store.User, error) {
		u.PendingEmail = email
		return u, nil
	})
}

// ConfirmEmail makes the pending email of a user theirs, to which the link with this token went. It gives ErrLinkInvalid,
// or a *store.ConflictError on "email" if it has become somebody else's.
func (a *Auth) ConfirmEmail(ctx context.Context, token string) error {
	l, _, err := a.followLink(ctx, token, store.MailConfirm)
	if err != nil {
		return err
	}
	return a.useLink(ctx, changing(ctx), l, func(u *store.User) { u.Email = u.PendingEmail })
}

// ChangePassword gives the caller another password and ends all their sessions. It gives a *store.InvalidError,
// ErrTokenRevoked if the caller's sessions were ended meanwhile, or a *TooManyError.
func (a *Auth) ChangePassword(ctx context.Context, c Caller, current, password string) error {
	u, err := a.Me(ctx, c)
	if err != nil {
		return err
	}
	if err := a.checkCurrent(ctx, c, u, current); err != nil {
		return err
	}
	hash, err := a.accounts().newHash(ctx, u, password)
	if err != nil {
		return err
	}
	_, err = a.changeMe(ctx, changing(ctx), u, func(u store.User) (store.User, error) {
		u.PasswordHash = hash
		return u, nil
	})
	return err
}

// Me gives the caller, or ErrTokenRevoked if they are gone.
func (a *Auth) Me(ctx context.Context, c Caller) (store.User, error) {
	u, err := a.cfg.Store.User(ctx, c.UserID)
	if errors.Is(err, store.ErrNotFound) {
		err = ErrTokenRevoked
	}
	return u, err
}

// changeMe changes the caller, who was u when they proved that they may: if all their sessions were ended since, that
// of this request was, too.
func (a *Auth) changeMe(ctx context.Context, how *change, u store.User, edit func(store.User) (store.User, error)) (store.User, error) {
	u, err := a.accounts().change(ctx, how, u.ID, func(now store.User) (store.User, error) {
		if err := stillMe(u, now); err != nil {
			return now, err
		}
		return edit(now)
	})
	if errors.Is(err, store.ErrNotFound) {
		err = ErrTokenRevoked
	}
	return u, err
}

// stillMe gives ErrTokenRevoked if all sessions of the caller, who was u when they proved that they may, were ended since.
func stillMe(u, now store.User) error {
	if now.Generation != u.Generation || now.Disabled {
		return ErrTokenRevoked
	}
	return nil
}
