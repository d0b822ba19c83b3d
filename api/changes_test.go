package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"clientes/auth/authtest"
	"clientes/store"
)

// changesAnswer is the JSON of a part of the feed.
type changesAnswer struct {
	Changes []struct {
		ID      int64         `json:"id"`
		Version int64         `json:"version"`
		Action  string        `json:"action"`
		User    string        `json:"user"`
		Record  *listedRecord `json:"record"`
	} `json:"changes"`
	Cursor string `json:"cursor"`
	More   bool   `json:"more"`
}

type listedRecord struct {
	Name string `json:"name"`
}

// String is what is compared: "1.2 updated Ana, 1.3 deleted".
func (a changesAnswer) String() string {
	var all []string
	for _, c := range a.Changes {
		one := fmt.Sprintf("%d.%d %s", c.ID, c.Version, c.Action)
		if c.Record != nil {
			one += " " + c.Record.Name
		}
		all = append(all, one)
	}
	return strings.Join(all, ", ")
}

// changes returns a part of the feed.
func (f *fixture) changes(query string) changesAnswer {
	f.t.Helper()
	a := f.as(store.Viewer, "GET", "/clientes/changes"+query, "")
	f.want(a, 200, "")
	var v changesAnswer
	authtest.Must(f.t, json.Unmarshal([]byte(a.body), &v))
	return v
}

// event is one server-sent event.
type event struct{ id, kind, data string }

// eventReader reads a stream of events.
type eventReader struct {
	*bufio.Reader
	resp *http.Response
	id   string // of the last event
}

// follow begins a stream of changes.
func (f *fixture) follow(token, query string, headers ...string) *eventReader {
	f.t.Helper()
	resp, err := f.tryFollow(f.t.Context(), token, query, headers...)
	authtest.Must(f.t, err)
	if resp.StatusCode != 200 {
		a, err := f.read(resp)
		f.t.Fatalf("answered %d %s, %v", a.status, a.body, err)
	}
	f.t.Cleanup(func() { resp.Body.Close() })
	return &eventReader{Reader: bufio.NewReader(resp.Body), resp: resp}
}

func (f *fixture) tryFollow(ctx context.Context, token, query string, headers ...string) (
	*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", f.url+"/clientes/changes"+query, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("x-access-token", token)
	req.Header.Set("Accept", mediaEvents)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return http.DefaultTransport.RoundTrip(req)
}

// next returns the next event that has data.
func (r *eventReader) next() (e event, err error) {
	for {
		line, err := r.ReadString('\n')
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case err != nil:
			return e, err
		case line == "" && e.data != "":
			return e, nil
		case name == "id":
			e.id, r.id = value, value
		case name == "event":
			e.kind = value
		case name == "data":
			e.data = value
		case line == "":
			e = event{}
		}
	}
}

