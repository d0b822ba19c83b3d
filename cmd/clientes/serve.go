package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"clientes/api"
	"clientes/auth"
	"clientes/auth/mail"
	"clientes/auth/password"
	"clientes/cmd/clientes/config"
	"clientes/cmd/clientes/doctor"
	"clientes/store"
	"clientes/store/postgres"
)

func (p *program) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Migrate the database and serve the API",
		Long: `Bring the database to the schema of this program and serve the API until SIGTERM, SIGINT or
SIGHUP. Then /readyz answers 503, what is under way is finished, and the server leaves within
SHUTDOWN_TIMEOUT. A second signal ends it at once.`,
		Args: arguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			p.bufferStderr()
			c, err := p.configureServer(ctx, "SECRET")
			if err != nil {
				return err
			}
			tuneMemory(p.lookupEnv, "")
			log := p.logger(c)
			hashing, err := password.StartProcess(hashPasswords, log)
			if err != nil {
				return err
			}
			defer hashing.Close()
			st, err := openToServe(ctx, c.DatabaseURL, log)
			if err != nil {
				return err
			}
			defer closeSoon(st)
			// Only now: as long as nobody listens, a load balancer sends nobody here.
			listener, err := listen(ctx, c)
			if err != nil {
				return err
			}
			m, err := p.listenMetrics(ctx, c)
			if err != nil {
				return errors.Join(err, listener.Close())
			}
			return serve(ctx, c, st, hashing, listener, m, log)
		},
	}
}

// countedRows is how far a start counts. Counting ten million customers would take seconds.
const countedRows = 10_000

// openToServe is [openMigrated] for a server. It logs which database it has opened and what is in
// there, so that a wrong one is noticed at once.
func openToServe(ctx context.Context, databaseURL string, log *slog.Logger) (store.Store, error) {
	made, st, err := openMigrated(ctx, databaseURL, tellLog(log), store.Options{Log: log})
	if err != nil {
		return nil, err
	}
	has, err := st.Sizes(ctx, countedRows+1)
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	log.Info("opened the database", "url", engineOf(databaseURL).shown(databaseURL),
		"made", made, "users", upTo(has.Users), "clientes", upTo(has.Clientes))
	return st, nil
}

// upTo returns a number of rows that were counted up to [countedRows] and one more.
func upTo(n int64) any {
	if n > countedRows {
		return fmt.Sprintf("more than %d", countedRows)
	}
	return n
}

// serve builds auth and the API upon a store and the process that hashes passwords, and answers
// requests until ctx ends. Then it closes what it built, in the opposite order, and the listener.
func serve(
	ctx context.Context, c config.Config, st store.Store, hashing *password.Process,
	listener net.Listener, m *metrics, log *slog.Logger,
) error {
	defer listener.Close()
	defer m.close()
	m.addStore(st)
	rules, done, err := newPasswordRules(c)
	if err != nil {
		return err
	}
	defer done()
	gate := hashing.Gate()
	gate.Rules = rules
	a, err := newAuth(c, st, gate, m, log)
	if err != nil {
		return err
	}
	public := c.PublicURLAt(listener.Addr())
	handler, err := newAPI(c, st, a, public, m, log)
	if err != nil {
		return err
	}
	if err := hashing.Started(); err != nil {
		return err
	}

	// Upkeep goes on until the last request is answered. Mail that is queued after the signal is
	// for the other replicas to send, or for the next start.
	upkeep, stopUpkeep := context.WithCancel(store.Insist(ctx))
	sending, stopSending := context.WithCancel(store.WithRank(ctx, store.Insisting))
	var group sync.WaitGroup
	leaving := endsAfter(ctx, c.ShutdownDelay+c.ShutdownTimeout+closeTimeout)
	defer func() {
		stopSending()
		stopUpkeep()
		if !waitUntil(leaving, &group) {
			log.Warn("leaving before the work in the background has ended: the database does not answer")
		}
	}()
	group.Go(func() { a.Run(upkeep) })
	group.Go(func() { handler.Run(upkeep) })
	group.Go(func() { m.serve(upkeep, log) })
	group.Go(func() { a.SendMail(sending, newSender(c, public, log), c.ShutdownTimeout) })
	group.Go(func() { warnOfTemporaryFiles(log) })

	warnOfExposure(c, public, log)
	return newHTTPServer(c, handler, log).serve(ctx, listener)
}

