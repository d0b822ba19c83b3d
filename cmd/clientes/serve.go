package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"clientes/api"
	"clientes/auth"
	"clientes/auth/mail"
	"clientes/auth/password"
	"clientes/store"
)

func (p *program) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Migrate the database and serve the API",
		Long: `Bring the database to the schema of this program and serve the API until SIGTERM or SIGINT. Then /readyz
answers 503, what is under way is finished, and the server leaves within SHUTDOWN_TIMEOUT. A second signal ends it
at once.`,
		Args: arguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			c, err := p.configure("SECRET")
			if err != nil {
				return err
			}
			st, err := openMigrated(ctx, c.DatabaseURL)
			if err != nil {
				return err
			}
			defer closeSoon(st)
			// Only now: as long as nobody listens, a load balancer sends nobody here.
			listener, err := listen(ctx, c)
			if err != nil {
				return err
			}
			log, flush := p.logger(c)
			defer flush()
			return serve(ctx, c, st, listener, log)
		},
	}
}

// closeTimeout is how long the end of a server waits for its store, which may have stopped answering.
const closeTimeout = time.Second

// closeSoon closes the store of a server that ends, or leaves it to the end of the process.
func closeSoon(st store.Store) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		st.Close()
	}()
	select {
	case <-closed:
	case <-time.After(closeTimeout):
	}
}

// listen takes the port.
func listen(ctx context.Context, c config) (net.Listener, error) {
	network := "tcp"
	if ip, err := netip.ParseAddr(c.Host); err == nil && ip.Is4() {
		network = "tcp4" // or 0.0.0.0 would be all addresses of IPv6 too
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, network, c.address())
	if err != nil {
		return nil, fmt.Errorf("can not listen on %s: %w; free it, or choose another HOST or PORT", c.address(), err)
	}
	return listener, nil
}

const (
	// A stranger that sends its header byte by byte holds a connection and no more than this long.
	readHeaderTimeout = 5 * time.Second

	// A body of 1 MiB comes through in this time at 35 kB/s.
	readTimeout = 30 * time.Second

	// From the end of the header on: what reading the body leaves is for waiting at the gate, the store and a
	// slow receiver.
	writeTimeout = 60 * time.Second

	// Longer than the 60 s after which the common load balancers drop an idle connection themselves: if the
	// server is first, a request that is on its way gets no answer.
	idleTimeout = 75 * time.Second

	// A token has at most 4 KiB and may come twice. net/http reads 4 KiB more than this.
	maxHeaderBytes = 16 << 10

	// leastDelay is how long the server goes on accepting at least after it was told to stop. Shutdown closes
	// the listener and idle connections at once; a request that is already in the queue of the one or on its
	// way on the other would be cut.
	leastDelay = 250 * time.Millisecond
)

// serve answers requests until ctx ends, then finishes those that are under way. It closes the listener.
func serve(ctx context.Context, c config, st store.Store, listener net.Listener, log *slog.Logger) error {
	defer listener.Close()
	signal.Ignore(syscall.SIGPIPE) // or it would die with whoever reads its log
	hashing, err := password.StartProcess(hashPasswords, log)
	if err != nil {
		return err
	}
	defer hashing.Close()
	a, err := newAuth(c, st, hashing.Gate(), log)
	if err != nil {
		return err
	}
	public := c.publicURL(listener.Addr())
	handler, err := api.New(api.Config{
		Store: st, Auth: a, Log: log, Now: time.Now,
		PublicURL:      public,
		CORSOrigins:    c.CORSOrigins,
		TrustedProxies: c.TrustedProxies,
		SignupOpen:     c.Signup == "open",
		RequireIfMatch: c.RequireIfMatch,
	})
	if err != nil {
		return err
	}

	// auth follows the ends of sessions, and auth and the API remove what is old, until the last request is answered.
	following, stopFollowing := context.WithCancel(context.WithoutCancel(ctx))
	var group sync.WaitGroup
	group.Go(func() { a.Run(following) })
	group.Go(func() { handler.Run(following) })
	// Mail that is queued from now on is for the other replicas to send, or for the next start.
	sending, stopSending := context.WithCancel(ctx)
	group.Go(func() { a.SendMail(sending, newSender(c, public, log), c.ShutdownTimeout) })
	defer group.Wait()
	defer stopFollowing()
	defer stopSending()

	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),

		// "OPTIONS *" gets an answer of ours too, with the headers that all of them carry.
		DisableGeneralOptionsHandler: true,
	}
	if public.Scheme == "http" && !c.loopback() {
		log.Warn("PUBLIC_URL is plain http: the cookie of refresh tokens goes without Secure, and whoever listens on the way has it",
			"public_url", public.String())
	}
	if c.Signup == "open" && c.SMTP == (mail.Server{}) {
		log.Warn("SIGNUP is open, but SMTP_URL is not set: no mail leaves this machine, so that whoever signs up can neither confirm an email nor get a link to set another password")
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	log.Info("listening", "addr", listener.Addr().String())

	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	delay := max(c.ShutdownDelay, leastDelay)
	log.Info("stopping", "delay", delay.String(), "timeout", c.ShutdownTimeout.String())
	handler.Drain()
	time.Sleep(delay)
	// ctx has ended; the time to finish begins now.
	finishing, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.ShutdownTimeout)
	defer cancel()
	if err := server.Shutdown(finishing); err != nil {
		server.Close()
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("stopped, but requests that took longer than SHUTDOWN_TIMEOUT (%s) were cut", c.ShutdownTimeout)
		}
		return fmt.Errorf("stop: %w", err)
	}
	log.Info("stopped")
	return nil
}

// mailTimeout bounds the sending of one mail. A mail that takes longer has met a server that is out of order.
const mailTimeout = 30 * time.Second

// newSender returns what sends mail. Without a mail server, a developer finds mail in the log of a
// server that nobody else can reach.
func newSender(c config, public *url.URL, log *slog.Logger) auth.Sender {
	if c.SMTP == (mail.Server{}) {
		return mail.NewLog(log, public, c.loopback())
	}
	return mail.NewSMTP(mail.Config{Server: c.SMTP, From: c.MailFrom, PublicURL: public, Timeout: mailTimeout, Now: time.Now})
}

func newAuth(c config, st store.Store, gate *password.Gate, log *slog.Logger) (*auth.Auth, error) {
	return auth.New(auth.Config{
		Store: st, Gate: gate, Now: time.Now, Log: log,
		Secret: c.Secret, Previous: c.SecretPrevious, Issuer: c.Issuer, Audience: c.Audience,
		TokenTTL: c.TokenTTL, SessionIdle: c.SessionIdle, SessionMax: c.SessionMax, RefreshGrace: c.RefreshGrace,
	})
}
