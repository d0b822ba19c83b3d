package auth

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
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

// attempt is one that was let through and counted, before it is known how it ends. It ends in one of failed, giveBack
// and succeeded; what comes after the first of them does nothing.
type attempt struct {
	auth    *Auth
	tallies []tally
	before  []store.Bucket // the counts without it
	after   []store.Bucket // and with it
	leave   func()         // its turn, nil once it has ended
	device  string         // which mark it came with, "" for that of a stranger
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
	let := false
	defer func() {
		if !let {
			leave()
		}
	}()
	t := &attempt{auth: a, tallies: tallies, leave: leave}
	err = t.update(ctx, func(counts []store.Bucket) error {
		now := store.Instant(a.cfg.Now())
		var refused TooManyError
		for i, c := range counts {
			wait := c.BlockedUntil.Sub(now)
			switch {
			case !now.Before(c.ForgetAt):
				counts[i] = store.Bucket{Key: c.Key}
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
		return nil, err
	}
	let = true
	return t, nil
}

// update changes the counts of the attempt.
func (t *attempt) update(ctx context.Context, edit func([]store.Bucket) error) error {
	keys := make([]string, len(t.tallies))
	for i, l := range t.tallies {
		keys[i] = l.key
	}
	err := t.auth.cfg.Store.UpdateBuckets(ctx, keys, edit)
	if err != nil && !errors.Is(err, ErrTooManyAttempts) && !errors.Is(err, errMarksUsed) {
		return fmt.Errorf("count attempts: %w", err)
	}
	return err
}

// failed leaves the attempt counted. What it makes wait waits from now on, not from before the hash: else the wait would
// be over before the answer where many passwords are in the queue.
func (t *attempt) failed(ctx context.Context) error {
	slows := func(i int) bool { return t.tallies[i].limit.slowed && t.after[i].BlockedUntil.After(t.after[i].LastAt) }
	return t.end(ctx, slows, func(i int, count *store.Bucket) {
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
	return t.end(ctx, func(int) bool { return true }, func(i int, count *store.Bucket) {
		if t.tallies[i].cleared {
			count.Count = 0
		} else {
			t.uncount(i, count)
		}
	})
}

func (t *attempt) uncount(i int, count *store.Bucket) {
	if count.Count == t.after[i].Count && count.LastAt.Equal(t.after[i].LastAt) { // nobody has counted since
		*count = t.before[i]
		return
	}
	count.Count--
	t.tallies[i].limit.settle(count)
}

// endTimeout bounds how an attempt ends if its request has already done so. The store's own patience ends before it.
const endTimeout = 10 * time.Second

// end changes the counts to which that applies, other than those that were cleared meanwhile, and ends the turn. It does
// so even if ctx has ended, which may be why.
func (t *attempt) end(ctx context.Context, applies func(i int) bool, edit func(i int, count *store.Bucket)) error {
	if t.leave == nil {
		return nil
	}
	defer func() { t.leave(); t.leave = nil }()
	some := false
	for i := range t.tallies {
		some = some || applies(i)
	}
	if !some {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	return t.update(ctx, func(counts []store.Bucket) error {
		for i := range counts {
			if applies(i) && counts[i].Count > 0 && counts[i].Since.Equal(t.after[i].Since) {
				edit(i, &counts[i])
			}
		}
		return nil
	})
}

// countOne counts what somebody who may be a stranger did or wants done, unless that was so often that the next one has to
// wait. It takes the same time either way.
func (a *Auth) countOne(ctx context.Context, t tally) (wait time.Duration, err error) {
	now := store.Instant(a.cfg.Now())
	err = a.cfg.Store.UpdateBuckets(ctx, []string{t.key}, func(counts []store.Bucket) error {
		c := &counts[0]
		if !now.Before(c.ForgetAt) {
			*c = store.Bucket{Key: c.Key}
		}
		if wait = max(0, c.BlockedUntil.Sub(now)); wait > 0 {
			c.LastAt = now // is written, too
			return nil
		}
		t.limit.count(c, now)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("count what was asked for: %w", err)
	}
	return wait, nil
}