// want fails the test unless the next events are of these changes.
func (r *eventReader) want(t *testing.T, want string) {
	t.Helper()
	var got changesAnswer
	for range strings.Split(want, ", ") {
		e, err := r.next()
		if err != nil || e.kind != "change" || e.id == "" {
			t.Fatalf("got %+v, %v after %s, want %s", e, err, got, want)
		}
		part := changesAnswer{}
		authtest.Must(t, json.Unmarshal([]byte(`{"changes":[`+e.data+`]}`), &part))
		got.Changes = append(got.Changes, part.Changes...)
	}
	if got.String() != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

// wantEnd fails the test unless the stream ends now, and says why.
func (r *eventReader) wantEnd(t *testing.T, code string) {
	t.Helper()
	e, err := r.next()
	if want := `{"code":"` + code + `"}`; err != nil || e.kind != "end" || e.data != want {
		t.Fatalf("got %+v, %v, want the end with %s", e, err, want)
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("after the end came %q, %v", rest, err)
	}
}

// rename changes the name of a record over the API.
func (f *fixture) rename(id int64, name string) {
	f.t.Helper()
	f.want(f.as(store.Editor, "PATCH", fmt.Sprintf("/clientes/%d", id), `{"name":"`+name+`"}`),
		200, "")
}

func TestChanges(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		empty := f.changes("")
		if empty.String() != "" || empty.More || empty.Cursor == "" {
			t.Errorf("at first: %+v", empty)
		}
		ana, bia := f.add(store.Cliente{Name: "Ana"}), f.add(store.Cliente{Name: "Bia"})
		f.rename(ana.ID, "Eva")
		f.want(f.as(store.Editor, "DELETE", fmt.Sprintf("/clientes/%d", bia.ID), ""), 204, "")
		f.want(f.as(store.Editor, "POST", fmt.Sprintf("/clientes/%d/restore", bia.ID),
			`{"version":1}`), 200, "")
		const want = "1.1 created Ana, 2.1 created Bia, 1.2 updated Eva, 2.2 deleted, 2.3 restored Bia"
		all := f.changes("?since=0")
		if all.String() != want || all.More {
			t.Errorf("the changes are %s", all)
		}
		if user := all.Changes[2].User; user != "the-editor" {
			t.Errorf("it was %q", user)
		}
		if got := f.changes("?since=" + empty.Cursor); got.String() != want {
			t.Errorf("after the cursor of nothing: %s", got)
		}
		first := f.changes("?since=0&limit=2")
		if first.String() != "1.1 created Ana, 2.1 created Bia" || !first.More {
			t.Errorf("the first page is %s, more: %t", first, first.More)
		}
		rest := f.changes("?limit=1000&since=" + first.Cursor)
		if !strings.HasSuffix(want, ", "+rest.String()) || rest.Cursor != all.Cursor {
			t.Errorf("the rest is %s", rest)
		}
		if now := f.changes(""); now.String() != "" || now.Cursor != all.Cursor {
			t.Errorf("from now on: %+v", now)
		}
		r := f.follow(f.tokens[store.Viewer], "?since=0")
		r.want(t, want)
		if r.id != all.Cursor {
			t.Errorf("the id is %s, the cursor %s", r.id, all.Cursor)
		}
		r.resp.Body.Close()
	})
}

func TestBadRequestsForChanges(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for _, query := range []string{
			"?since=", "?since=x", "?since=-1", "?since=00", "?since=0&since=0", "?limit=0",
			"?limit=1001", "?wait=-1", "?wait=31", "?wait=1.5", "?wait=1s", "?wait=", "?cursor=0",
		} {
			name, _, _ := strings.Cut(query[1:], "=")
			for _, accept := range []string{mediaJSON, mediaEvents} {
				a := f.as(store.Viewer, "GET", "/clientes/changes"+query, "", "Accept", accept)
				f.want(a, 400, "invalid_parameter")
				f.says(a, name)
			}
		}
		// Of another database, or of a state that is gone.
		f.add(store.Cliente{Name: "Ana"})
		cursor := f.changes("").Cursor
		_, at, _ := strings.Cut(cursor, "-")
		for _, unknown := range []string{"77-" + at, "1-abc"} {
			for _, query := range []string{"", "&wait=30"} {
				for _, accept := range []string{mediaJSON, mediaEvents} {
					a := f.as(store.Viewer, "GET", "/clientes/changes?since="+unknown+query, "",
						"Accept", accept)
					f.want(a, 400, "invalid_parameter")
					f.says(a, "since=0", "empty copy")
				}
			}
		}
		a := f.as(store.Viewer, "GET", "/clientes/changes", "", "Accept", mediaEvents,
			"Last-Event-ID", "x")
		f.want(a, 400, "invalid_parameter")
		f.says(a, "Last-Event-ID")
		f.want(f.call("GET", "/clientes/changes?wait=30", ""), 401, "token_missing")
		f.want(f.call("GET", "/clientes/changes", "", "Accept", mediaEvents), 401, "token_missing")
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
			f.want(f.as(store.Admin, method, "/clientes/changes", "{}"), 405, "method_not_allowed")
		}
		f.want(f.as(store.Viewer, "GET", "/Clientes/Changes", ""), 404, "not_found")
		f.want(f.as(store.Viewer, "GET", "/clientes/changes/", ""), 404, "not_found")
	})
}

