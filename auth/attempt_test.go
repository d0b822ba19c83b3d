package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"clientes/store"
)

// stopped is a clock that stands still until it is put forward.
type stopped struct{ at atomic.Int64 }

func stoppedAt(t time.Time) *stopped {
	c := new(stopped)
	c.at.Store(t.UnixNano())
	return c
}

func (c *stopped) now() time.Time          { return time.Unix(0, c.at.Load()).UTC() }
func (c *stopped) advance(d time.Duration) { c.at.Add(int64(d)) }
func (c *stopped) set(cfg *Config)         { cfg.Now = c.now }

var someDay = time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)

// addCheap makes a user whose password a login can check in a millisecond, until it is the first to be right.
func (p *process) addCheap(t testing.TB, name string) store.User {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	must(t, err)
	u, err := p.store.CreateUser(t.Context(), store.User{Name: name, Role: store.Viewer, PasswordHash: string(hash)})
	must(t, err)
	return u
}

// cheapen gives a user back the hash that addCheap gave them: the first login has replaced it.
func (p *process) cheapen(t testing.TB, u store.User) {
	t.Helper()
	now, err := p.store.User(t.Context(), u.ID)
	must(t, err)
	must(t, p.store.ReplacePasswordHash(t.Context(), u.ID, now.PasswordHash, u.PasswordHash))
}

// try logs in from an address and says how it ended: the seconds to wait for ErrTooManyAttempts.
func (p *process) try(t testing.TB, ip string, r LoginRequest) (g Grant, end string) {
	t.Helper()
	g, err := p.Login(from(t.Context(), ip), r)
	var many *TooManyError
	switch {
	case err == nil:
		return g, "in"
	case errors.As(err, &many):
		return g, fmt.Sprint("wait ", many.Seconds())
	case errors.Is(err, ErrInvalidLogin):
		return g, "wrong"
	case errors.Is(err, ErrMFARequired):
		return g, "code?"
	case errors.Is(err, ErrMFAInvalid):
		return g, "wrong code"
	}
	t.Fatal(err)
	return g, ""
}

// wantTry fails the test unless a login ends so.
func (p *process) wantTry(t testing.TB, ip string, r LoginRequest, want string) Grant {
	t.Helper()
	g, end := p.try(t, ip, r)
	if end != want {
		t.Fatalf("the login of %s ended in %q, want %q", r.User, end, want)
	}
	return g
}

func TestFiveFailuresMakeTheSixthWait(t *testing.T) {
	onEachStore(t, func(t *testing.T, e engine, url string) {
		c := stoppedAt(someDay)
		p, q := start(t, e, url, c.set), start(t, e, url, c.set)
		p.addCheap(t, "ana")
		off := p.addCheap(t, "off")
		_, _, err := p.store.UpdateUser(t.Context(), off.ID, func(u store.User) (store.User, error) {
			u.Disabled = true
			return u, nil
		})
		must(t, err)
		for i, name := range []string{"ana", "off", "nobody", "\x00 no name"} {
			ip := fmt.Sprint("192.0.2.", i)
			wrong := LoginRequest{User: name, Password: "wrong"}
			for n := range 5 {
				r := wrong
				if n%2 == 1 {
					r.User = strings.ToUpper(name)
				}
				[]*process{p, q}[n%2].wantTry(t, ip, r, "wrong") // two replicas, one count
				c.advance(time.Minute)
			}
			c.advance(-time.Minute)
			for _, wait := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900} {
				// What is refused is not counted, and the right password is refused as well.
				for range 7 {
					p.wantTry(t, ip, wrong, fmt.Sprint("wait ", int(wait)))
				}
				q.wantTry(t, "198.51.100.1", LoginRequest{User: name, Password: password}, fmt.Sprint("wait ", int(wait)))
				c.advance(wait*time.Second - time.Millisecond)
				p.wantTry(t, ip, wrong, "wait 1")
				c.advance(time.Millisecond)
				p.wantTry(t, ip, wrong, "wrong")
			}
			c.advance(24*time.Hour - time.Millisecond)
			p.wantTry(t, ip, wrong, "wrong") // the day is not over
			p.wantTry(t, ip, wrong, "wait 900")
			c.advance(24 * time.Hour)
			for range 5 {
				p.wantTry(t, ip, wrong, "wrong")
			}
			p.wantTry(t, ip, wrong, "wait 1")
			if name == "ana" {
				c.advance(time.Second)
				p.wantTry(t, ip, LoginRequest{User: name, Password: password}, "in")
				for range 5 {
					p.wantTry(t, ip, wrong, "wrong")
				}
				p.wantTry(t, ip, wrong, "wait 1")
			}
			c.advance(48 * time.Hour)
		}
	})
}

