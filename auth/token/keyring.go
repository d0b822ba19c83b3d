package token

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MinSecret is the shortest secret in bytes. A key has the size of the hash's output
// (RFC 7518 section 3.2, RFC 8725 section 3.5).
const MinSecret = 32

// CheckSecret returns what is wrong with a signing secret. The error does not repeat the secret.
func CheckSecret(secret string) error {
	switch {
	case len(secret) == 1:
		return fmt.Errorf("it has one byte, and %d or more are needed", MinSecret)
	case len(secret) < MinSecret:
		return fmt.Errorf("it has %d bytes, and %d or more are needed", len(secret), MinSecret)
	case strings.Contains(secret, ","):
		return errors.New("it holds a comma, which separates secrets from each other")
	}
	return nil
}

// Purpose is what a signed text is good for. Each purpose has a key of its own, so a text that
// was signed for one purpose is never good for another.
type Purpose int

// The purposes.
const (
	Refresh  Purpose = iota // refresh tokens
	Link                    // links in mail
	Device                  // device tokens
	Cursor                  // cursors of lists
	Throttle                // keys of throttle buckets, see [Keyring.MACs]
	Captcha                 // puzzles, see [Keyring.MACs]
	purposes
)

// maxText is the longest signed text that Verify looks at, in bytes.
const maxText = 256

// form is how a purpose derives its key and writes its texts. Released versions use these forms,
// so none of them may change.
type form struct {
	label string // of HKDF
	size  int    // how many bytes of the MAC a text carries

	// packed puts text and MAC together into base64url, so that nobody takes the text for part of
	// the interface. Otherwise the result is "<text>.<MAC>".
	packed bool

	max int // the longest result in bytes, 0 for any
}

// forms returns the form of each purpose.
func forms() [purposes]form {
	return [purposes]form{
		Refresh: {label: "clientes refresh token", size: sha256.Size, max: maxText},
		Link:    {label: "clientes link", size: sha256.Size, max: maxText},
		// "mark" is an old word for a device token.
		Device: {label: "clientes device mark", size: sha256.Size, max: maxText},
		// Half a MAC keeps cursors short. A forged cursor shows no more than the next page of a
		// list that its forger may read anyway.
		Cursor:   {label: "clientes cursor", size: sha256.Size / 2, packed: true},
		Throttle: {label: "clientes attempts", size: sha256.Size / 2},
		Captcha:  {label: "clientes captcha", size: sha256.Size / 2},
	}
}

// Keyring signs and verifies all that the server hands out and takes back. Its first secret signs
// and encrypts, and all of them verify and decrypt, so a secret can be replaced without a break.
// It is safe for concurrent use.
type Keyring struct {
	access []accessKey
	roots  []*rootKey
	forms  [purposes]form
}

// accessKey signs access tokens with the secret's own bytes, so that any holder of the secret can
// verify one with any JWT library.
type accessKey struct {
	id     string // the kid: names the secret and reveals nothing about it
	secret []byte
	macs   *macKey // of the secret
}

// rootKey is what is derived from one root secret (HKDF, RFC 5869).
type rootKey struct {
	id     string // as the kid of an accessKey
	derive [purposes]*macKey
	sealer cipher.AEAD // AES-256-GCM with a random nonce before the text
}

// NewKeyring returns the keyring of a secret, and of previous ones that only verify. The same
// secrets are the root of everything else, unless [Keyring.WithRoot] names others. A secret that
// comes twice counts once. It refuses a secret that [CheckSecret] refuses.
func NewKeyring(secret string, previous ...string) (*Keyring, error) {
	r := &Keyring{forms: forms()}
	for _, s := range append([]string{secret}, previous...) {
		if err := CheckSecret(s); err != nil {
			return nil, fmt.Errorf("secret: %w", err)
		}
		id, err := secretID(s)
		if err != nil {
			return nil, err
		}
		same := func(known accessKey) bool { return known.id == id }
		if !slices.ContainsFunc(r.access, same) {
			r.access = append(r.access, accessKey{id, []byte(s), newMACKey([]byte(s))})
		}
	}
	return r.WithRoot(secret, previous...)
}

// WithRoot returns a keyring that signs the same access tokens, and everything else under another
// root. Previous roots only verify and open. Keys are derived alike from either kind of secret, so
// a previous root may be a secret that was the root of everything before.
func (r *Keyring) WithRoot(root string, previous ...string) (*Keyring, error) {
	rooted := &Keyring{access: r.access, forms: r.forms}
	for _, s := range append([]string{root}, previous...) {
		if err := CheckSecret(s); err != nil {
			return nil, fmt.Errorf("root secret: %w", err)
		}
		k, err := r.newRoot(s)
		if err != nil {
			return nil, err
		}
		same := func(known *rootKey) bool { return known.id == k.id }
		if !slices.ContainsFunc(rooted.roots, same) {
			rooted.roots = append(rooted.roots, k)
		}
	}
	return rooted, nil
}

func (r *Keyring) newRoot(secret string) (*rootKey, error) {
	id, err := secretID(secret)
	if err != nil {
		return nil, err
	}
	k := &rootKey{id: id}
	for p, f := range r.forms {
		key, err := derive(secret, f.label, sha256.Size)
		if err != nil {
			return nil, err
		}
		k.derive[p] = newMACKey(key)
	}
	seal, err := derive(secret, "clientes second factor", 32) // AES-256
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(seal)
	if err != nil {
		return nil, fmt.Errorf("make the cipher of second factors: %w", err)
	}
	if k.sealer, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return nil, fmt.Errorf("make the cipher of second factors: %w", err)
	}
	return k, nil
}

