package api

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"clientes/auth/authtest"
	"clientes/store"
)

// change is one entry of a history as a client reads it.
type change struct {
	Version int64          `json:"version"`
	Action  string         `json:"action"`
	UserID  *int64         `json:"user_id"`
	User    string         `json:"user"`
	At      string         `json:"at"`
	Record  jsontext.Value `json:"record"`
}

// history follows the links through the history of a record.
func (f *fixture) history(path string) (all []change) {
	f.t.Helper()
	home, _, _ := strings.Cut(path, "?")
	for path != "" {
		if len(all) > 1000 {
			f.t.Fatalf("%s has no end", home)
		}
		a := f.as(store.Viewer, "GET", path, "")
		if f.want(a, 200, ""); a.status != 200 {
			return nil
		}
		var page []change
		authtest.Must(f.t, json.Unmarshal([]byte(a.body), &page, json.RejectUnknownMembers(true)))
		all = append(all, page...)
		u, err := url.Parse(path)
		authtest.Must(f.t, err)
		limit := u.Query().Get("limit")
		path = nextPage(a)
		whole := limit == "" || fmt.Sprint(len(page)) == limit
		if path != "" && (!whole || !strings.HasPrefix(path, home+"?limit="+limit)) {
			f.t.Errorf("after %d changes comes %s", len(page), path)
		}
	}
	return all
}

func TestHistory(t *testing.T) {
	onEachClock(t, func(t *testing.T, f *fixture, c *authtest.Clock) {
		// Each change, and what its client was answered.
		type step struct {
			action string
			role   store.Role // "" for the command line
			record string
			at     time.Time
		}
		var want []step
		write := func(action string, role store.Role, method, path, body string) answer {
			t.Helper()
			c.Advance(time.Second)
			a := f.as(role, method, path, body)
			if a.status >= 300 {
				t.Fatalf("%s answered %d %s", method, a.status, a.body)
			}
			want = append(want, step{action, role, a.body, c.Now()})
			return a
		}
		write("created", store.Editor, "POST", "/clientes",
			`{"name":"Ana","email":"ana@example.com","phone":"1","company":"c","address":"a","notes":"n\n\"€\""}`)
		write("updated", store.Admin, "PATCH", "/clientes/1", `{"notes":null,"phone":"2"}`)
		last := write("updated", store.Editor, "PUT", "/clientes/1",
			`{"name":"Bia","company":"=1+1"}`)
		// A request that changes nothing, or that is refused, leaves no trace.
		f.add(store.Cliente{Name: "x", Email: "taken@example.com"})
		f.want(f.as(store.Editor, "PUT", "/clientes/1", last.body), 200, "")
		f.want(f.as(store.Editor, "PATCH", "/clientes/1", `{"name":"Bia"}`), 200, "")
		f.want(f.as(store.Editor, "PATCH", "/clientes/1", `{"email":"taken@example.com"}`),
			409, "conflict")
		f.want(f.as(store.Editor, "PATCH", "/clientes/1", `{"name":""}`), 422, "validation_failed")
		f.want(f.as(store.Editor, "PATCH", "/clientes/1", `{"name":"x"}`, "If-Match", `"2"`),
			412, "version_mismatch")
		f.want(f.as(store.Editor, "DELETE", "/clientes/1", "", "If-Match", `"2"`),
			412, "version_mismatch")
		f.want(f.as(store.Viewer, "PATCH", "/clientes/1", `{"name":"x"}`), 403, "forbidden")
		c.Advance(time.Second)
		byCommand, err := f.store.UpdateCliente(t.Context(), 0, 1,
			func(c store.Cliente) (store.Cliente, error) {
				c.Name = "Carla"
				return c, nil
			})
		authtest.Must(t, err)
		want = append(want, step{"updated", "", clienteJSON(byCommand), c.Now()})
		before := f.as(store.Viewer, "GET", "/clientes/1", "").body
		write("deleted", store.Editor, "DELETE", "/clientes/1", "")
		want[len(want)-1].record = before // as it stood

		f.want(f.as(store.Viewer, "GET", "/clientes/1", ""), 404, "not_found")
		// The history still has the name of the user.
		_, err = f.store.DeleteUser(t.Context(), f.users[store.Editor].ID)
		authtest.Must(t, err)
		for _, limit := range []string{"", "?limit=1", "?limit=2", "?limit=5"} {
			got := f.history("/clientes/1/history" + limit)
			if len(got) != len(want) {
				t.Fatalf("%s has %d changes, want %d", limit, len(got), len(want))
			}
			for i, g := range got {
				version := len(want) - i
				w := want[version-1]
				if int(g.Version) != version || g.Action != w.action || g.At != wireTime(w.at) ||
					string(g.Record) != w.record {
					t.Errorf("%s: change %d is %+v, want %+v", limit, version, g, w)
				}
				switch {
				case w.role == "" && (g.UserID != nil || g.User != ""):
					t.Errorf("the command line is %+v", g)
				case w.role == "":
				case g.UserID == nil, *g.UserID != f.users[w.role].ID,
					g.User != "the-"+string(w.role):
					t.Errorf("change %d of the %s is of %+v", version, w.role, g)
				}
			}
		}
		a := f.as(store.Viewer, "GET", "/clientes/1/history", "")
		if strings.Count(a.body, `"user_id":null`) != 1 || a.header.Get("ETag") != "" {
			t.Errorf("answered %v %s", a.header, a.body)
		}
		for _, path := range []string{
			"/clientes/3/history", "/clientes/0/history", "/clientes/-1/history",
			"/clientes/x/history", "/clientes/99999999999999999999/history",
		} {
			f.want(f.as(store.Viewer, "GET", path, ""), 404, "not_found")
		}
		f.want(f.call("GET", "/clientes/1/history", ""), 401, "token_missing")
	})
}

