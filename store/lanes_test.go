package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"clientes/store"
)

type call = store.SharedCall[int, int]

// gate serves batches, each of which lasts until the gate opens for it. The answer to a number is
// its negative.
type gate struct {
	lanes *store.Lanes[int, int]
	calls sync.WaitGroup
	open  chan struct{} // a value for each batch

	mu      sync.Mutex
	batches [][]int
}

func newGate(c store.LanesConfig) *gate {
	g := &gate{open: make(chan struct{})}
	g.lanes = store.NewLanes(c, func(ctx context.Context, calls []*call) {
		var batch []int
		for _, c := range calls {
			batch = append(batch, c.In)
			c.Out = -c.In
		}
		g.mu.Lock()
		g.batches = append(g.batches, batch)
		g.mu.Unlock()
		select {
		case <-g.open:
		case <-ctx.Done():
			for _, c := range calls {
				c.Err = ctx.Err()
			}
		}
	})
	return g
}

// ask makes a call in the background, which must end so.
func (g *gate) ask(ctx context.Context, t *testing.T, in int, want error) {
	g.calls.Go(func() {
		out, err := g.lanes.Do(ctx, in)
		if !errors.Is(err, want) || err == nil && out != -in || err != nil && out != 0 {
			t.Errorf("%d: got %d, %v", in, out, err)
		}
	})
	synctest.Wait()
}

// pass opens the gate for that many batches, one after the other.
func (g *gate) pass(batches int) {
	for range batches {
		g.open <- struct{}{}
		synctest.Wait()
	}
}

func (g *gate) want(t *testing.T, batches ...[]int) {
	t.Helper()
	if !slices.EqualFunc(g.batches, batches, slices.Equal) {
		t.Errorf("got %v, want %v", g.batches, batches)
	}
}

func TestCallsThatWaitShareALane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(store.LanesConfig{Lanes: 2, Batch: 3})
		for in := range 7 {
			g.ask(t.Context(), t, in, nil)
		}
		g.want(t, []int{0}, []int{1})
		g.pass(1)
		g.want(t, []int{0}, []int{1}, []int{2, 3, 4})
		g.ask(t.Context(), t, 7, nil)
		g.pass(1)
		g.want(t, []int{0}, []int{1}, []int{2, 3, 4}, []int{5, 6, 7})
		g.pass(2)
		g.calls.Wait()
		g.ask(t.Context(), t, 8, nil)
		g.pass(1)
		g.calls.Wait()
		g.want(t, []int{0}, []int{1}, []int{2, 3, 4}, []int{5, 6, 7}, []int{8})
		want := store.BatchStats{
			Batches: 5, Calls: 9, AtMost: [8]int64{3, 3, 5, 5, 5, 5, 5, 5},
		}
		if got := g.lanes.Sizes(); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

// While few call at once, nobody waits. Where many do, they share as few lanes as usual.
func TestFewCallsHaveALaneEach(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(store.LanesConfig{Lanes: 2, Wide: 8, Batch: 64})
		var many []int
		for in := range 24 {
			g.ask(t.Context(), t, in, nil)
			if in >= 4 {
				many = append(many, in)
			}
		}
		want := [][]int{{0}, {1}, {2}, {3}}
		g.want(t, want...)
		g.pass(3) // two of the four lanes end
		want = append(want, many)
		g.want(t, want...)
		g.pass(2)
		g.calls.Wait()
		for in := range 3 {
			g.ask(t.Context(), t, in, nil)
		}
		want = append(want, []int{0}, []int{1})
		g.want(t, want...)
		g.pass(1)
		want = append(want, []int{2})
		g.want(t, want...)
		g.pass(2)
		g.calls.Wait()
	})
}

// A caller who hangs up leaves at once. The batch goes on, unless nobody shares it.
func TestACallerWhoHangsUpCancelsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(store.LanesConfig{Lanes: 1, Batch: 8})
		alone, hangUpAlone := context.WithCancel(t.Context())
		g.ask(alone, t, 0, context.Canceled)
		waits, hangUpWaiting := context.WithCancel(t.Context())
		g.ask(waits, t, 1, context.Canceled)
		member, hangUpMember := context.WithCancel(t.Context())
		g.ask(member, t, 2, context.Canceled)
		g.ask(t.Context(), t, 3, nil)
		hangUpWaiting()
		synctest.Wait()
		hangUpAlone()
		synctest.Wait()
		g.want(t, []int{0}, []int{2, 3})
		hangUpMember()
		synctest.Wait()
		g.ask(t.Context(), t, 4, nil) // waits: the batch is still under way
		last, hangUpLast := context.WithCancel(t.Context())
		g.pass(2)
		g.ask(t.Context(), t, 5, nil)
		g.ask(last, t, 6, context.Canceled)
		g.pass(1)
		hangUpLast() // its call has a lane to itself, although it waited before
		g.calls.Wait()
		g.want(t, []int{0}, []int{2, 3}, []int{4}, []int{5}, []int{6})
		g.ask(member, t, 7, context.Canceled)
		g.want(t, []int{0}, []int{2, 3}, []int{4}, []int{5}, []int{6})
	})
}

