package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"clientes/auth/authtest"
	"clientes/store/postgres/postgrestest"
)

// These tests hold several processes on one database to what they promise each other. Each runs a
// few rounds, TEST_ROUNDS=1000 makes them as many, and -v prints how long everything took. Nothing
// but "eventually" is held against the clock: how fast this machine is proves nothing.

// roundsOr returns TEST_ROUNDS, or few if it is not set.
func roundsOr(t *testing.T, few int) int {
	t.Helper()
	text := os.Getenv("TEST_ROUNDS")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("TEST_ROUNDS is %q", text)
	}
	return n
}

// eventuallySoon bounds every wait here. A machine full of other tests needs far less.
const eventuallySoon = time.Minute

// durations are measurements of one kind. They are safe for concurrent use.
type durations struct {
	mu  sync.Mutex
	all []time.Duration
}

func (d *durations) add(some ...time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, some...)
}

func (d *durations) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.all) == 0 {
		return "none"
	}
	slices.Sort(d.all)
	// The nearest rank: of few measurements p99 is the worst.
	rank := func(p int) time.Duration {
		return d.all[(len(d.all)*p+99)/100-1].Round(time.Millisecond / 10)
	}
	return fmt.Sprintf("p50 %v, p99 %v, worst %v of %d", rank(50), rank(99), rank(100), len(d.all))
}

// fleet is several processes that serve from one database.
type fleet struct {
	databaseURL string
	secret      []string // settings that say which secrets are good
	client      *http.Client

	mu      sync.RWMutex
	servers []*server
}

// newFleet starts n processes on the database. They need no folder, so tests may run side by side.
func newFleet(t *testing.T, n int, databaseURL string, settings ...string) *fleet {
	t.Helper()
	f := &fleet{
		databaseURL: databaseURL,
		secret:      []string{"SECRET=" + goodSecret},
		client: &http.Client{
			Transport: &http.Transport{MaxIdleConnsPerHost: 128},
			Timeout:   eventuallySoon,
		},
	}
	t.Cleanup(f.client.CloseIdleConnections)
	for range n {
		f.servers = append(f.servers, f.begin(t, databaseURL, settings...))
	}
	for _, s := range f.servers {
		s.wantListening(t)
	}
	return f
}

// endsAtOnce spares the second that a process with the race detector sleeps at its end.
const endsAtOnce = "GORACE=atexit_sleep_ms=0"

func (f *fleet) begin(t *testing.T, databaseURL string, settings ...string) *server {
	t.Helper()
	environ := []string{"DATABASE_URL=" + databaseURL, endsAtOnce}
	return begin(t, slices.Concat(environ, f.secret, settings), "serve")
}

// on returns one of the processes, in turn.
func (f *fleet) on(n int) *server {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.servers[n%len(f.servers)]
}

func (f *fleet) put(n int, s *server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.servers[n] = s
}

// command runs the program beside the fleet, as a process of its own.
func (f *fleet) command(t *testing.T, stdin string, args ...string) {
	t.Helper()
	cmd := command(t, []string{"DATABASE_URL=" + f.databaseURL, endsAtOnce}, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
}

func (f *fleet) addUser(t *testing.T, name string) {
	t.Helper()
	f.command(t, goodPassword, "user", "add", name, "--password-stdin")
}

// answer is what one of the processes answered.
type answer struct {
	status  int
	Token   string `json:"token"`
	Refresh string `json:"refresh_token"`
	Code    string `json:"code"`
}

func (a answer) String() string { return fmt.Sprintf("status %d %s", a.status, a.Code) }

// is reports whether it is that refusal.
func (a answer) is(status int, code string) bool { return a.status == status && a.Code == code }

// do sends one request. A refusal of the server is an answer, any other failure an error.
func (f *fleet) do(ctx context.Context, method, url, token string, body any) (answer, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return answer{}, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(text))
	if err != nil {
		return answer{}, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("x-access-token", token)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode}
	if bytes.HasPrefix(got, []byte("{")) {
		err = json.Unmarshal(got, &a)
	}
	return a, err
}

