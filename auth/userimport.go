package auth

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"clientes/auth/password"
	"clientes/store"
)

// Import makes users of rows that were brought from elsewhere, and returns them as they were made.
// Each has the hash of their password, or what [password.IsAbsent] accepts in its place. Import
// makes all of them, or none if anything is wrong with any. Their emails count as confirmed. A row
// may come as a *[store.InvalidError] instead. Any other error among the rows ends the import and
// is returned as it is. Faults are a *[store.RowsError].
//
// Nobody is invited, because a file may have very many users: those without a password ask for a
// link themselves ([Auth.ForgotPassword]).
func (a *Accounts) Import(
	ctx context.Context, rows iter.Seq2[store.User, error],
) ([]store.User, error) {
	users, err := a.checkRows(ctx, rows)
	if err != nil {
		return nil, err
	}
	fx := newEffects(ctx)
	fx.newAdmins, fx.uninvited = adminNames(users), true
	// Nothing is logged: only the command line imports users.
	users, err = a.users.CreateUsers(ctx, users, fx.of)
	if err != nil {
		return nil, fmt.Errorf("import users: %w", err)
	}
	return users, nil
}

// adminNames returns the names of the admins among users: the first ten, and how many more.
func adminNames(users []store.User) string {
	const most = 10
	var names []string
	for _, u := range users {
		if u.ActiveAdmin() {
			names = append(names, u.Name)
		}
	}
	if more := len(names) - most; more > 0 {
		names = append(names[:most], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// CheckImport returns the users that [Accounts.Import] would make, or the error it would return. It
// changes nothing.
func (a *Accounts) CheckImport(
	ctx context.Context, rows iter.Seq2[store.User, error],
) ([]store.User, error) {
	return a.checkRows(ctx, rows)
}

// checkRows returns the users of the rows, or the faults of all rows in their order: what is wrong
// with each by itself, and names and emails that are taken.
func (a *Accounts) checkRows(
	ctx context.Context, rows iter.Seq2[store.User, error],
) ([]store.User, error) {
	users, faults, err := readRows(rows)
	if err != nil {
		return nil, err
	}
	var taken *store.RowsError
	switch err := a.users.CheckUsers(ctx, users); {
	case errors.As(err, &taken):
		faults.Count += taken.Count
		faults.Rows = append(faults.Rows, taken.Rows...)
		slices.SortStableFunc(faults.Rows, func(x, y store.RowError) int {
			return int(x.Row - y.Row)
		})
		faults.Rows = faults.Rows[:min(len(faults.Rows), store.MaxRowErrors)]
	case err != nil:
		return nil, fmt.Errorf("check users: %w", err)
	}
	return users, faults.Err()
}

// readRows returns the users of the rows, and what is wrong with each by itself. A field at fault
// is "" in its user, so that it is nobody else's.
func readRows(rows iter.Seq2[store.User, error]) (
	users []store.User, faults store.RowsError, err error,
) {
	for u, err := range rows {
		if err == nil {
			u, err = u.Validate()
			u.PasswordHash = store.Trim(u.PasswordHash)
			if password.IsAbsent(u.PasswordHash) {
				u.PasswordHash = ""
			} else {
				err = store.JoinInvalid(err, password.CheckHash(u.PasswordHash))
			}
		} else {
			u = store.User{}
		}
		var invalid *store.InvalidError
		switch {
		case errors.As(err, &invalid):
			for _, f := range invalid.Fields {
				faults.Add(int64(len(users)+1), f)
				switch f.Field {
				case "user":
					u.Name = ""
				case "email":
					u.Email = ""
				}
			}
		case err != nil:
			return nil, faults, err
		}
		users = append(users, u)
	}
	return users, faults, nil
}
