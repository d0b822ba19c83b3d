package password

import (
	"cmp"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"
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

func (h pbkdf2Hash) algorithm() string { return "PBKDF2" }

// parsePBKDF2 reads "$pbkdf2-sha256$i=600000$salt$hash" or "…$i=600000,l=32$…", where l is the
// length of the hash. passlib writes "$pbkdf2-sha256$600000$salt$hash", and "$pbkdf2$…" for SHA-1.
func parsePBKDF2(text string) (passwordHash, error) {
	fields := strings.Split(text, "$")[1:]
	digest, fields := strings.TrimPrefix(fields[0], "pbkdf2"), fields[1:]
	digest = cmp.Or(strings.TrimPrefix(digest, "-"), "sha1")
	if len(fields) == 3 && fields[0] != "" && strings.Trim(fields[0], "0123456789") == "" {
		return parsePasslibPBKDF2(digest, fields)
	}
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

// parsePasslibPBKDF2 reads rounds, salt and hash, the last two in base64 with "." for "+".
func parsePasslibPBKDF2(digest string, fields []string) (passwordHash, error) {
	n, ok := number(fields[0])
	if !ok || len(fields) != 3 {
		return nil, malformedHash("A hash of passlib's PBKDF2 has rounds, salt and hash, " +
			"as in $pbkdf2-sha256$29000$salt$hash.")
	}
	h, err := newPBKDF2(digest, n)
	if err == nil {
		h.salt, h.want, err = saltAndWant(fields[1], dotted, fields[2], dotted, maxPBKDF2Want)
	}
	if err == nil {
		err = h.checkLength()
	}
	return h, err
}

// checkLength refuses a hash that is not as long as its digest.
func (h pbkdf2Hash) checkLength() error {
	if len(h.want) != h.digest().Size() {
		return malformedHash("The hash does not have the length of its digest.")
	}
	return nil
}

// parseWerkzeugPBKDF2 reads "pbkdf2:sha256:600000$salt$hash". The salt is text, the hash is hex.
func parseWerkzeugPBKDF2(text string) (passwordHash, error) {
	method, rest, _ := strings.Cut(strings.TrimPrefix(text, "pbkdf2:"), "$")
	salt, want, ok := strings.Cut(rest, "$")
	digest, rounds, _ := strings.Cut(method, ":")
	n, isNumber := number(rounds)
	if !ok || !isNumber || !isDigest(digest) {
		return nil, malformedHash("A hash of Werkzeug's PBKDF2 has digest, iterations, salt and " +
			"hash, as in pbkdf2:sha256:600000$salt$hash.")
	}
	h, err := newPBKDF2(digest, n)
	if err == nil {
		h.salt, h.want, err = saltAndWant(salt, asText, want, hex.DecodeString, maxPBKDF2Want)
	}
	if err == nil {
		err = h.checkLength()
	}
	return h, err
}

// isDigest reports whether PBKDF2 is known with this digest.
func isDigest(name string) bool {
	return slices.Contains([]string{"sha1", "sha256", "sha512"}, name)
}

// parseASPNET reads what ASP.NET keeps: a version, parameters, salt and hash in base64. Version 3
// is that of ASP.NET Core Identity, and version 2 that of ASP.NET Identity: SHA-1, 1,000 times.
// That is little, but the first login replaces it.
func parseASPNET(text string) (passwordHash, error) {
	data := strings.TrimRight(text, "=")
	if len(data)%4 == 1 {
		// A copy has lost a character of the end. The bytes before it prove as much.
		data = data[:len(data)-1]
	}
	b, err := unpadded(data)
	if err != nil {
		return nil, unknownHash(text)
	}
	const saltLen, v2Len, v3Head = 16, 1 + 16 + 32, 13
	switch {
	case len(b) == v2Len && b[0] == 0:
		h, err := newPBKDF2("sha1", 1000)
		h.salt, h.want = b[1:1+saltLen], b[1+saltLen:]
		return h, err
	case len(b) < v3Head || b[0] != 1:
		return nil, unknownHash(text)
	}
	number := func(at int) uint64 { return uint64(binary.BigEndian.Uint32(b[at:])) }
	digests := []string{"sha1", "sha256", "sha512"}
	digest, n, saltEnd := number(1), number(5), v3Head+number(9)
	if digest >= uint64(len(digests)) || saltEnd > uint64(len(b)) {
		return nil, malformedHash("A hash of ASP.NET Core Identity has the " +
			"digest SHA-1, SHA-256 or SHA-512, iterations, salt and hash.")
	}
	h, err := newPBKDF2(digests[digest], n)
	if err == nil {
		salt, want := string(b[v3Head:saltEnd]), string(b[saltEnd:])
		h.salt, h.want, err = saltAndWant(salt, asText, want, asText, maxPBKDF2Want)
	}
	return h, err
}

// parseDjangoPBKDF2 reads "pbkdf2_sha256$600000$salt$hash".
func parseDjangoPBKDF2(text string) (passwordHash, error) {
	fields := strings.Split(strings.TrimPrefix(text, "pbkdf2_"), "$")
	digest, fields := fields[0], fields[1:]
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
	if err == nil {
		err = h.checkLength()
	}
	return h, err
}

// parsePassport reads "passport-local-mongoose$sha256$25000$salt$hash". That program keeps salt and
// hash in two fields of its document, both in hex. It salts with the hex text itself, not with what
// the text stands for. Digest and iterations are in its settings: sha256 (sha1 before version 2)
// and 25000 unless somebody chose others.
func parsePassport(text string) (passwordHash, error) {
	fields := strings.Split(text, "$")[1:]
	if len(fields) != 4 {
		return nil, malformedHash("A hash of passport-local-mongoose has digest, iterations, " +
			"salt and hash, as in passport-local-mongoose$sha256$25000$salt$hash.")
	}
	if !isDigest(fields[0]) {
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
