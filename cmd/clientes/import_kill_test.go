package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clientes/auth/authtest"
	"clientes/store/postgres/postgrestest"
	"clientes/store/storetest"
)

// A server that is killed in the middle of an import keeps none of it, and the store works.
// TEST_ROUNDS=n makes it n times 30,000 rows.
func TestAKilledImportLeavesNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "many.ndjson")
	writeMany(t, file, 30_000*storetest.Rounds(t, 1))
	for name, engine := range map[string]func(t *testing.T) (url string, begun func() bool){
		"sqlite": func(t *testing.T) (string, func() bool) {
			path := filepath.Join(t.TempDir(), "clientes.db")
			return "sqlite:" + path, func() bool {
				// A transaction larger than the cache spills to the WAL before it commits.
				log, err := os.Stat(path + "-wal")
				return err == nil && log.Size() > 1<<20
			}
		},
		"postgres": func(t *testing.T) (string, func() bool) {
			url := postgrestest.Database(t)
			conn, err := postgrestest.Connect(t.Context(), url)
			authtest.Must(t, err)
			t.Cleanup(func() { conn.Close(context.Background()) })
			return url, func() bool {
				var n int
				if err := conn.QueryRow(t.Context(), `
					SELECT count(*)
					FROM pg_stat_activity
					WHERE datname = current_database() AND state = 'active' AND query LIKE '%INSERT INTO clientes %'
						AND pid <> pg_backend_pid()`).Scan(&n); err != nil {
					t.Error(err)
					return true
				}
				return n > 0
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, begun := engine(t)
			f := newFleet(t, 1, url)
			f.command(t, goodPassword, "user", "add", "abc", "--role", "editor", "--password-stdin")
			s := f.on(0)
			token := s.login(t, goodPassword)
			if begun() {
				t.Fatal("the import seems to be under way before it was sent")
			}
			ended := make(chan error, 1)
			go func() {
				body, err := os.Open(file)
				if err != nil {
					ended <- err
					return
				}
				defer body.Close()
				resp, err := f.send(s, "POST", "/clientes/import", "application/x-ndjson", token,
					body)
				if err == nil {
					answer, _ := io.ReadAll(resp.Body)
					resp.Body.Close()
					t.Errorf("the import was over: %d %s", resp.StatusCode, answer)
				}
				ended <- err
			}()
			authtest.Eventually(t, "the import is under way", begun)
			authtest.Must(t, s.cmd.Process.Kill())
			s.wait()
			<-ended

			s = f.begin(t, url)
			s.wantListening(t)
			token = s.login(t, goodPassword)
			// It has an email of the file. Postgres may still be at work, and notices only then
			// that the client is gone.
			authtest.Eventually(t, "a create goes on", func() bool {
				resp, err := f.send(s, "POST", "/clientes", "application/json", token,
					strings.NewReader(`{"name":"Ana","email":"c0@example.com"}`))
				if err != nil {
					t.Error(err)
					return true
				}
				resp.Body.Close()
				return resp.StatusCode == http.StatusCreated
			})
			resp, err := f.send(s, "GET", "/clientes?count=exact", "", token, nil)
			authtest.Must(t, err)
			defer resp.Body.Close()
			if body, _ := io.ReadAll(resp.Body); resp.Header.Get("X-Total-Count") != "1" {
				t.Errorf("%s customers are there: %.300s", resp.Header.Get("X-Total-Count"), body)
			}
		})
	}
}

// send sends a request with a token to one of the processes.
func (f *fleet) send(s *server, method, path, media, token string, body io.Reader) (*http.Response,
	error) {
	req, err := http.NewRequest(method, s.url(path), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("x-access-token", token)
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	return f.client.Do(req)
}

func writeMany(t *testing.T, path string, rows int) {
	t.Helper()
	file, err := os.Create(path)
	authtest.Must(t, err)
	w := bufio.NewWriter(file)
	for i := range rows {
		fmt.Fprintf(w, `{"name":"Customer %d","email":"c%d@example.com","notes":"Pays by the month."}`+"\n", i, i)
	}
	for _, err := range []error{w.Flush(), file.Close()} {
		authtest.Must(t, err)
	}
}
