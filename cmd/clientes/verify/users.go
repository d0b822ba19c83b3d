package verify

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

func userChecks() []check {
	return []check{
		{"methods", conventions,
			"A method that a path does not take is 405 with Allow, and an unknown path is 404.",
			tryMethods},
		{"routes-guarded", conventions,
			"Every route that is not for anybody wants a token.",
			tryRoutesGuarded},
		{"roles-records", accounts,
			"A viewer reads customers and cannot change them. An editor can.",
			tryRolesRecords},
		{"roles-admin", accounts,
			"Nobody but an admin gets at what admins do.",
			tryRolesAdmin},
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
		{"audit-events", accounts,
			"The audit tells who did what to an account.",
			tryAuditEvents},
	}
}

// route is one operation of the document that the server publishes.
type route struct {
	method, path string // an id in the path is 0, which no record has
	role         string // the least that it needs, "" for anybody
}

func (r route) String() string { return r.method + " " + r.path }

// ownRoutes are routes with their roles, whatever the server says of them.
func ownRoutes() (all []route) {
	for role, lines := range map[string]string{
		"viewer": `GET /clientes, GET /clientes/0, GET /clientes/0/history, GET /clientes/export,
			GET /me, GET /sessions, DELETE /sessions/0`,
		"editor": `POST /clientes, PUT /clientes/0, PATCH /clientes/0, DELETE /clientes/0,
			POST /clientes/import, POST /clientes/0/restore`,
		"admin": `GET /users, POST /users, GET /users/0, PATCH /users/0, DELETE /users/0,
			DELETE /users/0/sessions, DELETE /users/0/mfa, GET /audit`,
	} {
		for line := range strings.SplitSeq(lines, ",") {
			method, path, _ := strings.Cut(strings.TrimSpace(line), " ")
			all = append(all, route{method, path, role})
		}
	}
	return all
}

// routes returns ownRoutes, and those that /openapi.json adds.
func (v *verifier) routes(ctx context.Context) ([]route, error) {
	a, err := v.want(ctx, http.StatusOK, request{method: "GET", path: "/openapi.json"})
	if err != nil {
		return nil, err
	}
	var document struct {
		Paths map[string]map[string]jsontext.Value `json:"paths"`
	}
	if err := a.into(&document); err != nil {
		return nil, err
	}
	all := ownRoutes()
	for path, item := range document.Paths {
		for _, method := range methodNames() {
			text, given := item[strings.ToLower(method)]
			if !given {
				continue
			}
			var operation struct {
				Role string `json:"x-role"`
			}
			if err := json.Unmarshal(text, &operation); err != nil {
				return nil, broken("/openapi.json cannot be read: %v", err)
			}
			r := route{method, strings.ReplaceAll(path, "{id}", "0"), operation.Role}
			same := func(known route) bool { return known.String() == r.String() }
			if !slices.ContainsFunc(all, same) {
				all = append(all, r)
			}
		}
	}
	slices.SortFunc(all, func(a, b route) int { return strings.Compare(a.String(), b.String()) })
	// A server with CONSOLE=off publishes the pages for people and has none.
	if a, err = v.do(ctx, request{method: "GET", path: "/login"}); err != nil {
		return nil, err
	}
	if a.is(http.StatusMethodNotAllowed, "method_not_allowed") {
		all = slices.DeleteFunc(all, func(r route) bool {
			return r.method == "GET" && r.path == "/login" || strings.HasPrefix(r.path, "/app")
		})
	}
	return all, nil
}

func methodNames() []string { return []string{"DELETE", "GET", "PATCH", "POST", "PUT"} }

