package verify

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// tokenChecks are the promises about access tokens. Those from token-expired on need the secret.
func tokenChecks() []check {
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
		{"token-claims-twice", accessToken,
			"A well-signed token with a name twice in its header or claims is refused.",
			claimsTwice},
		{"token-claims-missing", accessToken,
			"A well-signed token in which a claim is missing, misspelt or of another type is refused.",
			claimsMissing},
		{"token-expired", accessToken,
			"A well-signed token that has expired is refused as expired.",
			expired},
		{"token-audience", accessToken,
			"A well-signed token for another audience is refused.",
			audience},
		{"token-issuer", accessToken, "A well-signed token of another issuer is refused.", issuer},
		{"token-not-yet", accessToken, "A well-signed token of the future is refused.", notYet},
		{"token-session", accessToken,
			"A well-signed token needs a session that is there, and ends it even when it has expired.",
			tokenSession},
		{"token-form", accessToken,
			"A well-signed token that is padded, of another alphabet, or longer than 4 KiB is refused.",
			tokenForm},
	}
}

// guarded is a path that every user may read. With an id that no record has, the token decides
// alone: 404 means that it was accepted.
const guarded = "/clientes/0"

// ask sends a token to a guarded path of a server.
func (v *verifier) ask(ctx context.Context, server, token string) (answer, error) {
	return v.do(ctx, request{method: "GET", path: guarded, server: server, token: token})
}

// accepted reports whether the token of a request to a guarded path was good.
func (a answer) accepted() bool { return a.is(http.StatusNotFound, "not_found") }

// wantAccepted returns an error unless the server accepts the token of a session.
func (v *verifier) wantAccepted(ctx context.Context, s *session, when string) error {
	a, err := v.ask(ctx, "", s.token)
	if err == nil && !a.accepted() {
		err = broken("%s, a good token was answered %v", when, a)
	}
	return err
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

// claims are the members of a JSON object.
type claims map[string]any

// decodeClaims returns the members of a part of a token, with numbers as whole ones.
func decodeClaims(part string) (claims, error) {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return nil, fmt.Errorf("read a token of the server: %w", err)
	}
	var c claims
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, fmt.Errorf("read a token of the server: %w", err)
	}
	for name, value := range c {
		if n, ok := value.(float64); ok {
			c[name] = int64(n)
		}
	}
	return c, nil
}

// with returns a copy of the claims in which some are others: name, value, name, value…
func (c claims) with(changes ...any) claims {
	c = maps.Clone(c)
	for i := 0; i+1 < len(changes); i += 2 {
		c[changes[i].(string)] = changes[i+1]
	}
	return c
}

func (c claims) without(name string) claims {
	c = maps.Clone(c)
	delete(c, name)
	return c
}

func (c claims) text() string {
	text, err := json.Marshal(c, json.Deterministic(true))
	if err != nil {
		panic(err) // they hold texts, numbers and lists of these only
	}
	return string(text)
}

func (c claims) encoded() string { return encode(c.text()) }

// signed returns a token of two parts with their MAC.
func signed(header, payload string, secret string, h func() hash.Hash) string {
	mac := hmac.New(h, []byte(secret))
	mac.Write([]byte(header + "." + payload))
	sum := base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	return header + "." + payload + "." + sum
}

// forgery is a token that must be refused.
type forgery struct {
	what  string
	token string

	// logout means that the forgery names no session that may be ended by it. A token in an odd
	// dress, and one that has expired, may end its own.
	logout bool
}

// sample is a good token of a user, taken apart.
type sample struct {
	session                    *session
	header, payload, signature string // as they stand
	head, claims               claims
}

func (v *verifier) sample(ctx context.Context) (*sample, error) {
	s, err := v.shared(ctx, "viewer")
	if err != nil {
		return nil, err
	}
	if err := v.wantAccepted(ctx, s, "before the forgeries"); err != nil {
		return nil, err
	}
	x := &sample{session: s}
	x.header, x.payload, x.signature = parts(s.token)
	if x.head, err = decodeClaims(x.header); err != nil {
		return nil, err
	}
	x.claims, err = decodeClaims(x.payload)
	return x, err
}

