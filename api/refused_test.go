package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"clientes/auth/authtest"
	"clientes/store"
)

// TestOnlyARefusedLoginIsAboutAuthentication fails until both routes refuse to look at a password.
func TestOnlyARefusedLoginIsAboutAuthentication(t *testing.T) {
	f := onSQLite(t)
	for _, c := range []struct {
		path, body string
		about      bool
	}{
		{"/login", `{"user":"nobody","password":"wrong"}`, true},
		{"/password", `{"current":"wrong","password":"correct horse battery 9"}`, false},
	} {
		for {
			a := f.as(store.Viewer, "POST", c.path, c.body)
			if a.status != 429 {
				continue
			}
			if has := strings.Contains(a.body, `"auth"`); has != c.about {
				t.Errorf("%s: %s", c.path, a.body)
			}
			break
		}
	}
}

// TestTwoLengthsCloseTheConnection sends both headers that say how long a body is.
func TestTwoLengthsCloseTheConnection(t *testing.T) {
	f := onSQLite(t)
	for _, path := range []string{"/login", "/clientes", "/nowhere", "/healthz"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		authtest.Must(t, err)
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"+
			"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"+
			"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", path)
		r := bufio.NewReader(conn)
		answer, err := http.ReadResponse(r, nil)
		authtest.Must(t, err)
		_, err = io.Copy(io.Discard, answer.Body)
		authtest.Must(t, err)
		if rest, _ := io.ReadAll(r); !answer.Close || len(rest) > 0 {
			t.Errorf("%s: closed %t, and then %q", path, answer.Close, rest)
		}
		conn.Close()
	}
}

// TestAGuessablePasswordIsNamedWithOtherFaults sends bodies with an unknown member as well.
func TestAGuessablePasswordIsNamedWithOtherFaults(t *testing.T) {
	f := onSQLite(t, func(cfg *Config) { cfg.SignupOpen = true })
	for _, c := range []struct {
		role       store.Role
		path, body string
	}{
		{store.Viewer, "/password", `{"current":"x","password":"password123","x":1}`},
		{store.Viewer, "/signup", `{"user":"eva","password":"password123","x":1}`},
		{store.Admin, "/users", `{"user":"eva","password":"password123","x":1}`},
	} {
		a := f.as(c.role, "POST", c.path, c.body)
		for _, field := range []string{`"x"`, `"password"`} {
			if a.status != 422 || !strings.Contains(a.body, `"field":`+field) {
				t.Errorf("%s: answered %d %s, want a fault of %s", c.path, a.status, a.body, field)
			}
		}
	}
}
