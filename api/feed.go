package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"clientes/api/wire"
	"clientes/auth"
	"clientes/store"
)

const (
	// pollEvery is how often changes are read from the store while somebody listens. All listeners
	// of a process share them.
	pollEvery = 200 * time.Millisecond

	// pollLimit is how many changes one answer has at most.
	pollLimit = 1000

	// ringSize is how many bytes of changes are kept for listeners. One that falls further behind
	// reads them from the store again.
	ringSize = 4 << 20

	// ringAge is how long a change is kept there. An erasure of a user changes the names in the
	// history, and says so to nobody.
	ringAge = 10 * time.Second

	// maxReading is how many listeners at once read from the store what is in no ring any more.
	// After a restart all of them may be behind, and others need the store too.
	maxReading = 4

	// turnWait is how long a listener waits for the others at a time, unless it has less time. Its
	// client must not take it for dead.
	turnWait = 5 * time.Second
)

// feed shares the changes that the store reports among all listeners of a process. It asks the
// store only while somebody listens.
type feed struct {
	store   store.Feed
	now     func() time.Time
	log     *slog.Logger
	every   time.Duration // pollEvery
	size    int           // ringSize
	reading *semaphore.Weighted
	ends    singleflight.Group

	mu        sync.Mutex
	listeners int
	poll      *poll // nil if nobody listens
	stop      context.CancelFunc
}

func newFeed(st store.Feed, now func() time.Time, log *slog.Logger) *feed {
	return &feed{
		store: st, now: now, log: log, every: pollEvery, size: ringSize,
		reading: semaphore.NewWeighted(maxReading),
	}
}

// end returns the position after the last change. Those who ask while another one waits for the
// answer share it: when a server has restarted, a thousand streams may begin at once. It may then
// be a moment older than the question, which loses nothing.
func (f *feed) end(ctx context.Context) (store.FeedPosition, error) {
	answer := f.ends.DoChan("", func() (any, error) {
		return f.store.FeedEnd(context.WithoutCancel(ctx)) // for the others too
	})
	select {
	case <-ctx.Done():
		return store.FeedPosition{}, context.Cause(ctx)
	case a := <-answer:
		end, _ := a.Val.(store.FeedPosition)
		return end, a.Err
	}
}

// sharedChange is a change as all listeners send it. Nobody changes it.
type sharedChange struct {
	read     time.Time
	position store.FeedPosition
	cursor   string
	json     []byte
}

func toShare(c *store.FeedChange) sharedChange {
	return sharedChange{
		position: c.Position, cursor: wire.Cursor(c.Position), json: wire.AppendFeedChange(nil, c),
	}
}

// size is about how many bytes the change takes.
func (c *sharedChange) size() int { return 128 + len(c.json) }

// listen returns a listener after a position. Its close must be called.
func (f *feed) listen(after store.FeedPosition) *listener {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listeners++; f.listeners == 1 {
		p := &poll{feed: f, changed: make(chan struct{}), answered: f.now()}
		ctx, stop := context.WithCancel(store.WithRank(context.Background(), store.Insisting))
		f.poll, f.stop = p, stop
		go p.run(ctx)
	}
	return &listener{feed: f, poll: f.poll, at: after, fit: pollLimit, turn: turnWait}
}

// leave ends the poll after the last listener.
func (f *feed) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listeners--; f.listeners == 0 {
		f.stop()
		f.poll, f.stop = nil, nil
	}
}

// current returns the poll under way, nil if nobody listens.
func (f *feed) current() *poll {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.poll
}

// lag returns how old the oldest change is that is kept and that listeners have not got, as far as
// is known. It waits for the writer of an earlier one, or the store does not answer. A change of an
// import is as old as the import.
func (f *feed) lag() time.Duration {
	p := f.current()
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	lag := f.now().Sub(p.answered) - 2*f.every // the time between two answers, and that of one
	if !p.heldSince.IsZero() {
		lag = max(lag, f.now().Sub(p.heldSince))
	}
	return max(0, lag)
}

// poll asks the store for changes, again and again, from the end that the feed has at first.
type poll struct {
	feed *feed

	started bool // only run and what it calls use it

	mu sync.Mutex
	// start is the position before the first change of the ring, or the end of the feed if the
	// ring is empty.
	start   store.FeedPosition
	ring    []sharedChange
	bytes   int           // of the ring
	changed chan struct{} // closed and replaced when a listener may find something new

	heldSince time.Time // as in [store.FeedPage]
	answered  time.Time // when the store last answered
}

