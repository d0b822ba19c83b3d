package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clientes/store"
)

func bucketChecks() []check {
	return []check{
		{"buckets come back as they were left", bucketsKept},
		{"a key without a row has an empty bucket, and an empty bucket leaves no row", bucketsNone},
		{"the error of an update comes back as it is and nothing is written", bucketsChangeError},
		{"a panic in an update reaches the caller and others may count", bucketsPanic},
		{"of a hundred at once no more pass than may", bucketsLimit},
		{"many who count on the same keys in any order lose no count", bucketsOrder},
		{"reserving and releasing at once leaves nothing", bucketsReleased},
		{"buckets are removed when they may be forgotten", bucketsRemoved},
		{"removing beside counting loses no count", bucketsRemovedBeside},
	}
}

// buckets reads the buckets of keys.
func (f *fixture) buckets(t *testing.T, keys ...string) []store.Bucket {
	t.Helper()
	var found []store.Bucket
	look := errors.New("only looking")
	err := f.UpdateBuckets(t.Context(), keys, func(buckets []store.Bucket) error {
		found = slices.Clone(buckets)
		return look
	})
	if err != look {
		t.Fatalf("got %v", err)
	}
	return found
}

// count adds one attempt to each of the keys, to be forgotten after a day.
func (f *fixture) count(t *testing.T, st store.Store, keys ...string) {
	t.Helper()
	err := st.UpdateBuckets(t.Context(), keys, func(buckets []store.Bucket) error {
		for i := range buckets {
			buckets[i].Count++
			buckets[i].ForgetAt = f.now().Add(24 * time.Hour)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// wantRows removes all rows of buckets and reports another number of them than want.
func (f *fixture) wantRows(t *testing.T, want int) {
	t.Helper()
	n, err := f.DeleteBuckets(t.Context(), f.now().AddDate(1000, 0, 0), 1000)
	if err != nil || n != want {
		t.Errorf("there were %d rows, %v, want %d", n, err, want)
	}
}

func bucketsKept(t *testing.T, f *fixture) {
	zone := time.FixedZone("", -7*60*60)
	at := func(minutes int) time.Time {
		return time.Date(2026, 2, 28, 23, minutes, 59, 999_999_999,
			zone)
	}
	keys := []string{"", "z", "A", "a", strings.Repeat("k", 500)}
	for _, s := range texts() {
		if s != "" {
			keys = append(keys, s)
		}
	}
	want := make([]store.Bucket, len(keys))
	err := f.UpdateBuckets(t.Context(), keys, func(buckets []store.Bucket) error {
		if len(buckets) != len(keys) {
			t.Errorf("%d buckets for %d keys", len(buckets), len(keys))
		}
		for i := range buckets {
			buckets[i] = store.Bucket{
				Key: "ignored", Count: int64(i + 1), Since: at(1), LastAt: at(2),
				BlockedUntil: at(3), ForgetAt: at(4),
			}
			want[i] = store.Bucket{
				Key: keys[i], Count: int64(i + 1),
				Since: store.Instant(at(1)), LastAt: store.Instant(at(2)),
				BlockedUntil: store.Instant(at(3)), ForgetAt: store.Instant(at(4)),
			}
		}
		// One has no times.
		buckets[0] = store.Bucket{Key: "ignored", Count: 1}
		want[0] = store.Bucket{Key: keys[0], Count: 1}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got := f.buckets(t, keys...)
		for i := range keys {
			wantSame(t, keys[i], got[i], want[i])
		}
		slices.Reverse(keys) // they come in the order of the keys
		slices.Reverse(want)
	}
	// An update of one leaves the others as they are.
	f.count(t, f, "z")
	if got := f.buckets(t, "a", "z"); got[0].Count != 4 || got[1].Count != 3 {
		t.Errorf("got %+v", got)
	}
	f.wantRows(t, len(keys))
}

func bucketsNone(t *testing.T, f *fixture) {
	none := func() {
		t.Helper()
		got := f.buckets(t, "b", "a")
		if len(got) != 2 || got[0] != (store.Bucket{Key: "b"}) ||
			got[1] != (store.Bucket{Key: "a"}) {
			t.Errorf("got %+v", got)
		}
		f.wantRows(t, 0)
	}
	none()
	err := f.UpdateBuckets(t.Context(), nil, func(buckets []store.Bucket) error {
		if len(buckets) != 0 {
			t.Errorf("got %+v", buckets)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	err = f.UpdateBuckets(t.Context(), []string{"a", "b"},
		func([]store.Bucket) error { return nil })
	if err != nil {
		t.Error(err)
	}
	none()
	f.count(t, f, "a", "b")
	err = f.UpdateBuckets(t.Context(), []string{"b", "a"}, func(buckets []store.Bucket) error {
		buckets[0].Count, buckets[1].Count = 0, 0
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	none()
	if _, err := f.DeleteBuckets(t.Context(), f.now(), -1); err != nil {
		t.Error(err)
	}
}

func bucketsChangeError(t *testing.T, f *fixture) {
	f.count(t, f, "old")
	refusal := errors.New("refused")
	err := f.UpdateBuckets(t.Context(), []string{"new", "old"}, func(buckets []store.Bucket) error {
		buckets[0].Count, buckets[1].Count = 7, 7
		return refusal
	})
	if err != refusal { // not errors.Is: the promise is unwrapped
		t.Errorf("got %v", err)
	}
	if got := f.buckets(t, "new", "old"); got[0].Count != 0 || got[1].Count != 1 {
		t.Errorf("left %+v", got)
	}
	f.wantRows(t, 1)
}

func bucketsPanic(t *testing.T, f *fixture) {
	for range 40 {
		func() {
			defer func() {
				if recover() != "boom" {
					t.Error("the panic did not come through")
				}
			}()
			f.UpdateBuckets(t.Context(), []string{"a"},
				func([]store.Bucket) error { panic("boom") })
		}()
	}
	f.count(t, f, "a")
	f.wantRows(t, 1)
}

func bucketsLimit(t *testing.T, f *fixture) {
	const tries, limit = 100, 5
	stores := []store.Store{f, f.another(t)}
	refused := errors.New("too many")
	for _, key := range []string{"a name", "another"} { // neither has a row yet
		var mu sync.Mutex
		passed := 0
		reserve := func(buckets []store.Bucket) error {
			if buckets[0].Count >= limit {
				return refused
			}
			buckets[0].Count++
			buckets[1].Count++
			return nil
		}
		var work []func()
		for i := range tries {
			work = append(work, func() {
				// A network of its own for each, as a botnet has.
				keys := []string{key, fmt.Sprint("network ", i)}
				if err := stores[i%2].UpdateBuckets(t.Context(), keys, reserve); err != nil {
					wantErr(t, err, refused)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				passed++
			})
		}
		atOnce(work...)
		if got := f.buckets(t, key); passed != limit || got[0].Count != limit {
			t.Errorf("%d of %d passed, and %+v was counted", passed, tries, got)
		}
		f.wantRows(t, 1+limit)
	}
}

func bucketsOrder(t *testing.T, f *fixture) {
	const counters, each = 10, 6
	stores := []store.Store{f, f.another(t)}
	orders := [][]string{
		{"a", "b", "c"}, {"c", "b", "a"}, {"b", "c", "a"}, {"b", "a"}, {"c", "a"}, {"a", "c", "b"},
	}
	f.count(t, f, "b") // one has a row, the others have none yet
	want := map[string]int64{"a": 0, "b": 1, "c": 0}
	var counts []func()
	for i := range counters {
		for j := range each {
			for _, key := range orders[(i+j)%len(orders)] {
				want[key]++
			}
		}
		counts = append(counts, func() {
			for j := range each {
				f.count(t, stores[i%2], orders[(i+j)%len(orders)]...)
			}
		})
	}
	atOnce(counts...)
	for _, b := range f.buckets(t, "a", "b", "c") {
		if b.Count != want[b.Key] {
			t.Errorf("%+v, want %d", b, want[b.Key])
		}
	}
}

func bucketsReleased(t *testing.T, f *fixture) {
	stores := []store.Store{f, f.another(t)}
	step := func(by int64) func([]store.Bucket) error {
		return func(buckets []store.Bucket) error {
			for i := range buckets {
				if buckets[i].Count += by; buckets[i].Count < 0 {
					t.Errorf("%+v was released more often than reserved", buckets[i])
				}
			}
			return nil
		}
	}
	var work []func()
	for i := range 8 {
		work = append(work, func() {
			keys := []string{"a", "b"}
			if i%3 == 0 {
				keys = []string{"b", "a"}
			}
			for range 10 {
				for _, by := range []int64{1, -1} {
					if err := stores[i%2].UpdateBuckets(t.Context(), keys, step(by)); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	atOnce(work...)
	f.wantRows(t, 0)
}

func bucketsRemoved(t *testing.T, f *fixture) {
	now := f.now()
	keys := []string{"old", "older", "now", "later"}
	forget := []time.Time{now.Add(-time.Millisecond), now.Add(-time.Hour), now, now.Add(time.Hour)}
	err := f.UpdateBuckets(t.Context(), keys, func(buckets []store.Bucket) error {
		for i := range buckets {
			buckets[i].Count, buckets[i].ForgetAt = 1, forget[i]
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ limit, want int }{{0, 0}, {-1, 0}, {1, 1}, {1000, 1}, {1000, 0}} {
		if n, err := f.DeleteBuckets(t.Context(), now, c.limit); err != nil || n != c.want {
			t.Errorf("removed %d, %v, want %d", n, err, c.want)
		}
	}
	for i, b := range f.buckets(t, keys...) {
		if want := int64(i / 2); b.Count != want {
			t.Errorf("left %+v, want a count of %d", b, want)
		}
	}
}

func bucketsRemovedBeside(t *testing.T, f *fixture) {
	const counters = 12
	stores := []store.Store{f, f.another(t)}
	for round := range 10 {
		key := fmt.Sprint(round)
		err := f.UpdateBuckets(t.Context(), []string{key}, func(buckets []store.Bucket) error {
			buckets[0].Count, buckets[0].ForgetAt = 100, f.now().Add(-time.Hour)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var work []func()
		for i := range counters {
			work = append(work, func() { f.count(t, stores[i%2], key) }, func() {
				if _, err := stores[i%2].DeleteBuckets(t.Context(), f.now(), 10); err != nil {
					t.Error(err)
				}
			})
		}
		atOnce(work...)
		// The old row was removed before the first count, or not at all.
		if got := f.buckets(t, key); got[0].Count != counters && got[0].Count != 100+counters {
			t.Fatalf("round %d: left %+v", round, got)
		}
	}
}
