package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"clientes/auth"
	"clientes/auth/authtest"
	"clientes/store"
)

// madeKey is the answer to POST /keys.
type madeKey struct {
	Key        string     `json:"key"`
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	UserID     int64      `json:"user_id"`
	User       string     `json:"user"`
	Role       store.Role `json:"role"`
	Scopes     []string   `json:"scopes"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  time.Time  `json:"expires_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
}

// makeKey makes a key for the user of a role. The body has a name and the password already.
func (f *fixture) makeKey(role store.Role, more string) (k madeKey) {
	f.t.Helper()
	a := f.as(role, "POST", "/keys", `{"name":"Shop","current":"correct horse"`+more+`}`)
	f.want(a, 201, "")
	authtest.Must(f.t, json.Unmarshal([]byte(a.body), &k))
	if got := a.header.Get("Location"); got != "/keys/"+k.ID {
		f.t.Errorf("Location: %s", got)
	}
	return k
}

// listKeys returns the ids of the keys that a role sees.
func (f *fixture) listKeys(role store.Role) (ids []string) {
	f.t.Helper()
	a := f.as(role, "GET", "/keys", "")
	f.want(a, 200, "")
	if keyText.MatchString(a.body) {
		f.t.Errorf("a key is shown again: %s", a.body)
	}
	var keys []madeKey
	authtest.Must(f.t, json.Unmarshal([]byte(a.body), &keys))
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	return ids
}

func TestKeys(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		k := f.makeKey(store.Editor, "")
		u := f.users[store.Editor]
		if k.Name != "Shop" || k.UserID != u.ID || k.User != u.Name || k.Role != store.Editor ||
			!slices.Equal(k.Scopes, []string{"clientes:read", "clientes:write", "changes"}) ||
			k.ExpiresAt.Sub(k.CreatedAt) != 90*24*time.Hour || k.LastUsedAt != nil {
			t.Errorf("made %+v", k)
		}
		for _, headers := range [][]string{
			{"x-access-token", k.Key}, {"x-access-token", "Bearer " + k.Key},
			{"Authorization", "Bearer " + k.Key}, {"Authorization", "bearer  " + k.Key + " "},
		} {
			f.want(f.call("POST", "/clientes", `{"name":"Ana"}`, headers...), 201, "")
		}
		narrow := f.makeKey(store.Admin,
			`,"role":"viewer","scopes":["clientes:read","clientes:read"],"expires_in":60`)
		if narrow.Role != store.Viewer || !slices.Equal(narrow.Scopes, []string{"clientes:read"}) ||
			narrow.ExpiresAt.Sub(narrow.CreatedAt) != time.Minute {
			t.Errorf("made %+v", narrow)
		}
		with := []string{"x-access-token", narrow.Key, "X-Request-Id", "of-a-key"}
		f.want(f.call("GET", "/clientes", "", with...), 200, "")
		if line := f.logLine("of-a-key"); !strings.Contains(line, `"key":"`+narrow.ID+`"`) ||
			strings.Contains(line, "jti") {
			t.Errorf("logged %s", line)
		}
		f.eventually("the last use is shown", func() bool {
			return !strings.Contains(f.as(store.Editor, "GET", "/keys", "").body, "null")
		})
		// A program that follows the changes has a key.
		feed := f.makeKey(store.Viewer, `,"scopes":["changes"]`)
		f.want(f.call("GET", "/clientes/changes?since=0", "", "x-access-token", feed.Key), 200, "")
		f.want(f.call("GET", "/clientes", "", "x-access-token", feed.Key), 403, "forbidden")
		f.want(f.as(store.Viewer, "DELETE", "/keys/"+feed.ID, ""), 204, "")
		// What a person does is no key's.
		full := f.makeKey(store.Admin, "")
		for _, call := range []string{"GET /keys", "GET /me", "DELETE /me/devices"} {
			method, path, _ := strings.Cut(call, " ")
			a := f.call(method, path, "", "x-access-token", full.Key)
			f.want(a, 403, "forbidden")
			const want = `Bearer realm="clientes", error="insufficient_scope"`
			if got := a.header.Get("WWW-Authenticate"); got != want {
				t.Errorf("%s: %s", call, got)
			}
		}
		a := f.call("DELETE", "/clientes/1", "", "x-access-token", narrow.Key)
		f.want(a, 403, "forbidden")
		if a := f.call("GET", "/users", "", "x-access-token", full.Key); a.status != 200 {
			t.Errorf("an admin's key: %d %s", a.status, a.body)
		}
		f.want(f.call("PATCH", fmt.Sprint("/users/", u.ID), `{"role":"admin"}`,
			"x-access-token", full.Key), 403, "step_up_required")
		// Ends.
		if got := f.listKeys(store.Editor); !slices.Equal(got, []string{k.ID}) {
			t.Errorf("an editor sees %v", got)
		}
		if got := f.listKeys(store.Viewer); len(got) != 0 {
			t.Errorf("a viewer sees %v", got)
		}
		if got := f.listKeys(store.Admin); len(got) != 3 || !slices.Contains(got, k.ID) {
			t.Errorf("an admin sees %v", got)
		}
		f.want(f.as(store.Viewer, "DELETE", "/keys/"+k.ID, ""), 404, "not_found")
		f.want(f.as(store.Editor, "DELETE", "/sessions/"+k.ID, ""), 404, "not_found")
		f.wantToken(k.Key, 200, "")
		f.want(f.as(store.Admin, "DELETE", "/keys/"+k.ID, ""), 204, "")
		a = f.call("GET", "/clientes", "", "x-access-token", k.Key)
		f.want(a, 401, "token_revoked")
		if got := a.header.Get("WWW-Authenticate"); !strings.Contains(got, "make another one") {
			t.Errorf("an ended key is told %s", got)
		}
		f.want(f.as(store.Admin, "DELETE", "/keys/"+k.ID, ""), 404, "not_found")
		f.want(f.as(store.Admin, "DELETE", "/keys/1", ""), 404, "not_found")
		f.want(f.as(store.Admin, "DELETE", "/keys/"+k.Key, ""), 404, "not_found") // is in no log
		f.want(f.as(store.Admin, "DELETE", "/keys/"+full.ID, ""), 204, "")
		f.wantToken(full.Key, 401, "token_revoked")
		f.wantToken(full.Key[:39]+"!", 401, "token_invalid")
		audit := f.as(store.Admin, "GET", "/audit?event=key_ended", "")
		if !strings.Contains(audit.body, `"detail":"`+k.ID+` Shop"`) {
			t.Errorf("the audit has %s", audit.body)
		}
	})
}

