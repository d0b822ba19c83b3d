package auth

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"clientes/store"
)

// ErrTooManyAttempts refuses an attempt because too many have failed before, whether or not this one would.
var ErrTooManyAttempts = errors.New("too many attempts have failed")

// TooManyError is an ErrTooManyAttempts that says for how long.
type TooManyError struct {
	Wait  time.Duration // until the next attempt is let through
	Asked bool          // says that none has failed: something was asked for too often
}

func (e *TooManyError) Error() string { return fmt.Sprintf("%v: wait %v", ErrTooManyAttempts, e.Wait) }
func (e *TooManyError) Unwrap() error { return ErrTooManyAttempts }

// Seconds is the wait in whole seconds, of which there is one at least.
func (e *TooManyError) Seconds() int64 { return max(1, int64(math.Ceil(e.Wait.Seconds()))) }

// limit is how often something may fail.
type limit struct {
	free   int64         // so many are let through one after the other,
	window time.Duration // within this time from the first of them on,
	inARow bool          // or rather from the last of them on.

	// slowed makes each beyond them wait, longer and longer; else none is let through until the window is over.
	slowed bool

	refuse error // what refuses the others, if that is no *TooManyError
}

// What is counted. All are section 5 of the contract. One sender may be many people, so that an address comes
// to rest quicker than a name: after as long a quiet as its window. (Who stays below 50 in 15 minutes is not slowed at
// all, so a longer memory would stop nobody but them.)
var (
	nameLimit    = limit{free: 5, window: 24 * time.Hour, inARow: true, slowed: true}
	deviceLimit  = nameLimit
	addressLimit = limit{free: 50, window: 15 * time.Minute, slowed: true}
	marksLimit   = limit{free: 50, window: 24 * time.Hour, refuse: errMarksUsed} // of all devices of a user together
	codesLimit   = limit{free: 20, window: 24 * time.Hour}                       // wrong codes of a second factor
	mailsLimit   = limit{free: 3, window: time.Hour, inARow: true}               // links that anybody may have sent to a user
)

const (
	firstWait   = time.Second
	longestWait = 15 * time.Minute
)

// wait is how long the attempt after that many failures has to wait.
func (l limit) wait(failures int64) time.Duration {
	over := failures - l.free
	if over < 0 {
		return 0
	}
	if over > 20 { // or the shift would overflow
		return longestWait
	}
	return min(firstWait<<over, longestWait)
}

// count counts an attempt that is let through now.
func (l limit) count(a *store.Attempt, now time.Time) {
	if a.Count == 0 {
		a.Since = now
	}
	a.Count++
	a.LastAt = now
	l.settle(a)
}

// settle works out until when a count stops others and is remembered.
func (l limit) settle(a *store.Attempt) {
	a.BlockedUntil = time.Time{}
	a.ForgetAt = a.Since.Add(l.window)
	if l.inARow {
		a.ForgetAt = a.LastAt.Add(l.window)
	}
	switch {
	case a.Count < l.free:
	case l.slowed:
		a.BlockedUntil = a.LastAt.Add(l.wait(a.Count))
		a.ForgetAt = latest(a.ForgetAt, a.BlockedUntil.Add(longestWait))
	default:
		a.BlockedUntil = a.ForgetAt
	}
}

// errMarksUsed means that too many of all devices of a user have failed: their marks are worth nothing for a while.
var errMarksUsed = errors.New("too many have failed with a mark of this user")

// tally is one thing that an attempt counts against.
type tally struct {
	key     string
	limit   limit
	cleared bool // by a success; else a success only does not count
}

// nameTally counts against a user name, whoever tries it, be it anybody's or not. People type their password there, so
// the key has a MAC of it.
func (a *Auth) nameTally(name string) tally {
	return tally{"name " + a.attemptMAC(store.NameKey(name)), nameLimit, true}
}

func deriveAttemptKey(secret string) ([]byte, error) {
	return hkdf.Key(sha256.New, []byte(secret), nil, "clientes attempts", sha256.Size)
}

// loginTallies are what a login of a stranger counts against.
func (a *Auth) loginTallies(name, ip string) []tally {
	tallies := []tally{a.nameTally(name)}
	if prefix := addressPrefix(ip); prefix != "" {
		tallies = append(tallies, addressTally(prefix))
	}
	return tallies
}

// addressTally counts against an address. A success clears nothing: whoever has an account of their own would start
// anew with each login to it.
func addressTally(prefix string) tally { return tally{"address " + prefix, addressLimit, false} }

func deviceTally(userID int64, device string) tally {
	return tally{"device " + strconv.FormatInt(userID, 10) + " " + device, deviceLimit, true}
}

func marksTally(userID int64) tally {
	return tally{"marks " + strconv.FormatInt(userID, 10), marksLimit, false}
}

// codesTally counts wrong codes of a second factor. Those of a client that the user has logged in from are counted
// apart, so that who has stolen the password alone can not keep the user out. A success clears nothing, or every login
// of the user would give a thief of the password twenty more.
func codesTally(userID int64, marked bool) tally {
	key := "codes " + strconv.FormatInt(userID, 10)
	if marked {
		key += " marked"
	}
	return tally{key, codesLimit, false}
}

// mailsTally counts mails that anybody may have sent to a user.
func mailsTally(userID int64) tally {
	return tally{"mails " + strconv.FormatInt(userID, 10), mailsLimit, false}
}

