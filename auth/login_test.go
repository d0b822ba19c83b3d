package auth

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/auth/password"
	"clientes/auth/throttle"
	"clientes/store"
)

func TestFiveFailuresMakeTheSixthWait(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p, q := start(t, e, url, atClock(c)), start(t, e, url, atClock(c))
		p.add(t, store.User{Name: "ana"})
		off := p.add(t, store.User{Name: "off"})
		p.change(t, off, func(u *store.User) { u.Disabled = true })
		for i, name := range []string{"ana", "off", "nobody", "\x00 no name"} {
			ip := fmt.Sprint("192.0.2.", i)
			wrong := LoginRequest{User: name, Password: "wrong"}
			for n := range 5 {
				r := wrong
				if n%2 == 1 {
					r.User = strings.ToUpper(name)
				}
				[]*process{p, q}[n%2].wantTry(t, ip, r, "wrong") // two replicas, one bucket
				c.Advance(time.Minute)
			}
			c.Advance(-time.Minute)
			for _, wait := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900} {
				// A refused attempt is not counted, and the right password is refused as well.
				for range 7 {
					p.wantTry(t, ip, wrong, fmt.Sprint("wait ", int(wait)))
				}
				q.wantTry(t, "198.51.100.1", goodLogin(name), fmt.Sprint("wait ", int(wait)))
				c.Advance(wait*time.Second - time.Millisecond)
				p.wantTry(t, ip, wrong, "wait 1")
				c.Advance(time.Millisecond)
				p.wantTry(t, ip, wrong, "wrong")
			}
			c.Advance(24*time.Hour - time.Millisecond)
			p.wantTry(t, ip, wrong, "wrong") // the day is not over
			p.wantTry(t, ip, wrong, "wait 900")
			c.Advance(24 * time.Hour)
			for range 5 {
				p.wantTry(t, ip, wrong, "wrong")
			}
			p.wantTry(t, ip, wrong, "wait 1")
			if name == "ana" {
				c.Advance(time.Second)
				p.wantTry(t, ip, goodLogin(name), "in")
				for range 5 {
					p.wantTry(t, ip, wrong, "wrong")
				}
				p.wantTry(t, ip, wrong, "wait 1")
			}
			c.Advance(48 * time.Hour)
		}
	})
}

// TestTheWaitBeginsWithTheAnswer checks that a slow hash does not use up the wait after it.
func TestTheWaitBeginsWithTheAnswer(t *testing.T) {
	e := authtest.SQLite()
	c := authtest.StoppedAt(someDay)
	p := start(t, e, e.Migrated(t), atClock(c))
	reserve := func() (*attempt, error) {
		return p.guard.reserveLogin(from(t.Context(), "192.0.2.1"), store.User{}, "ana", "")
	}
	for range 5 {
		try, err := reserve()
		must(t, err)
		c.Advance(3 * time.Second)
		must(t, try.Fail(t.Context()))
	}
	_, err := reserve()
	var many *TooManyError
	if !errors.As(err, &many) || many.Wait != time.Second {
		t.Errorf("the sixth: %v", err)
	}
}

func TestAttemptsAtOnceAreCountedOneByOne(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p, q := start(t, e, url, atClock(c)), start(t, e, url, atClock(c))
		p.add(t, store.User{Name: "ana"})
		atOnce := func(n int, given string, processes ...*process) map[string]int {
			ends := make(map[string]int)
			var mu sync.Mutex
			authtest.AtOnce(n, func(i int) {
				login := LoginRequest{User: "ana", Password: given}
				_, end := processes[i%len(processes)].try(t, "192.0.2.1", login)
				mu.Lock()
				defer mu.Unlock()
				ends[end]++
			})
			return ends
		}
		if ends := atOnce(100, "wrong", p, q); ends["wrong"] != 5 || ends["wait 1"] != 95 {
			t.Errorf("a hundred wrong ones at once end in %v", ends)
		}
		c.Advance(24 * time.Hour)
		if ends := atOnce(25, goodPassword, p); ends["in"] != 25 {
			t.Errorf("25 right ones at once end in %v", ends)
		}
	})
}

