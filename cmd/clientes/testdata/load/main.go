// Load is the client of the benchmarks, a process of its own beside server and database. It sends
// requests that are ready made, and reads of each answer the status and the length only.
//
// Each line of its input is an order in JSON, and so is the result of each in its output. The
// connections stay open for the next order.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"log"
	"math"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
)

// order is what to do.
type order struct {
	Addr        string `json:"addr"`
	Connections int    `json:"connections"`

	// Request is a whole request. Where it says {n}, one number after the other is sent: from
	// First, and after Numbers of them from First again. All of them have the same length.
	Request string `json:"request"`
	First   int64  `json:"first"`
	Numbers int64  `json:"numbers"`

	Want    string  `json:"want"` // what the status of an answer begins with, such as 20
	Seconds float64 `json:"seconds"`

	// Rate is how many requests begin in a second, whether or not others were answered (an open
	// loop). If it is 0, each connection sends one as soon as the last was answered (a closed one).
	Rate float64 `json:"rate"`
}

// result counts the requests by their answer.
type result struct {
	Answered int64   `json:"answered"`
	Refused  int64   `json:"refused"` // 503
	Unsent   int64   `json:"unsent"`  // in an open loop, because no connection was free
	Other    int64   `json:"other"`   // any other status, or none
	Fault    string  `json:"fault"`   // one of those
	Seconds  float64 `json:"seconds"`

	// Percentiles of the answered, in milliseconds. In an open loop the time counts from the
	// moment at which a request should have begun.
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`

	took []time.Duration
}

func main() {
	runtime.GOMAXPROCS(1) // leaves the other processors to server and database
	debug.SetGCPercent(800)
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	open := make(map[string]*pool)
	for in.Scan() {
		var o order
		if err := json.Unmarshal(in.Bytes(), &o); err != nil {
			log.Fatal(err)
		}
		p := open[o.Addr]
		if p == nil || len(p.conns) != o.Connections {
			if p != nil {
				p.close()
			}
			p = &pool{conns: make([]*conn, o.Connections)}
			open[o.Addr] = p
		}
		r, err := p.run(o)
		if err != nil {
			log.Fatal(err)
		}
		text, err := json.Marshal(r)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", text)
	}
}

// pool is the connections to one server.
type pool struct {
	conns []*conn
	next  atomic.Int64 // how many numbers the order has used
}

func (p *pool) close() {
	for _, c := range p.conns {
		c.Close()
	}
}

// run does what an order says, over connections that are open before the clock starts.
func (p *pool) run(o order) (r result, err error) {
	o.Numbers = max(1, o.Numbers)
	first := strconv.FormatInt(o.First, 10)
	if last := strconv.FormatInt(o.First+o.Numbers-1, 10); len(last) != len(first) {
		return r, fmt.Errorf("%s and %s are not of the same length", first, last)
	}
	for i := range p.conns {
		if p.conns[i] == nil {
			if p.conns[i], err = dial(o.Addr); err != nil {
				return r, err
			}
		}
		p.conns[i].prepare(o.Request, first)
	}
	p.next.Store(0)
	results := make([]result, len(p.conns))
	var free stack
	var workers sync.WaitGroup
	start := time.Now()
	end := start.Add(time.Duration(o.Seconds * float64(time.Second)))
	for i, c := range p.conns {
		c.begin = make(chan time.Time, 1)
		free.push(c)
		workers.Go(func() {
			for now := start; o.Rate == 0 && now.Before(end); now = time.Now() {
				p.exchange(c, o, now, &results[i])
			}
			for at := range c.begin {
				p.exchange(c, o, at, &results[i])
				free.push(c)
			}
		})
	}
	if o.Rate > 0 {
		r.Unsent = free.arrive(o.Rate, start, end)
	}
	for _, c := range p.conns {
		close(c.begin)
	}
	workers.Wait()
	r.Seconds = time.Since(start).Seconds()
	for _, w := range results {
		r.Answered += w.Answered
		r.Refused += w.Refused
		r.Other += w.Other
		if w.Fault != "" {
			r.Fault = w.Fault
		}
		r.took = append(r.took, w.took...)
	}
	slices.Sort(r.took)
	r.P50, r.P99 = r.percentile(50), r.percentile(99)
	return r, nil
}

// stack holds the connections that are free. The one that was used last is the next: many that
// take turns cost a server more than few.
type stack struct {
	mu    sync.Mutex
	conns []*conn
}

func (s *stack) push(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, c)
}

// pop returns nil if no connection is free.
func (s *stack) pop() (c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := len(s.conns) - 1; last >= 0 {
		c, s.conns = s.conns[last], s.conns[:last]
	}
	return c
}

// arrive tells a free connection each moment at which a request begins, and counts those for which
// there is none.
func (s *stack) arrive(rate float64, start, end time.Time) (unsent int64) {
	gap := float64(time.Second) / rate
	for i := 0.0; ; i++ {
		at := start.Add(time.Duration(i * gap))
		if !at.Before(end) {
			return unsent
		}
		if wait := time.Until(at); wait > 0 {
			time.Sleep(wait)
		}
		c := s.pop()
		if c == nil {
			runtime.Gosched() // an answer may have come meanwhile
			c = s.pop()
		}
		if c == nil {
			unsent++
			continue
		}
		c.begin <- at
	}
}

// exchange sends one request that should have begun at a moment, and counts its answer.
func (p *pool) exchange(c *conn, o order, at time.Time, r *result) {
	n := o.First + (p.next.Add(1)-1)%o.Numbers
	status, err := c.exchange(n)
	switch {
	case err != nil:
		r.Other++
		r.Fault = err.Error()
		c.Close()
		if again, err := dial(o.Addr); err == nil {
			c.Conn, c.r = again.Conn, again.r
		}
	case strings.HasPrefix(status, o.Want):
		r.Answered++
		r.took = append(r.took, time.Since(at))
	case status == "503":
		r.Refused++
	default:
		r.Other++
		r.Fault = "status " + status
	}
}

// percentile needs sorted times.
func (r *result) percentile(p float64) float64 {
	if len(r.took) == 0 {
		return 0
	}
	i := int(math.Ceil(p/100*float64(len(r.took)))) - 1
	return r.took[i].Seconds() * 1000
}

// conn is one connection with the request that it sends again and again.
type conn struct {
	net.Conn
	r       *bufio.Reader
	begin   chan time.Time // when a request of an open loop begins
	request []byte
	at      []int // where in the request the number stands
}

func dial(addr string) (*conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, r: bufio.NewReaderSize(c, 8<<10)}, nil
}

// prepare makes the request with a number in it that the others replace.
func (c *conn) prepare(request, number string) {
	c.request, c.at = nil, nil
	for i, part := range strings.Split(request, "{n}") {
		if i > 0 {
			c.at = append(c.at, len(c.request))
			c.request = append(c.request, number...)
		}
		c.request = append(c.request, part...)
	}
}

// exchange sends the request with the number n, and returns the status of its answer.
func (c *conn) exchange(n int64) (status string, err error) {
	for _, at := range c.at {
		strconv.AppendInt(c.request[:at], n, 10)
	}
	if _, err := c.Write(c.request); err != nil {
		return "", err
	}
	return readAnswer(c.r)
}

// readAnswer skips one response that has a Content-Length, and returns its status.
func readAnswer(r *bufio.Reader) (status string, err error) {
	const first = "HTTP/1.1 "
	line, err := r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	if len(line) < len(first)+3 || string(line[:len(first)]) != first {
		return "", fmt.Errorf("answered %q", line)
	}
	switch code := line[len(first) : len(first)+3]; string(code) { // known ones cost no allocation
	case "200":
		status = "200"
	case "201":
		status = "201"
	case "401":
		status = "401"
	case "503":
		status = "503"
	default:
		status = string(code)
	}
	for length := -1; ; {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		switch name := []byte("Content-Length: "); {
		case bytes.HasPrefix(line, name):
			length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(name):])))
			if err != nil {
				return "", err
			}
		case len(line) == 2 && length < 0:
			return "", errors.New("an answer without a Content-Length")
		case len(line) == 2:
			_, err = r.Discard(length)
			return status, err
		}
	}
}
