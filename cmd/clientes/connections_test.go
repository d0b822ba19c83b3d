package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/cmd/clientes/config"
)

func TestConnectionLimit(t *testing.T) {
	for descriptors, want := range map[uint64]int{
		0: 0, 20: 10, 256: 128, 300: 172, 1024: 896, 4224: 4096, 1 << 20: 4096, 1<<64 - 1: 4096,
	} {
		if got := connectionLimit(descriptors); got != want {
			t.Errorf("of %d descriptors %d are for connections, want %d", descriptors, got, want)
		}
	}
}

// fakeConn is a connection from an address.
type fakeConn struct {
	net.Conn
	from   string
	closed bool
}

func (c *fakeConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.from))
}

func (c *fakeConn) Close() error { c.closed = true; return nil }

// A history of four connections at most. A step is a name, which begins with the letter of an
// address, and a state: + for new, ! for active, ~ for idle, - for closed. Then follows which are
// closed by the server.
func TestWhichConnectionIsClosed(t *testing.T) {
	addresses := map[byte]string{
		'a': "192.0.2.1:1", 'b': "192.0.2.2:1", 'c': "192.0.2.3:1", 'd': "192.0.2.4:1",
		'e': "192.0.2.5:1", 'p': "10.0.0.1:1", 'l': "127.0.0.1:1",
		'6': "[2001:db8::1]:1", '7': "[2001:db8:0:99::2]:1", 'z': "[fe80::1%eth0]:1",
	}
	states := map[byte]http.ConnState{
		'+': http.StateNew, '!': http.StateActive, '~': http.StateIdle, '-': http.StateClosed,
	}
	for _, c := range []struct{ name, steps, closed string }{
		{"there is room", "a1+ a2+ a3+ a4+ a4- a5+", ""},
		{"whoever has most loses", "a1+ a2+ a3+ b1+ c1+", "a1"},
		{"and the longest idle of theirs", "a1+ a2+ a3+ a1! a1~ b1+ c1+", "a2"},
		{"half headers lose", "a1+ a2+ a3+ a4+ b1+ b1! c1+ c1! d1+", "a1 a2 a3"},
		{"what waits rather than what is under way", "a1+ a1! a2+ a3+ a3! b1+ c1+", "a2"},
		{"a request under way of whoever has most", "a1+ a1! a2+ a2! a3+ a3! b1+ b1! c1+", "a1"},
		{"but not for their own", "a1+ a1! a2+ a2! a3+ a3! a4+ a4! a5+", "a5"},
		{"nor for those who have as many", "a1+ a1! b1+ b1! c1+ c1! d1+ d1! e1+", "e1"},
		{"whoever has most takes nothing from the others", "a1+ a1! a2+ a2! a3+ a3! b1+ a4+", "a4"},
		{"of many equals the longest idle", "a1+ b1+ c1+ d1+ b1! b1~ a1! e1+", "c1"},
		{"a second one of a browser takes an idle one",
			"a1+ a1! a1~ b1+ b1! b1~ c1+ c1! c1~ d1+ d1! d2+", "a1"},
		{"proxies come last", "p1+ p2+ p3+ a1+ b1+", "a1"},
		{"this machine, too", "l1+ l2+ l3+ a1+ b1+", "a1"},
		{"but proxies alone lose what is idle", "p1+ p1! p2+ p2! p2~ p3+ p3! p4+ p4! p5+", "p2"},
		{"and nothing under way", "p1+ p1! p2+ p2! p3+ p3! p4+ p4! p5+ a1+", "p5 a1"},
		{"a proxy takes from strangers", "a1+ a1! p1+ p1! p2+ p2! p3+ p3! p4+", "a1"},
		{"a /48 is one network", "61+ 71+ a1+ b1+ c1+", "61"},
		{"a zone is no part of an address", "z1+ z2+ a1+ b1+ c1+", "z1"},
		{"what was closed is forgotten", "a1+ a2+ a3+ a4+ b1+ a1! a1~ a1- a2- b2+", "a1"},
	} {
		log := new(authtest.Log)
		bound := newConnections(4, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
			slog.New(slog.NewTextHandler(log, nil)))
		conns := make(map[string]*fakeConn)
		var closed []string
		for step := range strings.FieldsSeq(c.steps) {
			name, state := step[:len(step)-1], states[step[len(step)-1]]
			if state == http.StateNew {
				conns[name] = &fakeConn{from: addresses[name[0]]}
			}
			bound.changed(conns[name], state)
			for name, conn := range conns {
				if conn.closed {
					conn.closed = false
					closed = append(closed, name)
				}
			}
		}
		if got := strings.Join(closed, " "); got != c.closed {
			t.Errorf("%s: %q is closed, want %q", c.name, got, c.closed)
		}
		total := 0
		for _, n := range bound.of {
			total += n
		}
		if total != len(bound.all) || total > 4 {
			t.Errorf("%s: it counts %d and %d", c.name, total, len(bound.all))
		}
		if warnings := strings.Count(log.String(), "too many connections"); warnings > 1 ||
			(warnings == 1) != (c.closed != "") {
			t.Errorf("%s: the log has %s", c.name, log.String())
		}
	}
}

