package store

import (
	"context"
	"slices"
	"time"
)

// Event is one thing that happened to the security of an account, or the same thing many times
// within an [AuditWindow]. It holds no secret, and no name that belongs to no user: people type
// their password there.
type Event struct {
	ID        int64 // from 1, never used twice, in the order in which they were kept
	Kind      EventKind
	UserID    int64 // whose account it is about, 0 if nobody's; the user may be gone
	ActorID   int64 // who did it, 0 for a stranger or the command line
	ClienteID int64 // which customer it is about, 0 if none; the record may be gone
	IP        string
	UserAgent string
	RequestID string
	Detail    string // further details, a few words

	// Key merges events: those with one Key within one AuditWindow are one row, the first of them
	// with a count. An event without a Key has its own row. Events that strangers can cause at will
	// need a Key, or they could fill the table.
	Key string

	Count  int64     // how often it happened
	At     time.Time // when the first of them happened
	LastAt time.Time // when the last of them happened
}

// Settled returns the event as it is kept at the instant now: see [Audit.RecordEvents].
func (e Event) Settled(now time.Time) Event {
	if e.At.IsZero() {
		e.Count, e.At, e.LastAt = 1, now, now
	}
	e.At, e.LastAt = Instant(e.At), Instant(e.LastAt)
	return e
}

// EventKind is what happened. It is the event's name on the wire.
type EventKind string

// The kinds of events.
const (
	EventLogin             EventKind = "login"
	EventLoginFailed       EventKind = "login_failed"  // wrong user or password, or disabled
	EventLoginRefused      EventKind = "login_refused" // too many attempts
	EventLogout            EventKind = "logout"
	EventLogoutEverywhere  EventKind = "logout_everywhere" // all sessions of the user were ended
	EventRefreshTheft      EventKind = "refresh_theft"     // a used refresh token came again
	EventSignup            EventKind = "signup"
	EventUserCreated       EventKind = "user_created"
	EventUserDeleted       EventKind = "user_deleted"
	EventUserDisabled      EventKind = "user_disabled"
	EventUserEnabled       EventKind = "user_enabled"
	EventRoleChanged       EventKind = "role_changed"
	EventEmailRequested    EventKind = "email_requested" // a new one waits to be confirmed
	EventEmailChanged      EventKind = "email_changed"
	EventPasswordChanged   EventKind = "password_changed"
	EventPasswordForgotten EventKind = "password_forgotten" // somebody requested a link to reset it
	EventPasswordReset     EventKind = "password_reset"     // set by a link
	EventMFAOn             EventKind = "mfa_on"
	EventMFAOff            EventKind = "mfa_off"
	EventMFATakenAway      EventKind = "mfa_taken_away"    // an admin or a command took it away
	EventMFAMissing        EventKind = "mfa_missing"       // a right password without a code
	EventMFAFailed         EventKind = "mfa_failed"        // a right password with a wrong code
	EventRecoveryUsed      EventKind = "recovery_used"     // a code for a lost second factor
	EventRecoveryRenewed   EventKind = "recovery_renewed"  // ten new recovery codes
	EventDevicesCancelled  EventKind = "devices_cancelled" // all device tokens were cancelled
	EventKeyCreated        EventKind = "key_created"
	EventKeyEnded          EventKind = "key_ended" // other than with all sessions of the user
	EventExport            EventKind = "export"
	EventImport            EventKind = "import"
	EventClienteErased     EventKind = "cliente_erased"
	EventClienteDisclosed  EventKind = "cliente_disclosed" // somebody read all that is kept of it
	EventUserErased        EventKind = "user_erased"
	EventAllEnded          EventKind = "all_ended" // see Restoring
)

// EventKinds returns all kinds of events.
func EventKinds() []EventKind {
	return []EventKind{
		EventLogin, EventLoginFailed, EventLoginRefused,
		EventLogout, EventLogoutEverywhere, EventRefreshTheft,
		EventSignup, EventUserCreated, EventUserDeleted, EventUserDisabled, EventUserEnabled,
		EventRoleChanged, EventEmailRequested, EventEmailChanged,
		EventPasswordChanged, EventPasswordForgotten, EventPasswordReset,
		EventMFAOn, EventMFAOff, EventMFATakenAway, EventMFAMissing, EventMFAFailed,
		EventRecoveryUsed, EventRecoveryRenewed, EventDevicesCancelled,
		EventKeyCreated, EventKeyEnded, EventExport, EventImport,
		EventClienteErased, EventClienteDisclosed, EventUserErased, EventAllEnded,
	}
}

// Valid reports whether k is one of [EventKinds].
func (k EventKind) Valid() bool { return slices.Contains(EventKinds(), k) }

const (
	// AuditWindow is the time within which events of one Key are one row. The windows of all keys
	// begin at the same instants.
	AuditWindow = 15 * time.Minute

	// AuditKept is how long an event is kept unless something else is set: long enough for an
	// inquiry that begins late, and no longer, because it tells who was where.
	AuditKept = 365 * 24 * time.Hour
)

// EventFilter selects events. The zero EventFilter selects all.
type EventFilter struct {
	UserID    int64     // about whom, 0 for anybody
	ClienteID int64     // about which customer, 0 for any or none
	Kind      EventKind // "" for any
	Since     time.Time // LastAt is not before
}

// Audit keeps the trail of security events.
type Audit interface {
	// RecordEvents keeps events and ignores their IDs. An event whose At is zero happened once,
	// now, whatever its Count and LastAt are. Events about a change of a user are kept with the
	// change: see [EffectsFunc].
	RecordEvents(ctx context.Context, events ...Event) error

	// Events returns up to limit events of the filter, by descending ID. It begins below the ID
	// before, or at the newest if before is 0. If there are none, the slice is empty, not nil. A
	// row that stands for many events has the details of the first and the LastAt of the last.
	Events(ctx context.Context, filter EventFilter, before int64, limit int) ([]Event, error)

	// DeleteEvents removes up to limit events whose LastAt is before the given time, and returns
	// how many it removed.
	DeleteEvents(ctx context.Context, before time.Time, limit int) (int, error)
}
