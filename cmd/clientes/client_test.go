package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"clientes/auth/authtest"
)

// TestClient runs api/client/client.js, which api/README.md offers to front-end developers,
// against a server of its own. In Node it is as the tabs of two browsers. testdata/client/test.mjs
// says what it has to do.
func TestClient(t *testing.T) {
	needs(t, "node")
	script, err := filepath.Abs("testdata/client/test.mjs")
	authtest.Must(t, err)
	secretIn(t)
	for _, name := range []string{"ana", "bob"} {
		call(t, nil, goodPassword, "user", "add", name, "--role", "editor", "--password-stdin").
			want(t, 0, name, "")
	}
	s := launch(t, nil, "serve")
	cmd := exec.CommandContext(t.Context(), "node", script)
	cmd.Env = append(os.Environ(), "SERVER="+s.url(""), "SECRET="+goodSecret,
		"USER1=ana", "USER2=bob", "PASSWORD="+goodPassword)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
