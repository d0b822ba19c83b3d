package password

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// bcryptHash is bcrypt as crypt(3) writes it.
type bcryptHash struct {
	text   string
	digest func(password string) string // so some avoid the limit of 72 bytes; nil for none
}

// matches looks only at the first 72 bytes of a password, as every bcrypt does.
func (h bcryptHash) matches(password string) bool {
	if h.digest != nil {
		password = h.digest(password)
	}
	return bcrypt.CompareHashAndPassword([]byte(h.text), []byte(password)) == nil
}

func (h bcryptHash) algorithm() string {
	if h.digest != nil {
		return "bcrypt of a digest"
	}
	return "bcrypt"
}

// replaceable reports whether a hash that matched a password may be replaced by a hash of today's
// kind. It may not if bcrypt looked only at the beginning: the rest may have been a typing error.
func replaceable(hash, password string) bool {
	h, err := parseHash(hash)
	isLong := func(form string) bool { return len(form) > maxBcryptLen }
	b, ok := h.(bcryptHash)
	if ok && b.digest == nil && slices.ContainsFunc(formsOf(password), isLong) {
		return false
	}
	return err == nil && !isCurrentHash(hash)
}

// maxBcryptLen is how much of a password bcrypt looks at, in bytes.
const maxBcryptLen = 72

// isBcrypt reports whether text begins like bcrypt of a version that is correct. The library takes
// any letter, and so also 2x, whose hashes come from another function.
func isBcrypt(text string) bool {
	return slices.ContainsFunc([]string{"$2a$", "$2b$", "$2y$"}, func(version string) bool {
		return strings.HasPrefix(text, version)
	})
}

// parseBcrypt reads "$2b$12$" and 53 characters of salt and hash.
func parseBcrypt(text string) (passwordHash, error) {
	return parseDigested(text, nil)
}

// parseDjangoBcrypt reads "bcrypt$" or "bcrypt_sha256$", and bcrypt. The second is of the
// password's SHA-256 in hex.
func parseDjangoBcrypt(text string) (passwordHash, error) {
	kind, text, _ := strings.Cut(text, "$")
	if kind == "bcrypt" {
		return parseDigested(text, nil)
	}
	return parseDigested(text, func(password string) string {
		sum := sha256.Sum256([]byte(password))
		return hex.EncodeToString(sum[:])
	})
}

// parseWordPress reads "$wp" and bcrypt, as WordPress makes it since 6.8: of an HMAC.
func parseWordPress(text string) (passwordHash, error) {
	return parseDigested(strings.TrimPrefix(text, "$wp"), func(password string) string {
		mac := hmac.New(sha512.New384, []byte("wp-sha384"))
		mac.Write([]byte(password))
		return base64.StdEncoding.EncodeToString(mac.Sum(nil))
	})
}

// parsePasslibBcrypt reads passlib's bcrypt_sha256: "$bcrypt-sha256$v=2,t=2b,r=12$salt$hash", of an
// HMAC with the salt, or "$bcrypt-sha256$2b,12$salt$hash", of a digest.
func parsePasslibBcrypt(text string) (passwordHash, error) {
	fields := strings.Split(text, "$")[2:]
	if len(fields) != 3 || len(fields[1]) != 22 {
		return nil, malformedHash("A hash of passlib's bcrypt_sha256 has parameters, salt and hash, " +
			"as in $bcrypt-sha256$v=2,t=2b,r=12$salt$hash.")
	}
	salt := fields[1]
	params, keyed := strings.CutPrefix(fields[0], "v=2,t=")
	version, rounds, _ := strings.Cut(params, ",")
	if keyed {
		var ok bool
		if rounds, ok = strings.CutPrefix(rounds, "r="); !ok {
			return nil, malformedHash("A hash of passlib's bcrypt_sha256 has the parameters v, t " +
				"and r, as in v=2,t=2b,r=12.")
		}
	}
	cost, ok := number(rounds)
	if !ok {
		return nil, malformedHash("The rounds of passlib's bcrypt_sha256 are a whole number.")
	}
	crypted := fmt.Sprintf("$%s$%02d$%s%s", version, cost, salt, fields[2])
	return parseDigested(crypted, func(password string) string {
		if !keyed {
			sum := sha256.Sum256([]byte(password))
			return base64.StdEncoding.EncodeToString(sum[:])
		}
		mac := hmac.New(sha256.New, []byte(salt))
		mac.Write([]byte(password))
		return base64.StdEncoding.EncodeToString(mac.Sum(nil))
	})
}

// parseDigested reads bcrypt of a digest of the password, or of the password itself if digest is
// nil.
func parseDigested(text string, digest func(string) string) (passwordHash, error) {
	const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	if !isBcrypt(text) {
		return nil, unknownHash(text)
	}
	if len(text) != 60 || text[6] != '$' || strings.Trim(text[7:], alphabet) != "" {
		return nil, malformedHash("A bcrypt hash has 60 characters, as in $2b$12$…, " +
			"the last 53 of them of A-Z, a-z, 0-9, . and /.")
	}
	cost, err := bcrypt.Cost([]byte(text))
	switch {
	case err != nil || text[4:6] != fmt.Sprintf("%02d", cost):
		return nil, malformedHash("The cost of a bcrypt hash is a number from 04 to 31.")
	case cost > maxBcryptCost:
		return nil, costlyHash(fmt.Sprintf("A bcrypt hash may have the cost %d at most.",
			maxBcryptCost))
	}
	return bcryptHash{text: text, digest: digest}, nil
}
