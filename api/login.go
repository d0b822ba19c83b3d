package api

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"clientes/api/wire"
	"clientes/auth"
	"clientes/store"
)

// maxUserAgent is how many bytes of a User-Agent a session keeps.
const maxUserAgent = 256

// loginInput is a user with a password, as JSON or as the tutorial's form.
type loginInput struct {
	auth.LoginRequest
	cookie bool // the refresh token and the device token go into cookies

	// replaced is the refresh tokens of the cookies that the answer replaces.
	replaced []string

	mistyped []store.FieldError // members that cannot be what they should
	unquoted []string           // those that are required
	repeated []string           // fields of a form that are there more than once
}

func (in *loginInput) decode(r *request) error {
	media, body, err := r.body(mediaJSON, mediaForm)
	if err != nil {
		return err
	}
	if media == mediaForm {
		err = in.decodeForm(body)
	} else {
		err = in.decodeJSON(r, body)
	}
	if err != nil {
		return err
	}
	if in.cookie {
		if err := r.server.ownOrigin(r.Header); err != nil {
			return err
		}
		in.replaced = r.server.cookieTokens(r.Request)
	}
	if in.Device == "" {
		in.Device = r.server.deviceToken(r.Request)
	}
	return in.validate()
}

// decodeJSON reads a user or password that is no string as an empty one. The fault is the same as
// that of a missing one.
func (in *loginInput) decodeJSON(r *request, body []byte) error {
	var members struct {
		User     jsontext.Value `json:"user"`
		Username jsontext.Value `json:"username"`
		Password jsontext.Value `json:"password"`
		Code     jsontext.Value `json:"code"`
		Device   jsontext.Value `json:"device"`
		Captcha  jsontext.Value `json:"captcha"`
		Cookie   jsontext.Value `json:"cookie"`
		Remember jsontext.Value `json:"remember"`
	}
	if err := r.unmarshal(body, &members); err != nil {
		return err
	}
	if members.User == nil {
		members.User = members.Username
	}
	in.User, in.Password = stringOf(members.User), stringOf(members.Password)
	in.Code, in.Device = stringOf(members.Code), stringOf(members.Device)
	in.Captcha = stringOf(members.Captcha)
	for field, value := range map[string]jsontext.Value{
		"user": members.User, "password": members.Password,
	} {
		if value != nil && value.Kind() != '"' && value.Kind() != 'n' {
			in.unquoted = append(in.unquoted, field)
		}
	}
	in.cookie, in.Remember = members.Cookie.Kind() == 't', members.Remember.Kind() == 't'
	for _, m := range []struct {
		field, kinds, message string
		value                 jsontext.Value
	}{
		{"code", `"n`, "The code is a text, in quotes.", members.Code},
		{"device", `"n`, "The device is a text, in quotes.", members.Device},
		{"captcha", `"n`, "The captcha is a text, in quotes.", members.Captcha},
		{"cookie", "tfn", "The cookie is true or false, without quotes.", members.Cookie},
		{"remember", "tfn", "The remember is true or false, without quotes.", members.Remember},
	} {
		if m.value != nil && !strings.ContainsRune(m.kinds, rune(m.value.Kind())) {
			fault := store.FieldError{Field: m.field, Code: "invalid_type", Message: m.message}
			in.mistyped = append(in.mistyped, fault)
		}
	}
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

// decodeForm reads a field that is there twice as an empty one: nobody can know which one counts.
func (in *loginInput) decodeForm(body []byte) error {
	// A line break of the form itself is written %0A. One at its end is that of a file.
	body = bytes.TrimRight(bytes.TrimPrefix(body, []byte("\ufeff")), "\r\n")
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return malformed("The form is not valid: a %% in it is written %%25, and a ; %%3B.")
	}
	one := func(name string) string {
		switch len(form[name]) {
		case 0:
			return ""
		case 1:
			return form[name][0]
		}
		in.repeated = append(in.repeated, name)
		return ""
	}
	in.User, in.Password = one("user"), one("password")
	in.Code, in.Device, in.Captcha = one("code"), one("device"), one("captcha")
	if form["user"] == nil {
		in.User = one("username")
	}
	if strings.Contains(store.Trim(in.User), " ") {
		in.mistyped = append(in.mistyped, store.FieldError{
			Field: "user", Code: "invalid_user",
			Message: "A user name has no space; in a form a + is written %2B.",
		})
	}
	switch one("remember") {
	case "true", "on": // on is what browsers send for a box without a value
		in.Remember = true
	case "", "false", "off":
	default:
		in.mistyped = append(in.mistyped, store.FieldError{
			Field: "remember", Code: "invalid_type", Message: "The remember is true or false.",
		})
	}
	if form.Get("cookie") == "true" {
		// A form can come from any page, and would log its visitor in as somebody else.
		return unsupported("A login that sets the cookie comes as " + mediaJSON + ".")
	}
	if !utf8.ValidString(in.User) || !utf8.ValidString(in.Password) || !utf8.ValidString(in.Code) {
		return malformed("The form is not valid UTF-8.")
	}
	return nil
}

