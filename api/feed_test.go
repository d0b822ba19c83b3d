package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"clientes/auth/authtest"
	"clientes/store"
)

// memoryFeed is a feed in memory. Its changes have the numbers 1, 2, 3, … as their Seq and their
// record's id.
type memoryFeed struct {
	mu      sync.Mutex
	changes []store.FeedChange
	reads   int
	given   int  // changes
	flaky   bool // some calls fail
}

func (m *memoryFeed) add(actions ...store.Action) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range actions {
		seq := int64(len(m.changes) + 1)
		at := time.UnixMilli(seq).UTC()
		m.changes = append(m.changes, store.FeedChange{
			Change: store.Change{
				Version: 1, Action: a, At: at,
				Record: store.Cliente{ID: seq, Name: fmt.Sprint("the ", seq, ".")},
			},
			Position: store.FeedPosition{Part: store.FeedOrder, Seq: seq, At: at},
		})
	}
}

func (m *memoryFeed) call() error {
	m.reads++
	if m.flaky && rand.IntN(5) == 0 {
		return store.ErrUnavailable
	}
	return nil
}

func (m *memoryFeed) Changes(_ context.Context, after store.FeedPosition, limit int) (
	store.FeedPage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call(); err != nil {
		return store.FeedPage{}, err
	}
	rest := m.changes[after.Seq:]
	p := store.FeedPage{
		Changes: rest[:min(limit, len(rest))], Next: after, More: len(rest) > limit,
	}
	p.Next.Part = store.FeedOrder
	m.given += len(p.Changes)
	if n := len(p.Changes); n > 0 {
		p.Next = p.Changes[n-1].Position
	}
	return p, nil
}

func (m *memoryFeed) FeedEnd(context.Context) (store.FeedPosition, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call(); err != nil || len(m.changes) == 0 {
		return store.FeedPosition{Part: store.FeedOrder}, err
	}
	return m.changes[len(m.changes)-1].Position, nil
}

// quickFeed returns a feed that asks the store without pauses to speak of, and has a ring for a few
// changes.
func quickFeed(st store.Feed, changes int) *feed {
	f := newFeed(st, time.Now, slog.New(slog.DiscardHandler))
	f.every = time.Millisecond
	one := toShare(&store.FeedChange{})
	f.size = changes * (one.size() + 20)
	return f
}

// Whatever the speeds of listeners, the cuts in between and the failures of the store, each of them
// gets each change once, in order.
func TestListenersGetEachChangeOnce(t *testing.T) {
	t.Parallel()
	for range 20 {
		st := &memoryFeed{flaky: true}
		f := quickFeed(st, 1+rand.IntN(30))
		total := 200 + rand.IntN(300)
		var group sync.WaitGroup
		for range 12 {
			patient := rand.IntN(3) > 0 // else it often leaves and comes back
			group.Go(func() {
				at := store.FeedPosition{}
				for last := int64(0); last < int64(total); {
					l := f.listen(at)
					for last < int64(total) && (patient || rand.IntN(20) > 0) {
						got, err := l.next(t.Context(), 1+rand.IntN(40), 1+rand.IntN(4000))
						if err != nil {
							continue
						}
						for _, c := range got.changes {
							if last++; c.position.Seq != last ||
								!strings.Contains(string(c.json), fmt.Sprintf("the %d.", last)) {
								t.Errorf("got %s as number %d", c.json, last)
								last = int64(total)
							}
						}
						if len(got.changes) == 0 && !got.more {
							wait(got)
						}
					}
					at = l.at
					l.close()
				}
			})
		}
		for range total {
			st.add(store.Created)
			if rand.IntN(30) == 0 {
				time.Sleep(time.Millisecond) // so that the poll finds several ends
			}
		}
		group.Wait()
		if f.current() != nil {
			t.Error("the store is asked although nobody listens")
		}
	}
}

// wait waits for what a listener waits for.
func wait(got found) {
	var again <-chan time.Time
	if got.again > 0 {
		again = time.After(got.again)
	}
	select {
	case <-got.changed:
	case <-again:
	}
}

