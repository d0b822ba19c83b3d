// Package auth decides who is asking: it checks passwords, issues and verifies access tokens, and knows
// which sessions have ended.
//
// What an Auth remembers in memory it can rebuild from the store, so any number of processes may serve the
// same users. When it can not know whether a session was ended somewhere else it asks the store, and if
// that does not answer it says so with an error: never yes by guess. It knows nothing of HTTP or SQL.
package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

	Now func() time.Time // time.Now, but for tests
	Log *slog.Logger
}

// Auth answers who is asking. Its methods may be called from many goroutines at once.
type Auth struct {
	cfg    Config
	tokens *tokens
	ended  *endedSessions
}

// Caller is who a good access token speaks for.
type Caller struct {
	UserID    int64
	Role      store.Role
	SessionID string
	TokenID   string // the jti, for logs
}

// Grant is what a login yields.
type Grant struct {
	Token     string // the access token
	ExpiresIn time.Duration
	User      store.User
}

// LoginRequest is what somebody who wants in has said, and where from.
type LoginRequest struct {
	User      string // without regard to case
	Password  string
	IP        string
	UserAgent string
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

// Run learns which sessions other processes end, until the context does.
func (a *Auth) Run(ctx context.Context) {
	a.ended.follow(ctx)
}

// Login opens a session for a user who knows the password. ErrInvalidLogin or ErrOverloaded refuse it.
func (a *Auth) Login(ctx context.Context, r LoginRequest) (Grant, error) {
	u, err := a.checkPassword(ctx, r.User, r.Password)
	if err != nil {
		return Grant{}, err
	}
	now := store.Instant(a.cfg.Now())
	s := store.Session{
		ID:         randomID(),
		UserID:     u.ID,
		RotatedAt:  now,
		CreatedAt:  now,
		LastUsedAt: now,
		ExpiresAt:  now.Add(min(a.cfg.SessionIdle, a.cfg.SessionMax)),
		IP:         r.IP,
		UserAgent:  r.UserAgent,
	}
	token, exp, err := a.tokens.mint(u, s, a.cfg.TokenTTL)
	if err != nil {
		return Grant{}, err
	}
	s.TokenExp = exp
	// The generation is the one that stood beside the hash which the password matched. If all of the
	// user's sessions were ended since, this one must not begin.
	switch err := a.cfg.Store.CreateSession(ctx, s, u.Generation); {
	case errors.Is(err, store.ErrUserChanged):
		return Grant{}, ErrInvalidLogin
	case err != nil:
		return Grant{}, fmt.Errorf("open session: %w", err)
	}
	return Grant{Token: token, ExpiresIn: exp.Sub(now.Truncate(time.Second)), User: u}, nil
}

// checkPassword gives the enabled user of that name and password, or ErrInvalidLogin after the same work.
func (a *Auth) checkPassword(ctx context.Context, name, password string) (store.User, error) {
	u, err := store.User{}, store.ErrNotFound
	if store.ValidUserName(name) { // else no store need look at what a stranger wrote
		u, err = a.cfg.Store.UserByName(ctx, name)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		u.PasswordHash = nobodysHash
	case err != nil:
		return store.User{}, fmt.Errorf("look up user: %w", err)
	}
	var good bool
	var better string // a hash of today's kind where the stored one is not
	if err := a.cfg.Gate.Do(ctx, func() {
		good = verifyPassword(u.PasswordHash, password) && u.ID != 0 && !u.Disabled
		if good && !isCurrentHash(u.PasswordHash) {
			better = hashPassword(password)
		}
	}); err != nil {
		return store.User{}, err
	}
	if !good {
		return store.User{}, ErrInvalidLogin
	}
	if better != "" {
		if err := a.cfg.Store.ReplacePasswordHash(ctx, u.ID, u.PasswordHash, better); err != nil {
			return store.User{}, fmt.Errorf("replace password hash: %w", err)
		}
	}
	return u, nil
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

// Logout ends the session of a token that we signed, be it expired or not. A token that is not ours names
// nothing to end: no error. When it returns without one, Authenticate refuses every token of the session
// here at once, and elsewhere within a second.
func (a *Auth) Logout(ctx context.Context, token string) error {
	c, err := a.tokens.verify(token)
	switch {
	case errors.Is(err, ErrTokenInvalid):
		return nil
	case err != nil && !errors.Is(err, ErrTokenExpired):
		return err
	}
	s, err := a.cfg.Store.EndSession(ctx, c.caller.SessionID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil // its row went when nothing could need it any more
	case err != nil:
		return fmt.Errorf("end session: %w", err)
	}
	a.ended.add(c.session, s.TokenExp)
	return nil
}
