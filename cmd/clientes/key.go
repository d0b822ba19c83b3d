package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"clientes/api/wire"
	"clientes/auth"
	"clientes/auth/token"
	"clientes/cmd/clientes/config"
	"clientes/store"
)

func (p *program) keyCommand() *cobra.Command {
	return p.group("key", "Make, list and end the keys of programs",
		p.keyAddCommand(), p.keyListCommand(), p.keyEndCommand())
}

func (p *program) keyAddCommand() *cobra.Command {
	var user, role, lasts string
	var scopes []string
	add := &cobra.Command{
		Use:   "add NAME",
		Short: "Make a key for a program, and print it once",
		Long: `Make a key for a program of a user, and print it on standard output. Nobody can print it again. The
program sends it where a token stands: "Authorization: Bearer clk_…".`,
		Args: arguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			if user == "" {
				return &usageError{"give the user whose key it is with --user"}
			}
			r := auth.KeyRequest{Name: args[0]}
			if cmd.Flags().Changed("role") {
				if err := checkRole(role); err != nil {
					return err
				}
				r.Role = (*store.Role)(&role)
			}
			if cmd.Flags().Changed("scopes") {
				r.Scopes = []store.Scope{} // not all of them, where a variable is empty
			}
			for _, s := range scopes {
				r.Scopes = append(r.Scopes, store.Scope(store.Trim(s)))
			}
			var err error
			if r.Lasts, err = parseDays(lasts); err != nil {
				return err
			}
			return p.addKey(cmd.Context(), user, r)
		},
	}
	add.Flags().StringVar(&user, "user", "", "the `USER` whose key it is")
	add.Flags().StringVar(&role, "role", "",
		"the `ROLE`, not above the user's (default: the user's)")
	add.Flags().StringSliceVar(&scopes, "scopes", nil,
		"the `SCOPES`, with commas between them (default: all that the role can use)")
	add.Flags().StringVar(&lasts, "expires", "90d", "how `LONG` it lasts, at most 365d")
	return add
}

func (p *program) addKey(ctx context.Context, user string, r auth.KeyRequest) error {
	return p.updateAccounts(ctx, nil,
		func(ctx context.Context, accounts *auth.Accounts, _ string) error {
			k, err := accounts.AddKey(ctx, user, r)
			switch {
			case errors.Is(err, store.ErrUserChanged):
				return fmt.Errorf("the user %q is disabled", user)
			case errors.Is(err, store.ErrTooManyKeys):
				return fmt.Errorf("the user %q has %d keys; `clientes key end` ends one",
					user, store.MaxKeys)
			case err != nil:
				return noSuchUser(user, err)
			}
			fmt.Fprintf(p.stderr, "the key %q of %q has the id %s, the role %s and the scopes "+
				"%s, until %s; nobody can show it again:\n", k.Key.Name, k.User, k.ID,
				k.Key.Role, k.Key.Scopes, k.ExpiresAt.Format(time.RFC3339))
			_, err = fmt.Fprintln(p.stdout, k.Text)
			return err
		})
}

// parseDays reads a duration, which may be a number of days.
func parseDays(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if days, is := strings.CutSuffix(s, "d"); is {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil {
		return 0, &usageError{fmt.Sprintf("--expires is %q; give a duration such as 90d or 12h", s)}
	}
	return d, nil
}

func (p *program) keyListCommand() *cobra.Command {
	var user string
	var asJSON *bool
	list := &cobra.Command{
		Use:   "list",
		Short: "List the keys that live",
		Args:  arguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.updateAccounts(cmd.Context(), nil,
				func(ctx context.Context, accounts *auth.Accounts, _ string) error {
					each := func(f func(store.OwnedKey) error) error {
						return noSuchUser(user, accounts.EachKey(ctx, user, f))
					}
					if !*asJSON {
						return p.listKeys(each)
					}
					return printArray(p.stdout, func(put func(any) error) error {
						return each(func(k store.OwnedKey) error { return put(wire.ViewKey(k)) })
					})
				})
		},
	}
	list.Flags().StringVar(&user, "user", "", "only those of this `USER`")
	asJSON = addJSONFlag(list, "an array of keys as the API sends them")
	return list
}

