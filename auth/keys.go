package auth

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// MinSecret is the shortest secret in bytes: a key of the size of the hash's output (RFC 7518 section 3.2,
// RFC 8725 section 3.5).
const MinSecret = 32

// CheckSecret says what is wrong with a signing secret, without repeating it.
func CheckSecret(secret string) error {
	switch {
	case len(secret) < MinSecret:
		return fmt.Errorf("it has %d bytes, and %d or more are needed", len(secret), MinSecret)
	case strings.Contains(secret, ","):
		return errors.New("it holds a comma, which separates secrets from each other")
	}
	return nil
}

// key is one secret that tokens may be signed with. Its own bytes are the key of access tokens, so that
// any holder of it can check one with any JWT library. Everything else has a key of its own that is derived from it
// (HKDF, RFC 5869), so that nothing that is made for one purpose is ever good for another.
type key struct {
	id      string // the kid: says which secret, and nothing about it
	secret  []byte
	refresh []byte // see refresh.go
	link    []byte // see link.go
	cursor  []byte // see cursor.go
	attempt []byte // see tally.go
	device  []byte // see device.go
	seal    []byte // see mfa.go
}

func newKey(secret string) (key, error) {
	if err := CheckSecret(secret); err != nil {
		return key{}, err
	}
	k := key{secret: []byte(secret)}
	var id []byte
	for _, d := range []struct {
		label string
		bytes int
		to    *[]byte
	}{
		{"clientes kid", 8, &id},
		{"clientes refresh token", sha256.Size, &k.refresh},
		{"clientes link", sha256.Size, &k.link},
		{"clientes cursor", sha256.Size, &k.cursor},
		{"clientes attempts", sha256.Size, &k.attempt},
		{"clientes device mark", sha256.Size, &k.device},
		{"clientes second factor", 32, &k.seal}, // AES-256
	} {
		var err error
		if *d.to, err = hkdf.Key(sha256.New, k.secret, nil, d.label, d.bytes); err != nil {
			return key{}, fmt.Errorf("derive the key of %q: %w", d.label, err)
		}
	}
	k.id = base64.RawURLEncoding.EncodeToString(id)
	return k, nil
}

// signed says whether mac is HMAC-SHA-256 of text under k.
func (k key) signed(text string, mac []byte) bool {
	h := hmac.New(sha256.New, k.secret)
	h.Write([]byte(text))
	return hmac.Equal(h.Sum(nil), mac)
}
