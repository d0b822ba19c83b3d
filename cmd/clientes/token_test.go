package main

import (
	"encoding/base64"
	"os"
	"strings"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/auth/token"
	"clientes/cmd/clientes/config"
)

func TestTokenInspect(t *testing.T) {
	inFolder(t, nil)
	s := launch(t, []string{"TOKEN_TTL=1h", "SESSION_IDLE=1h"}, "quickstart")
	token := s.login(t, passwordIn(s.printed(t)))
	dotenv, err := os.ReadFile(".env")
	authtest.Must(t, err)

	r := call(t, nil, "", "token", "inspect", token)
	r.want(t, 0, "The token is good.\n", "")
	for _, text := range []string{
		`"alg": "HS256"`, `"role": "admin"`, `"iss": "clientes"`, `"exp": `,
	} {
		r.want(t, 0, text, "")
	}
	call(t, nil, " "+token+"\n", "token", "inspect").want(t, 0, "The token is good.\n", "")

	bad := func(vars map[string]string, token, want string) {
		t.Helper()
		r := call(t, vars, "", "token", "inspect", token)
		r.want(t, 1, "", want)
		if strings.Contains(r.stdout, "good") || strings.Contains(r.stderr, token) {
			t.Errorf("%q %q", r.stdout, r.stderr)
		}
	}
	bad(map[string]string{"SECRET": goodSecret}, token,
		"clientes: the token is not good: it was not signed with SECRET or SECRET_PREVIOUS")
	bad(map[string]string{"ISSUER": "me"}, token,
		`clientes: the token is not good: its iss is "clientes", but ISSUER is "me"`)
	bad(map[string]string{"AUDIENCE": "you"}, token,
		`clientes: the token is not good: its aud is "clientes", but AUDIENCE is "you"`)
	bad(nil, token[:len(token)-5]+"AAAAA", "clientes: the token is not good: it was not signed")
	bad(nil, "undefined", "clientes: this is not an access token: ")
	bad(map[string]string{"DATABASE_URL": "sqlite:absent.db"}, token,
		"clientes: whether the session was ended is not known: there is no database ")

	// Without SECRET the token can be read, but not checked, and the command says so.
	authtest.Must(t, os.Rename(".env", "elsewhere"))
	r = call(t, nil, "", "token", "inspect", token)
	r.want(t, 1, `"role": "admin"`, "clientes: the signature was not checked")
	authtest.Must(t, os.WriteFile(".env", dotenv, 0o600))

	// A session that another process has ended is known to the command.
	call(t, nil, goodPassword, "user", "passwd", "abc", "--password-stdin").want(t, 0, "", "")
	bad(nil, token, "clientes: the token is not good: the session of the token was ended")
}

func TestWhyInvalid(t *testing.T) {
	now := time.Unix(1000, 0)
	const good = `"iss":"clientes","aud":"clientes","id":1,"sub":"1","role":"admin","sid":"x","jti":"x","iat":1000,"exp":1300`
	tests := []struct{ header, claims, want string }{
		{`{"alg":"none"}`, `{` + good + `}`, `its alg is "none", and only HS256 is taken`},
		{`{}`, `{` + good + `}`, `its alg is not there`},
		{`[]`, `{}`, "not one JSON object"},
		{`{"alg":"none","alg":"HS256"}`, `{}`, "every name once"},
		{`{"alg":"HS256"}`, `{}`, "its iss is not there"},
		{`{"alg":"HS256"}`, `{"iss":"clientes","aud":["clientes"]}`, `its aud is "[clientes]"`},
		{`{"alg":"HS256"}`, `{` + strings.Replace(good, "1000", "1001", 1) + `}`,
			"its iat is in the future"},
		{`{"alg":"HS256"}`, `{"nbf":2000,` + good + `}`, "its nbf is in the future"},
		{`{"alg":"HS256"}`, `{` + strings.Replace(good, `"sid"`, `"SID"`, 1) + `}`,
			"it has no sid"},
		{`{"alg":"HS256"}`, `{` + good + `}`, "it was not signed with SECRET"},
	}
	for _, test := range tests {
		in := token.Inspection{Header: test.header, Claims: test.claims}
		c := config.Config{Issuer: "clientes", Audience: "clientes"}
		if got := whyInvalid(in, c, now); !strings.Contains(got, test.want) {
			t.Errorf("%s %s: %q, want %q", test.header, test.claims, got, test.want)
		}
	}
}

// A token from a stranger cannot control the terminal.
func TestTokenInspectPrintsNoControlCharacters(t *testing.T) {
	inFolder(t, nil)
	part := base64.RawURLEncoding.EncodeToString
	token := part([]byte(`{"alg":"HS256"}`)) + "." +
		part([]byte("{\"sub\":\"a\u009b31mb\u202e\"}")) + ".AAAA"
	r := call(t, nil, "", "token", "inspect", token)
	r.want(t, 1, "a\ufffd31mb\ufffd", "")
}
