package token

import (
	"errors"
	"sync"
	"testing"
	"time"

	"clientes/store"
)

// TestCacheCounts counts tokens that come for the first time, again, and that are none.
func TestCacheCounts(t *testing.T) {
	i := testIssuer(t)
	counts := new(CacheCounts)
	i.cfg.CacheCounts = counts
	want := func(what string, hits, misses int64) {
		t.Helper()
		if counts.Hits() != hits || counts.Misses() != misses {
			t.Errorf("%s: %d hits and %d misses, want %d and %d",
				what, counts.Hits(), counts.Misses(), hits, misses)
		}
	}
	signed, err := i.Mint(store.User{ID: 1, Role: store.Viewer}, store.Session{ID: NewID()},
		i.Validity(time.Hour))
	must(t, err)
	want("nothing was verified", 0, 0)
	verify := func(token string, want error) {
		t.Helper()
		if _, err := i.Verify(token); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	verify(signed, nil)
	want("the first time", 0, 1)
	verify(signed, nil)
	verify(" "+signed, nil)
	want("again", 2, 1)
	verify("x", ErrInvalid)
	verify("", ErrInvalid)
	want("no token", 2, 3)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 20 {
				verify(signed, nil)
			}
		})
	}
	all.Wait()
	want("many at once", 1002, 3)
}

// BenchmarkCacheCounts counts tokens from as many goroutines as there are processors.
func BenchmarkCacheCounts(b *testing.B) {
	signed := forge(testSecret, plainHeader, payload())
	for name, counts := range map[string]*CacheCounts{"on": new(CacheCounts), "off": nil} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					counts.Count(signed, true)
				}
			})
		})
	}
}
