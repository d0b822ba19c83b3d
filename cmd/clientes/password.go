package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"clientes/auth/password"
	"clientes/cmd/clientes/config"
)

// newPasswordRules returns what this configuration requires of new passwords. The caller has to
// call done when the last one was checked.
func newPasswordRules(c config.Config) (rules password.Rules, done func(), err error) {
	rules.Least = int(c.PasswordMin)
	if c.PasswordDenied == "" {
		return rules, func() {}, nil
	}
	rules.Denied, err = password.OpenDenylist(c.PasswordDenied)
	if err != nil {
		return rules, nil, fmt.Errorf("PASSWORD_DENYLIST cannot be used: %w", err)
	}
	return rules, func() { rules.Denied.Close() }, nil
}

// maxPassword is far more than the longest password has, in bytes.
const maxPassword = 1 << 16

// passwordFrom returns a function that reads a new password: all of standard input but one newline
// at its end, or what somebody types twice on the terminal. A terminal shows what is read from
// standard input, so on a terminal it is always typed twice.
func (p *program) passwordFrom(stdin bool) func(context.Context) (string, error) {
	if stdin && !isTerminal(p.stdin) {
		return p.readPassword
	}
	return p.askPassword
}

func (p *program) readPassword(context.Context) (string, error) {
	b, err := io.ReadAll(io.LimitReader(p.stdin, maxPassword))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return config.DropNewline(string(b)), nil
}

func (p *program) askPassword(ctx context.Context) (string, error) {
	terminal, err := p.terminal()
	if err != nil {
		return "", err
	}
	password, err := p.ask(ctx, terminal, "Password: ")
	if err != nil {
		return "", err
	}
	again, err := p.ask(ctx, terminal, "Once more: ")
	if err != nil {
		return "", err
	}
	if password != again {
		return "", errors.New("the two passwords are not the same; nothing was changed, try again")
	}
	return password, nil
}

// ask reads a line from the terminal without showing it. An interrupt ends it, and from then on the
// terminal shows again what is typed.
func (p *program) ask(ctx context.Context, terminal *os.File, prompt string) (string, error) {
	fd := int(terminal.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("ask for the password: %w", err)
	}
	fmt.Fprint(p.stderr, prompt)
	defer fmt.Fprintln(p.stderr)
	type answer struct {
		line []byte
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		line, err := term.ReadPassword(fd)
		answered <- answer{line, err}
	}()
	select {
	case a := <-answered:
		if a.err != nil {
			return "", fmt.Errorf("read the password: %w", a.err)
		}
		return string(a.line), nil
	case <-ctx.Done():
		// The read goes on until the process ends, which is soon.
		return "", errors.Join(ctx.Err(), term.Restore(fd, before))
	}
}