// attempt is one that was let through and counted, before it is known how it ends. It ends in one of failed, giveBack
// and succeeded; what comes after the first of them does nothing.
type attempt struct {
	auth    *Auth
	tallies []tally
	before  []store.Attempt // the counts without it
	after   []store.Attempt // and with it
	leave   func()          // its turn, nil once it has ended
	device  string          // which mark it came with, "" for that of a stranger
}

// reserve lets an attempt through and counts it as failed against each tally, or refuses it with a *TooManyError and
// counts nothing. It is counted before anybody knows how it ends, and all in one atomic step, so that a hundred at once
// are no more than a hundred in a row. In this process those of the same first tally also wait for each other's end:
// many at once with the right password would else be refused for the sake of those before them.
func (a *Auth) reserve(ctx context.Context, tallies ...tally) (*attempt, error) {
	leave, err := a.turns.take(ctx, tallies[0].key)
	if err != nil {
		return nil, err
	}
	t := &attempt{auth: a, tallies: tallies, leave: leave}
	err = t.update(ctx, func(counts []store.Attempt) error {
		now := store.Instant(a.cfg.Now())
		var refused TooManyError
		for i, c := range counts {
			wait := c.BlockedUntil.Sub(now)
			switch {
			case !now.Before(c.ForgetAt):
				counts[i] = store.Attempt{Key: c.Key}
			case wait > 0 && tallies[i].limit.refuse != nil:
				return tallies[i].limit.refuse
			}
			refused.Wait = max(refused.Wait, wait)
		}
		if refused.Wait > 0 {
			return &refused
		}
		t.before = slices.Clone(counts)
		for i, l := range tallies {
			l.limit.count(&counts[i], now)
		}
		t.after = slices.Clone(counts)
		return nil
	})
	if err != nil {
		leave()
		return nil, err
	}
	return t, nil
}

// update changes the counts of the attempt.
func (t *attempt) update(ctx context.Context, change func([]store.Attempt) error) error {
	keys := make([]string, len(t.tallies))
	for i, l := range t.tallies {
		keys[i] = l.key
	}
	err := t.auth.cfg.Store.UpdateAttempts(ctx, keys, change)
	if err != nil && !errors.Is(err, ErrTooManyAttempts) && !errors.Is(err, errMarksUsed) {
		return fmt.Errorf("count attempts: %w", err)
	}
	return err
}

// failed leaves the attempt counted. What it makes wait waits from now on, not from before the hash: else the wait would
// be over before the answer where many passwords are in the queue.
func (t *attempt) failed(ctx context.Context) error {
	slows := func(i int) bool { return t.tallies[i].limit.slowed && t.after[i].BlockedUntil.After(t.after[i].LastAt) }
	return t.end(ctx, slows, func(i int, count *store.Attempt) {
		count.LastAt = latest(count.LastAt, store.Instant(t.auth.cfg.Now()))
		t.tallies[i].limit.settle(count)
	})
}

// giveBack makes the attempt one that was not made: nobody looked at what it was about.
func (t *attempt) giveBack(ctx context.Context) error {
	return t.end(ctx, func(int) bool { return true }, t.uncount)
}

// succeeded makes the attempt one that has not failed, and clears the count of those that failed before where a success
// does so.
func (t *attempt) succeeded(ctx context.Context) error {
	return t.end(ctx, func(int) bool { return true }, func(i int, count *store.Attempt) {
		if t.tallies[i].cleared {
			count.Count = 0
		} else {
			t.uncount(i, count)
		}
	})
}

func (t *attempt) uncount(i int, count *store.Attempt) {
	if count.Count == t.after[i].Count && count.LastAt.Equal(t.after[i].LastAt) { // nobody has counted since
		*count = t.before[i]
		return
	}
	count.Count--
	t.tallies[i].limit.settle(count)
}

// endTimeout bounds how an attempt ends if its request has already done so.
const endTimeout = 5 * time.Second

// end changes the counts to which that applies, other than those that were cleared meanwhile, and ends the turn. It does
// so even if ctx has ended, which may be why.
func (t *attempt) end(ctx context.Context, applies func(i int) bool, change func(i int, count *store.Attempt)) error {
	if t.leave == nil {
		return nil
	}
	defer func() { t.leave(); t.leave = nil }()
	any := false
	for i := range t.tallies {
		any = any || applies(i)
	}
	if !any {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	return t.update(ctx, func(counts []store.Attempt) error {
		for i := range counts {
			if applies(i) && counts[i].Count > 0 && counts[i].Since.Equal(t.after[i].Since) {
				change(i, &counts[i])
			}
		}
		return nil
	})
}

// turns lets one at a time do something under a key. It has an entry for each key that somebody has or waits for.
type turns struct {
	mu   sync.Mutex
	keys map[string]*turn
}

type turn struct {
	free  chan struct{} // holds one value while nobody has the turn
	users int
}

// take waits for the turn of a key, or for the end of ctx. The turn ends with a call of leave.
func (t *turns) take(ctx context.Context, key string) (leave func(), err error) {
	t.mu.Lock()
	if t.keys == nil {
		t.keys = make(map[string]*turn)
	}
	one := t.keys[key]
	if one == nil {
		one = &turn{free: make(chan struct{}, 1)}
		one.free <- struct{}{}
		t.keys[key] = one
	}
	one.users++
	t.mu.Unlock()
	gone := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(t.keys, key)
		}
	}
	select {
	case <-one.free:
		return func() { one.free <- struct{}{}; gone() }, nil
	case <-ctx.Done():
		gone()
		return nil, ctx.Err()
	}
}
