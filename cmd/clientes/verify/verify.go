// Package verify tries on a running server what clientes promises to its clients, and reports which
// promises it keeps.
//
// It is a client like any other, and an independent witness: it imports no other package of this
// module, and makes and reads tokens with its own code. Each promise is a check in a table. To try
// it, verify makes users and customers with recognisable names, and removes them afterwards, also
// when a check fails or the context ends.
//
// The package knows nothing of databases. Whoever calls it passes the login of an admin.
package verify

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
)

const (
	// The bounds of one run. An admin's login is a proof for five minutes, so a run takes less.
	maxRun      = 4 * time.Minute
	maxCheck    = time.Minute
	maxCleaning = 30 * time.Second
	maxRequest  = 15 * time.Second
	maxRequests = 5000
)

// Config is what a run needs. URL, Admin and Now are required.
type Config struct {
	URL      string   // of the server, without a path
	Replicas []string // other processes that serve from the same database

	Admin Credentials

	// Secret is the server's SECRET, if it is known. With it verify signs tokens that only their
	// claims can give away.
	Secret string

	// RefreshGrace is the server's REFRESH_GRACE, negative if it is unknown.
	RefreshGrace time.Duration

	// SignupClosed means that nobody can sign up, by the settings of the server.
	SignupClosed bool

	// BehindProxy means that the server believes forwarding headers from this machine.
	BehindProxy bool

	// Slow tries the promises for which verify has to wait half a minute, too.
	Slow bool

	Only     []string         // the ids of the checks to run, all if there are none
	Client   *http.Client     // nil stands for one that follows no redirects
	Now      func() time.Time // time.Now, except in tests
	Progress func(Result)     // is called after each check, nil: nobody
}

// Credentials are what an admin logs in with.
type Credentials struct {
	User     string
	Password string
	Code     string // of the second factor, "" if there is none

	// Temporary means that the admin was made for this run, which may set up a second factor.
	Temporary bool
}

// ErrUnknownAdmin means that the server does not know the admin, or not by that password.
var ErrUnknownAdmin = errors.New("the server does not accept the admin's user name and password")

// Check returns an error that says what is wrong with a Config.
func (c Config) Check() error {
	for _, server := range c.servers() {
		if _, err := ServerURL(server); err != nil {
			return err
		}
	}
	for _, id := range c.Only {
		if !slices.ContainsFunc(checks(), func(c check) bool { return c.id == id }) {
			return fmt.Errorf("there is no check %q", id)
		}
	}
	return nil
}

func (c Config) servers() []string { return append([]string{c.URL}, c.Replicas...) }

// ServerURL returns the URL of a server, without a path, or an error that says what is wrong with
// the text.
func ServerURL(server string) (*url.URL, error) {
	u, err := url.Parse(server)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("%q is not the URL of a server; write it as http://127.0.0.1:3000",
			withoutUser(server))
	case u.User != nil:
		return nil, errors.New("the URL must not hold a user name or a password; give --user")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%q has more than a scheme, a host and a port", server)
	}
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}, nil
}

func withoutUser(text string) string {
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		if _, host, ok := strings.Cut(rest, "@"); ok {
			return scheme + "://" + host
		}
	}
	return text
}

// verifier is one run.
type verifier struct {
	cfg    Config
	base   string
	others []string // the bases of the replicas
	client *http.Client
	tag    string // is in the name of everything that the run makes

	requests atomic.Int64
	cleaning atomic.Bool // what the run made is being removed
	adminMu  sync.Mutex
	admin    *session // see asAdmin

	sharedSessions map[string]*session // by role, see shared

	proxied bool // a proxy before the server names itself

	slowed bool   // the server slows down logins from this address
	pairs  []pair // the wrong logins whose answers were compared, for their times

	mu       sync.Mutex
	made     int              // users, for their names
	nobodies int              // names of no user, see newNobody
	users    map[string]int64 // the ids of users to remove by their names, 0 if unknown
	clientes map[int64]bool   // the ids of customers to remove
	secrets  []string         // what must not stand in a report
	allMFA   *bool            // whether users who are no admins must have a second factor
}

