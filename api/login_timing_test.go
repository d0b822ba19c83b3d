package api

import (
	"fmt"
	"testing"

	"clientes/store"
)

// BenchmarkRefusedLogins logs in with wrong passwords as 2,000 users who exist and 2,000 who do
// not, alternately and each once. Every login has a network of its own, so that none has to wait.
// Run it by hand, with -benchtime=1x, and read it as BenchmarkForgot.
func BenchmarkRefusedLogins(b *testing.B) {
	const n, warm = 2000, 100
	for _, e := range engines() {
		b.Run(e.Name, func(b *testing.B) {
			f := newFixture(b, emptyStore(b, e), trustLoopback)
			f.addUsers(n+warm, func(i int) store.User { return store.User{} })
			for b.Loop() {
				compareTimes(b, n, warm, func(name string, i, which int) (answer, error) {
					body := fmt.Sprintf(`{"user":%q,"password":"wrong"}`, name)
					ip := fmt.Sprintf("10.%d.%d.%d", which, i>>8, i&255)
					return f.try("POST", "/login", body, "X-Forwarded-For", ip)
				}, 401)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
