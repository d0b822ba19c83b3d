package verify

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

func userChecks() []check {
	return []check{
		{"user-unique", accounts,
			"A user name is unique and logs in without regard to case.",
			tryUserUnique},
		{"user-members", accounts,
			"A user is what an admin has made, and a change that is not allowed is refused.",
			tryUserMembers},
		{"signup-closed", accounts,
			"Nobody can sign up where that is closed, and nobody as more than a viewer.",
			trySignupClosed},
		{"forgot-answer", accounts,
			"Whoever has forgotten a password has the same answer, whether or not there is such a user.",
			tryForgotAnswer},
	}
}

func tryUserUnique(ctx context.Context, v *verifier) (string, error) {
	u, err := v.newUser(ctx, "viewer")
	if err != nil {
		return "", err
	}
	capitals := strings.ToUpper(u.name)
	a, err := v.asAdmin(ctx, request{method: "POST", path: "/users", body: map[string]string{
		"user": capitals, "password": newPassword(), "role": "viewer",
	}})
	if err != nil {
		return "", err
	}
	if !a.is(http.StatusConflict, "conflict") || !strings.Contains(string(a.body), `"user"`) {
		return "", broken("a user with the name of another in capital letters is answered %v", a)
	}
	again := *u
	again.name = capitals
	if _, err := v.login(ctx, &again); err != nil {
		return "", fmt.Errorf("log in with the name in capital letters: %w", err)
	}
	return "the same name in capital letters is 409 conflict, and logs its user in", nil
}

// userView is a user as admins see one.
type userView struct {
	ID        int64  `json:"id"`
	User      string `json:"user"`
	Email     string `json:"email"`
	Role      string `json:"role"`
	Disabled  bool   `json:"disabled"`
	CreatedAt string `json:"created_at"`
	UpdatedAt string `json:"updated_at"`
}

// None of these users logs in, so none of their emails gets mail.
func tryUserMembers(ctx context.Context, v *verifier) (string, error) {
	name, mail := v.newName(), v.email("user")
	create := func(members map[string]any) request {
		return request{method: "POST", path: "/users", body: members}
	}
	password := newPassword()
	a, err := v.wantAsAdmin(ctx, http.StatusCreated, create(map[string]any{
		"user": name, "password": password, "email": mail,
	}))
	if err != nil {
		return "", err
	}
	var made userView
	if err := a.into(&made); err != nil {
		return "", err
	}
	path := "/users/" + decimal(made.ID)
	want := userView{made.ID, name, mail, "viewer", false, made.CreatedAt, made.CreatedAt}
	if made != want || !instantForm.MatchString(made.CreatedAt) ||
		!leadsTo(a, path) {
		return "", broken("a new user is %v, at %q", made, a.header.Get("Location"))
	}
	other := v.newName()
	for _, c := range []struct {
		request
		status int
		field  string
	}{
		{create(map[string]any{"user": other, "password": password,
			"email": strings.ToUpper(mail)}), http.StatusConflict, "email"},
		{create(map[string]any{"user": "a b", "password": password}), 422, "user"},
		{create(map[string]any{"user": other, "password": password, "admin": true}), 422, "admin"},
		{create(map[string]any{"user": other, "password": password, "role": "root"}), 422, "role"},
		{create(map[string]any{"user": other}), 422, "email"},
		{create(map[string]any{"user": other, "password": ""}), 422, "password"},
		{request{method: "PATCH", path: path, body: map[string]any{"user": other}}, 422, "user"},
		{request{method: "PATCH", path: path, body: map[string]any{"password": password}}, 422,
			"password"},
		{request{method: "PATCH", path: path, body: map[string]any{"role": "root"}}, 422, "role"},
		{request{method: "PATCH", path: path, body: map[string]any{"email": "@"}}, 422, "email"},
	} {
		a, err := v.asAdmin(ctx, c.request)
		if err != nil {
			return "", err
		}
		if a.status != c.status || !slices.Equal(a.faults(), []string{c.field}) {
			return "", broken("%s %s with a fault in %s is answered %v", c.method,
				strings.ReplaceAll(c.path, path, "/users/{id}"), c.field, a)
		}
	}
	for query, n := range map[string]int{
		"/users?user=" + strings.ToUpper(name): 1, "/users?user=" + other: 0, path: 1,
		"/users?limit=1": 2,
	} {
		a, err := v.wantAsAdmin(ctx, http.StatusOK, request{method: "GET", path: query})
		if err != nil {
			return "", err
		}
		var found []userView
		if query == path {
			found = make([]userView, 1)
			err = a.into(&found[0])
		} else {
			err = a.into(&found)
		}
		switch {
		case err != nil:
			return "", err
		case n == 2 && (len(found) != 1 || a.header.Get("Link") == ""):
			return "", broken("a page of one user has %d, and the Link %q", len(found),
				a.header.Get("Link"))
		case n == 1 && (len(found) != 1 || found[0] != made):
			return "", broken("GET %s has another user than was made", query)
		case n == 0 && len(found) != 0:
			return "", broken("a search for nobody has %d users", len(found))
		}
	}
	return "a user as it was made, found by its name; ten faults refused with their fields", nil
}

// Each body has a fault, so that nobody is made. Where everybody may sign up, it counts as one of
// three in 15 minutes.
func trySignupClosed(ctx context.Context, v *verifier) (string, error) {
	a, err := v.do(ctx, request{method: "POST", path: "/signup", body: map[string]string{
		"user": v.newName(), "password": "short", "role": "admin",
	}})
	switch {
	case err != nil:
		return "", err
	case a.is(http.StatusForbidden, "signup_closed"):
		return "403 signup_closed", nil
	case v.cfg.SignupClosed:
		return "", broken("a sign-up is answered %v, though SIGNUP is closed", a)
	case a.is(http.StatusTooManyRequests, "captcha_required"):
		return "", notTried("too many have signed up from this address; " +
			"it is free again after 15 minutes")
	case a.status != http.StatusUnprocessableEntity ||
		strings.Join(a.faults(), " ") != "role password":
		return "", broken("a sign-up as an admin with a short password is answered %v", a)
	}
	return "everybody may sign up, and an admin's role is 422", nil
}

// These users have no email, so no mail is sent. A network may ask three times in 15 minutes.
func tryForgotAnswer(ctx context.Context, v *verifier) (string, error) {
	s, err := v.shared(ctx, "viewer")
	if err != nil {
		return "", err
	}
	var bodies []string
	for _, name := range []string{s.user.name, v.newNobody()} {
		a, err := v.do(ctx, request{
			method: "POST", path: "/password/forgot", body: map[string]string{"user": name},
		})
		if err != nil {
			return "", err
		}
		if a.is(http.StatusTooManyRequests, "captcha_required") {
			return "", notTried("links were asked for too often from this address; " +
				"it is free again after 15 minutes")
		}
		if a.status != http.StatusAccepted {
			return "", broken("a request for a link is answered %v", a)
		}
		bodies = append(bodies, string(a.body))
	}
	if bodies[0] != bodies[1] {
		return "", broken("the answers for a user and for nobody differ")
	}
	for path, body := range map[string]map[string]string{
		"/password/reset": {"token": "a.b.c", "password": newPassword()},
		"/email/confirm":  {"token": "a.b.c"},
	} {
		a, err := v.do(ctx, request{method: "POST", path: path, body: body})
		if err != nil {
			return "", err
		}
		if !a.is(http.StatusUnprocessableEntity, "reset_invalid") {
			return "", broken("POST %s with a made-up token is answered %v", path, a)
		}
	}
	return "202 with the same body for a user and for nobody; made-up links are 422", nil
}