// A flood of connections is told of once a minute, with their number.
func TestConnectionsAreWarnedOfOnceAMinute(t *testing.T) {
	log := new(authtest.Log)
	clock := authtest.StoppedAt(time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC))
	bound := newConnections(1, nil, slog.New(slog.NewTextHandler(log, nil)))
	bound.now = clock.Now
	for range 121 {
		bound.changed(&fakeConn{from: "192.0.2.1:1"}, http.StateNew)
		clock.Advance(time.Second)
	}
	got := log.String()
	if strings.Count(got, "closed=") != 2 || !strings.Contains(got, "closed=60") {
		t.Errorf("the log has\n%s", got)
	}
}

// from returns a client of one loopback address with a connection for each request.
func from(address string) *http.Client {
	return &http.Client{
		Timeout: authtest.Timeout,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext:       (&net.Dialer{LocalAddr: localAddr(address)}).DialContext,
		},
	}
}

func localAddr(address string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(address)} }

// Whatever a stranger holds open at a server with few descriptors, it answers others, and a login.
func TestConnectionsOfAStrangerKeepNobodyOut(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has the addresses 127.0.0.2 and on")
	}
	needs(t, "sh")
	secretIn(t)
	call(t, nil, goodPassword, "user", "add", "ana", "--password-stdin").want(t, 0, "ana", "")
	cmd := command(t, nil, "serve")
	limited := exec.CommandContext(t.Context(), "sh", "-c", `ulimit -n 256; exec "$0" serve`,
		cmd.Path)
	limited.Env = cmd.Env
	s := beginCommand(t, limited)
	s.wantListening(t)
	s.wantReady(t)
	login := `{"user":"ana","password":"` + goodPassword + `"}`
	const head = "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	for _, attack := range []struct{ name, text string }{
		{"nothing", ""},
		{"half a header", "GET /healthz HTTP/1.1\r\nX-"},
		{"half a body", head + "Content-Length: 100\r\n\r\n{"},
		{"half a chunked body", head + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"},
		{"a whole request", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"requests without reading", strings.Repeat(
			"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n", 20)},
	} {
		var held []net.Conn
		for range 300 {
			d := net.Dialer{LocalAddr: localAddr("127.0.0.2"), Timeout: authtest.Timeout}
			conn, err := d.Dial("tcp", s.addr)
			authtest.Must(t, err)
			held = append(held, conn)
			_, _ = io.WriteString(conn, attack.text) // the server may have closed it
		}
		for i := range 20 {
			client := from(fmt.Sprintf("127.0.0.%d", 3+i%2))
			resp, err := client.Get(s.url("/healthz"))
			if err != nil {
				t.Errorf("%s: %v", attack.name, err)
				break
			}
			resp.Body.Close()
		}
		resp, err := from("127.0.0.3").Post(s.url("/login"), "application/json",
			strings.NewReader(login))
		if err != nil {
			t.Errorf("%s: %v", attack.name, err)
		} else if resp.Body.Close(); resp.StatusCode != 200 {
			t.Errorf("%s: a login answered %s", attack.name, resp.Status)
		}
		for _, conn := range held {
			conn.Close()
		}
	}
	if log := s.stderr.String(); !strings.Contains(log, "too many connections") ||
		strings.Contains(log, "too many open files") {
		t.Errorf("the log has %s", log)
	}
}

// A server that believes everybody warns at its start.
func TestTrustingEverybodyIsWarnedOf(t *testing.T) {
	for proxies, want := range map[string]bool{
		"": false, "10.0.0.0/8": false, "10.0.0.0/8,0.0.0.0/0": true, "::/0": true,
	} {
		inFolder(t, nil)
		c, err := config.Load(environment(map[string]string{"TRUSTED_PROXIES": proxies}))
		authtest.Must(t, err)
		log := new(authtest.Log)
		warnOfExposure(c, c.PublicURLAt(nil), slog.New(slog.NewTextHandler(log, nil)))
		if got := strings.Contains(log.String(), "TRUSTED_PROXIES"); got != want {
			t.Errorf("%q: the log has %q", proxies, log.String())
		}
	}
}
