package verify

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"fmt"
	"hash"
	"maps"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
)

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

// flip returns a text of base64url with another character at a place.
func flip(text string, at int) string {
	c := byte('A')
	if text[at] == c {
		c = 'B'
	}
	return text[:at] + string(c) + text[at+1:]
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
