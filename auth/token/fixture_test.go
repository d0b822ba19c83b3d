package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"strings"
	"testing"
	"time"

	"clientes/auth/authtest"
)

// Every file in testdata is signed with these secrets.
const (
	testSecret  = "0123456789abcdef0123456789abcdef"
	otherSecret = "fedcba9876543210fedcba9876543210"
	testSession = "AAECAwQFBgcICQoLDA0ODw"
)

// noon is the time of every test of access tokens.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// must ends a test at an error.
var must = authtest.Must

func testKeys(t testing.TB, secret string, previous ...string) *Keyring {
	t.Helper()
	keys, err := NewKeyring(secret, previous...)
	must(t, err)
	return keys
}

// testIssuer returns an Issuer of testSecret whose clock stands at noon.
func testIssuer(t testing.TB, previous ...string) *Issuer {
	t.Helper()
	return issuerAt(t, func() time.Time { return noon }, previous...)
}

func issuerAt(t testing.TB, now func() time.Time, previous ...string) *Issuer {
	t.Helper()
	return NewIssuer(IssuerConfig{
		Keys: testKeys(t, testSecret, previous...), Issuer: "clientes", Audience: "clientes",
		TTL: 300 * time.Second, Now: now,
	})
}

const plainHeader = `{"alg":"HS256","typ":"JWT"}`

// forge signs any header and payload, as a holder of the secret could.
func forge(secret, header, payload string) string {
	b64 := base64.RawURLEncoding
	text := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload))
	return text + "." + sign(sha256.New, secret, text)
}

func sign(h func() hash.Hash, secret, text string) string {
	mac := hmac.New(h, []byte(secret))
	mac.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// payload returns good claims at noon, some of them replaced. A replacement of "" leaves the claim
// out.
func payload(replace ...string) string {
	claims := [][2]string{
		{"id", `7`}, {"sub", `"7"`}, {"role", `"editor"`}, {"sid", `"` + testSession + `"`},
		{"jti", `"x"`}, {"iss", `"clientes"`}, {"aud", `"clientes"`},
		{"iat", at(0)}, {"exp", at(300)},
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

// at returns an instant some seconds after noon, as a claim.
func at(seconds int64) string { return fmt.Sprint(noon.Unix() + seconds) }