// A slow hash must not use up the wait that it is followed by.
func TestTheWaitBeginsWithTheAnswer(t *testing.T) {
	e := engines()[0]
	c := stoppedAt(someDay)
	p := start(t, e, e.migrated(t), c.set)
	for range 5 {
		try, err := p.reserve(t.Context(), p.loginTallies("ana", "192.0.2.1")...)
		must(t, err)
		c.advance(3 * time.Second)
		must(t, try.failed(t.Context()))
	}
	_, err := p.reserve(t.Context(), p.loginTallies("ana", "192.0.2.1")...)
	var many *TooManyError
	if !errors.As(err, &many) || many.Wait != time.Second {
		t.Errorf("the sixth gives %v", err)
	}
}

func TestAttemptsAtOnceAreCountedOneByOne(t *testing.T) {
	onEachStore(t, func(t *testing.T, e engine, url string) {
		c := stoppedAt(someDay)
		p, q := start(t, e, url, c.set), start(t, e, url, c.set)
		p.addCheap(t, "ana")
		atOnce := func(n int, password string, processes ...*process) map[string]int {
			ends := make(map[string]int)
			var mu sync.Mutex
			var all sync.WaitGroup
			places := make(chan struct{}, 12) // or on a slow machine the last would wait too long for its turn
			for i := range n {
				all.Go(func() {
					places <- struct{}{}
					defer func() { <-places }()
					_, end := processes[i%len(processes)].try(t, "192.0.2.1", LoginRequest{User: "ana", Password: password})
					mu.Lock()
					defer mu.Unlock()
					ends[end]++
				})
			}
			all.Wait()
			return ends
		}
		if ends := atOnce(100, "wrong", p, q); ends["wrong"] != 5 || ends["wait 1"] != 95 {
			t.Errorf("a hundred wrong ones at once end in %v", ends)
		}
		c.advance(24 * time.Hour)
		if ends := atOnce(25, password, p); ends["in"] != 25 {
			t.Errorf("25 right ones at once end in %v", ends)
		}
	})
}

