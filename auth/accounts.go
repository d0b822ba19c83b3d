package auth

import (
	"context"
	"fmt"
	"log/slog"

	"clientes/auth/password"
	"clientes/store"
)

// Accounts makes and changes users by name, for a command line with access to the database.
type Accounts struct {
	users accountStore
	keys  keyStore
	gate  *password.Gate
	ended func([]store.Ended) // receives the sessions that an update ended

	// checkCaller returns nil if the session of the request of ctx has not ended, or there is none.
	checkCaller func(ctx context.Context) error

	log *slog.Logger
}

// accountStore is what Accounts need of a store. [store.Store] documents its methods.
type accountStore interface {
	store.Users
	store.Erasing
	keyStore
}

// NewAccounts returns Accounts that keep users in that store. It hashes passwords in this process,
// for one caller at a time: another gets [ErrOverloaded]. Servers on the same database learn by
// themselves which sessions end.
func NewAccounts(st accountStore) *Accounts {
	return &Accounts{
		users: st,
		keys:  st,
		gate:  password.NewGate(password.Local{}, 1, 0),
		ended: func([]store.Ended) {},
		log:   slog.New(slog.DiscardHandler),

		checkCaller: func(context.Context) error { return nil },
	}
}

// WithRules sets what a new password has to be, and returns the Accounts.
func (a *Accounts) WithRules(rules password.Rules) *Accounts {
	a.gate.Rules = rules
	return a
}

// Add makes a user. Either password is the new user's, or it is empty and u.PasswordHash is a hash
// brought from elsewhere that [password.CheckHash] accepts. Add returns a *[store.InvalidError]
// that lists every field at fault, or a *[store.ConflictError].
func (a *Accounts) Add(
	ctx context.Context, u store.User, newPassword string,
) (store.User, error) {
	if newPassword == "" && u.PasswordHash != "" {
		return a.create(ctx, newEffects(ctx), u, password.CheckHash(u.PasswordHash))
	}
	return a.add(ctx, newEffects(ctx), u, newPassword)
}

// add makes a user who has a password.
func (a *Accounts) add(
	ctx context.Context, fx *effects, u store.User, newPassword string,
) (store.User, error) {
	var fault error
	u.Name, u.Email = store.Trim(u.Name), store.Trim(u.Email) // which a password must not be
	u.PasswordHash, fault = a.gate.HashNew(ctx, u, newPassword)
	return a.create(ctx, fx, u, fault)
}

// create makes a user unless their password has a fault, or another field has one.
func (a *Accounts) create(
	ctx context.Context, fx *effects, u store.User, fault error,
) (store.User, error) {
	u, err := u.Validate()
	if err := store.JoinInvalid(err, fault); err != nil {
		return store.User{}, err
	}
	if err := a.checkCaller(ctx); err != nil {
		return store.User{}, err // the hash of the password may have waited at the gate
	}
	u, err = a.users.CreateUser(ctx, u, fx.of)
	if err != nil {
		return store.User{}, fmt.Errorf("add user: %w", err)
	}
	fx.log(a.log)
	return u, nil
}

// SetPassword sets another password for the user of that name, and ends all their sessions. It
// returns [store.ErrNotFound] or a *[store.InvalidError].
func (a *Accounts) SetPassword(ctx context.Context, name, newPassword string) error {
	u, err := a.users.UserByName(ctx, name)
	if err != nil {
		return fmt.Errorf("look up user: %w", err)
	}
	hash, err := a.gate.HashNew(ctx, u, newPassword)
	if err != nil {
		return err
	}
	return a.updateByName(ctx, name, func(u store.User) (store.User, error) {
		u.PasswordHash = hash
		return u, nil
	})
}

// SetRole sets the role of the user of that name. If it is another role, all their sessions end. It
// returns [store.ErrNotFound], [store.ErrLastAdmin] or a *[store.InvalidError].
func (a *Accounts) SetRole(ctx context.Context, name string, role store.Role) error {
	return a.updateByName(ctx, name, func(u store.User) (store.User, error) {
		u.Role = role
		return u.Validate()
	})
}

// Disable keeps the user of that name out and ends all their sessions. It returns
// [store.ErrNotFound] or [store.ErrLastAdmin].
func (a *Accounts) Disable(ctx context.Context, name string) error {
	return a.updateByName(ctx, name, func(u store.User) (store.User, error) {
		u.Disabled = true
		return u, nil
	})
}

// Enable lets the user of that name in again. It returns [store.ErrNotFound].
func (a *Accounts) Enable(ctx context.Context, name string) error {
	return a.updateByName(ctx, name, func(u store.User) (store.User, error) {
		u.Disabled = false
		return u, nil
	})
}

// Delete removes the user of that name and ends all their sessions. It returns [store.ErrNotFound]
// or [store.ErrLastAdmin].
func (a *Accounts) Delete(ctx context.Context, name string) error {
	u, err := a.users.UserByName(ctx, name)
	if err != nil {
		return fmt.Errorf("look up user: %w", err)
	}
	return a.delete(ctx, u.ID)
}

func (a *Accounts) updateByName(
	ctx context.Context, name string, update func(store.User) (store.User, error),
) error {
	u, err := a.users.UserByName(ctx, name)
	if err != nil {
		return fmt.Errorf("look up user: %w", err)
	}
	_, err = a.update(ctx, newEffects(ctx), u.ID, update)
	return err
}

// update is the only way in which a user is changed. The effects are kept together with the update,
// and the sessions that it ends have ended when update returns. A caller whose session has ended
// meanwhile, for example while their password waited at the gate, gets [ErrTokenRevoked].
func (a *Accounts) update(
	ctx context.Context, fx *effects, id int64, update func(store.User) (store.User, error),
) (store.User, error) {
	if err := a.checkCaller(ctx); err != nil {
		return store.User{}, err
	}
	u, ended, err := a.users.UpdateUser(ctx, id, func(u store.User) (store.User, error) {
		now, err := update(u)
		if !u.Disabled && now.Disabled {
			// Whoever made it necessary to disable the account may have a device token.
			now.DeviceGeneration++
		}
		return now, err
	}, fx.of)
	if err != nil {
		return store.User{}, fmt.Errorf("change user: %w", err)
	}
	a.ended(ended)
	fx.log(a.log)
	return u, nil
}

func (a *Accounts) delete(ctx context.Context, id int64) error {
	if err := a.checkCaller(ctx); err != nil {
		return err
	}
	event := newEvent(ctx, store.EventUserDeleted, id, "")
	ended, err := a.users.DeleteUser(ctx, id, event)
	if err != nil {
		return fmt.Errorf("delete user: %w", err)
	}
	a.ended(ended)
	logEvents(a.log, []store.Event{event})
	return nil
}
