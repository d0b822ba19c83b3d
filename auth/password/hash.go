package password

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"clientes/store"
)

// passwordHash is a hash of a password, read from its text.
type passwordHash interface {
	// matches reports whether it is a hash of this password.
	matches(password string) bool

	// algorithm returns the name of what made it.
	algorithm() string
}

// current is OWASP's minimum for Argon2id (Password Storage Cheat Sheet): about 27 ms and 19 MiB.
var current = argon2Params{memory: 19 * 1024, passes: 2, threads: 1}

const (
	saltLen = 16
	hashLen = 32
)

// Hashes from elsewhere that cost more than these limits are refused, so that none can burn the
// processor or take the memory. Each limit is above what the makers of its kind advise, and allows
// 0.7 to 2.7 seconds at most (BenchmarkTheMostExpensiveHashes).
const (
	maxMemory     = 256 << 20 // bytes that Argon2 and scrypt hold at once
	maxWork       = 1 << 30   // bytes that they fill in all: the memory times the passes
	maxParallel   = 16        // of Argon2, and scrypt's p
	maxIterations = 5_000_000 // of PBKDF2
	maxBcryptCost = 14
)

// The most that the parts of a hash may have. passport-local-mongoose keeps 512 bytes of a hash, by
// far the most.
const (
	maxHashText    = 2048
	maxSalt        = 256
	minWant        = 16
	maxWant        = 64
	maxPBKDF2Want  = 512
	maxScryptBlock = 32 // scrypt's r, 8 everywhere: the memory beside N blocks grows with it
)

// nobodysHash has the cost of a real hash, and no password matches it. The password of an unknown
// user is verified against it, so that it takes the same time.
const nobodysHash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$" +
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// hashPassword returns a new Argon2id hash of the password's NFC in PHC form.
func hashPassword(password string) string {
	password = norm.NFC.String(password)
	salt := make([]byte, saltLen)
	rand.Read(salt) // never fails, see crypto/rand
	c := current
	h := argon2.IDKey([]byte(password), salt, c.passes, c.memory, c.threads, hashLen)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		c.memory, c.passes, c.threads, b64.EncodeToString(salt), b64.EncodeToString(h))
}

// verifyPassword reports whether text is a hash of this password. A hash of an unknown kind, such
// as the "" of a user without a password or of no user, matches nothing, after the same work.
//
// A keyboard may write é as one character or as two. New hashes are of the NFC of a password (see
// [hashPassword]). Older ones, and those from elsewhere, may be of what was typed. So each form is
// tried until one matches. That is one form for most passwords and three at most, whoever the user
// is.
func verifyPassword(text, password string) bool {
	h, err := parseHash(text)
	known := err == nil
	if !known {
		h, _ = parseHash(nobodysHash)
	}
	for _, form := range formsOf(password) {
		if h.matches(form) && known {
			return true
		}
	}
	return false
}

// formsOf returns the different forms in which a keyboard may have written a password, NFC first.
func formsOf(password string) []string {
	forms := []string{norm.NFC.String(password)}
	for _, form := range []string{password, norm.NFD.String(password)} {
		if !slices.Contains(forms, form) {
			forms = append(forms, form)
		}
	}
	return forms
}

// isCurrentHash reports whether the hash is of the kind and cost that new ones have.
func isCurrentHash(text string) bool {
	h, err := parseHash(text)
	if err != nil {
		return false
	}
	a, ok := h.(argon2Hash)
	return ok && a.kind == "argon2id" && a.argon2Params == current &&
		len(a.salt) == saltLen && len(a.want) == hashLen
}

// CheckHash returns a *[store.InvalidError] on "password_hash" unless text is a hash that
// [Hasher] can verify at a bearable cost. The error repeats nothing of the text.
func CheckHash(text string) error {
	_, err := parseHash(text)
	return err
}

