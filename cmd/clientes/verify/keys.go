package verify

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"
)

// keyChecks are the promises about keys for programs.
func keyChecks() []check {
	return []check{
		{"key-shown-once", accounts,
			"A key stands where a token stands. Making it needs the password, and shows it once.",
			keyShownOnce},
		{"key-scopes", accounts,
			"A key that lacks the scope of a route is 403, and so is every key on a person's routes.",
			keyScopes},
		{"key-end", accounts,
			"The end of a key is honoured at once, and by every process within a second.",
			keyEnd},
		{"key-role-change", accounts,
			"A key survives another password of its user, and ends with another role.",
			keyRoleChange},
	}
}

// key is a key of a program.
type key struct {
	Key string `json:"key"`
	ID  string `json:"id"`
}

// session returns what the checks of sessions need of a key.
func (k key) session() *session { return &session{token: k.Key} }

// newKey makes a key for the user of a session, with more members in the body.
func (v *verifier) newKey(
	ctx context.Context, s *session, members map[string]any,
) (k key, err error) {
	body := map[string]any{"name": v.tag, "current": s.user.password}
	if code := s.user.code(); code != "" {
		body["code"] = code
	}
	maps.Copy(body, members)
	a, err := v.want(ctx, http.StatusCreated, request{
		method: "POST", path: "/keys", token: s.token, body: body,
	})
	if err != nil {
		return key{}, err
	}
	if err := a.into(&k); err != nil {
		return key{}, err
	}
	v.hide(k.Key)
	if !strings.HasPrefix(k.Key, "clk_") || len(k.Key) != 40 {
		return key{}, broken("a key is not clk_ and 36 characters, but %d characters", len(k.Key))
	}
	return k, nil
}

func keyShownOnce(ctx context.Context, v *verifier) (string, error) {
	s, err := v.newSession(ctx, "viewer")
	if err != nil {
		return "", err
	}
	a, err := v.do(ctx, request{method: "POST", path: "/keys", token: s.token,
		body: map[string]any{"name": v.tag}})
	if err != nil {
		return "", err
	}
	if !a.is(http.StatusUnprocessableEntity, "validation_failed") {
		return "", broken("a key without a password was answered %v", a)
	}
	k, err := v.newKey(ctx, s, nil)
	if err != nil {
		return "", err
	}
	for _, h := range []http.Header{
		{"X-Access-Token": {k.Key}}, {"X-Access-Token": {"Bearer " + k.Key}},
		{"Authorization": {"Bearer " + k.Key}},
	} {
		_, err := v.want(ctx, http.StatusOK, request{
			method: "GET", path: "/clientes?limit=1", header: h,
		})
		if err != nil {
			return "", err
		}
	}
	changed := k.Key[:39] + string("01"[min(1, strings.Count(k.Key[39:], "0"))])
	if a, err = v.ask(ctx, v.base, changed); err != nil {
		return "", err
	}
	if !a.is(http.StatusUnauthorized, "token_invalid") {
		return "", broken("a key with another last character was answered %v", a)
	}
	a, err = v.want(ctx, http.StatusOK, request{method: "GET", path: "/keys", token: s.token})
	if err != nil {
		return "", err
	}
	list := string(a.body)
	if !strings.Contains(list, k.ID) || strings.Contains(list, k.Key[4:34]) {
		return "", broken("the list lacks the key, or shows its text again")
	}
	return "it was accepted in three places, and the list has its id and not its text", nil
}

