package store

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

const (
	// MaxIdempotencyKey is the longest key in bytes.
	MaxIdempotencyKey = 255

	// IdempotencyTTL is how long a key is remembered.
	IdempotencyTTL = 24 * time.Hour
)

// Fingerprint gives 128 bits that are the same for the same writable members, and for no others.
func (c Cliente) Fingerprint() string {
	h := sha256.New()
	for _, t := range c.Texts() {
		s := *t.Value
		// With its length, so that no two texts can be cut in another way.
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}
