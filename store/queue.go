package store

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Rank says which calls go first where many wait for a connection.
type Rank int

const (
	// Many is the rank of what reads or writes many records: lists, exports and imports.
	Many Rank = iota

	// Single is the rank of what reads a single record.
	Single

	// First is the rank of writes, refreshes and logouts.
	First

	// Insisting is the rank of what nobody can ask for again: work in the background, and what is
	// left to do of a request that has already changed something. It waits as long as a call may.
	Insisting

	ranks
)

type rankKey struct{}

// WithRank returns a context whose calls have at least this rank.
func WithRank(ctx context.Context, r Rank) context.Context {
	return context.WithValue(ctx, rankKey{}, r)
}

// RankOf returns the rank of a call: its own, or that of its context if it is higher.
func RankOf(ctx context.Context, own Rank) Rank {
	r, _ := ctx.Value(rankKey{}).(Rank)
	return max(own, r)
}

// Insist returns a context for what is left to do of a request that has already changed something.
// It does not end with the request, and its calls are [Insisting].
func Insist(ctx context.Context) context.Context {
	return WithRank(context.WithoutCancel(ctx), Insisting)
}

// maxWaiting is how many calls may wait in a queue. More would only wait for others who have given
// up by the time that it is their turn.
const maxWaiting = 1024

// A queue that stands has old callers at its front, whose clients have given up or soon will. If it
// served them first, everybody would wait as long as they did. So once somebody has waited for
// newestAfter, the newest go first. Whoever has waited for refusedAfter is refused. Most calls are
// as fast as without the load, and the others learn soon that they must come again. Both are parts
// of the timeout of a call: 100 and 250 ms of five seconds. (Ben Maurer, "Fail at Scale", ACM Queue
// 13(8), 2015, has this as adaptive LIFO with CoDel.)
func newestAfter(timeout time.Duration) time.Duration  { return timeout / 50 }
func refusedAfter(timeout time.Duration) time.Duration { return timeout / 20 }

// Queue has places for callers, one for each connection of a pool. A caller who finds a free place
// takes it at once: that costs a lock, and nothing is allocated. Otherwise callers wait, the higher
// rank before the lower.
//
// A server that gets more calls than it can serve still serves as many as before, and those
// quickly: BenchmarkOverload of cmd/clientes shows that, and BenchmarkQueue what it costs. A Queue
// is safe for concurrent use.
type Queue struct {
	timeout time.Duration
	serves  func(since time.Time) bool

	mu      sync.Mutex
	free    int            // if there are any, nobody waits
	byRank  [ranks]waiters // those who wait
	waiting int            // how many they are
	left    uint64         // how often a place came back
	waited  time.Duration  // in all, by those who got a place
	refused int64
	sweeper *time.Timer // runs sweep while anybody waits
	spare   sync.Pool   // of *waiter
}

// waiters are the callers of one rank who wait. The oldest of them is the first.
type waiters struct{ oldest, newest *waiter }

// waiter is a caller who waits.
type waiter struct {
	older, newer *waiter
	rank         Rank
	since        time.Time
	left         uint64 // that of the queue when it began to wait
	gone         bool   // from the queue, with an answer
	answer       chan error
}

// NewQueue returns a queue with so many places. A call waits for the timeout at most.
//
// The function serves reports whether the engine has answered anything since a time. If it has not,
// nobody is refused before the timeout: the engine may be down rather than busy. If serves is nil,
// an engine serves while callers leave.
func NewQueue(places int, timeout time.Duration, serves func(since time.Time) bool) *Queue {
	q := &Queue{free: places, timeout: timeout, serves: serves}
	q.spare.New = func() any { return &waiter{answer: make(chan error, 1)} }
	q.sweeper = time.AfterFunc(timeout, q.sweep)
	q.sweeper.Stop()
	return q
}

// Enter waits for a place and returns how long it did. The caller must call Leave when it needs the
// place no longer. Enter returns [ErrOverloaded] if it refuses the caller, the bare
// [ErrUnavailable] if the engine served nobody for the whole timeout, and the error of a context
// that has ended or ends meanwhile.
func (q *Queue) Enter(ctx context.Context, own Rank) (waited time.Duration, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if q.take() {
		return 0, nil
	}
	w, err := q.join(RankOf(ctx, own))
	if w == nil {
		return 0, err
	}
	select {
	case err = <-w.answer:
		waited = time.Since(w.since)
	case <-ctx.Done():
		q.mu.Lock()
		if !w.gone {
			q.remove(w)
		} else if <-w.answer == nil { // at the same moment
			q.pass()
		}
		q.mu.Unlock()
		err = ctx.Err()
	}
	q.spare.Put(w)
	return waited, err
}

// Leave returns a place.
func (q *Queue) Leave() {
	q.mu.Lock()
	q.pass()
	q.mu.Unlock()
}

