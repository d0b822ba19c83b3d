package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"hash/crc32"
	"strings"
)

// The text of a key is [KeyPrefix], 30 random characters of base62, and 6 more with the CRC-32
// (IEEE) of all that precedes. So a scanner for secrets knows a key without asking anybody, and a
// key with a typing error costs no question to the store. 30 characters have 178 random bits.
const (
	// KeyPrefix is what every key of a program begins with, and no other token.
	KeyPrefix = "clk_"

	keyRandom   = 30
	keyChecksum = 6
	keySize     = len(KeyPrefix) + keyRandom + keyChecksum

	base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// KeyHash is the SHA-256 of a key. No more is needed: what has 178 random bits cannot be guessed.
type KeyHash [sha256.Size]byte

// String returns the hash in base64url, as the store keeps it.
func (h KeyHash) String() string { return base64.RawURLEncoding.EncodeToString(h[:]) }

// NewKey returns the text of another key, and its hash.
func NewKey() (text string, hash KeyHash) {
	b := make([]byte, 0, keySize)
	b = append(b, KeyPrefix...)
	for len(b) < len(KeyPrefix)+keyRandom {
		var random [keyRandom]byte
		rand.Read(random[:]) // never fails, see crypto/rand
		for _, r := range random {
			// Larger ones would make some characters likelier than others.
			if r < 4*62 && len(b) < len(KeyPrefix)+keyRandom {
				b = append(b, base62[r%62])
			}
		}
	}
	text = string(b) + checksum(b)
	return text, HashKey(text)
}

// checksum returns the CRC-32 of what precedes it in a key, in base62 with zeros in front.
func checksum(b []byte) string {
	var digits [keyChecksum]byte
	sum := crc32.ChecksumIEEE(b)
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = base62[sum%62]
		sum /= 62
	}
	return string(digits[:])
}

// IsKey reports whether a text was meant as a key of a program, good or bad.
func IsKey(text string) bool { return strings.HasPrefix(text, KeyPrefix) }

// HashKey returns the hash of a text that may be a key. [CheckKey] reports whether it is one.
func HashKey(text string) KeyHash { return sha256.Sum256([]byte(text)) }

// CheckKey returns nil for the text of a key. It refuses any other with [ErrInvalid].
func CheckKey(text string) error {
	random := len(KeyPrefix) + keyRandom
	switch {
	case !IsKey(text):
		return invalid("A key begins with clk_.")
	case len(text) != keySize || strings.Trim(text[len(KeyPrefix):], base62) != "":
		return invalid("A key is clk_ and 36 letters and digits; this one may be cut off.")
	case checksum([]byte(text[:random])) != text[random:]:
		return invalid("The checksum of the key is wrong: a character of it was changed.")
	}
	return nil
}
