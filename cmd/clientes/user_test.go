package main

import (
	"fmt"
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
	r := call(t, at("sqlite:absent/clientes.db"), "", "migrate")
	r.want(t, 1, "", "clientes: ")
	if strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("not one sentence: %q", r.stderr)
	}
}

func TestUserCommands(t *testing.T) {
	inFolder(t, nil)
	// A command that only reads makes no database; one that writes does.
	call(t, nil, "", "user", "list").
		want(t, 1, "", "clientes: there is no database ")
	if files, _ := os.ReadDir("."); len(files) > 0 {
		t.Fatalf("listing made files: %v", files)
	}
	// user runs "clientes user" with these arguments.
	user := func(stdin, args string) result {
		t.Helper()
		return call(t, nil, stdin, append([]string{"user"}, strings.Fields(args)...)...)
	}
	user(goodPassword+"\n", "add Bob --email bob@example.com --role admin --password-stdin").
		want(t, 0, "user \"Bob\" is added with the role admin\n", "")
	hash, err := bcrypt.GenerateFromPassword([]byte(goodPassword), bcrypt.MinCost)
	authtest.Must(t, err)
	user("", "add eve --password-hash "+string(hash)).
		want(t, 0, "user \"eve\" is added with the role viewer\n", "")

	user(goodPassword, "add bOB --password-stdin").want(t, 1, "",
		"clientes: there is a user of that name already; `clientes user list` shows them\n")
	user(goodPassword, "add bert --email BOB@example.com --password-stdin").
		want(t, 1, "", "clientes: another record has this email; choose a different one\n")
	r := call(t, nil, "short\n", "user", "add", "b o b", "--email", "x", "--password-stdin")
	for _, field := range []string{"user: ", "email: ", "password: "} {
		r.want(t, 1, "", field)
	}
	user("", "add bert --password-hash plain").want(t, 1, "", "clientes: password_hash: ")
	user("", "add bert").want(t, 1, "", "clientes: there is no terminal to ask for the password on; "+
		"give it with --password-stdin\n")
	user("", "add bert --password-stdin").want(t, 1, "", "clientes: password: ")

	for _, args := range []string{
		"passwd nobody --password-stdin", "role nobody admin",
		"disable nobody", "enable nobody", "delete nobody", "mfa-off nobody",
	} {
		user(goodPassword, args).
			want(t, 1, "", "clientes: there is no user \"nobody\"; `clientes user list` shows them\n")
	}
	lastAdmin := "clientes: " + store.ErrLastAdmin.Error() + "; make another user an admin first\n"
	for _, args := range []string{"role bob viewer", "disable bob", "delete bob"} {
		user("", args).want(t, 1, "", lastAdmin)
	}

	user("another "+goodPassword+"\n", "passwd bob --password-stdin").
		want(t, 0, "user \"bob\" has another password", "")
	user("short", "passwd bob --password-stdin").want(t, 1, "", "clientes: password: ")
	user("", "role eve editor").want(t, 0, "user \"eve\" has the role editor\n", "")
	user("", "disable eve").want(t, 0, "user \"eve\" is disabled", "")
	user("", "mfa-off eve").want(t, 0, "user \"eve\" has no second factor\n", "")

	r = user("", "list")
	r.want(t, 0, "", "")
	lines := strings.Split(squeeze(r.stdout), "\n")
	if len(lines) != 4 || lines[0] != "ID USER ROLE STATE EMAIL CREATED" ||
		!strings.HasPrefix(lines[1], "1 Bob admin enabled bob@example.com 20") ||
		!strings.HasPrefix(lines[2], "2 eve editor disabled 20") {
		t.Errorf("the list is\n%s", r.stdout)
	}
	r = user("", "list --json")
	var users []struct {
		ID        int64     `json:"id"`
		User      string    `json:"user"`
		Email     string    `json:"email"`
		Role      string    `json:"role"`
		Disabled  bool      `json:"disabled"`
		CreatedAt time.Time `json:"created_at"`
		UpdatedAt time.Time `json:"updated_at"`
	}
	err = json.Unmarshal([]byte(r.stdout), &users, json.RejectUnknownMembers(true))
	if err != nil || len(users) != 2 {
		t.Fatalf("%v, %d users in\n%s", err, len(users), r.stdout)
	}
	bob, eve := users[0], users[1]
	if bob.User != "Bob" || bob.Email != "bob@example.com" || bob.Role != "admin" ||
		bob.CreatedAt.IsZero() || bob.UpdatedAt.IsZero() {
		t.Errorf("the admin is %+v", bob)
	}
	if eve.User != "eve" || !eve.Disabled {
		t.Errorf("the disabled user is %+v", eve)
	}

	user("", "enable eve").want(t, 0, "user \"eve\" is enabled\n", "")
	user("", "delete eve").want(t, 0, "user \"eve\" is deleted\n", "")
	r = user("", "list --json")
	r.want(t, 0, `"Bob"`, "")
	if strings.Contains(r.stdout, "eve") || strings.Contains(r.stdout, "$") {
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
	call(t, at("sqlite:a.db"), "", "migrate").want(t, 0, "", "")
	call(t, at("sqlite:"+folder+"/b.db"), "", "migrate").want(t, 0, "", "")
	for _, path := range []string{"a.db", filepath.Join(folder, "b.db")} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

// Of all commands only migrate and serve touch a database with an older schema. None touches one
// that a newer program has changed.
func TestADatabaseOfAnotherSchema(t *testing.T) {
	const additive = "INSERT INTO clientes_migrations (version_id, is_applied) VALUES (1000, 1);"
	for name, test := range map[string]struct {
		change string
		want   string // the end of the sentence; "" if any command may use it
		serve  bool
	}{
		"older": {"DELETE FROM clientes_migrations WHERE version_id = 17; DROP TABLE probe;",
			"migration 00017_probe.sql is missing: the schema is not the one this program needs; " +
				"`clientes migrate` applies what is missing\n", true},
		"newer, and this one can live with it": {additive, "", true},
		"newer": {additive + "UPDATE identity SET required_version = 1000;",
			fmt.Sprintf("a newer clientes has changed the database: it takes one that knows "+
				"migration 1000, and this one knows %d at most; run the version that changed it, "+
				"or a newer one\n", store.SchemaVersion), false},
	} {
		t.Run(name, func(t *testing.T) {
			secretIn(t)
			call(t, nil, "", "migrate").want(t, 0, "", "")
			conn, err := sqlite.OpenConn("clientes.db", sqlite.OpenReadWrite)
			authtest.Must(t, err)
			authtest.Must(t, sqlitex.ExecuteScript(conn, test.change, nil))
			authtest.Must(t, conn.Close())
			status := 0
			if test.want != "" {
				status = 1
			}
			call(t, nil, "", "user", "list").want(t, status, "", test.want)
			call(t, nil, goodPassword, "user", "add", "bob", "--password-stdin").
				want(t, status, "", test.want)
			if test.serve {
				launch(t, nil, "serve")
				call(t, nil, goodPassword, "user", "add", "eve", "--password-stdin").
					want(t, 0, "", "")
			} else {
				call(t, nil, "", "serve").want(t, 1, "", test.want)
				call(t, nil, "", "migrate").want(t, 1, "", test.want)
			}
			if name != "older" {
				call(t, nil, "", "migrate", "status").
					want(t, 0, "1000     (of a newer clientes)", "")
			}
			if name == "newer, and this one can live with it" {
				call(t, nil, "", "migrate").want(t, 0,
					" migrations and 1 of a newer clientes, which this one can live with\n", "")
			}
		})
	}
}
