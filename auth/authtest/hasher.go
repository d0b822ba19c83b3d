package authtest

import (
	"context"
	"sync"
)

// Hasher is the interface of package password, which this package does not import so that the
// tests of that one can use it.
type Hasher interface {
	Verify(hash, password string, rehash bool) (good bool, rehashed string, err error)
	Hash(password string, known []string) (hash string, err error)
	Ready(ctx context.Context) error
}

// Remember returns h with a memory for what it verified: it says so again without the work, which
// takes a core for 30 ms. A new hash is always made anew, since no two are the same. The memory
// forgets nothing, and is safe for concurrent use. A test of the work, or of its time, uses h.
func Remember(h Hasher) Hasher {
	return &memory{Hasher: h, answers: make(map[question]bool)}
}

type memory struct {
	Hasher
	mu      sync.Mutex
	answers map[question]bool
}

type question struct {
	hash, password string
	rehash         bool
}

func (m *memory) Verify(
	hash, password string, rehash bool,
) (good bool, rehashed string, err error) {
	q := question{hash, password, rehash}
	m.mu.Lock()
	good, ok := m.answers[q]
	m.mu.Unlock()
	if ok {
		return good, "", nil
	}
	good, rehashed, err = m.Hasher.Verify(hash, password, rehash)
	if err == nil && rehashed == "" {
		m.mu.Lock()
		m.answers[q] = good
		m.mu.Unlock()
	}
	return good, rehashed, err
}
