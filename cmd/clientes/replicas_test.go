package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/store/postgres/postgrestest"
	"clientes/store/storetest"
)

// These tests run several processes on one database and check what they promise each other. Each
// test runs a few rounds: TEST_ROUNDS=1000 makes it a thousand, and -v prints how long everything
// took. No test fails because something was slow, unless it never comes: the speed of this machine
// proves nothing.

// A session that one process or a command ends is refused by all processes: by the one that ended
// it before it answers, by the others soon.
func TestAnEndIsHonouredByEveryProcess(t *testing.T) {
	t.Parallel()
	processes := map[string]int{"postgres": 3, "sqlite": 2}
	for engine, newURL := range engineURLs(t) {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, processes[engine], newURL(t))
			rounds := storetest.Rounds(t, 1)
			roles := []string{"editor", "viewer"}
			f.addUser(t, "ana")
			for kind, end := range map[string]func(n int, token string){
				"logout":  func(n int, token string) { f.logout(t, f.on(n), token) },
				"disable": func(int, string) { f.command(t, "", "user", "disable", "ana") },
				"role": func(n int, _ string) {
					f.command(t, "", "user", "role", "ana", roles[n%2])
				},
				"passwd": func(int, string) {
					f.command(t, goodPassword, "user", "passwd", "ana", "--password-stdin")
				},
			} {
				var sinceBegun, sinceDone durations
				for n := range rounds {
					token := f.login(t, f.on(n+1), "ana").Token
					var watches []*watch
					for _, s := range f.servers {
						f.want(t, s, token, yes)
						watches = append(watches, f.watch(t, s, token))
					}
					begun := time.Now()
					end(n, token)
					done := time.Now()
					if kind == "logout" {
						f.want(t, f.on(n), token, no)
					}
					for i, w := range watches {
						authtest.Eventually(t, "a process refuses the token", func() bool {
							return w.said(t, no, begun) > 0
						})
						w.end()
						w.neverYesAgain(t, time.Now(), time.Now())
						f.want(t, f.servers[i], token, no)
						if kind == "logout" && i == n%len(watches) {
							continue // it knew before it answered
						}
						// The first refusal: the end was written between begun and done.
						refused := w.firstNo(t)
						sinceBegun.add(refused.Sub(begun))
						sinceDone.add(max(0, refused.Sub(done)))
					}
					if kind == "disable" {
						f.command(t, "", "user", "enable", "ana")
					}
				}
				t.Logf("%s: refused elsewhere after it was done: %v; after it began: %v",
					kind, &sinceDone, &sinceBegun)
			}
		})
	}
}

var (
	printedID  = regexp.MustCompile(`has the id (\S+),`)
	printedKey = regexp.MustCompile(`clk_\w+`)
)

// A key that one process or a command ends is refused by all processes, as a session is.
func TestTheEndOfAKeyIsHonouredByEveryProcess(t *testing.T) {
	t.Parallel()
	processes := map[string]int{"postgres": 3, "sqlite": 2}
	for engine, newURL := range engineURLs(t) {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, processes[engine], newURL(t))
			f.addUser(t, "ana")
			roles := []string{"editor", "viewer"}
			for kind, end := range map[string]func(n int, id, key string){
				"logout":  func(n int, _, key string) { f.logout(t, f.on(n), key) },
				"end":     func(_ int, id, _ string) { f.command(t, "", "key", "end", id) },
				"disable": func(int, string, string) { f.command(t, "", "user", "disable", "ana") },
				"role": func(n int, _, _ string) {
					f.command(t, "", "user", "role", "ana", roles[n%2])
				},
			} {
				var since durations
				for n := range storetest.Rounds(t, 1) {
					printed := f.command(t, "", "key", "add", kind, "--user", "ana")
					id := printedID.FindStringSubmatch(printed)[1]
					key := printedKey.FindString(printed)
					var watches []*watch
					for _, s := range f.servers {
						f.want(t, s, key, yes)
						watches = append(watches, f.watch(t, s, key))
					}
					begun := time.Now()
					end(n, id, key)
					done := time.Now()
					if kind == "logout" {
						f.want(t, f.on(n), key, no)
					}
					for i, w := range watches {
						authtest.Eventually(t, "a process refuses the key", func() bool {
							return w.said(t, no, begun) > 0
						})
						w.end()
						w.neverYesAgain(t, time.Now(), time.Now())
						f.want(t, f.servers[i], key, no)
						since.add(max(0, w.firstNo(t).Sub(done)))
					}
					if kind == "disable" {
						f.command(t, "", "user", "enable", "ana")
					}
				}
				t.Logf("%s: refused everywhere after it was done: %v", kind, &since)
			}
		})
	}
}