// AddTo adds the numbers of those who wait to those of a pool.
func (q *Queue) AddTo(p *PoolStats) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p.Waiting += q.waiting
	p.Waited += q.waited
	p.Refused += q.refused
}

// take takes a free place and reports whether there was one.
func (q *Queue) take() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.free == 0 {
		return false
	}
	q.free--
	return true
}

// join adds a caller who waits. It returns no waiter if the caller need not wait after all, or may
// not.
func (q *Queue) join(r Rank) (*waiter, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.free > 0 {
		q.free--
		return nil, nil
	}
	now := time.Now()
	if q.waiting >= maxWaiting && r != Insisting && !q.makeRoom(r, now) {
		q.refused++
		return nil, ErrOverloaded
	}
	w := q.spare.Get().(*waiter)
	l := &q.byRank[r]
	w.rank, w.since, w.left, w.gone = r, now, q.left, false
	w.older, w.newer = l.newest, nil
	if l.newest != nil {
		l.newest.newer = w
	} else {
		l.oldest = w
	}
	l.newest = w
	if q.waiting++; q.waiting == 1 {
		q.sweeper.Reset(refusedAfter(q.timeout))
	}
	return w, nil
}

// makeRoom refuses the waiting caller that would be served last, so that a new one of rank r may
// wait. It returns false and refuses nobody if the new caller itself would be served last.
func (q *Queue) makeRoom(r Rank, now time.Time) bool {
	for rank := Many; rank <= r; rank++ {
		l := &q.byRank[rank]
		switch {
		case l.oldest == nil:
			continue
		case q.stands(l, now):
			q.answer(l.oldest, ErrOverloaded)
		case rank < r:
			q.answer(l.newest, ErrOverloaded)
		default:
			return false
		}
		return true
	}
	return false
}

// stands reports whether the oldest caller of a rank has waited so long that the newest goes first.
// The rank must have one who waits.
func (q *Queue) stands(l *waiters, now time.Time) bool {
	return l.oldest.rank != Insisting && now.Sub(l.oldest.since) >= newestAfter(q.timeout)
}

// pass takes a place back, and hands it to the next caller.
func (q *Queue) pass() {
	q.left++
	if q.waiting == 0 {
		q.free++
		return
	}
	now := time.Now()
	for rank := ranks - 1; rank >= 0; rank-- {
		l := &q.byRank[rank]
		w := l.oldest
		if w == nil {
			continue
		}
		if q.stands(l, now) {
			w = l.newest
		}
		q.waited += now.Sub(w.since)
		q.answer(w, nil)
		return
	}
}

// answer lets a caller go, with a place if err is nil.
func (q *Queue) answer(w *waiter, err error) {
	if errors.Is(err, ErrOverloaded) {
		q.refused++
	}
	q.remove(w)
	w.answer <- err
}

func (q *Queue) remove(w *waiter) {
	l := &q.byRank[w.rank]
	if w.older != nil {
		w.older.newer = w.newer
	} else {
		l.oldest = w.newer
	}
	if w.newer != nil {
		w.newer.older = w.older
	} else {
		l.newest = w.older
	}
	w.older, w.newer, w.gone = nil, nil, true
	if q.waiting--; q.waiting == 0 {
		q.sweeper.Stop()
	}
}

// sweep refuses those who have waited for too long. One timer for all of them costs less than one
// for each.
func (q *Queue) sweep() {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	next := refusedAfter(q.timeout) // for those who come now
	for rank := range q.byRank {
		for w := q.byRank[rank].oldest; w != nil; w = q.byRank[rank].oldest {
			again, err := q.verdict(w, now.Sub(w.since))
			if err == nil {
				next = min(next, again)
				break // the others have not waited longer
			}
			q.answer(w, err)
		}
	}
	if q.waiting > 0 {
		q.sweeper.Reset(next)
	}
}

// verdict returns the error of a caller that has waited for that long, if it is refused. If err is
// nil, the caller waits on, and verdict returns after what time to look again.
func (q *Queue) verdict(w *waiter, waited time.Duration) (again time.Duration, err error) {
	limit := refusedAfter(q.timeout)
	if w.rank == Insisting {
		limit = q.timeout
	}
	switch {
	case waited < limit:
		return limit - waited, nil
	case q.serving(w):
		return 0, ErrOverloaded
	case waited < q.timeout:
		return min(q.timeout-waited, newestAfter(q.timeout)), nil
	}
	return 0, ErrUnavailable
}

// serving reports whether the engine has served anybody since w had waited for newestAfter. The
// last answer before an outage may come earlier than that, and does not count.
func (q *Queue) serving(w *waiter) bool {
	if q.serves == nil {
		return q.left != w.left
	}
	return q.serves(w.since.Add(newestAfter(q.timeout)))
}
