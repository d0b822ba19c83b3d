package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/auth/captcha"
	"clientes/auth/password"
	"clientes/store"
	"clientes/store/storetest"
)

// smallPuzzles makes puzzles that take no time, for tests that are not about the work.
func smallPuzzles(int64) int64 { return 10 }

// challengeIn returns the challenge of an error, "" if it has none.
func challengeIn(err error) string {
	var challenged *ChallengeError
	if errors.As(err, &challenged) {
		return challenged.Challenge
	}
	return ""
}

func solve(t testing.TB, challenge string) string {
	t.Helper()
	solution, err := captcha.Solve(challenge)
	must(t, err)
	return solution
}

// withSolution calls request, and once more with a solution if one is required.
func withSolution(
	t testing.TB, ctx context.Context, request func(ctx context.Context) error,
) error {
	t.Helper()
	err := request(ctx)
	if errors.Is(err, ErrCaptchaRequired) {
		err = request(WithCaptcha(ctx, solve(t, challengeIn(err))))
	}
	return err
}

func mustSolve(t testing.TB, ctx context.Context, request func(ctx context.Context) error) {
	t.Helper()
	must(t, withSolution(t, ctx, request))
}

// blocked has strangers fail under a name until it has to wait, and returns a solution for it.
func (p *process) blocked(t testing.TB, name string) (solution string) {
	t.Helper()
	for i := range nameLimit.Free {
		p.wantTry(t, fmt.Sprint("203.0.113.", i), LoginRequest{User: name, Password: "x"}, "wrong")
	}
	return p.solution(t, name)
}

// solution returns the solution of a challenge for a name that has to wait.
func (p *process) solution(t testing.TB, name string) string {
	t.Helper()
	_, err := p.Login(from(t.Context(), "198.51.100.1"), goodLogin(name))
	wantError(t, "a name that has to wait", err, ErrTooManyAttempts)
	return solve(t, challengeIn(err))
}

// startPair starts two processes on a database, with small puzzles.
func startPair(t testing.TB, e authtest.Engine, url string, c *authtest.Clock) (p, q *process) {
	t.Helper()
	p, q = start(t, e, url, atClock(c)), start(t, e, url, atClock(c))
	p.guard.captchas.numbers, q.guard.captchas.numbers = smallPuzzles, smallPuzzles
	return p, q
}

// TestASolutionStandsInForWaiting has strangers block a name and a network.
func TestASolutionStandsInForWaiting(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p, q := startPair(t, e, url, c)
		p.add(t, store.User{Name: "ana"})
		p.add(t, store.User{Name: "bia"})
		const home = "198.51.100.1"
		right, wrong := goodLogin("ana"), LoginRequest{User: "ana", Password: "x"}

		solution := p.blocked(t, "ana")
		q.wantTry(t, home, goodLogin("bia").withCaptcha("not needed"), "in")
		q.wantTry(t, home, right, "wait 1")
		q.wantTry(t, home, right.withCaptcha("x"), "wait 1")
		// Neither for another name, nor for another purpose, nor by another spelling of the number.
		_ = p.blocked(t, "bia")
		q.wantTry(t, home, goodLogin("bia").withCaptcha(solution), "wait 1")
		forgot := p.guard.captchas.issuer.Challenge(captchaForgot, store.NameKey("ana"), 10)
		other := solve(t, forgot)
		q.wantTry(t, home, right.withCaptcha(other), "wait 1")
		q.wantTry(t, home, right.withCaptcha(solution+".0"), "wait 1")
		// It counts as a failure when it fails, and is used up.
		q.wantTry(t, home, wrong.withCaptcha(solution), "wrong")
		p.wantTry(t, home, wrong, "wait 2")
		p.wantTry(t, home, right.withCaptcha(solution), "wait 2")
		// The name is not the user's spelling of it.
		upper := goodLogin("ANA").withCaptcha(p.solution(t, "Ana"))
		p.wantTry(t, home, upper, "in")
		// A success clears the count. The solution stays used.
		again := p.blocked(t, "ana")
		p.wantTry(t, home, upper, "wait 1")
		c.Advance(captcha.TTL)
		for range 20 { // the name waits again, and longer than the solution is good
			if _, end := p.try(t, home, wrong); strings.HasPrefix(end, "wait") {
				break
			}
		}
		_, err := p.Login(from(t.Context(), home), right.withCaptcha(again))
		var challenged *ChallengeError
		if !errors.As(err, &challenged) || !challenged.Refused || challenged.Challenge == "" {
			t.Errorf("an expired solution: %v", err)
		}

		// A network that has to wait, for a name that has not.
		for i := range 200 {
			q.try(t, "192.0.2.1", LoginRequest{User: fmt.Sprint("nobody", i), Password: "x"})
		}
		p.add(t, store.User{Name: "eva"})
		_, err = q.Login(from(t.Context(), "192.0.2.1"), goodLogin("eva"))
		q.wantTry(t, "192.0.2.1", goodLogin("eva").withCaptcha(solve(t, challengeIn(err))), "in")

		// A site that has to wait.
		const room, nextRoom = "2001:db8:1:2::1", "2001:db8:1:3::1"
		p.fill(t, networkBuckets(room)[1], siteLimit.Free-1)
		p.wantTry(t, room, LoginRequest{User: "nobody", Password: "x"}, "wrong")
		_, err = q.Login(from(t.Context(), nextRoom), goodLogin("eva"))
		q.wantTry(t, nextRoom, goodLogin("eva").withCaptcha(solve(t, challengeIn(err))), "in")
	})
}

// TestSolvedTriesOfAName checks that there are twenty a day, and that a name of no user has as many
// and the same answers.
func TestSolvedTriesOfAName(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p, q := startPair(t, e, url, c)
		p.add(t, store.User{Name: "ana"})
		tries := func(name string) (ends []string) {
			p.blocked(t, name)
			for i := range 30 {
				m := []*process{p, q}[i%2]
				_, err := m.Login(from(t.Context(), "198.51.100.1"), goodLogin(name))
				ends = append(ends, fmt.Sprintf("%v %t", err, challengeIn(err) != ""))
				if challengeIn(err) == "" {
					break
				}
				_, end := m.try(t, "198.51.100.1",
					LoginRequest{User: name, Password: "x", Captcha: solve(t, challengeIn(err))})
				ends = append(ends, end)
			}
			return ends
		}
		known, unknown := tries("ana"), tries("nobody")
		if strings.Count(strings.Join(known, ","), "wrong") != 20 {
			t.Errorf("%v", known)
		}
		if strings.Join(known, ",") != strings.Join(unknown, ",") {
			t.Errorf("of a user %v,\nof nobody %v", known, unknown)
		}
		// Waiting always works.
		c.Advance(15 * time.Minute)
		p.wantTry(t, "198.51.100.1", goodLogin("ana"), "in")
		c.Advance(24 * time.Hour)
		p.wantTry(t, "198.51.100.1", goodLogin("ana").withCaptcha(p.blocked(t, "ana")), "in")
	})
}

// TestSolvedTriesOfANetwork has somebody solve puzzles for many names, from the networks of an IPv6
// site and from an IPv4 address.
func TestSolvedTriesOfANetwork(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p, q := startPair(t, e, url, c)
		for _, ips := range [][2]string{
			{"2001:db8:1:2::1", "2001:db8:1:3::1"}, {"192.0.2.1", "::ffff:192.0.2.1"},
		} {
			solve := func(m *process, ip, name string) (challenge bool, end string) {
				_, err := m.Login(from(t.Context(), ip), LoginRequest{User: name, Password: "x"})
				if challengeIn(err) == "" {
					return false, ""
				}
				_, end = m.try(t, ip, LoginRequest{
					User: name, Password: "x", Captcha: solve(t, challengeIn(err)),
				})
				return true, end
			}
			for i := range 3 {
				p.blocked(t, fmt.Sprint("nobody", i))
			}
			solved := solvedBuckets(p.keys, "", ips[0])[1]
			p.fill(t, solved, networkSolvedLimit.Free-2)
			for i, m := range []*process{p, q} {
				if _, end := solve(m, ips[i], fmt.Sprint("nobody", i)); end != "wrong" {
					t.Errorf("%s: a solved try ends in %q", ips[i], end)
				}
			}
			if challenge, _ := solve(p, ips[0], "nobody2"); challenge {
				t.Errorf("%s: there are more solved tries", ips[0])
			}
			if challenge, _ := solve(p, "198.51.100.1", "nobody2"); !challenge {
				t.Error("another network has no solved tries")
			}
			c.Advance(48 * time.Hour)
		}
	})
}

// TestOneSolutionAtOnce sends one solution a hundred times at once, to two processes. One of them
// has its password checked.
func TestOneSolutionAtOnce(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		p, q := startPair(t, e, url, authtest.StoppedAt(someDay))
		p.add(t, store.User{Name: "ana"})
		solution := p.blocked(t, "ana")
		var looked, waited atomic.Int64
		authtest.AtOnce(100, func(i int) {
			r := LoginRequest{User: "ana", Password: fmt.Sprint("guess", i), Captcha: solution}
			_, err := []*process{p, q}[i%2].Login(from(t.Context(), fmt.Sprint("192.0.2.", i)), r)
			switch {
			case errors.Is(err, ErrInvalidLogin):
				looked.Add(1)
			case errors.Is(err, ErrTooManyAttempts):
				waited.Add(1)
			default:
				t.Error(err)
			}
		})
		if looked.Load() != 1 || waited.Load() != 99 {
			t.Errorf("%d were looked at, %d had to wait", looked.Load(), waited.Load())
		}
	})
}

// TestASolutionThatNobodyLookedAt is good again: after a full gate, and after a right password
// whose code is missing.
func TestASolutionThatNobodyLookedAt(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p, _ := startPair(t, e, url, c)
		ana := p.add(t, store.User{Name: "ana"})
		solution := p.blocked(t, "ana")
		broken := p.with(t, func(cfg *Config) { cfg.Gate = password.NewGate(brokenHasher{}, 1, 0) })
		right := goodLogin("ana").withCaptcha(solution)
		_, err := broken.Login(from(t.Context(), "192.0.2.1"), right)
		wantError(t, "a hasher that is out of order", err, errBroken)
		p.change(t, ana, func(u *store.User) { u.MFA = store.MFA{Secret: "x", On: true} })
		p.wantTry(t, "192.0.2.1", right, "code?")
		p.change(t, ana, func(u *store.User) { u.MFA = store.MFA{} })
		p.wantTry(t, "192.0.2.1", right, "in")
	})
}

// TestNoSolutionHelpsOtherLimits checks that neither a device nor codes have a challenge.
func TestNoSolutionHelpsOtherLimits(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p, _ := startPair(t, e, url, c)
		p.add(t, store.User{Name: "ana"})
		known := p.wantTry(t, "192.0.2.1", goodLogin("ana"), "in").Device
		solution := p.blocked(t, "ana")
		wrong := LoginRequest{User: "ana", Password: "x", Device: known}
		for range 5 {
			p.wantTry(t, "192.0.2.1", wrong, "wrong")
		}
		_, err := p.Login(from(t.Context(), "192.0.2.1"), wrong.withCaptcha(solution))
		if !errors.Is(err, ErrTooManyAttempts) || challengeIn(err) != "" {
			t.Errorf("of a device: %v %q", err, challengeIn(err))
		}
		p.wantTry(t, "192.0.2.1", goodLogin("ana").withCaptcha(solution), "in")
	})
}

