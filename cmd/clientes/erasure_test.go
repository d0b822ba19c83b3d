package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clientes/auth/authtest"
	"clientes/store"
	"clientes/store/postgres/postgrestest"
)

// wantInFile compares whether a text is in a file, in any case of letters.
func wantInFile(t *testing.T, file, text string, want bool) {
	t.Helper()
	content, err := os.ReadFile(file)
	authtest.Must(t, err)
	if is := strings.Contains(strings.ToLower(string(content)), text); is != want {
		t.Errorf("%s has %q: %t", filepath.Base(file), text, is)
	}
}

// Who was erased is not in a dump, and is erased again in what an older dump is restored to.
func TestErasuresAndDumpsOfPostgres(t *testing.T) {
	t.Parallel()
	const text = "unmistakable"
	dump, load := postgresTool(t, "pg_dump"), postgresTool(t, "pg_restore")
	psql := postgresTool(t, "psql")
	folder := t.TempDir()
	older, newer := filepath.Join(folder, "older"), filepath.Join(folder, "newer")
	erasures := filepath.Join(folder, "erasures")
	url := postgrestest.Database(t)
	f := &fleet{databaseURL: url}
	f.command(t, "", "migrate")
	st, err := openExisting(t.Context(), url)
	authtest.Must(t, err)
	defer st.Close()
	ctx := t.Context()
	_, err = st.CreateUser(ctx, store.User{Name: "admin", Role: store.Admin})
	authtest.Must(t, err)
	u, err := st.CreateUser(ctx, store.User{Name: text, Role: store.Editor})
	authtest.Must(t, err)
	var c store.Cliente
	for _, member := range c.Texts() {
		*member.Value = "UnMistakable"
	}
	made, _, err := st.CreateClienteOnce(ctx, u.ID, c, "key")
	authtest.Must(t, err)
	mustRun(t, dump, "-Fc", "--file="+older, url)
	mustRun(t, dump, "--file="+newer, url)
	wantInFile(t, newer, text, true)

	anyway := func(store.Cliente) error { return nil }
	authtest.Must(t, st.EraseCliente(ctx, 0, made.ID, anyway))
	f.command(t, "", "user", "delete", text, "--erase")
	mustRun(t, dump, "--file="+newer, url)
	wantInFile(t, newer, text, false)
	wantInFile(t, newer, store.ErasedUserName(u.ID), true)

	mustRun(t, dump, "--data-only", "--table=erasures", "--table=erased_users", "--inserts",
		"--on-conflict-do-nothing", "--file="+erasures, url)
	restored := postgrestest.Database(t)
	mustRun(t, load, "--no-owner", "--dbname="+restored, older)
	for range 2 {
		mustRun(t, psql, "--quiet", "--file="+erasures, restored)
	}
	(&fleet{databaseURL: restored}).command(t, "", "sessions", "end-all")
	mustRun(t, dump, "--file="+newer, restored)
	wantInFile(t, newer, text, false)
}
