package store

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// Lanes lets calls of one kind that wait at the same moment share a trip to the database. No call
// waits for others to join it. A free lane serves its caller in the caller's own goroutine, which
// costs next to nothing (BenchmarkLanes), so a single caller is as fast as without lanes. A caller
// who finds no free lane waits. The next lane that becomes free takes all who wait as one batch.
//
// A batch begins after its callers came, so each of them sees what was written before it asked.
//
// One lane on two processors costs less CPU time than two, because its batches are larger. But
// while only a few calls come at once, a lane for each of them is faster than any batch: see
// mayServeAlone. What lanes buy is shown by BenchmarkReadsTogether and BenchmarkWritesTogether of
// package postgres.
type Lanes[In, Out any] struct {
	serve func(ctx context.Context, calls []*SharedCall[In, Out])
	lanes int // how many there usually are
	wide  int // how many there may be
	most  int // calls in a batch
	wait  time.Duration
	late  error
	sizes BatchCounts

	mu       sync.Mutex
	busy     int
	size     float64                // moving average of the batches, the last counting half
	begun    time.Time              // when a lane last began to serve
	waiting  []*SharedCall[In, Out] // the oldest first
	watching bool                   // a timer runs that calls open
	limiting bool                   // a timer runs that calls refuseLate
	refused  int64
	timeouts int64
}

// SharedCall is the call of one caller in a batch. The function that serves the batch sets Out and
// Err.
type SharedCall[In, Out any] struct {
	In  In
	Out Out
	Err error

	ctx   context.Context
	since time.Time               // when it began to wait
	alone [1]*SharedCall[In, Out] // the batch of this call alone, without an allocation
	done  chan struct{}           // closed when Out and Err are final; nil if it need not wait
}

// LanesConfig says how many lanes there are, and how long calls wait for one.
type LanesConfig struct {
	Lanes int // how many there usually are
	Batch int // how many calls a batch has at most, up to the 128 that BatchCounts counts

	// Wide is how many lanes there may be, if more than Lanes. While only a few calls come at once,
	// there are up to four. And one more opens for those who wait if none has begun to serve for a
	// while. Then they do not wait for a processor, but for a slow or a dead connection, and few
	// lanes would hold up everybody.
	Wide int

	// Wait is how long a call may wait for a lane, if not forever, and Late the error that it has
	// after that. A lane lasts as long as its batch, and while the database is down each batch
	// waits for it in vain, so those behind it would wait many times as long.
	Wait time.Duration
	Late error
}

// widenAfter is how long no lane has begun to serve before one more opens. On a busy machine a
// goroutine may wait a few milliseconds for a processor, which is no reason to open one.
const widenAfter = 5 * time.Millisecond

// While batches have fewCalls or less on average, sharing saves less time than the wait for a lane
// costs. Then up to fewLanes serve one call each.
const (
	fewCalls = 2
	fewLanes = 4
)

// NewLanes returns lanes whose batches are served by serve. It must bound the time of a batch by
// itself: the context of a batch of several calls never ends, because a caller who hangs up must
// not cancel the others. It has the highest [Rank] of theirs. A single call has its caller's
// context.
func NewLanes[In, Out any](c LanesConfig,
	serve func(ctx context.Context, calls []*SharedCall[In, Out])) *Lanes[In, Out] {
	return &Lanes[In, Out]{
		serve: serve, lanes: c.Lanes, wide: max(c.Lanes, c.Wide), most: c.Batch,
		wait: c.Wait, late: c.Late,
	}
}

// Sizes returns how many calls the batches have had.
func (l *Lanes[In, Out]) Sizes() BatchStats { return l.sizes.Stats() }

// AddTo adds the counts of waiting, refused and late calls to p. The time that they wait is not
// among them: it is part of the usual work of lanes, and many wait for one connection.
func (l *Lanes[In, Out]) AddTo(p *PoolStats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.Waiting += len(l.waiting)
	p.Refused += l.refused
	p.Timeouts += l.timeouts
}

// Do returns what serve set for the call. It returns the context's error as soon as the context
// ends, even if others share its batch, [ErrOverloaded] if too many wait, and the Late of the
// [LanesConfig] after its Wait. A call that serve serves alone ends when serve returns.
//
// A panic of serve goes to the caller whom it served alone. Calls of a batch that waited have an
// error instead.
func (l *Lanes[In, Out]) Do(ctx context.Context, in In) (out Out, err error) {
	if err := ctx.Err(); err != nil {
		return out, err
	}
	c := &SharedCall[In, Out]{In: in, ctx: ctx}
	begun, err := l.enter(c)
	switch {
	case err != nil:
		return out, err
	case c.done != nil:
		select {
		case <-c.done:
		case <-ctx.Done():
			l.leave(c)
			return out, ctx.Err()
		}
	default:
		l.serveAlone(c, begun)
	}
	if c.Err != nil {
		return out, c.Err
	}
	return c.Out, nil
}

