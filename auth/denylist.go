package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"clientes/auth/token"
	"clientes/store"
)

const (
	// askEvery is how often the store is asked which sessions ended. An end elsewhere is honoured
	// here after at most this and the time of one answer.
	askEvery = 200 * time.Millisecond

	// trustFor is how long an answer is enough to know that a session lives. It is below one
	// second, because ends elsewhere must be honoured within a second.
	trustFor = 900 * time.Millisecond

	// askTimeout bounds one question, so that a connection that swallows it does not delay the
	// next. An answer that took longer than trustFor is still good for those who waited for it. The
	// first question on a new connection takes two trips, of which each may take 1.5 s.
	askTimeout = 3500 * time.Millisecond

	// askAgain is how many of the sessions that live each question names once more. It finds those
	// whose rows were removed by hand, which ends nothing that the store could report.
	askAgain = 100

	// forgetEvery is how often sessions that no living token can name are dropped from memory.
	forgetEvery = time.Minute
)

// endStore is what the deny list needs of a store. [store.Sessions] documents its method.
type endStore interface {
	SessionEnds(ctx context.Context, since store.Watermark, ids []string) (store.Ends, error)
}

// denyList remembers sessions of which tokens came or were granted here, and whether they have
// ended. It accepts no token of a session that it does not remember: it asks the store first, which
// must know the session. So neither a wrong clock nor a database that was restored or replaced
// brings a token back.
//
// While run asks the store again and again which sessions ended, the memory alone decides about
// sessions in it. Everybody else who wants to know waits for the next of these questions, which
// names their sessions too. So many who wait at once share one question.
type denyList struct {
	store endStore
	now   func() time.Time
	log   *slog.Logger
	known sessionSet
	asOf  atomic.Pointer[time.Time] // when the last answered question was asked, nil if unknown
	since atomic.Pointer[time.Time] // the same, but once known it stays known: see age
	wake  chan struct{}             // has an element if somebody waits for next

	watchMu sync.Mutex
	watched map[*watched]struct{}

	mu       sync.Mutex
	next     *question // nil if run does not run
	underway *question // nil if none is
	fault    error     // why run cannot learn of ends, nil if it can
}

// question is one question to the store, and its answer once done is closed.
type question struct {
	ids  []string
	done chan struct{}
	ends store.Ends
	err  error
}

// watched is a session whose end cancels a context.
type watched struct {
	id     token.SessionID
	cancel context.CancelCauseFunc
}

var errNobodyAsks = fmt.Errorf("%w: nobody asks which sessions ended", store.ErrUnavailable)

func newDenyList(s endStore, now func() time.Time, log *slog.Logger) *denyList {
	d := &denyList{
		store: s, now: now, log: log, wake: make(chan struct{}, 1), fault: errNobodyAsks,
		watched: make(map[*watched]struct{}),
	}
	begun := now()
	d.since.Store(&begun)
	return d
}

