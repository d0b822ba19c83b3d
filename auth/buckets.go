package auth

import (
	"cmp"
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

	// siteLimit is for an IPv6 /48, which is one provider's customer: a house or a whole campus.
	// So it has ten times the limit of a network. A stranger's 65,536 networks in it count no more
	// than that.
	siteLimit = throttle.Limit{
		Free: 10 * networkLimit.Free, Window: networkLimit.Window, Slowed: true,
	}

	// passesLimit is for right passwords of one user, each of which costs a hash and a session. It
	// is far above what scripts do that log in for every run: forty a minute.
	passesLimit = throttle.Limit{Free: 600, Window: 15 * time.Minute}

	// networkPassesLimit is the same for all users of a network. A large office that begins to work
	// does not reach it.
	networkPassesLimit = throttle.Limit{
		Free: 10 * passesLimit.Free, Window: passesLimit.Window,
	}

	// newNetworksLimit is for logins from new networks that have an event of their own, and for
	// mails about them.
	newNetworksLimit = throttle.Limit{Free: 20, Window: 24 * time.Hour}

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

	// siteAskedLimit is the same for an IPv6 /48, see siteLimit.
	siteAskedLimit = throttle.Limit{Free: siteLimit.Free, Window: siteLimit.Window}
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

// loginBuckets are what a stranger's login counts against. For a name of no user, two of them are
// as much work as the keys that only a user has. Otherwise the time would show who is one.
func loginBuckets(keys *token.Keyring, userID int64, name, ip string) []throttle.Bucket {
	buckets := []throttle.Bucket{nameBucket(keys, userID, name)}
	if userID == 0 {
		mac := keys.MACs(token.Throttle, store.NameKey(name))[0]
		buckets = append(buckets,
			newBucket("nobody "+mac, throttle.Limit{}), newPasses("nobody "+mac, passesLimit))
	} else {
		buckets = append(buckets, passesBucket(userID, false))
	}
	return append(buckets, networkBuckets(ip)...)
}

// networkBuckets count failed logins from the network of an address and from the site above it, and
// the right passwords from the larger of the two. A success clears no failures: otherwise anybody
// with an account would start anew with each login to it.
func networkBuckets(ip string) []throttle.Bucket {
	network, site := throttle.NetworkOf(ip), throttle.SiteOf(ip)
	if network == "" {
		return nil
	}
	buckets := []throttle.Bucket{newBucket("address "+network, networkLimit)}
	if site != "" {
		buckets = append(buckets, newBucket("address "+site, siteLimit))
	}
	for i := range buckets {
		buckets[i].Waivable = true
	}
	return append(buckets, newPasses(cmp.Or(site, network), networkPassesLimit))
}

// passesBucket counts the right passwords of a user, whatever follows from them. Those of known
// devices and sessions count apart, so that a thief of the password alone cannot keep the user out.
func passesBucket(userID int64, known bool) throttle.Bucket {
	key := decimal(userID)
	if known {
		key += " known"
	}
	return newPasses(key, passesLimit)
}

// newNetworksBucket counts the new networks that a user logs in from.
func newNetworksBucket(userID int64) throttle.Bucket {
	return newBucket("new networks "+decimal(userID), newNetworksLimit)
}

// newNetworkMailsBucket counts the mails about new networks of a user. A thief of the password may
// have any number of networks, and other mails would wait behind those about them.
func newNetworkMailsBucket(userID int64) throttle.Bucket {
	return newBucket("new network mails "+decimal(userID), newNetworksLimit)
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

// codesBucket counts wrong codes of a second factor: of strangers, of all known devices of the
// user, or of one session, see sessionCodes. They count apart, so that a thief of the password
// alone cannot keep the user out, and a thief of a session only that session. A success clears
// nothing: otherwise every login of the user would allow a thief of the password twenty more
// guesses.
func codesBucket(userID int64, from string) throttle.Bucket {
	key := "codes " + decimal(userID)
	if from != "" {
		key += " " + from
	}
	return newBucket(key, codesLimit)
}

// Where codes come from. "marked" is an old word for known devices, see devicesBucket.
const (
	strangersCodes = ""
	devicesCodes   = "marked"
)

func sessionCodes(c Caller) string { return "session " + c.SessionID }

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

// askedBuckets count what the network of an address requests, and the site above it.
func askedBuckets(what, ip string) []throttle.Bucket {
	network := throttle.NetworkOf(ip)
	if network == "" {
		return nil
	}
	buckets := []throttle.Bucket{newBucket(what+" by "+network, askedLimit)}
	if site := throttle.SiteOf(ip); site != "" {
		buckets = append(buckets, newBucket(what+" by "+site, siteAskedLimit))
	}
	return buckets
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

// newPasses returns a bucket that counts right passwords.
func newPasses(whose string, limit throttle.Limit) throttle.Bucket {
	b := newBucket("passes "+whose, limit)
	b.Passes = true
	return b
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }
