package store

import (
	"context"
	"time"
)

// User is one account that can log in.
type User struct {
	ID           int64  // from 1, never used twice
	Name         string // unique without regard to case
	Email        string // "" when there is none, else unique without regard to case
	Role         Role
	Disabled     bool
	PasswordHash string // in PHC or modular crypt form; the store does not look inside
	Generation   int64  // counts how often all sessions were ended at once
	CreatedAt    time.Time
	UpdatedAt    time.Time
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
	// CreateUser keeps a new account and gives it back with the ID, Generation, CreatedAt and UpdatedAt
	// that it got. A name or email that another user has is a *ConflictError on "user" or "email".
	CreateUser(ctx context.Context, u User) (User, error)

	// User gives one account, or ErrNotFound.
	User(ctx context.Context, id int64) (User, error)

	// UserByName gives the account of that name, without regard to case, or ErrNotFound.
	UserByName(ctx context.Context, name string) (User, error)

	// Users gives up to limit accounts with an ID above after, by ascending ID. It gives an empty slice
	// when there are none.
	Users(ctx context.Context, after int64, limit int) ([]User, error)

	// UpdateUser hands the account to change and keeps what it gives back, as one atomic step; ID, Name,
	// Generation and CreatedAt stay whatever change made of them. A changed PasswordHash or Role, and
	// becoming Disabled, raise Generation and end all of the user's sessions in the same step. When
	// nothing is altered nothing is written. An error of change is given back unwrapped; the store may
	// call change again. ErrNotFound, *ConflictError on "email", or ErrLastAdmin refuse it.
	UpdateUser(ctx context.Context, id int64, change func(User) (User, error)) (User, error)

	// ReplacePasswordHash puts another hash of the same password in the place of old: no session ends. If
	// the user is gone or has another hash by now it does nothing.
	ReplacePasswordHash(ctx context.Context, id int64, old, hash string) error

	// DeleteUser removes the account and ends all its sessions, whose rows stay while a token may name
	// them. ErrNotFound, or ErrLastAdmin.
	DeleteUser(ctx context.Context, id int64) error
}

// EndsSessions says whether the change from u to v must end all sessions of the user: whoever holds one got
// it under a password, role or state that no longer holds.
func (u User) EndsSessions(v User) bool {
	return u.PasswordHash != v.PasswordHash || u.Role != v.Role || !u.Disabled && v.Disabled
}

// ActiveAdmin says whether u is an admin who can log in.
func (u User) ActiveAdmin() bool { return u.Role == Admin && !u.Disabled }

// Validate gives u with its email in the form that is kept, or an *InvalidError that lists every field at
// fault. The password hash is not looked at.
func (u User) Validate() (User, error) {
	var v invalid
	if !ValidUserName(u.Name) {
		v.add("user", "invalid_user", "A user name has 1 to 64 characters of A-Z, a-z, 0-9 and . _ @ + -")
	}
	u.Email = v.email("email", u.Email)
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
