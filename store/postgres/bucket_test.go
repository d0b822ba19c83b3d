package postgres_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"clientes/store"
	"clientes/store/postgres"
	"clientes/store/postgres/postgrestest"
)

// Postgres resolves a deadlock after a second and the call is retried, so storetest may not
// notice it.
func TestCountersOnTheSameKeysNeverDeadlock(t *testing.T) {
	t.Parallel()
	url := postgrestest.Migrated(t, postgres.Migrate)
	s := open(t, url)
	for round := range 20 {
		keys := []string{"old"}
		for i := range 30 { // many, so that concurrent calls meet
			keys = append(keys, fmt.Sprint(round, " ", i)) // has no row at first
		}
		backward := slices.Clone(keys)
		slices.Reverse(backward)
		start := make(chan struct{})
		var counting sync.WaitGroup
		for i := range 12 {
			counting.Go(func() {
				<-start
				for j := range 3 {
					order := [][]string{keys, backward}[(i+j)%2]
					err := s.UpdateBuckets(t.Context(), order, func(buckets []store.Bucket) error {
						for k := range buckets {
							buckets[k].Count++
						}
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		close(start)
		counting.Wait()
	}
	// The server adds up its statistics of a connection when it closes.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	watch := beside(t, url)
	until(t, "nobody else is connected", func() bool { return others(t, watch) == 0 })
	n := ask[int](t, watch, `
		SELECT deadlocks
		FROM pg_stat_database
		WHERE datname = current_database()`)
	if n != 0 {
		t.Errorf("there were %d deadlocks", n)
	}
}