func TestOneNetworkAgainstManyNames(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p := start(t, e, url, atClock(c))
		p.add(t, store.User{Name: "mallory"})
		fail := func(ip string, n int) (let int) {
			for i := range n {
				name := fmt.Sprint("user", i%10) // none of them reaches five
				try, err := p.guard.reserveLogin(from(t.Context(), ip), store.User{},
					fmt.Sprint(name, "-", c.Now().Unix(), "-", i/40, "-", ip), "")
				if errors.Is(err, ErrTooManyAttempts) {
					continue
				}
				must(t, err)
				must(t, try.Fail(t.Context()))
				let++
			}
			return let
		}
		if let := fail("2001:db8:1:2::1", 49); let != 49 {
			t.Fatalf("%d of 49 were let through", let)
		}
		// An account of one's own clears nothing.
		p.wantTry(t, "2001:db8:1:2::1", goodLogin("mallory"), "in")
		if let := fail("2001:db8:1:2:ffff::1", 100); let != 1 {
			t.Fatalf("%d more were let through from the same /64", let)
		}
		p.wantTry(t, "2001:db8:1:2::3", goodLogin("mallory"), "wait 1")
		p.wantTry(t, "2001:db8:1:3::1", goodLogin("mallory"), "in")
		for _, wait := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900} {
			c.Advance(wait*time.Second - time.Millisecond)
			if let := fail("2001:db8:1:2::4", 1); let != 0 {
				t.Errorf("one was let through before %v", wait)
			}
			c.Advance(time.Millisecond)
			if let := fail("2001:db8:1:2::4", 2); let != 1 {
				t.Errorf("%d were let through after %v", let, wait)
			}
		}
		// After a quiet time as long as its window it starts anew.
		c.Advance(30 * time.Minute)
		if let := fail("2001:db8:1:2::1", 100); let != 50 {
			t.Errorf("%d were let through after a quiet while", let)
		}
		// A network that stays below 50 in 15 minutes is not slowed.
		for range 5 {
			if let := fail("192.0.2.1", 49); let != 49 {
				t.Errorf("%d of 49 were let through", let)
			}
			c.Advance(15 * time.Minute)
		}
		// An IPv4 address counts as the same one in the form of IPv6.
		if let := fail("::ffff:192.0.2.1", 49) + fail("192.0.2.1", 49); let != 50 {
			t.Errorf("%d of 98 were let through", let)
		}
	})
}

func TestWhatTheGateRefusesIsNotCounted(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		gate := password.NewGate(quickHasher, 1, 0)
		p := start(t, e, url, atClock(c), func(cfg *Config) { cfg.Gate = gate })
		ana := p.add(t, store.User{Name: "ana"})
		wrong := LoginRequest{User: "ana", Password: "wrong"}
		busy := func(during func()) {
			must(t, gate.Do(t.Context(), func(password.Hasher) error { during(); return nil }))
		}
		for range 4 {
			p.wantTry(t, "192.0.2.1", wrong, "wrong")
		}
		for range 3 {
			busy(func() {
				for range 10 {
					_, err := p.Login(from(t.Context(), "192.0.2.1"), wrong)
					wantError(t, "behind a gate that is full", err, ErrOverloaded)
				}
			})
		}
		p.wantTry(t, "192.0.2.1", wrong, "wrong") // the fifth
		p.wantTry(t, "192.0.2.1", wrong, "wait 1")
		c.Advance(time.Second)
		busy(func() {
			_, err := p.Login(from(t.Context(), "192.0.2.1"), wrong)
			wantError(t, "behind a gate that is full", err, ErrOverloaded)
		})
		// A released attempt does not make the next one wait again either.
		p.wantTry(t, "192.0.2.1", wrong, "wrong")
		p.wantTry(t, "192.0.2.1", wrong, "wait 2")
		// A client that hangs up in the queue is not counted either.
		c.Advance(2 * time.Second)
		waiting := password.NewGate(quickHasher, 1, 1)
		behind := func(gate *password.Gate) *process {
			return p.with(t, func(cfg *Config) { cfg.Gate = gate })
		}
		hasty := behind(waiting)
		must(t, waiting.Do(t.Context(), func(password.Hasher) error {
			ctx, hangUp := context.WithCancel(from(t.Context(), "192.0.2.1"))
			defer hangUp()
			go func() {
				for waiting.Waiting() == 0 && ctx.Err() == nil {
					runtime.Gosched()
				}
				hangUp()
			}()
			if _, err := hasty.Login(ctx, wrong); !errors.Is(err, context.Canceled) {
				t.Errorf("a client that hangs up gets %v", err)
			}
			return nil
		}))
		p.wantTry(t, "192.0.2.1", wrong, "wrong")
		p.wantTry(t, "192.0.2.1", wrong, "wait 4")
		// Neither is one that meets a hasher out of order.
		c.Advance(4 * time.Second)
		broken := behind(password.NewGate(brokenHasher{}, 1, 0))
		for range 10 {
			_, err := broken.Login(from(t.Context(), "192.0.2.1"), wrong)
			wantError(t, "with a hasher that is out of order", err, errBroken)
		}
		p.wantTry(t, "192.0.2.1", wrong, "wrong")
		p.wantTry(t, "192.0.2.1", wrong, "wait 8")
		keys := passesBucket(ana.ID, false).Keys
		must(t, p.store.UpdateBuckets(t.Context(), keys, func(rows []store.Bucket) error {
			if rows[0].Count != 0 {
				t.Errorf("%d right passwords are counted, and there was none", rows[0].Count)
			}
			return nil
		}))
	})
}