func TestAcceptOfChanges(t *testing.T) {
	f := onSQLite(t)
	for accept, media := range map[string]string{
		"":                                    mediaJSON,
		" ":                                   mediaJSON,
		"*/*":                                 mediaJSON,
		"application/json":                    mediaJSON,
		"text/event-stream":                   mediaEvents,
		"text/*":                              mediaEvents,
		"text/event-stream, */*;q=0.1":        mediaEvents,
		"text/event-stream;q=0.5, */*":        mediaJSON,
		"application/json, text/event-stream": mediaJSON,
		"application/json;q=0, text/event-stream;q=0.1": mediaEvents,
		"text/csv": "",
		"application/json;q=0, text/event-stream;q=0": "",
	} {
		a := f.as(store.Viewer, "HEAD", "/clientes/changes", "", "Accept", accept)
		got, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
		switch {
		case media == "" && a.status != 406, media != "" && (a.status != 200 || got != media):
			t.Errorf("%q: answered %d with %s, want %s", accept, a.status, got, media)
		}
	}
	other := onSQLite(t)
	other.add(store.Cliente{Name: "Ana"})
	foreign := "/clientes/changes?since=" + other.changes("").Cursor
	for _, accept := range []string{mediaJSON, mediaEvents} {
		f.want(f.as(store.Viewer, "HEAD", foreign, "", "Accept", accept), 400, "")
	}
	a := f.as(store.Viewer, "GET", "/clientes/changes", "", "Accept", "text/csv")
	f.want(a, 406, "not_acceptable")
	f.says(a, "text/event-stream")
	r := f.follow(f.tokens[store.Viewer], "", "Accept-Encoding", "gzip")
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Content-Encoding": "",
		"Content-Type": mediaEvents,
	} {
		if got := r.resp.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	id := "id: " + f.changes("").Cursor + "\n"
	for _, want := range []string{"retry: 1000\n", id, "\n", ": changes follow\n", "\n"} {
		if line, err := r.ReadString('\n'); line != want {
			t.Errorf("got the line %q, %v, want %q", line, err, want)
		}
	}
}

// A request that waits is answered when there is a change, and one that streams gets it at once.
func TestWaitForChanges(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		cursor := f.changes("").Cursor
		stream := f.follow(f.tokens[store.Viewer], "")
		waiting := make(chan changesAnswer)
		for _, query := range []string{"?wait=30&since=" + cursor, "?wait=30"} {
			go func() { waiting <- f.changes(query) }()
		}
		f.eventually("three listen", func() bool { return f.server.listeners.occupied() == 3 })
		f.add(store.Cliente{Name: "Ana"})
		for range 2 {
			if got := soon(t, waiting); got.String() != "1.1 created Ana" {
				t.Errorf("got %s", got)
			}
		}
		stream.want(t, "1.1 created Ana")
		if got := f.changes("?wait=0&since=" + stream.id); got.String() != "" {
			t.Errorf("then came %s", got)
		}
		// What is there already is not waited for.
		if got := f.changes("?wait=30&since=0"); got.String() != "1.1 created Ana" {
			t.Errorf("got %s", got)
		}
		if got := f.changes("?wait=1&since=" + stream.id); got.String() != "" ||
			got.Cursor != stream.id {
			t.Errorf("after a second: %+v", got)
		}
		f.rename(1, "Eva")
		stream.want(t, "1.2 updated Eva")
		stream.resp.Body.Close()
		f.eventually("nobody listens", func() bool {
			return f.server.listeners.isEmpty() && f.server.feed.current() == nil
		})
	})
}

// A stream that was cut goes on where it was, also on another server and after many changes.
func TestAStreamResumes(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		ana := f.add(store.Cliente{Name: "Ana"})
		r := f.follow(f.tokens[store.Viewer], "?since=0")
		r.want(t, "1.1 created Ana")
		r.resp.Body.Close()
		for i := range 3 {
			f.rename(ana.ID, fmt.Sprint("Eva ", i))
		}
		r = f.follow(f.tokens[store.Viewer], "?since=0", "Last-Event-ID", r.id)
		r.want(t, "1.2 updated Eva 0, 1.3 updated Eva 1")
		r.resp.Body.Close()
		other := newOther(f)
		r = other.follow(f.tokens[store.Viewer], "", "Last-Event-ID", r.id)
		r.want(t, "1.4 updated Eva 2")
		f.rename(ana.ID, "Bia")
		r.want(t, "1.5 updated Bia")
		// An id comes before the first change, too.
		r = f.follow(f.tokens[store.Viewer], "")
		_, err := r.ReadString(':')
		authtest.Must(t, err)
		_, err = r.ReadString(':')
		authtest.Must(t, err)
		id, err := r.ReadString('\n')
		authtest.Must(t, err)
		r.resp.Body.Close()
		f.rename(ana.ID, "Cid")
		r = f.follow(f.tokens[store.Viewer], "", "Last-Event-ID", strings.TrimSpace(id))
		r.want(t, "1.6 updated Cid")
	})
}