// Listeners at the end of the feed share what one question brings.
func TestListenersShareThePoll(t *testing.T) {
	t.Parallel()
	st := new(memoryFeed)
	f := quickFeed(st, 1000)
	f.every = time.Hour
	first := f.listen(store.FeedPosition{Part: store.FeedOrder})
	defer first.close()
	ended := func() bool {
		p := f.current()
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.start.Part == store.FeedOrder
	}
	authtest.Eventually(t, "the poll has begun", ended)
	st.add(store.Created, store.Updated)
	p := f.current()
	page, err := st.Changes(t.Context(), p.start, pollLimit)
	authtest.Must(t, err)
	p.add(page, time.Now())
	st.mu.Lock()
	before := st.reads
	st.mu.Unlock()
	for range 100 {
		l := f.listen(store.FeedPosition{Part: store.FeedOrder})
		got, err := l.next(t.Context(), 10, 1<<20)
		if err != nil || len(got.changes) != 2 || got.more || l.at.Seq != 2 {
			t.Fatalf("got %+v, %v", got, err)
		}
		if got, err = l.next(t.Context(), 10, 1<<20); err != nil || len(got.changes) != 0 {
			t.Fatalf("then got %+v, %v", got, err)
		}
		l.close()
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.reads != before {
		t.Errorf("the store was asked %d times", st.reads-before)
	}
}

// What was erased is forgotten.
func TestAnErasureEmptiesTheRing(t *testing.T) {
	t.Parallel()
	st := new(memoryFeed)
	f := quickFeed(st, 1000)
	p := &poll{feed: f, changed: make(chan struct{})}
	p.restart(store.FeedPosition{Part: store.FeedOrder}, time.Now())
	next := func(actions ...store.Action) {
		t.Helper()
		st.add(actions...)
		page, err := st.Changes(t.Context(), p.end(), pollLimit)
		authtest.Must(t, err)
		p.add(page, time.Now())
	}
	want := func(first, n int) {
		t.Helper()
		bytes := 0
		for i := range p.ring {
			bytes += p.ring[i].size()
		}
		if len(p.ring) != n || p.ring[0].position.Seq != int64(first) || p.bytes != bytes ||
			p.start.Seq != int64(first-1) {
			t.Fatalf("the ring has %d changes of %d bytes after %+v: %+v", len(p.ring), p.bytes,
				p.start, p.ring)
		}
	}
	next(store.Created, store.Created)
	want(1, 2)
	next(store.Updated, store.Erased, store.Created)
	want(4, 2)
	next(store.Erased)
	want(6, 1)
	next(store.Created)
	want(6, 2)
}

// An erasure of a user is in no feed, so the ring forgets by itself what has their name. Listeners
// that are behind read it from the store again.
func TestTheRingForgetsWithTime(t *testing.T) {
	t.Parallel()
	c := authtest.StoppedAt(time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC))
	st := new(memoryFeed)
	f := quickFeed(st, 1000)
	f.now = c.Now
	start := store.FeedPosition{Part: store.FeedOrder}
	p := &poll{feed: f, changed: make(chan struct{})}
	p.restart(start, c.Now())
	ask := func(wantRing ...int64) {
		t.Helper()
		for {
			more, err := p.ask(t.Context())
			authtest.Must(t, err)
			if !more {
				break
			}
		}
		var got []int64
		for i := range p.ring {
			got = append(got, p.ring[i].position.Seq)
		}
		if !slices.Equal(got, wantRing) {
			t.Fatalf("the ring has %d, want %d", got, wantRing)
		}
	}
	// The listener is behind from the beginning.
	l := &listener{feed: f, poll: p, at: start, fit: pollLimit, turn: turnWait}
	st.add(store.Created, store.Created)
	ask(1, 2)
	c.Advance(ringAge / 2)
	st.add(store.Updated)
	ask(1, 2, 3)
	c.Advance(ringAge / 2)
	ask(1, 2, 3)
	c.Advance(time.Millisecond)
	ask(3) // also without a new change
	st.mu.Lock()
	for i := range st.changes {
		st.changes[i].Record.Name = "erased"
	}
	st.mu.Unlock()
	got, err := l.next(t.Context(), 10, 1<<20)
	authtest.Must(t, err)
	if len(got.changes) != 3 || !strings.Contains(string(got.changes[0].json), "erased") {
		t.Errorf("the listener got %+v", got.changes)
	}
	c.Advance(ringAge)
	ask()
	if p.bytes != 0 || p.end().Seq != 3 {
		t.Errorf("the empty ring has %d bytes and ends at %+v", p.bytes, p.end())
	}
	st.add(store.Created)
	ask(4)
}

func TestTheRingIsBounded(t *testing.T) {
	t.Parallel()
	st := new(memoryFeed)
	f := quickFeed(st, 10)
	p := &poll{feed: f, changed: make(chan struct{})}
	p.restart(store.FeedPosition{Part: store.FeedOrder}, time.Now())
	for n := range 300 {
		for range n % 30 {
			st.add(store.Created)
		}
		page, err := st.Changes(t.Context(), p.end(), pollLimit)
		authtest.Must(t, err)
		p.add(page, time.Now())
		if p.bytes > f.size || p.end() != page.Next {
			t.Fatalf("%d bytes of %d up to %+v", p.bytes, f.size, p.end())
		}
	}
}

