package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func (p *program) migrateCommand() *cobra.Command {
	migrate := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database to the schema of this program",
		Long: `Apply the migrations that the database lacks, and make it if there is none. "clientes serve" does
the same before it serves. Any number of processes may do it at once: they take turns.`,
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
			if err := e.migrate(cmd.Context(), c.DatabaseURL); err != nil {
				return err
			}
			migrations, err := e.migrations(cmd.Context(), c.DatabaseURL)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(p.stdout, "the database has all %d migrations\n", len(migrations))
			return err
		},
	}
	migrate.AddCommand(&cobra.Command{
		Use:   "status",
		Short: "Show which migrations the database has",
		Args:  arguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.configure()
			if err != nil {
				return err
			}
			migrations, err := engineOf(c.DatabaseURL).migrations(cmd.Context(), c.DatabaseURL)
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "VERSION\tNAME\tAPPLIED")
			for _, m := range migrations {
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
	})
	return migrate
}
