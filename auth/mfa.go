package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"

	"clientes/store"
)

var (
	// ErrMFARequired refuses a login with the right password: the user has a second factor, and
	// there was no code.
	ErrMFARequired = errors.New("a code of the second factor is required")

	// ErrMFAInvalid refuses a login with the right password and a code that is wrong or was used.
	ErrMFAInvalid = errors.New("the code of the second factor is wrong or was used")

	// ErrMFAOn refuses to set up a second factor beside the present one.
	ErrMFAOn = errors.New("the user has a second factor already")

	// ErrMFAOff means that there is no second factor to confirm or to switch off.
	ErrMFAOff = errors.New("the user has no second factor")

	// ErrMFAMustStay refuses to switch off a second factor that Config.RequireMFA requires.
	ErrMFAMustStay = errors.New("the user must keep the second factor")

	// ErrMFASealed refuses a one-time password that cannot be checked, because the secret of the
	// second factor was sealed under a key that this server does not have. Recovery codes are good
	// all the same.
	ErrMFASealed = errors.New("the second factor was sealed under none of the secrets")
)

// Enrolment is a second factor that is to be set up in an authenticator app.
type Enrolment struct {
	Secret string // base32
	URI    string // the same for a QR code: otpauth://totp/…
}

// BeginMFA makes the secret of a second factor for a caller who knows their password. It counts
// once [Auth.ConfirmMFA] has got a code of it, and replaces one that still waits for that.
// [ErrMFAOn], [ErrTokenRevoked], a *[store.InvalidError] on "current" and a *[TooManyError] refuse
// it.
func (a *Auth) BeginMFA(ctx context.Context, c Caller, current string) (Enrolment, error) {
	u, err := a.Me(ctx, c)
	if err != nil {
		return Enrolment{}, err
	}
	if err := a.guard.checkCurrent(ctx, c, u, current); err != nil {
		return Enrolment{}, err
	}
	secret := make([]byte, secretLen)
	rand.Read(secret) // never fails, see crypto/rand
	_, err = a.tryUpdateMe(ctx, newEffects(ctx), u, func(u *store.User) error {
		if u.MFA.On {
			return ErrMFAOn
		}
		u.MFA = store.MFA{Secret: sealSecret(a.keys, u.ID, secret)}
		return nil
	})
	if err != nil {
		return Enrolment{}, err
	}
	return newEnrolment(a.cfg.Issuer, u.Name, secret), nil
}

func newEnrolment(issuer, name string, secret []byte) Enrolment {
	text := base32Text.EncodeToString(secret)
	uri := url.URL{
		Scheme: "otpauth", Host: "totp", Path: "/" + issuer + ":" + name,
		RawQuery: fmt.Sprintf("secret=%s&issuer=%s&algorithm=SHA1&digits=%d&period=%d",
			text, url.PathEscape(issuer), codeDigits, codePeriod),
	}
	return Enrolment{Secret: text, URI: uri.String()}
}

// ConfirmMFA switches on the second factor that [Auth.BeginMFA] made, for a caller who has a code
// of it, and returns the recovery codes, which nobody can read again. A wrong code is a
// *[store.InvalidError] on "code" and counts like one at a login. [ErrMFAOn], [ErrMFAOff],
// [ErrTokenRevoked] and a *[TooManyError] refuse it.
func (a *Auth) ConfirmMFA(ctx context.Context, c Caller, code string) ([]string, error) {
	u, err := a.Me(ctx, c)
	if err != nil {
		return nil, err
	}
	codes, kept := newRecoveryCodes(c.UserID)
	// Codes are counted, because a thief of the session must not try them all.
	err = a.guard.tryCode(ctx, u.ID, sessionCodes(c), func() error {
		_, err := a.tryUpdateMe(ctx, newEffects(ctx), u, func(u *store.User) (err error) {
			u.MFA, err = a.confirmedMFA(*u, code, kept)
			return err
		})
		return err
	})
	switch {
	case errors.Is(err, ErrMFASealed):
		return nil, store.Invalid("code", "begin_again",
			"The secret of the server has changed meanwhile; begin again with POST /me/mfa.")
	case err != nil:
		return nil, codeFault(err)
	}
	a.noteMFA(ctx, c)
	return codes, nil
}

// noteMFA notes that a session has used the second factor: its owner knew the password and had a
// code. Tokens that it gets from now on say so. An error goes to the log, because the recovery
// codes are shown only once; without the note the user logs in again.
func (a *Auth) noteMFA(ctx context.Context, c Caller) {
	_, _, err := a.cfg.Store.UpdateSession(ctx, c.SessionID,
		func(s store.Session) (store.Session, error) {
			s.AMR = amrBoth
			return s, nil
		})
	if err != nil {
		a.cfg.Log.Error("a session could not note that it has used the second factor",
			"user_id", c.UserID, "error", err)
	}
}

// confirmedMFA returns the second factor of u switched on, if the code is one of it.
func (a *Auth) confirmedMFA(u store.User, code, recovery string) (store.MFA, error) {
	switch {
	case u.MFA.On:
		return u.MFA, ErrMFAOn
	case u.MFA.Secret == "":
		return u.MFA, ErrMFAOff
	}
	secret, _, err := openSecret(a.keys, u.ID, u.MFA.Secret)
	if err != nil {
		return u.MFA, err
	}
	step, ok := codeStep(secret, plainCode(code), a.cfg.Store.Now(), 0)
	if !ok {
		return u.MFA, ErrMFAInvalid
	}
	return store.MFA{
		Secret: sealSecret(a.keys, u.ID, secret), On: true, LastStep: step, Recovery: recovery,
	}, nil
}

// EndMFA switches off the second factor of a caller who has a proof. A wrong code is a
// *[store.InvalidError] on "code" and counts like one at a login. [ErrMFAOff], [ErrMFAMustStay],
// [ErrTokenRevoked], a *[store.InvalidError] on "current" and a *[TooManyError] refuse it.
func (a *Auth) EndMFA(ctx context.Context, c Caller, p Proof) error {
	if a.mustHaveMFA(c.Role) {
		return ErrMFAMustStay
	}
	return a.updateMFA(ctx, c, p, func(m *store.MFA) { *m = store.MFA{} })
}

// RenewRecovery makes new recovery codes for a caller who has a proof, and returns them. The old
// ones are worth nothing from then on. It is refused like [Auth.EndMFA].
func (a *Auth) RenewRecovery(ctx context.Context, c Caller, p Proof) ([]string, error) {
	codes, kept := newRecoveryCodes(c.UserID)
	if err := a.updateMFA(ctx, c, p, func(m *store.MFA) { m.Recovery = kept }); err != nil {
		return nil, err
	}
	return codes, nil
}

// updateMFA updates the second factor of a caller who has a proof.
func (a *Auth) updateMFA(
	ctx context.Context, c Caller, p Proof, update func(*store.MFA),
) error {
	u, err := a.Me(ctx, c)
	if err != nil {
		return err
	}
	if err := a.checkCurrent(ctx, c, u, p); err != nil {
		return err
	}
	_, err = a.updateOwner(ctx, newEffects(ctx), c, u, p.Code, func(u *store.User) error {
		if !u.MFA.On {
			return ErrMFAOff
		}
		update(&u.MFA)
		return nil
	})
	return err
}

// DropMFA takes away the second factor of a user who has lost it, for an admin. It does nothing
// to a user who has none. An unknown user is [store.ErrNotFound].
func (a *Auth) DropMFA(ctx context.Context, userID int64) error {
	return a.accounts.dropMFA(ctx, userID)
}

// DropMFA takes away the second factor of the user of that name, which need not be one that can be
// opened. It does nothing to a user who has none. It returns [store.ErrNotFound].
func (a *Accounts) DropMFA(ctx context.Context, name string) error {
	u, err := a.users.UserByName(ctx, name)
	if err != nil {
		return fmt.Errorf("look up user: %w", err)
	}
	return a.dropMFA(ctx, u.ID)
}

func (a *Accounts) dropMFA(ctx context.Context, userID int64) error {
	fx := newEffects(ctx)
	fx.takenAway = true
	_, err := a.update(ctx, fx, userID, func(u store.User) (store.User, error) {
		u.MFA = store.MFA{}
		return u, nil
	})
	return err
}

// codeFault names the member that holds a wrong code, for a body that is no login's. It returns
// other errors as they are.
func codeFault(err error) error {
	switch {
	case errors.Is(err, ErrMFAInvalid):
		return store.Invalid("code", "wrong_code", "This code is wrong or was used.")
	case errors.Is(err, ErrMFASealed):
		return store.Invalid("code", "cannot_be_checked",
			"Codes of the app cannot be checked now; use a recovery code, or ask an admin for help.")
	}
	return err
}
