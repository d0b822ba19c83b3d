package token

import (
	"crypto/rand"
	"encoding/base64"
)

// SessionID is the 128 bits that name a session.
type SessionID [16]byte

// ParseSessionID reads the text form of a SessionID: 22 characters of base64url.
func ParseSessionID(s string) (id SessionID, ok bool) {
	if base64.RawURLEncoding.DecodedLen(len(s)) != len(id) {
		return id, false
	}
	n, err := strictBase64.Decode(id[:], []byte(s))
	return id, err == nil && n == len(id)
}

// String returns the text form.
func (id SessionID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// NewID returns 128 random bits in base64url. Sessions, access tokens and devices have such an id.
func NewID() string {
	var b SessionID
	rand.Read(b[:]) // never fails, see crypto/rand
	return b.String()
}
