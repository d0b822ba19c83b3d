package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"clientes/auth/authtest"
	"clientes/store"
)

// TestMetricsOfAStore checks which number of a store stands behind which name.
func TestMetricsOfAStore(t *testing.T) {
	t.Parallel()
	stats := store.Stats{Pools: []store.PoolStats{
		{
			Name: "a", Max: 9, Used: 2, Idle: 3, Waiting: 4, Taken: 5,
			Waited: 1500 * time.Millisecond, Timeouts: 6, Refused: 7,
		},
		{Name: "b", Max: 1},
	}}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newStoreMetrics(func() store.Stats { return stats }))
	gather := func() (all []string) {
		t.Helper()
		families, err := registry.Gather()
		authtest.Must(t, err)
		for _, f := range families {
			for _, m := range f.GetMetric() {
				series := strings.TrimPrefix(f.GetName(), "db_client_connection_")
				for _, l := range m.GetLabel() {
					series += " " + l.GetValue()
				}
				if s := m.GetSummary(); s != nil {
					series += fmt.Sprint(" ", s.GetSampleCount(), " in ", s.GetSampleSum())
				} else if h := m.GetHistogram(); h != nil {
					series += fmt.Sprint(" ", h.GetSampleCount(), " of ", h.GetSampleSum())
					for _, b := range h.GetBucket() {
						series += fmt.Sprint(" ", b.GetUpperBound(), ":", b.GetCumulativeCount())
					}
				} else {
					series += fmt.Sprint(" ", m.GetGauge().GetValue()+m.GetCounter().GetValue())
				}
				all = append(all, series)
			}
		}
		return all
	}
	want := []string{
		"clientes_store_refused_total a 7", "clientes_store_refused_total b 0",
		"count a idle 3", "count a used 2", "count b idle 0", "count b used 0",
		"max a 9", "max b 1",
		"pending_requests a 4", "pending_requests b 0",
		"timeouts_total a 6", "timeouts_total b 0",
		"wait_time_seconds a 5 in 1.5", "wait_time_seconds b 0 in 0",
	}
	if got := gather(); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	stats.Writes = &store.BatchStats{
		Batches: 5, Calls: 137, AtMost: [8]int64{1, 2, 4, 4, 4, 4, 4, 5},
	}
	stats.Reads = &store.BatchStats{Batches: 2, Calls: 3, AtMost: [8]int64{1, 2, 2, 2, 2, 2, 2, 2}}
	got := gather()
	for _, batches := range []string{
		"clientes_write_batch_size 5 of 137 1:1 2:2 4:4 8:4 16:4 32:4 64:4 128:5",
		"clientes_read_batch_size 2 of 3 1:1 2:2 4:2 8:2 16:2 32:2 64:2 128:2",
	} {
		if !slices.Contains(got, batches) {
			t.Errorf("got\n%s\nwant also\n%s", strings.Join(got, "\n"), batches)
		}
	}
}
