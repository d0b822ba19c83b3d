package auth

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"clientes/auth/authtest"
	"clientes/auth/mail"
	"clientes/auth/password"
	"clientes/auth/throttle"
	"clientes/store"
)

// measured is a process whose metrics a test reads. Nothing runs in its background.
type measured struct {
	*process
	registry *prometheus.Registry
}

// measure returns a process like p, with metrics of its own.
func (p *process) measure(t testing.TB, changes ...func(*Config)) *measured {
	t.Helper()
	m := &measured{registry: prometheus.NewRegistry()}
	m.process = p.with(t, func(cfg *Config) {
		for _, change := range changes {
			change(cfg)
		}
		cfg.Metrics = m.registry
	})
	return m
}

// series returns all counters and gauges, and of histograms the count, by their name and labels in
// the form of Prometheus.
func (m *measured) series(t testing.TB) map[string]float64 {
	t.Helper()
	families, err := m.registry.Gather()
	must(t, err)
	all := make(map[string]float64)
	for _, f := range families {
		for _, one := range f.GetMetric() {
			var labels []string
			for _, l := range one.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			name := strings.TrimPrefix(f.GetName(), "clientes_")
			if labels != nil {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			if h := one.GetHistogram(); h != nil {
				all[name+"_count"] = float64(h.GetSampleCount())
			} else {
				all[name] = one.GetCounter().GetValue() + one.GetGauge().GetValue()
			}
		}
	}
	delete(all, "ended_sessions_age_seconds") // it goes by the clock
	return all
}

// wantMoves calls do, and reports if other series than these move, or by other values.
func (m *measured) wantMoves(t *testing.T, what, want string, do func()) {
	t.Helper()
	before := m.series(t)
	do()
	after := m.series(t)
	var moved []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if by := after[name] - before[name]; by != 0 {
			moved = append(moved, fmt.Sprintf("%s%+g", name, by))
		}
	}
	if got := strings.Join(moved, " "); got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

// hashed is what moves when a password is verified.
const hashed = " password_hash_duration_seconds_count+1 password_hash_queue_duration_seconds_count+1"

func TestMetricsOfLogins(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p := start(t, e, url, atClock(c))
		p.add(t, store.User{Name: "ana"})
		app, _ := p.enrol(t, p.add(t, store.User{Name: "bia"}), c.Now())
		m := p.measure(t)
		try := func(r LoginRequest, want string) func() {
			return func() { m.wantTry(t, "192.0.2.1", r, want) }
		}
		wrong := LoginRequest{User: "ana", Password: "wrong"}
		var device string
		m.wantMoves(t, "a login", "logins_total{result=ok}+1"+hashed, func() {
			device = m.wantTry(t, "192.0.2.1", goodLogin("ana"), "in").Device
		})
		m.wantMoves(t, "a wrong password",
			"audit_waiting+1 logins_total{result=wrong}+1"+hashed, try(wrong, "wrong"))
		m.wantMoves(t, "another one", "logins_total{result=wrong}+1"+hashed, try(wrong, "wrong"))
		m.wantMoves(t, "the audit is read", "audit_waiting-1",
			func() { countEvents(t, m.process, store.EventFilter{}) })
		m.wantMoves(t, "a user who is none",
			"audit_waiting+1 logins_total{result=wrong}+1"+hashed,
			try(LoginRequest{User: "nobody", Password: "wrong"}, "wrong"))
		m.wantMoves(t, "no code",
			"audit_waiting+1 logins_total{result=second_factor_wanted}+1"+hashed,
			try(goodLogin("bia"), "code?"))
		m.wantMoves(t, "a wrong code",
			"audit_waiting+1 logins_total{result=second_factor_wrong}+1"+hashed,
			try(goodLogin("bia").withCode("000000"), "wrong code"))
		c.Advance(time.Minute)
		m.wantMoves(t, "a right code, and the audit is kept",
			"audit_waiting-3 logins_total{result=ok}+1"+hashed,
			try(goodLogin("bia").withCode(app.code(c.Now())), "in"))

		for range 3 {
			m.wantTry(t, "192.0.2.1", wrong, "wrong")
		}
		countEvents(t, m.process, store.EventFilter{})
		m.wantMoves(t, "too many, but a puzzle would do",
			"attempts_blocked_total+1 audit_waiting+1 logins_total{result=captcha}+1",
			try(wrong, "wait 1"))
		for range 5 {
			m.wantTry(t, "192.0.2.1", wrong.withDevice(device), "wrong")
		}
		m.wantMoves(t, "too many from a device",
			"attempts_blocked_total+1 logins_total{result=blocked}+1",
			try(wrong.withDevice(device), "wait 1"))
	})
}

