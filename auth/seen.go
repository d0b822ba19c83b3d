package auth

import "sync"

// maxSeen bounds each of the two halves of a seenTokens: about 4 MiB of tokens of 400 bytes.
const maxSeen = 8192

// seenTokens remembers tokens that were verified, so that the next request with the same one is cheap.
// It has two halves: when the young one is full it becomes the old one, and what nobody asked for since is
// forgotten. A stranger can not fill it, for only well-signed tokens come in.
type seenTokens struct {
	mu         sync.RWMutex
	young, old map[string]verified
}

func newSeenTokens() *seenTokens {
	return &seenTokens{young: make(map[string]verified)}
}

func (s *seenTokens) get(token string) (verified, bool) {
	s.mu.RLock()
	v, young := s.young[token]
	var old bool
	if !young {
		v, old = s.old[token]
	}
	s.mu.RUnlock()
	if old {
		s.put(token, v)
	}
	return v, young || old
}

func (s *seenTokens) put(token string, v verified) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.young) >= maxSeen {
		s.young, s.old = make(map[string]verified), s.young
	}
	s.young[token] = v
}