// A program cannot log in again, so it is told what it can do.
func TestAKeyExpires(t *testing.T) {
	onEachClock(t, func(t *testing.T, f *fixture, c *authtest.Clock) {
		k := f.makeKey(store.Viewer, `,"expires_in":60`)
		f.wantToken(k.Key, 200, "")
		c.Advance(2 * time.Minute)
		a := f.call("GET", "/clientes", "", "x-access-token", k.Key)
		f.want(a, 401, "token_expired")
		if got := a.header.Get("WWW-Authenticate"); !strings.Contains(got, "make another one") {
			t.Errorf("an expired key is told %s", got)
		}
	})
}

// A key may do what its scopes name, of all that its role may, and nothing else. The test calls
// every operation with a key of each scope, with an empty body or for a record that is not there.
func TestScopesOfEveryOperation(t *testing.T) {
	f := onSQLite(t)
	keys := map[store.Scope]string{}
	for _, scope := range store.Admin.Scopes() {
		keys[scope] = f.makeKey(store.Admin, fmt.Sprintf(`,"scopes":[%q]`, scope)).Key
	}
	passed, refused := 0, 0
	for name, op := range documentedOperations(document(t)) {
		method, path, _ := strings.Cut(name, " ")
		path = strings.ReplaceAll(path, "{id}", "999999")
		if op.Security != nil && !mustAuthenticate(*op.Security) {
			continue
		}
		needs, _ := op.Extensions["x-scope"].(string)
		for scope, key := range keys {
			body := ""
			if method == "POST" || method == "PUT" || method == "PATCH" {
				body = "{}"
			}
			a := f.call(method, path, body, "x-access-token", key)
			if string(scope) == needs {
				passed++
				if a.status == 401 || a.code() == "forbidden" {
					t.Errorf("%s with %s: %d %s", name, scope, a.status, a.body)
				}
				continue
			}
			refused++
			want := `Bearer realm="clientes", error="insufficient_scope"`
			if needs != "" {
				want += `, scope="` + needs + `"`
			}
			if a.status != 403 || a.code() != "forbidden" ||
				a.header.Get("WWW-Authenticate") != want {
				t.Errorf("%s with %s: %d %s, %s", name, scope, a.status, a.body,
					a.header.Get("WWW-Authenticate"))
			}
		}
	}
	if passed < 15 || refused < 100 {
		t.Errorf("%d passed, %d were refused", passed, refused)
	}
	// The scope does not widen the role.
	viewer := f.makeKey(store.Admin, `,"role":"viewer"`).Key
	a := f.call("POST", "/clientes", `{"name":"Ana"}`, "x-access-token", viewer)
	f.want(a, 403, "forbidden")
	if !strings.Contains(a.body, "Your role does not allow this.") {
		t.Errorf("%s", a.body)
	}
}

