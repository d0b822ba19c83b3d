package api

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"clientes/auth/authtest"
	"clientes/store"
)

func TestErase(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		const text = "Unmistakable"
		body := fmt.Sprintf(`{"name":"%s","email":"%[1]s@example.com","notes":"%[1]s"}`, text)
		created := f.as(store.Editor, "POST", "/clientes", body, "Idempotency-Key", "k")
		f.want(created, 201, "")
		f.want(f.as(store.Editor, "PATCH", "/clientes/1", `{"company":"`+text+`"}`), 200, "")
		erase := func(headers ...string) answer {
			return f.as(store.Admin, "POST", "/clientes/1/erase", `{"reason":"request 4711"}`,
				headers...)
		}
		for _, role := range []store.Role{store.Viewer, store.Editor} {
			f.want(f.as(role, "POST", "/clientes/1/erase", `{}`), 403, "forbidden")
		}
		for body, code := range map[string]string{
			"": "malformed_body", "[]": "malformed_body", `{"reason":1}`: "malformed_body",
			`{"x":1}`: "validation_failed", `{"reason":"a\nb"}`: "validation_failed",
			`{"reason":"` + strings.Repeat("é", store.MaxReason+1) + `"}`: "validation_failed",
		} {
			if a := f.as(store.Admin, "POST", "/clientes/1/erase", body); a.code() != code {
				t.Errorf("%s answered %d %s", body, a.status, a.body)
			}
		}
		for _, id := range []string{"0", "2", "x"} {
			f.want(f.as(store.Admin, "POST", "/clientes/"+id+"/erase", `{}`), 404, "not_found")
		}
		f.want(erase("If-Match", `"1"`), 412, "version_mismatch")
		f.want(f.as(store.Viewer, "GET", "/clientes/1", ""), 200, "")
		f.want(erase("If-Match", `"2"`), 204, "")
		f.want(erase("If-Match", `"2"`), 204, "") // as if the first answer was lost

		f.want(f.as(store.Viewer, "GET", "/clientes/1", ""), 404, "not_found")
		for version := 1; version <= 4; version++ {
			f.want(f.as(store.Editor, "POST", "/clientes/1/restore",
				fmt.Sprintf(`{"version":%d}`, version)), 404, "not_found")
		}
		for _, path := range []string{
			"/clientes", "/clientes?q=" + text, "/clientes/1/history", "/clientes/export",
			"/clientes/1/everything", "/audit",
		} {
			if a := f.as(store.Admin, "GET", path, ""); a.status != 200 ||
				strings.Contains(strings.ToLower(a.body), strings.ToLower(text)) {
				t.Errorf("%s answered %d %s", path, a.status, a.body)
			}
		}
		a := f.as(store.Viewer, "GET", "/clientes/1/history", "")
		if got := strings.Count(a.body, `"record":null`); got != 3 ||
			!strings.Contains(a.body, `"action":"erased"`) {
			t.Errorf("the history is %s", a.body)
		}
		a = f.as(store.Admin, "GET", "/audit?event=cliente_erased", "")
		if strings.Count(a.body, `"detail":"request 4711"`) != 1 ||
			!strings.Contains(a.body, `"cliente_id":1,`) {
			t.Errorf("the audit has %s", a.body)
		}
		f.want(f.as(store.Editor, "POST", "/clientes", body, "Idempotency-Key", "k"), 422,
			"idempotency_mismatch")
	})
}

func TestEraseWhatWasDeleted(t *testing.T) {
	f := onSQLite(t, func(cfg *Config) { cfg.RequireIfMatch = true })
	f.add(store.Cliente{Name: "Ana"})
	erase := func(headers ...string) answer {
		return f.as(store.Admin, "POST", "/clientes/1/erase", `{}`, headers...)
	}
	f.want(erase(), 428, "precondition_required")
	f.want(f.as(store.Editor, "DELETE", "/clientes/1", "", "If-Match", `"1"`), 204, "")
	f.want(erase("If-Match", "*"), 412, "version_mismatch")
	f.want(erase(), 204, "") // it writes over nothing
	f.want(f.as(store.Editor, "POST", "/clientes/1/restore", `{"version":1}`), 404, "not_found")
}

