package auth

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"clientes/auth/throttle"
	"clientes/store"
)

// newEvent returns an event of the request of ctx. What a caller does is counted: whoever has a
// token can do most things again and again, and would fill the table.
func newEvent(ctx context.Context, kind store.EventKind, userID int64, detail string) store.Event {
	o := originOf(ctx)
	e := store.Event{
		Kind: kind, UserID: userID, ActorID: o.ActorID,
		IP: o.IP, UserAgent: o.UserAgent, RequestID: o.RequestID, Detail: detail,
	}
	if e.ActorID != 0 {
		e = counted(e)
	}
	return e
}

// networkRows is how many rows the same events have in one window, at most, whatever networks they
// come from. Somebody may have any number of networks, so they share these rows. With a single row
// only one network would ever be seen.
const networkRows = 16

// networkRow returns the row of the network of an address.
func networkRow(ip string) string {
	h := fnv.New32a()
	h.Write([]byte(throttle.NetworkOf(ip)))
	return strconv.FormatUint(uint64(h.Sum32()%networkRows), 10)
}

// counted makes an event and those like it one row a window: of the same user, actor and detail,
// and of a network in the same row.
func counted(e store.Event) store.Event {
	e.Key = fmt.Sprintf("%s of %d by %d from %s %s",
		e.Kind, e.UserID, e.ActorID, networkRow(e.IP), e.Detail)
	return e
}

// strangersEvent returns an event that strangers can cause at will. Events of one kind and user
// become one row a window. Those of no user become few rows, whatever the names and networks.
// Otherwise anybody could fill the table. Half logins of a user become few rows, too: whoever
// causes one knows the password, and those of its owner must not hide the network of a thief.
func strangersEvent(
	ctx context.Context, kind store.EventKind, userID int64, detail string,
) store.Event {
	e := newEvent(ctx, kind, userID, detail)
	e.Key = string(kind) + " of " + decimal(userID)
	switch {
	case userID == 0:
		e.Key = string(kind) + " of nobody " + networkRow(e.IP)
	case kind == store.EventMFAMissing, kind == store.EventMFAFailed:
		e.Key += " from " + networkRow(e.IP)
	}
	return e
}

const (
	// recordTimeout bounds the keeping of an event, which goes on when its request has ended:
	// nobody stays out of the audit by hanging up. The store's own timeout is shorter.
	recordTimeout = 10 * time.Second

	// flushEvery is how long an event of strangers waits to be kept. If the process is killed, the
	// events that wait are lost to the table but not to the log.
	flushEvery = time.Second / 4

	// flushTimeout bounds one try to keep the events that wait, because others wait for its end:
	// readers of the audit, and the end of the process.
	flushTimeout = time.Second

	// maxWaiting bounds how many rows wait if the store is away for long: some hundred bytes each.
	// Events beyond them are only in the log.
	maxWaiting = 10_000

	// flushBatch is how many events are kept at once, so that nobody waits long for the store.
	flushBatch = 100
)

// eventStore is what a recorder needs of a store. [store.Store] documents its methods.
type eventStore interface {
	clock
	RecordEvents(ctx context.Context, events ...store.Event) error
}

// recorder writes events to the log and keeps them in the store.
type recorder struct {
	store    eventStore
	log      *slog.Logger
	waiting  waitingEvents
	flushing chan struct{} // holds a value while somebody flushes
}

func newRecorder(s eventStore, log *slog.Logger) *recorder {
	return &recorder{store: s, log: log, flushing: make(chan struct{}, 1)}
}

// record logs an event that comes with no update of a user, and keeps it after those that wait, if
// they can be kept. The event has happened. So an error of the store goes to the log, and the
// client is not told that nothing happened.
func (r *recorder) record(ctx context.Context, e store.Event) {
	logEvents(r.log, []store.Event{e})
	_ = r.flush(ctx) // if it fails now, run tries again and logs the error
	ctx, cancel := context.WithTimeout(store.Insist(ctx), recordTimeout)
	defer cancel()
	if err := r.store.RecordEvents(ctx, e); err != nil {
		r.log.Error("an event could not be kept: it stands in the log alone",
			"event", string(e.Kind), "error", err)
	}
}

// recordStrangers logs a strangersEvent. It is kept a moment later, with others. So a flood does
// not make the store write for each attempt, and a refusal takes no longer for a user who exists.
func (r *recorder) recordStrangers(
	ctx context.Context, kind store.EventKind, userID int64, detail string,
) {
	e := strangersEvent(ctx, kind, userID, detail).Settled(r.store.Now())
	logEvents(r.log, []store.Event{e})
	r.waiting.add(e)
}

// run keeps the events that wait until ctx ends, and then the last of them.
func (r *recorder) run(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	out := Outage{
		Log: r.log, Level: slog.LevelWarn,
		Fails: "events cannot be kept; trying again every moment", Well: "events are kept again",
	}
	for last := false; !last; {
		select {
		case <-ctx.Done():
			last = true
		case <-tick.C:
		}
		err := r.flush(ctx)
		if err != nil && last {
			r.log.Error("the last events could not be kept: they stand in the log alone",
				"rows", len(r.waiting.take()), "error", err)
			return
		}
		out.Note(r.store.Now(), err)
	}
}

