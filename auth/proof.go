package auth

import (
	"context"
	"errors"
	"time"

	"clientes/auth/token"
	"clientes/store"
)

// ErrStepUpRequired refuses what a token alone does not allow, because it may be stolen. Its bearer
// must send a [Proof] or have logged in recently. See [Auth.StepUp].
var ErrStepUpRequired = errors.New("a proof of the caller or a recent login is required")

// loginIsProofFor is how long a login spares its session another proof.
const loginIsProofFor = 5 * time.Minute

// ErrMFASetupRequired refuses a session without a second factor to a user who must have one. See
// [Caller] and Config.RequireMFA.
var ErrMFASetupRequired = errors.New("a second factor is required of this user")

// What a session's AMR says of its login (RFC 8176). A recovery code counts like a one-time
// password.
const (
	amrPassword = "pwd"
	amrBoth     = "pwd otp mfa"
)

// mustHaveMFA reports whether users of a role must have a second factor.
func (a *Auth) mustHaveMFA(role store.Role) bool { return role.Allows(a.cfg.RequireMFA) }

// Proof is what the bearer of a token sends to show that they are its user: the current password,
// and a code if the user has a second factor. A member that was not sent is "".
type Proof struct {
	Current string // the password
	Code    string // a one-time password or a recovery code
}

// missing returns a *store.InvalidError that names what a proof of u lacks.
func (p Proof) missing(u store.User) error {
	var fault error
	if p.Current == "" {
		fault = errCurrentMissing()
	}
	if u.MFA.On && p.Code == "" {
		fault = store.JoinInvalid(fault, errCodeMissing())
	}
	return fault
}

func errCurrentMissing() error {
	return store.Invalid("current", "required", "Your current password is required.")
}

func errCodeMissing() error {
	return store.Invalid("code", "required", "A code of your second factor is required.")
}

// StepUp returns nil if the caller may change what outlives a stolen token: other accounts, and who
// is an admin. Either p is a good proof, or it is the zero Proof and the session's login was made
// in the last five minutes, with the second factor if the user has one. A code of p is used up.
// Whatever is wrong with a proof that was sent is a *[store.InvalidError]. A *[TooManyError],
// [ErrStepUpRequired] or [ErrTokenRevoked] may also refuse it.
func (a *Auth) StepUp(ctx context.Context, c Caller, p Proof) error {
	u, err := a.Me(ctx, c)
	if err != nil {
		return err
	}
	if p != (Proof{}) {
		err = a.checkProof(ctx, c, u, p)
	} else if !c.loggedInRecently(u, a.cfg.Store.Now()) {
		err = ErrStepUpRequired
	}
	if err != nil {
		return err
	}
	return a.CheckSession(ctx, c) // which may have ended while the password was hashed
}

// loggedInRecently reports whether the login of the caller, who is u, is a proof at now. One that
// lies ahead is from a clock that was wrong.
func (c Caller) loggedInRecently(u store.User, now time.Time) bool {
	age := now.Sub(c.AuthTime)
	return -token.IssuedLeeway <= age && age < loginIsProofFor && (c.MFA || !u.MFA.On)
}

// checkProof returns nil if p is a good proof of u, the caller, and uses its code up.
func (a *Auth) checkProof(ctx context.Context, c Caller, u store.User, p Proof) error {
	if err := a.checkCurrent(ctx, c, u, p); err != nil {
		return err
	}
	if !u.MFA.On {
		return nil
	}
	nothing := func(*store.User) error { return nil }
	_, err := a.updateOwner(ctx, newEffects(ctx), c, u, p.Code, nothing)
	return err
}

// checkCurrent returns nil if p lacks nothing and has the password of u, the caller. The code is
// for updateOwner to check.
func (a *Auth) checkCurrent(ctx context.Context, c Caller, u store.User, p Proof) error {
	if err := p.missing(u); err != nil {
		return err
	}
	return a.guard.checkCurrent(ctx, c, u, p.Current)
}

// updateOwner updates c, the caller, who was u when checkCurrent passed. If they have a second
// factor, it uses the code up in the same step, so a code works once and is not lost when the
// update is refused. A wrong code is a *store.InvalidError on "code" and counts.
func (a *Auth) updateOwner(
	ctx context.Context, fx *effects, c Caller, u store.User, code string,
	update func(*store.User) error,
) (updated store.User, err error) {
	change := func() (err error) {
		updated, err = a.tryUpdateMe(ctx, fx, u, func(now *store.User) (err error) {
			switch {
			case !now.MFA.On:
			case code == "": // it was switched on meanwhile
				return errCodeMissing()
			default:
				now.MFA, err = useCode(a.keys, now.ID, now.MFA, code, a.cfg.Store.Now())
				if err != nil {
					return err
				}
			}
			return update(now)
		})
		return err
	}
	if code == "" {
		err = change()
	} else {
		err = a.guard.tryOwnersCode(ctx, u, sessionCodes(c), change)
	}
	return updated, codeFault(err)
}
