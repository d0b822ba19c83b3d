package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"clientes/store"
)

func (p *program) sessionsCommand() *cobra.Command {
	var asJSON *bool
	endAll := &cobra.Command{
		Use:   "end-all",
		Short: "End every session, key and link, after a database was restored",
		Long: `End what a restored database must not bring back: all sessions, all keys for programs, links in
mail, device tokens, remembered answers and queued mail. Ids jump ahead, so that none that was given
since the backup is given again. Whoever the table erasures names is erased again. Give it once
after a Postgres was restored, with pg_restore or to a point in time. "clientes restore" does the
same by itself.

Servers may run meanwhile and learn of it within a second. Everybody has to log in again, and every
program needs a new key. Passwords, roles, second factors and recovery codes are those of the
backup.`,
		Args: arguments,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			c, err := p.configure()
			if err != nil {
				return err
			}
			st, err := openExisting(cmd.Context(), c.DatabaseURL)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, st.Close()) }()
			all, err := st.EndAll(cmd.Context(), nil)
			if err != nil {
				return err
			}
			erased, err := store.EraseAllAgain(cmd.Context(), st)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(p.stdout, struct {
					endedView
					Erased int `json:"erased"` // customers and users who were erased before
				}{viewEnded(all), erased})
			}
			if erased > 0 {
				fmt.Fprintf(p.stdout, "erased again what was left of %d customers and users\n",
					erased)
			}
			return writeEnded(p.stdout, all)
		},
	}
	asJSON = addJSONFlag(endAll, "what was ended")
	return p.group("sessions", "End the sessions of all users", endAll)
}

// endedView is what was ended, for programs.
type endedView struct {
	Sessions int `json:"sessions"` // the keys of programs too
	Users    int `json:"users"`    // whose links and device tokens are cancelled
	Mails    int `json:"mails"`
	Answers  int `json:"answers"` // that were remembered for an Idempotency-Key
}

func viewEnded(all store.EndedAll) endedView {
	return endedView{all.Sessions, all.Users, all.Mails, all.Answers}
}

// writeEnded prints what was ended.
func writeEnded(w io.Writer, all store.EndedAll) error {
	_, err := fmt.Fprintf(w, "ended %s, and the links and device tokens of %s; "+
		"removed %s and %s\n",
		counted(int64(all.Sessions), "session"), counted(int64(all.Users), "user"),
		counted(int64(all.Mails), "queued mail"), counted(int64(all.Answers), "remembered answer"))
	return err
}
