package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"clientes/auth/throttle"
	"clientes/auth/token"
	"clientes/store"
)

// Grant is what a login or a refresh yields.
type Grant struct {
	Token            string // the access token
	ExpiresIn        time.Duration
	RefreshToken     string
	RefreshExpiresIn time.Duration // until the session's end, if it is not used again
	User             store.User

	// Device is the device token of the client, to be sent with its next login. A refresh leaves it
	// empty. See [DeviceTokenTTL].
	Device string
}

// openSession opens a session for u, who has proven who they are. Every kind of login ends here.
// The caller has looked up u before it verified the proof, and reserved the attempt that succeeds
// now. If all of the user's sessions were ended since, it returns ErrInvalidLogin. The password was
// right, so the attempt does not count as a failure.
//
// One commit keeps the session, the end of the attempt, a new hash, the network and the event. It
// goes on when the request has ended: otherwise somebody who hangs up in its midst could have the
// attempt uncounted twice.
func (a *Auth) openSession(
	ctx context.Context, u store.User, try *attempt, remember bool,
) (Grant, error) {
	if err := ctx.Err(); err != nil {
		return Grant{}, err
	}
	_ = a.audit.flush(ctx) // what was before the login; if it fails now, run tries again
	s, valid := a.newSession(ctx, u.ID, remember)
	s.AMR = try.amr()
	era := a.denied.known.era.Load()
	var events []store.Event
	opened, err := a.keepLogin(ctx, a.loginOf(ctx, u, s, try, &events))
	switch {
	case errors.Is(err, store.ErrUserChanged):
		a.audit.recordStrangers(ctx, store.EventLoginFailed, u.ID, "")
		return Grant{}, errors.Join(ErrInvalidLogin, try.Pass(ctx))
	case err != nil:
		return Grant{}, fmt.Errorf("open session: %w", err)
	}
	try.Done()
	logEvents(a.cfg.Log, events)
	a.denied.addAll(opened.Ended)
	a.denied.addLiving(era, s)
	g, err := a.grant(u, s, valid)
	if err != nil {
		return Grant{}, err
	}
	g.Device = signDeviceToken(a.keys, u, cmp.Or(try.device, token.NewID()), a.cfg.Store.Now())
	return g, nil
}

// keepLogin keeps a login even if its request ends meanwhile.
func (a *Auth) keepLogin(ctx context.Context, l store.Login) (store.Opened, error) {
	ctx, cancel := context.WithTimeout(store.Insist(ctx), recordTimeout)
	defer cancel()
	return a.cfg.Store.OpenSession(ctx, l)
}

// loginOf returns what is kept of a login that opens the session s. Its events are in *events once
// it is kept.
func (a *Auth) loginOf(
	ctx context.Context, u store.User, s store.Session, try *attempt, events *[]store.Event,
) store.Login {
	var wait time.Duration
	success := try.Success()
	newNetwork := a.guard.limiter.Asking(&wait, newNetworksBucket(u.ID))
	l := store.Login{
		Session:    s,
		Generation: u.Generation, // the one that u had when the proof was verified
		OldHash:    u.PasswordHash,
		NewHash:    try.newHash,
		Network:    throttle.NetworkOf(originOf(ctx).IP),
		Keys:       success.Keys,
		NewKeys:    newNetwork.Keys,
		Settle: func(isNew bool, buckets []store.Bucket) []store.Event {
			n := len(success.Keys)
			if n > 0 {
				_ = success.Update(buckets[:n]) // never fails, like that of newNetwork
			}
			if isNew {
				_ = newNetwork.Update(buckets[n:])
			}
			*events = []store.Event{loginEvent(ctx, u, try, isNew, isNew && wait == 0)}
			return *events
		},
	}
	if u.Email != "" {
		l.Mails = append(l.Mails, newOriginMail(ctx, store.MailNewNetwork, u))
	}
	return l
}

// loginEvent returns the event of a login. Logins of a user are counted in one row a window, except
// those from new networks. Somebody who knows the password may have any number of networks, so not
// each of these has a row of its own either.
func loginEvent(ctx context.Context, u store.User, try *attempt, isNew, ownRow bool) store.Event {
	event := newEvent(ctx, store.EventLogin, u.ID, try.factors)
	event.ActorID = u.ID
	if isNew {
		event.Detail += ", new address"
	}
	if !ownRow {
		event = counted(event)
	}
	return event
}

// newSession returns a session that begins now, and the validity of its first access token.
func (a *Auth) newSession(
	ctx context.Context, userID int64, remember bool,
) (store.Session, token.Validity) {
	origin := originOf(ctx)
	now := store.Instant(a.cfg.Store.Now())
	s := store.Session{
		ID:         token.NewID(),
		UserID:     userID,
		RotatedAt:  now,
		CreatedAt:  now,
		LastUsedAt: now,
		ExpiresAt:  sessionEnd(now, now, a.maxIdle(remember), a.cfg.SessionMax),
		IP:         origin.IP,
		UserAgent:  origin.UserAgent,
		Remembered: remember,
	}
	valid := a.access.Validity(s.ExpiresAt.Sub(now))
	s.TokenExp = valid.Expires
	return s, valid
}

// maxIdle returns how long a session lives after its last use.
func (a *Auth) maxIdle(remembered bool) time.Duration {
	if remembered {
		return max(a.cfg.SessionIdle, a.cfg.RememberIdle)
	}
	return a.cfg.SessionIdle
}

