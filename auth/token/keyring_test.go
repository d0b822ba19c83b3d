package token

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"clientes/store"
)

func TestSecrets(t *testing.T) {
	for secret, good := range map[string]bool{
		testSecret: true, testSecret[1:]: false, "": false, "á" + testSecret[2:]: true,
		testSecret + ",": false, "  " + testSecret[2:]: true,
	} {
		err := CheckSecret(secret)
		if (err == nil) != good {
			t.Errorf("%q: %v", secret, err)
		}
		if err != nil && secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("the error repeats the secret: %v", err)
		}
		if _, err := NewKeyring(testSecret, secret); (err == nil) != good {
			t.Errorf("%q in a keyring: %v", secret, err)
		}
	}
}

// What programs make has no weakness, apart from one in ten thousand in base64 without a digit.
func TestRandomSecretsAreNotWeak(t *testing.T) {
	random := rand.NewChaCha8([32]byte([]byte(testSecret)))
	for range 1000 {
		b := make([]byte, 48)
		random.Read(b)
		for _, secret := range []string{
			hex.EncodeToString(b[:16]), hex.EncodeToString(b[:32]),
			base64.StdEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b),
		} {
			if why, _ := Weakness(secret); why != "" {
				t.Fatalf("%s %s", secret, why)
			}
		}
	}
}

// released is one line of testdata/released.txt.
type released struct {
	what, secret, signed string
	rest                 []string
}

func readReleased(t *testing.T) (all []released) {
	t.Helper()
	f, err := os.Open("testdata/released.txt")
	must(t, err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		var fields []string
		for rest := lines.Text(); rest != ""; rest = strings.TrimPrefix(rest, " ") {
			quoted, err := strconv.QuotedPrefix(rest)
			must(t, err)
			field, err := strconv.Unquote(quoted)
			must(t, err)
			fields, rest = append(fields, field), rest[len(quoted):]
		}
		all = append(all, released{fields[0], fields[1], fields[2], fields[3:]})
	}
	return all
}

// TestReleasedValues holds signatures to those of released versions, in both directions.
func TestReleasedValues(t *testing.T) {
	purpose := map[string]Purpose{
		"refresh": Refresh, "link": Link, "device": Device, "cursor": Cursor,
	}
	secrets := map[string]string{"newest": testSecret, "previous": otherSecret}
	rotated := testKeys(t, testSecret, otherSecret)
	seen := make(map[string]bool)
	for _, r := range readReleased(t) {
		seen[r.what] = true
		signing := testKeys(t, secrets[r.secret])
		switch r.what {
		case "throttle":
			if got := signing.MACs(Throttle, r.rest[0])[0]; got != r.signed {
				t.Errorf("the MAC of %q is %s, want %s", r.rest[0], got, r.signed)
			}
		case "sealed":
			text, newest, err := rotated.Open(r.signed, r.rest[1])
			if err != nil || hex.EncodeToString(text) != r.rest[0] ||
				newest != (r.secret == "newest") {
				t.Errorf("%s opens to %x, %t, %v", r.signed, text, newest, err)
			}
		case "access":
			checkReleasedAccess(t, signing, r.signed)
		case "kid":
			if got := signing.access[0].id; got != r.signed {
				t.Errorf("the kid is %s, want %s", got, r.signed)
			}
		default:
			p, text, bound := purpose[r.what], r.rest[0], r.rest[1:]
			if got := signing.Sign(p, text, bound...); got != r.signed {
				t.Errorf("%s: %q is signed as %s, want %s", r.what, text, got, r.signed)
			}
			if got, ok := rotated.Verify(p, r.signed, bound...); !ok || got != text {
				t.Errorf("%s: %s is read as %q, %t", r.what, r.signed, got, ok)
			}
		}
	}
	if len(seen) != 8 {
		t.Errorf("the file has %v", seen)
	}
}

