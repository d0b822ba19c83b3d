package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"clientes/auth/token"
	"clientes/store"
)

// How long a key lasts, from its making on.
const (
	KeyLasts    = 90 * 24 * time.Hour // unless its maker says otherwise
	MinKeyLasts = time.Minute
	MaxKeyLasts = 365 * 24 * time.Hour
)

// ErrTooManyKeys refuses another key to a user who has [store.MaxKeys].
var ErrTooManyKeys = store.ErrTooManyKeys

// KeyRequest is a key that somebody wants for a program.
type KeyRequest struct {
	Name   string
	Role   *store.Role   // nil for that of its user
	Scopes []store.Scope // nil for all that the role can use
	Lasts  time.Duration
}

// Check returns what is kept of the key of a user of a role, or a *[store.InvalidError].
func (r KeyRequest) Check(user store.Role) (store.Key, error) {
	role := user
	if r.Role != nil {
		role = *r.Role
	}
	k, err := store.NewKey(user, r.Name, role, r.Scopes)
	switch {
	case r.Lasts < MinKeyLasts:
		err = store.JoinInvalid(err, store.Invalid("expires_in", "too_short",
			fmt.Sprintf("A key lasts at least %.0f seconds.", MinKeyLasts.Seconds())))
	case r.Lasts > MaxKeyLasts:
		err = store.JoinInvalid(err, store.Invalid("expires_in", "too_long",
			fmt.Sprintf("A key lasts at most %.0f seconds, a year.", MaxKeyLasts.Seconds())))
	}
	return k, err
}

// NewKey is a key that was just made.
type NewKey struct {
	Text string // what the program sends; nobody can read it again
	store.OwnedKey
}

// keyStore is what Accounts need of a store beside its users. [store.Store] documents its methods.
type keyStore interface {
	store.Keys
	Session(ctx context.Context, id string) (store.Session, error)
	EndSession(ctx context.Context, id string) (store.Session, error)
	RecordEvents(ctx context.Context, events ...store.Event) error
	clock
}

// AddKey makes a key for the user of that name. It returns [store.ErrNotFound],
// a *[store.InvalidError], [ErrTooManyKeys], or [store.ErrUserChanged] for a disabled user.
func (a *Accounts) AddKey(ctx context.Context, name string, r KeyRequest) (NewKey, error) {
	u, err := a.users.UserByName(ctx, name)
	if err != nil {
		return NewKey{}, fmt.Errorf("look up user: %w", err)
	}
	k, err := r.Check(u.Role)
	if err != nil {
		return NewKey{}, err
	}
	return a.addKey(ctx, u, k, r.Lasts)
}

// addKey keeps a key of u, unless all their sessions were ended since u was read. The key has used
// a second factor if its user has one: whoever makes it has sent a code, or owns the database.
func (a *Accounts) addKey(
	ctx context.Context, u store.User, k store.Key, lasts time.Duration,
) (NewKey, error) {
	id := token.NewID()
	for id[0] == '-' { // a command would take it for a flag
		id = token.NewID()
	}
	text, hash := token.NewKey()
	k.Hash = hash.String()
	origin, now := originOf(ctx), store.Instant(a.keys.Now())
	s := store.Session{
		ID: id, UserID: u.ID,
		RotatedAt: now, CreatedAt: now, LastUsedAt: now,
		ExpiresAt: now.Add(lasts), TokenExp: now.Add(lasts),
		IP: origin.IP, UserAgent: origin.UserAgent, AMR: amrPassword, Key: k,
	}
	if u.MFA.On {
		s.AMR = amrBoth
	}
	event := keyEvent(ctx, store.EventKeyCreated, s)
	if err := a.keys.AddKey(ctx, s, u.Generation, event); err != nil {
		return NewKey{}, fmt.Errorf("add key: %w", err)
	}
	logEvents(a.log, []store.Event{event})
	return NewKey{Text: text, OwnedKey: store.OwnedKey{Session: s, User: u.Name}}, nil
}

// keyEvent returns an event of a key, which has a row of its own: each key costs a password.
func keyEvent(ctx context.Context, kind store.EventKind, s store.Session) store.Event {
	e := newEvent(ctx, kind, s.UserID, s.ID+" "+s.Key.Name)
	e.Key = ""
	return e
}

// EndKey ends a key. It returns [store.ErrNotFound] if no key that lives has this id.
func (a *Accounts) EndKey(ctx context.Context, id string) error {
	if _, err := a.livingKey(ctx, id); err != nil {
		return err
	}
	s, err := a.keys.EndSession(ctx, id)
	if err != nil {
		return fmt.Errorf("end key: %w", err)
	}
	event := keyEvent(ctx, store.EventKeyEnded, s)
	if err := a.keys.RecordEvents(ctx, event); err != nil {
		return fmt.Errorf("the key has ended, but its event was not kept: %w", err)
	}
	logEvents(a.log, []store.Event{event})
	return nil
}

