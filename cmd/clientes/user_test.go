package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/crypto/bcrypt"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"clientes/auth/authtest"
	"clientes/store"
)

const goodPassword = "correct horse battery"

func TestMigrate(t *testing.T) {
	inFolder(t, nil)
	r := call(t, nil, "", "migrate", "status")
	r.want(t, 0, "VERSION  NAME", "")
	if !strings.Contains(r.stdout, " no\n") {
		t.Errorf("nothing is missing from no database:\n%s", r.stdout)
	}
	if files, _ := os.ReadDir("."); len(files) > 0 {
		t.Errorf("asking for the status made files: %v", files)
	}
	call(t, nil, "", "migrate").want(t, 0, "the database has all ", "")
	call(t, nil, "", "migrate").want(t, 0, "the database has all ", "")
	r = call(t, nil, "", "migrate", "status")
	r.want(t, 0, "00001_", "")
	if strings.Contains(r.stdout, " no\n") {
		t.Errorf("something is missing after migrate:\n%s", r.stdout)
	}
}

func TestMigrateWhereNothingCanBeWritten(t *testing.T) {
	inFolder(t, nil)
	r := call(t, map[string]string{"DATABASE_URL": "sqlite:absent/clientes.db"}, "", "migrate")
	r.want(t, 1, "", "clientes: ")
	if strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("not one sentence: %q", r.stderr)
	}
}

func TestUserCommands(t *testing.T) {
	inFolder(t, nil)
	// A command that only reads makes no database; one that writes does.
	call(t, nil, "", "user", "list").want(t, 1, "",
		"clientes: there is nothing in the database yet: `clientes migrate` makes")
	if files, _ := os.ReadDir("."); len(files) > 0 {
		t.Fatalf("listing made files: %v", files)
	}
	call(t, nil, goodPassword+"\n", "user", "add", "Bob", "--email", "bob@example.com", "--role",
		"admin", "--password-stdin").
		want(t, 0, "user \"Bob\" is added with the role admin\n", "")
	hash, err := bcrypt.GenerateFromPassword([]byte(goodPassword), bcrypt.MinCost)
	authtest.Must(t, err)
	call(t, nil, "", "user", "add", "eve", "--password-hash", string(hash)).
		want(t, 0, "user \"eve\" is added with the role viewer\n", "")

	call(t, nil, goodPassword, "user", "add", "bOB", "--password-stdin").
		want(t, 1, "",
			"clientes: there is a user of that name already; `clientes user list` shows them\n")
	call(t, nil, goodPassword, "user", "add", "bert", "--email", "BOB@example.com",
		"--password-stdin").
		want(t, 1, "", "clientes: another record has this email; choose a different one\n")
	r := call(t, nil, "short\n", "user", "add", "b o b", "--email", "x", "--password-stdin")
	for _, field := range []string{"user: ", "email: ", "password: "} {
		r.want(t, 1, "", field)
	}
	call(t, nil, "", "user", "add", "bert", "--password-hash", "plain").
		want(t, 1, "", "clientes: password_hash: ")
	call(t, nil, "", "user", "add", "bert").
		want(t, 1, "",
			"clientes: there is no terminal to ask for the password on; give it with --password-stdin\n")
	call(t, nil, "", "user", "add", "bert", "--password-stdin").
		want(t, 1, "", "clientes: password: ")

	for _, args := range []string{"passwd nobody --password-stdin", "role nobody admin",
		"disable nobody", "enable nobody", "delete nobody"} {
		call(t, nil, goodPassword, append([]string{"user"}, strings.Fields(args)...)...).
			want(t, 1, "",
				"clientes: there is no user \"nobody\"; `clientes user list` shows them\n")
	}
	for _, args := range []string{"role bob viewer", "disable bob", "delete bob"} {
		call(t, nil, "", append([]string{"user"}, strings.Fields(args)...)...).
			want(t, 1, "",
				"clientes: "+store.ErrLastAdmin.Error()+"; make another user an admin first\n")
	}

	call(t, nil, "another "+goodPassword+"\n", "user", "passwd", "bob", "--password-stdin").
		want(t, 0, "user \"bob\" has another password", "")
	call(t, nil, "short", "user", "passwd", "bob", "--password-stdin").
		want(t, 1, "", "clientes: password: ")
	call(t, nil, "", "user", "role", "eve", "editor").
		want(t, 0, "user \"eve\" has the role editor\n", "")
	call(t, nil, "", "user", "disable", "eve").want(t, 0, "user \"eve\" is disabled", "")

	r = call(t, nil, "", "user", "list")
	r.want(t, 0, "", "")
	lines := strings.Split(squeeze(r.stdout), "\n")
	if len(lines) != 4 || lines[0] != "ID USER ROLE STATE EMAIL CREATED" ||
		!strings.HasPrefix(lines[1], "1 Bob admin enabled bob@example.com 20") ||
		!strings.HasPrefix(lines[2], "2 eve editor disabled 20") {
		t.Errorf("the list is\n%s", r.stdout)
	}
	r = call(t, nil, "", "user", "list", "--json")
	var users []struct {
		ID        int64     `json:"id"`
		User      string    `json:"user"`
		Email     string    `json:"email"`
		Role      string    `json:"role"`
		Disabled  bool      `json:"disabled"`
		CreatedAt time.Time `json:"created_at"`
		UpdatedAt time.Time `json:"updated_at"`
	}
	if err := json.Unmarshal([]byte(r.stdout), &users,
		json.RejectUnknownMembers(true)); err != nil {
		t.Fatalf("%v in\n%s", err, r.stdout)
	}
	if len(users) != 2 || users[0].User != "Bob" || users[0].Email != "bob@example.com" ||
		users[0].Role != "admin" ||
		users[1].User != "eve" || !users[1].Disabled || users[0].CreatedAt.IsZero() ||
		users[0].UpdatedAt.IsZero() {
		t.Errorf("the list is\n%s", r.stdout)
	}

	call(t, nil, "", "user", "enable", "eve").want(t, 0, "user \"eve\" is enabled\n", "")
	call(t, nil, "", "user", "delete", "eve").want(t, 0, "user \"eve\" is deleted\n", "")
	call(t, nil, "", "user", "list", "--json").want(t, 0, `"Bob"`, "")
	if r := call(t, nil, "", "user", "list", "--json"); strings.Contains(r.stdout, "eve") ||
		strings.Contains(r.stdout, "$") {
		t.Errorf("a deleted user or a hash is in\n%s", r.stdout)
	}
}

