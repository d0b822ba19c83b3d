package verify

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
)

// tokenChecks are the promises about access tokens.
func tokenChecks() []check {
	return []check{
		{"token-alg-none", accessToken, "A token without a signature is refused, however its " +
			"header spells none.", algNone},
	}
}

// guarded is a path that every user may read. With an id that no record has, the token decides
// alone: 404 means that it was accepted.
const guarded = "/clientes/0"

// accepts reports whether the server accepts an access token.
func (v *verifier) accepts(ctx context.Context, server, token string) (bool, answer, error) {
	a, err := v.do(ctx, request{method: "GET", path: guarded, server: server, token: token})
	return err == nil && a.status == http.StatusNotFound, a, err
}

// parts returns the three parts of a token as they stand.
func parts(token string) (header, payload, signature string) {
	p := strings.Split(token, ".")
	if len(p) != 3 {
		return "", "", ""
	}
	return p[0], p[1], p[2]
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// forgery is a token that must be refused.
type forgery struct{ what, token string }

// refuses tries forgeries on a guarded route, in both headers that carry tokens. It returns how
// many were refused.
func (v *verifier) refuses(ctx context.Context, forgeries ...forgery) (string, error) {
	for _, f := range forgeries {
		v.hide(f.token)
		for _, header := range []http.Header{
			{"X-Access-Token": {f.token}},
			{"Authorization": {"Bearer " + f.token}},
		} {
			a, err := v.do(ctx, request{method: "GET", path: guarded, header: header})
			if err != nil {
				return "", err
			}
			if a.status != http.StatusUnauthorized {
				return "", broken("%s was answered %v on a guarded route", f.what, a)
			}
		}
	}
	return fmt.Sprintf("%d forgeries, each refused with 401 in both headers", len(forgeries)), nil
}

func algNone(ctx context.Context, v *verifier) (string, error) {
	_, payload, signature := parts(v.admin.token)
	var forgeries []forgery
	for _, alg := range []string{"none", "None", "NONE", "nOnE", ""} {
		header := encode(`{"alg":"` + alg + `","typ":"JWT"}`)
		forgeries = append(forgeries,
			forgery{"alg " + alg + " without a signature", header + "." + payload + "."},
			forgery{"alg " + alg + " with a signature", header + "." + payload + "." + signature})
	}
	return v.refuses(ctx, forgeries...)
}