func TestRestore(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		restore := func(version int, headers ...string) answer {
			t.Helper()
			return f.as(store.Editor, "POST", "/clientes/1/restore",
				fmt.Sprintf(`{"version":%d}`, version), headers...)
		}
		get := func() answer { return f.as(store.Viewer, "GET", "/clientes/1", "") }
		want := func(a answer, version, name string) {
			t.Helper()
			f.want(a, 200, "")
			if a.header.Get("ETag") != version || !strings.Contains(a.body, `"name":"`+name+`"`) ||
				a.body != get().body {
				t.Errorf("answered %s %s, want %s and the name %s", a.header.Get("ETag"), a.body,
					version, name)
			}
		}
		f.want(f.as(store.Editor, "POST", "/clientes", `{"name":"Ana","email":"a@example.com"}`),
			201, "")
		f.want(f.as(store.Editor, "PUT", "/clientes/1", `{"name":"Bia"}`), 200, "")
		want(restore(1), `"3"`, "Ana")
		want(restore(1), `"3"`, "Ana") // nothing to do
		f.want(restore(2, "If-Match", `"2"`), 412, "version_mismatch")
		f.want(restore(2, "If-None-Match", "*"), 412, "version_mismatch")
		want(restore(2, "If-Match", `"3"`), `"4"`, "Bia")

		f.want(f.as(store.Editor, "DELETE", "/clientes/1", ""), 204, "")
		f.want(restore(5, "If-Match", `"4"`), 412, "version_mismatch")
		f.want(restore(5, "If-Match", "*"), 412, "version_mismatch")
		f.want(restore(6), 404, "not_found")
		f.want(get(), 404, "not_found")
		want(restore(5, "If-None-Match", "*"), `"6"`, "Bia") // as the delete found it

		thief := f.as(store.Editor, "POST", "/clientes", `{"name":"Eva","email":"A@example.com"}`)
		f.want(thief, 201, "")
		a := restore(1)
		f.want(a, 409, "conflict")
		if a.faults() != "email:taken" {
			t.Errorf("the faults are %s", a.faults())
		}
		var actions []string
		for _, c := range f.history("/clientes/1/history") {
			actions = append(actions, c.Action)
		}
		if got := strings.Join(actions, " "); got !=
			"restored deleted restored restored updated created" {
			t.Errorf("the history has %s", got)
		}

		for body, code := range map[string]string{
			`{}`: "validation_failed", `{"version":null}`: "validation_failed",
			`{"version":1,"x":1}`: "validation_failed", `{"version":0}`: "not_found",
			`{"version":"1"}`: "malformed_body", `{"version":1.5}`: "malformed_body",
			`{"version":1e30}`: "malformed_body", `[]`: "malformed_body",
			`{"version":-1}`: "not_found", `{"version":99}`: "not_found",
		} {
			if a := f.as(store.Editor, "POST", "/clientes/1/restore", body); a.code() != code {
				t.Errorf("%s answered %d %s", body, a.status, a.body)
			}
		}
		f.want(f.as(store.Editor, "POST", "/clientes/9/restore", `{"version":1}`), 404, "not_found")
		f.want(f.as(store.Viewer, "POST", "/clientes/1/restore", `{"version":1}`), 403, "forbidden")
	})
}

