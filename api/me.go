package api

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"clientes/auth/password"
	"clientes/store"
)

// meView is a user as they see themselves.
type meView struct {
	userView
	PendingEmail string `json:"pending_email"` // counts as soon as its link was followed
}

func viewMe(u store.User) meView { return meView{viewUser(u), u.PendingEmail} }

// signupInput is what a stranger says who wants to be a user.
type signupInput struct {
	User     optionalText `json:"user"`
	Email    optionalText `json:"email"`
	Password optionalText `json:"password"`
	recordRest
}

func (in *signupInput) decode(r *request) error {
	if !r.server.cfg.SignupOpen {
		return errSignupClosed // whatever is in the body
	}
	if err := r.object(in, mediaJSON); err != nil {
		return err
	}
	fault := unknownMembers(in.Unknown)
	if fault == nil {
		return nil // the others are found when the user is made
	}
	_, err := store.User{Name: in.User.text, Email: in.Email.text, Role: store.Viewer}.Validate()
	return store.JoinInvalid(store.JoinInvalid(fault, err), password.CheckNew(in.Password.text))
}

func (s *Server) signup(ctx context.Context, in signupInput) (meView, error) {
	u, err := s.cfg.Auth.SignUp(ctx, in.User.text, in.Email.text, in.Password.text)
	return viewMe(u), err
}

func (s *Server) getMe(ctx context.Context, in callerInput) (meView, error) {
	u, err := s.cfg.Auth.Me(ctx, in.caller)
	return viewMe(u), err
}

// patchMeInput is what users change of themselves.
type patchMeInput struct {
	callerInput
	body struct {
		Email   optionalText `json:"email"`
		Current optionalText `json:"current"` // the password
		recordRest
	}
}

func (in *patchMeInput) decode(r *request) error {
	if err := in.callerInput.decode(r); err != nil {
		return err
	}
	if err := r.object(&in.body, mediaMergePatch, mediaJSON); err != nil {
		return err
	}
	_, err := store.User{Name: "any", Email: in.body.Email.text, Role: store.Viewer}.Validate()
	return store.JoinInvalid(unknownMembers(in.body.Unknown), err)
}

func (s *Server) patchMe(ctx context.Context, in patchMeInput) (meView, error) {
	if !in.body.Email.given {
		return s.getMe(ctx, in.callerInput)
	}
	u, err := s.cfg.Auth.ChangeEmail(ctx, in.caller, in.body.Email.text, in.body.Current.text)
	return viewMe(u), err
}

// confirmInput is the token of a link in a mail.
type confirmInput struct {
	Token   optionalText   `json:"token"`
	Unknown jsontext.Value `json:",embed"`
}

func (in *confirmInput) decode(r *request) error {
	if err := r.object(in, mediaJSON); err != nil {
		return err
	}
	return store.JoinInvalid(unknownMembers(in.Unknown), required("token", in.Token))
}

func (s *Server) confirmEmail(ctx context.Context, in confirmInput) (nothing, error) {
	return nothing{}, s.cfg.Auth.ConfirmEmail(ctx, in.Token.text)
}