func TestLag(t *testing.T) {
	t.Parallel()
	c := authtest.StoppedAt(time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC))
	st := new(memoryFeed)
	f := quickFeed(st, 10)
	f.now, f.every = c.Now, pollEvery
	if lag := f.lag(); lag != 0 {
		t.Errorf("nobody listens, and the lag is %s", lag)
	}
	p := &poll{feed: f, changed: make(chan struct{}), answered: c.Now()}
	f.poll = p
	c.Advance(2 * pollEvery)
	if lag := f.lag(); lag != 0 {
		t.Errorf("between two answers the lag is %s", lag)
	}
	c.Advance(time.Minute)
	if lag := f.lag(); lag != time.Minute {
		t.Errorf("in an outage the lag is %s", lag)
	}
	p.add(store.FeedPage{HeldSince: c.Now().Add(-time.Hour)}, c.Now())
	if lag := f.lag(); lag != time.Hour {
		t.Errorf("while a writer is at work the lag is %s", lag)
	}
	p.add(store.FeedPage{}, c.Now())
	if lag := f.lag(); lag != 0 {
		t.Errorf("in the end the lag is %s", lag)
	}
}

// heldFeed does not say where it ends before it may.
type heldFeed struct {
	store.Feed
	asked  int
	answer chan struct{}
}

func (h *heldFeed) FeedEnd(ctx context.Context) (store.FeedPosition, error) {
	h.asked++
	<-h.answer
	return h.Feed.FeedEnd(ctx)
}

// A crowd that begins at the end costs the store one question. Who hangs up keeps nobody from the
// answer, not even if the question was theirs.
func TestACrowdSharesTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := new(memoryFeed)
		memory.add(store.Created)
		held := &heldFeed{Feed: memory, answer: make(chan struct{})}
		f := newFeed(held, time.Now, slog.New(slog.DiscardHandler))
		ctx, hangUp := context.WithCancel(t.Context())
		first := make(chan error)
		go func() {
			_, err := f.end(ctx)
			first <- err
		}()
		synctest.Wait()
		var crowd sync.WaitGroup
		for range 1000 {
			crowd.Go(func() {
				if end, err := f.end(t.Context()); err != nil || end.Seq != 1 {
					t.Errorf("got %+v, %v", end, err)
				}
			})
		}
		synctest.Wait()
		hangUp()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the first got %v", err)
		}
		close(held.answer)
		crowd.Wait()
		if held.asked != 1 {
			t.Errorf("the store was asked %d times", held.asked)
		}
	})
}

// Of long changes only few are sent at once. The others must not be read again each time.
func TestLongChangesAreReadOnce(t *testing.T) {
	t.Parallel()
	const total = 200
	memory := new(memoryFeed)
	for range total {
		memory.add(store.Created)
	}
	for i := range memory.changes {
		memory.changes[i].Record.Notes = strings.Repeat("x", batchSize/3)
	}
	f := newFeed(memory, time.Now, slog.New(slog.DiscardHandler))
	l := listener{feed: f, poll: &poll{feed: f}, fit: pollLimit, turn: turnWait}
	for read := 0; read < total; {
		got, err := l.next(t.Context(), batchLimit, batchSize)
		if err != nil || len(got.changes) == 0 {
			t.Fatalf("after %d changes got %+v, %v", read, got, err)
		}
		read += len(got.changes)
	}
	if memory.given > batchLimit+3*total {
		t.Errorf("%d changes were read for %d", memory.given, total)
	}
}

// Who is behind while others read the store waits for its turn, but not for long.
func TestAListenerGivesUpItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := new(memoryFeed)
		st.add(store.Created)
		f := quickFeed(st, 1)
		authtest.Must(t, f.reading.Acquire(t.Context(), maxReading))
		l := f.listen(store.FeedPosition{})
		defer l.close()
		for _, turn := range []time.Duration{turnWait, time.Second} {
			l.turn = turn
			began := time.Now()
			got, err := l.next(t.Context(), 10, 1<<20)
			if err != nil || len(got.changes) > 0 || !got.more || time.Since(began) != turn {
				t.Errorf("after %v it got %+v, %v", time.Since(began), got, err)
			}
		}
		f.reading.Release(maxReading)
		got, err := l.next(t.Context(), 10, 1<<20)
		if err != nil || len(got.changes) != 1 || got.more {
			t.Errorf("in its turn it got %+v, %v", got, err)
		}
	})
}
