package verify

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

func feedChecks() []check {
	return []check{
		{"changes-complete", customers,
			"Who follows the changes by their cursors gets each one once, in order, deletes too.",
			tryChangesComplete},
		{"changes-stream", customers,
			"A stream of changes has each one within two seconds, and ends with its session.",
			tryChangesStream},
	}
}

// feedWithin is how soon a change has to arrive.
const feedWithin = 2 * time.Second

// feedChange is a change in the feed.
type feedChange struct {
	ID      int64    `json:"id"`
	Version int64    `json:"version"`
	Action  string   `json:"action"`
	Record  *cliente `json:"record"`
}

func (c feedChange) String() string {
	name := "without a record"
	if c.Record != nil {
		name = c.Record.Name
	}
	return fmt.Sprintf("%d %s %s", c.Version, c.Action, name)
}

// feedPage is a part of the feed.
type feedPage struct {
	Changes []feedChange `json:"changes"`
	Cursor  string       `json:"cursor"`
	More    bool         `json:"more"`
}

func (v *verifier) feed(ctx context.Context, query string) (p feedPage, err error) {
	a, err := v.wantAsAdmin(ctx, http.StatusOK,
		request{method: "GET", path: "/clientes/changes" + query})
	if err != nil {
		return p, err
	}
	return p, a.into(&p)
}

// lifeOfCliente creates a customer, changes it and deletes it. It returns the changes.
func (v *verifier) lifeOfCliente(ctx context.Context, what string) (id int64, want string,
	err error) {
	first, second := v.named(what), v.named(what+" again")
	c, err := v.createCliente(ctx, first)
	if err == nil {
		_, err = v.patchCliente(ctx, c.ID, second)
	}
	if err == nil {
		err = v.deleteCliente(ctx, c.ID)
	}
	return c.ID, "1 created " + first["name"] + ", 2 updated " + second["name"] +
		", 3 deleted without a record", err
}

// ofCliente returns the changes of one customer as text.
func ofCliente(changes []feedChange, id int64) string {
	var steps []string
	for _, c := range changes {
		if c.ID == id {
			steps = append(steps, c.String())
		}
	}
	return strings.Join(steps, ", ")
}

func tryChangesComplete(ctx context.Context, v *verifier) (string, error) {
	begin, err := v.feed(ctx, "")
	if err != nil {
		return "", err
	}
	id, want, err := v.lifeOfCliente(ctx, "changes")
	if err != nil {
		return "", err
	}
	var all []feedChange
	var cursors []string
	for cursor := begin.Cursor; ofCliente(all, id) != want; {
		page, err := v.feed(ctx, "?limit=1&since="+cursor)
		if err != nil {
			return "", err
		}
		if len(page.Changes) == 0 && !page.More || len(cursors) > 1000 {
			return "", broken("the changes of a customer were %q, and the feed has %q", want,
				ofCliente(all, id))
		}
		all = append(all, page.Changes...)
		if cursor = page.Cursor; len(page.Changes) > 0 {
			cursors = append(cursors, cursor)
		}
	}
	// Whoever comes back with any of these cursors gets the rest.
	for i, cursor := range cursors {
		if i > 20 {
			break
		}
		page, err := v.feed(ctx, "?limit=1000&since="+cursor)
		if err != nil {
			return "", err
		}
		got, rest := ofCliente(page.Changes, id), ofCliente(all[min(i+1, len(all)):], id)
		if got != rest {
			return "", broken("after one more cursor came %q and not %q", got, rest)
		}
	}
	return fmt.Sprintf("%d changes with a cursor each, and the rest after each of them", len(all)),
		nil
}

func tryChangesStream(ctx context.Context, v *verifier) (string, error) {
	s, err := v.visit(ctx, "viewer")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, maxRequest)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", v.base+"/clientes/changes", nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("User-Agent", "clientes verify")
	req.Header.Set("x-access-token", s.token)
	req.Header.Set("Accept", "text/event-stream")
	v.requests.Add(1)
	resp, err := v.client.Do(req)
	if err != nil {
		return "", request{method: "GET", path: "/clientes/changes"}.failed(err)
	}
	defer resp.Body.Close()
	media := resp.Header.Get("Content-Type")
	if resp.StatusCode != http.StatusOK || media != "text/event-stream" {
		return "", broken("a stream of changes was answered %d with the type %q", resp.StatusCode,
			media)
	}
	events := readEvents(ctx, bufio.NewReader(resp.Body))
	// The stream begins where the feed ends when the server takes the request.
	if _, err := nextEvent(ctx, events, func(serverEvent) bool { return true }); err != nil {
		return "", err
	}
	id, want, err := v.lifeOfCliente(ctx, "stream")
	if err != nil {
		return "", err
	}
	written := time.Now()
	var got []feedChange
	for ofCliente(got, id) != want {
		e, err := nextEvent(ctx, events, func(e serverEvent) bool { return e.kind == "change" })
		if err != nil {
			return "", err
		}
		var c feedChange
		if json.Unmarshal([]byte(e.data), &c) != nil || e.id == "" {
			return "", broken("an event of the stream is no change with a cursor")
		}
		if got = append(got, c); !strings.HasPrefix(want, ofCliente(got, id)) {
			return "", broken("the stream has %q and not %q", ofCliente(got, id), want)
		}
	}
	took := time.Since(written)
	if took > feedWithin {
		return "", broken("a change took %s to arrive", took.Round(time.Millisecond))
	}
	if _, err := v.want(ctx, http.StatusOK,
		request{method: "POST", path: "/logout", token: s.token}); err != nil {
		return "", err
	}
	if _, _, err = v.lifeOfCliente(ctx, "after the logout"); err != nil {
		return "", err
	}
	// Other clients of the server may have made changes before the logout.
	e, err := nextEvent(ctx, events, func(e serverEvent) bool {
		return e.kind == "end" || strings.Contains(e.data, "after the logout")
	})
	switch {
	case err != nil:
		return "", err
	case e.kind != "end" || !strings.Contains(e.data, "token_revoked"):
		return "", broken("after a logout the stream had the event %q", e.kind)
	}
	return fmt.Sprintf("%d changes, the last after %s, and the end at a logout", len(got),
		took.Round(time.Millisecond)), nil
}

// serverEvent is one event of a stream.
type serverEvent struct{ id, kind, data string }

// readEvents reads the events of a stream until it ends.
func readEvents(ctx context.Context, from *bufio.Reader) <-chan serverEvent {
	events := make(chan serverEvent)
	go func() {
		defer close(events)
		var e serverEvent
		for {
			line, err := from.ReadString('\n')
			if err != nil {
				return
			}
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch name {
			case "id":
				e.id = value
			case "event":
				e.kind = value
			case "data":
				e.data = value
			case "":
				if e != (serverEvent{}) {
					select {
					case events <- e:
					case <-ctx.Done():
						return
					}
				}
				e = serverEvent{}
			}
		}
	}()
	return events
}

// nextEvent waits for an event. It returns an error if none comes in time.
func nextEvent(ctx context.Context, events <-chan serverEvent, is func(serverEvent) bool) (
	serverEvent, error) {
	limit := time.After(2 * feedWithin)
	for {
		select {
		case e, open := <-events:
			switch {
			case !open:
				return e, broken("the stream of changes broke off")
			case is(e):
				return e, nil
			}
		case <-limit:
			return serverEvent{}, broken("for %s the stream of changes had nothing", 2*feedWithin)
		case <-ctx.Done():
			return serverEvent{}, ctx.Err()
		}
	}
}