// newOther returns another server over the store of a fixture.
func newOther(f *fixture) *fixture {
	f.t.Helper()
	other := *f
	cfg := f.server.cfg
	var err error
	other.server, err = New(cfg)
	authtest.Must(f.t, err)
	other.serveWith(func(*http.Server) {})
	return &other
}

func TestTooManyListeners(t *testing.T) {
	f := onSQLite(t)
	var open []*eventReader
	for range listenersOfOne {
		open = append(open, f.follow(f.tokens[store.Viewer], ""))
	}
	for _, accept := range []string{mediaEvents, mediaJSON} {
		a := f.as(store.Viewer, "GET", "/clientes/changes?wait=30", "", "Accept", accept)
		f.want(a, 429, "too_many_attempts")
		if a.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	f.changes("?since=0")                                 // what does not wait is not counted
	f.follow(f.login(store.Viewer), "").resp.Body.Close() // another session of the same user
	open[0].resp.Body.Close()
	f.eventually("a place is free", func() bool {
		resp, err := f.tryFollow(t.Context(), f.tokens[store.Viewer], "")
		authtest.Must(t, err)
		defer resp.Body.Close()
		return resp.StatusCode == 200
	})
	f.server.listeners.size = 1
	a := f.as(store.Admin, "GET", "/clientes/changes?wait=1", "")
	f.want(a, 503, "overloaded")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

// Nothing more comes after a logout, and a stream says why it ended.
func TestASessionEndsWhileItListens(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		cursor := f.changes("").Cursor
		r := f.follow(f.tokens[store.Viewer], "", "X-Request-Id", "revoked")
		waiting := make(chan answer)
		go func() {
			waiting <- f.as(store.Viewer, "GET", "/clientes/changes?wait=30&since="+cursor, "")
		}()
		f.eventually("both listen", func() bool { return f.server.listeners.occupied() == 2 })
		f.want(f.as(store.Viewer, "POST", "/logout", ""), 200, "")
		f.add(store.Cliente{Name: "Ana"})
		r.wantEnd(t, "token_revoked")
		f.want(soon(t, waiting), 401, "token_revoked")
		if line := f.logLine("revoked"); !strings.Contains(line, `"code":"token_revoked"`) {
			t.Errorf("it is logged as %s", line)
		}
	})
}

func TestATokenExpiresWhileItListens(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(time.Now().Round(0))
		f := newFixture(t, e.Open(t, url, time.Now), func(cfg *Config) { cfg.Now = c.Now })
		f.server.commentEvery = 10 * time.Millisecond
		cursor := f.changes("").Cursor
		r := f.follow(f.tokens[store.Viewer], "")
		waiting := make(chan answer)
		go func() {
			waiting <- f.as(store.Viewer, "GET", "/clientes/changes?wait=30&since="+cursor, "")
		}()
		f.eventually("both listen", func() bool { return f.server.listeners.occupied() == 2 })
		c.Advance(f.config.TokenTTL + 10*time.Second)
		r.wantEnd(t, "token_expired")
		f.add(store.Cliente{Name: "Ana"})
		f.want(soon(t, waiting), 401, "token_expired")
	})
}

// A server that is about to stop lets nobody wait.
func TestDrainEndsStreams(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		cursor := f.changes("").Cursor
		r := f.follow(f.tokens[store.Viewer], "")
		waiting := make(chan changesAnswer)
		go func() { waiting <- f.changes("?wait=30&since=" + cursor) }()
		f.eventually("both listen", func() bool { return f.server.listeners.occupied() == 2 })
		f.server.Drain()
		r.wantEnd(t, "draining")
		if got := soon(t, waiting); got.String() != "" || got.Cursor != cursor {
			t.Errorf("who waited got %+v", got)
		}
		f.add(store.Cliente{Name: "Ana"})
		a := f.as(store.Viewer, "GET", "/clientes/changes", "", "Accept", mediaEvents)
		f.want(a, 503, "overloaded")
		if got := f.changes("?wait=30&since=" + cursor); got.String() != "1.1 created Ana" {
			t.Errorf("got %s", got)
		}
		if got := f.changes("?wait=30"); got.String() != "" {
			t.Errorf("got %s", got)
		}
		f.eventually("nobody listens", func() bool {
			return f.server.listeners.isEmpty() && f.server.feed.current() == nil
		})
		f.eventually("the log says why the stream ended", func() bool {
			return strings.Contains(f.log.String(), `"code":"draining"`)
		})
	})
}

