// Package throttle counts attempts, and makes further ones wait if too many have failed.
//
// A [Bucket] is a key and a [Limit]: how often something may fail before the next attempt has to
// wait. A [Limiter] reserves an attempt on one or several buckets before anybody knows how it ends.
// The [Reservation] then ends, mostly in one of three ways:
//
//	r, err := limiter.Reserve(ctx, byName, byNetwork)
//	if err != nil {
//		return err // a *TooManyError, or the store is unavailable
//	}
//	defer r.Release(ctx) // unless it ends otherwise
//	if !rightPassword {
//		return r.Fail(ctx)
//	}
//	return r.Succeed(ctx)
//
// The package promises that a hundred attempts at once are counted as a hundred in a row, on
// however many replicas: the counts are in the store, and one atomic step counts an attempt. Only a
// [Memory] counts in one process, what is too frequent for the store.
//
// It knows nothing of users, passwords or mail. Package auth decides what is counted, and how
// often is too often.
package throttle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"clientes/store"
)

// ErrTooManyAttempts refuses an attempt because too many have failed before, whether or not this
// one would fail.
var ErrTooManyAttempts = errors.New("too many attempts have failed")

// TooManyError is an [ErrTooManyAttempts] with the time to wait.
type TooManyError struct {
	Wait  time.Duration // until the next attempt is let through
	Asked bool          // none has failed, but there were too many requests

	// Waivable means that a proof would have let the attempt through, see [Waiver]. Over is then
	// how many more than the free ones have failed or been requested.
	Waivable bool
	Over     int64
}

func (e *TooManyError) Error() string {
	return fmt.Sprintf("%v: wait %v", ErrTooManyAttempts, e.Wait)
}

// Unwrap returns [ErrTooManyAttempts].
func (e *TooManyError) Unwrap() error { return ErrTooManyAttempts }

// Seconds returns the wait in whole seconds, at least one.
func (e *TooManyError) Seconds() int64 { return max(1, int64(math.Ceil(e.Wait.Seconds()))) }

// Store keeps the counts. [store.Buckets] documents its method.
type Store interface {
	UpdateBuckets(ctx context.Context, keys []string, update func([]store.Bucket) error) error
}

// Limiter counts attempts in a store. It is safe for concurrent use.
type Limiter struct {
	store  Store
	now    func() time.Time
	firsts store.KeyedMutex // by the key of the first bucket of an attempt
}

// NewLimiter returns a Limiter that counts in st.
func NewLimiter(st Store, now func() time.Time) *Limiter {
	return &Limiter{store: st, now: now}
}

// Reservation is an attempt that was let through and counted before it is known how it ends. It
// ends in one of Fail, Release, Pass and Succeed. Calls after the first do nothing.
type Reservation struct {
	limiter *Limiter
	buckets []Bucket
	waiver  *Waiver        // nil if none can stand in for the wait
	waived  bool           // the last buckets are those of the waiver
	before  []store.Bucket // the counts without the attempt
	after   []store.Bucket // the counts with the attempt
	unlock  func()         // nil once the attempt has ended
}

// Reserve lets an attempt through and counts it as failed in each bucket, or refuses it with a
// *[TooManyError] or the Refuse error of a limit and counts nothing.
//
// The attempt is counted before anybody knows how it ends, and in one atomic step, so that a
// hundred at once are no more than a hundred in a row. Attempts of this process with the same first
// bucket also wait for each other's end. Otherwise many at once with the right password would be
// refused because of those before them.
func (l *Limiter) Reserve(ctx context.Context, buckets ...Bucket) (*Reservation, error) {
	return l.reserve(ctx, &Reservation{limiter: l, buckets: buckets})
}

// reserve counts an attempt that has its limiter, its buckets and its waiver.
func (l *Limiter) reserve(ctx context.Context, r *Reservation) (*Reservation, error) {
	unlock, err := l.firsts.Lock(ctx, r.buckets[0].Keys[0])
	if err != nil {
		return nil, err
	}
	r.unlock = unlock
	reserved := false
	defer func() { // also if the store panics, or the key would stay locked
		if !reserved {
			unlock()
		}
	}()
	var refused error
	err = l.update(ctx, r.counted(), func(counts []store.Bucket) error {
		read := slices.Clone(counts)
		if refused = r.count(counts); refused != nil && !ahead(read, counts) {
			return refused
		}
		return nil // what was pulled back is kept, or the attempt would have to wait for ever
	})
	if err = cmp.Or(err, refused); err != nil {
		return nil, err
	}
	if r.waived {
		r.buckets = r.counted()
	}
	reserved = true
	return r, nil
}

