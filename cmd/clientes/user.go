package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"clientes/auth"
	"clientes/cmd/clientes/config"
	"clientes/store"
)

func (p *program) userCommand() *cobra.Command {
	return p.group("user", "Add, list and change the accounts that can log in",
		p.userAddCommand(),
		p.userImportCommand(),
		p.userListCommand(),
		p.userPasswdCommand(),
		p.userRoleCommand(),
		p.userUpdateCommand("disable NAME", "Keep a user out and end all their sessions",
			"user %q is disabled and has no session any more\n", (*auth.Accounts).Disable),
		p.userUpdateCommand("enable NAME", "Let a user in again",
			"user %q is enabled\n", (*auth.Accounts).Enable),
		p.userUpdateCommand("mfa-off NAME", "Take away the second factor of a user who has lost it",
			"user %q has no second factor\n", (*auth.Accounts).DropMFA),
		p.userDeleteCommand(),
	)
}

func (p *program) userDeleteCommand() *cobra.Command {
	erase := false
	remove := p.userUpdateCommand("delete NAME", "Remove a user and end all their sessions",
		"user %q is deleted\n",
		func(a *auth.Accounts, ctx context.Context, name string) error {
			if erase {
				return a.Erase(ctx, name)
			}
			return a.Delete(ctx, name)
		})
	remove.Flags().BoolVar(&erase, "erase", false,
		"put a number in place of the name in histories, and remove addresses of the user")
	return remove
}

// userUpdateCommand returns a command that needs nothing but the name of a user.
func (p *program) userUpdateCommand(
	use, short, done string, update func(*auth.Accounts, context.Context, string) error,
) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  arguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			name := store.Trim(args[0])
			updateOne := func(ctx context.Context, accounts *auth.Accounts, _ string) error {
				if err := update(accounts, ctx, name); err != nil {
					return noSuchUser(name, err)
				}
				_, err := fmt.Fprintf(p.stdout, done, name)
				return err
			}
			return p.updateAccounts(cmd.Context(), nil, updateOne)
		},
	}
}

// updateAccounts calls update with the accounts of the configured store, which has to be there, and
// with the password that read returns. A nil read means that no password is needed.
func (p *program) updateAccounts(
	ctx context.Context, read func(context.Context) (string, error),
	update func(context.Context, *auth.Accounts, string) error,
) error {
	c, err := p.configure()
	if err != nil {
		return err
	}
	open := func() (store.Store, error) { return openExisting(ctx, c.DatabaseURL) }
	return changeAccounts(ctx, c, read, open, update)
}

// addAccount is updateAccounts for a store that is made if there is none.
func (p *program) addAccount(
	ctx context.Context, read func(context.Context) (string, error),
	add func(context.Context, *auth.Accounts, string) error,
) error {
	c, err := p.configureToAdd()
	if err != nil {
		return err
	}
	open := func() (store.Store, error) { return p.openToAdd(ctx, c) }
	return changeAccounts(ctx, c, read, open, add)
}

func changeAccounts(
	ctx context.Context, c config.Config, read func(context.Context) (string, error),
	open func() (store.Store, error),
	update func(context.Context, *auth.Accounts, string) error,
) error {
	var err error
	var password string
	if read != nil {
		// Before the store is opened: while somebody types no connection is held, and if they give
		// up no database was made.
		if password, err = read(ctx); err != nil {
			return err
		}
	}
	rules, done, err := newPasswordRules(c)
	if err != nil {
		return err
	}
	defer done()
	st, err := open()
	if err != nil {
		return err
	}
	defer st.Close()
	return update(ctx, auth.NewAccounts(st).WithRules(rules), password)
}

func checkRole(role string) error {
	if store.Role(role).Valid() {
		return nil
	}
	return &usageError{fmt.Sprintf("there is no role %q; give viewer, editor or admin", role)}
}

func noSuchUser(name string, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("there is no user %q; `clientes user list` shows them", name)
	}
	return err
}
