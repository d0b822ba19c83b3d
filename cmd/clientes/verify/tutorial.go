package verify

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// tutorialChecks are the promises to clients that were written against the tutorial, and those
// about what the server publishes.
func tutorialChecks() []check {
	return []check{
		{"tutorial-login", tutorial,
			"A login by JSON or a form has the members of the tutorial and the others that are promised.",
			tryTutorialLogin},
		{"tutorial-answers", tutorial,
			"The tutorial's routes answer as the tutorial's clients expect, in any case of letters.",
			tryTutorialAnswers},
		{"session-length", sessions,
			"A session that is remembered stays so when it is refreshed, and tells when it ends.",
			trySessionLength},
		{"cookie-replaced", sessions,
			"A login by the form of the login page sets the cookies, and ends the session of the old ones.",
			tryCookieReplaced},
		{"published", people,
			"What is published has its type, and is 304 for whoever has it.",
			tryPublished},
	}
}

// leadsTo reports whether the Location of an answer is a path. A proxy may write a host before it.
func leadsTo(a answer, path string) bool {
	return strings.HasSuffix(a.header.Get("Location"), path)
}

func isJSON(a answer) bool {
	return strings.HasPrefix(a.header.Get("Content-Type"), "application/json") &&
		bytes.HasSuffix(a.body, []byte("\n"))
}

func tryTutorialLogin(ctx context.Context, v *verifier) (string, error) {
	s, err := v.newSession(ctx, "viewer")
	if err != nil {
		return "", err
	}
	const asForm = "application/x-www-form-urlencoded"
	for _, how := range []struct{ path, user, media string }{
		{"/login", "user", "application/json"}, {"/LOGIN", "username", "application/json"},
		{"/login", "user", `application/json; charset="utf8"`},
		{"/login", "user", asForm}, {"/Login/", "username", asForm},
	} {
		code := s.user.code()
		form := url.Values{how.user: {s.user.name}, "password": {s.user.password}, "code": {code}}
		body := form.Encode()
		if how.media != asForm {
			text, _ := json.Marshal(map[string]string{ // texts always can
				how.user: s.user.name, "password": s.user.password, "code": code, "extra": "x",
			})
			body = "\ufeff" + string(text)
		}
		a, err := v.want(ctx, http.StatusOK, request{
			method: "POST", path: how.path, body: body,
			header: http.Header{"Content-Type": {how.media}},
		})
		if err != nil {
			return "", fmt.Errorf("a login with %s as %s: %w", how.user, how.media, err)
		}
		var grant struct {
			Auth             bool   `json:"auth"`
			Token            string `json:"token"`
			TokenType        string `json:"token_type"`
			ExpiresIn        int64  `json:"expires_in"`
			RefreshToken     string `json:"refresh_token"`
			RefreshExpiresIn int64  `json:"refresh_expires_in"`
			Device           string `json:"device"`
			User             struct {
				ID   int64  `json:"id"`
				User string `json:"user"`
				Role string `json:"role"`
			} `json:"user"`
		}
		if err := a.into(&grant); err != nil {
			return "", err
		}
		v.hide(grant.Token, grant.RefreshToken, grant.Device)
		if !grant.Auth || grant.TokenType != "Bearer" || grant.RefreshToken == "" ||
			grant.Device == "" || grant.RefreshExpiresIn < grant.ExpiresIn || !isJSON(a) ||
			len(cookiesOf(a)) > 0 ||
			grant.User.ID != s.user.id || grant.User.User != s.user.name ||
			grant.User.Role != s.user.role {
			return "", broken("a login with %s as %s lacks a member, or has another than it should",
				how.user, how.media)
		}
		_, payload, _ := parts(grant.Token)
		c, err := decodeClaims(payload)
		if err != nil {
			return "", err
		}
		iat, _ := c["iat"].(int64)
		exp, _ := c["exp"].(int64)
		if c["id"] != s.user.id || c["sub"] != decimal(s.user.id) || c["role"] != s.user.role ||
			exp-iat != grant.ExpiresIn || grant.ExpiresIn > 3600 {
			return "", broken("the token of a login has id %v, sub %v, role %v and lives %d s, "+
				"and expires_in is %d", c["id"], c["sub"], c["role"], exp-iat, grant.ExpiresIn)
		}
	}
	for _, body := range []string{
		`{}`, `{"user":"` + s.user.name + `"}`, `{"user":"` + s.user.name + `","password":""}`,
		`{"user":"` + s.user.name + `","password":1}`, `{"user":null,"password":"x"}`,
	} {
		a, err := v.do(ctx, request{method: "POST", path: "/login", body: body})
		if err != nil {
			return "", err
		}
		if !a.is(http.StatusUnprocessableEntity, "validation_failed") || len(a.faults()) == 0 {
			return "", broken("a login without a user or a password is answered %v", a)
		}
	}
	return "five forms of a login were taken, and five without a user or password got 422", nil
}