func (a *Accounts) livingKey(ctx context.Context, id string) (store.Session, error) {
	s, err := a.keys.Session(ctx, id)
	switch {
	case err != nil:
		return s, fmt.Errorf("look up key: %w", err)
	case s.Key == store.Key{} || !s.Lives(a.keys.Now()):
		return s, store.ErrNotFound
	}
	return s, nil
}

// EachKey calls f with every key that lives, the newest first: of the user of that name, or of all
// if it is "". An unknown user is [store.ErrNotFound].
func (a *Accounts) EachKey(
	ctx context.Context, name string, f func(store.OwnedKey) error,
) error {
	const page = 500
	var u store.User
	if name != "" {
		var err error
		if u, err = a.users.UserByName(ctx, name); err != nil {
			return fmt.Errorf("look up user: %w", err)
		}
	}
	for after := (store.KeyPosition{}); ; {
		keys, err := a.keys.Keys(ctx, u.ID, a.keys.Now(), after, page)
		if err != nil {
			return fmt.Errorf("list keys: %w", err)
		}
		for _, k := range keys {
			if err := f(k); err != nil {
				return err
			}
			after = store.KeyPosition{CreatedAt: k.CreatedAt, ID: k.ID}
		}
		if len(keys) < page {
			return nil
		}
	}
}

// AddKey makes a key for a caller with a proof. Whatever is wrong with the request or the proof is
// a *[store.InvalidError]. [ErrTooManyKeys], [ErrTokenRevoked] if the caller's sessions were ended
// meanwhile, and a *[TooManyError] may also refuse it.
func (a *Auth) AddKey(ctx context.Context, c Caller, r KeyRequest, p Proof) (NewKey, error) {
	u, err := a.Me(ctx, c)
	if err != nil {
		return NewKey{}, err
	}
	k, err := r.Check(u.Role)
	if err := store.JoinInvalid(err, p.missing(u)); err != nil {
		return NewKey{}, err
	}
	if err := a.checkProof(ctx, c, u, p); err != nil {
		return NewKey{}, err
	}
	if err := a.CheckSession(ctx, c); err != nil {
		return NewKey{}, err // it may have ended while the password was hashed
	}
	made, err := a.accounts.addKey(ctx, u, k, r.Lasts)
	if errors.Is(err, store.ErrUserChanged) {
		err = ErrTokenRevoked
	}
	return made, err
}

// Keys returns up to limit keys that live, the newest first and behind a position: the caller's
// own, or for an admin those of all users.
func (a *Auth) Keys(
	ctx context.Context, c Caller, after store.KeyPosition, limit int,
) ([]store.OwnedKey, error) {
	userID := c.UserID
	if c.Role.Allows(store.Admin) {
		userID = 0
	}
	return a.cfg.Store.Keys(ctx, userID, a.cfg.Store.Now(), after, limit)
}

// EndKey ends a key of the caller, or for an admin of anybody, as [Auth.Logout] ends a session.
// Another one, and one that has ended, are [store.ErrNotFound].
func (a *Auth) EndKey(ctx context.Context, c Caller, id string) error {
	s, err := a.accounts.livingKey(ctx, id)
	switch {
	case err != nil:
		return err
	case s.UserID != c.UserID && !c.Role.Allows(store.Admin):
		return store.ErrNotFound
	}
	return a.endSession(ctx, id)
}

// knownKey is a key that was found in the store. Only its end and its last use can change.
type knownKey struct {
	caller  Caller
	session token.SessionID
	expires time.Time    // by the store's clock
	noted   atomic.Int64 // its last use that was kept, in Unix milliseconds; 0 if there is none
}

// IsKey reports whether a text was meant as a key, good or bad.
func IsKey(text string) bool { return token.IsKey(text) }

// IsWholeKey reports whether a text has all that a key has, and the right checksum.
func IsWholeKey(text string) bool { return token.CheckKey(text) == nil }

// authenticateKey is Authenticate for a key. One that this process has seen before costs what a
// token does (BenchmarkAuthenticateKey).
func (a *Auth) authenticateKey(ctx context.Context, text string) (Caller, error) {
	k, ok := a.seenKeys.Get(text)
	a.metrics.cacheCounts().Count(text, ok)
	if !ok {
		if err := token.CheckKey(text); err != nil {
			return Caller{}, err
		}
		var err error
		if k, err = a.findKey(ctx, text); err != nil {
			return Caller{}, err
		}
	}
	now := a.cfg.Store.Now()
	if !now.Before(k.expires) {
		return Caller{}, ErrTokenExpired
	}
	if err := a.denied.check(ctx, k.session, k.caller.SessionID); err != nil {
		return Caller{}, err
	}
	a.uses.note(k, now)
	return k.caller, nil
}

