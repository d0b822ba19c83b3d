package verify

import (
	"context"
	"encoding/base32"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// factorChecks are the promises about second factors and passwords.
func factorChecks() []check {
	return []check{
		{"second-factor", accounts,
			"With a second factor the password alone is not enough, and each code works once.",
			secondFactor},
		{"password-rules", accounts,
			"A password that is short, well known or the user's own name is refused.",
			passwordRules},
	}
}

func secondFactor(ctx context.Context, v *verifier) (string, error) {
	s, err := v.newSession(ctx, "viewer")
	if err != nil {
		return "", err
	}
	u := s.user
	if u.recovery == nil {
		if err := v.setUpMFA(ctx, s); err != nil {
			return "", err
		}
	}
	used := u.confirmed
	// With the device mark, so that nothing counts on the address of this machine.
	login := func(code string) (answer, error) {
		return v.do(ctx, loginRequest(u.name, u.password, "device", s.device, "code", code))
	}
	a, err := login("")
	if err != nil {
		return "", err
	}
	if !a.is(http.StatusUnauthorized, "mfa_required") {
		return "", broken("the password alone was answered %v", a)
	}
	code := u.code()
	if a, err = login(code); err != nil {
		return "", err
	}
	if a.status != http.StatusOK {
		return "", broken("a recovery code was answered %v", a)
	}
	for what, bad := range map[string]string{
		"a recovery code once more":        code,
		"a made-up code":                   "abcde-fghij",
		"the code that had switched it on": used,
	} {
		if a, err = login(bad); err != nil {
			return "", err
		}
		if !a.is(http.StatusUnauthorized, "mfa_invalid") {
			return "", broken("%s was answered %v", what, a)
		}
	}
	if err := v.renewedCodes(ctx, s); err != nil {
		return "", err
	}
	return "the password alone: mfa_required; a code: 200; the same once more, and one that was " +
		"replaced: mfa_invalid; it is not switched off without a code", nil
}

// renewedCodes returns an error unless new recovery codes replace the old ones, and the second
// factor of the user of a session is switched off with the password and a code alone.
func (v *verifier) renewedCodes(ctx context.Context, s *session) error {
	u := s.user
	proof := func(code string) map[string]any {
		return map[string]any{"current": u.password, "code": code}
	}
	for _, r := range []request{
		{method: "DELETE", path: "/me/mfa", body: proof("")},
		{method: "DELETE", path: "/me/mfa", body: proof("abcde-fghij")},
		{method: "POST", path: "/me/mfa/recovery", body: proof("")},
		{method: "POST", path: "/me/mfa/recovery", body: proof("abcde-fghij")},
		{method: "POST", path: "/password", body: map[string]any{
			"current": u.password, "password": newPassword()}},
		{method: "PATCH", path: "/me", body: map[string]any{
			"current": u.password, "email": v.email("me")}},
	} {
		r.token = s.token
		a, err := v.do(ctx, r)
		if err != nil {
			return err
		}
		if a.is(http.StatusForbidden, "forbidden") && r.method == "DELETE" {
			continue // it must stay
		}
		if a.status != http.StatusUnprocessableEntity || !slices.Contains(a.faults(), "code") {
			return broken("%s %s without a good code was answered %v", r.method, r.path, a)
		}
	}
	old := u.recovery[len(u.recovery)-1]
	a, err := v.want(ctx, http.StatusOK, request{
		method: "POST", path: "/me/mfa/recovery", token: s.token, body: proof(u.code()),
	})
	if err != nil {
		return err
	}
	var renewed struct {
		Codes []string `json:"recovery_codes"`
	}
	if err := a.into(&renewed); err != nil {
		return err
	}
	v.hide(renewed.Codes...)
	u.recovery = renewed.Codes
	a, err = v.do(ctx, loginRequest(u.name, u.password, "device", s.device, "code", old))
	if err == nil && !a.is(http.StatusUnauthorized, "mfa_invalid") {
		err = broken("a recovery code that was replaced was answered %v", a)
	}
	if err != nil {
		return err
	}
	_, err = v.login(ctx, u)
	return err
}

// setUpMFA sets a second factor up for the user of a session.
func (v *verifier) setUpMFA(ctx context.Context, s *session) error {
	a, err := v.want(ctx, http.StatusOK, request{
		method: "POST", path: "/me/mfa", token: s.token,
		body: map[string]any{"current": s.user.password},
	})
	if err != nil {
		return fmt.Errorf("begin a second factor: %w", err)
	}
	secret := a.member("secret")
	v.hide(secret)
	unpadded := base32.StdEncoding.WithPadding(base32.NoPadding)
	key, err := unpadded.DecodeString(strings.TrimRight(secret, "="))
	if err != nil {
		return fmt.Errorf("read the key of a second factor: %w", err)
	}
	s.user.confirmed = oneTimePassword(key, v.cfg.Now())
	a, err = v.want(ctx, http.StatusOK, request{
		method: "POST", path: "/me/mfa/confirm", token: s.token,
		body: map[string]any{"code": s.user.confirmed},
	})
	if err != nil {
		return fmt.Errorf("confirm a second factor: %w", err)
	}
	var confirmed struct {
		Codes []string `json:"recovery_codes"`
	}
	if err := a.into(&confirmed); err != nil {
		return err
	}
	v.hide(confirmed.Codes...)
	s.user.recovery = confirmed.Codes
	return nil
}

func passwordRules(ctx context.Context, v *verifier) (string, error) {
	name := v.newName()
	weak := []string{
		"short7!", "password", "12345678", "Password1", "qwertyuiop", name, "clientes",
		strings.Repeat("a", 300),
	}
	for _, password := range weak {
		a, err := v.asAdmin(ctx, request{method: "POST", path: "/users", body: map[string]any{
			"user": name, "password": password, "role": "viewer",
		}})
		if err != nil {
			return "", err
		}
		if a.status != http.StatusUnprocessableEntity ||
			!strings.Contains(string(a.body), `"password"`) {
			return "", broken("a weak password of %d characters was answered %v", len(password), a)
		}
	}
	// Nothing is too long or too odd up to 256 characters, and one letter is one letter.
	good := strings.Repeat("a\u0301 ", 32) + newPassword()
	v.hide(good)
	if _, err := v.wantAsAdmin(ctx, http.StatusCreated, request{
		method: "POST", path: "/users",
		body: map[string]any{"user": name, "password": good, "role": "viewer"},
	}); err != nil {
		return "", fmt.Errorf("a long password with white space: %w", err)
	}
	composed := strings.ReplaceAll(good, "a\u0301", "á")
	v.hide(composed)
	if _, err := v.want(ctx, http.StatusOK, loginRequest(name, composed)); err != nil {
		return "", fmt.Errorf("a login with the other form of the same letters: %w", err)
	}
	return fmt.Sprintf("%d weak passwords, each refused with 422; a long one in two forms of "+
		"Unicode", len(weak)), nil
}
