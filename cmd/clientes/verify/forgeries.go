package verify

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"net/http"
	"strings"
)

// forgeryChecks are the promises about access tokens that can be tried without the secret.
func forgeryChecks() []check {
	return []check{
		{"token-alg-none", accessToken,
			"A token without a signature is refused, however its header spells none.",
			algNone},
		{"token-alg-confusion", accessToken,
			"A token with any other algorithm than HS256 is refused, whatever it is signed with.",
			algConfusion},
		{"token-signature", accessToken,
			"A signature that is missing, changed, cut off or of another token is refused.",
			signatures},
		{"token-payload-changed", accessToken,
			"A token whose claims were changed is refused.",
			payloadChanged},
		{"token-header-extra", accessToken,
			"A token whose header brings other keys, or a crit that nobody knows, is refused.",
			headerExtra},
		{"token-refresh-as-access", accessToken,
			"No kind of token is good for another one.",
			refreshAsAccess},
		{"token-places", accessToken,
			"A token is read from its headers only, and several must be the same.",
			places},
	}
}

func algNone(ctx context.Context, v *verifier) (string, error) {
	x, err := v.sample(ctx)
	if err != nil {
		return "", err
	}
	var forgeries []forgery
	admin := x.claims.with("role", "admin").encoded()
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "none ", ""} {
		header := x.head.with("alg", alg).encoded()
		what, text := fmt.Sprintf("alg %q ", alg), header+"."+x.payload
		forgeries = append(forgeries,
			forgery{what + "without a signature", text + ".", true},
			forgery{what + "and the role admin", header + "." + admin + ".", true},
			forgery{what + "with the old signature", text + "." + x.signature, true},
			forgery{what + "in two parts", text, true})
	}
	bare := x.head.without("alg").encoded() + "." + x.payload + "." + x.signature
	return v.refuses(ctx, x, append(forgeries, forgery{"no alg", bare, true})...)
}

func algConfusion(ctx context.Context, v *verifier) (string, error) {
	x, err := v.sample(ctx)
	if err != nil {
		return "", err
	}
	var forgeries []forgery
	for _, alg := range []string{
		"HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA", "hs256", "HS256 ", "dir", "A128KW",
	} {
		header := x.head.with("alg", alg).encoded()
		forgeries = append(forgeries, forgery{"alg " + alg + " with the old signature",
			header + "." + x.payload + "." + x.signature, true})
	}
	kid, _ := x.head["kid"].(string)
	for what, key := range map[string]string{
		"an empty key":                    "",
		"a null byte":                     "\x00",
		"the word secret":                 "secret",
		"the word null":                   "null",
		"the key secret of many examples": "your-256-bit-secret",
		"the kid":                         kid,
	} {
		forgeries = append(forgeries, forgery{"HS256 signed with " + what,
			signed(x.header, x.payload, key, sha256.New), true})
	}
	seen := ""
	if v.secretSigns(x.session.token) == nil {
		for alg, h := range map[string]func() hash.Hash{
			"HS384": sha512.New384, "HS512": sha512.New,
		} {
			forgeries = append(forgeries, forgery{alg + " signed with the right secret",
				signed(x.head.with("alg", alg).encoded(), x.payload, v.cfg.Secret, h), true})
		}
		seen = ", two of them signed with the right secret"
	}
	refused, err := v.refuses(ctx, x, forgeries...)
	return refused + seen, err
}

func signatures(ctx context.Context, v *verifier) (string, error) {
	x, err := v.sample(ctx)
	if err != nil {
		return "", err
	}
	other, err := v.login(ctx, x.session.user)
	if err != nil {
		return "", err
	}
	_, _, another := parts(other.token)
	text := x.header + "." + x.payload
	sig := x.signature
	forgeries := []forgery{
		{"no signature", text + ".", true},
		{"no third part", text, true},
		{"a signature without its last character", text + "." + sig[:len(sig)-1], true},
		{"half a signature", text + "." + sig[:len(sig)/2], true},
		{"another first character", text + "." + flip(sig, 0), true},
		{"another character in the middle", text + "." + flip(sig, len(sig)/2), true},
		{"another last bit, which no byte holds", text + "." + loose(sig), true},
		{"a longer signature", text + "." + sig + "AAAA", true},
		{"the signature of another token", text + "." + another, true},
		{"a signature of zeros", text + "." + encode(strings.Repeat("\x00", 32)), true},
		{"a fourth part", text + "." + sig + "." + sig, true},
		{"an empty fourth part", text + "." + sig + ".", false},
		{"padding", text + "." + sig + "=", false},
		{"a key of our own", signed(x.header, x.payload, newPassword(), sha256.New), true},
	}
	return v.refuses(ctx, x, forgeries...)
}

