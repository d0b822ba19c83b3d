package main

import (
	"encoding/csv"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	"clientes/api/wire"
	"clientes/auth/authtest"
	"clientes/store"
)

// Hashes of goodPassword, made by Node's bcryptjs and by Python's hashlib.
const (
	bcryptHash = "$2b$04$8eSOIyKrwS1iCDVf79556uR1flz.bBjQSQk4e48kPs.hdhteaO5Wy"
	djangoHash = "pbkdf2_sha256$1000$seasalt2seasalt2seasal$jmGDCYiSkzBmqesAEiPRsIeDHIgGsEJOoUGu4rQ6o+A="
)

const goodUsers = `password_hash,user,email,role
` + bcryptHash + `,bia,bia@example.com,editor
` + djangoHash + `,Caio,,
"` + bcryptHash + `","dora","","admin"
`

func TestUserImport(t *testing.T) {
	inFolder(t, map[string]string{
		"users.csv": goodUsers,
		"more": `{"user": "eva", "password_hash": "` + bcryptHash + `"}` + "\n \n" +
			`{"role": "viewer", "email": null, "user": "fabio", "password_hash": "` + djangoHash +
			`"}`,
		"excel.csv": "\ufeff USER ;Password_Hash\r\ngil;" + bcryptHash + "\r\n",
	})
	call(t, nil, "", "user", "import", "--dry-run", "users.csv").
		want(t, 0, "3 users can be imported; nothing was changed\n", "")
	twice := goodUsers + bcryptHash + ",BIA,,\n"
	call(t, nil, twice, "user", "import", "--dry-run", "-").want(t, 1, "", "row 4, user: ")
	call(t, nil, "", "user", "import", "absent.csv").want(t, 1, "", "clientes: open absent.csv: ")
	call(t, nil, "", "user", "import", ".").want(t, 1, "", "clientes: read .: ")
	if files, _ := os.ReadDir("."); len(files) != 3 {
		t.Fatalf("what failed left %v", files)
	}
	call(t, nil, "", "migrate").want(t, 0, "", "")
	call(t, nil, "", "user", "import", "users.csv", "--dry-run").
		want(t, 0, "3 users can be imported; nothing was changed\n", "")
	call(t, nil, "", "user", "list", "--json").want(t, 0, "[]\n", "")
	call(t, nil, "", "user", "import", "users.csv").want(t, 0, "imported 3 users\n", "")
	call(t, nil, "", "user", "import", "more").want(t, 0, "imported 2 users\n", "")
	call(t, nil, "", "user", "import", "excel.csv").want(t, 0, "imported 1 user\n", "")
	for _, test := range []struct{ stdin, want string }{
		{"user,password_hash\nhugo," + bcryptHash + "\n", "imported 1 user\n"},
		{`{"user":"ines","password_hash":"` + bcryptHash + `"}`, "imported 1 user\n"},
		{"user,password_hash\n", "imported 0 users\n"},
	} {
		call(t, nil, test.stdin, "user", "import", "-").want(t, 0, test.want, "")
	}

	r := call(t, nil, "", "user", "list")
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(squeeze(r.stdout)), "\n")[1:] {
		got = append(got, strings.Join(strings.Fields(line)[1:4], " "))
	}
	want := "bia editor enabled, Caio viewer enabled, dora admin enabled, eva viewer enabled, " +
		"fabio viewer enabled, gil viewer enabled, hugo viewer enabled, ines viewer enabled"
	if strings.Join(got, ", ") != want || !strings.Contains(r.stdout, "bia@example.com") {
		t.Errorf("the list is\n%s", r.stdout)
	}
}

func TestImportedUsersLogIn(t *testing.T) {
	secretIn(t)
	call(t, nil, goodUsers, "user", "import", "-").want(t, 0, "imported 3 users\n", "")
	s := launch(t, nil, "serve")
	for _, user := range []string{"bia", "caio", "dora"} {
		for range 2 { // by the hash that was brought along, and by the one in its place
			resp, err := http.Post(s.url("/login"), "application/json",
				strings.NewReader(`{"user":"`+user+`","password":"`+goodPassword+`"}`))
			authtest.Must(t, err)
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%s is answered %s", user, resp.Status)
			}
		}
	}
}

