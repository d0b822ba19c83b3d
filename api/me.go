package api

import (
	"context"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"clientes/api/wire"
	"clientes/auth"
	"clientes/store"
)

// meView is a user as they see themselves.
type meView struct {
	wire.UserView
	PendingEmail string `json:"pending_email"` // until its link was followed
	MFA          bool   `json:"mfa"`           // whether a second factor is on
}

func viewMe(u store.User) meView { return meView{wire.ViewUser(u), u.PendingEmail, u.MFA.On} }

// signupInput is a stranger who wants to be a user.
type signupInput struct {
	User     wire.Member[string] `json:"user"`
	Email    wire.Member[string] `json:"email"`
	Password wire.Member[string] `json:"password"`
	Captcha  wire.Member[string] `json:"captcha"` // the solution of a challenge
	wire.ServerMembers
	fault error // the unknown members
}

func (in *signupInput) decode(r *request) error {
	if !r.server.cfg.SignupOpen {
		return errSignupClosed // whatever is in the body
	}
	if err := r.object(in, mediaJSON); err != nil {
		return err
	}
	in.fault = wire.UnknownMembers(in.Unknown, in)
	return nil // auth finds the others when it creates the user
}

func (s *Server) signup(ctx context.Context, in signupInput) (meView, error) {
	ctx = auth.WithCaptcha(ctx, in.Captcha.Value)
	if in.fault != nil {
		u := store.User{Name: in.User.Value, Email: in.Email.Value, Role: store.Viewer}
		_, err := u.Validate()
		err = store.JoinInvalid(err, s.cfg.Auth.CheckSignUp(ctx, u, in.Password.Value))
		return meView{}, store.JoinInvalid(in.fault, err)
	}
	u, err := s.cfg.Auth.SignUp(ctx, in.User.Value, in.Email.Value, in.Password.Value)
	return viewMe(u), err
}

func (s *Server) getMe(ctx context.Context, in callerInput) (meView, error) {
	u, err := s.cfg.Auth.Me(ctx, in.caller)
	return viewMe(u), err
}

// patchMeInput is what users change about themselves.
type patchMeInput struct {
	callerInput
	body struct {
		Email wire.Member[string] `json:"email"`
		proofMembers
		wire.ServerMembers
	}
}

func (in *patchMeInput) decode(r *request) error {
	if err := in.callerInput.decode(r); err != nil {
		return err
	}
	if err := r.object(&in.body, mediaMergePatch, mediaJSON); err != nil {
		return err
	}
	_, err := store.User{Name: "any", Email: in.body.Email.Value, Role: store.Viewer}.Validate()
	return store.JoinInvalid(wire.UnknownMembers(in.body.Unknown, in.body), err)
}

func (s *Server) patchMe(ctx context.Context, in patchMeInput) (meView, error) {
	if !in.body.Email.Given {
		return s.getMe(ctx, in.callerInput)
	}
	u, err := s.cfg.Auth.ChangeEmail(ctx, in.caller, in.body.Email.Value, in.body.proof())
	return viewMe(u), err
}

// confirmInput is the token of a link in a mail.
type confirmInput struct {
	Token   wire.Member[string] `json:"token"`
	Unknown jsontext.Value      `json:",embed"`
}

func (in *confirmInput) decode(r *request) error {
	if err := r.object(in, mediaJSON); err != nil {
		return err
	}
	return store.JoinInvalid(wire.UnknownMembers(in.Unknown, in), required("token", in.Token))
}

func (s *Server) confirmEmail(ctx context.Context, in confirmInput) (nothing, error) {
	return nothing{}, s.cfg.Auth.ConfirmEmail(ctx, in.Token.Value)
}

// devicesInput is a caller whose device token may be in a cookie.
type devicesInput struct {
	callerInput
	cookie *http.Cookie // clears the one that came; nil if none did
}

func (in *devicesInput) decode(r *request) error {
	if r.server.deviceToken(r.Request) != "" {
		in.cookie = r.server.deviceCookie("")
	}
	return in.callerInput.decode(r)
}

// devicesView is no body. It clears the cookie of the caller's own device, whose token is worth
// nothing any more either.
type devicesView struct {
	nothing
	cookie *http.Cookie
}

func (v devicesView) header(h http.Header) { setCookies(h, v.cookie) }

func (s *Server) cancelDevices(ctx context.Context, in devicesInput) (devicesView, error) {
	return devicesView{cookie: in.cookie}, s.cfg.Auth.CancelDevices(ctx, in.caller)
}
