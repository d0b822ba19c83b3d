package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"clientes/auth/authtest"
)

// TestClient runs api/client/client.js, which the server publishes for front-end developers. It
// does so in Node and in a page of Chromium. testdata/client/test.mjs says what it has to do.
func TestClient(t *testing.T) {
	needs(t, "node")
	script, err := filepath.Abs("testdata/client/test.mjs")
	authtest.Must(t, err)
	secretIn(t)
	users := []string{"ana", "bob", "cid", "dora"}
	for _, name := range users {
		call(t, nil, goodPassword, "user", "add", name, "--role", "editor", "--password-stdin").
			want(t, 0, name, "")
	}
	s := launch(t, nil, "serve")
	run := func(t *testing.T, user1, user2 string, env ...string) {
		cmd := exec.CommandContext(t.Context(), "node", script)
		cmd.Env = append(os.Environ(), "SERVER="+s.url(""), "SECRET="+goodSecret,
			"USER1="+user1, "USER2="+user2, "PASSWORD="+goodPassword)
		cmd.Env = append(cmd.Env, env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	t.Run("in Node", func(t *testing.T) {
		t.Parallel()
		run(t, users[0], users[1])
	})
	t.Run("in Chromium", func(t *testing.T) {
		t.Parallel()
		needs(t, "chromium")
		run(t, users[2], users[3], "CHROMIUM=chromium", "PROFILE="+t.TempDir())
	})
}
