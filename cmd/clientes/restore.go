package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"clientes/store/sqlite"
)

func (p *program) restoreCommand() *cobra.Command {
	var asJSON *bool
	restore := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup in the place of the embedded database",
		Long: `Put a copy of FILE in the place of the embedded database. FILE is a backup of "clientes backup", or
any other copy of the database, for example of Litestream, with its -wal beside it if it has one. It
stays as it is. The database that was there is kept beside it, under a name with the time.

Stop the servers first: a database that a process has open is not replaced. FILE is checked before
anything is changed. If the command is stopped half-way, give it again.

What a backup must not bring back is ended: all sessions, all keys for programs, links in mail,
device tokens, remembered answers and queued mail. Everybody has to log in again, and every program
needs a new key. Ids go on above every id that was given. If the database that was there does not
tell which ones were, ids jump by a thousand million or more. Passwords, roles, second factors and
recovery codes are those of the backup.`,
		Args: arguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.configureToAdd()
			if err != nil {
				return err
			}
			if !sqlite.IsURL(c.DatabaseURL) {
				return errors.New("DATABASE_URL is a Postgres; restore it with its own tools, " +
					"pg_restore for example, and then give `clientes sessions end-all`")
			}
			if args[0] == stdStream {
				return &usageError{"a restore reads a file; save standard input to one and give its name"}
			}
			progress := p.progress()
			defer progress.end()
			r, err := sqlite.Restore(cmd.Context(), c.DatabaseURL, args[0],
				progress.total("copying", "checking"))
			if errors.Is(err, sqlite.ErrInUse) {
				return fmt.Errorf("%w; stop the servers and commands that use it, and try again",
					err)
			}
			if err != nil {
				return err
			}
			progress.end()
			if *asJSON {
				return printJSON(p.stdout, viewRestored(args[0], r))
			}
			return writeRestored(p.stdout, args[0], r)
		},
	}
	asJSON = addJSONFlag(restore, "what was restored and ended")
	return restore
}

// restoredView is a restore for programs.
type restoredView struct {
	File       string    `json:"file"`
	Clientes   int64     `json:"clientes"`
	Users      int64     `json:"users"`
	Kept       *string   `json:"kept"`       // the file of the database that was there
	Unreadable *string   `json:"unreadable"` // why nothing could be learned of that one
	Erased     int       `json:"erased"`     // customers and users who were erased since
	KnowsIDs   bool      `json:"knows_ids"`  // whether ids go on where they were, and do not jump
	Ended      endedView `json:"ended"`
}

func viewRestored(name string, r sqlite.Restored) restoredView {
	v := restoredView{
		File: name, Clientes: r.Clientes, Users: r.Backup.Users, KnowsIDs: r.KnowsIDs,
		Erased: r.Erased, Ended: viewEnded(r.EndedAll),
	}
	if r.Kept != "" {
		v.Kept = &r.Kept
	}
	if r.Unreadable != nil {
		why := r.Unreadable.Error()
		v.Unreadable = &why
	}
	return v
}

func writeRestored(w io.Writer, name string, r sqlite.Restored) error {
	fmt.Fprintf(w, "restored %s and %s from %s\n",
		counted(r.Clientes, "customer"), counted(r.Backup.Users, "user"), name)
	if r.Kept != "" {
		fmt.Fprintf(w, "kept the database that was there as %s\n", r.Kept)
	}
	if r.Unreadable != nil {
		fmt.Fprintf(w, "which could not be read: %v\n", r.Unreadable)
	}
	if !r.KnowsIDs {
		fmt.Fprintln(w, "it is not known which ids were given since, so ids jump ahead")
	}
	if !r.KnowsIDs || r.Unreadable != nil {
		fmt.Fprintln(w, "programs that have followed the changes further than the backup must begin again")
	}
	if r.Erased > 0 {
		fmt.Fprintf(w, "erased %d again, customers and users, as since the backup\n", r.Erased)
	}
	if !r.KnowsIDs || r.Unreadable != nil {
		fmt.Fprintln(w, "it is not known who was erased since the backup: erase them again")
	}
	return writeEnded(w, r.EndedAll)
}
