package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Key is what a session has besides if it is a program's. No password opens it again, no refresh
// token belongs to it, and its end is fixed: ExpiresAt and TokenExp are the same. LastUsedAt is
// CreatedAt until the key is used. The zero Key is that of a login's session.
type Key struct {
	Hash   string // of the text that the program sends, unique and opaque to the store
	Name   string
	Role   Role   // not above the user's
	Scopes string // some of [Scopes], with spaces between them
}

// Scope is a part of what a role allows. A key may do what its scopes name, and nothing else.
type Scope string

// The scopes.
const (
	ScopeRead    Scope = "clientes:read"
	ScopeWrite   Scope = "clientes:write"
	ScopeChanges Scope = "changes" // the feed of changes
	ScopeUsers   Scope = "users"
	ScopeAudit   Scope = "audit"
	ScopeDoctor  Scope = "doctor"
)

// Scopes returns the scopes that a role can use.
func (r Role) Scopes() []Scope {
	scopes := []Scope{ScopeRead, ScopeChanges}
	if r.Allows(Editor) {
		scopes = slices.Insert(scopes, 1, ScopeWrite)
	}
	if r.Allows(Admin) {
		scopes = append(scopes, ScopeUsers, ScopeAudit, ScopeDoctor)
	}
	return scopes
}

// Allows reports whether the key has a scope.
func (k Key) Allows(scope Scope) bool {
	for has := range strings.FieldsSeq(k.Scopes) {
		if has == string(scope) {
			return true
		}
	}
	return false
}

const (
	// MaxKeys is how many keys of one user may live at once.
	MaxKeys = 100

	maxKeyName = 100
)

// NewKey returns the key of a user of a role above or equal to the key's, with its name in the form
// that is kept. If there are no scopes, it has all that its role can use. NewKey returns an
// [*InvalidError] that lists every field at fault.
func NewKey(user Role, name string, role Role, scopes []Scope) (Key, error) {
	var v invalid
	k := Key{Name: v.name("name", name, maxKeyName), Role: role}
	switch {
	case !role.Valid():
		v.add("role", "invalid_role", "The role is viewer, editor or admin.")
	case !user.Allows(role):
		v.add("role", "invalid_role", "The role of a key is not above that of its user.")
	}
	usable, all := role.Scopes(), Admin.Scopes()
	if !role.Valid() {
		usable = all // the role is the fault
	}
	for _, s := range scopes {
		switch {
		case !slices.Contains(all, s):
			v.add("scopes", "invalid_scope",
				fmt.Sprintf("There is no scope %.40q; there are %s.", s, joinScopes(all, ", ")))
		case !slices.Contains(usable, s):
			v.add("scopes", "invalid_scope",
				"A key of the role "+string(role)+" cannot use the scope "+string(s)+".")
		}
	}
	if scopes == nil {
		scopes = usable
	}
	k.Scopes = joinScopes(slices.DeleteFunc(usable, func(s Scope) bool {
		return !slices.Contains(scopes, s)
	}), " ")
	if len(scopes) == 0 {
		v.add("scopes", "required", "A key has at least one scope.")
	}
	return k, v.err()
}

func joinScopes(scopes []Scope, between string) string {
	texts := make([]string, len(scopes))
	for i, s := range scopes {
		texts[i] = string(s)
	}
	return strings.Join(texts, between)
}

// OwnedKey is a session that has a Key, with the name of its user.
type OwnedKey struct {
	Session
	User string
}

// KeyPosition is a place in a list of keys: behind the one of this instant and id.
type KeyPosition struct {
	CreatedAt time.Time
	ID        string
}

// Bound returns the position that every key of the page is behind: the zero KeyPosition is before
// all of them.
func (p KeyPosition) Bound() KeyPosition {
	if p == (KeyPosition{}) {
		p.CreatedAt = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return p
}

// KeyNoted is how often the last use of a key is kept, at most.
const KeyNoted = 10 * time.Minute

// Keys keeps the keys of programs. They are sessions, so [Sessions] ends and removes them, and
// [Restoring.EndAll] ends them all. But EndSessions ends none, nor does OpenSession, and
// UserSessions has none. UpdateUser ends them with the change of a role and with disabling, not
// with that of a password.
type Keys interface {
	// AddKey keeps a new session that has a Key, and the events as events of its user, in one
	// atomic step. It excludes what [Sessions.OpenSession] excludes, and returns [ErrUserChanged]
	// as that does. It returns [ErrTooManyKeys] if the user has [MaxKeys] that live.
	AddKey(ctx context.Context, n Session, generation int64, events ...Event) error

	// KeyByHash returns the session of the key with a hash, ended or not, or [ErrNotFound].
	KeyByHash(ctx context.Context, hash string) (Session, error)

	// Keys returns up to limit keys that live at now, the newest first, of one user or with the
	// userID 0 of all. It begins behind a position, or with the zero KeyPosition at the newest. If
	// there are none, the slice is empty, not nil.
	Keys(ctx context.Context, userID int64, now time.Time, after KeyPosition, limit int) (
		[]OwnedKey, error)

	// NoteKeyUse sets LastUsedAt of a key that has not ended, unless it was set in the [KeyNoted]
	// before at. Nothing happens if there is no such key.
	NoteKeyUse(ctx context.Context, id string, at time.Time) error
}
