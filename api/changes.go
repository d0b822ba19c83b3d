package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"clientes/api/wire"
	"clientes/auth"
	"clientes/store"
)

const (
	// maxWait is how long a request may wait for changes. Proxies cut what is silent for a minute.
	maxWait = 30 * time.Second

	// commentEvery is how long a stream is silent at most, so that neither proxies nor clients
	// take it for dead.
	commentEvery = 15 * time.Second

	// failurePause is how long a listener waits after the store has failed.
	failurePause = time.Second

	// maxListeners is how many requests may wait for changes or stream them at once, and
	// listenersOfOne how many those of one session.
	maxListeners   = 1000
	listenersOfOne = 10

	// batchLimit and batchSize are how much a stream takes of the feed at once. A thousand streams
	// whose clients do not read hold that many times the size.
	batchLimit = 100
	batchSize  = 64 << 10

	// eventsPart is how many bytes of events are sent at once. Before each part it is checked
	// whether the caller may still have it, and a client has [stall] to take it.
	eventsPart = 8 << 10

	// endTime is how long a stream tries to say why it ends.
	endTime = 5 * time.Second
)

const mediaEvents = "text/event-stream"

// changesInput is which changes a client wants, and how long it waits for them.
type changesInput struct {
	since store.FeedPosition
	now   bool // from the end on, which since does not have
	limit int
	wait  time.Duration
	head  bool // it wants no body

	caller auth.Caller
}

func changesQuery() []string { return []string{"since", "limit", "wait"} }

func (in *changesInput) decode(r *request) (err error) {
	in.caller, in.head = r.caller(), r.Method == http.MethodHead
	if in.limit, err = r.limit(); err != nil {
		return err
	}
	if s, ok := r.query("wait"); ok {
		n, err := strconv.ParseUint(s, 10, 8)
		if in.wait = time.Duration(n) * time.Second; err != nil || in.wait > maxWait {
			return invalidParameter("The parameter \"wait\" is a number of seconds from 0 to %d.",
				maxWait/time.Second)
		}
	}
	s, ok := r.query("since")
	if in.now = !ok; in.now {
		return nil
	}
	if in.since, ok = wire.ParseCursor(s); !ok {
		return invalidParameter("The parameter \"since\" is a cursor of an earlier answer, " +
			"or 0 for the beginning.")
	}
	return nil
}

// resume takes Last-Event-ID, which a client sends that comes back to a stream.
func (in *changesInput) resume(h http.Header) (err error) {
	s := store.Trim(h.Get("Last-Event-ID"))
	if s == "" {
		return nil
	}
	ok := false
	if in.since, ok = wire.ParseCursor(s); !ok {
		return invalidParameter("The header Last-Event-ID is not the id of an event of this stream.")
	}
	in.now = false
	return nil
}

// changes answers with changes in JSON, or streams them as server-sent events.
func (s *Server) changes() gin.HandlerFunc {
	asJSON := serve(s, 200, s.listChanges)
	return func(c *gin.Context) {
		accept := slices.DeleteFunc(slices.Clone(c.Request.Header.Values("Accept")),
			func(v string) bool { return store.Trim(v) == "" })
		plain, events := acceptance(accept, mediaJSON), acceptance(accept, mediaEvents)
		switch {
		case len(accept) > 0 && plain == 0 && events == 0:
			s.fail(c, &requestError{errNotAcceptable,
				"This comes as application/json or text/event-stream; ask for one of them in Accept."})
		case events > plain:
			s.streamChanges(c)
		default:
			asJSON(c)
		}
	}
}

// changesView is a part of the feed.
type changesView struct {
	changes []sharedChange
	next    store.FeedPosition
	more    bool
}

func (v changesView) appendJSON(b []byte) ([]byte, error) {
	b = append(b, `{"changes":[`...)
	for i := range v.changes {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, v.changes[i].json...)
	}
	b = appendText(b, `],"cursor":`, wire.Cursor(v.next))
	return append(strconv.AppendBool(append(b, `,"more":`...), v.more), '}'), nil
}

// listChanges returns changes. It waits for some if the client says so and there are none.
func (s *Server) listChanges(ctx context.Context, in changesInput) (v changesView, err error) {
	if err := s.fromEnd(ctx, &in); err != nil {
		return v, err
	}
	if in.wait > 0 && !in.head {
		if v, err = s.waitForChanges(ctx, in); !errors.Is(err, errDraining) {
			return v, err
		}
		if err := s.mayListen(ctx, in.caller); err != nil {
			return v, err
		}
	}
	// Not from the ring, which may not have yet what the client has just written.
	v.changes, v.next, v.more, err = s.feed.read(ctx, in.since, in.limit, maxPage)
	return v, err
}

// waitForChanges returns changes once there are some, or none when the time is up.
func (s *Server) waitForChanges(ctx context.Context, in changesInput) (v changesView, err error) {
	if err := s.listeners.take(in.caller.SessionID, 1); err != nil {
		return v, err
	}
	defer s.listeners.leave(in.caller.SessionID, 1)
	ctx, stop := s.whileListening(ctx, in.caller)
	defer stop()
	l := s.feed.listen(in.since)
	defer l.close()
	until := time.Now().Add(in.wait)
	for {
		l.turn = min(turnWait, time.Until(until))
		got, err := l.next(ctx, in.limit, maxPage)
		if err != nil {
			return v, causeOf(ctx, err)
		}
		left := time.Until(until)
		switch {
		case len(got.changes) > 0 || left <= 0:
			return changesView{got.changes, l.at, got.more}, s.mayListen(ctx, in.caller)
		case got.more:
			continue // there was nothing in this part
		}
		if err := s.await(ctx, in.caller, got, left); err != nil {
			return v, err
		}
	}
}

// fromEnd replaces the absence of a cursor by the end of the feed.
func (s *Server) fromEnd(ctx context.Context, in *changesInput) (err error) {
	if in.now {
		in.since, err = s.feed.end(ctx)
	}
	return err
}

// causeOf returns why ctx has ended, and err if it has not.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// whileListening returns a context that ends with the session of a caller, and when the server is
// about to stop.
func (s *Server) whileListening(ctx context.Context, caller auth.Caller) (
	_ context.Context, stop func()) {
	ctx, unwatch := s.cfg.Auth.WhileSession(ctx, caller)
	ctx, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(s.drained, func() { cancel(errDraining) })
	return ctx, func() {
		unhook()
		cancel(nil)
		unwatch()
	}
}

// mayListen returns nil if a caller may be sent changes now. It is called before each part.
func (s *Server) mayListen(ctx context.Context, caller auth.Caller) error {
	if !s.cfg.Now().Before(caller.Expires) {
		return auth.ErrTokenExpired
	}
	return s.cfg.Auth.CheckSession(ctx, caller)
}

// await waits until a listener may find something, but no longer than d. It returns why it may not
// go on.
func (s *Server) await(ctx context.Context, caller auth.Caller, last found,
	d time.Duration) error {
	left := caller.Expires.Sub(s.cfg.Now())
	if left <= 0 {
		return auth.ErrTokenExpired
	}
	if d = min(d, left); last.again > 0 {
		d = min(d, last.again)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-last.changed:
	case <-timer.C:
	}
	return nil
}
