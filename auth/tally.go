package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/netip"
	"strconv"
	"time"

	"clientes/store"
)

// limit is how often something may fail, or be asked for.
type limit struct {
	free   int64         // so many are let through one after the other,
	window time.Duration // within this time from the first of them on,
	inARow bool          // or rather from the last of them on.

	// slowed makes each beyond them wait, longer and longer; else none is let through until the window is over.
	slowed bool

	refuse error // what refuses the others, if that is no *TooManyError
}

// What is counted. One sender may be many people, so that an address comes to rest quicker than a name: after as long a
// quiet as its window. (Who stays below 50 in 15 minutes is not slowed at all, so a longer memory would stop nobody but
// them.)
var (
	nameLimit    = limit{free: 5, window: 24 * time.Hour, inARow: true, slowed: true}
	deviceLimit  = nameLimit
	addressLimit = limit{free: 50, window: 15 * time.Minute, slowed: true}
	marksLimit   = limit{free: 50, window: 24 * time.Hour, refuse: errMarksUsed} // of all devices of a user together
	codesLimit   = limit{free: 20, window: 24 * time.Hour}                       // wrong codes of a second factor
	mailsLimit   = limit{free: 3, window: time.Hour, inARow: true}               // links that anybody may have sent to a user

	// How often one address may ask for links, or sign up: as often as it may fail to log in, for it may be many people's.
	askedLimit = limit{free: addressLimit.free, window: addressLimit.window}
)

const (
	firstWait   = time.Second
	longestWait = 15 * time.Minute
)

// wait is how long the attempt after that many failures has to wait.
func (l limit) wait(failures int64) time.Duration {
	over := failures - l.free
	if over < 0 {
		return 0
	}
	if over > 20 { // or the shift would overflow
		return longestWait
	}
	return min(firstWait<<over, longestWait)
}

// count counts an attempt that is let through now.
func (l limit) count(a *store.Bucket, now time.Time) {
	if a.Count == 0 {
		a.Since = now
	}
	a.Count++
	a.LastAt = now
	l.settle(a)
}

// settle works out until when a count stops others and is remembered.
func (l limit) settle(a *store.Bucket) {
	a.BlockedUntil = time.Time{}
	a.ForgetAt = a.Since.Add(l.window)
	if l.inARow {
		a.ForgetAt = a.LastAt.Add(l.window)
	}
	switch {
	case a.Count < l.free:
	case l.slowed:
		a.BlockedUntil = a.LastAt.Add(l.wait(a.Count))
		a.ForgetAt = latest(a.ForgetAt, a.BlockedUntil.Add(longestWait))
	default:
		a.BlockedUntil = a.ForgetAt
	}
}

// errMarksUsed means that too many of all devices of a user have failed: their marks are worth nothing for a while.
var errMarksUsed = errors.New("too many have failed with a mark of this user")

// tally is one thing that an attempt counts against.
type tally struct {
	key     string
	limit   limit
	cleared bool // by a success; else a success only does not count
}

// nameTally counts against a user name, whoever tries it, be it anybody's or not. People type their password there, so
// the key has a MAC of it.
func (a *Auth) nameTally(name string) tally {
	return tally{"name " + a.attemptMAC(store.NameKey(name)), nameLimit, true}
}

// loginTallies are what a login of a stranger counts against.
func (a *Auth) loginTallies(name, ip string) []tally {
	tallies := []tally{a.nameTally(name)}
	if prefix := addressPrefix(ip); prefix != "" {
		tallies = append(tallies, addressTally(prefix))
	}
	return tallies
}

// addressTally counts against an address. A success clears nothing: whoever has an account of their own would start
// anew with each login to it.
func addressTally(prefix string) tally { return tally{"address " + prefix, addressLimit, false} }

func deviceTally(userID int64, device string) tally {
	return tally{"device " + strconv.FormatInt(userID, 10) + " " + device, deviceLimit, true}
}

func marksTally(userID int64) tally {
	return tally{"marks " + strconv.FormatInt(userID, 10), marksLimit, false}
}

// codesTally counts wrong codes of a second factor. Those of a client that the user has logged in from are counted
// apart, so that who has stolen the password alone can not keep the user out. A success clears nothing, or every login
// of the user would give a thief of the password twenty more.
func codesTally(userID int64, marked bool) tally {
	key := "codes " + strconv.FormatInt(userID, 10)
	if marked {
		key += " marked"
	}
	return tally{key, codesLimit, false}
}

// mailsTally counts mails that anybody may have sent to a user.
func mailsTally(userID int64) tally {
	return tally{"mails " + strconv.FormatInt(userID, 10), mailsLimit, false}
}

// askedTally counts what somebody asks for from an address.
func askedTally(what, prefix string) tally { return tally{what + " by " + prefix, askedLimit, false} }

// confirmsTally counts the new addresses that a user gives for theirs.
func confirmsTally(userID int64) tally {
	return tally{"confirms " + strconv.FormatInt(userID, 10), mailsLimit, false}
}

// addressMailsTally counts the mails that ask whether an address is the user's: it may be that of somebody who has nothing
// to do with any of them.
func (a *Auth) addressMailsTally(email string) tally {
	return tally{"confirms of " + a.attemptMAC(store.EmailKey(email)), mailsLimit, false}
}

// nobodysMailsTally counts where there is nothing to send, as if there were. Nothing follows from the count, so many share
// one: else the rows would be as many as the names that somebody can make up.
func (a *Auth) nobodysMailsTally(name, email string) tally {
	return tally{"mails nobody " + a.attemptMAC(store.NameKey(name) + " " + store.EmailKey(email))[:3], mailsLimit, false}
}

// attemptMAC stands for a text in a key of attempts: people type their password where a name belongs.
func (a *Auth) attemptMAC(text string) string {
	h := hmac.New(sha256.New, a.tokens.keys[0].attempt)
	h.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}

// addressPrefix is what of an address is taken for one sender: all of IPv4, and of IPv6 the /64 that one subscriber has.
// It is "" if there is no address, as behind a Unix socket.
func addressPrefix(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	addr = addr.Unmap()
	if addr.Is4() {
		return addr.String()
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return ""
	}
	return prefix.String()
}
