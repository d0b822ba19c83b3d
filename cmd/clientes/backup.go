package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"clientes/store/sqlite"
)

func (p *program) backupCommand() *cobra.Command {
	var asJSON *bool
	backup := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the embedded database to a file while it serves",
		Long: `Write everything that is committed in the embedded database to FILE, or to standard output if it is
-. Servers go on meanwhile and wait for nothing. The copy is checked and is on the disk before it
gets its name, so a backup that fails leaves no file. Only you can read it (mode 0600).

An earlier backup of that name is replaced; any other file is left alone. The file is no database to
serve: bring it back with "clientes restore FILE".

To standard output it first goes to the folder of temporary files (TMPDIR), which needs the room.`,
		Args: arguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.configure()
			if err != nil {
				return err
			}
			if !sqlite.IsURL(c.DatabaseURL) {
				return errors.New("DATABASE_URL is a Postgres; back it up with its own tools: " +
					`pg_dump -Fc --file=clientes.dump URL, where URL has none of the options of pgx`)
			}
			schema, err := sqlite.Schema(cmd.Context(), c.DatabaseURL)
			switch {
			case err != nil:
				return err
			case isFresh(schema):
				return noTables(c.DatabaseURL)
			}
			write := writeBackup
			if *asJSON {
				write = writeBackupAsJSON
			}
			progress := p.progress()
			defer progress.end()
			report := progress.total("copying", "checking")
			if args[0] == stdStream {
				if isTerminal(p.stdout) {
					return &usageError{"standard output is the terminal; write the backup to a file"}
				}
				b, err := sqlite.CopyBackup(cmd.Context(), c.DatabaseURL, p.stdout, report)
				if err != nil {
					return err
				}
				progress.end()
				return write(p.stderr, "standard output", b)
			}
			b, err := sqlite.WriteBackup(cmd.Context(), c.DatabaseURL, args[0], report)
			if err != nil {
				return err
			}
			progress.end()
			return write(p.stdout, args[0], b)
		},
	}
	asJSON = addJSONFlag(backup, "what was backed up")
	return backup
}

func writeBackup(w io.Writer, name string, b sqlite.Backup) error {
	_, err := fmt.Fprintf(w, "backed up %s and %s to %s\nsize %d bytes, sha256 %x\n",
		counted(b.Clientes, "customer"), counted(b.Users, "user"), name, b.Size, b.SHA256)
	return err
}

// backupView is a backup for programs.
type backupView struct {
	File     string `json:"file"`
	Size     int64  `json:"size"`
	SHA256   string `json:"sha256"`
	Clientes int64  `json:"clientes"`
	Users    int64  `json:"users"`
}

func writeBackupAsJSON(w io.Writer, name string, b sqlite.Backup) error {
	return printJSON(w, backupView{name, b.Size, fmt.Sprintf("%x", b.SHA256), b.Clientes, b.Users})
}