func (in *loginInput) validate() error {
	var e store.InvalidError
	need := func(field, value string) {
		if value == "" {
			message := "A " + field + " is required."
			switch {
			case slices.Contains(in.unquoted, field):
				message = "The " + field + " has to be a text, in quotes."
			case slices.Contains(in.repeated, field):
				message = "The " + field + " is there more than once; send it once."
			}
			fault := store.FieldError{Field: field, Code: "required", Message: message}
			e.Fields = append(e.Fields, fault)
		}
	}
	need("user", store.Trim(in.User))
	need("password", in.Password)
	e.Fields = append(e.Fields, in.mistyped...)
	if e.Fields != nil {
		return &e
	}
	return nil
}

// keepable makes the text of a header fit for every store: valid UTF-8 without NUL, at most limit
// bytes.
func keepable(s string, limit int) string {
	s = strings.ReplaceAll(s, "\x00", "")
	return strings.ToValidUTF8(s[:min(len(s), limit)], "")
}

// loginView is the answer to a login or a refresh.
type loginView struct {
	Auth             bool          `json:"auth"`
	Token            string        `json:"token"`
	TokenType        string        `json:"token_type"`
	ExpiresIn        int64         `json:"expires_in"`              // seconds
	RefreshToken     string        `json:"refresh_token,omitempty"` // unless it is in the cookie
	RefreshExpiresIn int64         `json:"refresh_expires_in"`      // seconds
	Device           string        `json:"device,omitempty"`        // of a login, or in the cookie
	User             loginUserView `json:"user"`
	cookies          []*http.Cookie
}

func (v loginView) header(h http.Header) { setCookies(h, v.cookies...) }

type loginUserView struct {
	ID   int64      `json:"id"`
	User string     `json:"user"`
	Role store.Role `json:"role"`
}

func (s *Server) login(ctx context.Context, in loginInput) (loginView, error) {
	g, err := s.cfg.Auth.Login(ctx, in.LoginRequest)
	if err != nil {
		return loginView{}, &refusedLogin{err}
	}
	if err := s.endReplaced(ctx, in.replaced, g); err != nil {
		return loginView{}, err
	}
	return s.loginView(g, in.cookie), nil
}

// endReplaced ends the sessions whose cookies a login replaces (OWASP ASVS 5.0, 7.2.4): nobody
// could end them any more. If that fails the browser keeps its cookies, so the new session ends.
func (s *Server) endReplaced(ctx context.Context, replaced []string, g auth.Grant) error {
	var errs []error
	for _, token := range replaced {
		errs = append(errs, s.cfg.Auth.LogoutRefresh(ctx, token))
	}
	err := errors.Join(errs...)
	if err != nil {
		// If this fails, too, nobody has a token of it.
		_ = s.cfg.Auth.LogoutRefresh(ctx, g.RefreshToken)
	}
	return err
}

func (s *Server) loginView(g auth.Grant, cookie bool) loginView {
	v := loginView{
		Auth:             true,
		Token:            g.Token,
		TokenType:        "Bearer",
		ExpiresIn:        int64(g.ExpiresIn / time.Second),
		RefreshToken:     g.RefreshToken,
		RefreshExpiresIn: int64(g.RefreshExpiresIn / time.Second),
		Device:           g.Device,
		User:             loginUserView{ID: g.User.ID, User: g.User.Name, Role: g.User.Role},
	}
	if cookie {
		v.RefreshToken, v.Device = "", ""
		v.cookies = append(v.cookies, s.refreshCookie(g.RefreshToken, g.RefreshExpiresIn))
		if g.Device != "" {
			v.cookies = append(v.cookies, s.deviceCookie(g.Device))
		}
	}
	return v
}

// refreshInput is a refresh token, from the body or from the cookie.
type refreshInput struct {
	token  string
	cookie bool
}

func (in *refreshInput) decode(r *request) error {
	_, body, err := r.body(mediaJSON)
	if err != nil {
		return err
	}
	var members struct {
		RefreshToken wire.Member[string] `json:"refresh_token"`
		Others       jsontext.Value      `json:",embed"`
	}
	if len(body) > 0 {
		if err := r.unmarshal(body, &members); err != nil {
			return err
		}
	}
	if in.token = store.Trim(members.RefreshToken.Value); in.token != "" {
		return nil
	}
	cookies := r.server.cookieTokens(r.Request)
	switch {
	case cookies == nil && len(members.Others) > 0 && !members.RefreshToken.Given:
		// Not a 401, which tells clients to log in again.
		return store.Invalid("refresh_token", "required",
			"The refresh_token is required; the body has other members, but not this one.")
	case cookies == nil:
		return errRefreshMissing
	}
	in.token, in.cookie = cookies[0], true
	return nil
}

