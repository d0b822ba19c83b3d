package auth

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"

	"clientes/store"
)

// passwordHash is a hash of a password, read from its text.
type passwordHash interface {
	// matches says whether it is a hash of this password.
	matches(password string) bool
}

// argon2Params is the cost of an Argon2 hash.
type argon2Params struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
}

// current is OWASP's minimum for Argon2id (Password Storage Cheat Sheet): about 27 ms and 19 MiB.
var current = argon2Params{memory: 19 * 1024, passes: 2, threads: 1}

const (
	saltLen = 16
	hashLen = 32
)

// Hashes from elsewhere that cost more than these are refused, so that one can not burn the processor or take
// the memory. Each is above what the makers of its kind advise, and takes 0.7 to 2.7 seconds at most
// (BenchmarkTheMostExpensiveHashes).
const (
	maxMemory     = 256 << 20 // bytes that Argon2 and scrypt hold at once
	maxWork       = 1 << 30   // bytes that they fill in all, each time counted: the memory times the passes
	maxParallel   = 16        // of Argon2, and scrypt's p
	maxIterations = 5_000_000 // of PBKDF2
	maxBcryptCost = 14
)

// What the parts of a hash have at most. passport-local-mongoose keeps 512 bytes of a hash, by far the most.
const (
	maxHashText    = 2048
	maxSalt        = 256
	minWant        = 16
	maxWant        = 64
	maxPBKDF2Want  = 512
	maxScryptBlock = 32 // scrypt's r, which is 8 everywhere; the memory beside N blocks grows with it
)

// nobodysHash has the cost of a real one and no password: what an unknown user's password is held against,
// so that it takes the same time.
const nobodysHash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$" +
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// hashPassword gives a new Argon2id hash in PHC form.
func hashPassword(password string) string {
	salt := make([]byte, saltLen)
	rand.Read(salt) // never fails, see crypto/rand
	h := argon2.IDKey([]byte(password), salt, current.passes, current.memory, current.threads, hashLen)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		current.memory, current.passes, current.threads, b64.EncodeToString(salt), b64.EncodeToString(h))
}

// verifyPassword says whether the hash is one of this password. A hash of a kind that is not known, such as
// the "" of a user without a password, matches nothing, after the same work as an unknown user's.
func verifyPassword(text, password string) bool {
	h, err := parseHash(text)
	if err != nil {
		verifyPassword(nobodysHash, password)
		return false
	}
	return h.matches(password)
}

// isCurrentHash says whether the hash is of the kind and cost that new ones have.
func isCurrentHash(text string) bool {
	h, err := parseHash(text)
	if err != nil {
		return false
	}
	a, ok := h.(argon2Hash)
	return ok && a.kind == "argon2id" && a.argon2Params == current && len(a.salt) == saltLen && len(a.want) == hashLen
}

// parseHash reads a hash that verifyPassword can check at a cost that we can bear. What is wrong with another
// is a *store.InvalidError on "password_hash", which repeats nothing of it.
func parseHash(text string) (passwordHash, error) {
	strange := func(r rune) bool { return r <= ' ' || r > '~' }
	switch {
	case len(text) > maxHashText:
		return nil, malformedHash(fmt.Sprintf("A hash has at most %d characters.", maxHashText))
	case strings.ContainsFunc(text, strange): // a line break, too, which base64 decoders skip
		return nil, malformedHash("A hash has neither spaces nor characters beyond ASCII.")
	}
	kind, rest, _ := strings.Cut(text, "$")
	if kind == "" { // "$kind$…" is PHC, or the crypt(3) that it grew from
		fields := strings.Split(rest, "$")
		kind, fields = fields[0], fields[1:]
		switch kind {
		case "2a", "2b", "2y":
			return parseBcrypt(text)
		case "argon2i", "argon2id":
			return parseArgon2(kind, fields)
		case "scrypt":
			return parseScrypt(fields)
		case "pbkdf2-sha1", "pbkdf2-sha256", "pbkdf2-sha512":
			return parsePBKDF2(kind[len("pbkdf2-"):], fields)
		}
		return nil, unknownHash()
	}
	fields := strings.Split(rest, "$")
	switch kind { // the rest is Django's, but for the last
	case "bcrypt", "bcrypt_sha256":
		if !isBcrypt(rest) {
			return nil, unknownHash()
		}
		h, err := parseBcrypt(rest)
		h.digested = kind == "bcrypt_sha256"
		return h, err
	case "argon2": // and PHC after it
		if kind := fields[0]; kind == "argon2i" || kind == "argon2id" {
			return parseArgon2(kind, fields[1:])
		}
	case "scrypt":
		return parseDjangoScrypt(fields)
	case "pbkdf2_sha1", "pbkdf2_sha256", "pbkdf2_sha512":
		return parseDjangoPBKDF2(kind[len("pbkdf2_"):], fields)
	case "passport-local-mongoose":
		return parsePassport(fields)
	}
	return nil, unknownHash()
}

