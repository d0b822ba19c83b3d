package api

import (
	"strconv"
	"sync"

	"clientes/auth"
)

// room is what requests may occupy together: bytes of bodies, or places for transfers. Nobody has
// more than a share of it, so that no one fills it alone. It is safe for concurrent use.
type room struct {
	size, share int64
	full        error // there is no room left
	used        error // the share is used up

	mu    sync.Mutex
	taken int64
	by    map[string]int64 // without those that have nothing
}

// take occupies n of the room for somebody. It returns full or used if that is too much.
func (r *room) take(who string, n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.by[who]+n > r.share:
		return r.used
	case r.taken+n > r.size:
		return r.full
	}
	if r.by == nil {
		r.by = make(map[string]int64)
	}
	r.taken += n
	r.by[who] += n
	return nil
}

// leave frees n of what take has occupied.
func (r *room) leave(who string, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken -= n
	if r.by[who] -= n; r.by[who] == 0 {
		delete(r.by, who)
	}
}

// occupied returns how much is taken.
func (r *room) occupied() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return float64(r.taken)
}

// occupant names a caller in a room.
func occupant(c auth.Caller) string { return strconv.FormatInt(c.UserID, 10) }