// TestAFullGateRefusesNoKnownDevice fills the lane of strangers.
func TestAFullGateRefusesNoKnownDevice(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		gate := password.NewGate(quickHasher, 1, 0)
		p := start(t, e, url, func(cfg *Config) { cfg.Gate = gate })
		_, me := p.newCaller(t, "ana")
		known := p.wantTry(t, "192.0.2.1", goodLogin("ana"), "in").Device
		soon := func() context.Context {
			ctx, cancel := context.WithTimeout(from(t.Context(), "192.0.2.1"), time.Second/4)
			t.Cleanup(cancel)
			return ctx
		}
		must(t, gate.Do(t.Context(), func(password.Hasher) error {
			_, err := p.Login(t.Context(), goodLogin("ana"))
			wantError(t, "a stranger", err, ErrOverloaded)
			_, err = p.Login(soon(), goodLogin("ana").withDevice(known))
			wantError(t, "a known device does not wait", err, context.DeadlineExceeded)
			_, err = p.BeginMFA(soon(), me, goodPassword)
			wantError(t, "a session does not wait", err, context.DeadlineExceeded)
			return nil
		}))
		p.wantTry(t, "192.0.2.1", goodLogin("ana").withDevice(known), "in")
	})
}

// brokenHasher is a Hasher that fails. Its results would let everybody in.
type brokenHasher struct{}

var errBroken = errors.New("out of order")

func (brokenHasher) Verify(string, string, bool) (bool, string, error) {
	return true, "", errBroken
}

func (brokenHasher) Hash(string, []string) (string, error) { return "hash", errBroken }

func (brokenHasher) Ready(context.Context) error { return errBroken }

