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
// tutorial, and to this one, and compares what those clients read: the status, auth, message, the
// kind of token, and id and name of the customers. Two things differ on purpose: where the tutorial
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
	a := tutorialAnswer(t, ours, expressRequest{"POST", "/login", "application/json", login, nil}, "")
	token := a.members["token"].(string)
	made := tutorialAnswer(t, ours, expressRequest{
		"POST", "/clientes", "application/json", `{"name":"Ana"}`, nil}, token)
	if made.status != http.StatusCreated {
		t.Fatalf("the customer was answered with %d", made.status)
	}

	const typeJSON, typeForm = "application/json", "application/x-www-form-urlencoded"
	headers := func(pairs ...string) []string { return pairs }
	const good = "<good>" // the token of a login at the same server
	for _, c := range []struct {
		name    string
		request expressRequest
	}{
		{"root", expressRequest{"GET", "/", "", "", nil}},
		{"root, HEAD", expressRequest{"HEAD", "/", "", "", nil}},
		{"login", expressRequest{"POST", "/login", typeJSON, login, nil}},
		{"login with a charset", expressRequest{"POST", "/login", typeJSON + "; charset=utf-8", login, nil}},
		{"login, the type in capitals", expressRequest{"POST", "/login", "APPLICATION/JSON", login, nil}},
		{"login, another member", expressRequest{"POST", "/login", typeJSON,
			`{"x":[1,{}],` + login[1:], nil}},
		{"login form", expressRequest{"POST", "/login", typeForm, form, nil}},
		{"login form with a charset", expressRequest{"POST", "/login", typeForm + ";charset=UTF-8", form, nil}},
		{"K1 json with bom", expressRequest{"POST", "/login", typeJSON, "\ufeff" + login, nil}},
		{"K3 trailing slash", expressRequest{"POST", "/login/", typeJSON, login, nil}},
		{"K4 path in another case", expressRequest{"POST", "/Login", typeJSON, login, nil}},
		{"K4 and K3, form", expressRequest{"POST", "/LOGIN/", typeForm, form, nil}},
		{"K5 cache buster", expressRequest{"POST", "/login?_=1700000000000", typeJSON, login, nil}},
		{"login, gzip", expressRequest{"POST", "/login", typeJSON, compressed(t, login),
			headers("Content-Encoding", "gzip")}},
		{"login form, gzip", expressRequest{"POST", "/login", typeForm, compressed(t, form),
			headers("Content-Encoding", "gzip")}},
		{"login, another encoding", expressRequest{"POST", "/login", typeJSON, login,
			headers("Content-Encoding", "rot13")}},
		{"login, another charset", expressRequest{"POST", "/login", typeJSON + "; charset=latin1", login, nil}},
		{"login, broken gzip", expressRequest{"POST", "/login", typeJSON, login,
			headers("Content-Encoding", "gzip")}},
		{"wrong login", expressRequest{"POST", "/login", typeJSON, `{"user":"abc","password":"x"}`, nil}},
		{"nobody", expressRequest{"POST", "/login", typeForm, "user=nobody&password=x", nil}},
		{"broken JSON", expressRequest{"POST", "/login", typeJSON, `{"user":`, nil}},
		{"text for JSON", expressRequest{"POST", "/login", typeJSON, `abc`, nil}},

		{"clientes", expressRequest{"GET", "/clientes", "", "", headers("x-access-token", good)}},
		{"the header in capitals", expressRequest{"GET", "/clientes", "", "", headers("X-ACCESS-TOKEN", good)}},
		{"clientes, HEAD", expressRequest{"HEAD", "/clientes", "", "", headers("x-access-token", good)}},
		{"clientes with a slash", expressRequest{"GET", "/clientes/", "", "", headers("x-access-token", good)}},
		{"clientes in another case", expressRequest{"GET", "/Clientes", "", "", headers("x-access-token", good)}},
		{"clientes, cache buster", expressRequest{"GET", "/clientes?_=1&_=2", "", "",
			headers("x-access-token", good)}},
		{"clientes, cache buster after a slash", expressRequest{"GET", "/CLIENTES/?_=1", "", "",
			headers("x-access-token", good)}},
		{"a record", expressRequest{"GET", "/clientes/1", "", "", headers("x-access-token", good)}},
		{"a record, slash and case", expressRequest{"GET", "/Clientes/1/", "", "",
			headers("x-access-token", good)}},
		{"no record", expressRequest{"GET", "/clientes/9", "", "", headers("x-access-token", good)}},
		{"no id", expressRequest{"GET", "/clientes/abc/", "", "", headers("x-access-token", good)}},
		{"no id, no token", expressRequest{"GET", "/Clientes/abc/", "", "", nil}},
		{"K6 bearer undefined beside", expressRequest{"GET", "/clientes", "", "",
			headers("x-access-token", good, "Authorization", "Bearer undefined")}},
		{"basic beside", expressRequest{"GET", "/clientes", "", "",
			headers("x-access-token", good, "Authorization", "Basic YTpi")}},
		{"another bearer beside", expressRequest{"GET", "/clientes", "", "",
			headers("x-access-token", good, "Authorization", "Bearer a.b.c")}},
		{"no token", expressRequest{"GET", "/clientes", "", "", nil}},
		{"an empty token", expressRequest{"GET", "/clientes", "", "", headers("x-access-token", "")}},
		{"basic alone", expressRequest{"GET", "/clientes", "", "", headers("Authorization", "Basic YTpi")}},
		{"undefined", expressRequest{"GET", "/clientes", "", "", headers("x-access-token", "undefined")}},
		{"null", expressRequest{"GET", "/clientes/1", "", "", headers("x-access-token", "null")}},
		{"quotes", expressRequest{"GET", "/clientes", "", "", headers("x-access-token", `"`+good+`"`)}},
		{"cut off", expressRequest{"GET", "/clientes", "", "", headers("x-access-token", "eyJhbGciOi")}},
		{"in the query", expressRequest{"GET", "/clientes", "", "", headers("Cookie", "x-access-token="+good)}},

		{"two slashes at the end", expressRequest{"GET", "/clientes//", "", "", headers("x-access-token", good)}},
		{"two slashes before it", expressRequest{"GET", "//clientes", "", "", headers("x-access-token", good)}},
		{"an escaped letter", expressRequest{"GET", "/%63lientes", "", "", headers("x-access-token", good)}},
		{"an escaped slash", expressRequest{"GET", "/clientes%2F", "", "", headers("x-access-token", good)}},
		{"an escaped slash in an id", expressRequest{"GET", "/clientes/1%2F", "", "",
			headers("x-access-token", good)}},
		{"another path", expressRequest{"GET", "/cliente", "", "", headers("x-access-token", good)}},

		{"logout", expressRequest{"POST", "/logout", "", "", headers("x-access-token", good)}},
		{"logout, slash and case", expressRequest{"POST", "/Logout/", "", "", headers("x-access-token", good)}},
		{"logout with JSON", expressRequest{"POST", "/logout", typeJSON, "{}", headers("x-access-token", good)}},
		{"logout with a form", expressRequest{"POST", "/logout", typeForm, "a=b",
			headers("x-access-token", good)}},
		{"logout without a token", expressRequest{"POST", "/logout", "", "", nil}},
		{"logout with a bad token", expressRequest{"POST", "/logout?_=1", "", "",
			headers("x-access-token", "undefined")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var answers [2]expressAnswer
			for i, server := range servers {
				token := ""
				if strings.Contains(fmt.Sprint(c.request.headers), good) {
					if tokens[i] == "" {
						a := tutorialAnswer(t, server, expressRequest{
							"POST", "/login", typeJSON, login, nil}, "")
						tokens[i], _ = a.members["token"].(string)
					}
					token = tokens[i]
				}
				request := c.request
				request.headers = nil
				for _, h := range c.request.headers {
					request.headers = append(request.headers, strings.ReplaceAll(h, good, token))
				}
				answers[i] = tutorialAnswer(t, server, request, "")
				if token != "" && strings.Contains(strings.ToLower(request.path), "/logout") {
					after := tutorialAnswer(t, server, expressRequest{"GET", "/clientes", "", "",
						headers("x-access-token", token)}, "")
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
		got := ours.members[member]
		if text, is := got.(string); member == "token" && is && text != "" {
			_, same := value.(string)
			if same {
				continue
			}
		}
		if !reflect.DeepEqual(got, value) {
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

func tutorialAnswer(t *testing.T, server string, r expressRequest, token string) expressAnswer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), r.method, server+r.path,
		strings.NewReader(r.body))
	authtest.Must(t, err)
	if r.media != "" {
		req.Header.Set("Content-Type", r.media)
	}
	if token != "" {
		req.Header.Set("x-access-token", token)
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
