package auth

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"clientes/auth/token"
	"clientes/store"
)

const (
	// askEvery is how often the store is asked which sessions ended. An end elsewhere is honoured
	// here after at most this and the time of one answer.
	askEvery = 200 * time.Millisecond

	// trustFor is how long an answer is enough to know that a session lives. It is below one
	// second, because ends elsewhere must be honoured within a second.
	trustFor = 900 * time.Millisecond

	// askTimeout bounds one question, so that a connection that swallows it does not delay the
	// next.
	askTimeout = time.Second

	// forgetEvery is how often sessions that no living token can name are dropped from memory.
	forgetEvery = time.Minute
)

// endStore is what the deny list needs of a store. [store.Sessions] documents its methods.
type endStore interface {
	Session(ctx context.Context, id string) (store.Session, error)
	EndedSessions(ctx context.Context, since store.Watermark, alive time.Time) (
		[]store.Ended, store.Watermark, error)
}

// denyList knows the sessions that ended while an access token of theirs may live. While the store
// has lately reported all ends, the list alone decides. Otherwise it asks for the session's row.
type denyList struct {
	store endStore
	now   func() time.Time
	log   *slog.Logger
	asOf  atomic.Pointer[time.Time] // when the last answered question was asked, nil if unknown
	ended sessionSet
}

func newDenyList(s endStore, now func() time.Time, log *slog.Logger) *denyList {
	return &denyList{store: s, now: now, log: log}
}

// check returns nil if the session lives, ErrTokenRevoked if it has ended, and store.ErrUnavailable
// if neither can be known. Both id and name name the session.
func (d *denyList) check(ctx context.Context, id token.SessionID, name string) error {
	// Ask whether the list is current before looking into it: an answer that arrives between the
	// two can only add to the list.
	current := d.current()
	if d.ended.has(id) {
		return ErrTokenRevoked
	}
	if current {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	switch s, err := d.store.Session(ctx, name); {
	case errors.Is(err, store.ErrNotFound):
		return ErrTokenRevoked
	case errors.Is(err, context.DeadlineExceeded):
		return errors.Join(store.ErrUnavailable, err)
	case err != nil:
		return err
	case !s.EndedAt.IsZero():
		d.addAll([]store.Ended{{ID: name, TokenExp: s.TokenExp}})
		return ErrTokenRevoked
	}
	return nil
}

// current reports whether the list holds every session that ended more than trustFor ago. Both
// clocks count: the monotonic one stands still while a machine sleeps, and the other may be set.
func (d *denyList) current() bool {
	asOf := d.asOf.Load()
	if asOf == nil {
		return false
	}
	now := d.now()
	return now.Sub(*asOf) <= trustFor && now.Round(0).Sub(asOf.Round(0)) <= trustFor
}

// addAll adds sessions that ended while tokens of theirs may live.
func (d *denyList) addAll(ended []store.Ended) {
	for _, s := range ended {
		if id, ok := token.ParseSessionID(s.ID); ok {
			d.ended.add(id, s.TokenExp.Add(token.Leeway))
		}
	}
}

// run asks the store again and again which sessions ended, until ctx ends.
func (d *denyList) run(ctx context.Context) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	var since store.Watermark
	var failing bool
	forgotten := d.now()
	for {
		next, err := d.ask(ctx, since)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			d.log.Error("cannot learn which sessions ended; asking the store about every token",
				"error", err)
		case err == nil && failing:
			d.log.Info("learning again which sessions ended")
		}
		// After an error the next answer may come from another server, to which the watermark means
		// nothing. ask has returned zero then.
		since, failing = next, err != nil
		if now := d.now(); now.Sub(forgotten) >= forgetEvery {
			d.ended.forget(now)
			forgotten = now
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// ask adds the sessions that ended since the watermark, and returns the next watermark: zero after
// an error.
func (d *denyList) ask(ctx context.Context, since store.Watermark) (store.Watermark, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	asked := d.now()
	ended, next, err := d.store.EndedSessions(ctx, since, asked.Add(-token.Leeway))
	if err != nil {
		return 0, err
	}
	d.addAll(ended)
	d.asOf.Store(&asked)
	return next, nil
}

// sessionSet is a set of sessions, each with the time when it can be forgotten. It is split so that
// adding seldom waits for reading. An entry has 20 bytes of data (BenchmarkDenyList).
type sessionSet struct {
	shards [64]struct {
		mu    sync.RWMutex
		until map[token.SessionID]uint32 // in Unix seconds
	}
}

func (l *sessionSet) has(id token.SessionID) bool {
	s := &l.shards[id[0]%64]
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.until[id]
	return ok
}

func (l *sessionSet) add(id token.SessionID, until time.Time) {
	s := &l.shards[id[0]%64]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil {
		s.until = make(map[token.SessionID]uint32)
	}
	s.until[id] = max(s.until[id], uint32(until.Unix()+1))
}

// forget drops what no living token can name. It builds new maps, because a Go map never returns
// memory.
func (l *sessionSet) forget(now time.Time) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		var keep map[token.SessionID]uint32
		for id, until := range s.until {
			if int64(until) > now.Unix() {
				if keep == nil {
					keep = make(map[token.SessionID]uint32)
				}
				keep[id] = until
			}
		}
		s.until = keep
		s.mu.Unlock()
	}
}
