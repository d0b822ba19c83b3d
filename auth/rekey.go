package auth

import (
	"context"
	"errors"
	"fmt"

	"clientes/store"
)

// Rekeyed is what [Auth.Rekey] did with the second factors of all users.
type Rekeyed struct {
	Anew    int // sealed under an old root before, and under the newest now
	Already int // sealed under the newest before

	// Unreadable are the names of the users whose second factor was sealed under none of the roots.
	Unreadable []string

	// Unfinished counts what was sealed under none of the roots and is no second factor yet,
	// because no code has confirmed it. It keeps nobody out: its user can begin anew.
	Unfinished int
}

// Rekey seals every second factor anew that was sealed under an old root. Nothing else in the store
// is sealed. Once it has returned with nobody unreadable, the old root is not needed for second
// factors any more.
//
// It is safe while other processes serve, if their newest root is the same: another one would seal
// what is used under its own. After an interruption, call it again.
func (a *Auth) Rekey(ctx context.Context) (Rekeyed, error) {
	const page = 500
	var done Rekeyed
	for after := int64(0); ; {
		users, err := a.cfg.Store.Users(ctx, after, page)
		if err != nil {
			return done, fmt.Errorf("list users: %w", err)
		}
		for _, u := range users {
			if err := a.rekey(ctx, u, &done); err != nil {
				return done, fmt.Errorf("seal the second factor of user %d: %w", u.ID, err)
			}
		}
		if len(users) < page {
			return done, nil
		}
		after = users[len(users)-1].ID
	}
}

// rekey seals the second factor of one user anew if that has to be done. The error is one of the
// store.
func (a *Auth) rekey(ctx context.Context, u store.User, done *Rekeyed) error {
	if u.MFA.Secret == "" {
		return nil
	}
	switch _, newest, err := openSecret(a.keys, u.ID, u.MFA.Secret); {
	case err != nil && !u.MFA.On:
		done.Unfinished++
		return nil
	case err != nil:
		done.Unreadable = append(done.Unreadable, u.Name)
		return nil
	case newest:
		done.Already++
		return nil
	}
	// The user may have used the second factor, ended it or set up another one since. Whatever is
	// there now was sealed by a process that serves.
	sealed := false
	_, _, err := a.cfg.Store.UpdateUser(ctx, u.ID, func(now store.User) (store.User, error) {
		sealed = now.MFA.Secret == u.MFA.Secret
		if !sealed {
			return now, nil
		}
		secret, _, err := openSecret(a.keys, now.ID, now.MFA.Secret)
		if err != nil {
			return now, err
		}
		now.MFA.Secret = sealSecret(a.keys, now.ID, secret)
		return now, nil
	})
	switch {
	case errors.Is(err, store.ErrNotFound): // deleted since
		return nil
	case err != nil:
		return err
	case sealed:
		done.Anew++
	default:
		done.Already++
	}
	return nil
}
