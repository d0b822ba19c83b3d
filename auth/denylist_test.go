package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"clientes/auth/authtest"
	"clientes/auth/token"
	"clientes/store"
)

// fakeEnds is a store of sessions in memory, whose line is slow or broken as a test likes.
type fakeEnds struct {
	mu       sync.Mutex
	sessions map[string]store.SessionState
	ends     []string // in their order
	server   int      // another one answers when it changes
	delay    time.Duration
	fault    error
	hang     chan struct{} // if not nil, questions wait until it is closed, whatever their context
	calls    int
	largest  int // how many sessions one question named
}

func newFakeEnds() *fakeEnds {
	return &fakeEnds{sessions: make(map[string]store.SessionState)}
}

// asked returns how many questions there were, and how many sessions the largest one named.
func (f *fakeEnds) asked() (calls, largest int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls, f.largest
}

func (f *fakeEnds) SessionEnds(
	ctx context.Context, since store.Watermark, ids []string,
) (store.Ends, error) {
	f.mu.Lock()
	f.calls++
	f.largest = max(f.largest, len(ids))
	delay, hang := f.delay, f.hang
	f.mu.Unlock()
	if hang != nil {
		<-hang
	}
	trip := func() error {
		select {
		case <-time.After(delay / 2):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := trip(); err != nil {
		return store.Ends{}, err
	}
	ends, err := f.answer(since, ids)
	if err == nil {
		err = trip()
	}
	return ends, err
}

func (f *fakeEnds) answer(since store.Watermark, ids []string) (ends store.Ends, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault != nil {
		return store.Ends{}, f.fault
	}
	ends.Next = store.Watermark(fmt.Sprintf("%d %d", f.server, len(f.ends)))
	if since != "" {
		var server, from int
		fmt.Sscanf(string(since), "%d %d", &server, &from)
		if server != f.server {
			return store.Ends{}, store.ErrUnavailable
		}
		for _, id := range f.ends[from:] {
			ends.Since = append(ends.Since, store.Ended{ID: id, TokenExp: f.sessions[id].TokenExp})
		}
	}
	ends.Asked = make(map[string]store.SessionState)
	for _, id := range ids {
		if s, ok := f.sessions[id]; ok {
			ends.Asked[id] = s
		}
	}
	return ends, nil
}

// set changes the store while nobody reads it.
func (f *fakeEnds) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// open opens a session.
func (f *fakeEnds) open() string {
	id := token.NewID()
	f.set(func() { f.sessions[id] = store.SessionState{TokenExp: time.Now().Add(5 * time.Minute)} })
	return id
}

// end ends a session, if there is one that lives.
func (f *fakeEnds) end(id string) {
	f.set(func() {
		if s, ok := f.sessions[id]; ok && !s.Ended {
			s.Ended = true
			f.sessions[id] = s
			f.ends = append(f.ends, id)
		}
	})
}

// fakeProcess is the deny list of a process.
type fakeProcess struct {
	*denyList
	clock *authtest.Clock
	stop  func()
}

// follow starts a process that follows the store. It must be stopped.
func (f *fakeEnds) follow() *fakeProcess {
	ctx, cancel := context.WithCancel(context.Background())
	clock := authtest.NewClock()
	p := &fakeProcess{
		denyList: newDenyList(f, clock.Now, slog.New(slog.DiscardHandler)), clock: clock,
	}
	var running sync.WaitGroup
	running.Go(func() { p.run(ctx) })
	p.stop = func() {
		cancel()
		running.Wait()
	}
	synctest.Wait() // until it has begun
	return p
}

// verdict returns what the process says of a session.
func (p *fakeProcess) verdict(name string) error {
	id, _ := token.ParseSessionID(name)
	return p.check(context.Background(), id, name)
}

func (p *fakeProcess) state(name string) state {
	id, _ := token.ParseSessionID(name)
	return p.known.state(id)
}

// wantVerdicts compares what a process says of sessions.
func wantVerdicts(t *testing.T, what string, p *fakeProcess, want map[string]error) {
	t.Helper()
	for name, want := range want {
		if err := p.verdict(name); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
}

func TestASessionIsAskedForOnce(t *testing.T) {
	authtest.InBubble(t, func(t *testing.T) {
		f := newFakeEnds()
		lives, ends := f.open(), f.open()
		f.end(ends)
		p := f.follow()
		defer p.stop()
		synctest.Wait()
		want := map[string]error{
			lives: nil, ends: ErrTokenRevoked, token.NewID(): ErrTokenRevoked,
		}
		for range 3 {
			wantVerdicts(t, "at the start", p, want)
		}
		f.set(func() { f.calls = 0 })
		for range 1000 {
			wantVerdicts(t, "known", p, map[string]error{lives: nil, ends: ErrTokenRevoked})
		}
		if calls, _ := f.asked(); calls > 0 {
			t.Errorf("%d questions about sessions that it knew", calls)
		}
		time.Sleep(10 * time.Second)
		if calls, _ := f.asked(); calls > 51 {
			t.Errorf("%d questions in ten seconds", calls)
		}
	})
}

// TestManyWhoWaitShareAQuestion asks about many sessions that a process does not know.
func TestManyWhoWaitShareAQuestion(t *testing.T) {
	authtest.InBubble(t, func(t *testing.T) {
		f := newFakeEnds()
		p := f.follow()
		defer p.stop()
		time.Sleep(time.Second)
		f.set(func() { f.delay = 50 * time.Millisecond })
		var names []string
		for range 1000 {
			names = append(names, f.open())
		}
		f.set(func() { f.calls = 0 })
		began := time.Now()
		var checks sync.WaitGroup
		for _, name := range append(names, names...) {
			checks.Go(func() {
				if err := p.verdict(name); err != nil {
					t.Error(err)
				}
			})
		}
		checks.Wait()
		calls, largest := f.asked()
		if took := time.Since(began); calls > 3 || took > 150*time.Millisecond {
			t.Errorf("%d questions, %s", calls, took)
		}
		if largest > 1000+askAgain {
			t.Errorf("a question named %d sessions", largest)
		}
	})
}

// TestSlowIsNotDown asks over slow lines. With an answer that takes longer than it can be trusted,
// each check waits for one of its own.
func TestSlowIsNotDown(t *testing.T) {
	for delay, most := range map[time.Duration]time.Duration{
		50 * time.Millisecond:   0,
		500 * time.Millisecond:  100 * time.Millisecond,
		1500 * time.Millisecond: 3 * time.Second,
		1900 * time.Millisecond: 3800 * time.Millisecond,
	} {
		t.Run(delay.String(), func(t *testing.T) {
			authtest.InBubble(t, func(t *testing.T) {
				f := newFakeEnds()
				f.delay = delay
				lives, ends := f.open(), f.open()
				p := f.follow()
				defer p.stop()
				want := map[string]error{lives: nil, ends: nil}
				wantVerdicts(t, "at the start", p, want)
				var longest time.Duration
				for range 100 {
					began := time.Now()
					wantVerdicts(t, "it lives", p, map[string]error{lives: nil})
					longest = max(longest, time.Since(began))
					time.Sleep(33 * time.Millisecond)
				}
				if longest > most {
					t.Errorf("a check took %s, want %s", longest, most)
				}
				if err := p.endsKnown(); err != nil {
					t.Errorf("it says that it cannot decide: %v", err)
				}
				f.end(ends)
				time.Sleep(time.Second)
				wantVerdicts(t, "ended elsewhere", p, map[string]error{
					lives: nil, ends: ErrTokenRevoked,
				})
			})
		})
	}
}

// TestNoAnswerIsNoYes takes away the store in several ways.
func TestNoAnswerIsNoYes(t *testing.T) {
	for what, breaks := range map[string]func(f *fakeEnds){
		"it fails":                   func(f *fakeEnds) { f.fault = errors.New("broken") },
		"it is too slow":             func(f *fakeEnds) { f.delay = time.Hour },
		"it hangs, whatever it told": func(f *fakeEnds) { f.hang = make(chan struct{}) },
	} {
		t.Run(what, func(t *testing.T) {
			authtest.InBubble(t, func(t *testing.T) {
				f := newFakeEnds()
				lives, unseen, ended := f.open(), f.open(), f.open()
				many := make([]string, 5*askAgain) // more than the first question afterwards names
				p := f.follow()
				defer p.stop()
				wantVerdicts(t, "before", p, map[string]error{lives: nil, ended: nil})
				for i := range many {
					many[i] = f.open()
					wantVerdicts(t, "before", p, map[string]error{many[i]: nil})
				}
				f.end(ended)
				time.Sleep(time.Second)
				wantVerdicts(t, "before", p, map[string]error{ended: ErrTokenRevoked})
				if err := p.endsKnown(); err != nil {
					t.Error(err)
				}

				f.set(func() { breaks(f); f.calls = 0 })
				time.Sleep(time.Second + trustFor)
				began := time.Now()
				for range 10 {
					var checks sync.WaitGroup
					for range 10 {
						for name, want := range map[string]error{
							lives: store.ErrUnavailable, unseen: store.ErrUnavailable,
							ended: ErrTokenRevoked,
						} {
							checks.Go(func() { wantError(t, what, p.verdict(name), want) })
						}
					}
					checks.Wait()
				}
				took := time.Since(began)
				if took > 10*2*(askTimeout+askEvery) {
					t.Errorf("ten checks took %s", took)
				}
				calls, _ := f.asked()
				if most := int((took+2*time.Second)/askEvery) + 1; calls > most {
					t.Errorf("%d questions, want %d", calls, most)
				}
				wantError(t, "what it says of itself", p.endsKnown(), store.ErrUnavailable)

				// It recovers by itself, and an end meanwhile was not missed.
				f.end(lives)
				for _, name := range many {
					f.end(name)
				}
				f.set(func() {
					if f.hang != nil {
						close(f.hang)
					}
					f.fault, f.delay, f.hang = nil, 0, nil
				})
				time.Sleep(askTimeout + 2*askEvery)
				f.set(func() { f.calls = 0 })
				wantVerdicts(t, "after", p, map[string]error{
					lives: ErrTokenRevoked, unseen: nil, ended: ErrTokenRevoked,
				})
				for _, name := range many {
					wantVerdicts(t, "after", p, map[string]error{name: ErrTokenRevoked})
				}
				if err := p.endsKnown(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestAWaitEndsWithItsContext asks a store that hangs.
func TestAWaitEndsWithItsContext(t *testing.T) {
	authtest.InBubble(t, func(t *testing.T) {
		f := newFakeEnds()
		f.hang = make(chan struct{})
		name := f.open()
		p := f.follow()
		id, _ := token.ParseSessionID(name)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		began := time.Now()
		wantError(t, "it", p.check(ctx, id, name), store.ErrUnavailable)
		if took := time.Since(began); took != 10*time.Millisecond {
			t.Errorf("it took %s", took)
		}
		waits := make(chan error)
		go func() { waits <- p.verdict(name) }()
		synctest.Wait()
		close(f.hang) // for run, which would wait for two seconds more
		go p.stop()
		if err := <-waits; err != nil && !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("when nobody asks any more: %v", err)
		}
	})
}

// TestWithoutRunEachCheckAsks uses a deny list as a command does.
func TestWithoutRunEachCheckAsks(t *testing.T) {
	authtest.InBubble(t, func(t *testing.T) {
		f := newFakeEnds()
		lives, ended := f.open(), f.open()
		f.end(ended)
		p := f.follow()
		p.stop()
		fresh := newDenyList(f, time.Now, slog.New(slog.DiscardHandler))
		for _, p := range []*fakeProcess{p, {denyList: fresh}} {
			for range 2 {
				f.set(func() { f.calls = 0 })
				wantVerdicts(t, "it", p, map[string]error{lives: nil, ended: ErrTokenRevoked})
				if calls, _ := f.asked(); calls != 2 {
					t.Errorf("%d questions", calls)
				}
			}
			p.addAll([]store.Ended{{ID: lives, TokenExp: time.Now()}})
			wantVerdicts(t, "ended here", p, map[string]error{lives: ErrTokenRevoked})
			wantError(t, "what it says of itself", p.endsKnown(), store.ErrUnavailable)
		}
		f.set(func() { f.fault = errors.New("broken") })
		wantError(t, "no answer", p.verdict(token.NewID()), store.ErrUnavailable)
	})
}

// TestWhatTheDatabaseLost loses sessions and ends.
func TestWhatTheDatabaseLost(t *testing.T) {
	authtest.InBubble(t, func(t *testing.T) {
		f := newFakeEnds()
		p := f.follow()
		defer p.stop()
		time.Sleep(time.Second)
		kept, removed, lost, late, ended := f.open(), f.open(), f.open(), f.open(), f.open()
		era := p.known.era.Load()
		for _, name := range []string{kept, removed, lost, ended} {
			p.addLiving(era, store.Session{ID: name, TokenExp: time.Now().Add(time.Minute)})
			wantVerdicts(t, "before", p, map[string]error{name: nil})
		}
		if calls, _ := f.asked(); calls > 6 {
			t.Errorf("it asked %d times about what it had opened", calls)
		}

		// A row is removed by hand.
		f.set(func() { delete(f.sessions, removed) })
		time.Sleep(time.Second)
		wantVerdicts(t, "removed", p, map[string]error{kept: nil, removed: ErrTokenRevoked})

		// Another server takes over that never got the last writes, and no question fails but the
		// one with the old watermark.
		f.end(ended)
		time.Sleep(time.Second)
		f.set(func() {
			f.server++
			delete(f.sessions, lost)
			delete(f.sessions, late)
			f.ends = nil
			f.sessions[ended] = store.SessionState{TokenExp: f.sessions[ended].TokenExp}
		})
		time.Sleep(time.Second)
		p.addLiving(era, store.Session{ID: late, TokenExp: time.Now().Add(time.Minute)})
		wantVerdicts(t, "after a failover", p, map[string]error{
			kept: nil, removed: ErrTokenRevoked, lost: ErrTokenRevoked, late: ErrTokenRevoked,
			ended: ErrTokenRevoked, // the database has it again, but this process knows better
		})
	})
}

// TestEverySessionIsAskedForAgain removes the rows of more sessions than one question names, beside
// more that have ended.
func TestEverySessionIsAskedForAgain(t *testing.T) {
	authtest.InBubble(t, func(t *testing.T) {
		f := newFakeEnds()
		p := f.follow()
		defer p.stop()
		time.Sleep(time.Second)
		era := p.known.era.Load()
		var names []string
		for i := range 20 * askAgain {
			name := f.open()
			p.addLiving(era, store.Session{ID: name, TokenExp: time.Now().Add(time.Hour)})
			if i%2 == 0 {
				f.end(name)
			} else {
				names = append(names, name)
			}
		}
		time.Sleep(time.Second)
		f.set(func() { clear(f.sessions); f.largest = 0 })
		for waited := time.Duration(0); len(names) > 0; waited += time.Second {
			if waited > 10*time.Minute {
				t.Fatalf("%d are never asked for", len(names))
			}
			time.Sleep(time.Second)
			names = slices.DeleteFunc(names, func(n string) bool { return p.state(n) == unknown })
		}
		if _, largest := f.asked(); largest > askAgain {
			t.Errorf("a question named %d sessions", largest)
		}
	})
}

// TestNoInterleavingBringsASessionBack lets processes work on one store at random, with everything
// that may go wrong, and compares each answer with what is known of the session.
func TestNoInterleavingBringsASessionBack(t *testing.T) {
	for seed := range uint64(200) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			authtest.InBubble(t, func(t *testing.T) { interleave(t, seed) })
		})
	}
}

func interleave(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	f := newFakeEnds()
	processes := []*fakeProcess{f.follow(), f.follow(), f.follow()}
	defer func() {
		for _, p := range processes {
			p.stop()
		}
	}()
	var names []string
	refused := make(map[string]time.Time)        // since when everybody must refuse it
	refusedHere := make(map[string]*fakeProcess) // who must refuse it since its end
	var mu sync.Mutex                            // protects the two, which checks read
	healthy := time.Now()                        // since when nothing was wrong
	var checks sync.WaitGroup
	check := func(p *fakeProcess, name string) {
		mu.Lock()
		since, isRefused := refused[name]
		own, isOwn := refusedHere[name]
		began := time.Now()
		must := isRefused && began.Sub(since) > time.Second || isOwn && own == p
		well := !isRefused && began.Sub(healthy) > 10*time.Second
		mu.Unlock()
		checks.Go(func() {
			err := p.verdict(name)
			took := time.Since(began)
			mu.Lock()
			_, isRefused := refused[name]
			stillWell := well && !isRefused && healthy.Before(began) && f.fault == nil &&
				f.delay <= 1900*time.Millisecond
			mu.Unlock()
			switch {
			case must && err == nil:
				t.Errorf("a session that ended %s ago is accepted", began.Sub(since))
			case stillWell && err != nil:
				t.Errorf("a session that lives: %v", err)
			case err != nil && !errors.Is(err, ErrTokenRevoked) &&
				!errors.Is(err, store.ErrUnavailable):
				t.Error(err)
			case took > 2*(askTimeout+askEvery):
				t.Errorf("a check took %s", took)
			}
		})
	}
	for range 400 {
		p := processes[random.IntN(len(processes))]
		name := ""
		if len(names) > 0 {
			name = names[random.IntN(len(names))]
		}
		trouble := func(change func()) {
			mu.Lock()
			defer mu.Unlock()
			healthy = time.Now()
			f.set(change)
		}
		switch what := random.IntN(100); {
		case what < 15 || name == "":
			era := p.known.era.Load()
			n := f.open()
			names = append(names, n)
			// Its answer arrives later, and anything may have happened before it is added.
			late := time.Duration(random.IntN(3)) * 100 * time.Millisecond
			checks.Go(func() {
				time.Sleep(late)
				p.addLiving(era, store.Session{ID: n, TokenExp: time.Now().Add(5 * time.Minute)})
			})
		case what < 25: // a logout here
			mu.Lock()
			f.end(name)
			p.addAll([]store.Ended{{ID: name, TokenExp: time.Now().Add(5 * time.Minute)}})
			refused[name], refusedHere[name] = time.Now(), p
			mu.Unlock()
		case what < 30: // a command ends it
			mu.Lock()
			f.end(name)
			if _, ok := refused[name]; !ok {
				refused[name] = time.Now()
			}
			mu.Unlock()
		case what < 35: // its row is removed when it has ended
			mu.Lock()
			if _, ok := refused[name]; ok {
				f.set(func() { delete(f.sessions, name) })
			}
			mu.Unlock()
		case what < 36: // the clock of the process is wrong, so that it forgets everything
			p.clock.Advance(400 * 24 * time.Hour)
		case what < 37:
			p.clock.Advance(-time.Until(p.clock.Now()).Round(time.Hour))
		case what < 39: // the process is started again
			i := slices.Index(processes, p)
			trouble(func() {})
			p.stop()
			processes[i] = f.follow()
			trouble(func() {})
		case what < 40:
			trouble(func() { f.delay = time.Duration(random.IntN(2500)) * time.Millisecond })
		case what < 41:
			trouble(func() { f.fault = errors.New("broken") })
		case what < 44:
			trouble(func() { f.delay, f.fault = 0, nil })
		case what < 46: // a standby takes over that lacks the last sessions, but no end
			trouble(func() {
				f.server++
				for _, n := range names[max(0, len(names)-3):] {
					delete(f.sessions, n)
					if _, ok := refused[n]; !ok {
						refused[n] = time.Now()
					}
				}
				f.ends = slices.DeleteFunc(f.ends, func(n string) bool {
					_, ok := f.sessions[n]
					return !ok
				})
			})
		case what < 50:
			time.Sleep(time.Duration(random.IntN(5000)) * time.Millisecond)
		default:
			check(p, name)
			time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
		}
	}
	checks.Wait()
}

func TestTheDenyListForgetsWhatNoTokenCanName(t *testing.T) {
	var l sessionSet
	era := l.begin()
	old, young, lives := token.SessionID{1}, token.SessionID{2}, token.SessionID{3}
	l.end(old, noon.Add(time.Second))
	l.end(young, noon.Add(time.Minute))
	l.end(young, noon) // an earlier end of the same session shortens nothing
	l.live(lives, noon.Add(time.Second), era)
	l.live(lives, noon.Add(time.Minute), era) // refreshed
	l.live(young, noon.Add(time.Hour), era)   // brings nothing back
	want := func(what string, want ...state) {
		t.Helper()
		for i, id := range []token.SessionID{old, young, lives} {
			if got := l.state(id); got != want[i] {
				t.Errorf("%s: session %d is %d, want %d", what, i, got, want[i])
			}
		}
	}
	l.forget(noon)
	want("at noon", ended, ended, living)
	l.forget(noon.Add(4 * time.Second))
	want("a moment later", unknown, ended, living)
	l.forgetLiving()
	want("when the store fails", unknown, ended, unknown)
	l.live(lives, noon.Add(time.Hour), era)
	want("in another era", unknown, ended, unknown)
	l.begin()
	l.live(lives, noon.Add(time.Hour), era)
	want("in another era", unknown, ended, unknown)
	l.end(lives, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)) // by a clock that is wrong
	l.end(old, time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC))
	want("ended", ended, ended, ended)
	l.forget(noon.Add(1000 * time.Hour))
	want("long after", unknown, unknown, ended)
}

// TestTheSecond checks that a session which ended elsewhere is refused within the promised second:
// no answer of the store is trusted for longer, and the next question comes in time.
func TestTheSecond(t *testing.T) {
	if trustFor >= time.Second {
		t.Errorf("an answer is trusted for %s", trustFor)
	}
	if askEvery*2 > trustFor {
		t.Errorf("asking every %s leaves no room for a slow answer in %s", askEvery, trustFor)
	}
	now := noon
	e := newDenyList(nil, func() time.Time { return now }, slog.New(slog.DiscardHandler))
	if e.current() {
		t.Error("nobody has asked, and it knows")
	}
	for after, want := range map[time.Duration]bool{
		0: true, trustFor: true, trustFor + 1: false, time.Hour: false,
		-time.Hour: false, // the clock was set back
	} {
		asked := noon.Add(-after)
		e.asOf.Store(&asked)
		if e.current() != want {
			t.Errorf("after %s it is current: %t", after, !want)
		}
	}
}

// TestNoLateAnswerRevivesWhatWasForgotten adds a session as living that ended, and was forgotten,
// while its answer was under way.
func TestNoLateAnswerRevivesWhatWasForgotten(t *testing.T) {
	var set sessionSet
	id, _ := token.ParseSessionID(token.NewID())
	now := time.Now()
	era := set.begin()
	set.end(id, now.Add(-time.Minute))
	set.forget(now)
	if got := set.state(id); got != unknown {
		t.Fatalf("it is not forgotten, but %v", got)
	}
	set.live(id, now.Add(time.Minute), era)
	if got := set.state(id); got != unknown {
		t.Errorf("it became %v", got)
	}
	set.live(id, now.Add(time.Minute), set.era.Load())
	if got := set.state(id); got != living {
		t.Errorf("in the new era it is %v, want living", got)
	}
}
