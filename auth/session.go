package auth

import (
	"context"
	"errors"
	"fmt"

	"clientes/store"
)

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
	event := newEvent(ctx, store.EventLogout, s.UserID, "")
	event.ActorID = s.UserID
	event.Key = "logout of " + s.ID // an old token may come again and again
	a.record(ctx, event)
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
	a.record(ctx, newEvent(ctx, store.EventLogoutEverywhere, userID, ""))
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
