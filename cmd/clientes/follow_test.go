package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5"

	"clientes/auth/authtest"
	"clientes/store/postgres/postgrestest"
	"clientes/store/storetest"
)

// TestAFollowerMissesNothing follows the changes in three ways while everything breaks that can
// break: connections, processes, the database. Each round makes changes during one trouble. When it
// is over, every copy is the same as the table. TEST_ROUNDS=1000 makes it a thousand.
func TestAFollowerMissesNothing(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		folder := t.TempDir()
		w := newWorld(t, 2, "sqlite:"+filepath.Join(folder, "clientes.db"))
		backup := filepath.Join(folder, "backup.db")
		w.fleet.command(t, "", "backup", backup)
		w.run(t, append(w.troubles(t), trouble{"the database is restored", func() func() {
			w.restore(t, backup)
			if rand.IntN(2) == 0 {
				w.fleet.command(t, "", "backup", backup)
			}
			return func() {}
		}}))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		cluster := postgrestest.Start(t)
		w := newWorld(t, 3, cluster.URL)
		w.run(t, append(w.troubles(t),
			trouble{"the database is stopped", func() func() {
				cluster.Stop()
				return cluster.Start
			}},
			trouble{"the database is killed", func() func() {
				cluster.Kill()
				return cluster.Start
			}},
			trouble{"a transaction is held open", func() func() {
				return w.hold(t, cluster.URL)
			}},
		))
	})
}

// trouble is something that breaks. begin returns what ends it.
type trouble struct {
	name  string
	begin func() (end func())
}

// world is a fleet behind a balancer, with followers.
type world struct {
	fleet    *fleet
	settings []string
	balancer *balancer
	copies   []*customerCopy
	process  *processFollower

	mu    sync.Mutex
	token string
	ids   []int64 // of records that were made lately
}

func newWorld(t *testing.T, servers int, databaseURL string) *world {
	settings := []string{"TOKEN_TTL=10s", "SHUTDOWN_TIMEOUT=5s"}
	w := &world{fleet: newFleet(t, servers, databaseURL, settings...), settings: settings}
	w.fleet.command(t, goodPassword, "user", "add", "ana", "--role", "admin", "--password-stdin")
	w.balancer = newBalancer(t, w.fleet)
	w.fleet.client.Transport.(*http.Transport).DisableKeepAlives = true
	for range 3 {
		w.copies = append(w.copies, newCustomerCopy())
	}
	w.process = &processFollower{copy: w.copies[2]}
	var following sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	following.Go(func() { w.followStream(ctx, t, w.copies[0]) })
	following.Go(func() { w.followPages(ctx, t, w.copies[1]) })
	following.Go(func() { w.process.run(ctx, t, databaseURL) })
	t.Cleanup(func() {
		cancel()
		w.balancer.cut()
		w.process.kill()
		following.Wait()
	})
	return w
}

// run makes rounds of changes, each with a trouble.
func (w *world) run(t *testing.T, troubles []trouble) {
	count := make(map[string]int)
	for n := range storetest.Rounds(t, len(troubles)) {
		trouble := troubles[rand.IntN(len(troubles))]
		if n < len(troubles) {
			trouble = troubles[n]
		}
		count[trouble.name]++
		var writing sync.WaitGroup
		for range 3 {
			writing.Go(func() {
				for range 10 {
					w.write(t)
				}
			})
		}
		end := trouble.begin()
		writing.Wait()
		end()
		w.wantEqual(t, fmt.Sprintf("round %d, %s", n, trouble.name))
		if t.Failed() {
			return
		}
	}
	t.Logf("rounds: %v; applied: %v", count, w.copies)
}

// troubles returns what may break on every engine.
func (w *world) troubles(t *testing.T) []trouble {
	return []trouble{
		{"nothing breaks", func() func() { return func() {} }},
		{"connections are cut", func() func() {
			for range 5 {
				w.balancer.cut()
				w.write(t)
			}
			return func() {}
		}},
		{"the follower is killed", func() func() {
			w.process.kill()
			return func() {}
		}},
		{"a server is killed", func() func() {
			n := rand.IntN(len(w.fleet.servers))
			s := w.fleet.on(n)
			s.cmd.Process.Kill()
			s.wait()
			return func() { w.start(t, n) }
		}},
		{"a server is stopped", func() func() {
			n := rand.IntN(len(w.fleet.servers))
			s := w.fleet.on(n)
			s.signal(t)
			s.wait()
			return func() { w.start(t, n) }
		}},
		{"many are imported", func() func() {
			w.importMany(t, 300)
			return func() { w.removeMany(t) }
		}},
	}
}

