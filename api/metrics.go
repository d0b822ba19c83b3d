package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what a [Server] does. Every label has few values, whatever strangers send: routes
// are patterns of the table, and unknown methods are one. The names of what every server of HTTP
// counts are OpenTelemetry's.
//
// A nil *metrics counts nothing.
type metrics struct {
	allow    map[string][]string // the methods of each pattern
	requests *prometheus.HistogramVec
	active   prometheus.Gauge
	imports  *prometheus.CounterVec
	rows     prometheus.Counter
	dropped  prometheus.Counter

	// known are the parts of requests that were observed before. Looking there takes a third of the
	// time of WithLabelValues, and no text has to be made of a status (BenchmarkMetrics). A map is
	// never changed, but replaced by a larger one.
	known   atomic.Pointer[map[series]prometheus.Observer]
	knownMu sync.Mutex // held to replace it
}

// series is which requests are counted together.
type series struct {
	method, route string
	status        int
}

// noRoutePattern is the route of a request that no route takes.
const noRoutePattern = "none"

// The results of an import.
const (
	importKept    = "kept"
	importChecked = "checked" // a dry run, without faults
	importRefused = "refused" // for the fault of the file or the caller
	importFailed  = "failed"
)

// newMetrics registers the metrics of a server. It returns nil if there is nowhere to.
func newMetrics(s *Server, to prometheus.Registerer) (*metrics, error) {
	if to == nil {
		return nil, nil
	}
	m := &metrics{
		allow: s.allow,
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_server_request_duration_seconds",
			Help: "How long requests took, from their header to the end of their answer.",
			// OpenTelemetry's for this name.
			Buckets: []float64{
				0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
			},
		}, []string{"http_request_method", "http_route", "http_response_status_code"}),
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "http_server_active_requests",
			Help: "Requests that are under way.",
		}),
		imports: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clientes_imports_total",
			Help: "Imports over the API: kept, checked (a dry run), refused or failed.",
		}, []string{"result"}),
		rows: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "clientes_import_rows_total",
			Help: "Customers that imports over the API have added.",
		}),
	}
	m.dropped = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "clientes_changes_dropped_total",
		Help: "Streams of changes that were ended because their client took nothing.",
	})
	for _, result := range []string{importKept, importChecked, importRefused, importFailed} {
		m.imports.WithLabelValues(result) // a rate needs the 0 before the first
	}
	m.known.Store(&map[series]prometheus.Observer{})
	for _, c := range []prometheus.Collector{
		m.requests, m.active, m.imports, m.rows, m.dropped,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "clientes_imports_active",
			Help: "Imports over the API that are under way.",
		}, s.imports.occupied),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "clientes_exports_active",
			Help: "Exports over the API that are under way.",
		}, s.downloads.occupied),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "clientes_changes_listeners",
			Help: "Requests that follow the changes: streams, and those that wait.",
		}, s.listeners.occupied),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "clientes_changes_lag_seconds",
			Help: "How long ago a change was made that is held back from those who follow; an " +
				"import makes its changes when it begins. 0 while nobody follows.",
		}, func() float64 { return s.feed.lag().Seconds() }),
		newReadyCollector(s),
	} {
		if err := to.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics: %w", err)
		}
	}
	return m, nil
}

// end counts a request that was counted as active.
func (m *metrics) end(c *gin.Context, took time.Duration) {
	m.active.Dec()
	m.observer(series{
		method: methodLabel(c.Request.Method), route: m.route(c), status: c.Writer.Status(),
	}).Observe(took.Seconds())
}

// observer returns what counts the requests of a series.
func (m *metrics) observer(of series) prometheus.Observer {
	if o, ok := (*m.known.Load())[of]; ok {
		return o
	}
	o := m.requests.WithLabelValues(of.method, of.route, strconv.Itoa(of.status))
	m.knownMu.Lock()
	defer m.knownMu.Unlock()
	more := maps.Clone(*m.known.Load())
	more[of] = o
	m.known.Store(&more)
	return o
}

// route returns the pattern of the route that took a request. Where the method was refused, it is
// that of the path: "PUT /clientes/import" is not about the customer "import".
func (m *metrics) route(c *gin.Context) string {
	pattern := c.FullPath()
	if c.Writer.Status() == http.StatusMethodNotAllowed {
		pattern = ""
		if path := c.Request.URL.EscapedPath(); m.allow[path] != nil {
			pattern = path
		}
	}
	if pattern == "" {
		return noRoutePattern
	}
	return pattern
}

// methodLabel returns a method that HTTP knows, and OpenTelemetry's word for all others.
func methodLabel(method string) string {
	switch method {
	case "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE":
		return method
	}
	return "_OTHER"
}

// imported counts an import that has ended with err, and the customers that it has added.
func (m *metrics) imported(v importedView, err error) {
	if m == nil {
		return
	}
	result := importRefused
	switch {
	case err != nil && isOurFault(err):
		result = importFailed
	case v.Imported != nil && err == nil:
		result = importKept
		m.rows.Add(float64(*v.Imported))
	case err == nil:
		result = importChecked
	}
	m.imports.WithLabelValues(result).Inc()
}

// readyCollector reports the checks of readiness, also where nobody requests /readyz. It shares
// them with whoever does, so they are made once a second at most.
type readyCollector struct {
	server *Server
	ready  *prometheus.Desc
}

func newReadyCollector(s *Server) readyCollector {
	return readyCollector{s, prometheus.NewDesc("clientes_ready",
		"1 if the check of /readyz is ok, else 0. draining is 0 when the server is about to stop.",
		[]string{"check"}, nil)}
}

// Describe implements [prometheus.Collector].
func (r readyCollector) Describe(to chan<- *prometheus.Desc) { to <- r.ready }

// Collect implements [prometheus.Collector].
func (r readyCollector) Collect(to chan<- prometheus.Metric) {
	report := func(check string, ok bool) {
		value := 0.0
		if ok {
			value = 1
		}
		to <- prometheus.MustNewConstMetric(r.ready, prometheus.GaugeValue, value, check)
	}
	report("draining", !r.server.draining.Load())
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout+endsWait)
	defer cancel()
	checked, err := r.server.checked(ctx)
	if err != nil {
		checked = &readiness{} // the checks have not come to their end: nothing is known to be ok
	}
	report("store", checked.checks.Store == checkOK)
	report("migrations", checked.checks.Migrations == checkOK)
	report("ended_sessions", checked.checks.EndedSessions == checkOK)
	report("hasher", checked.checks.Hasher == checkOK)
}