// failingStore fails where a login or a refresh begins.
type failingStore struct {
	store.Store
	err error
}

func (s failingStore) UserByName(context.Context, string) (store.User, error) {
	return store.User{}, s.err
}

func (s failingStore) UpdateSession(
	context.Context, string, func(store.Session) (store.Session, error),
) (store.Session, store.User, error) {
	return store.Session{}, store.User{}, s.err
}

func (s failingStore) MailQueue(context.Context) (store.MailQueue, error) {
	return store.MailQueue{}, s.err
}

// noHasher is a Hasher whose process is gone.
type noHasher struct{ brokenHasher }

func (noHasher) Verify(string, string, bool) (bool, string, error) {
	return false, "", fmt.Errorf("%w: it does not start", ErrNoHasher)
}

// TestMetricsOfLoginsThatNobodyLookedAt has logins fail for reasons of the server.
func TestMetricsOfLoginsThatNobodyLookedAt(t *testing.T) {
	t.Parallel()
	e := authtest.SQLite()
	p := start(t, e, e.Migrated(t))
	p.add(t, store.User{Name: "ana"})
	hasher := func(h password.Hasher) func(*Config) {
		return func(cfg *Config) { cfg.Gate = password.NewGate(h, 1, 0) }
	}
	failing := func(err error) func(*Config) {
		return func(cfg *Config) { cfg.Store = failingStore{p.store, err} }
	}
	away := fmt.Errorf("connect: %w", store.ErrUnavailable)
	for what, test := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"the store is away":  {failing(away), "logins_total{result=unavailable}+1"},
		"the client left":    {failing(context.Canceled), "logins_total{result=canceled}+1"},
		"something is odd":   {failing(errors.New("odd")), "logins_total{result=error}+1"},
		"no hasher":          {hasher(noHasher{}), "logins_total{result=no_hasher}+1" + hashed},
		"a hasher that errs": {hasher(brokenHasher{}), "logins_total{result=error}+1" + hashed},
	} {
		m := p.measure(t, test.change)
		m.wantMoves(t, what, test.want, func() {
			if _, err := m.Login(t.Context(), goodLogin("ana")); err == nil {
				t.Errorf("%s: a login succeeds", what)
			}
		})
	}

	m := p.measure(t, hasher(quickHasher))
	must(t, m.cfg.Gate.Do(t.Context(), func(password.Hasher) error {
		m.wantMoves(t, "the gate is full", "logins_total{result=overloaded}+1", func() {
			_, err := m.Login(t.Context(), goodLogin("ana"))
			wantError(t, "a login", err, ErrOverloaded)
		})
		return nil
	}))

	m = p.measure(t, func(cfg *Config) { cfg.Gate = password.NewGate(quickHasher, 1, 1) })
	var waits sync.WaitGroup
	must(t, m.cfg.Gate.Do(t.Context(), func(password.Hasher) error {
		waits.Go(func() { m.login(t, "ana") })
		authtest.Eventually(t, "a login waits",
			func() bool { return m.series(t)["password_hashes_waiting"] == 1 })
		return nil
	}))
	waits.Wait()
	if n := m.series(t)["password_hashes_waiting"]; n != 0 {
		t.Errorf("%v wait when all have left", n)
	}
}

