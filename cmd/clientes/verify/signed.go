package verify

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// signedChecks are the promises about well-signed access tokens. They need the secret.
func signedChecks() []check {
	return []check{
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

// forge returns a well-signed token of a sample with other claims.
func (v *verifier) forge(x *sample, what string, c claims, logout bool) forgery {
	return forgery{what, signed(x.header, c.encoded(), v.cfg.Secret, sha256.New), logout}
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
