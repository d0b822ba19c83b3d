package main

import (
	"cmp"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

const (
	// maxConnections is how many connections there may be at once, whatever the system allows. With
	// its buffers, one takes some 25 KB.
	maxConnections = 4096

	// spareDescriptors are for everything but connections of clients: the store, temporary files of
	// transfers, the hasher, mail, the log.
	spareDescriptors = 128

	// few is how many connections a browser opens to one server, and some.
	few = 8

	// siteBits are those of the network that one subscriber has at most: an address of IPv4, or a
	// /48 of IPv6. Each of its 65,536 networks would otherwise count as a stranger of its own.
	siteBits = 48

	// connectionsPause is the least time between two warnings.
	connectionsPause = time.Minute
)

// connectionLimit returns how many connections there may be in a process that may have so many
// descriptors open. Without a descriptor the server could not even answer /healthz.
func connectionLimit(descriptors uint64) int {
	descriptors = min(descriptors, maxConnections+spareDescriptors)
	return int(max(descriptors/2, descriptors-min(descriptors, spareDescriptors)))
}

// connections bounds the connections of an [http.Server]. One more is let in, and closes another
// one of the network that has most: the one that has waited longest, or else the one whose request
// has been under way longest. So whoever opens many loses their own, and keeps nobody out.
//
// A proxy has many for many people. Connections of trusted proxies, and of 127.0.0.1 and ::1, where
// one may run that is not configured, are closed after all others. They are never closed while a
// request is under way.
type connections struct {
	limit   int
	proxies []netip.Prefix
	now     func() time.Time
	log     *slog.Logger

	mu      sync.Mutex
	all     map[net.Conn]*connection
	of      map[netip.Prefix]int // how many each network has
	changes uint64               // of the states of all
	closed  int                  // since the last warning
	warned  time.Time
}

// connection is what is known about one of them.
type connection struct {
	network netip.Prefix
	proxy   bool           // or of 127.0.0.1 or ::1
	state   http.ConnState // new until all of the first header has arrived
	since   uint64         // which of the changes made it so
}

func (x *connection) waits() bool { return x.state != http.StateActive }

func newConnections(limit int, proxies []netip.Prefix, log *slog.Logger) *connections {
	return &connections{
		limit: limit, proxies: proxies, now: time.Now, log: log,
		all: make(map[net.Conn]*connection), of: make(map[netip.Prefix]int),
	}
}

// changed is the ConnState of a server. The server accepts the next connection only when it has
// returned.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	if excess := c.change(conn, state); excess != nil {
		excess.Close()
	}
}

// change returns a connection that has to be closed, or nil.
func (c *connections) change(conn net.Conn, state http.ConnState) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	x := c.all[conn]
	switch {
	case state == http.StateNew:
		x = c.newConnection(conn)
		c.all[conn] = x
		c.of[x.network]++
	case x == nil: // it was closed for another one
		return nil
	case state == http.StateClosed || state == http.StateHijacked:
		c.forget(conn)
		return nil
	}
	x.state, x.since = state, c.changes
	if len(c.all) <= c.limit {
		return nil
	}
	excess := c.excess(conn)
	c.forget(excess)
	c.warn()
	return excess
}

func (c *connections) newConnection(conn net.Conn) *connection {
	from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return &connection{}
	}
	addr := from.Addr().Unmap().WithZone("")
	network, _ := addr.Prefix(min(addr.BitLen(), siteBits)) // no error, for there are as many bits
	x := &connection{network: network}
	x.proxy = addr == netip.IPv6Loopback() || addr == netip.AddrFrom4([4]byte{127, 0, 0, 1})
	for _, p := range c.proxies {
		x.proxy = x.proxy || p.Contains(addr)
	}
	return x
}

func (c *connections) forget(conn net.Conn) {
	network := c.all[conn].network
	delete(c.all, conn)
	if c.of[network]--; c.of[network] == 0 {
		delete(c.of, network)
	}
}

// excess returns the connection that has to go for another one. That is the other one itself, if
// nobody can spare one.
func (c *connections) excess(newcomer net.Conn) net.Conn {
	has := c.of[c.all[newcomer].network]
	if c.all[newcomer].proxy {
		has = 0
	}
	excess := newcomer
	for conn, x := range c.all {
		if conn != newcomer && c.canSpare(x, has) &&
			(excess == newcomer || c.goesBefore(x, c.all[excess])) {
			excess = conn
		}
	}
	return excess
}

// canSpare reports whether a connection may be closed for another one of a network that has so
// many. Whoever has many takes nothing from those who have fewer. Whoever has few may take what is
// idle: its client opens another one when it needs it.
func (c *connections) canSpare(x *connection, has int) bool {
	switch n := c.of[x.network]; x.state {
	case http.StateIdle:
		return n >= has || has <= few
	case http.StateNew:
		return n >= has
	default:
		return n > has && !x.proxy
	}
}

// goesBefore reports whether a rather than b is closed for another one.
func (c *connections) goesBefore(a, b *connection) bool {
	falseFirst := func(x, y bool) int {
		switch {
		case x == y:
			return 0
		case y:
			return -1
		}
		return 1
	}
	return cmp.Or(
		falseFirst(a.proxy, b.proxy),
		cmp.Compare(c.of[b.network], c.of[a.network]),
		falseFirst(b.waits(), a.waits()),
		cmp.Compare(a.since, b.since),
	) < 0
}

// warn logs that connections were closed, once in a while.
func (c *connections) warn() {
	c.closed++
	now := c.now()
	if now.Sub(c.warned) < connectionsPause {
		return
	}
	c.log.Warn("too many connections: for each more, one is closed of the network that has most; "+
		"the limit is below that of open files (ulimit -n), and 4096 at most",
		"limit", c.limit, "closed", c.closed)
	c.warned, c.closed = now, 0
}
