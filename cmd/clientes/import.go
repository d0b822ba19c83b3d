package main

import (
	"bufio"
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
		reading readingFlags
		dryRun  bool
		asJSON  *bool
	)
	imp := &cobra.Command{
		Use:   "import FILE",
		Short: "Add the customers of a CSV or NDJSON file, all or none",
		Long: `Add a customer for each row of FILE, all of them or none; - is standard input. Faults are listed by
row and field: the first hundred, and how many there are.

CSV is taken as programs write it: with commas, semicolons or tabs, in UTF-8, in UTF-16 with a byte
order mark, or in the encoding that --charset names. The first line names the columns, in any
order: name, and any of ` + strings.Join(store.TextNames()[1:], ", ") +
			`. NDJSON is one JSON object a line. The
other columns of an export (id, version, created_at, updated_at) are ignored: the customers get new
ones.

--columns says what the columns of a CSV file are, from the left, whatever its first line says.
Empty ones are passed over, and so are those after the last. Texts of one name are joined by a
space:

  clientes import hubspot.csv --columns ,name,name,email,phone,company

With --no-header, the first line is a customer and not the names of columns. Then --columns names
every column, the last ones too: name,phone,,

The format is that of --format, else that of the name (.csv, .tsv, .ndjson, .jsonl, .json). Else it
is NDJSON if the file begins with a brace or bracket, and CSV if it does not.

While a large file goes into an SQLite database, others who write, even by a login, wait or have to
try again.`,
		Args: arguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			how, err := readingOf(&reading, args[0], wire.Clientes())
			if err != nil {
				return err
			}
			c, err := p.configureToAdd()
			if err != nil {
				return err
			}
			return p.importFile(cmd.Context(), c, args[0], how, dryRun, *asJSON)
		},
	}
	imp.Flags().StringVar(&reading.format, "format", "", formatUsage)
	reading.add(imp)
	imp.Flags().BoolVar(&dryRun, "dry-run", false, "only check whether the file could be imported")
	asJSON = addJSONFlag(imp, "how many there are")
	return imp
}

// readingFlags say how a file is read.
type readingFlags struct {
	format, charset, columns string
	noHeader                 bool

	columnsGiven func() bool // also if columns is ""
}

// add makes the flags that all imports have.
func (f *readingFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.charset, "charset", "", "the encoding of the file, for example windows-1252")
	flags.StringVar(&f.columns, "columns", "",
		"the columns of a CSV file from the left, as in name,,email")
	flags.BoolVar(&f.noHeader, "no-header", false, "the first line of a CSV file is data")
	f.columnsGiven = func() bool { return flags.Changed("columns") }
}

// readingOf returns how a file of that name is read. Its Format is "" if only the content says it.
func readingOf[T any](f *readingFlags, name string, noun wire.Noun[T]) (wire.Reading, error) {
	how := wire.Reading{Charset: f.charset, HeaderAbsent: f.noHeader, Tabs: isTSV(name)}
	var err error
	how.Format, err = formatOf(f.format, name)
	given := f.columnsGiven()
	switch {
	case err != nil:
		return how, err
	case !wire.KnownCharset(f.charset):
		return how, &usageError{fmt.Sprintf("there is no charset %q; windows-1252 is one, "+
			"and without the flag the file is UTF-8", f.charset)}
	case f.noHeader && !given:
		return how, &usageError{"with --no-header, say what the columns are with --columns"}
	case !given:
		return how, nil
	case how.Format == wire.NDJSON:
		return how, errColumnsOfJSON
	}
	if how.Columns, err = noun.Columns(f.columns); err != nil {
		return how, &usageError{"--columns: " + err.Error()}
	}
	return how, nil
}

var errColumnsOfJSON = &usageError{"--columns is for CSV; in JSON each member has its name"}

// formatWithin fills in the format of a file that begins with start, if nothing else has said it.
func formatWithin(how *wire.Reading, start []byte) error {
	if how.Format == "" {
		how.Format = formatByContent(start)
	}
	if how.Format == wire.NDJSON && how.Columns != nil {
		return errColumnsOfJSON
	}
	return nil
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

// isTSV reports whether the name of a file says that tabs separate its cells.
func isTSV(name string) bool {
	extension := strings.ToLower(filepath.Ext(name))
	return extension == ".tsv" || extension == ".tab"
}

// formatByContent returns the format of a file that begins with start.
func formatByContent(start []byte) wire.Format {
	if wire.BeginsAsJSON(start) {
		return wire.NDJSON
	}
	return wire.CSV
}

func (p *program) importFile(
	ctx context.Context, c config.Config, name string, how wire.Reading, dryRun, asJSON bool,
) error {
	progress := p.progress()
	n, err := p.importRows(ctx, c, name, how, dryRun, progress)
	progress.end() // before anything else is printed
	switch {
	case err != nil:
		return p.reportFaults(err)
	case asJSON && dryRun:
		err = printJSON(p.stdout, importedView{Valid: &n})
	case asJSON:
		err = printJSON(p.stdout, importedView{Imported: &n})
	case dryRun:
		_, err = fmt.Fprintf(p.stdout,
			"%s can be imported; nothing was changed\n", counted(n, "customer"))
	default:
		_, err = fmt.Fprintf(p.stdout, "imported %s\n", counted(n, "customer"))
	}
	return err
}

// importedView is what an import did, for programs: one of the two.
type importedView struct {
	Imported *int64 `json:"imported,omitempty"`
	Valid    *int64 `json:"valid,omitempty"` // by a dry run
}

// importRows reads the whole file before it opens the store. So a slow sender keeps nobody waiting,
// and a file with faults creates no database.
func (p *program) importRows(
	ctx context.Context, c config.Config, name string, how wire.Reading, dryRun bool,
	progress *progress,
) (int64, error) {
	spool, err := p.spool(ctx, name, how, progress)
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
	st, err := p.openToAdd(ctx, c)
	if err != nil {
		return 0, err
	}
	defer st.Close()
	return st.ImportClientes(ctx, 0, followed(spool, progress, "storing")) // 0: the command line
}

// spool reads the customers of a file.
func (p *program) spool(
	ctx context.Context, name string, how wire.Reading, progress *progress,
) (*wire.Spool, error) {
	from := p.stdin
	if name == stdStream {
		p.tellTyping("customers")
	} else {
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
	start, _ := file.Peek(4096) // its error comes again when the file is read
	if err := formatWithin(&how, start); err != nil {
		return nil, err
	}
	return wire.NewSpool(file, how)
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
			where = "the file"
			f.Message = strings.ReplaceAll(f.Message, " columns=", " --columns=")
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