func TestBodiesOfKeys(t *testing.T) {
	f := onSQLite(t)
	const good = `"name":"Shop","current":"correct horse"`
	for members, want := range map[string]string{
		``:                                "422 name:required current:required",
		`"name":"Shop"`:                   "422 current:required",
		`"name":"Shop","current":"wrong"`: "422 current:wrong_password",
		`"name":"","x":1`:                 "422 x:unknown_member name:required current:required",
		`"name":1,"current":"x"`:          "400 ",

		good + `,"role":"editor"`:               "422 role:invalid_role",
		good + `,"role":"root"`:                 "422 role:invalid_role",
		good + `,"role":""`:                     "422 role:invalid_role",
		good + `,"scopes":["root"]`:             "422 scopes:invalid_scope",
		good + `,"scopes":["clientes:write"]`:   "422 scopes:invalid_scope",
		good + `,"scopes":[]`:                   "422 scopes:required",
		good + `,"scopes":"changes"`:            "400 ",
		good + `,"expires_in":59`:               "422 expires_in:too_short",
		good + `,"expires_in":0`:                "422 expires_in:too_short",
		good + `,"expires_in":-1`:               "422 expires_in:too_short",
		good + `,"expires_in":31536001`:         "422 expires_in:too_long",
		good + `,"expires_in":9007199254740991`: "422 expires_in:too_long",
		good + `,"expires_in":1.5`:              "400 ",
		good + `,"expires_in":31536000`:         "201 ",

		good + `,"scopes":null,"role":null,"expires_in":null`: "201 ",
	} {
		a := f.as(store.Viewer, "POST", "/keys", "{"+members+"}")
		if got := fmt.Sprint(a.status, " ", a.faults()); got != want {
			t.Errorf("%s: %s, want %s\n%s", members, got, want, a.body)
		}
	}
	for range store.MaxKeys - 2 {
		_, err := auth.NewAccounts(f.store).AddKey(t.Context(), "the-viewer",
			auth.KeyRequest{Name: "x", Lasts: time.Hour})
		authtest.Must(t, err)
	}
	a := f.as(store.Viewer, "POST", "/keys", `{"name":"Shop","current":"correct horse"}`)
	f.want(a, 409, "conflict")
	if a.faults() != "keys:too_many" {
		t.Errorf("%s", a.body)
	}
	// A page after the other, the newest first.
	seen, next := map[string]bool{}, "/keys?limit=40"
	for pages := 0; next != ""; pages++ {
		a := f.as(store.Viewer, "GET", next, "")
		f.want(a, 200, "")
		var keys []madeKey
		authtest.Must(t, json.Unmarshal([]byte(a.body), &keys))
		for _, k := range keys {
			seen[k.ID] = true
		}
		next, _, _ = strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
		if next != "" { // a cursor is good for its own list
			f.want(f.as(store.Admin, "GET", next, ""), 400, "invalid_parameter")
		}
	}
	if len(seen) != store.MaxKeys {
		t.Errorf("%d keys on all pages", len(seen))
	}
}

