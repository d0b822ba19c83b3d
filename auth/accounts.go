package auth

import (
	"context"
	"fmt"
	"log/slog"

	"clientes/store"
)

// Accounts makes and changes users by their names, as whoever has the database does.
type Accounts struct {
	users store.Users
	gate  *Gate
	ended func([]store.Ended) // is told which sessions a change has ended
	log   *slog.Logger
}

// NewAccounts keeps users in that store and hashes their passwords here, for one caller at a time: another gets
// ErrOverloaded. Servers on the same database learn by themselves which sessions end.
func NewAccounts(users store.Users) *Accounts {
	return &Accounts{users: users, gate: NewGate(LocalHasher{}, 1, 0), ended: func([]store.Ended) {}, log: slog.New(slog.DiscardHandler)}
}

// Add makes a user. Either password is the new user's, or it is empty and u.PasswordHash a hash brought from
// elsewhere, of a kind that parseHash reads. It gives a *store.InvalidError that lists every field at fault, or
// a *store.ConflictError.
func (a *Accounts) Add(ctx context.Context, u store.User, password string) (store.User, error) {
	if password == "" && u.PasswordHash != "" {
		_, fault := parseHash(u.PasswordHash)
		return a.create(ctx, changing(ctx), u, fault)
	}
	return a.add(ctx, changing(ctx), u, password)
}

// add makes a user who has a password.
func (a *Accounts) add(ctx context.Context, how *change, u store.User, password string) (store.User, error) {
	var fault error
	u.PasswordHash, fault = a.newHash(ctx, u, password)
	return a.create(ctx, how, u, fault)
}

// create makes a user unless their password has a fault, or another field.
func (a *Accounts) create(ctx context.Context, how *change, u store.User, fault error) (store.User, error) {
	u, err := u.Validate()
	if err := store.JoinInvalid(err, fault); err != nil {
		return store.User{}, err
	}
	u, err = a.users.CreateUser(ctx, u, how.tell)
	if err != nil {
		return store.User{}, fmt.Errorf("add user: %w", err)
	}
	how.log(a.log)
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
	return a.delete(ctx, u.ID)
}

func (a *Accounts) update(ctx context.Context, name string, edit func(store.User) (store.User, error)) error {
	u, err := a.users.UserByName(ctx, name)
	if err != nil {
		return fmt.Errorf("look up user: %w", err)
	}
	_, err = a.change(ctx, changing(ctx), u.ID, edit)
	return err
}

// change is the one way in which a user is changed: who has to be told is told, and the sessions that end have ended
// when it returns.
func (a *Accounts) change(ctx context.Context, how *change, id int64, edit func(store.User) (store.User, error)) (store.User, error) {
	u, ended, err := a.users.UpdateUser(ctx, id, func(u store.User) (store.User, error) {
		now, err := edit(u)
		if !u.Disabled && now.Disabled {
			now.DeviceGeneration++ // whoever has made this necessary may have a mark
		}
		return now, err
	}, how.tell)
	if err != nil {
		return store.User{}, fmt.Errorf("change user: %w", err)
	}
	a.ended(ended)
	how.log(a.log)
	return u, nil
}

func (a *Accounts) delete(ctx context.Context, id int64) error {
	event := newEvent(ctx, store.EventUserDeleted, id, "")
	ended, err := a.users.DeleteUser(ctx, id, event)
	if err != nil {
		return fmt.Errorf("delete user: %w", err)
	}
	a.ended(ended)
	logEvents(a.log, []store.Event{event})
	return nil
}

// newHash gives the hash of a new password of the user, of whom the name and the emails are looked at. It gives a
// *store.InvalidError on "password" if they may not take it, or an error of the gate or its Hasher.
func (a *Accounts) newHash(ctx context.Context, u store.User, password string) (hash string, err error) {
	if err := CheckNewPassword(password); err != nil {
		return "", err
	}
	err = a.gate.Do(ctx, func(h Hasher) (err error) {
		hash, err = h.Hash(password, knownWords(u))
		return err
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("hash password: %w", err)
	case hash == "":
		return "", tooGuessable()
	}
	return hash, nil
}