// A client that takes nothing is let go, and nothing is kept for it.
func TestASlowListenerIsDropped(t *testing.T) {
	s := withMetrics(t)
	f := s.fixture
	f.serveWith(func(s *http.Server) {
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			f.server.ServeHTTP(hasty{w, 0, stall - tinyTimeouts}, r)
		})
	})
	big := strings.Repeat("𝒙", store.MaxNotes)
	for range 400 { // more than what systems hold on the way
		f.add(store.Cliente{Name: "Ana", Notes: big})
	}
	w := f.dial()
	w.begin(store.Viewer, "GET", "/clientes/changes?since=0", []string{
		"Accept: text/event-stream", "X-Request-Id: the-one",
	}, "")
	f.eventually("it is dropped", func() bool {
		return s.samples()["clientes_changes_dropped_total"] == 1
	})
	f.eventually("the place is free", func() bool { return f.server.listeners.isEmpty() })
	if line := f.logLine("the-one"); strings.Contains(line, `"level":"ERROR"`) {
		t.Errorf("it is logged as a fault of ours: %s", line)
	}
}

// failingFeed fails while it should.
type failingFeed struct {
	Store
	fails atomic.Bool
}

func (s *failingFeed) Changes(ctx context.Context, after store.FeedPosition, limit int) (
	store.FeedPage, error) {
	if s.fails.Load() {
		return store.FeedPage{}, fmt.Errorf("%w: %w", store.ErrUnavailable, errInside)
	}
	return s.Store.Changes(ctx, after, limit)
}

// While the store does not answer, streams stay open. Then they go on where they were.
func TestStreamsOutliveAnOutage(t *testing.T) {
	var failing *failingFeed
	onSQLiteWith := func(cfg *Config) {
		failing = &failingFeed{Store: cfg.Store}
		cfg.Store = failing
	}
	f := onSQLite(t, onSQLiteWith)
	f.server.commentEvery = 10 * time.Millisecond
	f.add(store.Cliente{Name: "Ana"})
	behind := f.follow(f.tokens[store.Viewer], "?since=0")
	ahead := f.follow(f.tokens[store.Viewer], "")
	behind.want(t, "1.1 created Ana")
	failing.fails.Store(true)
	f.add(store.Cliente{Name: "Bia"})
	f.eventually("the outage is logged", func() bool {
		return strings.Contains(f.log.String(), "cannot read the changes")
	})
	f.want(f.as(store.Viewer, "GET", "/clientes/changes?since=0", ""), 503, "store_unavailable")
	for range 3 { // comments
		_, err := ahead.ReadString('\n')
		authtest.Must(t, err)
	}
	failing.fails.Store(false)
	behind.want(t, "2.1 created Bia")
	ahead.want(t, "2.1 created Bia")
	f.eventually("its end is logged", func() bool {
		return strings.Contains(f.log.String(), "reading the changes again")
	})
	if n := strings.Count(f.log.String(), "cannot read the changes"); n != 1 {
		t.Errorf("the outage is logged %d times", n)
	}
}

// A stream whose database was replaced ends, and cannot go on.
func TestAStreamOfAReplacedDatabase(t *testing.T) {
	var stub *replacedFeed
	f := onSQLite(t, func(cfg *Config) {
		stub = &replacedFeed{Store: cfg.Store}
		cfg.Store = stub
	})
	f.add(store.Cliente{Name: "Ana"})
	r := f.follow(f.tokens[store.Viewer], "?since=0")
	r.want(t, "1.1 created Ana")
	stub.replaced.Store(true)
	r.wantEnd(t, "invalid_parameter")
	a := f.as(store.Viewer, "GET", "/clientes/changes", "", "Accept", mediaEvents,
		"Last-Event-ID", r.id)
	f.want(a, 400, "invalid_parameter")
}

// replacedFeed knows no position any more but a new end.
type replacedFeed struct {
	Store
	replaced atomic.Bool
}

func (s *replacedFeed) Changes(ctx context.Context, after store.FeedPosition, limit int) (
	store.FeedPage, error) {
	if s.replaced.Load() && after.Seq > 0 {
		return store.FeedPage{}, store.ErrUnknownPosition
	}
	return s.Store.Changes(ctx, after, limit)
}

func (s *replacedFeed) FeedEnd(ctx context.Context) (store.FeedPosition, error) {
	if s.replaced.Load() {
		return store.FeedPosition{Part: store.FeedOrder, At: time.UnixMilli(1).UTC()}, nil
	}
	return s.Store.FeedEnd(ctx)
}

// A stream says where it has come to while it finds nothing, and ends with its token all the same.
// Otherwise proxies and clients take it for dead, and begin where it began.
func TestAStreamThatFindsNothingYet(t *testing.T) {
	c := authtest.StoppedAt(time.Now().Round(0))
	e := authtest.SQLite()
	f := newFixture(t, e.Open(t, e.Migrated(t), time.Now), func(cfg *Config) {
		cfg.Now, cfg.Store = c.Now, &endlessFeed{Store: cfg.Store}
	})
	r := f.follow(f.tokens[store.Viewer], "?since=0")
	for seen := 0; seen < 5; {
		line, err := r.ReadString('\n')
		authtest.Must(t, err)
		if strings.HasPrefix(line, "id: b") {
			seen++
		}
	}
	c.Advance(f.config.TokenTTL + 10*time.Second)
	r.wantEnd(t, "token_expired")
}

// endlessFeed has more and more records to look at, and no change.
type endlessFeed struct{ Store }

func (*endlessFeed) Changes(_ context.Context, after store.FeedPosition, _ int) (
	store.FeedPage, error) {
	return store.FeedPage{
		Next: store.FeedPosition{Part: store.FeedUnrecorded, ID: after.ID + 1}, More: true,
	}, nil
}

// A client that hangs up leaves nothing behind.
func TestAListenerHangsUp(t *testing.T) {
	f := onSQLite(t)
	ctx, hangUp := context.WithCancel(t.Context())
	resp, err := f.tryFollow(ctx, f.tokens[store.Viewer], "", "X-Request-Id", "the-one")
	authtest.Must(t, err)
	hangUp()
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	f.eventually("nobody listens", func() bool {
		return f.server.listeners.isEmpty() && f.server.feed.current() == nil
	})
	if line := f.logLine("the-one"); strings.Contains(line, `"code"`) {
		t.Errorf("it is logged as %s", line)
	}
}

// nginx, as it is configured by default, passes each event on at once.
func TestAStreamBehindNginx(t *testing.T) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/nginx")
	}
	switch {
	case err != nil && os.Getenv("CI") != "":
		t.Fatalf("no nginx: %v", err)
	case err != nil:
		t.Skipf("no nginx (apt-get install nginx-light): %v", err)
	}
	f := onSQLite(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	authtest.Must(t, err)
	address := free.Addr().String()
	free.Close()
	folder := t.TempDir()
	conf := filepath.Join(folder, "nginx.conf")
	authtest.Must(t, os.WriteFile(conf, fmt.Appendf(nil, `
		daemon off; master_process off; pid nginx.pid;
		events {}
		http {
			access_log off;
			client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
			uwsgi_temp_path uwsgi; scgi_temp_path scgi;
			server { listen %s; location / { proxy_pass %s; } }
		}`, address, f.url), 0o600))
	cmd := exec.CommandContext(t.Context(), program, "-p", folder, "-c", conf, "-e", "error.log")
	authtest.Must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Wait() })
	f.eventually("nginx listens", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	f.url = "http://" + address
	r := f.follow(f.tokens[store.Viewer], "", "Accept-Encoding", "gzip")
	for i := range 3 { // each is seen before the next is made
		f.add(store.Cliente{Name: "Ana"})
		r.want(t, fmt.Sprintf("%d.1 created Ana", i+1))
	}
	authtest.Must(t, f.auth.Logout(t.Context(), f.tokens[store.Viewer]))
	r.wantEnd(t, "token_revoked")
}
