package api

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"clientes/api/wire"
	"clientes/auth"
	"clientes/store"
)

// passwordInput is a new password, and the current one as a proof.
type passwordInput struct {
	callerInput
	body struct {
		proofMembers
		Password wire.Member[string] `json:"password"`
		Unknown  jsontext.Value      `json:",embed"`
	}
}

func (in *passwordInput) decode(r *request) error {
	if err := in.callerInput.decode(r); err != nil {
		return err
	}
	if err := r.object(&in.body, mediaJSON); err != nil {
		return err
	}
	unknown := wire.UnknownMembers(in.body.Unknown, in.body)
	fault := store.JoinInvalid(unknown, required("current", in.body.Current))
	if fault == nil { // auth finds out whether it is easy to guess, when it changes it
		return r.server.cfg.Auth.CheckNewPassword(in.body.Password.Value)
	}
	u, err := r.server.cfg.Auth.User(r.Context(), in.caller.UserID)
	if err != nil {
		return err
	}
	err = r.server.cfg.Auth.CheckPassword(r.Context(), u, in.body.Password.Value)
	return store.JoinInvalid(fault, err)
}

func (s *Server) changePassword(ctx context.Context, in passwordInput) (nothing, error) {
	password := in.body.Password.Value
	return nothing{}, s.cfg.Auth.ChangePassword(ctx, in.caller, in.body.proof(), password)
}

// forgotInput names a user in one of two ways.
type forgotInput struct {
	User    wire.Member[string] `json:"user"`
	Email   wire.Member[string] `json:"email"`
	Captcha wire.Member[string] `json:"captcha"` // the solution of a challenge
	Unknown jsontext.Value      `json:",embed"`
}

func (in *forgotInput) decode(r *request) error {
	if err := r.object(in, mediaJSON); err != nil {
		return err
	}
	fault := wire.UnknownMembers(in.Unknown, in)
	if (store.Trim(in.User.Value) == "") == (store.Trim(in.Email.Value) == "") {
		missing := store.Invalid("email", "required", "Either an email or a user is required.")
		fault = store.JoinInvalid(fault, missing)
	}
	return fault
}

// forgotPassword answers the same whether or not there is such a user. What it may answer to a
// network that asks often depends on the network alone.
func (s *Server) forgotPassword(ctx context.Context, in forgotInput) (messageView, error) {
	ctx = auth.WithCaptcha(ctx, in.Captcha.Value)
	err := s.cfg.Auth.ForgotPassword(ctx, in.User.Value, in.Email.Value)
	const message = "If there is such a user with an email, " +
		"a link to set another password is on its way."
	return messageView{Message: message}, err
}

// resetInput is the token of a link in a mail, and the password to set.
type resetInput struct {
	Token    wire.Member[string] `json:"token"`
	Password wire.Member[string] `json:"password"`
	Unknown  jsontext.Value      `json:",embed"`
}

func (in *resetInput) decode(r *request) error {
	if err := r.object(in, mediaJSON); err != nil {
		return err
	}
	fault := store.JoinInvalid(wire.UnknownMembers(in.Unknown, in), required("token", in.Token))
	err := r.server.cfg.Auth.CheckNewPassword(in.Password.Value)
	return store.JoinInvalid(fault, err)
}

// resetView is what whoever has followed a link sends with the next login. It sets no cookie: the
// page behind the link may be of another origin than the one that will log in.
type resetView struct {
	Device string `json:"device"`
}

func (s *Server) resetPassword(ctx context.Context, in resetInput) (resetView, error) {
	device, err := s.cfg.Auth.ResetPassword(ctx, in.Token.Value, in.Password.Value)
	return resetView{device}, err
}
