package main

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"
)

// adminLogin are the flags of a command that logs in at a server.
type adminLogin struct {
	user, code string
	stdin      bool
}

func (l *adminLogin) addFlags(cmd *cobra.Command, userUsage string) {
	f := cmd.Flags()
	f.StringVar(&l.user, "user", "", userUsage)
	f.StringVar(&l.code, "code", "", "the current code of the admin's second factor")
	f.BoolVar(&l.stdin, "password-stdin", false, "read the admin's password from standard input")
}

// presentPassword returns the password that the admin has: what is on standard input, or what
// somebody types on the terminal.
func (p *program) presentPassword(ctx context.Context, l adminLogin) (string, error) {
	if l.stdin {
		return p.readPassword(ctx)
	}
	terminal, err := p.terminal()
	if err != nil {
		return "", err
	}
	return p.ask(ctx, terminal, "Password of "+l.user+": ")
}

// terminal returns the terminal to ask for a password on.
func (p *program) terminal() (*os.File, error) {
	terminal, ok := p.stdin.(*os.File)
	if !ok || !isTerminal(terminal) {
		return nil, errors.New("there is no terminal to ask for the password on; " +
			"give it with --password-stdin")
	}
	return terminal, nil
}