// Among those who share a batch, nobody goes later than alone. What insists is not refused.
func TestABatchHasTheHighestRankOfItsCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ranks []store.Rank
		open := make(chan struct{})
		config := store.LanesConfig{Lanes: 1, Batch: 128}
		lanes := store.NewLanes(config, func(ctx context.Context, _ []*call) {
			<-open
			ranks = append(ranks, store.RankOf(ctx, store.Many))
		})
		var calls sync.WaitGroup
		ask := func(ctx context.Context) {
			calls.Go(func() {
				if _, err := lanes.Do(ctx, 0); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		for range 1 + 1024 {
			ask(t.Context())
		}
		ask(store.Insist(t.Context()))
		close(open)
		calls.Wait()
		want := append(slices.Repeat([]store.Rank{store.Many}, 9), store.Insisting)
		if !slices.Equal(ranks, want) {
			t.Errorf("got %v, want %v", ranks, want)
		}
		open = make(chan struct{})
		ask(t.Context())
		ask(t.Context())
		ask(store.WithRank(t.Context(), store.First))
		close(open)
		calls.Wait()
		if got := ranks[len(ranks)-1]; got != store.First {
			t.Errorf("a batch has the rank %d", got)
		}
	})
}

// Where all lanes have been busy for a while, more of them open, and close again.
func TestSlowLanesBecomeMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(store.LanesConfig{Lanes: 1, Wide: 3, Batch: 8})
		g.ask(t.Context(), t, 0, nil)
		g.ask(t.Context(), t, 1, nil)
		time.Sleep(time.Second)
		synctest.Wait() // it has a lane although nobody came after it
		g.want(t, []int{0}, []int{1})
		g.ask(t.Context(), t, 2, nil)
		g.ask(t.Context(), t, 3, nil) // there are as many as there may be
		time.Sleep(time.Second)
		g.ask(t.Context(), t, 4, nil)
		g.want(t, []int{0}, []int{1}, []int{2})
		g.pass(1) // takes those who wait, as it takes long
		g.want(t, []int{0}, []int{1}, []int{2}, []int{3, 4})
		g.ask(t.Context(), t, 5, nil)
		g.pass(2) // they close
		g.want(t, []int{0}, []int{1}, []int{2}, []int{3, 4})
		g.pass(1)
		g.want(t, []int{0}, []int{1}, []int{2}, []int{3, 4}, []int{5})
		g.ask(t.Context(), t, 6, nil)
		g.pass(2)
		g.calls.Wait()
	})
}

// While the usual lanes are stuck on dead lines, those that open besides them serve everybody.
func TestStuckLanesHoldUpNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const stuck, well = 2, 1000
		answer := make(chan struct{})
		config := store.LanesConfig{Lanes: stuck, Wide: 16, Batch: 64}
		lanes := store.NewLanes(config, func(_ context.Context, calls []*call) {
			if calls[0].In < stuck {
				<-answer
			}
			time.Sleep(time.Millisecond)
		})
		var calls sync.WaitGroup
		var waited [stuck + well]time.Duration
		for in := range stuck + well {
			calls.Go(func() {
				start := time.Now()
				if _, err := lanes.Do(t.Context(), in); err != nil {
					t.Error(err)
				}
				waited[in] = time.Since(start)
			})
			synctest.Wait()
			if in >= stuck {
				time.Sleep(time.Millisecond / 2)
			}
		}
		time.Sleep(time.Second)
		close(answer)
		calls.Wait()
		if d := slices.Max(waited[stuck:]); d > 20*time.Millisecond {
			t.Errorf("one waited for %v", d)
		}
	})
}

// While each batch lasts as long as a call may, nobody waits for several of them.
func TestNobodyWaitsForALaneForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		errLate := errors.New("late")
		g := newGate(store.LanesConfig{Lanes: 1, Batch: 2, Wait: time.Second, Late: errLate})
		g.ask(t.Context(), t, 0, nil)
		g.ask(t.Context(), t, 1, nil)
		g.ask(t.Context(), t, 2, nil)
		g.ask(t.Context(), t, 3, errLate)
		time.Sleep(time.Second / 2)
		g.ask(t.Context(), t, 4, errLate)
		g.pass(1)
		time.Sleep(3 * time.Second / 4) // the others are in a batch, and may take their time
		g.ask(t.Context(), t, 5, nil)
		time.Sleep(3 * time.Second / 4)
		g.pass(2)
		g.calls.Wait()
		g.want(t, []int{0}, []int{1, 2}, []int{5})
	})
}

