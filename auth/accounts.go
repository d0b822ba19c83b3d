package auth

import (
	"context"
	"fmt"

	"clientes/store"
)

// Accounts makes and changes users.
type Accounts struct {
	users store.Users
	gate  *Gate
}

// NewAccounts keeps users in that store and hashes their passwords at that gate.
func NewAccounts(users store.Users, gate *Gate) *Accounts {
	return &Accounts{users: users, gate: gate}
}

// Add makes a user. Either password is the new user's, or it is empty and u.PasswordHash a hash brought from
// elsewhere, of a kind that parseHash reads. It gives a *store.InvalidError that lists every field at fault, or
// a *store.ConflictError.
func (a *Accounts) Add(ctx context.Context, u store.User, password string) (store.User, error) {
	u, err := u.Validate()
	var fault error
	if password == "" && u.PasswordHash != "" {
		_, fault = parseHash(u.PasswordHash)
	} else {
		u.PasswordHash, fault = a.newHash(ctx, u, password)
	}
	if err := store.JoinInvalid(err, fault); err != nil {
		return store.User{}, err
	}
	u, err = a.users.CreateUser(ctx, u)
	if err != nil {
		return store.User{}, fmt.Errorf("add user: %w", err)
	}
	return u, nil
}

// SetPassword gives the user of that name another password and ends all their sessions. It gives
// store.ErrNotFound or a *store.InvalidError.
func (a *Accounts) SetPassword(ctx context.Context, name, password string) error {
	u, err := a.users.UserByName(ctx, name)
	if err != nil {
		return fmt.Errorf("look up user: %w", err)
	}
	hash, err := a.newHash(ctx, u, password)
	if err != nil {
		return err
	}
	return a.update(ctx, name, func(u store.User) (store.User, error) {
		u.PasswordHash = hash
		return u, nil
	})
}

// SetRole gives the user of that name another role and, if it is another, ends all their sessions. It gives
// store.ErrNotFound, store.ErrLastAdmin or a *store.InvalidError.
func (a *Accounts) SetRole(ctx context.Context, name string, role store.Role) error {
	return a.update(ctx, name, func(u store.User) (store.User, error) {
		u.Role = role
		return u.Validate()
	})
}

// Disable keeps the user of that name out and ends all their sessions. It gives store.ErrNotFound or
// store.ErrLastAdmin.
func (a *Accounts) Disable(ctx context.Context, name string) error {
	return a.update(ctx, name, func(u store.User) (store.User, error) {
		u.Disabled = true
		return u, nil
	})
}

// Enable lets the user of that name in again. It gives store.ErrNotFound.
func (a *Accounts) Enable(ctx context.Context, name string) error {
	return a.update(ctx, name, func(u store.User) (store.User, error) {
		u.Disabled = false
		return u, nil
	})
}

// Delete removes the user of that name and ends all their sessions. It gives store.ErrNotFound or
// store.ErrLastAdmin.
func (a *Accounts) Delete(ctx context.Context, name string) error {
	u, err := a.users.UserByName(ctx, name)
	if err != nil {
		return fmt.Errorf("look up user: %w", err)
	}
	if _, err := a.users.DeleteUser(ctx, u.ID); err != nil {
		return fmt.Errorf("delete user: %w", err)
	}
	return nil
}

func (a *Accounts) update(ctx context.Context, name string, change func(store.User) (store.User, error)) error {
	u, err := a.users.UserByName(ctx, name)
	if err != nil {
		return fmt.Errorf("look up user: %w", err)
	}
	if _, _, err := a.users.UpdateUser(ctx, u.ID, change); err != nil {
		return fmt.Errorf("change user: %w", err)
	}
	return nil
}

// newHash gives the hash of a new password of the user, of whom the name and the emails are looked at. It gives a
// *store.InvalidError on "password" if they may not take it, or ErrOverloaded.
func (a *Accounts) newHash(ctx context.Context, u store.User, password string) (hash string, err error) {
	if err := checkNewPassword(password); err != nil {
		return "", err
	}
	err = a.gate.Do(ctx, func() {
		if !guessable(password, u) {
			hash = hashPassword(password)
		}
	})
	if err == nil && hash == "" {
		err = tooGuessable()
	}
	return hash, err
}