func TestRestoreWhereIfMatchIsRequired(t *testing.T) {
	f := onSQLite(t, func(cfg *Config) { cfg.RequireIfMatch = true })
	f.add(store.Cliente{Name: "Ana"})
	restore := func() answer {
		return f.as(store.Editor, "POST", "/clientes/1/restore", `{"version":1}`)
	}
	f.want(restore(), 428, "precondition_required")
	f.want(f.as(store.Editor, "DELETE", "/clientes/1", "", "If-Match", `"1"`), 204, "")
	f.want(restore(), 200, "") // it writes over nothing
}

// A page of a history is bounded in bytes too, and its Link goes on after the last record.
func TestAHistoryOfLongNotesIsShorter(t *testing.T) {
	f := onSQLite(t)
	notes := strings.Repeat("😀", store.MaxNotes-10)
	f.add(store.Cliente{Name: "Ana"})
	changes := maxPage/len(notes) + 3
	for i := range changes - 1 {
		_, err := f.store.UpdateCliente(t.Context(), 0, 1,
			func(c store.Cliente) (store.Cliente, error) {
				c.Notes = fmt.Sprint(i, notes)
				return c, nil
			})
		authtest.Must(t, err)
	}
	first := f.as(store.Viewer, "GET", "/clientes/1/history?limit=1000", "")
	n := strings.Count(first.body, `"action"`)
	if n >= changes || n < 100 || len(first.body) > maxPage+1<<16 {
		t.Errorf("the first page has %d changes, %d bytes", n, len(first.body))
	}
	second := f.as(store.Viewer, "GET", nextPage(first), "")
	n = strings.Count(first.body+second.body, `"action"`)
	if n != changes || nextPage(second) != "" {
		t.Errorf("two pages have %d of %d changes", n, changes)
	}
}

func TestOneOfManyConditionalWritesWins(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		path := clientePath(f.add(store.Cliente{Name: "Ana"}).ID)
		for round := range 3 {
			tag := versionTag(int64(round + 1))
			answers := make([]answer, 50)
			authtest.AtOnce(len(answers), func(i int) {
				method := []string{"PUT", "PATCH"}[i%2]
				body := fmt.Sprintf(`{"name":"writer %d of %d"}`, i, round)
				answers[i], _ = f.try(method, path, body,
					"If-Match", tag, "x-access-token", f.tokens[store.Editor])
			})
			won := ""
			for _, a := range answers {
				switch {
				case a.status == 200 && won == "":
					won = a.body
				case a.code() != "version_mismatch":
					t.Errorf("answered %d %s", a.status, a.body)
				}
			}
			got := f.as(store.Viewer, "GET", path, "")
			if got.body != won || got.header.Get("ETag") != versionTag(int64(round+2)) {
				t.Errorf("the winner wrote %s, and there is %s", won, got.body)
			}
		}
		if h := f.history(path + "/history"); len(h) != 4 {
			t.Errorf("the history has %d changes", len(h))
		}
	})
}

// The last of several writes without If-Match wins, and the history has the others.
func TestUnconditionalWritesAreAllKept(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		path := clientePath(f.add(store.Cliente{Name: "Ana"}).ID)
		answers := make([]answer, 30)
		authtest.AtOnce(len(answers), func(i int) {
			body := fmt.Sprintf(`{"name":"writer %d"}`, i)
			answers[i], _ = f.try("PATCH", path, body, "x-access-token", f.tokens[store.Editor])
		})
		var answered, kept []string
		for _, a := range answers {
			f.want(a, 200, "")
			answered = append(answered, a.body)
		}
		for _, c := range f.history(path + "/history?limit=7")[:len(answers)] {
			kept = append(kept, string(c.Record))
		}
		if last := f.as(store.Viewer, "GET", path, "").body; last != kept[0] {
			t.Errorf("there is %s, and the last change led to %s", last, kept[0])
		}
		slices.Sort(answered)
		slices.Sort(kept)
		if !slices.Equal(answered, kept) {
			t.Errorf("the writers were told\n%s\nand the history has\n%s", answered, kept)
		}
	})
}
