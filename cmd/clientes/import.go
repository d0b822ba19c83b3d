package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"clientes/api/wire"
	"clientes/cmd/clientes/config"
	"clientes/store"
)

// stdStream stands for standard input or output where a command takes the name of a file.
const stdStream = "-"

func (p *program) importCommand() *cobra.Command {
	var (
		format string
		dryRun bool
	)
	imp := &cobra.Command{
		Use:   "import FILE",
		Short: "Add the customers of a CSV or NDJSON file, all or none",
		Long: `Add a customer for each row of FILE, all of them or none; - is standard input. Faults are listed by
row and field: the first hundred, and how many there are.

CSV is as in RFC 4180, in UTF-8, with commas or semicolons. The first line names the columns, in any
order: name, and any of ` + strings.Join(store.TextNames()[1:], ", ") +
			`. NDJSON is one JSON object a line. The
other columns of an export (id, version, created_at, updated_at) are ignored: the customers get new
ones.

The format is that of --format, else that of the name (.csv, .ndjson, .jsonl). Else it is NDJSON if
the file begins with a brace, and CSV if it does not.

While a large file goes into an SQLite database, others who write, even by a login, wait or have to
try again.`,
		Args: arguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := formatOf(format, args[0])
			if err != nil {
				return err
			}
			c, err := p.configure()
			if err != nil {
				return err
			}
			return p.importFile(cmd.Context(), c, args[0], f, dryRun)
		},
	}
	imp.Flags().StringVar(&format, "format", "", formatUsage)
	imp.Flags().BoolVar(&dryRun, "dry-run", false, "only check whether the file could be imported")
	return imp
}

const formatUsage = "the `FORMAT` of the file: csv or ndjson"

// formatOf returns the format that --format names, else that of the name of the file, else "".
func formatOf(flag, name string) (wire.Format, error) {
	switch flag {
	case "":
		return formatByName(name), nil
	case "csv":
		return wire.CSV, nil
	case "ndjson":
		return wire.NDJSON, nil
	}
	return "", &usageError{fmt.Sprintf("there is no format %q; give csv or ndjson", flag)}
}

// formatByName returns the format that the name of a file ends in, else "".
func formatByName(name string) wire.Format {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv":
		return wire.CSV
	case ".ndjson", ".jsonl":
		return wire.NDJSON
	}
	return ""
}

// formatByContent returns the format of a file that begins with start. No header of a CSV file
// begins with a brace or a bracket.
func formatByContent(start []byte) wire.Format {
	start = bytes.TrimLeft(bytes.TrimPrefix(start, []byte("\ufeff")), " \t\r\n")
	if len(start) > 0 && (start[0] == '{' || start[0] == '[') {
		return wire.NDJSON
	}
	return wire.CSV
}

func (p *program) importFile(
	ctx context.Context, c config.Config, name string, f wire.Format, dryRun bool,
) error {
	progress := p.progress()
	n, err := p.importRows(ctx, c, name, f, dryRun, progress)
	progress.end() // before anything else is printed
	switch {
	case err != nil:
		return p.reportFaults(err)
	case dryRun:
		_, err = fmt.Fprintf(p.stdout,
			"%s can be imported; nothing was changed\n", customersText(n))
	default:
		_, err = fmt.Fprintf(p.stdout, "imported %s\n", customersText(n))
	}
	return err
}

// importRows reads the whole file before it opens the store. So a slow sender keeps nobody waiting,
// and a file with faults creates no database.
func (p *program) importRows(
	ctx context.Context, c config.Config, name string, f wire.Format, dryRun bool,
	progress *progress,
) (int64, error) {
	spool, err := p.spool(ctx, name, f, progress)
	if err != nil {
		return 0, err
	}
	defer spool.Close()
	if dryRun {
		st, err := openToCheck(ctx, c.DatabaseURL)
		if err != nil {
			return 0, err
		}
		defer st.Close()
		return st.CheckImport(ctx, followed(spool, progress, "checking"))
	}
	st, err := openToWrite(ctx, c.DatabaseURL)
	if err != nil {
		return 0, err
	}
	defer st.Close()
	return st.ImportClientes(ctx, 0, followed(spool, progress, "storing")) // 0: the command line
}

// spool reads the customers of a file.
func (p *program) spool(
	ctx context.Context, name string, f wire.Format, progress *progress,
) (*wire.Spool, error) {
	from := p.stdin
	if name != stdStream {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		from = file
	}
	total := int64(noTotal)
	if file, ok := from.(*os.File); ok {
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			total = info.Size()
		}
	}
	progress.bytes("reading", total)
	in, stop := readUntil(ctx, from)
	defer stop()
	file := bufio.NewReader(io.TeeReader(in, progress))
	if f == "" {
		start, _ := file.Peek(4096) // its error comes again when the file is read
		f = formatByContent(start)
	}
	return wire.NewSpool(file, wire.Reading{Format: f})
}

// readUntil returns a reader of what r returns. When the context ends, so does the reader, even
// while r waits for more. A caller that does not read to the end calls stop.
func readUntil(ctx context.Context, r io.Reader) (_ io.Reader, stop func()) {
	out, in := io.Pipe()
	end := context.AfterFunc(ctx, func() { in.CloseWithError(context.Cause(ctx)) })
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err)
	}()
	return out, func() {
		end()
		out.Close()
	}
}

// followed returns the rows, and shows how many of them the store has taken. What a store does
// after the last one can take as long again.
func followed(spool *wire.Spool, progress *progress, what string) iter.Seq2[store.Cliente, error] {
	return func(yield func(store.Cliente, error) bool) {
		progress.rows(what, spool.Len())
		for c, err := range spool.Rows() {
			progress.row()
			if !yield(c, err) {
				return
			}
		}
		progress.wait("finishing")
	}
}

// reportFaults prints the faults of rows, one a line, and returns an error that counts them. It
// returns any other error as it is.
func (p *program) reportFaults(err error) error {
	var faults *store.RowsError
	if !errors.As(err, &faults) {
		return err
	}
	var b strings.Builder
	for _, f := range faults.Rows {
		where := fmt.Sprintf("row %d", f.Row)
		if f.Row == 0 {
			where = "the header"
		}
		if f.Field != "" {
			// The name of a column in a stranger's file may be anything.
			where += ", " + strings.Join(strings.Fields(withoutControls(f.Field)), " ")
		}
		fmt.Fprintf(&b, "%s: %s\n", where, f.Message)
	}
	if _, err := io.WriteString(p.stderr, b.String()); err != nil {
		return err
	}
	switch listed := int64(len(faults.Rows)); {
	case faults.Count > listed:
		return fmt.Errorf("the file has %d faults, of which these are the first %d; "+
			"nothing was imported", faults.Count, listed)
	case faults.Count > 1:
		return fmt.Errorf("the file has %d faults; nothing was imported", faults.Count)
	}
	return errors.New("the file has a fault; nothing was imported")
}

func customersText(n int64) string {
	if n == 1 {
		return "1 customer"
	}
	return fmt.Sprintf("%d customers", n)
}
