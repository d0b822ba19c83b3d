package api

import (
	"context"
	"strings"
	"time"

	"clientes/auth"
	"clientes/store"
)

// idempotencyKey returns the key under which the request may be sent again, "" if it has none.
func (r *request) idempotencyKey() (string, error) {
	values, given := r.Header["Idempotency-Key"]
	if !given {
		return "", nil
	}
	const limit = store.MaxIdempotencyKey
	key := values[0]
	if len(values) > 1 || !isPrintableASCII(key) || len(key) < 1 || len(key) > limit {
		return "", invalidParameter(
			"The header Idempotency-Key has 1 to %d printable ASCII characters, once.", limit)
	}
	return key, nil
}

func isPrintableASCII(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || '~' < c })
}

const (
	// cleanEvery is how often expired idempotency keys are removed.
	cleanEvery = time.Minute

	// cleanBatch is how many are removed at once. It is small, so that nobody waits long for the
	// store.
	cleanBatch = 500
)

// Run removes expired idempotency keys until the context ends. It begins when the store's clock has
// been steady for [auth.CleanAfter].
func (s *Server) Run(ctx context.Context) {
	tick := time.NewTicker(cleanEvery)
	defer tick.Stop()
	steady := store.NewSteady(s.cfg.Store.Now)
	for {
		if steady.For() >= auth.CleanAfter {
			s.removeOldKeys(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// removeOldKeys removes expired idempotency keys, in small batches.
func (s *Server) removeOldKeys(ctx context.Context) {
	for removed := cleanBatch; removed == cleanBatch && ctx.Err() == nil; {
		before := s.cfg.Store.Now().Add(-store.IdempotencyTTL)
		var err error
		removed, err = s.cfg.Store.DeleteIdempotencyKeys(ctx, before, cleanBatch)
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("cannot remove old idempotency keys; trying again in a minute",
				"error", err)
		}
	}
}
