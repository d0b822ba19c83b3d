package api

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"clientes/auth/mail"
	"clientes/store"
)

// BenchmarkForgot requests links for 2,000 users who exist and 2,000 who do not, in turns and each
// once, while mail goes out. Run it by hand, with -benchtime=1x. It reports the medians, and by how
// many standard deviations the ranks of the two differ (Mann-Whitney). By chance that is beyond 2
// in one of twenty runs. A difference of one write to the disk would be beyond 20.
func BenchmarkForgot(b *testing.B) {
	const n, warm = 2000, 200
	for _, e := range engines() {
		b.Run(e.name, func(b *testing.B) {
			f := newFixture(b, e.open(b),
				func(cfg *Config) {
					cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(
						"127.0.0.0/8")}
				})
			users := make([]store.User, n+warm)
			for i := range users {
				users[i] = store.User{
					Name:  fmt.Sprintf("user-%05d", i),
					Email: fmt.Sprintf("user-%05d@example.com", i), Role: store.Viewer,
					PasswordHash: testHash,
				}
			}
			_, err := f.store.CreateUsers(b.Context(), users)
			must(b, err)
			ctx, stop := context.WithCancel(context.Background())
			var sending sync.WaitGroup
			sending.Go(func() { f.auth.SendMail(ctx, nowhere{}, 0) })
			defer sending.Wait()
			defer stop()
			for b.Loop() {
				var known, unknown []float64
				for i := range n + warm {
					names := []string{fmt.Sprintf("user-%05d", i), fmt.Sprintf("none-%05d", i)}
					for _, which := range rand.Perm(2) {
						body := fmt.Sprintf(`{"user":%q}`, names[which])
						// Another network each time, or the limit on requests would be reached.
						ip := netip.AddrFrom4(
							[4]byte{10, byte(i >> 8), byte(i), byte(rand.IntN(256))}).String()
						start := time.Now()
						a, err := f.try("POST", "/password/forgot", body, "X-Forwarded-For", ip)
						took := float64(time.Since(start).Nanoseconds()) / 1000
						if err != nil || a.status != 202 {
							b.Fatal(err, a.status)
						}
						switch {
						case i < warm:
						case which == 0:
							known = append(known, took)
						default:
							unknown = append(unknown, took)
						}
					}
				}
				b.ReportMetric(median(known), "known-µs")
				b.ReportMetric(median(unknown), "unknown-µs")
				b.ReportMetric(rankDifference(known, unknown), "sd")
			}
		})
	}
}

// nowhere is an auth.Post that loses all mail.
type nowhere struct{}

func (nowhere) Send(context.Context, mail.Message) error { return nil }

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

// rankDifference returns the standardized U of Mann and Whitney. It is about normal with a
// deviation of 1 if both samples have the same distribution, and negative if a is less than b.
func rankDifference(a, b []float64) float64 {
	type one struct {
		value float64
		ofA   bool
	}
	var all []one
	for _, v := range a {
		all = append(all, one{v, true})
	}
	for _, v := range b {
		all = append(all, one{v, false})
	}
	slices.SortFunc(all, func(x, y one) int {
		switch {
		case x.value < y.value:
			return -1
		case x.value > y.value:
			return 1
		}
		return 0
	})
	ranks := 0.0
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].value == all[i].value {
			j++
		}
		for _, o := range all[i:j] {
			if o.ofA {
				ranks += float64(i+j+1) / 2 // of equals, the mean
			}
		}
		i = j
	}
	na, nb := float64(len(a)), float64(len(b))
	u := ranks - na*(na+1)/2
	return (u - na*nb/2) / math.Sqrt(na*nb*(na+nb+1)/12)
}

// A statistic that misses a difference would be worse than none.
func TestRankDifference(t *testing.T) {
	var a, b, c []float64
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		a, b, c = append(a, r.NormFloat64()), append(b, r.NormFloat64()),
			append(c, r.NormFloat64()+0.2)
	}
	if z := rankDifference(a, b); math.Abs(z) > 3 {
		t.Errorf("of the same distribution: %f", z)
	}
	if z := rankDifference(a, c); z > -4 {
		t.Errorf("of another: %f", z)
	}
	if z := rankDifference([]float64{1, 2, 3}, []float64{3, 2, 1}); z != 0 {
		t.Errorf("of the same numbers: %f", z)
	}
	if m := median([]float64{4, 1, 3, 2}); m != 2.5 {
		t.Errorf("median %f", m)
	}
}
