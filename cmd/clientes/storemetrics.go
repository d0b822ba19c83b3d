package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"clientes/store"
)

// storeMetrics collects the numbers of a store, under the names of OpenTelemetry's conventions for
// clients of a database where there is one.
type storeMetrics struct {
	stats func() store.Stats

	count, most, pending, wait, timeouts, refused, writes, reads *prometheus.Desc
}

func newStoreMetrics(stats func() store.Stats) *storeMetrics {
	const pool = "db_client_connection_pool_name"
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &storeMetrics{
		stats: stats,
		count: desc("db_client_connection_count",
			"Connections to the database by their state.", pool, "db_client_connection_state"),
		most: desc("db_client_connection_max",
			"How many connections to the database there may be.", pool),
		pending: desc("db_client_connection_pending_requests",
			"Calls that wait for a connection to the database.", pool),
		wait: desc("db_client_connection_wait_time_seconds",
			"How long calls waited for a connection to the database.", pool),
		timeouts: desc("db_client_connection_timeouts_total",
			"Calls that got no connection to the database in time.", pool),
		refused: desc("clientes_store_refused_total",
			"Calls that were refused since too many waited for a connection to the database.", pool),
		writes: desc("clientes_write_batch_size",
			"How many writers shared a commit that changed something."),
		reads: desc("clientes_read_batch_size",
			"How many calls shared a read of single records or pages."),
	}
}

// addStore registers the numbers of a store.
func (m *metrics) addStore(st store.Store) {
	if m != nil {
		m.registry.MustRegister(newStoreMetrics(st.Stats))
	}
}

// Describe implements [prometheus.Collector].
func (m *storeMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.count, m.most, m.pending, m.wait, m.timeouts, m.refused, m.writes, m.reads,
	} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *storeMetrics) Collect(ch chan<- prometheus.Metric) {
	stats := m.stats()
	for _, p := range stats.Pools {
		send := func(d *prometheus.Desc, t prometheus.ValueType, n int64, state ...string) {
			labels := append([]string{p.Name}, state...)
			ch <- prometheus.MustNewConstMetric(d, t, float64(n), labels...)
		}
		send(m.count, prometheus.GaugeValue, int64(p.Used), "used")
		send(m.count, prometheus.GaugeValue, int64(p.Idle), "idle")
		send(m.most, prometheus.GaugeValue, int64(p.Max))
		send(m.pending, prometheus.GaugeValue, int64(p.Waiting))
		send(m.timeouts, prometheus.CounterValue, p.Timeouts)
		send(m.refused, prometheus.CounterValue, p.Refused)
		taken, waited := uint64(p.Taken), p.Waited.Seconds()
		ch <- prometheus.MustNewConstSummary(m.wait, taken, waited, nil, p.Name)
	}
	sendBatches(ch, m.writes, stats.Writes)
	sendBatches(ch, m.reads, stats.Reads)
}

func sendBatches(ch chan<- prometheus.Metric, d *prometheus.Desc,
	b *store.BatchStats) {
	if b == nil {
		return
	}
	atMost := make(map[float64]uint64, len(b.AtMost))
	for i, n := range b.AtMost {
		atMost[float64(int(1)<<i)] = uint64(n)
	}
	ch <- prometheus.MustNewConstHistogram(d, uint64(b.Batches), float64(b.Calls), atMost)
}