// CanRemember reports whether a login that is remembered lives longer than another one.
func (a *Auth) CanRemember() bool { return a.maxIdle(true) > a.maxIdle(false) }

// sessionEnd returns when a session ends that is not used again.
func sessionEnd(created, used time.Time, idle, longest time.Duration) time.Time {
	end := used.Add(idle)
	if last := created.Add(longest); last.Before(end) {
		return last
	}
	return end
}

// grant makes the tokens of a session that has just been used. Its row must know of the validity
// of the access token, or the end of the session would not end the token.
//
// The token names no second factor that the user has no more. Otherwise the session of a factor
// that was taken away would do where one is required.
func (a *Auth) grant(u store.User, s store.Session, valid token.Validity) (Grant, error) {
	if s.AMR == amrBoth && !u.MFA.On {
		s.AMR = amrPassword
	}
	accessToken, err := a.access.Mint(u, s, valid)
	if err != nil {
		return Grant{}, err
	}
	return Grant{
		Token:            accessToken,
		ExpiresIn:        valid.For(),
		RefreshToken:     signRefreshToken(a.keys, s.ID, s.Counter),
		RefreshExpiresIn: s.ExpiresAt.Sub(s.LastUsedAt),
		User:             u,
	}, nil
}

// Logout ends the session of an access token that we signed, even if the token has expired or comes
// from a clock ahead of ours. A token that is not ours names no session, which is no error. When
// Logout returns without an error, Authenticate refuses every token of the session, here at once
// and elsewhere within a second.
//
// A key ends as its own session does.
func (a *Auth) Logout(ctx context.Context, accessToken string) error {
	if text := store.Trim(accessToken); token.IsKey(text) {
		return a.logoutKey(ctx, text)
	}
	t, _ := a.access.Verify(accessToken) // t is set even if its times are at fault
	if t.SessionID == "" {
		return nil
	}
	return a.endSession(ctx, t.SessionID)
}

func (a *Auth) logoutKey(ctx context.Context, text string) error {
	if token.CheckKey(text) != nil {
		return nil
	}
	s, err := a.cfg.Store.KeyByHash(ctx, token.HashKey(text).String())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("look up key: %w", err)
	}
	return a.endSession(ctx, s.ID)
}

// LogoutRefresh is [Auth.Logout] for a refresh token, used up or not.
func (a *Auth) LogoutRefresh(ctx context.Context, refreshToken string) error {
	id, _, ok := parseRefreshToken(a.keys, refreshToken)
	if !ok {
		return nil
	}
	return a.endSession(ctx, id)
}

// endSession ends a session. An old token may come again and again: it costs a read.
func (a *Auth) endSession(ctx context.Context, id string) error {
	ctx = store.WithRank(ctx, store.First) // the read, too
	s, err := a.cfg.Store.Session(ctx, id)
	had := err == nil && !s.EndedAt.IsZero()
	if err == nil && !had {
		s, err = a.cfg.Store.EndSession(ctx, id)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		// Its row was removed because nothing could need it, or is lost. The memory may have it.
		gone := store.Ended{ID: id, TokenExp: a.cfg.Now().Add(a.cfg.TokenTTL)}
		a.denied.addAll([]store.Ended{gone})
		return nil
	case err != nil:
		return fmt.Errorf("end session: %w", err)
	}
	a.denied.addAll([]store.Ended{{ID: s.ID, TokenExp: s.TokenExp}})
	if had {
		return nil
	}
	event := newEvent(ctx, store.EventLogout, s.UserID, "")
	if s.Key != (store.Key{}) {
		event.Kind, event.Detail = store.EventKeyEnded, keyDetail(s)
	}
	event.ActorID = cmp.Or(event.ActorID, s.UserID)
	a.audit.record(ctx, counted(event))
	return nil
}

// LogoutEverywhere ends all sessions of a user, but no key, as [Auth.Logout] ends one, and every
// login and refresh under way. An unknown user is [store.ErrNotFound].
func (a *Auth) LogoutEverywhere(ctx context.Context, userID int64) error {
	ended, err := a.cfg.Store.EndSessions(ctx, userID)
	if err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	a.denied.addAll(ended)
	a.audit.record(ctx, counted(newEvent(ctx, store.EventLogoutEverywhere, userID, "")))
	return nil
}

// Sessions returns the caller's own sessions that live, the most recently used first.
func (a *Auth) Sessions(ctx context.Context, c Caller) ([]store.Session, error) {
	return a.cfg.Store.UserSessions(ctx, c.UserID, a.cfg.Store.Now())
}

// EndSession ends one of the caller's own sessions. The session of somebody else, and one that has
// ended, are [store.ErrNotFound].
func (a *Auth) EndSession(ctx context.Context, c Caller, id string) error {
	s, err := a.cfg.Store.Session(ctx, id)
	switch {
	case err != nil:
		return fmt.Errorf("look up session: %w", err)
	case s.UserID != c.UserID || !s.Lives(a.cfg.Store.Now()) || s.Key != store.Key{}:
		return store.ErrNotFound
	}
	return a.endSession(ctx, id)
}

// ValidSessionID reports whether a session could have this id.
func ValidSessionID(id string) bool {
	_, ok := token.ParseSessionID(id)
	return ok
}
