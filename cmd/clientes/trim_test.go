package main

import (
	"strings"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/auth/captcha"
	"clientes/auth/token"
)

// White space around a name, an email, a token or a challenge is no part of it.
func TestWhiteSpaceAroundAnArgument(t *testing.T) {
	inFolder(t, nil)
	user := func(stdin string, args ...string) result {
		return call(t, nil, stdin, append([]string{"user"}, args...)...)
	}
	user(goodPassword, "add", " bob\t", "--email", "bob@example.com\u00a0", "--password-stdin").
		want(t, 0, "user \"bob\" is added", "")
	user(goodPassword, "add", "BOB\u200b", "--password-stdin").want(t, 1, "", "clientes: ")
	user("", "role", "bob\n", "editor").want(t, 0, "user \"bob\" has the role editor\n", "")
	user("", "disable", " bob").want(t, 0, "user \"bob\" is disabled", "")
	user("", "enable", "\ufeffbob").want(t, 0, "user \"bob\" is enabled", "")
	user(goodPassword+" 2", "passwd", "bob ", "--password-stdin").
		want(t, 0, "user \"bob\" has another password", "")
	user("", "mfa-off", "\u3000bob").want(t, 0, "user \"bob\" has no second factor", "")
	user("", "list", "--json").want(t, 0, `"email": "bob@example.com"`, "")
	user("user,email,password_hash\n ana , ana@example.com\u00a0,"+bcryptHash+"\n", "import", "-").
		want(t, 0, "imported 1 user", "")
	user("user,email,password_hash\nANA,,"+bcryptHash+"\n", "import", "-").
		want(t, 1, "", "row 1, user: Another user has this name.")
	user("", "delete", " ana ").want(t, 0, "user \"ana\" is deleted\n", "")

	call(t, nil, "name,email,phone\n Ada\u200b, a@example.com ,\u202a+55 11\u202c\n", "import", "-",
		"--format", "csv").want(t, 0, "", "")
	r := call(t, nil, "", "export", "-", "--format", "ndjson")
	if !strings.Contains(r.stdout, `"name":"Ada","email":"a@example.com","phone":"+55 11"`) {
		t.Error(r.stdout)
	}

	keys, err := token.NewKeyring(goodSecret)
	authtest.Must(t, err)
	issuer := captcha.NewIssuer(keys, time.Now)
	for _, challenge := range []string{" ", "\n", "\u00a0", "\u200b"} {
		challenge += issuer.Challenge("login", "abc", 1000) + challenge
		r := call(t, nil, "", "captcha", "solve", challenge)
		if _, ok := issuer.Check("login", "abc", strings.TrimSpace(r.stdout)); !ok {
			t.Errorf("%q: %q %q", challenge, r.stdout, r.stderr)
		}
	}
	call(t, nil, "", "captcha", "solve", " ").want(t, 2, "", "clientes: give a challenge")
	call(t, nil, "", "token", "inspect", "\u00a0").want(t, 2, "", "clientes: give a token")
}
