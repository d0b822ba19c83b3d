package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"clientes/auth"
	"clientes/cmd/clientes/config"
	"clientes/cmd/clientes/verify"
	"clientes/store"
)

// verifyOptions are the flags of the command.
type verifyOptions struct {
	admin                adminLogin
	replicas, only       []string
	output               string
	json, markdown, list bool
	slow                 bool
}

func (p *program) verifyCommand() *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify URL",
		Short: "Try on a running server of your own what it promises",
		Long: `Try on a running server of your own what it promises to its clients, and report what was found.
See cmd/clientes/VERIFY.md. The server is one on this machine that serves from the database of this
folder, in which the command makes itself an admin. Of any other server it needs the login of an
admin (--user). It makes users and customers whose names begin with "verify-", and removes them.
The exit status is 1 if a promise does not hold, or if something could not be removed.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if o.list && len(args) == 0 {
				return nil
			}
			return arguments(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.list {
				return p.listPromises(o.json)
			}
			return p.verify(cmd.Context(), args[0], o)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.replicas, "replica", nil,
		"the `URL` of another process on the same database; may be given several times")
	o.admin.addFlags(cmd, "log in as this admin instead of making one")
	f.BoolVar(&o.json, "json", false, "print the report as JSON")
	f.BoolVar(&o.markdown, "markdown", false, "print the report as Markdown")
	f.StringVar(&o.output, "output", "", "write the report to this `FILE`")
	f.StringArrayVar(&o.only, "check", nil,
		"run only the check with this `ID`; may be given several times")
	f.BoolVar(&o.slow, "slow", false, "try also what has to wait for REFRESH_GRACE")
	f.BoolVar(&o.list, "list", false, "list the checks and run none")
	return cmd
}

func (p *program) listPromises(asJSON bool) error {
	if asJSON {
		type promise struct {
			ID       string `json:"id"`
			Section  string `json:"section"`
			Sentence string `json:"promise"`
		}
		var all []promise
		for _, known := range verify.Promises() {
			all = append(all, promise(known))
		}
		return printJSON(p.stdout, all)
	}
	var lines strings.Builder
	table := tabwriter.NewWriter(&lines, 0, 0, 2, ' ', 0)
	indent := 0 // of the sentences
	for _, promise := range verify.Promises() {
		fmt.Fprintf(table, "%s\t%s\n", promise.ID, promise.Sentence)
		indent = max(indent, len(promise.ID)+2)
	}
	table.Flush() // to memory
	return writeFolded(p.stdout, lines.String(), indent)
}

// verify runs the checks and writes the report.
func (p *program) verify(ctx context.Context, server string, o verifyOptions) (err error) {
	write, err := o.writer()
	if err != nil {
		return err
	}
	cfg := verify.Config{
		URL: server, Replicas: o.replicas, Only: o.only, Slow: o.slow,
		RefreshGrace: -1, Now: time.Now,
	}
	if err := cfg.Check(); err != nil {
		return &usageError{err.Error() + "; see `clientes verify --help`"}
	}
	if isTerminal(p.stderr) {
		cfg.Progress = func(r verify.Result) {
			fmt.Fprintf(p.stderr, "%-9s  %s\n", r.Outcome, r.ID)
		}
	}
	local := !slices.ContainsFunc(append([]string{server}, o.replicas...), isRemote)
	if o.admin.user == "" && !local {
		return &usageError{
			"a server that is not on this machine is tried with an admin's login only; " +
				"give --user NAME",
		}
	}
	for _, one := range append([]string{server}, o.replicas...) {
		if isRemote(one) && isPlain(one) {
			return &usageError{fmt.Sprintf("passwords and tokens would go to %s in clear; give "+
				"its https:// URL, or run the command on that machine", one)}
		}
	}
	var c config.Config
	if local {
		if c, err = p.configure("SECRET"); err != nil && o.admin.user == "" {
			return err
		}
		if err == nil {
			cfg.Secret, cfg.RefreshGrace = c.Secret, c.RefreshGrace
			// With --user, the settings of this folder may be those of another server.
			cfg.SignupClosed = c.Signup == "closed" && o.admin.user == ""
			cfg.BehindProxy = c.TrustsLoopback()
		}
	}
	if err := verify.Ready(ctx, cfg); err != nil {
		return err
	}
	out, closeOutput, err := p.output(o.output)
	if err != nil {
		return err
	}
	told := context.AfterFunc(ctx, func() {
		fmt.Fprintln(p.stderr, "interrupted; removing what the checks have made, which takes up to "+
			"a minute. Another interrupt would leave it behind.")
	})
	report, err := p.runChecks(ctx, c, cfg, o)
	told()
	if err == nil {
		err = write(report, out)
	}
	if err := errors.Join(err, closeOutput()); err != nil {
		return err
	}
	return report.Err()
}

// runChecks runs the checks as the admin of --user, or as one that it makes. That one is removed
// before the report is written, since a pipe that nobody reads ends the process.
func (p *program) runChecks(
	ctx context.Context, c config.Config, cfg verify.Config, o verifyOptions,
) (report verify.Report, err error) {
	if o.admin.user != "" {
		cfg.Admin = verify.Credentials{User: o.admin.user, Code: o.admin.code}
		if cfg.Admin.Password, err = p.presentPassword(ctx, o.admin); err != nil {
			return report, err
		}
		return verify.Run(ctx, cfg)
	}
	if err := verify.SharesSecret(ctx, cfg); err != nil {
		return report, err
	}
	admin, remove, err := makeAdmin(ctx, c)
	if err != nil {
		return report, err
	}
	defer func() { // also after a panic
		if left := remove(); left != nil && err == nil {
			report.Left = append(report.Left, left.Error())
		} else {
			err = errors.Join(err, left)
		}
	}()
	cfg.Admin = admin
	report, err = verify.Run(ctx, cfg)
	if errors.Is(err, verify.ErrUnknownAdmin) {
		err = fmt.Errorf("the server at %s uses another database than DATABASE_URL of this "+
			"folder names: the admin who was made there is unknown to it; change to its "+
			"folder, or give --user NAME", cfg.URL)
	}
	return report, err
}

// writer returns what writes the report in the form that was chosen.
func (o verifyOptions) writer() (func(verify.Report, io.Writer) error, error) {
	switch {
	case o.json && o.markdown:
		return nil, &usageError{"--json and --markdown are two forms of the report; give one of them"}
	case o.json:
		return verify.Report.WriteJSON, nil
	case o.markdown:
		return verify.Report.WriteMarkdown, nil
	}
	return writeTextReport, nil
}

func writeTextReport(r verify.Report, w io.Writer) error {
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		return err
	}
	return writeFolded(w, b.String(), len("  passed    "))
}

// output returns where the report goes.
func (p *program) output(file string) (w io.Writer, done func() error, err error) {
	if file == "" || file == "-" {
		return p.stdout, func() error { return nil }, nil
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("write the report: %w", err)
	}
	return f, f.Close, nil
}

// isRemote reports whether the URL of a server may lead to another machine.
func isRemote(server string) bool {
	u, err := url.Parse(server)
	return err != nil || !config.IsLoopbackHost(u.Hostname())
}

// isPlain reports whether what is sent to the URL of a server can be read on its way.
func isPlain(server string) bool {
	u, err := url.Parse(server)
	return err != nil || u.Scheme != "https"
}

// makeAdmin makes an admin in the configured database, with a random name and password that nobody
// else learns. The caller must call remove.
func makeAdmin(
	ctx context.Context, c config.Config,
) (admin verify.Credentials, remove func() error, err error) {
	name := "verify-" + strings.ToLower(rand.Text()[:10])
	// As long as the largest PASSWORD_MIN wants it.
	admin = verify.Credentials{
		User: name, Password: rand.Text() + rand.Text() + rand.Text(), Temporary: true,
	}
	add := func(ctx context.Context, accounts *auth.Accounts) error {
		u := store.User{Name: name, Role: store.Admin}
		_, err := accounts.Add(ctx, u, admin.Password)
		return err
	}
	if err := withAccounts(ctx, c, add); err != nil {
		return admin, nil, fmt.Errorf("make an admin for the checks: %w", err)
	}
	remove = func() error {
		// Also after an interrupt, which has ended ctx.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		err := withAccounts(ctx, c, func(ctx context.Context, accounts *auth.Accounts) error {
			return accounts.Delete(ctx, name)
		})
		if err != nil {
			return fmt.Errorf("the admin %s could not be removed: %w", name, err)
		}
		return nil
	}
	return admin, remove, nil
}

// withAccounts calls update with the accounts of the configured database. The database must have
// been made, and must have an admin already.
func withAccounts(
	ctx context.Context, c config.Config, update func(context.Context, *auth.Accounts) error,
) (err error) {
	rules, done, err := newPasswordRules(c)
	if err != nil {
		return err
	}
	defer done()
	st, err := openExisting(ctx, c.DatabaseURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	admins := 0
	if err := eachUser(ctx, st, func(u store.User) error {
		if u.ActiveAdmin() {
			admins++
		}
		return nil
	}); err != nil {
		return err
	}
	if admins == 0 {
		return errors.New(
			"the database has no other admin, and the last one cannot be removed again; " +
				"add yours first with `clientes user add NAME --role admin`",
		)
	}
	return update(ctx, auth.NewAccounts(withoutAdminMails{st}).WithRules(rules))
}

// withoutAdminMails is a store of whose new users the admins get no mail: those of a check come and
// go. The audit has their events.
type withoutAdminMails struct{ store.Store }

// CreateUser implements [store.Users].
func (w withoutAdminMails) CreateUser(
	ctx context.Context, u store.User, all ...store.EffectsFunc,
) (store.User, error) {
	for i, effects := range all {
		all[i] = func(old, now store.User) store.Effects {
			e := effects(old, now)
			e.ToAdmins = nil
			return e
		}
	}
	return w.Store.CreateUser(ctx, u, all...)
}