// No request of this check has a token, so none can do harm.
func tryMethods(ctx context.Context, v *verifier) (string, error) {
	routes, err := v.routes(ctx)
	if err != nil {
		return "", err
	}
	takes := make(map[string][]string)
	for _, r := range routes {
		if !strings.Contains(r.path, "{") { // the name of a file, which may be none
			takes[r.path] = append(takes[r.path], r.method)
		}
	}
	tried := 0
	for path, methods := range takes {
		a, err := v.do(ctx, request{method: "OPTIONS", path: path})
		if err != nil {
			return "", err
		}
		allow := strings.Split(a.header.Get("Allow"), ", ")
		for _, m := range append([]string{"OPTIONS"}, methods...) {
			if a.status != http.StatusNoContent || !slices.Contains(allow, m) {
				return "", broken("OPTIONS %s is answered %v with Allow: %s, without %s", path, a,
					a.header.Get("Allow"), m)
			}
		}
		for _, method := range methodNames() {
			if slices.Contains(methods, method) {
				continue
			}
			a, err := v.do(ctx, request{method: method, path: path})
			if err != nil {
				return "", err
			}
			if !a.is(http.StatusMethodNotAllowed, "method_not_allowed") {
				return "", broken("%s %s is answered %v", method, path, a)
			}
			allow := strings.Split(a.header.Get("Allow"), ", ")
			for _, m := range methods {
				if !slices.Contains(allow, m) {
					return "", broken("%s %s is 405 with Allow: %s, without %s", method, path,
						a.header.Get("Allow"), m)
				}
			}
			tried++
		}
	}
	for _, path := range []string{"/" + v.tag, "/users/", "/clientes/0/nosuch"} {
		a, err := v.do(ctx, request{method: "GET", path: path})
		if err != nil {
			return "", err
		}
		if !a.is(http.StatusNotFound, "not_found") {
			return "", broken("GET %s, a path that does not exist, is answered %v", path, a)
		}
	}
	for path := range takes {
		get, err := v.do(ctx, request{method: "GET", path: path})
		if err != nil {
			return "", err
		}
		head, err := v.do(ctx, request{method: "HEAD", path: path})
		if err != nil {
			return "", err
		}
		if head.status != get.status || len(head.body) > 0 {
			return "", broken("GET %s is answered %v, and HEAD %v", path, get, head)
		}
	}
	return fmt.Sprintf("%d requests got 405 with Allow, %d paths tell their methods", tried,
		len(takes)), nil
}

func tryRoutesGuarded(ctx context.Context, v *verifier) (string, error) {
	routes, err := v.routes(ctx)
	if err != nil {
		return "", err
	}
	guarded := 0
	for _, r := range routes {
		if r.role == "" {
			continue
		}
		guarded++
		a, err := v.do(ctx, request{method: r.method, path: r.path})
		if err != nil {
			return "", err
		}
		challenge := a.header.Get("Www-Authenticate")
		if !a.is(http.StatusUnauthorized, "token_missing") ||
			!strings.Contains(string(a.body), `"auth":false`) ||
			!strings.HasPrefix(challenge, "Bearer realm=") {
			return "", broken("%v without a token is answered %v with WWW-Authenticate: %s", r, a,
				challenge)
		}
	}
	return fmt.Sprintf("%d routes are 401 without a token", guarded), nil
}

// wantForbidden returns an error unless the user of a session may use none of the routes.
func (v *verifier) wantForbidden(ctx context.Context, s *session, routes []route) error {
	for _, r := range routes {
		a, err := v.do(ctx, request{method: r.method, path: r.path, token: s.token})
		if err != nil {
			return err
		}
		if !a.is(http.StatusForbidden, "forbidden") ||
			!strings.Contains(a.header.Get("Www-Authenticate"), `error="insufficient_scope"`) {
			return broken("%v by a user with the role %s is answered %v", r, s.user.role, a)
		}
	}
	return nil
}

// ofRole returns the routes that need a role.
func ofRole(routes []route, role string) (some []route) {
	for _, r := range routes {
		if r.role == role {
			some = append(some, r)
		}
	}
	return some
}

