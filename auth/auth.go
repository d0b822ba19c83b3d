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

// Grant is what a login or a refresh yields.
type Grant struct {
	Token            string // the access token
	ExpiresIn        time.Duration
	RefreshToken     string
	RefreshExpiresIn time.Duration // until the session's end, if it is not used again
	User             store.User
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

// Run learns which sessions other processes end, and removes the rows of old ones, until the context ends.
func (a *Auth) Run(ctx context.Context) {
	var cleaning sync.WaitGroup
	cleaning.Go(func() { a.clean(ctx) })
	a.ended.follow(ctx)
	cleaning.Wait()
}

const (
	// cleanEvery is how often rows of sessions are removed that nothing can need.
	cleanEvery = time.Minute

	// cleanBatch is how many are removed at once, so that nobody waits long for the store.
	cleanBatch = 500

	// keepDead is how long a row stays after the last moment when something could have needed it: for the clocks
	// of other machines, and for whoever looks into the database to see what happened.
	keepDead = time.Hour
)

// clean removes rows of sessions that nothing can need, in small batches, until the context ends.
func (a *Auth) clean(ctx context.Context) {
	tick := time.NewTicker(cleanEvery)
	defer tick.Stop()
	for {
		for removed := cleanBatch; removed == cleanBatch && ctx.Err() == nil; {
			var err error
			removed, err = a.cfg.Store.DeleteSessions(ctx, a.cfg.Now().Add(-keepDead), cleanBatch)
			if err != nil && ctx.Err() == nil {
				a.cfg.Log.Warn("can not remove old sessions; trying again in a minute", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
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
		ExpiresAt:  sessionEnd(now, now, a.cfg.SessionIdle, a.cfg.SessionMax),
		IP:         r.IP,
		UserAgent:  r.UserAgent,
	}
	s.TokenExp = a.tokens.expiry(s, a.cfg.TokenTTL)
	// The generation is the one that stood beside the hash which the password matched. If all of the
	// user's sessions were ended since, this one must not begin.
	ended, err := a.cfg.Store.CreateSession(ctx, s, u.Generation)
	switch {
	case errors.Is(err, store.ErrUserChanged):
		return Grant{}, ErrInvalidLogin
	case err != nil:
		return Grant{}, fmt.Errorf("open session: %w", err)
	}
	a.ended.addAll(ended)
	return a.grant(u, s)
}

// grant makes the tokens of a session that has just been used.
func (a *Auth) grant(u store.User, s store.Session) (Grant, error) {
	token, err := a.tokens.mint(u, s, a.cfg.TokenTTL)
	if err != nil {
		return Grant{}, err
	}
	return Grant{
		Token:            token,
		ExpiresIn:        a.tokens.expiry(s, a.cfg.TokenTTL).Sub(s.LastUsedAt.Truncate(time.Second)),
		RefreshToken:     a.tokens.keys[0].refreshToken(s.ID, s.Counter),
		RefreshExpiresIn: s.ExpiresAt.Sub(s.LastUsedAt),
		User:             u,
	}, nil
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

// Logout ends the session of an access token that we signed, be it expired or from a clock that is ahead of ours. A
// token that is not ours names nothing to end: no error. When it returns without one, Authenticate refuses every token
// of the session here at once, and elsewhere within a second.
func (a *Auth) Logout(ctx context.Context, token string) error {
	c, _ := a.tokens.verify(token) // what it says is there whenever we signed it
	if c.caller.SessionID == "" {
		return nil
	}
	return a.endSession(ctx, c.caller.SessionID)
}

// LogoutRefresh is Logout for a refresh token, used up or not.
func (a *Auth) LogoutRefresh(ctx context.Context, token string) error {
	id, _, ok := a.tokens.parseRefresh(token)
	if !ok {
		return nil
	}
	return a.endSession(ctx, id)
}

func (a *Auth) endSession(ctx context.Context, id string) error {
	s, err := a.cfg.Store.EndSession(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil // its row went when nothing could need it any more
	case err != nil:
		return fmt.Errorf("end session: %w", err)
	}
	a.ended.addAll([]store.Ended{{ID: s.ID, TokenExp: s.TokenExp}})
	return nil
}

// LogoutEverywhere ends all sessions of a user, as Logout ends one, and every login and refresh under way. An
// unknown user is store.ErrNotFound.
func (a *Auth) LogoutEverywhere(ctx context.Context, userID int64) error {
	ended, err := a.cfg.Store.EndSessions(ctx, userID)
	if err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	a.ended.addAll(ended)
	return nil
}

// Sessions gives the caller's own sessions that live, the most recently used first.
func (a *Auth) Sessions(ctx context.Context, c Caller) ([]store.Session, error) {
	return a.cfg.Store.UserSessions(ctx, c.UserID, a.cfg.Now())
}

// EndSession ends one of the caller's own sessions. Anybody else's, and one that has ended, are
// store.ErrNotFound.
func (a *Auth) EndSession(ctx context.Context, c Caller, id string) error {
	s, err := a.cfg.Store.Session(ctx, id)
	switch {
	case err != nil:
		return fmt.Errorf("look up session: %w", err)
	case s.UserID != c.UserID || !s.Lives(a.cfg.Now()):
		return store.ErrNotFound
	}
	return a.endSession(ctx, id)
}
