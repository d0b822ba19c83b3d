package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"clientes/api/wire"
	"clientes/cmd/clientes/config"
	"clientes/store"
)

func (p *program) exportCommand() *cobra.Command {
	var (
		format string
		safe   bool
		asJSON *bool
	)
	export := &cobra.Command{
		Use:   "export [FILE]",
		Short: "Write all customers as CSV or NDJSON",
		Long: `Write all customers, as they stand at one moment, to FILE. Without FILE, or if it is -, write to
standard output. FILE gets its name when it is complete; until then an older file stays as it is.
Only you can read a new file (mode 0600).

The format is that of --format, else that of the name (.csv, .ndjson, .jsonl). To standard output it
is CSV unless --format names another.

Texts are written as they are stored. A spreadsheet runs a cell that begins with = or + or - or @ as
a formula, no matter who wrote it. --spreadsheet-safe puts an apostrophe before such texts, and
begins the file with a byte order mark, without which Excel shows wrong letters. The name of its
last column, spreadsheet_safe, tells an import to take the apostrophes away again.`,
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
				return &usageError{"the name of the file does not say its format; " +
					"end it in .csv or .ndjson, or give --format csv or --format ndjson"}
			}
			if safe && f != wire.CSV {
				return &usageError{
					"--spreadsheet-safe is for CSV: what reads NDJSON runs no formulas",
				}
			}
			if *asJSON && name == stdStream {
				return &usageError{"--json is about a FILE; standard output has the customers themselves"}
			}
			c, err := p.configure()
			if err != nil {
				return err
			}
			if safe {
				f = wire.SpreadsheetCSV
			}
			return p.export(cmd.Context(), c, name, f, *asJSON)
		},
	}
	export.Flags().StringVar(&format, "format", "", formatUsage)
	export.Flags().BoolVar(&safe, "spreadsheet-safe", false,
		"write CSV of which a spreadsheet runs nothing")
	asJSON = addJSONFlag(export, "how many were exported")
	return export
}

func (p *program) export(
	ctx context.Context, c config.Config, name string, f wire.Format, asJSON bool,
) error {
	st, err := openExisting(ctx, c.DatabaseURL)
	if err != nil {
		return err
	}
	defer st.Close()
	progress := p.progress()
	if name == stdStream && isTerminal(p.stdout) {
		progress.terminal = nil // the export itself goes there
	}
	defer progress.end()
	if progress.shows() {
		total, err := st.CountClientes(ctx, store.Filter{})
		if err != nil {
			total = noTotal // counting may take too long; the export can do without
		}
		progress.rows("exporting", total)
	}
	var n int64
	write := func(to io.Writer) error {
		return wire.Export(ctx, st, store.Selection{}, to, f, func(*store.Cliente) {
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
	if asJSON {
		return printJSON(p.stdout, exportedView{name, n})
	}
	_, err = fmt.Fprintf(p.stdout, "exported %s to %s\n", counted(n, "customer"), name)
	return err
}

// exportedView is what an export did, for programs.
type exportedView struct {
	File     string `json:"file"`
	Exported int64  `json:"exported"`
}

// replaceFile writes a file, which gets its name when it is complete and on the disk. Until then an
// older file of that name stays, and for good if write fails.
func replaceFile(name string, write func(io.Writer) error) (err error) {
	mode := fs.FileMode(0o600)
	switch info, err := os.Stat(name); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a folder; give the name of a file", name)
	case !info.Mode().IsRegular():
		return writeTo(name, write) // a pipe or a device must stay what it is
	default:
		mode = info.Mode().Perm()
		// If the name is a link, replace the file that it points to.
		if name, err = filepath.EvalSymlinks(name); err != nil {
			return err
		}
	}
	removeAbandoned(filepath.Dir(name))
	f, err := newExportFile(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.remove()
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
	return f.rename(name)
}

// exportFile is a file that is not complete yet. Where the system allows it, it has no name, so a
// killed export leaves nothing.
type exportFile struct {
	*os.File
	folder string
	name   string // "" if it has none
}

// exportPrefix is what the names of incomplete files begin with.
const exportPrefix = ".clientes-export-"

func newExportFile(folder string) (*exportFile, error) {
	if f, err := namelessFile(folder); err == nil {
		return &exportFile{File: f, folder: folder}, nil
	}
	f, err := os.CreateTemp(folder, exportPrefix)
	if err != nil {
		return nil, err
	}
	return &exportFile{File: f, folder: folder, name: f.Name()}, nil
}

// rename closes the file and puts it in the place of the file of that name.
func (f *exportFile) rename(name string) error {
	if f.name == "" {
		// A link does not replace a file. Another name comes first, for a moment.
		with := filepath.Join(f.folder, exportPrefix+rand.Text())
		if err := nameFile(f.File, with); err != nil {
			return err
		}
		f.name = with
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.name, name)
}

func (f *exportFile) remove() {
	f.Close()
	if f.name != "" {
		os.Remove(f.name)
	}
}

// abandoned is how old an incomplete file is that no running export still writes.
const abandoned = 24 * time.Hour

// removeAbandoned removes what killed exports have left in a folder, as far as it can.
func removeAbandoned(folder string) {
	files, _ := os.ReadDir(folder)
	for _, file := range files {
		if !strings.HasPrefix(file.Name(), exportPrefix) {
			continue
		}
		info, err := file.Info()
		if err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > abandoned {
			os.Remove(filepath.Join(folder, file.Name()))
		}
	}
}

// writeTo writes to a pipe or a device.
func writeTo(name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
