package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"
)

// macKey computes HMAC-SHA-256 under one key. It is safe for concurrent use.
//
// A new HMAC first hashes the key, in two blocks, and takes half a kilobyte. A used one remembers
// the state after that, and Reset returns to it. So used ones are kept, and to refuse a forged
// token costs half (BenchmarkVerify/forged, BenchmarkMAC).
type macKey struct {
	key  []byte
	idle sync.Pool // of *macState
}

type macState struct {
	hash hash.Hash
	text []byte
	sum  []byte
}

func newMACKey(key []byte) *macKey { return &macKey{key: key} }

// appendSum appends the MAC of the parts, as one text, to b.
func (k *macKey) appendSum(b []byte, parts ...string) []byte {
	s := k.hashed(parts)
	defer k.idle.Put(s)
	return append(b, s.sum...)
}

// matches reports whether mac is the MAC of the parts, cut to size bytes. The time that it takes
// does not depend on where the two differ.
func (k *macKey) matches(mac []byte, size int, parts ...string) bool {
	s := k.hashed(parts)
	defer k.idle.Put(s)
	return hmac.Equal(s.sum[:size], mac)
}

// hashed returns a state whose sum is the MAC of the parts. The caller puts it back into idle.
func (k *macKey) hashed(parts []string) *macState {
	s, ok := k.idle.Get().(*macState)
	if !ok {
		s = &macState{hash: hmac.New(sha256.New, k.key)}
	}
	s.hash.Reset()
	s.text = s.text[:0]
	for _, part := range parts {
		s.text = append(s.text, part...)
	}
	s.hash.Write(s.text)
	s.sum = s.hash.Sum(s.sum[:0])
	return s
}
