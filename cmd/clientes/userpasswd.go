package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"clientes/auth"
	"clientes/store"
)

func (p *program) userPasswdCommand() *cobra.Command {
	var fromStdin bool
	passwd := &cobra.Command{
		Use:   "passwd NAME",
		Short: "Give a user another password and end all their sessions",
		Args:  arguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			name := store.Trim(args[0])
			set := func(ctx context.Context, accounts *auth.Accounts, password string) error {
				if err := accounts.SetPassword(ctx, name, password); err != nil {
					return noSuchUser(name, err)
				}
				_, err := fmt.Fprintf(p.stdout,
					"user %q has another password and no session any more\n", name)
				return err
			}
			return p.updateAccounts(cmd.Context(), p.passwordFrom(fromStdin), set)
		},
	}
	passwd.Flags().BoolVar(&fromStdin, "password-stdin", false,
		"read the password from standard input")
	return passwd
}
