package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"clientes/api/wire"
	"clientes/auth/authtest"
	"clientes/store"
)

// holds returns how much of a room is taken.
func (r *room) holds() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.taken
}

// hold sends the head of a request and a part of its body, and waits until the server reads that.
func (f *fixture) hold(role store.Role, path string, headers []string, body string) *rawConn {
	f.t.Helper()
	w := f.dial()
	w.begin(role, "POST", path,
		append(headers, "Content-Type: application/json", "Expect: 100-continue"), "")
	resp, err := http.ReadResponse(w.in, nil)
	authtest.Must(f.t, err)
	if resp.StatusCode != http.StatusContinue {
		f.t.Fatalf("answered %s", resp.Status)
	}
	w.send(body)
	return w
}

// chunked sends a body without a Content-Length.
func (f *fixture) chunked(path, body string, headers ...string) answer {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), "POST", f.url+path,
		struct{ io.Reader }{strings.NewReader(body)})
	authtest.Must(f.t, err)
	req.Header.Set("Content-Type", mediaJSON)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	authtest.Must(f.t, err)
	a, err := f.read(resp)
	authtest.Must(f.t, err)
	return a
}

// padded returns a login of the viewer that has so many bytes.
func padded(size int) string {
	return viewerLogin + strings.Repeat(" ", size-len(viewerLogin))
}

// A body on a route for anybody has 16 KiB at most, whatever its length says.
func TestBodiesForAnybodyAreSmall(t *testing.T) {
	f := onSQLite(t, func(cfg *Config) { cfg.SignupOpen = true })
	f.want(f.call("POST", "/login", padded(maxStrangersBody)), 200, "")
	f.want(f.chunked("/login", padded(maxStrangersBody)), 200, "")
	for _, path := range []string{
		"/login", "/logout", "/refresh", "/signup", "/password/forgot", "/password/reset",
		"/email/confirm",
	} {
		for _, a := range []answer{
			f.call("POST", path, padded(maxStrangersBody+1)),
			f.chunked(path, padded(maxStrangersBody+1)),
		} {
			f.want(a, 413, "body_too_large")
			if !strings.Contains(a.body, "16 KiB") {
				t.Errorf("%s: %s", path, a.body)
			}
		}
	}
	large := `{"name":"Ana"` + strings.Repeat(" ", maxBody) + "}"
	if a := f.as(store.Editor, "POST", "/clientes", large); !strings.Contains(a.body, "1 MiB") {
		t.Errorf("answered %d %s", a.status, a.body)
	}
	// A bad token is refused before the body is read.
	w := f.dial()
	f.tokens["nobody"] = "x"
	w.begin("nobody", "POST", "/clientes",
		[]string{"Content-Type: application/json", "Content-Length: 9", "Expect: 100-continue"}, "")
	f.want(w.answer(), 401, "token_invalid")
}

// Connections that only promise a body take nothing from others.
func TestIdleBodiesRefuseNobody(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for range 64 {
			f.hold("", "/login", []string{"Transfer-Encoding: chunked"}, "1\r\n{\r\n")
		}
		f.want(f.chunked("/login", padded(maxStrangersBody)), 200, "")
		f.want(f.chunked("/clientes", `{"name":"Ana"}`, "x-access-token", f.tokens[store.Editor]),
			201, "")
	})
}