func TestUserImportThatIsRefused(t *testing.T) {
	inFolder(t, nil)
	call(t, nil, goodUsers, "user", "import", "-").want(t, 0, "imported 3 users\n", "")
	list := call(t, nil, "", "user", "list").stdout
	const csvHead = "user,email,role,password_hash\n"
	row := func(fields ...string) string { return strings.Join(fields, ",") + "\n" }
	for name, c := range map[string]struct{ file, want string }{
		"nothing": {"",
			"the file, user: The file is empty: its first line has to name the columns.\n" +
				"clientes: the file has a fault; nothing was imported\n"},
		"no header": {row("ana", "a@example.com", "viewer", bcryptHash),
			"the file: Each of columns 1, 2, 3, 4 of the first line is none of user, email, role, " +
				"password_hash. Rename the others"},
		"a column that is wrong": {"user,hash\nana," + bcryptHash + "\n",
			"the file: Column 2 of the first line is none of user, email, role, password_hash. " +
				"Rename the others or take them out, or say what each column is, from the left, " +
				"with --columns=user,,password_hash (an empty one is passed over).\n" +
				"clientes: the file has a fault; nothing was imported\n"},
		"no column of users": {"email,password_hash\na@example.com," + bcryptHash + "\n",
			"the file, user: This column is required.\n"},
		"a column twice": {"user,user,password_hash\n",
			"the file, user: Columns 1 and 2 have this name; keep one.\n"},
		"no rows but a quote": {"user,\"password_hash\n",
			"the file: The first line does not name"},
		"a row of every fault": {
			csvHead + row("ana", "", "", bcryptHash) + row("a b", "x", "root", "plain") +
				row("bob", "", "") + row("", "", "", ""),
			"row 2, user: A user name has 1 to 64 characters of A-Z, a-z, 0-9 and . _ @ + -, " +
				"or is an email address.\n" +
				"row 2, email: This is not an email address: it has no @.\n" +
				"row 2, role: The role is viewer, editor or admin.\n" +
				"row 2, password_hash: The hash is of no kind that is taken: bcrypt ($2a$, ",
		},
		"other rows": {
			csvHead + row("bob", "", "", bcryptHash, "x") + row("", "", "", "") +
				row("", "", "", bcryptHash, ""),
			"row 1: The row has 5 cells, and the file 4 columns. " +
				"A text with a comma in it has to be in double quotes.\n" +
				"row 2, user: A user name has 1 to 64 characters of A-Z, a-z, 0-9 and . _ @ + -, " +
				"or is an email address.\n" +
				"clientes: the file has 2 faults; nothing was imported\n",
		},
		"who is there already": {
			csvHead + row("ana", "", "", bcryptHash) + row("BIA", "", "", bcryptHash) +
				row("bob", "Bia@Example.com", "", bcryptHash) + row("Ana", "", "", bcryptHash),
			"row 2, user: Another user has this name.\n" +
				"row 3, email: Another record has this email.\n" +
				"row 4, user: Another user has this name.\n" +
				"clientes: the file has 3 faults; nothing was imported\n",
		},
		"a hash that costs too much": {
			csvHead + row("ana", "", "", strings.Replace(bcryptHash, "$04$", "$15$", 1)),
			"row 1, password_hash: A bcrypt hash may have the cost 14 at most.\n" +
				"clientes: the file has a fault; nothing was imported\n",
		},
		"a quote that does not end": {csvHead + row("ana", "", "", bcryptHash) + "\"bob,,,\n",
			"row 2: The row is not CSV, at line 3: "},
		"no UTF-8": {csvHead + row("an\xff", "a\xff@example.com", "view\xff", "\xff"),
			"The file is not UTF-8, at line 2. "},
		"JSON of every fault": {
			`{"user": 1}` + "\n" + `{"name": "ana"}` + "\n{1\n" + `{"user": "ana", "user": "bob"}` +
				"\n" + `{"user": "ana"} 1` + "\n[1]\nnull\n" + `{"role": ["admin"]}`,
			"row 1: The member \"user\" has to be a text, in quotes, at byte 9.\n" +
				"row 2, name: There is no such member; did you mean \"user\"?\n" +
				"row 3: The line is not valid JSON, at byte 1.\n" +
				"row 4: The member \"user\" is there twice.\n" +
				"row 5: Something follows the object, at byte 16; " +
				"send one object and nothing else.\n" +
				"row 6: The line is an array; send one object, without the square brackets.\n" +
				"row 7: The line is not a JSON object; send one, in braces.\n" +
				"row 8: The member \"role\" has to be a text, in quotes, at byte 9.\n" +
				"clientes: the file has 8 faults; nothing was imported\n",
		},
		"an array": {"[\n" + `{"user": "a b"}` + "\n]\n",
			"row 1, user: A user name has "},
		"more faults than are listed": {
			csvHead + strings.Repeat(row("a b", "", "", bcryptHash), 101),
			"row 100, user: A user name has 1 to 64 characters of A-Z, a-z, 0-9 and . _ @ + -, " +
				"or is an email address.\n" +
				"clientes: the file has 101 faults, of which these are the first 100; nothing was imported\n",
		},
		"too many users": {"user\n" + strings.Repeat("a\n", maxUserRows+1),
			"clientes: the file has more than 200000 users; import it in parts\n"},
		"far too many": {"user,password_hash\n" + strings.Repeat("a,\n", maxUserRows+1),
			"clientes: the file has more than 200000 users; import it in parts\n"},
		"too large a file": {strings.Repeat("a", maxUserFile+1),
			"clientes: standard input has more than 32 MiB; import it in parts\n"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, args := range [][]string{
				{"user", "import", "--dry-run", "-"}, {"user", "import", "-"},
			} {
				r := call(t, nil, c.file, args...)
				r.want(t, 1, "", c.want)
				if r.stdout != "" || strings.Contains(r.stderr, bcryptHash[10:]) ||
					strings.Contains(r.stderr, "plain\n") {
					t.Errorf("stdout %q, stderr %s", r.stdout, r.stderr)
				}
			}
		})
	}
	if after := call(t, nil, "", "user", "list").stdout; after != list {
		t.Errorf("before\n%s\nafter\n%s", list, after)
	}
}