// loose returns the same 32 bytes in base64url with other bits after the last byte.
func loose(signature string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, signature[len(signature)-1])
	return signature[:len(signature)-1] + string(alphabet[last^1])
}

func payloadChanged(ctx context.Context, v *verifier) (string, error) {
	x, err := v.sample(ctx)
	if err != nil {
		return "", err
	}
	_, admins, _ := parts(v.admin.token)
	adminClaims, err := decodeClaims(admins)
	if err != nil {
		return "", err
	}
	exp, _ := x.claims["exp"].(int64)
	id, sub := adminClaims["id"], adminClaims["sub"]
	var forgeries []forgery
	for what, changed := range map[string]claims{
		"the role admin":           x.claims.with("role", "admin"),
		"the id of an admin":       x.claims.with("id", id, "sub", sub),
		"the session of an admin":  x.claims.with("sid", adminClaims["sid"]),
		"an exp a year later":      x.claims.with("exp", exp+365*24*3600),
		"another claim":            x.claims.with("x", 1),
		"all claims of an admin":   adminClaims,
		"an auth_time of just now": x.claims.with("auth_time", v.cfg.Now().Unix()+1),
	} {
		forgeries = append(forgeries,
			forgery{what, x.header + "." + changed.encoded() + "." + x.signature, true})
	}
	forgeries = append(forgeries, forgery{"the payload of an admin's token",
		x.header + "." + admins + "." + x.signature, true})
	seen, err := v.refuses(ctx, x, forgeries...)
	if err != nil {
		return "", err
	}
	// Nor may one that names the admin's session end it.
	return seen, v.wantAccepted(ctx, v.admin, "after forgeries that named the admin's session")
}

func headerExtra(ctx context.Context, v *verifier) (string, error) {
	x, err := v.sample(ctx)
	if err != nil {
		return "", err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", err
	}
	jwk := claims{
		"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "own",
		"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": "AQAB",
	}
	rs256 := claims{"alg": "RS256", "typ": "JWT"}
	own := newPassword()
	octets := claims{"kty": "oct", "alg": "HS256", "k": encode(own)}
	payload := x.claims.with("role", "admin").encoded()
	const nowhere = "http://127.0.0.1:9/keys.json" // the port that discards
	var forgeries []forgery
	for what, head := range map[string]claims{
		"an embedded public key":            rs256.with("jwk", jwk),
		"an embedded key and its kid":       rs256.with("jwk", jwk, "kid", "own"),
		"an embedded key and the right kid": rs256.with("jwk", jwk, "kid", x.head["kid"]),
		"a URL of keys":                     rs256.with("jku", nowhere, "kid", "own"),
		"a URL of certificates":             rs256.with("x5u", nowhere),
		"a certificate that is no one's":    rs256.with("x5c", []string{"MIIB"}),
	} {
		header := head.encoded()
		digest := sha256.Sum256([]byte(header + "." + payload))
		sum, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
		if err != nil {
			return "", err
		}
		forgeries = append(forgeries, forgery{what,
			header + "." + payload + "." + base64.RawURLEncoding.EncodeToString(sum), true})
	}
	for what, head := range map[string]claims{
		"an embedded secret":          x.head.with("jwk", octets),
		"a URL of secrets":            x.head.with("jku", nowhere),
		"the kid of another key":      x.head.with("kid", "own"),
		"a kid that is a path":        x.head.with("kid", "../../../../dev/null"),
		"a kid that is SQL":           x.head.with("kid", "' UNION SELECT '"+own),
		"a crit that nobody knows":    x.head.with("crit", []string{"x"}, "x", 1),
		"a payload that is not coded": x.head.with("b64", false, "crit", []string{"b64"}),
	} {
		header := head.encoded()
		ours := signed(header, payload, own, sha256.New)
		empty := signed(header, payload, "", sha256.New)
		forgeries = append(forgeries,
			forgery{what + ", with a secret of our own", ours, true},
			forgery{what + ", with an empty secret", empty, true})
	}
	seen := ""
	if v.secretSigns(x.session.token) == nil {
		for what, head := range map[string]claims{
			"a crit":           x.head.with("crit", []string{"exp"}),
			"a crit for b64":   x.head.with("b64", true, "crit", []string{"b64"}),
			"an empty crit":    x.head.with("crit", []string{}),
			"an unknown kid":   x.head.with("kid", "own"),
			"a kid of no text": x.head.with("kid", 1),
		} {
			forgeries = append(forgeries, forgery{what + " in a well-signed token",
				signed(head.encoded(), x.payload, v.cfg.Secret, sha256.New), true})
		}
		seen = ", five of them signed with the right secret"
	}
	refused, err := v.refuses(ctx, x, forgeries...)
	return refused + seen, err
}

