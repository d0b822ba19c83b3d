package auth

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"clientes/store"
)

// Import makes the users of rows that were brought along from elsewhere, each with the hash of their password, and gives
// them as they were made: all, or none if anything is wrong with any. Their emails count as confirmed. A row may come
// as a *store.InvalidError instead; any other error among them ends it and is given back as it is. Faults are a
// *store.RowsError.
func (a *Accounts) Import(ctx context.Context, rows iter.Seq2[store.User, error]) ([]store.User, error) {
	users, err := a.checkRows(ctx, rows)
	if err != nil {
		return nil, err
	}
	users, err = a.users.CreateUsers(ctx, users, changing(ctx).tell) // no line in a log: it is the command line's alone
	if err != nil {
		return nil, fmt.Errorf("import users: %w", err)
	}
	return users, nil
}

// CheckImport says how many users Import would make, or what it would refuse, and changes nothing.
func (a *Accounts) CheckImport(ctx context.Context, rows iter.Seq2[store.User, error]) (int, error) {
	users, err := a.checkRows(ctx, rows)
	return len(users), err
}

// checkRows gives the users of the rows, or the faults of all rows in their order: what is wrong with each in itself,
// and names and emails that are taken.
func (a *Accounts) checkRows(ctx context.Context, rows iter.Seq2[store.User, error]) ([]store.User, error) {
	var users []store.User // what is at fault is "" in them, which is nobody's
	var faults store.RowsError
	for u, err := range rows {
		if err == nil {
			u, err = u.Validate()
			err = store.JoinInvalid(err, importedHashFault(u.PasswordHash))
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
			return nil, err
		}
		users = append(users, u)
	}
	var taken *store.RowsError
	switch err := a.users.CheckUsers(ctx, users); {
	case errors.As(err, &taken):
		faults.Count += taken.Count
		faults.Rows = append(faults.Rows, taken.Rows...)
		slices.SortStableFunc(faults.Rows, func(x, y store.RowError) int { return int(x.Row - y.Row) })
		faults.Rows = faults.Rows[:min(len(faults.Rows), store.MaxRowErrors)]
	case err != nil:
		return nil, fmt.Errorf("check users: %w", err)
	}
	return users, faults.Err()
}

func importedHashFault(hash string) error {
	if hash == "" {
		return hashFault("required", "A hash of the password is required.")
	}
	_, err := parseHash(hash)
	return err
}
