package auth

import (
	"context"
	"time"

	"clientes/store"
)

const (
	// cleanEvery is how often old rows of sessions, attempts, addresses and events are removed.
	cleanEvery = time.Minute

	// cleanBatch is how many are removed at once, so that nobody waits long for the store.
	cleanBatch = 500

	// keepDead is how long the row of a session stays after the last moment when something could have needed it: for the
	// clocks of other machines, and for whoever looks into the database to see what happened.
	keepDead = time.Hour
)

// clean removes rows that nothing can need, in small batches, until the context ends.
func (a *Auth) clean(ctx context.Context) {
	tick := time.NewTicker(cleanEvery)
	defer tick.Stop()
	for {
		a.cleanOnce(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (a *Auth) cleanOnce(ctx context.Context) {
	for _, old := range []struct {
		rows   string
		remove func(ctx context.Context, before time.Time, limit int) (int, error)
		kept   time.Duration
	}{
		{"sessions", a.cfg.Store.DeleteSessions, keepDead},
		{"attempts", a.cfg.Store.DeleteBuckets, leeway},
		{"addresses", a.cfg.Store.DeleteNetworks, store.NetworkTTL},
		{"events", a.cfg.Store.DeleteEvents, store.AuditKept},
	} {
		for removed := cleanBatch; removed == cleanBatch && ctx.Err() == nil; {
			var err error
			removed, err = old.remove(ctx, a.cfg.Now().Add(-old.kept), cleanBatch)
			if err != nil && ctx.Err() == nil {
				a.cfg.Log.Warn("can not remove old rows; trying again in a minute", "rows", old.rows, "error", err)
			}
		}
	}
}
