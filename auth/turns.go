package auth

import (
	"context"
	"sync"
)

// turns lets one at a time do something under a key. It has an entry for each key that somebody has or waits for.
type turns struct {
	mu   sync.Mutex
	keys map[string]*turn
}

type turn struct {
	free  chan struct{} // holds one value while nobody has the turn
	users int
}

// take waits for the turn of a key, or for the end of ctx. The turn ends with a call of leave.
func (t *turns) take(ctx context.Context, key string) (leave func(), err error) {
	t.mu.Lock()
	if t.keys == nil {
		t.keys = make(map[string]*turn)
	}
	one := t.keys[key]
	if one == nil {
		one = &turn{free: make(chan struct{}, 1)}
		one.free <- struct{}{}
		t.keys[key] = one
	}
	one.users++
	t.mu.Unlock()
	gone := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(t.keys, key)
		}
	}
	select {
	case <-one.free:
		return func() { one.free <- struct{}{}; gone() }, nil
	case <-ctx.Done():
		gone()
		return nil, context.Cause(ctx)
	}
}
