package password

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
)

// pbkdf2Hash is PBKDF2 with HMAC, RFC 8018.
type pbkdf2Hash struct {
	digest     func() hash.Hash
	iterations int
	salt, want []byte
}

// matches compares only the first block of the hash. Every other block is made from the password
// by itself, at the same cost again, and proves no more: 512 bytes of SHA-256 would be sixteen
// times the work for nothing.
func (h pbkdf2Hash) matches(password string) bool {
	n := min(len(h.want), h.digest().Size())
	got, err := pbkdf2.Key(h.digest, password, h.salt, h.iterations, n)
	return err == nil && same(got, h.want[:n])
}

// parsePBKDF2 reads "i=600000$salt$hash" or "i=600000,l=32$salt$hash", where l is the length of the
// hash.
func parsePBKDF2(digest string, fields []string) (passwordHash, error) {
	if len(fields) != 3 {
		return nil, malformedHash("A PBKDF2 hash in PHC form has parameters, salt and hash, " +
			"as in $pbkdf2-sha256$i=600000$c2FsdHNhbHQ$….")
	}
	n, ok := numbers(fields[0], "i")
	if !ok {
		n, ok = numbers(fields[0], "i", "l")
	}
	if !ok {
		return nil, malformedHash("A PBKDF2 hash in PHC form has the parameter i, and perhaps l, " +
			"each a whole number, as in i=600000,l=32.")
	}
	h, err := newPBKDF2(digest, n[0])
	if err == nil {
		h.salt, h.want, err = saltAndWant(fields[1], unpadded, fields[2], unpadded, maxPBKDF2Want)
	}
	if err == nil && len(n) == 2 && n[1] != uint64(len(h.want)) {
		err = malformedHash("The hash does not have the length that its parameter l says.")
	}
	return h, err
}

// parseDjangoPBKDF2 reads "600000$salt$hash".
func parseDjangoPBKDF2(digest string, fields []string) (passwordHash, error) {
	if len(fields) != 3 {
		return nil, malformedHash("A PBKDF2 hash in Django's form has iterations, salt and hash, " +
			"as in pbkdf2_sha256$600000$salt$….")
	}
	n, ok := number(fields[0])
	if !ok {
		return nil, malformedHash("The iterations of a PBKDF2 hash are a whole number.")
	}
	h, err := newPBKDF2(digest, n)
	if err == nil {
		h.salt, h.want, err = saltAndWant(fields[1], asText, fields[2], padded, maxPBKDF2Want)
	}
	if err == nil && len(h.want) != h.digest().Size() {
		err = malformedHash("The hash does not have the length of its digest.")
	}
	return h, err
}

// parsePassport reads "sha256$25000$salt$hash". passport-local-mongoose keeps salt and hash in two
// fields of its document, both in hex. It salts with the hex text itself, not with what the text
// stands for. Digest and iterations are in its settings: sha256 (sha1 before version 2) and 25000
// unless somebody chose others.
func parsePassport(fields []string) (passwordHash, error) {
	if len(fields) != 4 {
		return nil, malformedHash("A hash of passport-local-mongoose has digest, iterations, " +
			"salt and hash, as in passport-local-mongoose$sha256$25000$salt$hash.")
	}
	if !slices.Contains([]string{"sha1", "sha256", "sha512"}, fields[0]) {
		return nil, malformedHash("The digest of a hash of passport-local-mongoose is sha1, " +
			"sha256 or sha512.")
	}
	n, ok := number(fields[1])
	if !ok {
		return nil, malformedHash("The iterations of a hash of passport-local-mongoose are a " +
			"whole number.")
	}
	h, err := newPBKDF2(fields[0], n)
	if err == nil {
		h.salt, h.want, err = saltAndWant(
			fields[2], asText, fields[3], hex.DecodeString, maxPBKDF2Want)
	}
	return h, err
}

// newPBKDF2 returns a PBKDF2 hash whose cost is bearable.
func newPBKDF2(digest string, iterations uint64) (pbkdf2Hash, error) {
	switch {
	case iterations < 1:
		return pbkdf2Hash{}, malformedHash("A PBKDF2 hash has one iteration or more.")
	case iterations > maxIterations:
		return pbkdf2Hash{}, costlyHash(fmt.Sprintf("A PBKDF2 hash may cost %d iterations at most.",
			maxIterations))
	}
	h := pbkdf2Hash{digest: sha256.New, iterations: int(iterations)}
	switch digest {
	case "sha1":
		h.digest = sha1.New
	case "sha512":
		h.digest = sha512.New
	}
	return h, nil
}
