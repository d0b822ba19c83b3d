package auth

import (
	"context"
	"log/slog"
	"time"
)

// outageReminder is how often the log has the reason of an outage that lasts. The first reason is
// seldom the last: a connection breaks, and then the server is a standby.
const outageReminder = time.Minute

// Outage logs the failures of work that is tried again and again: the first, then one a minute with
// the reason of that moment, and the end of them.
type Outage struct {
	Log         *slog.Logger
	Level       slog.Level
	Fails, Well string // the messages

	since, told time.Time // zero while all is well
}

// Note takes the result of a try.
func (o *Outage) Note(now time.Time, err error) {
	ctx := context.Background()
	switch {
	case err == nil && !o.since.IsZero():
		after := now.Sub(o.since).Abs().Round(time.Millisecond)
		o.Log.InfoContext(ctx, o.Well, "after", after.String())
		o.since = time.Time{}
	case err == nil:
	case o.since.IsZero():
		o.since, o.told = now, now
		o.Log.Log(ctx, o.Level, o.Fails, "error", err)
	case now.Sub(o.told).Abs() >= outageReminder: // a clock may be set back
		o.told = now
		o.Log.Log(ctx, o.Level, o.Fails, "error", err, "since", o.since)
	}
}
