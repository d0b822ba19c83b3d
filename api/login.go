package api

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"clientes/auth"
	"clientes/store"
)

// maxUserAgent is how many bytes of a User-Agent a session keeps.
const maxUserAgent = 256

// loginInput is a user and a password, as JSON or as the tutorial's form.
type loginInput struct {
	auth.LoginRequest
}

func (in *loginInput) decode(r *request) error {
	media, body, err := r.body(mediaJSON, mediaForm)
	if err != nil {
		return err
	}
	if media == mediaForm {
		err = in.decodeForm(body)
	} else {
		err = in.decodeJSON(body)
	}
	if err != nil {
		return err
	}
	in.IP = r.ClientIP()
	in.UserAgent = keepable(r.Request.UserAgent(), maxUserAgent)
	return in.validate()
}

// decodeJSON leaves a member that is no string empty, for that is the same fault as a missing one.
func (in *loginInput) decodeJSON(body []byte) error {
	var members struct {
		User     jsontext.Value `json:"user"`
		Username jsontext.Value `json:"username"`
		Password jsontext.Value `json:"password"`
	}
	if err := unmarshal(body, &members); err != nil {
		return err
	}
	if members.User == nil {
		members.User = members.Username
	}
	in.User, in.Password = stringOf(members.User), stringOf(members.Password)
	return nil
}

func stringOf(v jsontext.Value) string {
	if v.Kind() != '"' {
		return ""
	}
	s, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return ""
	}
	return string(s)
}

// decodeForm leaves a field that is there twice empty, for that is no one string.
func (in *loginInput) decodeForm(body []byte) error {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return malformed("The form is not valid.")
	}
	one := func(name string) string {
		if len(form[name]) != 1 {
			return ""
		}
		return form[name][0]
	}
	in.User, in.Password = one("user"), one("password")
	if form["user"] == nil {
		in.User = one("username")
	}
	if !utf8.ValidString(in.User) || !utf8.ValidString(in.Password) {
		return malformed("The form is not valid UTF-8.")
	}
	return nil
}

func (in *loginInput) validate() error {
	var e store.InvalidError
	need := func(field, value string) {
		if value == "" {
			e.Fields = append(e.Fields, store.FieldError{
				Field: field, Code: "required", Message: "A " + field + " is required, as a string.",
			})
		}
	}
	need("user", in.User)
	need("password", in.Password)
	if e.Fields != nil {
		return &e
	}
	return nil
}

// keepable makes a header's text fit for every store: valid UTF-8 without NUL, at most limit bytes.
func keepable(s string, limit int) string {
	s = strings.ReplaceAll(s, "\x00", "")
	return strings.ToValidUTF8(s[:min(len(s), limit)], "")
}

type loginView struct {
	Auth      bool          `json:"auth"`
	Token     string        `json:"token"`
	TokenType string        `json:"token_type"`
	ExpiresIn int64         `json:"expires_in"` // seconds
	User      loginUserView `json:"user"`
}

type loginUserView struct {
	ID   int64      `json:"id"`
	User string     `json:"user"`
	Role store.Role `json:"role"`
}

func (s *Server) login(ctx context.Context, in loginInput) (loginView, error) {
	g, err := s.cfg.Auth.Login(ctx, in.LoginRequest)
	if err != nil {
		return loginView{}, err
	}
	return loginView{
		Auth:      true,
		Token:     g.Token,
		TokenType: "Bearer",
		ExpiresIn: int64(g.ExpiresIn / time.Second),
		User:      loginUserView{ID: g.User.ID, User: g.User.Name, Role: g.User.Role},
	}, nil
}

// logoutInput is every token that the request bears. A body is read, because clients send one, and means
// nothing.
type logoutInput struct {
	tokens []string
}

func (in *logoutInput) decode(r *request) error {
	media, body, err := r.body(mediaJSON, mediaForm)
	if err != nil {
		return err
	}
	if media == mediaJSON && len(body) > 0 { // many clients name a type whether they send a body or not
		var ignored jsontext.Value
		if err := unmarshal(body, &ignored); err != nil {
			return err
		}
	}
	in.tokens = givenTokens(r.Request.Header)
	return nil
}

// logoutView is the tutorial's answer.
type logoutView struct {
	Auth  bool    `json:"auth"`
	Token *string `json:"token"`
}

// logout ends the session of each token that was given; that one can not be ended does not spare the others.
func (s *Server) logout(ctx context.Context, in logoutInput) (logoutView, error) {
	var errs []error
	for _, token := range in.tokens {
		errs = append(errs, s.cfg.Auth.Logout(ctx, token))
	}
	return logoutView{}, errors.Join(errs...)
}
