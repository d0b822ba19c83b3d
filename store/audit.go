package store

import (
	"context"
	"slices"
	"time"
)

// Event is one thing that happened to the security of an account, or the same thing many times in a short
// while. It holds no secret, and no name that is no user's: people type their password there.
type Event struct {
	ID        int64 // from 1, never used twice, in the order in which they were kept
	Kind      EventKind
	UserID    int64 // whose account it is about, 0 when nobody's; the user may be gone by now
	ActorID   int64 // who did it, 0 when a stranger or the command line did
	IP        string
	UserAgent string
	RequestID string
	Detail    string // what else is to be said, a few words

	// Key makes one row of the events that have the same within one AuditWindow: the first, with a count.
	// "" stands alone. What strangers can cause at will needs one, so that they can not fill the table.
	Key string

	Count  int64     // how often it happened
	At     time.Time // when the first that was kept of them
	LastAt time.Time // when last: At, if it happened once
}

// Settled gives the event as it is kept at the instant now: see RecordEvents.
func (e Event) Settled(now time.Time) Event {
	if e.At.IsZero() {
		e.Count, e.At, e.LastAt = 1, now, now
	}
	e.At, e.LastAt = Instant(e.At), Instant(e.LastAt)
	return e
}

// EventKind says what happened. It is the event's name on the wire.
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
	EventPasswordForgotten EventKind = "password_forgotten" // a link to set another was asked for
	EventPasswordReset     EventKind = "password_reset"     // set by a link
	EventMFAOn             EventKind = "mfa_on"
	EventMFAOff            EventKind = "mfa_off"
	EventMFAFailed         EventKind = "mfa_failed"
	EventRecoveryUsed      EventKind = "recovery_used" // a recovery code in the place of a one-time password
)

// EventKinds are all kinds of events.
func EventKinds() []EventKind {
	return []EventKind{
		EventLogin, EventLoginFailed, EventLoginRefused, EventLogout, EventLogoutEverywhere, EventRefreshTheft,
		EventSignup, EventUserCreated, EventUserDeleted, EventUserDisabled, EventUserEnabled, EventRoleChanged,
		EventEmailRequested, EventEmailChanged, EventPasswordChanged, EventPasswordForgotten, EventPasswordReset,
		EventMFAOn, EventMFAOff, EventMFAFailed, EventRecoveryUsed,
	}
}

// Valid says whether k is one of the kinds.
func (k EventKind) Valid() bool { return slices.Contains(EventKinds(), k) }

const (
	// AuditWindow is the time within which events of one Key are one row. The windows of all keys begin at
	// the same instants.
	AuditWindow = 15 * time.Minute

	// AuditKept is how long an event is kept: long enough for an inquiry that begins late, and no longer,
	// since it says who was where.
	AuditKept = 365 * 24 * time.Hour
)

// EventFilter selects events; the zero EventFilter selects all.
type EventFilter struct {
	UserID int64     // about whom, 0 for anybody
	Kind   EventKind // "" for any
	Since  time.Time // LastAt is not before
}

// Audit keeps the trail of security events.
type Audit interface {
	// RecordEvents keeps events; what they say of ID is ignored. One whose At is zero happens once and now, whatever
	// it says of Count and LastAt. Events that tell of a change of a user go there with the change (EffectsFunc).
	RecordEvents(ctx context.Context, events ...Event) error

	// Events gives up to limit events of the filter with an ID below before, or from the newest on if that is
	// 0, by descending ID. It gives an empty slice when there are none. Of a row that stands for many events
	// what distinguishes the later ones is lost but LastAt.
	Events(ctx context.Context, filter EventFilter, before int64, limit int) ([]Event, error)

	// DeleteEvents removes up to limit events whose LastAt is before the given time. It says how many it
	// removed.
	DeleteEvents(ctx context.Context, before time.Time, limit int) (int, error)
}