// argon2Hash is Argon2i or Argon2id, RFC 9106.
type argon2Hash struct {
	argon2Params
	kind       string // "argon2i" or "argon2id"
	salt, want []byte
}

func (h argon2Hash) matches(password string) bool {
	key := argon2.IDKey
	if h.kind == "argon2i" {
		key = argon2.Key
	}
	return same(key([]byte(password), h.salt, h.passes, h.memory, h.threads, uint32(len(h.want))), h.want)
}

// parseArgon2 reads "v=19$m=65536,t=3,p=4$salt$hash".
func parseArgon2(kind string, fields []string) (passwordHash, error) {
	if len(fields) != 4 || fields[0] != "v=19" {
		return nil, malformedHash("An Argon2 hash has version 19, parameters, salt and hash, " +
			"as in $argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$….")
	}
	n, ok := numbers(fields[1], "m", "t", "p")
	if !ok {
		return nil, malformedHash("An Argon2 hash has the parameters m, t and p, each a whole number, as in m=65536,t=3,p=4.")
	}
	m, t, p := n[0], n[1], n[2]
	switch {
	case t < 1 || p < 1 || m < 8*p:
		return nil, malformedHash("An Argon2 hash has a t and a p of 1 or more, and an m of 8 times p or more.")
	case m > maxMemory/1024 || m*t > maxWork/1024 || p > maxParallel:
		return nil, costlyHash(fmt.Sprintf("An Argon2 hash may cost m=%d, m times t %d, and p=%d at most.",
			maxMemory/1024, maxWork/1024, maxParallel))
	}
	h := argon2Hash{kind: kind, argon2Params: argon2Params{memory: uint32(m), passes: uint32(t), threads: uint8(p)}}
	var err error
	h.salt, h.want, err = saltAndWant(fields[2], unpadded, fields[3], unpadded, maxWant)
	if err == nil && len(h.salt) < 8 { // which x/crypto takes, but no other implementation gives
		err = malformedHash("The salt of an Argon2 hash has 8 bytes or more.")
	}
	return h, err
}

// scryptHash is scrypt, RFC 7914.
type scryptHash struct {
	n, r, p    int
	salt, want []byte
}

func (h scryptHash) matches(password string) bool {
	got, err := scrypt.Key([]byte(password), h.salt, h.n, h.r, h.p, len(h.want))
	return err == nil && same(got, h.want)
}

// parseScrypt reads "ln=16,r=8,p=1$salt$hash", where ln is the logarithm of N.
func parseScrypt(fields []string) (passwordHash, error) {
	if len(fields) != 3 {
		return nil, malformedHash("A scrypt hash in PHC form has parameters, salt and hash, as in $scrypt$ln=16,r=8,p=1$c2FsdHNhbHQ$….")
	}
	n, ok := numbers(fields[0], "ln", "r", "p")
	if !ok {
		return nil, malformedHash("A scrypt hash in PHC form has the parameters ln, r and p, each a whole number, as in ln=16,r=8,p=1.")
	}
	h, err := newScrypt(1<<min(n[0], 40), n[1], n[2]) // 40 is too much already
	if err == nil {
		h.salt, h.want, err = saltAndWant(fields[1], unpadded, fields[2], unpadded, maxWant)
	}
	return h, err
}

// parseDjangoScrypt reads "16384$salt$8$5$hash".
func parseDjangoScrypt(fields []string) (passwordHash, error) {
	if len(fields) != 5 {
		return nil, malformedHash("A scrypt hash in Django's form has N, salt, r, p and hash, as in scrypt$16384$salt$8$5$….")
	}
	var n [3]uint64
	for i, field := range []string{fields[0], fields[2], fields[3]} {
		var ok bool
		if n[i], ok = number(field); !ok {
			return nil, malformedHash("N, r and p of a scrypt hash are whole numbers.")
		}
	}
	h, err := newScrypt(n[0], n[1], n[2])
	if err == nil {
		h.salt, h.want, err = saltAndWant(fields[1], asText, fields[4], padded, maxWant)
	}
	return h, err
}

