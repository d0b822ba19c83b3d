package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"clientes/cmd/clientes/config"
	"clientes/store"
)

// copyBatch is how many rows go over at once. Beside that many a commit costs little. They fit into
// memory even if each is as large as can be, some 45 KB.
const copyBatch = 1000

func (p *program) copyCommand() *cobra.Command {
	var (
		from, to string
		asJSON   *bool
	)
	copying := &cobra.Command{
		Use:   "copy",
		Short: "Copy everything from one database into another, empty one",
		Long: `Copy users, sessions, customers, their history and all else from one database into another one,
SQLite or Postgres either way, and compare the two. Stop the servers before: what they write
meanwhile may be missed. With the same SECRET the servers of the other database go on where those of
the first one stopped; nobody has to log in again.

--to is a database with nothing in it; one without tables gets them. What was interrupted goes on
with the same command. Until it is finished no other command uses the database.

At the end all rows are read again on both sides, and for each table the command prints how many
there are and the beginning of their checksum. When they are not the same it says which, the exit
status is 1, and the database stays unused.

Other users of the machine can see the arguments of a command while it runs. Postgres takes a
password from PGPASSWORD or from ~/.pgpass too.`,
		Args: arguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from == "" || to == "" {
				return &usageError{"give both databases: --from URL --to URL"}
			}
			if err := config.CheckDatabaseURL(from); err != nil {
				return &usageError{"--from " + err.Error()}
			}
			if err := config.CheckDatabaseURL(to); err != nil {
				return &usageError{"--to " + err.Error()}
			}
			return p.copy(cmd.Context(), from, to, *asJSON)
		},
	}
	copying.Flags().StringVar(&from, "from", "",
		"the `URL` of the database with everything, as in DATABASE_URL")
	copying.Flags().StringVar(&to, "to", "", "the `URL` of the empty one")
	asJSON = addJSONFlag(copying, "the counts and checksums")
	return copying
}

func (p *program) copy(ctx context.Context, fromURL, toURL string, asJSON bool) error {
	from, err := openExisting(ctx, fromURL)
	if err != nil {
		return notOpened("--from", err)
	}
	defer from.Close()
	to, err := openToCopyInto(ctx, toURL)
	if err != nil {
		return notOpened("--to", err)
	}
	defer to.Close()
	source, err := from.Identity(ctx)
	if err != nil {
		return notOpened("--from", err)
	}
	target, err := to.Identity(ctx)
	if err != nil {
		return notOpened("--to", err)
	}
	if source.ID == target.ID {
		return &usageError{"--from and --to are the same database, or one is a clone of the other; give two"}
	}
	switch err := to.BeginCopy(ctx, source.ID); {
	case errors.Is(err, store.ErrNotEmpty):
		return fmt.Errorf("--to: %w; give another one, or drop what is there", err)
	case err != nil:
		return notOpened("--to", err)
	}

	c := &databaseCopy{from: from, to: to, source: source, progress: p.progress()}
	defer c.progress.end()
	err = c.run(ctx, p.stdout, asJSON)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return errors.New("interrupted before it was done; the same command goes on from there")
	case errors.Is(err, store.ErrUnavailable):
		// With %v, or sentence would add the advice for DATABASE_URL.
		return fmt.Errorf("%v; when both databases answer, the same command goes on from there", err)
	case errors.Is(err, store.ErrCopyDisturbed):
		return fmt.Errorf("%w; if that was another `clientes copy`, let it finish, "+
			"else stop what uses them, drop the database of --to, and copy again", err)
	}
	return err
}

// notOpened adds to an error which of the two databases it is about. With %v, or sentence would add
// the advice for DATABASE_URL.
func notOpened(flag string, err error) error {
	var newer *store.NewerSchemaError
	switch {
	case errors.As(err, &newer):
		return fmt.Errorf("%s: %w", flag, err)
	case errors.Is(err, errNoTables):
		return fmt.Errorf("%s: there is nothing in the database; is it the right URL?", flag)
	case errors.Is(err, store.ErrSchema):
		return fmt.Errorf("%s: %v; bring it to this program's schema with `clientes migrate`, "+
			"its URL in DATABASE_URL", flag, err)
	case errors.Is(err, store.ErrUnavailable) && !isEngineError(err):
		return fmt.Errorf("%s: %v; check that the database runs and that the URL leads to it",
			flag, err)
	}
	return fmt.Errorf("%s: %w", flag, err)
}

// isEngineError reports whether an error says itself what to do.
func isEngineError(err error) bool {
	var e *store.EngineError
	return errors.As(err, &e)
}

// databaseCopy is a copy that was begun.
type databaseCopy struct {
	from, to store.Copying
	source   store.Identity // of the database that is copied
	progress *progress
}

// run does what an earlier run has not done.
func (c *databaseCopy) run(ctx context.Context, stdout io.Writer, asJSON bool) error {
	if err := c.copyRows(ctx); err != nil {
		return err
	}
	write := writeCompared
	if asJSON {
		write = writeComparedAsJSON
	}
	if err := c.compare(ctx, stdout, write); err != nil {
		return err
	}
	if err := c.finish(ctx); err != nil || asJSON {
		return err
	}
	_, err := fmt.Fprintln(stdout,
		"everything is copied; start the servers on the new database, with the same secrets")
	return err
}

