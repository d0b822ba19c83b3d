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

// Ended names a session that was ended while an access token of it may live.
type Ended struct {
	ID       string
	TokenExp time.Time
}

// Mark is a place in the order in which sessions were ended. The zero Mark is before all of them; others
// come from EndedSessions, mean nothing to another store, and are good as long as the connection to the
// engine was not lost: after an error start again from zero.
type Mark int64

// Sessions keeps the logins.
type Sessions interface {
	// CreateSession keeps a new session, provided that its user still exists, is enabled and has this
	// generation at the instant of writing; else ErrUserChanged. It excludes UpdateUser and DeleteUser of
	// the same user, so that a login which checked the password before and writes after they ended all
	// sessions yields nothing.
	CreateSession(ctx context.Context, s Session, generation int64) error

	// Session gives one session, ended or not, or ErrNotFound.
	Session(ctx context.Context, id string) (Session, error)

	// EndSession ends one session and gives it as it is then; one that has ended keeps its first end.
	// ErrNotFound if there is no such session.
	EndSession(ctx context.Context, id string) (Session, error)

	// EndedSessions gives every session whose end became visible since the mark and whose TokenExp is
	// after alive, in no order, perhaps some of them again; and the mark to ask with next time. An end
	// that was written before the mark was taken and committed after it is in the next answer.
	EndedSessions(ctx context.Context, since Mark, alive time.Time) ([]Ended, Mark, error)
}
