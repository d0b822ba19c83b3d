package auth

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"clientes/auth/token"
	"clientes/store"
)

// ErrLinkInvalid refuses the token of a link in mail. It is not one of ours, or for something else,
// or it has expired, or was used or cancelled. Nobody is told which.
var ErrLinkInvalid = errors.New("the link is not good, or not any more")

// How long links are good after their mail is sent.
const (
	resetFor = 30 * time.Minute
	joinFor  = 72 * time.Hour // an invitation, or a new email: the recipient may not expect it
)

// linkFor returns how long the link of a kind of mail is good: 0 if the mail has none.
func linkFor(kind store.MailKind) time.Duration {
	switch kind {
	case store.MailReset:
		return resetFor
	case store.MailInvitation, store.MailConfirm:
		return joinFor
	}
	return 0
}

// linkEmail returns the email that a kind of link goes to, "" if the user has none.
func linkEmail(kind store.MailKind, u store.User) string {
	if kind == store.MailConfirm {
		return u.PendingEmail
	}
	return u.Email
}

// links signs, checks and uses the tokens of links in mail.
//
// The text of a link is "<kind>.<user id>.<expiry>": the kind of the mail that brings it, and the
// expiry in seconds since 1970. Its MAC is also bound to the user's row: to the generation of
// links, and to the email that the mail goes to. So links need no storage. A link works once, since
// using it raises the generation. That cancels all other links of the user, too. And a link is
// worth nothing if the user has another email by now, or another one waits to be confirmed.
type links struct {
	users interface {
		clock
		User(ctx context.Context, id int64) (store.User, error)
	}
	keys     *token.Keyring
	accounts *Accounts
}

// link is what the token of a link says.
type link struct {
	token   string
	kind    store.MailKind
	userID  int64
	expires time.Time
}

// sign returns the token of a link for a user as they are. It is good from now on for linkFor.
func (l *links) sign(kind store.MailKind, u store.User) string {
	expires := l.users.Now().Add(linkFor(kind))
	text := strings.Join([]string{
		string(kind), decimal(u.ID), decimal(expires.Unix()),
	}, ".")
	return l.keys.Sign(token.Link, text, linkBound(kind, u)...)
}

// linkBound returns what the MAC of a link is bound to.
func linkBound(kind store.MailKind, u store.User) []string {
	return []string{decimal(u.LinkGeneration), linkEmail(kind, u)}
}

// parse reads the token of a link of one of these kinds. Only check can verify its MAC, because
// that is bound to the user's row.
func (l *links) parse(linkToken string, kinds ...store.MailKind) (link, error) {
	linkToken = store.Trim(linkToken)
	text, ok := l.keys.Unverified(token.Link, linkToken)
	if !ok {
		return link{}, ErrLinkInvalid
	}
	for _, kind := range kinds {
		rest, ok := strings.CutPrefix(text, string(kind)+".")
		if !ok {
			continue
		}
		idText, expiresText, _ := strings.Cut(rest, ".")
		id, err := strconv.ParseInt(idText, 10, 64)
		expires, err2 := strconv.ParseInt(expiresText, 10, 64)
		if err != nil || err2 != nil {
			return link{}, ErrLinkInvalid
		}
		return link{token: linkToken, kind: kind, userID: id, expires: time.Unix(expires, 0)}, nil
	}
	return link{}, ErrLinkInvalid
}

// check returns nil if the link is one of ours and good for the user as they are, or
// ErrLinkInvalid.
func (l *links) check(k link, u store.User) error {
	usable := u.ID == k.userID && !u.Disabled && linkEmail(k.kind, u) != ""
	left := k.expires.Sub(l.users.Now())
	// A link with more time left than any has at first is from a clock that was ahead.
	if !usable || left <= 0 || left > linkFor(k.kind)+token.IssuedLeeway {
		return ErrLinkInvalid
	}
	if _, ok := l.keys.Verify(token.Link, k.token, linkBound(k.kind, u)...); !ok {
		return ErrLinkInvalid
	}
	return nil
}

// follow returns a link of one of these kinds and its user, if the link is good.
func (l *links) follow(
	ctx context.Context, linkToken string, kinds ...store.MailKind,
) (link, store.User, error) {
	k, err := l.parse(linkToken, kinds...)
	if err != nil {
		return link{}, store.User{}, err
	}
	u, err := l.users.User(ctx, k.userID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return link{}, store.User{}, ErrLinkInvalid
	case err != nil:
		return link{}, store.User{}, fmt.Errorf("look up user: %w", err)
	}
	return k, u, l.check(k, u)
}

// use updates the user as the link allows, and returns the user. It uses the link up: the update
// must cancel the user's links. The link is checked once more within the update, so that of many
// uses at once, in whatever process, one succeeds.
func (l *links) use(
	ctx context.Context, fx *effects, k link, update func(*store.User),
) (store.User, error) {
	u, err := l.accounts.update(ctx, fx, k.userID, func(u store.User) (store.User, error) {
		if err := l.check(k, u); err != nil {
			return u, err
		}
		update(&u)
		return u, nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return store.User{}, ErrLinkInvalid
	}
	return u, err
}