func TestMetricsOfRefreshes(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p := start(t, e, url, atClock(c))
		p.add(t, store.User{Name: "ana"})
		m := p.measure(t)
		grant := func() Grant { return m.wantTry(t, "192.0.2.1", goodLogin("ana"), "in") }
		first := grant()
		var second Grant
		use := func(refreshToken string, want error) func() {
			return func() {
				g, err := m.Refresh(t.Context(), refreshToken)
				wantError(t, "a refresh", err, want)
				if err == nil {
					second = g
				}
			}
		}
		m.wantMoves(t, "the newest token", "refreshes_total{result=ok}+1",
			use(first.RefreshToken, nil))
		m.wantMoves(t, "its parent within the grace", "refreshes_total{result=replayed}+1",
			use(first.RefreshToken, nil))
		m.wantMoves(t, "the newest once more", "refreshes_total{result=ok}+1",
			use(second.RefreshToken, nil))
		m.wantMoves(t, "the token of a thief",
			"ended_sessions+1 refreshes_total{result=reused}+1",
			use(first.RefreshToken, ErrRefreshReused))
		m.wantMoves(t, "its session has ended", "refreshes_total{result=invalid}+1",
			use(second.RefreshToken, ErrRefreshInvalid))
		m.wantMoves(t, "no token of ours", "refreshes_total{result=invalid}+1",
			use("x", ErrRefreshInvalid))
		old := grant()
		c.Advance(31 * time.Minute)
		m.wantMoves(t, "an idle session", "ended_sessions+1 refreshes_total{result=expired}+1",
			use(old.RefreshToken, ErrRefreshInvalid))
		m.wantMoves(t, "again", "refreshes_total{result=expired}+1",
			use(old.RefreshToken, ErrRefreshInvalid))
		mad := grant()
		m.rotated = throttle.NewMemory(0, time.Hour)
		m.wantMoves(t, "in a loop", "refreshes_total{result=blocked}+1",
			use(mad.RefreshToken, ErrTooManyAttempts))
		for result, err := range map[string]error{
			"unavailable": store.ErrUnavailable, "canceled": context.DeadlineExceeded,
			"error": errors.New("odd"),
		} {
			m := p.measure(t, func(cfg *Config) { cfg.Store = failingStore{p.store, err} })
			m.wantMoves(t, result, "refreshes_total{result="+result+"}+1", func() {
				_, got := m.Refresh(t.Context(), mad.RefreshToken)
				wantError(t, result, got, err)
			})
		}
	})
}

func TestMetricsOfSessions(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		p := start(t, e, url)
		p.add(t, store.User{Name: "ana"})
		m := p.measure(t)
		first, second := m.login(t, "ana"), m.login(t, "ana")
		check := func(accessToken string, want error) func() {
			return func() { wantError(t, "a token", m.verdict(t, accessToken), want) }
		}
		m.wantMoves(t, "a token", "token_cache_misses_total+1", check(first, nil))
		m.wantMoves(t, "it comes again", "token_cache_hits_total+1", check(first, nil))
		m.wantMoves(t, "no token", "token_cache_misses_total+1", check("x", ErrTokenInvalid))
		m.wantMoves(t, "a logout", "ended_sessions+1 token_cache_hits_total+1",
			func() { must(t, m.Logout(t.Context(), first)) })
		m.wantMoves(t, "another logout of it", "token_cache_hits_total+1",
			func() { must(t, m.Logout(t.Context(), first)) })
		m.wantMoves(t, "a token of an ended session", "token_cache_hits_total+1",
			check(first, ErrTokenRevoked))
		m.wantMoves(t, "a token of another one", "token_cache_misses_total+1", check(second, nil))

		m.denied.known.forget(time.Now().Add(time.Minute))
		if n := m.series(t)["ended_sessions"]; n != 1 {
			t.Errorf("%v ended sessions are remembered while a token lives", n)
		}
		m.denied.known.forget(time.Now().Add(time.Hour))
		if n := m.series(t)["ended_sessions"]; n != 0 {
			t.Errorf("%v ended sessions are remembered when no token lives", n)
		}
	})
}

// TestTheAgeOfWhatIsKnown checks the age at which a process knows of ends: before the first answer,
// while answers come, while the store does not answer, and when it answers again.
func TestTheAgeOfWhatIsKnown(t *testing.T) {
	authtest.InBubble(t, func(t *testing.T) {
		f := newFakeEnds()
		f.delay = time.Hour
		p := f.follow()
		defer p.stop()
		want := func(what string, least, most time.Duration) {
			t.Helper()
			synctest.Wait()
			if age := p.age(); age < least || age > most {
				t.Errorf("%s: %v, want from %v to %v", what, age, least, most)
			}
		}
		want("at the start", 0, 0)
		time.Sleep(10 * time.Second)
		want("without an answer", 10*time.Second, 10*time.Second)
		f.set(func() { f.delay = 0 })
		time.Sleep(askTimeout + askEvery)
		for range 10 {
			want("while answers come", 0, askEvery)
			time.Sleep(150 * time.Millisecond)
		}
		f.set(func() { f.delay = time.Second })
		time.Sleep(20 * time.Second)
		want("while they take a second", time.Second, 2*time.Second+askEvery)
		f.set(func() { f.delay = 0 })
		time.Sleep(3 * time.Second)
		f.set(func() { f.fault = errors.New("broken") })
		time.Sleep(time.Minute)
		want("without the store", time.Minute, time.Minute+askEvery)
		f.set(func() { f.fault = nil })
		time.Sleep(askEvery)
		want("when it answers again", 0, askEvery)
		p.clock.Advance(time.Hour)
		want("when the clock was set forward", time.Hour, time.Hour+askEvery)
		time.Sleep(askEvery)
		want("after the next answer", 0, askEvery)
		p.stop()
		time.Sleep(time.Hour)
		want("when nobody asks any more", time.Hour, time.Hour+askEvery)
	})
}

