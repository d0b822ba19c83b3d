package verify

import (
	"bufio"
	"context"
	"fmt"
	"io"
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

// follow reads the feed from a cursor on, until done says that it has enough, or to its end.
func (v *verifier) follow(ctx context.Context, cursor string, limit int,
	done func(feedPage) bool) error {
	for more := true; more; {
		page, err := v.feed(ctx, fmt.Sprintf("?limit=%d&since=%s", limit, cursor))
		if err != nil {
			return err
		}
		if done(page) {
			return nil
		}
		cursor, more = page.Cursor, page.More
	}
	return nil
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
	// One by one as far as the cursors are tried. Others may write a lot meanwhile.
	const tried = 20
	var all []feedChange
	cursors := []string{begin.Cursor}
	err = v.follow(ctx, begin.Cursor, 1, func(p feedPage) bool {
		all = append(all, p.Changes...)
		if len(p.Changes) > 0 {
			cursors = append(cursors, p.Cursor)
		}
		return len(cursors) > tried || ofCliente(all, id) == want
	})
	if err != nil {
		return "", err
	}
	// Whoever comes back with any of these cursors gets the rest.
	for i, cursor := range cursors {
		got := all[:i:i]
		err := v.follow(ctx, cursor, 1000, func(p feedPage) bool {
			got = append(got, p.Changes...)
			return ofCliente(got, id) == want
		})
		switch {
		case err != nil:
			return "", err
		case ofCliente(got, id) != want:
			return "", broken("the changes of a customer were %q, and the feed has %q", want,
				ofCliente(got, id))
		}
	}
	return fmt.Sprintf("the changes of a customer, from each of %d cursors on", len(cursors)), nil
}

func tryChangesStream(ctx context.Context, v *verifier) (string, error) {
	s, err := v.visit(ctx, "viewer")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, maxRequest)
	defer cancel()
	body, err := v.openStream(ctx, s.token)
	if err != nil {
		return "", err
	}
	defer body.Close()
	events := readEvents(ctx, bufio.NewReader(body))
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
	return fmt.Sprintf("%d changes, the last after %s, and the end at a logout", len(got),
		took.Round(time.Millisecond)), v.tryEndOfStream(ctx, s.token, events)
}

// openStream begins a stream of changes from now on.
func (v *verifier) openStream(ctx context.Context, token string) (io.ReadCloser, error) {
	const path = "/clientes/changes"
	req, err := http.NewRequestWithContext(ctx, "GET", v.base+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "clientes verify")
	req.Header.Set("x-access-token", token)
	req.Header.Set("Accept", "text/event-stream")
	v.requests.Add(1)
	resp, err := v.client.Do(req)
	if err != nil {
		return nil, request{method: "GET", path: path}.failed(err)
	}
	media := resp.Header.Get("Content-Type")
	if resp.StatusCode != http.StatusOK || media != "text/event-stream" {
		resp.Body.Close()
		return nil, broken("a stream of changes was answered %d with the type %q", resp.StatusCode,
			media)
	}
	return resp.Body, nil
}

// tryEndOfStream ends the session of a stream, which must have no change after that.
func (v *verifier) tryEndOfStream(ctx context.Context, token string,
	events <-chan serverEvent) error {
	if _, err := v.want(ctx, http.StatusOK,
		request{method: "POST", path: "/logout", token: token}); err != nil {
		return err
	}
	if _, _, err := v.lifeOfCliente(ctx, "after the logout"); err != nil {
		return err
	}
	// Other clients of the server may have made changes before the logout.
	e, err := nextEvent(ctx, events, func(e serverEvent) bool {
		return e.kind == "end" || strings.Contains(e.data, "after the logout")
	})
	switch {
	case err != nil:
		return err
	case e.kind != "end" || !strings.Contains(e.data, "token_revoked"):
		return broken("after a logout the stream had the event %q", e.kind)
	}
	return nil
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
