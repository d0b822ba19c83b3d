package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const queueTimeout = 5 * time.Second

// turns is what became of the callers of a queue with one place, which is taken.
type turns struct {
	*testing.T
	q     *Queue
	calls sync.WaitGroup
	mu    sync.Mutex
	all   []string // in the order in which they were answered
}

func inQueue(t *testing.T, serves func(time.Time) bool, check func(t *turns)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		x := &turns{T: t, q: NewQueue(1, queueTimeout, serves)}
		if waited, err := x.q.Enter(t.Context(), Many); waited != 0 || err != nil {
			t.Fatalf("into an empty queue: %v, %v", waited, err)
		}
		check(x)
		x.calls.Wait()
		x.q.Leave()
		x.q.mu.Lock()
		defer x.q.mu.Unlock()
		if x.q.free != 1 || x.q.waiting != 0 {
			t.Errorf("in the end %d places are free and %d callers wait", x.q.free, x.q.waiting)
		}
	})
}

// come lets a caller wait. When it has a place, it waits for the next call of leave.
func (t *turns) come(ctx context.Context, name string, r Rank) {
	t.calls.Go(func() {
		_, err := t.q.Enter(ctx, r)
		if err != nil {
			name += ": " + err.Error()
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		t.all = append(t.all, name)
	})
	synctest.Wait()
}

// leave hands the place to the next one, so many times.
func (t *turns) leave(times int) {
	for range times {
		t.q.Leave()
		synctest.Wait()
	}
}

// want compares who was answered since the last call.
func (t *turns) want(what string, want ...string) {
	t.Helper()
	synctest.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Equal(t.all, want) {
		t.Errorf("%s: %q, want %q", what, t.all, want)
	}
	t.all = nil
}

func refusedName(name string) string { return name + ": " + ErrOverloaded.Error() }

// Callers of a higher rank go first, and among those of one rank whoever came first.
func TestQueueGoesByRank(t *testing.T) {
	t.Parallel()
	inQueue(t, nil, func(t *turns) {
		for i := range 2 {
			for name, r := range map[string]Rank{
				"list": Many, "read": Single, "write": First, "mail": Insisting,
			} {
				t.come(t.Context(), fmt.Sprint(name, i), r)
			}
		}
		t.come(WithRank(t.Context(), First), "refresh's read", Single)
		t.leave(9)
		t.want("in order", "mail0", "mail1", "write0", "write1", "refresh's read", "read0",
			"read1", "list0", "list1")
	})
}

// Once somebody has waited for 100 ms, the newest go first. What insists keeps its order.
func TestAQueueThatStandsServesTheNewest(t *testing.T) {
	t.Parallel()
	inQueue(t, nil, func(t *turns) {
		for _, name := range []string{"1", "2", "3", "4"} {
			t.come(t.Context(), name, Single)
			t.come(t.Context(), "mail "+name, Insisting)
			time.Sleep(33 * time.Millisecond)
		}
		t.leave(4)
		t.want("what insists", "mail 1", "mail 2", "mail 3", "mail 4")
		t.leave(2)
		t.want("after 132 ms", "4", "3")
		t.q.mu.Lock()
		t.q.byRank[Single].oldest.since = time.Now() // as if the oldest had gone
		t.q.mu.Unlock()
		t.leave(1)
		t.want("when nobody waits for long any more", "1")
		t.leave(1)
		t.want("and the last", "2")
	})
}

// A caller is refused after 250 ms if the engine serves others meanwhile. What insists is not.
func TestQueueRefuses(t *testing.T) {
	t.Parallel()
	inQueue(t, nil, func(t *turns) {
		t.come(t.Context(), "mail", Insisting)
		t.come(t.Context(), "list", Many)
		time.Sleep(200 * time.Millisecond)
		t.leave(1)
		t.come(t.Context(), "write", First)
		t.come(t.Context(), "read", Single)
		time.Sleep(49 * time.Millisecond)
		t.want("before", "mail")
		time.Sleep(2 * time.Millisecond)
		t.want("after 250 ms", refusedName("list"))
		time.Sleep(queueTimeout / 2)
		t.want("if nobody else was served since")
		t.leave(1)
		t.want("a place", "write")
		time.Sleep(queueTimeout / 50)
		t.want("soon after others were served", refusedName("read"))

		t.come(t.Context(), "mail 2", Insisting)
		time.Sleep(time.Millisecond)
		t.come(t.Context(), "late", Single)
		time.Sleep(queueTimeout - 2*time.Millisecond)
		t.want("what insists, and what nobody was served since")
		time.Sleep(3 * time.Millisecond)
		t.want("after the timeout", "mail 2: "+ErrUnavailable.Error(),
			"late: "+ErrUnavailable.Error())
		var p PoolStats
		if t.q.AddTo(&p); p.Refused != 2 || p.Waiting != 0 || p.Waited < 2*queueTimeout/5 {
			t.Errorf("counted %+v", p)
		}
	})
}

// An engine that is silent is not busy: nobody is refused before the timeout. What it said before
// does not count.
func TestQueueWaitsForAnEngineThatIsSilent(t *testing.T) {
	t.Parallel()
	var heard atomic.Int64
	serves := func(since time.Time) bool { return heard.Load() > since.UnixNano() }
	inQueue(t, serves, func(t *turns) {
		t.come(t.Context(), "read", Single)
		time.Sleep(time.Millisecond)
		heard.Store(time.Now().UnixNano())
		time.Sleep(time.Second)
		t.want("while it is silent")
		heard.Store(time.Now().UnixNano())
		time.Sleep(queueTimeout / 50)
		t.want("when it answers others", refusedName("read"))
		t.come(t.Context(), "read", Single)
		time.Sleep(queueTimeout)
		t.want("after the timeout", "read: "+ErrUnavailable.Error())
	})
}

// A queue is bounded. Beyond that it refuses whoever would be served last, at once.
func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	inQueue(t, nil, func(t *turns) {
		ctx, hangUp := context.WithCancel(t.Context())
		for range maxWaiting - 2 {
			t.calls.Go(func() {
				if _, err := t.q.Enter(ctx, Single); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		t.come(t.Context(), "list", Many)
		t.come(t.Context(), "read", Single)
		t.want("while there is room")
		t.come(t.Context(), "a list more", Many)
		t.want("another list", refusedName("a list more"))
		t.come(t.Context(), "a read more", Single)
		t.want("another read", refusedName("list"))
		t.come(t.Context(), "the last", Single)
		t.want("a third one", refusedName("the last"))
		t.come(t.Context(), "write", First)
		t.want("a write", refusedName("a read more"))
		t.come(t.Context(), "mail", Insisting)
		t.want("what insists")
		hangUp()
		synctest.Wait()
		t.leave(3)
		t.want("at last", "mail", "write", "read")
	})
	inQueue(t, nil, func(t *turns) {
		t.come(t.Context(), "the first", Single)
		ctx, hangUp := context.WithCancel(t.Context())
		for range maxWaiting - 1 {
			t.calls.Go(func() { t.q.Enter(ctx, Single) })
		}
		time.Sleep(newestAfter(queueTimeout))
		t.come(t.Context(), "the newest", Single)
		t.want("when it stands", refusedName("the first"))
		t.leave(1)
		t.want("who is served", "the newest")
		hangUp()
	})
}

// Who has given up before asking gets no place, not even a free one.
func TestQueueGivesNoPlaceToWhoHasGivenUp(t *testing.T) {
	t.Parallel()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	q := NewQueue(1, queueTimeout, nil)
	if _, err := q.Enter(gone, First); !errors.Is(err, context.Canceled) {
		t.Fatalf("into an empty queue: %v", err)
	}
	if _, err := q.Enter(t.Context(), First); err != nil {
		t.Error(err)
	}
}

// A caller whose context ends leaves the queue, and the place that it gets meanwhile.
func TestQueueLosesNoPlace(t *testing.T) {
	t.Parallel()
	const places = 4
	q := NewQueue(places, 5*time.Millisecond, nil)
	var calls sync.WaitGroup
	inside := make(chan struct{}, places)
	for range 32 {
		calls.Go(func() {
			for range 100 {
				ctx, cancel := context.WithTimeout(t.Context(), rand.N(200*time.Microsecond))
				if _, err := q.Enter(ctx, Rank(rand.N(int(ranks)))); err == nil {
					select {
					case inside <- struct{}{}:
						time.Sleep(rand.N(20 * time.Microsecond))
						<-inside
					default:
						t.Error("more callers than places")
					}
					q.Leave()
				} else if !errors.Is(err, context.DeadlineExceeded) &&
					!errors.Is(err, ErrOverloaded) && !errors.Is(err, ErrUnavailable) {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	calls.Wait()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.free != places || q.waiting != 0 {
		t.Errorf("%d places are free, %d callers wait", q.free, q.waiting)
	}
	for r, l := range q.byRank {
		if l != (waiters{}) {
			t.Errorf("somebody of rank %d waits", r)
		}
	}
}

// A place that is free costs no allocation, and neither does a refusal.
func TestQueueAllocatesNothing(t *testing.T) {
	q := NewQueue(1, time.Hour, nil)
	if n := testing.AllocsPerRun(100, func() {
		q.Enter(t.Context(), Single)
		q.Leave()
	}); n != 0 {
		t.Errorf("%v allocations for a free place", n)
	}
	q.Enter(t.Context(), Single)
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	for range maxWaiting {
		calls.Go(func() { q.Enter(ctx, Single) })
	}
	for p := (PoolStats{}); p.Waiting < maxWaiting; time.Sleep(time.Millisecond) {
		p = PoolStats{}
		q.AddTo(&p)
	}
	if n := testing.AllocsPerRun(100, func() { q.Enter(t.Context(), Single) }); n != 0 {
		t.Errorf("%v allocations for a refusal", n)
	}
	cancel()
	calls.Wait()
}

func BenchmarkQueue(b *testing.B) {
	q := NewQueue(4, time.Minute, nil)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := q.Enter(b.Context(), Single); err != nil {
				b.Error(err)
			}
			q.Leave()
		}
	})
}
