package throttle

import (
	"errors"
	"testing"
	"time"

	"clientes/auth/authtest"
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
	proof := func(name string) Waiver {
		w := Waiver{Uses: uses}
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