func TestOneAddressAgainstManyNames(t *testing.T) {
	onEachStore(t, func(t *testing.T, e engine, url string) {
		c := stoppedAt(someDay)
		p := start(t, e, url, c.set)
		p.addCheap(t, "mallory")
		fail := func(ip string, n int) (let int) {
			for i := range n {
				name := fmt.Sprint("user", i%10) // of which none comes to five
				try, err := p.reserveLogin(from(t.Context(), ip), store.User{}, fmt.Sprint(name, "-", c.now().Unix(), "-", i/40, "-", ip), "")
				if errors.Is(err, ErrTooManyAttempts) {
					continue
				}
				must(t, err)
				must(t, try.failed(t.Context()))
				let++
			}
			return let
		}
		if let := fail("2001:db8:1:2::1", 49); let != 49 {
			t.Fatalf("%d of 49 were let through", let)
		}
		// To have an account of one's own clears nothing.
		p.wantTry(t, "2001:db8:1:2::1", LoginRequest{User: "mallory", Password: password}, "in")
		if let := fail("2001:db8:1:2:ffff::1", 100); let != 1 {
			t.Fatalf("%d more were let through from the same /64", let)
		}
		p.wantTry(t, "2001:db8:1:2::3", LoginRequest{User: "mallory", Password: password}, "wait 1")
		p.wantTry(t, "2001:db8:1:3::1", LoginRequest{User: "mallory", Password: password}, "in")
		for _, wait := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900} {
			c.advance(wait*time.Second - time.Millisecond)
			if let := fail("2001:db8:1:2::4", 1); let != 0 {
				t.Errorf("one was let through before %v", wait)
			}
			c.advance(time.Millisecond)
			if let := fail("2001:db8:1:2::4", 2); let != 1 {
				t.Errorf("%d were let through after %v", let, wait)
			}
		}
		// As long a quiet as its window, and it starts anew.
		c.advance(30 * time.Minute)
		if let := fail("2001:db8:1:2::1", 100); let != 50 {
			t.Errorf("%d were let through after a quiet while", let)
		}
		// Who stays below 50 in 15 minutes is not slowed.
		for range 5 {
			if let := fail("192.0.2.1", 49); let != 49 {
				t.Errorf("%d of 49 were let through", let)
			}
			c.advance(15 * time.Minute)
		}
		// An IPv4 address is the same one in IPv6's clothes.
		if let := fail("::ffff:192.0.2.1", 49) + fail("192.0.2.1", 49); let != 50 {
			t.Errorf("%d of 98 were let through", let)
		}
	})
}

func TestWhatTheGateRefusesIsNotCounted(t *testing.T) {
	onEachStore(t, func(t *testing.T, e engine, url string) {
		c := stoppedAt(someDay)
		gate := NewGate(LocalHasher{}, 1, 0)
		p := start(t, e, url, c.set, func(cfg *Config) { cfg.Gate = gate })
		p.addCheap(t, "ana")
		wrong := LoginRequest{User: "ana", Password: "wrong"}
		busy := func(during func()) {
			must(t, gate.Do(t.Context(), func(Hasher) error { during(); return nil }))
		}
		for range 4 {
			p.wantTry(t, "192.0.2.1", wrong, "wrong")
		}
		for range 3 {
			busy(func() {
				for range 10 {
					if _, err := p.Login(from(t.Context(), "192.0.2.1"), wrong); !errors.Is(err, ErrOverloaded) {
						t.Fatalf("behind a gate that is full: %v", err)
					}
				}
			})
		}
		p.wantTry(t, "192.0.2.1", wrong, "wrong") // the fifth
		p.wantTry(t, "192.0.2.1", wrong, "wait 1")
		c.advance(time.Second)
		busy(func() {
			if _, err := p.Login(from(t.Context(), "192.0.2.1"), wrong); !errors.Is(err, ErrOverloaded) {
				t.Fatalf("behind a gate that is full: %v", err)
			}
		})
		// Nor does the one that was given back make the next wait once more.
		p.wantTry(t, "192.0.2.1", wrong, "wrong")
		p.wantTry(t, "192.0.2.1", wrong, "wait 2")
		// Who hangs up in the queue was not looked at either.
		c.advance(2 * time.Second)
		waiting := NewGate(LocalHasher{}, 1, 1)
		p.cfg.Gate = waiting
		must(t, waiting.Do(t.Context(), func(Hasher) error {
			ctx, cancel := context.WithCancel(from(t.Context(), "192.0.2.1"))
			cancel()
			if _, err := p.Login(ctx, wrong); !errors.Is(err, context.Canceled) {
				t.Errorf("who hangs up gets %v", err)
			}
			return nil
		}))
		p.wantTry(t, "192.0.2.1", wrong, "wrong")
		p.wantTry(t, "192.0.2.1", wrong, "wait 4")
		// Nor does it count that a hasher is out of order.
		c.advance(4 * time.Second)
		p.cfg.Gate = NewGate(brokenHasher{}, 1, 0)
		for range 10 {
			if _, err := p.Login(from(t.Context(), "192.0.2.1"), wrong); !errors.Is(err, errBroken) {
				t.Fatalf("with a hasher that is out of order: %v", err)
			}
		}
		p.cfg.Gate = gate
		p.wantTry(t, "192.0.2.1", wrong, "wrong")
		p.wantTry(t, "192.0.2.1", wrong, "wait 8")
	})
}

