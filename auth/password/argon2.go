package password

import (
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// argon2Params is the cost of an Argon2 hash.
type argon2Params struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
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
	n := uint32(len(h.want))
	return same(key([]byte(password), h.salt, h.passes, h.memory, h.threads, n), h.want)
}

func (h argon2Hash) algorithm() string {
	if h.kind == "argon2i" {
		return "Argon2i"
	}
	return "Argon2id"
}

// parseDjangoArgon2 reads "argon2" and the PHC form.
func parseDjangoArgon2(text string) (passwordHash, error) {
	phc := strings.TrimPrefix(text, "argon2")
	if !strings.HasPrefix(phc, "$argon2i$") && !strings.HasPrefix(phc, "$argon2id$") {
		return nil, unknownHash(phc)
	}
	return parseArgon2(phc)
}

// parseArgon2 reads "$argon2id$v=19$m=65536,t=3,p=4$salt$hash".
func parseArgon2(text string) (passwordHash, error) {
	fields := strings.Split(text, "$")[1:]
	kind, fields := fields[0], fields[1:]
	if len(fields) != 4 || fields[0] != "v=19" {
		return nil, malformedHash("An Argon2 hash has version 19, parameters, salt and hash, " +
			"as in $argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$….")
	}
	n, ok := numbers(fields[1], "m", "t", "p")
	if !ok {
		return nil, malformedHash("An Argon2 hash has the parameters m, t and p, each a whole " +
			"number, as in m=65536,t=3,p=4.")
	}
	h, err := newArgon2(kind, n[0], n[1], n[2])
	if err != nil {
		return nil, err
	}
	h.salt, h.want, err = saltAndWant(fields[2], unpadded, fields[3], unpadded, maxWant)
	if err == nil {
		err = h.checkSalt()
	}
	return h, err
}

// newArgon2 returns an Argon2 hash whose cost is bearable.
func newArgon2(kind string, m, t, p uint64) (argon2Hash, error) {
	switch {
	case t < 1 || p < 1 || m < 8*p:
		return argon2Hash{}, malformedHash("An Argon2 hash has a t and a p of 1 or more, " +
			"and an m of 8 times p or more.")
	case m > maxMemory/1024 || m*t > maxWork/1024 || p > maxParallel:
		return argon2Hash{}, costlyHash(fmt.Sprintf("An Argon2 hash may cost m=%d, m times t %d, "+
			"and p=%d at most.", maxMemory/1024, maxWork/1024, maxParallel))
	}
	cost := argon2Params{memory: uint32(m), passes: uint32(t), threads: uint8(p)}
	return argon2Hash{kind: kind, argon2Params: cost}, nil
}

// checkSalt refuses a salt that x/crypto accepts, but that no other implementation makes.
func (h argon2Hash) checkSalt() error {
	if len(h.salt) < 8 {
		return malformedHash("The salt of an Argon2 hash has 8 bytes or more.")
	}
	return nil
}
