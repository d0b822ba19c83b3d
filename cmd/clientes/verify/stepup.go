package verify

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// stepUpChecks are the promises about what needs more than an access token.
func stepUpChecks() []check {
	return []check{
		{"step-up", accounts,
			"What outlives a stolen token needs the password or a login that is younger than five minutes.",
			stepUp},
		{"own-proof", accounts,
			"One's own email, password and second factor need the password.",
			ownProof},
	}
}

func stepUp(ctx context.Context, v *verifier) (string, error) {
	x, err := v.sample(ctx)
	if err == nil {
		err = v.secretSigns(x.session.token, v.admin.token)
	}
	if err != nil {
		return "", err
	}
	victim, err := v.newSession(ctx, "viewer")
	if err != nil {
		return "", err
	}
	header, payload, _ := parts(v.admin.token)
	c, err := decodeClaims(payload)
	if err != nil {
		return "", err
	}
	path := "/users/" + decimal(victim.user.id)
	timeless := c.without("auth_time")
	if !v.adminHasFactor() { // it may be required, and amr tells of it
		timeless = timeless.without("amr")
	}
	tried := 0
	for what, old := range map[string]claims{
		"a login six minutes ago": c.with("auth_time", v.cfg.Now().Add(-6*time.Minute).Unix()),
		"no time of its login":    timeless,
		"a login in the future":   c.with("auth_time", v.cfg.Now().Add(10*time.Minute).Unix()),
	} {
		token := signed(header, old.encoded(), v.cfg.Secret, sha256.New)
		v.hide(token)
		a, err := v.do(ctx, request{method: "GET", path: path, token: token})
		if err != nil {
			return "", err
		}
		if a.status != http.StatusOK {
			return "", broken("an admin's token with %s was answered %v by a route that only reads",
				what, a)
		}
		for _, r := range []request{
			{method: "PATCH", path: path, body: map[string]any{"role": "editor"}},
			{method: "PATCH", path: path, body: map[string]any{"email": ""}},
			{method: "PATCH", path: path, body: map[string]any{"disabled": true}},
			{method: "DELETE", path: path + "/sessions"},
			{method: "DELETE", path: path + "/mfa"},
			{method: "DELETE", path: path},
			{method: "POST", path: "/users", body: map[string]any{
				"user": v.newName(), "password": newPassword(), "role": "admin"}},
		} {
			r.token = token
			a, err := v.do(ctx, r)
			if err != nil {
				return "", err
			}
			if !a.is(http.StatusForbidden, "step_up_required") {
				return "", broken("%s %s with %s was answered %v",
					r.method, strings.ReplaceAll(r.path, path, "/users/{id}"), what, a)
			}
			tried++
		}
	}
	if err := v.wrongProof(ctx, path); err != nil {
		return "", err
	}
	if err := v.wantAccepted(ctx, victim, "after the refusals"); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d changes with tokens of old logins, each refused with 403 "+
		"step_up_required", tried), nil
}

// wrongProof returns an error if a wrong password of the admin is taken for the right one. It is
// one failure of the admin's, until the next login. An admin with a second factor would need codes.
func (v *verifier) wrongProof(ctx context.Context, path string) error {
	if v.adminHasFactor() {
		return nil
	}
	r := request{method: "PATCH", path: path, body: map[string]any{
		"role": "editor", "current": newPassword(),
	}}
	a, err := v.asAdmin(ctx, r)
	if err != nil {
		return err
	}
	if a.status != http.StatusUnprocessableEntity ||
		!strings.Contains(string(a.body), `"current"`) {
		return broken("PATCH /users/{id} with a wrong password of the admin was answered %v", a)
	}
	r.body = map[string]any{"email": "", "current": v.admin.user.password}
	_, err = v.wantAsAdmin(ctx, http.StatusOK, r)
	return err
}

// adminHasFactor reports whether the admin has logged in with a second factor.
func (v *verifier) adminHasFactor() bool {
	return v.admin.user.recovery != nil || v.cfg.Admin.Code != ""
}

func ownProof(ctx context.Context, v *verifier) (string, error) {
	s, err := v.newSession(ctx, "viewer")
	if err != nil {
		return "", err
	}
	next := newPassword()
	v.hide(next)
	tried := 0
	for _, r := range []request{
		{method: "PATCH", path: "/me", body: map[string]any{"email": v.tag + "@example.invalid"}},
		{method: "POST", path: "/password", body: map[string]any{"password": next}},
		{method: "POST", path: "/me/mfa", body: map[string]any{}},
		{method: "DELETE", path: "/me/mfa", body: map[string]any{}},
		{method: "POST", path: "/password", body: map[string]any{
			"password": next, "current": newPassword()}},
		{method: "PATCH", path: "/me", body: map[string]any{
			"email": v.tag + "@example.invalid", "current": newPassword()}},
	} {
		r.token = s.token
		if s.user.recovery != nil {
			r.body.(map[string]any)["code"] = "000000" // the password is looked at first
		}
		a, err := v.do(ctx, r)
		if err != nil {
			return "", err
		}
		if a.status != http.StatusUnprocessableEntity ||
			!strings.Contains(string(a.body), `"current"`) {
			return "", broken("%s %s without the right password was answered %v, not 422 on "+
				"current", r.method, r.path, a)
		}
		tried++
	}
	if _, err := v.login(ctx, s.user); err != nil {
		return "", fmt.Errorf("log in with the password that must not have changed: %w", err)
	}
	return fmt.Sprintf("%d changes without or with a wrong current password, each refused with 422",
		tried), nil
}
