package store

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

const (
	// MaxIdempotencyKey is the longest idempotency key, in bytes.
	MaxIdempotencyKey = 255

	// IdempotencyTTL is how long a key is remembered at least. It stands for its record until
	// DeleteIdempotencyKeys removes it. If a call compared its age, a clock that is ahead would
	// make a second record.
	IdempotencyTTL = 24 * time.Hour
)

// Fingerprint returns 128 bits that are the same for equal texts, and differ for any others.
func (c Cliente) Fingerprint() string {
	h := sha256.New()
	for _, t := range c.Texts() {
		s := *t.Value
		// The length keeps two texts from being cut at another place.
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}
