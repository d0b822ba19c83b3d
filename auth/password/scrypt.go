package password

import (
	"fmt"

	"golang.org/x/crypto/scrypt"
)

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
		return nil, malformedHash("A scrypt hash in PHC form has parameters, salt and hash, " +
			"as in $scrypt$ln=16,r=8,p=1$c2FsdHNhbHQ$….")
	}
	n, ok := numbers(fields[0], "ln", "r", "p")
	if !ok {
		return nil, malformedHash("A scrypt hash in PHC form has the parameters ln, r and p, " +
			"each a whole number, as in ln=16,r=8,p=1.")
	}
	h, err := newScrypt(1<<min(n[0], 40), n[1], n[2]) // 40 is already too much
	if err == nil {
		h.salt, h.want, err = saltAndWant(fields[1], unpadded, fields[2], unpadded, maxWant)
	}
	return h, err
}

// parseDjangoScrypt reads "16384$salt$8$5$hash".
func parseDjangoScrypt(fields []string) (passwordHash, error) {
	if len(fields) != 5 {
		return nil, malformedHash("A scrypt hash in Django's form has N, salt, r, p and hash, " +
			"as in scrypt$16384$salt$8$5$….")
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

// newScrypt returns a scrypt hash whose cost is bearable.
func newScrypt(n, r, p uint64) (scryptHash, error) {
	switch {
	case n < 2 || n&(n-1) != 0 || r < 1 || p < 1:
		return scryptHash{}, malformedHash("A scrypt hash has an N that is a power of two, " +
			"and an r and a p of 1 or more.")
	case r > maxScryptBlock || p > maxParallel || n > maxMemory/(128*r) || n*128*r*p > maxWork:
		return scryptHash{}, costlyHash(fmt.Sprintf("A scrypt hash may cost %d MiB "+
			"(128 times N times r), %d MiB times p, r=%d and p=%d at most.",
			maxMemory>>20, maxWork>>20, maxScryptBlock, maxParallel))
	}
	return scryptHash{n: int(n), r: int(r), p: int(p)}, nil
}
