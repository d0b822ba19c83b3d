package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func (p *program) configCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Show every setting, its value and where it came from",
		Long: `Show every setting, its value and where it came from: the environment, .env, a file that one of these
names, or the default. Secrets and passwords are hidden. What would stop "clientes serve" is listed after the
settings, and the exit status is 1 then.`,
		Args: arguments,
		RunE: func(*cobra.Command, []string) error {
			c, faults := p.configure("SECRET")
			table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "SETTING\tVALUE\tFROM")
			for _, s := range settings() {
				value := c.shown(s)
				if s.name == "LOG_FORMAT" && c.LogFormat == "" {
					value = "text on a terminal, else json"
				}
				if s.name == "PUBLIC_URL" && c.PublicURL == "" && !mayHavePassword(c.Host) {
					value = c.publicURL(nil).String()
				}
				fmt.Fprintf(table, "%s\t%s\t%s\n", s.name, value, c.origins[s.name])
			}
			if err := table.Flush(); err != nil {
				return err
			}
			return faults
		},
	}
}