func tryTutorialAnswers(ctx context.Context, v *verifier) (string, error) {
	s, err := v.visit(ctx, "viewer")
	if err != nil {
		return "", err
	}
	for _, c := range []struct {
		method, path, token, body string
		status                    int
		has                       []string
	}{
		{"GET", "/", "", "", 200, []string{`{"message":"Everything is okay!"}`}},
		{"GET", "/clientes", "", "", 401, []string{
			`"auth":false`, `"message":"No token provided."`, `"code":"token_missing"`}},
		{"GET", "/clientes", "x.y.z", "", 401, []string{
			`"auth":false`, `"message":"Failed to authenticate token."`, `"code":"token_invalid"`}},
		{"GET", "/CLIENTES/?limit=1", s.token, "", 200, []string{`[`}},
		{"GET", "/Clientes/0/", s.token, "", 404, []string{`"code":"not_found"`}},
		{"POST", "/logout", "", "", 200, []string{`{"auth":false,"token":null}`}},
		{"POST", "/Logout/", "x.y.z", "{}", 200, []string{`{"auth":false,"token":null}`}},
		{"POST", "/refresh", "", "", 401, []string{`"code":"refresh_invalid"`}},
		{"POST", "/refresh", "", `{"other":1}`, 422, []string{`"field":"refresh_token"`}},
	} {
		r := request{method: c.method, path: c.path, token: c.token}
		if c.body != "" {
			r.body = c.body
		}
		a, err := v.do(ctx, r)
		if err != nil {
			return "", err
		}
		ok := a.status == c.status && isJSON(a)
		for _, text := range c.has {
			ok = ok && strings.Contains(string(a.body), text)
		}
		// Only what is about authentication has auth.
		if c.status != 200 && c.status != 401 {
			ok = ok && !strings.Contains(string(a.body), `"auth"`)
		}
		if !ok {
			return "", broken("%s %s is answered %v, or its body is another than the tutorial's",
				c.method, c.path, a)
		}
	}
	// A body that cannot be read keeps no session alive.
	a, err := v.do(ctx, request{method: "POST", path: "/logout", token: s.token, body: "{"})
	if err != nil {
		return "", err
	}
	if !a.is(http.StatusBadRequest, "malformed_body") {
		return "", broken("a logout with a malformed body is answered %v", a)
	}
	_, err = v.wantEnded(ctx, s, v.base, time.Now())
	return "nine answers as the tutorial gave them; a logout with half a body ends its session", err
}

func trySessionLength(ctx context.Context, v *verifier) (string, error) {
	s, err := v.visit(ctx, "viewer")
	if err != nil {
		return "", err
	}
	var lives [2]int64
	for i, remember := range []bool{false, true} {
		body := loginRequest(s.user.name, s.user.password, "code", s.user.code())
		body.body.(map[string]any)["remember"] = remember
		a, err := v.want(ctx, http.StatusOK, body)
		for n := range 2 { // the login, and its refresh
			var grant struct {
				ExpiresIn int64 `json:"refresh_expires_in"`
			}
			if err == nil {
				err = a.into(&grant)
			}
			if err != nil {
				return "", err
			}
			one, err2 := v.granted(a, s.user)
			if err2 != nil {
				return "", err2
			}
			all, err2 := v.sessionsOf(ctx, one)
			if err2 != nil {
				return "", err2
			}
			for _, l := range all {
				left := int64(l.ExpiresAt.Sub(l.LastUsedAt) / time.Second)
				if l.Current && (left-grant.ExpiresIn > 1 || grant.ExpiresIn-left > 1) {
					return "", broken("a session ends %d s after its last use, and "+
						"refresh_expires_in is %d", left, grant.ExpiresIn)
				}
			}
			if n == 0 {
				lives[i] = grant.ExpiresIn
			} else if d := lives[i] - grant.ExpiresIn; d < -60 || d > 60 {
				return "", broken("a session with remember %t lives for %d s, and once refreshed "+
					"for %d s", remember, lives[i], grant.ExpiresIn)
			}
			if n == 0 {
				a, err = v.want(ctx, http.StatusOK, refreshRequest(one.refresh))
			}
		}
	}
	if lives[1] < lives[0] {
		return "", broken("a session that is remembered lives for %d s, and another for %d s",
			lives[1], lives[0])
	}
	return fmt.Sprintf("%d s, and %d s if it is remembered, before and after a refresh", lives[0],
		lives[1]), nil
}

