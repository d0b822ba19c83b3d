package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"clientes/store"
)

// Grant is what a login or a refresh yields.
type Grant struct {
	Token            string // the access token
	ExpiresIn        time.Duration
	RefreshToken     string
	RefreshExpiresIn time.Duration // until the session's end, if it is not used again
	User             store.User

	// Device is the mark of the client, to be sent with its next login: "" of a refresh. See DeviceTokenTTL.
	Device string
}

// LoginRequest is what somebody who wants in has said. Where from is in the context, see WithOrigin.
type LoginRequest struct {
	User     string // without regard to case
	Password string
	Code     string // of the second factor: a one-time password or a recovery code, "" for none
	Device   string // the mark of an earlier login from the same client, "" for none
}

// Login opens a session for a user who knows the password, and has the second factor if they have set one up.
// ErrInvalidLogin, ErrMFARequired, ErrMFAInvalid, a *TooManyError or ErrOverloaded refuse it.
func (a *Auth) Login(ctx context.Context, r LoginRequest) (Grant, error) {
	u, err := store.User{}, store.ErrNotFound
	if store.ValidUserName(r.User) { // else no store need look at what a stranger wrote
		u, err = a.cfg.Store.UserByName(ctx, r.User)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Grant{}, fmt.Errorf("look up user: %w", err)
	}
	try, err := a.checkPassword(ctx, u, r.Password, func() (*attempt, error) { return a.reserveLogin(ctx, u, r.User, r.Device) })
	if err != nil {
		return Grant{}, err
	}
	defer try.giveBack(ctx) // unless it ends otherwise
	if u.MFA.On {
		if err := a.checkCode(ctx, u, r.Code, try); err != nil {
			return Grant{}, err
		}
	}
	origin := originOf(ctx)
	now := store.Instant(a.cfg.Now())
	s := store.Session{
		ID:         randomID(),
		UserID:     u.ID,
		RotatedAt:  now,
		CreatedAt:  now,
		LastUsedAt: now,
		ExpiresAt:  sessionEnd(now, now, a.cfg.SessionIdle, a.cfg.SessionMax),
		IP:         origin.IP,
		UserAgent:  origin.UserAgent,
	}
	s.TokenExp = a.tokens.expiry(s, a.cfg.TokenTTL)
	// The generation is the one that stood beside the hash which the password matched. If all of the
	// user's sessions were ended since, this one must not begin.
	ended, err := a.cfg.Store.CreateSession(ctx, s, u.Generation)
	switch {
	case errors.Is(err, store.ErrUserChanged):
		a.recordStrangers(ctx, store.EventLoginFailed, u.ID, "")
		return Grant{}, errors.Join(ErrInvalidLogin, try.failed(ctx))
	case err != nil:
		return Grant{}, fmt.Errorf("open session: %w", err)
	}
	a.ended.addAll(ended)
	// The session is open: what the store fails at from here on is no answer, for who is told so would leave it open.
	if err := try.succeeded(ctx); err != nil {
		a.cfg.Log.Error("a login could not clear the count of those that failed before it", "user_id", u.ID, "error", err)
	}
	event := newEvent(ctx, store.EventLogin, u.ID, "")
	event.ActorID = u.ID
	if event.Detail, err = a.seeAddress(ctx, u); err != nil {
		a.cfg.Log.Error("the address of a login could not be noted: if it is new, the user is not told", "user_id", u.ID, "error", err)
	}
	a.record(ctx, event)
	g, err := a.grant(u, s)
	if err != nil {
		return Grant{}, err
	}
	if g.Device = try.device; g.Device == "" {
		g.Device = randomID()
	}
	g.Device = a.tokens.newMark(u, g.Device)
	return g, nil
}