// A network that holds back the ends of many bodies uses up its own share alone. Small bodies need
// no room.
func TestBodiesOfOneNetwork(t *testing.T) {
	f := onSQLite(t, trustLoopback)
	from := func(last int) []string {
		return []string{"X-Forwarded-For", fmt.Sprintf("192.0.2.%d", last)}
	}
	part := strings.Repeat(" ", maxStrangersBody-1)
	var held []*rawConn
	for range strangersOfOne / maxStrangersBody {
		held = append(held, f.hold("", "/login", []string{
			"X-Forwarded-For: 192.0.2.1", fmt.Sprint("Content-Length: ", maxStrangersBody),
		}, part))
	}
	f.eventually("the share is used", func() bool {
		return f.server.strangersBodies.holds() == strangersOfOne
	})
	large := padded(maxStrangersBody)
	a := f.call("POST", "/login", large, from(1)...)
	if f.want(a, 503, "overloaded"); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	f.want(f.call("POST", "/login", viewerLogin, from(1)...), 200, "")
	f.want(f.call("POST", "/login", large, from(2)...), 200, "")
	f.want(f.chunked("/login", large, from(2)...), 200, "")
	record := `{"name":"Ana"` + strings.Repeat(" ", smallBody) + "}"
	f.want(f.as(store.Editor, "POST", "/clientes", record, from(1)...), 201, "")
	for _, w := range held {
		authtest.Must(t, w.Close())
	}
	f.eventually("the room is empty", f.server.strangersBodies.isEmpty)
	f.want(f.call("POST", "/login", large, from(1)...), 200, "")
}

// So does a user.
func TestBodiesOfOneUser(t *testing.T) {
	f := onSQLite(t)
	part := strings.Repeat(" ", maxBody-1)
	var held []*rawConn
	for range bodiesOfOne / maxBody {
		held = append(held, f.hold(store.Editor, "/clientes",
			[]string{fmt.Sprint("Content-Length: ", maxBody)}, part))
	}
	f.eventually("the share is used", func() bool {
		return f.server.bodies.holds() == bodiesOfOne
	})
	const record = `{"name":"Ana"}`
	large := record + strings.Repeat(" ", maxBody-len(record))
	f.want(f.as(store.Editor, "POST", "/clientes", large), 503, "overloaded")
	f.want(f.as(store.Editor, "POST", "/clientes", record), 201, "")
	f.want(f.as(store.Admin, "POST", "/clientes", large), 201, "")
	for _, w := range held {
		authtest.Must(t, w.Close())
	}
	f.eventually("the room is empty", f.server.bodies.isEmpty)
	f.want(f.as(store.Editor, "POST", "/clientes", large), 201, "")
}

// However many networks there are, their bodies have a bound together.
func TestARoom(t *testing.T) {
	r := room{size: 10, share: 4, full: errTooManyBodies, used: errOwnTransfer}
	for i, c := range []struct {
		who  string
		n    int64
		want error
	}{
		{"a", 3, nil}, {"a", 2, errOwnTransfer}, {"a", 1, nil},
		{"b", 5, errOwnTransfer}, {"b", 4, nil},
		{"c", 3, errTooManyBodies}, {"c", 2, nil},
		{"d", 1, errTooManyBodies}, {"a", 1, errOwnTransfer},
	} {
		if err := r.take(c.who, c.n); err != c.want {
			t.Errorf("%d: %v, want %v", i, err, c.want)
		}
	}
	r.leave("a", 4)
	if err := r.take("d", 4); err != nil {
		t.Error(err)
	}
	for who, n := range map[string]int64{"b": 4, "c": 2, "d": 4} {
		r.leave(who, n)
	}
	if !r.isEmpty() {
		t.Errorf("it holds %d of %v", r.taken, r.by)
	}
}

// A user has one export and one import at a time.
func TestOneTransferOfAUser(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		inner := f.server.cfg.Store
		began, goOn := make(chan bool), make(chan bool)
		var later atomic.Bool
		f.stubExport(func(context.Context, func(store.Cliente) error) error {
			if !later.Swap(true) {
				began <- true
				<-goOn
			}
			return nil
		})
		done := make(chan answer)
		go func() {
			a, err := f.try("GET", "/clientes/export", "", "x-access-token", f.tokens[store.Editor])
			if err != nil {
				t.Error(err)
			}
			done <- a
		}()
		soon(t, began)
		a := f.as(store.Editor, "GET", "/clientes/export", "")
		f.want(a, 429, "too_many_attempts")
		if a.header.Get("Retry-After") == "" || strings.Contains(a.body, `"auth"`) {
			t.Errorf("%v %s", a.header, a.body)
		}
		// Another session of the user is the same user.
		f.want(f.call("GET", "/clientes/export", "", "x-access-token", f.login(store.Editor)),
			429, "too_many_attempts")
		f.want(f.as(store.Viewer, "GET", "/clientes/export", ""), 200, "")

		w := f.dial()
		w.beginImport(store.Editor, "Content-Length: 30")
		w.send("name\nAna\n")
		f.want(f.imported(wire.CSV, "name\nBia\n"), 429, "too_many_attempts")
		f.want(f.as(store.Admin, "POST", "/clientes/import", "name\nBia\n",
			"Content-Type", "text/csv"), 200, "")
		w.send(strings.Repeat("\n", 21))
		f.want(w.answer(), 200, "")
		f.want(f.imported(wire.CSV, "name\nBia\n"), 200, "")
		goOn <- true
		f.want(soon(t, done), 200, "")
		f.eventually("the place is free", f.server.downloads.isEmpty)
		f.server.cfg.Store = inner
		f.want(f.as(store.Editor, "GET", "/clientes/export", ""), 200, "")
	})
}