// secretID returns the kid of a secret.
func secretID(secret string) (string, error) {
	id, err := derive(secret, "clientes kid", 8)
	return base64.RawURLEncoding.EncodeToString(id), err
}

func derive(secret, label string, size int) ([]byte, error) {
	b, err := hkdf.Key(sha256.New, []byte(secret), nil, label, size)
	if err != nil {
		return nil, fmt.Errorf("derive the key of %q: %w", label, err)
	}
	return b, nil
}

// Sign returns text with a MAC over it and over the bound values, under the newest root. The
// bound values do not stand in the result: whoever verifies it has to know them. Neither they nor
// the text may hold a NUL. Except for a [Cursor], the text must consist of base64url and dots.
func (r *Keyring) Sign(p Purpose, text string, bound ...string) string {
	sum := r.mac(r.roots[0], p, text, bound)
	if r.forms[p].packed {
		return base64.RawURLEncoding.EncodeToString(append([]byte(text), sum...))
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sum)
}

// Verify returns the text that [Keyring.Sign] signed for this purpose and these bound values,
// under any of the roots.
func (r *Keyring) Verify(p Purpose, signed string, bound ...string) (text string, ok bool) {
	text, sum, ok := r.cut(p, signed)
	if !ok {
		return "", false
	}
	for _, k := range r.roots {
		if k.derive[p].matches(sum, r.forms[p].size, r.parts(p, text, bound)...) {
			return text, true
		}
	}
	return "", false
}

// Unverified returns the text of a signed value without a look at its MAC. It is for a text that
// names the record with the bound values, such as the id of a user. The caller reads the record,
// and then calls [Keyring.Verify].
func (r *Keyring) Unverified(p Purpose, signed string) (text string, ok bool) {
	text, _, ok = r.cut(p, signed)
	return text, ok
}

// MACs returns texts in base64url that stand for the given one, one under each root, the newest
// first. Without the roots nobody can test a guess at the given text.
func (r *Keyring) MACs(p Purpose, text string) []string {
	macs := make([]string, len(r.roots))
	for i, k := range r.roots {
		macs[i] = base64.RawURLEncoding.EncodeToString(r.mac(k, p, text, nil))
	}
	return macs
}

// cut splits a signed value into its text and its MAC.
func (r *Keyring) cut(p Purpose, signed string) (text string, sum []byte, ok bool) {
	f := r.forms[p]
	if f.max > 0 && len(signed) > f.max || !isTokenText(signed) {
		return "", nil, false
	}
	if f.packed {
		b, err := strictBase64.DecodeString(signed)
		if err != nil || len(b) < f.size {
			return "", nil, false
		}
		return string(b[:len(b)-f.size]), b[len(b)-f.size:], true
	}
	text, encoded, _ := cutLast(signed, ".")
	sum, err := strictBase64.DecodeString(encoded)
	return text, sum, err == nil
}

// mac computes the MAC of a text and its bound values.
func (r *Keyring) mac(k *rootKey, p Purpose, text string, bound []string) []byte {
	return k.derive[p].appendSum(nil, r.parts(p, text, bound)...)[:r.forms[p].size]
}

// parts returns what the MAC of a text and its bound values is over. A NUL separates them, which
// none holds: so no text and value together look like another pair.
func (r *Keyring) parts(p Purpose, text string, bound []string) []string {
	var parts []string
	switch {
	case r.forms[p].packed: // the text comes last, and nothing after it
		for _, part := range bound {
			parts = append(parts, part, "\x00")
		}
		return append(parts, text)
	case len(bound) == 0:
		return []string{text}
	}
	parts = append(parts, text, "\x00")
	for _, part := range bound {
		parts = append(parts, part, "\x00")
	}
	return parts
}

// Seal encrypts and authenticates a text under the newest root. It can be opened only with the
// same bound value, so it is worth nothing in the row of another user.
func (r *Keyring) Seal(text []byte, bound string) string {
	sealed := r.roots[0].sealer.Seal(nil, nil, text, []byte(bound))
	return base64.RawURLEncoding.EncodeToString(sealed)
}

// ErrSealed means that a sealed text cannot be opened: it is damaged, bound to something else, or
// was sealed under none of the secrets.
var ErrSealed = errors.New("the text was sealed under none of the secrets")

// Open returns the text that [Keyring.Seal] sealed under any of the roots. It reports whether
// that was the newest. The error is [ErrSealed].
func (r *Keyring) Open(sealed, bound string) (text []byte, newest bool, err error) {
	b, err := strictBase64.DecodeString(sealed)
	if err != nil {
		return nil, false, fmt.Errorf("%w: it is not base64url: %w", ErrSealed, err)
	}
	for i, k := range r.roots {
		if text, err = k.sealer.Open(nil, nil, b, []byte(bound)); err == nil {
			return text, i == 0, nil
		}
	}
	return nil, false, ErrSealed
}

// strictBase64 refuses set bits beyond the last byte. It still skips line breaks, which
// isTokenText refuses.
var strictBase64 = base64.RawURLEncoding.Strict()

// isTokenText reports whether s has nothing but base64url and dots in it.
func isTokenText(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
