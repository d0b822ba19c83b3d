package auth

import (
	"context"
	"log/slog"
	"time"
)

// outageReminder is how often the log has the reason of an outage that lasts. The first reason is
// seldom the last: a connection breaks, and then the server is a standby.
const outageReminder = time.Minute

// outage logs the failures of work that is tried again and again: the first, then one a minute with
// the reason of that moment, and the end of them.
type outage struct {
	log         *slog.Logger
	level       slog.Level
	fails, well string // the messages

	since, told time.Time // zero while all is well
}

// note takes the result of a try.
func (o *outage) note(now time.Time, err error) {
	ctx := context.Background()
	switch {
	case err == nil && !o.since.IsZero():
		o.log.InfoContext(ctx, o.well, "after", now.Sub(o.since).Abs().Round(time.Millisecond).String())
		o.since = time.Time{}
	case err == nil:
	case o.since.IsZero():
		o.since, o.told = now, now
		o.log.Log(ctx, o.level, o.fails, "error", err)
	case now.Sub(o.told).Abs() >= outageReminder: // a clock may be set back
		o.told = now
		o.log.Log(ctx, o.level, o.fails, "error", err, "since", o.since)
	}
}
