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
	"sync"
	"time"

	"clientes/store"
)

// Origin is where a request comes from, as the audit keeps it. The zero Origin is that of the command line.
type Origin struct {
	IP        string
	UserAgent string
	RequestID string
	ActorID   int64  // the verified caller, 0 if there is none
	Device    string // a mark in a cookie, see device.go; not looked at yet
}

type originKey struct{}

// WithOrigin gives a context whose events come from there. The origin travels in the context, for every function that
// may leave something in the audit would have to hand it on, and none decides anything by it but Login and those that
// ask for the password once more.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

func originOf(ctx context.Context) Origin {
	o, _ := ctx.Value(originKey{}).(Origin)
	return o
}

// newEvent is an event of the request of ctx.
func newEvent(ctx context.Context, kind store.EventKind, userID int64, detail string) store.Event {
	o := originOf(ctx)
	return store.Event{
		Kind: kind, UserID: userID, ActorID: o.ActorID,
		IP: o.IP, UserAgent: o.UserAgent, RequestID: o.RequestID, Detail: detail,
	}
}

// nobodysRows is how many rows there are at most in one window of what strangers have done under names that are no user's.
// Each address has one of them, so that some of the addresses can be seen: all would be as many as a stranger has.
const nobodysRows = 16

// strangersEvent is an event that strangers can cause at will. Those of one kind and user are one row a window; and those
// of no user are few rows, whatever the names and addresses: else whoever likes could fill the table.
func strangersEvent(ctx context.Context, kind store.EventKind, userID int64, detail string) store.Event {
	e := newEvent(ctx, kind, userID, detail)
	e.Key = string(kind) + " of " + strconv.FormatInt(userID, 10)
	if userID == 0 {
		h := fnv.New32a()
		h.Write([]byte(addressPrefix(e.IP)))
		e.Key = string(kind) + " of nobody " + strconv.FormatUint(uint64(h.Sum32()%nobodysRows), 10)
	}
	return e
}

// recordTimeout bounds the keeping of an event, which goes on when its request has ended: nobody stays out of the audit by
// hanging up. The store's own patience ends before it.
const recordTimeout = 10 * time.Second

// record writes the line of an event that comes with no change of a user, and keeps it, after those that wait if they can be
// kept. What it tells of has happened: that it can not be kept is for the log to say, and no reason to tell the client that
// it did not happen.
func (a *Auth) record(ctx context.Context, e store.Event) {
	logEvents(a.cfg.Log, []store.Event{e})
	_ = a.keepWaiting(ctx) // if they can not be kept now they come later, which keepEvents tells of
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := a.cfg.Store.RecordEvents(ctx, e); err != nil {
		a.cfg.Log.Error("an event could not be kept: it stands in the log alone", "event", string(e.Kind), "error", err)
	}
}

// recordStrangers writes the line of a strangersEvent. It is kept a moment later, with others, so that neither does a flood
// make the store write for each attempt, nor does a refusal take longer for a user who exists.
func (a *Auth) recordStrangers(ctx context.Context, kind store.EventKind, userID int64, detail string) {
	e := strangersEvent(ctx, kind, userID, detail).Settled(a.cfg.Now())
	logEvents(a.cfg.Log, []store.Event{e})
	a.waiting.add(e)
}

const (
	// keepEvery is how long an event of strangers waits to be kept. One that waits is lost to the table, and not to the
	// log, if the process is killed.
	keepEvery = time.Second / 4

	// keepTimeout bounds one try to keep those that wait, for others wait for its end: who reads the audit, and the end of
	// the process.
	keepTimeout = time.Second

	// maxWaiting bounds how many rows wait: some hundred bytes each, should the store be away for long. What comes beyond
	// them stands in the log alone.
	maxWaiting = 10_000

	// keepBatch is how many are kept at once, so that nobody waits long for the store.
	keepBatch = 100
)

// waitingEvents are the events of strangers that are to be kept, a row and a count for those of one key and window. The zero
// value has none.
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
			if e.At.Before(was.At) { // it comes back from a try to keep it
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

// take gives what waits, by key: processes that count on the same rows do so in the same order, and none waits for another
// that waits for it.
func (w *waitingEvents) take() []store.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	events := slices.Collect(maps.Values(w.rows))
	w.rows = nil
	slices.SortFunc(events, func(x, y store.Event) int { return cmp.Or(cmp.Compare(x.Key, y.Key), x.At.Compare(y.At)) })
	return events
}

// keepEvents keeps the events that wait until ctx ends, and then the last of them.
func (a *Auth) keepEvents(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	away := false // the store, at the last try
	for last := false; !last; {
		select {
		case <-ctx.Done():
			last = true
		case <-tick.C:
		}
		err := a.keepWaiting(ctx)
		switch {
		case err != nil && last:
			a.cfg.Log.Error("the last events could not be kept: they stand in the log alone", "rows", len(a.waiting.take()), "error", err)
		case err != nil && !away:
			a.cfg.Log.Warn("events can not be kept; trying again every moment", "error", err)
		case err == nil && away:
			a.cfg.Log.Info("events are kept again")
		}
		away = err != nil
	}
}

// keepWaiting keeps the events that wait, or lets them wait on. One at a time does so: when it returns, none is on its way. If
// it is not known whether they were kept they wait on, and may be counted twice.
func (a *Auth) keepWaiting(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), keepTimeout, store.ErrUnavailable)
	defer cancel()
	leave, err := a.turns.take(ctx, "events")
	if err != nil {
		return fmt.Errorf("keep events: %w", err)
	}
	defer leave()
	events := a.waiting.take() // none, mostly
	for len(events) > 0 {
		n := min(len(events), keepBatch)
		if err := a.cfg.Store.RecordEvents(ctx, events[:n]...); err != nil {
			a.waiting.add(events...)
			return fmt.Errorf("keep events: %w", err)
		}
		events = events[n:]
	}
	return nil
}

// Events gives the trail as store.Audit does, after what this process has still to keep; if that can not be kept now, without it.
func (a *Auth) Events(ctx context.Context, filter store.EventFilter, before int64, limit int) ([]store.Event, error) {
	if err := a.keepWaiting(ctx); err != nil {
		a.cfg.Log.Warn("the audit is read without the last events", "error", err)
	}
	return a.cfg.Store.Events(ctx, filter, before, limit)
}

// logEvents writes the line of each event. What a stranger caused stands alone in the log: only the table
// has one row for many.
func logEvents(log *slog.Logger, events []store.Event) {
	for _, e := range events {
		attrs := make([]slog.Attr, 0, 6)
		attrs = append(attrs, slog.String("event", string(e.Kind)))
		if e.UserID != 0 {
			attrs = append(attrs, slog.Int64("user_id", e.UserID))
		}
		if e.ActorID != 0 {
			attrs = append(attrs, slog.Int64("actor_id", e.ActorID))
		}
		for _, text := range []struct{ name, value string }{{"ip", e.IP}, {"request_id", e.RequestID}, {"detail", e.Detail}} {
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
