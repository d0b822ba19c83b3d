package store

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// Lanes lets calls of one kind that wait at the same moment share a trip to the database. There is
// no timer and no delay. A free lane serves its caller in the caller's own goroutine, which costs
// next to nothing, so a single caller is as fast as without lanes. A caller who finds no free lane
// waits. The next lane that becomes free takes all who wait as one batch.
//
// A batch begins after its members came, so each of them sees what was written before it asked.
//
// Two lanes on two processors do less work than four, because their batches are larger. What it
// buys is shown by BenchmarkReadsTogether of package postgres.
type Lanes[In, Out any] struct {
	serve func(ctx context.Context, calls []*SharedCall[In, Out])
	lanes int // usually
	wide  int // see Widen
	most  int // calls in a batch
	sizes BatchCounts

	mu      sync.Mutex
	busy    int
	begun   time.Time // when a lane last began to serve
	waiting []*SharedCall[In, Out]
}

// SharedCall is the part of one caller in a batch. Who serves the batch sets Out and Err.
type SharedCall[In, Out any] struct {
	In  In
	Out Out
	Err error

	ctx   context.Context
	alone [1]*SharedCall[In, Out] // the batch of this call alone, without an allocation
	done  chan struct{}           // closed when Out and Err are final; nil if it need not wait
}

// slowStart is how long no lane has begun to serve before one more opens: see Widen. On a busy
// machine a goroutine may wait a few milliseconds for a processor, which is no reason to open one.
const slowStart = 5 * time.Millisecond

// NewLanes returns that many lanes for batches of at most so many calls, up to 128. The function
// serve must bound the time of a batch by itself: the context of a batch of several calls never
// ends, because a caller who hangs up must not cancel the others. It has the highest rank of its
// callers. A single call has its caller's context.
func NewLanes[In, Out any](lanes, most int,
	serve func(ctx context.Context, calls []*SharedCall[In, Out])) *Lanes[In, Out] {
	return &Lanes[In, Out]{serve: serve, lanes: lanes, wide: lanes, most: most}
}

// Widen lets there be up to so many lanes. One more opens for a caller if none has begun to serve
// for slowStart. Then they do not wait for a processor, but for a slow line or for a dead one, and
// few lanes would hold up everybody. It must be called before Do.
func (l *Lanes[In, Out]) Widen(lanes int) { l.wide = max(l.lanes, lanes) }

// Sizes returns how many calls the batches have had.
func (l *Lanes[In, Out]) Sizes() BatchStats { return l.sizes.Stats() }

// Do returns what serve set for the call. It returns the context's error as soon as the context
// ends, even if the call is already part of a batch, and [ErrOverloaded] if too many wait.
//
// A panic of serve goes to the caller whom it served alone. Calls of a batch that waited have an
// error instead.
func (l *Lanes[In, Out]) Do(ctx context.Context, in In) (out Out, err error) {
	if err := ctx.Err(); err != nil {
		return out, err
	}
	c := &SharedCall[In, Out]{In: in, ctx: ctx}
	waits, err := l.enter(c)
	switch {
	case err != nil:
		return out, err
	case waits:
		select {
		case <-c.done:
		case <-ctx.Done():
			l.leave(c)
			return out, ctx.Err()
		}
	default:
		l.serveAlone(c)
	}
	if c.Err != nil {
		return out, c.Err
	}
	return c.Out, nil
}

// enter takes a lane for the call, or lets it wait for one.
func (l *Lanes[In, Out]) enter(c *SharedCall[In, Out]) (waits bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch now := time.Now(); {
	case l.busy < l.lanes || l.busy < l.wide && now.Sub(l.begun) >= slowStart:
		l.busy++
		l.begun = now
		return false, nil
	case len(l.waiting) >= maxWaiting:
		return false, ErrOverloaded
	}
	c.done = make(chan struct{})
	l.waiting = append(l.waiting, c)
	return true, nil
}

// leave forgets a call that waits, unless a batch has taken it.
func (l *Lanes[In, Out]) leave(c *SharedCall[In, Out]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.waiting, c); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
}

// serveAlone serves a call that need not wait.
func (l *Lanes[In, Out]) serveAlone(c *SharedCall[In, Out]) {
	defer l.next()
	c.alone[0] = c
	l.sizes.Add(1)
	l.serve(c.ctx, c.alone[:])
}

// serveTogether serves calls that have waited.
func (l *Lanes[In, Out]) serveTogether(calls []*SharedCall[In, Out]) {
	served := false
	defer func() { // deferred, because serve may panic or end its goroutine
		if !served {
			lost := fmt.Errorf("the batch of a call was lost: %v\n%s", recover(), debug.Stack())
			for _, c := range calls {
				c.Err = lost
			}
		}
		l.next()
		for _, c := range calls {
			close(c.done)
		}
	}()
	ctx := calls[0].ctx
	if len(calls) > 1 {
		highest := Many
		for _, c := range calls {
			highest = RankOf(c.ctx, highest)
		}
		ctx = WithRank(context.Background(), highest)
	}
	l.sizes.Add(len(calls))
	l.serve(ctx, calls)
	served = true
}

// next lets those who wait have the lane whose batch is over, or makes it free. They are served in
// a goroutine of their own: each of their callers may leave, and the last one has his answer.
func (l *Lanes[In, Out]) next() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	// A lane that was opened besides the usual ones ends when they are quick again. The next one
	// that becomes free takes those who wait.
	quick := l.busy > l.lanes && now.Sub(l.begun) < slowStart
	n := min(len(l.waiting), l.most)
	if n == 0 || quick {
		l.busy--
		return
	}
	calls := slices.Clone(l.waiting[:n])
	l.waiting = slices.Delete(l.waiting, 0, n)
	l.begun = now
	go l.serveTogether(calls)
}
