package store

import (
	"context"
	"time"
)

// User is one account that can log in.
type User struct {
	ID           int64  // from 1, never used twice
	Name         string // unique without regard to case, see [NameKey]
	Email        string // confirmed; "" when there is none, else unique without regard to case
	PendingEmail string // "" when there is none; not unique, without effect until confirmed
	Role         Role
	Disabled     bool
	PasswordHash string // PHC or modular crypt form, opaque to the store; "" matches no password
	MFA          MFA

	// The generations count how often all things of a kind were cancelled at once.
	Generation       int64 // sessions
	LinkGeneration   int64 // links in mail
	DeviceGeneration int64 // device tokens

	CreatedAt time.Time
	UpdatedAt time.Time
}

// MFA is the second factor of a user: time-based one-time passwords (RFC 6238) and recovery codes.
// The zero MFA is none.
type MFA struct {
	Secret   string // sealed by package auth and opaque to the store; "" when there is none
	On       bool   // whether a first code has shown that the user's device has the secret, too
	LastStep int64  // the time step of the last code used: it and earlier ones are used up
	Recovery string // the hashes of the unused recovery codes, opaque to the store
}

// Role is what a user may do. Each role includes the one before it.
type Role string

// The roles, from the least to the most powerful.
const (
	Viewer Role = "viewer" // reads customers
	Editor Role = "editor" // also writes them
	Admin  Role = "admin"  // also manages users
)

// Roles returns all roles, from the least to the most powerful.
func Roles() []Role { return []Role{Viewer, Editor, Admin} }

// Valid reports whether r is one of [Roles].
func (r Role) Valid() bool { return r.rank() > 0 }

// Allows reports whether a user of role r may do what requires role need.
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

// MaxUserName is the longest user name that is no email address, in characters.
const MaxUserName = 64

// Users keeps the accounts.
type Users interface {
	// CreateUser keeps a new account and returns it with its ID, generations, CreatedAt and
	// UpdatedAt. The effects of the change from the zero User to it are kept in the same step. If
	// another user has the name or email, it returns a [*ConflictError] on "user" or "email".
	CreateUser(ctx context.Context, u User, effects ...EffectsFunc) (User, error)

	// User returns one account, or [ErrNotFound].
	User(ctx context.Context, id int64) (User, error)

	// UserByName returns the account of that name, without regard to case, or ErrNotFound.
	UserByName(ctx context.Context, name string) (User, error)

	// UserByEmail returns the account with that confirmed email, without regard to case, or
	// ErrNotFound. It does not look at pending emails. It returns ErrNotFound for "".
	UserByEmail(ctx context.Context, email string) (User, error)

	// Users returns up to limit accounts with an ID above after, by ascending ID. If there are
	// none, the slice is empty, not nil.
	Users(ctx context.Context, after int64, limit int) ([]User, error)

	// UpdateUser calls update with the account and keeps what [User.Apply] makes of the result, as
	// one atomic step. If that raises Generation, all of the user's sessions end in the same step,
	// and are returned: keys only if [User.EndsKeys] says so. The effects are kept in that step
	// too, even if the account itself stays as it was.
	//
	// An error of update is returned unwrapped, and nothing is kept. The store may call update and
	// effects again. It returns ErrNotFound for an unknown id, and a *ConflictError on "email" if
	// another user has the email. It returns [ErrLastAdmin] if no enabled admin would be left.
	//
	// Checks belong in update. A pending email is confirmed by an update that moves it to Email if
	// it is still the one in question. A one-time code is used by an update that raises
	// MFA.LastStep, or refuses if it is that high already.
	UpdateUser(ctx context.Context, id int64, update func(User) (User, error),
		effects ...EffectsFunc) (User, []Ended, error)

	// ReplacePasswordHash replaces the hash old by another one of the same password, so no session
	// ends. It does nothing if the user is gone, if the user has another hash by now, or if old is
	// "".
	ReplacePasswordHash(ctx context.Context, id int64, old, hash string) error

	// DeleteUser removes the account with its mails and networks, ends all its sessions and returns
	// those that it ended. The sessions stay while a token may name them. Earlier events of the
	// account stay, and these events are added in the same step, as events of this user. It returns
	// ErrNotFound for an unknown id, or ErrLastAdmin.
	DeleteUser(ctx context.Context, id int64, events ...Event) ([]Ended, error)

	// CreateUsers is CreateUser for many: it keeps all of them, in their order, or none. If a name
	// or email belongs to two of them or to another user, it returns a [*RowsError], which counts
	// them from 1. The call may take a minute. On SQLite other writers wait meanwhile, or give up
	// with [ErrUnavailable].
	CreateUsers(ctx context.Context, users []User, effects ...EffectsFunc) ([]User, error)

	// CheckUsers returns the *RowsError that CreateUsers would return, and changes nothing. It
	// looks only at names and emails that are not "".
	CheckUsers(ctx context.Context, users []User) error
}

// EffectsFunc returns what must be kept together with a change of a user, so that neither is kept
// without the other. It is called with the account as it was and as it will be, ID and generations
// included.
type EffectsFunc func(old, now User) Effects

