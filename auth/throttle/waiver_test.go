package throttle

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/store"
)

// TestAWaiver has one attempt after the other on a bucket that makes them wait, each with the proof
// that is named.
func TestAWaiver(t *testing.T) {
	c := authtest.StoppedAt(someDay)
	rows := authtest.Buckets{}
	l := NewLimiter(rows, c.Now)
	door := Bucket{
		Keys: []string{"the door"}, Limit: Limit{Free: 1, Window: time.Hour, Slowed: true},
		Cleared: true, Waivable: true,
	}
	gate := Bucket{Keys: []string{"the gate"}, Limit: Limit{Free: 20, Window: time.Hour}}
	uses := Bucket{Keys: []string{"uses"}, Limit: Limit{Free: 2, Window: time.Hour}}
	wide := Bucket{Keys: []string{"wide"}, Limit: Limit{Free: 5, Window: time.Hour}}
	proof := func(name string) Waiver {
		w := Waiver{Uses: []Bucket{wide, uses}}
		if name != "" {
			once := Limit{Free: 1, Window: 10 * time.Minute}
			w.Proof = Bucket{Keys: []string{"proof " + name}, Limit: once}
		}
		return w
	}
	reserve := func(name string) (*Reservation, *TooManyError) {
		t.Helper()
		r, err := l.ReserveWaivable(t.Context(), proof(name), door, gate)
		var many *TooManyError
		if err != nil && !errors.As(err, &many) {
			t.Fatal(err)
		}
		return r, many
	}
	pass := func(name string, end func(*Reservation) error) {
		t.Helper()
		r, many := reserve(name)
		if many != nil {
			t.Fatalf("%q: %v", name, many)
		}
		must(t, end(r))
	}
	refuse := func(name string, waivable bool, over int64) {
		t.Helper()
		r, many := reserve(name)
		if r != nil || many.Waivable != waivable || many.Over != over {
			t.Fatalf("%q: %+v, %+v", name, r, many)
		}
	}
	fail := func(r *Reservation) error { return r.Fail(t.Context()) }
	release := func(r *Reservation) error { return r.Release(t.Context()) }
	succeed := func(r *Reservation) error { return r.Succeed(t.Context()) }

	pass("a", fail) // it need not wait, so the proof stays good
	refuse("", true, 0)
	pass("a", release)
	pass("a", fail)
	refuse("a", true, 1)
	pass("b", succeed)
	pass("", fail)
	refuse("b", false, 0) // it stays used, and nothing is left
	refuse("c", false, 0)
	if n := rows["proof c"].Count; n != 0 {
		t.Errorf("a proof that was not let through counts %d", n)
	}
	must(t, l.Clear(t.Context(), uses))
	refuse("b", true, 0)
	pass("c", release)
	if n := rows["the door"].Count; n != 1 {
		t.Errorf("after a release the door counts %d", n)
	}
	// All uses have to have room.
	for range 3 { // a and b are counted
		if _, err := l.Ask(t.Context(), wide); err != nil {
			t.Fatal(err)
		}
	}
	refuse("d", false, 0)
	must(t, l.Clear(t.Context(), wide))
	refuse("", true, 0)
	// No proof stands in for a bucket that is not waivable.
	for i := range 20 {
		if _, err := l.Ask(t.Context(), gate); err != nil {
			t.Fatal(i, err)
		}
	}
	refuse("d", false, 0)
	must(t, l.Clear(t.Context(), door, gate))
	pass("", fail)
}

// againStore calls update once more, with other rows, as a store does whose transaction has to be
// tried again.
type againStore struct {
	authtest.Buckets
	between func()
}

func (s againStore) UpdateBuckets(
	ctx context.Context, keys []string, update func([]store.Bucket) error,
) error {
	rows := maps.Clone(s.Buckets)
	if err := rows.UpdateBuckets(ctx, keys, update); err != nil {
		return err
	}
	s.between()
	return s.Buckets.UpdateBuckets(ctx, keys, update)
}

// TestAWaiverThatIsNotNeededAfterAll has a proof let an attempt through, and then the store counts
// the attempt once more, when the bucket was cleared.
func TestAWaiverThatIsNotNeededAfterAll(t *testing.T) {
	c := authtest.StoppedAt(someDay)
	door := Bucket{
		Keys: []string{"the door"}, Limit: Limit{Free: 1, Window: time.Hour, Slowed: true},
		Waivable: true,
	}
	uses := Bucket{Keys: []string{"uses"}, Limit: Limit{Free: 9, Window: time.Hour}}
	proof := Bucket{Keys: []string{"proof"}, Limit: Limit{Free: 1, Window: time.Hour}}
	rows := authtest.Buckets{}
	if _, err := NewLimiter(rows, c.Now).Ask(t.Context(), door, uses); err != nil {
		t.Fatal(err)
	}
	cleared := sync.OnceFunc(func() { delete(rows, "the door") })
	l := NewLimiter(againStore{rows, cleared}, c.Now)
	r, err := l.ReserveWaivable(t.Context(), Waiver{Uses: []Bucket{uses}, Proof: proof}, door)
	must(t, err)
	must(t, r.Release(t.Context()))
	if rows["the door"].Count != 0 || rows["uses"].Count != 1 || rows["proof"].Count != 0 {
		t.Errorf("counted are %+v", rows)
	}
}