// While the database is away, a process refuses the sessions that it knows to have ended. Of others
// it says that it cannot know, and once it has said so it never says yes. It recovers by itself.
func TestTheDatabaseStopsAndStarts(t *testing.T) {
	t.Parallel()
	cluster := postgrestest.Start(t)
	f := newFleet(t, 3, cluster.URL)
	f.addUser(t, "ana")
	for way, stop := range map[string]func(){"stopped": cluster.Stop, "killed": cluster.Kill} {
		var lastYes, recovered durations
		for n := range storetest.Rounds(t, 1) {
			live, ended := f.login(t, f.on(n), "ana"), f.login(t, f.on(n), "ana")
			f.logout(t, f.on(n), ended.Token)
			var ofLive, ofEnded []*watch
			for _, s := range f.servers {
				f.want(t, s, live.Token, yes)
				authtest.Eventually(t, "the logout is known", f.isRefused(t, s, ended.Token))
				ofLive = append(ofLive, f.watch(t, s, live.Token))
				ofEnded = append(ofEnded, f.watch(t, s, ended.Token))
			}

			before := time.Now()
			stop()
			gone := time.Now()
			for i, s := range f.servers {
				authtest.Eventually(t, "it does not know", func() bool {
					return ofLive[i].said(t, unknown, before) >= 20
				})
				forged := live.Refresh[:len(live.Refresh)-2] + "AA"
				for refresh, want := range map[string]answer{
					// The store need not look at it.
					forged:        {status: 401, Code: "refresh_invalid"},
					live.Refresh:  {status: 503, Code: "store_unavailable"},
					ended.Refresh: {status: 503, Code: "store_unavailable"},
				} {
					a, err := f.refresh(t, s, refresh)
					if err != nil || !a.is(want.status, want.Code) {
						t.Errorf("a refresh while the database is %s: %v, want %v, %v",
							way, a, want, err)
					}
				}
				for _, body := range []any{nil, everywhereBody{true}} {
					a, err := f.do(t.Context(), "POST", s.url("/logout"), live.Token, body)
					if err != nil || !a.is(503, "store_unavailable") {
						t.Errorf("a logout while the database is %s: %v, %v", way, a, err)
					}
				}
			}
			starting := time.Now()
			back := answersAgain(t, cluster.URL)
			cluster.Start()
			backAt := <-back
			for i, w := range ofLive {
				recovered.add(max(0, w.settled(t, yes, starting).Sub(backAt)))
				w.end()
				ofEnded[i].end()
				w.neverYesAgain(t, gone, starting)
				lastYes.add(w.lastYes(t, starting, before).Sub(before))
				ofEnded[i].wantKnownAsEnded(t, "while the database was "+way)
			}
			// The refresh token that was refused meanwhile has not been used up.
			a, err := f.refresh(t, f.on(n), live.Refresh)
			if err != nil || a.status != 200 {
				t.Errorf("a refresh after the database was %s: %v, %v", way, a, err)
			}
		}
		t.Logf("%s: the last yes after it began to stop: %v; all well after it was back: %v",
			way, &lastYes, &recovered)
	}
}

// answersAgain returns a channel with the moment when the database takes connections.
func answersAgain(t *testing.T, databaseURL string) <-chan time.Time {
	back := make(chan time.Time, 1)
	go func() {
		for t.Context().Err() == nil {
			conn, err := postgrestest.Connect(t.Context(), databaseURL)
			if err == nil {
				back <- time.Now()
				conn.Close(t.Context())
				return
			}
			time.Sleep(2 * time.Millisecond)
		}
	}()
	return back
}

