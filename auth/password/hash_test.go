package password

import (
	"bufio"
	"encoding/base64"
	"errors"
	"hash"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/text/unicode/norm"

	"clientes/store"
)

// hashesFromElsewhere returns hashes that other software made, so that hashing and verifying cannot
// share one mistake.
func hashesFromElsewhere(t testing.TB) (hashes []foreignHash) {
	f, err := os.Open("testdata/hashes.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != 3 {
			t.Fatalf("a line has %d fields", len(fields))
		}
		hashes = append(hashes, foreignHash{fields[0], fields[1], fields[2]})
	}
	if len(hashes) < 20 {
		t.Fatalf("only %d hashes", len(hashes))
	}
	return hashes
}

type foreignHash struct{ maker, password, text string }

func TestHashesFromElsewhere(t *testing.T) {
	for _, h := range hashesFromElsewhere(t) {
		parsed, err := parseHash(h.text)
		if err != nil {
			t.Errorf("%s: %s: %v", h.maker, h.text, err)
		}
		if isCurrentHash(h.text) {
			t.Errorf("%s: %s would never be replaced", h.maker, h.text)
		}
		if !verifyPassword(h.text, h.password) {
			t.Errorf("%s: %s does not match", h.maker, h.text)
		}
		wrongs := []string{"", strings.ToUpper(h.password), h.password + " ", h.password[1:]}
		if isCostly(parsed) {
			wrongs = wrongs[1:2] // or they take seconds together
		}
		for _, wrong := range wrongs {
			if verifyPassword(h.text, wrong) {
				t.Errorf("%s: %s matches %q", h.maker, h.text, wrong)
			}
		}
	}
}

// isCostly reports whether a hash takes as long as those that programs make. Every kind has cheap
// ones in the file, too.
func isCostly(h passwordHash) bool {
	switch h := h.(type) {
	case argon2Hash:
		return h.memory > 1024
	case bcryptHash:
		return h.text[4:6] >= "10"
	case pbkdf2Hash:
		return h.iterations > 50_000
	case scryptHash:
		return h.n > 1024
	case firebaseHash:
		return h.n > 256
	}
	return false
}

func TestOurHashes(t *testing.T) {
	ours := hashPassword("correct horse")
	if !isCurrentHash(ours) || !verifyPassword(ours, "correct horse") ||
		verifyPassword(ours, "Correct horse") {
		t.Errorf("%s is not as it should be", ours)
	}
	for name, other := range map[string]string{
		"more passes":  strings.Replace(ours, "t=2", "t=3", 1),
		"less memory":  strings.Replace(ours, "m=19456", "m=19448", 1),
		"another kind": strings.Replace(ours, "argon2id", "argon2i", 1),
		"a shorter salt": "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAA" +
			ours[strings.LastIndex(ours, "$"):],
		"a shorter hash": ours[:strings.LastIndex(ours, "$")] + "$AAAAAAAAAAAAAAAAAAAAAA",
	} {
		if _, err := parseHash(other); err != nil || isCurrentHash(other) {
			t.Errorf("%s: %s: %v", name, other, err)
		}
	}
}

func TestNobodysHashCostsWhatARealOneCosts(t *testing.T) {
	if !isCurrentHash(nobodysHash) {
		t.Error("it is not of today's kind and cost")
	}
}

