package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"clientes/auth/authtest"
	"clientes/store/postgres/postgrestest"
)

// eventuallySoon bounds every wait here. A machine full of other tests needs far less.
const eventuallySoon = authtest.Timeout

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
func (f *fleet) command(t *testing.T, stdin string, args ...string) (printed string) {
	t.Helper()
	cmd := command(t, []string{"DATABASE_URL=" + f.databaseURL, endsAtOnce}, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
	return string(out)
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

// insist is do as a good client does it: it tries again what a process cannot do now (503), and
// what was done too often (429), which only a test of very many rounds does.
func (f *fleet) insist(ctx context.Context, method, url, token string, body any) (answer, error) {
	for deadline := time.Now().Add(eventuallySoon); ; time.Sleep(20 * time.Millisecond) {
		a, err := f.do(ctx, method, url, token, body)
		later := a.status == 503 || a.status == 429
		if err != nil || !later || time.Now().After(deadline) {
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