// Two of three processes are cut off, each in its way, and busy. Meanwhile a session ends at the
// third. Once the two have said that they cannot know about it, they never say yes again. A round
// waits for some forty seconds, so only the gate runs it.
func TestProcessesAreCutOff(t *testing.T) {
	if !long() {
		t.Skip("TEST_LONG is not set")
	}
	t.Parallel()
	databaseURL := postgrestest.Database(t)
	f := newFleet(t, 1, databaseURL)
	f.addUser(t, "ana")
	hows := []postgrestest.CableState{postgrestest.Broken, postgrestest.Silent}
	var cables []*postgrestest.Cable
	for range hows {
		c, through := postgrestest.NewCable(t, databaseURL)
		s := f.begin(t, through)
		s.wantListening(t)
		f.servers, cables = append(f.servers, s), append(cables, c)
	}
	var lastYes, recovered, learnt [2]durations
	for n := range storetest.Rounds(t, 1) {
		live, victim := f.login(t, f.on(n), "ana"), f.login(t, f.on(n), "ana")
		ended := f.login(t, f.on(n), "ana")
		f.logout(t, f.on(n), ended.Token)
		cut := make([]time.Time, len(hows))
		var ofLive, ofVictim, ofEnded, crowd []*watch
		for i, how := range hows {
			s := f.servers[1+i]
			f.want(t, s, live.Token, yes)
			f.want(t, s, victim.Token, yes)
			authtest.Eventually(t, "the logout is known", f.isRefused(t, s, ended.Token))
			ofLive = append(ofLive, f.watch(t, s, live.Token))
			ofVictim = append(ofVictim, f.watch(t, s, victim.Token))
			ofEnded = append(ofEnded, f.watch(t, s, ended.Token))
			cables[i].Cut(how)
			cut[i] = time.Now()
		}
		for i := range hows {
			authtest.Eventually(t, "it does not know", func() bool {
				return ofVictim[i].said(t, unknown, cut[i]) > 0
			})
			// More at once than the process has connections.
			for range 20 {
				crowd = append(crowd, f.watch(t, f.servers[1+i], live.Token))
			}
		}
		f.want(t, f.servers[0], victim.Token, yes)
		f.logout(t, f.servers[0], victim.Token)
		f.want(t, f.servers[0], victim.Token, no)
		logout := time.Now()
		for i := range hows {
			authtest.Eventually(t, "it still does not know", func() bool {
				return ofVictim[i].said(t, unknown, logout) >= 3
			})
		}
		f.want(t, f.servers[0], live.Token, yes)
		for i := range hows {
			joinedAt := time.Now()
			cables[i].Join()
			// The others may be waiting for an answer still.
			freshVictim := f.watch(t, f.servers[1+i], victim.Token)
			freshLive := f.watch(t, f.servers[1+i], live.Token)
			crowd = append(crowd, freshVictim, freshLive)
			learnt[i].add(freshVictim.settled(t, no, joinedAt).Sub(joinedAt))
			recovered[i].add(freshLive.settled(t, yes, joinedAt).Sub(joinedAt))
			ofVictim[i].neverYesAgain(t, cut[i], time.Now())
			ofLive[i].neverYesAgain(t, cut[i], joinedAt)
			lastYes[i].add(ofLive[i].lastYes(t, joinedAt, cut[i]).Sub(cut[i]))
			ofEnded[i].wantKnownAsEnded(t, "while it was "+string(hows[i]))
		}
		for _, w := range slices.Concat(ofLive, ofVictim, ofEnded, crowd) {
			w.end()
		}
	}
	for i, how := range hows {
		t.Logf("%s: the last yes after the cut: %v", how, &lastYes[i])
		t.Logf("%s: after it was joined, the logout is honoured: %v; all well: %v",
			how, &learnt[i], &recovered[i])
	}
}

