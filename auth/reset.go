package auth

import (
	"context"
	"errors"
	"fmt"

	"clientes/store"
)

// ForgotPassword has a link to set another password sent to the user of that name, or where it is "" of that confirmed
// email, if there is one who has an email, and no more than three within an hour. Neither what it gives nor the time
// that it takes says whether there is: whoever is asked for, it asks the store the same questions and has it write the
// same. Where nothing is to be sent that is a mail to nobody, which SendMail drops. So that nobody can fill the queue with
// these, nothing at all is done for an address that asks too often, whoever it asks for.
func (a *Auth) ForgotPassword(ctx context.Context, name, email string) error {
	if prefix := addressPrefix(originOf(ctx).IP); prefix != "" {
		wait, err := a.countOne(ctx, askedTally("forgot", prefix))
		if err != nil || wait > 0 {
			return err
		}
	}
	u, err := a.forgetful(ctx, name, email)
	if err != nil {
		return err
	}
	// A mail has to be some user's in the store. The first is never gone for long: the last admin can not be deleted.
	first, err := a.cfg.Store.Users(ctx, 0, 1)
	if err != nil {
		return fmt.Errorf("look up a user: %w", err)
	}
	if len(first) == 0 {
		return nil
	}
	m := store.Mail{UserID: first[0].ID, Kind: store.MailReset}
	asked := int64(0)
	counts := a.nobodysMailsTally(name, email)
	if u.Email != "" && !u.Disabled {
		asked, counts = u.ID, mailsTally(u.ID)
	}
	wait, err := a.countOne(ctx, counts)
	if err != nil {
		return err
	}
	if asked != 0 && wait == 0 {
		m.UserID, m.To = u.ID, u.Email
	}
	if err := a.cfg.Store.QueueMails(ctx, m); err != nil {
		return fmt.Errorf("queue mail: %w", err)
	}
	a.recordStrangers(ctx, store.EventPasswordForgotten, asked, "")
	return nil
}

// forgetful gives the user of that name, or where it is "" of that email, or the zero User.
func (a *Auth) forgetful(ctx context.Context, name, email string) (u store.User, err error) {
	if name != "" {
		if !store.ValidUserName(name) {
			return store.User{}, nil
		}
		u, err = a.cfg.Store.UserByName(ctx, name)
	} else {
		valid, fault := store.User{Name: "any", Email: email, Role: store.Viewer}.Validate()
		if fault != nil {
			return store.User{}, nil
		}
		u, err = a.cfg.Store.UserByEmail(ctx, valid.Email)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return store.User{}, nil
	case err != nil:
		return store.User{}, fmt.Errorf("look up user: %w", err)
	}
	return u, nil
}

// ResetPassword gives the user another password to whom the link with this token went, and ends all their sessions. It gives
// ErrLinkInvalid or a *store.InvalidError on "password", after which the link is still good.
func (a *Auth) ResetPassword(ctx context.Context, token, password string) error {
	l, u, err := a.followLink(ctx, token, store.MailReset, store.MailInvitation)
	if err != nil {
		return err
	}
	hash, err := a.accounts().newHash(ctx, u, password)
	if err != nil {
		return err
	}
	how := changing(ctx)
	how.password = store.EventPasswordReset
	return a.useLink(ctx, how, l, func(u *store.User) { u.PasswordHash = hash })
}

// followLink gives the user to whom the link with this token went, if it is good and of one of these kinds.
func (a *Auth) followLink(ctx context.Context, token string, kinds ...store.MailKind) (link, store.User, error) {
	l, err := parseLink(token, kinds...)
	if err != nil {
		return link{}, store.User{}, err
	}
	u, err := a.cfg.Store.User(ctx, l.userID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return link{}, store.User{}, ErrLinkInvalid
	case err != nil:
		return link{}, store.User{}, fmt.Errorf("look up user: %w", err)
	}
	return l, u, a.checkLink(l, u)
}

// useLink changes the user as the link allows, and uses it up: what edit does must cancel the user's links. It is checked
// once more in the change itself, so that of many at once, in whatever process, one is good.
func (a *Auth) useLink(ctx context.Context, how *change, l link, edit func(*store.User)) error {
	_, err := a.accounts().change(ctx, how, l.userID, func(u store.User) (store.User, error) {
		if err := a.checkLink(l, u); err != nil {
			return u, err
		}
		edit(&u)
		return u, nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return ErrLinkInvalid
	}
	return err
}
