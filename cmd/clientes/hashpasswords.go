package main

import (
	"github.com/spf13/cobra"

	"clientes/auth/password"
)

// hashPasswords is the name of the command that a [password.Process] calls.
const hashPasswords = "hash-passwords"

func (p *program) hashPasswordsCommand() *cobra.Command {
	return &cobra.Command{
		Use:    hashPasswords,
		Short:  "Hash passwords for the server that has started this",
		Hidden: true,
		Args:   arguments,
		RunE: func(*cobra.Command, []string) error {
			if isTerminal(p.stdin) {
				return &usageError{"a server calls this by itself; `clientes serve` starts one"}
			}
			return password.ServeProcess(p.stdout)
		},
	}
}
