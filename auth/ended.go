package auth

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"clientes/store"
)

const (
	// askEvery is how often the store is asked what ended. An end elsewhere is honoured here after at most
	// this and the time of one answer.
	askEvery = 200 * time.Millisecond

	// trustFor is for how long after it was asked an answer is enough to say that a session lives. It is
	// below the second within which the contract promises to honour an end.
	trustFor = 900 * time.Millisecond

	// askTimeout bounds one question, so that a connection that swallows it does not hold up the next one.
	askTimeout = time.Second

	// forgetEvery is how often sessions that no living token can name are dropped from memory.
	forgetEvery = time.Minute
)

// endedSessions is the deny list: the sessions that ended while an access token of theirs may live. It is
// sure of itself while the store has lately said what ended, and asks the session's row otherwise.
type endedSessions struct {
	store store.Sessions
	now   func() time.Time
	log   *slog.Logger
	asOf  atomic.Pointer[time.Time] // when the last answered question was put; nil: unknown
	list  denyList
}

func newEndedSessions(s store.Sessions, now func() time.Time, log *slog.Logger) *endedSessions {
	return &endedSessions{store: s, now: now, log: log}
}

// check gives nil if the session lives, ErrTokenRevoked if it has ended, and store.ErrUnavailable if neither
// can be known.
func (e *endedSessions) check(ctx context.Context, id sessionID, name string) error {
	// Whether the list is current comes before what it says: an answer that arrives between the two may
	// only add to it.
	current := e.current()
	if e.list.has(id) {
		return ErrTokenRevoked
	}
	if current {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	switch s, err := e.store.Session(ctx, name); {
	case errors.Is(err, store.ErrNotFound):
		return ErrTokenRevoked
	case errors.Is(err, context.DeadlineExceeded):
		return errors.Join(store.ErrUnavailable, err)
	case err != nil:
		return err
	case !s.EndedAt.IsZero():
		e.addAll([]store.Ended{{ID: name, TokenExp: s.TokenExp}})
		return ErrTokenRevoked
	}
	return nil
}

// current says whether the list holds every session that ended more than trustFor ago. Both clocks count:
// the monotonic one stands still while a machine sleeps, and the other may be set.
func (e *endedSessions) current() bool {
	asOf := e.asOf.Load()
	if asOf == nil {
		return false
	}
	now := e.now()
	return now.Sub(*asOf) <= trustFor && now.Round(0).Sub(asOf.Round(0)) <= trustFor
}

// addAll puts sessions on the list that were ended while tokens of theirs may live.
func (e *endedSessions) addAll(ended []store.Ended) {
	for _, s := range ended {
		if id, ok := parseSessionID(s.ID); ok {
			e.list.add(id, s.TokenExp.Add(leeway))
		}
	}
}

// follow asks the store what ended, again and again, until the context ends.
func (e *endedSessions) follow(ctx context.Context) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	var mark store.Watermark
	var failing bool
	forgotten := e.now()
	for {
		next, err := e.ask(ctx, mark)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			e.log.Error("can not learn which sessions ended; asking the store about every token", "error", err)
		case err == nil && failing:
			e.log.Info("learning again which sessions ended")
		}
		// After an error the next answer may come from another server, to which the mark means nothing.
		mark, failing = next, err != nil
		if now := e.now(); now.Sub(forgotten) >= forgetEvery {
			e.list.forget(now)
			forgotten = now
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// ask adds to the list what ended since the mark, and gives the next mark: zero after an error.
func (e *endedSessions) ask(ctx context.Context, since store.Watermark) (store.Watermark, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	asked := e.now()
	ended, next, err := e.store.EndedSessions(ctx, since, asked.Add(-leeway))
	if err != nil {
		return 0, err
	}
	e.addAll(ended)
	e.asOf.Store(&asked)
	return next, nil
}

// denyList is a set of sessions, each with the time when it can be forgotten. It is split so that adding
// seldom waits for reading, and an entry has 20 bytes of data.
type denyList struct {
	shards [64]struct {
		mu    sync.RWMutex
		until map[sessionID]uint32 // in Unix seconds
	}
}

func (l *denyList) has(id sessionID) bool {
	s := &l.shards[id[0]%64]
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.until[id]
	return ok
}

func (l *denyList) add(id sessionID, until time.Time) {
	s := &l.shards[id[0]%64]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil {
		s.until = make(map[sessionID]uint32)
	}
	s.until[id] = max(s.until[id], uint32(until.Unix()+1))
}

// forget drops what no living token can name. It builds the maps anew, for a Go map never gives memory back.
func (l *denyList) forget(now time.Time) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		var keep map[sessionID]uint32
		for id, until := range s.until {
			if int64(until) > now.Unix() {
				if keep == nil {
					keep = make(map[sessionID]uint32)
				}
				keep[id] = until
			}
		}
		s.until = keep
		s.mu.Unlock()
	}
}
