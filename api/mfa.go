package api

import (
	"context"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"clientes/api/wire"
	"clientes/auth"
	"clientes/store"
)

// mfaMembers are the members of the routes about a second factor. Each route takes some of them.
type mfaMembers struct {
	Current wire.Member[string] `json:"current"` // the password
	Code    wire.Member[string] `json:"code"`
	Unknown jsontext.Value      `json:",embed"`
}

// readMFA reads a body with the members that it needs, and no others.
func readMFA(r *request, needs ...string) (m mfaMembers, err error) {
	if err := r.object(&m, mediaJSON); err != nil {
		return m, err
	}
	fault := wire.UnknownMembers(m.Unknown)
	for _, member := range []struct {
		name  string
		value wire.Member[string]
	}{{"current", m.Current}, {"code", m.Code}} {
		switch needed := slices.Contains(needs, member.name); {
		case needed:
			fault = store.JoinInvalid(fault, required(member.name, member.value))
		case member.value.Given:
			unknown := store.Invalid(member.name, "unknown_member", "There is no such member.")
			fault = store.JoinInvalid(fault, unknown)
		}
	}
	return m, fault
}

type beginMFAInput struct {
	callerInput
	current string
}

func (in *beginMFAInput) decode(r *request) error {
	m, err := readMFA(r, "current")
	in.caller, in.current = r.caller(), m.Current.Value
	return err
}

// enrolmentView is what an authenticator app needs.
type enrolmentView struct {
	Secret string `json:"secret"`
	URI    string `json:"uri"`
}

func (s *Server) beginMFA(ctx context.Context, in beginMFAInput) (enrolmentView, error) {
	e, err := s.cfg.Auth.BeginMFA(ctx, in.caller, in.current)
	return enrolmentView(e), err
}

type confirmMFAInput struct {
	callerInput
	code string
}

func (in *confirmMFAInput) decode(r *request) error {
	m, err := readMFA(r, "code")
	in.caller, in.code = r.caller(), m.Code.Value
	return err
}

// recoveryView is shown once: only hashes of the codes are stored.
type recoveryView struct {
	RecoveryCodes []string `json:"recovery_codes"`
}

func (s *Server) confirmMFA(ctx context.Context, in confirmMFAInput) (recoveryView, error) {
	codes, err := s.cfg.Auth.ConfirmMFA(ctx, in.caller, in.code)
	return recoveryView{codes}, err
}

// proofInput is a password and a code of the caller.
type proofInput struct {
	callerInput
	proof auth.Proof
}

func (in *proofInput) decode(r *request) error {
	m, err := readMFA(r, "current", "code")
	in.caller, in.proof = r.caller(), auth.Proof{Current: m.Current.Value, Code: m.Code.Value}
	return err
}

func (s *Server) endMFA(ctx context.Context, in proofInput) (nothing, error) {
	return nothing{}, s.cfg.Auth.EndMFA(ctx, in.caller, in.proof)
}

func (s *Server) renewRecovery(ctx context.Context, in proofInput) (recoveryView, error) {
	codes, err := s.cfg.Auth.RenewRecovery(ctx, in.caller, in.proof)
	return recoveryView{codes}, err
}

// dropMFA removes the second factor of another user. An admin's own is refused, so that a thief of
// an admin's token cannot get rid of it.
func (s *Server) dropMFA(ctx context.Context, in provenInput) (nothing, error) {
	if in.id == in.by.UserID {
		return nothing{}, errOwnMFA
	}
	if err := s.cfg.Auth.StepUp(ctx, in.by, in.proof); err != nil {
		return nothing{}, err
	}
	return nothing{}, s.cfg.Auth.DropMFA(ctx, in.id)
}
