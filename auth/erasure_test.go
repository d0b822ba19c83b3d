package auth

import (
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/store"
)

func TestHowLongTheAuditIsKept(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p := start(t, e, url, atClock(c))
		cfg := p.cfg // the server's own goes on
		cfg.AuditKeep = 7 * 24 * time.Hour
		authtest.Must(t, p.store.RecordEvents(t.Context(), store.Event{Kind: store.EventLogin}))
		for _, want := range []int{1, 0} {
			newCleaner(cfg).once(t.Context())
			if n := countEvents(t, p, store.EventFilter{}); n != want {
				t.Errorf("%d events are left, want %d", n, want)
			}
			c.Advance(cfg.AuditKeep + time.Second)
		}
	})
}

func TestAnErasureHasOneEvent(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		p := start(t, e, url)
		ctx := t.Context()
		c, err := p.store.CreateCliente(ctx, 0, store.Cliente{Name: "Ana"})
		authtest.Must(t, err)
		for _, reason := range []string{"first", "second"} {
			err := p.EraseCliente(ctx, Caller{}, c.ID, reason,
				func(store.Cliente) error { return nil })
			authtest.Must(t, err)
		}
		events, err := p.Events(ctx, store.EventFilter{ClienteID: c.ID}, 0, 10)
		if err != nil || len(events) != 1 || events[0].Detail != "first" {
			t.Errorf("the events are %+v, %v", events, err)
		}
		authtest.Must(t, p.eraser.once(ctx))
	})
}