// check returns nil if the session lives, ErrTokenRevoked if it has ended or the store does not
// know it, and store.ErrUnavailable if neither can be known. Both id and name name the session.
func (d *denyList) check(ctx context.Context, id token.SessionID, name string) error {
	if err, sure := d.recall(id); sure {
		return err
	}
	next, underway := d.join(name)
	if next == nil {
		ends, err := d.answer(ctx, "", []string{name})
		return verdict(ends, unavailable(err), name)
	}
	if underway != nil {
		// It began before, but may be recent enough to decide.
		select {
		case <-underway.done:
			if err, sure := d.recall(id); sure {
				return err
			}
		case <-ctx.Done():
		}
	}
	select {
	case <-next.done:
		return verdict(next.ends, next.err, name)
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
}

// checkName is check for a session of which only the name is at hand.
func (d *denyList) checkName(ctx context.Context, name string) error {
	id, ok := token.ParseSessionID(name)
	if !ok {
		return ErrTokenInvalid
	}
	return d.check(ctx, id, name)
}

// checkCaller is checkName for the session of the request of ctx. It returns nil if there is none.
func (d *denyList) checkCaller(ctx context.Context) error {
	if name := originOf(ctx).Session; name != "" {
		return d.checkName(ctx, name)
	}
	return nil
}

// recall returns what the memory says of a session, and whether that is sure.
func (d *denyList) recall(id token.SessionID) (err error, sure bool) {
	// Ask whether the memory is current before looking into it: an answer that arrives between the
	// two can only make it newer.
	current := d.current()
	switch d.known.state(id) {
	case ended:
		return ErrTokenRevoked, true
	case living:
		return nil, current
	}
	return nil, false
}

// verdict returns what an answer of the store means for a session.
func verdict(ends store.Ends, err error, name string) error {
	if err != nil {
		return err
	}
	if s, known := ends.Asked[name]; !known || s.Ended {
		return ErrTokenRevoked
	}
	return nil
}

// unavailable adds store.ErrUnavailable to an error: whatever the reason, nothing is known.
func unavailable(err error) error {
	if err == nil || errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// current reports whether the memory has every session in it that ended more than trustFor ago.
// Both clocks count: the monotonic one stands still while a machine sleeps, and the other may be
// set.
func (d *denyList) current() bool {
	asOf := d.asOf.Load()
	if asOf == nil {
		return false
	}
	now := d.now()
	age := now.Sub(*asOf)
	return age >= 0 && age <= trustFor && now.Round(0).Sub(asOf.Round(0)) <= trustFor
}

// age returns since when ends elsewhere may have been missed. Before the first answer that is since
// the start. It grows while the store does not answer. As in current, both clocks count.
func (d *denyList) age() time.Duration {
	since, now := d.since.Load(), d.now()
	return max(0, now.Sub(*since), now.Round(0).Sub(since.Round(0)))
}

func (d *denyList) endsKnown() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fault
}

// addAll adds sessions that have ended.
func (d *denyList) addAll(ended []store.Ended) {
	for _, s := range ended {
		if id, ok := token.ParseSessionID(s.ID); ok {
			d.end(id, s.TokenExp)
		}
	}
}

// end adds a session that has ended, and cancels the contexts of those who watch it.
func (d *denyList) end(id token.SessionID, tokenExp time.Time) {
	d.known.end(id, tokenExp.Add(token.Leeway))
	d.cancelWatched(id)
}

func (d *denyList) cancelWatched(id token.SessionID) {
	d.watchMu.Lock()
	defer d.watchMu.Unlock()
	for w := range d.watched { // a few: imports and exports that are under way
		if w.id == id {
			w.cancel(ErrTokenRevoked)
		}
	}
}

// watch returns a context that is cancelled with the cause ErrTokenRevoked once it is known that
// the session has ended. The caller must call stop.
func (d *denyList) watch(
	ctx context.Context, id token.SessionID,
) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watched{id, cancel}
	d.watchMu.Lock()
	d.watched[w] = struct{}{}
	d.watchMu.Unlock()
	if d.known.state(id) == ended { // before it was watched
		cancel(ErrTokenRevoked)
	}
	return ctx, func() {
		d.watchMu.Lock()
		delete(d.watched, w)
		d.watchMu.Unlock()
		cancel(nil)
	}
}

// addLiving adds a session that the store has just opened or refreshed, if the era lasts that was
// before the call.
func (d *denyList) addLiving(era uint64, s store.Session) {
	if id, ok := token.ParseSessionID(s.ID); ok {
		d.known.live(id, s.TokenExp.Add(token.Leeway), era)
	}
}

// join adds a session to the next question. It also returns the one under way. If nobody will ask
// the next one, it returns nil.
func (d *denyList) join(name string) (next, underway *question) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.next == nil {
		return nil, nil
	}
	d.next.ids = append(d.next.ids, name)
	select {
	case d.wake <- struct{}{}:
	default: // run knows already
	}
	return d.next, d.underway
}

