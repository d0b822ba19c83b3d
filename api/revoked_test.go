package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clientes/auth"
	"clientes/auth/authtest"
	"clientes/auth/password"
	"clientes/store"
)

// bodyOf returns a body that a route takes, so that only the end of the session can refuse it. n is
// another number each time.
func bodyOf(method, path string, n int) (media, body string) {
	switch method + " " + path {
	case "POST /users":
		return mediaJSON, fmt.Sprintf(
			`{"user":"made-%d","password":"a quiet harbour","role":"admin"}`, n)
	case "POST /clientes":
		return mediaJSON, fmt.Sprintf(`{"name":"Ana","email":"made-%d@example.com"}`, n)
	case "PUT /clientes/:id", "PATCH /clientes/:id":
		return mediaJSON, fmt.Sprintf(`{"name":"Ana %d"}`, n)
	case "PATCH /users/:id":
		return mediaJSON, fmt.Sprintf(`{"email":"made-%d@example.com"}`, n)
	case "PATCH /me":
		return mediaJSON, fmt.Sprintf(
			`{"email":"made-%d@example.com","current":%q}`, n, testPassword)
	case "POST /password":
		return mediaJSON, fmt.Sprintf(`{"current":%q,"password":"a quiet harbour"}`, testPassword)
	case "POST /clientes/import":
		return "text/csv", "name,email\nAna,\n"
	}
	return mediaJSON, fmt.Sprintf(`{"current":%q}`, testPassword)
}

// halfSent is a request of which the server has checked the token and waits for the rest of the
// body.
type halfSent struct {
	*rawConn
	what string
	rest string
}

// sendHalf sends a request up to the middle of its body. Each framing is a way to say where a body
// ends. It returns false if the server has answered without waiting for the rest.
func (f *fixture) sendHalf(token string, r route, framing string, path string, n int) (
	*halfSent, bool) {
	f.t.Helper()
	media, body := bodyOf(r.method, r.path, n)
	if framing == "long" && media == mediaJSON {
		body += strings.Repeat(" ", smallBody)
	}
	h := &halfSent{rawConn: f.dial(), what: r.method + " " + r.path + " " + framing}
	var err error
	h.req, err = http.NewRequestWithContext(f.t.Context(), r.method, f.url+path, nil)
	authtest.Must(f.t, err)
	half := len(body) / 2
	first, rest, length := body[:half], body[half:], fmt.Sprint("Content-Length: ", len(body))
	if framing == "chunked" {
		first = fmt.Sprintf("%x\r\n%s\r\n", half, first)
		rest = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(rest), rest)
		length = "Transfer-Encoding: chunked"
	}
	h.rest = rest
	// The server sends "100 Continue" when it begins to read the body: after it checked the token.
	h.send(r.method + " " + path + " HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" +
		"Content-Type: " + media + "\r\n" + length + "\r\nx-access-token: " + token + "\r\n\r\n")
	resp, err := http.ReadResponse(h.in, h.req)
	authtest.Must(f.t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusContinue {
		return h, false
	}
	h.send(first)
	return h, true
}

// ends are all ways in which a session ends, brought about by another process on the same database.
func ends(other *auth.Auth, st store.Store) map[string]func(
	ctx context.Context, token string, c auth.Caller, name string) error {
	type end = func(ctx context.Context, token string, c auth.Caller, name string) error
	command := auth.NewAccounts(st)
	return map[string]end{
		"logout": func(ctx context.Context, token string, _ auth.Caller, _ string) error {
			return other.Logout(ctx, token)
		},
		"everywhere": func(ctx context.Context, _ string, c auth.Caller, _ string) error {
			return other.LogoutEverywhere(ctx, c.UserID)
		},
		"session": func(ctx context.Context, _ string, c auth.Caller, _ string) error {
			return other.EndSession(ctx, c, c.SessionID)
		},
		"disabled": func(ctx context.Context, _ string, _ auth.Caller, name string) error {
			return command.Disable(ctx, name)
		},
		"role": func(ctx context.Context, _ string, _ auth.Caller, name string) error {
			return command.SetRole(ctx, name, store.Editor)
		},
		"password": func(ctx context.Context, _ string, _ auth.Caller, name string) error {
			return command.SetPassword(ctx, name, "a quiet harbour")
		},
		"deleted": func(ctx context.Context, _ string, _ auth.Caller, name string) error {
			return command.Delete(ctx, name)
		},
	}
}

