package throttle

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/store"
)

// must ends a test at an error.
var must = authtest.Must

var someDay = time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)

// ana is a bucket that a success clears.
func ana() Bucket {
	return Bucket{
		Keys:    []string{"ana"},
		Limit:   Limit{Free: 5, Window: 24 * time.Hour, InARow: true, Slowed: true},
		Cleared: true,
	}
}

// TestReleaseKeepsWhatOthersHaveCounted has two processes count in one bucket.
func TestReleaseKeepsWhatOthersHaveCounted(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		st := e.Open(t, url, c.Now)
		defer st.Close()
		p, q := NewLimiter(st, c.Now), NewLimiter(st, c.Now) // each locks keys of its own
		reserve := func(l *Limiter) *Reservation {
			r, err := l.Reserve(t.Context(), ana())
			must(t, err)
			return r
		}
		counts := func(want int64) {
			t.Helper()
			read := func(b []store.Bucket) error {
				if b[0].Count != want {
					t.Errorf("%d are counted, want %d", b[0].Count, want)
				}
				return nil
			}
			must(t, st.UpdateBuckets(t.Context(), ana().Keys, read))
		}
		a := reserve(p)
		c.Advance(time.Millisecond)
		b := reserve(q)
		must(t, a.Release(t.Context()))
		counts(1)
		must(t, a.Release(t.Context())) // a second call does nothing
		counts(1)
		must(t, b.Fail(t.Context()))
		counts(1)
		// What began before a success and fails after it counts as if it had come before.
		a = reserve(p)
		b = reserve(q)
		must(t, b.Succeed(t.Context()))
		counts(0)
		c.Advance(time.Millisecond)
		b = reserve(q)
		must(t, a.Release(t.Context())) // its count was cleared
		counts(1)
		must(t, b.Release(t.Context()))
		counts(0)
	})
}

// TestLimits fails as fast as it may, and checks how long each attempt has to wait.
func TestLimits(t *testing.T) {
	refuse := errors.New("no more")
	for name, c := range map[string]struct {
		limit Limit
		waits []time.Duration
	}{
		"slowed": {
			Limit{Free: 3, Window: time.Hour, InARow: true, Slowed: true},
			[]time.Duration{0, 0, 0, time.Second, 2 * time.Second, 4 * time.Second},
		},
		"until the window is over": {
			Limit{Free: 2, Window: time.Hour}, []time.Duration{0, 0, time.Hour, 0, time.Hour},
		},
		"refused": {Limit{Free: 1, Window: time.Hour, Refuse: refuse}, []time.Duration{0, -1, -1}},
	} {
		clock := authtest.StoppedAt(someDay)
		l := NewLimiter(authtest.Buckets{}, clock.Now)
		for i, want := range c.waits {
			got := time.Duration(0)
			r, err := l.Reserve(t.Context(), Bucket{Keys: []string{"x"}, Limit: c.limit})
			var many *TooManyError
			switch {
			case err == refuse: // as it is, not wrapped
				got = -1
			case errors.As(err, &many):
				got = many.Wait
				clock.Advance(got)
				r, err = l.Reserve(t.Context(), Bucket{Keys: []string{"x"}, Limit: c.limit})
			}
			if got != want {
				t.Errorf("%s: attempt %d waits %v, want %v", name, i, got, want)
			}
			if got >= 0 {
				must(t, err)
				must(t, r.Fail(t.Context()))
			}
		}
	}
}

func TestTheLongestWait(t *testing.T) {
	l := Limit{Free: 5, Slowed: true}
	for failures, want := range map[int64]time.Duration{
		4: 0, 5: time.Second, 6: 2 * time.Second, 14: 512 * time.Second, 15: 15 * time.Minute,
		26: 15 * time.Minute, 1 << 62: 15 * time.Minute,
	} {
		if got := l.wait(failures); got != want {
			t.Errorf("after %d: %v, want %v", failures, got, want)
		}
	}
}

func TestNetworkOf(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.1":          "192.0.2.1",
		"::ffff:192.0.2.1":   "192.0.2.1",
		"2001:db8:1:2::1":    "2001:db8:1:2::/64",
		"2001:db8:1:2:3::1":  "2001:db8:1:2::/64",
		"fe80::1%eth0":       "fe80::/64",
		"":                   "",
		"@":                  "",
		"192.0.2.1:80":       "",
		"not an address":     "",
		"[2001:db8:1:2::1]":  "",
		"2001:db8:1:2::1/64": "",
	} {
		if got := NetworkOf(ip); got != want {
			t.Errorf("%q: %q, want %q", ip, got, want)
		}
	}
}

func TestSiteOf(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.1":         "",
		"::ffff:192.0.2.1":  "",
		"2001:db8:1:2::1":   "2001:db8:1::/48",
		"2001:db8:1:ffff::": "2001:db8:1::/48",
		"2001:db8:2::1":     "2001:db8:2::/48",
		"fe80::1%eth0":      "fe80::/48",
		"":                  "",
		"@":                 "",
	} {
		if got := SiteOf(ip); got != want {
			t.Errorf("%q: %q, want %q", ip, got, want)
		}
	}
}

// TestMemory counts more keys in one window than there is room for.
func TestMemory(t *testing.T) {
	m, now := NewMemory(2, time.Minute), someDay.Add(20*time.Second)
	count := func(key string, want time.Duration) {
		t.Helper()
		if wait := m.Wait(key, now); wait != want {
			t.Errorf("%s waits %v, want %v", key, wait, want)
		}
		m.Count(key, now)
	}
	count("a", 0)
	count("a", 0)
	count("a", 40*time.Second)
	count("b", 0)
	now = now.Add(40 * time.Second)
	count("a", 0)
	for i := range 2 * maxCounted {
		m.Count(strconv.Itoa(i), now)
	}
	if n := len(m.counts); n > maxCounted {
		t.Errorf("%d keys are remembered", n)
	}
	now = now.Add(-time.Hour) // a clock that is set back
	count("a", 0)
	count("a", 0)
	count("a", time.Minute)
}
