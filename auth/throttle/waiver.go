package throttle

import (
	"context"
	"slices"
	"time"

	"clientes/store"
)

// Waiver is what may stand in for waiting: a proof of some kind, each of which counts once.
//
// An attempt that need not wait leaves the waiver alone. One that would have to wait is let through
// if all buckets that make it wait are Waivable, there is a proof that nobody has used, and all of
// Uses have room. It counts in all buckets and in those of the waiver. If the attempt succeeds,
// these stay counted, and if it is released they are not.
type Waiver struct {
	Uses  []Bucket // each bounds how many proofs are let through
	Proof Bucket   // counts the proof of this attempt; without Keys there is none
}

// ReserveWaivable is [Limiter.Reserve] for an attempt for which a waiver may stand in.
func (l *Limiter) ReserveWaivable(
	ctx context.Context, w Waiver, buckets ...Bucket,
) (*Reservation, error) {
	return l.reserve(ctx, &Reservation{limiter: l, buckets: buckets, waiver: &w})
}

// Clear empties buckets.
func (l *Limiter) Clear(ctx context.Context, buckets ...Bucket) error {
	return l.update(ctx, buckets, func(counts []store.Bucket) error {
		for i := range counts {
			counts[i].Count = 0
		}
		return nil
	})
}

// buckets returns those that there are.
func (w *Waiver) buckets() (all []Bucket) {
	if w == nil {
		return nil
	}
	all = slices.Clip(w.Uses)
	if len(w.Proof.Keys) > 0 {
		all = append(all, w.Proof)
	}
	return all
}

// left reports whether a proof would count, going by the counts of the waiver's buckets.
func (w *Waiver) left(counts []store.Bucket, now time.Time) bool {
	full := func(b store.Bucket) bool { return b.BlockedUntil.After(now) }
	return w != nil && !slices.ContainsFunc(counts[:len(w.Uses)], full)
}

// proven reports whether there is a proof that nobody has used.
func (w *Waiver) proven(counts []store.Bucket, now time.Time) bool {
	return len(w.Proof.Keys) > 0 && !counts[len(counts)-1].BlockedUntil.After(now)
}

// counted returns the buckets whose counts the attempt needs: its own, and those of the waiver.
func (r *Reservation) counted() []Bucket {
	return append(slices.Clip(r.buckets), r.waiver.buckets()...)
}

// endsWithSuccess reports whether a success changes the count of a bucket.
func (r *Reservation) endsWithSuccess(i int) bool {
	return !r.waived || i < len(r.buckets)-len(r.waiver.buckets())
}