// insist is do as a good client does it: it tries again what a process cannot do now (503).
func (f *fleet) insist(ctx context.Context, method, url, token string, body any) (answer, error) {
	for deadline := time.Now().Add(eventuallySoon); ; time.Sleep(20 * time.Millisecond) {
		a, err := f.do(ctx, method, url, token, body)
		if err != nil || a.status != 503 || time.Now().After(deadline) {
			return a, err
		}
	}
}

type loginBody struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

type refreshBody struct {
	RefreshToken string `json:"refresh_token"`
}

type everywhereBody struct {
	Everywhere bool `json:"everywhere"`
}

func (f *fleet) login(t *testing.T, s *server, user string) answer {
	t.Helper()
	a, err := f.insist(t.Context(), "POST", s.url("/login"), "", loginBody{user, goodPassword})
	if err != nil || a.status != 200 {
		t.Fatalf("login: %v, %v", a, err)
	}
	return a
}

func (f *fleet) logout(t *testing.T, s *server, token string) {
	t.Helper()
	a, err := f.insist(t.Context(), "POST", s.url("/logout"), token, nil)
	if err != nil || a.status != 200 {
		t.Fatalf("logout: %v, %v", a, err)
	}
}

// refresh sends a refresh token to a process, once.
func (f *fleet) refresh(t *testing.T, s *server, token string) (answer, error) {
	return f.do(t.Context(), "POST", s.url("/refresh"), "", refreshBody{token})
}

// insistOnRefresh sends a refresh token to a process until it can do it.
func (f *fleet) insistOnRefresh(t *testing.T, s *server, token string) (answer, error) {
	return f.insist(t.Context(), "POST", s.url("/refresh"), "", refreshBody{token})
}

// wantRefused fails the test unless a process answers 401 with that code.
func (f *fleet) wantRefused(t *testing.T, s *server, path string, body any, code string) {
	t.Helper()
	a, err := f.do(t.Context(), "POST", s.url(path), "", body)
	if err != nil || !a.is(401, code) {
		t.Errorf("%s with %v: %v, %v; want %s", path, body, a, err, code)
	}
}

// verdict is what a process says of an access token.
type verdict string

const (
	yes     verdict = "yes"
	no      verdict = "no"
	unknown verdict = "cannot know"
)

// ask has a process check a token. It gets a record with an id that is impossible: once the token
// has passed, the answer is 404 without a look into the store. So the verdict is that of the token
// check alone.
func (f *fleet) ask(ctx context.Context, s *server, token string) (verdict, error) {
	a, err := f.do(ctx, "GET", s.url("/clientes/0"), token, nil)
	switch {
	case err != nil:
		return "", err
	case a.is(404, "not_found"):
		return yes, nil
	case a.is(401, "token_revoked"):
		return no, nil
	case a.is(503, "store_unavailable"):
		return unknown, nil
	}
	return "", fmt.Errorf("the token check answered %v", a)
}

// want fails the test unless a process says yes or no to a token, whichever is wanted. One that is
// too busy may first say that it cannot know.
func (f *fleet) want(t *testing.T, s *server, token string, want verdict) {
	t.Helper()
	var got verdict
	var err error
	authtest.Eventually(t, "a process knows", func() bool {
		got, err = f.ask(t.Context(), s, token)
		return got != unknown
	})
	if err != nil || got != want {
		t.Fatalf("a process says %q, want %q: %v", got, want, err)
	}
}

// saying is one verdict, with the times of the question and of the answer.
type saying struct {
	verdict
	asked, given time.Time
}

// watch is a client that asks a process about a token again and again.
type watch struct {
	mu      sync.Mutex
	sayings []saying
	err     error
	end     func()
}

