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
func (a *Auth) openSession(
	ctx context.Context, u store.User, try *attempt, remember bool,
) (Grant, error) {
	s, valid := a.newSession(ctx, u.ID, remember)
	s.AMR = try.amr()
	era := a.denied.known.era.Load()
	// The generation is the one that u had when the proof was verified.
	ended, err := a.cfg.Store.CreateSession(ctx, s, u.Generation)
	switch {
	case errors.Is(err, store.ErrUserChanged):
		a.audit.recordStrangers(ctx, store.EventLoginFailed, u.ID, "")
		return Grant{}, errors.Join(ErrInvalidLogin, try.Pass(ctx))
	case err != nil:
		return Grant{}, fmt.Errorf("open session: %w", err)
	}
	a.denied.addAll(ended)
	a.denied.addLiving(era, s)
	a.noteLogin(ctx, u, try)
	g, err := a.grant(u, s, valid)
	if err != nil {
		return Grant{}, err
	}
	g.Device = signDeviceToken(a.keys, u, cmp.Or(try.device, token.NewID()), a.cfg.Store.Now())
	return g, nil
}

// noteLogin ends the attempt, and keeps the event of the login and the mail about a new network.
// Logins of a user are counted in one row a window, except those from new networks. The session
// exists by now, so errors of the store go to the log: if they were returned, the
// client would never learn that it is open.
func (a *Auth) noteLogin(ctx context.Context, u store.User, try *attempt) {
	if err := try.Succeed(ctx); err != nil {
		a.cfg.Log.Error("a login could not clear the count of those that failed before it",
			"user_id", u.ID, "error", err)
	}
	isNew, err := a.noteNetwork(ctx, u)
	if err != nil {
		a.cfg.Log.Error("the network of a login could not be noted: "+
			"if it is new, the user is not told", "user_id", u.ID, "error", err)
	}
	event := newEvent(ctx, store.EventLogin, u.ID, try.factors)
	event.ActorID = u.ID
	if isNew {
		event.Detail += ", new address"
	}
	if !isNew || !a.mayHaveRow(ctx, u) {
		event = counted(event)
	}
	a.audit.record(ctx, event)
}

// mayHaveRow counts a new network of a user, and reports whether the event of its login may have a
// row of its own. Somebody who knows the password may have any number of networks.
func (a *Auth) mayHaveRow(ctx context.Context, u store.User) bool {
	ctx, cancel := context.WithTimeout(store.Insist(ctx), recordTimeout)
	defer cancel()
	wait, err := a.guard.limiter.Ask(ctx, newNetworksBucket(u.ID))
	if err != nil {
		a.cfg.Log.Error("a new network could not be counted", "user_id", u.ID, "error", err)
	}
	return wait == 0
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

// noteNetwork notes the network that a user logs in from, and reports whether it is new, as at the
// first login. Then it queues a mail to the user.
func (a *Auth) noteNetwork(ctx context.Context, u store.User) (isNew bool, err error) {
	origin := originOf(ctx)
	network := throttle.NetworkOf(origin.IP)
	if network == "" {
		return false, nil
	}
	var mails []store.Mail
	if u.Email != "" {
		mails = append(mails, newOriginMail(ctx, store.MailNewNetwork, u))
	}
	ctx, cancel := context.WithTimeout(store.Insist(ctx), recordTimeout)
	defer cancel()
	known, err := a.cfg.Store.SeeNetwork(ctx, u.ID, network, mails...)
	switch {
	case errors.Is(err, store.ErrNotFound): // the user was deleted meanwhile
		return false, nil
	case err != nil:
		return false, err
	}
	return !known, nil
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
func (a *Auth) Logout(ctx context.Context, accessToken string) error {
	t, _ := a.access.Verify(accessToken) // t is set even if its times are at fault
	if t.SessionID == "" {
		return nil
	}
	return a.endSession(ctx, t.SessionID)
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
	event.ActorID = s.UserID
	a.audit.record(ctx, counted(event))
	return nil
}

// LogoutEverywhere ends all sessions of a user, as [Auth.Logout] ends one, and every login and
// refresh under way. An unknown user is [store.ErrNotFound].
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
	case s.UserID != c.UserID || !s.Lives(a.cfg.Store.Now()):
		return store.ErrNotFound
	}
	return a.endSession(ctx, id)
}

// ValidSessionID reports whether a session could have this id.
func ValidSessionID(id string) bool {
	_, ok := token.ParseSessionID(id)
	return ok
}