// flush keeps the events that wait. Only one call does so at a time, so when it returns, none is on
// its way. If it fails, the events wait on. They may be counted twice if it is not known whether
// they were kept.
func (r *recorder) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(
		store.Insist(ctx), flushTimeout, store.ErrUnavailable)
	defer cancel()
	select {
	case r.flushing <- struct{}{}:
		defer func() { <-r.flushing }()
	case <-ctx.Done():
		return fmt.Errorf("keep events: %w", context.Cause(ctx))
	}
	events := r.waiting.take() // none, mostly
	for len(events) > 0 {
		n := min(len(events), flushBatch)
		if err := r.store.RecordEvents(ctx, events[:n]...); err != nil {
			r.waiting.add(events...)
			return fmt.Errorf("keep events: %w", err)
		}
		events = events[n:]
	}
	return nil
}

// Transfer is an export or import of customers, as its event tells of it.
type Transfer struct {
	Format string // its media type
	Rows   int64  // that were read from the store, or kept in it
	Whole  bool   // it was not broken off
}

// RecordTransfer records that a caller has exported or imported customers. A caller can do that at
// will. So transfers of about the same number of rows share an event for [store.AuditWindow], and a
// large one cannot hide behind small ones.
func (a *Auth) RecordTransfer(ctx context.Context, kind store.EventKind, c Caller, t Transfer) {
	rows := decimal(t.Rows)
	detail, whole := t.Format+", "+rows+" rows", "whole"
	if !t.Whole {
		detail, whole = detail+", broken off", "broken off"
	}
	e := newEvent(ctx, kind, c.UserID, detail)
	e.Key = strings.Join([]string{
		string(kind), "of", decimal(c.UserID), t.Format, decimal(int64(len(rows))), "digits", whole,
	}, " ")
	a.audit.record(ctx, e)
}

// Events returns events as [store.Audit] does, including those that this process has still to keep.
// If these cannot be kept now, they are missing.
func (a *Auth) Events(
	ctx context.Context, filter store.EventFilter, before int64, limit int,
) ([]store.Event, error) {
	if err := a.audit.flush(ctx); err != nil {
		a.cfg.Log.Warn("the audit is read without the last events", "error", err)
	}
	return a.cfg.Store.Events(ctx, filter, before, limit)
}

// waitingEvents are events of strangers that are still to be kept: one row with a count for the
// events of one key and window. The zero value has none.
type waitingEvents struct {
	mu   sync.Mutex
	rows map[waitingRow]store.Event
}

type waitingRow struct {
	key    string
	window time.Time
}

func (w *waitingEvents) add(events ...store.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rows == nil {
		w.rows = make(map[waitingRow]store.Event)
	}
	for _, e := range events {
		row := waitingRow{e.Key, e.At.Truncate(store.AuditWindow)}
		was, ok := w.rows[row]
		switch {
		case ok:
			first := was
			if e.At.Before(was.At) { // a failed try to keep it has returned it
				first = e
			}
			first.Count = was.Count + e.Count
			first.LastAt = latest(was.LastAt, e.LastAt)
			w.rows[row] = first
		case len(w.rows) < maxWaiting:
			w.rows[row] = e
		}
	}
}

func (w *waitingEvents) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.rows)
}

// take removes and returns the events that wait, by key. Processes that count on the same rows thus
// do so in the same order, and cannot wait for each other.
func (w *waitingEvents) take() []store.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	events := slices.Collect(maps.Values(w.rows))
	w.rows = nil
	slices.SortFunc(events, func(x, y store.Event) int {
		return cmp.Or(cmp.Compare(x.Key, y.Key), x.At.Compare(y.At))
	})
	return events
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// logEvents writes one line for each event. Each of them has a line of its own, even where the
// table has one row for many.
func logEvents(log *slog.Logger, events []store.Event) {
	for _, e := range events {
		attrs := make([]slog.Attr, 0, 7)
		attrs = append(attrs, slog.String("event", string(e.Kind)))
		if e.UserID != 0 {
			attrs = append(attrs, slog.Int64("user_id", e.UserID))
		}
		if e.ActorID != 0 {
			attrs = append(attrs, slog.Int64("actor_id", e.ActorID))
		}
		if e.ClienteID != 0 {
			attrs = append(attrs, slog.Int64("cliente_id", e.ClienteID))
		}
		for _, text := range []struct{ name, value string }{
			{"ip", e.IP}, {"request_id", e.RequestID}, {"detail", e.Detail},
		} {
			if text.value != "" {
				attrs = append(attrs, slog.String(text.name, text.value))
			}
		}
		level := slog.LevelInfo
		if e.Kind == store.EventRefreshTheft {
			level = slog.LevelWarn
		}
		log.LogAttrs(context.Background(), level, "audit", attrs...)
	}
}
