package main

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/auth/captcha"
	"clientes/auth/token"
)

func TestCaptchaSolve(t *testing.T) {
	keys, err := token.NewKeyring(goodSecret)
	authtest.Must(t, err)
	issuer := captcha.NewIssuer(keys, time.Now)
	challenge := issuer.Challenge("login", "abc", 1000)
	answer := `{"code":"x","challenge":"` + challenge + `"}`
	for what, r := range map[string]result{
		"an argument":      call(t, nil, "", "captcha", "solve", challenge),
		"standard input":   call(t, nil, challenge+"\n", "captcha", "solve"),
		"the whole answer": call(t, nil, answer, "captcha", "solve"),
	} {
		solution, isLine := strings.CutSuffix(r.stdout, "\n")
		if _, ok := issuer.Check("login", "abc", solution); !ok || !isLine || r.status != 0 {
			t.Errorf("%s: %d %q %q", what, r.status, r.stdout, r.stderr)
		}
	}
	call(t, nil, "", "captcha", "solve").want(t, 2, "", "clientes: give a challenge")
	call(t, nil, "", "captcha", "solve", "a", "b").want(t, 2, "", "clientes: give one challenge")
	call(t, nil, "", "captcha", "solve", "a.b").
		want(t, 1, "", "clientes: this is not a challenge: it has no five parts")
	call(t, nil, `{"code":"invalid_login"}`, "captcha", "solve").
		want(t, 1, "", `clientes: the answer on standard input has no challenge; its code is "inv`)
	call(t, nil, `{"auth":true}`, "captcha", "solve").
		want(t, 1, "", "clientes: standard input is no answer of the API with a challenge")
	call(t, nil, `{"code"`, "captcha", "solve").
		want(t, 1, "", "clientes: standard input is no JSON")
}

// TestTheSolverOfThePage runs the program that api/README.md prints.
func TestTheSolverOfThePage(t *testing.T) {
	needs(t, "python3")
	keys, err := token.NewKeyring(goodSecret)
	authtest.Must(t, err)
	issuer := captcha.NewIssuer(keys, time.Now)
	for _, b := range fencedBlocks(readProjectFile(t, "api/README.md")) {
		if b.lang != "python" {
			continue
		}
		out, err := exec.Command("python3", "-c", b.text,
			issuer.Challenge("login", "abc", 1000)).CombinedOutput()
		authtest.Must(t, err)
		if _, ok := issuer.Check("login", "abc", strings.TrimSpace(string(out))); !ok {
			t.Errorf("it prints %s", out)
		}
		return
	}
	t.Error("the page has no program in Python")
}
