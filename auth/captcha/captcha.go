// Package captcha makes and checks puzzles of proof of work: a caller who solves one need not wait.
//
// The server picks a number below a maximum and tells the digest of salt and number. To find the
// number is some work, with a bound that the caller knows; to check it is one hash. ALTCHA has the
// same puzzle. A puzzle tells nobody's program from a person: it makes each try cost something.
//
// A challenge is "salt.digest.max.expires.mac":
//
//   - salt is 32 hexadecimal digits. With base64url it could begin as a flag of a command does.
//   - digest is SHA-256 over the salt and the number in decimal (salt + "7"), in hexadecimal.
//   - max is above the number: the number is one of 0 to max-1.
//   - expires is in seconds since 1970.
//   - mac shows that the challenge is ours, and what it is for. Only the server can read it.
//
// The solution is the challenge, a dot and the number in decimal.
//
// The package promises that a solution is good for one purpose and one subject, until it expires.
// It stores nothing, so the caller has to count each solution once: Check returns its salt.
package captcha

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"clientes/auth/token"
)

// TTL is how long a challenge is good. The slowest phone solves the largest puzzle in a minute.
const TTL = 10 * time.Minute

// Lifetime is the longest time for which Check accepts a solution, whatever the clocks.
const Lifetime = TTL + token.IssuedLeeway

// MaxNumbers is the most numbers that a puzzle has.
const MaxNumbers = 1_000_000

// maxLength is the longest text that Check looks at, in bytes.
const maxLength = 256

// Issuer makes and checks challenges. It is safe for concurrent use.
type Issuer struct {
	keys *token.Keyring
	now  func() time.Time
}

// NewIssuer returns an Issuer. All servers that share keys accept each other's challenges. now is
// the clock that they share.
func NewIssuer(keys *token.Keyring, now func() time.Time) *Issuer {
	return &Issuer{keys: keys, now: now}
}

// Challenge returns a new challenge for a purpose and a subject, with that many numbers to try.
func (i *Issuer) Challenge(purpose, subject string, numbers int64) string {
	p := puzzle{
		salt:    newSalt(),
		max:     min(max(numbers, 1), MaxNumbers),
		expires: i.now().Add(TTL).Unix(),
	}
	n, err := rand.Int(rand.Reader, big.NewInt(p.max))
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	p.digest = digest(p.salt, n.Int64())
	return p.text() + "." + i.keys.MACs(token.Captcha, p.signed(purpose, subject))[0]
}

// Check reports whether a text is the solution of a challenge of ours for this purpose and subject
// that has not expired. The salt names the challenge. Whoever sends a bad solution costs the server
// a MAC under each secret at most.
func (i *Issuer) Check(purpose, subject, solution string) (salt string, ok bool) {
	dot := max(0, strings.LastIndexByte(solution, '.'))
	p, mac, err := parse(solution[:dot])
	n, canonical := parseNumber(strings.TrimPrefix(solution[dot:], "."))
	if err != nil || !canonical || n >= p.max {
		return "", false
	}
	// What is good for longer than a new one comes from a clock that was ahead.
	left := time.Unix(p.expires, 0).Sub(i.now())
	if left <= 0 || left > Lifetime || digest(p.salt, n) != p.digest {
		return "", false
	}
	for _, ours := range i.keys.MACs(token.Captcha, p.signed(purpose, subject)) {
		if hmac.Equal([]byte(ours), []byte(mac)) {
			return p.salt, true
		}
	}
	return "", false
}

// ErrChallenge means that a text is no challenge, or one that no number solves.
var ErrChallenge = errors.New("this is not a challenge")

// Solve returns the solution of a challenge. The error is [ErrChallenge].
func Solve(challenge string) (solution string, err error) {
	p, _, err := parse(challenge)
	if err != nil {
		return "", err
	}
	want, err := hex.DecodeString(p.digest)
	if err != nil {
		return "", fmt.Errorf("%w: the digest: %w", ErrChallenge, err)
	}
	text := []byte(p.salt)
	for n := range p.max {
		text = strconv.AppendInt(text[:len(p.salt)], n, 10)
		if sum := sha256.Sum256(text); string(sum[:]) == string(want) {
			return challenge + "." + strconv.FormatInt(n, 10), nil
		}
	}
	return "", fmt.Errorf("%w: none of its %d numbers solves it", ErrChallenge, p.max)
}

// puzzle is what a challenge says.
type puzzle struct {
	salt, digest string
	max          int64
	expires      int64 // in seconds since 1970
}

func (p puzzle) text() string {
	return strings.Join([]string{
		p.salt, p.digest, strconv.FormatInt(p.max, 10), strconv.FormatInt(p.expires, 10),
	}, ".")
}

// signed returns what the MAC covers. The length before each field keeps a byte from moving from
// one field to the next: with "max" and "expires" side by side, an old puzzle could be made young.
func (p puzzle) signed(purpose, subject string) string {
	var b []byte
	for _, field := range []string{
		purpose, subject, p.salt, p.digest,
		strconv.FormatInt(p.max, 10), strconv.FormatInt(p.expires, 10),
	} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(field)))
		b = append(b, field...)
	}
	return string(b)
}

// parse reads a challenge. Whether it is ours is for its mac to show.
func parse(challenge string) (p puzzle, mac string, err error) {
	parts := strings.Split(challenge, ".")
	if len(challenge) > maxLength || len(parts) != 5 {
		return puzzle{}, "", fmt.Errorf("%w: it has no five parts", ErrChallenge)
	}
	most, ok := parseNumber(parts[2])
	expires, ok2 := parseNumber(parts[3])
	if !ok || !ok2 || most < 1 || most > MaxNumbers {
		return puzzle{}, "", fmt.Errorf("%w: its numbers are wrong", ErrChallenge)
	}
	return puzzle{salt: parts[0], digest: parts[1], max: most, expires: expires}, parts[4], nil
}

// parseNumber reads a number that is written as we write it: 007 is not 7.
func parseNumber(s string) (n int64, ok bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && strconv.FormatInt(n, 10) == s
}

func newSalt() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func digest(salt string, n int64) string {
	sum := sha256.Sum256(strconv.AppendInt([]byte(salt), n, 10))
	return hex.EncodeToString(sum[:])
}
