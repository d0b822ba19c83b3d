package verify

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// loginChecks are the promises about failed logins. Those of a run that count on the address of
// this machine are 24. The server slows an address down from 50 in 15 minutes on, so two runs in
// that time are below it.
func loginChecks() []check {
	return []check{
		{"attempts-blocked", accounts,
			"Five failed logins make the sixth wait, whatever the password, also when they come at once.",
			attemptsBlocked},
		{"attempts-known-device", accounts,
			"Strangers cannot lock a user out of a client that they have used.",
			attemptsKnownDevice},
	}
}

// loginRequest is a login that need not succeed.
func loginRequest(name, password string, more ...string) request {
	body := map[string]any{"user": name, "password": password}
	for i := 0; i+1 < len(more); i += 2 {
		body[more[i]] = more[i+1]
	}
	return request{method: "POST", path: "/login", body: body}
}

// freeFailures is how many failed logins in a row do not wait.
const freeFailures = 5

// mayFail returns how many attempts may fail within a time, the waits of 1 s, 2 s and so on
// included.
func mayFail(within time.Duration) int {
	n := freeFailures
	for wait := time.Second; within >= wait; wait *= 2 {
		within -= wait
		n++
	}
	return n
}

// retryAfter returns how long an answer says to wait, 0 if it does not say.
func retryAfter(a answer) time.Duration {
	n, err := strconv.Atoi(a.header.Get("Retry-After"))
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// errSlowed is for checks of failed logins once the server slows the address of this machine down.
// More of them would make everybody's logins from there wait longer.
var errSlowed = notTried("the server slows this address down already")

func attemptsBlocked(ctx context.Context, v *verifier) (string, error) {
	u, err := v.newUser(ctx, "viewer")
	if err != nil {
		return "", err
	}
	const atOnce = 2 * freeFailures
	servers := v.servers()
	answers := make([]answer, atOnce)
	calls := make([]func() error, atOnce)
	for i := range calls {
		name := u.name
		if i%2 == 1 {
			name = strings.ToUpper(name) // which counts on the same name
		}
		r := loginRequest(name, "wrong-"+strconv.Itoa(i))
		r.server = servers[i%len(servers)]
		calls[i] = func() (err error) {
			answers[i], err = v.do(ctx, r)
			return err
		}
	}
	began := time.Now()
	if err := together(atOnce, calls...); err != nil {
		return "", err
	}
	failed, waiting := 0, 0
	for _, a := range answers {
		switch {
		case a.is(http.StatusUnauthorized, "invalid_login"):
			failed++
		case a.is(http.StatusTooManyRequests, "too_many_attempts"):
			waiting++
			if retryAfter(a) < time.Second {
				return "", broken("429 came without a Retry-After of a second or more")
			}
			if a.member("challenge") == "" || !strings.Contains(string(a.body), `"auth":false`) {
				return "", broken("429 came without a challenge, or without auth: false")
			}
		case a.status == http.StatusServiceUnavailable:
			return "", notTried("the server was too busy for %d logins at once", atOnce)
		default:
			return "", broken("a wrong password was answered %v", a)
		}
	}
	if most := mayFail(time.Since(began)); failed > most {
		return "", broken("of %d wrong passwords at once %d were looked at, not %d",
			atOnce, failed, most)
	}
	if failed < freeFailures {
		v.slowed = true
		return "", notTried("of %d wrong passwords only %d were looked at: the server slows this "+
			"address down already", atOnce, failed)
	}
	r := loginRequest(u.name, u.password)
	a, err := v.do(ctx, r)
	if err != nil {
		return "", err
	}
	if a.status == http.StatusOK && time.Since(began) > time.Second {
		return "", notTried("the server was so slow that the wait was over before the next try")
	}
	if !a.is(http.StatusTooManyRequests, "too_many_attempts") {
		return "", broken("after %d failures the right password was answered %v", failed, a)
	}
	wait := retryAfter(a)
	if most := time.Second << (failed - freeFailures); wait > most {
		return "", broken("after %d failures the wait is %v, not %v", failed, wait, most)
	}
	// A wait is over after what it says, and an attempt that was refused has not counted.
	if !pause(ctx, wait+50*time.Millisecond) {
		return "", ctx.Err()
	}
	if a, err = v.do(ctx, r); err != nil {
		return "", err
	}
	if a.status != http.StatusOK && !a.is(http.StatusUnauthorized, "mfa_required") {
		return "", broken("after the wait of %v the right password was answered %v", wait, a)
	}
	return fmt.Sprintf("of %d wrong passwords at once on %s %d were looked at and %d answered "+
		"429; so was the right one, until Retry-After (%v) was over",
		atOnce, v.where(), failed, waiting, wait), nil
}

func attemptsKnownDevice(ctx context.Context, v *verifier) (string, error) {
	if v.slowed {
		return "", errSlowed
	}
	s, err := v.newSession(ctx, "viewer")
	if err != nil {
		return "", err
	}
	if s.device == "" {
		return "", broken("a login answered no device")
	}
	other, err := v.shared(ctx, "viewer")
	if err != nil {
		return "", err
	}
	u := s.user
	for range freeFailures {
		a, err := v.do(ctx, loginRequest(u.name, newPassword()))
		if err != nil {
			return "", err
		}
		if a.status == http.StatusTooManyRequests {
			v.slowed = true
			return "", errSlowed
		}
	}
	lastFailure := time.Now()
	for what, device := range map[string]string{
		"no mark":             "",
		"a changed mark":      flip(s.device, len(s.device)-10),
		"another user's mark": other.device,
	} {
		a, err := v.do(ctx, loginRequest(u.name, u.password, "device", device))
		if err != nil {
			return "", err
		}
		if a.status == http.StatusOK && time.Since(lastFailure) > time.Second {
			return "", notTried("the server was so slow that the wait was over before the next try")
		}
		if a.status != http.StatusTooManyRequests {
			return "", broken("after %d failures a login with %s was answered %v",
				freeFailures, what, a)
		}
	}
	again, err := v.loginAt(ctx, u, "", map[string]any{"device": s.device})
	if err != nil {
		return "", broken("after strangers had failed %d times, the user's known device was "+
			"refused: %v", freeFailures, err)
	}
	if s, err = v.cancelled(ctx, again, lastFailure); err != nil {
		return "", err
	}
	if err := v.deviceWaits(ctx, s); err != nil {
		return "", err
	}
	return "while strangers waited, the marked device logged in; a changed mark, another user's " +
		"and a cancelled one did not help; the device waits after failures of its own", nil
}

// cancelled cancels the marks of a user for whom strangers have failed, the last time at that
// instant. The mark of the session must be worth nothing then. It returns another session.
func (v *verifier) cancelled(
	ctx context.Context, s *session, lastFailure time.Time,
) (*session, error) {
	r := request{method: "DELETE", path: "/me/devices", token: s.token}
	if _, err := v.want(ctx, http.StatusNoContent, r); err != nil {
		return nil, err
	}
	a, err := v.do(ctx, loginRequest(s.user.name, s.user.password, "device", s.device))
	switch {
	case err != nil:
		return nil, err
	case a.status != http.StatusTooManyRequests && time.Since(lastFailure) <= time.Second:
		return nil, broken("a login with a mark that was cancelled was answered %v", a)
	case !pause(ctx, time.Until(lastFailure.Add(1100*time.Millisecond))):
		return nil, ctx.Err()
	}
	return v.login(ctx, s.user)
}

// deviceWaits returns an error unless what a device fails counts on its own: it waits after five
// failures, twice as long after another one, and not at all after a success.
func (v *verifier) deviceWaits(ctx context.Context, s *session) error {
	try := func(password string) (answer, error) {
		return v.do(ctx, loginRequest(s.user.name, password, "device", s.device))
	}
	began := time.Now()
	failed := 0
	var a answer
	for range freeFailures + 1 {
		var err error
		if a, err = try(newPassword()); err != nil {
			return err
		}
		if a.status != http.StatusTooManyRequests {
			failed++
		}
	}
	if most := mayFail(time.Since(began)); failed > most {
		return broken("a known device may fail %d times without a wait", failed)
	}
	if !pause(ctx, retryAfter(a)+50*time.Millisecond) {
		return ctx.Err()
	}
	sixth := time.Now()
	b, err := try(newPassword())
	if err != nil {
		return err
	}
	if a, err = try(newPassword()); err != nil {
		return err
	}
	// It waits from when the sixth attempt came.
	if b.status == http.StatusUnauthorized && a.status == http.StatusTooManyRequests &&
		retryAfter(a) < 2*time.Second-time.Since(sixth) {
		return broken("after six failures a device waits %v", retryAfter(a))
	}
	if !pause(ctx, retryAfter(a)+50*time.Millisecond) {
		return ctx.Err()
	}
	if _, err := v.loginAt(ctx, s.user, "", map[string]any{"device": s.device}); err != nil {
		return fmt.Errorf("log in after the waits: %w", err)
	}
	for range 2 {
		a, err = try(newPassword())
		if err == nil && !a.is(http.StatusUnauthorized, "invalid_login") {
			err = broken("after a success a wrong password was answered %v", a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
