package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"clientes/cmd/clientes/config"
	"clientes/cmd/clientes/doctor"
	"clientes/store"
)

// errDoctorFailed ends the command after its findings, which say what is wrong.
var errDoctorFailed = errors.New("something has to be corrected; the lines that begin with fail say what")

func (p *program) doctorCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor [URL]",
		Short: "Find what is wrong with the set-up, and say what to do about it",
		Long: `Look at the settings, their files, the limits of the process, the mail server and the database, and
print a line for each check: ok, warn or fail, what was found, and the cure. It changes nothing, and
works whether or not a server runs. The exit status is 1 if a check failed. cmd/clientes/DOCTOR.md
explains every check.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &usageError{"give one URL, or none"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			found := p.examine(ctx)
			if err := p.printFindings(found, asJSON); err != nil {
				return err
			}
			if slices.ContainsFunc(found, isFail) {
				return errDoctorFailed
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON")
	return cmd
}

func isFail(f store.Finding) bool { return f.Level == store.LevelFail }

// examine looks at the set-up of the working folder.
func (p *program) examine(ctx context.Context) []store.Finding {
	c, err := config.Load(p.lookupEnv, "SECRET")
	return doctor.Examine(ctx, doctor.Setup{
		Config: c, Err: c.CheckStart(ctx, err),
		Descriptors: descriptors(),
		Database:    examineDatabase,
	})
}

// examineDatabase examines the database of a URL.
func examineDatabase(ctx context.Context, databaseURL string) []store.Finding {
	return engineOf(databaseURL).examine(ctx, databaseURL)
}

// findingView is a finding as JSON.
type findingView struct {
	ID      string      `json:"id"`
	Level   store.Level `json:"level"`
	Message string      `json:"message"`
	Cure    string      `json:"cure"`
}

// printFindings prints the findings: as JSON in the order of the checks, or as lines, those that
// matter last, where a terminal shows them.
func (p *program) printFindings(found []store.Finding, asJSON bool) error {
	if asJSON {
		views := make([]findingView, len(found))
		for i, f := range found {
			views[i] = findingView(f)
		}
		return json.MarshalWrite(p.stdout, views, jsontext.Multiline(true))
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	count := make(map[store.Level]int)
	for _, level := range []store.Level{store.LevelOK, store.LevelWarn, store.LevelFail} {
		for _, f := range found {
			if f.Level != level {
				continue
			}
			count[level]++
			text := f.Message
			if f.Cure != "" {
				text = strings.TrimSuffix(text, ".") + ". Cure: " + p.asTyped(f.Cure)
			}
			fmt.Fprintf(table, "%s\t%s\t%s\n", level, f.ID, text)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(p.stdout, "%d checks are ok, %d warn and %d failed.\n",
		count[store.LevelOK], count[store.LevelWarn], count[store.LevelFail])
	return err
}
