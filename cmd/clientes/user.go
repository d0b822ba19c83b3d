package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"clientes/api/wire"
	"clientes/auth"
	"clientes/store"
)

func (p *program) userCommand() *cobra.Command {
	return p.group("user", "Add, list and change the accounts that can log in",
		p.userAddCommand(),
		p.userImportCommand(),
		p.userListCommand(),
		p.userPasswdCommand(),
		p.userRoleCommand(),
		p.userChangeCommand("disable NAME", "Keep a user out and end all their sessions",
			"user %q is disabled and has no session any more\n", (*auth.Accounts).Disable),
		p.userChangeCommand("enable NAME", "Let a user in again",
			"user %q is enabled\n", (*auth.Accounts).Enable),
		p.userChangeCommand("delete NAME", "Remove a user and end all their sessions",
			"user %q is deleted\n", (*auth.Accounts).Delete),
	)
}

func (p *program) userAddCommand() *cobra.Command {
	var (
		email, role, hash string
		fromStdin         bool
	)
	add := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a user",
		Long: `Add a user. The password is asked for twice, or read from standard input (one newline at its end is
dropped), or brought along as a hash: bcrypt; Argon2, scrypt or PBKDF2 in PHC form or Django's; or
passport-local-mongoose$DIGEST$ITERATIONS$SALT$HASH. Other users of the machine can see the arguments of a command
while it runs; a hash among them too.`,
		Args: arguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			byHash := cmd.Flags().Changed("password-hash")
			if byHash && fromStdin {
				return &usageError{"--password-hash and --password-stdin are two ways to say the same; give one of them"}
			}
			if err := checkRole(role); err != nil {
				return err
			}
			u := store.User{Name: args[0], Email: email, Role: store.Role(role), PasswordHash: hash}
			var ask func(context.Context) (string, error)
			if !byHash {
				ask = p.passwordFrom(fromStdin)
			}
			return p.changeAccounts(cmd.Context(), ask, func(ctx context.Context, accounts *auth.Accounts, password string) error {
				u, err := accounts.Add(ctx, u, password)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(p.stdout, "user %q is added with the role %s\n", u.Name, u.Role)
				return err
			})
		},
	}
	add.Flags().StringVar(&email, "email", "", "an email address, which counts as confirmed")
	add.Flags().StringVar(&role, "role", string(store.Viewer), "viewer, editor or admin")
	add.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input")
	add.Flags().StringVar(&hash, "password-hash", "", "the `HASH` of the password instead of the password")
	return add
}

func (p *program) userPasswdCommand() *cobra.Command {
	var fromStdin bool
	passwd := &cobra.Command{
		Use:   "passwd NAME",
		Short: "Give a user another password and end all their sessions",
		Args:  arguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.changeAccounts(cmd.Context(), p.passwordFrom(fromStdin), func(ctx context.Context, accounts *auth.Accounts, password string) error {
				if err := accounts.SetPassword(ctx, args[0], password); err != nil {
					return noSuchUser(args[0], err)
				}
				_, err := fmt.Fprintf(p.stdout, "user %q has another password and no session any more\n", args[0])
				return err
			})
		},
	}
	passwd.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input")
	return passwd
}

func (p *program) userRoleCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "role NAME ROLE",
		Short: "Make a user a viewer, an editor or an admin",
		Long: `Give a user another role: a viewer reads customers, an editor also writes them, an admin also manages
users. If it is another, all their sessions end. The last active admin can not be demoted.`,
		Args: arguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, role := args[0], args[1]
			if err := checkRole(role); err != nil {
				return err
			}
			return p.changeAccounts(cmd.Context(), nil, func(ctx context.Context, accounts *auth.Accounts, _ string) error {
				if err := accounts.SetRole(ctx, name, store.Role(role)); err != nil {
					return noSuchUser(name, err)
				}
				_, err := fmt.Fprintf(p.stdout, "user %q has the role %s\n", name, role)
				return err
			})
		},
	}
}

