// Package auth authenticates callers and manages their accounts.
//
// An [Auth] is made of a [Config]. [Auth.Login] opens a session for whoever knows a password and
// has the second factor. [Auth.Authenticate] returns the user of an access token, and
// [Auth.Refresh] replaces the token before it expires. The rest changes accounts: the caller's own
// ([Auth.ChangePassword]), one reached by a link in a mail ([Auth.ResetPassword]), and any for an
// admin ([Auth.ChangeUser]). [Accounts] does the same for the command line, by name.
//
// Five packages below it do the work: [clientes/auth/password] hashes and judges passwords,
// [clientes/auth/token] signs and verifies, [clientes/auth/throttle] counts attempts,
// [clientes/auth/captcha] makes puzzles, and [clientes/auth/mail] writes mail. This package joins
// them:
//
//   - guard.go checks passwords and codes, and counts the attempts.
//   - session.go opens a session after any kind of proof. See openSession.
//   - accounts.go makes and changes users, effects.go decides which mails and events that causes.
//   - key.go makes and knows the keys of programs, which stand where a token stands.
//   - denylist.go knows which sessions live and which have ended, audit.go keeps the events.
//
// The package promises two things. What an Auth remembers in memory can be rebuilt from the store,
// so any number of processes may serve the same users. The exception is the events that strangers
// cause: they wait a moment before they are written. And if an Auth cannot know whether a session
// was ended elsewhere, it asks the store. If the store does not answer, it returns an error and
// never guesses.
//
// It knows nothing of HTTP or SQL.
package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"clientes/auth/password"
	"clientes/auth/throttle"
	"clientes/auth/token"
	"clientes/store"
)

// ErrInvalidLogin refuses a login: wrong password, unknown user or disabled one. The caller cannot
// tell them apart (OWASP ASVS 5.0, 6.3.8).
var ErrInvalidLogin = errors.New("wrong user or password")

// ErrTokenRevoked refuses an access token whose session was ended, or that the store does not know:
// its database may be an older copy.
var ErrTokenRevoked = errors.New("the session of the token was ended")

// Errors of the packages below that methods of [Auth] return. They have a name here so that callers
// of Auth need not know which package refuses.
var (
	ErrTokenInvalid    = token.ErrInvalid
	ErrTokenExpired    = token.ErrExpired
	ErrOverloaded      = password.ErrOverloaded
	ErrNoHasher        = password.ErrNoHasher
	ErrTooManyAttempts = throttle.ErrTooManyAttempts
)

// InvalidTokenError is an [ErrTokenInvalid] with its reason.
type InvalidTokenError = token.InvalidError

// TooManyError is an [ErrTooManyAttempts] with the time to wait.
type TooManyError = throttle.TooManyError

// Store is what an [Auth] needs of a store.
type Store interface {
	store.Users
	store.Sessions
	store.Keys
	store.Buckets
	store.Mails
	store.Networks
	store.Audit
	store.Erasing
	clock
	Stats() store.Stats
}

// clock is the part of a store that knows the time, which [store.Store] documents. All times that
// the store keeps are compared with it.
type clock interface {
	Now() time.Time
}

// Config is what an [Auth] is made of. Every field is required, except Root, the previous secrets,
// RequireMFA, AuditKeep and Metrics.
type Config struct {
	Store Store
	Gate  *password.Gate // every hash of a password waits at it

	Secret   string   // signs access tokens, see [token.CheckSecret]
	Previous []string // other secrets, which only verify

	// Root signs and seals everything else. Without it, Secret and Previous do. RootPrevious only
	// verify and open.
	Root         string
	RootPrevious []string

	Issuer   string // the iss claim
	Audience string // the aud claim

	TokenTTL    time.Duration // how long an access token lives, whole seconds
	SessionIdle time.Duration // how long a session lives after its last use
	SessionMax  time.Duration // how long a session lives after its login

	// RememberIdle replaces SessionIdle in sessions that are remembered, if it is longer.
	RememberIdle time.Duration

	// RequireMFA is the least role whose users must have a second factor, "" if none must.
	RequireMFA store.Role

	// RefreshGrace is how long a used refresh token returns the same answer again.
	RefreshGrace time.Duration

	// AuditKeep is how long events are kept, [store.AuditKept] if it is 0.
	AuditKeep time.Duration

	Now func() time.Time // time.Now, except in tests: only access tokens go by it
	Log *slog.Logger

	// Metrics is where the Auth registers its metrics. If it is nil, nothing is counted.
	Metrics prometheus.Registerer
}

