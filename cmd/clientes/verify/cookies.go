package verify

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// cookieChecks are the promises about the cookies of the sessions.
func cookieChecks() []check {
	return []check{
		{"cookie-flags", sessions,
			"The cookies are HttpOnly, SameSite=Strict, for this host alone, and Secure behind https.",
			cookieFlags},
		{"cookie-csrf", sessions,
			"A page of another origin can neither use nor set the cookies.",
			cookieCSRF},
	}
}

// cookieVisit is visit with cookies.
func (v *verifier) cookieVisit(
	ctx context.Context,
) (s *session, cookies []*http.Cookie, a answer, err error) {
	if s, err = v.visit(ctx, "viewer"); err != nil {
		return nil, nil, a, err
	}
	r := loginRequest(s.user.name, s.user.password, "code", s.user.code())
	r.body.(map[string]any)["cookie"] = true
	if a, err = v.want(ctx, http.StatusOK, r); err != nil {
		return nil, nil, a, err
	}
	cookies = cookiesOf(a)
	for _, c := range cookies {
		v.hide(c.Value)
	}
	v.hide(a.member("token"))
	return s, cookies, a, nil
}

func cookiesOf(a answer) []*http.Cookie { return (&http.Response{Header: a.header}).Cookies() }

// cookieHeader returns the header in which a browser sends cookies.
func cookieHeader(cookies []*http.Cookie, more ...string) http.Header {
	var texts []string
	for _, c := range cookies {
		texts = append(texts, c.Name+"="+c.Value)
	}
	h := http.Header{"Cookie": {strings.Join(texts, "; ")}}
	for i := 0; i+1 < len(more); i += 2 {
		h.Set(more[i], more[i+1])
	}
	return h
}

func cookieFlags(ctx context.Context, v *verifier) (string, error) {
	public, err := v.publicURL(ctx, nil)
	if err != nil {
		return "", err
	}
	_, cookies, a, err := v.cookieVisit(ctx)
	if err != nil {
		return "", err
	}
	if a.member("refresh_token") != "" || a.member("device") != "" {
		return "", broken("a login with the cookie has a refresh token or device mark in its body")
	}
	if len(cookies) != 2 {
		return "", broken("a login sets %d cookies, not 2", len(cookies))
	}
	secure := public.Scheme == "https" || strings.HasPrefix(v.base, "https:")
	for _, c := range cookies {
		name, host := strings.CutPrefix(c.Name, "__Host-")
		known := name == "clientes_refresh" || name == "clientes_device"
		for _, f := range []struct {
			fault string
			is    bool
		}{
			{"is not HttpOnly", !c.HttpOnly},
			{"is not SameSite=Strict", c.SameSite != http.SameSiteStrictMode},
			{"names a domain", c.Domain != ""},
			{"is not for the path /", c.Path != "/"},
			{"is not Secure", secure && !c.Secure},
			{"lacks the prefix __Host-", secure && !host},
			{"has the prefix __Host- without Secure", host && !c.Secure},
			{"has an unknown name", !known},
			{"does not end", c.MaxAge <= 0},
		} {
			if f.is {
				return "", broken("the cookie %s %s", c.Name, f.fault)
			}
		}
	}
	a, err = v.do(ctx, request{method: "POST", path: "/refresh", header: cookieHeader(cookies)})
	if err != nil {
		return "", err
	}
	renewed := cookiesOf(a)
	if a.status != http.StatusOK || a.member("refresh_token") != "" || len(renewed) == 0 {
		return "", broken("a refresh by cookie was answered %v with %d cookies", a, len(renewed))
	}
	for _, c := range renewed {
		v.hide(c.Value)
	}
	token := a.member("token")
	v.hide(token)
	a, err = v.do(ctx, request{method: "POST", path: "/logout", header: cookieHeader(renewed)})
	if err != nil {
		return "", err
	}
	cleared := slices.ContainsFunc(cookiesOf(a), func(c *http.Cookie) bool {
		return strings.HasSuffix(c.Name, "clientes_refresh") && c.MaxAge < 0
	})
	if !cleared {
		return "", broken("a logout by cookie (%v) does not clear it", a)
	}
	if site := a.header.Get("Clear-Site-Data"); !strings.Contains(site, `"cookies"`) {
		return "", broken("a logout by cookie says %q in Clear-Site-Data", site)
	}
	if a, err = v.ask(ctx, "", token); err == nil && a.status != http.StatusUnauthorized {
		err = broken("after a logout by cookie its access token was answered %v", a)
	}
	how := "http: without Secure"
	if secure {
		how = "https: __Host- and Secure"
	}
	return "two cookies, each HttpOnly, SameSite=Strict, Path=/, no Domain (" + how + "); " +
		"refresh and logout work by cookie alone", err
}

