package auth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"clientes/store"
)

var (
	// ErrMFARequired refuses a login with the right password: the user has a second factor, and there was no code.
	ErrMFARequired = errors.New("a code of the second factor is required")

	// ErrMFAInvalid refuses a login with the right password and a code that is wrong or was used.
	ErrMFAInvalid = errors.New("the code of the second factor is wrong or was used")

	// ErrMFAOn refuses to set up a second factor beside the one that is there.
	ErrMFAOn = errors.New("the user has a second factor already")

	// ErrMFAOff means that there is no second factor to confirm or to switch off.
	ErrMFAOff = errors.New("the user has no second factor")
)

// One-time passwords by time (RFC 6238) as every authenticator app makes them: HMAC-SHA-1, six digits, thirty seconds.
const (
	codeDigits = 6
	codePeriod = 30
	codeDrift  = 1 // steps that the clock of the user's device may be off, each way

	secretLen = 20 // bytes, as many as SHA-1 gives (RFC 4226 section 4, R6)
)

// totp gives the code of a time step.
func totp(secret []byte, step int64) string {
	h := hmac.New(sha1.New, secret)
	binary.Write(h, binary.BigEndian, step) // a hash takes everything
	sum := h.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	n := binary.BigEndian.Uint32(sum[at:]) & 0x7fffffff
	return fmt.Sprintf("%0*d", codeDigits, n%1_000_000)
}

func stepAt(t time.Time) int64 { return t.Unix() / codePeriod }

// codeStep gives the time step whose code this is, among those later than the last that was used. It looks at all of
// them, whichever matches.
func codeStep(secret []byte, code string, now time.Time, last int64) (step int64, ok bool) {
	for n := stepAt(now) - codeDrift; n <= stepAt(now)+codeDrift; n++ {
		if subtle.ConstantTimeCompare([]byte(totp(secret, n)), []byte(code)) == 1 && n > last {
			step, ok = n, true
		}
	}
	return step, ok
}

// plainCode takes out what people put between the parts of a code.
func plainCode(code string) string {
	return strings.ToLower(strings.NewReplacer(" ", "", "-", "").Replace(code))
}

// base32Text is how authenticator apps take a secret.
var base32Text = base32.StdEncoding.WithPadding(base32.NoPadding)

// Recovery codes stand in for a device that is lost. They have 80 random bits, so that a plain hash keeps them.
const (
	recoveryCodes = 10
	recoveryLen   = 10 // bytes
)

// newRecoveryCodes gives codes to write down, and what is kept of them.
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

// recoveryHash is what is kept of a recovery code. It is of one user's: copied to the row of another it is worth nothing.
func recoveryHash(userID int64, plain string) string {
	h := sha256.Sum256([]byte(strconv.FormatInt(userID, 10) + " " + plain))
	return base64.RawURLEncoding.EncodeToString(h[:])
}

// recoveryHashes are the hashes of the codes that are left.
func recoveryHashes(m store.MFA) []string { return strings.Fields(m.Recovery) }

// sealer encrypts and authenticates (AES-256-GCM, with a random nonce before the text).
func (k key) sealer() cipher.AEAD {
	block, err := aes.NewCipher(k.seal)
	if err != nil {
		panic(err) // of another length than newKey gives
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // of another block size than AES has
	}
	return gcm
}

// seal encrypts the secret of a user, as whose alone it can be opened: copied to the row of another it is worth nothing.
func (t *tokens) seal(userID int64, secret []byte) string {
	return base64.RawURLEncoding.EncodeToString(t.keys[0].sealer().Seal(nil, nil, secret, sealedFor(userID)))
}

// open gives the secret that seal has encrypted under any of the secrets, and says whether that was today's.
func (t *tokens) open(userID int64, sealed string) (secret []byte, current bool, err error) {
	b, err := strictBase64.DecodeString(sealed)
	if err != nil {
		return nil, false, fmt.Errorf("the second factor of user %d is not readable: %w", userID, err)
	}
	for i, k := range t.keys {
		if secret, err = k.sealer().Open(nil, nil, b, sealedFor(userID)); err == nil {
			return secret, i == 0, nil
		}
	}
	return nil, false, fmt.Errorf("the second factor of user %d was encrypted under none of the secrets; "+
		"add the old one to SECRET_PREVIOUS, or switch the second factor off", userID)
}