func refreshAsAccess(ctx context.Context, v *verifier) (string, error) {
	x, err := v.sample(ctx)
	if err != nil {
		return "", err
	}
	for what, token := range map[string]string{
		"a refresh token": x.session.refresh,
		"a device mark":   x.session.device,
	} {
		for _, header := range []http.Header{
			{"X-Access-Token": {token}}, {"Authorization": {"Bearer " + token}},
		} {
			a, err := v.do(ctx, request{method: "GET", path: guarded, header: header})
			if err != nil {
				return "", err
			}
			if a.status != http.StatusUnauthorized {
				return "", broken("%s as an access token was answered %v", what, a)
			}
		}
	}
	for what, token := range map[string]string{
		"an access token": x.session.token,
		"a device mark":   x.session.device,
	} {
		a, err := v.do(ctx, refreshRequest(token))
		if err != nil {
			return "", err
		}
		if a.status != http.StatusUnauthorized {
			return "", broken("%s as a refresh token was answered %v", what, a)
		}
	}
	for what, token := range map[string]string{
		"an access token": x.session.token,
		"a refresh token": x.session.refresh,
	} {
		a, err := v.do(ctx, request{method: "POST", path: "/password/reset",
			body: map[string]any{"token": token, "password": newPassword()}})
		if err != nil {
			return "", err
		}
		if a.status < 400 || a.status >= 500 {
			return "", broken("%s as the token of a reset was answered %v", what, a)
		}
	}
	err = v.wantAccepted(ctx, x.session, "after its tokens were tried as others")
	return "8 tokens of one kind sent as another, each refused", err
}

func places(ctx context.Context, v *verifier) (string, error) {
	x, err := v.sample(ctx)
	if err != nil {
		return "", err
	}
	good := x.session.token
	for _, name := range []string{"token", "access_token", "x-access-token", "jwt"} {
		for what, r := range map[string]request{
			"the query": {method: "GET", path: guarded + "?" + name + "=" + good},
			"a cookie": {method: "GET", path: guarded,
				header: http.Header{"Cookie": {name + "=" + good}}},
			"the body": {method: "POST", path: "/clientes",
				body: map[string]any{name: good, "name": v.tag}},
		} {
			a, err := v.do(ctx, r)
			if err != nil {
				return "", err
			}
			if a.status != http.StatusUnauthorized {
				return "", broken("a token in %s (%s) was answered %v", what, name, a)
			}
		}
	}
	other, err := v.login(ctx, x.session.user)
	if err != nil {
		return "", err
	}
	for _, c := range []struct {
		what   string
		header http.Header
		good   bool
	}{
		{"two different tokens", http.Header{"X-Access-Token": {good, other.token}}, false},
		{"twice the same token", http.Header{"X-Access-Token": {good, good}}, true},
		{"x-access-token beside another Authorization", http.Header{
			"X-Access-Token": {good}, "Authorization": {"Basic Zzpn"}}, true},
		{"a bad x-access-token beside a good Authorization", http.Header{
			"X-Access-Token": {"x"}, "Authorization": {"Bearer " + good}}, false},
		{"Bearer in capitals", http.Header{"Authorization": {"BEARER " + good}}, true},
		{"Bearer in x-access-token", http.Header{"X-Access-Token": {"Bearer " + good}}, true},
	} {
		a, err := v.do(ctx, request{method: "GET", path: guarded, header: c.header})
		if err != nil {
			return "", err
		}
		if a.accepted() != c.good || !c.good && a.status != http.StatusUnauthorized {
			return "", broken("%s was answered %v", c.what, a)
		}
	}
	return "not read from the query, cookies or a body (12 tries); 6 pairs of headers as promised",
		nil
}
