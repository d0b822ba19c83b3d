package auth

import (
	"cmp"
	"context"
	"hash/fnv"
	"log/slog"
	"net/netip"
	"strconv"
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
// hanging up.
const recordTimeout = 5 * time.Second

// record keeps events that come with no change of a user, and writes the line of each. What they tell of has happened:
// that an event can not be kept is for the log to say, and no reason to tell the client that it did not happen.
func (a *Auth) record(ctx context.Context, events ...store.Event) {
	logEvents(a.cfg.Log, events)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	keep := func() error {
		// Those that are counted on one row take turns: a flood of them would else hold every connection to the store.
		if key := events[0].Key; key != "" {
			leave, err := a.turns.take(ctx, "event "+key)
			if err != nil {
				return err
			}
			defer leave()
		}
		return a.cfg.Store.RecordEvents(ctx, events...)
	}
	if err := keep(); err != nil {
		a.cfg.Log.Error("an event could not be kept: it stands in the log alone", "event", string(events[0].Kind), "error", err)
	}
}

// logEvents writes the line of each event that was kept. What a stranger caused stands alone in the log: only the table
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

// changeNotes are the events of a change of a user: tell goes with the change, and log writes the lines once it was
// kept. Which they are is plain from the user before and after, but for what a new password and a new account came
// from, and what a reset is.
type changeNotes struct {
	ctx context.Context

	// created and password are what a new account and another password are noted as: EventUserCreated and
	// EventPasswordChanged if they are "".
	created, password store.EventKind

	events []store.Event // of the last call of tell
}

func noteChange(ctx context.Context) *changeNotes { return &changeNotes{ctx: ctx} }

// tell is a store.Tell.
func (n *changeNotes) tell(old, now store.User) store.Trail {
	n.events = nil
	add := func(kind store.EventKind, detail string) {
		n.events = append(n.events, newEvent(n.ctx, kind, now.ID, detail))
	}
	if old.ID == 0 {
		add(cmp.Or(n.created, store.EventUserCreated), string(now.Role))
		return store.Trail{Events: n.events}
	}
	if old.Role != now.Role {
		add(store.EventRoleChanged, string(old.Role)+" to "+string(now.Role))
	}
	if old.PasswordHash != now.PasswordHash {
		add(cmp.Or(n.password, store.EventPasswordChanged), "")
	}
	if old.Email != now.Email {
		add(store.EventEmailChanged, "")
	}
	if old.PendingEmail != now.PendingEmail && now.PendingEmail != "" {
		add(store.EventEmailRequested, "")
	}
	switch {
	case !old.Disabled && now.Disabled:
		add(store.EventUserDisabled, "")
	case old.Disabled && !now.Disabled:
		add(store.EventUserEnabled, "")
	}
	switch {
	case !old.MFA.On && now.MFA.On:
		add(store.EventMFAOn, "")
	case old.MFA.On && !now.MFA.On:
		add(store.EventMFAOff, "")
	case len(recoveryHashes(now.MFA)) < len(recoveryHashes(old.MFA)):
		add(store.EventRecoveryUsed, strconv.Itoa(len(recoveryHashes(now.MFA)))+" left")
	}
	return store.Trail{Events: n.events}
}

// log writes the lines of a change that was kept.
func (n *changeNotes) log(log *slog.Logger) { logEvents(log, n.events) }

// addressPrefix is what of an address is taken for one sender: all of IPv4, and of IPv6 the /64 that one subscriber has.
// It is "" if there is no address, as behind a Unix socket.
func addressPrefix(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	addr = addr.Unmap()
	if addr.Is4() {
		return addr.String()
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return ""
	}
	return prefix.String()
}