func sealedFor(userID int64) []byte { return strconv.AppendInt([]byte("user "), userID, 10) }

// useCode gives the second factor without the code, which then is used up, or ErrMFAInvalid. What was encrypted under an
// old secret comes back under today's.
func (a *Auth) useCode(userID int64, m store.MFA, code string) (store.MFA, error) {
	secret, current, err := a.tokens.open(userID, m.Secret)
	if err != nil {
		return m, err
	}
	if !current {
		m.Secret = a.tokens.seal(userID, secret)
	}
	code = plainCode(code)
	if len(code) == codeDigits {
		step, ok := codeStep(secret, code, a.cfg.Now(), m.LastStep)
		if !ok {
			return m, ErrMFAInvalid
		}
		m.LastStep = step
		return m, nil
	}
	hashes := recoveryHashes(m)
	left := slices.DeleteFunc(slices.Clone(hashes), func(h string) bool { return h == recoveryHash(userID, code) })
	if len(left) == len(hashes) {
		return m, ErrMFAInvalid
	}
	m.Recovery = strings.Join(left, " ")
	return m, nil
}

// checkCode lets a login pass that has a code of the user's second factor, and uses the code up. The password was right:
// without a code the attempt has neither failed nor succeeded, with a wrong one it has failed.
func (a *Auth) checkCode(ctx context.Context, u store.User, code string, try *attempt) error {
	if code == "" {
		return errors.Join(ErrMFARequired, try.giveBack(ctx))
	}
	err := a.spendCode(ctx, u.ID, code, try.device != "", func(u store.User) (store.User, error) { return u, nil })
	switch {
	case errors.Is(err, ErrMFAOff):
		return nil // an admin has switched it off meanwhile
	case errors.Is(err, store.ErrNotFound):
		return ErrInvalidLogin // deleted since
	case errors.Is(err, ErrMFAInvalid):
		return errors.Join(err, try.failed(ctx))
	}
	return err
}

// spendCode changes a user for whoever has a code of their second factor, as one step with the use of the code. A wrong
// code is ErrMFAInvalid and counts; when too many have been wrong, none is looked at: a *TooManyError.
func (a *Auth) spendCode(ctx context.Context, userID int64, code string, marked bool, then func(store.User) (store.User, error)) error {
	try, err := a.reserveCode(ctx, userID, marked)
	if err != nil {
		return err
	}
	defer try.giveBack(ctx) // unless it ends otherwise
	_, err = a.accounts().change(ctx, changing(ctx), userID, func(u store.User) (_ store.User, err error) {
		if !u.MFA.On {
			return u, ErrMFAOff
		}
		if u.MFA, err = a.useCode(userID, u.MFA, code); err != nil {
			return u, err
		}
		return then(u)
	})
	return a.endCode(ctx, userID, try, err)
}

// reserveCode lets an attempt with a code through, or refuses it with a *TooManyError.
func (a *Auth) reserveCode(ctx context.Context, userID int64, marked bool) (*attempt, error) {
	try, err := a.reserve(ctx, codesTally(userID, marked))
	if errors.Is(err, ErrTooManyAttempts) {
		a.recordStrangers(ctx, store.EventLoginRefused, userID, "codes")
	}
	return try, err
}

// endCode ends the attempt with a code if err says how: nil, or ErrMFAInvalid; else that is left to the caller. It gives err.
func (a *Auth) endCode(ctx context.Context, userID int64, try *attempt, err error) error {
	switch {
	case errors.Is(err, ErrMFAInvalid):
		a.recordStrangers(ctx, store.EventMFAFailed, userID, "")
		return errors.Join(err, try.failed(ctx))
	case err != nil:
		return err
	}
	return try.succeeded(ctx)
}

// Enrolment is a second factor that is to be set up in an authenticator app.
type Enrolment struct {
	Secret string // base32
	URI    string // the same for a QR code: otpauth://totp/…
}

