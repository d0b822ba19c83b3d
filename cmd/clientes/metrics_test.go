package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"clientes/auth/authtest"
	"clientes/store/postgres/postgrestest"
)

const metricsHere = "METRICS_ADDR=127.0.0.1:0"

// metricsURL returns the URL of a path where the server shows its metrics.
func (s *server) metricsURL(t *testing.T, path string) string {
	t.Helper()
	return "http://" + s.metricsAddr(t) + path
}

// ask sends a request and returns the answer and its body.
func ask(t *testing.T, method, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	authtest.Must(t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	authtest.Must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	authtest.Must(t, err)
	return resp, string(body)
}

// samples returns what a scrape of the server shows.
func (s *server) samples(t *testing.T) map[string]float64 {
	t.Helper()
	return authtest.Samples(t, scrape(t, s.metricsAddr(t)))
}

// Without METRICS_ADDR nothing of it is served, and with it only there.
func TestMetricsHaveAListenerOfTheirOwn(t *testing.T) {
	secretIn(t)
	for _, vars := range [][]string{nil, {metricsHere}} {
		s := launch(t, vars, "serve")
		for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/cmdline"} {
			if resp, _ := ask(t, "GET", s.url(path)); resp.StatusCode != 404 {
				t.Errorf("%v: %s of the API answered %d", vars, path, resp.StatusCode)
			}
		}
		if vars == nil {
			if strings.Contains(s.stderr.String(), `"msg":"metrics"`) {
				t.Errorf("the log has metrics: %s", s.stderr.String())
			}
			continue
		}
		for _, test := range []struct {
			method, path string
			status       int
		}{
			{"GET", "/metrics", 200},
			{"HEAD", "/metrics", 200},
			{"POST", "/metrics", 405},
			{"GET", "/debug/pprof/", 200},
			{"GET", "/debug/pprof/heap", 200},
			{"GET", "/debug/pprof/goroutine?debug=1", 200},
			{"GET", "/debug/pprof/cmdline", 200},
			{"GET", "/", 404},
			{"GET", "/clientes", 404},
			{"GET", "/readyz", 404},
		} {
			resp, body := ask(t, test.method, s.metricsURL(t, test.path))
			if resp.StatusCode != test.status {
				t.Errorf("%s %s answered %d: %s", test.method, test.path, resp.StatusCode, body)
			}
		}
		if strings.Contains(s.stderr.String(), "METRICS_ADDR is not loopback") {
			t.Error("loopback is warned of")
		}
		// A scraper that keeps its connection does not keep the process.
		s.signal(t)
		if status := s.wait(); status != 0 {
			t.Errorf("status %d, log %s", status, s.stderr.String())
		}
	}
}

func TestMetricsOfAServer(t *testing.T) {
	secretIn(t)
	s := launch(t, []string{metricsHere}, "serve")
	s.wantReady(t)
	for range 3 {
		ask(t, "GET", s.url("/nowhere"))
	}
	const nowhere = `http_server_request_duration_seconds_count{http_request_method="GET",` +
		`http_response_status_code="404",http_route="none"}`
	var got map[string]float64
	authtest.Eventually(t, "the requests are counted", func() bool {
		got = s.samples(t)
		return got[nowhere] == 3
	})
	version, revision := buildOf(debug.ReadBuildInfo())
	build := fmt.Sprintf(`clientes_build_info{commit=%q,goversion=%q,version=%q}`,
		revision, runtime.Version(), version)
	for name, want := range map[string]float64{
		build:                                      1,
		"http_server_active_requests":              0,
		"clientes_log_dropped_lines_total":         0,
		`clientes_ready{check="store"}`:            1,
		`clientes_ready{check="migrations"}`:       1,
		`clientes_ready{check="ended_sessions"}`:   1,
		`clientes_ready{check="hasher"}`:           1,
		`clientes_ready{check="draining"}`:         1,
		`clientes_imports_total{result="refused"}`: 0,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %v, want %v", name, value, want)
		}
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes"} {
		if runtime.GOOS == "linux" && got[name] <= 0 {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	resp, body := ask(t, "GET", s.metricsURL(t, "/metrics"),
		"Accept", "application/openmetrics-text; version=1.0.0")
	if media := resp.Header.Get("Content-Type"); !strings.HasPrefix(media,
		"application/openmetrics-text; version=1.0.0") || !strings.HasSuffix(body, "# EOF\n") {
		t.Errorf("as OpenMetrics: %s, %s", media, body)
	}
	for _, secret := range []string{goodSecret, s.addr} {
		if strings.Contains(body, secret) {
			t.Errorf("the metrics have %s in them", secret)
		}
	}
}

// Scrapes during load see counts that only grow, and none is lost.
func TestScrapesDuringLoad(t *testing.T) {
	secretIn(t)
	s := launch(t, []string{metricsHere}, "serve")
	url := s.metricsURL(t, "/metrics")
	const count = `http_server_request_duration_seconds_count{http_request_method="GET",` +
		`http_response_status_code="200",http_route="/healthz"}`
	const clients, requests = 8, 50
	var load, scrapers sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		scrapers.Go(func() {
			for before := 0.0; ; {
				now := authtest.Samples(t, textOf(t, url))[count]
				if now < before {
					t.Errorf("%v requests were counted, and then %v", before, now)
				}
				before = now
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for range clients {
		load.Go(func() {
			for range requests {
				textOf(t, s.url("/healthz"))
			}
		})
	}
	load.Wait()
	close(done)
	scrapers.Wait()
	authtest.Eventually(t, "all are counted", func() bool {
		return s.samples(t)[count] == clients*requests
	})
}

// textOf returns what a URL answers, also in other goroutines than that of the test.
func textOf(t *testing.T, url string) string {
	resp, err := http.Get(url)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("%s answered %d, %v: %s", url, resp.StatusCode, err, body)
		return ""
	}
	return string(body)
}

// A scrape answers while the database is gone or silent, and says that the server is not ready.
func TestAScrapeWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	for _, how := range []postgrestest.CableState{postgrestest.Broken, postgrestest.Silent} {
		t.Run(string(how), func(t *testing.T) {
			t.Parallel()
			if how == postgrestest.Silent && !long() {
				t.Skip("TEST_LONG is not set: it takes ten seconds until silence is known")
			}
			cable, through := postgrestest.NewCable(t, postgrestest.Database(t))
			s := newFleet(t, 1, through, metricsHere).on(0)
			wantStore := func(want float64) {
				t.Helper()
				authtest.Eventually(t, fmt.Sprintf("the store is %v", want), func() bool {
					got := s.samples(t)
					if _, ok := got["go_goroutines"]; !ok {
						t.Error("the rest is missing")
					}
					return got[`clientes_ready{check="store"}`] == want
				})
			}
			wantStore(1)
			cable.Cut(how)
			wantStore(0)
		})
	}
}

// A METRICS_ADDR that cannot be used stops the start, before anything is made.
func TestMetricsAddrInUse(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	authtest.Must(t, err)
	defer busy.Close()
	addr := busy.Addr().String()
	sentence := "clientes: cannot listen on METRICS_ADDR, " + addr + ": "
	vars := map[string]string{"SECRET": goodSecret, "PORT": "0", "METRICS_ADDR": addr}
	inFolder(t, nil)
	call(t, vars, "", "serve").want(t, 1, "", sentence)
	inFolder(t, nil)
	delete(vars, "SECRET")
	call(t, vars, "", "quickstart").want(t, 1, "", sentence)
	if files, _ := os.ReadDir("."); len(files) > 0 {
		t.Errorf("quickstart made files: %v", files)
	}
}

// quickstart serves metrics too. Where others can connect, the log warns.
func TestQuickstartServesMetrics(t *testing.T) {
	inFolder(t, nil)
	s := launch(t, []string{"METRICS_ADDR=0.0.0.0:0"}, "quickstart")
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.metricsURL(t, ""), "http://"))
	authtest.Must(t, err)
	if resp, body := ask(t, "GET", "http://127.0.0.1:"+port+"/metrics"); resp.StatusCode != 200 ||
		!strings.Contains(body, "clientes_build_info{") {
		t.Errorf("answered %d: %s", resp.StatusCode, body)
	}
	const warning = `"level":"WARN","msg":"METRICS_ADDR is not loopback: whoever can connect there`
	authtest.Eventually(t, "the log warns", func() bool {
		return strings.Contains(s.stderr.String(), warning)
	})
}