func keyScopes(ctx context.Context, v *verifier) (string, error) {
	s, err := v.newSession(ctx, "editor")
	if err != nil {
		return "", err
	}
	k, err := v.newKey(ctx, s, map[string]any{"scopes": []string{"clientes:read"}})
	if err != nil {
		return "", err
	}
	if err := v.wantAccepted(ctx, k.session(), "with the scope clientes:read"); err != nil {
		return "", err
	}
	refused := 0
	for _, r := range ownRoutes() {
		if r.role == "admin" || r.method == "GET" && strings.HasPrefix(r.path, "/clientes") {
			continue // the role refuses it, or the scope allows it
		}
		a, err := v.do(ctx, request{method: r.method, path: r.path, token: k.Key})
		if err != nil {
			return "", err
		}
		challenge := a.header.Get("Www-Authenticate")
		if !a.is(http.StatusForbidden, "forbidden") ||
			!strings.Contains(challenge, `error="insufficient_scope"`) {
			return "", broken("%v with a key for reading is answered %v with WWW-Authenticate: %s",
				r, a, challenge)
		}
		refused++
	}
	for scope, want := range map[string]string{"audit": "of an editor", v.tag: "that is unknown"} {
		body := map[string]any{
			"name": v.tag, "current": s.user.password, "scopes": []string{scope},
		}
		a, err := v.do(ctx, request{method: "POST", path: "/keys", token: s.token, body: body})
		if err != nil {
			return "", err
		}
		if a.status != http.StatusUnprocessableEntity {
			return "", broken("a key with a scope %s is answered %v", want, a)
		}
	}
	return fmt.Sprintf("a key for reading is 403 on %d routes", refused), nil
}

func keyEnd(ctx context.Context, v *verifier) (string, error) {
	s, err := v.newSession(ctx, "viewer")
	if err != nil {
		return "", err
	}
	stranger, err := v.visit(ctx, "viewer")
	if err != nil {
		return "", err
	}
	var worst time.Duration
	for _, how := range []string{"DELETE", "by an admin", "POST /logout"} {
		k, err := v.newKey(ctx, s, nil)
		if err != nil {
			return "", err
		}
		if err := v.knownEverywhere(ctx, k.session()); err != nil {
			return "", err
		}
		end := request{method: "DELETE", path: "/keys/" + k.ID, token: stranger.token}
		a, err := v.do(ctx, end)
		if err != nil {
			return "", err
		}
		if a.status != http.StatusNotFound {
			return "", broken("a user who ends somebody else's key is answered %v", a)
		}
		switch end.token = s.token; how {
		case "by an admin":
			_, err = v.wantAsAdmin(ctx, http.StatusNoContent, end)
		case "POST /logout":
			end = request{method: "POST", path: "/logout", token: k.Key}
			_, err = v.want(ctx, http.StatusOK, end)
		default:
			_, err = v.want(ctx, http.StatusNoContent, end)
		}
		if err != nil {
			return "", err
		}
		took, err := v.wantRefused(ctx, k.session(), v.base, time.Now())
		if err != nil {
			return "", err
		}
		worst = max(worst, took)
	}
	return fmt.Sprintf("ended in three ways, it was refused on %s within %v", v.where(),
		worst.Round(time.Millisecond)), nil
}

func keyRoleChange(ctx context.Context, v *verifier) (string, error) {
	s, err := v.newSession(ctx, "viewer")
	if err != nil {
		return "", err
	}
	k, err := v.newKey(ctx, s, nil)
	if err != nil {
		return "", err
	}
	if err := v.knownEverywhere(ctx, k.session()); err != nil {
		return "", err
	}
	next := newPassword()
	v.hide(next)
	body := map[string]any{"current": s.user.password, "password": next}
	if code := s.user.code(); code != "" {
		body["code"] = code
	}
	_, err = v.want(ctx, http.StatusNoContent, request{
		method: "POST", path: "/password", token: s.token, body: body,
	})
	if err != nil {
		return "", err
	}
	s.user.password = next
	if _, err := v.wantRefused(ctx, s, v.base, time.Now()); err != nil {
		return "", err
	}
	if err := v.knownEverywhere(ctx, k.session()); err != nil {
		return "", err
	}
	if err := v.patchUser(ctx, s.user, map[string]any{"role": "editor"}); err != nil {
		return "", err
	}
	took, err := v.wantRefused(ctx, k.session(), v.base, time.Now())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("it outlived the password, and after the role was refused on %s within %v",
		v.where(), took.Round(time.Millisecond)), nil
}
