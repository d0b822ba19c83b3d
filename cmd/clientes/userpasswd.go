package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"clientes/auth"
)

func (p *program) userPasswdCommand() *cobra.Command {
	var fromStdin bool
	passwd := &cobra.Command{
		Use:   "passwd NAME",
		Short: "Give a user another password and end all their sessions",
		Args:  arguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			set := func(ctx context.Context, accounts *auth.Accounts, password string) error {
				if err := accounts.SetPassword(ctx, args[0], password); err != nil {
					return noSuchUser(args[0], err)
				}
				_, err := fmt.Fprintf(p.stdout,
					"user %q has another password and no session any more\n", args[0])
				return err
			}
			return p.updateAccounts(cmd.Context(), p.passwordFrom(fromStdin), set)
		},
	}
	passwd.Flags().BoolVar(&fromStdin, "password-stdin", false,
		"read the password from standard input")
	return passwd
}