// The worst moment for a logout is that in which another process is cut off with all its
// connections open. That process says yes for a second at most.
func TestALogoutAtTheMomentOfACut(t *testing.T) {
	t.Parallel()
	databaseURL := postgrestest.Database(t)
	f := newFleet(t, 1, databaseURL)
	f.addUser(t, "ana")
	c, through := postgrestest.NewCable(t, databaseURL)
	s := f.begin(t, through)
	s.wantListening(t)
	hows := []postgrestest.CableState{postgrestest.Broken, postgrestest.Silent}
	var delays, recovered [2]durations
	for range storetest.Rounds(t, 1) {
		for i, how := range hows {
			token := f.login(t, f.on(0), "ana").Token
			var opening sync.WaitGroup
			for range 64 {
				opening.Go(func() { f.do(t.Context(), "GET", s.url("/clientes"), token, nil) })
			}
			opening.Wait()
			w := f.watch(t, s, token)
			w.settled(t, yes, time.Now())
			c.Cut(how)
			begun := time.Now()
			f.logout(t, f.on(0), token)
			authtest.Eventually(t, "it says yes no more", func() bool {
				return w.said(t, unknown, begun) > 0
			})
			joinedAt := time.Now()
			c.Join()
			fresh := f.watch(t, s, token) // the other may be waiting for an answer still
			recovered[i].add(fresh.settled(t, no, joinedAt).Sub(joinedAt))
			fresh.end()
			w.end()
			w.neverYesAgain(t, begun, time.Now())
			delays[i].add(w.lastYes(t, time.Now(), begun).Sub(begun))
		}
	}
	for i, how := range hows {
		t.Logf("%s: the last yes after the logout was sent: %v; all well after it was joined: %v",
			how, &delays[i], &recovered[i])
	}
}

// A transaction stamps the end of a session and commits five seconds later, while others end
// sessions. No process misses this end, and it holds up none of the others.
func TestAnEndHeldOpenIsMissedByNobody(t *testing.T) {
	t.Parallel()
	databaseURL := postgrestest.Database(t)
	f := newFleet(t, 3, databaseURL)
	f.addUser(t, "ana")
	f.addUser(t, "bob")
	conn, err := postgrestest.Connect(t.Context(), databaseURL)
	authtest.Must(t, err)
	defer conn.Close(context.Background())
	var late, meanwhile durations
	held := 0
	for n := range storetest.Rounds(t, 1) {
		token := f.login(t, f.on(n), "ana").Token
		tx, err := conn.Begin(t.Context())
		authtest.Must(t, err)
		tag, err := tx.Exec(t.Context(), `
			UPDATE sessions
			SET ended_at = now(), ended_order = pg_current_xact_id()::text::bigint
			WHERE ended_at IS NULL AND user_id = (SELECT id FROM users WHERE name = 'ana')`)
		if err != nil || tag.RowsAffected() != 1 {
			t.Fatal(tag, err)
		}
		for until := time.Now().Add(5 * time.Second); time.Now().Before(until); held++ {
			other := f.login(t, f.on(held), "bob").Token
			f.logout(t, f.on(held), other)
			done := time.Now()
			for _, s := range f.servers {
				authtest.Eventually(t, "an end beside it is honoured", f.isRefused(t, s, other))
				meanwhile.add(time.Since(done))
				f.want(t, s, token, yes)
			}
		}
		authtest.Must(t, tx.Commit(t.Context()))
		done := time.Now()
		for _, s := range f.servers {
			authtest.Eventually(t, "the late end is honoured", f.isRefused(t, s, token))
			late.add(time.Since(done))
		}
	}
	t.Logf("held open for 5 s: refused after the commit: %v; the %d ends meanwhile: %v",
		&late, held, &meanwhile)
}

// tab is a client that never stops: if one process does not answer it asks another.
type tab struct {
	f         *fleet
	next      int // the process that it turns to
	access    string
	refresh   string
	retries   int
	requests  int
	refreshes atomic.Int64 // those whose answer it kept
}

func (c *tab) do(ctx context.Context, method, path, token string, body any) (answer, error) {
	var errs []error
	for range 500 {
		c.next++
		a, err := c.f.do(ctx, method, c.f.on(c.next).url(path), token, body)
		if err == nil && a.status != 503 || ctx.Err() != nil {
			c.requests++
			return a, err
		}
		c.retries++
		errs = append(errs[max(0, len(errs)-2):], cmp.Or(err, errors.New(a.String())))
		time.Sleep(10 * time.Millisecond) // it is being restarted, or too busy
	}
	return answer{}, errors.Join(errs...)
}

