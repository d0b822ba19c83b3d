package auth

import (
	"errors"
	"strconv"
	"time"

	"clientes/auth/throttle"
	"clientes/auth/token"
	"clientes/store"
)

// How often somebody may fail, or request something.
var (
	nameLimit   = throttle.Limit{Free: 5, Window: 24 * time.Hour, InARow: true, Slowed: true}
	deviceLimit = nameLimit

	// networkLimit has a short window, because many people may share a network: its bucket empties
	// after 15 quiet minutes. Whoever stays below 50 in 15 minutes is not slowed at all, so a
	// longer memory would stop only honest people.
	networkLimit = throttle.Limit{Free: 50, Window: 15 * time.Minute, Slowed: true}

	// devicesLimit is for all devices of a user together.
	devicesLimit = throttle.Limit{Free: 50, Window: 24 * time.Hour, Refuse: errDevicesUsed}

	// codesLimit is for wrong codes of a second factor.
	codesLimit = throttle.Limit{Free: 20, Window: 24 * time.Hour}

	// mailsLimit is for links that anybody may have sent to a user.
	mailsLimit = throttle.Limit{Free: 3, Window: time.Hour, InARow: true}

	// askedLimit is for links and new accounts that one network requests. It is as high as for
	// failed logins, because the network may be many people's.
	askedLimit = throttle.Limit{Free: networkLimit.Free, Window: networkLimit.Window}
)

// errDevicesUsed means that too many attempts from all devices of a user have failed. Their device
// tokens are worth nothing for a while.
var errDevicesUsed = errors.New("too many have failed with a device token of this user")

// nameBucket counts attempts on a user name, whoever tries it, and whether or not it is a user's.
// People type their password there, so the key has a MAC of the name.
func nameBucket(keys *token.Keyring, name string) throttle.Bucket {
	mac := keys.MAC(token.Throttle, store.NameKey(name))
	return throttle.Bucket{Key: "name " + mac, Limit: nameLimit, Cleared: true}
}

// loginBuckets are what a stranger's login counts against.
func loginBuckets(keys *token.Keyring, name, ip string) []throttle.Bucket {
	buckets := []throttle.Bucket{nameBucket(keys, name)}
	if network := throttle.NetworkOf(ip); network != "" {
		buckets = append(buckets, networkBucket(network))
	}
	return buckets
}

// networkBucket counts failed logins from a network. A success clears nothing: otherwise anybody
// with an account would start anew with each login to it.
func networkBucket(network string) throttle.Bucket {
	return throttle.Bucket{Key: "address " + network, Limit: networkLimit}
}

// deviceBucket counts failed logins from a device of a user.
func deviceBucket(userID int64, device string) throttle.Bucket {
	return throttle.Bucket{
		Key: "device " + decimal(userID) + " " + device, Limit: deviceLimit, Cleared: true,
	}
}

// devicesBucket counts failed logins from all devices of a user. "marks" is an old word for device
// tokens. Another key would start the count anew after an update.
func devicesBucket(userID int64) throttle.Bucket {
	return throttle.Bucket{Key: "marks " + decimal(userID), Limit: devicesLimit}
}

// codesBucket counts wrong codes of a second factor. Those from a known device count apart, so
// that a thief of the password alone cannot keep the user out. A success clears nothing: otherwise
// every login of the user would allow a thief of the password twenty more guesses.
func codesBucket(userID int64, known bool) throttle.Bucket {
	key := "codes " + decimal(userID)
	if known {
		key += " marked"
	}
	return throttle.Bucket{Key: key, Limit: codesLimit}
}

// mailsBucket counts mails that anybody may have sent to a user.
func mailsBucket(userID int64) throttle.Bucket {
	return throttle.Bucket{Key: "mails " + decimal(userID), Limit: mailsLimit}
}

// noMailsBucket counts where there is nothing to send, as if there were. Nothing follows from the
// count, so many names share a bucket. Otherwise there would be as many rows as somebody can make
// up names.
func noMailsBucket(keys *token.Keyring, name, email string) throttle.Bucket {
	mac := keys.MAC(token.Throttle, store.NameKey(name)+" "+store.EmailKey(email))
	return throttle.Bucket{Key: "mails nobody " + mac[:3], Limit: mailsLimit}
}

// askedBucket counts what a network requests.
func askedBucket(what, network string) throttle.Bucket {
	return throttle.Bucket{Key: what + " by " + network, Limit: askedLimit}
}

// confirmsBucket counts the new emails that a user asks to have confirmed.
func confirmsBucket(userID int64) throttle.Bucket {
	return throttle.Bucket{Key: "confirms " + decimal(userID), Limit: mailsLimit}
}

// confirmsToBucket counts the mails that ask whether an email is the user's. It may belong to
// somebody who has nothing to do with any user.
func confirmsToBucket(keys *token.Keyring, email string) throttle.Bucket {
	return throttle.Bucket{
		Key: "confirms of " + keys.MAC(token.Throttle, store.EmailKey(email)), Limit: mailsLimit,
	}
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }
