package api

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

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
	off := testing.AllocsPerRun(1000, quietServer(t, nil))
	on := testing.AllocsPerRun(1000, quietServer(t, prometheus.NewRegistry()))
	if on != off {
		t.Errorf("a request costs %v allocations with metrics, and %v without", on, off)
	}
}