// Auth authenticates callers and manages their accounts. It is safe for concurrent use.
type Auth struct {
	cfg      Config
	keys     *token.Keyring
	access   *token.Issuer
	rotated  *throttle.Memory // by the id of a session
	seenKeys *token.Cache[string, *knownKey]
	uses     *keyUses
	denied   *denyList
	audit    *recorder
	accounts *Accounts
	guard    *guard
	links    *links
	clocks   *clockWatch
	eraser   *eraser
	metrics  *metrics
}

// Caller is the user and the session of a valid access token, or of a key.
type Caller struct {
	UserID    int64
	Role      store.Role
	SessionID string
	TokenID   string // the jti, for logs; "" for a key

	// Expires is when the token stops being accepted. What goes on for long ends then.
	Expires time.Time

	// AuthTime is when the session's login was made, by the clock of the store. It is the zero time
	// if the token does not say, and for a key.
	AuthTime time.Time

	MFA bool // whether the session has used the second factor

	// LacksMFA means that the user must have a second factor, and the session has used none. It may
	// do nothing but set one up and end sessions.
	LacksMFA bool

	IsKey  bool   // a program with a key, whose session it is; see Allows
	scopes string // of the key
}

// New returns an Auth. Unless [Auth.Run] runs, it asks the store about every token.
func New(cfg Config) (*Auth, error) {
	keys, err := newKeyring(cfg)
	if err != nil {
		return nil, err
	}
	m := newMetrics(cfg.Metrics)
	cfg.Gate = m.gate(cfg.Gate)
	access := token.NewIssuer(token.IssuerConfig{
		Keys: keys, Issuer: cfg.Issuer, Audience: cfg.Audience, TTL: cfg.TokenTTL, Now: cfg.Now,
		CacheCounts: m.cacheCounts(),
	})
	denied := newDenyList(cfg.Store, cfg.Now, cfg.Log)
	accounts := &Accounts{
		users: cfg.Store, keys: cfg.Store, gate: cfg.Gate, ended: denied.addAll,
		checkCaller: denied.checkCaller, log: cfg.Log,
	}
	audit := newRecorder(cfg.Store, cfg.Log)
	limiter := throttle.NewLimiter(cfg.Store, cfg.Store.Now)
	a := &Auth{
		cfg: cfg, keys: keys, access: access, denied: denied, audit: audit, accounts: accounts,
		rotated:  throttle.NewMemory(maxRotations, rotationsWindow),
		seenKeys: token.NewCache[string, *knownKey](),
		uses:     newKeyUses(cfg.Store, cfg.Log),
		guard: &guard{
			hashes: cfg.Store, mails: cfg.Store, gate: cfg.Gate,
			limiter: limiter, captchas: newCaptchas(keys, limiter, cfg.Store.Now, m),
			keys: keys, accounts: accounts, audit: audit, clock: cfg.Store, log: cfg.Log,
			metrics: m,
		},
		links:   &links{users: cfg.Store, keys: keys, accounts: accounts},
		clocks:  newClockWatch(cfg),
		eraser:  newEraser(cfg),
		metrics: m,
	}
	if err := m.observe(a); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return a, nil
}

