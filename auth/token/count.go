package token

import (
	"math/rand/v2"
	"sync/atomic"
)

// CacheCounts counts what an [Issuer] looks up in its token cache. The zero value has counted
// nothing. It is safe for concurrent use.
type CacheCounts struct {
	hits, misses counter
}

// Hits returns how many tokens were in the cache.
func (c *CacheCounts) Hits() int64 { return c.hits.sum() }

// Misses returns how many were not, with those that were no tokens of ours.
func (c *CacheCounts) Misses() int64 { return c.misses.sum() }

// count counts one token. It does nothing if c is nil.
func (c *CacheCounts) count(hit bool) {
	switch {
	case c == nil:
	case hit:
		c.hits.add()
	default:
		c.misses.add()
	}
}

// counter is a number that every request raises. With one word for all processors, each would wait
// until the cache line of that word comes from another one. So there are many words, each in a
// cache line of its own, and chance picks one (BenchmarkCacheCounts).
type counter struct {
	parts [32]struct {
		n atomic.Int64
		_ [56]byte
	}
}

func (c *counter) add() { c.parts[rand.Uint32()%uint32(len(c.parts))].n.Add(1) }

func (c *counter) sum() (n int64) {
	for i := range c.parts {
		n += c.parts[i].n.Load()
	}
	return n
}
