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
// any holder of it can check one with any JWT library.
type key struct {
	id      string // the kid: says which secret, and nothing about it
	secret  []byte
	refresh []byte // derived from it, see refresh.go
	link    []byte // derived from it, see link.go
	cursor  []byte // derived from it, see cursor.go
	attempt []byte // derived from it, see attempt.go
	device  []byte // derived from it, see device.go
	seal    []byte // derived from it, see mfa.go
}

func newKey(secret string) (key, error) {
	if err := CheckSecret(secret); err != nil {
		return key{}, err
	}
	id, err := hkdf.Key(sha256.New, []byte(secret), nil, "clientes kid", 8)
	if err != nil {
		return key{}, fmt.Errorf("derive kid: %w", err)
	}
	refresh, err := deriveRefreshKey(secret)
	if err != nil {
		return key{}, fmt.Errorf("derive key of refresh tokens: %w", err)
	}
	link, err := deriveLinkKey(secret)
	if err != nil {
		return key{}, fmt.Errorf("derive key of links: %w", err)
	}
	cursor, err := deriveCursorKey(secret)
	if err != nil {
		return key{}, fmt.Errorf("derive key of cursors: %w", err)
	}
	attempt, err := deriveAttemptKey(secret)
	if err != nil {
		return key{}, fmt.Errorf("derive key of attempts: %w", err)
	}
	device, err := deriveDeviceKey(secret)
	if err != nil {
		return key{}, fmt.Errorf("derive key of marks of devices: %w", err)
	}
	seal, err := deriveSealKey(secret)
	if err != nil {
		return key{}, fmt.Errorf("derive key of second factors: %w", err)
	}
	return key{
		id: base64.RawURLEncoding.EncodeToString(id), secret: []byte(secret), refresh: refresh, link: link,
		cursor: cursor, attempt: attempt, device: device, seal: seal,
	}, nil
}

// signed says whether mac is HMAC-SHA-256 of text under k.
func (k key) signed(text string, mac []byte) bool {
	h := hmac.New(sha256.New, k.secret)
	h.Write([]byte(text))
	return hmac.Equal(h.Sum(nil), mac)
}
