package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/store/postgres/postgrestest"
)

// TestProfile writes the file that TEST_PROFILE names: where the program spends its processor time
// under load, on both stores. A release is compiled for that (go build -pgo). See `make profile`.
func TestProfile(t *testing.T) {
	out := os.Getenv("TEST_PROFILE")
	if out == "" {
		t.Skip("TEST_PROFILE names no file")
	}
	out, err := filepath.Abs(out)
	authtest.Must(t, err)
	databases := []string{"sqlite:profile.db", postgrestest.Database(t)}
	secretIn(t)
	merge := []string{"tool", "pprof", "-proto", "-output", out}
	for i, url := range databases {
		setting := []string{"DATABASE_URL=" + url}
		call(t, varsOf(setting), goodPassword, "user", "add", "ana", "--role", "editor",
			"--password-stdin").want(t, 0, "", "")
		s := launch(t, append(setting, "SECRET="+goodSecret, "METRICS_ADDR=127.0.0.1:0",
			"LOG_FORMAT=json"), "serve")
		part := fmt.Sprintf("part%d", i)
		authtest.Must(t, os.WriteFile(part, profileUnderLoad(t, s), 0o600))
		merge = append(merge, part)
		s.signal(t)
		s.wait()
	}
	if text, err := exec.Command("go", merge...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

// profileUnderLoad returns a profile of a server that eight clients use as programs do: of ten
// requests seven read one record, two read a page and one creates a record.
func profileUnderLoad(t *testing.T, s *server) []byte {
	t.Helper()
	token := s.loginAs(t, "ana", goodPassword)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	send := func(method, path, body string) int {
		req, err := http.NewRequest(method, "http://"+s.addr+path, strings.NewReader(body))
		authtest.Must(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("x-access-token", token)
		resp, err := client.Do(req)
		if err != nil {
			t.Error(err)
			return 0
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	create := func(n string) {
		body := `{"name":"Ana Beatriz Conceição","email":"ana.` + n + `@example.com",` +
			`"phone":"+55 11 99999-0000","company":"Exemplo Ltda.","notes":""}`
		if status := send("POST", "/clientes", body); status != http.StatusCreated {
			t.Errorf("a create has status %d", status)
		}
	}
	for i := range 100 {
		create(fmt.Sprint("first", i))
	}
	done := make(chan struct{})
	var clients sync.WaitGroup
	for c := range 8 {
		clients.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				switch i % 10 {
				case 0:
					create(fmt.Sprintf("%d.%d", c, i))
				case 1, 2:
					send("GET", "/clientes?limit=20", "")
				default:
					send("GET", fmt.Sprintf("/clientes/%d", 1+i%100), "")
				}
			}
		})
	}
	const seconds = 20
	quick := http.Client{Timeout: 2 * seconds * time.Second}
	resp, err := quick.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.metricsAddr(t),
		seconds))
	close(done)
	clients.Wait()
	authtest.Must(t, err)
	defer resp.Body.Close()
	profile, err := io.ReadAll(resp.Body)
	authtest.Must(t, err)
	return profile
}