func (s *Server) refresh(ctx context.Context, in refreshInput) (loginView, error) {
	g, err := s.cfg.Auth.Refresh(ctx, in.token)
	if err != nil {
		return loginView{}, err
	}
	return s.loginView(g, in.cookie), nil
}

// keysOfLogout is how many keys a logout ends at most. To look for one costs a read of the store,
// and anybody can write one that has the right checksum.
const keysOfLogout = 4

// logoutInput is every token of the request.
type logoutInput struct {
	access     []string
	refresh    []string
	everywhere bool
	caller     string       // the token that ends all sessions
	cookie     *http.Cookie // clears the one that came; nil if none did
	fault      error        // of the body; the sessions of the tokens in headers end all the same
}

func (in *logoutInput) decode(r *request) error {
	for _, v := range slices.Concat(r.Header["X-Access-Token"], r.Header["Authorization"]) {
		in.access = append(in.access, tokensWithin(v)...)
	}
	if in.refresh = r.server.cookieTokens(r.Request); in.refresh != nil {
		in.cookie = r.server.refreshCookie("", 0)
	}
	var members struct {
		RefreshToken wire.Member[string] `json:"refresh_token"`
		Everywhere   bool                `json:"everywhere"`
	}
	body, err := r.read()
	media, _ := r.media([]string{mediaJSON, mediaForm})
	_, encoded := r.gzipped()
	switch {
	case err != nil:
		in.fault = err
	case len(body) == 0 || string(body) == "null":
	case media == mediaForm && !wire.BeginsAsJSON(body):
		if form, err := url.ParseQuery(string(body)); err == nil {
			members.RefreshToken.Value = form.Get("refresh_token")
			members.Everywhere = form.Get("everywhere") == "true"
		}
	case media == mediaJSON:
		in.fault = r.unmarshal(body, &members)
	case encoded != nil:
		in.fault = encoded // a token in the body cannot be read
	default:
		// A browser's fetch labels every string text/plain, and curl -d a form. A body that is no
		// JSON has no token.
		if r.unmarshal(body, &members) != nil {
			members.RefreshToken.Value, members.Everywhere = "", false
		}
	}
	given := store.Trim(members.RefreshToken.Value)
	if given != "" {
		in.refresh = append(in.refresh, given)
	}
	for _, token := range tokensWithin(string(body)) { // under another name, such as refreshToken
		if token != given || auth.IsKey(token) {
			in.access, in.refresh = append(in.access, token), append(in.refresh, token)
		}
	}
	if in.everywhere = members.Everywhere && in.fault == nil; in.everywhere {
		// It needs one good token, as any protected route does. Without one no session ends, so
		// that the client can still refresh and try again.
		in.caller, err = accessToken(r.Header)
		return err
	}
	return nil
}

// logoutView is the tutorial's answer.
type logoutView struct {
	Auth   bool    `json:"auth"`
	Token  *string `json:"token"`
	cookie *http.Cookie
}

// header clears the cookie if it came. It also has the browser forget all else of this site, so
// that the next person at it finds nothing. That takes the device token along.
func (v logoutView) header(h http.Header) {
	if v.cookie != nil {
		setCookies(h, v.cookie)
		h.Set("Clear-Site-Data", `"cookies", "storage"`)
	}
}

// logout ends the session of each token. It goes on when one of them cannot be ended.
func (s *Server) logout(ctx context.Context, in logoutInput) (logoutView, error) {
	var errs []error
	if in.everywhere {
		caller, err := s.cfg.Auth.Authenticate(ctx, in.caller)
		switch {
		case err != nil && auth.IsKey(in.caller):
			return logoutView{}, ofKey(err)
		case err != nil:
			return logoutView{}, err
		case caller.IsKey:
			return logoutView{}, errKeyEverywhere
		}
		errs = append(errs, s.cfg.Auth.LogoutEverywhere(ctx, caller.UserID))
	}
	keys := 0
	for _, token := range in.access {
		if auth.IsKey(token) {
			if keys++; keys > keysOfLogout {
				continue
			}
		}
		errs = append(errs, s.cfg.Auth.Logout(ctx, token))
	}
	for _, token := range in.refresh {
		errs = append(errs, s.cfg.Auth.LogoutRefresh(ctx, token))
	}
	if err := errors.Join(errs...); err != nil {
		return logoutView{}, err
	}
	return logoutView{cookie: in.cookie}, in.fault
}
