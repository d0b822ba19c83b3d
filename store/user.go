package store

import (
	"context"
	"time"
)

// User is one account that can log in.
type User struct {
	ID           int64  // from 1, never used twice
	Name         string // unique without regard to case
	Email        string // confirmed; "" when there is none, else unique without regard to case
	PendingEmail string // "" when there is none; not unique, and good for nothing until it is confirmed
	Role         Role
	Disabled     bool
	PasswordHash string // in PHC or modular crypt form; the store does not look inside. "" matches no password
	MFA          MFA

	// Each counts how often everything of its kind was cancelled at once.
	Generation       int64 // sessions
	LinkGeneration   int64 // links in mail
	DeviceGeneration int64 // marks of devices

	CreatedAt time.Time
	UpdatedAt time.Time
}

// MFA is the second factor of a user: one-time passwords by time (RFC 6238), and recovery codes. The zero
// MFA is none.
type MFA struct {
	Secret   string // sealed by package auth; the store does not look inside. "" when there is none
	On       bool   // whether a first code has shown that the user's device has the secret, too
	LastStep int64  // the time step of the last code that was taken: it and earlier ones are used up
	Recovery string // the hashes of the recovery codes that are left; the store does not look inside
}

// Role says what a user may do; each includes the one before it.
type Role string

// The roles, from the least to the most powerful.
const (
	Viewer Role = "viewer" // reads customers
	Editor Role = "editor" // also writes them
	Admin  Role = "admin"  // also manages users
)

// Roles are all roles, from the least to the most powerful.
func Roles() []Role { return []Role{Viewer, Editor, Admin} }

// Valid says whether r is one of the three roles.
func (r Role) Valid() bool { return r.rank() > 0 }

// Allows says whether a user of role r may do what asks for role need.
func (r Role) Allows(need Role) bool { return r.Valid() && need.Valid() && r.rank() >= need.rank() }

func (r Role) rank() int {
	switch r {
	case Viewer:
		return 1
	case Editor:
		return 2
	case Admin:
		return 3
	}
	return 0
}

// MaxUserName is the longest user name, in characters.
const MaxUserName = 64

// Users keeps the accounts.
type Users interface {
	// CreateUser keeps a new account and gives it back with the ID, generations, CreatedAt and UpdatedAt
	// that it got. What tell says of the change from the zero User to it is kept in the same step. A name or
	// email that another user has is a *ConflictError on "user" or "email".
	CreateUser(ctx context.Context, u User, effects ...EffectsFunc) (User, error)

	// User gives one account, or ErrNotFound.
	User(ctx context.Context, id int64) (User, error)

	// UserByName gives the account of that name, without regard to case, or ErrNotFound.
	UserByName(ctx context.Context, name string) (User, error)

	// UserByEmail gives the account of that confirmed email, without regard to case, or ErrNotFound. It does
	// not look at pending ones, and "" is nobody's.
	UserByEmail(ctx context.Context, email string) (User, error)

	// Users gives up to limit accounts with an ID above after, by ascending ID. It gives an empty slice
	// when there are none.
	Users(ctx context.Context, after int64, limit int) ([]User, error)

	// UpdateUser hands the account to change and keeps what User.Apply makes of what it gives back, as one
	// atomic step. If Generation rises in it, all of the user's sessions end in the same step, and it gives those
	// that it ended. What tell says of the change is kept in that step too, also where nothing of the account is altered, of which nothing
	// is written then. An error of change is given back unwrapped and nothing is kept; the store may call
	// change and tell again. ErrNotFound, *ConflictError on "email", or ErrLastAdmin refuse it.
	//
	// So a pending email is confirmed by a change that moves it to Email if it still is the one in question,
	// and a one-time code is used by a change that raises MFA.LastStep, or refuses if it is that high already.
	UpdateUser(ctx context.Context, id int64, change func(User) (User, error), effects ...EffectsFunc) (User, []Ended, error)

	// ReplacePasswordHash puts another hash of the same password in the place of old: no session ends. If
	// the user is gone or has another hash by now it does nothing, nor for an old one of "".
	ReplacePasswordHash(ctx context.Context, id int64, old, hash string) error

	// DeleteUser removes the account with its mails and addresses, and ends all its sessions, whose rows stay
	// while a token may name them; it gives those that it ended. What the audit has of the account stays, and
	// the events are added in the same step, as events of this user. ErrNotFound, or ErrLastAdmin.
	DeleteUser(ctx context.Context, id int64, events ...Event) ([]Ended, error)

	// CreateUsers is CreateUser for many: it keeps all of them, in their order, or none. Names and emails that two of
	// them or one of them and another user have are a *RowsError that counts them from 1. It may take a minute; on
	// SQLite other writers wait meanwhile, or give up with ErrUnavailable.
	CreateUsers(ctx context.Context, users []User, effects ...EffectsFunc) ([]User, error)

	// CheckUsers gives the *RowsError that CreateUsers would, and changes nothing. It looks at names and emails
	// alone, and not at those that are "".
	CheckUsers(ctx context.Context, users []User) error
}