func TestHashesThatAreRefused(t *testing.T) {
	crypted, err := bcrypt.GenerateFromPassword([]byte("correct horse"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	const (
		argon2  = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA"
		scrypt  = "$scrypt$ln=4,r=8,p=1$c2FsdA$AAAAAAAAAAAAAAAAAAAAAA"
		pbkdf2  = "$pbkdf2-sha256$i=1,l=16$c2FsdA$AAAAAAAAAAAAAAAAAAAAAA"
		djangoS = "scrypt$16$salt$8$1$AAAAAAAAAAAAAAAAAAAAAA=="
		djangoP = "pbkdf2_sha1$1$salt$AAAAAAAAAAAAAAAAAAAAAAAAAAA="
		pass    = "passport-local-mongoose$sha1$1$salt$00000000000000000000000000000000"
	)
	const (
		passlib  = "$bcrypt-sha256$v=2,t=2b,r=4$aaaaaaaaaaaaaaaaaaaaau$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		werkzeug = "pbkdf2:sha256:1$salt$" +
			"0000000000000000000000000000000000000000000000000000000000000000"
		werkzeugS = "scrypt:16:8:1$salt$00000000000000000000000000000000"
		springS   = "{scrypt}$40801$c2FsdA==$AAAAAAAAAAAAAAAAAAAAAA=="
		springP   = "{pbkdf2}0000000000000000" +
			"0000000000000000000000000000000000000000000000000000000000000000"
		phpass   = "$P$5saltsaltAAAAAAAAAAAAAAAAAAAAAA"
		aspnet   = "AQAAAAEAAAABAAAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="
		firebase = "firebase-scrypt$8$4$$AAAAAAAAAAAAAAAAAAAAAA==$c2FsdA==$AAAAAAAAAAAAAAAAAAAAAA=="
		keycloak = `{"type":"password","credentialData":{"algorithm":"pbkdf2","hashIterations":1},` +
			`"secretData":{"salt":"c2FsdA==","value":"AAAAAAAAAAAAAAAAAAAAAAAAAAA="}}`
	)
	bcrypt2b := "$2b" + string(crypted[3:])
	for _, good := range []string{
		argon2, scrypt, pbkdf2, djangoS, djangoP, pass, bcrypt2b, "bcrypt$" + bcrypt2b,
		"argon2" + argon2, "{bcrypt}" + bcrypt2b, "{CRYPT}" + bcrypt2b, "{BLF-CRYPT}" + bcrypt2b,
		"{argon2@SpringSecurity_v5_8}" + argon2, "{ARGON2}" + argon2, "$wp" + bcrypt2b,
		"AQAAAAEAACcQAAAAEP/u3cy7qpmId2ZVRDMiEQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", // O5
		passlib, werkzeug, werkzeugS, springS, springP, phpass, aspnet, firebase, keycloak,
	} {
		if _, err := parseHash(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	with := strings.Replace
	for _, c := range []struct{ name, hash, code string }{
		{"nothing", "", "required"},
		{"plain text", "correcthorse", "unknown_hash"},
		{"a dollar", "$", "unknown_hash"},
		{"crypt(3) with MD5", "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", "unknown_hash"},
		{"crypt(3) with SHA-512",
			"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO/O817G3uBnIFNjnQJu", "unknown_hash"},
		{"Django's for no password", "!Hk3CYYYTXzbRVgYMPbTHSJJmgxzPQxxdVs1nXEqn", "unknown_hash"},
		{"Django's MD5", "md5$salt$d653ea7ea31e77b41041e7e3d32e3e4a", "unknown_hash"},
		{"Argon2d", with(argon2, "argon2id", "argon2d", 1), "unknown_hash"},
		{"Argon2d from Django", "argon2" + with(argon2, "argon2id", "argon2d", 1), "unknown_hash"},
		{"bcrypt 2x, whose hashes are broken", with(bcrypt2b, "2b", "2x", 1), "unknown_hash"},
		{"bcrypt 2", with(bcrypt2b, "2b", "2", 1), "unknown_hash"},
		{"bcrypt 2x from Django", "bcrypt$" + with(bcrypt2b, "2b", "2x", 1), "unknown_hash"},
		{"Argon2 after Django's name of bcrypt", "bcrypt$" + argon2, "unknown_hash"},
		{"capitals", strings.ToUpper(pbkdf2), "unknown_hash"},
		{"Spring's plain text", "{noop}password", "unknown_hash"},
		{"bcrypt 2x from Spring", "{bcrypt}" + with(bcrypt2b, "2b", "2x", 1), "unknown_hash"},
		{"a brace that does not end", "{bcrypt" + bcrypt2b, "unknown_hash"},
		{"an unknown kind in braces", "{ldap}secret", "unknown_hash"},
		{"base64 of something else", "AgAAAAEAACcQAAAAEAABAgMEBQYHCAkKCwwNDg==", "unknown_hash"},
		{"passlib's bcrypt_sha256 with 2x",
			"$bcrypt-sha256$v=2,t=2x,r=4" + passlib[27:], "unknown_hash"},
		{"WordPress with Argon2", "$wp" + argon2, "unknown_hash"},

		{"a line break at the end", argon2 + "\n", "malformed_hash"},
		{"a line break in base64", with(argon2, "$AAAA", "$AA\nAA", 1), "malformed_hash"},
		{"a space before it", " " + argon2, "malformed_hash"},
		{"NUL", with(djangoP, "salt", "sa\x00t", 1), "malformed_hash"},
		{"no text", with(djangoP, "salt", "sa\xfft", 1), "malformed_hash"},
		{"a megabyte", strings.Repeat("a", 1<<20), "malformed_hash"},

		{"bcrypt that is cut", bcrypt2b[:59], "malformed_hash"},
		{"bcrypt and more", bcrypt2b + "A", "malformed_hash"},
		{"bcrypt with another alphabet", bcrypt2b[:59] + "+", "malformed_hash"},
		{"bcrypt of no cost", with(bcrypt2b, "$04$", "$03$", 1), "malformed_hash"},
		{"bcrypt with a sign in the cost", with(bcrypt2b, "$04$", "$+4$", 1), "malformed_hash"},
		{"bcrypt of a cost beyond all", with(bcrypt2b, "$04$", "$32$", 1), "malformed_hash"},
		{"Argon2id of an older version", with(argon2, "v=19", "v=16", 1), "malformed_hash"},
		{"Argon2id without a version", with(argon2, "v=19$", "", 1), "malformed_hash"},
		{"no threads", with(argon2, "p=1", "p=0", 1), "malformed_hash"},
		{"no passes", with(argon2, "t=1", "t=0", 1), "malformed_hash"},
		{"less memory than threads need", with(argon2, "m=8", "m=7", 1), "malformed_hash"},
		{"a parameter more", with(argon2, "p=1", "p=1,x=1", 1), "malformed_hash"},
		{"a parameter twice", with(argon2, "p=1", "p=1,p=1", 1), "malformed_hash"},
		{"a parameter less", with(argon2, ",p=1", "", 1), "malformed_hash"},
		{"a sign in a parameter", with(argon2, "t=1", "t=+1", 1), "malformed_hash"},
		{"a zero before a parameter", with(argon2, "t=1", "t=01", 1), "malformed_hash"},
		{"a parameter beyond 32 bits", with(argon2, "t=1", "t=4294967297", 1), "malformed_hash"},
		{"a short salt", with(argon2, "c2FsdHNhbHQ", "c2FsdHNhbA", 1), "malformed_hash"},
		{"a short hash", with(argon2, "$AA", "$", 1), "malformed_hash"},
		{"padded base64", argon2 + "==", "malformed_hash"},
		{"base64 loose in its last bits", argon2[:len(argon2)-1] + "B", "malformed_hash"},
		{"a field more", argon2 + "$", "malformed_hash"},
		{"scrypt without a salt", with(scrypt, "c2FsdA", "", 1), "malformed_hash"},
		{"scrypt of N = 1", with(scrypt, "ln=4", "ln=0", 1), "malformed_hash"},
		{"scrypt with N for its logarithm", with(scrypt, "ln=4", "n=16", 1), "malformed_hash"},
		{"Django's scrypt, with an N that is no power of two",
			with(djangoS, "$16$", "$17$", 1), "malformed_hash"},
		{"Django's scrypt, without padding", with(djangoS, "==", "", 1), "malformed_hash"},
		{"Django's scrypt, in another order",
			"scrypt$salt$16$8$1$AAAAAAAAAAAAAAAAAAAAAA==", "malformed_hash"},
		{"a length that is not the hash's", with(pbkdf2, "l=16", "l=32", 1), "malformed_hash"},
		{"passlib's PBKDF2", with(pbkdf2, "i=1,l=16", "1", 1), "malformed_hash"},
		{"no iterations", with(pbkdf2, "i=1", "i=0", 1), "malformed_hash"},
		{"Django's, of another length than its digest",
			with(djangoP, "sha1", "sha256", 1), "malformed_hash"},
		{"Django's, without a salt", with(djangoP, "salt", "", 1), "malformed_hash"},
		{"a digest that nobody uses", with(pass, "sha1", "md5", 1), "malformed_hash"},
		{"hex of half a byte", pass + "0", "malformed_hash"},
		{"no hex", pass + "xx", "malformed_hash"},
		{"more hex than any has", pass + strings.Repeat("00", 500), "malformed_hash"},

		{"passlib's bcrypt_sha256 without a hash", passlib[:49], "malformed_hash"},
		{"passlib's bcrypt_sha256 without rounds", with(passlib, ",r=4", "", 1), "malformed_hash"},
		{"passlib's bcrypt_sha256 with a short salt",
			with(passlib, "$aaa", "$a", 1), "malformed_hash"},
		{"Werkzeug's without iterations", with(werkzeug, ":1$", "$", 1), "malformed_hash"},
		{"Werkzeug's with MD5", with(werkzeug, "sha256", "md5", 1), "malformed_hash"},
		{"Werkzeug's of another length", werkzeug[:len(werkzeug)-2], "malformed_hash"},
		{"Werkzeug's scrypt without p", with(werkzeugS, ":1$", "$", 1), "malformed_hash"},
		{"Werkzeug's scrypt with an N that is no power",
			with(werkzeugS, "16", "15", 1), "malformed_hash"},
		{"Spring's scrypt without parameters", with(springS, "40801", "", 1), "malformed_hash"},
		{"Spring's PBKDF2 of another length", springP + "00", "malformed_hash"},
		{"Spring's PBKDF2 of 5.8, with the salt of before",
			with(springP, "}", "@SpringSecurity_v5_8}", 1), "malformed_hash"},
		{"phpass that is cut", phpass[:33], "malformed_hash"},
		{"phpass with too few rounds", with(phpass, "$5", "$4", 1), "malformed_hash"},
		{"phpass of Drupal that is cut", "$S" + phpass[2:], "malformed_hash"},
		{"ASP.NET's with a digest that is none",
			with(aspnet, "AQAAAAE", "AQAAAAM", 1), "malformed_hash"},
		{"ASP.NET's with a salt beyond its end",
			with(aspnet, "AACAAA", "AAPAAA", 1), "malformed_hash"},
		{"Firebase's without the signer key", with(firebase, "AAAAAAAAAAAAAAAAAAAAAA==", "", 1),
			"malformed_hash"},
		{"Firebase's without parameters", "firebase-scrypt$c2FsdA==$AAAAAAAAAAAAAAAAAAAAAA==",
			"malformed_hash"},
		{"Keycloak's second factor", with(keycloak, "password", "otp", 1), "malformed_hash"},
		{"Keycloak's without a secret", with(keycloak, "secretData", "x", 1), "malformed_hash"},
		{"Keycloak's of an algorithm of its own",
			with(keycloak, "pbkdf2", "mine", 1), "malformed_hash"},
		{"Keycloak's that is cut", keycloak[:40], "malformed_hash"},

		{"passlib's bcrypt_sha256 of cost 15", with(passlib, "r=4", "r=15", 1), "costly_hash"},
		{"WordPress's of cost 15", "$wp" + with(bcrypt2b, "$04$", "$15$", 1), "costly_hash"},
		{"Werkzeug's with too many iterations",
			with(werkzeug, ":1$", ":5000001$", 1), "costly_hash"},
		{"Werkzeug's scrypt of all memory",
			with(werkzeugS, "16:", "2147483648:", 1), "costly_hash"},
		{"Spring's scrypt of all memory", with(springS, "40801", "ff0801", 1), "costly_hash"},
		{"phpass with too many rounds", with(phpass, "$5", "$J", 1), "costly_hash"},
		{"ASP.NET's with all iterations",
			with(aspnet, "AAAAEAAAAB", "AAAAH/////", 1), "costly_hash"},
		{"Firebase's of all memory", with(firebase, "$4$", "$32$", 1), "costly_hash"},
		{"Keycloak's with too many iterations",
			with(keycloak, `s":1`, `s":5000001`, 1), "costly_hash"},

		{"bcrypt of cost 15", with(bcrypt2b, "$04$", "$15$", 1), "costly_hash"},
		{"Django's bcrypt of cost 31",
			"bcrypt_sha256$" + with(bcrypt2b, "$04$", "$31$", 1), "costly_hash"},
		{"Argon2 with too much memory", with(argon2, "m=8", "m=262145", 1), "costly_hash"},
		{"Argon2 with all memory", with(argon2, "m=8", "m=4294967295", 1), "costly_hash"},
		{"Argon2 with too many passes", with(argon2, "m=8,t=1", "m=262144,t=5", 1), "costly_hash"},
		{"Argon2 with all passes", with(argon2, "t=1", "t=4294967295", 1), "costly_hash"},
		{"Argon2 with too many threads",
			with(argon2, "m=8,t=1,p=1", "m=1024,t=1,p=17", 1), "costly_hash"},
		{"scrypt with too much memory", with(scrypt, "ln=4", "ln=19", 1), "costly_hash"},
		{"scrypt with all memory", with(scrypt, "ln=4", "ln=4294967295", 1), "costly_hash"},
		{"scrypt with large blocks", with(scrypt, "r=8", "r=33", 1), "costly_hash"},
		{"scrypt with too many of the largest",
			with(scrypt, "ln=4,r=8,p=1", "ln=18,r=8,p=5", 1), "costly_hash"},
		{"scrypt with too much at once", with(scrypt, "p=1", "p=17", 1), "costly_hash"},
		{"Django's scrypt with all of everything",
			"scrypt$2147483648$salt$4294967295$4294967295$AAAAAAAAAAAAAAAAAAAAAA==", "costly_hash"},
		{"PBKDF2 with too many iterations", with(pbkdf2, "i=1", "i=5000001", 1), "costly_hash"},
		{"Django's with all iterations", with(djangoP, "$1$", "$4294967295$", 1), "costly_hash"},
		{"passport's with too many iterations", with(pass, "$1$", "$5000001$", 1), "costly_hash"},
	} {
		h, err := parseHash(c.hash)
		var invalid *store.InvalidError
		if !errors.As(err, &invalid) || invalid.Fields[0].Field != "password_hash" ||
			invalid.Fields[0].Code != c.code {
			t.Errorf("%s: %.200q: %+v, %v; want %s", c.name, c.hash, h, err, c.code)
		}
		if isCurrentHash(c.hash) {
			t.Errorf("%s: %.200q is said to be one of ours", c.name, c.hash)
		}
	}
	if verifyPassword("", "") || verifyPassword("correct horse", "correct horse") {
		t.Error("what is no hash matches")
	}
}

// TestTheMostExpensiveHashesAreTaken checks that each limit itself is still allowed.
func TestTheMostExpensiveHashesAreTaken(t *testing.T) {
	for name, hash := range mostExpensiveHashes() {
		if _, err := parseHash(hash); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// mostExpensiveHashes returns the most expensive hash of each kind that is allowed.
func mostExpensiveHashes() map[string]string {
	const salt, want = "$c2FsdHNhbHQ$", "AAAAAAAAAAAAAAAAAAAAAA"
	full := base64.RawStdEncoding.EncodeToString(make([]byte, maxWant))
	return map[string]string{
		"Argon2id of much memory":  "$argon2id$v=19$m=262144,t=4,p=1" + salt + want,
		"Argon2id of many threads": "$argon2id$v=19$m=262144,t=4,p=16" + salt + want,
		"Argon2id of many passes":  "$argon2id$v=19$m=8,t=131072,p=1" + salt + want,
		"scrypt of much memory":    "$scrypt$ln=18,r=8,p=4" + salt + full,
		"scrypt of large blocks":   "$scrypt$ln=14,r=32,p=16" + salt + full,
		"PBKDF2 with SHA-1":        "$pbkdf2-sha1$i=5000000" + salt + want,
		"PBKDF2 with SHA-256":      "$pbkdf2-sha256$i=5000000" + salt + want,
		"PBKDF2 with SHA-512": "passport-local-mongoose$sha512$5000000$salt$" +
			strings.Repeat("00", maxPBKDF2Want),
		"bcrypt":              "$2b$14$" + strings.Repeat("a", 53),
		"phpass with MD5":     "$P$I" + strings.Repeat("a", 30),
		"phpass with SHA-512": "$S$I" + strings.Repeat("a", 51),
		"Firebase's scrypt": "firebase-scrypt$8$18$$AAAAAAAAAAAAAAAAAAAAAA==$AAAA$" +
			"AAAAAAAAAAAAAAAAAAAAAA==",
	}
}

// FuzzParseHash checks that any text is refused with an error that does not repeat it, or costs no
// more than is allowed.
func FuzzParseHash(f *testing.F) {
	for _, h := range hashesFromElsewhere(f) {
		f.Add(h.text)
	}
	for _, hash := range mostExpensiveHashes() {
		f.Add(hash)
	}
	f.Add(nobodysHash)
	for _, text := range []string{"{noop}password", "!", "A", "{", `{"`, "{}", "$pbkdf2-sha256$"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHash(text)
		var invalid *store.InvalidError
		switch {
		case errors.As(err, &invalid):
			if f := invalid.Fields[0]; len(invalid.Fields) != 1 ||
				len(text) > 40 && strings.Contains(f.Message, text) {
				t.Errorf("%q is refused with %v", text, err)
			}
			return
		case err != nil:
			t.Fatalf("%q is refused with %v", text, err)
		}
		memory, work, want := 0, 0, 0
		switch h := h.(type) {
		case argon2Hash:
			memory, want = int(h.memory)<<10, len(h.want)
			work = memory * int(h.passes)
		case scryptHash:
			memory, want = 128*h.r*(h.n+h.p), len(h.want)
			work = 128 * h.r * h.n * h.p
		case pbkdf2Hash:
			want = len(h.want)
			if h.iterations > maxIterations {
				t.Errorf("%q costs %d iterations", text, h.iterations)
			}
		case firebaseHash:
			memory, want = 128*h.r*(h.n+h.p), len(h.want)
			work = 128 * h.r * h.n * h.p
		case phpassHash:
			want = len(h.want) * 3 / 4
			if h.rounds > 1<<maxPhpassRounds {
				t.Errorf("%q costs %d rounds", text, h.rounds)
			}
		case bcryptHash:
			want = minWant
			if cost, err := bcrypt.Cost([]byte(h.text)); err != nil || cost > maxBcryptCost {
				t.Errorf("%q costs %d, %v", text, cost, err)
			}
		}
		if memory > maxMemory+1<<20 || work > maxWork || want < minWant {
			t.Errorf("%q takes %d bytes, %d in all, and gives %d", text, memory, work, want)
		}
	})
}

func BenchmarkHashPassword(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		hashPassword("correct horse battery staple")
	}
}

func BenchmarkTheMostExpensiveHashes(b *testing.B) {
	for name, hash := range mostExpensiveHashes() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				verifyPassword(hash, "correct horse battery staple")
			}
		})
	}
}

