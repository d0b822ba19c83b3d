package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"clientes/api/wire"
	"clientes/cmd/clientes/config"
	"clientes/store"
)

func (p *program) exportCommand() *cobra.Command {
	var (
		format string
		safe   bool
	)
	export := &cobra.Command{
		Use:   "export [FILE]",
		Short: "Write all customers as CSV or NDJSON",
		Long: `Write all customers, as they stand at one moment, to FILE, or to standard output if it is not given or -. FILE gets
its name when it is whole: whatever happens before, what is there stays. A new one is for your eyes only (mode 0600).

The format is what --format says, else what the name says (.csv, .ndjson, .jsonl); to standard output it is CSV unless
--format says otherwise.

Texts are written as they are stored. A spreadsheet runs a cell that begins with = or + or - or @ as a formula,
whoever may have written it: --spreadsheet-safe puts an apostrophe before those. Such a file is for spreadsheets; do not
import it again.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &usageError{"give one file, or none to write to standard output"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			name := stdStream
			if len(args) == 1 {
				name = args[0]
			}
			f, err := formatOf(format, name)
			switch {
			case err != nil:
				return err
			case f == "" && name == stdStream:
				f = wire.CSV
			case f == "":
				return &usageError{"the name of the file does not say its format; end it in .csv or .ndjson, or give --format csv or --format ndjson"}
			}
			if safe && f != wire.CSV {
				return &usageError{"--spreadsheet-safe is for CSV: what reads NDJSON runs no formulas"}
			}
			c, err := p.configure()
			if err != nil {
				return err
			}
			return p.export(cmd.Context(), c, name, f, safe)
		},
	}
	export.Flags().StringVar(&format, "format", "", formatUsage)
	export.Flags().BoolVar(&safe, "spreadsheet-safe", false, "put an apostrophe before what a spreadsheet would run (CSV only)")
	return export
}

func (p *program) export(ctx context.Context, c config.Config, name string, f wire.Format, safe bool) error {
	st, err := openToRead(ctx, c.DatabaseURL)
	if err != nil {
		return err
	}
	defer st.Close()
	progress := p.progress()
	if name == stdStream && isTerminal(p.stdout) {
		progress.terminal = nil // what is written goes by there already
	}
	defer progress.end()
	if progress.shows() {
		total, err := st.CountClientes(ctx, store.Filter{})
		if err != nil {
			total = noTotal // it takes too long perhaps; what matters comes now
		}
		progress.rows("exporting", total)
	}
	var n int64
	write := func(to io.Writer) error {
		return wire.Export(ctx, st, store.Selection{}, to, f, func(c *store.Cliente) {
			if safe {
				wire.SpreadsheetSafe(c)
			}
			n++
			progress.row()
		})
	}
	if name == stdStream {
		return write(p.stdout)
	}
	if err := replaceFile(name, write); err != nil {
		return err
	}
	progress.end()
	_, err = fmt.Fprintf(p.stdout, "exported %s to %s\n", customersText(n), name)
	return err
}

// replaceFile makes a file of what write writes, which gets the name when it is whole and on the disk. Until then,
// and for good when write fails, whatever has the name keeps it.
func replaceFile(name string, write func(io.Writer) error) (err error) {
	mode := fs.FileMode(0o600)
	switch info, err := os.Stat(name); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a folder; give the name of a file", name)
	case !info.Mode().IsRegular():
		return writeTo(name, write) // a pipe or a device, which must stay what it is
	default:
		mode = info.Mode().Perm()
		// Where the name is a link, it is the file that is replaced.
		if name, err = filepath.EvalSymlinks(name); err != nil {
			return err
		}
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".clientes-export-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// writeTo writes to what is no file that could be half-written.
func writeTo(name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