// refuses tries forgeries of a sample on a guarded path, in both headers that carry tokens, and at
// /refresh and /logout. It returns what was seen.
func (v *verifier) refuses(ctx context.Context, x *sample, forgeries ...forgery) (string, error) {
	var ending []string // that must not end the session
	tries := make([]func() error, len(forgeries))
	for i, f := range forgeries {
		v.hide(f.token)
		if f.logout {
			ending = append(ending, f.what)
		}
		tries[i] = func() error { return v.refusesOne(ctx, f) }
	}
	if err := together(8, tries...); err != nil {
		return "", err
	}
	a, err := v.ask(ctx, "", x.session.token)
	if err != nil {
		return "", err
	}
	if !a.accepted() {
		delete(v.sharedSessions, "viewer")
		return "", broken("somebody's session ended by a forged token at /logout (%v), one of: %s",
			a, strings.Join(ending, "; "))
	}
	return fmt.Sprintf("%d forgeries, each refused with 401 in both headers and by /refresh",
		len(forgeries)), nil
}

func (v *verifier) refusesOne(ctx context.Context, f forgery) error {
	for _, header := range []http.Header{
		{"X-Access-Token": {f.token}},
		{"Authorization": {"Bearer " + f.token}},
	} {
		a, err := v.do(ctx, request{method: "GET", path: guarded, header: header})
		if err != nil {
			return err
		}
		if a.status != http.StatusUnauthorized {
			return broken("%s was answered %v on a guarded route", f.what, a)
		}
	}
	a, err := v.do(ctx, refreshRequest(f.token))
	if err != nil {
		return err
	}
	if a.status != http.StatusUnauthorized {
		return broken("%s was answered %v by /refresh", f.what, a)
	}
	if !f.logout {
		return nil
	}
	a, err = v.do(ctx, request{method: "POST", path: "/logout", token: f.token,
		body: map[string]any{"refresh_token": f.token}})
	if err == nil && a.status != http.StatusOK {
		err = broken("%s was answered %v by /logout", f.what, a)
	}
	return err
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

// flip returns a text of base64url with another character at a place.
func flip(text string, at int) string {
	c := byte('A')
	if text[at] == c {
		c = 'B'
	}
	return text[:at] + string(c) + text[at+1:]
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

// secretSigns returns nil if the secret that verify was given has signed these tokens of the
// server. It decides that here, before anything is signed with the secret: a server that lies would
// put its own words into a token, and have them signed.
func (v *verifier) secretSigns(tokens ...string) error {
	if v.cfg.Secret == "" {
		return notTried("the server's SECRET is not known here; run it in the server's folder")
	}
	for _, token := range tokens {
		header, payload, _ := parts(token)
		same := signed(header, payload, v.cfg.Secret, sha256.New)
		if !hmac.Equal([]byte(same), []byte(token)) {
			return notTried("SECRET of this folder is not the one that the server signs with")
		}
	}
	return nil
}

// proofs is how many tokens a server has to tell apart.
const proofs = 32

// SharesSecret returns an error unless every server of a Config knows its Secret. A caller who
// makes an admin must know that first: another program at the URL would get the admin's password,
// and could use it at the true server.
//
// A server that knows the secret can tell which tokens it has signed. It has to for some that
// nobody can use, because they have no claims. Chance decides which of them the secret signs. A
// program that passes everything on to the true server gets through.
func SharesSecret(ctx context.Context, cfg Config) error {
	v, err := newVerifier(cfg)
	if err != nil {
		return err
	}
	defer v.client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, maxCheck)
	defer cancel()
	for _, server := range v.servers() {
		if err := v.sharesSecret(ctx, server); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) sharesSecret(ctx context.Context, server string) error {
	var coins [proofs]byte
	rand.Read(coins[:])          // never fails, see crypto/rand
	answers := map[bool]string{} // by whether the secret has signed the token
	for _, coin := range coins {
		good, key := coin&1 == 0, newPassword()
		if good {
			key = v.cfg.Secret
		}
		header := encode(`{"alg":"HS256","typ":"JWT"}`)
		payload := claims{"nonce": rand.Text()}.encoded() // or one would see which come twice
		a, err := v.ask(ctx, server, signed(header, payload, key, sha256.New))
		if err != nil {
			return err
		}
		text := a.String() + a.header.Get("WWW-Authenticate")
		if before, ok := answers[good]; ok && before != text || a.status != 401 {
			return errOtherSecret(server)
		}
		answers[good] = text
	}
	if answers[true] == answers[false] {
		return errOtherSecret(server)
	}
	return nil
}

func errOtherSecret(server string) error {
	return fmt.Errorf("the server at %s does not know SECRET of this folder, or does not check "+
		"what it has signed; change to its folder, or give --user NAME", server)
}

// forge returns a well-signed token of a sample with other claims.
func (v *verifier) forge(x *sample, what string, c claims, logout bool) forgery {
	return forgery{what, signed(x.header, c.encoded(), v.cfg.Secret, sha256.New), logout}
}

// wellSigned is refuses for forgeries that need the secret.
func (v *verifier) wellSigned(
	ctx context.Context, make func(x *sample) []forgery,
) (string, error) {
	x, err := v.sample(ctx)
	if err == nil {
		err = v.secretSigns(x.session.token)
	}
	if err != nil {
		return "", err
	}
	// Well signed in another way, or the forgeries would prove nothing.
	control := v.forge(x, "", x.claims.with("jti", rand.Text()), false)
	a, err := v.ask(ctx, "", control.token)
	if err == nil && !a.accepted() {
		err = broken("a well-signed token with another jti was answered %v", a)
	}
	if err != nil {
		return "", err
	}
	return v.refuses(ctx, x, make(x)...)
}

func claimsTwice(ctx context.Context, v *verifier) (string, error) {
	return v.wellSigned(ctx, func(x *sample) (all []forgery) {
		twice := func(c claims, name, value string) string {
			return strings.TrimSuffix(c.text(), "}") + `,"` + name + `":` + value + "}"
		}
		for name, value := range map[string]string{
			"role": `"admin"`, "id": "1", "sub": `"1"`, "exp": "4102444800", "sid": `"x"`, "x": "1",
		} {
			c := x.claims
			if name == "x" {
				c = c.with("x", 1)
			}
			payload := encode(twice(c, name, value))
			all = append(all, forgery{"the claim " + name + " twice",
				signed(x.header, payload, v.cfg.Secret, sha256.New), true})
		}
		for name, value := range map[string]string{"alg": `"HS256"`, "typ": `"JWT"`} {
			header := encode(twice(x.head, name, value))
			all = append(all, forgery{"the header " + name + " twice",
				signed(header, x.payload, v.cfg.Secret, sha256.New), true})
		}
		return all
	})
}

func claimsMissing(ctx context.Context, v *verifier) (string, error) {
	return v.wellSigned(ctx, func(x *sample) (all []forgery) {
		add := func(what string, c claims) { all = append(all, v.forge(x, what, c, false)) }
		for _, name := range strings.Fields("id sub role sid jti iss aud iat exp") {
			add("no "+name, x.claims.without(name))
			add("a null "+name, x.claims.with(name, nil))
			capitals := x.claims.without(name).with(strings.ToUpper(name), x.claims[name])
			add(name+" in capitals", capitals)
			if _, number := x.claims[name].(int64); number {
				add(name+" as a text", x.claims.with(name, fmt.Sprint(x.claims[name])))
			} else {
				add(name+" as a number", x.claims.with(name, 1))
			}
		}
		add("an id that is not the sub", x.claims.with("id", 1, "sub", "2"))
		add("a role that is none", x.claims.with("role", "root"))
		add("an id of zero", x.claims.with("id", 0, "sub", "0"))
		add("a negative id", x.claims.with("id", -1, "sub", "-1"))
		list, more := encode("["+x.claims.text()+"]"), encode(x.claims.text()+"{}")
		return append(all,
			forgery{"a payload that is a list",
				signed(x.header, list, v.cfg.Secret, sha256.New), false},
			forgery{"something after the claims",
				signed(x.header, more, v.cfg.Secret, sha256.New), false})
	})
}

func expired(ctx context.Context, v *verifier) (string, error) {
	seen, err := v.wellSigned(ctx, func(x *sample) (all []forgery) {
		now := v.cfg.Now().Unix()
		const year = 365 * 24 * time.Hour
		for _, ago := range []time.Duration{15 * time.Second, time.Hour, 10 * year} {
			exp := now - int64(ago/time.Second)
			all = append(all, v.forge(x, fmt.Sprintf("a token that expired %v ago", ago),
				x.claims.with("exp", exp, "iat", exp-300), false))
		}
		return append(all, v.forge(x, "an exp of zero", x.claims.with("exp", 0), false),
			v.forge(x, "a negative exp", x.claims.with("exp", -1), false))
	})
	if err != nil {
		return "", err
	}
	x, err := v.sample(ctx)
	if err != nil {
		return "", err
	}
	exp := v.cfg.Now().Unix() - 15
	f := v.forge(x, "", x.claims.with("exp", exp, "iat", exp-300), false)
	a, err := v.ask(ctx, "", f.token)
	if err == nil && !a.is(401, "token_expired") {
		err = broken("a token that expired 15 s ago was answered %v, not 401 token_expired", a)
	}
	return seen + "; its code is token_expired", err
}

func audience(ctx context.Context, v *verifier) (string, error) {
	return v.wellSigned(ctx, func(x *sample) (all []forgery) {
		good, _ := x.claims["aud"].(string)
		for what, aud := range map[string]any{
			"another aud":               "somebody else",
			"an empty aud":              "",
			"a longer aud":              good + "2",
			"the aud in other case":     otherCase(good),
			"a list of the right aud":   []string{good},
			"a list with the right aud": []string{"x", good},
			"an empty list of aud":      []string{},
		} {
			all = append(all, v.forge(x, what, x.claims.with("aud", aud), true))
		}
		return all
	})
}

func issuer(ctx context.Context, v *verifier) (string, error) {
	return v.wellSigned(ctx, func(x *sample) (all []forgery) {
		good, _ := x.claims["iss"].(string)
		for what, iss := range map[string]any{
			"another iss":             "somebody else",
			"an empty iss":            "",
			"a longer iss":            good + "/",
			"the iss in other case":   otherCase(good),
			"a list of the right iss": []string{good},
		} {
			all = append(all, v.forge(x, what, x.claims.with("iss", iss), true))
		}
		return all
	})
}

func otherCase(text string) string {
	if upper := strings.ToUpper(text); upper != text {
		return upper
	}
	return strings.ToLower(text) + "x"
}

func notYet(ctx context.Context, v *verifier) (string, error) {
	return v.wellSigned(ctx, func(x *sample) (all []forgery) {
		now := v.cfg.Now().Unix()
		// A clock may be 60 s ahead for iat and 5 s for nbf, and this machine's may differ as much.
		for what, c := range map[string]claims{
			"an iat in two and a half minutes": x.claims.with("iat", now+150, "exp", now+450),
			"an iat in a day":                  x.claims.with("iat", now+86400, "exp", now+86700),
			"an nbf in a minute":               x.claims.with("nbf", now+60),
			"an nbf in a day":                  x.claims.with("nbf", now+86400),
		} {
			all = append(all, v.forge(x, what, c, false))
		}
		return all
	})
}

func tokenSession(ctx context.Context, v *verifier) (string, error) {
	seen, err := v.wellSigned(ctx, func(x *sample) []forgery {
		sid, _ := x.claims["sid"].(string)
		return []forgery{
			v.forge(x, "a session that never was", x.claims.with("sid", flip(sid, 0)), true),
			v.forge(x, "a session in another form", x.claims.with("sid", "1"), true),
		}
	})
	if err != nil {
		return "", err
	}
	s, err := v.visit(ctx, "viewer")
	if err != nil {
		return "", err
	}
	header, payload, _ := parts(s.token)
	c, err := decodeClaims(payload)
	if err != nil {
		return "", err
	}
	head, err := decodeClaims(header)
	if err != nil {
		return "", err
	}
	bare := signed(head.without("kid").encoded(), payload, v.cfg.Secret, sha256.New)
	exp := v.cfg.Now().Unix() - 3600
	old := signed(header, c.with("exp", exp, "iat", exp-300).encoded(), v.cfg.Secret, sha256.New)
	v.hide(bare, old)
	a, err := v.ask(ctx, "", bare)
	if err == nil && !a.accepted() {
		err = broken("a good token without a kid was answered %v", a)
	}
	if err == nil {
		_, err = v.want(ctx, http.StatusOK, request{method: "POST", path: "/logout", token: old})
	}
	if err == nil {
		_, err = v.wantEnded(ctx, s, v.base, time.Now())
	}
	return seen + "; one without a kid is good, and an expired one has ended its session", err
}

func tokenForm(ctx context.Context, v *verifier) (string, error) {
	return v.wellSigned(ctx, func(x *sample) (all []forgery) {
		add := func(what, header, payload string) {
			token := signed(header, payload, v.cfg.Secret, sha256.New)
			all = append(all, forgery{what, token, false})
		}
		// Claims whose coding needs padding, and has characters of both alphabets.
		c := x.claims
		for i := range 3 {
			c = c.with("x", strings.Repeat("~", i)+"???>>>")
			if len(c.text())%3 != 0 {
				break
			}
		}
		add("a padded payload", x.header, base64.URLEncoding.EncodeToString([]byte(c.text())))
		add("a payload in the other alphabet", x.header,
			base64.RawStdEncoding.EncodeToString([]byte(c.text())))
		add("a space in the payload", x.header, x.payload[:20]+" "+x.payload[20:])
		add("an empty payload", x.header, "")
		add("an empty header", "", x.payload)
		add("a header that is no JSON", encode("HS256"), x.payload)
		long := x.claims.with("jti", strings.Repeat("j", 4096))
		add("a token over 4 KiB", x.header, long.encoded())
		return all
	})
}