// run asks the store again and again which sessions ended, until ctx ends.
func (d *denyList) run(ctx context.Context) {
	d.mu.Lock()
	d.next = newQuestion()
	d.mu.Unlock()
	defer d.stop()
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	var since store.Watermark
	out := Outage{
		Log: d.log, Level: slog.LevelError,
		Fails: "cannot learn which sessions ended; no token is accepted until the store answers",
		Well:  "learning again which sessions ended",
	}
	forgotten := d.now()
	for {
		q := d.begin()
		next, err := d.ask(ctx, since, q)
		if ctx.Err() != nil {
			return
		}
		out.Note(d.now(), err)
		since = next
		if now := d.now(); now.Sub(forgotten).Abs() >= forgetEvery {
			d.known.forget(now)
			forgotten = now
		}
		wake := d.wake
		if err != nil {
			wake = nil // who waits would make it ask in vain without a pause
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-tick.C:
		}
	}
}

func newQuestion() *question { return &question{done: make(chan struct{})} }

// begin takes the next question, which is under way from then on.
func (d *denyList) begin() *question {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.underway, d.next = d.next, newQuestion()
	select {
	case <-d.wake:
	default:
	}
	q := d.underway
	q.ids = append(q.ids, d.known.someLiving(askAgain)...)
	slices.Sort(q.ids)
	q.ids = slices.Compact(q.ids)
	return q
}

// stop ends the wait of those for whom nobody will ask any more.
func (d *denyList) stop() {
	d.unlearn()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next.err = errNobodyAsks
	close(d.next.done)
	d.next, d.fault = nil, errNobodyAsks
}

// ask asks a question with the ends since the watermark, and lets those who wait know the answer.
// It returns the next watermark: none after an error.
func (d *denyList) ask(
	ctx context.Context, since store.Watermark, q *question,
) (store.Watermark, error) {
	asked := d.now()
	ends, err := d.answer(ctx, since, q.ids)
	if err == nil {
		d.learn(since, q.ids, ends)
		d.asOf.Store(&asked)
		d.since.Store(&asked)
	} else {
		d.unlearn()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.underway, d.fault = nil, unavailable(err)
	if ctx.Err() != nil {
		d.fault = errNobodyAsks
	}
	q.ends, q.err = ends, d.fault
	close(q.done)
	return ends.Next, err
}

// answer returns the store's answer, if it comes in time. A store that does not even return when
// ctx ends delays nobody for longer.
func (d *denyList) answer(
	ctx context.Context, since store.Watermark, ids []string,
) (store.Ends, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	type answer struct {
		ends store.Ends
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		ends, err := d.store.SessionEnds(ctx, since, ids)
		answers <- answer{ends, err}
	}()
	timeout := time.NewTimer(askTimeout)
	defer timeout.Stop()
	select {
	case a := <-answers:
		if a.err != nil {
			return store.Ends{}, a.err
		}
		return a.ends, nil
	case <-timeout.C:
		return store.Ends{}, fmt.Errorf("%w: the database has not said in %s which sessions ended; "+
			"look for what keeps it busy, for a lock on the table sessions, and at the network in between",
			store.ErrUnavailable, askTimeout)
	}
}

// learn adds to the memory what the store answered about the ends since the watermark and about the
// sessions in ids.
func (d *denyList) learn(since store.Watermark, ids []string, ends store.Ends) {
	era := d.known.era.Load()
	if since == "" {
		era = d.known.begin()
	}
	d.addAll(ends.Since)
	for _, name := range ids {
		id, _ := token.ParseSessionID(name)
		switch s, known := ends.Asked[name]; {
		case !known:
			d.known.lose(id)
			d.cancelWatched(id)
		case s.Ended:
			d.end(id, s.TokenExp)
		default:
			d.known.live(id, s.TokenExp.Add(token.Leeway), era)
		}
	}
}

// unlearn forgets which sessions live: ends may have been missed, and the next answer may come from
// a database that never knew them. What has ended stays.
func (d *denyList) unlearn() {
	d.asOf.Store(nil)
	d.known.forgetLiving()
}

// sessionSet is a set of sessions, each with its state and the time when it can be forgotten. It is
// split so that adding seldom waits for reading. An entry has 20 bytes of data (BenchmarkDenyList).
//
// Sessions live in an era. While it lasts, no answer of the store is missed and nothing is
// forgotten. A session that lived before it began may have ended unseen.
type sessionSet struct {
	era    atomic.Uint64 // 0 between two of them
	eras   uint64        // how many began
	turn   int           // the shard where someLiving goes on
	shards [64]shard
}

type shard struct {
	mu      sync.RWMutex
	entries map[token.SessionID]entry
	ended   int // of the entries
}

// entry is when a session can be forgotten, in Unix seconds rounded up to an even number. It is one
// more if the session has ended.
type entry uint32

type state int

const (
	unknown state = iota
	living
	ended
)

func newEntry(until time.Time) entry {
	return entry(min(max(until.Unix()+2, 0), math.MaxUint32)) &^ 1
}

func (e entry) until() int64   { return int64(e &^ 1) }
func (e entry) hasEnded() bool { return e&1 == 1 }

func (l *sessionSet) shard(id token.SessionID) *shard { return &l.shards[id[0]%64] }

func (l *sessionSet) state(id token.SessionID) state {
	s := l.shard(id)
	s.mu.RLock()
	e, ok := s.entries[id]
	s.mu.RUnlock()
	switch {
	case !ok:
		return unknown
	case e.hasEnded():
		return ended
	}
	return living
}

// ended returns how many sessions have ended.
func (l *sessionSet) ended() (n int) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.RLock()
		n += s.ended
		s.mu.RUnlock()
	}
	return n
}

