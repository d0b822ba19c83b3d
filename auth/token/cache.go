package token

import "sync"

// maxCached bounds each of the two halves of a cache: about 4 MiB of tokens of 400 bytes.
const maxCached = 8192

// cache remembers access tokens that were verified, so that the next request with one is cheap.
// It has two halves. When the young one is full it becomes the old one, and tokens of the old one
// that nobody used since are dropped. Only well-signed tokens come in, so strangers cannot fill it.
type cache struct {
	mu         sync.RWMutex
	young, old map[string]Access
}

func newCache() *cache {
	return &cache{young: make(map[string]Access)}
}

func (c *cache) get(token string) (Access, bool) {
	c.mu.RLock()
	a, young := c.young[token]
	var old bool
	if !young {
		a, old = c.old[token]
	}
	c.mu.RUnlock()
	if old {
		c.put(token, a)
	}
	return a, young || old
}

func (c *cache) put(token string, a Access) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.young) >= maxCached {
		c.young, c.old = make(map[string]Access), c.young
	}
	c.young[token] = a
}
