package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"clientes/store"
)

// ErrRefreshInvalid refuses a refresh token: it is not one of ours, or it was used up, or its session has
// ended. What a thief and a victim are told is the same.
var ErrRefreshInvalid = errors.New("the refresh token is not good, or not any more")

// ErrRefreshReused is an ErrRefreshInvalid that tells of a theft: somebody else had used the token or its successor, and
// the session was ended.
var ErrRefreshReused = errors.New("a refresh token was used again by somebody else")

// A refresh token is "<session id>.<counter>.<MAC>". The session's row says which counter is good; the MAC,
// under a key that is derived from the secret, that we made it. So a forged one is refused without asking the
// store, nothing that the store holds can make one, and the same one can be made again for a client that did
// not get the answer.

// refreshToken gives the refresh token of a session with that counter.
func (k key) refreshToken(sessionID string, counter int64) string {
	text := sessionID + "." + strconv.FormatInt(counter, 10)
	return text + "." + base64.RawURLEncoding.EncodeToString(k.refreshMAC(text))
}

func (k key) refreshMAC(text string) []byte {
	h := hmac.New(sha256.New, k.refresh)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// MaxRefreshToken is the longest refresh token that is looked at, in bytes.
const MaxRefreshToken = 256

// parseRefresh says which session and which of its tokens a refresh token of ours is.
func (t *tokens) parseRefresh(token string) (sessionID string, counter int64, ok bool) {
	if len(token) > MaxRefreshToken || !isTokenText(token) {
		return "", 0, false
	}
	text, sig, _ := cutLast(token, ".")
	mac, err := strictBase64.DecodeString(sig)
	if err != nil {
		return "", 0, false
	}
	for _, k := range t.keys {
		if hmac.Equal(k.refreshMAC(text), mac) {
			id, number, _ := strings.Cut(text, ".")
			counter, err := strconv.ParseInt(number, 10, 64)
			return id, counter, err == nil
		}
	}
	return "", 0, false
}

// rotation is what a refresh token of a session, rightly made, is good for.
type rotation int

const (
	refused rotation = iota // the session has ended
	rotated                 // the newest one: used up, and replaced by the next
	again                   // the one before, shortly after: its successor once more
	renewed                 // the one before, later, its successor unclaimed: another successor
	stolen                  // any other: two people have this session
)

// rotate is the rule of rotation. It gives the session as it is after somebody came with token n.
//
// The newest token may always be used. The one that it was made from may be used as long as the newest was not,
// for the answer that brought the newest may have been lost: at once it gets the same answer again, so that tabs
// that refresh together all go on; later it gets another, and the newest, which nobody claimed, is dead. A
// thief and a victim thus can not both go on: outside the grace, whoever of them came first has, when coming again, a
// token that is neither, and that is the end for both.
func rotate(s store.Session, n int64, now time.Time, grace, idle, longest time.Duration) (store.Session, rotation) {
	old, how := s, stolen
	switch {
	case !s.Lives(now):
		return s, refused
	case n == s.Counter:
		how = rotated
		s.Parent = n
		s.Counter++
		s.RotatedAt = now
	case n == s.Parent && now.Sub(s.RotatedAt) < grace:
		how = again
	case n == s.Parent:
		how = renewed
		s.Counter++
		s.RotatedAt = now
	case n > s.Counter:
		return s, refused // we made it, but the store has lost it: a restored backup, and nobody's theft
	default:
		s.EndedAt = now
		return s, stolen
	}
	s.LastUsedAt = now
	s.ExpiresAt = sessionEnd(s.CreatedAt, now, idle, longest)
	if !s.Lives(now) {
		return old, refused // the limits are lower than at its last use
	}
	return s, how
}

// sessionEnd is when a session ends that is not used again.
func sessionEnd(created, used time.Time, idle, longest time.Duration) time.Time {
	end := used.Add(idle)
	if last := created.Add(longest); last.Before(end) {
		return last
	}
	return end
}

// Refresh uses up a refresh token and grants what a login does. It refuses with ErrRefreshInvalid; a token that
// somebody else must have used ends its session.
func (a *Auth) Refresh(ctx context.Context, token string) (Grant, error) {
	id, n, ok := a.tokens.parseRefresh(token)
	if !ok {
		return Grant{}, ErrRefreshInvalid
	}
	var how rotation
	s, err := a.cfg.Store.UpdateSession(ctx, id, func(s store.Session) (store.Session, error) {
		s, how = rotate(s, n, store.Instant(a.cfg.Now()), a.cfg.RefreshGrace, a.cfg.SessionIdle, a.cfg.SessionMax)
		if how != refused && how != stolen {
			s.TokenExp = latest(s.TokenExp, a.tokens.expiry(s, a.cfg.TokenTTL))
		}
		return s, nil
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return Grant{}, ErrRefreshInvalid
	case err != nil:
		return Grant{}, fmt.Errorf("refresh session: %w", err)
	}
	switch how {
	case stolen:
		a.ended.addAll([]store.Ended{{ID: s.ID, TokenExp: s.TokenExp}})
		a.record(ctx, newEvent(ctx, store.EventRefreshTheft, s.UserID, ""))
		return Grant{}, fmt.Errorf("%w: session %s of user %d was ended: %w", ErrRefreshReused, s.ID, s.UserID, ErrRefreshInvalid)
	case refused:
		return Grant{}, ErrRefreshInvalid
	}
	// A role, once changed, ends the session: as long as this one lives the user is as at its login.
	u, err := a.cfg.Store.User(ctx, s.UserID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return Grant{}, ErrRefreshInvalid
	case err != nil:
		return Grant{}, fmt.Errorf("look up user: %w", err)
	}
	return a.grant(u, s)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
