package api

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"clientes/auth/authtest"
	"clientes/store"
)

// scraped is a server with metrics.
type scraped struct {
	*fixture
	registry *prometheus.Registry
}

// withMetrics serves an empty store, with metrics.
func withMetrics(t testing.TB, changes ...func(*Config)) scraped {
	t.Helper()
	registry := prometheus.NewRegistry()
	changes = append(changes, func(cfg *Config) { cfg.Metrics = registry })
	return scraped{onSQLite(t, changes...), registry}
}

// samples returns what a scrape shows.
func (s scraped) samples() map[string]float64 {
	s.t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}).ServeHTTP(w,
		httptest.NewRequestWithContext(s.t.Context(), "GET", "/metrics", nil))
	if w.Code != http.StatusOK {
		s.t.Fatalf("the scrape answered %d: %s", w.Code, w.Body)
	}
	return authtest.Samples(s.t, w.Body.String())
}

// requests returns how many requests were counted, by "METHOD ROUTE STATUS".
func (s scraped) requests() map[string]float64 {
	s.t.Helper()
	const name = "http_server_request_duration_seconds_count"
	counts := make(map[string]float64)
	for series, n := range s.samples() {
		if labels, is := strings.CutPrefix(series, name+"{"); is {
			// They stand in the order of the alphabet.
			p := strings.Split(strings.TrimSuffix(labels, "}"), `"`)
			counts[p[1]+" "+p[5]+" "+p[3]] = n
		}
	}
	return counts
}

// wantRequests waits until these requests were counted, and no others.
func (s scraped) wantRequests(want map[string]float64) {
	s.t.Helper()
	var got map[string]float64
	defer func() {
		if s.t.Failed() {
			s.t.Logf("counted: %v", got)
		}
	}()
	s.eventually("the requests are counted", func() bool {
		got = s.requests()
		return maps.Equal(got, want) && s.samples()["http_server_active_requests"] == 0
	})
}