func TestAnEmptyListIsAnEmptyArray(t *testing.T) {
	inFolder(t, nil)
	call(t, nil, "", "migrate").want(t, 0, "", "")
	if r := call(t, nil, "", "user", "list", "--json"); r.stdout != "[]\n" {
		t.Errorf("%q", r.stdout)
	}
}

// The path of the embedded database is relative to the working folder.
func TestTheDatabaseIsInTheWorkingFolder(t *testing.T) {
	inFolder(t, nil)
	folder := t.TempDir()
	call(t, map[string]string{"DATABASE_URL": "sqlite:a.db"}, "", "migrate").want(t, 0, "", "")
	call(t, map[string]string{"DATABASE_URL": "sqlite:" + folder + "/b.db"}, "", "migrate").
		want(t, 0, "", "")
	for _, path := range []string{"a.db", filepath.Join(folder, "b.db")} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

// Of all commands only migrate and serve touch a database with an older schema. None touches one with
// a newer schema.
func TestADatabaseOfAnotherSchema(t *testing.T) {
	for name, test := range map[string]struct {
		change string
		serve  bool
	}{
		"older": {"DELETE FROM goose_db_version WHERE version_id = 14; DROP TABLE audit;", true},
		"newer": {"INSERT INTO goose_db_version (version_id, is_applied) VALUES (1000, 1);", false},
	} {
		t.Run(name, func(t *testing.T) {
			secretIn(t)
			call(t, nil, "", "migrate").want(t, 0, "", "")
			conn, err := sqlite.OpenConn("clientes.db", sqlite.OpenReadWrite)
			authtest.Must(t, err)
			authtest.Must(t, sqlitex.ExecuteScript(conn, test.change, nil))
			authtest.Must(t, conn.Close())
			const want = "; `clientes migrate` applies what is missing, and only a newer clientes knows what is too much\n"
			call(t, nil, "", "user", "list").want(t, 1, "", want)
			call(t, nil, goodPassword, "user", "add", "bob", "--password-stdin").
				want(t, 1, "", want)
			if test.serve {
				launch(t, nil, "serve")
				call(t, nil, goodPassword, "user", "add", "bob", "--password-stdin").
					want(t, 0, "", "")
			} else {
				call(t, nil, "", "serve").want(t, 1, "", want)
				call(t, nil, "", "migrate").want(t, 1, "", want)
				call(t, nil, "", "migrate", "status").
					want(t, 0, "1000     (of a newer clientes)", "")
			}
		})
	}
}