func TestLogoutWithAKey(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		k := f.makeKey(store.Viewer, "")
		f.want(f.call("POST", "/logout", `{"everywhere":true}`, "x-access-token", k.Key), 403,
			"forbidden")
		f.wantToken(k.Key, 200, "")
		f.want(f.as(store.Viewer, "POST", "/logout", `{"everywhere":true}`), 200, "")
		f.wantToken(f.tokens[store.Viewer], 401, "token_revoked")
		f.wantToken(k.Key, 200, "")
		f.want(f.call("POST", "/logout", "", "Authorization", "Bearer "+k.Key), 200, "")
		f.wantToken(k.Key, 401, "token_revoked")
		f.tokens[store.Viewer] = f.login(store.Viewer)
		k = f.makeKey(store.Viewer, "")
		f.want(f.call("POST", "/logout", `{"refresh_token":"`+k.Key+`"}`), 200, "")
		f.wantToken(k.Key, 401, "token_revoked")
		// A key is in no refresh.
		k = f.makeKey(store.Viewer, "")
		f.want(f.call("POST", "/refresh", refreshBody(k.Key)), 401, "refresh_invalid")
		// Its scheme helps whoever has forgotten it.
		a := f.call("GET", "/clientes", "", "Authorization", f.makeKey(store.Viewer, "").Key)
		f.want(a, 401, "token_invalid")
	})
}

// A program cannot log in, so no refusal asks that of it.
func TestAKeyIsNotToldToLogIn(t *testing.T) {
	t.Parallel()
	f := onSQLite(t)
	all := f.makeKey(store.Admin, "")
	a := f.call("PATCH", fmt.Sprint("/users/", f.users[store.Viewer].ID), `{"role":"admin"}`,
		"x-access-token", all.Key)
	f.want(a, 403, "step_up_required")
	f.says(a, "the password of its user")
	f.want(f.as(store.Admin, "DELETE", "/keys/"+all.ID, ""), 204, "")
	a = f.call("POST", "/logout", `{"everywhere":true}`, "x-access-token", all.Key)
	f.want(a, 401, "token_revoked")
	if got := a.header.Get("WWW-Authenticate"); !strings.Contains(got, "make another one") {
		t.Errorf("a logout everywhere is told %s", got)
	}
	low := f.makeKey(store.Admin, `,"role":"viewer"`)
	f.requireMFA(store.Admin)
	a = f.call("GET", "/clientes", "", "x-access-token", low.Key)
	f.want(a, 403, "mfa_setup_required")
	f.says(a, "make another key")
}

// What a key is told does not depend on when it ends.
func TestAKeyEndsWhileItWaits(t *testing.T) {
	t.Parallel()
	f := onSQLite(t)
	k := f.makeKey(store.Viewer, "")
	waiting := make(chan answer)
	go func() {
		waiting <- f.call("GET", "/clientes/changes?wait=30", "", "x-access-token", k.Key)
	}()
	f.eventually("it waits", func() bool { return f.server.listeners.occupied() == 1 })
	f.want(f.as(store.Viewer, "DELETE", "/keys/"+k.ID, ""), 204, "")
	a := soon(t, waiting)
	f.want(a, 401, "token_revoked")
	if got := a.header.Get("WWW-Authenticate"); !strings.Contains(got, "make another one") {
		t.Errorf("it is told %s", got)
	}
}

// Each key of a logout costs a read, and anybody can write one with the right checksum.
func TestALogoutEndsFewKeys(t *testing.T) {
	t.Parallel()
	f := onSQLite(t)
	var texts []string
	for range keysOfLogout + 2 {
		texts = append(texts, f.makeKey(store.Viewer, "").Key)
	}
	body := `{"keys":"clk_x ` + strings.Join(texts, " ") + `"}`
	f.want(f.call("POST", "/logout", body, "x-access-token", texts[0]), 200, "")
	a := f.as(store.Viewer, "GET", "/keys", "")
	f.want(a, 200, "")
	var left []madeKey
	authtest.Must(t, json.Unmarshal([]byte(a.body), &left))
	if ended := len(texts) - len(left); ended != keysOfLogout-1 { // the first was there twice
		t.Errorf("%d keys have ended", ended)
	}
}