// TestRootOfReleasedValues checks that a root derives the same keys as a secret that is the root of
// everything. So a previous root may name that secret, and what it signed and sealed stays good.
func TestRootOfReleasedValues(t *testing.T) {
	purpose := map[string]Purpose{
		"refresh": Refresh, "link": Link, "device": Device, "cursor": Cursor,
	}
	const secret = "a secret that others have to verify access tokens"
	rooted, err := testKeys(t, secret).WithRoot(testSecret)
	must(t, err)
	introduced, err := testKeys(t, secret).WithRoot(otherSecret, testSecret)
	must(t, err)
	separate := testKeys(t, secret, testSecret)
	separate, err = separate.WithRoot(otherSecret)
	must(t, err)
	for _, r := range readReleased(t) {
		if r.secret != "newest" {
			continue
		}
		switch r.what {
		case "access", "kid":
		case "throttle":
			if got := introduced.MACs(Throttle, r.rest[0]); got[1] != r.signed {
				t.Errorf("the MACs of %q are %s, want %s among them", r.rest[0], got, r.signed)
			}
		case "sealed":
			if _, newest, err := rooted.Open(r.signed, r.rest[1]); err != nil || !newest {
				t.Errorf("%s does not open under its root: %t, %v", r.signed, newest, err)
			}
			if _, newest, err := introduced.Open(r.signed, r.rest[1]); err != nil || newest {
				t.Errorf("%s does not open under a previous root: %t, %v", r.signed, newest, err)
			}
			if _, _, err := separate.Open(r.signed, r.rest[1]); err == nil {
				t.Errorf("%s opens under a secret that is no root", r.signed)
			}
		default:
			p, text, bound := purpose[r.what], r.rest[0], r.rest[1:]
			if got := rooted.Sign(p, text, bound...); got != r.signed {
				t.Errorf("%s: %q is signed as %s, want %s", r.what, text, got, r.signed)
			}
			if _, ok := introduced.Verify(p, r.signed, bound...); !ok {
				t.Errorf("%s: %s is not good under a previous root", r.what, r.signed)
			}
			if _, ok := separate.Verify(p, r.signed, bound...); ok {
				t.Errorf("%s: %s is good under a secret that is no root", r.what, r.signed)
			}
		}
	}
	for _, bad := range []string{"short", testSecret + ","} {
		if _, err := rooted.WithRoot(bad); err == nil {
			t.Errorf("the root %q is accepted", bad)
		}
		if _, err := rooted.WithRoot(testSecret, bad); err == nil {
			t.Errorf("the previous root %q is accepted", bad)
		}
	}
}

// TestARootSignsNoAccessToken checks that access tokens depend on secrets alone, and that a holder
// of a root cannot make one.
func TestARootSignsNoAccessToken(t *testing.T) {
	rooted, err := testKeys(t, testSecret).WithRoot(otherSecret)
	must(t, err)
	issuer := NewIssuer(IssuerConfig{
		Keys: rooted, Issuer: "clientes", Audience: "clientes", TTL: 300 * time.Second,
		Now: func() time.Time { return noon },
	})
	if _, err := issuer.Verify(forge(otherSecret, plainHeader, payload())); err == nil {
		t.Error("a token under the root is accepted")
	}
	if _, err := issuer.Verify(forge(testSecret, plainHeader, payload())); err != nil {
		t.Errorf("a token under the secret is refused: %v", err)
	}
}

// checkReleasedAccess verifies an access token and mints the same, except for its random jti.
func checkReleasedAccess(t *testing.T, keys *Keyring, want string) {
	t.Helper()
	issuer := NewIssuer(IssuerConfig{
		Keys: keys, Issuer: "clientes", Audience: "clientes", TTL: 300 * time.Second,
		Now: func() time.Time { return noon },
	})
	if a, err := issuer.Verify(want); err != nil || a.UserID != 7 || a.SessionID != testSession {
		t.Errorf("%s says %+v, %v", want, a, err)
	}
	u := store.User{ID: 7, Role: store.Editor}
	got, err := issuer.Mint(u, store.Session{ID: testSession}, issuer.Validity(time.Hour))
	must(t, err)
	plain := func(token string) string {
		t.Helper()
		parts := strings.Split(token, ".")
		claims, err := base64.RawURLEncoding.DecodeString(parts[1])
		must(t, err)
		jti := regexp.MustCompile(`"jti":"[A-Za-z0-9_-]{22}"`)
		return parts[0] + " " + jti.ReplaceAllString(string(claims), `"jti":""`)
	}
	if plain(got) != plain(want) {
		t.Errorf("minted\n%s, want\n%s", plain(got), plain(want))
	}
}

func TestDerivedKeysDiffer(t *testing.T) {
	r := testKeys(t, testSecret)
	keys := []string{string(r.access[0].secret)}
	for _, derived := range r.roots[0].derive {
		keys = append(keys, string(derived.key))
	}
	slices.Sort(keys)
	if n := len(slices.Compact(keys)); n != int(purposes)+1 {
		t.Errorf("%d keys", n)
	}
}

