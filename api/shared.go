package api

import (
	"context"
	"sync"
	"time"
)

// shared is work whose latest result is good for a while, for all who want it. Those who want it
// while it is under way wait for it.
type shared[T any] struct {
	mu     sync.Mutex
	latest *shareable[T] // nil at first
}

// shareable is one result.
type shareable[T any] struct {
	begun  time.Time
	done   chan struct{} // closed when result is final
	result T
}

// get returns a result that was begun no longer ago than goodFor, or is under way, or else one of
// its own. The work goes on after ctx, since others may wait for it. It returns an error if ctx
// ends before the result is final.
func (s *shared[T]) get(
	ctx context.Context, goodFor time.Duration, work func(context.Context, *T),
) (*T, error) {
	s.mu.Lock()
	r := s.latest
	mine := r == nil || time.Since(r.begun) > goodFor && r.isDone()
	if mine {
		r = &shareable[T]{begun: time.Now(), done: make(chan struct{})}
		s.latest = r
	}
	s.mu.Unlock()
	if mine {
		r.make(context.WithoutCancel(ctx), work)
	}
	select {
	case <-r.done:
		return &r.result, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (r *shareable[T]) make(ctx context.Context, work func(context.Context, *T)) {
	defer close(r.done) // also when it panics
	work(ctx, &r.result)
}

func (r *shareable[T]) isDone() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}
