package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"clientes/auth/authtest"
)

// unusable is what Django writes for a user without a password.
const unusable = "!aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// TestUsersOfOtherPrograms imports what other programs export, and their neighbours.
func TestUsersOfOtherPrograms(t *testing.T) {
	const bcrypt = "$2b$06$abcdefghijklmnopqrstuuAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	row := func(hash string) string {
		return fmt.Sprintf(`{"user":"ana","password_hash":%q}`, hash)
	}
	zeros := strings.Repeat("0", 64)
	for _, c := range []struct{ name, file, says string }{
		{"O1 passlib", row("$pbkdf2-sha256$29000$/+7du6mZiHdmVUQzIhEA$" + strings.Repeat("A", 43)),
			"1 user with a hash of PBKDF2\n"},
		{"O1 passlib with dots", row("$pbkdf2-sha512$25000$/.7du6mZiHdmVUQzIhEA$" +
			strings.Repeat(".", 85) + "A"), "1 user with a hash of PBKDF2\n"},
		{"O1 bcrypt_sha256",
			row("$bcrypt-sha256$v=2,t=2b,r=12$" + bcrypt[7:29] + "$" + bcrypt[29:]),
			"1 user with a hash of bcrypt of a digest\n"},
		{"O2 Werkzeug",
			row("pbkdf2:sha256:600000$salt$" + zeros), "1 user with a hash of PBKDF2\n"},
		{"O2 Werkzeug scrypt", row("scrypt:32768:8:1$salt$" + zeros + zeros),
			"1 user with a hash of scrypt\n"},
		{"O3 Spring", row("{bcrypt}" + bcrypt), "1 user with a hash of bcrypt\n"},
		{"O3 Spring's PBKDF2", row("{pbkdf2@SpringSecurity_v5_8}" + zeros + zeros[:32]),
			"1 user with a hash of PBKDF2\n"},
		{"O4 WordPress",
			row("$P$BFsn26RVVD1/Lv3gc7AOYHR/V/Tp.01"), "1 user with a hash of phpass\n"},
		{"O4 WordPress 6.8", row("$wp" + strings.Replace(bcrypt, "2b", "2y", 1)),
			"1 user with a hash of bcrypt of a digest\n"},
		{"O5 ASP.NET", row("AQAAAAEAACcQAAAAEP/u3cy7qpmId2ZVRDMiEQAAAAAAAAAAAAAAAA" +
			"AAAAAAAAAAAAAAAAAAAAAAAAAAA=="), "1 user with a hash of PBKDF2\n"},
		{"O5 Keycloak", row(`{"type":"password","secretData":"{\"value\":\"` +
			strings.Repeat("A", 43) + `=\",\"salt\":\"AAAAAAAAAAAAAAAAAAAAAA==\"}","credentialData":"{\"hashIterations\":5,` +
			`\"algorithm\":\"argon2\",\"additionalParameters\":{\"memory\":[\"7168\"],` +
			`\"type\":[\"id\"],\"version\":[\"1.3\"],\"parallelism\":[\"1\"]}}"}`),
			"1 user with a hash of Argon2id\n"},
		{"O5 Keycloak in CSV", "user,password_hash\nana,\"" + strings.ReplaceAll(
			`{"credentialData":{"hashIterations":27500,"algorithm":"pbkdf2-sha256"}, "secretData":`+
				`{"value":"`+strings.Repeat("A", 86)+`==","salt":"AAAAAAAAAAAAAAAAAAAAAA=="}}`,
			`"`, `""`) + "\"\n", "1 user with a hash of PBKDF2\n"},
		{"white space around a hash", row(" " + bcrypt + "\r\n"), "1 user with a hash of bcrypt\n"},

		{"O6 no password", "user,email,password_hash\nana,ana@example.com," + bcrypt +
			"\nbia,bia@example.com,\n", "imported 2 users\n1 user with a hash of bcrypt\n" +
			"1 user without a password: POST /password/forgot mails a link to set one\n"},
		{"O6 no column", "user,email\nana,ana@example.com\n", "1 user without a password: POST "},
		{"O6 null", `{"user":"ana","email":"ana@example.com","password_hash":null}`,
			"1 user without a password: POST "},
		{"O6 no member", `{"user":"ana","email":"ana@example.com"}`,
			"1 user without a password: POST "},
		{"O6 no email either", "user,password_hash\nana,\n",
			"1 user without a password and without an email: set one with `clientes user passwd NAME`"},
		{"O7 Django unusable", row(unusable), "1 user without a password and without an email"},
		{"O7 NULL", "user,password_hash\nana,NULL\n", "1 user without a password"},
		{`O7 \N`, "user,password_hash\nana,\\N\n", "1 user without a password"},
		{"O7 shadow", "user,password_hash\nana,*\nbia,!\ncaio,!!\ndora,x\n",
			"4 users without a password"},

		{"O8 apostrophe", "user,password_hash\no'brien@example.com," + bcrypt + "\n",
			"imported 1 user\n"},
		{"O8 plus and other signs", "user\nana+x@example.com\na!#$%&*/=?^`{|}~b@example.com\n",
			"imported 2 users\n"},
		{"O9 long", "user,password_hash\nfirst.middle.last.person@department.faculty." +
			"university-hospital.example.org," + bcrypt + "\n", "imported 1 user\n"},
		{"O9 UTF-8", "user\njosé@example.com\nana@exämple.com\n", "imported 2 users\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inFolder(t, nil)
			checked := call(t, nil, c.file, "user", "import", "--dry-run", "-")
			checked.want(t, 0, "can be imported; nothing was changed\n", "")
			imported := call(t, nil, c.file, "user", "import", "-")
			imported.want(t, 0, c.says, "")
			_, before, _ := strings.Cut(checked.stdout, "\n")
			_, after, _ := strings.Cut(imported.stdout, "\n")
			if before != after {
				t.Errorf("the check says\n%s\nthe import\n%s", before, after)
			}
		})
	}
}

