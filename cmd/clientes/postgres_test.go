package main

import (
	"strings"
	"testing"

	"clientes/store"
	"clientes/store/postgres/postgrestest"
)

// The commands are the same on both engines. These are the ones for which a fresh database of this
// engine is another matter than a file that is absent.
func TestCommandsOnPostgres(t *testing.T) {
	inFolder(t, nil)
	vars := map[string]string{"DATABASE_URL": postgrestest.Database(t), "SECRET": goodSecret}
	call(t, vars, "", "user", "list").want(t, 1, "",
		"clientes: there is nothing in the database yet")
	if r := call(t, vars, "", "migrate", "status"); !strings.Contains(r.stdout, " no\n") {
		t.Errorf("something was migrated: %s%s", r.stdout, r.stderr)
	}
	call(t, vars, goodPassword, "user", "add", "bob", "--role", "admin", "--password-stdin").
		want(t, 0, "user \"bob\" is added", "")
	call(t, vars, "", "user", "delete", "bob").
		want(t, 1, "", "clientes: "+store.ErrLastAdmin.Error())
	call(t, vars, "", "user", "list").want(t, 0, "bob   admin", "")
	r := call(t, vars, "", "migrate", "status")
	if r.status != 0 || strings.Contains(r.stdout, " no\n") {
		t.Errorf("something is missing: %s%s", r.stdout, r.stderr)
	}

	gone := at("postgres://u:hunter2@127.0.0.1:1/d")
	gone["SECRET"] = goodSecret
	for _, args := range []string{"migrate", "serve", "user list", "user disable bob"} {
		r := call(t, gone, "", strings.Fields(args)...)
		r.want(t, 1, "", "check that the database runs and that the URL leads to it\n")
		if strings.Contains(r.stderr, "hunter2") || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%s: %s", args, r.stderr)
		}
	}
}

// Three replicas may start at once on a fresh database.
func TestServersStartAtOnce(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			secretIn(t)
			url := "sqlite:clientes.db"
			if engine == "postgres" {
				url = postgrestest.Database(t)
			}
			var servers []*server
			for range 3 {
				servers = append(servers, begin(t, []string{"DATABASE_URL=" + url}, "serve"))
			}
			for _, s := range servers {
				s.wantListening(t)
				s.wantReady(t)
			}
		})
	}
}