// copyRows copies the rows that come after those in the target. Rows go over in the order of their
// keys, so what an earlier run copied is the beginning of a table.
func (c *databaseCopy) copyRows(ctx context.Context) error {
	var rows, done int64
	last := make(map[string][]any) // the keys
	for _, t := range store.Tables() {
		source, err := c.from.Extent(ctx, t)
		if err != nil {
			return fmt.Errorf("--from: %w", err)
		}
		target, err := c.to.Extent(ctx, t)
		if err != nil {
			return fmt.Errorf("--to: %w", err)
		}
		rows, done = rows+source.Rows, done+target.Rows
		last[t.Name] = target.LastKey
	}
	c.progress.rows("copying", rows)
	c.progress.add(int(done))
	for _, t := range store.Tables() {
		if err := eachBatch(ctx, c.from, t, last[t.Name], func(batch [][]any) error {
			if err := c.to.WriteRows(ctx, c.source.ID, t, batch); err != nil {
				return fmt.Errorf("--to: %w", err)
			}
			c.progress.add(len(batch))
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// compared is a table that was read on both sides.
type compared struct {
	name     string
	from, to tableSum
}

func writeCompared(w io.Writer, tables []compared) error {
	report := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(report, "TABLE\tROWS\tCHECKSUM")
	for _, t := range tables {
		fmt.Fprintf(report, "%s\t%d\t%x\n", t.name, t.to.rows, t.to.sum[:8])
		if t.from != t.to {
			fmt.Fprintf(report, "%s of --from\t%d\t%x\n", t.name, t.from.rows, t.from.sum[:8])
		}
	}
	return report.Flush()
}

// comparedView is a table that was read on both sides, for programs.
type comparedView struct {
	Table string  `json:"table"`
	From  sumView `json:"from"`
	To    sumView `json:"to"`
	Same  bool    `json:"same"`
}

type sumView struct {
	Rows     int64  `json:"rows"`
	Checksum string `json:"checksum"`
}

func writeComparedAsJSON(w io.Writer, tables []compared) error {
	view := func(s tableSum) sumView { return sumView{s.rows, fmt.Sprintf("%x", s.sum)} }
	views := make([]comparedView, len(tables))
	for i, t := range tables {
		views[i] = comparedView{t.name, view(t.from), view(t.to), t.from == t.to}
	}
	return printJSON(w, views)
}

// compare reads all rows on both sides and writes their numbers and checksums.
func (c *databaseCopy) compare(
	ctx context.Context, stdout io.Writer, write func(io.Writer, []compared) error,
) error {
	var rows int64
	for _, t := range store.Tables() {
		e, err := c.from.Extent(ctx, t)
		if err != nil {
			return fmt.Errorf("--from: %w", err)
		}
		rows += e.Rows
	}
	c.progress.rows("comparing", 2*rows)
	var different []string
	var tables []compared
	for _, t := range store.Tables() {
		var source, target tableSum
		both, reading := errgroup.WithContext(ctx)
		both.Go(func() (err error) {
			source, err = c.sum(reading, "--from", c.from, t)
			return err
		})
		both.Go(func() (err error) {
			target, err = c.sum(reading, "--to", c.to, t)
			return err
		})
		if err := both.Wait(); err != nil {
			return err
		}
		tables = append(tables, compared{t.Name, source, target})
		if source != target {
			different = append(different, t.Name)
		}
	}
	c.progress.end()
	if err := write(stdout, tables); err != nil {
		return err
	}
	if len(different) > 0 {
		return fmt.Errorf("not the same in both databases: %s: %w", strings.Join(different, ", "),
			store.ErrCopyDisturbed)
	}
	return nil
}

// finish lets others use the target. It never assigns an id that the source has assigned.
func (c *databaseCopy) finish(ctx context.Context) error {
	lastIDs := make(map[string]int64)
	for _, t := range store.Tables() {
		e, err := c.from.Extent(ctx, t)
		if err != nil {
			return fmt.Errorf("--from: %w", err)
		}
		lastIDs[t.Name] = e.LastID
	}
	if err := c.to.FinishCopy(ctx, c.source, lastIDs); err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	return nil
}

// tableSum is how many rows a table has, and their checksum.
type tableSum struct {
	rows int64
	sum  [sha256.Size]byte
}

// sum reads all rows of a table.
func (c *databaseCopy) sum(
	ctx context.Context, flag string, from store.Copying, t store.Table,
) (s tableSum, err error) {
	hash := sha256.New()
	var text []byte
	err = eachBatch(ctx, from, t, nil, func(batch [][]any) error {
		for _, row := range batch {
			text = text[:0]
			for _, v := range row {
				text = appendValue(text, v)
			}
			hash.Write(text)
		}
		s.rows += int64(len(batch))
		c.progress.add(len(batch))
		return nil
	})
	if err != nil {
		return tableSum{}, fmt.Errorf("%s: %w", flag, err)
	}
	hash.Sum(s.sum[:0])
	return s, nil
}

// appendValue appends a value in a form that is the same on both engines. No form is the beginning
// of another one, so different rows never come to the same bytes.
func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, '-')
	case bool:
		if v {
			return append(b, 'y')
		}
		return append(b, 'n')
	case int64:
		return binary.BigEndian.AppendUint64(append(b, 'i'), uint64(v))
	case time.Time:
		return binary.BigEndian.AppendUint64(append(b, 't'), uint64(v.UnixMilli()))
	case string:
		return append(binary.BigEndian.AppendUint64(append(b, 's'), uint64(len(v))), v...)
	}
	panic(fmt.Sprintf("a column holds a %T", v)) // no store.Kind says so
}

// eachBatch calls each with the rows of a table that come after a key, a batch at a time.
func eachBatch(ctx context.Context, from store.Copying, t store.Table, after []any,
	each func([][]any) error) error {
	for {
		batch, err := from.ReadRows(ctx, t, after, copyBatch)
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			return nil
		}
		if err := each(batch); err != nil {
			return err
		}
		after = t.KeyOf(batch[len(batch)-1])
	}
}