func tryCookieReplaced(ctx context.Context, v *verifier) (string, error) {
	s, cookies, a, err := v.cookieVisit(ctx)
	if err != nil {
		return "", err
	}
	old, err := v.granted(a, s.user)
	if err != nil {
		return "", err
	}
	page, err := v.do(ctx, request{method: "GET", path: "/login"})
	if err != nil {
		return "", err
	}
	app, err := v.do(ctx, request{method: "GET", path: "/app/"})
	if err != nil {
		return "", err
	}
	console := page.status == http.StatusOK
	switch {
	case console && (app.status != http.StatusSeeOther || !leadsTo(app, "/login")):
		return "", broken("the console is answered %v to a stranger", app)
	case !console && app.status != http.StatusNotFound:
		return "", broken("there is no login page, but /app/ is answered %v", app)
	}
	form := url.Values{
		"user": {s.user.name}, "password": {s.user.password}, "code": {s.user.code()},
	}.Encode()
	h := cookieHeader(cookies, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate",
		"Content-Type", "application/x-www-form-urlencoded")
	if !console {
		return "", notTried("the console is off, so nobody posts the form of its page")
	}
	a, err = v.do(ctx, request{method: "POST", path: "/login", body: form, header: h})
	if err != nil {
		return "", err
	}
	fresh := cookiesOf(a)
	for _, c := range fresh {
		v.hide(c.Value)
	}
	if a.status != http.StatusSeeOther || !leadsTo(a, "/app/") || len(fresh) != 2 {
		return "", broken("the form of the login page is answered %v to %q with %d cookies", a,
			a.header.Get("Location"), len(fresh))
	}
	got, err := v.ask(ctx, "", old.token)
	if err == nil && got.status != http.StatusUnauthorized {
		err = broken("after another login of the browser the old session is answered %v", got)
	}
	if err != nil {
		return "", err
	}
	_, err = v.want(ctx, http.StatusOK,
		request{method: "POST", path: "/logout", header: cookieHeader(fresh)})
	return "the form led to /app/ with two cookies, and the session of the old ones has ended", err
}

func tryPublished(ctx context.Context, v *verifier) (string, error) {
	files := []struct{ path, media, has string }{
		{"/openapi.json", "application/json", `"openapi":`},
		{"/openapi.yaml", "application/yaml", "openapi:"},
		{"/postman.json", "application/json", "collection/v2.1.0/"},
		{"/docs", "text/html", "<html"},
		{"/client.js", "text/javascript", "connect"},
		{"/client.d.ts", "application/typescript", "connect"},
	}
	for _, f := range files {
		a, err := v.want(ctx, http.StatusOK, request{method: "GET", path: f.path})
		if err != nil {
			return "", err
		}
		if !strings.HasPrefix(a.header.Get("Content-Type"), f.media) ||
			!strings.Contains(string(a.body), f.has) {
			return "", broken("GET %s is something else, as %s", f.path,
				a.header.Get("Content-Type"))
		}
		tag := a.header.Get("Etag")
		a, err = v.do(ctx, request{
			method: "GET", path: f.path, header: http.Header{"If-None-Match": {tag}},
		})
		if err != nil {
			return "", err
		}
		if tag == "" || a.status != http.StatusNotModified {
			return "", broken("GET %s with its ETag %s is answered %v", f.path, tag, a)
		}
		if a, err = v.do(ctx, request{method: "HEAD", path: f.path}); err != nil {
			return "", err
		}
		if a.status != http.StatusOK {
			return "", broken("HEAD %s is answered %v", f.path, a)
		}
	}
	for path, text := range map[string]string{
		"/healthz": `{"status":"ok"}`,
		"/readyz": `{"status":"ok","checks":{"store":"ok","migrations":"ok","ended_sessions":"ok",` +
			`"hasher":"ok"}}`,
	} {
		a, err := v.want(ctx, http.StatusOK, request{method: "GET", path: path})
		if err != nil {
			return "", err
		}
		if strings.TrimSpace(string(a.body)) != text {
			return "", broken("GET %s is answered %s", path, a.body)
		}
	}
	return fmt.Sprintf("%d files with their types, each 304 with its ETag; the server is well",
		len(files)), nil
}