// Algorithm returns the name of what made a hash that [CheckHash] accepts, "" for other texts.
func Algorithm(text string) string {
	h, err := parseHash(text)
	if err != nil {
		return ""
	}
	return h.algorithm()
}

// IsAbsent reports whether text is what other systems write in the place of a hash for a user
// without a password: nothing; Django's "!" and 40 characters; the "!", "!!", "*", "!*" and "x" of
// /etc/passwd and /etc/shadow; NULL, \N and None of dumps. A hash behind a "!" is none of these:
// its user is locked, and must not come in by a link.
func IsAbsent(text string) bool {
	switch text = store.Trim(text); strings.ToLower(text) {
	case "", "!", "!!", "*", "!*", "x", "null", `\n`, "none":
		return true
	}
	unusable, ok := strings.CutPrefix(text, "!")
	isOther := func(r rune) bool { return r > '~' || !unicode.IsLetter(r) && !unicode.IsDigit(r) }
	return ok && len(unusable) == 40 && !strings.ContainsFunc(unusable, isOther)
}

// format is a way in which programs write hashes: how its texts begin, and what reads them.
type format struct {
	prefix string
	parse  func(text string) (passwordHash, error)
}

// formats returns all of them. A text that begins like one is of no other.
func formats() []format {
	return []format{
		// PHC, crypt(3), passlib
		{"$2a$", parseBcrypt},
		{"$2b$", parseBcrypt},
		{"$2y$", parseBcrypt},
		{"$argon2i$", parseArgon2},
		{"$argon2id$", parseArgon2},
		{"$scrypt$", parseScrypt},
		{"$pbkdf2-sha1$", parsePBKDF2},
		{"$pbkdf2-sha256$", parsePBKDF2},
		{"$pbkdf2-sha512$", parsePBKDF2},
		{"$pbkdf2$", parsePBKDF2},
		{"$bcrypt-sha256$", parsePasslibBcrypt},

		// WordPress, phpBB, Drupal 7 to 9
		{"$wp$", parseWordPress},
		{"$P$", parsePhpass},
		{"$H$", parsePhpass},
		{"$S$", parsePhpass},

		// Django
		{"argon2$", parseDjangoArgon2},
		{"bcrypt$", parseDjangoBcrypt},
		{"bcrypt_sha256$", parseDjangoBcrypt},
		{"scrypt$", parseDjangoScrypt},
		{"pbkdf2_sha1$", parseDjangoPBKDF2},
		{"pbkdf2_sha256$", parseDjangoPBKDF2},
		{"pbkdf2_sha512$", parseDjangoPBKDF2},

		// Werkzeug
		{"pbkdf2:", parseWerkzeugPBKDF2},
		{"scrypt:", parseWerkzeugScrypt},

		// what these pages put together from the fields of others
		{"passport-local-mongoose$", parsePassport},
		{"firebase-scrypt$", parseFirebase},

		{"{", parseBraced}, // Spring Security, LDAP, Keycloak
		{"A", parseASPNET},
	}
}

// parseHash reads a hash that can be verified at a bearable cost. For others it returns the error
// of [CheckHash].
func parseHash(text string) (passwordHash, error) {
	if len(text) > maxHashText {
		return nil, malformedHash(fmt.Sprintf("A hash has at most %d characters.", maxHashText))
	}
	strange := func(r rune) bool { return r <= ' ' || r > '~' }
	if isJSON(text) {
		strange = func(r rune) bool { return r > '~' }
	}
	if strings.ContainsFunc(text, strange) { // also a line break, which base64 decoders skip
		return nil, malformedHash("A hash has neither spaces nor characters beyond ASCII.")
	}
	if text == "" { // of no user, or of one without a password: the quickest of all
		return nil, hashFault("required", "A hash of the password is required.")
	}
	for _, f := range formats() {
		if strings.HasPrefix(text, f.prefix) {
			return f.parse(text)
		}
	}
	return nil, unknownHash(text)
}
