package api

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/auth/mail"
	"clientes/store"
)

// BenchmarkForgot requests links for 2,000 users who exist and 2,000 who do not, alternately and
// each once, while mail goes out. Run it by hand, with -benchtime=1x. It reports the medians, and
// by how many standard deviations the ranks of the two differ (Mann-Whitney). By chance that is
// beyond 2 in one of twenty runs. A difference of one write to the disk would be beyond 20.
func BenchmarkForgot(b *testing.B) {
	const n, warm = 2000, 200
	for _, e := range engines() {
		b.Run(e.Name, func(b *testing.B) {
			f := newFixture(b, emptyStore(b, e), trustLoopback)
			f.addUsers(n+warm, func(i int) store.User {
				return store.User{Email: fmt.Sprintf("user-%05d@example.com", i)}
			})
			ctx, stop := context.WithCancel(context.Background())
			var sending sync.WaitGroup
			sending.Go(func() { f.auth.SendMail(ctx, nowhere{}, 0) })
			defer sending.Wait()
			defer stop()
			for b.Loop() {
				compareTimes(b, n, warm, func(name string, i, _ int) (answer, error) {
					body := fmt.Sprintf(`{"user":%q}`, name)
					// Another network each time, or the limit on requests would be reached.
					ip := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), byte(rand.IntN(256))})
					return f.try("POST", "/password/forgot", body, "X-Forwarded-For", ip.String())
				}, 202)
			}
		})
	}
}

// trustLoopback makes a server believe X-Forwarded-For of its own machine.
func trustLoopback(cfg *Config) {
	cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
}

// addUsers creates n viewers with the names that compareTimes uses. base has their other members.
func (f *fixture) addUsers(n int, base func(i int) store.User) {
	f.t.Helper()
	users := make([]store.User, n)
	for i := range users {
		users[i] = base(i)
		users[i].Name, users[i].Role = fmt.Sprintf("user-%05d", i), store.Viewer
		users[i].PasswordHash = testHash
	}
	_, err := f.store.CreateUsers(f.t.Context(), users)
	authtest.Must(f.t, err)
}

// compareTimes asks about users who exist (which is 0) and names that nobody has (1), in random
// order, and reports how the times of the answers differ. The first warm of them do not count.
func compareTimes(
	b *testing.B, n, warm int, ask func(name string, i, which int) (answer, error), status int,
) {
	b.Helper()
	var times [2][]float64
	for i := range n + warm {
		names := []string{fmt.Sprintf("user-%05d", i), fmt.Sprintf("none-%05d", i)}
		for _, which := range rand.Perm(2) {
			start := time.Now()
			a, err := ask(names[which], i, which)
			took := float64(time.Since(start).Nanoseconds()) / 1000
			if err != nil || a.status != status {
				b.Fatal(err, a.status)
			}
			if i >= warm {
				times[which] = append(times[which], took)
			}
		}
	}
	b.ReportMetric(median(times[0]), "known-µs")
	b.ReportMetric(median(times[1]), "unknown-µs")
	b.ReportMetric(rankDifference(times[0], times[1]), "sd")
}

// nowhere is an [auth.Sender] that loses all mail.
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
	slices.SortFunc(all, func(x, y one) int { return cmp.Compare(x.value, y.value) })
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
		a = append(a, r.NormFloat64())
		b = append(b, r.NormFloat64())
		c = append(c, r.NormFloat64()+0.2)
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
