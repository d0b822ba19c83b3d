package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"clientes/auth/authtest"
	"clientes/auth/password"
	"clientes/auth/token"
	"clientes/store"
)

const (
	testSecret  = "0123456789abcdef0123456789abcdef"
	otherSecret = "fedcba9876543210fedcba9876543210"
	testSession = "AAECAwQFBgcICQoLDA0ODw"

	goodPassword = "correct horse battery"

	// someHash is a hash of today's kind, of a password that nobody knows.
	someHash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$" +
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

var (
	// noon is the time of the vectors of access tokens.
	noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

	// someDay is a time at which an audit window begins.
	someDay = time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)
)

// quickHasher is for tests that are not about the work of hashing.
var quickHasher = authtest.Remember(password.Local{})

// must ends a test at an error.
var must = authtest.Must

// wantError reports an error that is not the wanted one.
func wantError(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// wantFault reports an error that finds no fault with a field, or that names another field first.
func wantFault(t testing.TB, what string, err error, field string) {
	t.Helper()
	var invalid *store.InvalidError
	if !errors.As(err, &invalid) || invalid.Fields[0].Field != field {
		t.Errorf("%s: %v, want a fault of %q", what, err, field)
	}
}

// atClock makes a process use a clock.
func atClock(c *authtest.Clock) func(*Config) {
	return func(cfg *Config) { cfg.Now = c.Now }
}

// withSecrets makes a process sign with a secret, and verify with previous ones as well.
func withSecrets(secret string, previous ...string) func(*Config) {
	return func(cfg *Config) { cfg.Secret, cfg.Previous = secret, previous }
}

// loggingTo makes a process log to a log.
func loggingTo(log *authtest.Log) func(*Config) {
	return func(cfg *Config) { cfg.Log = slog.New(slog.NewJSONHandler(log, nil)) }
}

// process is what one server has of a database that others use, too.
type process struct {
	*Auth
	accounts *Accounts
	store    store.Store
	away     *atomic.Bool // its store does not answer
}

// testConfig returns the configuration of a process that logs nothing. It has no store yet.
func testConfig() Config {
	return Config{
		Gate: password.NewGate(quickHasher, 2, 64), Secret: testSecret,
		Issuer: "clientes", Audience: "clientes", TokenTTL: 5 * time.Minute,
		SessionIdle: 30 * time.Minute, SessionMax: 720 * time.Hour, RefreshGrace: 30 * time.Second,
		RememberIdle: 336 * time.Hour,
		Now:          time.Now, Log: slog.New(slog.DiscardHandler),
	}
}

// start opens the database of url as a server does. Each change may alter the configuration, but
// not the store.
func start(t testing.TB, e authtest.Engine, url string, changes ...func(*Config)) *process {
	t.Helper()
	cfg := testConfig()
	for _, change := range changes {
		change(&cfg)
	}
	st := e.Open(t, url, cfg.Now)
	p := &process{store: st, accounts: NewAccounts(st), away: new(atomic.Bool)}
	cfg.Store = switchedStore{st, p.away}
	var err error
	p.Auth, err = New(cfg)
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() { p.Run(ctx) })
	t.Cleanup(func() {
		stop()
		following.Wait()
		must(t, st.Close())
	})
	return p
}

// with returns another process on the same database, with another configuration. Nothing runs in
// its background.
func (p *process) with(t testing.TB, change func(*Config)) *process {
	t.Helper()
	cfg := p.cfg
	change(&cfg)
	a, err := New(cfg)
	must(t, err)
	return &process{Auth: a, accounts: p.accounts, store: p.store, away: p.away}
}

// over returns p.with another store.
func (p *process) over(t testing.TB, st Store) *process {
	t.Helper()
	return p.with(t, func(cfg *Config) { cfg.Store = st })
}

// switchedStore is a store that can be cut off.
type switchedStore struct {
	store.Store
	away *atomic.Bool
}

func (s switchedStore) SessionEnds(
	ctx context.Context, since store.Watermark, ids []string,
) (store.Ends, error) {
	if s.away.Load() {
		return store.Ends{}, store.ErrUnavailable
	}
	return s.Store.SessionEnds(ctx, since, ids)
}

func (s switchedStore) Session(ctx context.Context, id string) (store.Session, error) {
	if s.away.Load() {
		return store.Session{}, store.ErrUnavailable
	}
	return s.Store.Session(ctx, id)
}

func (s switchedStore) KeyByHash(ctx context.Context, hash string) (store.Session, error) {
	if s.away.Load() {
		return store.Session{}, store.ErrUnavailable
	}
	return s.Store.KeyByHash(ctx, hash)
}

func (s switchedStore) EndSession(ctx context.Context, id string) (store.Session, error) {
	if s.away.Load() {
		return store.Session{}, store.ErrUnavailable
	}
	return s.Store.EndSession(ctx, id)
}

// from returns a context whose requests come from an address.
func from(ctx context.Context, ip string) context.Context {
	return WithOrigin(ctx, Origin{IP: ip, UserAgent: "test", RequestID: "r1"})
}