// seeAddress notes where a user logs in from, and tells them by mail if that is new, as it is at the first login. It says so
// in a few words, too.
func (a *Auth) seeAddress(ctx context.Context, u store.User) (detail string, err error) {
	origin := originOf(ctx)
	prefix := addressPrefix(origin.IP)
	if prefix == "" {
		return "", nil
	}
	var mails []store.Mail
	if u.Email != "" {
		mails = append(mails, newAddressMail(u, origin.IP, origin.UserAgent))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	known, err := a.cfg.Store.SeeNetwork(ctx, u.ID, prefix, mails...)
	if err != nil && !errors.Is(err, store.ErrNotFound) { // who is deleted meanwhile is told nothing
		return "", err
	}
	if known || err != nil {
		return "", nil
	}
	return "new address", nil
}

// grant makes the tokens of a session that has just been used.
func (a *Auth) grant(u store.User, s store.Session) (Grant, error) {
	token, err := a.tokens.mint(u, s, a.cfg.TokenTTL)
	if err != nil {
		return Grant{}, err
	}
	return Grant{
		Token:            token,
		ExpiresIn:        a.tokens.expiry(s, a.cfg.TokenTTL).Sub(s.LastUsedAt.Truncate(time.Second)),
		RefreshToken:     a.tokens.keys[0].refreshToken(s.ID, s.Counter),
		RefreshExpiresIn: s.ExpiresAt.Sub(s.LastUsedAt),
		User:             u,
	}, nil
}

// checkPassword lets pass who knows the password of an enabled user, and counts everybody. For the zero User, who has no
// ID, it gives ErrInvalidLogin after the same work, as for a wrong password and a disabled user. It takes what the attempt
// is to be reserved by. If it lets pass, how the attempt ends is for the caller to say.
func (a *Auth) checkPassword(ctx context.Context, u store.User, password string, reserve func() (*attempt, error)) (*attempt, error) {
	try, err := reserve()
	switch {
	case errors.Is(err, ErrTooManyAttempts):
		a.recordStrangers(ctx, store.EventLoginRefused, u.ID, "")
		return nil, err
	case err != nil:
		return nil, err
	}
	passed := false
	defer func() {
		if !passed {
			// Unless it has failed; also of a panic, or the name's turn would never end.
			if err := try.giveBack(ctx); err != nil {
				a.cfg.Log.Error("an attempt that nobody looked at stays counted", "user_id", u.ID, "error", err)
			}
		}
	}()
	if u.ID == 0 {
		u.PasswordHash = nobodysHash
	}
	active := u.ID != 0 && !u.Disabled
	var good bool
	var rehashed string
	if err := a.cfg.Gate.Do(ctx, func(h Hasher) (err error) {
		good, rehashed, err = h.Verify(u.PasswordHash, password, active)
		return err
	}); err != nil {
		return nil, fmt.Errorf("verify password: %w", err)
	}
	if !active || !good {
		a.recordStrangers(ctx, store.EventLoginFailed, u.ID, "")
		if err := try.failed(ctx); err != nil {
			return nil, err
		}
		return nil, ErrInvalidLogin
	}
	if rehashed != "" {
		if err := a.cfg.Store.ReplacePasswordHash(ctx, u.ID, u.PasswordHash, rehashed); err != nil {
			return nil, fmt.Errorf("replace password hash: %w", err)
		}
	}
	passed = true
	return try, nil
}

// reserveLogin counts an attempt to log in: on the count of the device if there is a good mark of this user, as long as
// not too many of all their devices have failed; else on those of strangers. A made-up mark is seen to be one without a
// question to the store.
func (a *Auth) reserveLogin(ctx context.Context, u store.User, name, mark string) (*attempt, error) {
	if m, ok := a.tokens.parseMark(mark); ok && m.good(u, a.cfg.Now()) {
		if try, err := a.reserveDevice(ctx, u.ID, m.device); !errors.Is(err, errMarksUsed) {
			return try, err
		}
	}
	return a.reserve(ctx, a.loginTallies(name, originOf(ctx).IP)...)
}

// reserveDevice counts an attempt on the count of a device of the user, and of all of them together.
func (a *Auth) reserveDevice(ctx context.Context, userID int64, device string) (*attempt, error) {
	try, err := a.reserve(ctx, deviceTally(userID, device), marksTally(userID))
	if err == nil {
		try.device = device
	}
	return try, err
}

// reserveCurrent counts an attempt of who is logged in. A client without its mark is known by its session, which is no
// stranger's either: nobody else can keep the user from changing the password.
func (a *Auth) reserveCurrent(ctx context.Context, u store.User, session string) (*attempt, error) {
	mark := originOf(ctx).Device
	if _, marked := a.tokens.parseMark(mark); marked {
		return a.reserveLogin(ctx, u, u.Name, mark)
	}
	if try, err := a.reserveDevice(ctx, u.ID, session); !errors.Is(err, errMarksUsed) {
		return try, err
	}
	return a.reserveLogin(ctx, u, u.Name, "")
}

// checkCurrent gives nil if current is the password of u, who is the caller, for what a session alone does not allow. A
// wrong one is a *store.InvalidError on "current" and counts as a failed login. A *TooManyError or ErrOverloaded may
// refuse it, too.
func (a *Auth) checkCurrent(ctx context.Context, c Caller, u store.User, current string) error {
	if current == "" {
		return store.Invalid("current", "required", "Your current password is required.")
	}
	own := "session " + c.SessionID
	bySession := false
	try, err := a.checkPassword(ctx, u, current, func() (*attempt, error) {
		try, err := a.reserveCurrent(ctx, u, own)
		bySession = err == nil && try.device == own
		return try, err
	})
	switch {
	case errors.Is(err, ErrInvalidLogin):
		if bySession { // it counts as a failed login, too, which it was not reserved as
			if _, err := a.countOne(ctx, a.nameTally(u.Name)); err != nil {
				return err
			}
		}
		return store.Invalid("current", "wrong_password", "This is not your current password.")
	case err != nil:
		return err
	}
	return try.succeeded(ctx)
}