// TestALongPasswordCostsNoMore checks that nobody makes a hash of phpass expensive with a password
// that is as long as a request: every round digests the whole password.
func TestALongPasswordCostsNoMore(t *testing.T) {
	for name, text := range mostExpensiveHashes() {
		parsed, err := parseHash(text)
		must(t, err)
		h, ok := parsed.(phpassHash)
		if !ok {
			continue
		}
		digest := h.digest
		for length, looked := range map[int]bool{2 * maxLength: true, 16 << 10: false} {
			var digested int
			h.digest = func() hash.Hash { return countingHash{digest(), &digested} }
			h.matches(strings.Repeat("a", length))
			if digested > maxWork || (digested > 0) != looked {
				t.Errorf("%s: a password of %d bytes makes it digest %d", name, length, digested)
			}
		}
	}
}

// countingHash counts the bytes that it does not digest.
type countingHash struct {
	hash.Hash
	n *int
}

func (h countingHash) Write(b []byte) (int, error) {
	*h.n += len(b)
	return len(b), nil
}

// TestALongPasswordKeepsItsBcrypt checks that what bcrypt has not looked at does not become part of
// a password.
func TestALongPasswordKeepsItsBcrypt(t *testing.T) {
	long := strings.Repeat("ж", maxBcryptLen/2)
	hash, err := bcrypt.GenerateFromPassword([]byte(long), bcrypt.MinCost)
	must(t, err)
	for password, want := range map[string]bool{long: true, long + " and a slip": false} {
		if !verifyPassword(string(hash), password) || replaceable(string(hash), password) != want {
			t.Errorf("a password of %d bytes: %t", len(password),
				replaceable(string(hash), password))
		}
	}
	if replaceable(hashPassword(long), long) {
		t.Error("a hash of today is replaced")
	}
}