func TestEverything(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		const path = "/clientes/1/everything"
		f.want(f.as(store.Editor, "POST", "/clientes", `{"name":"Ana","notes":"0"}`), 201, "")
		for i := range 2 * everythingPart {
			f.want(f.as(store.Editor, "PATCH", "/clientes/1", fmt.Sprintf(`{"notes":"%d"}`, i+1)),
				200, "")
		}
		read := func() (d struct {
			Record  *struct{ Name, Notes string }
			Erased  *string `json:"erased_at"`
			History []struct {
				Version int
				Action  string
				Record  *struct{ Notes string }
			}
			Events []struct {
				Event     string
				ClienteID int `json:"cliente_id"`
			}
		}) {
			t.Helper()
			a := f.as(store.Admin, "GET", path, "")
			f.want(a, 200, "")
			authtest.Must(t, json.Unmarshal([]byte(a.body), &d))
			if a.header.Get("Content-Type") != "application/json; charset=utf-8" ||
				a.header.Get("Content-Disposition") != `attachment; filename="cliente-1.json"` {
				t.Errorf("the headers are %v", a.header)
			}
			return d
		}
		d := read()
		const last = 2 * everythingPart
		if d.Record == nil || d.Record.Notes != fmt.Sprint(last) || d.Erased != nil ||
			len(d.History) != last+1 {
			t.Fatalf("got %+v with %d changes", d.Record, len(d.History))
		}
		for i, c := range d.History {
			if c.Version != last+1-i || c.Record == nil || c.Record.Notes != fmt.Sprint(last-i) {
				t.Errorf("change %d is %+v", i, c)
			}
		}
		// The reading itself is an event of the customer, with one row for all of this minute.
		read()
		if d = read(); len(d.Events) != 1 || d.Events[0].Event != "cliente_disclosed" ||
			d.Events[0].ClienteID != 1 {
			t.Errorf("the events are %+v", d.Events)
		}
		f.want(f.as(store.Admin, "POST", "/clientes/1/erase", `{}`), 204, "")
		d = read()
		left := slices.ContainsFunc(d.History, func(c struct {
			Version int
			Action  string
			Record  *struct{ Notes string }
		}) bool {
			return c.Record != nil
		})
		if d.Record != nil || d.Erased == nil || len(d.History) != last+2 || left ||
			len(d.Events) != 2 || d.Events[0].Event != "cliente_erased" {
			t.Errorf("after the erasure %+v", d)
		}
		if a := f.as(store.Admin, "HEAD", path, ""); a.status != 200 || a.body != "" {
			t.Errorf("HEAD answered %d %s", a.status, a.body)
		}
		f.want(f.as(store.Admin, "GET", "/clientes/2/everything", ""), 404, "not_found")
		f.want(f.as(store.Admin, "GET", "/clientes/x/everything", ""), 404, "not_found")
		f.want(f.as(store.Editor, "GET", path, ""), 403, "forbidden")
	})
}

func TestEraseAUser(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		made := f.as(store.Admin, "POST", "/users",
			`{"user":"Unmistakable","role":"editor","password":"a long passphrase"}`)
		f.want(made, 201, "")
		var u struct{ ID int }
		authtest.Must(t, json.Unmarshal([]byte(made.body), &u))
		login := f.call("POST", "/login", `{"user":"Unmistakable","password":"a long passphrase"}`)
		f.want(login, 200, "")
		var in struct{ Token string }
		authtest.Must(t, json.Unmarshal([]byte(login.body), &in))
		token := in.Token
		a := f.call("POST", "/clientes", `{"name":"Ana"}`, "X-Access-Token", token)
		f.want(a, 201, "")
		path := fmt.Sprintf("/users/%d", u.ID)
		f.want(f.as(store.Admin, "DELETE", path+"?erase=maybe", ""), 400, "invalid_parameter")
		f.want(f.as(store.Editor, "DELETE", path+"?erase=true", ""), 403, "forbidden")
		f.want(f.as(store.Admin, "DELETE", path+"?erase=true", ""), 204, "")
		f.want(f.as(store.Admin, "DELETE", path+"?erase=true", ""), 204, "")
		f.want(f.as(store.Admin, "DELETE", path, ""), 404, "not_found")
		f.want(f.as(store.Admin, "DELETE", "/users/9999?erase=true", ""), 404, "not_found")
		f.want(f.call("GET", "/me", "", "X-Access-Token", token), 401, "token_revoked")
		a = f.as(store.Viewer, "GET", "/clientes/1/history", "")
		if want := fmt.Sprintf(`"user_id":%d,"user":"user %[1]d"`, u.ID); !strings.Contains(a.body,
			want) {
			t.Errorf("the history is %s", a.body)
		}
		for _, path := range []string{"/audit", "/users", "/clientes/1/everything"} {
			if a := f.as(store.Admin, "GET", path, ""); strings.Contains(
				strings.ToLower(a.body), "unmistakable") {
				t.Errorf("%s answered %s", path, a.body)
			}
		}
	})
}

// leavingStore has a caller log out while it reads a history.
type leavingStore struct {
	Store
	leave func()
}

func (s *leavingStore) ClienteHistory(ctx context.Context, _, _ int64, _ int) (
	[]store.Change, error) {
	s.leave()
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestASessionEndsWhileEverythingIsRead(t *testing.T) {
	leaving := &leavingStore{}
	f := onSQLite(t, func(cfg *Config) {
		leaving.Store = cfg.Store
		cfg.Store = leaving
	})
	leaving.leave = func() {
		f.want(f.as(store.Admin, "POST", "/logout", ""), 200, "")
	}
	// The client may be cut before the answer.
	_, _ = f.try("GET", "/clientes/1/everything", "", "x-access-token", f.tokens[store.Admin])
	f.eventually("the log says why", func() bool {
		return strings.Contains(f.log.String(), `"code":"token_revoked"`)
	})
}
