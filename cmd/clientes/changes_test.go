package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"clientes/auth/authtest"
	"clientes/store"
)

// changeLine is a line of clientes changes.
type changeLine struct {
	ID      int64         `json:"id"`
	Version int64         `json:"version"`
	Action  string        `json:"action"`
	Record  store.Cliente `json:"record"`
	Cursor  string        `json:"cursor"`
}

// changesIn returns the lines of clientes changes, and what is compared of them.
func changesIn(t *testing.T, out string) (lines []changeLine, outline string) {
	t.Helper()
	for text := range strings.Lines(out) {
		var c changeLine
		authtest.Must(t, json.Unmarshal([]byte(text), &c))
		lines = append(lines, c)
		outline += fmt.Sprintf("%d.%d %s %s\n", c.ID, c.Version, c.Action, c.Record.Name)
	}
	return lines, outline
}

func TestChanges(t *testing.T) {
	onEachEngine(t, func(t *testing.T, vars map[string]string) {
		call(t, vars, "", "changes").want(t, 1, "", "clientes: there is no")
		call(t, vars, "name\nAna\nBia\n", "import", "-").want(t, 0, "", "")
		all := call(t, vars, "", "changes")
		lines, outline := changesIn(t, all.stdout)
		if all.status != 0 || outline != "1.1 created Ana\n2.1 created Bia\n" {
			t.Fatalf("got %+v", all)
		}
		call(t, vars, "", "changes", "--since", "0").want(t, 0, all.stdout, "")
		_, last, _ := strings.Cut(all.stdout, "\n")
		call(t, vars, "", "changes", "--since", lines[0].Cursor).want(t, 0, last, "")
		if r := call(t, vars, "", "changes", "--since", lines[1].Cursor); r != (result{}) {
			t.Errorf("after the last: %+v", r)
		}
		call(t, vars, "", "changes", "--since", "7").want(t, 2, "", "the cursor of a line")
		call(t, vars, "", "changes", "--since", "999-abc").want(t, 1, "", "with an empty copy")
		call(t, vars, "", "changes", "all.ndjson").want(t, 2, "", "")
	})
}

// following is a call of clientes changes --follow.
type following struct {
	*bufio.Reader
	stderr bytes.Buffer
	ended  chan error
}

func follow(ctx context.Context, st store.Feed) *following {
	reader, stdout := io.Pipe()
	f := &following{Reader: bufio.NewReader(reader), ended: make(chan error, 1)}
	p := &program{stdout: stdout, stderr: &f.stderr}
	go func() {
		f.ended <- p.changes(ctx, st, store.FeedPosition{}, true)
		stdout.Close()
	}()
	return f
}

func (f *following) want(t *testing.T, want string) {
	t.Helper()
	line, err := f.ReadString('\n')
	authtest.Must(t, err)
	if _, outline := changesIn(t, line); outline != want+"\n" {
		t.Errorf("got %s, want %s", line, want)
	}
}

// awayFeed does not answer while it is away.
type awayFeed struct {
	store.Feed
	away  atomic.Bool
	asked atomic.Int32 // while it was away
}

func (s *awayFeed) Changes(ctx context.Context, after store.FeedPosition, limit int) (
	store.FeedPage, error) {
	if s.away.Load() {
		s.asked.Add(1)
		return store.FeedPage{}, fmt.Errorf("read the changes: %w", store.ErrUnavailable)
	}
	return s.Feed.Changes(ctx, after, limit)
}

// It outlives an outage of the database, says so once, and ends at an interrupt as if all was done.
func TestFollowChanges(t *testing.T) {
	onEachEngine(t, func(t *testing.T, vars map[string]string) {
		call(t, vars, "name\nAna\n", "import", "-").want(t, 0, "", "")
		url := vars["DATABASE_URL"]
		st, err := engineOf(url).open(t.Context(), url, store.Options{})
		authtest.Must(t, err)
		defer st.Close()
		away := &awayFeed{Feed: st}
		ctx, interrupt := context.WithCancel(t.Context())
		f := follow(ctx, away)
		f.want(t, "1.1 created Ana")
		call(t, vars, "name\nBia\n", "import", "-").want(t, 0, "", "")
		f.want(t, "2.1 created Bia")
		away.away.Store(true)
		call(t, vars, "name\nCid\n", "import", "-").want(t, 0, "", "")
		authtest.Eventually(t, "it tries again", func() bool { return away.asked.Load() > 2 })
		away.away.Store(false)
		f.want(t, "3.1 created Cid")
		call(t, vars, "name\nDora\n", "import", "-").want(t, 0, "", "")
		f.want(t, "4.1 created Dora")
		interrupt()
		if err := <-f.ended; err != nil {
			t.Errorf("it ended with %v", err)
		}
		said := f.stderr.String()
		if strings.Count(said, "trying again") != 1 || strings.Count(said, "answers again") != 1 {
			t.Errorf("it said %s", said)
		}
	})
}
