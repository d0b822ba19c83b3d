package auth

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"clientes/auth/token"
	"clientes/store"
)

const (
	// cleanEvery is how often old rows of sessions, buckets, networks and events are removed.
	cleanEvery = time.Minute

	// cleanBatch is how many rows are removed at once, so that nobody waits long for the store.
	cleanBatch = 500

	// keepDead is how long the row of a session stays when nothing can need it any more. Clocks of
	// other machines may differ, and people look into the database to see what happened.
	keepDead = time.Hour
)

// CleanAfter is how long the store's clock must have been steady before old rows are removed: see
// [store.Steady].
const CleanAfter = time.Hour

// cleaner removes rows that nothing can need.
type cleaner struct {
	now  func() time.Time // the store's
	log  *slog.Logger
	jobs []cleaning
}

// cleaning is how the old rows of one table are removed.
type cleaning struct {
	rows   string
	remove func(ctx context.Context, before time.Time, limit int) (int, error)
	kept   time.Duration
}

func newCleaner(cfg Config) cleaner {
	return cleaner{now: cfg.Store.Now, log: cfg.Log, jobs: []cleaning{
		{"sessions", cfg.Store.DeleteSessions, keepDead},
		{"addresses of ended sessions", cfg.Store.ForgetOrigins, keepDead},
		{"attempts", cfg.Store.DeleteBuckets, token.Leeway},
		{"addresses", cfg.Store.DeleteNetworks, store.NetworkTTL},
		{"events", cfg.Store.DeleteEvents, cmp.Or(cfg.AuditKeep, store.AuditKept)},
	}}
}

// run removes old rows, in small batches, until ctx ends. It begins when the clock has been steady
// for [CleanAfter].
func (c cleaner) run(ctx context.Context) {
	tick := time.NewTicker(cleanEvery)
	defer tick.Stop()
	steady := store.NewSteady(c.now)
	for {
		if steady.For() >= CleanAfter {
			c.once(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (c cleaner) once(ctx context.Context) {
	for _, job := range c.jobs {
		for removed := cleanBatch; removed == cleanBatch && ctx.Err() == nil; {
			var err error
			removed, err = job.remove(ctx, c.now().Add(-job.kept), cleanBatch)
			if err != nil && ctx.Err() == nil {
				c.log.Warn("cannot remove old rows; trying again in a minute",
					"rows", job.rows, "error", err)
			}
		}
	}
}
