package doctor

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"clientes/api/wire"
	"clientes/store"
)

// asAdmin looks at what the server sees of a request, which it tells admins alone.
func (v *visit) asAdmin(ctx context.Context) {
	const id = "url-address"
	if v.User == "" {
		v.warn(id, "which address the server sees, and whether it believes a forged one, was "+
			"not looked at: it tells admins alone", "give --user NAME of an admin")
		return
	}
	token, ok := v.login(ctx)
	if !ok {
		return
	}
	defer func() {
		// A session that stays would end by itself.
		_, _, _ = v.get(context.WithoutCancel(ctx), "POST", "/logout",
			http.Header{v.bearer: {"Bearer " + token}})
	}()
	seen, ok := v.seen(ctx, token, nil)
	if !ok {
		return
	}
	for _, f := range seen.Findings {
		if f.ID == "request-scheme" && f.Level == store.LevelFail && v.URL.Scheme == "https" {
			v.warn(f.ID, "this client came over https, but the proxy writes X-Forwarded-Proto: "+
				seen.Request.ForwardedProto, "let the proxy that ends TLS set the header, "+
				"and those behind it pass it on as it came")
		} else if v.Setup || strings.HasPrefix(f.ID, "request-") {
			v.report = append(v.report, store.Finding(f))
		}
	}
	v.headers(seen.Request.Headers)
	// An address for documentation (RFC 5737), which nobody has.
	const forged = "192.0.2.66"
	other, ok := v.seen(ctx, token, http.Header{"X-Forwarded-For": {forged}})
	// Without a proxy in between, or with one that knows it, this client is at a trusted address
	// itself: on the machine of the proxy, for example.
	isProxy := seen.Request.AddressTrusted && !other.Request.AddressTrusted &&
		(seen.Request.Believed || seen.Request.PublicURL != v.base)
	switch {
	case !ok:
	case other.Request.Address != seen.Request.Address && isProxy:
		v.warn(id, fmt.Sprintf("this client has the address %s, which TRUSTED_PROXIES trusts, "+
			"so it may name any other: whether strangers can was not seen",
			seen.Request.Address), "look from a machine that is no proxy")
	case other.Request.Address != seen.Request.Address:
		v.fail(id, fmt.Sprintf("the server believed a forged X-Forwarded-For: it took %s for "+
			"the address of this client, and %s before",
			other.Request.Address, seen.Request.Address),
			"let the proxy add the address to the header instead of passing it on, and name "+
				"the proxy alone in TRUSTED_PROXIES: no network of clients")
	default:
		v.ok(id, "the server sees %s, and does not believe a forged X-Forwarded-For",
			seen.Request.Address)
	}
}

// sent are the headers of [visit.seen] that clients depend on.
func sent() http.Header {
	return http.Header{
		"If-Match": {`"1"`}, "If-None-Match": {`"1"`}, "Idempotency-Key": {"doctor"},
	}
}

func (v *visit) headers(arrived []string) {
	const id = "url-headers"
	var lost []string
	for name := range sent() {
		if !slices.Contains(arrived, strings.ToLower(name)) {
			lost = append(lost, name)
		}
	}
	if lost != nil {
		slices.Sort(lost)
		v.fail(id, strings.Join(lost, ", ")+" did not reach the server: writes may happen twice, "+
			"or over each other", "let the proxy pass these headers on")
		return
	}
	v.ok(id, "the headers that clients depend on reach the server")
}

// login returns an access token.
func (v *visit) login(ctx context.Context) (token string, ok bool) {
	const id = "url-login"
	if v.URL.Scheme == "http" && !isLoopback(v.URL.Hostname()) {
		v.fail(id, "the password was not sent: "+v.base+" is plain http, and whoever listens on "+
			"the way would have it",
			"give the https:// URL, or look from the machine of the server")
		return "", false
	}
	body, err := json.Marshal(map[string]string{
		"user": v.User, "password": v.Password, "code": v.Code,
	})
	if err != nil {
		v.fail(id, "the user or the password is not UTF-8", "correct it")
		return "", false
	}
	isJSON := http.Header{"Content-Type": {"application/json"}}
	resp, text, err := v.send(ctx, "POST", "/login", isJSON, body)
	var answer struct {
		Token string `json:"token"`
	}
	if err == nil {
		_ = json.Unmarshal(text, &answer) // without a token it is an error
	}
	switch code := codeOf(text); {
	case err != nil:
		v.fail(id, fmt.Sprintf("a login gets no answer: %v", withoutURL(err)),
			"look into the server's log")
	case answer.Token != "":
		return answer.Token, true
	case code == "mfa_required" || code == "mfa_invalid":
		v.fail(id, "the user has a second factor, and the code is missing or wrong",
			"give --code with the code that the app shows now")
	default:
		v.fail(id, fmt.Sprintf("the login was refused with status %d %s", resp.StatusCode, code),
			"check user and password; after too many failures wait as long as the answer says")
	}
	return "", false
}

// examination is the answer of GET /doctor.
type examination struct {
	Request struct {
		Address        string   `json:"address"`
		AddressTrusted bool     `json:"address_trusted"`
		Believed       bool     `json:"believed"`
		ForwardedProto string   `json:"forwarded_proto"`
		Headers        []string `json:"headers"`
		PublicURL      string   `json:"public_url"`
	} `json:"request"`
	Findings []wire.Finding `json:"findings"`
}

func (v *visit) seen(
	ctx context.Context, token string, more http.Header,
) (answer examination, ok bool) {
	const id = "url-login"
	h := sent()
	h.Set(v.bearer, "Bearer "+token)
	for name, values := range more {
		h[name] = values
	}
	resp, body, err := v.get(ctx, "GET", "/doctor", h)
	switch {
	case err != nil:
		v.fail(id, fmt.Sprintf("GET /doctor gets no answer: %v", withoutURL(err)),
			"look into the server's log")
		return answer, false
	case codeOf(body) == "forbidden":
		v.fail(id, "the user is no admin", "give --user NAME of an admin")
		return answer, false
	}
	if err := json.Unmarshal(body, &answer); err != nil || resp.StatusCode != http.StatusOK {
		v.fail(id, fmt.Sprintf("GET /doctor is answered with status %d %s",
			resp.StatusCode, codeOf(body)),
			"compare the versions of this program and of the server")
		return answer, false
	}
	return answer, true
}
