package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"clientes/api/wire"
	"clientes/store"
)

const (
	// changesLimit is how many changes are read at once.
	changesLimit = 1000

	// followEvery is how often --follow looks for changes, as a server does.
	followEvery = 200 * time.Millisecond
)

func (p *program) changesCommand() *cobra.Command {
	var since string
	var follow bool
	changes := &cobra.Command{
		Use:   "changes",
		Short: "Write every change of the customers as NDJSON, the oldest first",
		Long: `Write every change of every customer to standard output, one JSON object a line, the oldest first.
Whoever applies them in this order has the same customers as the database.

Each line has a cursor. --since begins after that line, also in another call, on another machine and
in a copy of the database. Without it, the changes come from the beginning.

With --follow the command waits for more until it is interrupted.`,
		Args: arguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			at, ok := wire.ParseCursor(since)
			if !ok {
				return &usageError{"--since takes the cursor of a line, or 0 for the beginning"}
			}
			c, err := p.configure()
			if err != nil {
				return err
			}
			st, err := openExisting(cmd.Context(), c.DatabaseURL)
			if err != nil {
				return err
			}
			defer st.Close()
			return p.changes(cmd.Context(), st, at, follow)
		},
	}
	changes.Flags().StringVar(&since, "since", wire.FirstCursor,
		"begin after the line with this `CURSOR`")
	changes.Flags().BoolVar(&follow, "follow", false, "wait for more changes")
	return changes
}

// changes writes the changes after a position. To follow them it waits for more until ctx ends,
// and does not end with the database.
func (p *program) changes(
	ctx context.Context, st store.Feed, at store.FeedPosition, follow bool,
) error {
	f := feedPrinter{st: st, out: bufio.NewWriter(p.stdout), at: at}
	for away := false; ; {
		err := f.printAll(ctx)
		switch {
		case errors.Is(err, syscall.EPIPE) || follow && ctx.Err() != nil:
			return nil
		case errors.Is(err, store.ErrUnknownPosition):
			return fmt.Errorf("%w: it was replaced by an older state of it, or is another one; "+
				"begin again without --since, and with an empty copy", err)
		case !follow || err != nil && !errors.Is(err, store.ErrUnavailable):
			return err
		case err != nil && !away:
			fmt.Fprintf(p.stderr, "clientes: %s; trying again\n", withoutControls(sentence(err)))
		case err == nil && away:
			fmt.Fprintln(p.stderr, "clientes: the database answers again")
		}
		away = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followEvery):
		}
	}
}

// feedPrinter writes the feed to out, from a position on.
type feedPrinter struct {
	st  store.Feed
	out *bufio.Writer
	at  store.FeedPosition
}

// printAll writes all changes that there are.
func (f *feedPrinter) printAll(ctx context.Context) error {
	var line []byte
	for {
		page, err := f.st.Changes(ctx, f.at, changesLimit)
		if err != nil {
			return err
		}
		for i := range page.Changes {
			line = wire.AppendFeedLine(line[:0], &page.Changes[i])
			if _, err := f.out.Write(line); err != nil {
				return err
			}
		}
		if err := f.out.Flush(); err != nil {
			return err
		}
		if f.at = page.Next; !page.More {
			return nil
		}
	}
}
