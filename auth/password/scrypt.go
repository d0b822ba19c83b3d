package password

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"fmt"
	"strings"

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

func (h scryptHash) algorithm() string { return "scrypt" }

// parseScrypt reads "$scrypt$ln=16,r=8,p=1$salt$hash", where ln is the logarithm of N. AdonisJS
// writes N itself: "$scrypt$n=16384,r=8,p=1$…". An n below 1024 is taken for somebody's logarithm.
func parseScrypt(text string) (passwordHash, error) {
	fields := strings.Split(text, "$")[2:]
	if len(fields) != 3 {
		return nil, malformedHash("A scrypt hash in PHC form has parameters, salt and hash, " +
			"as in $scrypt$ln=16,r=8,p=1$c2FsdHNhbHQ$….")
	}
	n, ok := numbers(fields[0], "ln", "r", "p")
	if ok {
		n[0] = 1 << min(n[0], 40) // 40 is already too much
	} else if n, ok = numbers(fields[0], "n", "r", "p"); ok {
		ok = n[0] >= 1024
	}
	if !ok {
		return nil, malformedHash("A scrypt hash in PHC form has the parameters ln, r and p, " +
			"each a whole number, as in ln=16,r=8,p=1.")
	}
	h, err := newScrypt(n[0], n[1], n[2])
	if err == nil {
		h.salt, h.want, err = saltAndWant(fields[1], unpadded, fields[2], unpadded, maxWant)
	}
	return h, err
}

// parseDjangoScrypt reads "scrypt$16384$salt$8$5$hash".
func parseDjangoScrypt(text string) (passwordHash, error) {
	fields := strings.Split(text, "$")[1:]
	if len(fields) != 5 {
		return nil, malformedHash("A scrypt hash in Django's form has N, salt, r, p and hash, " +
			"as in scrypt$16384$salt$8$5$….")
	}
	h, err := readScrypt(fields[0], fields[2], fields[3])
	if err == nil {
		h.salt, h.want, err = saltAndWant(fields[1], asText, fields[4], padded, maxWant)
	}
	return h, err
}

// parseWerkzeugScrypt reads "scrypt:32768:8:1$salt$hash". The salt is text, the hash is hex.
func parseWerkzeugScrypt(text string) (passwordHash, error) {
	fields := strings.Split(text, "$")
	params := strings.Split(fields[0], ":")[1:]
	if len(fields) != 3 || len(params) != 3 {
		return nil, malformedHash("A hash of Werkzeug's scrypt has N, r, p, salt and hash, " +
			"as in scrypt:32768:8:1$salt$hash.")
	}
	h, err := readScrypt(params[0], params[1], params[2])
	if err == nil {
		h.salt, h.want, err = saltAndWant(fields[1], asText, fields[2], hex.DecodeString, maxWant)
	}
	return h, err
}

// firebaseHash is the scrypt of Firebase Authentication: what the password makes is a key that
// encrypts the project's signer key, and the hash is the result.
type firebaseHash struct {
	scryptHash // of the key; its want is the encrypted signer key
	signer     []byte
}

func (h firebaseHash) matches(password string) bool {
	const keyLen = 32
	key, err := scrypt.Key([]byte(password), h.salt, h.n, h.r, h.p, keyLen)
	if err != nil {
		return false
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return false
	}
	got := make([]byte, len(h.signer))
	cipher.NewCTR(block, make([]byte, aes.BlockSize)).XORKeyStream(got, h.signer)
	return same(got, h.want)
}

func (h firebaseHash) algorithm() string { return "scrypt of Firebase" }

// parseFirebase reads "firebase-scrypt$ROUNDS$MEM_COST$SEPARATOR$SIGNER$SALT$HASH", the last four
// in base64. The first four are parameters of the project.
func parseFirebase(text string) (passwordHash, error) {
	fields := strings.Split(text, "$")[1:]
	if len(fields) != 6 {
		return nil, malformedHash("A hash of Firebase has rounds, mem_cost, salt separator, " +
			"signer key, salt and hash, as in firebase-scrypt$8$14$Bw==$signer$salt$hash.")
	}
	rounds, ok := number(fields[0])
	memory, ok2 := number(fields[1])
	separator, err := anyBase64(fields[2])
	if !ok || !ok2 || err != nil || len(separator) > maxSalt {
		return nil, malformedHash("The rounds and mem_cost of Firebase are whole numbers, " +
			"and the salt separator is base64.")
	}
	inner, err := newScrypt(1<<min(memory, 40), rounds, 1) // 40 is already too much
	if err != nil {
		return nil, err
	}
	h := firebaseHash{scryptHash: inner}
	h.signer, h.want, err = saltAndWant(fields[3], anyBase64, fields[5], anyBase64, maxSalt)
	if err != nil {
		return nil, err
	}
	if h.salt, err = anyBase64(fields[4]); err != nil || len(h.salt) > maxSalt {
		return nil, malformedHash("The salt of a hash of Firebase is base64.")
	}
	h.salt = append(h.salt, separator...)
	if len(h.want) != len(h.signer) {
		return nil, malformedHash("A hash of Firebase is as long as the signer key.")
	}
	return h, nil
}

// readScrypt is newScrypt for parameters as they are written.
func readScrypt(n, r, p string) (scryptHash, error) {
	var params [3]uint64
	for i, text := range []string{n, r, p} {
		var ok bool
		if params[i], ok = number(text); !ok {
			return scryptHash{}, malformedHash("N, r and p of a scrypt hash are whole numbers.")
		}
	}
	return newScrypt(params[0], params[1], params[2])
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