// EffectsFunc says what is kept beside the change of a user, so that neither comes without the other. It is handed
// the account as it was and as it will be, generations, ID and all.
type EffectsFunc func(old, now User) Effects

// Effects is what is kept beside a change.
type Effects struct {
	Mails  []Mail
	Events []Event
}

// EffectsOf gives all that tell says of the change from old to now, as mails to this user and events of this user
// whatever they say themselves.
func EffectsOf(old, now User, effects []EffectsFunc) Effects {
	var all Effects
	for _, say := range effects {
		trail := say(old, now)
		all.Mails = append(all.Mails, trail.Mails...)
		all.Events = append(all.Events, trail.Events...)
	}
	for i := range all.Mails {
		all.Mails[i].UserID = now.ID
	}
	for i := range all.Events {
		all.Events[i].UserID = now.ID
	}
	return all
}

// Apply gives what a store keeps of n in the place of u at an instant. ID, Name and CreatedAt stay whatever
// n says. Generation rises by one if the change ends sessions, LinkGeneration if it cancels links; that and
// DeviceGeneration also rise by one, no matter how n has altered them, if it has. A pending email that is the
// confirmed one is pending no more. UpdatedAt is the instant if anything is altered, unless that is earlier, or
// all that is altered is what a second factor used up, which is no change of the account but a login.
func (u User) Apply(n User, at time.Time) User {
	links, marks := n.LinkGeneration != u.LinkGeneration, n.DeviceGeneration != u.DeviceGeneration
	n.ID, n.Name, n.CreatedAt, n.UpdatedAt = u.ID, u.Name, u.CreatedAt, u.UpdatedAt
	n.Generation, n.LinkGeneration, n.DeviceGeneration = u.Generation, u.LinkGeneration, u.DeviceGeneration
	if n.PendingEmail == n.Email {
		n.PendingEmail = ""
	}
	if u.EndsSessions(n) {
		n.Generation++
	}
	if links || u.CancelsLinks(n) {
		n.LinkGeneration++
	}
	if marks {
		n.DeviceGeneration++
	}
	unused := n
	unused.MFA.LastStep, unused.MFA.Recovery = u.MFA.LastStep, u.MFA.Recovery
	if at = Instant(at); unused != u && at.After(u.UpdatedAt) {
		n.UpdatedAt = at
	}
	return n
}

// EndsSessions says whether the change from u to v must end all sessions of the user: whoever holds one got
// it under a password, role or state that no longer holds.
func (u User) EndsSessions(v User) bool {
	return u.PasswordHash != v.PasswordHash || u.Role != v.Role || !u.Disabled && v.Disabled
}

// CancelsLinks says whether the change from u to v must cancel all links in mail to the user: a link that has
// changed the password or the email was used, and others were sent to somebody who may be another by now.
func (u User) CancelsLinks(v User) bool {
	return u.PasswordHash != v.PasswordHash || u.Email != v.Email || !u.Disabled && v.Disabled
}

// ActiveAdmin says whether u is an admin who can log in.
func (u User) ActiveAdmin() bool { return u.Role == Admin && !u.Disabled }

// Validate gives u with its emails in the form that is kept, or an *InvalidError that lists every field at
// fault. Password hash and second factor are not looked at.
func (u User) Validate() (User, error) {
	var v invalid
	if !ValidUserName(u.Name) {
		v.add("user", "invalid_user", "A user name has 1 to 64 characters of A-Z, a-z, 0-9 and . _ @ + -")
	}
	u.Email = v.email("email", u.Email, MaxEmail)
	u.PendingEmail = v.email("email", u.PendingEmail, MaxEmail)
	if !u.Role.Valid() {
		v.add("role", "invalid_role", "The role is viewer, editor or admin.")
	}
	return u, v.err()
}

// ValidUserName says whether s may be a user's name.
func ValidUserName(s string) bool {
	if len(s) < 1 || len(s) > MaxUserName {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '_', c == '@', c == '+', c == '-':
		default:
			return false
		}
	}
	return true
}

// TakenUsers gives a *RowsError of the users that have a name or an email of an earlier one, or one of those given as
// NameKey and EmailKey, to which it adds their own.
func TakenUsers(users []User, names, emails map[string]bool) error {
	var faults RowsError
	for i, u := range users {
		row := int64(i + 1)
		if key := NameKey(u.Name); key != "" {
			if names[key] {
				faults.Add(row, TakenName())
			}
			names[key] = true
		}
		if key := EmailKey(u.Email); key != "" {
			if emails[key] {
				faults.Add(row, TakenEmail())
			}
			emails[key] = true
		}
	}
	return faults.Err()
}

// TakenName is the fault of a row with a name that an earlier row or another user has.
func TakenName() FieldError {
	return FieldError{Field: "user", Code: "taken", Message: "Another user has this name."}
}