// ahead reports whether a bucket that counts had a time that lay ahead.
func ahead(read, settled []store.Bucket) bool {
	for i, b := range settled {
		if b.Count > 0 && b != read[i] {
			return true
		}
	}
	return false
}

// count counts the attempt, or returns the error that refuses it. The counts of the waiver come
// last, and stay as they are if the attempt need not wait.
func (r *Reservation) count(counts []store.Bucket) error {
	now := store.Instant(r.limiter.now())
	r.waived = false // the store may call this again
	buckets := r.counted()
	for i, b := range buckets {
		counts[i] = b.Limit.settled(counts[i], now)
	}
	own := len(r.buckets)
	refused := TooManyError{Waivable: r.waiver.left(counts[own:], now)}
	for i, b := range r.buckets {
		wait := counts[i].BlockedUntil.Sub(now)
		if wait <= 0 {
			continue
		}
		if b.Limit.Refuse != nil {
			return b.Limit.Refuse
		}
		if wait > refused.Wait {
			refused.Wait, refused.Asked = wait, b.Passes
		}
		refused.Waivable = refused.Waivable && b.Waivable
		refused.Over = max(refused.Over, counts[i].Count-b.Limit.Free)
	}
	if refused.Wait > 0 {
		if r.waived = refused.Waivable && r.waiver.proven(counts[own:], now); !r.waived {
			return &refused
		}
		own = len(buckets)
	}
	r.before = slices.Clone(counts[:own])
	for i, b := range buckets[:own] {
		if !b.Passes {
			b.Limit.count(&counts[i], now)
		}
	}
	r.after = slices.Clone(counts[:own])
	return nil
}

// Step is a change of counts that is kept in one atomic step with more. Update is as in
// [store.Buckets], and never fails where a method of this package returns the Step.
type Step struct {
	Keys   []string // distinct; with none there is nothing to change
	Update func(rows []store.Bucket) error
}

// step returns the step that changes the counts of buckets by edit.
func (l *Limiter) step(buckets []Bucket, edit func([]store.Bucket) error) Step {
	var keys []string
	for _, b := range buckets {
		keys = append(keys, b.Keys...)
	}
	return Step{keys, func(rows []store.Bucket) error {
		now := store.Instant(l.now())
		counts := make([]store.Bucket, 0, len(buckets))
		for rest := rows; len(counts) < len(buckets); {
			b := buckets[len(counts)]
			counts = append(counts, b.merged(rest[:len(b.Keys)], now))
			rest = rest[len(b.Keys):]
		}
		if err := edit(counts); err != nil {
			return err
		}
		for i, rest := 0, rows; i < len(buckets); i++ {
			n := len(buckets[i].Keys)
			for j, key := range buckets[i].Keys {
				rest[j] = counts[i]
				rest[j].Key = key
			}
			rest = rest[n:]
		}
		return nil
	}}
}

// update changes the counts of buckets. An error of edit is returned as it is.
func (l *Limiter) update(
	ctx context.Context, buckets []Bucket, edit func([]store.Bucket) error,
) error {
	return l.keep(ctx, l.step(buckets, edit))
}

// keep keeps a step alone.
func (l *Limiter) keep(ctx context.Context, step Step) error {
	var refused error
	err := l.store.UpdateBuckets(ctx, step.Keys, func(rows []store.Bucket) error {
		refused = step.Update(rows)
		return refused
	})
	if err == nil || refused != nil && errors.Is(err, refused) {
		return err
	}
	return fmt.Errorf("count attempts: %w", err)
}

// merged returns the count of a bucket with these rows: that of the row which counts most.
func (b Bucket) merged(rows []store.Bucket, now time.Time) store.Bucket {
	most := rows[0]
	for _, row := range rows[1:] {
		old := !now.Before(most.ForgetAt)
		if now.Before(row.ForgetAt) && (old || row.Count > most.Count) {
			most = row
		}
	}
	most.Key = b.Keys[0]
	return most
}

// Fail leaves the attempt counted. The wait that it causes begins now and not before the hash.
// Otherwise the wait would be over before the answer when many passwords are in the queue.
func (r *Reservation) Fail(ctx context.Context) error {
	slows := func(i int) bool {
		return r.buckets[i].Limit.Slowed && r.after[i].BlockedUntil.After(r.after[i].LastAt)
	}
	return r.end(ctx, slows, func(i int, count *store.Bucket) {
		if now := store.Instant(r.limiter.now()); now.After(count.LastAt) {
			count.LastAt = now
		}
		r.buckets[i].Limit.settle(count)
	})
}