// Calls that wait for a lane are counted, and those that get none in time or may not wait.
func TestLanesCountThoseWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const most = 1024
		errLate := errors.New("late")
		g := newGate(store.LanesConfig{Lanes: 1, Batch: 128, Wait: time.Minute, Late: errLate})
		want := func(what string, waiting int, refused, timeouts int64) {
			t.Helper()
			var p store.PoolStats
			g.lanes.AddTo(&p)
			want := store.PoolStats{Waiting: waiting, Refused: refused, Timeouts: timeouts}
			if p != want {
				t.Errorf("%s: got %+v", what, p)
			}
		}
		g.ask(t.Context(), t, 0, nil)
		want("one has a lane", 0, 0, 0)
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		g.ask(soon, t, 1, context.DeadlineExceeded)
		gone, hangUp := context.WithCancel(t.Context())
		g.ask(gone, t, 2, context.Canceled)
		want("two wait", 2, 0, 0)
		hangUp()
		time.Sleep(time.Second)
		synctest.Wait()
		want("one had too little time, one has left", 0, 0, 1)
		for in := range most {
			g.ask(t.Context(), t, 3+in, errLate)
		}
		g.ask(t.Context(), t, 9, store.ErrOverloaded)
		want("too many wait", most, 1, 1)
		time.Sleep(time.Minute)
		synctest.Wait()
		want("they have waited for too long", 0, 1, 1+most)
		g.pass(1)
		g.calls.Wait()
	})
}

// An error, a panic or an end of the goroutine that serves a batch leaves nobody waiting.
func TestALostBatchReachesEachCaller(t *testing.T) {
	t.Parallel()
	for what, lose := range map[string]func([]*call){
		"a panic": func([]*call) { panic("broken") },
		"an end":  func([]*call) { runtime.Goexit() },
		"an error": func(calls []*call) {
			for _, c := range calls {
				c.Out, c.Err = 1, errors.New("lost")
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var calls sync.WaitGroup
				open, served := make(chan struct{}), 0
				config := store.LanesConfig{Lanes: 1, Batch: 3}
				lanes := store.NewLanes(config, func(_ context.Context, calls []*call) {
					<-open
					if served++; served > 1 {
						lose(calls)
					}
				})
				for in := range 1 + 3 + 3 {
					calls.Go(func() {
						out, err := lanes.Do(t.Context(), in)
						if (err == nil) != (in == 0) || out != 0 {
							t.Errorf("%d: got %d, %v", in, out, err)
						}
						if err != nil && !strings.Contains(err.Error(), "lost") {
							t.Error(err)
						}
					})
					synctest.Wait()
				}
				close(open)
				calls.Wait()
				calls.Go(func() { // alone: it sees what happens itself
					defer func() {
						if got := recover(); (got != nil) != (what == "a panic") {
							t.Error(got)
						}
					}()
					lanes.Do(t.Context(), 9)
				})
				calls.Wait()
				calls.Go(func() { // the lane is free again
					defer func() { recover() }()
					lanes.Do(t.Context(), 10)
				})
				calls.Wait()
				if served != 5 {
					t.Errorf("%d batches", served)
				}
			})
		})
	}
}

// Calls that come, hang up and panic at any moment are all answered, each with its own result.
func TestNoCallOfALaneIsForgotten(t *testing.T) {
	t.Parallel()
	const callers, rounds = 16, 1000
	var serving, batches atomic.Int64
	config := store.LanesConfig{Lanes: 2, Wide: 4, Batch: 5}
	lanes := store.NewLanes(config, func(_ context.Context, calls []*call) {
		if n := serving.Add(1); n > 4 {
			t.Errorf("%d at once", n)
		}
		defer serving.Add(-1)
		if batches.Add(1)%50 == 0 {
			panic("broken")
		}
		for _, c := range calls {
			if c.In%3 == 0 {
				c.Err = fmt.Errorf("%d", c.In)
			}
			c.Out = -c.In
		}
		runtime.Gosched()
	})
	var running sync.WaitGroup
	for caller := range callers {
		running.Go(func() {
			for round := range rounds {
				in := caller*rounds + round
				one(t, lanes, in)
			}
		})
	}
	running.Wait()
}

// one makes a call, and hangs up on every seventh.
func one(t *testing.T, lanes *store.Lanes[int, int], in int) {
	defer func() { // a batch that it had alone may panic
		if p := recover(); p != nil && p != "broken" {
			panic(p)
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if in%7 == 0 {
		go cancel()
	}
	out, err := lanes.Do(ctx, in)
	switch {
	case err == nil && in%3 != 0 && out == -in:
	case err == nil:
		t.Errorf("%d: got %d", in, out)
	case in%3 == 0 && err.Error() == fmt.Sprint(in):
	case in%7 == 0 && errors.Is(err, context.Canceled):
	case !strings.Contains(err.Error(), "broken"):
		t.Errorf("%d: %v", in, err)
	}
}

// A call that need not wait costs one allocation.
func TestALaneCostsALoneCallerNextToNothing(t *testing.T) {
	config := store.LanesConfig{Lanes: 1, Batch: 1}
	lanes := store.NewLanes(config, func(context.Context, []*call) {})
	n := testing.AllocsPerRun(100, func() {
		if _, err := lanes.Do(t.Context(), 1); err != nil {
			t.Error(err)
		}
	})
	if n > 1 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkLanes measures what a lane costs a single caller.
func BenchmarkLanes(b *testing.B) {
	config := store.LanesConfig{Lanes: 2, Batch: 64}
	lanes := store.NewLanes(config, func(context.Context, []*call) {})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := lanes.Do(b.Context(), 1); err != nil {
			b.Fatal(err)
		}
	}
}
