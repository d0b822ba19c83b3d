package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"clientes/cmd/clientes/config"
)

func (p *program) configCommand() *cobra.Command {
	show := &cobra.Command{
		Use:   "config",
		Short: "Show every setting, its value and where it came from",
		Long: `Show every setting, its value and where it came from: the environment, .env, a file that one of
these names, or the default. Secrets and passwords are hidden. What would stop "clientes serve" is
listed after the settings, and the exit status is 1 then.`,
		Args: arguments,
	}
	asJSON := addJSONFlag(show, "an array of settings")
	show.RunE = func(cmd *cobra.Command, _ []string) error {
		c, faults := p.configureServer(cmd.Context(), "SECRET")
		write := writeSettings
		if *asJSON {
			write = writeSettingsAsJSON
		}
		if err := write(p.stdout, c.Rows()); err != nil {
			return err
		}
		return faults
	}
	return show
}

func writeSettings(w io.Writer, rows []config.Row) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SETTING\tVALUE\tFROM")
	for _, row := range rows {
		fmt.Fprintf(table, "%s\t%s\t%s\n", row.Name, row.Value, row.From)
	}
	return table.Flush()
}

// settingView is a setting for programs.
type settingView struct {
	Name  string  `json:"name"`
	Value *string `json:"value"` // null if it is hidden
	From  string  `json:"from"`
}

func writeSettingsAsJSON(w io.Writer, rows []config.Row) error {
	views := make([]settingView, len(rows))
	for i, row := range rows {
		views[i] = settingView{row.Name, &row.Value, row.From}
		switch row.Value {
		case config.Hidden:
			views[i].Value = nil
		case config.None:
			views[i].Value = new(string)
		}
	}
	return printJSON(w, views)
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
