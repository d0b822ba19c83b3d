package store

import (
	"context"
	"time"
)

// Session is all that is remembered of one login. There are no rows for tokens: an access token
// names its session, and Counter and Parent say which refresh tokens are valid.
type Session struct {
	ID         string // 128 random bits in base64url
	UserID     int64
	Counter    int64 // the newest refresh token's number
	Parent     int64 // the number of the refresh token that the newest was made from
	RotatedAt  time.Time
	CreatedAt  time.Time
	LastUsedAt time.Time
	ExpiresAt  time.Time // the session's end if it is not used again
	TokenExp   time.Time // the latest exp of the access tokens minted for it
	EndedAt    time.Time // the zero time while it lives
	IP         string
	UserAgent  string

	// AMR is by what the login was made, and what was proven since: values of the claim amr
	// (RFC 8176) with spaces between them. It is "" if a program opened the session that did not
	// know the field.
	AMR string

	// Remembered means that the session may stay unused for longer than others. It is false if a
	// program opened the session that did not know the field.
	Remembered bool

	Key Key // of the program whose session it is
}

// MaxSessions is how many sessions one user may have at once.
const MaxSessions = 100

// Lives reports whether the session is neither ended nor expired at now.
func (s Session) Lives(now time.Time) bool {
	return s.EndedAt.IsZero() && now.Before(s.ExpiresAt)
}

// Apply returns what a store keeps when n replaces s: the fields that UpdateSession protects stay.
func (s Session) Apply(n Session) Session {
	n.ID, n.UserID, n.CreatedAt, n.IP, n.UserAgent = s.ID, s.UserID, s.CreatedAt, s.IP, s.UserAgent
	n.Remembered, n.Key = s.Remembered, s.Key
	for _, t := range []*time.Time{&n.RotatedAt, &n.LastUsedAt, &n.ExpiresAt, &n.TokenExp} {
		*t = Instant(*t)
	}
	switch {
	case !s.EndedAt.IsZero():
		n.EndedAt = s.EndedAt
	case !n.EndedAt.IsZero():
		n.EndedAt = Instant(n.EndedAt)
	}
	return n
}

// Ended names a session that was ended. No access token of it is valid after TokenExp.
type Ended struct {
	ID       string
	TokenExp time.Time
}

// Watermark is a position in the order in which the ends of sessions became visible. Others than
// the empty one come from [Sessions.SessionEnds], and mean nothing to another database.
type Watermark string

// Ends is the answer of [Sessions.SessionEnds].
type Ends struct {
	Since []Ended                 // the ends since the watermark, in no order
	Next  Watermark               // where the next question goes on
	Asked map[string]SessionState // of each session asked about that the database knows
}

// SessionState is what matters of a session to the bearer of its access token.
type SessionState struct {
	Ended    bool
	TokenExp time.Time
}

// Sessions keeps the logins.
type Sessions interface {
	// OpenSession keeps a new session and all else of its login, in one atomic step, if its user
	// still exists, is enabled and has this generation at the instant of writing. Otherwise it
	// returns [ErrUserChanged] and keeps nothing. It excludes UpdateUser, EndSessions, DeleteUser
	// and other logins of the same user. So a login that checked the password before they ended all
	// sessions, and writes after, opens none. Of logins at once from a new network, one is told
	// that it is new. If more than [MaxSessions] would be open, those least recently used end.
	OpenSession(ctx context.Context, l Login) (Opened, error)

	// Session returns one session, ended or not, or [ErrNotFound].
	Session(ctx context.Context, id string) (Session, error)

	// UserSessions returns the logins of a user that live at now, the most recently used first. If
	// there are none, the slice is empty, not nil.
	UserSessions(ctx context.Context, userID int64, now time.Time) ([]Session, error)

	// UpdateSession calls update with the session, ended or not, and keeps what update returns, as
	// one atomic step. ID, UserID, CreatedAt, IP, UserAgent, Remembered and Key stay, whatever
	// update returns.
	// Setting EndedAt ends the session; an EndedAt that was set stays.
	//
	// It also returns the session's user as of that step, or the zero User if there is none any
	// more. A change that ends a user's sessions is either before the step, and then the session
	// has ended, or after it.
	//
	// An error of update is returned unwrapped, and nothing is written. The store may call update
	// again. It returns ErrNotFound for an unknown id.
	UpdateSession(ctx context.Context, id string,
		update func(Session) (Session, error)) (Session, User, error)

	// EndSession ends one session and returns it as it is then. A session that has ended keeps its
	// first end. It returns ErrNotFound for an unknown id.
	EndSession(ctx context.Context, id string) (Session, error)

	// EndSessions ends all logins of a user, raises the user's Generation in the same step, and
	// returns the sessions that it ended. It returns ErrNotFound for an unknown user.
	EndSessions(ctx context.Context, userID int64) ([]Ended, error)

	// DeleteSessions removes up to limit sessions that nothing can need: those whose ExpiresAt and
	// TokenExp are both before the given time. It returns how many it removed.
	DeleteSessions(ctx context.Context, before time.Time, limit int) (int, error)

	// ForgetOrigins removes IP and UserAgent of up to limit sessions that ended before the given
	// time: nothing shows them any more. It returns of how many.
	ForgetOrigins(ctx context.Context, before time.Time, limit int) (int, error)

	// SessionEnds returns every session whose end became visible since a Watermark, whatever its
	// times. An end that was written before a Watermark was taken, and became visible after it, is
	// in the next answer. With the empty Watermark there are no such sessions, only a Watermark to
	// go on from.
	//
	// It also returns whether each of the sessions in ids has ended. That is not older than the
	// Watermark, so later answers have every end that it misses. A session that is not in Asked is
	// unknown: it never existed, or its row was removed or lost.
	//
	// It returns [ErrUnavailable] if the Watermark is not one of this database or of a later state
	// of it, for example because another server has taken over. Then nothing that earlier answers
	// said holds, and the caller starts again from the empty Watermark.
	SessionEnds(ctx context.Context, since Watermark, ids []string) (Ends, error)
}