func tryRolesRecords(ctx context.Context, v *verifier) (string, error) {
	routes, err := v.routes(ctx)
	if err != nil {
		return "", err
	}
	viewer, err := v.shared(ctx, "viewer")
	if err != nil {
		return "", err
	}
	editor, err := v.shared(ctx, "editor")
	if err != nil {
		return "", err
	}
	writing := ofRole(routes, "editor")
	if err := v.wantForbidden(ctx, viewer, writing); err != nil {
		return "", err
	}
	anyway := http.Header{"If-Match": anyVersion}
	a, err := v.want(ctx, http.StatusCreated, request{
		method: "POST", path: "/clientes", token: editor.token, body: v.named("roles"),
	})
	if err != nil {
		return "", err
	}
	c, err := clienteIn(a)
	if err != nil {
		return "", err
	}
	for _, r := range []request{
		{method: "PATCH", path: c.path(), body: texts{"notes": "by a viewer"}, header: anyway},
		{method: "PUT", path: c.path(), body: v.named("roles by a viewer"), header: anyway},
		{method: "DELETE", path: c.path(), header: anyway},
	} {
		r.token = viewer.token
		a, err := v.do(ctx, r)
		if err != nil {
			return "", err
		}
		if !a.is(http.StatusForbidden, "forbidden") {
			return "", broken("%s of a customer by a viewer is answered %v", r.method, a)
		}
	}
	for _, path := range []string{
		c.path(), c.path() + "/history", "/clientes?q=" + url.QueryEscape(v.tag),
		"/clientes/export?q=" + url.QueryEscape(v.tag),
	} {
		r := request{method: "GET", path: path, token: viewer.token}
		if _, err := v.want(ctx, http.StatusOK, r); err != nil {
			return "", err
		}
	}
	a, err = v.want(ctx, http.StatusOK, request{method: "GET", path: c.path(), token: viewer.token})
	if err != nil {
		return "", err
	}
	if now, err := clienteIn(a); err != nil || now != c {
		return "", broken("what a viewer was refused has changed the customer to version %d",
			now.Version)
	}
	for _, r := range []request{
		{method: "PATCH", path: c.path(), body: texts{"notes": "by an editor"}, header: anyway},
		{method: "POST", path: c.path() + "/restore", body: map[string]int{"version": 1},
			header: anyway},
		{method: "DELETE", path: c.path(), header: anyway},
	} {
		r.token = editor.token
		a, err := v.do(ctx, r)
		if err != nil {
			return "", err
		}
		if a.status >= 300 {
			return "", broken("%s of a customer by an editor is answered %v", r.method, a)
		}
	}
	return fmt.Sprintf("%d routes are 403 for a viewer, who reads; an editor writes", len(writing)),
		nil
}