func newVerifier(cfg Config) (*verifier, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	v := &verifier{
		cfg: cfg, tag: "verify-" + strings.ToLower(rand.Text()[:10]),
		client: cfg.Client, users: make(map[string]int64), clientes: make(map[int64]bool),
		sharedSessions: make(map[string]*session),
	}
	bases := []string{}
	for _, server := range cfg.servers() {
		base, err := ServerURL(server)
		if err != nil {
			return nil, err
		}
		bases = append(bases, base.String())
	}
	v.base, v.others = bases[0], bases[1:]
	if v.client == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 64
		v.client = &http.Client{Transport: transport, CheckRedirect: noRedirect}
	}
	v.hide(cfg.Secret, cfg.Admin.Password, cfg.Admin.Code)
	return v, nil
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Ready returns nil if all servers of a Config are ready, and else a sentence that says why not.
func Ready(ctx context.Context, cfg Config) error {
	v, err := newVerifier(cfg)
	if err != nil {
		return err
	}
	defer v.client.CloseIdleConnections()
	for _, server := range v.servers() {
		a, err := v.do(ctx, request{method: "GET", path: "/readyz", server: server})
		var (
			refused    *net.OpError
			unverified *tls.CertificateVerificationError
		)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, http.ErrSchemeMismatch):
			return fmt.Errorf("the server at %s speaks no TLS; give its URL with http://", server)
		case errors.As(err, &unverified):
			return fmt.Errorf("the certificate of %s is not one that this machine trusts: %w; "+
				"SSL_CERT_FILE in the environment names a file of your own authority", server,
				unverified.Err)
		case errors.As(err, &refused):
			return fmt.Errorf("no server answers at %s; is it running? (%w)", server, err)
		case err != nil:
			return fmt.Errorf("the server at %s cannot be tried: %w", server, err)
		case a.status/100 == 3:
			return fmt.Errorf("the server at %s redirects; give the URL that it leads to", server)
		case a.status == http.StatusServiceUnavailable:
			return fmt.Errorf("the server at %s is not ready: %v", server, a)
		case a.status != http.StatusOK || a.member("status") != "ok":
			return fmt.Errorf("the server at %s is not clientes: /readyz answers something else",
				server)
		}
	}
	return nil
}

// servers returns the base of every server, the one that is tried first.
func (v *verifier) servers() []string { return append([]string{v.base}, v.others...) }

// Run tries every check on a ready server and removes what it made. It returns an error only if it
// could not begin. A context that ends stops the run, and the report says so.
func Run(ctx context.Context, cfg Config) (Report, error) {
	v, err := newVerifier(cfg)
	if err != nil {
		return Report{}, err
	}
	defer v.client.CloseIdleConnections()
	report := Report{
		Started: cfg.Now().UTC().Truncate(time.Second), URL: v.base, Replicas: v.others,
	}
	began := time.Now()
	bounded, cancel := context.WithTimeout(ctx, maxRun)
	defer cancel()
	if err := v.begin(bounded); err != nil {
		return Report{}, err
	}
	report.Server = v.hidden(v.version(bounded))
	for _, c := range checks() {
		if len(cfg.Only) > 0 && !slices.Contains(cfg.Only, c.id) {
			continue
		}
		r := v.try(bounded, c)
		report.Results = append(report.Results, r)
		if cfg.Progress != nil {
			cfg.Progress(r)
		}
	}
	report.Interrupted = ctx.Err() != nil
	report.Left = v.clean(context.WithoutCancel(ctx))
	report.Requests = v.requests.Load()
	report.Took = time.Since(began).Round(time.Millisecond)
	return report, nil
}

// begin logs the admin in, with a second factor if the server requires one.
func (v *verifier) begin(ctx context.Context) error {
	admin := &user{
		name: v.cfg.Admin.User, password: v.cfg.Admin.Password, role: "admin",
		given: v.cfg.Admin.Code,
	}
	s, err := v.login(ctx, admin)
	var refused *refusedError
	switch {
	case errors.As(err, &refused) && refused.code() == "invalid_login":
		return ErrUnknownAdmin
	case errors.As(err, &refused) && refused.code() == "mfa_required":
		return errors.New("this admin has a second factor; give its current code with --code")
	case errors.As(err, &refused) && refused.code() == "mfa_invalid":
		return errors.New("the server does not accept this code of the admin's second factor; " +
			"give the one that the app shows now, which works once")
	case errors.As(err, &refused) && refused.status == http.StatusTooManyRequests:
		return fmt.Errorf("the server slows down logins from this address, or of this user; "+
			"try again in %s s, or in 15 minutes, when all can be tried",
			cmp.Or(refused.header.Get("Retry-After"), "some"))
	case err != nil:
		return err
	}
	a, err := v.do(ctx, request{method: "GET", path: "/users?limit=1", token: s.token})
	switch {
	case err != nil:
		return err
	case a.status == http.StatusForbidden:
		return fmt.Errorf("the user %q is no admin", v.cfg.Admin.User)
	case a.status != http.StatusOK:
		return fmt.Errorf("list users: %w", &refusedError{a})
	}
	v.admin, v.proxied = s, a.named()
	return nil
}

// version returns the version of the API that the server publishes, "" if it publishes none.
func (v *verifier) version(ctx context.Context) string {
	a, err := v.do(ctx, request{method: "GET", path: "/openapi.json"})
	var document struct {
		Info struct {
			Title   string `json:"title"`
			Version string `json:"version"`
		} `json:"info"`
	}
	if err != nil || a.into(&document) != nil || document.Info.Title == "" {
		return ""
	}
	return document.Info.Title + " " + document.Info.Version
}

// hide adds texts that must not stand in a report.
func (v *verifier) hide(secrets ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range secrets {
		if len(s) >= 6 {
			v.secrets = append(v.secrets, s)
		}
	}
}

// maxShown is how many bytes of a text a report has.
const maxShown = 1000

// hidden returns a text without the secrets of the run, cut to one short line and without what a
// terminal obeys: the server may have written part of it.
func (v *verifier) hidden(text string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.secrets {
		text = strings.ReplaceAll(text, s, "…")
	}
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.Join(strings.Fields(text), " "))
}

// drain reads an answer up to a limit, so that a server cannot fill the memory.
func drain(r io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(r, 16<<20)) }