// TestTheFourthNeedsASolution signs up, and requests links, more often than is free. The two count
// apart.
func TestTheFourthNeedsASolution(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p, q := startPair(t, e, url, c)
		ctx := from(t.Context(), "2001:db8:1:2::1")
		neighbour := from(t.Context(), "2001:db8:1:2::ffff")
		signUp := func(ctx context.Context) error {
			_, err := q.SignUp(ctx, "a b", "", "short")
			return err
		}
		forgot := func(ctx context.Context) error { return p.ForgotPassword(ctx, "nobody", "") }
		var invalid *store.InvalidError
		for range 3 {
			if err := signUp(ctx); !errors.As(err, &invalid) {
				t.Errorf("a sign-up: %v", err)
			}
			must(t, forgot(ctx))
		}
		signUpErr, forgotErr := signUp(neighbour), forgot(neighbour)
		for _, err := range []error{signUpErr, forgotErr} {
			var many *TooManyError
			if !errors.Is(err, ErrCaptchaRequired) || !errors.As(err, &many) ||
				many.Wait != 15*time.Minute || !many.Asked {
				t.Fatalf("the fourth: %v", err)
			}
		}
		forSignUp, forForgot := solve(t, challengeIn(signUpErr)), solve(t, challengeIn(forgotErr))
		wantError(t, "a link with a solution for a sign-up",
			forgot(WithCaptcha(ctx, forSignUp)), ErrCaptchaRequired)
		elsewhere := from(t.Context(), "192.0.2.1")
		for range 3 {
			must(t, forgot(elsewhere))
		}
		wantError(t, "with a solution of another network",
			forgot(WithCaptcha(elsewhere, forForgot)), ErrCaptchaRequired)
		must(t, forgot(WithCaptcha(ctx, forForgot)))
		wantError(t, "a solution twice", forgot(WithCaptcha(ctx, forForgot)), ErrCaptchaRequired)
		if err := signUp(WithCaptcha(ctx, forSignUp)); !errors.As(err, &invalid) {
			t.Errorf("a sign-up with a solution: %v", err)
		}
		c.Advance(15 * time.Minute) // waiting always works
		must(t, forgot(ctx))
	})
}

// bucketCounter counts the calls that a login makes.
type bucketCounter struct {
	store.Store
	mu    sync.Mutex
	calls int
	keys  map[string]bool
}

func (s *bucketCounter) UpdateBuckets(
	ctx context.Context, keys []string, update func([]store.Bucket) error,
) error {
	s.mu.Lock()
	s.calls++
	for _, key := range keys {
		s.keys[key] = true
	}
	s.mu.Unlock()
	return s.Store.UpdateBuckets(ctx, keys, update)
}

// TestAFloodOfBadSolutions checks that ten thousand of them cause no question to the store that the
// login alone would not cause, and no row.
func TestAFloodOfBadSolutions(t *testing.T) {
	c := authtest.StoppedAt(someDay)
	e := authtest.SQLite()
	p := start(t, e, e.Migrated(t), atClock(c))
	counting := &bucketCounter{Store: p.store, keys: make(map[string]bool)}
	q := p.over(t, counting)
	p.add(t, store.User{Name: "ana"})
	good := p.blocked(t, "ana")
	parts := strings.Split(good, ".")
	for i := range 10_000 {
		bad := []string{
			"", "x", good + "0", strings.Join(append(parts[:4:4], parts[0], parts[5]), "."),
		}[i%4]
		if _, ok := q.guard.captchas.issuer.Check(captchaLogin, "ana", bad); ok {
			t.Fatalf("%s is good", bad)
		}
	}
	if counting.calls != 0 {
		t.Errorf("%d calls", counting.calls)
	}
	for _, bad := range []string{"", "x", good + "0"} {
		before := counting.calls
		q.wantTry(t, "192.0.2.1", goodLogin("ana").withCaptcha(bad), "wait 1")
		if n := counting.calls - before; n != 1 {
			t.Errorf("%q: %d calls", bad, n)
		}
	}
	for key := range counting.keys {
		if strings.HasPrefix(key, "captcha ") {
			t.Errorf("a bad solution has the key %s", key)
		}
	}
}

// TestAResetLetsTheOwnerIn has strangers keep a name blocked. Its owner follows a link, and logs in
// while they go on.
func TestAResetLetsTheOwnerIn(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		a := startMailing(t, e, url, c.Now, nil)
		ana := a.add(t, store.User{Name: "ana", Email: "ana@example.com"})
		a.blocked(t, "ana")
		must(t, a.ForgotPassword(from(t.Context(), "198.51.100.1"), "ana", ""))
		link := a.takeLinks(t)["reset ana@example.com"]
		const another = "another " + goodPassword
		device, err := a.ResetPassword(t.Context(), link, another)
		must(t, err)
		a.wantTry(t, "198.51.100.1", LoginRequest{User: "ana", Password: another}, "in")
		a.blocked(t, "ana")
		owner := LoginRequest{User: "ana", Password: another, Device: device}
		a.wantTry(t, "198.51.100.1", owner, "in")
		// It lets nobody else in, and disabling the user cancels it.
		owner.Password = goodPassword
		a.wantTry(t, "198.51.100.1", owner, "wrong")
		must(t, a.accounts.Disable(t.Context(), "ana"))
		must(t, a.accounts.Enable(t.Context(), "ana"))
		if d, ok := parseDeviceToken(a.keys, device); !ok || d.good(a.user(t, ana.ID), c.Now()) {
			t.Errorf("the device token is good after the user was disabled")
		}
	})
}

