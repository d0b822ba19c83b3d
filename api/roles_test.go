package api

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"clientes/store"
)

// Only users with the role of an operation reach it. The test calls every operation of the document
// without a token and as each role, with an empty body or for a record that is not there.
func TestRolesOfEveryOperation(t *testing.T) {
	f := onSQLite(t)
	// The ids of records that are not there, by the noun before them in the path.
	values := map[string]string{
		"sessions": "c2Vzc2lvbiBvZiAxNiBieQ", "keys": "c2Vzc2lvbiBvZiAxNiBieQ",
	}
	parameter := regexp.MustCompile(`/([a-z]+)/\{id\}`)
	let := 0
	for name, op := range documentedOperations(document(t)) {
		method, path, _ := strings.Cut(name, " ")
		path = parameter.ReplaceAllStringFunc(path, func(s string) string {
			noun := parameter.FindStringSubmatch(s)[1]
			if values[noun] != "" {
				return "/" + noun + "/" + values[noun]
			}
			return "/" + noun + "/999999"
		})
		body := ""
		if method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch {
			body = "{}"
		}
		role, declared := op.Extensions["x-role"].(string)
		open := op.Security != nil && !mustAuthenticate(*op.Security)
		switch {
		case declared && (open || !store.Role(role).Valid()):
			t.Errorf("%s is for %q and for anybody, or for a role that there is not", name, role)
		case !declared && !open:
			t.Errorf("%s says neither which role may call it nor that anybody may", name)
			continue
		}
		for _, who := range append([]store.Role{""}, store.Roles()...) {
			var headers []string
			if who != "" {
				// A new token each time, because the operation may revoke it.
				headers = []string{"x-access-token", f.login(who)}
			}
			a := f.call(method, path, body, headers...)
			want := "passes"
			switch {
			case declared && who == "":
				want = "token_missing"
			case declared && !who.Allows(store.Role(role)):
				want = "forbidden"
			}
			got := "passes"
			if code := a.code(); code == "forbidden" || strings.HasPrefix(code, "token_") {
				got = code
			}
			if got == "passes" {
				let++
			}
			status := map[string]int{"token_missing": 401, "forbidden": 403}[want]
			if got != want || status != 0 && a.status != status {
				t.Errorf("%s as %q is answered %d %q, want that it %s", name, who, a.status,
					a.code(), want)
			}
		}
	}
	if let < 60 {
		t.Errorf("only %d requests were let through", let)
	}
}
