package main

import (
	"strings"
	"testing"

	"clientes/auth/token"
)

type keyAsJSON struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	UserID     int64    `json:"user_id"`
	User       string   `json:"user"`
	Role       string   `json:"role"`
	Scopes     []string `json:"scopes"`
	CreatedAt  string   `json:"created_at"`
	ExpiresAt  string   `json:"expires_at"`
	LastUsedAt *string  `json:"last_used_at"`
}

func TestKeyCommands(t *testing.T) {
	for engine, newURL := range engineURLs(t) {
		t.Run(engine, func(t *testing.T) {
			inFolder(t, nil)
			vars := at(newURL(t))
			key := func(args string) result {
				t.Helper()
				return call(t, vars, "", append([]string{"key"}, strings.Fields(args)...)...)
			}
			call(t, vars, goodPassword, "user", "add", "ana", "--role", "editor",
				"--password-stdin").want(t, 0, "", "")

			made := key("add Shop --user ANA")
			made.want(t, 0, "clk_", `the key "Shop" of "ana" has the id `)
			made.want(t, 0, "", "the role editor and the scopes clientes:read clientes:write changes")
			text := strings.TrimSpace(made.stdout)
			if err := token.CheckKey(text); err != nil || strings.Contains(made.stderr, text) {
				t.Errorf("%+v: %v", made, err)
			}
			call(t, vars, "", "token", "inspect", text).want(t, 0,
				"This is a key of a program. Its checksum is right.\nThe key is good.\n", "")
			wrong := text[:39] + string('a'+(text[39]+1)%26)
			bad := call(t, vars, wrong, "token", "inspect")
			bad.want(t, 1, "", "clientes: the token is not good: The checksum of the key is wrong")
			unknown, _ := token.NewKey()
			call(t, vars, unknown, "token", "inspect").want(t, 1, "Its checksum is right.",
				"clientes: the token is not good: the database does not know the key")

			key("add List --user ana --role viewer --scopes clientes:read --expires 12h").
				want(t, 0, "clk_", "the role viewer and the scopes clientes:read, until ")
			var keys []keyAsJSON
			wantJSON(t, key("list --json --user ana"), 0, &keys)
			if len(keys) != 2 || keys[0].Name != "List" || keys[1].User != "ana" {
				t.Fatalf("%+v", keys)
			}
			list := key("list")
			list.want(t, 0, "clientes:read,clientes:write,changes", "")
			if strings.Contains(list.stdout, text) || strings.Count(list.stdout, "never") != 2 {
				t.Errorf("%s", list.stdout)
			}
			key("end "+keys[1].ID).want(t, 0, "the key "+keys[1].ID+" has ended\n", "")
			key("end "+keys[1].ID).want(t, 1, "", "clientes: there is no key with the id ")
			if r := key("end " + text); strings.Contains(r.stderr, text) {
				t.Errorf("the key is shown: %+v", r)
			}
			var inspected struct {
				Kind     string `json:"kind"`
				Checksum bool   `json:"checksum"`
				Good     *bool  `json:"good"`
			}
			wantJSON(t, call(t, vars, text, "token", "inspect", "--json"), 1, &inspected)
			if inspected.Kind != "key" || !inspected.Checksum || *inspected.Good {
				t.Errorf("%+v", inspected)
			}
			call(t, vars, "", "sessions", "end-all").want(t, 0, "ended 1 session", "")
			wantJSON(t, key("list --json"), 0, &keys)
			if len(keys) != 0 {
				t.Errorf("%+v", keys)
			}
			for args, want := range map[string]string{
				"add x":                           "give the user whose key it is with --user",
				"add x --user ana --role root":    `there is no role "root"`,
				"add x --user ana --role admin":   "role: The role of a key is not above",
				"add x --user ana --scopes x":     "scopes: There is no scope",
				"add x --user ana --expires 366d": "expires_in: A key lasts at most",
				"add x --user ana --expires 90":   `--expires is "90"; give a duration`,
				"add x --user bob":                `there is no user "bob"`,
				"list --user bob":                 `there is no user "bob"`,
				"add x --user ana --scopes=":      "scopes: A key has at least one scope",
			} {
				if r := key(args); r.status == 0 || !strings.Contains(r.stderr, want) {
					t.Errorf("%s: %+v", args, r)
				}
			}
			call(t, vars, "", "user", "disable", "ana").want(t, 0, "", "")
			key("add x --user ana").want(t, 1, "", `clientes: the user "ana" is disabled`)
		})
	}
}
