package postgres

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clientes/store"
)

// dialPause is the pause before a dial is tried again.
const dialPause = 10 * time.Millisecond

// redial returns a dial that tries again while the server's queue of new connections is full, until
// ctx ends. A Unix socket reports a full queue at once, where TCP would wait.
func redial(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		for {
			conn, err := dial(ctx, network, address)
			if !errors.Is(err, syscall.EAGAIN) {
				return conn, err
			}
			select {
			case <-time.After(dialPause):
			case <-ctx.Done():
				return nil, err
			}
		}
	}
}

// lines are the connections of a store to the server, and when something was heard on any of them.
type lines struct {
	opened time.Time
	heard  atomic.Int64 // as in line

	// connectSilence bounds the time without an answer while a connection is opened. It is below
	// callTimeout: a connection that was opened while the server was silent may stay silent, and
	// holds a place in the pool that others need as soon as the server answers again.
	connectSilence time.Duration
}

// now returns the time since the lines were opened. It is monotonic.
func (ls *lines) now() time.Duration { return time.Since(ls.opened) }

// heardSince reports whether the server has said anything on any line since then.
func (ls *lines) heardSince(then time.Time) bool {
	return ls.heard.Load() >= int64(then.Sub(ls.opened))
}

// dial returns a dial whose connections are lines.
func (ls *lines) dial(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		dialing, cancel := context.WithTimeout(ctx, ls.connectSilence)
		defer cancel()
		conn, err := dial(dialing, network, address)
		if err != nil {
			return nil, err
		}
		l := &line{Conn: conn, all: ls}
		l.connecting.Store(true)
		l.call.Store(callOf(ctx))
		return l, nil
	}
}

// line is a connection on which the call that waits for an answer learns of each part of it. So the
// time of a call counts from the last sign of the server, whatever number of trips it takes.
type line struct {
	net.Conn
	all        *lines
	heard      atomic.Int64                // when something was last read, see lines.now
	call       atomic.Pointer[callContext] // waits for an answer, nil if none does
	connecting atomic.Bool
}

// lineOf returns the line of a connection of a pool.
func lineOf(conn *pgx.Conn) *line {
	c := conn.PgConn().Conn()
	if tls, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = tls.NetConn()
	}
	return c.(*line)
}

// Read implements [net.Conn].
func (l *line) Read(p []byte) (int, error) {
	if l.connecting.Load() {
		if err := l.SetReadDeadline(time.Now().Add(l.all.connectSilence)); err != nil {
			return 0, err
		}
	}
	n, err := l.Conn.Read(p)
	if n > 0 {
		now := int64(l.all.now())
		l.heard.Store(now)
		l.all.heard.Store(now)
		if c := l.call.Load(); c != nil {
			c.heard.Store(now)
		}
	}
	return n, err
}

// SetDeadline implements [net.Conn]. The only deadline that pgx sets ahead is that of a connection
// it closes. For 15 seconds it waits for what the server has still to say. The pool keeps the place
// of the connection for that long. If nothing was heard lately, there is nothing to wait for.
func (l *line) SetDeadline(t time.Time) error {
	now := time.Now()
	if limit := l.all.connectSilence; t.Sub(now) > limit {
		t = now.Add(limit)
		if !l.heardSince(l.all.now() - limit/2) {
			t = now
		}
	}
	return l.Conn.SetDeadline(t)
}

// connected ends the limit for a line that is being opened.
func (l *line) connected() error {
	l.call.Store(nil)
	l.connecting.Store(false)
	return l.SetReadDeadline(time.Time{})
}

// heardSince reports whether the server has said anything on the line since then.
func (l *line) heardSince(then time.Duration) bool { return l.heard.Load() >= int64(then) }

// callContext ends when its caller's context ends, when the server has said nothing for limit, and
// when end has come. For the last two the cause is [store.ErrUnavailable].
type callContext struct {
	context.Context
	cancel context.CancelCauseFunc
	lines  *lines
	begun  time.Duration // see lines.now
	end    time.Duration
	limit  atomic.Int64
	heard  atomic.Int64 // when the server last said something, or begun
	ping   ping
}

// ping is the last one in the acquire of a call.
type ping struct {
	line *line // nil if there was none
	sent time.Duration
}

// failed reports whether a ping was not answered.
func (p ping) failed() bool { return p.line != nil && !p.line.heardSince(p.sent) }

type callKey struct{}

// callOf returns the call that a context belongs to, nil if it belongs to none.
func callOf(ctx context.Context) *callContext {
	c, _ := ctx.Value(callKey{}).(*callContext)
	return c
}

// Value implements [context.Context].
func (c *callContext) Value(key any) any {
	if key == (callKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// newCall returns the context of a call, and what must be called when it is over. The server may be
// silent for limit, and the call ends after total in any case.
func newCall(ctx context.Context, ls *lines, limit, total time.Duration) (*callContext, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	now := ls.now()
	c := &callContext{Context: ctx, cancel: cancel, lines: ls, begun: now, end: now + total}
	c.limit.Store(int64(limit))
	c.heard.Store(int64(now))
	timer := time.AfterFunc(limit, c.check)
	return c, func() {
		timer.Stop()
		cancel(nil)
	}
}

// check ends the context if its time is up. Otherwise it looks again when that may be so, but after
// callTimeout at the latest: a timer of an hour would keep a finished call in memory for an hour.
func (c *callContext) check() {
	if c.Err() != nil {
		return
	}
	now := c.lines.now()
	left := min(c.end, time.Duration(c.heard.Load()+c.limit.Load())) - now
	if left <= 0 {
		c.cancel(store.ErrUnavailable)
		return
	}
	time.AfterFunc(min(left, callTimeout), c.check)
}

// timedOut reports whether the context ended because time was up, that of the call or that of the
// caller.
func (c *callContext) timedOut() bool {
	return errors.Is(context.Cause(c), store.ErrUnavailable) ||
		errors.Is(c.Err(), context.DeadlineExceeded)
}