// run asks the store until ctx ends.
func (p *poll) run(ctx context.Context) {
	tick := time.NewTicker(p.feed.every)
	defer tick.Stop()
	out := auth.Outage{
		Log: p.feed.log, Level: slog.LevelWarn,
		Fails: "cannot read the changes; whoever follows them waits",
		Well:  "reading the changes again",
	}
	for {
		more, err := p.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		out.Note(p.feed.now(), err)
		if more {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// ask asks the store once. It reports whether there is more at once.
func (p *poll) ask(ctx context.Context) (more bool, err error) {
	asked := p.feed.now()
	if !p.started { // nobody else writes it
		end, err := p.feed.store.FeedEnd(ctx)
		if err != nil {
			return false, fmt.Errorf("read the end of the feed: %w", err)
		}
		p.restart(end, asked)
		return true, nil
	}
	page, err := p.feed.store.Changes(ctx, p.end(), pollLimit)
	switch {
	case errors.Is(err, store.ErrUnknownPosition):
		// Another database has taken the place of this one. The listeners learn it on their own.
		p.started = false
		return false, fmt.Errorf("read the changes: %w", err)
	case err != nil:
		return false, fmt.Errorf("read the changes: %w", err)
	}
	p.add(page, asked)
	return page.More, nil
}

// end returns the position after the ring.
func (p *poll) end() store.FeedPosition {
	if len(p.ring) == 0 {
		return p.start
	}
	return p.ring[len(p.ring)-1].position
}

// restart makes the ring an empty one at a position.
func (p *poll) restart(at store.FeedPosition, asked time.Time) {
	p.started = true
	p.mu.Lock()
	defer p.mu.Unlock()
	p.start, p.ring, p.bytes, p.answered = at, nil, 0, asked
	p.wake()
}

// add adds the changes of an answer to the ring.
func (p *poll) add(page store.FeedPage, asked time.Time) {
	found := make([]sharedChange, len(page.Changes))
	erased := -1 // the last erasure of the page
	for i := range page.Changes {
		found[i] = toShare(&page.Changes[i])
		found[i].read = asked
		if page.Changes[i].Action == store.Erased {
			erased = i
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heldSince, p.answered = page.HeldSince, asked
	before := len(p.ring)
	for i := range found {
		p.bytes += found[i].size()
	}
	p.ring = append(p.ring, found...)
	drop := 0
	if erased >= 0 { // the text that was erased must not be sent any more
		drop = before + erased
	}
	kept := p.bytes
	for i := range p.ring {
		old := asked.Sub(p.ring[i].read) > ringAge
		if i >= drop && kept <= p.feed.size && !old {
			break
		}
		kept -= p.ring[i].size()
		drop = max(drop, i+1)
	}
	p.drop(drop)
	if len(found) > 0 {
		p.wake()
	}
}

// drop removes the first n changes from the ring.
func (p *poll) drop(n int) {
	if n == 0 {
		return
	}
	for i := range n {
		p.bytes -= p.ring[i].size()
	}
	p.start = p.ring[n-1].position
	clear(p.ring[:n]) // listeners have copies
	p.ring = p.ring[n:]
}

func (p *poll) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// after returns where in the ring the changes after a position begin. It returns false if the ring
// does not have the position.
func (p *poll) after(at store.FeedPosition) (int, bool) {
	same := func(q store.FeedPosition) bool {
		return q.Part == store.FeedOrder && q.Seq == at.Seq && q.At.Equal(at.At)
	}
	switch {
	case at.Part != store.FeedOrder:
		return 0, false
	case same(p.start):
		return 0, true
	}
	i := sort.Search(len(p.ring), func(i int) bool { return p.ring[i].position.Seq >= at.Seq })
	if i == len(p.ring) || !same(p.ring[i].position) {
		return 0, false
	}
	return i + 1, true
}

// listener follows the feed from a position. Only one goroutine may use it.
type listener struct {
	feed *feed
	poll *poll
	at   store.FeedPosition

	// fit is how many changes to read from the store at once. Of long ones only a few fit into what
	// is sent at once, and the others would be read again.
	fit int

	turn time.Duration // how long it waits for the others at a time
}

func (l *listener) close() { l.feed.leave() }

// found is what a listener gets.
type found struct {
	changes []sharedChange
	more    bool            // there are more already, or may be
	changed <-chan struct{} // closed when there may be more
	again   time.Duration   // after which there may be more anyway; 0: never
}

// next returns the changes after the listener's position, and moves it behind them. They are as
// many as limit and as many bytes as most allow, but at least one. It does not wait for any, but
// perhaps for its turn to read the store.
func (l *listener) next(ctx context.Context, limit, most int) (found, error) {
	p := l.poll
	p.mu.Lock()
	got := found{changed: p.changed}
	i, inRing := p.after(l.at)
	if inRing {
		rest := p.ring[i:]
		n := within(rest, limit, most)
		got.changes, got.more = slices.Clone(rest[:n]), n < len(rest)
	}
	p.mu.Unlock()
	if inRing {
		if n := len(got.changes); n > 0 {
			l.at = got.changes[n-1].position
		}
		return got, nil
	}
	if !l.feed.reading.TryAcquire(1) {
		turn, cancel := context.WithTimeout(ctx, l.turn)
		defer cancel()
		if l.feed.reading.Acquire(turn, 1) != nil {
			return found{more: true}, context.Cause(ctx) // no cause if it was only the turn
		}
	}
	defer l.feed.reading.Release(1)
	limit = min(limit, l.fit)
	var err error
	got.changes, l.at, got.more, err = l.feed.read(ctx, l.at, limit, most)
	if err != nil {
		return found{}, err
	}
	// A page that has not come to its limit was cut behind its last change. One of records that
	// are gone has come further.
	l.fit = 2 * limit
	if n := len(got.changes); got.more && 0 < n && n < limit && l.at == got.changes[n-1].position {
		l.fit = max(2, 2*n)
	}
	// The poll may have come to another end, and say nothing before it goes on.
	got.again = l.feed.every
	return got, nil
}

// read reads changes from the store.
func (f *feed) read(ctx context.Context, after store.FeedPosition, limit, most int) (
	changes []sharedChange, next store.FeedPosition, more bool, err error) {
	page, err := f.store.Changes(ctx, after, limit)
	if err != nil {
		return nil, after, false, err
	}
	for i := range page.Changes {
		c := &page.Changes[i]
		if most -= c.Record.Size(); most < 0 && i > 0 {
			return changes, changes[i-1].position, true, nil
		}
		changes = append(changes, toShare(c))
	}
	return changes, page.Next, page.More, nil
}

// within returns how many of the first changes are within a number and a number of bytes, at least
// one.
func within(changes []sharedChange, limit, most int) int {
	for i := range changes {
		if most -= changes[i].size(); i == limit || most < 0 && i > 0 {
			return i
		}
	}
	return len(changes)
}