// Effects are the mails and events that belong to a change.
type Effects struct {
	Mails  []Mail
	Events []Event

	// ToAdmins are mails to every other enabled admin with a confirmed email. The store sets UserID
	// and To of each. So nobody who deletes the account at once takes them back.
	ToAdmins []Mail
}

// EffectsOf returns all effects of the change from old to now. Mails and Events are to and of this
// user, whatever UserID they have. In ToAdmins, UserID names the user who gets none of them.
func EffectsOf(old, now User, effects []EffectsFunc) Effects {
	var all Effects
	for _, effectsOf := range effects {
		one := effectsOf(old, now)
		all.Mails = append(all.Mails, one.Mails...)
		all.Events = append(all.Events, one.Events...)
		all.ToAdmins = append(all.ToAdmins, one.ToAdmins...)
	}
	for i := range all.ToAdmins {
		all.ToAdmins[i].UserID = now.ID
	}
	for i := range all.Mails {
		all.Mails[i].UserID = now.ID
	}
	for i := range all.Events {
		all.Events[i].UserID = now.ID
	}
	return all
}

// Apply returns what a store keeps at an instant when n replaces u. ID, Name and CreatedAt stay,
// whatever n has there. The generations cannot be set, only raised by one: Generation if the change
// ends sessions, LinkGeneration if it cancels links or n alters it, DeviceGeneration if n alters
// it. A pending email equal to the confirmed one is dropped.
//
// UpdatedAt becomes the instant if anything changes, but never goes back. Using up a code of the
// second factor does not count: it is part of a login, not a change of the account.
func (u User) Apply(n User, at time.Time) User {
	links := n.LinkGeneration != u.LinkGeneration
	devices := n.DeviceGeneration != u.DeviceGeneration
	n.ID, n.Name, n.CreatedAt, n.UpdatedAt = u.ID, u.Name, u.CreatedAt, u.UpdatedAt
	n.Generation = u.Generation
	n.LinkGeneration = u.LinkGeneration
	n.DeviceGeneration = u.DeviceGeneration
	if n.PendingEmail == n.Email {
		n.PendingEmail = ""
	}
	if u.EndsSessions(n) {
		n.Generation++
	}
	if links || u.CancelsLinks(n) {
		n.LinkGeneration++
	}
	if devices {
		n.DeviceGeneration++
	}
	unused := n
	unused.MFA.LastStep, unused.MFA.Recovery = u.MFA.LastStep, u.MFA.Recovery
	if at = Instant(at); unused != u && at.After(u.UpdatedAt) {
		n.UpdatedAt = at
	}
	return n
}

// EndsSessions reports whether the change from u to v must end all sessions of the user. They were
// opened under a password, role or state that no longer holds.
func (u User) EndsSessions(v User) bool {
	return u.PasswordHash != v.PasswordHash || u.Role != v.Role || !u.Disabled && v.Disabled
}

// EndsKeys reports whether the change from u to v must end all keys of the user, too. A key knows
// nothing of the password.
func (u User) EndsKeys(v User) bool { return u.Role != v.Role || !u.Disabled && v.Disabled }

// CancelsLinks reports whether the change from u to v must cancel all links in mail to the user. A
// link that changed the password or the email was used, and the others may have gone to somebody
// else's mailbox.
func (u User) CancelsLinks(v User) bool {
	return u.PasswordHash != v.PasswordHash || u.Email != v.Email || !u.Disabled && v.Disabled
}

// ActiveAdmin reports whether u is an admin who can log in.
func (u User) ActiveAdmin() bool { return u.Role == Admin && !u.Disabled }

// Validate returns u with its name and emails in the form that is kept. If any field is invalid, it
// returns an [*InvalidError] that lists all of them. It does not look at the password hash and the
// second factor.
func (u User) Validate() (User, error) {
	var v invalid
	name, ok := UserName(u.Name)
	if u.Name = name; !ok {
		v.add("user", "invalid_user", "A user name has 1 to 64 characters of A-Z, a-z, 0-9 "+
			"and . _ @ + -, or is an email address.")
	}
	u.Email = v.email("email", u.Email, MaxEmail)
	u.PendingEmail = v.email("email", u.PendingEmail, MaxEmail)
	if !u.Role.Valid() {
		v.add("role", "invalid_role", "The role is viewer, editor or admin.")
	}
	return u, v.err()
}

// UserName returns the form in which a user name is kept, and reports whether it may be one. It may
// be a plain name, or an email address as a customer may have. White space at the ends is dropped.
func UserName(s string) (name string, ok bool) {
	if s = Trim(s); s == "" || isPlainName(s) {
		return s, s != ""
	}
	var v invalid
	name = v.email("user", s, MaxEmail)
	return name, v.err() == nil
}

// isPlainName reports whether s has only the characters that any user name may have.
func isPlainName(s string) bool {
	if len(s) > MaxUserName {
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

// TakenUsers returns a *RowsError of the users whose name or email an earlier user has, or is in
// names or emails. These hold [NameKey] and [EmailKey] of other users; TakenUsers adds the keys of
// users.
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

// TakenName returns the fault of a row whose name an earlier row or another user has.
func TakenName() FieldError {
	return FieldError{Field: "user", Code: "taken", Message: "Another user has this name."}
}