// brokenHasher is one that fails, and says what would let everybody in.
type brokenHasher struct{}

var errBroken = errors.New("out of order")

func (brokenHasher) Verify(string, string, bool) (bool, string, error) { return true, "", errBroken }
func (brokenHasher) Hash(string, []string) (string, error)             { return "hash", errBroken }

func TestGivingBackLeavesWhatOthersHaveCounted(t *testing.T) {
	onEachStore(t, func(t *testing.T, e engine, url string) {
		c := stoppedAt(someDay)
		p, q := start(t, e, url, c.set), start(t, e, url, c.set) // two turns
		reserve := func(p *process) *attempt {
			try, err := p.reserve(t.Context(), p.nameTally("ana"))
			must(t, err)
			return try
		}
		counts := func(want int64) {
			t.Helper()
			must(t, p.store.UpdateAttempts(t.Context(), []string{p.nameTally("ana").key}, func(a []store.Attempt) error {
				if a[0].Count != want {
					t.Errorf("%d are counted, want %d", a[0].Count, want)
				}
				return nil
			}))
		}
		a := reserve(p)
		c.advance(time.Millisecond)
		b := reserve(q)
		must(t, a.giveBack(t.Context()))
		counts(1)
		must(t, a.giveBack(t.Context())) // again does nothing
		counts(1)
		must(t, b.failed(t.Context()))
		counts(1)
		// What began before a success and fails after it is as if it had come before.
		a = reserve(p)
		b = reserve(q)
		must(t, b.succeeded(t.Context()))
		counts(0)
		c.advance(time.Millisecond)
		b = reserve(q)
		must(t, a.giveBack(t.Context())) // of a count that is no more
		counts(1)
		must(t, b.giveBack(t.Context()))
		counts(0)
	})
}

// The pace of the best strategies against one password for a year: as fast as it goes, and with quiet days in between.
// The full way of an attempt is TestGuessing.
func TestAYearOfGuesses(t *testing.T) {
	const year = 365 * 24 * time.Hour
	guess := func(l limit, pause func(n int) time.Duration) (guesses int) {
		var a store.Attempt
		for at := someDay; at.Before(someDay.Add(year)); {
			if wait := a.BlockedUntil.Sub(at); wait > 0 && at.Before(a.ForgetAt) {
				at = at.Add(wait)
				continue
			}
			if !at.Before(a.ForgetAt) {
				a = store.Attempt{}
			}
			l.count(&a, at)
			guesses++
			at = at.Add(pause(guesses))
		}
		return guesses
	}
	greedy := func(int) time.Duration { return time.Millisecond }
	for _, quietAfter := range []int{1 << 30, 4, 5, 10, 14, 15, 20, 50, 100, 1000} {
		n := guess(nameLimit, func(n int) time.Duration {
			if n%quietAfter == 0 {
				return 24 * time.Hour
			}
			return time.Millisecond
		})
		if n >= 40_000 {
			t.Errorf("%d guesses a year with a day's quiet after every %d", n, quietAfter)
		}
	}
	if n := guess(nameLimit, greedy); n < 35_000 {
		t.Errorf("%d guesses a year: the simulation does not do its best", n)
	}
	// Each code that is looked at is right with a chance of three steps in a million.
	if n := guess(codesLimit, greedy); float64(n)*3/1e6 >= 0.05 || n < 20*365 {
		t.Errorf("%d codes a year are looked at", n)
	}
	if n := guess(marksLimit, greedy); n > 50*366 {
		t.Errorf("%d failures a year of all devices", n)
	}
}

