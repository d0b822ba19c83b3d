package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"clientes/auth/password"
	"clientes/auth/throttle"
	"clientes/auth/token"
	"clientes/store"
)

// guard checks passwords and codes of a second factor, and counts the attempts.
type guard struct {
	hashes interface {
		ReplacePasswordHash(ctx context.Context, id int64, old, hash string) error
	}
	mails interface {
		QueueMails(ctx context.Context, mails ...store.Mail) error
	}
	gate     *password.Gate
	limiter  *throttle.Limiter
	captchas captchas
	keys     *token.Keyring
	accounts *Accounts
	audit    *recorder
	clock    clock
	log      *slog.Logger
	metrics  *metrics
}

// attempt is a reservation of somebody who tries to prove who they are.
type attempt struct {
	*throttle.Reservation
	device  string // the id of the known device that it came from, "" for a stranger's
	factors string // that were right, as the event of a login says them
	newHash string // of the same password, to replace one that is out of date, or ""
}

// amr returns what the session of a login says of the factors. See amrPassword.
func (a *attempt) amr() string {
	if a.factors == amrPassword {
		return amrPassword
	}
	return amrBoth
}

// checkPassword counts an attempt with reserve, and returns it if the password is that of an
// enabled user. The caller then decides how the attempt ends, and keeps its newHash. For a wrong
// password, a disabled user and the zero User, who has no ID, it returns ErrInvalidLogin after the
// same work.
func (g *guard) checkPassword(
	ctx context.Context, u store.User, given string, reserve func() (*attempt, error),
) (*attempt, error) {
	try, err := reserve()
	g.metrics.attempt(err)
	switch {
	case errors.Is(err, ErrTooManyAttempts):
		g.audit.recordStrangers(ctx, store.EventLoginRefused, u.ID, "")
		return nil, err
	case err != nil:
		return nil, err
	}
	passed := false
	defer func() { // also after a panic, or the name would stay locked
		if !passed {
			g.release(ctx, try, u)
		}
	}()
	active := u.ID != 0 && !u.Disabled
	gate := g.gate
	if try.device != "" {
		gate = gate.Known()
	}
	good, rehashed, err := gate.Verify(ctx, u.PasswordHash, given, active)
	switch {
	case err != nil:
		return nil, err
	case !active || !good:
		g.audit.recordStrangers(ctx, store.EventLoginFailed, u.ID, "")
		if err := try.Fail(ctx); err != nil {
			return nil, err
		}
		return nil, ErrInvalidLogin
	}
	passed, try.factors, try.newHash = true, amrPassword, rehashed
	return try, nil
}

// release uncounts an attempt that nobody looked at. It does nothing if the attempt has failed.
func (g *guard) release(ctx context.Context, try *attempt, u store.User) {
	if err := try.Release(ctx); err != nil {
		g.log.Error("an attempt that nobody looked at stays counted", "user_id", u.ID, "error", err)
	}
}

// reserveLogin is reserveBy for an attempt for which nothing stands in for waiting.
func (g *guard) reserveLogin(
	ctx context.Context, u store.User, name, deviceToken string,
) (*attempt, error) {
	return g.reserveBy(ctx, u, name, deviceToken, g.limiter.Reserve)
}

// reserveBy counts an attempt to show the password of that name, which is u's. With a good device
// token of this user it counts in the bucket of the device. Without one, or after too many failures
// from all their devices, strangers counts it in their buckets. A forged token is refused without a
// question to the store.
func (g *guard) reserveBy(
	ctx context.Context, u store.User, name, deviceToken string,
	strangers func(context.Context, ...throttle.Bucket) (*throttle.Reservation, error),
) (*attempt, error) {
	if device, ok := g.knownDevice(u, deviceToken); ok {
		if try, err := g.reserveDevice(ctx, u.ID, device); !errors.Is(err, errDevicesUsed) {
			return try, err
		}
	}
	r, err := strangers(ctx, loginBuckets(g.keys, u.ID, name, originOf(ctx).IP)...)
	if err != nil {
		return nil, err
	}
	return &attempt{Reservation: r}, nil
}

// reserveDevice counts an attempt in the bucket of a device of the user, and in that of all their
// devices together.
func (g *guard) reserveDevice(ctx context.Context, userID int64, device string) (*attempt, error) {
	// The first bucket is the user's: attempts from their devices wait for each other. So however
	// many devices somebody has, one of their passwords at a time is in the lane of the gate.
	r, err := g.limiter.Reserve(ctx,
		passesBucket(userID, true), deviceBucket(userID, device), devicesBucket(userID))
	if err != nil {
		return nil, err
	}
	return &attempt{Reservation: r, device: device}, nil
}

// reserveCurrent counts an attempt of a user with a session. A client without a good device token
// is known by its session instead: the token may be another user's, or cancelled. No stranger has
// either, so nobody else can keep the user from changing the password.
func (g *guard) reserveCurrent(
	ctx context.Context, u store.User, session string,
) (*attempt, error) {
	device := originOf(ctx).Device
	if _, known := g.knownDevice(u, device); known {
		return g.reserveLogin(ctx, u, u.Name, device)
	}
	if try, err := g.reserveDevice(ctx, u.ID, session); !errors.Is(err, errDevicesUsed) {
		return try, err
	}
	return g.reserveLogin(ctx, u, u.Name, "")
}

