package verify

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// routeChecks are the promises about who may call which route.
func routeChecks() []check {
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
			GET /me, GET /sessions, DELETE /sessions/0,
			GET /keys, POST /keys, DELETE /keys/0`,
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
