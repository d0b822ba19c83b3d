package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"clientes/auth/authtest"
)

// TestTheTutorialsClients sends the requests of the tutorial's clients to a server built as in the
// tutorial, and to this one. It compares what those clients read: the status, auth, message, the
// kind of token, and id and name of the customers.
//
// Two things differ on purpose: where the tutorial
// answered 500, to a wrong login and to a bad token, this server answers 401.
func TestTheTutorialsClients(t *testing.T) {
	tutorial := startTutorial(t)
	secretIn(t)
	call(t, nil, goodPassword, "user", "add", "abc", "--role", "editor", "--password-stdin").
		want(t, 0, "abc", "")
	ours := launch(t, nil, "serve").url("")
	servers := []string{tutorial, ours}
	var tokens [2]string // of each server, "" after a logout

	login := fmt.Sprintf(`{"user":"abc","password":%q}`, goodPassword)
	form := "user=abc&password=" + strings.ReplaceAll(goodPassword, " ", "+")

	const typeJSON, typeForm = "application/json", "application/x-www-form-urlencoded"
	const x = "x-access-token"
	bare := func(method, path string, headers ...string) expressRequest {
		return expressRequest{method, path, "", "", headers}
	}
	sent := func(path, media, body string, headers ...string) expressRequest {
		return expressRequest{"POST", path, media, body, headers}
	}
	a := tutorialAnswer(t, ours, sent("/login", typeJSON, login))
	tokens[1], _ = a.members["token"].(string)
	made := tutorialAnswer(t, ours, sent("/clientes", typeJSON, `{"name":"Ana"}`, x, tokens[1]))
	if made.status != http.StatusCreated {
		t.Fatalf("the customer was answered with %d", made.status)
	}
	const good = "<good>" // the token of a login at the same server
	for _, c := range []struct {
		name    string
		request expressRequest
	}{
		{"root", bare("GET", "/")},
		{"root, HEAD", bare("HEAD", "/")},
		{"login", sent("/login", typeJSON, login)},
		{"login with a charset", sent("/login", typeJSON+"; charset=utf-8", login)},
		{"login, the type in capitals", sent("/login", "APPLICATION/JSON", login)},
		{"login, another member", sent("/login", typeJSON, `{"x":[1,{}],`+login[1:])},
		{"login form", sent("/login", typeForm, form)},
		{"login form with a charset", sent("/login", typeForm+";charset=UTF-8", form)},
		{"K1 json with bom", sent("/login", typeJSON, "\ufeff"+login)},
		{"K3 trailing slash", sent("/login/", typeJSON, login)},
		{"K4 path in another case", sent("/Login", typeJSON, login)},
		{"K4 and K3, form", sent("/LOGIN/", typeForm, form)},
		{"K5 cache buster", sent("/login?_=1700000000000", typeJSON, login)},
		{"login, gzip", sent("/login", typeJSON, compressed(t, login), "Content-Encoding", "gzip")},
		{"login form, gzip",
			sent("/login", typeForm, compressed(t, form), "Content-Encoding", "gzip")},
		{"login, another encoding", sent("/login", typeJSON, login, "Content-Encoding", "rot13")},
		{"login, another charset", sent("/login", typeJSON+"; charset=latin1", login)},
		{"login, broken gzip", sent("/login", typeJSON, login, "Content-Encoding", "gzip")},
		{"wrong login", sent("/login", typeJSON, `{"user":"abc","password":"x"}`)},
		{"nobody", sent("/login", typeForm, "user=nobody&password=x")},
		{"broken JSON", sent("/login", typeJSON, `{"user":`)},
		{"text for JSON", sent("/login", typeJSON, `abc`)},

		{"clientes", bare("GET", "/clientes", x, good)},
		{"the header in capitals", bare("GET", "/clientes", "X-ACCESS-TOKEN", good)},
		{"clientes, HEAD", bare("HEAD", "/clientes", x, good)},
		{"clientes with a slash", bare("GET", "/clientes/", x, good)},
		{"clientes in another case", bare("GET", "/Clientes", x, good)},
		{"clientes, cache buster", bare("GET", "/clientes?_=1&_=2", x, good)},
		{"clientes, cache buster after a slash", bare("GET", "/CLIENTES/?_=1", x, good)},
		{"a record", bare("GET", "/clientes/1", x, good)},
		{"a record, slash and case", bare("GET", "/Clientes/1/", x, good)},
		{"no record", bare("GET", "/clientes/9", x, good)},
		{"no id", bare("GET", "/clientes/abc/", x, good)},
		{"no id, no token", bare("GET", "/Clientes/abc/")},
		{"K6 bearer undefined beside",
			bare("GET", "/clientes", x, good, "Authorization", "Bearer undefined")},
		{"basic beside", bare("GET", "/clientes", x, good, "Authorization", "Basic YTpi")},
		{"another bearer beside",
			bare("GET", "/clientes", x, good, "Authorization", "Bearer a.b.c")},
		{"no token", bare("GET", "/clientes")},
		{"an empty token", bare("GET", "/clientes", x, "")},
		{"basic alone", bare("GET", "/clientes", "Authorization", "Basic YTpi")},
		{"undefined", bare("GET", "/clientes", x, "undefined")},
		{"null", bare("GET", "/clientes/1", x, "null")},
		{"quotes", bare("GET", "/clientes", x, `"`+good+`"`)},
		{"cut off", bare("GET", "/clientes", x, "eyJhbGciOi")},
		{"in a cookie", bare("GET", "/clientes", "Cookie", "x-access-token="+good)},

		{"two slashes at the end", bare("GET", "/clientes//", x, good)},
		{"two slashes before it", bare("GET", "//clientes", x, good)},
		{"an escaped letter", bare("GET", "/%63lientes", x, good)},
		{"an escaped slash", bare("GET", "/clientes%2F", x, good)},
		{"an escaped slash in an id", bare("GET", "/clientes/1%2F", x, good)},
		{"another path", bare("GET", "/cliente", x, good)},

		{"logout", bare("POST", "/logout", x, good)},
		{"logout, slash and case", bare("POST", "/Logout/", x, good)},
		{"logout with JSON", sent("/logout", typeJSON, "{}", x, good)},
		{"logout with a form", sent("/logout", typeForm, "a=b", x, good)},
		{"logout without a token", bare("POST", "/logout")},
		{"logout with a bad token", bare("POST", "/logout?_=1", x, "undefined")},
	} {
		t.Run(c.name, func(t *testing.T) {
			var answers [2]expressAnswer
			for i, server := range servers {
				token := ""
				if strings.Contains(fmt.Sprint(c.request.headers), good) {
					if tokens[i] == "" {
						a := tutorialAnswer(t, server, sent("/login", typeJSON, login))
						tokens[i], _ = a.members["token"].(string)
					}
					token = tokens[i]
				}
				request := c.request
				request.headers = nil
				for _, h := range c.request.headers {
					request.headers = append(request.headers, strings.ReplaceAll(h, good, token))
				}
				answers[i] = tutorialAnswer(t, server, request)
				if token != "" && strings.Contains(strings.ToLower(request.path), "/logout") {
					after := tutorialAnswer(t, server, bare("GET", "/clientes", x, token))
					if after.status != http.StatusUnauthorized {
						t.Errorf("after it, %s answers %d", server, after.status)
					}
					tokens[i] = ""
				}
			}
			compareWithTutorial(t, answers[0], answers[1])
		})
	}
}

