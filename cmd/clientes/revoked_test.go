package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"clientes/auth/authtest"
)

// underWay is a request that a test sends in parts, and whose answer it reads in parts.
type underWay struct {
	net.Conn
	t    *testing.T
	resp *http.Response
	in   *bufio.Reader
	rest string
}

// begin sends a request with the token up to the middle of its body. It returns when the server
// has checked the token: with a body, at "100 Continue", and else at the head of the answer.
func (f *fleet) beginRequest(
	t *testing.T, s *server, token, method, path, media, body string,
) *underWay {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	authtest.Must(t, err)
	t.Cleanup(func() { conn.Close() })
	authtest.Must(t, conn.(*net.TCPConn).SetReadBuffer(4<<10)) // a slow reader
	half := len(body) / 2
	u := &underWay{Conn: conn, t: t, in: bufio.NewReader(conn), rest: body[half:]}
	head := method + " " + path + " HTTP/1.1\r\nHost: x\r\nx-access-token: " + token + "\r\n"
	if body != "" {
		head += fmt.Sprintf("Content-Type: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n",
			media, len(body))
	}
	u.send(head + "\r\n")
	u.readHead()
	u.send(body[:half])
	return u
}

func (u *underWay) send(text string) {
	u.t.Helper()
	_, err := io.WriteString(u, text)
	authtest.Must(u.t, err)
}

func (u *underWay) readHead() {
	u.t.Helper()
	var err error
	u.resp, err = http.ReadResponse(u.in, nil)
	authtest.Must(u.t, err)
}

// finish sends the rest of the body and returns the answer.
func (u *underWay) finish() (status int, text string) {
	u.t.Helper()
	_, _ = io.WriteString(u, u.rest) // the server may have hung up on a file
	u.readHead()
	b, err := io.ReadAll(u.resp.Body)
	authtest.Must(u.t, err)
	return u.resp.StatusCode, string(b)
}

// The command line ends a session in the middle of three requests. Half of a new user has arrived,
// half of a file to import, and a slow client reads an export.
func TestAnEndCountsInTheMiddleOfARequest(t *testing.T) {
	t.Parallel()
	for engine, newURL := range engineURLs(t) {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 2, newURL(t))
			s := f.on(0)
			for _, name := range []string{"ana", "eva"} {
				f.addUser(t, name)
				f.command(t, "", "user", "role", name, "admin")
			}
			// More than the system holds on its way to a client that does not read.
			big := "name,notes\n" + strings.Repeat("Ana,"+strings.Repeat("x", 10_000)+"\n", 1000)
			by := f.login(t, s, "eva").Token
			status, text := f.beginRequest(t, s, by, "POST", "/clientes/import", "text/csv", big).
				finish()
			if status != 200 {
				t.Fatalf("the import of the fixture is answered %d %s", status, text)
			}

			token := f.login(t, f.on(1), "ana").Token
			user := f.beginRequest(t, s, token, "POST", "/users", "application/json",
				`{"user":"made","password":"a quiet harbour","role":"admin"}`)
			file := f.beginRequest(t, s, token, "POST", "/clientes/import", "text/csv",
				"name\nMade\n")
			export := f.beginRequest(t, s, token, "GET", "/clientes/export", "", "")
			if export.resp.StatusCode != 200 {
				t.Fatalf("the export is answered %s", export.resp.Status)
			}

			f.command(t, "", "user", "disable", "ana")
			authtest.Eventually(t, "the end is known", f.isRefused(t, s, token))
			for what, u := range map[string]*underWay{"user": user, "file": file} {
				if status, text := u.finish(); status != 401 {
					t.Errorf("%s: answered %d %s", what, status, text)
				}
			}
			n, err := io.Copy(io.Discard, export.resp.Body)
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the export went on for %d bytes and ended with %v", n, err)
			}
			lists := map[string]string{"/users": "made", "/clientes?q=Made": "Made"}
			for path, made := range lists {
				all := f.beginRequest(t, s, by, "GET", path, "", "")
				if b, err := io.ReadAll(all.resp.Body); err != nil || all.resp.StatusCode != 200 ||
					strings.Contains(string(b), `"`+made+`"`) {
					t.Errorf("%s is %s, %v: %s", path, all.resp.Status, err, b)
				}
			}
		})
	}
}
