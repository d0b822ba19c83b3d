package postgrestest

import (
	"context"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Cable is the network between a client and a database. A test can cut it and join it again.
type Cable struct {
	listener net.Listener
	network  string // of the server
	address  string

	mu    sync.Mutex
	state CableState
	delay time.Duration
	pairs map[*cablePair]bool
}

// CableState is what a cable does to connections.
type CableState string

// A broken cable closes every connection, and each new one at once. A silent one keeps connections
// and accepts new ones, but nothing passes through them, as behind a firewall that has forgotten
// them.
const (
	Joined CableState = "joined"
	Broken CableState = "broken"
	Silent CableState = "silent"
)

type cablePair struct {
	near, far net.Conn // far is nil if the pair never reached the server
	deaf      bool     // nothing passes anymore
}

func (p *cablePair) close() {
	p.near.Close()
	if p.far != nil {
		p.far.Close()
	}
}

// NewCable returns a cable that lasts until t ends, and the URL of the database through it.
func NewCable(t testing.TB, databaseURL string) (c *Cable, through string) {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	config, err := pgconn.ParseConfig(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c = &Cable{listener: listener, state: Joined, pairs: make(map[*cablePair]bool)}
	c.network, c.address = pgconn.NetworkAddress(config.Host, config.Port)
	var carrying sync.WaitGroup
	carrying.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			c.accept(near, &carrying)
		}
	})
	t.Cleanup(func() {
		listener.Close()
		c.mu.Lock()
		for p := range c.pairs {
			p.close()
		}
		c.mu.Unlock()
		carrying.Wait()
	})
	u.Host = listener.Addr().String()
	q := u.Query()
	q.Del("host")
	q.Del("port")
	u.RawQuery = q.Encode()
	return c, u.String()
}

func (c *Cable) accept(near net.Conn, carrying *sync.WaitGroup) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &cablePair{near: near, deaf: c.state == Silent}
	if c.state == Joined {
		p.far, _ = dial(context.Background(), c.network, c.address)
	}
	if p.far == nil && !p.deaf {
		near.Close()
		return
	}
	c.pairs[p] = true
	carrying.Go(func() { c.carry(p, p.near, p.far) })
	if p.far != nil {
		carrying.Go(func() { c.carry(p, p.far, p.near) })
	}
}

// carry moves data until either end closes. Nothing passes once Cut has returned.
func (c *Cable) carry(p *cablePair, from, to net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		c.mu.Lock()
		delay := c.delay
		if to == p.far {
			delay = 0
		}
		c.mu.Unlock()
		time.Sleep(delay)
		c.mu.Lock()
		if n > 0 && !p.deaf {
			to.Write(buffer[:n])
		}
		if err != nil {
			p.close()
			delete(c.pairs, p)
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
	}
}

// Cut makes the cable broken or silent.
func (c *Cable) Cut(how CableState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = how
	for p := range c.pairs {
		p.deaf = true
		if how == Broken {
			p.close()
		}
	}
}

// Slow delays what the server answers.
func (c *Cable) Slow(delay time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delay = delay
}

// Lead makes new connections lead to another database, as after a failover. Only the server of its
// URL counts.
func (c *Cable) Lead(t testing.TB, databaseURL string) {
	t.Helper()
	config, err := pgconn.ParseConfig(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.network, c.address = pgconn.NetworkAddress(config.Host, config.Port)
}

// Join lets new connections through. Those that were cut stay cut.
func (c *Cable) Join() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = Joined
}