// A page of another site, that a browser on the same machine shows, gets nothing.
func TestMetricsAreNotForPages(t *testing.T) {
	t.Parallel()
	s := launch(t, append(settingsOfOwn(t), metricsHere), "serve")
	_, port, err := net.SplitHostPort(s.metricsAddr(t))
	authtest.Must(t, err)
	for _, test := range []struct {
		method, path, host, site string
		status                   int
	}{
		{"GET", "/metrics", "127.0.0.1:" + port, "", 200},
		{"GET", "/metrics", "127.0.0.1", "", 200},
		{"GET", "/metrics", "localhost:" + port, "same-origin", 200},
		{"GET", "/metrics", "[::1]:" + port, "none", 200},
		{"GET", "/metrics", "rebound.example:" + port, "", 403},
		{"GET", "/debug/pprof/heap", "rebound.example", "same-origin", 403},
		{"GET", "/debug/pprof/heap", "127.0.0.1.example:" + port, "", 403},
		{"GET", "/debug/pprof/profile?seconds=60", "127.0.0.1:" + port, "cross-site", 403},
		{"GET", "/debug/pprof/profile?seconds=60", "localhost:" + port, "same-site", 403},
		{"GET", "/debug/pprof/profile?seconds=300", "localhost:" + port, "", 400}, // too long
		{"GET", "/debug/pprof/trace?seconds=Inf", "localhost:" + port, "", 400},
		{"GET", "/debug/pprof/heap?seconds=NaN", "localhost:" + port, "", 400},
		{"POST", "/debug/pprof/symbol", "localhost:" + port, "", 405},
	} {
		url := s.metricsURL(t, test.path)
		req, err := http.NewRequestWithContext(t.Context(), test.method, url, nil)
		authtest.Must(t, err)
		req.Host = test.host
		if test.site != "" {
			req.Header.Set("Sec-Fetch-Site", test.site)
		}
		resp, err := http.DefaultClient.Do(req)
		authtest.Must(t, err)
		resp.Body.Close()
		if resp.StatusCode != test.status {
			t.Errorf("%+v: answered %d", test, resp.StatusCode)
		}
	}
}

// Whoever opens many connections to METRICS_ADDR takes none from the API, and scrapes go on.
func TestMetricsTakeFewConnections(t *testing.T) {
	t.Parallel()
	s := launch(t, append(settingsOfOwn(t), metricsHere), "serve")
	addr := s.metricsAddr(t)
	var closed atomic.Int64
	for range maxScrapers + 20 {
		conn, err := net.Dial("tcp", addr)
		authtest.Must(t, err)
		t.Cleanup(func() { conn.Close() })
		go func() {
			conn.Read(make([]byte, 1)) // nothing comes but the end
			closed.Add(1)
		}()
	}
	authtest.Eventually(t, "the excess is closed", func() bool { return closed.Load() >= 20 })
	if resp, body := ask(t, "GET", s.metricsURL(t, "/metrics")); resp.StatusCode != 200 {
		t.Errorf("answered %d: %s", resp.StatusCode, body)
	}
}