func newKeyring(cfg Config) (*token.Keyring, error) {
	keys, err := token.NewKeyring(cfg.Secret, cfg.Previous...)
	switch {
	case err != nil:
		return nil, err
	case cfg.Root != "":
		return keys.WithRoot(cfg.Root, cfg.RootPrevious...)
	}
	// Previous roots count before there is a root: replicas get to know the first root one by one.
	return keys.WithRoot(cfg.Secret, slices.Concat(cfg.Previous, cfg.RootPrevious)...)
}

// Run works in the background until ctx ends. It learns which sessions other processes end, keeps
// the events that wait to be kept, removes rows that nothing can need any more, and finishes what
// was erased.
func (a *Auth) Run(ctx context.Context) {
	var others sync.WaitGroup
	others.Go(func() { newCleaner(a.cfg).run(ctx) })
	others.Go(func() { a.eraser.run(ctx) })
	others.Go(func() { a.audit.run(ctx) })
	others.Go(func() { a.clocks.run(ctx) })
	others.Go(func() { a.uses.run(ctx) })
	a.denied.run(ctx)
	others.Wait()
}

// EndsKnown returns nil if [Auth.Run] has lately learned from the store which sessions ended, so
// that Authenticate can decide about tokens. Otherwise it returns [store.ErrUnavailable] with the
// reason.
func (a *Auth) EndsKnown() error { return a.denied.endsKnown() }

// Authenticate returns the user and the session of an access token or a key. It refuses with
// [ErrTokenInvalid], [ErrTokenExpired] or [ErrTokenRevoked], and with [store.ErrUnavailable] if it
// cannot know whether the session was ended.
func (a *Auth) Authenticate(ctx context.Context, accessToken string) (Caller, error) {
	accessToken = store.Trim(accessToken)
	if token.IsKey(accessToken) {
		return a.authenticateKey(ctx, accessToken)
	}
	t, err := a.access.Verify(accessToken)
	if err != nil {
		return Caller{}, err
	}
	if err := a.denied.check(ctx, t.Session, t.SessionID); err != nil {
		return Caller{}, err
	}
	return Caller{
		UserID: t.UserID, Role: t.Role, SessionID: t.SessionID, TokenID: t.TokenID,
		Expires: t.Expires, AuthTime: t.AuthTime,
		MFA: t.MFA, LacksMFA: a.mustHaveMFA(t.Role) && !t.MFA,
	}, nil
}

// CheckSession returns nil if the session of a caller whom [Auth.Authenticate] returned has not
// ended since, though the token may have expired. Otherwise it returns [ErrTokenRevoked], and
// [store.ErrUnavailable] if it cannot know.
func (a *Auth) CheckSession(ctx context.Context, c Caller) error {
	return a.denied.checkName(ctx, c.SessionID)
}

// WhileSession returns a context for long work of a caller whom [Auth.Authenticate] returned. It is
// cancelled with the cause [ErrTokenRevoked] as soon as this process knows that their session has
// ended. Work that has an effect at its end calls [Auth.CheckSession] there too: this process may
// have been unable to learn of ends. The caller must call stop.
func (a *Auth) WhileSession(ctx context.Context, c Caller) (_ context.Context, stop func()) {
	id, ok := token.ParseSessionID(c.SessionID)
	if !ok {
		ctx, cancel := context.WithCancelCause(ctx)
		cancel(ErrTokenInvalid)
		return ctx, func() {}
	}
	return a.denied.watch(ctx, id)
}

// SignCursor returns an opaque text in base64url for a position in a list. The name of the list
// holds all that a cursor of another list must not be taken for: what is listed, its order and its
// filters. Neither may hold a NUL.
func (a *Auth) SignCursor(list, position string) string {
	return a.keys.Sign(token.Cursor, position, list)
}

// ParseCursor returns the position of a cursor that [Auth.SignCursor] made for the same list, under
// any of the secrets.
func (a *Auth) ParseCursor(list, cursor string) (position string, ok bool) {
	return a.keys.Verify(token.Cursor, cursor, list)
}
