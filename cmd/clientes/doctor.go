package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"clientes/api/wire"
	"clientes/cmd/clientes/config"
	"clientes/cmd/clientes/doctor"
	"clientes/cmd/clientes/verify"
	"clientes/store"
)

// errDoctorFailed ends the command after its findings, which say what is wrong.
var errDoctorFailed = errors.New("something has to be corrected; the lines that begin with fail " +
	"say what")

func (p *program) doctorCommand() *cobra.Command {
	var asJSON *bool
	var admin adminLogin
	cmd := &cobra.Command{
		Use:   "doctor [URL]",
		Short: "Find what is wrong with the set-up, and say what to do about it",
		Long: `Look at the settings, their files, the limits of the process, the mail server and the database,
and print a line for each check: ok, warn or fail, what was found, and the cure. It changes nothing,
and works whether or not a server runs. The exit status is 1 if a check failed.
cmd/clientes/DOCTOR.md explains every check.

With the URL of a server it also looks from outside, as clients do. --user names an admin, for whom
the server tells which address it sees. In a folder without settings the URL alone is looked at.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &usageError{"give one URL, or none"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.doctor(cmd.Context(), args, admin, *asJSON)
		},
	}
	asJSON = addJSONFlag(cmd, "the findings")
	admin.addFlags(cmd, "log in at the URL as this admin")
	return cmd
}

// doctor looks from inside where there is a set-up, and from outside where there is a URL.
func (p *program) doctor(
	ctx context.Context, args []string, admin adminLogin, asJSON bool,
) (err error) {
	var outside doctor.Target
	switch {
	case len(args) > 0:
		outside = doctor.Target{Now: time.Now, User: admin.user, Code: admin.code}
		if outside.URL, err = verify.ServerURL(args[0]); err != nil {
			return &usageError{err.Error()}
		}
		if admin.user != "" {
			if outside.Password, err = p.presentPassword(ctx, admin); err != nil {
				return err
			}
		}
	case admin != adminLogin{}:
		return &usageError{"--user, --password-stdin and --code go with the URL of a server"}
	}
	tuneMemory(p.lookupEnv, "") // as a server does, so that the findings are about one
	c, err := config.Load(p.lookupEnv, "SECRET")
	var found []store.Finding
	switch outside.Setup = c.IsUnset(); {
	case !outside.Setup:
		found = doctor.Examine(ctx, setupOf(c, c.CheckStart(ctx, err), nil))
	case outside.URL == nil:
		// The defaults are no server's, and what is wrong with them would lead astray.
		found = []store.Finding{{
			ID: "configuration", Level: store.LevelFail,
			Message: "neither this folder nor the environment has a setting, so this is not " +
				"where a server runs",
			Cure: "run this in the server's folder and with its environment, or give the URL of " +
				"the server and --user; `clientes quickstart` sets up a new one",
		}}
	}
	if outside.URL != nil {
		found = append(found, doctor.ExamineURL(ctx, outside)...)
	}
	if err := p.printFindings(found, asJSON); err != nil {
		return err
	}
	if slices.ContainsFunc(found, isFail) {
		return errDoctorFailed
	}
	return nil
}

func isFail(f store.Finding) bool { return f.Level == store.LevelFail }

// setupOf returns what doctor looks at: a configuration and what is wrong with it. Serving is where
// browsers find the server of this process, nil if it is none.
func setupOf(c config.Config, err error, serving *url.URL) doctor.Setup {
	return doctor.Setup{
		Config: c, Err: err, Serving: serving, Now: time.Now, Descriptors: descriptors(),
		Database: func(ctx context.Context, databaseURL string) []store.Finding {
			return engineOf(databaseURL).examine(ctx, databaseURL)
		},
	}
}

// printFindings prints the findings: as JSON in the order of the checks, or as lines, those that
// matter last, where a terminal shows them.
func (p *program) printFindings(found []store.Finding, asJSON bool) error {
	if asJSON {
		return printJSON(p.stdout, wire.Findings(found))
	}
	var lines strings.Builder
	table := tabwriter.NewWriter(&lines, 0, 0, 2, ' ', 0)
	indent := 0 // of the sentences
	count := make(map[store.Level]int)
	for _, level := range []store.Level{store.LevelOK, store.LevelWarn, store.LevelFail} {
		for _, f := range found {
			if f.Level != level {
				continue
			}
			count[level]++
			indent = max(indent, len("fail  ")+len(f.ID)+2)
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
	fmt.Fprintf(&lines, "%d ok, %d warn, %d fail\n",
		count[store.LevelOK], count[store.LevelWarn], count[store.LevelFail])
	return writeFolded(p.stdout, lines.String(), indent)
}
