//go:build unix

package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/auth/token"
	"clientes/store"
)

// operator is somebody with a terminal, a .env and a database, who does what SECRETS.md says.
type operator struct {
	newUser
	fleet *fleet // of one server
	ana   app    // of the user ana, who has a second factor
}

// newOperator serves in a fresh folder with this .env. The users ana and bia are there.
func newOperator(t *testing.T, dotenv string) *operator {
	t.Helper()
	needs(t, "sh", "sed", "openssl", "curl")
	folder := t.TempDir()
	self, err := os.Executable()
	authtest.Must(t, err)
	script := fmt.Sprintf("#!/bin/sh\n%s=1 exec '%s' \"$@\"\n", runAsProgram, self)
	authtest.Must(t, os.WriteFile(filepath.Join(folder, "clientes"), []byte(script), 0o755))
	authtest.Must(t, os.WriteFile(filepath.Join(folder, ".env"), []byte(dotenv), 0o600))
	o := &operator{
		newUser: newUser{folder: folder, port: freePort(t)},
		fleet: &fleet{
			databaseURL: "sqlite:" + filepath.Join(folder, "clientes.db"),
			client:      &http.Client{Timeout: eventuallySoon},
		},
	}
	o.serve(t, "./clientes serve\n")
	o.ana = o.fleet.enrol(t, o.fleet.on(0), "ana")
	o.fleet.addUser(t, "bia")
	return o
}

func (o *operator) serve(t *testing.T, script string) {
	t.Helper()
	if o.server != nil {
		o.server.stop(t)
	}
	before, serve, _ := strings.Cut("\n"+script, "\n./clientes ")
	if strings.Contains(before, "\n") {
		o.run(t, before+"\n")
	}
	o.server = o.start(t, "./clientes "+serve)
	o.waitReady(t)
	o.fleet.servers = []*server{{addr: "127.0.0.1:" + o.port}}
}

// do runs the commands of a section of the page.
func (o *operator) do(t *testing.T, title string) {
	t.Helper()
	page := readProjectFile(t, "cmd/clientes/SECRETS.md")
	section := regexp.MustCompile(`(?ms)^#+ ` + regexp.QuoteMeta(title) + `\n(.*?)(^#|\z)`).
		FindStringSubmatch(page)
	if section == nil {
		t.Fatalf("SECRETS.md has no section %q", title)
	}
	blocks := 0
	for _, b := range fencedBlocks(section[1]) {
		if b.lang != "sh" {
			continue
		}
		blocks++
		if strings.HasSuffix(b.text, "./clientes serve\n") ||
			strings.HasPrefix(b.text, "./clientes quickstart") {
			o.serve(t, b.text)
			continue
		}
		t.Log(o.run(t, b.text))
	}
	if blocks == 0 {
		t.Fatalf("the section %q has no commands", title)
	}
}

// settings returns what .env says, by name.
func (o *operator) settings(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(o.folder, ".env"))
	authtest.Must(t, err)
	settings := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		settings[name] = value
	}
	return settings
}

// thief is somebody who has read the .env, or only the SECRET in it.
type thief struct{ keys *token.Keyring }

func newThief(t *testing.T, secret, root string) thief {
	t.Helper()
	keys, err := token.NewKeyring(secret)
	authtest.Must(t, err)
	if root != "" {
		keys, err = keys.WithRoot(root)
		authtest.Must(t, err)
	}
	return thief{keys}
}

// isAdmin reports whether the thief can be an admin, in the session of a refresh token.
func (k thief) isAdmin(t *testing.T, o *operator, refresh string) bool {
	t.Helper()
	issuer := token.NewIssuer(token.IssuerConfig{
		Keys: k.keys, Issuer: "clientes", Audience: "clientes", TTL: 5 * time.Minute, Now: time.Now,
	})
	id, _, _ := strings.Cut(refresh, ".")
	forged, err := issuer.Mint(store.User{ID: 1, Role: store.Admin}, store.Session{ID: id},
		issuer.Validity(time.Hour))
	authtest.Must(t, err)
	a, err := o.fleet.insist(t.Context(), "GET", o.fleet.on(0).url("/users"), forged, nil)
	if err != nil || a.status != 200 && !a.is(401, "token_invalid") {
		t.Fatalf("a forged access token: %v, %v", a, err)
	}
	return a.status == 200
}