func TestMetricsOfMail(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p := start(t, e, url, atClock(c))
		ana := p.add(t, store.User{Name: "ana", Email: "ana@example.com"})
		m := &mailing{process: p}
		measured := p.measure(t)
		m.Auth = measured.Auth
		queue := func(kind store.MailKind) {
			t.Helper()
			must(t, m.store.QueueMails(
				t.Context(), store.Mail{UserID: ana.ID, Kind: kind, To: ana.Email}))
		}
		fails := func(err error) Sender {
			return senderFunc(func(context.Context, mail.Message) error { return err })
		}
		measured.wantMoves(t, "a mail is queued", "mail_queued+1",
			func() { queue(store.MailPasswordChanged) })
		measured.wantMoves(t, "it waits", "mail_oldest_seconds+10",
			func() { c.Advance(10 * time.Second) })
		measured.wantMoves(t, "it cannot be sent", "mails_total{result=failed}+1",
			func() { m.sendDue(t, fails(errors.New("421"))) })
		measured.wantMoves(t, "nothing is due", "", func() { m.sendDue(t, fails(nil)) })
		c.Advance(time.Minute)
		measured.wantMoves(t, "it is sent",
			"mail_oldest_seconds-70 mail_queued-1 mails_total{result=sent}+1",
			func() { m.sendDue(t, fails(nil)) })
		queue(store.MailPasswordChanged)
		measured.wantMoves(t, "it is refused for good",
			"mail_queued-1 mails_total{result=undeliverable}+1",
			func() { m.sendDue(t, fails(mail.ErrUndeliverable)) })
		must(t, m.accounts.SetPassword(t.Context(), "ana", "another "+goodPassword))
		queue(store.MailReset)
		m.change(t, ana, func(u *store.User) { u.Disabled = true })
		measured.wantMoves(t, "one is sent, one was cancelled",
			"mail_queued-2 mails_total{result=sent}+1 mails_total{result=unneeded}+1",
			func() { m.sendDue(t, fails(nil)) })
		queue(store.MailPasswordChanged)
		for range store.MaxMailTries - 1 {
			m.sendDue(t, fails(errors.New("421")))
			c.Advance(5 * time.Hour)
		}
		before := measured.series(t)["mail_oldest_seconds"]
		measured.wantMoves(t, "it is given up", fmt.Sprintf(
			"mail_oldest_seconds-%g mail_queued-1 mails_total{result=given_up}+1", before),
			func() { m.sendDue(t, fails(errors.New("421"))) })
	})
}

// slowQueue is a store that does not say how long the queue of mail is before it is let go.
type slowQueue struct {
	store.Store
	asked chan struct{}
	goOn  chan struct{}
}

func (s slowQueue) MailQueue(context.Context) (store.MailQueue, error) {
	s.asked <- struct{}{}
	<-s.goOn
	return store.MailQueue{Mails: 7, Oldest: s.Now().Add(-time.Minute)}, nil
}

// TestAScrapeDoesNotWaitForTheStore reads the metrics while the store does not answer, or fails.
func TestAScrapeDoesNotWaitForTheStore(t *testing.T) {
	t.Parallel()
	e := authtest.SQLite()
	p := start(t, e, e.Migrated(t))
	healthy := len(p.measure(t).series(t))
	absent := func(m *measured) {
		t.Helper()
		all := m.series(t)
		for _, name := range []string{"mail_queued", "mail_oldest_seconds"} {
			if n, ok := all[name]; ok {
				t.Errorf("%s is %v while the store does not answer", name, n)
			}
		}
		if len(all) != healthy-2 {
			t.Errorf("%d series of %d, and those of the queue", len(all), healthy)
		}
	}
	absent(p.measure(t, func(cfg *Config) {
		cfg.Store = failingStore{p.store, store.ErrUnavailable}
	}))

	slow := slowQueue{p.store, make(chan struct{}, 10), make(chan struct{})}
	m := p.measure(t, func(cfg *Config) { cfg.Store = slow })
	var scrapes sync.WaitGroup
	for range 4 {
		scrapes.Go(func() { absent(m) })
	}
	scrapes.Wait()
	if n := len(slow.asked); n != 1 {
		t.Errorf("four scrapes asked %d questions", n)
	}
	close(slow.goOn)
	authtest.Eventually(t, "the store answers", func() bool {
		all := m.series(t)
		return all["mail_queued"] == 7 && all["mail_oldest_seconds"] >= 60
	})
}