func (f *fleet) watch(t *testing.T, s *server, token string) *watch {
	w := new(watch)
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	w.end = func() { cancel(); watching.Wait() }
	t.Cleanup(w.end)
	watching.Go(func() {
		for ctx.Err() == nil {
			asked := time.Now()
			v, err := f.ask(ctx, s, token)
			w.mu.Lock()
			switch {
			case ctx.Err() != nil:
			case err != nil:
				w.err = errors.Join(w.err, err)
				cancel()
			default:
				w.sayings = append(w.sayings, saying{v, asked, time.Now()})
			}
			w.mu.Unlock()
			time.Sleep(2 * time.Millisecond) // leaves the processors to others
		}
	})
	return w
}

// all returns what was said so far.
func (w *watch) all(t *testing.T) []saying {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		t.Fatal(w.err)
	}
	return slices.Clone(w.sayings)
}

// said counts a verdict among the questions that were asked after a moment.
func (w *watch) said(t *testing.T, v verdict, after time.Time) (n int) {
	t.Helper()
	for _, s := range w.all(t) {
		if s.verdict == v && s.asked.After(after) {
			n++
		}
	}
	return n
}

// settled waits until the process says nothing but that for a while. It returns when that began.
func (w *watch) settled(t *testing.T, v verdict, after time.Time) (since time.Time) {
	t.Helper()
	const aWhile = 50
	authtest.Eventually(t, "a process always says "+string(v), func() bool {
		n := 0
		for _, s := range w.all(t) {
			switch {
			case s.verdict != v || s.asked.Before(after):
				n = 0
			default:
				if n++; n == 1 {
					since = s.given
				}
			}
		}
		return n >= aWhile
	})
	return since
}

// neverYesAgain fails the test if the process went back to yes before the time until: after it had
// said no, or after it had said that it cannot know. The latter counts only from gone on, when the
// database was gone, since a machine that is too busy may say it earlier.
func (w *watch) neverYesAgain(t *testing.T, gone, until time.Time) {
	t.Helper()
	var other *saying
	for _, s := range w.all(t) {
		switch {
		case s.given.After(until):
			return
		case s.verdict == no || s.verdict == unknown && s.asked.After(gone):
			other = &s
		case s.verdict == yes && other != nil:
			t.Errorf("a process said %q at %v and yes at %v", other.verdict, other.given, s.asked)
			return
		}
	}
}

// wantKnownAsEnded fails the test if a process ever said anything but no.
func (w *watch) wantKnownAsEnded(t *testing.T, when string) {
	t.Helper()
	for _, s := range w.all(t) {
		if s.verdict != no {
			t.Errorf("%s, of a session known to have ended it was said: %s", when, s.verdict)
			return
		}
	}
}

// firstNo returns when the process said no for the first time.
func (w *watch) firstNo(t *testing.T) time.Time {
	t.Helper()
	all := w.all(t)
	return all[slices.IndexFunc(all, func(s saying) bool { return s.verdict == no })].given
}

// lastYes returns when the process said yes for the last time before a moment, or otherwise if it
// did not.
func (w *watch) lastYes(t *testing.T, before, otherwise time.Time) time.Time {
	t.Helper()
	last := otherwise
	for _, s := range w.all(t) {
		if s.verdict == yes && s.given.Before(before) {
			last = s.given
		}
	}
	return last
}

// engineURLs returns what makes a fresh database, by the name of its engine.
func engineURLs(t *testing.T) map[string]func(t *testing.T) string {
	return map[string]func(t *testing.T) string{
		"sqlite": func(t *testing.T) string {
			return "sqlite:" + filepath.Join(t.TempDir(), "clientes.db")
		},
		"postgres": func(t *testing.T) string { return postgrestest.Database(t) },
	}
}

// isRefused returns a condition: that a process says no to a token.
func (f *fleet) isRefused(t *testing.T, s *server, token string) func() bool {
	return func() bool {
		v, err := f.ask(t.Context(), s, token)
		return err == nil && v == no
	}
}