func TestAPurposeIsGoodForNoOther(t *testing.T) {
	keys := testKeys(t, testSecret)
	for p := range purposes {
		signed := keys.Sign(p, "a.7", "bound")
		for other := range purposes {
			_, ok := keys.Verify(other, signed, "bound")
			// Of these two there are only MACs.
			macs := []Purpose{Throttle, Captcha}
			if !slices.Contains(macs, p) && !slices.Contains(macs, other) &&
				ok != (p == other) {
				t.Errorf("signed for %d, it is good for %d: %t", p, other, ok)
			}
		}
	}
	// What signs access tokens signs nothing else.
	const text = testSession + ".7"
	if _, ok := keys.Verify(Refresh, text+"."+sign(sha256.New, testSecret, text)); ok {
		t.Error("a refresh token under the secret itself is accepted")
	}
}

func TestBoundValues(t *testing.T) {
	keys := testKeys(t, testSecret)
	for _, p := range []Purpose{Link, Cursor} {
		signed := keys.Sign(p, "text", "a", "b")
		for _, bound := range [][]string{
			{}, {"a"}, {"b", "a"}, {"ab", ""}, {"", "ab"}, {"a", "b", ""}, {"a", "B"},
		} {
			if _, ok := keys.Verify(p, signed, bound...); ok {
				t.Errorf("%d: it is good with %q", p, bound)
			}
		}
		if text, ok := keys.Unverified(p, signed); !ok || text != "text" {
			t.Errorf("%d: the text is %q, %t", p, text, ok)
		}
	}
}

// TestNoOtherSpelling checks that of all texts only the signed one is accepted.
func TestNoOtherSpelling(t *testing.T) {
	keys := testKeys(t, testSecret)
	for _, p := range []Purpose{Refresh, Link, Device, Cursor} {
		signed := keys.Sign(p, "7.a")
		wrong := []string{
			"", ".", signed + "=", signed + "\n", " " + signed, signed + ".", "." + signed,
			strings.Repeat("A", maxText+1), signed + strings.Repeat("A", maxText),
		}
		for i := range signed {
			for _, c := range []byte("0Aa.-_\n\r= \x00") {
				if c != signed[i] {
					wrong = append(wrong, signed[:i]+string(c)+signed[i+1:])
				}
			}
			wrong = append(wrong, signed[:i]+"\n"+signed[i:])
		}
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		for _, c := range alphabet { // the last character also has bits that stand for nothing
			wrong = append(wrong, signed[:len(signed)-1]+string(c))
		}
		for _, other := range wrong {
			if _, ok := keys.Verify(p, other); ok && other != signed {
				t.Errorf("%d: %q is accepted", p, other)
			}
		}
	}
}

func TestSealed(t *testing.T) {
	keys := testKeys(t, testSecret)
	sealed := keys.Seal([]byte("text"), "user 7")
	if again := keys.Seal([]byte("text"), "user 7"); again == sealed {
		t.Error("the same text is sealed the same way twice")
	}
	rotated := testKeys(t, otherSecret, testSecret)
	if text, newest, err := rotated.Open(sealed, "user 7"); err != nil || newest ||
		!bytes.Equal(text, []byte("text")) {
		t.Errorf("after a rotation: %q, %t, %v", text, newest, err)
	}
	for name, open := range map[string]func() error{
		"another user": func() error { _, _, err := keys.Open(sealed, "user 8"); return err },
		"no base64":    func() error { _, _, err := keys.Open("?", "user 7"); return err },
		"nothing":      func() error { _, _, err := keys.Open("", "user 7"); return err },
		"another secret": func() error {
			_, _, err := testKeys(t, otherSecret).Open(sealed, "user 7")
			return err
		},
	} {
		if err := open(); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzKeyring(f *testing.F) {
	keys := testKeys(f, testSecret)
	f.Add(keys.Sign(Refresh, testSession+".1"))
	f.Add(keys.Sign(Cursor, "a"))
	f.Add(testSession + ".1.AAAA")
	f.Fuzz(func(t *testing.T, signed string) {
		for _, p := range []Purpose{Refresh, Device, Cursor} {
			if text, ok := keys.Verify(p, signed); ok && keys.Sign(p, text) != signed {
				t.Errorf("%q is taken for %q", signed, text)
			}
		}
	})
}