// TestMetricsOfAttempts blocks a code and a sign-up.
func TestMetricsOfAttempts(t *testing.T) {
	t.Parallel()
	e := authtest.SQLite()
	c := authtest.StoppedAt(someDay)
	p := start(t, e, e.Migrated(t), atClock(c))
	_, me := p.newCaller(t, "ana")
	m := p.measure(t)
	ctx := from(t.Context(), "192.0.2.1")
	_, err := m.BeginMFA(ctx, me, goodPassword)
	must(t, err)
	for range codesLimit.Free {
		_, err := m.ConfirmMFA(ctx, me, "000000")
		wantFault(t, "a wrong code", err, "code")
	}
	countEvents(t, m.process, store.EventFilter{})
	m.wantMoves(t, "one code too many", "attempts_blocked_total+1 audit_waiting+1", func() {
		_, err := m.ConfirmMFA(ctx, me, "000000")
		wantError(t, "a code", err, ErrTooManyAttempts)
	})
	for range freeLimit.Free {
		must(t, m.ForgotPassword(ctx, "nobody", ""))
	}
	m.wantMoves(t, "one request too many", "attempts_blocked_total+1", func() {
		wantError(t, "a request", m.ForgotPassword(ctx, "nobody", ""), ErrCaptchaRequired)
	})
}

// steppingStore is a store whose server's clock was set so many times.
type steppingStore struct {
	store.Store
	steps *atomic.Int64
}

func (s steppingStore) Stats() store.Stats {
	stats := s.Store.Stats()
	stats.ClockSteps = s.steps.Load()
	return stats
}

// TestStepsOfTheClock sets the clock of the process, and that of the database server.
func TestStepsOfTheClock(t *testing.T) {
	t.Parallel()
	e := authtest.SQLite()
	p := start(t, e, e.Migrated(t))
	c, log := authtest.NewClock(), new(authtest.Log)
	var servers atomic.Int64
	m := p.measure(t, atClock(c), loggingTo(log), func(cfg *Config) {
		cfg.Store = steppingStore{p.store, &servers}
	})
	steps := func() float64 { return m.series(t)["clock_steps_total"] }
	want := func(what string, want float64, line string) {
		t.Helper()
		got := log.Take()
		if steps() != want || !strings.Contains(got, line) || line == "" && got != "" {
			t.Errorf("%s: %v steps, want %v, and the log says %s", what, steps(), want, got)
		}
	}
	m.clocks.look()
	want("a clock that nobody set", 0, "")
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { m.clocks.run(ctx) })
	c.Advance(time.Hour + time.Second) // what is measured may be a millisecond less
	authtest.Eventually(t, "a step is noticed", func() bool { return steps() == 1 })
	stop()
	running.Wait()
	want("a step forward", 1, `"msg":"the clock of this machine was set","by":"1h0m`)
	c.Advance(-time.Hour - time.Minute)
	m.clocks.look()
	want("a step back", 2, `"msg":"the clock of this machine was set","by":"-1h`)
	servers.Add(1)
	m.clocks.look()
	want("a step of the server", 3, `"msg":"the clock of the database server was set"`)
	m.clocks.look()
	want("nothing more", 3, "")
}

// TestMetricsAreRegisteredOnce checks that a second Auth cannot count in the series of the first.
func TestMetricsAreRegisteredOnce(t *testing.T) {
	t.Parallel()
	e := authtest.SQLite()
	m := start(t, e, e.Migrated(t)).measure(t)
	if _, err := New(m.cfg); err == nil {
		t.Error("another Auth has the same metrics")
	}
}

// BenchmarkAuthenticate shows what metrics add to a token that is known, on one processor and on
// all of them.
func BenchmarkAuthenticate(b *testing.B) {
	e := authtest.SQLite()
	url := e.Migrated(b)
	off := start(b, e, url)
	off.add(b, store.User{Name: "ana"})
	on := start(b, e, url, func(cfg *Config) { cfg.Metrics = prometheus.NewRegistry() })
	accessToken := off.login(b, "ana")
	for range 3 { // in turns, because a machine is never as quick twice
		for _, test := range []struct {
			name string
			*process
		}{{"off", off}, {"on", on}} {
			must(b, test.verdict(b, accessToken))
			ctx := b.Context()
			b.Run(test.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := test.Authenticate(ctx, accessToken); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(test.name+" at once", func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := test.Authenticate(ctx, accessToken); err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
	}
}