// BeginMFA makes the secret of a second factor for a user who knows their password. It is in force once ConfirmMFA was
// shown a code of it; another that still waits for that is replaced. ErrMFAOn, ErrTokenRevoked, and what checkCurrent gives,
// refuse it.
func (a *Auth) BeginMFA(ctx context.Context, c Caller, current string) (Enrolment, error) {
	u, err := a.Me(ctx, c)
	if err == nil {
		err = a.checkCurrent(ctx, c, u, current)
	}
	if err != nil {
		return Enrolment{}, err
	}
	secret := make([]byte, secretLen)
	rand.Read(secret) // never fails, see crypto/rand
	if _, err := a.changeMe(ctx, changing(ctx), u, func(u store.User) (store.User, error) {
		if u.MFA.On {
			return u, ErrMFAOn
		}
		u.MFA = store.MFA{Secret: a.tokens.seal(u.ID, secret)}
		return u, nil
	}); err != nil {
		return Enrolment{}, err
	}
	text := base32Text.EncodeToString(secret)
	uri := url.URL{
		Scheme: "otpauth", Host: "totp", Path: "/" + a.cfg.Issuer + ":" + u.Name,
		RawQuery: "secret=" + text + "&issuer=" + url.PathEscape(a.cfg.Issuer) +
			"&algorithm=SHA1&digits=" + strconv.Itoa(codeDigits) + "&period=" + strconv.Itoa(codePeriod),
	}
	return Enrolment{Secret: text, URI: uri.String()}, nil
}

// ConfirmMFA switches on the second factor that BeginMFA made, for who has a code of it, and gives the recovery codes,
// which nobody can read again. A wrong code is a *store.InvalidError on "code" and counts like one at a login. ErrMFAOn,
// ErrMFAOff, ErrTokenRevoked and a *TooManyError refuse it.
func (a *Auth) ConfirmMFA(ctx context.Context, c Caller, code string) ([]string, error) {
	u, err := a.Me(ctx, c)
	if err != nil {
		return nil, err
	}
	// Who has stolen the session must not try them all.
	try, err := a.reserveCode(ctx, u.ID, false)
	if err != nil {
		return nil, err
	}
	defer try.giveBack(ctx) // unless it ends otherwise
	codes, kept := newRecoveryCodes(c.UserID)
	_, err = a.changeMe(ctx, changing(ctx), u, func(u store.User) (store.User, error) {
		switch {
		case u.MFA.On:
			return u, ErrMFAOn
		case u.MFA.Secret == "":
			return u, ErrMFAOff
		}
		secret, _, err := a.tokens.open(u.ID, u.MFA.Secret)
		if err != nil {
			return u, err
		}
		step, ok := codeStep(secret, plainCode(code), a.cfg.Now(), 0)
		if !ok {
			return u, ErrMFAInvalid
		}
		u.MFA = store.MFA{Secret: a.tokens.seal(u.ID, secret), On: true, LastStep: step, Recovery: kept}
		return u, nil
	})
	if err := a.endCode(ctx, u.ID, try, err); err != nil {
		return nil, codeFault(err)
	}
	return codes, nil
}

// EndMFA switches off the second factor of a user who knows their password and has a code. A wrong code is a
// *store.InvalidError on "code" and counts like one at a login. ErrMFAOff, ErrTokenRevoked, and what checkCurrent gives,
// refuse it.
func (a *Auth) EndMFA(ctx context.Context, c Caller, current, code string) error {
	u, err := a.Me(ctx, c)
	if err == nil {
		err = a.checkCurrent(ctx, c, u, current)
	}
	if err != nil {
		return err
	}
	m, marked := a.tokens.parseMark(originOf(ctx).Device)
	err = a.spendCode(ctx, u.ID, code, marked && m.good(u, a.cfg.Now()), func(now store.User) (store.User, error) {
		if err := stillMe(u, now); err != nil {
			return now, err
		}
		now.MFA = store.MFA{}
		return now, nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return ErrTokenRevoked
	}
	return codeFault(err)
}

// DropMFA switches off the second factor of a user who has lost it, for an admin. Who has none is left alone; an unknown
// user is store.ErrNotFound.
func (a *Auth) DropMFA(ctx context.Context, userID int64) error {
	_, err := a.accounts().change(ctx, changing(ctx), userID, func(u store.User) (store.User, error) {
		u.MFA = store.MFA{}
		return u, nil
	})
	return err
}

// codeFault says of a wrong code in which member it is, for a body that is no login's. Other errors stay what they are.
func codeFault(err error) error {
	if errors.Is(err, ErrMFAInvalid) {
		return store.Invalid("code", "wrong_code", "This code is wrong or was used.")
	}
	return err
}