// newScrypt checks the cost of a scrypt hash.
func newScrypt(n, r, p uint64) (scryptHash, error) {
	switch {
	case n < 2 || n&(n-1) != 0 || r < 1 || p < 1:
		return scryptHash{}, malformedHash("A scrypt hash has an N that is a power of two, and an r and a p of 1 or more.")
	case r > maxScryptBlock || p > maxParallel || n > maxMemory/(128*r) || n*128*r*p > maxWork:
		return scryptHash{}, costlyHash(fmt.Sprintf("A scrypt hash may cost %d MiB (128 times N times r), %d MiB times p, r=%d and p=%d at most.",
			maxMemory>>20, maxWork>>20, maxScryptBlock, maxParallel))
	}
	return scryptHash{n: int(n), r: int(r), p: int(p)}, nil
}

// pbkdf2Hash is PBKDF2 with HMAC, RFC 8018.
type pbkdf2Hash struct {
	digest     func() hash.Hash
	iterations int
	salt, want []byte
}

// matches looks at the first block of the hash only. Every other block is made from the password by itself, at
// the same cost again, and says no more: 512 bytes of SHA-256 would be sixteen times the work for nothing.
func (h pbkdf2Hash) matches(password string) bool {
	n := min(len(h.want), h.digest().Size())
	got, err := pbkdf2.Key(h.digest, password, h.salt, h.iterations, n)
	return err == nil && same(got, h.want[:n])
}

