package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	"clientes/store"
)

// ErrLinkInvalid refuses the token of a link in mail: it is not one of ours or for something else, or it has expired,
// or was used or cancelled. Which of these, nobody is told.
var ErrLinkInvalid = errors.New("the link is not good, or not any more")

// A link's token is "<kind>.<user id>.<expiry>.<MAC>", the kind being that of the mail that brings it, the expiry in
// seconds since 1970. The MAC, under a key that is derived from the secret, also covers what the user's row has: the
// generation of links, and the address that the mail goes to. So nothing need be kept of a link: it works once, since
// what it does raises the generation; all of a user's are cancelled at once; and it is worth nothing when the address
// is the user's no more, or that which waits to be confirmed is another.

// How long links are good from the moment on in which their mail is sent.
const (
	resetFor = 30 * time.Minute
	joinFor  = 72 * time.Hour // an invitation, or a new address: nobody may be waiting for it
)

// linkFor says for how long the link of a kind of mail is good: 0 if it has none.
func linkFor(kind store.MailKind) time.Duration {
	switch kind {
	case store.MailReset:
		return resetFor
	case store.MailInvitation, store.MailConfirm:
		return joinFor
	}
	return 0
}

// linkAddress is the address that a kind of link goes to, "" if the user has none.
func linkAddress(kind store.MailKind, u store.User) string {
	if kind == store.MailConfirm {
		return u.PendingEmail
	}
	return u.Email
}

// link is what the token of a link says.
type link struct {
	kind    store.MailKind
	userID  int64
	expires time.Time
	text    string // all before the MAC
	mac     []byte
}

// linkToken makes the token of a link for a user as they are.
func (k key) linkToken(kind store.MailKind, u store.User, expires time.Time) string {
	text := string(kind) + "." + strconv.FormatInt(u.ID, 10) + "." + strconv.FormatInt(expires.Unix(), 10)
	return text + "." + base64.RawURLEncoding.EncodeToString(k.linkMAC(text, u.LinkGeneration, linkAddress(kind, u)))
}

func (k key) linkMAC(text string, generation int64, address string) []byte {
	h := hmac.New(sha256.New, k.link)
	for _, part := range []string{text, strconv.FormatInt(generation, 10), address} {
		h.Write([]byte(part))
		h.Write([]byte{0}) // none holds one
	}
	return h.Sum(nil)
}

// maxLink is the longest token of a link that is looked at, in bytes.
const maxLink = 256

// parseLink reads the token of a link of one of these kinds. Whether it is one of ours is for checkLink to say, which
// needs the user.
func parseLink(token string, kinds ...store.MailKind) (link, error) {
	if len(token) > maxLink || !isTokenText(token) {
		return link{}, ErrLinkInvalid
	}
	text, sum, _ := cutLast(token, ".")
	mac, err := strictBase64.DecodeString(sum)
	if err != nil {
		return link{}, ErrLinkInvalid
	}
	for _, kind := range kinds {
		rest, ok := strings.CutPrefix(text, string(kind)+".")
		if !ok {
			continue
		}
		id, expires, _ := strings.Cut(rest, ".")
		l := link{kind: kind, text: text, mac: mac}
		l.userID, err = strconv.ParseInt(id, 10, 64)
		seconds, err2 := strconv.ParseInt(expires, 10, 64)
		if err != nil || err2 != nil {
			return link{}, ErrLinkInvalid
		}
		l.expires = time.Unix(seconds, 0)
		return l, nil
	}
	return link{}, ErrLinkInvalid
}

// checkLink says whether the link is one of ours and good for the user as they are: nil or ErrLinkInvalid.
func (a *Auth) checkLink(l link, u store.User) error {
	address := linkAddress(l.kind, u)
	if u.ID != l.userID || u.Disabled || address == "" || !a.cfg.Now().Before(l.expires) {
		return ErrLinkInvalid
	}
	for _, k := range a.tokens.keys {
		if hmac.Equal(k.linkMAC(l.text, u.LinkGeneration, address), l.mac) {
			return nil
		}
	}
	return ErrLinkInvalid
}