// TestGuessing has a stranger guess a password for days, from as many addresses as they like and many at once, while the
// owner goes on logging in on a device that they have used.
func TestGuessing(t *testing.T) {
	onEachStore(t, func(t *testing.T, e engine, url string) {
		c := stoppedAt(someDay)
		p, q := start(t, e, url, c.set), start(t, e, url, c.set)
		ana := p.addCheap(t, "ana")
		known := p.wantTry(t, "192.0.2.1", LoginRequest{User: "ana", Password: password}, "in")
		p.cheapen(t, ana)
		const days = 3
		guesses, address := 0, 0
		var logins int
		for end, next := c.now().Add(days*24*time.Hour), c.now(); c.now().Before(end); {
			address++
			ip := fmt.Sprintf("203.0.113.%d", address%250)
			ends := make(chan string, 4)
			for i := range cap(ends) {
				go func() {
					_, end := []*process{p, q}[i%2].try(t, ip, LoginRequest{User: "ana", Password: "guess", Device: known.Device + "x"})
					ends <- end
				}()
			}
			wait := 0
			for range cap(ends) {
				end := <-ends
				if end == "wrong" {
					guesses++
				}
				fmt.Sscanf(end, "wait %d", &wait)
			}
			if !c.now().Before(next) {
				known = p.wantTry(t, "192.0.2.1", LoginRequest{User: "ana", Password: password, Device: known.Device}, "in")
				p.cheapen(t, ana)
				logins++
				next = next.Add(8 * time.Hour)
			}
			c.advance(max(time.Duration(wait)*time.Second, time.Millisecond))
		}
		if most := days*24*4 + 15; guesses > most || guesses < most-5 {
			t.Errorf("%d guesses in %d days, want about %d", guesses, days, most)
		}
		if logins < days*3 {
			t.Errorf("the owner logged in %d times", logins)
		}
		// On a client that they have not used they wait, like everybody.
		for range 20 {
			p.try(t, "203.0.113.1", LoginRequest{User: "ana", Password: "guess"})
		}
		if _, end := p.try(t, "192.0.2.1", LoginRequest{User: "ana", Password: password}); !strings.HasPrefix(end, "wait") {
			t.Errorf("without the mark it ends in %q", end)
		}
	})
}

// TestASprayLeavesFewRows tries made-up names for four days, each from an address of its own, as fast as a processor can
// check passwords that take half a minute; and then as fast as it can from one address.
func TestASprayLeavesFewRows(t *testing.T) {
	const names = 10_000 // more than the rows that the audit may have of nobody
	e := engines()[0]
	c := stoppedAt(someDay)
	p := start(t, e, e.migrated(t), c.set)
	step := 4 * 24 * time.Hour / time.Duration(names)
	spray := func(name, ip string) bool {
		ctx := from(t.Context(), ip)
		try, err := p.reserveLogin(ctx, store.User{}, name, "")
		if errors.Is(err, ErrTooManyAttempts) {
			return false
		}
		must(t, err)
		must(t, try.failed(ctx))
		p.recordStrangers(ctx, store.EventLoginFailed, 0, "")
		return true
	}
	next := c.now()
	const workers = 64 // which share commits
	for i := 0; i < names; i += workers {
		var all sync.WaitGroup
		for n := i; n < min(i+workers, names); n++ {
			all.Go(func() { spray(fmt.Sprint("made-up-", n), fmt.Sprintf("2001:db8:%x:%x::1", n>>16, n&0xffff)) })
		}
		all.Wait()
		c.advance(workers * step)
		if !c.now().Before(next) {
			p.cleanOnce(t.Context())
			next = next.Add(time.Hour)
		}
	}
	p.cleanOnce(t.Context())
	rows := func() int {
		n, err := p.store.DeleteAttempts(t.Context(), c.now().Add(1000*time.Hour), 10*names)
		must(t, err)
		return n
	}
	// A day's names, and the addresses of the last quarter of an hour.
	if n, most := rows(), names/4+names/4/96+3*workers; n > most || n < names/8 {
		t.Errorf("%d rows are left of %d names, want at most %d", n, names, most)
	}
	if n := countEvents(t, p, store.EventFilter{}); n > 4*96*nobodysRows+nobodysRows {
		t.Errorf("the audit has %d rows of nobody", n)
	}
	let := 0
	for i := range names / 10 {
		if spray(fmt.Sprint("another-", i), "192.0.2.1") {
			let++
		}
		c.advance(time.Millisecond)
	}
	if let > 55 {
		t.Errorf("%d of %d were let through from one address", let, names/10)
	}
	if n := rows(); n > let+1 {
		t.Errorf("%d rows are left of %d attempts", n, let)
	}
}

