package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"clientes/auth/authtest"
	"clientes/store"
)

// auditPage returns a page of events, and the path of the next one.
func (f *fixture) auditPage(path string) (events []eventRow, next string) {
	f.t.Helper()
	a := f.as(store.Admin, "GET", path, "")
	if a.status != 200 {
		f.t.Fatalf("%s answered %d %s", path, a.status, a.body)
	}
	authtest.Must(f.t, json.Unmarshal([]byte(a.body), &events))
	if link, ok := strings.CutSuffix(a.header.Get("Link"), `>; rel="next"`); ok {
		next = link[1:]
	}
	return events, next
}

type eventRow struct {
	ID        int64  `json:"id"`
	Event     string `json:"event"`
	UserID    *int64 `json:"user_id"`
	ActorID   *int64 `json:"actor_id"`
	IP        string `json:"ip"`
	UserAgent string `json:"user_agent"`
	RequestID string `json:"request_id"`
	Detail    string `json:"detail"`
	Count     int64  `json:"count"`
	LastAt    string `json:"last_at"`
}

func TestAudit(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		viewer, admin := f.users[store.Viewer].ID, f.users[store.Admin].ID
		const typed = "hunter2-in-the-wrong-field"
		f.call("POST", "/login", `{"user":"`+typed+`","password":"x"}`,
			"X-Request-Id", "r1", "User-Agent", "tester")
		// What strangers do is written a moment later, or when somebody reads the audit.
		f.auditPage("/audit")
		for range 2 {
			f.call("POST", "/login", `{"user":"the-viewer","password":"`+typed+`"}`,
				"X-Request-Id", "r2")
		}
		f.auditPage("/audit")
		f.want(f.as(store.Admin, "DELETE", fmt.Sprintf("/users/%d/sessions", viewer), "",
			"X-Request-Id", "r3"),
			204, "")
		before := store.Instant(time.Now())
		since := before
		for !since.After(before) { // what has happened is of another millisecond
			since = store.Instant(time.Now())
		}
		f.want(f.as(store.Admin, "PATCH", fmt.Sprintf("/users/%d", viewer), `{"role":"editor"}`,
			"X-Request-Id", "r4"),
			200, "")

		events, next := f.auditPage("/audit?limit=4")
		var said []string
		for _, e := range events {
			who := func(id *int64) string {
				switch {
				case id == nil:
					return "-"
				case *id == viewer:
					return "viewer"
				case *id == admin:
					return "admin"
				}
				return "?"
			}
			said = append(said, fmt.Sprintf("%s %s %s %s %d",
				e.Event, who(e.UserID), who(e.ActorID), e.RequestID, e.Count))
		}
		want := []string{
			"role_changed viewer admin r4 1", "logout_everywhere viewer admin r3 1",
			"login_failed viewer - r2 2", "login_failed - - r1 1",
		}
		if !slices.Equal(said, want) {
			t.Errorf("the audit says %q", said)
		}
		if e := events[3]; e.UserAgent != "tester" || e.IP != "127.0.0.1" {
			t.Errorf("the login came from %+v", e)
		}
		if events[0].Detail != "viewer to editor" {
			t.Errorf("the role changed %q", events[0].Detail)
		}
		if !strings.HasPrefix(next, "/audit?limit=4&cursor=") {
			t.Errorf("the next page is %q", next)
		}
		log := f.log.String()
		for _, id := range []string{"r1", "r2", "r3", "r4"} {
			if !strings.Contains(log, `"request_id":"`+id+`"`) || strings.Contains(log, typed) {
				t.Errorf("the log says of %s: %s", id, log)
			}
		}

		// With every filter, a walk sees each event once, the newest first.
		for _, filter := range []string{
			"", "event=login_failed&", fmt.Sprintf("user_id=%d&", viewer),
			"since=" + since.UTC().Format("2006-01-02T15:04:05.000Z") + "&",
		} {
			all, last := f.auditPage("/audit?" + filter + "limit=1000")
			var walked []eventRow
			for next := "/audit?" + filter + "limit=1"; next != ""; {
				var page []eventRow
				page, next = f.auditPage(next)
				if len(page) > 1 {
					t.Fatalf("a page of one has %d", len(page))
				}
				walked = append(walked, page...)
			}
			if last != "" || fmt.Sprint(ids(walked)) != fmt.Sprint(ids(all)) || len(all) == 0 {
				t.Errorf("with %q a walk sees %v of %v", filter, ids(walked), ids(all))
			}
			for i, e := range all {
				switch {
				case i > 0 && e.ID >= all[i-1].ID:
					t.Errorf("with %q they are in the order %v", filter, ids(all))
				case strings.HasPrefix(filter, "event") && e.Event != "login_failed",
					strings.HasPrefix(filter, "user") && (e.UserID == nil || *e.UserID != viewer),
					strings.HasPrefix(filter, "since") && e.Event != "role_changed":
					t.Errorf("with %q there is %+v", filter, e)
				}
			}
		}

		// A cursor is good for its own filters only, and nobody can forge one.
		cursor := next[strings.Index(next, "cursor="):]
		f.want(f.as(store.Admin, "GET", "/audit?event=login&"+cursor, ""), 400, "invalid_parameter")
		f.want(f.as(store.Admin, "GET", "/audit?limit=2&"+cursor, ""), 200, "")
		for _, query := range []string{
			"cursor=", "cursor=NDI", cursor + "A", cursor[:len(cursor)-1], "limit=0", "limit=1001",
			"limit=x", "user_id=0", "user_id=-1", "user_id=x", "user_id=",
			"event=", "event=Login", "event=nothing", "since=", "since=yesterday",
			"since=2026-11-22", "q=x", "event=login&event=login",
		} {
			f.want(f.as(store.Admin, "GET", "/audit?"+query, ""), 400, "invalid_parameter")
		}
		f.want(f.as(store.Admin, "GET", "/audit?since=0001-01-01T00:00:00%2B05:00", ""), 200, "")
		f.want(f.as(store.Editor, "GET", "/audit", ""), 403, "forbidden")
	})
}

func ids(events []eventRow) (list []int64) {
	for _, e := range events {
		list = append(list, e.ID)
	}
	return list
}

// openapi.yaml lists every kind of event, and no other.
func TestEventKindsAgree(t *testing.T) {
	var documented []string
	for _, kind := range document(t).Components.Schemas["EventKind"].Value.Enum {
		documented = append(documented, kind.(string))
	}
	var kinds []string
	for _, kind := range store.EventKinds() {
		kinds = append(kinds, string(kind))
	}
	if fmt.Sprint(documented) != fmt.Sprint(kinds) {
		t.Errorf("the document has %v, package store %v", documented, kinds)
	}
}
