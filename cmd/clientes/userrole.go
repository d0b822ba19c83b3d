package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"clientes/auth"
	"clientes/store"
)

func (p *program) userRoleCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "role NAME ROLE",
		Short: "Make a user a viewer, an editor or an admin",
		Long: `Give a user another role: a viewer reads customers, an editor also writes them, an admin also
manages users. If it is another, all their sessions end. The last active admin cannot be demoted.`,
		Args: arguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, role := store.Trim(args[0]), args[1]
			if err := checkRole(role); err != nil {
				return err
			}
			set := func(ctx context.Context, accounts *auth.Accounts, _ string) error {
				if err := accounts.SetRole(ctx, name, store.Role(role)); err != nil {
					return noSuchUser(name, err)
				}
				_, err := fmt.Fprintf(p.stdout, "user %q has the role %s\n", name, role)
				return err
			}
			return p.updateAccounts(cmd.Context(), nil, set)
		},
	}
}
