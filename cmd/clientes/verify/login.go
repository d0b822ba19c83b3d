package verify

import (
	"bytes"
	"context"
	"encoding/base32"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// loginChecks are the promises about logins. The failed logins of a run that count on the address
// of this machine are 24. The server slows an address down from 50 in 15 minutes on, so two runs in
// that time are below it.
func loginChecks() []check {
	return []check{
		{"attempts-blocked", accounts,
			"Five failed logins make the sixth wait, whatever the password, also when they come at once.",
			attemptsBlocked},
		{"attempts-known-device", accounts,
			"Strangers cannot lock a user out of a client that they have used.",
			attemptsKnownDevice},
		{"unknown-user-answer", accounts,
			"A wrong password and an unknown user have the same answer.",
			unknownUserAnswer},
		{"unknown-user-timing", accounts,
			"A wrong password and an unknown user take the same time.",
			unknownUserTiming},
		{"second-factor", accounts,
			"With a second factor the password alone is not enough, and each code works once.",
			secondFactor},
		{"password-rules", accounts,
			"A password that is short, well known or the user's own name is refused.",
			passwordRules},
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

// pair is one wrong password for a user and one for nobody, sent one after the other.
type pair struct {
	known, unknown answer
	unknownAt      time.Time // when the latter came
}

// pairs is how many are compared.
const pairs = 6

// wrongLogins sends wrong passwords for users and for nobody, in a random order.
func (v *verifier) wrongLogins(ctx context.Context) (all []pair, err error) {
	if v.slowed {
		return nil, errSlowed
	}
	var users []*user
	for range 2 { // each may fail four times
		u, err := v.newUser(ctx, "viewer")
		if err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	nobody := v.newNobody()
	for i := range pairs {
		if i == freeFailures {
			if err := v.wantBlocked(ctx, nobody, all[i-1].unknownAt); err != nil {
				return nil, err
			}
			nobody = v.newNobody()
		}
		var p pair
		known := func() (err error) {
			p.known, err = v.do(ctx, loginRequest(users[i%2].name, newPassword()))
			return err
		}
		unknown := func() (err error) {
			p.unknown, err = v.do(ctx, loginRequest(nobody, newPassword()))
			p.unknownAt = time.Now()
			return err
		}
		order := []func() error{known, unknown}
		if rand.N(2) == 0 {
			slices.Reverse(order)
		}
		for _, send := range order {
			if err := send(); err != nil {
				return nil, err
			}
		}
		if p.known.status == http.StatusTooManyRequests ||
			p.unknown.status == http.StatusTooManyRequests {
			v.slowed = true
			return nil, errSlowed
		}
		all = append(all, p)
	}
	return all, nil
}

// newNobody returns a name that no user has.
func (v *verifier) newNobody() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.nobodies++
	return v.tag + "-nobody-" + strconv.Itoa(v.nobodies)
}

// wantBlocked returns an error unless another login under a name has to wait. The last of five
// failures came at that time. What is refused counts nowhere.
func (v *verifier) wantBlocked(ctx context.Context, name string, last time.Time) error {
	a, err := v.do(ctx, loginRequest(name, newPassword()))
	switch {
	case err != nil:
		return err
	case a.is(http.StatusTooManyRequests, "too_many_attempts"):
		return nil
	case time.Since(last) > time.Second:
		return notTried("the server was so slow that the wait was over before the next try")
	}
	return broken("after %d failures a login with the name of nobody was answered %v",
		freeFailures, a)
}

// requestID is the one thing in which two refusals differ.
var requestID = regexp.MustCompile(`"request_id":"[^"]*"`)

func unknownUserAnswer(ctx context.Context, v *verifier) (string, error) {
	all, err := v.wrongLogins(ctx)
	if err != nil {
		return "", err
	}
	v.pairs = all
	for _, p := range all {
		for _, a := range []answer{p.known, p.unknown} {
			if !a.is(http.StatusUnauthorized, "invalid_login") {
				return "", broken("a wrong password was answered %v", a)
			}
			if a.member("message") != "Invalid Login!" {
				return "", broken("a wrong password was answered %q", a.member("message"))
			}
		}
		known := requestID.ReplaceAll(p.known.body, nil)
		unknown := requestID.ReplaceAll(p.unknown.body, nil)
		if !bytes.Equal(known, unknown) {
			return "", broken("the bodies of the two refusals differ")
		}
		if a, b := headerNames(p.known), headerNames(p.unknown); !slices.Equal(a, b) {
			return "", broken("the headers of the two refusals differ: %v and %v", a, b)
		}
	}
	return fmt.Sprintf("%d wrong passwords of users and %d of nobody, all 401 invalid_login and "+
		"the same but for their request id", len(all), len(all)), nil
}

func headerNames(a answer) (names []string) {
	for name := range a.header {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func unknownUserTiming(ctx context.Context, v *verifier) (string, error) {
	all := v.pairs
	var err error
	if all == nil { // the check of the answers was left out
		if all, err = v.wrongLogins(ctx); err != nil {
			return "", err
		}
	}
	t := timesOf(all)
	if t.differ() {
		// Once more, or a busy machine would be taken for a fault one time in many.
		if all, err = v.wrongLogins(ctx); err != nil {
			return "", err
		}
		if t = timesOf(all); t.differ() {
			return "", broken("twice, a wrong password of a user took %v and one of nobody %v "+
				"(medians of %d)", t.knownMedian(), t.unknownMedian(), pairs)
		}
		return "", notTried("the times vary too much here: one series differed, " +
			"and the next did not")
	}
	return fmt.Sprintf("medians of %d each: %v for users, %v for nobody", pairs, t.knownMedian(),
		t.unknownMedian()), nil
}

// times are how long answers took, in ascending order.
type times struct{ known, unknown []time.Duration }

func timesOf(all []pair) (t times) {
	for _, p := range all {
		t.known = append(t.known, p.known.took)
		t.unknown = append(t.unknown, p.unknown.took)
	}
	slices.Sort(t.known)
	slices.Sort(t.unknown)
	return t
}

func (t times) knownMedian() time.Duration   { return median(t.known) }
func (t times) unknownMedian() time.Duration { return median(t.unknown) }

func median(sorted []time.Duration) time.Duration {
	return sorted[len(sorted)/2].Round(time.Millisecond / 10)
}

// differ reports whether the two kinds differ by more than chance and by more than a client could
// take for noise. The first is the test of Mann and Whitney: with six of each, at most two pairs in
// the wrong order happen once in a hundred. The second is a factor of two, and 5 ms: a password
// hash that is left out shows by far more.
func (t times) differ() bool {
	below, above := 0, 0
	for _, a := range t.known {
		for _, b := range t.unknown {
			switch {
			case a < b:
				below++
			case a > b:
				above++
			}
		}
	}
	if min(below, above) > 2 {
		return false
	}
	a, b := t.knownMedian(), t.unknownMedian()
	less, more := min(a, b), max(a, b)
	return more > 2*less && more-less > 5*time.Millisecond
}

func secondFactor(ctx context.Context, v *verifier) (string, error) {
	s, err := v.newSession(ctx, "viewer")
	if err != nil {
		return "", err
	}
	u := s.user
	if u.recovery == nil {
		if err := v.setUpMFA(ctx, s); err != nil {
			return "", err
		}
	}
	used := u.confirmed
	// With the device mark, so that nothing counts on the address of this machine.
	login := func(code string) (answer, error) {
		return v.do(ctx, loginRequest(u.name, u.password, "device", s.device, "code", code))
	}
	a, err := login("")
	if err != nil {
		return "", err
	}
	if !a.is(http.StatusUnauthorized, "mfa_required") {
		return "", broken("the password alone was answered %v", a)
	}
	code := u.code()
	if a, err = login(code); err != nil {
		return "", err
	}
	if a.status != http.StatusOK {
		return "", broken("a recovery code was answered %v", a)
	}
	for what, bad := range map[string]string{
		"a recovery code once more":        code,
		"a made-up code":                   "abcde-fghij",
		"the code that had switched it on": used,
	} {
		if a, err = login(bad); err != nil {
			return "", err
		}
		if !a.is(http.StatusUnauthorized, "mfa_invalid") {
			return "", broken("%s was answered %v", what, a)
		}
	}
	if err := v.renewedCodes(ctx, s); err != nil {
		return "", err
	}
	return "the password alone: mfa_required; a code: 200; the same once more, and one that was " +
		"replaced: mfa_invalid; it is not switched off without a code", nil
}

// renewedCodes returns an error unless new recovery codes replace the old ones, and the second
// factor of the user of a session is switched off with the password and a code alone.
func (v *verifier) renewedCodes(ctx context.Context, s *session) error {
	u := s.user
	proof := func(code string) map[string]any {
		return map[string]any{"current": u.password, "code": code}
	}
	for _, r := range []request{
		{method: "DELETE", path: "/me/mfa", body: proof("")},
		{method: "DELETE", path: "/me/mfa", body: proof("abcde-fghij")},
		{method: "POST", path: "/me/mfa/recovery", body: proof("")},
		{method: "POST", path: "/me/mfa/recovery", body: proof("abcde-fghij")},
		{method: "POST", path: "/password", body: map[string]any{
			"current": u.password, "password": newPassword()}},
		{method: "PATCH", path: "/me", body: map[string]any{
			"current": u.password, "email": v.email("me")}},
	} {
		r.token = s.token
		a, err := v.do(ctx, r)
		if err != nil {
			return err
		}
		if a.is(http.StatusForbidden, "forbidden") && r.method == "DELETE" {
			continue // it must stay
		}
		if a.status != http.StatusUnprocessableEntity || !slices.Contains(a.faults(), "code") {
			return broken("%s %s without a good code was answered %v", r.method, r.path, a)
		}
	}
	old := u.recovery[len(u.recovery)-1]
	a, err := v.want(ctx, http.StatusOK, request{
		method: "POST", path: "/me/mfa/recovery", token: s.token, body: proof(u.code()),
	})
	if err != nil {
		return err
	}
	var renewed struct {
		Codes []string `json:"recovery_codes"`
	}
	if err := a.into(&renewed); err != nil {
		return err
	}
	v.hide(renewed.Codes...)
	u.recovery = renewed.Codes
	a, err = v.do(ctx, loginRequest(u.name, u.password, "device", s.device, "code", old))
	if err == nil && !a.is(http.StatusUnauthorized, "mfa_invalid") {
		err = broken("a recovery code that was replaced was answered %v", a)
	}
	if err != nil {
		return err
	}
	_, err = v.login(ctx, u)
	return err
}

// setUpMFA sets a second factor up for the user of a session.
func (v *verifier) setUpMFA(ctx context.Context, s *session) error {
	a, err := v.want(ctx, http.StatusOK, request{
		method: "POST", path: "/me/mfa", token: s.token,
		body: map[string]any{"current": s.user.password},
	})
	if err != nil {
		return fmt.Errorf("begin a second factor: %w", err)
	}
	secret := a.member("secret")
	v.hide(secret)
	unpadded := base32.StdEncoding.WithPadding(base32.NoPadding)
	key, err := unpadded.DecodeString(strings.TrimRight(secret, "="))
	if err != nil {
		return fmt.Errorf("read the key of a second factor: %w", err)
	}
	s.user.confirmed = oneTimePassword(key, v.cfg.Now())
	a, err = v.want(ctx, http.StatusOK, request{
		method: "POST", path: "/me/mfa/confirm", token: s.token,
		body: map[string]any{"code": s.user.confirmed},
	})
	if err != nil {
		return fmt.Errorf("confirm a second factor: %w", err)
	}
	var confirmed struct {
		Codes []string `json:"recovery_codes"`
	}
	if err := a.into(&confirmed); err != nil {
		return err
	}
	v.hide(confirmed.Codes...)
	s.user.recovery = confirmed.Codes
	return nil
}

func passwordRules(ctx context.Context, v *verifier) (string, error) {
	name := v.newName()
	weak := []string{
		"short7!", "password", "12345678", "Password1", "qwertyuiop", name, "clientes",
		strings.Repeat("a", 300),
	}
	for _, password := range weak {
		a, err := v.asAdmin(ctx, request{method: "POST", path: "/users", body: map[string]any{
			"user": name, "password": password, "role": "viewer",
		}})
		if err != nil {
			return "", err
		}
		if a.status != http.StatusUnprocessableEntity ||
			!strings.Contains(string(a.body), `"password"`) {
			return "", broken("a weak password of %d characters was answered %v", len(password), a)
		}
	}
	// Nothing is too long or too odd up to 256 characters, and one letter is one letter.
	good := strings.Repeat("a\u0301 ", 32) + newPassword()
	v.hide(good)
	if _, err := v.wantAsAdmin(ctx, http.StatusCreated, request{
		method: "POST", path: "/users",
		body: map[string]any{"user": name, "password": good, "role": "viewer"},
	}); err != nil {
		return "", fmt.Errorf("a long password with white space: %w", err)
	}
	composed := strings.ReplaceAll(good, "a\u0301", "á")
	v.hide(composed)
	if _, err := v.want(ctx, http.StatusOK, loginRequest(name, composed)); err != nil {
		return "", fmt.Errorf("a login with the other form of the same letters: %w", err)
	}
	return fmt.Sprintf("%d weak passwords, each refused with 422; a long one in two forms of "+
		"Unicode", len(weak)), nil
}
