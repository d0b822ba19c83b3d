package token

import "sync"

// maxCached bounds each of the two halves of a cache: about 4 MiB of tokens of 400 bytes.
const maxCached = 8192

// Cache remembers what was verified, so that the next request with it is cheap. It has two halves.
// When the young one is full it becomes the old one, and what nobody used since in the old one is
// dropped. Only what is good may come in, so strangers cannot fill it. It is safe for concurrent
// use.
type Cache[K comparable, V any] struct {
	mu         sync.RWMutex
	young, old map[K]V
}

// NewCache returns a Cache that remembers nothing.
func NewCache[K comparable, V any]() *Cache[K, V] {
	return &Cache[K, V]{young: make(map[K]V)}
}

// Get returns what is remembered of k, and whether anything is.
func (c *Cache[K, V]) Get(k K) (V, bool) {
	c.mu.RLock()
	v, young := c.young[k]
	var old bool
	if !young {
		v, old = c.old[k]
	}
	c.mu.RUnlock()
	if old {
		c.Put(k, v)
	}
	return v, young || old
}

// Put remembers v.
func (c *Cache[K, V]) Put(k K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.young) >= maxCached {
		c.young, c.old = make(map[K]V), c.young
	}
	c.young[k] = v
}
