package auth

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"clientes/auth/token"
	"clientes/store"
)

// ErrRefreshInvalid refuses a refresh token: it is not one of ours, or it was used up, or its
// session has ended. Thief and victim get the same answer.
var ErrRefreshInvalid = errors.New("the refresh token is not good, or not any more")

// ErrRefreshReused is an [ErrRefreshInvalid] that reports a theft: somebody else had used the token
// or its successor, and the session was ended.
var ErrRefreshReused = errors.New("a refresh token was used again by somebody else")

// The text of a refresh token is "<session id>.<counter>". The session's row says which counter is
// good, and the MAC proves that we made the token. So a forged one is refused without a question to
// the store. Nothing that the store holds can make one. And the same one can be made again for a
// client that did not get the answer.

// signRefreshToken returns the refresh token of a session with that counter.
func signRefreshToken(keys *token.Keyring, sessionID string, counter int64) string {
	return keys.Sign(token.Refresh, sessionID+"."+decimal(counter))
}

// parseRefreshToken returns the session of a refresh token of ours, and which of its tokens it is.
func parseRefreshToken(
	keys *token.Keyring, refreshToken string,
) (sessionID string, counter int64, ok bool) {
	text, ok := keys.Verify(token.Refresh, store.Trim(refreshToken))
	if !ok {
		return "", 0, false
	}
	id, number, _ := strings.Cut(text, ".")
	counter, err := strconv.ParseInt(number, 10, 64)
	return id, counter, err == nil
}

// rotation is what a refresh token of ours leads to.
type rotation int

const (
	refused rotation = iota // the session has ended, before or just now
	rotated                 // the newest token: it is used up, and replaced by the next
	again                   // the one before, shortly after: its successor once more
	renewed                 // the one before, later, its successor unclaimed: another successor
	stolen                  // any other: two people have this session
)

// maxAhead is how far ahead the last use of a session may lie. A clock that was ahead has written
// it. Up to here the session goes on; beyond it nobody knows how long it was unused.
const maxAhead = 24 * time.Hour

// A session may be refreshed maxRotations times in a rotationsWindow, at each process. That is for
// a client that runs wild: fifty tabs that share a cookie need 150. What has the same answer as
// another refresh does not count.
const (
	maxRotations    = 1200
	rotationsWindow = 15 * time.Minute
)

// onceMore is how long after its last use a session is not written for another refresh with the
// same answer: of fifty at once one writes.
const onceMore = time.Second

// rotate is the rule of rotation. It returns the session after somebody came with token n.
//
// The newest token may always be used. Its parent may be used until the newest is, because the
// answer that brought the newest may have been lost. Within the grace the parent gets the same
// successor again, so that tabs that refresh together all go on. Later it gets another one, and the
// newest, which nobody claimed, is dead.
//
// So thief and victim cannot both go on. Outside the grace, the second of them makes the token of
// the first neither the newest nor its parent. When the first comes again, the session ends for
// both.
func rotate(
	s store.Session, n int64, now time.Time, grace, idle, longest time.Duration,
) (store.Session, rotation) {
	old, how := s, stolen
	switch {
	case !s.EndedAt.IsZero():
		return s, refused
	case !s.Lives(now), s.LastUsedAt.Sub(now) > maxAhead:
		s.EndedAt = now // or a clock that is set back would make it live again
		return s, refused
	case n == s.Counter:
		how = rotated
		s.Parent = n
		s.Counter++
		s.RotatedAt = now
	case n == s.Parent && now.Sub(s.RotatedAt).Abs() < grace: // a clock may have been ahead
		how = again
		if now.Sub(s.LastUsedAt).Abs() < onceMore {
			return s, again
		}
	case n == s.Parent:
		how = renewed
		s.Counter++
		s.RotatedAt = now
	case n > s.Counter:
		// We signed a number that the row has not reached: a backup was restored. It is no theft.
		return s, refused
	default:
		s.EndedAt = now
		return s, stolen
	}
	s.LastUsedAt = now
	s.ExpiresAt = sessionEnd(s.CreatedAt, now, idle, longest)
	if !s.Lives(now) { // the limits are lower than at its last use
		old.EndedAt = now
		return old, refused
	}
	return s, how
}

// Refresh uses up a refresh token and grants what a login does. It refuses with
// [ErrRefreshInvalid], or with a *[TooManyError] if the session was refreshed too often. A token
// that somebody else must have used ends its session.
func (a *Auth) Refresh(ctx context.Context, refreshToken string) (_ Grant, err error) {
	var s store.Session
	var how rotation
	defer func() { a.metrics.refresh(s, how, err) }()
	id, n, ok := parseRefreshToken(a.keys, refreshToken)
	if !ok {
		return Grant{}, ErrRefreshInvalid
	}
	now := a.cfg.Store.Now()
	if wait := a.rotated.Wait(id, now); wait > 0 {
		return Grant{}, &TooManyError{Wait: wait, Asked: true}
	}
	era := a.denied.known.era.Load()
	var u store.User
	var valid token.Validity
	s, u, how, valid, err = a.rotateSession(ctx, id, n)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return Grant{}, ErrRefreshInvalid
	case err != nil:
		return Grant{}, fmt.Errorf("refresh session: %w", err)
	}
	if !s.EndedAt.IsZero() {
		a.denied.addAll([]store.Ended{{ID: s.ID, TokenExp: s.TokenExp}})
	}
	switch how {
	case stolen:
		a.audit.record(ctx, counted(newEvent(ctx, store.EventRefreshTheft, s.UserID, "")))
		return Grant{}, fmt.Errorf("%w: session %s of user %d was ended: %w",
			ErrRefreshReused, s.ID, s.UserID, ErrRefreshInvalid)
	case refused:
		return Grant{}, ErrRefreshInvalid
	case rotated, renewed:
		a.rotated.Count(id, now)
	}
	if u.ID == 0 { // it was removed
		return Grant{}, ErrRefreshInvalid
	}
	a.denied.addLiving(era, s)
	// A change of role ends the session. So while this one lives, the user is as at its login.
	return a.grant(u, s, valid)
}

// rotateSession rotates the stored session for token n, and returns it with its user. If that
// succeeds, it also returns the validity of the access token to mint.
func (a *Auth) rotateSession(
	ctx context.Context, id string, n int64,
) (s store.Session, u store.User, how rotation, valid token.Validity, err error) {
	s, u, err = a.cfg.Store.UpdateSession(ctx, id, func(s store.Session) (store.Session, error) {
		now := store.Instant(a.cfg.Store.Now())
		s, how = rotate(s, n, now, a.cfg.RefreshGrace, a.maxIdle(s.Remembered), a.cfg.SessionMax)
		if how != refused && how != stolen {
			valid = a.access.Validity(s.ExpiresAt.Sub(now))
			s.TokenExp = latest(s.TokenExp, valid.Expires)
		}
		return s, nil
	})
	return s, u, how, valid, err
}