// canMake reports whether the thief can make this refresh token, which is the first of its session.
func (k thief) canMake(refresh string) bool {
	session, _, _ := strings.Cut(refresh, ".")
	return k.keys.Sign(token.Refresh, session+".0") == refresh
}

// TestSecretsPage does what SECRETS.md says after a leak, and tries what the thief can do before
// and after it.
func TestSecretsPage(t *testing.T) {
	t.Parallel()
	const plain, rooted = "SECRET=" + goodSecret + "\n",
		"SECRET=" + goodSecret + "\nROOT_SECRET=" + rootSecret + "\n"
	tests := []struct {
		section, dotenv  string
		root             string // that the thief has
		admin, makes     bool   // what the thief can do before
		still, stillMake bool   // and afterwards
		refreshes        bool   // whether users stay logged in
	}{
		{"With a root", rooted + "SECRET_PREVIOUS=" + otherSecret + "\n", "",
			true, false, false, false, true},
		{"Without a root", plain, "", true, true, false, false, false},
		{"The root has leaked", rooted, rootSecret, true, true, true, false, false},
		{"A first ROOT_SECRET", plain, "", true, true, true, false, true},
		{".env is lost", plain, "", true, true, false, false, false},
	}
	for _, test := range tests {
		t.Run(test.section, func(t *testing.T) {
			t.Parallel()
			o := newOperator(t, test.dotenv)
			k := newThief(t, goodSecret, test.root)
			bia := o.fleet.login(t, o.fleet.on(0), "bia")
			if k.isAdmin(t, o, bia.Refresh) != test.admin || k.canMake(bia.Refresh) != test.makes {
				t.Errorf("before, the thief is an admin: %t, makes refresh tokens: %t",
					k.isAdmin(t, o, bia.Refresh), k.canMake(bia.Refresh))
			}
			if test.section == ".env is lost" {
				authtest.Must(t, os.Remove(filepath.Join(o.folder, ".env")))
			}
			o.do(t, test.section)
			now := o.settings(t)
			same := now["SECRET"] == goodSecret
			if same != test.still || now["SECRET_PREVIOUS"] != "" || now["ROOT_SECRET"] == "" {
				t.Errorf(".env says %v", now)
			}

			a, err := o.fleet.insistOnRefresh(t, o.fleet.on(0), bia.Refresh)
			if err != nil || (a.status == 200) != test.refreshes {
				t.Errorf("the refresh of a user: %v, %v", a, err)
			}
			fresh := o.fleet.login(t, o.fleet.on(0), "bia").Refresh
			if k.isAdmin(t, o, fresh) != test.still || k.canMake(fresh) != test.stillMake {
				t.Errorf("afterwards, the thief is an admin: %t, makes refresh tokens: %t",
					k.isAdmin(t, o, fresh), k.canMake(fresh))
			}
			status, text := o.fleet.loginWithCode(t, o.fleet.on(0), "ana", o.ana)
			if lost := test.section == ".env is lost"; (status == 200) == lost {
				t.Errorf("the second factor: %d %s", status, text)
			}
			if test.section == "With a root" || test.section == "Without a root" {
				o.do(t, "Then")
				o.fleet.wantRefused(t, o.fleet.on(0), "/refresh", refreshBody{fresh},
					"refresh_invalid")
			}
			if left, _ := filepath.Glob(filepath.Join(o.folder, ".env.*")); len(left) > 0 {
				t.Errorf("a leaked secret is left in %v", left)
			}
		})
	}
}