func (w *world) start(t *testing.T, n int) {
	t.Helper()
	s := w.fleet.begin(t, w.fleet.databaseURL, w.settings...)
	s.wantListening(t)
	w.fleet.put(n, s)
}

// restore stops everybody who has the file open, puts the backup in place and starts them again.
func (w *world) restore(t *testing.T, backup string) {
	t.Helper()
	resume := w.process.pause()
	defer resume()
	for n := range w.fleet.servers {
		s := w.fleet.on(n)
		s.signal(t)
		s.wait()
	}
	for _, c := range w.copies {
		c.allowGaps(time.Now().Truncate(time.Millisecond))
	}
	w.fleet.command(t, "", "restore", backup)
	for n := range w.fleet.servers {
		w.start(t, n)
	}
}

// hold makes a customer by hand in a transaction that others overtake.
func (w *world) hold(t *testing.T, databaseURL string) (end func()) {
	t.Helper()
	conn, err := postgrestest.Connect(t.Context(), databaseURL)
	authtest.Must(t, err)
	run := func(sql string) {
		if _, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Error(err)
		}
	}
	run(`BEGIN`)
	run(`
		WITH made AS (
			INSERT INTO clientes (name, name_key, search, email, email_key, phone, company, address,
				notes, version, created_at, updated_at)
			VALUES ('held', 'held', 'held', '', '', '', '', '',
				'', 1, date_trunc('second', now()), date_trunc('second', now()))
			RETURNING *
		)
		INSERT INTO cliente_history (cliente_id, version, action, user_id, user_name, at,
			name, email, phone, company, address, notes, created_at, updated_at)
		SELECT id, 1, 'created', 0, '', created_at,
			name, email, phone, company, address, notes, created_at, updated_at
		FROM made`)
	return func() {
		run([]string{`COMMIT`, `ROLLBACK`}[rand.IntN(2)])
		conn.Close(t.Context())
	}
}

// call sends a request through the balancer, with a token of this moment.
func (w *world) call(ctx context.Context, method, path, accept, contentType, body string,
	headers ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+w.balancer.addr()+path,
		strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	token := w.token
	w.mu.Unlock()
	req.Header.Set("x-access-token", token)
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := w.fleet.client.Do(req)
	if err == nil && resp.StatusCode == 401 {
		w.login(ctx)
	}
	return resp, err
}

// login replaces the token, if it can.
func (w *world) login(ctx context.Context) {
	a, err := w.fleet.do(ctx, "POST", "http://"+w.balancer.addr()+"/login", "",
		loginBody{"ana", goodPassword})
	if err == nil && a.status == 200 {
		w.mu.Lock()
		w.token = a.Token
		w.mu.Unlock()
	}
}

// change makes one request that writes, whose answer may be lost. Only a server's own fault and a
// request that it does not understand fail the test.
func (w *world) change(t *testing.T, method, path, contentType, body string) (id int64) {
	resp, err := w.call(t.Context(), method, path, "", contentType, body)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	switch resp.StatusCode {
	case 200, 201, 204, 401, 404, 409, 422, 429, 503:
	default:
		t.Errorf("%s %s: %d %s", method, path, resp.StatusCode, b)
	}
	var made struct {
		ID int64 `json:"id"`
	}
	if resp.StatusCode == 201 && json.Unmarshal(b, &made) == nil {
		return made.ID
	}
	return 0
}

// write makes one change of any kind. Few emails wander among the records.
func (w *world) write(t *testing.T) {
	w.mu.Lock()
	id := int64(1)
	if len(w.ids) > 0 {
		id = w.ids[rand.IntN(len(w.ids))]
	}
	w.mu.Unlock()
	email := ""
	if n := rand.IntN(12); n > 0 {
		email = fmt.Sprintf("%c@example.com", 'a'+n)
	}
	record := fmt.Sprintf(`{"name":"n%d","email":%q}`, rand.IntN(1000), email)
	path := fmt.Sprint("/clientes/", id)
	switch rand.IntN(9) {
	case 8:
		w.change(t, "POST", path+"/erase", "application/json", `{"reason":"asked for"}`)
	case 0, 1:
		w.remember(w.change(t, "POST", "/clientes", "application/json", record))
	case 2:
		w.change(t, "POST", "/clientes/import", "application/x-ndjson", record+"\n"+
			`{"name":"imported"}`+"\n")
	case 3:
		w.change(t, "DELETE", path, "", "")
	case 4:
		w.change(t, "POST", path+"/restore", "application/json",
			fmt.Sprintf(`{"version":%d}`, 1+rand.IntN(4)))
	default:
		w.change(t, "PATCH", path, "application/json", record)
	}
}

