package auth

import (
	"context"

	"clientes/store"
)

// Users returns up to limit users with an ID above after, by ascending ID.
func (a *Auth) Users(ctx context.Context, after int64, limit int) ([]store.User, error) {
	return a.cfg.Store.Users(ctx, after, limit)
}

// User returns one user, or [store.ErrNotFound].
func (a *Auth) User(ctx context.Context, id int64) (store.User, error) {
	return a.cfg.Store.User(ctx, id)
}

// AddUser makes a user for an admin. A user without a password gets a mail to choose one, and
// needs an email for that. AddUser returns a *[store.InvalidError] that lists every field at fault,
// or a *[store.ConflictError].
func (a *Auth) AddUser(
	ctx context.Context, u store.User, newPassword string,
) (store.User, error) {
	if newPassword != "" {
		return a.accounts.add(ctx, newEffects(ctx), u, newPassword)
	}
	return a.accounts.create(ctx, newEffects(ctx), u, checkInvited(u))
}

// CheckNewUser returns what is plainly wrong with a user whom an admin wants to make, as a
// *[store.InvalidError], so that a caller can report it beside other faults. [Auth.AddUser] finds
// more: that the password is easy to guess, or the name taken.
func (a *Auth) CheckNewUser(u store.User, newPassword string) error {
	u, err := u.Validate()
	if newPassword == "" {
		return store.JoinInvalid(err, checkInvited(u))
	}
	return store.JoinInvalid(err, a.CheckNewPassword(newPassword))
}

func checkInvited(u store.User) error {
	if store.Trim(u.Email) == "" {
		return store.Invalid("email", "required",
			"Without a password the user needs an email, to choose one by a link in a mail.")
	}
	return nil
}

// ChangeUser updates a user for an admin. An email that it sets counts as confirmed. It returns the
// error of update, a *[store.InvalidError], a *[store.ConflictError], [store.ErrNotFound] or
// [store.ErrLastAdmin].
func (a *Auth) ChangeUser(
	ctx context.Context, id int64, update func(store.User) (store.User, error),
) (store.User, error) {
	return a.accounts.update(ctx, newEffects(ctx), id, func(old store.User) (store.User, error) {
		u, err := update(old)
		if err == nil {
			u, err = u.Validate()
		}
		if u.Email != old.Email {
			u.PendingEmail = ""
		}
		return u, err
	})
}

// DeleteUser removes a user and ends all their sessions. It returns [store.ErrNotFound] or
// [store.ErrLastAdmin].
func (a *Auth) DeleteUser(ctx context.Context, id int64) error {
	return a.accounts.delete(ctx, id)
}
