package verify

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

func auditChecks() []check {
	return []check{
		{"audit-events", accounts,
			"The audit tells who did what to an account.",
			tryAuditEvents},
	}
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