// A session that ends while a body arrives writes nothing, whichever the route, however the body
// comes, and however another process ended the session. The test takes the routes from the table,
// so a new one is in it.
func TestNoBodyOutlivesItsSession(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		f := newFixture(t, e.Open(t, url, time.Now))
		elsewhere := e.Open(t, url, time.Now)
		t.Cleanup(func() { elsewhere.Close() })
		cfg := f.config
		cfg.Store = elsewhere
		other, err := auth.New(cfg)
		authtest.Must(t, err)
		record := f.add(store.Cliente{Name: "Ana"})
		paths := map[string]int64{"clientes": record.ID, "users": f.users[store.Viewer].ID}
		n := 0
		for kind, end := range ends(other, elsewhere) {
			name := "thief-" + kind
			_, err := f.store.CreateUser(t.Context(),
				store.User{Name: name, Role: store.Admin, PasswordHash: testHash})
			authtest.Must(t, err)
			token := f.loginAs(name, testPassword)
			caller, err := f.auth.Authenticate(t.Context(), token)
			authtest.Must(t, err)
			var waiting []*halfSent
			for _, r := range f.server.routes() {
				if r.may == anybody || r.method == http.MethodGet || r.method == http.MethodDelete {
					continue
				}
				noun, _, _ := strings.Cut(strings.TrimPrefix(r.path, "/"), "/")
				path := strings.Replace(r.path, ":id", fmt.Sprint(paths[noun]), 1)
				for _, framing := range []string{"length", "chunked", "long"} {
					n++
					if h, waits := f.sendHalf(token, r, framing, path, n); waits {
						waiting = append(waiting, h)
					} else if r.path != "/clientes/import" { // it has places for two
						t.Errorf("%s: %s did not wait for the body", kind, h.what)
					}
				}
			}
			if len(waiting) < 20 {
				t.Fatalf("only %d requests wait for their bodies", len(waiting))
			}
			authtest.Must(t, end(t.Context(), token, caller, name))
			f.eventually("the end is known", func() bool { // not /me, which misses a deleted user
				return f.call("GET", "/clientes", "", "x-access-token", token).status == 401
			})
			before := f.everything()
			for _, h := range waiting {
				// An import that has noticed the end does not wait for the rest.
				_, _ = io.WriteString(h, h.rest)
				if a := h.answer(); a.status != 401 || a.code() != "token_revoked" {
					t.Errorf("%s: %s is answered %d %s", kind, h.what, a.status, a.body)
				}
			}
			if after := f.everything(); !slices.Equal(before, after) {
				t.Errorf("%s: the records were\n%q\nand are\n%q", kind, before, after)
			}
		}
	})
}

// everything returns all users and customers as text.
func (f *fixture) everything() (all []string) {
	f.t.Helper()
	users, err := f.auth.Users(f.t.Context(), 0, 1000)
	authtest.Must(f.t, err)
	for _, u := range users {
		all = append(all, fmt.Sprint(u))
	}
	for _, c := range f.all() {
		all = append(all, fmt.Sprint(c))
	}
	return all
}

// slowHasher hashes a new password only when the test lets it.
type slowHasher struct {
	password.Hasher
	entered, leave chan bool
}

func (h slowHasher) Hash(text string, known []string) (string, error) {
	h.entered <- true
	<-h.leave
	return h.Hasher.Hash(text, known)
}

// A session that ends while a password is hashed, or waits for it, makes no user and changes none.
func TestASessionEndsWhileAPasswordWaits(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		slow := slowHasher{quickHasher, make(chan bool), make(chan bool)}
		cfg := f.config
		cfg.Gate = password.NewGate(slow, 1, 1)
		waiting, err := auth.New(cfg)
		authtest.Must(t, err)
		for _, body := range []struct{ method, path, text string }{
			{"POST", "/users", `{"user":"eva","password":"a quiet harbour","role":"admin"}`},
			{"POST", "/password",
				fmt.Sprintf(`{"current":%q,"password":"a quiet harbour"}`, testPassword)},
		} {
			token := f.login(store.Admin)
			before := f.everything()
			f.server.cfg.Auth = waiting
			answers := make(chan answer, 1)
			go func() {
				a, _ := f.try(body.method, body.path, body.text, "x-access-token", token)
				answers <- a
			}()
			soon(t, slow.entered)
			f.want(f.call("POST", "/logout", "", "x-access-token", token), 200, "")
			slow.leave <- true
			f.want(soon(t, answers), 401, "token_revoked")
			if after := f.everything(); !slices.Equal(before, after) {
				t.Errorf("the records were\n%q\nand are\n%q", before, after)
			}
		}
	})
}

// A session that ends while the rows of an import are written keeps none of them, though all have
// been read. On Postgres another client makes the import wait between its last row and its commit.
func TestASessionEndsBeforeAnImportCommits(t *testing.T) {
	t.Parallel()
	url := authtest.Postgres().Migrated(t)
	f := newFixture(t, authtest.Postgres().Open(t, url, time.Now))
	conn, err := pgx.Connect(t.Context(), url)
	authtest.Must(t, err)
	t.Cleanup(func() { conn.Close(context.Background()) })
	exec := func(sql string) {
		t.Helper()
		_, err := conn.Exec(t.Context(), sql)
		authtest.Must(t, err)
	}
	exec("BEGIN")
	exec("LOCK TABLE cliente_history IN SHARE MODE")
	answers := make(chan answer, 1)
	token := f.login(store.Editor)
	go func() {
		a, _ := f.try("POST", "/clientes/import", "name\nAna\n",
			"Content-Type", "", "Content-Type", "text/csv", "x-access-token", token)
		answers <- a
	}()
	f.eventually("the import waits", func() (waits bool) {
		err := conn.QueryRow(t.Context(), `
			SELECT EXISTS (
				SELECT
				FROM pg_locks
				WHERE NOT granted AND relation = 'cliente_history'::regclass)`).Scan(&waits)
		authtest.Must(t, err)
		return waits
	})
	f.want(f.call("POST", "/logout", "", "x-access-token", token), 200, "")
	f.want(soon(t, answers), 401, "token_revoked") // while the other client has its lock
	exec("ROLLBACK")
	if all := f.all(); len(all) != 0 {
		t.Errorf("there are %d records", len(all))
	}
}
