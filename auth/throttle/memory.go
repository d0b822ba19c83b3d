package throttle

import (
	"sync"
	"time"
)

// Memory counts in the memory of one process, for what is too frequent to be counted in the store:
// each replica lets through as many. All keys have the same windows. It is safe for concurrent use.
type Memory struct {
	free   int
	window time.Duration

	mu     sync.Mutex
	begun  time.Time
	counts map[string]int
}

// maxCounted bounds the memory: some ten megabytes. If there are more keys in one window, all start
// anew.
const maxCounted = 100_000

// NewMemory returns a Memory that lets each key through free times in a window.
func NewMemory(free int, window time.Duration) *Memory {
	return &Memory{free: free, window: window}
}

// Wait returns how long a key has to wait because it was counted too often in the window of now.
func (m *Memory) Wait(key string, now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.turn(now); m.counts[key] < m.free {
		return 0
	}
	return m.begun.Add(m.window).Sub(now)
}

// Count counts a key in the window of now.
func (m *Memory) Count(key string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.turn(now); len(m.counts) >= maxCounted {
		clear(m.counts)
	}
	m.counts[key]++
}

// turn begins the window of now, if it is another one.
func (m *Memory) turn(now time.Time) {
	if begun := now.Truncate(m.window); m.counts == nil || !begun.Equal(m.begun) {
		m.begun, m.counts = begun, make(map[string]int)
	}
}