// TestWhatStandsForNoHash checks what dumps write where a user has no password, and their
// neighbours, which must not be taken for it.
func TestWhatStandsForNoHash(t *testing.T) {
	unusable := "!" + strings.Repeat("aB3", 13) + "a" // Django's
	for _, text := range []string{
		"", " ", "!", "!!", "*", "!*", "x", "NULL", "null", "Null", `\N`, "None", unusable,
		" " + unusable + "\t",
	} {
		if !IsAbsent(text) {
			t.Errorf("%q is taken for a hash", text)
		}
	}
	for _, text := range []string{
		"!!!", "**", "xx", "nul", "0", "-", "password", unusable[:40], unusable + "a",
		"!$6$salt$" + strings.Repeat("a", 86), "!$2b$12$" + strings.Repeat("a", 53),
		"!" + strings.Repeat("$", 40), "! " + unusable[2:],
	} {
		if IsAbsent(text) {
			t.Errorf("%q is taken for no hash", text)
		}
		if CheckHash(text) == nil {
			t.Errorf("%q is taken for a hash that can be verified", text)
		}
	}
}

// TestWeakHashesAreRefusedWithWhatToDo checks that the fault of a hash that is not taken says what
// it looks like and what to do.
func TestWeakHashesAreRefusedWithWhatToDo(t *testing.T) {
	const link = "Leave password_hash empty"
	for _, c := range []struct{ name, text, says string }{
		{"Spring noop", "{noop}password", "a password itself"},
		{"Dovecot plain", "{PLAIN}password", "a password itself"},
		{"Spring MD5", "{MD5}{salt}5f4dcc3b5aa765d61d8327deb882cf99", "quickly guessed"},
		{"Spring sha256", "{sha256}97cde38028ad898ebc02e690819fa220", "quickly guessed"},
		{"LDAP SSHA", "{SSHA}Fd0zE9K0Oe0w6jXvyIhrIVxdWBZDQ2Uj", "quickly guessed"},
		{"LDAP SSHA512", "{SSHA512}AAAA", "quickly guessed"},
		{"Dovecot SHA512 in hex", "{SSHA512.hex}00", "quickly guessed"},
		{"LDAP CRYPT with DES", "{CRYPT}aaQSqAReePlq6", "quickly guessed"},
		{"LDAP CRYPT with SHA-512", "{CRYPT}$6$salt$aaaa", "crypt(3) with SHA-2"},
		{"shadow SHA-512", "$6$rounds=5000$salt$aaaa", "crypt(3) with SHA-2"},
		{"shadow yescrypt", "$y$j9T$aaaa$aaaa", "yescrypt"},
		{"Apache", "$apr1$aaaa$aaaa", "quickly guessed"},
		{"MD5", "5f4dcc3b5aa765d61d8327deb882cf99", "quickly guessed"},
		{"MD5 in capitals", "5F4DCC3B5AA765D61D8327DEB882CF99", "quickly guessed"},
		{"SHA-1", "5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8", "quickly guessed"},
		{"SHA-256", strings.Repeat("0f", 32), "quickly guessed"},
		{"MySQL", "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19", "MySQL"},
		{"MySQL before 4.1", "5d2e19393cc5ef67", "MySQL"},
		{"Postgres", "md5a3556571e93b0d20722ba62be61e8c2d", "Postgres"},
		{"Postgres's SCRAM", "SCRAM-SHA-256$4096:c2FsdA==$a:a", "Postgres"},
		{"Django's MD5", "md5$salt$d653ea7ea31e77b41041e7e3d32e3e4a", "quickly guessed"},
		{"Werkzeug's SHA-1", "sha1$salt$d653ea7ea31e77b41041e7e3d32e3e4a", "quickly guessed"},
		{"Argon2d", "$argon2d$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAA", "Argon2d"},
		{"no password", `\N`, "no password"},
		{"anything", "swordfish", "of no kind that is taken"},
	} {
		err := CheckHash(c.text)
		if err == nil || !strings.Contains(err.Error(), c.says) ||
			!strings.Contains(err.Error(), link) || strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for text, says := range map[string]string{
		`"$2b$12$aaaa"`:       "quotation marks",
		`'$2b$12$aaaa'`:       "quotation marks",
		`b'$2b$12$aaaa'`:      "quotation marks",
		`="$2b$12$aaaa"`:      "quotation marks",
		"`$2b$12$aaaa`":       "quotation marks",
		`'pbkdf2_sha256$1$a$`: "quotation marks",
		`\$2b\$12\$aaaa`:      "backslash",
		`$$2b$$12$$aaaa`:      "twice",
		`%242b%2412%24aaaa`:   "URL",
	} {
		err := CheckHash(text)
		if err == nil || !strings.Contains(err.Error(), says) ||
			strings.Contains(err.Error(), link) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := CheckHash("!$6$salt$aaaa"); err == nil || !strings.Contains(err.Error(), "locked") {
		t.Errorf("a locked user: %v", err)
	}
}

// TestAnEndThatWasLost checks that a hash of ASP.NET that has lost its last character is one of its
// password still, and of no other.
func TestAnEndThatWasLost(t *testing.T) {
	const cut = "AQAAAAEAACcQAAAAEAABAgMEBQYHCAkKCwwNDg+yWU7rLgUwPZb1Itsmra7cbxw2EFpwpVFIEtP+JIuUE=="
	if !verifyPassword(cut, "my password") || verifyPassword(cut, "my passwords") {
		t.Error("it matches another password, or not its own")
	}
}

// TestUnicodeForms checks that a password matches in whatever form a keyboard writes it, also a
// hash that another program, or the version before, made of another form.
func TestUnicodeForms(t *testing.T) {
	const composed, apart, mixed = "crème brûlée é", "cre\u0300me bru\u0302le\u0301e e\u0301",
		"crème bru\u0302lée é"
	as := func(password string) string {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		must(t, err)
		return string(hash)
	}
	for name, hash := range map[string]string{
		"new": hashPassword(apart), "NFC": as(composed), "NFD": as(apart),
	} {
		for _, form := range []string{composed, apart, mixed} {
			if !verifyPassword(hash, form) {
				t.Errorf("a hash of kind %s does not match %+q", name, form)
			}
		}
		if verifyPassword(hash, "creme brulee e") {
			t.Errorf("a hash of kind %s matches without accents", name)
		}
	}
	if !verifyPassword(as(mixed), mixed) {
		t.Error("a hash of mixed forms does not match what was typed")
	}
	_, rehashed, _ := Local{}.Verify(as(apart), apart, true)
	if !isHashOfNFC(rehashed, composed) {
		t.Errorf("the hash in the place of one of NFD is %s", rehashed)
	}
	for form, n := range map[string]int{"plain": 1, "Пароль": 1, composed: 2, apart: 2, mixed: 3} {
		if got := formsOf(form); len(got) != n || got[0] != norm.NFC.String(form) {
			t.Errorf("the forms of %+q are %+q", form, got)
		}
	}
	long := strings.Repeat("e\u0301", maxLength)
	must(t, Rules{}.CheckNew(long))
	four := strings.Repeat("e\u0301", 4)
	if (Rules{}).CheckNew(long+"a") == nil || (Rules{}).CheckNew(four) == nil {
		t.Error("the length is not that of NFC")
	}
}

// isHashOfNFC reports whether the hash matches NFC itself, without another form being tried.
func isHashOfNFC(hash, password string) bool {
	h, err := parseHash(hash)
	return err == nil && h.matches(password)
}
