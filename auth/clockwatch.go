package auth

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"clientes/store"
)

// lookAtClock is how often the clocks are looked at. A step that is undone sooner goes unnoticed.
const lookAtClock = time.Second

// clockWatch notices when the clock of this machine is set, and when the store notices that of its
// database server. Nothing breaks then, but whoever reads times in logs has to know.
type clockWatch struct {
	store interface{ Stats() store.Stats }
	log   *slog.Logger

	own     *store.Steady // for run alone
	servers int64         // steps of the server's clock at the last look
	steps   atomic.Int64  // of this machine's
}

func newClockWatch(cfg Config) *clockWatch {
	return &clockWatch{store: cfg.Store, log: cfg.Log, own: store.NewSteady(cfg.Now)}
}

// total returns how often either clock was set.
func (w *clockWatch) total() int64 { return w.steps.Load() + w.store.Stats().ClockSteps }

// run looks at the clocks until ctx ends.
func (w *clockWatch) run(ctx context.Context) {
	tick := time.NewTicker(lookAtClock)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.look()
		}
	}
}

func (w *clockWatch) look() {
	w.own.For()
	if step := w.own.Step(); step != 0 {
		w.steps.Add(1)
		w.log.Warn("the clock of this machine was set", "by", step.Round(time.Millisecond).String())
	}
	if n := w.store.Stats().ClockSteps; n != w.servers {
		w.servers = n
		w.log.Warn("the clock of the database server was set")
	}
}
