package api

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"clientes/auth/password"
	"clientes/store"
)

// passwordInput is another password, and the one before as a proof of who asks.
type passwordInput struct {
	callerInput
	body struct {
		Current  optionalText   `json:"current"`
		Password optionalText   `json:"password"`
		Unknown  jsontext.Value `json:",embed"`
	}
}

func (in *passwordInput) decode(r *request) error {
	if err := in.callerInput.decode(r); err != nil {
		return err
	}
	if err := r.object(&in.body, mediaJSON); err != nil {
		return err
	}
	fault := store.JoinInvalid(unknownMembers(in.body.Unknown), required("current", in.body.Current))
	return store.JoinInvalid(fault, password.CheckNew(in.body.Password.text))
}

func (s *Server) changePassword(ctx context.Context, in passwordInput) (nothing, error) {
	return nothing{}, s.cfg.Auth.ChangePassword(ctx, in.caller, in.body.Current.text, in.body.Password.text)
}

// forgotInput names a user in one of two ways.
type forgotInput struct {
	User    optionalText   `json:"user"`
	Email   optionalText   `json:"email"`
	Unknown jsontext.Value `json:",embed"`
}

func (in *forgotInput) decode(r *request) error {
	if err := r.object(in, mediaJSON); err != nil {
		return err
	}
	fault := unknownMembers(in.Unknown)
	if (in.User.text == "") == (in.Email.text == "") {
		fault = store.JoinInvalid(fault, store.Invalid("email", "required", "Either an email or a user is required."))
	}
	return fault
}

// forgotPassword answers the same, whoever is asked for.
func (s *Server) forgotPassword(ctx context.Context, in forgotInput) (messageView, error) {
	err := s.cfg.Auth.ForgotPassword(ctx, in.User.text, in.Email.text)
	return messageView{Message: "If there is such a user with an email, a link to set another password is on its way."}, err
}

// resetInput is the token of a link in a mail, and the password to be set by it.
type resetInput struct {
	Token    optionalText   `json:"token"`
	Password optionalText   `json:"password"`
	Unknown  jsontext.Value `json:",embed"`
}

func (in *resetInput) decode(r *request) error {
	if err := r.object(in, mediaJSON); err != nil {
		return err
	}
	fault := store.JoinInvalid(unknownMembers(in.Unknown), required("token", in.Token))
	return store.JoinInvalid(fault, password.CheckNew(in.Password.text))
}

func (s *Server) resetPassword(ctx context.Context, in resetInput) (nothing, error) {
	return nothing{}, s.cfg.Auth.ResetPassword(ctx, in.Token.text, in.Password.text)
}
