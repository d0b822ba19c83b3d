package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"clientes/api/wire"
	"clientes/auth"
	"clientes/store"
)

func (p *program) userAddCommand() *cobra.Command {
	var (
		email, role, hash string
		fromStdin         bool
	)
	var asJSON *bool
	add := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a user",
		Long: `Add a user. The password is typed twice, or read from standard input (one newline at its end is
dropped), or brought along as a hash of one of the kinds that cmd/clientes/README.md lists. Other
users of the machine can see the arguments of a command while it runs, a hash among them.`,
		Args: arguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			byHash := cmd.Flags().Changed("password-hash")
			if byHash && fromStdin {
				return &usageError{"--password-hash and --password-stdin are two ways to say the same; " +
					"give one of them"}
			}
			if byHash && hash == "" {
				return &usageError{"--password-hash is empty; put the hash in single quotes, " +
					"or a shell takes what follows each $ in it for the name of a variable"}
			}
			if err := checkRole(role); err != nil {
				return err
			}
			u := store.User{Name: args[0], Email: email, Role: store.Role(role), PasswordHash: hash}
			read := p.passwordFrom(fromStdin)
			if byHash {
				read = nil
			}
			add := func(ctx context.Context, accounts *auth.Accounts, password string) error {
				u, err := accounts.Add(ctx, u, password)
				if err != nil {
					return err
				}
				if *asJSON {
					return printJSON(p.stdout, wire.ViewUser(u))
				}
				_, err = fmt.Fprintf(p.stdout, "user %q is added with the role %s\n", u.Name,
					u.Role)
				return err
			}
			return p.addAccount(cmd.Context(), read, add)
		},
	}
	add.Flags().StringVar(&email, "email", "", "an email address, which counts as confirmed")
	add.Flags().StringVar(&role, "role", string(store.Viewer),
		"the `ROLE`: viewer, editor or admin")
	add.Flags().BoolVar(&fromStdin, "password-stdin", false,
		"read the password from standard input")
	add.Flags().StringVar(&hash, "password-hash", "",
		"the `HASH` of the password instead of the password")
	asJSON = addJSONFlag(add, "the user as the API sends it")
	return add
}