func TestRequestsAreCountedByTheirRoute(t *testing.T) {
	t.Parallel()
	s := withMetrics(t)
	want := make(map[string]float64)
	send := func(as store.Role, method, path, body, counted string, headers ...string) {
		t.Helper()
		if as != "" {
			headers = append(headers, "x-access-token", s.tokens[as])
		}
		req, err := http.NewRequestWithContext(t.Context(), method, s.url+path,
			strings.NewReader(body))
		authtest.Must(t, err)
		req.Header.Set("Content-Type", mediaJSON)
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		authtest.Must(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		authtest.Must(t, errors.Join(err, resp.Body.Close()))
		if !strings.HasSuffix(counted, " "+strconv.Itoa(resp.StatusCode)) {
			t.Errorf("%s %s is answered with %d", method, path, resp.StatusCode)
		}
		if packed := resp.Header.Get("Content-Encoding") == "gzip"; packed !=
			(req.Header.Get("Accept-Encoding") == "gzip") {
			t.Errorf("%s %s: compressed: %v", method, path, packed)
		}
		want[counted]++
	}
	const editor, viewer = store.Editor, store.Viewer
	for n := range 150 { // an answer that is compressed
		s.add(store.Cliente{Name: "Ana " + strconv.Itoa(n)})
	}
	send("", "GET", "/", "", "GET / 200")
	send("", "HEAD", "/", "", "HEAD / 200")
	send("", "OPTIONS", "/clientes/7", "", "OPTIONS /clientes/:id 204")
	send("", "GET", "/login", "", "GET /login 200")
	send("", "GET", "/app/look.css", "", "GET /app/:file 200")
	send("", "GET", "/app/nowhere", "", "GET /app/:file 404")
	send("", "GET", "/openapi.json", "", "GET /openapi.json 200", "Accept-Encoding", "gzip")
	send("", "GET", "/clientes", "", "GET /clientes 401")
	send(viewer, "GET", "/clientes", "", "GET /clientes 200", "Accept-Encoding", "gzip")
	send(viewer, "GET", "/CLIENTES/", "", "GET /clientes 200")
	send(viewer, "GET", "/clientes/1", "", "GET /clientes/:id 200")
	send(viewer, "GET", "/clientes/2", "", "GET /clientes/:id 200")
	send(viewer, "GET", "/clientes/999", "", "GET /clientes/:id 404")
	send(viewer, "GET", "/clientes/x", "", "GET /clientes/:id 404")
	send(viewer, "GET", "/clientes/1/history", "", "GET /clientes/:id/history 200")
	send(viewer, "GET", "/clientes/export", "", "GET /clientes/export 200")
	send(editor, "POST", "/clientes", `{"name":"Bia"}`, "POST /clientes 201")
	send(editor, "POST", "/clientes", `{`, "POST /clientes 400")
	send(editor, "POST", "/clientes", `"`+strings.Repeat("x", 1<<20)+`"`, "POST /clientes 413")
	send(viewer, "POST", "/clientes", `{"name":"Bia"}`, "POST /clientes 403")
	send(editor, "PUT", "/clientes/import", `{}`, "PUT /clientes/import 405")
	send(editor, "POST", "/clientes/1", `{}`, "POST none 405")
	send("", "GET", "/wp-login.php", "", "GET none 404")
	send("", "GET", "/clientes/1/nothing", "", "GET none 404")
	// Whatever strangers make up is one series.
	for _, method := range []string{"BREW", "get", "PROPFIND", "X" + strings.Repeat("Y", 100)} {
		send("", method, "/"+method, "", "_OTHER none 404")
		send("", method, "/clientes", "", "_OTHER /clientes 405")
	}
	s.wantRequests(want)
	samples := s.samples()
	const one = `http_server_request_duration_seconds_bucket{http_request_method="GET",` +
		`http_response_status_code="200",http_route="/",le="`
	for _, le := range []string{
		"0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1", "2.5", "5",
		"7.5", "10", "+Inf",
	} {
		if _, ok := samples[one+le+`"}`]; !ok {
			t.Errorf("there is no bucket of %s s", le)
		}
	}
}

// The time of a request is that of the server's clock.
func TestTheTimeOfARequest(t *testing.T) {
	t.Parallel()
	clock := authtest.StoppedAt(time.Now().Round(0))
	slow := &countingStore{hold: make(chan struct{})}
	s := withMetrics(t, func(cfg *Config) {
		cfg.Now = clock.Now
		slow.Store, cfg.Store = cfg.Store, slow
	})
	answered := make(chan answer, 1)
	go func() { answered <- s.call("GET", "/readyz", "") }()
	s.eventually("it is under way", func() bool { return slow.asked.Load() > 0 })
	if n := sampleOf(t, s.registry, "http_server_active_requests"); n != 1 {
		t.Errorf("%v requests are under way", n)
	}
	clock.Advance(3 * time.Second)
	close(slow.hold)
	<-answered
	s.eventually("it is counted", func() bool { return len(s.requests()) > 0 })
	for series, value := range s.samples() {
		if strings.HasPrefix(series, "http_server_request_duration_seconds_sum") && value != 3 {
			t.Errorf("it took %v s", value)
		}
	}
}

// sampleOf returns a metric without labels that needs no checks.
func sampleOf(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	authtest.Must(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

// A request that panics, or whose client hangs up, is counted once, with the status that was sent.
func TestRequestsThatEndBadlyAreCounted(t *testing.T) {
	t.Parallel()
	s := withMetrics(t, func(cfg *Config) { cfg.Store = panickingStore{cfg.Store} })
	s.as(store.Viewer, "GET", "/clientes/1", "")
	s.stubExport(func(_ context.Context, each func(store.Cliente) error) error {
		return endlessly(each)
	})
	resp := s.startExport("the-one")
	_, err := io.ReadFull(resp.Body, make([]byte, exportBuffer))
	authtest.Must(t, err)
	if n := s.samples()["clientes_exports_active"]; n != 1 {
		t.Errorf("%v exports are under way", n)
	}
	resp.Body.Close()
	s.wantRequests(map[string]float64{
		"GET /clientes/:id 500": 1, "GET /clientes/export 200": 1,
	})
	if n := s.samples()["clientes_exports_active"]; n != 0 {
		t.Errorf("%v exports are under way", n)
	}
}

func TestImportsAreCounted(t *testing.T) {
	t.Parallel()
	s := withMetrics(t)
	wantImports := func(kept, checked, refused, failed, rows float64) {
		t.Helper()
		got := s.samples()
		for name, want := range map[string]float64{
			`clientes_imports_total{result="kept"}`:    kept,
			`clientes_imports_total{result="checked"}`: checked,
			`clientes_imports_total{result="refused"}`: refused,
			`clientes_imports_total{result="failed"}`:  failed,
			"clientes_import_rows_total":               rows,
			"clientes_imports_active":                  0,
		} {
			if n, ok := got[name]; !ok || n != want {
				t.Errorf("%s is %v, want %v", name, n, want)
			}
		}
	}
	wantImports(0, 0, 0, 0, 0)
	file := func(query, text string) {
		t.Helper()
		s.as(store.Editor, "POST", "/clientes/import"+query, text, "Content-Type", "text/csv")
	}
	file("", "name\nAna\nBia\n")
	file("?dry_run=true", "name\nAna\nBia\n")
	file("", "name,email\nAna,nowhere\n")
	file("?dry_run=true", "name,email\nAna,nowhere\n")
	file("", "")
	wantImports(1, 1, 3, 0, 2)
	s.server.cfg.Store = failingImports{s.server.cfg.Store}
	file("", "name\nAna\n")
	wantImports(1, 1, 3, 1, 2)
}

// failingImports is a store that has lost its database.
type failingImports struct{ Store }

func (failingImports) ImportClientes(
	context.Context, int64, iter.Seq2[store.Cliente, error],
) (int64, error) {
	return 0, errors.Join(store.ErrUnavailable, errInside)
}

// A scrape shows readiness although nobody requests /readyz, and shares the checks with others.
func TestReadinessIsScraped(t *testing.T) {
	t.Parallel()
	c := &countingStore{hold: make(chan struct{})}
	close(c.hold)
	s := withMetrics(t, func(cfg *Config) { c.Store, cfg.Store = cfg.Store, c })
	wantReady := func(what string, store, migrations, draining float64) {
		t.Helper()
		s.eventually(what, func() bool {
			got := s.samples()
			return got[`clientes_ready{check="store"}`] == store &&
				got[`clientes_ready{check="migrations"}`] == migrations &&
				got[`clientes_ready{check="ended_sessions"}`] == 1 &&
				got[`clientes_ready{check="hasher"}`] == 1 &&
				got[`clientes_ready{check="draining"}`] == draining
		})
	}
	wantReady("it is ready", 1, 1, 1)
	before := c.asked.Load()
	var crowd sync.WaitGroup
	start := time.Now()
	for range 100 {
		crowd.Go(func() { s.samples() })
	}
	crowd.Wait()
	if n, most := c.asked.Load()-before, int64(time.Since(start)/readyFor)+2; n > most {
		t.Errorf("100 scrapes have made %d checks", n)
	}
	err := error(store.ErrSchema)
	c.err.Store(&err)
	wantReady("migrations are missing", 1, 0, 1)
	err = errors.Join(store.ErrUnavailable, errInside)
	c.err.Store(&err)
	wantReady("the store is gone", 0, 0, 1)
	c.err.Store(nil)
	wantReady("it is ready again", 1, 1, 1)
	s.server.Drain()
	wantReady("it drains", 1, 1, 0)
}

// Two servers cannot count in one registry, and the second says so.
func TestMetricsAreRegisteredOnce(t *testing.T) {
	t.Parallel()
	s := withMetrics(t)
	cfg := s.server.cfg
	if _, err := New(cfg); err == nil || !strings.HasPrefix(err.Error(), "register the metrics: ") {
		t.Errorf("the second server: %v", err)
	}
}

// The trace id of a caller is in the log line, and nothing else of traceparent.
func TestTheTraceIDIsLogged(t *testing.T) {
	t.Parallel()
	f := onSQLite(t)
	const (
		id     = "4bf92f3577b34da6a3ce929d0e0e4736"
		parent = "00f067aa0ba902b7"
		good   = "00-" + id + "-" + parent + "-01"
		none   = "00000000000000000000000000000000"
	)
	for n, test := range []struct {
		values []string
		logged bool
	}{
		{[]string{good}, true},
		{[]string{"00-" + id + "-" + parent + "-00"}, true},
		{[]string{"00-" + id + "-" + parent + "-ff"}, true},
		{[]string{" " + good + " "}, true},
		// Later versions may add more (section 3.2.2.1, and "Versioning of traceparent").
		{[]string{"01-" + id + "-" + parent + "-01"}, true},
		{[]string{"cc-" + id + "-" + parent + "-01-what-the-future-brings"}, true},
		{[]string{"cc-" + id + "-" + parent + "-01-"}, true},

		{nil, false},
		{[]string{""}, false},
		{[]string{good, good}, false},
		{[]string{good + "," + good}, false},
		{[]string{"ff-" + id + "-" + parent + "-01"}, false},
		{[]string{"0-" + id + "-" + parent + "-01"}, false},
		{[]string{"0g-" + id + "-" + parent + "-01"}, false},
		{[]string{"00-" + none + "-" + parent + "-01"}, false},
		{[]string{"00-" + id + "-" + none[:16] + "-01"}, false},
		{[]string{"00-" + strings.ToUpper(id) + "-" + parent + "-01"}, false},
		{[]string{"00-" + id + "-" + strings.ToUpper(parent) + "-01"}, false},
		{[]string{"00-" + id + "-" + parent + "-0A"}, false},
		{[]string{"00-" + id[1:] + "-" + parent + "-01"}, false},
		{[]string{"00-" + id[1:] + "-a" + parent + "-01"}, false},
		{[]string{"00-" + id + "-" + parent + "-1"}, false},
		{[]string{"00-" + id + "-" + parent}, false},
		{[]string{good + "-"}, false},
		{[]string{good + "-more"}, false},
		{[]string{"01-" + id + "-" + parent + "-01.more"}, false},
		{[]string{"00_" + id + "-" + parent + "-01"}, false},
		{[]string{"00-" + id + "_" + parent + "-01"}, false},
		{[]string{"00-" + id + "-" + parent + "_01"}, false},
	} {
		headers := []string{"X-Request-Id", "r" + strconv.Itoa(n), "Tracestate", "vendor=state"}
		for _, v := range test.values {
			headers = append(headers, "traceparent", v)
		}
		f.call("GET", "/healthz", "", headers...)
		line := f.logLine("r" + strconv.Itoa(n))
		if got := strings.Contains(line, `,"trace_id":"`+id+`"`); got != test.logged {
			t.Errorf("%q: logged: %v: %s", test.values, got, line)
		}
		if !test.logged && strings.Contains(line, "trace_id") ||
			strings.Contains(line, parent) || strings.Contains(line, "vendor") {
			t.Errorf("%q: more is logged: %s", test.values, line)
		}
	}
}

func TestTheTraceIDAllocatesNothing(t *testing.T) {
	for _, h := range []http.Header{
		{},
		{"Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}},
	} {
		if n := testing.AllocsPerRun(100, func() { traceID(h) }); n != 0 {
			t.Errorf("%v costs %v allocations", h, n)
		}
	}
}

func FuzzTraceID(f *testing.F) {
	f.Add("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Fuzz(func(t *testing.T, s string) {
		id := traceID(http.Header{"Traceparent": {s}})
		if id != "" && (len(id) != 32 || !isHex(id) || !strings.Contains(s, "-"+id+"-")) {
			t.Errorf("%q has the trace id %q", s, id)
		}
	})
}

// quietServer returns a server that logs nothing, and a function that has it answer a request.
func quietServer(t testing.TB, to prometheus.Registerer) func() {
	t.Helper()
	f := onSQLite(t, func(cfg *Config) {
		cfg.Log = slog.New(slog.DiscardHandler)
		cfg.Metrics = to
	})
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/healthz", nil)
	w := unread{make(http.Header)}
	return func() {
		clear(w.header)
		f.server.ServeHTTP(w, r)
	}
}

// unread drops an answer.
type unread struct{ header http.Header }

func (u unread) Header() http.Header         { return u.header }
func (u unread) Write(p []byte) (int, error) { return len(p), nil }
func (u unread) WriteHeader(int)             {}

// BenchmarkMetrics measures the cheapest request with metrics and without, in turns of a thousand,
// and reports the medians. The difference is what metrics cost:
//
//	off-ns/req, on-ns/req  the time of a request
//	cost-ns/req            the median of the differences of a turn
func BenchmarkMetrics(b *testing.B) {
	const turn = 1000 // requests
	off, on := quietServer(b, nil), quietServer(b, prometheus.NewRegistry())
	took := func(answer func()) float64 {
		start := time.Now()
		for range turn {
			answer()
		}
		return float64(time.Since(start).Nanoseconds()) / turn
	}
	var offs, ons, costs []float64
	for b.Loop() {
		without, with := took(off), took(on)
		offs, ons, costs = append(offs, without), append(ons, with), append(costs, with-without)
	}
	median := func(of []float64) float64 {
		slices.Sort(of)
		return of[len(of)/2]
	}
	b.ReportMetric(median(offs), "off-ns/req")
	b.ReportMetric(median(ons), "on-ns/req")
	b.ReportMetric(median(costs), "cost-ns/req")
	b.ReportMetric(testing.AllocsPerRun(turn, off), "off-allocs/req")
	b.ReportMetric(testing.AllocsPerRun(turn, on), "on-allocs/req")
	b.ReportMetric(0, "ns/op") // it would be the time of two servers, which means nothing
}

func TestMetricsAllocateNothing(t *testing.T) {
	if authtest.UnderRace {
		t.Skip("allocations cannot be counted under the race detector, see authtest.UnderRace")
	}
	// What else the process does at that time can only add to it.
	least := func(answer func()) float64 {
		n := testing.AllocsPerRun(200, answer)
		for range 9 {
			n = min(n, testing.AllocsPerRun(200, answer))
		}
		return n
	}
	off, on := least(quietServer(t, nil)), least(quietServer(t, prometheus.NewRegistry()))
	if on != off {
		t.Errorf("a request costs %v allocations with metrics, and %v without", on, off)
	}
}
