package token

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clientes/store"
)

func TestMintedTokensAreGood(t *testing.T) {
	issuer := issuerAt(t, func() time.Time { return noon.Add(400 * time.Millisecond) })
	u := store.User{ID: 7, Role: store.Editor}
	v := issuer.Validity(time.Hour)
	if want := (Validity{noon, noon.Add(300 * time.Second)}); v != want {
		t.Errorf("valid %v, want %v", v, want)
	}
	minted, err := issuer.Mint(u, store.Session{ID: testSession}, v)
	must(t, err)
	for range 2 { // new, and from the cache
		a, err := issuer.Verify(minted)
		must(t, err)
		if a.UserID != 7 || a.Role != store.Editor || a.SessionID != testSession ||
			a.TokenID == "" {
			t.Errorf("it says %+v", a)
		}
	}
	if a, err := testIssuer(t).Verify(minted); err != nil || a.UserID != 7 {
		t.Errorf("another process with the same secret: %v", err)
	}
	in, err := Inspect(minted)
	must(t, err)
	for _, want := range []string{
		`"HS256"`, `"JWT"`, `"kid": "` + issuer.cfg.Keys.access[0].id + `"`,
	} {
		if !strings.Contains(in.Header, want) {
			t.Errorf("header %s lacks %s", in.Header, want)
		}
	}
}

func TestATokenEndsWithItsSession(t *testing.T) {
	v := testIssuer(t).Validity(10*time.Second + 900*time.Millisecond)
	if want := noon.Add(10 * time.Second); !v.Expires.Equal(want) || v.For() != 10*time.Second {
		t.Errorf("it expires at %v, want %v", v.Expires, want)
	}
}

// verdicts are what Verify makes of the files in testdata/access, by the prefix of their names. The
// clock stands at noon of 22 November 2026, and the issuer has both secrets of fixture_test.go.
func verdicts() map[string]error {
	return map[string]error{
		"good_":      nil,
		"revoked_":   nil, // the session was ended, which only package auth knows
		"expired_":   ErrExpired,
		"alg_none_":  ErrInvalid, // no signature, or a header that says so
		"alg_other_": ErrInvalid, // an algorithm other than HS256
		"header_":    ErrInvalid, // typ, crit, kid
		"claim_":     ErrInvalid, // a claim that is missing, of another type or another value
		"time_":      ErrInvalid, // iat, nbf and exp that no token of ours has
		"format_":    ErrInvalid, // not three parts of strict base64url with JSON in them
		"signature_": ErrInvalid, // another secret, or not exactly one signature
	}
}