// TestAYearOfGuesses tries the best strategies against one password for a year: as fast as it goes,
// and with quiet days in between. TestGuessing goes the full way of an attempt.
func TestAYearOfGuesses(t *testing.T) {
	const year = 365 * 24 * time.Hour
	guess := func(limit throttle.Limit, pause func(n int) time.Duration) (guesses int) {
		c := authtest.StoppedAt(someDay)
		limiter := throttle.NewLimiter(authtest.Buckets{}, c.Now)
		for c.Now().Before(someDay.Add(year)) {
			r, err := limiter.Reserve(t.Context(), newBucket("ana", limit))
			var many *TooManyError
			switch {
			case errors.As(err, &many):
				c.Advance(many.Wait)
				continue
			case errors.Is(err, errDevicesUsed):
				c.Advance(time.Hour)
				continue
			}
			must(t, err)
			must(t, r.Fail(t.Context()))
			guesses++
			c.Advance(pause(guesses))
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
	if n := guess(devicesLimit, greedy); n > 50*366 || n < 50*360 {
		t.Errorf("%d failures a year of all devices", n)
	}
}

// TestGuessing has a stranger guess a password for days, from as many addresses as they like and
// many at once, while the owner goes on logging in on a device that they have used.
func TestGuessing(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p, q := start(t, e, url, atClock(c)), start(t, e, url, atClock(c))
		p.add(t, store.User{Name: "ana"})
		known := p.wantTry(t, "192.0.2.1", goodLogin("ana"), "in")
		const days = 3
		guesses, address := 0, 0
		var logins int
		for end, next := c.Now().Add(days*24*time.Hour), c.Now(); c.Now().Before(end); {
			address++
			ip := fmt.Sprintf("203.0.113.%d", address%250)
			ends := make(chan string, 4)
			for i := range cap(ends) {
				go func() {
					_, end := []*process{p, q}[i%2].try(t, ip,
						LoginRequest{User: "ana", Password: "guess", Device: known.Device + "x"})
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
			if !c.Now().Before(next) {
				known = p.wantTry(t, "192.0.2.1", goodLogin("ana").withDevice(known.Device), "in")
				logins++
				next = next.Add(8 * time.Hour)
			}
			c.Advance(max(time.Duration(wait)*time.Second, time.Millisecond))
		}
		if most := days*24*4 + 15; guesses > most || guesses < most-5 {
			t.Errorf("%d guesses in %d days, want about %d", guesses, days, most)
		}
		if logins < days*3 {
			t.Errorf("the owner logged in %d times", logins)
		}
		// On a client that they have not used they wait like everybody.
		for range 20 {
			p.try(t, "203.0.113.1", LoginRequest{User: "ana", Password: "guess"})
		}
		if _, end := p.try(t, "192.0.2.1", goodLogin("ana")); !strings.HasPrefix(end, "wait") {
			t.Errorf("without the device token it ends in %q", end)
		}
	})
}

// TestASprayLeavesFewRows tries made-up names for four days, each from a network of its own, as if
// a password took half a minute to verify. Then it tries more as fast as it can from one network.
func TestASprayLeavesFewRows(t *testing.T) {
	const names = 10_000 // more than the rows that the audit may have of nobody
	e := authtest.SQLite()
	c := authtest.StoppedAt(someDay)
	p := start(t, e, e.Migrated(t), atClock(c))
	step := 4 * 24 * time.Hour / time.Duration(names)
	spray := func(name, ip string) bool {
		ctx := from(t.Context(), ip)
		try, err := p.guard.reserveLogin(ctx, store.User{}, name, "")
		if errors.Is(err, ErrTooManyAttempts) {
			return false
		}
		must(t, err)
		must(t, try.Fail(ctx))
		p.audit.recordStrangers(ctx, store.EventLoginFailed, 0, "")
		return true
	}
	next := c.Now()
	const workers = 64 // they share commits
	for i := 0; i < names; i += workers {
		var all sync.WaitGroup
		for n := i; n < min(i+workers, names); n++ {
			all.Go(func() {
				ip := fmt.Sprintf("2001:db8:%x:%x::1", n>>16, n&0xffff)
				spray(fmt.Sprint("made-up-", n), ip)
			})
		}
		all.Wait()
		c.Advance(workers * step)
		if !c.Now().Before(next) {
			newCleaner(p.cfg).once(t.Context())
			next = next.Add(time.Hour)
		}
	}
	newCleaner(p.cfg).once(t.Context())
	rows := func() int {
		n, err := p.store.DeleteBuckets(t.Context(), c.Now().Add(1000*time.Hour), 10*names)
		must(t, err)
		return n
	}
	// The names of a day, and the networks of the last quarter of an hour.
	if n, most := rows(), names/4+names/4/96+3*workers; n > most || n < names/8 {
		t.Errorf("%d rows are left of %d names, want at most %d", n, names, most)
	}
	if n := countEvents(t, p, store.EventFilter{}); n > 4*96*networkRows+networkRows {
		t.Errorf("the audit has %d rows of nobody", n)
	}
	let := 0
	for i := range names / 10 {
		if spray(fmt.Sprint("another-", i), "192.0.2.1") {
			let++
		}
		c.Advance(time.Millisecond)
	}
	if let > 55 {
		t.Errorf("%d of %d were let through from one address", let, names/10)
	}
	if n := rows(); n > let+1 {
		t.Errorf("%d rows are left of %d attempts", n, let)
	}
}

// TestAPanicEndsTheAttempt checks that a panic does not keep a name locked.
func TestAPanicEndsTheAttempt(t *testing.T) {
	e := authtest.SQLite()
	p := start(t, e, e.Migrated(t))
	for name, odd := range map[string]*oddStore{
		"open": {Store: p.cfg.Store, open: true}, "buckets": {Store: p.cfg.Store, buckets: true},
	} {
		p.add(t, store.User{Name: name})
		a := p.over(t, odd)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			a.Login(from(t.Context(), "192.0.2.1"), goodLogin(name))
		}()
		odd.open, odd.buckets = false, false
		ctx, cancel := context.WithTimeout(from(t.Context(), "192.0.2.1"), authtest.Timeout)
		if _, err := a.Login(ctx, goodLogin(name)); err != nil {
			t.Errorf("%s: after a panic a login: %v", name, err)
		}
		cancel()
	}
}

// oddStore is a store that panics where it is told to.
type oddStore struct {
	Store
	open, buckets bool
}

func (s *oddStore) OpenSession(ctx context.Context, l store.Login) (store.Opened, error) {
	if s.open {
		panic("odd")
	}
	return s.Store.OpenSession(ctx, l)
}

func (s *oddStore) UpdateBuckets(
	ctx context.Context, keys []string, update func([]store.Bucket) error,
) error {
	if s.buckets {
		panic("odd")
	}
	return s.Store.UpdateBuckets(ctx, keys, update)
}

// calls is a store that notes which of its methods a login calls.
type calls struct {
	Store
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

func (s *calls) UpdateUser(
	ctx context.Context, id int64, update func(store.User) (store.User, error),
	effects ...store.EffectsFunc,
) (store.User, []store.Ended, error) {
	s.note("UpdateUser")
	return s.Store.UpdateUser(ctx, id, update, effects...)
}

func (s *calls) UpdateBuckets(
	ctx context.Context, keys []string, update func([]store.Bucket) error,
) error {
	s.note(fmt.Sprint("UpdateBuckets of ", len(keys)))
	return s.Store.UpdateBuckets(ctx, keys, update)
}

func (s *calls) RecordEvents(ctx context.Context, events ...store.Event) error {
	s.note(fmt.Sprint("RecordEvents of ", len(events))) // no client waits for it
	return s.Store.RecordEvents(ctx, events...)
}

func (s *calls) Events(
	ctx context.Context, filter store.EventFilter, before int64, limit int,
) ([]store.Event, error) {
	s.note("Events")
	return s.Store.Events(ctx, filter, before, limit)
}

func (s *calls) OpenSession(ctx context.Context, l store.Login) (store.Opened, error) {
	s.note("OpenSession")
	return s.Store.OpenSession(ctx, l)
}

func (s *calls) ReplacePasswordHash(ctx context.Context, id int64, old, hash string) error {
	s.note("ReplacePasswordHash")
	return s.Store.ReplacePasswordHash(ctx, id, old, hash)
}

// TestALoginAsksTheStoreThreeTimes checks that a login reads once and commits twice: before the
// hash, so that an attempt counts whatever happens then, and after it.
func TestALoginAsksTheStoreThreeTimes(t *testing.T) {
	p := start(t, authtest.SQLite(), authtest.SQLite().Migrated(t))
	p.add(t, store.User{Name: "ana"})
	p.addForeign(t, "old") // whose hash the login replaces
	noted := &calls{Store: p.cfg.Store}
	q := p.over(t, noted)
	for _, name := range []string{"ana", "ana", "old"} {
		q.wantTry(t, "192.0.2.1", goodLogin(name), "in")
		got := fmt.Sprint(noted.take())
		if ok, _ := path.Match(`\[UserByName UpdateBuckets of ? OpenSession\]`, got); !ok {
			t.Errorf("a login calls %s", got)
		}
	}
}

// TestRefusalsAskTheStoreTheSame checks that the store does the same work for an unknown user, a
// wrong password and a disabled user, and that a forged device token costs nothing.
func TestRefusalsAskTheStoreTheSame(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p := start(t, e, url, atClock(c))
		p.add(t, store.User{Name: "ana"})
		p.add(t, store.User{Name: "bob"})
		off := p.add(t, store.User{Name: "off"})
		p.change(t, off, func(u *store.User) { u.Disabled = true })
		bob := p.wantTry(t, "192.0.2.9", goodLogin("bob"), "in")
		noted := &calls{Store: p.cfg.Store}
		q := p.over(t, noted)
		var first []string
		for i, r := range []LoginRequest{
			{User: "ana", Password: "wrong"},
			{User: "nobody", Password: "wrong"},
			{User: "nobody", Password: goodPassword},
			{User: "off", Password: "wrong"},
			{User: "off", Password: goodPassword},
			{User: "ana", Password: "wrong", Device: "1.made.0.up"},
			{User: "ana", Password: "wrong", Device: bob.Device},
			{User: "ana", Password: "wrong", Device: bob.Device[:len(bob.Device)-1]},
			{User: "nobody", Password: "wrong", Device: bob.Device},
		} {
			q.wantTry(t, fmt.Sprint("192.0.2.", i), r, "wrong")
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
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p := start(t, e, url, atClock(c))
		p.add(t, store.User{Name: "ana"})
		p.wantTry(t, "192.0.2.1", goodLogin("ana"), "in")
		p.wantTry(t, "192.0.2.1", LoginRequest{User: "ana", Password: "wrong"}, "wrong")
		if n := countEvents(t, p, store.EventFilter{}); n != 3 { // the user, a login and a failure
			t.Fatalf("%d events", n)
		}
		c.Advance(23 * time.Hour)
		newCleaner(p.cfg).once(t.Context())
		for range 4 {
			p.wantTry(t, "192.0.2.1", LoginRequest{User: "ana", Password: "wrong"}, "wrong")
		}
		p.wantTry(t, "192.0.2.1", LoginRequest{User: "ana", Password: "wrong"}, "wait 1")
		c.Advance(store.AuditKept - 23*time.Hour)
		newCleaner(p.cfg).once(t.Context())
		if n := countEvents(t, p, store.EventFilter{}); n == 0 {
			t.Error("events go before their time")
		}
		c.Advance(24 * time.Hour)
		newCleaner(p.cfg).once(t.Context())
		if n := countEvents(t, p, store.EventFilter{}); n != 0 {
			t.Errorf("%d events are left", n)
		}
		for rows, remove := range map[string]func(context.Context, time.Time, int) (int, error){
			"buckets":  p.store.DeleteBuckets,
			"networks": p.store.DeleteNetworks,
			"sessions": p.store.DeleteSessions,
		} {
			n, err := remove(t.Context(), c.Now().Add(10*365*24*time.Hour), 100)
			must(t, err)
			if n != 0 {
				t.Errorf("%d %s are left", n, rows)
			}
		}
	})
}

// TestAHashFromElsewhereIsReplacedAtTheFirstLogin logs in with one hash of each family. All are of
// the same password and were made by other software.
func TestAHashFromElsewhereIsReplacedAtTheFirstLogin(t *testing.T) {
	const given = "correct hörse Ж"
	current := func(hash string) bool {
		return strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$")
	}
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		p := start(t, e, url)
		for i, hash := range []string{
			"$argon2i$v=19$m=1024,t=2,p=2$VZgdRW5PfK2qG4usU++Dag$2yub7uTjC0h/aF91kL+WrA",
			"$2b$04$/DMVRkg8FjbJ2Kp9zooAGOwg0pq.JTSehiS7cYWKEaO8JUHxGfqQy",
			"$scrypt$ln=10,r=8,p=1$USrlXKv1ntM6R4ixdm4NwQ$" +
				"6uILx9g2eC8k91wQRWi3PKoKta8XI5PjOO1Gl0yE0ks",
			"$pbkdf2-sha1$i=1000$CD8dNoMSGm2LqM6EwCoJyQ$iy550mkAlVbk4c0867+7/4hLJwA",
		} {
			name := fmt.Sprint("user", i)
			u, err := p.accounts.Add(t.Context(),
				store.User{Name: name, Role: store.Viewer, PasswordHash: hash}, "")
			must(t, err)
			wrong := LoginRequest{User: name, Password: given + "x"}
			if _, err := p.Login(t.Context(), wrong); !errors.Is(err, ErrInvalidLogin) {
				t.Errorf("%s: a wrong password: %v", hash, err)
			}
			if kept := p.user(t, u.ID).PasswordHash; kept != hash {
				t.Errorf("%s: a wrong password replaced the hash", hash)
			}
			for range 2 {
				g, err := p.Login(t.Context(), LoginRequest{User: name, Password: given})
				must(t, err)
				must(t, p.verdict(t, g.Token))
				if kept := p.user(t, u.ID).PasswordHash; !current(kept) || !matches(kept, given) {
					t.Errorf("%s: after a login the hash is %s", hash, kept)
				}
			}
		}
	})
}