func (w *world) remember(id int64) {
	if id == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids = append(w.ids, id)
	w.ids = w.ids[max(0, len(w.ids)-20):]
}

func (w *world) importMany(t *testing.T, rows int) {
	var b strings.Builder
	for i := range rows {
		fmt.Fprintf(&b, "{\"name\":\"many %d\"}\n", i)
	}
	w.change(t, "POST", "/clientes/import", "application/x-ndjson", b.String())
}

// removeMany deletes most records, or rounds would take longer and longer.
func (w *world) removeMany(t *testing.T) {
	for id := range w.table(t) {
		if rand.IntN(10) > 0 {
			w.change(t, "DELETE", fmt.Sprint("/clientes/", id), "", "")
		}
	}
}

// table returns the records that the servers have.
func (w *world) table(t *testing.T) map[int64]string {
	t.Helper()
	var all map[int64]string
	authtest.Eventually(t, "a server exports the records", func() bool {
		resp, err := w.call(t.Context(), "GET", "/clientes/export", "application/x-ndjson", "", "")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		if resp.StatusCode != 200 {
			return false
		}
		all = make(map[int64]string)
		for lines := bufio.NewReader(resp.Body); ; {
			line, err := lines.ReadBytes('\n')
			if errors.Is(err, io.EOF) {
				return true
			}
			if err != nil {
				return false
			}
			id, text, err := recordOf(line)
			if err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			all[id] = text
		}
	})
	return all
}

// recordOf returns the id of a record, and its JSON in one form.
func recordOf(record jsontext.Value) (id int64, text string, err error) {
	var has struct {
		ID int64 `json:"id"`
	}
	if err := json.Unmarshal(record, &has); err != nil {
		return 0, "", err
	}
	record = bytes.Clone(record)
	err = record.Canonicalize()
	return has.ID, string(record), err
}

// wantEqual compares the copies with the table. A request whose connection was cut may be written
// later than its client knows, and then a copy is behind for a moment. What a follower has missed
// stays missed, as nothing else is written.
func (w *world) wantEqual(t *testing.T, when string) {
	t.Helper()
	const tries = 10
	for try := 1; ; try++ {
		differs := w.compare(t, when)
		if differs == "" {
			return
		}
		if try == tries {
			t.Errorf("%s: %s", when, differs)
			return
		}
	}
}

// compare waits until each follower has seen one more record, and says which has another copy than
// the table.
func (w *world) compare(t *testing.T, when string) (differs string) {
	t.Helper()
	var last int64
	authtest.Eventually(t, "a server makes a record", func() bool {
		last = w.change(t, "POST", "/clientes", "application/json", `{"name":"last"}`)
		return last != 0
	})
	want := w.table(t)
	for i, c := range w.copies {
		authtest.Eventually(t, fmt.Sprintf("%s: follower %d sees record %d", when, i, last),
			func() bool { return c.has(last) || t.Failed() })
		got := c.all()
		for _, id := range slices.Sorted(maps.Keys(want)) {
			if got[id] != want[id] {
				differs += fmt.Sprintf("follower %d has %q, not %q; ", i, got[id], want[id])
			}
			delete(got, id)
		}
		for id, text := range got {
			differs += fmt.Sprintf("follower %d still has %d: %q; ", i, id, text)
		}
	}
	return differs
}

// customerCopy is the copy that a follower keeps, with the place that it has come to.
type customerCopy struct {
	mu       sync.Mutex
	records  map[int64]string
	versions map[int64]int64
	cursor   string
	applied  int

	// The first change of a record since the database was restored may leave versions out. It
	// takes the record away, at or after this time.
	restored time.Time
	settled  map[int64]bool // records with a change since then
}

func newCustomerCopy() *customerCopy {
	return &customerCopy{
		records: make(map[int64]string), versions: make(map[int64]int64), cursor: "0",
		settled: make(map[int64]bool),
	}
}

func (c *customerCopy) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprint(c.applied)
}

// allowGaps allows what a restore at a time does. All changes before it must have earlier times.
func (c *customerCopy) allowGaps(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.restored = at
	clear(c.settled)
}