func cookieCSRF(ctx context.Context, v *verifier) (string, error) {
	public, err := v.publicURL(ctx, nil)
	if err != nil {
		return "", err
	}
	s, cookies, a, err := v.cookieVisit(ctx)
	if err != nil {
		return "", err
	}
	token := a.member("token")
	const evil = "https://forged.invalid"
	other := "http"
	if public.Scheme == "http" {
		other = "https"
	}
	own := public.Scheme + "://" + public.Host
	crossing := map[string][]string{
		"Origin of another site":           {"Origin", evil},
		"Origin null":                      {"Origin", "null"},
		"Origin of the other scheme":       {"Origin", other + "://" + public.Host},
		"Origin that begins like ours":     {"Origin", own + ".forged.invalid"},
		"Sec-Fetch-Site cross-site":        {"Sec-Fetch-Site", "cross-site"},
		"Sec-Fetch-Site same-site":         {"Sec-Fetch-Site", "same-site"},
		"Origin and a friendly Fetch-Site": {"Origin", evil, "Sec-Fetch-Site", "same-origin"},
	}
	for what, header := range crossing {
		for _, path := range []string{"/refresh", "/logout"} {
			a, err := v.do(ctx, request{
				method: "POST", path: path, header: cookieHeader(cookies, header...),
			})
			if err != nil {
				return "", err
			}
			if !a.is(http.StatusForbidden, "cross_origin") {
				return "", broken("POST %s with the cookie and %s was answered %v", path, what, a)
			}
			if len(cookiesOf(a)) > 0 {
				return "", broken("POST %s with the cookie and %s sets a cookie", path, what)
			}
		}
		r := loginRequest(s.user.name, s.user.password)
		r.body.(map[string]any)["cookie"] = true
		r.header = cookieHeader(nil, header...)
		r.header.Del("Cookie")
		a, err := v.do(ctx, r)
		if err != nil {
			return "", err
		}
		if !a.is(http.StatusForbidden, "cross_origin") || len(cookiesOf(a)) > 0 {
			return "", broken("a login for the cookie with %s was answered %v", what, a)
		}
	}
	form := url.Values{
		"user": {s.user.name}, "password": {s.user.password}, "cookie": {"true"},
	}.Encode()
	for media, body := range map[string]string{
		"application/x-www-form-urlencoded": form,
		"text/plain":                        `{"user":"x","password":"x","cookie":true}`,
		"multipart/form-data; boundary=x":   "--x--",
	} {
		a, err := v.do(ctx, request{
			method: "POST", path: "/login", body: body,
			header: http.Header{"Content-Type": {media}},
		})
		if err != nil {
			return "", err
		}
		if a.status != http.StatusUnsupportedMediaType || len(cookiesOf(a)) > 0 {
			return "", broken("a login for the cookie as %s was answered %v", media, a)
		}
	}
	if a, err = v.ask(ctx, "", token); err != nil {
		return "", err
	}
	if !a.accepted() {
		return "", broken("after requests of other origins the session's token was answered %v", a)
	}
	a, err = v.do(ctx, request{method: "POST", path: "/refresh",
		header: cookieHeader(cookies, "Origin", own)})
	if err == nil && a.status != http.StatusOK {
		err = broken("a refresh with the cookie and the server's own origin was answered %v", a)
	}
	return fmt.Sprintf("%d origins at /refresh, /logout and /login, each 403 cross_origin; "+
		"3 media types that forms send, each 415; the server's own origin works",
		len(crossing)), err
}