// The name of a file decides its format before its content does.
func TestTheFormatOfAUserFile(t *testing.T) {
	const json, csv = `{"user": "ana", "password_hash": "x"}`, "user,password_hash\nana,x\n"
	for name, c := range map[string]struct {
		data string
		good bool
	}{
		"a.csv": {csv, true}, "b.csv": {json, false}, "c.CSV": {json, false},
		"a.ndjson": {json, true}, "b.ndjson": {csv, false}, "a.jsonl": {json, true},
		"b.jsonl": {csv, false},
		"a.txt":   {csv, true}, "b.txt": {"\n\t " + json, true}, "-": {json, true},
		"c.txt": {"[" + json + "]", true}, "c.json": {"[" + json + "]", true},
	} {
		for u, err := range userRows(readingFor(t, name, c.data), []byte(c.data)) {
			if (err == nil) != c.good || c.good && u.Name != "ana" {
				t.Errorf("%s with %q gives %+v, %v", name, c.data, u, err)
			}
		}
	}
}

// readingFor returns how a file is read of which nothing but the name is said.
func readingFor(t *testing.T, name, data string) wire.Reading {
	how := wire.Reading{Format: formatByName(name)}
	authtest.Must(t, formatWithin(&how, []byte(data)))
	return how
}

// Whatever a file has is a user or a fault of ours, which repeats nothing of the file but the name
// of a member of JSON.
func FuzzUserRows(f *testing.F) {
	for _, name := range []string{"a.csv", "a.ndjson", "-"} {
		f.Add(name, []byte(goodUsers))
		f.Add(name, []byte(
			`{"user":"eva","email":null,"role":"admin","password_hash":"`+bcryptHash+`"}`+"\n{}\n{\"x\":1}\n"))
		f.Add(name, []byte("\ufeffuser;password_hash\r\n\"a\"\"b\";\r\n\"\n"))
		f.Add(name, []byte("user,SECRET\n"))
		f.Add(name, []byte("user,password_hash\na,b,SECRET\nSECRET,\"SECRET\"SECRET\n"))
		f.Add(name, []byte(
			`{"user":["SECRET"]}`+"\n"+`{"user":"SECRET" SECRET}`+"\n"+`{"SECRET":1}`+"\nSECRET"))
	}
	f.Add("a.csv", []byte(",user\n0")) // a column without a name, and with a text
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		n, ended := 0, false
		for u, err := range userRows(readingFor(t, name, string(data)), data) {
			if ended {
				t.Fatal("rows go on after the end")
			}
			var invalid *store.InvalidError
			var header *store.RowsError
			switch {
			case err == nil:
				if u.Role == "" || u.ID != 0 || u.PendingEmail != "" || u.Disabled {
					t.Errorf("the row is %+v", u)
				}
			case errors.As(err, &header):
				ended = true // some faults of a file show at its end
				if header.Count < 1 || header.Rows[0].Row != 0 {
					t.Errorf("row %d: a file with %v", n, header)
				}
			case !errors.As(err, &invalid):
				t.Errorf("row %d: %v", n, err)
			}
			n++
			if err == nil {
				continue
			}
			var parse *csv.ParseError
			said := err.Error()
			ofMember := strings.Contains(said, "The member") ||
				strings.Contains(said, "There is no such member.")
			repeats := strings.Contains(said, "SECRET") && !ofMember
			if (u != store.User{}) || errors.As(err, &parse) || repeats {
				t.Errorf("row %d: %+v, %v", n-1, u, err)
			}
		}
	})
}
