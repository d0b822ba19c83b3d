package password

import (
	"crypto/md5"
	"crypto/sha512"
	"fmt"
	"hash"
	"strings"
)

// phpassHash is the portable hash of phpass: a digest of a digest, many times. WordPress before 6.8
// and phpBB take MD5, and Drupal 7 to 9 SHA-512.
type phpassHash struct {
	digest func() hash.Hash
	rounds int
	salt   string
	want   string // in the alphabet of crypt(3), perhaps the beginning only
}

// maxPhpassRounds is the logarithm of the most rounds: WordPress takes 13, Drupal 16, and passlib
// 19.
const maxPhpassRounds = 20

// cryptAlphabet is that of phpass, which counts in it, too.
const cryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// matches looks at no password that would take more work than [maxWork]: each round digests all of
// it. With the most rounds that is one of a thousand bytes.
func (h phpassHash) matches(password string) bool {
	d, secret := h.digest(), []byte(password)
	if len(secret) > maxWork/h.rounds-d.Size() {
		return false
	}
	d.Write([]byte(h.salt + password))
	sum := d.Sum(nil)
	for range h.rounds {
		d.Reset()
		d.Write(sum)
		d.Write(secret)
		sum = d.Sum(sum[:0])
	}
	return same([]byte(encodeCrypt(sum)[:len(h.want)]), []byte(h.want))
}

func (h phpassHash) algorithm() string { return "phpass" }

// parsePhpass reads "$P$", a character for the rounds, eight of salt, and the hash.
func parsePhpass(text string) (passwordHash, error) {
	h, length := phpassHash{digest: md5.New}, 34
	if strings.HasPrefix(text, "$S$") {
		h.digest, length = sha512.New, 55
	}
	if len(text) != length || strings.Trim(text[3:], cryptAlphabet) != "" {
		return nil, malformedHash(fmt.Sprintf("A hash of phpass has %d characters, as in $P$B…, "+
			"those behind the second $ of A-Z, a-z, 0-9, . and /.", length))
	}
	log := strings.IndexByte(cryptAlphabet, text[3])
	switch {
	case log < 7:
		return nil, malformedHash("The fourth character of a hash of phpass stands for 2^7 rounds " +
			"or more.")
	case log > maxPhpassRounds:
		return nil, costlyHash(fmt.Sprintf("A hash of phpass may cost 2^%d rounds at most.",
			maxPhpassRounds))
	}
	h.rounds, h.salt, h.want = 1<<log, text[4:12], text[12:]
	return h, nil
}

// encodeCrypt writes bytes as phpass does: like base64, but the lowest bits of three bytes come
// first.
func encodeCrypt(b []byte) string {
	var text strings.Builder
	for ; len(b) > 0; b = b[min(3, len(b)):] {
		var three [3]byte
		n := copy(three[:], b)
		bits := uint32(three[0]) | uint32(three[1])<<8 | uint32(three[2])<<16
		for i := range n + 1 {
			text.WriteByte(cryptAlphabet[bits>>(6*i)&63])
		}
	}
	return text.String()
}