// end adds a session that has ended.
func (l *sessionSet) end(id token.SessionID, until time.Time) {
	s := l.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(id, newEntry(until)|1)
}

// live adds a session that lived at some time since its era began, if the era lasts. It changes
// nothing about one that has ended.
func (l *sessionSet) live(id token.SessionID, until time.Time, era uint64) {
	s := l.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if era != 0 && era == l.era.Load() {
		s.put(id, newEntry(until))
	}
}

// put adds an entry. If there is one, the later time counts, and an end stays.
func (s *shard) put(id token.SessionID, e entry) {
	if s.entries == nil {
		s.entries = make(map[token.SessionID]entry)
	}
	old := s.entries[id]
	if e.hasEnded() && !old.hasEnded() {
		s.ended++
	}
	s.entries[id] = max(old&^1, e&^1) | (old|e)&1
}

// lose drops a session that the store does not know. An end of it stays: the store may have lost
// the session, and has it again some day.
func (l *sessionSet) lose(id token.SessionID) {
	s := l.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.entries[id].hasEnded() {
		delete(s.entries, id)
	}
}

// someLiving returns up to n sessions that live, others at each call. It looks at ten times as many
// entries at most, because most may have ended. Only one caller may call it.
func (l *sessionSet) someLiving(n int) (names []string) {
	looks := 10 * n
	for range l.shards {
		s := &l.shards[l.turn]
		l.turn = (l.turn + 1) % len(l.shards)
		s.mu.RLock()
		for id, e := range s.entries {
			if looks == 0 || len(names) == n {
				break
			}
			looks--
			if !e.hasEnded() {
				names = append(names, id.String())
			}
		}
		s.mu.RUnlock()
	}
	return names
}

// begin begins an era.
func (l *sessionSet) begin() uint64 {
	l.eras++
	l.era.Store(l.eras)
	return l.eras
}

// forgetLiving ends the era.
func (l *sessionSet) forgetLiving() {
	if l.era.Swap(0) != 0 { // first, so that none is added after
		l.keep(entry.hasEnded)
	}
}

// forget drops what no living token can name. What others are about to add as living may be dropped
// here as ended, so that they are too late: another era begins.
func (l *sessionSet) forget(now time.Time) {
	if l.era.Load() != 0 {
		l.begin()
	}
	l.keep(func(e entry) bool { return e.until() > now.Unix() })
}

// keep drops the other entries. It builds new maps, because a Go map never returns memory.
func (l *sessionSet) keep(wanted func(entry) bool) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		var kept map[token.SessionID]entry
		dead := 0
		for id, e := range s.entries {
			if wanted(e) {
				if kept == nil {
					kept = make(map[token.SessionID]entry)
				}
				kept[id] = e
				if e.hasEnded() {
					dead++
				}
			}
		}
		s.entries, s.ended = kept, dead
		s.mu.Unlock()
	}
}