// A session that one process or a command ends is refused by all processes: by the one that ended
// it before it answers, by the others soon.
func TestAnEndIsHonouredByEveryProcess(t *testing.T) {
	t.Parallel()
	processes := map[string]int{"postgres": 3, "sqlite": 2}
	for engine, newURL := range engineURLs(t) {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, processes[engine], newURL(t))
			rounds := roundsOr(t, 1)
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
				var sinceTold, sinceDone durations
				for n := range rounds {
					token := f.login(t, f.on(n+1), "ana").Token
					var watches []*watch
					for _, s := range f.servers {
						f.want(t, s, token, yes)
						watches = append(watches, f.watch(t, s, token))
					}
					told := time.Now()
					end(n, token)
					done := time.Now()
					if kind == "logout" {
						f.want(t, f.on(n), token, no)
					}
					for i, w := range watches {
						authtest.Eventually(t, "a process refuses the token", func() bool {
							return w.said(t, no, told) > 0
						})
						w.end()
						w.neverYesAgain(t, time.Now(), time.Now())
						f.want(t, f.servers[i], token, no)
						if kind == "logout" && i == n%len(watches) {
							continue // it knew before it answered
						}
						// The first refusal: the end was written between told and done.
						refused := w.firstNo(t)
						sinceTold.add(refused.Sub(told))
						sinceDone.add(max(0, refused.Sub(done)))
					}
					if kind == "disable" {
						f.command(t, "", "user", "enable", "ana")
					}
				}
				t.Logf("%s: refused elsewhere after it was done: %v; after it was told to begin: %v",
					kind, &sinceDone, &sinceTold)
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
		for n := range roundsOr(t, 1) {
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
					forged:        {status: 401, Code: "refresh_invalid"}, // the store is not even asked
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
// third. Once the two have said that they cannot know about it, they never say yes again.
func TestProcessesAreCutOff(t *testing.T) {
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
	for n := range roundsOr(t, 1) {
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
	for range roundsOr(t, 1) {
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
			told := time.Now()
			f.logout(t, f.on(0), token)
			authtest.Eventually(t, "it says yes no more", func() bool {
				return w.said(t, unknown, told) > 0
			})
			joinedAt := time.Now()
			c.Join()
			fresh := f.watch(t, s, token) // the other may be waiting for an answer still
			recovered[i].add(fresh.settled(t, no, joinedAt).Sub(joinedAt))
			fresh.end()
			w.end()
			w.neverYesAgain(t, told, time.Now())
			delays[i].add(w.lastYes(t, time.Now(), told).Sub(told))
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
	for n := range roundsOr(t, 1) {
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

// A new SECRET comes in three steps, each a restart of three processes one by one. No client
// notices.
func TestRotatingTheSecretUnderLoad(t *testing.T) {
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
		for _, c := range tabs {
			from := c.refreshes.Load()
			authtest.Eventually(t, "the clients go on", func() bool {
				return ctx.Err() != nil || c.refreshes.Load() >= from+2
			})
		}
	}
	old, next := goodSecret, otherSecret
	restarts := 0
	for range roundsOr(t, 1) {
		first := f.login(t, f.on(0), "ana")
		for _, step := range [][]string{
			{"SECRET=" + old, "SECRET_PREVIOUS=" + next},
			{"SECRET=" + next, "SECRET_PREVIOUS=" + old},
			{"SECRET=" + next}, // after a while, in which goOn has every client refresh
		} {
			goOn()
			f.secret = step
			for i := range f.servers {
				s := f.on(i)
				s.signal(t)
				if status := s.wait(); status != 0 {
					t.Fatalf("status %d, log %s", status, s.stderr.String())
				}
				s = f.begin(t, f.databaseURL)
				s.wantListening(t)
				f.put(i, s)
				restarts++
			}
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
			rounds := roundsOr(t, 10)
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
			rounds, won, lost := roundsOr(t, 10), 0, 0
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
