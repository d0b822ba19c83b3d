package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"clientes/api/wire"
	"clientes/store"
)

func (p *program) migrateCommand() *cobra.Command {
	migrate := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database to the schema of this program",
		Long: `Apply the migrations that the database lacks, and make it if there is none. "clientes serve" does
the same before it serves. Any number of processes may do it at once: they take turns. When one
migration takes long, lines on standard error say how far it is. What a newer clientes has applied
stays as it is.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.configure()
			if err != nil {
				return err
			}
			e := engineOf(c.DatabaseURL)
			_, err = e.migrateTelling(cmd.Context(), c.DatabaseURL, tellTo(p.stderr))
			if err != nil {
				return err
			}
			schema, err := e.schema(cmd.Context(), c.DatabaseURL)
			if err != nil {
				return err
			}
			all, newer := store.SchemaVersion, ""
			if more := len(schema.Migrations) - all; more > 0 {
				newer = fmt.Sprintf(" and %d of a newer clientes, which this one can live with",
					more)
			}
			_, err = fmt.Fprintf(p.stdout, "the database has all %d migrations%s\n", all, newer)
			return err
		},
	}
	migrate.AddCommand(p.migrateStatusCommand())
	return migrate
}

func (p *program) migrateStatusCommand() *cobra.Command {
	var asJSON *bool
	status := &cobra.Command{
		Use:   "status",
		Short: "Show which migrations the database has",
		Args:  arguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.configure()
			if err != nil {
				return err
			}
			schema, err := engineOf(c.DatabaseURL).schema(cmd.Context(), c.DatabaseURL)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(p.stdout, viewMigrations(schema.Migrations))
			}
			table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "VERSION\tNAME\tAPPLIED")
			for _, m := range schema.Migrations {
				name, applied := m.Name, "no"
				if name == "" {
					name = "(of a newer clientes)"
				}
				if m.Applied {
					applied = m.At.Format(time.RFC3339)
				}
				fmt.Fprintf(table, "%d\t%s\t%s\n", m.Version, name, applied)
			}
			return table.Flush()
		},
	}
	asJSON = addJSONFlag(status, "an array of migrations")
	return status
}

// migrationView is a migration for programs.
type migrationView struct {
	Version   int64         `json:"version"`
	Name      string        `json:"name"` // "" of a newer clientes
	Applied   bool          `json:"applied"`
	AppliedAt *wire.Instant `json:"applied_at"`
}

func viewMigrations(migrations []store.Migration) []migrationView {
	views := make([]migrationView, len(migrations))
	for i, m := range migrations {
		views[i] = migrationView{Version: m.Version, Name: m.Name, Applied: m.Applied}
		if m.Applied {
			at := wire.Instant(m.At)
			views[i].AppliedAt = &at
		}
	}
	return views
}

// tellPause is how long a migration is silent before a line says how far it is, and then between
// two lines.
const tellPause = 5 * time.Second

// tellMigration writes a line about a migration that is under way. A progress without a name means
// that none has begun.
type tellMigration func(progress store.MigrationProgress, begun time.Duration)

// tellTo writes lines for people.
func tellTo(w io.Writer) tellMigration {
	return func(p store.MigrationProgress, begun time.Duration) {
		line := "waiting for the database, or for another process that migrates it"
		if p.Name != "" {
			line = "migrating: " + p.Name
		}
		if p.Total > 0 {
			line += fmt.Sprintf(", %d of %d rows", p.Done, p.Total)
		}
		fmt.Fprintf(w, "%s (%s)\n", line, begun)
	}
}

// tellLog writes lines of a server's log.
func tellLog(log *slog.Logger) tellMigration {
	return func(p store.MigrationProgress, begun time.Duration) {
		if p.Name == "" {
			log.Info("waiting for the database, or for another process that migrates it",
				"after", begun.String())
			return
		}
		log.Info("migrating", "migration", p.Name, "rows", p.Done, "of", p.Total,
			"after", begun.String())
	}
}

// migrateTelling applies the migrations that the database lacks, and tells of those that take long.
// It returns whether it began with the first one.
func (e engine) migrateTelling(
	ctx context.Context, databaseURL string, tell tellMigration,
) (made bool, err error) {
	var (
		mu       sync.Mutex
		progress store.MigrationProgress
		begun    = time.Now()
	)
	done := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		ticker := time.NewTicker(tellPause)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			mu.Lock()
			now, since := progress, begun
			mu.Unlock()
			// A migration that has just begun may be a quick one.
			if after := time.Since(since).Round(time.Second); after >= tellPause {
				tell(now, after)
			}
		}
	})
	defer telling.Wait()
	defer close(done)
	err = e.migrate(ctx, databaseURL, func(p store.MigrationProgress) {
		mu.Lock()
		defer mu.Unlock()
		made = made || strings.HasPrefix(p.Name, "00001_")
		if p.Name != progress.Name {
			begun = time.Now()
		}
		progress = p
	})
	return made, err
}
