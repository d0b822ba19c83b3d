package password

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// bcryptHash is bcrypt as crypt(3) writes it.
type bcryptHash struct {
	text     string
	digested bool // of the password's SHA-256 in hex: so Django avoids the limit of 72 bytes
}

// matches looks only at the first 72 bytes of a password, as every bcrypt does.
func (h bcryptHash) matches(password string) bool {
	if h.digested {
		sum := sha256.Sum256([]byte(password))
		password = hex.EncodeToString(sum[:])
	}
	return bcrypt.CompareHashAndPassword([]byte(h.text), []byte(password)) == nil
}

// replaceable reports whether a hash that matched a password may be replaced by a hash of today's
// kind. It may not if bcrypt looked only at the beginning: the rest may have been a typing error.
func replaceable(hash, password string) bool {
	h, err := parseHash(hash)
	if b, ok := h.(bcryptHash); ok && !b.digested && len(password) > maxBcryptLen {
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
func parseBcrypt(text string) (bcryptHash, error) {
	const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	if len(text) != 60 || text[6] != '$' || strings.Trim(text[7:], alphabet) != "" {
		return bcryptHash{}, malformedHash("A bcrypt hash has 60 characters, as in $2b$12$…, " +
			"the last 53 of them of A-Z, a-z, 0-9, . and /.")
	}
	cost, err := bcrypt.Cost([]byte(text))
	switch {
	case err != nil || text[4:6] != fmt.Sprintf("%02d", cost):
		return bcryptHash{}, malformedHash("The cost of a bcrypt hash is a number from 04 to 31.")
	case cost > maxBcryptCost:
		return bcryptHash{}, costlyHash(fmt.Sprintf("A bcrypt hash may have the cost %d at most.",
			maxBcryptCost))
	}
	return bcryptHash{text: text}, nil
}