// run uses access and refresh tokens until ctx ends. Of every third refresh the answer is lost.
func (c *tab) run(ctx context.Context) error {
	for n := 0; ctx.Err() == nil; n++ {
		for range 4 {
			time.Sleep(5 * time.Millisecond) // leaves the processors to the processes
			a, err := c.do(ctx, "GET", "/clientes", c.access, nil)
			if ctx.Err() == nil && (err != nil || a.status != 200) {
				return fmt.Errorf("a list: %v, %v", a, err)
			}
		}
		a, err := c.do(ctx, "POST", "/refresh", "", refreshBody{c.refresh})
		switch {
		case ctx.Err() != nil:
		case err != nil || a.status != 200:
			return fmt.Errorf("a refresh: %v, %v", a, err)
		case n%3 > 0:
			c.access, c.refresh = a.Token, a.Refresh
			c.refreshes.Add(1)
		}
	}
	return nil
}

// A new SECRET comes in three steps, each a restart of three processes one by one. So does a
// ROOT_SECRET. No client notices.
func TestRotatingTheSecretUnderLoad(t *testing.T) {
	if !long() {
		t.Skip("TEST_LONG is not set")
	}
	t.Parallel()
	f := newFleet(t, 3, postgrestest.Database(t))
	f.addUser(t, "ana")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var tabs []*tab
	var running sync.WaitGroup
	for n := range 4 {
		a := f.login(t, f.on(n), "ana")
		c := &tab{f: f, next: n, access: a.Token, refresh: a.Refresh}
		tabs = append(tabs, c)
		running.Go(func() {
			if err := c.run(ctx); err != nil {
				t.Errorf("client %d: %v", n, err)
				cancel()
			}
		})
	}
	defer running.Wait()
	defer cancel()
	// goOn waits until every client has tokens that were made after the step.
	goOn := func() {
		var from []int64
		for _, c := range tabs {
			from = append(from, c.refreshes.Load())
		}
		for i, c := range tabs {
			authtest.Eventually(t, "the clients go on", func() bool {
				return ctx.Err() != nil || c.refreshes.Load() >= from[i]+2
			})
		}
	}
	old, next := goodSecret, otherSecret
	restarts := 0
	for range storetest.Rounds(t, 1) {
		first := f.login(t, f.on(0), "ana")
		for _, step := range [][]string{
			{"SECRET=" + old, "SECRET_PREVIOUS=" + next},
			{"SECRET=" + next, "SECRET_PREVIOUS=" + old},
			{"SECRET=" + next}, // after a while, in which goOn has every client refresh
		} {
			goOn()
			f.restart(t, step...)
			restarts += len(f.servers)
		}
		goOn()
		// The old secret is gone: what it signed is refused.
		a, err := f.insist(t.Context(), "GET", f.on(0).url("/clientes"), first.Token, nil)
		if err != nil || !a.is(401, "token_invalid") {
			t.Errorf("a token of the old secret: %v, %v", a, err)
		}
		a, err = f.insistOnRefresh(t, f.on(0), first.Refresh)
		if err != nil || !a.is(401, "refresh_invalid") {
			t.Errorf("a refresh token of the old secret: %v, %v", a, err)
		}
		old, next = next, old
	}
	// A first ROOT_SECRET comes in the same way, and SECRET is the root before it.
	for _, step := range [][]string{
		{"SECRET=" + old, "ROOT_SECRET_PREVIOUS=" + rootSecret},
		{"SECRET=" + old, "ROOT_SECRET=" + rootSecret, "ROOT_SECRET_PREVIOUS=" + old},
	} {
		f.restart(t, step...)
		restarts += len(f.servers)
		goOn()
	}
	cancel()
	running.Wait()
	requests, refreshes, retries := 0, int64(0), 0
	for _, c := range tabs {
		requests += c.requests
		refreshes += c.refreshes.Load()
		retries += c.retries
	}
	t.Logf("%d restarts under %d answered requests: %d refreshes that were kept, "+
		"%d tried again elsewhere", restarts, requests, refreshes, retries)
}

