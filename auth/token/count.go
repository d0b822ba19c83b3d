package token

import "sync/atomic"

// CacheCounts counts what is looked up in the caches of tokens and keys. The zero value has counted
// nothing. It is safe for concurrent use.
type CacheCounts struct {
	hits, misses counter
}

// Hits returns how many tokens were in the cache.
func (c *CacheCounts) Hits() int64 { return c.hits.sum() }

// Misses returns how many were not, with those that were no tokens of ours.
func (c *CacheCounts) Misses() int64 { return c.misses.sum() }

// Count counts a token or a key. It does nothing if c is nil.
func (c *CacheCounts) Count(token string, hit bool) {
	switch {
	case c == nil:
	case hit:
		c.hits.add(token)
	default:
		c.misses.add(token)
	}
}

// counter is a number that every request raises. If it were one word, processors would wait for
// each other's cache line. So tokens have different words, each in a line of its own.
type counter struct {
	parts [64]struct {
		n atomic.Int64
		_ [56]byte
	}
}

// add chooses the word by the last character of a token that has six random bits.
func (c *counter) add(token string) {
	part := 0
	if len(token) > 1 {
		part = int(token[len(token)-2]) % len(c.parts)
	}
	c.parts[part].n.Add(1)
}

func (c *counter) sum() (n int64) {
	for i := range c.parts {
		n += c.parts[i].n.Load()
	}
	return n
}