// memoryBuckets is a store whose counts are in memory: a year of attempts then takes seconds.
type memoryBuckets struct {
	store.Store
	mu   sync.Mutex
	rows authtest.Buckets
}

func (s *memoryBuckets) UpdateBuckets(
	ctx context.Context, keys []string, update func([]store.Bucket) error,
) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows.UpdateBuckets(ctx, keys, update)
}

// attack is what somebody has to guess one password with.
type attack struct {
	name      string
	addresses int
	address   func(i int) string
	work      bool // solves puzzles
}

// TestGuessesAYear has attackers guess one password by whole logins, as fast as they are let, while
// its owner logs in on a known device every day. The counts are real, and in memory; TestGuessing
// has the same on real stores. It logs how many guesses were looked at. TEST_ROUNDS makes it a year
// (TEST_ROUNDS=12) in place of a month.
func TestGuessesAYear(t *testing.T) {
	days := min(30*storetest.Rounds(t, 1), 365)
	botnet := func(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255) }
	slash32 := func(i int) string { return fmt.Sprintf("2001:db8:%x::1", i) }
	for _, a := range []attack{
		{"botnet of 10,000 that waits", 10_000, botnet, false},
		{"botnet of 10,000 that computes", 10_000, botnet, true},
		{"/32 of IPv6 that waits", 1 << 16, slash32, false},
		{"/32 of IPv6 that computes", 1 << 16, slash32, true},
	} {
		t.Run(a.name, func(t *testing.T) {
			guesses, solved := a.run(t, days)
			year := guesses * 365 / days
			t.Logf("%d guesses in %d days (%d a year), %d of them by solving",
				guesses, days, year, solved)
			most := 37_000
			if a.work {
				most += 20 * 366
			}
			if year > most || year < 34_000 || a.work != (solved > 0) {
				t.Errorf("%d guesses a year, %d solved, want %d at most", year, solved, most)
			}
		})
	}
}

// run guesses for some days, and returns how many guesses were looked at, and how many of them did
// not wait.
func (a attack) run(t *testing.T, days int) (guesses, solved int) {
	t.Helper()
	c := authtest.StoppedAt(someDay)
	e := authtest.SQLite()
	p := start(t, e, e.Migrated(t), atClock(c))
	p.add(t, store.User{Name: "ana"})
	p = p.over(t, &memoryBuckets{Store: p.store, rows: make(authtest.Buckets)})
	p.guard.captchas.numbers = smallPuzzles
	known := p.wantTry(t, "192.0.2.1", goodLogin("ana"), "in").Device
	sender := 0
	guess := func(solution string) error {
		sender = (sender + 1) % a.addresses
		_, err := p.Login(from(t.Context(), a.address(sender)),
			LoginRequest{User: "ana", Password: "guess", Captcha: solution})
		return err
	}
	day := 24 * time.Hour
	next := c.Now()
	for end := c.Now().Add(time.Duration(days) * day); c.Now().Before(end); {
		if !c.Now().Before(next) { // on a device, whatever the attackers have just done
			known = p.wantTry(t, "192.0.2.1", goodLogin("ana").withDevice(known), "in").Device
			next = next.Add(day)
		}
		err := guess("")
		if challenge := challengeIn(err); a.work && challenge != "" {
			if err = guess(solve(t, challenge)); errors.Is(err, ErrInvalidLogin) {
				solved++
			}
		}
		var many *TooManyError
		switch {
		case errors.Is(err, ErrInvalidLogin):
			guesses++
		case errors.As(err, &many):
			c.Advance(many.Wait)
		default:
			t.Fatal(err)
		}
	}
	return guesses, solved
}
