package store

import (
	"context"
	"time"
)

// Session is all that is remembered of one login. There is no row for a token: access tokens name their
// session, and Counter and Parent say which refresh tokens are good.
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
}

// MaxSessions is how many sessions of one user live at once.
const MaxSessions = 100

// Lives says whether the session is neither ended nor expired at now.
func (s Session) Lives(now time.Time) bool {
	return s.EndedAt.IsZero() && now.Before(s.ExpiresAt)
}

// Apply gives what a store keeps of n in the place of s: what UpdateSession says that stays, stays.
func (s Session) Apply(n Session) Session {
	n.ID, n.UserID, n.CreatedAt, n.IP, n.UserAgent = s.ID, s.UserID, s.CreatedAt, s.IP, s.UserAgent
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

// Ended names a session that was ended while an access token of it may live.
type Ended struct {
	ID       string
	TokenExp time.Time
}

// Watermark is a place in the order in which sessions were ended. The zero Watermark is before all of them; others
// come from EndedSessions, mean nothing to another store, and are good as long as the connection to the
// engine was not lost: after an error start again from zero.
type Watermark int64

// Sessions keeps the logins.
type Sessions interface {
	// CreateSession keeps a new session, provided that its user still exists, is enabled and has this
	// generation at the instant of writing; else ErrUserChanged. It excludes UpdateUser, EndSessions and
	// DeleteUser of the same user, so that a login which checked the password before and writes after they
	// ended all sessions yields nothing. Of more than MaxSessions that live it ends those least recently
	// used, and gives them.
	CreateSession(ctx context.Context, s Session, generation int64) ([]Ended, error)

	// Session gives one session, ended or not, or ErrNotFound.
	Session(ctx context.Context, id string) (Session, error)

	// UserSessions gives the sessions of a user that live at now, the most recently used first. It gives an
	// empty slice when there are none.
	UserSessions(ctx context.Context, userID int64, now time.Time) ([]Session, error)

	// UpdateSession hands the session, ended or not, to change and keeps what it gives back, as one atomic
	// step; ID, UserID, CreatedAt, IP and UserAgent stay whatever change made of them. An EndedAt where there
	// was none ends it; one that was there stays. An error of change is given back unwrapped and nothing is
	// written; the store may call change again. ErrNotFound if there is no such session.
	UpdateSession(ctx context.Context, id string, change func(Session) (Session, error)) (Session, error)

	// EndSession ends one session and gives it as it is then; one that has ended keeps its first end.
	// ErrNotFound if there is no such session.
	EndSession(ctx context.Context, id string) (Session, error)

	// EndSessions ends all sessions of a user, raises the user's Generation in the same step, and gives those
	// that it ended. ErrNotFound if there is no such user.
	EndSessions(ctx context.Context, userID int64) ([]Ended, error)

	// DeleteSessions removes up to limit rows of sessions that nothing can need: ExpiresAt and TokenExp of each
	// are before the given time. It says how many it removed.
	DeleteSessions(ctx context.Context, before time.Time, limit int) (int, error)

	// EndedSessions gives every session whose end became visible since the mark and whose TokenExp is
	// after alive, in no order, perhaps some of them again; and the mark to ask with next time. An end
	// that was written before the mark was taken and committed after it is in the next answer.
	EndedSessions(ctx context.Context, since Watermark, alive time.Time) ([]Ended, Watermark, error)
}