func tryRolesAdmin(ctx context.Context, v *verifier) (string, error) {
	routes, err := v.routes(ctx)
	if err != nil {
		return "", err
	}
	admins := ofRole(routes, "admin")
	for _, role := range []string{"viewer", "editor"} {
		s, err := v.shared(ctx, role)
		if err != nil {
			return "", err
		}
		if err := v.wantForbidden(ctx, s, admins); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d routes are 403 for a viewer and for an editor", len(admins)), nil
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

// event is a security event as /audit answers it.
type event struct {
	Event     string `json:"event"`
	UserID    int64  `json:"user_id"`
	ActorID   int64  `json:"actor_id"`
	RequestID string `json:"request_id"`
	Detail    string `json:"detail"`
}

func tryAuditEvents(ctx context.Context, v *verifier) (string, error) {
	u, err := v.newUser(ctx, "viewer")
	if err != nil {
		return "", err
	}
	path := "/users/" + strconv.FormatInt(u.id, 10)
	a, err := v.do(ctx, request{method: "POST", path: "/login",
		body: map[string]string{"user": u.name, "password": "not " + u.password}})
	if err != nil {
		return "", err
	}
	if !a.is(http.StatusUnauthorized, "invalid_login") {
		return "", &refusedError{a}
	}
	if _, err := v.login(ctx, u); err != nil {
		return "", err
	}
	requests := make(map[string]string) // the ids of requests, by the event that they cause
	for _, step := range []struct {
		event, method string
		status        int
		body          map[string]any
	}{
		{"role_changed", "PATCH", 200, map[string]any{"role": "editor"}},
		{"user_disabled", "PATCH", 200, map[string]any{"disabled": true}},
		{"user_enabled", "PATCH", 200, map[string]any{"disabled": false}},
		{"user_deleted", "DELETE", 204, nil},
	} {
		r := request{method: step.method, path: path}
		if step.body != nil {
			r.body = step.body
		}
		a, err := v.wantAsAdmin(ctx, step.status, r)
		if err != nil {
			return "", err
		}
		requests[step.event] = a.header.Get("X-Request-Id")
	}
	a, err = v.wantAsAdmin(ctx, http.StatusOK, request{
		method: "GET", path: "/audit?limit=100&user_id=" + strconv.FormatInt(u.id, 10),
	})
	if err != nil {
		return "", err
	}
	var events []event
	if err := a.into(&events); err != nil {
		return "", err
	}
	if strings.Contains(string(a.body), u.password) {
		return "", broken("the audit holds a password")
	}
	wanted := []string{
		"user_created", "login_failed", "login", "role_changed", "user_disabled", "user_enabled",
		"user_deleted",
	}
	for _, kind := range wanted {
		i := slices.IndexFunc(events, func(e event) bool { return e.Event == kind })
		switch {
		case i < 0:
			return "", broken("the audit has no %s of a user to whom that happened", kind)
		case requests[kind] != "" && events[i].RequestID != requests[kind]:
			return "", broken("the audit has %s with another request_id than the answer had", kind)
		case requests[kind] != "" && (events[i].ActorID == 0 || events[i].ActorID == u.id):
			return "", broken("the audit does not say which admin caused %s", kind)
		}
	}
	if err := v.auditedTransfers(ctx); err != nil {
		return "", err
	}
	return "the audit has " + strings.Join(wanted, ", ") +
		", with who did it, and an import and an export", nil
}

// auditedTransfers returns an error unless the audit tells of an import and an export, and what is
// asked of it selects.
func (v *verifier) auditedTransfers(ctx context.Context) error {
	editor, err := v.shared(ctx, "editor")
	if err != nil {
		return err
	}
	for _, r := range []request{
		{method: "POST", path: "/clientes/import", body: ndjson([]texts{v.named("audit")}),
			header: http.Header{"Content-Type": {mediaNDJSON}}},
		{method: "GET", path: "/clientes/export?q=" + url.QueryEscape(v.tag)},
	} {
		r.token = editor.token
		if _, err := v.want(ctx, http.StatusOK, r); err != nil {
			return err
		}
	}
	of := "/audit?user_id=" + decimal(editor.user.id) + "&event="
	for query, want := range map[string]string{
		of + "import": "import", of + "export": "export",
		of + "export&since=2999-01-01T00:00:00Z": "", of + "user_deleted": "",
	} {
		a, err := v.wantAsAdmin(ctx, http.StatusOK, request{method: "GET", path: query})
		if err != nil {
			return err
		}
		var events []event
		if err := a.into(&events); err != nil {
			return err
		}
		other := func(e event) bool {
			return e.Event != want || e.ActorID != editor.user.id || e.UserID != editor.user.id
		}
		if (len(events) > 0) != (want != "") || slices.ContainsFunc(events, other) {
			return broken("the audit has %d events for %s, or others than were asked for",
				len(events), query)
		}
	}
	for _, query := range []string{"event=nosuch", "user_id=x", "since=yesterday", "nosuch=1"} {
		a, err := v.asAdmin(ctx, request{method: "GET", path: "/audit?" + query})
		if err != nil {
			return err
		}
		if !a.is(http.StatusBadRequest, "invalid_parameter") {
			return broken("GET /audit?%s is answered %v", query, a)
		}
	}
	return nil
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
