package api

import (
	"context"
	"errors"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"clientes/api/wire"
	"clientes/auth"
	"clientes/store"
)

// streamChanges sends changes as server-sent events until the session, the token, the server or the
// client ends.
func (s *Server) streamChanges(c *gin.Context) {
	var in changesInput
	if err := errors.Join(in.decode(s.request(c)), in.resume(c.Request.Header)); err != nil {
		s.fail(c, err)
		return
	}
	if s.draining.Load() {
		s.fail(c, errDraining)
		return
	}
	if err := s.listeners.take(in.caller.SessionID, 1); err != nil {
		s.fail(c, err)
		return
	}
	defer s.listeners.leave(in.caller.SessionID, 1)
	ctx, stop := s.whileListening(c.Request.Context(), in.caller)
	defer stop()
	// The first look comes before the head, so that the refusal of a cursor has a status.
	err := s.fromEnd(ctx, &in)
	if err != nil {
		s.fail(c, causeOf(ctx, err))
		return
	}
	l := s.feed.listen(in.since)
	defer l.close()
	got, err := l.next(ctx, batchLimit, batchSize)
	if err != nil {
		s.fail(c, causeOf(ctx, err))
		return
	}
	if in.head {
		beginEvents(c.Writer)
		return
	}
	to := &eventWriter{
		ctx: ctx, to: c.Writer, connection: http.NewResponseController(c.Writer), now: s.cfg.Now,
	}
	defer context.AfterFunc(ctx, to.interrupt)()
	beginEvents(c.Writer)
	stream := eventStream{
		server: s, ctx: ctx, caller: in.caller, listener: l, to: to, told: in.since,
	}
	err = stream.run(got)
	switch {
	case to.slow && s.metrics != nil:
		s.metrics.dropped.Inc()
	case isEnd(err):
		x := exchangeOf(c)
		x.refuse(err)
		if errors.Is(err, errDraining) {
			x.code = "draining" // a stream that had begun was not refused
		}
		to.end([]byte("event: end\ndata: {\"code\":\"" + x.code + "\"}\n\n"))
	}
}

// beginEvents sends the head of a stream of events. nginx must not hold them back.
func beginEvents(w gin.ResponseWriter) {
	w.Header().Set("Content-Type", mediaEvents)
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
}

// isEnd reports whether an error ends a stream in a way that the client is told.
func isEnd(err error) bool {
	for _, end := range []error{
		auth.ErrTokenExpired, auth.ErrTokenRevoked, errDraining, store.ErrUnknownPosition,
	} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// eventStream is one stream of events under way.
type eventStream struct {
	server   *Server
	ctx      context.Context
	caller   auth.Caller
	listener *listener
	to       *eventWriter
	spoke    time.Time          // when something was last sent
	told     store.FeedPosition // what the client comes back with
}

// run sends events until it cannot or may not go on, and returns why. It begins with what was found
// first.
func (e *eventStream) run(got found) error {
	// The id lets a client come back that has seen no event. The comment shows at once that the
	// stream works, also to whoever looks at it through a proxy.
	id := wire.Cursor(e.told)
	err := e.write([]byte("retry: 1000\nid: " + id + "\n\n: changes follow\n\n"))
	if err != nil {
		return err
	}
	for {
		if err := e.send(got.changes); err != nil {
			return err
		}
		if e.told != e.listener.at { // there was nothing on the way, and nobody need look again
			e.told = e.listener.at
			if err := e.write([]byte("id: " + wire.Cursor(e.told) + "\n\n")); err != nil {
				return err
			}
		}
		pause := e.server.commentEvery
		if got.more {
			pause = 0
		}
		if err := e.await(got, pause); err != nil {
			return err
		}
		err := e.insist(func() (err error) {
			got, err = e.listener.next(e.ctx, batchLimit, batchSize)
			return err
		})
		if err != nil {
			return err
		}
	}
}

// insist calls f again and again while only the store is at fault.
func (e *eventStream) insist(f func() error) error {
	for {
		err := f()
		if err == nil || e.ctx.Err() != nil || isEnd(err) {
			return causeOf(e.ctx, err)
		}
		if err := e.await(found{}, failurePause); err != nil {
			return err
		}
	}
}

// await waits until there may be more, for d at most. It sends a comment when one is due.
func (e *eventStream) await(last found, d time.Duration) error {
	quiet := time.Until(e.spoke.Add(e.server.commentEvery))
	if err := e.server.await(e.ctx, e.caller, last, min(d, quiet)); err != nil {
		return err
	}
	if time.Since(e.spoke) < e.server.commentEvery {
		return nil
	}
	return e.write([]byte(":\n\n"))
}

// send sends changes as events.
func (e *eventStream) send(changes []sharedChange) error {
	if len(changes) == 0 {
		return nil
	}
	buf := buffers.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= maxBuffer {
			buffers.Put(buf)
		}
	}()
	part := (*buf)[:0]
	for i := range changes {
		c := &changes[i]
		part = append(append(part, "id: "...), c.cursor...)
		part = append(append(part, "\nevent: change\ndata: "...), c.json...)
		part = append(part, "\n\n"...)
		if len(part) < eventsPart && i+1 < len(changes) {
			continue
		}
		err := e.insist(func() error { return e.server.mayListen(e.ctx, e.caller) })
		if err == nil {
			err = e.write(part)
		}
		if err != nil {
			return err
		}
		*buf, part = part, part[:0]
	}
	e.told = changes[len(changes)-1].position
	return nil
}

func (e *eventStream) write(b []byte) error {
	e.spoke = time.Now()
	return e.to.write(b)
}

// eventWriter writes to the client of a stream. One that takes nothing for [stall] is given up. It
// can come back where it was.
type eventWriter struct {
	ctx        context.Context // of the stream
	to         http.ResponseWriter
	connection *http.ResponseController
	now        func() time.Time
	slow       bool // the client has not taken in time what was sent

	mu            sync.Mutex
	writing, over bool
}

func (w *eventWriter) write(b []byte) error {
	w.mu.Lock()
	if w.over || w.ctx.Err() != nil {
		w.mu.Unlock()
		return context.Cause(w.ctx)
	}
	w.writing = true
	err := w.connection.SetWriteDeadline(w.now().Add(stall))
	w.mu.Unlock()
	if err == nil {
		_, err = w.to.Write(b)
	}
	if err == nil {
		err = w.connection.Flush()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writing = false
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if cause := context.Cause(w.ctx); isEnd(cause) {
			return cause // interrupt has cut it
		}
		w.slow = true
	}
	return err
}

// interrupt cuts what is being written when ctx ends. A client that reads slowly must get no more
// of it, and must not delay the end of the server.
func (w *eventWriter) interrupt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	if w.writing && isEnd(context.Cause(w.ctx)) { // else the client has hung up
		_ = w.connection.SetWriteDeadline(time.Unix(1, 0))
	}
}

// end writes the last event, as far as the client takes it.
func (w *eventWriter) end(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	_ = w.connection.SetWriteDeadline(w.now().Add(endTime))
	_, _ = w.to.Write(b)
	_ = w.connection.Flush()
}
