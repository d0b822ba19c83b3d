package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"clientes/cmd/clientes/config"
	"clientes/cmd/clientes/doctor"
	"clientes/store"
)

// errDoctorFailed ends the command after its findings, which say what is wrong.
var errDoctorFailed = errors.New("something has to be corrected; the lines that begin with fail " +
	"say what")

func (p *program) doctorCommand() *cobra.Command {
	var (
		asJSON, stdin bool
		user, code    string
	)
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
			ctx := cmd.Context()
			found, inside := p.examine(ctx)
			if len(args) == 0 && (user != "" || stdin || code != "") {
				return &usageError{"--user, --password-stdin and --code go with the URL of a server"}
			}
			if len(args) == 1 {
				base, err := serverURL(args[0])
				if err != nil {
					return err
				}
				t := doctor.Target{URL: base, Now: time.Now, User: user, Code: code, Setup: !inside}
				if user != "" {
					if t.Password, err = p.ownPassword(ctx, stdin); err != nil {
						return err
					}
				}
				if !inside {
					found = nil
				}
				found = append(found, doctor.ExamineURL(ctx, t)...)
			}
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
	cmd.Flags().StringVar(&user, "user", "", "log in at the URL as this admin")
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the admin's password from standard input")
	cmd.Flags().StringVar(&code, "code", "", "the code of the admin's second factor")
	return cmd
}

func isFail(f store.Finding) bool { return f.Level == store.LevelFail }

// serverURL returns the URL of a server, or what is wrong with it.
func serverURL(text string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(text, "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, &usageError{"give the URL of a server as browsers write it, without a path: " +
			"https://api.example.com"}
	}
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}, nil
}

// ownPassword returns the present password of whoever calls: what is on standard input, or what
// somebody types on the terminal.
func (p *program) ownPassword(ctx context.Context, stdin bool) (string, error) {
	if stdin {
		return p.readPassword(ctx)
	}
	terminal, ok := p.stdin.(*os.File)
	if !ok || !isTerminal(terminal) {
		return "", errors.New("there is no terminal to ask for the password on; " +
			"give it with --password-stdin")
	}
	return p.ask(ctx, terminal, "Password: ")
}

// examine looks at the set-up of the working folder, and reports whether there is one.
func (p *program) examine(ctx context.Context) (found []store.Finding, inside bool) {
	c, err := config.Load(p.lookupEnv, "SECRET")
	inside = slices.ContainsFunc(c.Rows(), func(row config.Row) bool {
		return row.From != "default" && row.Name != "HOST" && row.Name != "PORT"
	})
	if _, err := os.Stat(".env"); err == nil {
		inside = true
	}
	return doctor.Examine(ctx, doctor.Setup{
		Config: c, Err: c.CheckStart(ctx, err),
		Descriptors: descriptors(),
		Database:    examineDatabase,
	}), inside
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
		return printJSON(p.stdout, views)
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
	_, err := fmt.Fprintf(p.stdout, "%d ok, %d warn, %d fail\n",
		count[store.LevelOK], count[store.LevelWarn], count[store.LevelFail])
	return err
}