// userChangeCommand is a command that needs nothing but the name of a user.
func (p *program) userChangeCommand(use, short, done string,
	change func(*auth.Accounts, context.Context, string) error) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  arguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.changeAccounts(cmd.Context(), nil, func(ctx context.Context, accounts *auth.Accounts, _ string) error {
				if err := change(accounts, ctx, args[0]); err != nil {
					return noSuchUser(args[0], err)
				}
				_, err := fmt.Fprintf(p.stdout, done, args[0])
				return err
			})
		},
	}
}

func (p *program) userListCommand() *cobra.Command {
	var asJSON bool
	list := &cobra.Command{
		Use:   "list",
		Short: "List the users",
		Args:  arguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.configure()
			if err != nil {
				return err
			}
			st, err := openToRead(cmd.Context(), c.DatabaseURL)
			if err != nil {
				return err
			}
			defer st.Close()
			if asJSON {
				return p.listUsersAsJSON(cmd.Context(), st)
			}
			return p.listUsers(cmd.Context(), st)
		},
	}
	list.Flags().BoolVar(&asJSON, "json", false, "print a JSON array, with the members that the API gives a user")
	return list
}

func (p *program) listUsers(ctx context.Context, users store.Users) error {
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tUSER\tROLE\tSTATE\tEMAIL\tCREATED")
	if err := eachUser(ctx, users, func(u store.User) error {
		state := "enabled"
		if u.Disabled {
			state = "disabled"
		}
		_, err := fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\n",
			u.ID, u.Name, u.Role, state, u.Email, u.CreatedAt.Format(time.RFC3339))
		return err
	}); err != nil {
		return err
	}
	return table.Flush()
}

func (p *program) listUsersAsJSON(ctx context.Context, users store.Users) error {
	out := bufio.NewWriter(p.stdout)
	enc := jsontext.NewEncoder(out, jsontext.Multiline(true))
	if err := enc.WriteToken(jsontext.BeginArray); err != nil {
		return err
	}
	if err := eachUser(ctx, users, func(u store.User) error {
		return json.MarshalEncode(enc, wire.ViewUser(u))
	}); err != nil {
		return err
	}
	if err := enc.WriteToken(jsontext.EndArray); err != nil {
		return err
	}
	return out.Flush()
}

// eachUser calls f with every user, by ascending id.
func eachUser(ctx context.Context, users store.Users, f func(store.User) error) error {
	const page = 500
	for after := int64(0); ; {
		some, err := users.Users(ctx, after, page)
		if err != nil {
			return fmt.Errorf("list users: %w", err)
		}
		for _, u := range some {
			if err := f(u); err != nil {
				return err
			}
			after = u.ID
		}
		if len(some) < page {
			return nil
		}
	}
}

// changeAccounts calls change with the accounts of the store that is configured, and with the password that ask gives
// if there is one to ask for.
func (p *program) changeAccounts(ctx context.Context, ask func(context.Context) (string, error),
	change func(context.Context, *auth.Accounts, string) error) error {
	c, err := p.configure()
	if err != nil {
		return err
	}
	var password string
	if ask != nil {
		// Before the store is opened: a person who types holds no connection, and who gives up leaves no database.
		if password, err = ask(ctx); err != nil {
			return err
		}
	}
	st, err := openToWrite(ctx, c.DatabaseURL)
	if err != nil {
		return err
	}
	defer st.Close()
	return change(ctx, auth.NewAccounts(st), password)
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

// maxPassword is far more than the longest password has, in bytes.
const maxPassword = 1 << 16

// passwordFrom is password for changeAccounts to ask for.
func (p *program) passwordFrom(stdin bool) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) { return p.password(ctx, stdin) }
}

// password gives a new password: all of standard input but one newline at its end, or what was typed twice.
func (p *program) password(ctx context.Context, fromStdin bool) (string, error) {
	if fromStdin {
		b, err := io.ReadAll(io.LimitReader(p.stdin, maxPassword))
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		return dropNewline(string(b)), nil
	}
	terminal, ok := p.stdin.(*os.File)
	if !ok || !isTerminal(terminal) {
		return "", errors.New("there is no terminal to ask for the password on; give it with --password-stdin")
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

// ask reads a line from the terminal without showing it. An interrupt ends it, and the terminal shows again
// what is typed.
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
