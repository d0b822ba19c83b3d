// Package auth decides who is asking: it checks passwords and second factors, and how often they may be tried; it issues
// and verifies access tokens, and knows which sessions have ended. What happens to the security of an account it leaves
// in the audit.
//
// What an Auth remembers in memory it can rebuild from the store, but for what strangers did in the last moment, which is
// on its way there; so any number of processes may serve the same users. When it can not know whether a session was ended
// somewhere else it asks the store, and if that does not answer it says so with an error: never yes by guess. It knows
// nothing of HTTP or SQL.
package auth

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"clientes/store"
)

var (
	// ErrInvalidLogin refuses a login: wrong password, unknown user or disabled one, which are the same to
	// the caller (OWASP ASVS 5.0, 6.3.8).
	ErrInvalidLogin = errors.New("wrong user or password")

	// ErrTokenInvalid refuses a token that was not signed with a secret of ours, or does not say all that
	// an access token must say.
	ErrTokenInvalid = errors.New("the token is not a valid access token")

	// ErrTokenExpired refuses a token whose only fault is its age.
	ErrTokenExpired = errors.New("the token has expired")

	// ErrTokenRevoked refuses a token whose session was ended.
	ErrTokenRevoked = errors.New("the session of the token was ended")

	// ErrOverloaded means that too many passwords are waiting to be hashed.
	ErrOverloaded = errors.New("too many passwords are waiting to be checked")
)

// Config is what an Auth is made of. Every field is needed.
type Config struct {
	Store store.Store
	Gate  *Gate // what every hash of a password waits at

	Secret   string   // signs and verifies, see CheckSecret
	Previous []string // verify only
	Issuer   string   // the iss claim
	Audience string   // the aud claim

	TokenTTL    time.Duration // how long an access token lives, whole seconds
	SessionIdle time.Duration // how long a session lives after its last use
	SessionMax  time.Duration // how long a session lives after its login

	// RefreshGrace is for how long a refresh token that was used gets the same answer again.
	RefreshGrace time.Duration

	Now func() time.Time // time.Now, but for tests
	Log *slog.Logger
}

// Auth answers who is asking. Its methods may be called from many goroutines at once.
type Auth struct {
	cfg     Config
	tokens  *tokens
	ended   *endedSessions
	turns   turns
	waiting waitingEvents
}

// Caller is who a good access token speaks for.
type Caller struct {
	UserID    int64
	Role      store.Role
	SessionID string
	TokenID   string // the jti, for logs
}

// New makes an Auth. It knows nothing of ended sessions, and so asks the store about every token, until Run
// has begun.
func New(cfg Config) (*Auth, error) {
	t, err := newTokens(cfg.Secret, cfg.Previous, cfg.Issuer, cfg.Audience, cfg.Now)
	if err != nil {
		return nil, err
	}
	return &Auth{cfg: cfg, tokens: t, ended: newEndedSessions(cfg.Store, cfg.Now, cfg.Log)}, nil
}

// Run learns which sessions other processes end, keeps the events that wait to be kept, and removes rows that nothing can
// need any more, until the context ends.
func (a *Auth) Run(ctx context.Context) {
	var others sync.WaitGroup
	others.Go(func() { a.clean(ctx) })
	others.Go(func() { a.keepEvents(ctx) })
	a.ended.follow(ctx)
	others.Wait()
}

// Authenticate says who the token speaks for. It refuses with ErrTokenInvalid, ErrTokenExpired or
// ErrTokenRevoked, and with store.ErrUnavailable if it can not know whether the session was ended.
func (a *Auth) Authenticate(ctx context.Context, token string) (Caller, error) {
	c, err := a.tokens.verify(token)
	if err != nil {
		return Caller{}, err
	}
	if err := a.ended.check(ctx, c.session, c.caller.SessionID); err != nil {
		return Caller{}, err
	}
	return c.caller, nil
}
