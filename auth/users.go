package auth

import (
	"context"

	"clientes/store"
)

// accounts makes and changes users so that this process knows at once which sessions that ends.
func (a *Auth) accounts() *Accounts {
	return &Accounts{users: a.cfg.Store, gate: a.cfg.Gate, ended: a.ended.addAll, log: a.cfg.Log}
}

// Users gives up to limit users with an ID above after, by ascending ID.
func (a *Auth) Users(ctx context.Context, after int64, limit int) ([]store.User, error) {
	return a.cfg.Store.Users(ctx, after, limit)
}

// User gives one user, or store.ErrNotFound.
func (a *Auth) User(ctx context.Context, id int64) (store.User, error) {
	return a.cfg.Store.User(ctx, id)
}

// AddUser makes a user as an admin says. Without a password they get a mail to choose one, for which they need an email.
// It gives a *store.InvalidError that lists every field at fault, or a *store.ConflictError.
func (a *Auth) AddUser(ctx context.Context, u store.User, password string) (store.User, error) {
	if password != "" {
		return a.accounts().add(ctx, changing(ctx), u, password)
	}
	return a.accounts().create(ctx, changing(ctx), u, checkInvited(u))
}

// CheckNewUser says what is plainly wrong with a user whom an admin wants to make, as a *store.InvalidError, for who wants to
// tell of it beside other faults. AddUser finds more: that the password is easy to guess, or the name taken.
func CheckNewUser(u store.User, password string) error {
	_, err := u.Validate()
	if password == "" {
		return store.JoinInvalid(err, checkInvited(u))
	}
	return store.JoinInvalid(err, CheckNewPassword(password))
}

func checkInvited(u store.User) error {
	if u.Email == "" {
		return store.Invalid("email", "required", "Without a password the user needs an email, to choose one by a link in a mail.")
	}
	return nil
}

// ChangeUser changes a user as an admin says; an email counts as confirmed. It gives what edit does, a *store.InvalidError,
// a *store.ConflictError, store.ErrNotFound or store.ErrLastAdmin.
func (a *Auth) ChangeUser(ctx context.Context, id int64, edit func(store.User) (store.User, error)) (store.User, error) {
	return a.accounts().change(ctx, changing(ctx), id, func(old store.User) (store.User, error) {
		u, err := edit(old)
		if err == nil {
			u, err = u.Validate()
		}
		if u.Email != old.Email {
			u.PendingEmail = ""
		}
		return u, err
	})
}

// DeleteUser removes a user and ends all their sessions. It gives store.ErrNotFound or store.ErrLastAdmin.
func (a *Auth) DeleteUser(ctx context.Context, id int64) error {
	return a.accounts().delete(ctx, id)
}