// findKey returns a key that this process has not seen yet. It may read the row from a server that
// was the primary before. So the deny list asks by itself whether the session has ended.
func (a *Auth) findKey(ctx context.Context, text string) (*knownKey, error) {
	s, err := a.cfg.Store.KeyByHash(ctx, token.HashKey(text).String())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, &InvalidTokenError{Reason: "This server does not know the key."}
	case err != nil:
		return nil, fmt.Errorf("look up key: %w", err)
	}
	k := &knownKey{expires: s.ExpiresAt}
	var ok bool
	if k.session, ok = token.ParseSessionID(s.ID); !ok {
		return nil, fmt.Errorf("look up key: %q is the id of no session", s.ID)
	}
	if !s.LastUsedAt.Equal(s.CreatedAt) {
		k.noted.Store(s.LastUsedAt.UnixMilli())
	}
	mfa, lacks := s.AMR == amrBoth, false
	if !mfa && a.cfg.RequireMFA != "" && s.EndedAt.IsZero() {
		// The role of the user decides, which may be higher than that of the key. It can be cached:
		// another role of the user ends the key, and so does their deletion.
		u, err := a.cfg.Store.User(ctx, s.UserID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("look up the user of a key: %w", err)
		}
		lacks = a.mustHaveMFA(u.Role)
	}
	left := s.ExpiresAt.Sub(a.cfg.Store.Now())
	k.caller = Caller{
		UserID: s.UserID, Role: s.Key.Role, SessionID: s.ID, MFA: mfa, LacksMFA: lacks,
		Expires: a.cfg.Now().Round(0).Add(left), // what goes on for long has the process's clock
		IsKey:   true, scopes: s.Key.Scopes,
	}
	if !s.EndedAt.IsZero() {
		a.denied.addAll([]store.Ended{{ID: s.ID, TokenExp: s.TokenExp}})
	}
	a.seenKeys.Put(strings.Clone(text), k) // not with the header around it
	return k, nil
}

// Allows reports whether the caller may use what needs a scope. A session may use all that its role
// allows. A key may use what one of its scopes names, and nothing that has the scope "".
func (c Caller) Allows(scope store.Scope) bool {
	return !c.IsKey || scope != "" && store.Key{Scopes: c.scopes}.Allows(scope)
}

// maxUses bounds how many uses of keys wait to be noted. Beyond it they are noted ten minutes
// later.
const maxUses = 1024

// keyUses notes when keys were last used, in the background: no request waits for it.
type keyUses struct {
	store interface {
		NoteKeyUse(ctx context.Context, id string, at time.Time) error
	}
	log     *slog.Logger
	waiting chan keyUse
}

type keyUse struct {
	id string
	at time.Time
}

func newKeyUses(s Store, log *slog.Logger) *keyUses {
	return &keyUses{store: s, log: log, waiting: make(chan keyUse, maxUses)}
}

// note notes a use, unless this process has noted one in the [store.KeyNoted] before.
func (n *keyUses) note(k *knownKey, now time.Time) {
	last, at := k.noted.Load(), now.UnixMilli()
	if at-last < store.KeyNoted.Milliseconds() || !k.noted.CompareAndSwap(last, at) {
		return
	}
	select {
	case n.waiting <- keyUse{k.caller.SessionID, now}:
	default:
	}
}

// run keeps what is noted until ctx ends, and then the last of it.
func (n *keyUses) run(ctx context.Context) {
	out := Outage{
		Log: n.log, Level: slog.LevelWarn,
		Fails: "cannot note when keys were last used",
		Well:  "noting again when keys were last used",
	}
	for {
		select {
		case <-ctx.Done():
			for len(n.waiting) > 0 && n.keep(ctx, <-n.waiting) == nil {
			}
			return
		case use := <-n.waiting:
			out.Note(use.at, n.keep(ctx, use))
		}
	}
}

func (n *keyUses) keep(ctx context.Context, use keyUse) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	return n.store.NoteKeyUse(ctx, use.id, use.at)
}

// keyNames says in a mail which keys a user has, "" if none.
func keyNames(keys []store.OwnedKey) string {
	if len(keys) == 0 {
		return ""
	}
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.Key.Name
	}
	return fmt.Sprintf("%d (%s)", len(keys), strings.Join(names, ", "))
}