// enter takes a lane for the call and returns the time at which it begins to serve. If none is
// free, the call has a done channel and waits.
func (l *Lanes[In, Out]) enter(c *SharedCall[In, Out]) (begun time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	switch {
	case l.busy < l.lanes || l.mayServeAlone():
		l.busy++
		l.begin(now, 1)
		return now, nil
	case len(l.waiting) >= maxWaiting && RankOf(c.ctx, Many) != Insisting:
		l.refused++
		return now, ErrOverloaded
	}
	c.since, c.done = now, make(chan struct{})
	l.waiting = append(l.waiting, c)
	if l.mayOpen(now) {
		l.busy++
		l.serveWaiting(now)
	}
	l.watch(now)
	l.limit(now)
	return now, nil
}

// begin notes that a lane begins to serve so many calls.
func (l *Lanes[In, Out]) begin(now time.Time, calls int) {
	l.begun = now
	l.size += (float64(calls) - l.size) / 2
}

// mayServeAlone reports whether so few calls come that one more has a lane for itself, besides the
// usual ones. When that call is done and others wait, such a lane closes if another has begun
// since: see next.
func (l *Lanes[In, Out]) mayServeAlone() bool {
	return l.busy < min(fewLanes, l.wide) && l.size <= fewCalls && len(l.waiting) == 0
}

// mayOpen reports whether one lane more may open besides the usual ones.
func (l *Lanes[In, Out]) mayOpen(now time.Time) bool {
	return l.busy < l.wide && now.Sub(l.begun) >= widenAfter
}

// watch has open called when another lane may open for those who wait. It needs a timer: perhaps no
// other call comes, and all lanes wait for dead connections.
func (l *Lanes[In, Out]) watch(now time.Time) {
	if !l.watching && len(l.waiting) > 0 && l.busy < l.wide {
		l.watching = true
		time.AfterFunc(widenAfter-now.Sub(l.begun), l.open)
	}
}

// open opens one lane more if it may.
func (l *Lanes[In, Out]) open() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watching = false
	now := time.Now()
	if len(l.waiting) > 0 && l.mayOpen(now) {
		l.busy++
		l.serveWaiting(now)
	}
	l.watch(now)
}

// limit has refuseLate called when the oldest call has waited for too long. One timer for all costs
// less than one for each.
func (l *Lanes[In, Out]) limit(now time.Time) {
	if l.wait > 0 && !l.limiting && len(l.waiting) > 0 {
		l.limiting = true
		time.AfterFunc(l.wait-now.Sub(l.waiting[0].since), l.refuseLate)
	}
}

// refuseLate refuses those who have waited for too long.
func (l *Lanes[In, Out]) refuseLate() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limiting = false
	now := time.Now()
	n := 0
	for n < len(l.waiting) && now.Sub(l.waiting[n].since) >= l.wait {
		c := l.waiting[n]
		c.Err = l.late
		close(c.done)
		n++
	}
	l.waiting = slices.Delete(l.waiting, 0, n)
	l.timeouts += int64(n)
	l.limit(now)
}

// leave forgets a call that waits, unless a batch has taken it.
func (l *Lanes[In, Out]) leave(c *SharedCall[In, Out]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.waiting, c); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
		if errors.Is(c.ctx.Err(), context.DeadlineExceeded) {
			l.timeouts++
		}
	}
}

// serveAlone serves a call that need not wait.
func (l *Lanes[In, Out]) serveAlone(c *SharedCall[In, Out], begun time.Time) {
	defer l.next(begun)
	c.alone[0] = c
	l.sizes.Add(1)
	l.serve(c.ctx, c.alone[:])
}

// serveTogether serves calls that have waited.
func (l *Lanes[In, Out]) serveTogether(calls []*SharedCall[In, Out], begun time.Time) {
	served := false
	defer func() { // deferred, because serve may panic or end its goroutine
		if !served {
			lost := fmt.Errorf("the batch of a call was lost: %v\n%s", recover(), debug.Stack())
			for _, c := range calls {
				c.Err = lost
			}
		}
		l.next(begun)
		for _, c := range calls {
			close(c.done)
		}
	}()
	ctx := calls[0].ctx
	if len(calls) > 1 {
		ctx = WithRank(context.Background(), highestRank(calls))
	}
	l.sizes.Add(len(calls))
	l.serve(ctx, calls)
	served = true
}

// highestRank returns the highest rank of the contexts of the calls: a call that insists must not
// be refused because of those that share its trip.
func highestRank[In, Out any](calls []*SharedCall[In, Out]) (highest Rank) {
	for _, c := range calls {
		highest = RankOf(c.ctx, highest)
	}
	return highest
}

// next lets those who wait have the lane whose batch is over, or makes it free.
func (l *Lanes[In, Out]) next(begun time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	// A lane that was opened besides the usual ones closes when others are quick again: one of them
	// has begun since this one did. The next that becomes free takes those who wait.
	quick := l.busy > l.lanes && !l.begun.Equal(begun) && now.Sub(l.begun) < widenAfter
	if len(l.waiting) == 0 || quick {
		l.busy--
		l.watch(now)
		return
	}
	l.serveWaiting(now)
}

// serveWaiting has a lane serve those who wait, in a goroutine of its own: each of their callers
// may leave, and the caller who had the lane before must return with its answer.
func (l *Lanes[In, Out]) serveWaiting(now time.Time) {
	n := min(len(l.waiting), l.most)
	calls := slices.Clone(l.waiting[:n])
	l.waiting = slices.Delete(l.waiting, 0, n)
	l.begin(now, n)
	go l.serveTogether(calls, now)
}