// login logs in with goodPassword and returns the access token.
func (p *process) login(t testing.TB, name string) string {
	t.Helper()
	g, err := p.Login(from(t.Context(), "127.0.0.1"), goodLogin(name))
	must(t, err)
	return g.Token
}

// verdict returns the error of Authenticate.
func (p *process) verdict(t testing.TB, accessToken string) error {
	_, err := p.Authenticate(t.Context(), accessToken)
	return err
}

// reset is ResetPassword for a test that does not need the device token.
func (p *process) reset(ctx context.Context, linkToken, newPassword string) error {
	_, err := p.ResetPassword(ctx, linkToken, newPassword)
	return err
}

// callerOf logs in and returns the caller and their access token.
func (p *process) callerOf(t testing.TB, name, password string) (Caller, string) {
	t.Helper()
	g, err := p.Login(t.Context(), LoginRequest{User: name, Password: password})
	must(t, err)
	c, err := p.Authenticate(t.Context(), g.Token)
	must(t, err)
	return c, g.Token
}

// goodHash returns a hash of goodPassword. All users of the tests have the same one, so that
// quickHasher verifies it once.
var goodHash = sync.OnceValue(func() string {
	hash, _ := password.Local{}.Hash(goodPassword, nil) // never fails
	return hash
})

// add makes a user who has goodPassword. The role is Viewer unless u has another.
func (p *process) add(t testing.TB, u store.User) store.User {
	t.Helper()
	u.Role, u.PasswordHash = cmp.Or(u.Role, store.Viewer), goodHash()
	u, err := p.accounts.Add(t.Context(), u, "")
	must(t, err)
	return u
}

// newCaller makes a user who has logged in.
func (p *process) newCaller(t testing.TB, name string) (store.User, Caller) {
	t.Helper()
	u := p.add(t, store.User{Name: name})
	c, _ := p.callerOf(t, name, goodPassword)
	return u, c
}

func (p *process) user(t testing.TB, id int64) store.User {
	t.Helper()
	u, err := p.store.User(t.Context(), id)
	must(t, err)
	return u
}

// addForeign makes a user with a hash of goodPassword that a login replaces.
func (p *process) addForeign(t testing.TB, name string) store.User {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(goodPassword), bcrypt.MinCost)
	must(t, err)
	u := store.User{Name: name, Role: store.Viewer, PasswordHash: string(hash)}
	u, err = p.accounts.Add(t.Context(), u, "")
	must(t, err)
	return u
}

// change updates a user behind the back of auth.
func (p *process) change(t testing.TB, u store.User, update func(*store.User)) {
	t.Helper()
	_, _, err := p.store.UpdateUser(t.Context(), u.ID, func(u store.User) (store.User, error) {
		update(&u)
		return u, nil
	})
	must(t, err)
}

// goodLogin asks to log in with goodPassword.
func goodLogin(name string) LoginRequest {
	return LoginRequest{User: name, Password: goodPassword}
}

func (r LoginRequest) withDevice(deviceToken string) LoginRequest {
	r.Device = deviceToken
	return r
}

func (r LoginRequest) withCaptcha(solution string) LoginRequest {
	r.Captcha = solution
	return r
}

func (r LoginRequest) withCode(code string) LoginRequest {
	r.Code = code
	return r
}

// try logs in from an address and returns how it ended, with the seconds to wait after
// ErrTooManyAttempts.
func (p *process) try(t testing.TB, ip string, r LoginRequest) (g Grant, end string) {
	t.Helper()
	g, err := p.Login(from(t.Context(), ip), r)
	var many *TooManyError
	switch {
	case err == nil:
		return g, "in"
	case errors.As(err, &many):
		return g, fmt.Sprint("wait ", many.Seconds())
	case errors.Is(err, ErrInvalidLogin):
		return g, "wrong"
	case errors.Is(err, ErrMFARequired):
		return g, "code?"
	case errors.Is(err, ErrMFAInvalid):
		return g, "wrong code"
	}
	t.Fatal(err)
	return g, ""
}

// wantTry ends the test unless a login ends as wanted.
func (p *process) wantTry(t testing.TB, ip string, r LoginRequest, want string) Grant {
	t.Helper()
	g, end := p.try(t, ip, r)
	if end != want {
		t.Fatalf("the login of %s ended in %q, want %q", r.User, end, want)
	}
	return g
}

// countEvents returns how many rows the audit has.
func countEvents(t testing.TB, p *process, filter store.EventFilter) int {
	t.Helper()
	events, err := p.Events(t.Context(), filter, 0, 1_000_000)
	must(t, err)
	return len(events)
}

// matches reports whether hash is one of the password.
func matches(hash, given string) bool {
	good, _, _ := password.Local{}.Verify(hash, given, false)
	return good
}

// testKeys returns the keyring of secrets.
func testKeys(t testing.TB, secret string, previous ...string) *token.Keyring {
	t.Helper()
	keys, err := token.NewKeyring(secret, previous...)
	must(t, err)
	return keys
}