// TestAPanicEndsTheAttempt holds that a name is not shut out for good when something goes wrong under it.
func TestAPanicEndsTheAttempt(t *testing.T) {
	e := engines()[0]
	p := start(t, e, e.migrated(t))
	p.addCheap(t, "ana")
	for _, odd := range []store.Store{oddHash{p.cfg.Store}, oddAttempts{p.cfg.Store}} {
		a, err := New(p.cfg)
		must(t, err)
		a.cfg.Store = odd
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			a.Login(from(t.Context(), "192.0.2.1"), LoginRequest{User: "ana", Password: password})
		}()
		a.cfg.Store = p.cfg.Store
		ctx, cancel := context.WithTimeout(from(t.Context(), "192.0.2.1"), time.Minute)
		if _, err := a.Login(ctx, LoginRequest{User: "ana", Password: password}); err != nil {
			t.Errorf("after a panic a login gives %v", err)
		}
		cancel()
	}
}

// oddHash is a store that can not replace the old hash of a user.
type oddHash struct{ store.Store }

func (s oddHash) ReplacePasswordHash(context.Context, int64, string, string) error { panic("odd") }

// oddAttempts is a store that can not count.
type oddAttempts struct{ store.Store }

func (s oddAttempts) UpdateAttempts(context.Context, []string, func([]store.Attempt) error) error {
	panic("odd")
}

func countEvents(t testing.TB, p *process, filter store.EventFilter) int {
	t.Helper()
	events, err := p.Events(t.Context(), filter, 0, 1_000_000)
	must(t, err)
	return len(events)
}

// calls is a store that notes which of its methods a login calls.
type calls struct {
	store.Store
	mu    sync.Mutex
	names []string
}

func (s *calls) note(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = append(s.names, name)
}

func (s *calls) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := s.names
	s.names = nil
	return names
}

func (s *calls) UserByName(ctx context.Context, name string) (store.User, error) {
	s.note("UserByName")
	return s.Store.UserByName(ctx, name)
}

func (s *calls) User(ctx context.Context, id int64) (store.User, error) {
	s.note("User")
	return s.Store.User(ctx, id)
}

func (s *calls) UpdateUser(ctx context.Context, id int64, change func(store.User) (store.User, error), tell ...store.Tell) (store.User, []store.Ended, error) {
	s.note("UpdateUser")
	return s.Store.UpdateUser(ctx, id, change, tell...)
}

func (s *calls) UpdateAttempts(ctx context.Context, keys []string, change func([]store.Attempt) error) error {
	s.note(fmt.Sprint("UpdateAttempts of ", len(keys)))
	return s.Store.UpdateAttempts(ctx, keys, change)
}

func (s *calls) RecordEvents(ctx context.Context, events ...store.Event) error {
	s.note(fmt.Sprint("RecordEvents of ", len(events))) // which none waits for
	return s.Store.RecordEvents(ctx, events...)
}

func (s *calls) Events(ctx context.Context, filter store.EventFilter, before int64, limit int) ([]store.Event, error) {
	s.note("Events")
	return s.Store.Events(ctx, filter, before, limit)
}

func (s *calls) CreateSession(ctx context.Context, n store.Session, generation int64) ([]store.Ended, error) {
	s.note("CreateSession")
	return s.Store.CreateSession(ctx, n, generation)
}

