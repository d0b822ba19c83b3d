package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"clientes/cmd/clientes/config"
)

func (p *program) configCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Show every setting, its value and where it came from",
		Long: `Show every setting, its value and where it came from: the environment, .env, a file that one of
these names, or the default. Secrets and passwords are hidden. What would stop "clientes serve" is
listed after the settings, and the exit status is 1 then.`,
		Args: arguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, faults := p.configureServer(cmd.Context(), "SECRET")
			table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "SETTING\tVALUE\tFROM")
			for _, row := range c.Rows() {
				fmt.Fprintf(table, "%s\t%s\t%s\n", row.Name, row.Value, row.From)
			}
			if err := table.Flush(); err != nil {
				return err
			}
			return faults
		},
	}
}

// configure loads the configuration and prints what is strange in it.
func (p *program) configure(required ...string) (config.Config, error) {
	c, err := config.Load(p.lookupEnv, required...)
	for _, w := range c.Warnings() {
		fmt.Fprintf(p.stderr, "clientes: warning: %s\n", w)
	}
	return c, err
}

// configureServer is [program.configure] for a command that serves, and for the one that shows what
// such a command would find.
func (p *program) configureServer(
	ctx context.Context, required ...string,
) (config.Config, error) {
	c, err := p.configure(required...)
	return c, c.CheckStart(ctx, err)
}
