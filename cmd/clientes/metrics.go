package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"clientes/cmd/clientes/config"
)

const (
	// scrapeTimeout bounds an answer of /metrics. It is below the 10 s that Prometheus waits, and
	// above what readiness and the database may take.
	scrapeTimeout = 8 * time.Second

	// maxScrapes is how many scrapes are answered at once.
	maxScrapes = 4

	// maxScrapers is how many connections there may be. Those of the API must not suffer.
	maxScrapers = spareDescriptors / 2

	// profileTimeout bounds the length of a profile, and how long its answer is written.
	profileTimeout = 2 * time.Minute
)

// metrics is the server of /metrics and /debug/pprof/, on a listener of its own. A nil *metrics,
// without METRICS_ADDR, registers and serves nothing.
type metrics struct {
	registry *prometheus.Registry
	listener net.Listener
	loopback bool
}

// listenMetrics takes the port of METRICS_ADDR. It returns nil without one.
func (p *program) listenMetrics(ctx context.Context, c config.Config) (*metrics, error) {
	if c.MetricsAddr == "" {
		return nil, nil
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, c.MetricsNetwork(), c.MetricsAddr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on METRICS_ADDR, %s: %w; stop what listens there, or "+
			"choose another METRICS_ADDR, for example 127.0.0.1:9090", c.MetricsAddr, err)
	}
	m := &metrics{prometheus.NewRegistry(), listener, c.IsMetricsLoopback()}
	v, revision := buildOf(debug.ReadBuildInfo())
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "clientes_build_info",
			Help: "The program that runs: 1, with its version in the labels.",
			ConstLabels: prometheus.Labels{
				"version": v, "commit": revision, "goversion": runtime.Version(),
			},
		}, func() float64 { return 1 }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "clientes_log_dropped_lines_total",
			Help: "Lines of the log that were dropped, since nobody read them.",
		}, p.buffer.droppedLines),
	)
	return m, nil
}

// registerer returns where metrics are registered, nil for nowhere.
func (m *metrics) registerer() prometheus.Registerer {
	if m == nil {
		return nil
	}
	return m.registry
}

// close frees the port of a server that may not have begun.
func (m *metrics) close() {
	if m != nil {
		m.listener.Close()
	}
}

// serve answers until ctx ends. Nobody waits for a scrape or a profile that is under way then.
func (m *metrics) serve(ctx context.Context, log *slog.Logger) {
	if m == nil {
		return
	}
	errorLog := slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	server := http.Server{
		Handler:           m.handler(errorLog),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      profileTimeout,
		IdleTimeout:       profileTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          errorLog,
		ConnState:         newConnections(maxScrapers, nil, log.With("of", "METRICS_ADDR")).changed,
	}
	log.Info("metrics", "addr", m.listener.Addr().String())
	if !m.loopback {
		log.Warn("METRICS_ADDR is not loopback: whoever can connect there sees what the server does, "+
			"and can slow it with /debug/pprof/; let only your monitoring through",
			"metrics_addr", m.listener.Addr().String())
	}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(m.listener); !errors.Is(err, http.ErrServerClosed) {
		log.Error("no metrics are served any more", "error", err)
	}
}

// handler returns what METRICS_ADDR serves.
func (m *metrics) handler(errorLog promhttp.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: errorLog,
		// What can be collected is worth more than an error when something is out of order.
		ErrorHandling:       promhttp.ContinueOnError,
		Registry:            m.registry,
		MaxRequestsInFlight: maxScrapes,
		Timeout:             scrapeTimeout,
		EnableOpenMetrics:   true,
	}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return m.guarded(mux)
}

// guarded refuses profiles that are too long, and what a page of another site has a browser
// request. Nobody needs a password here, and a browser on this machine reaches 127.0.0.1, so such a
// page could start profiles. With a name of its own that leads to 127.0.0.1 (DNS rebinding) it
// could read them. Where other machines can connect, the names that they use are not known.
func (m *metrics) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Sec-Fetch-Site") {
		case "", "none", "same-origin":
		default:
			http.Error(w, "no page of another site may request this", http.StatusForbidden)
			return
		}
		if m.loopback && !isOwnName(r.Host) {
			http.Error(w, "on loopback METRICS_ADDR answers for an address or localhost alone, "+
				"and for no other Host", http.StatusForbidden)
			return
		}
		// Package pprof lengthens the time to write by whatever the request says.
		if text := r.URL.Query().Get("seconds"); text != "" {
			seconds, err := strconv.ParseFloat(text, 64)
			if err != nil || !(seconds <= profileTimeout.Seconds()) {
				http.Error(w, fmt.Sprintf("seconds has to be a number, %.0f at most",
					profileTimeout.Seconds()), http.StatusBadRequest)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// isOwnName reports whether a Host is an address or localhost, which nobody's DNS decides about. A
// client without Host is no browser.
func isOwnName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || host == "" || strings.EqualFold(host, "localhost")
}
