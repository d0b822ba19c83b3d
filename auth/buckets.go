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

	// halfLoginLimit is for mails that wait whether a login gets its second factor after all, and
	// halfLoginsLimit for those that are sent.
	halfLoginLimit  = throttle.Limit{Free: 1, Window: 10 * time.Minute}
	halfLoginsLimit = throttle.Limit{Free: 1, Window: 24 * time.Hour}

	// askedLimit is for links and new accounts that one network requests. It is as high as for
	// failed logins, because the network may be many people's.
	askedLimit = throttle.Limit{Free: networkLimit.Free, Window: networkLimit.Window}
)

// errDevicesUsed means that too many attempts from all devices of a user have failed. Their device
// tokens are worth nothing for a while.
var errDevicesUsed = errors.New("too many have failed with a device token of this user")

// nameBucket counts attempts on a user name, whoever tries it, and whether or not it is a user's.
//
// People type their password where a name belongs. So a name is in no key, only its MAC. There is a
// key for the MAC under each secret, because replicas may know different ones while a secret is
// replaced. A user's count has one more key, which no secret changes.
func nameBucket(keys *token.Keyring, userID int64, name string) throttle.Bucket {
	b := throttle.Bucket{Limit: nameLimit, Cleared: true, Waivable: true}
	if userID != 0 {
		b.Keys = append(b.Keys, "name of "+decimal(userID))
	}
	for _, mac := range keys.MACs(token.Throttle, store.NameKey(name)) {
		b.Keys = append(b.Keys, "name "+mac)
	}
	return b
}

// loginBuckets are what a stranger's login counts against. For a name of no user, one of them is as
// much work as the key that only a user has. Otherwise the time would show who is one.
func loginBuckets(keys *token.Keyring, userID int64, name, ip string) []throttle.Bucket {
	buckets := []throttle.Bucket{nameBucket(keys, userID, name)}
	if userID == 0 {
		key := "nobody " + keys.MACs(token.Throttle, store.NameKey(name))[0]
		buckets = append(buckets, newBucket(key, throttle.Limit{}))
	}
	if network := throttle.NetworkOf(ip); network != "" {
		buckets = append(buckets, networkBucket(network))
	}
	return buckets
}

// networkBucket counts failed logins from a network. A success clears nothing: otherwise anybody
// with an account would start anew with each login to it.
func networkBucket(network string) throttle.Bucket {
	b := newBucket("address "+network, networkLimit)
	b.Waivable = true
	return b
}

// deviceBucket counts failed logins from a device of a user.
func deviceBucket(userID int64, device string) throttle.Bucket {
	b := newBucket("device "+decimal(userID)+" "+device, deviceLimit)
	b.Cleared = true
	return b
}

// devicesBucket counts failed logins from all devices of a user. "marks" is an old word for device
// tokens. Another key would start the count anew after an update.
func devicesBucket(userID int64) throttle.Bucket {
	return newBucket("marks "+decimal(userID), devicesLimit)
}

// codesBucket counts wrong codes of a second factor. Those from a known device count apart, so
// that a thief of the password alone cannot keep the user out. A success clears nothing: otherwise
// every login of the user would allow a thief of the password twenty more guesses.
func codesBucket(userID int64, known bool) throttle.Bucket {
	key := "codes " + decimal(userID)
	if known {
		key += " marked"
	}
	return newBucket(key, codesLimit)
}

// mailsBucket counts mails that anybody may have sent to a user.
func mailsBucket(userID int64) throttle.Bucket {
	return newBucket("mails "+decimal(userID), mailsLimit)
}

// noMailsBucket counts where there is nothing to send, as if there were. Nothing follows from the
// count, so many names share a bucket. Otherwise there would be as many rows as somebody can make
// up names.
func noMailsBucket(keys *token.Keyring, name, email string) throttle.Bucket {
	mac := keys.MACs(token.Throttle, store.NameKey(name)+" "+store.EmailKey(email))[0]
	return newBucket("mails nobody "+mac[:3], mailsLimit)
}

// askedBucket counts what a network requests.
func askedBucket(what, network string) throttle.Bucket {
	return newBucket(what+" by "+network, askedLimit)
}

// confirmsBucket counts the new emails that a user asks to have confirmed.
func confirmsBucket(userID int64) throttle.Bucket {
	return newBucket("confirms "+decimal(userID), mailsLimit)
}

// confirmsToBucket counts the mails that ask whether an email is the user's. It may belong to
// somebody who has nothing to do with any user.
func confirmsToBucket(keys *token.Keyring, email string) throttle.Bucket {
	b := throttle.Bucket{Limit: mailsLimit}
	for _, mac := range keys.MACs(token.Throttle, store.EmailKey(email)) {
		b.Keys = append(b.Keys, "confirms of "+mac)
	}
	return b
}

// halfLoginBucket counts the mails about a right password without a right code that are queued
// because of one network.
func halfLoginBucket(userID int64, network string) throttle.Bucket {
	return newBucket("half "+decimal(userID)+" by "+network, halfLoginLimit)
}

// halfLoginsBucket counts those that are sent.
func halfLoginsBucket(userID int64) throttle.Bucket {
	return newBucket("half "+decimal(userID), halfLoginsLimit)
}

// cancelsBucket counts the mails about cancelled device tokens.
func cancelsBucket(userID int64) throttle.Bucket {
	return newBucket("cancels "+decimal(userID), mailsLimit)
}

// newBucket returns a bucket with one key.
func newBucket(key string, limit throttle.Limit) throttle.Bucket {
	return throttle.Bucket{Keys: []string{key}, Limit: limit}
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }
