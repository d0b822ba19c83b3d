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
// database server. Nothing breaks then, but people wonder why times in logs do not match.
type clockWatch struct {
	now   func() time.Time
	store interface{ Stats() store.Stats }
	log   *slog.Logger
	steps atomic.Int64 // of this machine's clock
}

// total returns how often either clock was set.
func (w *clockWatch) total() int64 { return w.steps.Load() + w.store.Stats().ClockSteps }

func (w *clockWatch) run(ctx context.Context) {
	tick := time.NewTicker(lookAtClock)
	defer tick.Stop()
	own, servers := store.NewSteady(w.now), w.store.Stats().ClockSteps
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		own.For()
		if step := own.Step(); step != 0 {
			w.steps.Add(1)
			w.log.Warn("the clock of this machine was set", "by", step.Round(time.Millisecond).String())
		}
		if n := w.store.Stats().ClockSteps; n != servers {
			servers = n
			w.log.Warn("the clock of the database server was set")
		}
	}
}
