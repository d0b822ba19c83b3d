package auth

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"clientes/store"
)

// The length of a password in characters: NIST SP 800-63B section 3.1.1.2 wants 8 at least and asks for 64
// or more to be taken.
const (
	MinPassword = 8
	MaxPassword = 256
)

// argon2Params is the cost of a hash of a password.
type argon2Params struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
}

// current is OWASP's minimum for Argon2id (Password Storage Cheat Sheet): about 27 ms and 19 MiB.
var current = argon2Params{memory: 19 * 1024, passes: 2, threads: 1}

const (
	saltLen = 16
	hashLen = 32

	// Hashes from elsewhere that cost more than these are refused, so that one can not burn the processor.
	maxMemory     = 256 * 1024 // KiB
	maxPasses     = 16
	maxThreads    = 16
	maxBcryptCost = 14
)

// nobodysHash has the cost of a real one and no password: what an unknown user's password is held against,
// so that it takes the same time.
const nobodysHash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$" +
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// checkNewPassword says whether somebody may take this password, as a *store.InvalidError on "password".
func checkNewPassword(password string) error {
	fault := func(code, message string) error {
		return &store.InvalidError{Fields: []store.FieldError{{Field: "password", Code: code, Message: message}}}
	}
	switch n := utf8.RuneCountInString(password); {
	case !utf8.ValidString(password):
		return fault("invalid_text", "The password is not valid UTF-8.")
	case n < MinPassword:
		return fault("too_short", fmt.Sprintf("A password has at least %d characters.", MinPassword))
	case n > MaxPassword:
		return fault("too_long", fmt.Sprintf("A password has at most %d characters.", MaxPassword))
	}
	return nil
}

// hashPassword gives a new Argon2id hash in PHC form.
func hashPassword(password string) string {
	salt := make([]byte, saltLen)
	rand.Read(salt) // never fails, see crypto/rand
	h := argon2.IDKey([]byte(password), salt, current.passes, current.memory, current.threads, hashLen)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		current.memory, current.passes, current.threads, b64.EncodeToString(salt), b64.EncodeToString(h))
}

// verifyPassword says whether the hash is one of this password. A hash of a kind that is not known matches
// nothing.
func verifyPassword(hash, password string) bool {
	if isBcrypt(hash) {
		// Like every bcrypt, it looks at the first 72 bytes only.
		return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
	}
	p, salt, want, ok := parseArgon2(hash)
	if !ok {
		return false
	}
	got := argon2.IDKey([]byte(password), salt, p.passes, p.memory, p.threads, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1
}

// isCurrentHash says whether the hash is of the kind and cost that new ones have.
func isCurrentHash(hash string) bool {
	p, salt, want, ok := parseArgon2(hash)
	return ok && p == current && len(salt) == saltLen && len(want) == hashLen
}

// knownHash says whether verifyPassword can check the hash.
func knownHash(hash string) bool {
	_, _, _, ok := parseArgon2(hash)
	return ok || isBcrypt(hash)
}

// isBcrypt says whether the hash is bcrypt of a version that others write and a cost that we can bear; the
// library takes any letter for the version, and any cost.
func isBcrypt(hash string) bool {
	if len(hash) != 60 || hash[0:2] != "$2" || hash[3] != '$' || !strings.ContainsRune("aby", rune(hash[2])) {
		return false
	}
	cost, err := bcrypt.Cost([]byte(hash))
	return err == nil && cost <= maxBcryptCost
}

// parseArgon2 reads an Argon2id hash in PHC form, with exactly the parameters m, t and p.
func parseArgon2(hash string) (p argon2Params, salt, want []byte, ok bool) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v=19" {
		return p, nil, nil, false
	}
	n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.passes, &p.threads)
	if err != nil || n != 3 || parts[3] != fmt.Sprintf("m=%d,t=%d,p=%d", p.memory, p.passes, p.threads) {
		return p, nil, nil, false
	}
	if p.passes < 1 || p.passes > maxPasses || p.threads < 1 || p.threads > maxThreads ||
		p.memory < 8*uint32(p.threads) || p.memory > maxMemory {
		return p, nil, nil, false
	}
	b64 := base64.RawStdEncoding.Strict()
	salt, err = b64.DecodeString(parts[4])
	if err != nil || len(salt) < 8 || len(salt) > 64 {
		return p, nil, nil, false
	}
	want, err = b64.DecodeString(parts[5])
	if err != nil || len(want) < 16 || len(want) > 64 {
		return p, nil, nil, false
	}
	return p, salt, want, true
}