// Release uncounts an attempt that has neither failed nor succeeded.
func (r *Reservation) Release(ctx context.Context) error {
	return r.end(ctx, func(i int) bool { return !r.buckets[i].Passes }, r.uncount)
}

// Pass uncounts an attempt that was right but is no success, because more is needed. Where attempts
// that pass are counted, it counts.
func (r *Reservation) Pass(ctx context.Context) error {
	return r.end(ctx, func(int) bool { return true }, r.pass)
}

// Succeed is Pass for a success: it also empties the buckets that a success clears. A waiver stays
// used.
func (r *Reservation) Succeed(ctx context.Context) error {
	return r.end(ctx, r.endsWithSuccess, r.succeed)
}

// Success returns what Succeed keeps, for a caller who keeps more in the same step. Once it is
// kept, the caller calls Done.
func (r *Reservation) Success() Step { return r.ending(r.endsWithSuccess, r.succeed) }

func (r *Reservation) succeed(i int, count *store.Bucket) {
	if r.buckets[i].Cleared {
		count.Count = 0
	} else {
		r.pass(i, count)
	}
}

func (r *Reservation) pass(i int, count *store.Bucket) {
	if b := r.buckets[i]; b.Passes {
		b.Limit.pass(count, store.Instant(r.limiter.now()))
	} else {
		r.uncount(i, count)
	}
}

func (r *Reservation) uncount(i int, count *store.Bucket) {
	after := r.after[i]
	if count.Count == after.Count && count.LastAt.Equal(after.LastAt) { // nobody has counted since
		*count = r.before[i]
		return
	}
	count.Count--
	r.buckets[i].Limit.settle(count)
}

// endTimeout bounds the end of an attempt whose request has already ended. The store's own timeout
// is shorter.
const endTimeout = 10 * time.Second

// end changes the counts as ending does. It does so even if ctx has ended, which may be the reason
// for the end.
func (r *Reservation) end(
	ctx context.Context, applies func(i int) bool, edit func(i int, count *store.Bucket),
) error {
	if r.unlock == nil {
		return nil
	}
	defer r.Done()
	step := r.ending(applies, edit)
	if len(step.Keys) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(store.Insist(ctx), endTimeout)
	defer cancel()
	return r.limiter.keep(ctx, step)
}

// ending returns the step that changes the counts to which edit applies, except those that were
// cleared meanwhile.
func (r *Reservation) ending(
	applies func(i int) bool, edit func(i int, count *store.Bucket),
) Step {
	some := false
	for i := range r.buckets {
		some = some || applies(i)
	}
	if !some {
		return Step{}
	}
	return r.limiter.step(r.buckets, func(counts []store.Bucket) error {
		for i, c := range counts {
			cleared := c.Count == 0 || !c.Since.Equal(r.after[i].Since)
			if applies(i) && (r.buckets[i].Passes || !cleared) {
				edit(i, &counts[i])
			}
		}
		return nil
	})
}

// Done ends the attempt as its Success is kept, and unlocks the first bucket.
func (r *Reservation) Done() {
	if r.unlock != nil {
		r.unlock()
		r.unlock = nil
	}
}

// Ask counts one request in each bucket, unless so many were made that the next one has to wait.
// Then it returns how long, and counts nothing. It takes the same time either way, because a
// stranger may measure it.
func (l *Limiter) Ask(ctx context.Context, buckets ...Bucket) (wait time.Duration, err error) {
	err = l.keep(ctx, l.Asking(&wait, buckets...))
	return wait, err
}

// Asking returns what Ask keeps, for a caller who keeps more in the same step. Update sets *wait.
func (l *Limiter) Asking(wait *time.Duration, buckets ...Bucket) Step {
	return l.step(buckets, func(counts []store.Bucket) error {
		now := store.Instant(l.now())
		*wait = 0
		for i, b := range buckets {
			counts[i] = b.Limit.settled(counts[i], now)
			*wait = max(*wait, counts[i].BlockedUntil.Sub(now))
		}
		for i, b := range buckets {
			if *wait == 0 {
				b.Limit.count(&counts[i], now)
			} else if counts[i].Count > 0 {
				counts[i].LastAt = now // so that something is written here, too
			}
		}
		return nil
	})
}
