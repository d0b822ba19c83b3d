package verify

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// networkChecks are the promises about whom a request comes from and where it went.
func networkChecks() []check {
	return []check{
		{"forwarded-forged", accounts,
			"Headers that name another address or host are not believed.",
			forwardedForged},
	}
}

// publicURL returns the URL that the server takes for its own, as its published document says.
func (v *verifier) publicURL(ctx context.Context, header http.Header) (*url.URL, error) {
	a, err := v.want(ctx, http.StatusOK, request{
		method: "GET", path: "/openapi.json", header: header,
	})
	if err != nil {
		return nil, err
	}
	var document struct {
		Servers []struct {
			URL string `json:"url"`
		} `json:"servers"`
	}
	if err := a.into(&document); err != nil {
		return nil, err
	}
	if len(document.Servers) == 0 {
		return nil, broken("the published document names no server")
	}
	return url.Parse(document.Servers[0].URL)
}

// forged are headers that name another client or host. The addresses are for documentation (RFC
// 5737).
func forged() (http.Header, []string) {
	h := http.Header{
		"X-Forwarded-For":          {"192.0.2.1, 198.51.100.1"},
		"X-Real-Ip":                {"192.0.2.2"},
		"Forwarded":                {"for=192.0.2.3;host=forged.invalid;proto=https"},
		"X-Client-Ip":              {"192.0.2.4"},
		"True-Client-Ip":           {"192.0.2.5"},
		"Cf-Connecting-Ip":         {"192.0.2.6"},
		"X-Cluster-Client-Ip":      {"192.0.2.7"},
		"Fastly-Client-Ip":         {"192.0.2.8"},
		"X-Appengine-Remote-Addr":  {"192.0.2.9"},
		"X-Original-Forwarded-For": {"192.0.2.10"},
		"X-Forwarded-Host":         {"forged.invalid"},
		"X-Forwarded-Proto":        {"https"},
		"X-Forwarded-Prefix":       {"/forged"},
		"X-Original-Url":           {"/forged"},
		"X-Rewrite-Url":            {"/forged"},
	}
	return h, []string{"192.0.2.", "198.51.100."}
}

func forwardedForged(ctx context.Context, v *verifier) (string, error) {
	if v.cfg.BehindProxy {
		return "", notTried("TRUSTED_PROXIES holds this machine, so its headers are believed; " +
			"run it from another one")
	}
	s, err := v.visit(ctx, "viewer")
	if err != nil {
		return "", err
	}
	header, addresses := forged()
	current := func() (string, error) {
		all, err := v.sessionsOf(ctx, s)
		if err != nil {
			return "", err
		}
		at := slices.IndexFunc(all, func(l listed) bool { return l.Current })
		if at < 0 {
			return "", broken("no session is the current one")
		}
		return all[at].IP, nil
	}
	real, err := current()
	if err != nil {
		return "", err
	}
	r := loginRequest(s.user.name, s.user.password, "code", s.user.code())
	r.header = header
	a, err := v.want(ctx, http.StatusOK, r)
	if err != nil {
		return "", err
	}
	if s, err = v.granted(a, s.user); err != nil {
		return "", err
	}
	seen, err := current()
	if err != nil {
		return "", err
	}
	for _, address := range addresses {
		if seen != real && strings.HasPrefix(seen, address) {
			return "", broken("with forged headers the server took %s for the client's address; "+
				"if this machine is one of TRUSTED_PROXIES, run it from another one", seen)
		}
	}
	if seen != real {
		return "", broken("with forged headers the client's address is another: %s, not %s",
			seen, real)
	}
	// So does what an admin sees of a request, where the server has that.
	a, err = v.asAdmin(ctx, request{method: "GET", path: "/doctor", header: header})
	if err != nil {
		return "", err
	}
	var doctor struct {
		Request map[string]any `json:"request"`
	}
	if a.status == http.StatusOK {
		if err := a.into(&doctor); err != nil {
			return "", err
		}
		for _, address := range addresses {
			ip, _ := doctor.Request["address"].(string)
			if ip != real && strings.HasPrefix(ip, address) {
				return "", broken("/doctor takes a forged address for the client's: %s", ip)
			}
		}
	}
	own, err := v.publicURL(ctx, nil)
	if err != nil {
		return "", err
	}
	other, err := v.publicURL(ctx, header)
	if err != nil {
		return "", err
	}
	if own.String() != other.String() {
		return "", broken("with forged headers the server takes %s for its own URL, not %s",
			other, own)
	}
	return fmt.Sprintf("%d headers; the session is still from %s, and the server's URL is the same",
		len(header), real), nil
}
