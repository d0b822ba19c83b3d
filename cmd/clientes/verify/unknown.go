package verify

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// unknownUserChecks are the promises about logins with a name that no user has.
func unknownUserChecks() []check {
	return []check{
		{"unknown-user-answer", accounts,
			"A wrong password and an unknown user have the same answer.",
			unknownUserAnswer},
		{"unknown-user-timing", accounts,
			"A wrong password and an unknown user take the same time.",
			unknownUserTiming},
	}
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
