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
	"unicode"

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

// plainCode removes what people, and the keyboards of their phones, put between the parts of a
// code.
func plainCode(code string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		if store.Trim(string(r)) == "" || unicode.Is(unicode.Pd, r) { // Pd are hyphens and dashes
			return -1
		}
		return r
	}, code))
}

// factorOf returns the factor that a right code is of, as the event of a login says it.
func factorOf(code string) string {
	if len(plainCode(code)) == codeDigits {
		return "otp"
	}
	return "recovery"
}

// base32Text is the form in which authenticator apps accept a secret.
var base32Text = base32.StdEncoding.WithPadding(base32.NoPadding)

// Recovery codes replace a device that is lost. They have 128 random bits. Nobody can try so many,
// so one HMAC is enough to keep them (OWASP ASVS 5.0, 6.5.2: from 112 bits on). Codes of earlier
// versions have 80 bits and no salt, and are good until they are used or renewed.
const (
	recoveryCodes = 10
	recoverySalt  = 16 // bytes
)

// newRecoveryCodes returns codes to write down, and what is kept of them: "<salt>.<hash>" of each,
// separated by spaces.
func newRecoveryCodes(userID int64) (codes []string, kept string) {
	hashes := make([]string, recoveryCodes)
	for i := range hashes {
		text := strings.ToLower(rand.Text()) // 26 characters, 128 bits or a little more
		parts := []string{text[:5], text[5:10], text[10:15], text[15:20], text[20:]}
		codes = append(codes, strings.Join(parts, "-"))
		salt := make([]byte, recoverySalt)
		rand.Read(salt) // never fails, see crypto/rand
		hashes[i] = base64.RawURLEncoding.EncodeToString(salt) + "." +
			saltedHash(userID, text, salt)
	}
	return codes, strings.Join(hashes, " ")
}

// recoveryMatches reports whether kept is what is kept of a recovery code.
func recoveryMatches(kept string, userID int64, plain string) bool {
	text, hash, salted := strings.Cut(kept, ".")
	if !salted {
		return hmac.Equal([]byte(kept), []byte(unsaltedHash(userID, plain)))
	}
	salt, err := base64.RawURLEncoding.DecodeString(text)
	return err == nil && hmac.Equal([]byte(hash), []byte(saltedHash(userID, plain, salt)))
}

// saltedHash returns the hash of a recovery code. It includes the user's id: copied to the row of
// another user it is worth nothing.
func saltedHash(userID int64, plain string, salt []byte) string {
	h := hmac.New(sha256.New, salt)
	h.Write([]byte(decimal(userID) + " " + plain))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// unsaltedHash returns the hash of a recovery code of an earlier version.
func unsaltedHash(userID int64, plain string) string {
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
// secret. The error is ErrMFASealed.
func openSecret(
	keys *token.Keyring, userID int64, sealed string,
) (secret []byte, newest bool, err error) {
	secret, newest, err = keys.Open(sealed, "user "+decimal(userID))
	if err != nil {
		return nil, false, fmt.Errorf("open the second factor of user %d: %w", userID, ErrMFASealed)
	}
	return secret, newest, nil
}

// useCode returns the second factor after the code was used up, ErrMFAInvalid, or ErrMFASealed for
// a one-time password. What was sealed under an old secret comes back sealed under the newest.
// Recovery codes need no secret: they are good even if it cannot be opened.
func useCode(
	keys *token.Keyring, userID int64, m store.MFA, code string, now time.Time,
) (store.MFA, error) {
	secret, newest, err := openSecret(keys, userID, m.Secret)
	if err == nil && !newest {
		m.Secret = sealSecret(keys, userID, secret)
	}
	code = plainCode(code)
	if len(code) == codeDigits {
		if err != nil {
			return m, err
		}
		step, ok := codeStep(secret, code, now, m.LastStep)
		if !ok {
			return m, ErrMFAInvalid
		}
		m.LastStep = step
		return m, nil
	}
	hashes := recoveryHashes(m)
	left := slices.DeleteFunc(slices.Clone(hashes), func(kept string) bool {
		return recoveryMatches(kept, userID, code)
	})
	if len(left) == len(hashes) {
		return m, ErrMFAInvalid
	}
	m.Recovery = strings.Join(left, " ")
	return m, nil
}