func newAPI(
	c config.Config, st store.Store, a *auth.Auth, public *url.URL, m *metrics, log *slog.Logger,
) (*api.Server, error) {
	return api.New(api.Config{
		Store: st, Auth: a, Log: log, Now: time.Now, Metrics: m.registerer(),
		PublicURL:      public,
		CORSOrigins:    c.CORSOrigins,
		TrustedProxies: c.TrustedProxies,
		SignupOpen:     c.Signup == "open",
		RequireIfMatch: c.RequireIfMatch,
		Console:        c.Console == "on",
		Examine: func(ctx context.Context) []store.Finding {
			return doctor.Examine(ctx, setupOf(c, nil, public))
		},
	})
}

func newAuth(
	c config.Config, st store.Store, gate *password.Gate, m *metrics, log *slog.Logger,
) (*auth.Auth, error) {
	return auth.New(auth.Config{
		Store: st, Gate: gate, Now: time.Now, Log: log, Metrics: m.registerer(),
		Secret: c.Secret, Previous: c.SecretPrevious,
		Root: c.RootSecret, RootPrevious: c.RootSecretPrevious,
		Issuer: c.Issuer, Audience: c.Audience,
		TokenTTL: c.TokenTTL, SessionIdle: c.SessionIdle, SessionMax: c.SessionMax,
		RememberIdle: c.RememberIdle,
		RefreshGrace: c.RefreshGrace, AuditKeep: c.AuditKeep,
		RequireMFA: mfaRole(c.RequireMFA),
	})
}

// mfaRole returns the least role that must have a second factor under REQUIRE_MFA, "" for none.
func mfaRole(required string) store.Role {
	switch required {
	case "admin":
		return store.Admin
	case "all":
		return store.Viewer
	}
	return ""
}

// mailTimeout bounds the sending of one mail: a server that takes longer is out of order.
const mailTimeout = 30 * time.Second

// newSender returns what sends mail. Without a mail server, mail goes to the log, where a developer
// finds its links. The log of a server that others can reach does not have them.
func newSender(c config.Config, public *url.URL, log *slog.Logger) auth.Sender {
	if c.SMTP == (mail.Server{}) {
		return mail.NewLog(log, public, c.IsLoopback())
	}
	return mail.NewSMTP(mail.Config{
		Server: c.SMTP, From: c.MailFrom, PublicURL: public, Timeout: mailTimeout, Now: time.Now,
	})
}

// warnOfTemporaryFiles logs that no temporary file can be made. That is no reason to refuse the
// start, since only transfers in bulk need one.
func warnOfTemporaryFiles(log *slog.Logger) {
	f, err := os.CreateTemp("", "clientes-start-")
	if err == nil {
		_, err = f.Write(make([]byte, 4096)) // the disk may be full
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		log.Warn("no temporary file can be made, so imports and exports will fail; "+
			"set TMPDIR to a folder with room that this user can write",
			"folder", os.TempDir(), "error", err)
	}
}

// warnOfExposure logs what an operator may not have meant.
func warnOfExposure(c config.Config, public *url.URL, log *slog.Logger) {
	if hint := c.LoopbackHint(); hint != "" {
		log.Info(hint)
	}
	if hint := c.PublicURLHint(); hint != "" {
		log.Warn(hint)
	}
	if c.SMTP.IsExposed() {
		log.Warn("SMTP_URL has tls=none: whoever listens on the way to the mail server reads the links "+
			"in mail, which are as good as passwords", "smtp_url", c.SMTP.String())
	}
	if public.Scheme == "http" && !c.IsLoopback() {
		log.Warn("PUBLIC_URL is plain http: the cookie of refresh tokens goes without Secure, "+
			"and whoever listens on the way has it", "public_url", public.String())
	}
	for _, proxies := range c.TrustedProxies {
		if proxies.Bits() == 0 {
			log.Warn("TRUSTED_PROXIES trusts every address: whoever sends X-Forwarded-For chooses the "+
				"address that is logged, and that failed logins are counted for; name your proxies",
				"trusted_proxies", proxies.String())
		}
	}
	if hosts := postgres.UnverifiedHosts(c.DatabaseURL); len(hosts) > 0 {
		log.Warn("DATABASE_URL does not verify the database's certificate: whoever listens on the way, or "+
			"pretends to be the database, may get its password and all data; add sslmode=verify-full, and "+
			"sslrootcert=FILE if the certificate comes from an authority of your own", "hosts", hosts)
	}
	if c.Signup == "open" && c.SMTP == (mail.Server{}) {
		log.Warn("SIGNUP is open, but SMTP_URL is not set: no mail leaves this machine, so that whoever " +
			"signs up can neither confirm an email nor get a link to set another password")
	}
}