// Fifty clients refresh at once with one token. All get the same successor, and go on.
func TestFiftyRefreshesAtOnceHaveOneSuccessor(t *testing.T) {
	t.Parallel()
	processes := map[string]int{"postgres": 2, "sqlite": 1}
	for engine, newURL := range engineURLs(t) {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, processes[engine], newURL(t))
			f.addUser(t, "ana")
			token := f.login(t, f.on(0), "ana").Refresh
			rounds := storetest.Rounds(t, 10)
			began := time.Now()
			for n := range rounds {
				const tabs = 50
				var answers [tabs]answer
				var errs [tabs]error
				authtest.AtOnce(tabs, func(i int) {
					answers[i], errs[i] = f.insistOnRefresh(t, f.on(i), token)
				})
				for i, a := range answers {
					same := a.Refresh == answers[0].Refresh
					if errs[i] != nil || a.status != 200 || a.Refresh == token || !same {
						t.Fatalf("round %d: %v, %v, the same successor %v", n, a, errs[i], same)
					}
				}
				for i := range f.servers {
					f.want(t, f.on(i), answers[n%tabs].Token, yes)
				}
				token = answers[0].Refresh
			}
			t.Logf("%d rounds of 50: one successor each, no 401, in %v",
				rounds, time.Since(began).Round(time.Millisecond))
		})
	}
}

// Refreshes and a logout of one session come at the same instant. Once the logout was answered
// nothing works that the refreshes got: at the process that answered it at once, at the others
// soon.
func TestNothingOfARefreshOutlivesALogout(t *testing.T) {
	t.Parallel()
	processes := map[string]int{"postgres": 2, "sqlite": 1}
	for engine, newURL := range engineURLs(t) {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			// No token expires before the last round.
			f := newFleet(t, processes[engine], newURL(t), "TOKEN_TTL=20m")
			f.addUser(t, "ana")
			type left struct {
				s     *server
				token string
			}
			var lefts []left
			rounds, won, lost := storetest.Rounds(t, 10), 0, 0
			for n := range rounds {
				session := f.login(t, f.on(n), "ana")
				logout := []struct {
					token string
					body  any
				}{
					{session.Token, nil},
					{"", refreshBody{session.Refresh}},
					{session.Token, everywhereBody{true}},
				}[n%3]
				const tabs = 4
				var answers [tabs]answer
				var errs [tabs + 1]error
				var out answer
				var both sync.WaitGroup
				start := make(chan struct{})
				for i := range tabs {
					both.Go(func() {
						<-start
						answers[i], errs[i] = f.insistOnRefresh(t, f.on(i), session.Refresh)
					})
				}
				both.Go(func() {
					<-start
					url := f.on(n + 1).url("/logout")
					out, errs[tabs] = f.insist(t.Context(), "POST", url, logout.token, logout.body)
				})
				close(start)
				both.Wait()
				if err := errors.Join(errs[:]...); err != nil || out.status != 200 {
					t.Fatalf("round %d: logout %v, %v", n, out, err)
				}
				tokens, refreshes := []string{session.Token}, []string{session.Refresh}
				for _, a := range answers {
					switch {
					case a.status == 200:
						won++
						tokens, refreshes = append(tokens, a.Token), append(refreshes, a.Refresh)
					case a.is(401, "refresh_invalid"):
						lost++
					default:
						t.Fatalf("round %d: a refresh: %v", n, a)
					}
				}
				for _, token := range tokens {
					f.want(t, f.on(n+1), token, no)
					lefts = append(lefts, left{f.on(n), token})
				}
				for _, refresh := range refreshes {
					for i := range f.servers {
						a, err := f.insistOnRefresh(t, f.on(i), refresh)
						if err != nil || !a.is(401, "refresh_invalid") {
							t.Fatalf("round %d: a refresh after the logout: %v, %v", n, a, err)
						}
					}
				}
			}
			for _, l := range lefts {
				authtest.Eventually(t, "the other process refuses it", f.isRefused(t, l.s, l.token))
			}
			t.Logf("%d rounds: %d refreshes came before the logout, %d after; no token of theirs works",
				rounds, won, lost)
		})
	}
}