// Unknown, wrong and disabled are told apart by nothing that the store has to do; nor does a made-up mark cost anything.
func TestRefusalsAskTheStoreTheSame(t *testing.T) {
	onEachStore(t, func(t *testing.T, e engine, url string) {
		c := stoppedAt(someDay)
		p := start(t, e, url, c.set)
		p.addCheap(t, "ana")
		p.addCheap(t, "bob")
		off := p.addCheap(t, "off")
		_, _, err := p.store.UpdateUser(t.Context(), off.ID, func(u store.User) (store.User, error) {
			u.Disabled = true
			return u, nil
		})
		must(t, err)
		bob := p.wantTry(t, "192.0.2.9", LoginRequest{User: "bob", Password: password}, "in")
		noted := &calls{Store: p.cfg.Store}
		a, err := New(p.cfg) // of which nothing runs in the background
		must(t, err)
		p.Auth = a
		p.cfg.Store = noted
		var first []string
		for i, r := range []LoginRequest{
			{User: "ana", Password: "wrong"},
			{User: "nobody", Password: "wrong"},
			{User: "nobody", Password: password},
			{User: "off", Password: "wrong"},
			{User: "off", Password: password},
			{User: "ana", Password: "wrong", Device: "1.made.0.up"},
			{User: "ana", Password: "wrong", Device: bob.Device},
			{User: "ana", Password: "wrong", Device: bob.Device[:len(bob.Device)-1]},
			{User: "nobody", Password: "wrong", Device: bob.Device},
		} {
			p.wantTry(t, fmt.Sprint("192.0.2.", i), r, "wrong")
			got := noted.take()
			if first == nil {
				first = got
			}
			if !slices.Equal(got, first) || len(got) != 2 {
				t.Errorf("%+v calls %q, but the first %q", r, got, first)
			}
		}
	})
}

func TestCleaning(t *testing.T) {
	onEachStore(t, func(t *testing.T, e engine, url string) {
		c := stoppedAt(someDay)
		p := start(t, e, url, c.set)
		p.addCheap(t, "ana")
		p.wantTry(t, "192.0.2.1", LoginRequest{User: "ana", Password: password}, "in")
		p.wantTry(t, "192.0.2.1", LoginRequest{User: "ana", Password: "wrong"}, "wrong")
		if n := countEvents(t, p, store.EventFilter{}); n != 2 {
			t.Fatalf("%d events", n)
		}
		c.advance(23 * time.Hour)
		p.cleanOnce(t.Context())
		for range 4 {
			p.wantTry(t, "192.0.2.1", LoginRequest{User: "ana", Password: "wrong"}, "wrong")
		}
		p.wantTry(t, "192.0.2.1", LoginRequest{User: "ana", Password: "wrong"}, "wait 1")
		c.advance(store.AuditKept - 23*time.Hour)
		p.cleanOnce(t.Context())
		if n := countEvents(t, p, store.EventFilter{}); n == 0 {
			t.Error("events go before their time")
		}
		c.advance(24 * time.Hour)
		p.cleanOnce(t.Context())
		if n := countEvents(t, p, store.EventFilter{}); n != 0 {
			t.Errorf("%d events are left", n)
		}
		for rows, remove := range map[string]func(context.Context, time.Time, int) (int, error){
			"attempts": p.store.DeleteAttempts, "addresses": p.store.DeleteAddresses, "sessions": p.store.DeleteSessions,
		} {
			n, err := remove(t.Context(), c.now().Add(10*365*24*time.Hour), 100)
			must(t, err)
			if n != 0 {
				t.Errorf("%d %s are left", n, rows)
			}
		}
	})
}

func TestTurns(t *testing.T) {
	var all turns
	leave, err := all.take(t.Context(), "a")
	must(t, err)
	other, err := all.take(t.Context(), "b")
	must(t, err)
	other()
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error)
	go func() {
		_, err := all.take(ctx, "a")
		gaveUp <- err
	}()
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("who gives up gets %v", err)
	}
	next := make(chan func())
	go func() {
		leave, err := all.take(t.Context(), "a")
		must(t, err)
		next <- leave
	}()
	leave()
	(<-next)()
	if len(all.keys) != 0 {
		t.Errorf("%d keys are left", len(all.keys))
	}
}
