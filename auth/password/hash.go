package password

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// passwordHash is a hash of a password, read from its text.
type passwordHash interface {
	// matches reports whether it is a hash of this password.
	matches(password string) bool
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

// hashPassword returns a new Argon2id hash in PHC form.
func hashPassword(password string) string {
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
func verifyPassword(text, password string) bool {
	h, err := parseHash(text)
	if err != nil {
		verifyPassword(nobodysHash, password)
		return false
	}
	return h.matches(password)
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
	if text == "" {
		return hashFault("required", "A hash of the password is required.")
	}
	_, err := parseHash(text)
	return err
}

// parseHash reads a hash that can be verified at a bearable cost. For others it returns the error
// of [CheckHash].
func parseHash(text string) (passwordHash, error) {
	strange := func(r rune) bool { return r <= ' ' || r > '~' }
	switch {
	case len(text) > maxHashText:
		return nil, malformedHash(fmt.Sprintf("A hash has at most %d characters.", maxHashText))
	case strings.ContainsFunc(text, strange): // also a line break, which base64 decoders skip
		return nil, malformedHash("A hash has neither spaces nor characters beyond ASCII.")
	}
	kind, rest, _ := strings.Cut(text, "$")
	if kind == "" {
		return parsePHC(text, strings.Split(rest, "$"))
	}
	return parseDjango(kind, rest)
}

// parsePHC reads a hash of the form "$kind$…": PHC, or the older crypt(3).
func parsePHC(text string, fields []string) (passwordHash, error) {
	kind, fields := fields[0], fields[1:]
	switch kind {
	case "2a", "2b", "2y":
		return parseBcrypt(text)
	case "argon2i", "argon2id":
		return parseArgon2(kind, fields)
	case "scrypt":
		return parseScrypt(fields)
	case "pbkdf2-sha1", "pbkdf2-sha256", "pbkdf2-sha512":
		return parsePBKDF2(kind[len("pbkdf2-"):], fields)
	}
	return nil, unknownHash()
}

// parseDjango reads a hash of the form "kind$…": Django's, or that of passport-local-mongoose.
func parseDjango(kind, rest string) (passwordHash, error) {
	fields := strings.Split(rest, "$")
	switch kind {
	case "bcrypt", "bcrypt_sha256":
		if !isBcrypt(rest) {
			return nil, unknownHash()
		}
		h, err := parseBcrypt(rest)
		h.digested = kind == "bcrypt_sha256"
		return h, err
	case "argon2": // PHC follows
		if kind := fields[0]; kind == "argon2i" || kind == "argon2id" {
			return parseArgon2(kind, fields[1:])
		}
	case "scrypt":
		return parseDjangoScrypt(fields)
	case "pbkdf2_sha1", "pbkdf2_sha256", "pbkdf2_sha512":
		return parseDjangoPBKDF2(kind[len("pbkdf2_"):], fields)
	case "passport-local-mongoose":
		return parsePassport(fields)
	}
	return nil, unknownHash()
}