// checkCurrent returns nil if current is the password of u, the caller. A session alone does
// not allow everything. A wrong password is a *store.InvalidError on "current" and counts as a
// failed login. A *TooManyError or ErrOverloaded may also refuse it.
func (g *guard) checkCurrent(ctx context.Context, c Caller, u store.User, current string) error {
	if current == "" {
		return errCurrentMissing()
	}
	own := "session " + c.SessionID
	bySession := false
	try, err := g.checkPassword(ctx, u, current, func() (*attempt, error) {
		try, err := g.reserveCurrent(ctx, u, own)
		bySession = err == nil && try.device == own
		return try, err
	})
	switch {
	case errors.Is(err, ErrInvalidLogin):
		if bySession { // its reservation did not count on the name
			if _, err := g.limiter.Ask(ctx, nameBucket(g.keys, u.ID, u.Name)); err != nil {
				return err
			}
		}
		return store.Invalid("current", "wrong_password", "This is not your current password.")
	case err != nil:
		return err
	}
	if try.newHash != "" {
		if err := g.hashes.ReplacePasswordHash(ctx, u.ID, u.PasswordHash, try.newHash); err != nil {
			return errors.Join(fmt.Errorf("replace password hash: %w", err), try.Pass(ctx))
		}
	}
	return try.Succeed(ctx)
}

// checkCode returns nil if a login has a code of the user's second factor, and uses the code up.
// The password was right. So without a code the attempt has neither failed nor succeeded, and with
// a wrong one it has failed.
func (g *guard) checkCode(ctx context.Context, u store.User, code string, try *attempt) error {
	if code == "" {
		g.audit.recordStrangers(ctx, store.EventMFAMissing, u.ID, "")
		err := errors.Join(ErrMFARequired, try.Pass(ctx))
		g.mailHalfLogin(ctx, u)
		return err
	}
	from := strangersCodes
	if try.device != "" {
		from = devicesCodes
	}
	err := g.tryOwnersCode(ctx, u, from, func() error {
		_, err := g.accounts.update(ctx, newEffects(ctx), u.ID,
			func(now store.User) (_ store.User, err error) {
				if !now.MFA.On {
					return now, ErrMFAOff
				}
				now.MFA, err = useCode(g.keys, now.ID, now.MFA, code, g.clock.Now())
				return now, err
			})
		return err
	})
	switch {
	case errors.Is(err, ErrMFAOff):
		return nil // it was switched off meanwhile
	case errors.Is(err, store.ErrNotFound):
		return ErrInvalidLogin // deleted meanwhile
	case errors.Is(err, ErrMFAInvalid):
		return errors.Join(err, try.Fail(ctx))
	case err != nil:
		return err
	}
	try.factors += " " + factorOf(code)
	return nil
}

// tryOwnersCode is tryCode for somebody who knows the password of u. A wrong code may be a thief's,
// so the user gets mail.
func (g *guard) tryOwnersCode(
	ctx context.Context, u store.User, from string, check func() error,
) error {
	err := g.tryCode(ctx, u.ID, from, check)
	if errors.Is(err, ErrMFAInvalid) {
		g.mailHalfLogin(ctx, u)
	}
	return err
}

// mailHalfLogin queues the mail to a user whose password somebody knew, without a right code. The
// mailer drops it if a login from the same network succeeds in the next minutes: most people send
// the code a moment later. A network puts one mail into the queue in ten minutes, and the mailer
// sends one a day, because a thief of the password can cause them at will. Errors of the store go
// to the log: they do not make the code a right one.
func (g *guard) mailHalfLogin(ctx context.Context, u store.User) {
	if u.Email == "" {
		return
	}
	ctx, cancel := context.WithTimeout(store.Insist(ctx), recordTimeout)
	defer cancel()
	wait, err := g.limiter.Ask(ctx, halfLoginBucket(u.ID, throttle.NetworkOf(originOf(ctx).IP)))
	if err == nil && wait == 0 {
		err = g.mails.QueueMails(ctx, newOriginMail(ctx, store.MailHalfLogin, u))
	}
	if err != nil {
		g.log.Error("a user cannot be told that somebody knows the password",
			"user_id", u.ID, "error", err)
	}
}

// tryCode calls check, which looks at a code, and counts it as a wrong one if the error is
// ErrMFAInvalid. After too many wrong ones it does not call check and returns a *TooManyError.
func (g *guard) tryCode(
	ctx context.Context, userID int64, from string, check func() error,
) error {
	try, err := g.limiter.Reserve(ctx, codesBucket(userID, from))
	g.metrics.attempt(err)
	if errors.Is(err, ErrTooManyAttempts) {
		g.audit.recordStrangers(ctx, store.EventLoginRefused, userID, "codes")
	}
	if err != nil {
		return err
	}
	defer try.Release(ctx) // unless it ends otherwise
	err = check()
	switch {
	case errors.Is(err, ErrMFAInvalid):
		g.audit.recordStrangers(ctx, store.EventMFAFailed, userID, "")
		return errors.Join(err, try.Fail(ctx))
	case errors.Is(err, ErrMFASealed):
		g.log.Error("a second factor was sealed under a secret that is gone: only recovery codes "+
			"let its user in; add that secret to SECRET_PREVIOUS or ROOT_SECRET_PREVIOUS, or take "+
			"the second factor away with `clientes user mfa-off NAME`", "user_id", userID)
		return err
	case err != nil:
		return err
	}
	return try.Succeed(ctx)
}

// knownDevice returns the id of the device of u whose token this is, if the token is good.
func (g *guard) knownDevice(u store.User, deviceToken string) (device string, ok bool) {
	d, ok := parseDeviceToken(g.keys, deviceToken)
	return d.device, ok && d.good(u, g.clock.Now())
}
