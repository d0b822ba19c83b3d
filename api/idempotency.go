package api

import (
	"context"
	"strings"
	"time"

	"clientes/store"
)

// idempotencyKey gives the key by which the request can be sent again, "" if it has none.
func (r *request) idempotencyKey() (string, error) {
	values, given := r.Header["Idempotency-Key"]
	if !given {
		return "", nil
	}
	printable := func(c rune) bool { return ' ' <= c && c <= '~' }
	key := values[0]
	if len(values) > 1 || key == "" || len(key) > store.MaxIdempotencyKey ||
		strings.ContainsFunc(key, func(c rune) bool { return !printable(c) }) {
		return "", invalidParameter("The header Idempotency-Key has 1 to %d printable ASCII characters, once.", store.MaxIdempotencyKey)
	}
	return key, nil
}

const (
	// cleanEvery is how often idempotency keys are removed that have had their day.
	cleanEvery = time.Minute

	// cleanBatch is how many are removed at once, so that nobody waits long for the store.
	cleanBatch = 500
)

// Run removes old idempotency keys, in small batches, until the context ends.
func (s *Server) Run(ctx context.Context) {
	tick := time.NewTicker(cleanEvery)
	defer tick.Stop()
	for {
		for removed := cleanBatch; removed == cleanBatch && ctx.Err() == nil; {
			var err error
			removed, err = s.cfg.Store.DeleteIdempotencyKeys(ctx, s.cfg.Now().Add(-store.IdempotencyTTL), cleanBatch)
			if err != nil && ctx.Err() == nil {
				s.cfg.Log.Warn("can not remove old idempotency keys; trying again in a minute", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
