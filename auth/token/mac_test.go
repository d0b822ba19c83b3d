package token

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"strings"
	"sync"
	"testing"
)

// plainMAC is HMAC-SHA-256 as the standard library computes it.
func plainMAC(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// TestMACsThatAreKept checks that they are those of the standard library, whatever was hashed
// before and by how many at once.
func TestMACsThatAreKept(t *testing.T) {
	for _, size := range []int{1, 32, 64, 65, 200} {
		key := bytes.Repeat([]byte{'k'}, size)
		k := newMACKey(key)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for n := range 200 {
					a, b := strings.Repeat("a", n), strings.Repeat("b", i*n)
					want := plainMAC(key, a+b)
					if got := k.appendSum([]byte("x"), a, b); string(got) != "x"+string(want) {
						t.Errorf("a key of %d bytes, round %d: %x, want %x", size, n, got, want)
					}
					if !k.matches(want, len(want), a, b) || !k.matches(want[:16], 16, a, b) {
						t.Errorf("a key of %d bytes, round %d: a good MAC is refused", size, n)
					}
					want[n%16] ^= 1
					for _, bad := range [][]byte{nil, {}, want, want[:16], append(want, 0)} {
						if k.matches(bad, 32, a, b) || k.matches(bad, 16, a, b) {
							t.Errorf("a key of %d bytes, round %d: %x is taken", size, n, bad)
						}
					}
				}
			})
		}
		all.Wait()
	}
}

func BenchmarkMAC(b *testing.B) {
	key, text := []byte(testSecret), strings.Repeat("a", 40)
	k := newMACKey(key)
	mac := plainMAC(key, text)
	for range 3 { // in turns, because a machine is never as quick twice
		b.Run("kept", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				k.matches(mac, len(mac), text)
			}
		})
		b.Run("new", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				hmac.Equal(mac, plainMAC(key, text))
			}
		})
	}
}
