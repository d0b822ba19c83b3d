package api

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"clientes/api/wire"
	"clientes/store"
)

// beginMFAInput is a caller with their password.
type beginMFAInput struct {
	callerInput
	body struct {
		Current wire.Member[string] `json:"current"`
		Unknown jsontext.Value      `json:",embed"`
	}
}

func (in *beginMFAInput) decode(r *request) error {
	in.caller = r.caller()
	if err := r.object(&in.body, mediaJSON); err != nil {
		return err
	}
	unknown := wire.UnknownMembers(in.body.Unknown, in.body)
	return store.JoinInvalid(unknown, required("current", in.body.Current))
}

// enrolmentView is what an authenticator app needs.
type enrolmentView struct {
	Secret string `json:"secret"`
	URI    string `json:"uri"`
	QR     string `json:"qr"`      // the URI as the data of an SVG path
	QRSize int    `json:"qr_size"` // the width of the square that it is drawn in
}

func (s *Server) beginMFA(ctx context.Context, in beginMFAInput) (enrolmentView, error) {
	e, err := s.cfg.Auth.BeginMFA(ctx, in.caller, in.body.Current.Value)
	if err != nil {
		return enrolmentView{}, err
	}
	path, size, err := drawQR(e.URI)
	return enrolmentView{Secret: e.Secret, URI: e.URI, QR: path, QRSize: size}, err
}

// confirmMFAInput is a caller with a code of the authenticator app.
type confirmMFAInput struct {
	callerInput
	body struct {
		Code    wire.Member[string] `json:"code"`
		Unknown jsontext.Value      `json:",embed"`
	}
}

func (in *confirmMFAInput) decode(r *request) error {
	in.caller = r.caller()
	if err := r.object(&in.body, mediaJSON); err != nil {
		return err
	}
	unknown := wire.UnknownMembers(in.body.Unknown, in.body)
	return store.JoinInvalid(unknown, required("code", in.body.Code))
}

// recoveryView is shown once: only hashes of the codes are stored.
type recoveryView struct {
	RecoveryCodes []string `json:"recovery_codes"`
}

func (s *Server) confirmMFA(ctx context.Context, in confirmMFAInput) (recoveryView, error) {
	codes, err := s.cfg.Auth.ConfirmMFA(ctx, in.caller, in.body.Code.Value)
	return recoveryView{codes}, err
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
func (s *Server) dropMFA(ctx context.Context, in userProofInput) (nothing, error) {
	if in.id == in.by.UserID {
		return nothing{}, errOwnMFA
	}
	if err := s.cfg.Auth.StepUp(ctx, in.by, in.proof); err != nil {
		return nothing{}, err
	}
	return nothing{}, s.cfg.Auth.DropMFA(ctx, in.id)
}
