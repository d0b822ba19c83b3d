package main

import (
	"crypto/sha1"
	"fmt"
	"os"
	"strings"
	"testing"

	"clientes/auth/authtest"
)

// TestTheOperatorRestrictsPasswords checks that the settings hold for commands and over HTTP.
func TestTheOperatorRestrictsPasswords(t *testing.T) {
	const leaked, short = "Zoë's own secret number", "h7Gd-3kQp5tVq!"
	secretIn(t)
	authtest.Must(t, os.WriteFile("leaked.txt",
		fmt.Appendf(nil, "%X:7\r\n", sha1.Sum([]byte(leaked))), 0o600))
	settings := map[string]string{"PASSWORD_MIN": "15", "PASSWORD_DENYLIST": "leaked.txt"}
	add := func(name, password string) result {
		t.Helper()
		return call(t, settings, password, "user", "add", name, "--password-stdin")
	}
	add("ana", leaked).want(t, 1, "", "clientes: password: This password is known from a leak")
	add("ana", short).want(t, 1, "", "clientes: password: A password has at least 15 characters.")
	add("ana", goodPassword).want(t, 0, "", "")
	call(t, nil, leaked, "user", "passwd", "ana", "--password-stdin").want(t, 0, "", "")

	s := launch(t, []string{
		"SECRET=" + goodSecret, "SIGNUP=open", "PASSWORD_MIN=15", "PASSWORD_DENYLIST=leaked.txt",
	}, "serve")
	if status := s.post(t, "/login", `{"user":"ana","password":"`+leaked+`"}`); status != 200 {
		t.Errorf("a password that is in use: %d", status)
	}
	for password, want := range map[string]int{leaked: 422, short: 422, short + "m": 201} {
		status := s.post(t, "/signup", `{"user":"bia","password":"`+password+`"}`)
		if status != want {
			t.Errorf("a sign-up with %q: %d, want %d", password, status, want)
		}
	}
	for _, more := range []string{"", `,"more":1`} { // beside another fault
		body := `{"token":"x","password":"` + short + `"` + more + `}`
		if status := s.post(t, "/password/reset", body); status != 422 {
			t.Errorf("a reset with %s: %d", body, status)
		}
	}
	token := s.loginAs(t, "ana", leaked)
	status, text := post(t, s, "/password", token,
		map[string]string{"current": leaked, "password": leaked})
	if status != 422 || !strings.Contains(text, "too_guessable") {
		t.Errorf("a change to a leaked password: %d %s", status, text)
	}
	absent := map[string]string{"PASSWORD_DENYLIST": "absent.txt", "PORT": "0"}
	call(t, absent, "", "serve").want(t, 1, "",
		"PASSWORD_DENYLIST names a file that cannot be used: no such file or directory")
}