// TestVectors verifies the access tokens in testdata/access. The name of each file is the verdict.
func TestVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/access/*")
	must(t, err)
	used := make(map[string]bool)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".jwt")
		t.Run(name, func(t *testing.T) {
			vector, err := os.ReadFile(file)
			must(t, err)
			for prefix, want := range verdicts() {
				if !strings.HasPrefix(name, prefix) {
					continue
				}
				used[prefix] = true
				issuer := testIssuer(t, otherSecret)
				for range 2 { // a refusal is not cached
					if _, err := issuer.Verify(string(vector)); !errors.Is(err, want) {
						t.Errorf("the verdict is %v, want %v", err, want)
					}
				}
				return
			}
			t.Errorf("%s has a prefix that is no verdict", file)
		})
	}
	for prefix := range verdicts() {
		if !used[prefix] {
			t.Errorf("there is no %s*.jwt", prefix)
		}
	}
}

func TestASecretThatIsNoLongerConfigured(t *testing.T) {
	old := forge(otherSecret, plainHeader, payload())
	if _, err := testIssuer(t).Verify(old); !errors.Is(err, ErrInvalid) {
		t.Errorf("its token: %v", err)
	}
}

func TestACachedTokenStillAges(t *testing.T) {
	now := noon
	issuer := issuerAt(t, func() time.Time { return now })
	good := forge(testSecret, plainHeader, payload())
	for _, step := range []struct {
		after time.Duration
		want  error
	}{
		{0, nil},
		{304*time.Second + 999*time.Millisecond, nil},
		{305 * time.Second, ErrExpired},
		{-time.Minute, nil},
		{-61 * time.Second, ErrInvalid}, // the clock was set back
		{0, nil},
	} {
		now = noon.Add(step.after)
		if _, err := issuer.Verify(good); !errors.Is(err, step.want) {
			t.Errorf("%v after noon: %v, want %v", step.after, err, step.want)
		}
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	c := NewCache[string, Access]()
	for i := range 3*maxCached + 1 {
		c.Put(fmt.Sprint(i), Access{})
		if n := len(c.young) + len(c.old); n > 2*maxCached {
			t.Fatalf("%d tokens are cached", n)
		}
	}
	for _, entry := range []struct {
		name   string
		number int
		want   bool
	}{
		{"the first", 0, false},
		{"the last of the half that was dropped", 2*maxCached - 1, false},
		{"the last of the older half", 3*maxCached - 1, true},
		{"the last", 3 * maxCached, true},
	} {
		if _, ok := c.Get(fmt.Sprint(entry.number)); ok != entry.want {
			t.Errorf("%s is cached: %t", entry.name, ok)
		}
	}
}

// checkReason fails the test unless a reason may stand in an error_description.
func checkReason(t *testing.T, reason string) {
	t.Helper()
	for _, c := range reason {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			t.Errorf("%q has the character %q", reason, c)
		}
	}
	if !strings.HasSuffix(reason, ".") {
		t.Errorf("%q is no sentence", reason)
	}
}

// A refused token comes with a reason that helps its sender.
func TestReasons(t *testing.T) {
	good := forge(testSecret, plainHeader, payload())
	cut := strings.LastIndex(good, ".")
	for _, c := range []struct{ name, token, reason string }{
		{"empty", "", "empty"},
		{"double quotes", `"` + good + `"`, "quotation marks"},
		{"single quotes", "'" + good + "'", "quotation marks"},
		{"one quote", good + `"`, "quotation marks"},
		{"the scheme twice", "Bearer " + good, "twice"},
		{"JSON", `{"token":"` + good + `"}`, "JSON"},
		{"a line break", good[:30] + "\n" + good[30:], "white space"},
		{"a space", good[:30] + " " + good[30:], "white space"},
		{"URL encoding", "%22" + good + "%22", "URL encoding"},
		{"another alphabet", strings.Replace(good, ".", "+/.", 1), "characters"},
		{"padding", good + "=", "characters"},
		{"too long", strings.Repeat("a", MaxAccess+1), "too long"},
		{"cut off in the signature", good[:len(good)-9], "cut off"},
		{"cut off in the payload", good[:cut-9], "cut off"},
		{"more parts", good + ".x", "more"},
		{"more behind the signature", good + "A", "not one of HS256"},
		{"a refresh token", testKeys(t, testSecret).Sign(Refresh, testSession+".3"), "refresh"},
		{"another secret", forge(otherSecret, plainHeader, payload()), "signature"},
		{"another kid", forge(testSecret, `{"alg":"HS256","kid":"x"}`, payload()), "kid"},
		{"another alg", forge(testSecret, `{"alg":"HS384"}`, payload()), "alg"},
		{"another typ", forge(testSecret, `{"alg":"HS256","typ":"at+jwt"}`, payload()), "typ"},
		{"another issuer", forge(testSecret, plainHeader, payload("iss", `"x"`)), "ISSUER"},
		{"another audience", forge(testSecret, plainHeader, payload("aud", `"x"`)), "AUDIENCE"},
		{"not yet valid", forge(testSecret, plainHeader, payload("nbf", at(60))), "not valid yet"},
		{"a clock ahead", forge(testSecret, plainHeader, payload("iat", at(90))), "not valid yet"},
		{"no claims", forge(testSecret, plainHeader, "{}"), "claims"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := testIssuer(t).Verify(c.token)
			var refused *InvalidError
			if !errors.Is(err, ErrInvalid) || !errors.As(err, &refused) {
				t.Fatalf("the verdict is %v", err)
			}
			checkReason(t, refused.Reason)
			if !strings.Contains(refused.Reason, c.reason) {
				t.Errorf("the reason %q has nothing of %q", refused.Reason, c.reason)
			}
			if len(c.token) > 20 && strings.Contains(refused.Reason, c.token[5:15]) {
				t.Errorf("the reason repeats the token: %q", refused.Reason)
			}
		})
	}
}

// FuzzVerify checks that nothing a stranger sends makes Verify panic or return an error that is not
// one of ours, and that an accepted token makes sense.
func FuzzVerify(f *testing.F) {
	f.Add(forge(testSecret, plainHeader, payload()), "", "")
	f.Add("", `{"alg":"HS256","kid":"x"}`, payload())
	f.Add("", plainHeader, payload("exp", at(-1000)))
	f.Add("a.b.c", `{"alg":"none"}`, `{"exp":1e400}`)
	issuer := testIssuer(f)
	f.Fuzz(func(t *testing.T, token, header, claims string) {
		if header != "" { // signed well, so that the code behind the MAC is reached
			token = forge(testSecret, header, claims)
		}
		a, err := issuer.Verify(token)
		switch {
		case err == nil:
			whole := a.UserID >= 1 && a.Role.Valid() && len(a.SessionID) == 22
			if !whole || !a.Expires.After(noon) {
				t.Errorf("%q is taken for %+v", token, a)
			}
		case !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrExpired):
			t.Errorf("%q: %v", token, err)
		}
		var refused *InvalidError
		if errors.Is(err, ErrInvalid) && !errors.As(err, &refused) {
			t.Errorf("%q is refused without a reason", token)
		}
		if refused != nil {
			checkReason(t, refused.Reason)
		}
		_, _ = Inspect(token)
	})
}

func BenchmarkVerify(b *testing.B) {
	issuer := testIssuer(b)
	token := forge(testSecret, plainHeader, payload())
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := issuer.verifyNew(token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("seen", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := issuer.Verify(token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("forged", func(b *testing.B) {
		forged := forge(otherSecret, plainHeader, payload())
		b.ReportAllocs()
		for b.Loop() {
			if _, err := issuer.Verify(forged); err == nil {
				b.Fatal("accepted")
			}
		}
	})
}