// compareWithTutorial fails the test unless a client of the tutorial's server reads the same from
// ours.
func compareWithTutorial(t *testing.T, tutorial, ours expressAnswer) {
	t.Helper()
	want := tutorial.status
	message := tutorial.members["message"]
	if want == http.StatusInternalServerError &&
		(message == "Invalid Login!" || message == "Failed to authenticate token.") {
		want = http.StatusUnauthorized
	}
	if ours.status != want {
		t.Errorf("answered %d, the tutorial's server %d\n%s\n%s",
			ours.status, tutorial.status, ours.body, tutorial.body)
	}
	if tutorial.status == http.StatusNotFound {
		return // the tutorial's is a page of Express
	}
	for _, member := range []string{"auth", "message", "token", "id", "name"} {
		value, there := tutorial.members[member]
		if !there {
			continue // a client of the tutorial reads no more than it was sent
		}
		got, has := ours.members[member]
		if text, is := got.(string); member == "token" && is && text != "" {
			_, same := value.(string)
			if same {
				continue
			}
		}
		if !has || !reflect.DeepEqual(got, value) {
			t.Errorf("%s is %v, at the tutorial's server %v", member, got, value)
		}
	}
	if len(ours.records) != len(tutorial.records) {
		t.Errorf("answered %s, the tutorial's server %s", ours.body, tutorial.body)
		return
	}
	for i, record := range tutorial.records {
		for member, value := range record {
			if !reflect.DeepEqual(ours.records[i][member], value) {
				t.Errorf("answered %s, the tutorial's server %s", ours.body, tutorial.body)
			}
		}
	}
}

// expressRequest is a request of a client of the tutorial. The headers are names and values.
type expressRequest struct {
	method, path, media, body string
	headers                   []string
}

// expressAnswer is what such a client reads.
type expressAnswer struct {
	status  int
	body    string
	members map[string]any
	records []map[string]any
}

func tutorialAnswer(t *testing.T, server string, r expressRequest) expressAnswer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), r.method, server+r.path,
		strings.NewReader(r.body))
	authtest.Must(t, err)
	if r.media != "" {
		req.Header.Set("Content-Type", r.media)
	}
	for i := 0; i < len(r.headers); i += 2 {
		req.Header.Set(r.headers[i], r.headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	authtest.Must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	authtest.Must(t, err)
	a := expressAnswer{status: resp.StatusCode, body: string(body)}
	_ = json.Unmarshal(body, &a.members) // Express answers some errors with a page
	_ = json.Unmarshal(body, &a.records)
	return a
}

func compressed(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := io.WriteString(z, text)
	authtest.Must(t, err)
	authtest.Must(t, z.Close())
	return b.String()
}

// startTutorial installs what the tutorial's server needs, starts it, and returns its address. A
// machine that cannot reach npm's registry skips the test. With CI=true it fails instead.
func startTutorial(t *testing.T) string {
	t.Helper()
	needs(t, "node", "npm")
	folder := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "server.js"} {
		text, err := os.ReadFile(filepath.Join("testdata", "express", name))
		authtest.Must(t, err)
		authtest.Must(t, os.WriteFile(filepath.Join(folder, name), text, 0o600))
	}
	install := exec.CommandContext(t.Context(), "npm", "ci",
		"--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	install.Dir = folder
	switch out, err := install.CombinedOutput(); {
	case err != nil && os.Getenv("CI") == "true":
		t.Fatalf("npm ci: %v\n%s", err, out)
	case err != nil:
		t.Skipf("npm ci: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), "node", "server.js")
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "SECRET="+goodSecret, "USER1=abc", "PASSWORD="+goodPassword,
		"NODE_ENV=test") // or Express prints every refused body
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	authtest.Must(t, err)
	authtest.Must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // an error means that it has ended
		_ = cmd.Wait()
	})
	port, err := bufio.NewReader(stdout).ReadString('\n')
	authtest.Must(t, err)
	return "http://127.0.0.1:" + strings.TrimSpace(port)
}
