package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"clientes/auth/token"
	"clientes/store"
)

// One-time passwords by time (RFC 6238), as every authenticator app makes them: HMAC-SHA-1, six
// digits, thirty seconds.
const (
	codeDigits = 6
	codePeriod = 30
	codeDrift  = 1 // steps that the clock of the user's device may be off, each way

	secretLen = 20 // bytes, as many as SHA-1 returns (RFC 4226 section 4, R6)
)

// totp returns the code of a time step.
func totp(secret []byte, step int64) string {
	h := hmac.New(sha1.New, secret)
	binary.Write(h, binary.BigEndian, step) // a hash accepts everything
	sum := h.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	n := binary.BigEndian.Uint32(sum[at:]) & 0x7fffffff
	return fmt.Sprintf("%0*d", codeDigits, n%1_000_000)
}

func stepAt(t time.Time) int64 { return t.Unix() / codePeriod }

// codeStep returns the time step whose code this is, among those later than the last one used. It
// always looks at all of them, so that the time does not show which one matches. A last step beyond
// them was used when a clock was ahead. It counts for nothing, or no code would be good for long.
func codeStep(secret []byte, code string, now time.Time, last int64) (step int64, ok bool) {
	if last > stepAt(now)+codeDrift {
		last = 0
	}
	for n := stepAt(now) - codeDrift; n <= stepAt(now)+codeDrift; n++ {
		if subtle.ConstantTimeCompare([]byte(totp(secret, n)), []byte(code)) == 1 && n > last {
			step, ok = n, true
		}
	}
	return step, ok
}

// plainCode removes what people put between the parts of a code.
func plainCode(code string) string {
	return strings.ToLower(strings.NewReplacer(" ", "", "-", "").Replace(code))
}

// base32Text is the form in which authenticator apps accept a secret.
var base32Text = base32.StdEncoding.WithPadding(base32.NoPadding)

// Recovery codes replace a device that is lost. They have 80 random bits, so a plain hash is enough
// to keep them.
const (
	recoveryCodes = 10
	recoveryLen   = 10 // bytes
)

// newRecoveryCodes returns codes to write down, and what is kept of them.
func newRecoveryCodes(userID int64) (codes []string, kept string) {
	hashes := make([]string, recoveryCodes)
	for i := range hashes {
		b := make([]byte, recoveryLen)
		rand.Read(b) // never fails, see crypto/rand
		text := strings.ToLower(base32Text.EncodeToString(b))
		codes = append(codes, text[:4]+"-"+text[4:8]+"-"+text[8:12]+"-"+text[12:])
		hashes[i] = recoveryHash(userID, text)
	}
	return codes, strings.Join(hashes, " ")
}

// recoveryHash returns what is kept of a recovery code. It includes the user's id: copied to the
// row of another user it is worth nothing.
func recoveryHash(userID int64, plain string) string {
	h := sha256.Sum256([]byte(decimal(userID) + " " + plain))
	return base64.RawURLEncoding.EncodeToString(h[:])
}

// recoveryHashes returns the hashes of the codes that are left.
func recoveryHashes(m store.MFA) []string { return strings.Fields(m.Recovery) }

// sealSecret encrypts the secret of a user's second factor. Copied to the row of another user it
// cannot be opened.
func sealSecret(keys *token.Keyring, userID int64, secret []byte) string {
	return keys.Seal(secret, "user "+decimal(userID))
}

// openSecret decrypts what sealSecret has encrypted. It reports whether that was under the newest
// secret.
func openSecret(
	keys *token.Keyring, userID int64, sealed string,
) (secret []byte, newest bool, err error) {
	secret, newest, err = keys.Open(sealed, "user "+decimal(userID))
	if err != nil {
		return nil, false, fmt.Errorf("open the second factor of user %d: %w; add the old secret "+
			"to ROOT_SECRET_PREVIOUS, or switch the second factor off", userID, err)
	}
	return secret, newest, nil
}

// useCode returns the second factor after the code was used up, or ErrMFAInvalid. What was sealed
// under an old secret comes back sealed under the newest.
func useCode(
	keys *token.Keyring, userID int64, m store.MFA, code string, now time.Time,
) (store.MFA, error) {
	secret, newest, err := openSecret(keys, userID, m.Secret)
	if err != nil {
		return m, err
	}
	if !newest {
		m.Secret = sealSecret(keys, userID, secret)
	}
	code = plainCode(code)
	if len(code) == codeDigits {
		step, ok := codeStep(secret, code, now, m.LastStep)
		if !ok {
			return m, ErrMFAInvalid
		}
		m.LastStep = step
		return m, nil
	}
	hashes, used := recoveryHashes(m), recoveryHash(userID, code)
	left := slices.DeleteFunc(slices.Clone(hashes), func(h string) bool { return h == used })
	if len(left) == len(hashes) {
		return m, ErrMFAInvalid
	}
	m.Recovery = strings.Join(left, " ")
	return m, nil
}