func (c *customerCopy) has(id int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.versions[id] > 0
}

func (c *customerCopy) all() map[int64]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.records)
}

func (c *customerCopy) place() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cursor
}

func (c *customerCopy) setPlace(cursor string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cursor = cursor
}

// feedChange is a change as it comes.
type feedChange struct {
	ID      int64          `json:"id"`
	Version int64          `json:"version"`
	Action  string         `json:"action"`
	At      time.Time      `json:"at"`
	Record  jsontext.Value `json:"record"`
	Cursor  string         `json:"cursor"` // of a line of the command
}

// apply applies one change. It returns an error if the change does not follow what came before.
func (c *customerCopy) apply(change feedChange, cursor string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.versions[change.ID]
	gap := false
	if !c.restored.IsZero() && !change.At.Before(c.restored) {
		gap = string(change.Record) == "null" && !c.settled[change.ID]
		c.settled[change.ID] = true
	}
	if change.Version != was+1 && (!gap || change.Version <= was) {
		return fmt.Errorf("version %d of %d comes after %d", change.Version, change.ID, was)
	}
	c.versions[change.ID] = change.Version
	if string(change.Record) == "null" {
		delete(c.records, change.ID)
	} else {
		id, text, err := recordOf(change.Record)
		if err != nil || id != change.ID {
			return fmt.Errorf("the record of %d is %s: %w", change.ID, change.Record, err)
		}
		c.records[id] = text
	}
	if cursor != "" {
		c.cursor = cursor
	}
	c.applied++
	return nil
}

// A copy notices what is lost, also after a restore.
func TestACopyNoticesAGap(t *testing.T) {
	t.Parallel()
	restored := time.Now()
	before := restored.Add(-time.Millisecond)
	null, record := jsontext.Value("null"), jsontext.Value(`{"id":7}`)
	tests := []struct {
		name string
		ok   bool
		next feedChange // after version 2
	}{
		{"the next", true, feedChange{Version: 3, At: restored, Record: record}},
		{"the next of before", true, feedChange{Version: 3, At: before, Record: null}},
		{"a gap before the restore", false, feedChange{Version: 4, At: before, Record: null}},
		{"a gap of the restore", true, feedChange{Version: 9, At: restored, Record: null}},
		{"a gap of another change", false, feedChange{Version: 4, At: restored, Record: record}},
		{"the same version", false, feedChange{Version: 2, At: restored, Record: null}},
	}
	for _, test := range tests {
		c := newCustomerCopy()
		apply := func(change feedChange) error {
			change.ID = 7
			return c.apply(change, "")
		}
		authtest.Must(t, apply(feedChange{Version: 1, At: before, Record: record}))
		authtest.Must(t, apply(feedChange{Version: 2, At: before, Record: null}))
		c.allowGaps(restored)
		if err := apply(test.next); (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
		later := feedChange{Version: test.next.Version + 2, At: restored, Record: null}
		if !test.next.At.Before(restored) && apply(later) == nil {
			t.Errorf("%s: a later gap is not noticed", test.name)
		}
	}
}

// followStream follows by server-sent events.
func (w *world) followStream(ctx context.Context, t *testing.T, c *customerCopy) {
	for ctx.Err() == nil && !t.Failed() {
		resp, err := w.call(ctx, "GET", "/clientes/changes", "text/event-stream", "", "",
			"Last-Event-ID", c.place())
		if err != nil {
			pause(ctx)
			continue
		}
		if resp.StatusCode == 400 {
			b, _ := io.ReadAll(resp.Body)
			t.Errorf("after %q: %s", c.place(), b)
		}
		if resp.StatusCode == 200 {
			if err := readEvents(resp.Body, c); err != nil {
				t.Error(err)
			}
		}
		resp.Body.Close()
		pause(ctx)
	}
}

// pause waits a moment before another try.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Millisecond):
	}
}

// readEvents applies the events of a stream until it ends or breaks.
func readEvents(body io.Reader, c *customerCopy) error {
	var event, id string
	var data []byte
	for lines := bufio.NewReader(body); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return nil
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "event":
			event = value
		case "id":
			id = value
		case "data":
			data = append(data, value...)
		case "":
			if event == "change" {
				var change feedChange
				if err := json.Unmarshal(data, &change); err != nil {
					return fmt.Errorf("%w: %s", err, data)
				}
				if err := c.apply(change, id); err != nil {
					return fmt.Errorf("the stream: %w", err)
				}
			}
			event, data = "", nil
		}
	}
}

