package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"clientes/auth/captcha"
	"clientes/auth/throttle"
	"clientes/auth/token"
	"clientes/store"
)

// A puzzle of proof of work is an alternative to waiting, and never a wall: whoever cannot compute
// waits. See package captcha. What a solution is good for is bound to a purpose and a subject.
const (
	captchaLogin  = "login"  // for a name
	captchaSignup = "signup" // for a network
	captchaForgot = "forgot" // for a network
)

var (
	// solvedLimit is for logins that did not wait, under one name. It bounds what somebody with
	// many processors can add to the guesses of those who wait.
	solvedLimit = throttle.Limit{Free: 20, Window: 24 * time.Hour}

	// networkSolvedLimit is for those of one network, or IPv6 /48, under all names. Made-up names
	// have solved tries of their own. Without this limit one machine with many processors would
	// keep everybody else's new clients from the gate of the hashes.
	networkSolvedLimit = throttle.Limit{Free: siteLimit.Free, Window: siteLimit.Window}

	// solutionLimit makes a solution count once. Its row outlives the solution.
	solutionLimit = throttle.Limit{Free: 1, Window: captcha.Lifetime}

	// freeLimit is how often a network may sign up, or request a link, without a solution.
	freeLimit = throttle.Limit{Free: 3, Window: askedLimit.Window}
)

// ErrCaptchaRequired refuses a sign-up or a request for a link: the network has asked so often that
// the next one has to wait, or to bring a solution. The error is a *[ChallengeError].
var ErrCaptchaRequired = errors.New("a solved puzzle is required")

// ChallengeError refuses somebody who has to wait, unless the next try comes with the solution of a
// puzzle. It wraps a *[TooManyError].
type ChallengeError struct {
	Challenge string // see package captcha, "" if no solution counts before the wait is over
	Refused   bool   // a solution came along and did not count
	err       error
}

func (e *ChallengeError) Error() string { return e.err.Error() }

// Unwrap returns why the try was refused.
func (e *ChallengeError) Unwrap() error { return e.err }

type captchaKey struct{}

// WithCaptcha returns a context for a request of [Auth.SignUp] or [Auth.ForgotPassword] that bears
// the solution of a puzzle, not yet checked. A login has it in its [LoginRequest].
func WithCaptcha(ctx context.Context, solution string) context.Context {
	return context.WithValue(ctx, captchaKey{}, solution)
}

// captchas makes puzzles and lets their solutions stand in for waiting.
type captchas struct {
	issuer  *captcha.Issuer
	limiter *throttle.Limiter
	keys    *token.Keyring

	// numbers returns how large a puzzle is after so many failures too many.
	numbers func(over int64) int64

	metrics *metrics
}

func newCaptchas(
	keys *token.Keyring, limiter *throttle.Limiter, now func() time.Time, m *metrics,
) captchas {
	return captchas{captcha.NewIssuer(keys, now), limiter, keys, puzzleNumbers, m}
}

// puzzleNumbers makes an honest mistake cheap to repair: the first puzzles take a phone a moment.
// They never grow beyond what a slow one computes in a minute.
func puzzleNumbers(over int64) int64 {
	switch {
	case over < 5:
		return 50_000
	case over < 10:
		return 200_000
	}
	return captcha.MaxNumbers
}

// reserve counts an attempt in buckets. If it has to wait, the solution of a puzzle for this
// purpose and subject stands in. Otherwise the error is a *ChallengeError. A bad solution is as
// good as none, and is refused without a question to the store.
func (c captchas) reserve(
	ctx context.Context, purpose, subject, solution string, uses []throttle.Bucket,
	buckets ...throttle.Bucket,
) (*throttle.Reservation, error) {
	waiver := throttle.Waiver{Uses: uses}
	solution = store.Trim(solution)
	if salt, ok := c.issuer.Check(purpose, subject, solution); ok {
		waiver.Proof = newBucket("captcha "+salt, solutionLimit)
	}
	r, err := c.limiter.ReserveWaivable(ctx, waiver, buckets...)
	var many *TooManyError
	if !errors.As(err, &many) {
		return r, err
	}
	e := &ChallengeError{Refused: solution != "", err: err}
	if many.Waivable {
		e.Challenge = c.issuer.Challenge(purpose, subject, c.numbers(many.Over))
	}
	return nil, e
}

// forLogin returns a function that counts a stranger's attempt to log in. The solution for the
// name, if there is one, stands in for waiting.
func (c captchas) forLogin(
	name, solution string,
) func(context.Context, ...throttle.Bucket) (*throttle.Reservation, error) {
	subject := store.NameKey(name)
	return func(
		ctx context.Context, buckets ...throttle.Bucket,
	) (*throttle.Reservation, error) {
		uses := solvedBuckets(c.keys, subject, originOf(ctx).IP)
		return c.reserve(ctx, captchaLogin, subject, solution, uses, buckets...)
	}
}

// ask counts one request of a network for something that anybody may ask for. It returns a
// *ChallengeError that is ErrCaptchaRequired, or after too many requests one that is only a
// *TooManyError.
func (c captchas) ask(ctx context.Context, purpose string) error {
	ip := originOf(ctx).IP
	network := throttle.NetworkOf(ip)
	if network == "" {
		return nil
	}
	solution, _ := ctx.Value(captchaKey{}).(string)
	r, err := c.reserve(ctx, purpose, network, solution, nil,
		append(askedBuckets(purpose, ip), freeBucket(purpose, network))...)
	c.metrics.attempt(err)
	var challenge *ChallengeError
	var many *TooManyError
	switch {
	case errors.As(err, &challenge) && errors.As(err, &many):
		many.Asked = true
		if challenge.Challenge != "" {
			challenge.err = fmt.Errorf("%w: %w", ErrCaptchaRequired, many)
		}
		return challenge
	case err != nil:
		return err
	}
	return r.Fail(ctx) // whatever comes of it, it stays counted
}

// solvedBuckets count logins for which a solution stood in, under a name, existing or not, and from
// the site or network of an address.
func solvedBuckets(keys *token.Keyring, nameKey, ip string) []throttle.Bucket {
	b := throttle.Bucket{Limit: solvedLimit}
	for _, mac := range keys.MACs(token.Throttle, nameKey) {
		b.Keys = append(b.Keys, "solved "+mac)
	}
	buckets := []throttle.Bucket{b}
	if by := cmp.Or(throttle.SiteOf(ip), throttle.NetworkOf(ip)); by != "" {
		buckets = append(buckets, newBucket("solved by "+by, networkSolvedLimit))
	}
	return buckets
}

// freeBucket counts what a network requests, for the limit without a solution.
func freeBucket(purpose, network string) throttle.Bucket {
	b := newBucket(purpose+" free by "+network, freeLimit)
	b.Waivable = true
	return b
}
