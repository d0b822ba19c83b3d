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
// if all buckets that make it wait are Waivable, there is a proof that nobody has used, and Uses
// has room. It counts in all buckets and in both of the waiver. If the attempt succeeds, these two
// stay counted, and if it is released they are not.
type Waiver struct {
	Uses  Bucket // how many proofs are let through; without Keys any number
	Proof Bucket // counts the proof of this attempt; without Keys there is none
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
	for _, b := range []Bucket{w.Uses, w.Proof} {
		if len(b.Keys) > 0 {
			all = append(all, b)
		}
	}
	return all
}

// left reports whether a proof would count, going by the counts of the waiver's buckets.
func (w *Waiver) left(counts []store.Bucket, now time.Time) bool {
	return w != nil && (len(w.Uses.Keys) == 0 || !counts[0].BlockedUntil.After(now))
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
