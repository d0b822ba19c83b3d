package auth

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"clientes/store"
)

func TestPasswordsVerify(t *testing.T) {
	ours := hashPassword("correct horse")
	crypted, err := bcrypt.GenerateFromPassword([]byte("correct horse"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	version := func(v string) string { return "$" + v + string(crypted[3:]) }
	for _, c := range []struct {
		name, hash string
		known      bool
		current    bool
	}{
		{"ours", ours, true, true},
		{"bcrypt 2a", version("2a"), true, false},
		{"bcrypt 2b", version("2b"), true, false},
		{"bcrypt 2y", version("2y"), true, false},
		{"bcrypt 2x, whose hashes are broken", version("2x"), false, false},
		{"bcrypt 2", version("2"), false, false},
		{"bcrypt that is cut", string(crypted[:59]), false, false},
		{"nothing", "", false, false},
		{"plain text", "correct horse", false, false},
		{"Argon2i", strings.Replace(ours, "argon2id", "argon2i", 1), false, false},
		{"Argon2id of an older version", strings.Replace(ours, "v=19", "v=16", 1), false, false},
		{"a cost that would take the machine", strings.Replace(ours, "m=19456", "m=4194304", 1), false, false},
		{"as many passes as a number holds", strings.Replace(ours, "t=2", "t=4294967295", 1), false, false},
		{"no threads", strings.Replace(ours, "p=1", "p=0", 1), false, false},
		{"a parameter more", strings.Replace(ours, "p=1", "p=1,x=1", 1), false, false},
		{"a sign in a parameter", strings.Replace(ours, "t=2", "t=+2", 1), false, false},
		{"padded base64", ours + "=", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := knownHash(c.hash); got != c.known {
				t.Errorf("known: %t", got)
			}
			if got := isCurrentHash(c.hash); got != c.current {
				t.Errorf("current: %t", got)
			}
			if got := verifyPassword(c.hash, "correct horse"); got != c.known {
				t.Errorf("the right password: %t", got)
			}
			if verifyPassword(c.hash, "Correct horse") {
				t.Error("a wrong password is right")
			}
		})
	}
}

// A hash that other software made, so that both ends of ours can not share one mistake: the reference
// implementation's test vector for Argon2id and PHP's for bcrypt 2y.
func TestHashesFromElsewhere(t *testing.T) {
	for _, c := range []struct{ hash, password string }{
		{"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password"},
		{"$2y$10$.vGA1O9wmRjrwAVXD98HNOgsNpDczlqm3Jq7KnEd1rVAGv3Fykk1a", "rasmuslerdorf"},
	} {
		if !knownHash(c.hash) || isCurrentHash(c.hash) {
			t.Errorf("%s: known %t, current %t", c.hash, knownHash(c.hash), isCurrentHash(c.hash))
		}
		if !verifyPassword(c.hash, c.password) {
			t.Errorf("%s does not match %q", c.hash, c.password)
		}
	}
}

func TestNobodysHashCostsWhatARealOneCosts(t *testing.T) {
	if !isCurrentHash(nobodysHash) {
		t.Error("it is not of today's kind and cost")
	}
}

func TestNewPasswords(t *testing.T) {
	for password, want := range map[string]string{
		"12345678":                     "",
		"1234567":                      "too_short",
		"áéíóúàèì":                     "",
		"áéíóúàè":                      "too_short",
		strings.Repeat("😀", 256):       "",
		strings.Repeat("😀", 257):       "too_long",
		"        ":                     "",
		"nul\x00 is a character, too":  "",
		"broken UTF-8 is no text \xff": "invalid_text",
	} {
		err := checkNewPassword(password)
		var invalid *store.InvalidError
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", password, err)
		case want != "" && (!errors.As(err, &invalid) || invalid.Fields[0].Code != want || invalid.Fields[0].Field != "password"):
			t.Errorf("%q: %v, want %s", password, err, want)
		}
	}
}

func FuzzParseArgon2(f *testing.F) {
	f.Add(nobodysHash)
	f.Add("$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, hash string) {
		p, salt, want, ok := parseArgon2(hash)
		if ok && (p.memory > maxMemory || p.passes > maxPasses || p.threads > maxThreads || len(salt) > 64 || len(want) > 64) {
			t.Errorf("%q costs %+v", hash, p)
		}
		_ = isBcrypt(hash)
	})
}

func BenchmarkHashPassword(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		hashPassword("correct horse battery staple")
	}
}