func (p *program) listKeys(each func(func(store.OwnedKey) error) error) error {
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tUSER\tROLE\tSCOPES\tEXPIRES\tLAST USED")
	if err := each(func(k store.OwnedKey) error {
		used := "never"
		if !k.LastUsedAt.Equal(k.CreatedAt) {
			used = k.LastUsedAt.Format(time.RFC3339)
		}
		_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID,
			withoutControls(k.Key.Name), k.User, k.Key.Role,
			strings.ReplaceAll(k.Key.Scopes, " ", ","), k.ExpiresAt.Format(time.RFC3339), used)
		return err
	}); err != nil {
		return err
	}
	return table.Flush()
}

func (p *program) keyEndCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "end ID",
		Short: "End a key",
		Args:  arguments,

		ValidArgsFunction: cobra.NoFileCompletions, // not the ids of another command
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.updateAccounts(cmd.Context(), nil,
				func(ctx context.Context, accounts *auth.Accounts, _ string) error {
					err := accounts.EndKey(ctx, args[0])
					if errors.Is(err, store.ErrNotFound) {
						return fmt.Errorf("there is no key with the id %q; `clientes key list` shows them",
							withoutKey(args[0]))
					}
					if err != nil {
						return err
					}
					_, err = fmt.Fprintf(p.stdout, "the key %s has ended\n", args[0])
					return err
				})
		},
	}
}

// withoutKey returns what to show of a text that may be a key, where its id was wanted.
func withoutKey(s string) string {
	if token.IsKey(s) {
		return token.KeyPrefix + "…"
	}
	return s
}

// inspectKey says what is to know about a key. The secret of a server is not needed for that.
func (p *program) inspectKey(ctx context.Context, c config.Config, text string, asJSON bool) error {
	bad := whyKeyNotGood(ctx, c, text)
	if asJSON {
		v := keyInspectionView{Kind: "key", Checksum: token.CheckKey(text) == nil}
		if good := bad == nil; good || errors.Is(bad, errNotGood) {
			v.Good = &good
		}
		return errors.Join(printJSON(p.stdout, v), bad)
	}
	if token.CheckKey(text) == nil {
		fmt.Fprintln(p.stdout, "This is a key of a program. Its checksum is right.")
	}
	if bad != nil {
		return bad
	}
	_, err := fmt.Fprintln(p.stdout, "The key is good.")
	return err
}

// keyInspectionView is a key for programs, without its text.
type keyInspectionView struct {
	Kind     string `json:"kind"`
	Checksum bool   `json:"checksum"` // whether it is right
	Good     *bool  `json:"good"`     // null if that is not known
}

// whyKeyNotGood returns nil if the key is good, an errNotGood if it is not, and another error if
// that is not known.
func whyKeyNotGood(ctx context.Context, c config.Config, text string) error {
	if err := token.CheckKey(text); err != nil {
		var invalid *auth.InvalidTokenError
		errors.As(err, &invalid)
		return fmt.Errorf("%w: %s", errNotGood, strings.TrimSuffix(invalid.Reason, "."))
	}
	st, err := openExisting(ctx, c.DatabaseURL)
	if err != nil {
		return fmt.Errorf("whether the key was ended is not known: %w", err)
	}
	defer st.Close()
	k, err := st.KeyByHash(ctx, token.HashKey(text).String())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("%w: the database does not know the key", errNotGood)
	case err != nil:
		return fmt.Errorf("whether the key was ended is not known: %w", err)
	case !k.EndedAt.IsZero():
		return fmt.Errorf("%w: the key was ended", errNotGood)
	case !k.Lives(st.Now()):
		return fmt.Errorf("%w: the key has expired", errNotGood)
	}
	return nil
}
