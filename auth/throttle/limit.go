package throttle

import (
	"net/netip"
	"time"

	"clientes/store"
)

// Bucket is one thing that an attempt counts against: a user name, a network, a device.
type Bucket struct {
	// Keys names the rows of the bucket in the store, at least one. They must hold nothing that has
	// to stay secret. All rows have the same count. Where they differ, because another process
	// knows only some of the keys, the highest counts.
	Keys  []string
	Limit Limit

	// Waivable means that a [Waiver] may stand in for the wait of the bucket.
	Waivable bool

	// Cleared means that a success empties the bucket. Otherwise a success just does not count
	// itself.
	Cleared bool

	// Passes makes the bucket count the attempts that pass, not those that fail. Reserve then only
	// looks whether there were too many: an attempt counts in Pass or Succeed. So of many at once,
	// a few more than Free may pass.
	Passes bool
}

// Limit is how often somebody may fail, or request something.
type Limit struct {
	// Free is how many are let through without a wait, within Window from the first of them on.
	// With 0 nothing is counted, and everything is let through.
	Free   int64
	Window time.Duration

	// InARow makes Window begin anew with each of them.
	InARow bool

	// Slowed makes each attempt beyond Free wait, longer and longer. Otherwise none is let through
	// until Window is over.
	Slowed bool

	// Refuse is the error that refuses attempts beyond Free, if it is not a *[TooManyError].
	Refuse error
}

const (
	firstWait   = time.Second
	longestWait = 15 * time.Minute
)

// wait returns how long the next attempt after that many failures has to wait.
func (l Limit) wait(failures int64) time.Duration {
	over := failures - l.Free
	if over < 0 {
		return 0
	}
	if over > 20 { // or the shift would overflow
		return longestWait
	}
	return min(firstWait<<over, longestWait)
}

// settled returns a bucket as it counts at now: empty if nothing needs it any more. A time that
// lies ahead was written by a clock that was ahead. It is pulled back to now, so that nobody waits
// for longer than the limit says.
func (l Limit) settled(b store.Bucket, now time.Time) store.Bucket {
	if !now.Before(b.ForgetAt) {
		return store.Bucket{Key: b.Key}
	}
	b.Since, b.LastAt = earliest(b.Since, now), earliest(b.LastAt, now)
	most := b
	l.settle(&most)
	b.BlockedUntil = earliest(b.BlockedUntil, most.BlockedUntil)
	b.ForgetAt = earliest(b.ForgetAt, most.ForgetAt)
	return b
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// count counts an attempt that is let through now.
func (l Limit) count(b *store.Bucket, now time.Time) {
	switch {
	case l.Free == 0:
		return
	case b.Count == 0:
		b.Since = now
	}
	b.Count++
	b.LastAt = now
	l.settle(b)
}

// settle sets until when a bucket blocks others, and from when on nothing needs its row.
func (l Limit) settle(b *store.Bucket) {
	b.BlockedUntil = time.Time{}
	b.ForgetAt = b.Since.Add(l.Window)
	if l.InARow {
		b.ForgetAt = b.LastAt.Add(l.Window)
	}
	switch {
	case b.Count < l.Free:
	case l.Slowed:
		b.BlockedUntil = b.LastAt.Add(l.wait(b.Count))
		if last := b.BlockedUntil.Add(longestWait); last.After(b.ForgetAt) {
			b.ForgetAt = last
		}
	default:
		b.BlockedUntil = b.ForgetAt
	}
}

// pass counts an attempt that has passed, unless others have used up the limit meanwhile.
func (l Limit) pass(b *store.Bucket, now time.Time) {
	*b = l.settled(*b, now)
	if !b.BlockedUntil.After(now) {
		l.count(b, now)
	}
}

// NetworkOf returns the network of an address that counts as one sender: a single IPv4 address, or
// the /64 of IPv6 that one subscriber has. It returns "" if ip is no address, as behind a Unix
// socket.
func NetworkOf(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	if addr = addr.Unmap(); addr.Is4() {
		return addr.String()
	}
	return prefixOf(addr, 64)
}

// SiteOf returns the /48 of IPv6 that an address is in, "" for any other address. One customer of a
// provider may have that much: 65,536 networks of [NetworkOf].
func SiteOf(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Unmap().Is4() {
		return ""
	}
	return prefixOf(addr, 48)
}

func prefixOf(addr netip.Addr, bits int) string {
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return ""
	}
	return prefix.String()
}