// A pace lets the other end be slow, but not for long.
func TestPace(t *testing.T) {
	c := authtest.StoppedAt(time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC))
	for _, step := range []struct {
		name  string
		moved int           // bytes at each wait
		wait  time.Duration // how long they take
		waits int           // until the time is used up, 0 for never
	}{
		{"at the least speed", leastSpeed, time.Second, 0},
		{"faster", 3 * leastSpeed, time.Second, 0},
		{"at half the least speed", leastSpeed / 2, time.Second, 60},
		{"a byte now and then", 1, 10 * time.Second, 4},
		{"a pause of 29 s and much after it", 100 * leastSpeed, 29 * time.Second, 0},
	} {
		p := newPace(c.Now)
		var waits int
		for waits = 1; waits <= 1000; waits++ {
			deadline := p.begin()
			c.Advance(step.wait)
			if c.Now().After(deadline) {
				break
			}
			p.moved(step.moved)
		}
		if waits > 1000 {
			waits = 0
		}
		if diff := waits - step.waits; diff < -1 || diff > 1 {
			t.Errorf("%s: it ends at wait %d, want %d", step.name, waits, step.waits)
		}
	}
}

// A transfer has the pace of its other end, whichever way it goes.
func TestATrickleIsDropped(t *testing.T) {
	for name, trickle := range map[string]bool{"at the least speed": false, "at half of it": true} {
		c := authtest.StoppedAt(time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC))
		part := make([]byte, stallPart)
		end := &slowEnd{ResponseWriter: httptest.NewRecorder(), clock: c, took: time.Second / 2}
		if trickle {
			end.took = time.Second
		}
		connection := http.NewResponseController(end)
		up := &upload{
			ctx: t.Context(), from: end, connection: connection,
			pace: newPace(c.Now), end: c.Now().Add(24 * time.Hour),
		}
		down := &download{
			ctx: t.Context(), to: end, connection: connection,
			pace: newPace(c.Now), media: string(wire.CSV),
		}
		for way, move := range map[string]func([]byte) (int, error){
			"up": up.Read, "down": down.Write,
		} {
			var err error
			for parts := 0; err == nil && parts < 1000; parts++ {
				_, err = move(part)
			}
			if dropped := errors.Is(err, os.ErrDeadlineExceeded); dropped != trickle {
				t.Errorf("%s, %s: %v", way, name, err)
			}
		}
	}
}

// slowEnd is the other end of a connection. It takes some time for each part, and none that would
// come after the deadline.
type slowEnd struct {
	http.ResponseWriter
	clock    *authtest.Clock
	took     time.Duration
	deadline time.Time
}

func (e *slowEnd) SetReadDeadline(t time.Time) error  { e.deadline = t; return nil }
func (e *slowEnd) SetWriteDeadline(t time.Time) error { e.deadline = t; return nil }

func (e *slowEnd) Read(p []byte) (int, error)  { return e.move(p) }
func (e *slowEnd) Write(p []byte) (int, error) { return e.move(p) }

func (e *slowEnd) move(p []byte) (int, error) {
	e.clock.Advance(e.took)
	if e.clock.Now().After(e.deadline) {
		return 0, os.ErrDeadlineExceeded
	}
	return len(p), nil
}