// followPages follows by pages, which wait for changes.
func (w *world) followPages(ctx context.Context, t *testing.T, c *customerCopy) {
	for ctx.Err() == nil && !t.Failed() {
		query := url.Values{"since": {c.place()}, "limit": {fmt.Sprint(1 + rand.IntN(200))}}
		if n := rand.IntN(4); n > 0 {
			query.Set("wait", fmt.Sprint(n))
		}
		resp, err := w.call(ctx, "GET", "/clientes/changes?"+query.Encode(), "", "", "")
		if err != nil {
			pause(ctx)
			continue
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		switch {
		case err != nil, resp.StatusCode == 401, resp.StatusCode == 503:
			pause(ctx)
			continue
		case resp.StatusCode != 200:
			t.Errorf("after %q: %d %s", query.Get("since"), resp.StatusCode, b)
			return
		}
		var page struct {
			Changes []feedChange `json:"changes"`
			Cursor  string       `json:"cursor"`
		}
		if err := json.Unmarshal(b, &page); err != nil {
			t.Errorf("%v: %s", err, b)
			return
		}
		for _, change := range page.Changes {
			if err := c.apply(change, ""); err != nil {
				t.Errorf("a page: %v", err)
				return
			}
		}
		c.setPlace(page.Cursor)
	}
}

// processFollower follows with the command, in a process that may be killed.
type processFollower struct {
	copy   *customerCopy
	paused atomic.Bool
	gate   sync.Mutex // held while the process runs

	mu  sync.Mutex
	cmd *exec.Cmd
}

func (p *processFollower) run(ctx context.Context, t *testing.T, databaseURL string) {
	for ctx.Err() == nil && !t.Failed() {
		if !p.paused.Load() {
			p.gate.Lock()
			if err := p.once(t, databaseURL); err != nil {
				t.Error(err)
			}
			p.gate.Unlock()
		}
		pause(ctx)
	}
}

func (p *processFollower) once(t *testing.T, databaseURL string) error {
	cmd := command(t, []string{"DATABASE_URL=" + databaseURL, endsAtOnce},
		"changes", "--follow", "--since", p.copy.place())
	var complaints record
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return nil // the test is over
	}
	p.mu.Lock()
	p.cmd = cmd
	p.mu.Unlock()
	defer cmd.Wait()
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return nil // half a line is nothing
		}
		var change feedChange
		if err := json.Unmarshal(line, &change); err != nil {
			p.kill()
			return fmt.Errorf("%w: %s", err, line)
		}
		if err := p.copy.apply(change, change.Cursor); err != nil {
			p.kill() // or its end would be awaited for ever
			return fmt.Errorf("the command: %w", err)
		}
	}
}

func (p *processFollower) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		p.cmd.Process.Kill()
	}
}

// pause ends the process until resume is called.
func (p *processFollower) pause() (resume func()) {
	p.paused.Store(true)
	for !p.gate.TryLock() {
		p.kill()
		time.Sleep(time.Millisecond)
	}
	return func() {
		p.paused.Store(false)
		p.gate.Unlock()
	}
}

// balancer leads each connection to the next server that takes it.
type balancer struct {
	listener net.Listener
	fleet    *fleet
	next     atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func newBalancer(t *testing.T, f *fleet) *balancer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	authtest.Must(t, err)
	b := &balancer{listener: listener, fleet: f, conns: make(map[net.Conn]bool)}
	var carrying sync.WaitGroup
	carrying.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			carrying.Go(func() { b.carry(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		b.cut()
		carrying.Wait()
	})
	return b
}

func (b *balancer) addr() string { return b.listener.Addr().String() }

func (b *balancer) carry(near net.Conn) {
	defer near.Close()
	n := int(b.next.Add(1))
	for i := range len(b.fleet.servers) {
		far, err := net.Dial("tcp", b.fleet.on(n+i).addr)
		if err != nil {
			continue
		}
		defer far.Close()
		b.mu.Lock()
		b.conns[near] = true
		b.mu.Unlock()
		defer func() {
			b.mu.Lock()
			delete(b.conns, near)
			b.mu.Unlock()
		}()
		done := make(chan struct{}, 2)
		for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
			go func() {
				_, _ = io.Copy(way[0], way[1]) // until either side ends
				done <- struct{}{}
			}()
		}
		<-done
		return
	}
}

// cut closes all connections of the moment.
func (b *balancer) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for conn := range b.conns {
		conn.Close()
	}
}
