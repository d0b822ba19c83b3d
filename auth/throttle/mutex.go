package throttle

import (
	"context"
	"sync"
)

// keyedMutex is a mutex for each key. It has an entry for each key that somebody holds or waits
// for. The zero value has none.
type keyedMutex struct {
	mu   sync.Mutex
	keys map[string]*entry
}

type entry struct {
	free  chan struct{} // holds one value while nobody holds the key
	users int
}

// lock waits for a key, or for the end of ctx. The key is held until a call of unlock.
func (m *keyedMutex) lock(ctx context.Context, key string) (unlock func(), err error) {
	e := m.enter(key)
	select {
	case <-e.free:
		return func() { e.free <- struct{}{}; m.leave(key, e) }, nil
	case <-ctx.Done():
		m.leave(key, e)
		return nil, context.Cause(ctx)
	}
}

func (m *keyedMutex) enter(key string) *entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys == nil {
		m.keys = make(map[string]*entry)
	}
	e := m.keys[key]
	if e == nil {
		e = &entry{free: make(chan struct{}, 1)}
		e.free <- struct{}{}
		m.keys[key] = e
	}
	e.users++
	return e
}

func (m *keyedMutex) leave(key string, e *entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.users--; e.users == 0 {
		delete(m.keys, key)
	}
}
