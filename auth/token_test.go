package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"
	"testing"
	"time"

	"clientes/store"
)

const (
	testSecret  = "0123456789abcdef0123456789abcdef"
	otherSecret = "fedcba9876543210fedcba9876543210"
	testSession = "AAECAwQFBgcICQoLDA0ODw"
)

// noon is when every test of tokens takes place.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func testTokens(t testing.TB, previous ...string) *tokens {
	t.Helper()
	tk, err := newTokens(testSecret, previous, "clientes", "clientes", func() time.Time { return noon })
	if err != nil {
		t.Fatal(err)
	}
	return tk
}

// forge signs any header and payload, as a holder of the secret could.
func forge(secret, header, payload string) string {
	return forgeWith(sha256.New, secret, header, payload)
}

func forgeWith(h func() hash.Hash, secret, header, payload string) string {
	b64 := base64.RawURLEncoding
	text := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload))
	return text + "." + sign(h, secret, text)
}

func sign(h func() hash.Hash, secret, text string) string {
	mac := hmac.New(h, []byte(secret))
	mac.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

const plainHeader = `{"alg":"HS256","typ":"JWT"}`

// payload gives good claims at noon, some of them replaced. A replacement of "" leaves the claim out.
func payload(replace ...string) string {
	claims := [][2]string{
		{"id", `7`}, {"sub", `"7"`}, {"role", `"editor"`}, {"sid", `"` + testSession + `"`}, {"jti", `"x"`},
		{"iss", `"clientes"`}, {"aud", `"clientes"`},
		{"iat", fmt.Sprint(noon.Unix())}, {"exp", fmt.Sprint(noon.Unix() + 300)},
	}
	for i := 0; i < len(replace); i += 2 {
		found := false
		for j := range claims {
			if claims[j][0] == replace[i] {
				claims[j][1], found = replace[i+1], true
			}
		}
		if !found {
			claims = append(claims, [2]string{replace[i], replace[i+1]})
		}
	}
	var s []string
	for _, c := range claims {
		if c[1] != "" {
			s = append(s, `"`+c[0]+`":`+c[1])
		}
	}
	return "{" + strings.Join(s, ",") + "}"
}

func at(seconds int64) string { return fmt.Sprint(noon.Unix() + seconds) }

func TestMintedTokensAreGood(t *testing.T) {
	tk := testTokens(t)
	u := store.User{ID: 7, Role: store.Editor}
	s := store.Session{ID: testSession, LastUsedAt: noon.Add(400 * time.Millisecond), ExpiresAt: noon.Add(time.Hour)}
	token, err := tk.mint(u, s, 300*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	exp := tk.expiry(s, 300*time.Second)
	if want := noon.Add(300 * time.Second); !exp.Equal(want) {
		t.Errorf("exp %v, want %v", exp, want)
	}
	for range 2 { // new, and seen before
		v, err := tk.verify(token)
		if err != nil {
			t.Fatal(err)
		}
		if v.caller.UserID != 7 || v.caller.Role != store.Editor || v.caller.SessionID != testSession || v.caller.TokenID == "" {
			t.Errorf("caller %+v", v.caller)
		}
	}
	if v, err := testTokens(t).verify(token); err != nil || v.caller.UserID != 7 {
		t.Errorf("another process with the same secret says %v", err)
	}
	in, err := Inspect(token)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"HS256"`, `"JWT"`, `"kid": "` + tk.keys[0].id + `"`} {
		if !strings.Contains(in.Header, want) {
			t.Errorf("header %s lacks %s", in.Header, want)
		}
	}
}

func TestATokenEndsWithItsSession(t *testing.T) {
	s := store.Session{ID: testSession, LastUsedAt: noon, ExpiresAt: noon.Add(10*time.Second + 900*time.Millisecond)}
	exp := testTokens(t).expiry(s, 300*time.Second)
	if want := noon.Add(10 * time.Second); !exp.Equal(want) {
		t.Errorf("exp %v, want %v", exp, want)
	}
}

// TestVerify holds the verifier to what section 3 of the contract accepts and refuses.
func TestVerify(t *testing.T) {
	kid := testTokens(t).keys[0].id
	previous, err := newKey(otherSecret)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding
	good := forge(testSecret, plainHeader, payload())
	withHeader := func(h string) string { return forge(testSecret, h, payload()) }
	with := func(replace ...string) string { return forge(testSecret, plainHeader, payload(replace...)) }
	parts := strings.Split(good, ".")
	resigned := func(text string) string { return text + "." + sign(sha256.New, testSecret, text) }

	type check struct {
		name  string
		token string
		want  error
	}
	cases := []check{
		{"what another library signs", good, nil},
		{"no typ", withHeader(`{"alg":"HS256"}`), nil},
		{"our kid", withHeader(`{"alg":"HS256","kid":"` + kid + `"}`), nil},
		{"claims of somebody's own", with("email", `"x"`, "scope", `["a"]`), nil},
		{"pointers at keys", withHeader(`{"alg":"HS256","jku":"http://127.0.0.1:1/","x5u":"http://127.0.0.1:1/","jwk":{"kty":"oct","k":"AA"},"x5c":["AA"]}`), nil},
		{"an nbf in the past", with("nbf", at(-10)), nil},
		{"an iat within the leeway", with("iat", at(5)), nil},
		{"an nbf within the leeway", with("nbf", at(5)), nil},
		{"an exp within the leeway", with("exp", at(-4)), nil},
		{"a previous secret, no kid", forge(otherSecret, plainHeader, payload()), nil},
		{"a previous secret and its kid", forge(otherSecret, `{"alg":"HS256","kid":"`+previous.id+`"}`, payload()), nil},

		{"expired", with("exp", at(-5)), ErrTokenExpired},
		{"long expired", with("exp", at(-5000), "iat", at(-5300)), ErrTokenExpired},
		{"expired and of another issuer", with("exp", at(-500), "iss", `"x"`), ErrTokenInvalid},
		{"expired and of another audience", with("exp", at(-500), "aud", `"x"`), ErrTokenInvalid},
		{"expired and from the future", with("exp", at(-500), "iat", at(100)), ErrTokenInvalid},
		{"expired and without a session", with("exp", at(-500), "sid", ``), ErrTokenInvalid},

		{"nothing", "", ErrTokenInvalid},
		{"no token", "undefined", ErrTokenInvalid},
		{"another secret", forge("another secret of thirty-two byte", plainHeader, payload()), ErrTokenInvalid},
		{"no secret", forge("", plainHeader, payload()), ErrTokenInvalid},
		{"alg none, unsigned", b64.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", ErrTokenInvalid},
		{"alg none, signed", withHeader(`{"alg":"none"}`), ErrTokenInvalid},
		{"alg nOnE, signed", withHeader(`{"alg":"nOnE"}`), ErrTokenInvalid},
		{"alg hs256", withHeader(`{"alg":"hs256"}`), ErrTokenInvalid},
		{"alg RS256 under our secret", withHeader(`{"alg":"RS256"}`), ErrTokenInvalid},
		{"HS384", forgeWith(sha512.New384, testSecret, `{"alg":"HS384"}`, payload()), ErrTokenInvalid},
		{"HS384 that says HS256", forgeWith(sha512.New384, testSecret, plainHeader, payload()), ErrTokenInvalid},
		{"HS512", forgeWith(sha512.New, testSecret, `{"alg":"HS512"}`, payload()), ErrTokenInvalid},
		{"no alg", withHeader(`{"typ":"JWT"}`), ErrTokenInvalid},
		{"alg as a list", withHeader(`{"alg":["HS256"]}`), ErrTokenInvalid},
		{"alg null", withHeader(`{"alg":null}`), ErrTokenInvalid},
		{"ALG for alg", withHeader(`{"ALG":"HS256"}`), ErrTokenInvalid},
		{"alg twice", withHeader(`{"alg":"none","alg":"HS256"}`), ErrTokenInvalid},
		{"alg twice, once escaped", withHeader(`{"\u0061lg":"none","alg":"HS256"}`), ErrTokenInvalid},
		{"another typ", withHeader(`{"alg":"HS256","typ":"reset+jwt"}`), ErrTokenInvalid},
		{"a critical extension", withHeader(`{"alg":"HS256","crit":["exp"],"exp":1}`), ErrTokenInvalid},
		{"an empty crit", withHeader(`{"alg":"HS256","crit":[]}`), ErrTokenInvalid},
		{"crit null", withHeader(`{"alg":"HS256","crit":null}`), ErrTokenInvalid},
		{"an unknown kid", withHeader(`{"alg":"HS256","kid":"x"}`), ErrTokenInvalid},
		{"an empty kid", withHeader(`{"alg":"HS256","kid":""}`), ErrTokenInvalid},
		{"a kid that is a number", withHeader(`{"alg":"HS256","kid":1}`), ErrTokenInvalid},
		{"a kid null", withHeader(`{"alg":"HS256","kid":null}`), ErrTokenInvalid},
		{"the kid of another of our secrets", withHeader(`{"alg":"HS256","kid":"` + previous.id + `"}`), ErrTokenInvalid},
		{"a header that is no object", withHeader(`"HS256"`), ErrTokenInvalid},
		{"a header that is no JSON", withHeader(`{"alg":"HS256"`), ErrTokenInvalid},
		{"a header and more", withHeader(`{"alg":"HS256"}{}`), ErrTokenInvalid},

		{"an exp with a fraction", with("exp", at(300)+".5"), ErrTokenInvalid},
		{"an exp as text", with("exp", `"`+at(300)+`"`), ErrTokenInvalid},
		{"an exp null", with("exp", `null`), ErrTokenInvalid},
		{"an exp beyond all numbers", with("exp", `1e999`), ErrTokenInvalid},
		{"an exp below zero", with("exp", `-1`), ErrTokenExpired},
		{"EXP for exp", with("exp", ``, "EXP", at(300)), ErrTokenInvalid},
		{"EXP beside an old exp", with("exp", at(-300), "EXP", at(300)), ErrTokenExpired},
		{"a claim twice", forge(testSecret, plainHeader, `{"exp":1,`+payload()[1:]), ErrTokenInvalid},
		{"an iat in the future", with("iat", at(6)), ErrTokenInvalid},
		{"an iat beyond all calendars", with("iat", "9223372036854775807"), ErrTokenInvalid},
		{"an iat that overflows", with("iat", "9223371974719179017"), ErrTokenInvalid},
		{"an iat below zero", with("iat", "-1"), ErrTokenInvalid},
		{"an nbf beyond all calendars", with("nbf", "9223372036854775807"), ErrTokenInvalid},
		{"an exp beyond all calendars", with("exp", "9223372036854775807"), ErrTokenInvalid},
		{"an nbf in the future", with("nbf", at(6)), ErrTokenInvalid},
		{"an nbf as text", with("nbf", `"0"`), ErrTokenInvalid},
		{"another iss", with("iss", `"Clientes"`), ErrTokenInvalid},
		{"another aud", with("aud", `"x"`), ErrTokenInvalid},
		{"an aud that is a list", with("aud", `["clientes"]`), ErrTokenInvalid},
		{"id and sub differ", with("sub", `"8"`), ErrTokenInvalid},
		{"sub with a zero before it", with("sub", `"07"`), ErrTokenInvalid},
		{"sub as a number", with("sub", `7`), ErrTokenInvalid},
		{"id as text", with("id", `"7"`), ErrTokenInvalid},
		{"id with a fraction", with("id", `7.0`), ErrTokenInvalid},
		{"id zero", with("id", `0`, "sub", `"0"`), ErrTokenInvalid},
		{"id too large for JSON", with("id", `9007199254740992`, "sub", `"9007199254740992"`), ErrTokenInvalid},
		{"no such role", with("role", `"root"`), ErrTokenInvalid},
		{"role in capitals", with("role", `"Admin"`), ErrTokenInvalid},
		{"a short sid", with("sid", `"AAAA"`), ErrTokenInvalid},
		{"a loose sid", with("sid", `"AAECAwQFBgcICQoLDA0ODx"`), ErrTokenInvalid},
		{"an empty jti", with("jti", `""`), ErrTokenInvalid},
		{"a payload that is no object", forge(testSecret, plainHeader, `[]`), ErrTokenInvalid},
		{"a payload of null", forge(testSecret, plainHeader, `null`), ErrTokenInvalid},
		{"a payload and more", forge(testSecret, plainHeader, payload()+"x"), ErrTokenInvalid},
		{"bad UTF-8 in a claim", with("name", "\"\xff\""), ErrTokenInvalid},
		{"a lone surrogate in a claim", with("name", `"\ud800"`), ErrTokenInvalid},

		{"two parts", parts[0] + "." + parts[1], ErrTokenInvalid},
		{"four parts", good + ".", ErrTokenInvalid},
		{"no signature", parts[0] + "." + parts[1] + ".", ErrTokenInvalid},
		{"half a signature", good[:len(good)-20], ErrTokenInvalid},
		{"a padded signature", good + "=", ErrTokenInvalid},
		{"a padded header", resigned(parts[0] + "=." + parts[1]), ErrTokenInvalid},
		{"a line break", resigned(parts[0] + "\n." + parts[1]), ErrTokenInvalid},
		{"a line break in the signature", good[:len(good)-3] + "\r\n" + good[len(good)-3:], ErrTokenInvalid},
		{"blanks around it", " " + good, ErrTokenInvalid},
		{"the scheme before it", "Bearer " + good, ErrTokenInvalid},
		{"a signature loose in its last bits", loosen(good), ErrTokenInvalid},
		{"a header loose in its last bits", resigned(loosen(parts[0]) + "." + parts[1]), ErrTokenInvalid},
		{"the other alphabet", forge(testSecret, `{"alg":"HS256","x":"???>>>"}`, payload())[:8] + "+" + good, ErrTokenInvalid},
		{"over 4 KiB", with("x", `"`+strings.Repeat("x", 4096)+`"`), ErrTokenInvalid},
	}
	for _, claim := range []string{"id", "sub", "role", "sid", "jti", "iss", "aud", "iat", "exp"} {
		cases = append(cases,
			check{"without " + claim, with(claim, ""), ErrTokenInvalid},
			check{claim + " as an object", with(claim, "{}"), ErrTokenInvalid},
			check{claim + " in capitals", with(claim, "", strings.ToUpper(claim), "1"), ErrTokenInvalid},
		)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tk := testTokens(t, otherSecret)
			for range 2 {
				if _, err := tk.verify(c.token); !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
			}
		})
	}
	if _, err := testTokens(t).verify(forge(otherSecret, plainHeader, payload())); !errors.Is(err, ErrTokenInvalid) {
		t.Errorf("a secret that is no longer configured gives %v", err)
	}
}

// loosen sets a bit of the last character that belongs to no byte.
func loosen(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	i := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + string(alphabet[i^1])
}

func TestASeenTokenStillAges(t *testing.T) {
	now := noon
	tk, err := newTokens(testSecret, nil, "clientes", "clientes", func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	token := forge(testSecret, plainHeader, payload())
	for _, step := range []struct {
		after time.Duration
		want  error
	}{
		{0, nil},
		{304*time.Second + 999*time.Millisecond, nil},
		{305 * time.Second, ErrTokenExpired},
		{-6 * time.Second, ErrTokenInvalid}, // the clock was set back
		{0, nil},
	} {
		now = noon.Add(step.after)
		if _, err := tk.verify(token); !errors.Is(err, step.want) {
			t.Errorf("%v after noon: %v, want %v", step.after, err, step.want)
		}
	}
}

func TestSeenTokensAreBounded(t *testing.T) {
	s := newSeenTokens()
	for i := range 3*maxSeen + 1 {
		s.put(fmt.Sprint(i), verified{})
		if n := len(s.young) + len(s.old); n > 2*maxSeen {
			t.Fatalf("%d tokens are kept", n)
		}
	}
	if _, ok := s.get("0"); ok {
		t.Error("the first token is still there")
	}
	if _, ok := s.get(fmt.Sprint(2*maxSeen - 1)); ok {
		t.Error("a token of the half that went is still there")
	}
	if _, ok := s.get(fmt.Sprint(3 * maxSeen)); !ok {
		t.Error("the last token is gone")
	}
	if _, ok := s.get(fmt.Sprint(3*maxSeen - 1)); !ok {
		t.Error("a token of the older half is gone")
	}
}

func TestSecrets(t *testing.T) {
	for secret, good := range map[string]bool{
		testSecret: true, testSecret[1:]: false, "": false, "á" + testSecret[2:]: true,
		testSecret + ",": false, "  " + testSecret[2:]: true,
	} {
		if err := CheckSecret(secret); (err == nil) != good {
			t.Errorf("%q: %v", secret, err)
		} else if err != nil && secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("the fault repeats the secret: %v", err)
		}
	}
}

// FuzzVerify holds that nothing a stranger sends makes the verifier panic, or give an error that is not one of
// ours; and that a token it takes is one that stays good under golang-jwt's own eyes.
func FuzzVerify(f *testing.F) {
	f.Add(forge(testSecret, plainHeader, payload()), "", "")
	f.Add("", `{"alg":"HS256","kid":"x"}`, payload())
	f.Add("", plainHeader, payload("exp", at(-1000)))
	f.Add("a.b.c", `{"alg":"none"}`, `{"exp":1e400}`)
	tk := testTokens(f)
	f.Fuzz(func(t *testing.T, token, header, claims string) {
		if header != "" { // signed well, so that the parts behind the MAC are reached
			token = forge(testSecret, header, claims)
		}
		v, err := tk.verify(token)
		switch {
		case err == nil:
			if v.caller.UserID < 1 || !v.caller.Role.Valid() || len(v.caller.SessionID) != 22 || !v.expires.After(noon) {
				t.Errorf("%q is taken for %+v", token, v)
			}
		case !errors.Is(err, ErrTokenInvalid) && !errors.Is(err, ErrTokenExpired):
			t.Errorf("%q gives %v", token, err)
		}
		_, _ = Inspect(token)
	})
}

func BenchmarkVerify(b *testing.B) {
	tk := testTokens(b)
	token := forge(testSecret, plainHeader, payload())
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := tk.verifyNew(token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("seen", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := tk.verify(token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("forged", func(b *testing.B) {
		forged := forge(otherSecret, plainHeader, payload())
		b.ReportAllocs()
		for b.Loop() {
			if _, err := tk.verify(forged); err == nil {
				b.Fatal("taken")
			}
		}
	})
}
