package api

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"clientes/store"
)

// BenchmarkRefusedLogins logs in with wrong passwords as 2,000 users who exist and as 2,000 who do
// not, in turns, each once and from an address of its own, so that none has to wait. It is to be
// run by hand, with -benchtime=1x; how to read it says BenchmarkForgot.
func BenchmarkRefusedLogins(b *testing.B) {
	const n, warm = 2000, 100
	for _, e := range engines() {
		b.Run(e.name, func(b *testing.B) {
			f := newFixture(b, e.open(b),
				func(c *Config) {
					c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(
						"127.0.0.0/8")}
				})
			users := make([]store.User, n+warm)
			for i := range users {
				users[i] = store.User{Name: fmt.Sprintf("user-%05d", i), Role: store.Viewer,
					PasswordHash: testHash}
			}
			_, err := f.store.CreateUsers(b.Context(), users)
			must(b, err)
			for b.Loop() {
				var wrong, unknown []float64
				for i := range n + warm {
					names := []string{fmt.Sprintf("user-%05d", i), fmt.Sprintf("none-%05d", i)}
					for _, which := range rand.Perm(2) {
						body := fmt.Sprintf(`{"user":%q,"password":"wrong"}`, names[which])
						start := time.Now()
						a, err := f.try("POST", "/login", body, "X-Forwarded-For",
							fmt.Sprintf("10.%d.%d.%d", which, i>>8, i&255))
						took := float64(time.Since(start).Nanoseconds()) / 1000
						if err != nil || a.status != 401 {
							b.Fatal(err, a.status)
						}
						switch {
						case i < warm:
						case which == 0:
							wrong = append(wrong, took)
						default:
							unknown = append(unknown, took)
						}
					}
				}
				b.ReportMetric(median(wrong), "wrong-µs")
				b.ReportMetric(median(unknown), "unknown-µs")
				b.ReportMetric(rankDifference(wrong, unknown), "sd")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