// TestUsersThatNobodyCanTake checks that what cannot be verified, or is no name, is refused at the
// import, with what to do.
func TestUsersThatNobodyCanTake(t *testing.T) {
	inFolder(t, nil)
	for _, c := range []struct{ name, user, hash, says string }{
		{"O9 no address", "josé", bcryptHash,
			"row 1, user: A user name has 1 to 64 characters of " +
				"A-Z, a-z, 0-9 and . _ @ + -, or is an email address.\n"},
		{"Spring noop", "ana", "{noop}secret9", "row 1, password_hash: This is a password itself"},
		{"MD5", "ana", strings.Repeat("0f", 16), "Leave password_hash empty"},
		{"LDAP", "ana", "{SSHA}Fd0zE9K0Oe0w6jXvyIhrIVxdWBZDQ2Uj", "Leave password_hash empty"},
		{"locked", "ana", "!" + bcryptHash, "the user is locked. Remove the !"},
		{"a hash that costs too much", "ana", "{bcrypt}" +
			strings.Replace(bcryptHash, "$04$", "$15$", 1), "may have the cost 14 at most"},
	} {
		r := call(t, nil, "user,password_hash\n"+c.user+","+c.hash+"\n", "user", "import", "-")
		r.want(t, 1, "", c.says)
		if strings.Contains(r.stderr, c.hash) {
			t.Errorf("%s: the hash is repeated: %s", c.name, r.stderr)
		}
	}
	if list := call(t, nil, "", "user", "list", "--json").stdout; list != "[]\n" {
		t.Errorf("there are users: %s", list)
	}
}

// TestImportedUsersOfOtherProgramsLogIn checks that users come in over HTTP with a password whose
// hash another program made, and that one without a password does not.
func TestImportedUsersOfOtherProgramsLogIn(t *testing.T) {
	secretIn(t)
	const password = "correct hörse Ж"
	users := map[string]string{ // made by those programs, see auth/password/testdata/hashes.txt
		"passlib": "$pbkdf2-sha256$1000$pbQWojTmnDOmNOZ8D6GUkg$" +
			"6AXqzUzy9Y7iQiT4vCf330zxBUZXs.rrcjQNdHF.Mg8",
		"wordpress": "$P$BFsn26RVVD1/Lv3gc7AOYHR/V/Tp.01",
		"o'brien@example.com": "AQAAAAEAACcQAAAAEJVae3Xe42WEiVuFn4L/PPmKMUvy44mRsVFm+0OcszsU" +
			"alwRBKKCs8QA3BZ+9cb1sQ==",
	}
	file := "user,password_hash\nnone,\n"
	for user, hash := range users {
		file += user + "," + hash + "\n"
	}
	call(t, nil, file, "user", "import", "-").want(t, 0, "imported 4 users\n", "")
	s := launch(t, nil, "serve")
	login := func(user string) int {
		t.Helper()
		resp, err := http.Post(s.url("/login"), "application/json",
			strings.NewReader(fmt.Sprintf(`{"user":%q,"password":%q}`, user, password)))
		authtest.Must(t, err)
		resp.Body.Close()
		return resp.StatusCode
	}
	for user := range users {
		for range 2 { // by the hash that was brought along, and by the one in its place
			if got := login(user); got != http.StatusOK {
				t.Errorf("%s is answered %d", user, got)
			}
		}
	}
	if got := login("none"); got != http.StatusUnauthorized {
		t.Errorf("a user without a password is answered %d", got)
	}
}