// parsePBKDF2 reads "i=600000$salt$hash" or "i=600000,l=32$salt$hash", where l is the length of the hash.
func parsePBKDF2(digest string, fields []string) (passwordHash, error) {
	if len(fields) != 3 {
		return nil, malformedHash("A PBKDF2 hash in PHC form has parameters, salt and hash, as in $pbkdf2-sha256$i=600000$c2FsdHNhbHQ$….")
	}
	n, ok := numbers(fields[0], "i")
	if !ok {
		n, ok = numbers(fields[0], "i", "l")
	}
	if !ok {
		return nil, malformedHash("A PBKDF2 hash in PHC form has the parameter i, and perhaps l, each a whole number, as in i=600000,l=32.")
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
		return nil, malformedHash("A PBKDF2 hash in Django's form has iterations, salt and hash, as in pbkdf2_sha256$600000$salt$….")
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

// parsePassport reads "sha256$25000$salt$hash". passport-local-mongoose has salt and hash in two fields of its
// document, both in hex, of which it salts with the first as it stands, as text. Digest and iterations are
// in its settings: sha256 (sha1 before version 2) and 25000 unless somebody chose others.
func parsePassport(fields []string) (passwordHash, error) {
	if len(fields) != 4 {
		return nil, malformedHash("A hash of passport-local-mongoose has digest, iterations, salt and hash, " +
			"as in passport-local-mongoose$sha256$25000$salt$hash.")
	}
	if !slices.Contains([]string{"sha1", "sha256", "sha512"}, fields[0]) {
		return nil, malformedHash("The digest of a hash of passport-local-mongoose is sha1, sha256 or sha512.")
	}
	n, ok := number(fields[1])
	if !ok {
		return nil, malformedHash("The iterations of a hash of passport-local-mongoose are a whole number.")
	}
	h, err := newPBKDF2(fields[0], n)
	if err == nil {
		h.salt, h.want, err = saltAndWant(fields[2], asText, fields[3], hex.DecodeString, maxPBKDF2Want)
	}
	return h, err
}

// newPBKDF2 checks the cost of a PBKDF2 hash.
func newPBKDF2(digest string, iterations uint64) (pbkdf2Hash, error) {
	switch {
	case iterations < 1:
		return pbkdf2Hash{}, malformedHash("A PBKDF2 hash has one iteration or more.")
	case iterations > maxIterations:
		return pbkdf2Hash{}, costlyHash(fmt.Sprintf("A PBKDF2 hash may cost %d iterations at most.", maxIterations))
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

// bcryptHash is bcrypt as crypt(3) writes it.
type bcryptHash struct {
	text     string
	digested bool // of the password's SHA-256 in hex: Django's way around the limit of 72 bytes
}

// matches looks, like every bcrypt, at the first 72 bytes of a password only.
func (h bcryptHash) matches(password string) bool {
	if h.digested {
		sum := sha256.Sum256([]byte(password))
		password = hex.EncodeToString(sum[:])
	}
	return bcrypt.CompareHashAndPassword([]byte(h.text), []byte(password)) == nil
}

// replaceable says whether a hash that has matched a password may be replaced by today's kind of hash of it. It may not
// where bcrypt has looked at the beginning alone: what came after that may have been a slip.
func replaceable(hash, password string) bool {
	h, err := parseHash(hash)
	if b, ok := h.(bcryptHash); ok && !b.digested && len(password) > maxBcryptLen {
		return false
	}
	return err == nil && !isCurrentHash(hash)
}

// maxBcryptLen is how much bcrypt looks at of a password, in bytes.
const maxBcryptLen = 72

// isBcrypt says whether it begins like bcrypt of a version that is right: the library takes any letter, 2x
// among them, whose hashes are of another function.
func isBcrypt(text string) bool {
	return slices.ContainsFunc([]string{"$2a$", "$2b$", "$2y$"}, func(v string) bool { return strings.HasPrefix(text, v) })
}

// parseBcrypt reads "$2b$12$" and 53 characters of salt and hash.
func parseBcrypt(text string) (bcryptHash, error) {
	const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	if len(text) != 60 || text[6] != '$' || strings.Trim(text[7:], alphabet) != "" {
		return bcryptHash{}, malformedHash("A bcrypt hash has 60 characters, as in $2b$12$…, the last 53 of them of A-Z, a-z, 0-9, . and /.")
	}
	cost, err := bcrypt.Cost([]byte(text))
	switch {
	case err != nil || text[4:6] != fmt.Sprintf("%02d", cost):
		return bcryptHash{}, malformedHash("The cost of a bcrypt hash is a number from 04 to 31.")
	case cost > maxBcryptCost:
		return bcryptHash{}, costlyHash(fmt.Sprintf("A bcrypt hash may have the cost %d at most.", maxBcryptCost))
	}
	return bcryptHash{text: text}, nil
}

// saltAndWant reads the two last fields of a hash.
func saltAndWant(salt string, readSalt decoder, want string, readWant decoder, most int) (s, w []byte, err error) {
	s, err = readSalt(salt)
	if err != nil || len(s) < 1 || len(s) > maxSalt {
		return nil, nil, malformedHash(fmt.Sprintf("The salt is not encoded as it should be, or not of 1 to %d bytes.", maxSalt))
	}
	w, err = readWant(want)
	if err != nil || len(w) < minWant || len(w) > most {
		return nil, nil, malformedHash(fmt.Sprintf("What follows the salt is not encoded as it should be, or not of %d to %d bytes.", minWant, most))
	}
	return s, w, nil
}

// decoder reads a field of a hash.
type decoder func(string) ([]byte, error)

func unpadded(field string) ([]byte, error) {
	return base64.RawStdEncoding.Strict().DecodeString(field)
}
func padded(field string) ([]byte, error) { return base64.StdEncoding.Strict().DecodeString(field) }
func asText(field string) ([]byte, error) { return []byte(field), nil }

// numbers reads "m=65536,t=3,p=4": each of the names once, in any order, as some write them by the alphabet.
func numbers(field string, names ...string) ([]uint64, bool) {
	n := make([]uint64, len(names))
	parts := strings.Split(field, ",")
	for i, name := range names {
		at := slices.IndexFunc(parts, func(part string) bool { return strings.HasPrefix(part, name+"=") })
		if at < 0 {
			return nil, false
		}
		var ok bool
		if n[i], ok = number(parts[at][len(name)+1:]); !ok {
			return nil, false
		}
	}
	return n, len(parts) == len(names)
}

// number reads a whole number of at most 32 bits in the one way to write it.
func number(field string) (uint64, bool) {
	n, err := strconv.ParseUint(field, 10, 32)
	return n, err == nil && field == strconv.FormatUint(n, 10)
}

// same compares in a time that says nothing of where they differ.
func same(got, want []byte) bool { return subtle.ConstantTimeCompare(got, want) == 1 }

func unknownHash() error {
	return hashFault("unknown_hash", "The hash is of no kind that is taken: bcrypt ($2a$, $2b$, $2y$); Argon2i, Argon2id, scrypt and "+
		"PBKDF2 with SHA-1, SHA-256 or SHA-512, in PHC form ($argon2id$…, $scrypt$…, $pbkdf2-sha256$…) or Django's "+
		"(argon2$…, scrypt$…, pbkdf2_sha256$…, bcrypt$…, bcrypt_sha256$…); passport-local-mongoose$DIGEST$ITERATIONS$SALT$HASH.")
}

func malformedHash(message string) error { return hashFault("malformed_hash", message) }

func costlyHash(message string) error { return hashFault("costly_hash", message) }

func hashFault(code, message string) error {
	return store.Invalid("password_hash", code, message)
}
