package auth

import (
	"context"
	"errors"
	"fmt"

	"clientes/auth/token"
	"clientes/store"
)

// ForgotPassword queues a mail with a link to set another password. It goes to the user of that
// name, or if name is "" to the user of that confirmed email. Nobody gets more than three within an
// hour.
//
// Neither the result nor the time that it takes shows whether the user exists: the store answers
// the same queries and writes as much. Where nothing is to be sent, it queues a mail to nobody,
// which [Auth.SendMail] drops. For a network that asks too often it does nothing at all, or anybody
// could fill the queue with such mails. Before that it returns a *[ChallengeError], see
// [ErrCaptchaRequired] and [WithCaptcha].
func (a *Auth) ForgotPassword(ctx context.Context, name, email string) error {
	err := a.guard.captchas.ask(ctx, captchaForgot)
	switch {
	case errors.Is(err, ErrTooManyAttempts) && !errors.Is(err, ErrCaptchaRequired):
		return nil
	case err != nil:
		return err
	}
	u, err := a.findUser(ctx, name, email)
	if err != nil {
		return err
	}
	// A mail must belong to a user in the store. The first is there for long: the last admin cannot
	// be deleted.
	first, err := a.cfg.Store.Users(ctx, 0, 1)
	if err != nil {
		return fmt.Errorf("look up a user: %w", err)
	}
	if len(first) == 0 {
		return nil
	}
	m := store.Mail{UserID: first[0].ID, Kind: store.MailReset}
	asked := int64(0)
	bucket := noMailsBucket(a.keys, name, email)
	if u.Email != "" && !u.Disabled {
		asked, bucket = u.ID, mailsBucket(u.ID)
	}
	wait, err := a.guard.limiter.Ask(ctx, bucket)
	if err != nil {
		return err
	}
	if asked != 0 && wait == 0 {
		m.UserID, m.To = u.ID, u.Email
	}
	if err := a.cfg.Store.QueueMails(ctx, m); err != nil {
		return fmt.Errorf("queue mail: %w", err)
	}
	a.audit.recordStrangers(ctx, store.EventPasswordForgotten, asked, "")
	return nil
}

// findUser returns the user of that name, or if name is "" of that email, or the zero User.
func (a *Auth) findUser(ctx context.Context, name, email string) (u store.User, err error) {
	if name = store.Trim(name); name != "" {
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

// ResetPassword sets another password for the user who got the link with this token, and ends all
// their sessions. It returns [ErrLinkInvalid], or a *[store.InvalidError] on "password", after
// which the link is still good.
//
// Whoever read the mail is no stranger. So it returns a device token for the next login, and clears
// the count of the name. Otherwise strangers who fail under it would keep the owner out.
func (a *Auth) ResetPassword(
	ctx context.Context, linkToken, newPassword string,
) (device string, err error) {
	k, u, err := a.links.follow(ctx, linkToken, store.MailReset, store.MailInvitation)
	if err != nil {
		return "", err
	}
	hash, err := a.cfg.Gate.HashNew(ctx, u, newPassword)
	if err != nil {
		return "", err
	}
	fx := newEffects(ctx)
	fx.password = store.EventPasswordReset
	u, err = a.links.use(ctx, fx, k, func(u *store.User) { u.PasswordHash = hash })
	if err != nil {
		return "", err
	}
	// The password is set and the link is used, so an error here must not say that they are not.
	if err := a.guard.limiter.Clear(ctx, nameBucket(a.keys, u.ID, u.Name)); err != nil {
		a.cfg.Log.Error("a reset could not clear the count of failed logins before it",
			"user_id", u.ID, "error", err)
	}
	return signDeviceToken(a.keys, u, token.NewID(), a.cfg.Store.Now()), nil
}
