package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
)

// cursorMAC is how much of the MAC a cursor bears: a forged one shows no more than the next page of a list that its
// forger may read anyway.
const cursorMAC = 16

// cursorSum is the MAC of a place in a list.
func (k key) cursorSum(list, place string) []byte {
	h := hmac.New(sha256.New, k.cursor)
	h.Write([]byte(list))
	h.Write([]byte{0}) // neither holds one
	h.Write([]byte(place))
	return h.Sum(nil)[:cursorMAC]
}

// SignCursor gives an opaque text in base64url that stands for a place in a list. The list is named by all that a cursor
// of another one must not be taken for: what is listed, its order and its filters. Neither may hold a NUL.
func (a *Auth) SignCursor(list, place string) string {
	return base64.RawURLEncoding.EncodeToString(append([]byte(place), a.tokens.keys[0].cursorSum(list, place)...))
}

// ParseCursor gives the place of a cursor that SignCursor made of the same list, under any of the secrets.
func (a *Auth) ParseCursor(list, cursor string) (place string, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) < cursorMAC || base64.RawURLEncoding.EncodedLen(len(b)) != len(cursor) {
		return "", false // the decoder skips line breaks, and only the exact text counts
	}
	place, sum := string(b[:len(b)-cursorMAC]), b[len(b)-cursorMAC:]
	for _, k := range a.tokens.keys {
		if hmac.Equal(k.cursorSum(list, place), sum) {
			return place, true
		}
	}
	return "", false
}
