package api

import (
	"context"

	"clientes/api/wire"
	"clientes/auth"
	"clientes/store"
)

// sessionView is one of the caller's sessions.
type sessionView struct {
	ID         string       `json:"id"`
	CreatedAt  wire.Instant `json:"created_at"`
	LastUsedAt wire.Instant `json:"last_used_at"`
	ExpiresAt  wire.Instant `json:"expires_at"` // unless it is used again
	IP         string       `json:"ip"`
	UserAgent  string       `json:"user_agent"`
	Current    bool         `json:"current"` // whether it is the session of this request
}

func (s *Server) listSessions(ctx context.Context, in callerInput) ([]sessionView, error) {
	sessions, err := s.cfg.Auth.Sessions(ctx, in.caller)
	views := make([]sessionView, len(sessions))
	for i, session := range sessions {
		views[i] = sessionView{
			ID:         session.ID,
			CreatedAt:  wire.Instant(session.CreatedAt),
			LastUsedAt: wire.Instant(session.LastUsedAt),
			ExpiresAt:  wire.Instant(session.ExpiresAt),
			IP:         session.IP,
			UserAgent:  session.UserAgent,
			Current:    session.ID == in.caller.SessionID,
		}
	}
	return views, err
}

type sessionInput struct {
	callerInput
	id string
}

func (in *sessionInput) decode(r *request) error {
	in.caller, in.id = r.caller(), r.params.ByName("id")
	if !auth.ValidSessionID(in.id) {
		return store.ErrNotFound // without asking a store
	}
	return nil
}

func (s *Server) deleteSession(ctx context.Context, in sessionInput) (nothing, error) {
	return nothing{}, s.cfg.Auth.EndSession(ctx, in.caller, in.id)
}

func (s *Server) deleteUserSessions(ctx context.Context, in userProofInput) (nothing, error) {
	if err := s.cfg.Auth.StepUp(ctx, in.by, in.proof); err != nil {
		return nothing{}, err
	}
	return nothing{}, s.cfg.Auth.LogoutEverywhere(ctx, in.id)
}
