package auth

import (
	"context"
	"strconv"
	"strings"
	"time"

	"clientes/auth/token"
	"clientes/store"
)

// A device token shows that a user has logged in from a client before: OWASP's "device cookie". It
// lets nobody in. Its client has a bucket of its own for failed logins, so strangers who fail under
// the user's name do not keep the user out.
//
// Its text is "<user id>.<device id>.<generation>.<last use>", the last in seconds since 1970. The
// MAC shows without a question to the store that the token is ours. The generation is the user's
// DeviceGeneration: raising it cancels all device tokens at once. Nothing is stored of a device
// except the count of its failures.

// DeviceTokenTTL is how long a device token is good after its last use.
const DeviceTokenTTL = 90 * 24 * time.Hour

// CancelDevices cancels all device tokens of the caller. No password is needed: it takes nothing
// from the user but the protection from strangers' failures, until the next login. It returns
// [ErrTokenRevoked] if the caller's sessions were ended meanwhile.
func (a *Auth) CancelDevices(ctx context.Context, c Caller) error {
	u, err := a.Me(ctx, c)
	if err != nil {
		return err
	}
	wait, err := a.guard.limiter.Ask(ctx, cancelsBucket(u.ID))
	if err != nil {
		return err
	}
	fx := newEffects(ctx)
	fx.mailedEnough = wait > 0 // a thief of the session can do it at will
	_, err = a.updateMe(ctx, fx, u, func(u *store.User) { u.DeviceGeneration++ })
	return err
}

// deviceToken is what a device token says.
type deviceToken struct {
	userID     int64
	device     string // 128 random bits in base64url
	generation int64
	usedAt     time.Time
}

// good reports whether it is a token of this user that was neither cancelled nor unused for too
// long. One whose last use lies ahead is from a clock that was wrong, and would be good for longer.
func (d deviceToken) good(u store.User, now time.Time) bool {
	unused := now.Sub(d.usedAt)
	return u.ID != 0 && d.userID == u.ID && d.generation == u.DeviceGeneration &&
		-token.IssuedLeeway <= unused && unused < DeviceTokenTTL
}

// signDeviceToken returns the token of a user's device that is used now.
func signDeviceToken(keys *token.Keyring, u store.User, device string, now time.Time) string {
	return keys.Sign(token.Device, strings.Join([]string{
		decimal(u.ID), device, decimal(u.DeviceGeneration), decimal(now.Unix()),
	}, "."))
}

// parseDeviceToken reads a device token of ours. Whether it is good depends on the user's row.
func parseDeviceToken(keys *token.Keyring, s string) (d deviceToken, ok bool) {
	text, ok := keys.Verify(token.Device, store.Trim(s))
	parts := strings.Split(text, ".")
	if !ok || len(parts) != 4 {
		return deviceToken{}, false
	}
	var numbers [3]int64
	for i, part := range []string{parts[0], parts[2], parts[3]} {
		var err error
		if numbers[i], err = strconv.ParseInt(part, 10, 64); err != nil {
			return deviceToken{}, false
		}
	}
	return deviceToken{
		userID: numbers[0], device: parts[1], generation: numbers[1],
		usedAt: time.Unix(numbers[2], 0),
	}, true
}
