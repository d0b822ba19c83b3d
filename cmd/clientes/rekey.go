package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"clientes/auth"
	"clientes/auth/password"
)

func (p *program) rekeyCommand() *cobra.Command {
	var asJSON *bool
	rekey := &cobra.Command{
		Use:   "rekey",
		Short: "Seal second factors anew, after the secret was changed",
		Long: `Seal every second factor anew that was sealed under an old secret: ROOT_SECRET_PREVIOUS, or
SECRET_PREVIOUS where there is no ROOT_SECRET. Afterwards the old secret can be dropped. Give it
after all servers sign with the new secret. They may run meanwhile, and an interrupted command can
be given again.

The exit status is 1 if a second factor cannot be opened with any of the secrets. Its user is named.`,
		Args: arguments,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			c, err := p.configure("SECRET")
			if err != nil {
				return err
			}
			st, err := openExisting(cmd.Context(), c.DatabaseURL)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, st.Close()) }()
			gate := password.NewGate(password.Local{}, 1, 0)
			a, err := newAuth(c, st, gate, nil, slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			done, err := a.Rekey(cmd.Context())
			write := writeRekeyed
			if *asJSON {
				write = writeRekeyedAsJSON
			}
			if err := errors.Join(err, write(p.stdout, done)); err != nil {
				return err
			}
			return unreadable(done.Unreadable, c.RootSecret != "")
		},
	}
	asJSON = addJSONFlag(rekey, "how many were sealed anew")
	return rekey
}

func writeRekeyed(w io.Writer, done auth.Rekeyed) error {
	_, err := fmt.Fprintf(w, "sealed %s anew; %d needed nothing\n",
		counted(int64(done.Anew), "second factor"), done.Already)
	if err == nil && done.Unfinished > 0 {
		_, err = fmt.Fprintf(w, "%s that nobody has confirmed cannot be opened, "+
			"which does no harm\n", counted(int64(done.Unfinished), "second factor"))
	}
	return err
}

// rekeyedView is a rekey for programs.
type rekeyedView struct {
	Sealed     int      `json:"sealed"`
	Unchanged  int      `json:"unchanged"`
	Unfinished int      `json:"unfinished"` // cannot be opened, but nobody has confirmed them
	Unreadable []string `json:"unreadable"` // the users of those that cannot be opened
}

func writeRekeyedAsJSON(w io.Writer, done auth.Rekeyed) error {
	return printJSON(w, rekeyedView{done.Anew, done.Already, done.Unfinished, done.Unreadable})
}

// unreadable returns the error that names the users whose second factor cannot be opened, or nil.
func unreadable(users []string, rooted bool) error {
	if len(users) == 0 {
		return nil
	}
	const most = 100
	names := strings.Join(users[:min(len(users), most)], ", ")
	if len(users) > most {
		names += fmt.Sprintf(" and %d more", len(users)-most)
	}
	setting := "SECRET_PREVIOUS"
	if rooted {
		setting = "ROOT_SECRET_PREVIOUS"
	}
	return fmt.Errorf("%s cannot be opened, because the secret that sealed them is not set: %s; "+
		"set it in %s and give the command again, or, if it is lost, take each away with "+
		"`clientes user mfa-off NAME`", counted(int64(len(users)), "second factor"), names, setting)
}
