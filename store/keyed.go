package store

import (
	"context"
	"sync"
)

// KeyedMutex is a mutex for each key. It has an entry for each key that somebody holds or waits
// for. The zero value has none.
//
// Where many want one row of a database, it lets them wait here, and not each on a connection.
type KeyedMutex struct {
	mu   sync.Mutex
	keys map[string]*keyedEntry
}

type keyedEntry struct {
	free  chan struct{} // holds one value while nobody holds the key
	users int
}

// Lock waits for a key, or for the end of ctx, whose cause it then returns. The key is held until
// unlock is called, which must happen exactly once.
func (m *KeyedMutex) Lock(ctx context.Context, key string) (unlock func(), err error) {
	e := m.enter(key)
	select {
	case <-e.free:
		return func() { e.free <- struct{}{}; m.leave(key, e) }, nil
	case <-ctx.Done():
		m.leave(key, e)
		return nil, context.Cause(ctx)
	}
}

func (m *KeyedMutex) enter(key string) *keyedEntry {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys == nil {
		m.keys = make(map[string]*keyedEntry)
	}
	e := m.keys[key]
	if e == nil {
		e = &keyedEntry{free: make(chan struct{}, 1)}
		e.free <- struct{}{}
		m.keys[key] = e
	}
	e.users++
	return e
}

func (m *KeyedMutex) leave(key string, e *keyedEntry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.users--; e.users == 0 {
		delete(m.keys, key)
	}
}
