package api

import (
	"net/url"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"clientes/auth/authtest"
	"clientes/store"
)

// around are texts that have something around them which is no part of a name, an email or a token.
func around(s string) []string {
	return []string{
		s + " ", " " + s, s + "\n", "\t" + s + "\r\n", "\u00a0" + s + "\u3000", "\ufeff" + s,
		s + "\u200b", "\u202a" + s + "\u202c", "\u2028" + s, s + "\u2800",
	}
}

// quote returns a text as JSON.
func quote(t testing.TB, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	authtest.Must(t, err)
	return string(b)
}

func (a answer) message() string {
	var p problem
	_ = json.Unmarshal([]byte(a.body), &p)
	if len(p.Errors) > 0 {
		return p.Errors[0].Message
	}
	return p.Message
}

// J1: no user name can hold a space, so autofill that adds one locks nobody out.
func TestWhiteSpaceAroundALogin(t *testing.T) {
	f := onSQLite(t)
	for _, user := range around("the-viewer") {
		body := `{"user":` + quote(t, user) + `,"password":"` + testPassword + `"}`
		f.want(f.call("POST", "/login", body), 200, "")
		body = `{"username":` + quote(t, user) + `,"password":"` + testPassword + `"}`
		f.want(f.call("POST", "/login", body), 200, "")
		form := url.Values{"user": {user}, "password": {testPassword}}.Encode()
		f.want(f.call("POST", "/login", form, "Content-Type", mediaForm), 200, "")
	}
	for _, user := range []string{" ", "\u200b", "\n\u00a0"} {
		a := f.call("POST", "/login", `{"user":`+quote(t, user)+`,"password":"x"}`)
		if f.want(a, 422, "validation_failed"); a.faults() != "user:required" {
			t.Errorf("%q: %s", user, a.body)
		}
	}
	// A password is what it is, to the last space.
	body := `{"user":"the-viewer","password":"` + testPassword + ` "}`
	f.want(f.call("POST", "/login", body), 401, "invalid_login")
	// Failures count for one name, however it is written.
	for i, user := range append(around("the-admin"), "the-admin")[:6] {
		a := f.call("POST", "/login", `{"user":`+quote(t, user)+`,"password":"wrong"}`)
		if want := []int{401, 429}[i/5]; a.status != want {
			t.Errorf("failure %d answered %d, want %d", i+1, a.status, want)
		}
	}
}

// J4: a refresh token that was kept in a file has a newline at its end.
func TestWhiteSpaceAroundATokenIsNoPartOfIt(t *testing.T) {
	f := onSQLite(t)
	login := func() (token, refresh, device string) {
		a := f.call("POST", "/login", `{"user":"the-viewer","password":"`+testPassword+`"}`)
		var v loginView
		authtest.Must(t, json.Unmarshal([]byte(a.body), &v))
		return v.Token, v.RefreshToken, v.Device
	}
	_, refresh, device := login()
	for i := range around("") {
		body := `{"refresh_token":` + quote(t, around(refresh)[i]) + `}`
		a := f.call("POST", "/refresh", body)
		f.want(a, 200, "")
		var v loginView
		authtest.Must(t, json.Unmarshal([]byte(a.body), &v))
		refresh = v.RefreshToken
	}
	f.want(f.call("POST", "/logout", `{"refresh_token":`+quote(t, refresh+"\n")+`}`), 200, "")
	f.want(f.call("POST", "/refresh", `{"refresh_token":"`+refresh+`"}`), 401, "refresh_invalid")
	f.want(f.call("POST", "/refresh", `{"refresh_token":" \n"}`), 401, "refresh_invalid")

	// A device token keeps its user out of the strangers' count.
	for range 6 {
		f.call("POST", "/login", `{"user":"the-viewer","password":"wrong"}`)
	}
	for _, d := range around(device) {
		f.want(f.call("POST", "/login", `{"user":"the-viewer","password":"`+testPassword+
			`","device":`+quote(t, d)+`}`), 200, "")
	}

	for _, token := range []string{"\u00a0" + f.tokens[store.Viewer],
		f.tokens[store.Viewer] + "\u200b"} {
		f.want(f.call("GET", "/clientes", "", "x-access-token", token), 200, "")
		f.want(f.call("GET", "/clientes", "", "Authorization", "Bearer "+token), 200, "")
	}
}

// J3, I1, I5, H12, H22, H23: what is kept of a customer's texts.
func TestTextsOfACliente(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for _, c := range []struct{ name, body, member, want string }{
			{"J3", `{"name":"A","email":"a@example.com "}`, "email", "a@example.com"},
			{"I1", `{"name":"Z","email":"\u200bz@example.com"}`, "email", "z@example.com"},
			{"I5", `{"name":"A","phone":"\u202a+55 11 91234-5678\u202c"}`, "phone",
				"+55 11 91234-5678"},
			{"H12", `{"name":"A","address":"Rua B, 2\r\nCampinas"}`, "address",
				"Rua B, 2\nCampinas"},
			{"H22", `{"name":"A","notes":"one\u000btwo"}`, "notes", "one\ntwo"},
			{"H23", `{"name":"A","notes":"one\rtwo"}`, "notes", "one\ntwo"},
			{"address with a tab", `{"name":"A","address":"a\tb"}`, "address", "a\tb"},
		} {
			a := f.as(store.Editor, "POST", "/clientes", c.body)
			f.want(a, 201, "")
			var got map[string]any
			authtest.Must(t, json.Unmarshal([]byte(a.body), &got))
			if got[c.member] != c.want {
				t.Errorf("%s: kept %q", c.name, got[c.member])
			}
			// The answer can be PUT back, and that changes nothing.
			path := a.header.Get("Location")
			if back := f.as(store.Editor, "PUT", path, a.body); back.body != a.body {
				t.Errorf("%s: back comes %s", c.name, back.body)
			}
		}
		for _, email := range []string{"z@example.com", "\ufeffZ@example.com\u00a0"} {
			a := f.as(store.Editor, "POST", "/clientes", `{"name":"Z","email":`+quote(t, email)+`}`)
			f.want(a, 409, "conflict")
			query := url.Values{"email": {email}}.Encode()
			if a = f.as(store.Viewer, "GET", "/clientes?"+query, ""); len(idsOf(t, a.body)) != 1 {
				t.Errorf("%s finds %s", query, a.body)
			}
		}
		for _, q := range []string{"\u202a+55 11 91234\u202c", " z@example ",
			"\u200bz@example.com"} {
			query := url.Values{"q": {q}}.Encode()
			if a := f.as(store.Viewer, "GET", "/clientes?"+query, ""); len(idsOf(t, a.body)) != 1 {
				t.Errorf("%s finds %s", query, a.body)
			}
		}
	})
}

// What an earlier version kept stays readable. A PUT of it says what is wrong, or puts it right.
func TestTextsOfAnEarlierVersion(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for _, c := range []struct {
			old    store.Cliente
			faults string
		}{
			{store.Cliente{Name: "A", Email: "\u200bz@example.com"}, ""},
			{store.Cliente{Name: "A", Phone: " \u202a1\u202c "}, ""},
			{store.Cliente{Name: "A", Email: "z\u200b@example.org"}, "email:invalid_email"},
			{store.Cliente{Name: "\u3164"}, "name:required"},
			{store.Cliente{Name: "A", Email: "“ana@x”"}, "email:invalid_email"},
		} {
			path := clientePath(f.add(c.old).ID)
			a := f.as(store.Viewer, "GET", path, "")
			f.want(a, 200, "")
			back := f.as(store.Editor, "PUT", path, a.body)
			if back.faults() != c.faults || (back.status == 200) != (c.faults == "") {
				t.Errorf("%+v went back with %d %s", c.old, back.status, back.body)
			}
			f.want(f.as(store.Editor, "PATCH", path, `{"notes":"x"}`), 200, "")
		}
	})
}

// M: a + that was not written %2B is a space, and never silently another address.
func TestAPlusInAQuery(t *testing.T) {
	f := onSQLite(t)
	f.add(store.Cliente{Name: "Ana", Email: "plus+tag@example.com", Phone: "+55 11 9"})
	for _, c := range []struct {
		name, query string
		status      int
	}{
		{"M1", "email=plus+tag@example.com", 400},
		{"M1 of a space", "email=plus%20tag@example.com", 400},
		{"M1 of two", "email=a+b+c@example.com", 400},
		{"M1 as it should be", "email=plus%2Btag@example.com", 200},
		{"M1 with white space around", "email=+plus%2Btag@example.com%20%0A", 200},
		{"phone", "q=+55", 400},
		{"phone of a space", "q=%2055+11", 400},
		{"phone as it should be", "q=%2B55", 200},
		{"phone within white space", "q=%20%2B55+", 200},
		{"name of two words", "q=an", 200},
		{"name behind a space", "q=+ana+", 200},
		{"since", "updated_since=2020-01-01T00:00:00+02:00", 400},
		{"since as it should be", "updated_since=2020-01-01T00:00:00%2B02:00", 200},
		{"since with white space", "updated_since=+2020-01-01T00:00:00Z%0A", 200},
		{"limit with white space", "limit=%205%20", 200},
		{"sort with white space", "sort=name%20", 200},
	} {
		for _, path := range []string{"/clientes?", "/clientes/export?"} {
			if strings.Contains(c.query, "limit") && path != "/clientes?" {
				continue
			}
			a := f.as(store.Viewer, "GET", path+c.query, "", "Accept", "application/x-ndjson, */*")
			if a.status != c.status {
				t.Errorf("%s: %s%s answered %d %s", c.name, path, c.query, a.status, a.body)
				continue
			}
			if a.status == 400 && (a.code() != "invalid_parameter" || !strings.Contains(a.body,
				"%2B")) {
				t.Errorf("%s: %s", c.name, a.body)
			}
			if a.status == 200 && !strings.Contains(a.body, "plus+tag@example.com") {
				t.Errorf("%s: %s%s finds %s", c.name, path, c.query, a.body)
			}
		}
	}
	f.want(f.as(store.Viewer, "GET", "/clientes?cursor=a+b", ""), 400, "invalid_parameter")
	f.want(f.as(store.Admin, "GET", "/audit?event=+login%20", ""), 200, "")
	a := f.as(store.Admin, "GET", "/audit?since=2020-01-01T00:00:00+02:00", "")
	if f.want(a, 400, "invalid_parameter"); !strings.Contains(a.body, "%2B") {
		t.Error(a.body)
	}
}

// Q3: a value of another type is refused with the type that is wanted, on every route.
func TestValuesOfAnotherType(t *testing.T) {
	f := onSQLite(t, func(c *Config) { c.SignupOpen = true })
	c := clientePath(f.add(store.Cliente{Name: "A"}).ID)
	for _, r := range []struct{ method, path, body, want string }{
		{"POST", "/clientes", `{"name": "A", "phone": 5511999}`,
			`The member "phone" has to be a text, in quotes, at byte 23.`},
		{"PUT", c, `{"name":["A"]}`, `The member "name" has to be a text, in quotes, at byte 8.`},
		{"PATCH", c, `{"email":false}`,
			`The member "email" has to be a text, in quotes, at byte 9.`},
		{"POST", "/users", `{"user":5}`,
			`The member "user" has to be a text, in quotes, at byte 8.`},
		{"PATCH", "/users/1", `{"disabled":"false"}`,
			`The member "disabled" has to be true or false, without quotes, at byte 12.`},
		{"PATCH", "/me", `{"email":{}}`,
			`The member "email" has to be a text, in quotes, at byte 9.`},
		{"POST", "/signup", `{"password":12345678}`,
			`The member "password" has to be a text, in quotes, at byte 12.`},
		{"POST", "/refresh", `{"refresh_token":[]}`,
			`The member "refresh_token" has to be a text, in quotes, at byte 17.`},
		{"POST", "/password", `{"current":1}`,
			`The member "current" has to be a text, in quotes, at byte 11.`},
		{"POST", "/password/forgot", `{"email":1}`,
			`The member "email" has to be a text, in quotes, at byte 9.`},
		{"POST", "/password/reset", `{"token":1}`,
			`The member "token" has to be a text, in quotes, at byte 9.`},
		{"POST", "/email/confirm", `{"token":true}`,
			`The member "token" has to be a text, in quotes, at byte 9.`},
		{"POST", "/me/mfa/confirm", `{"code":123456}`,
			`The member "code" has to be a text, in quotes, at byte 8.`},
		{"DELETE", "/me/mfa", `{"current":"x","code":123456}`,
			`The member "code" has to be a text, in quotes, at byte 22.`},
		{"POST", "/clientes", `[{"name":"A"}]`,
			"The body is an array; send one object, without the square brackets."},
		{"POST", "/clientes", ` `, "The body is empty; send a JSON object."},
		{"POST", "/logout", `{"everywhere":"yes"}`,
			`The member "everywhere" has to be true or false, without quotes, at byte 14.`},
	} {
		a := f.as(store.Admin, r.method, r.path, r.body)
		if f.want(a, 400, "malformed_body"); a.message() != r.want {
			t.Errorf("%s %s %s\ngot  %s\nwant %s", r.method, r.path, r.body, a.message(), r.want)
		}
	}
	for body, want := range map[string]string{
		`{"user":5,"password":"x"}`:               "A user is required, as a text in quotes.",
		`{"user":"x","password":12345678}`:        "A password is required, as a text in quotes.",
		`{"user":"x","password":"x","code":1}`:    "The code is a text, in quotes.",
		`{"user":"x","password":"x","cookie":""}`: "The cookie is true or false, without quotes.",
	} {
		a := f.call("POST", "/login", body)
		if f.want(a, 422, "validation_failed"); a.message() != want {
			t.Errorf("%s: %s", body, a.message())
		}
	}
}

// A member that is nearly one of ours is refused with the name of that one. What the server sets is
// passed over.
func TestUnknownMembersOfRoutes(t *testing.T) {
	f := onSQLite(t, func(c *Config) { c.SignupOpen = true })
	c := clientePath(f.add(store.Cliente{Name: "A"}).ID)
	for _, r := range []struct{ method, path, body, meant string }{
		{"POST", "/clientes", `{"Name":"A"}`, "name"},
		{"PUT", c, `{"name":"A","E-mail":"a@b"}`, "email"},
		{"PATCH", c, `{"telefone":"1"}`, "phone"},
		{"POST", "/users", `{"username":"a","email":"a@b","password":"correct horse 7"}`, "user"},
		{"PATCH", "/users/1", `{"Disabled":true}`, "disabled"},
		{"PATCH", "/me", `{"mail":"a@b"}`, "email"},
		{"POST", "/signup", `{"user":"abcd","senha":"correct horse 7"}`, "password"},
		{"POST", "/password", `{"currentPassword":"x","password":"correct horse 7"}`, "current"},
		{"POST", "/me/mfa/confirm", `{"otp":"123456"}`, "code"},
	} {
		a := f.as(store.Admin, r.method, r.path, r.body)
		f.want(a, 422, "validation_failed")
		if want := `There is no such member; did you mean "` + r.meant + `"?`; a.message() != want {
			t.Errorf("%s %s %s\ngot  %s\nwant %s", r.method, r.path, r.body, a.body, want)
		}
	}
	own := `"id":99,"version":"7","created_at":null,"updated_at":{}`
	f.want(f.as(store.Editor, "PUT", c, `{"name":"B",`+own+`}`), 200, "")
	f.want(f.as(store.Admin, "PATCH", "/me", `{`+own+`}`), 200, "")
	f.want(f.as(store.Admin, "PATCH", "/users/1", `{"user":" the-viewer\n",`+own+`}`), 200, "")
	f.want(f.as(store.Admin, "POST", "/users",
		`{"user":" new ","password":"a long enough one",`+own+`}`), 201, "")
	f.want(f.as(store.Admin, "POST", "/users",
		`{"user":"NEW\u200b","password":"a long enough one"}`),
		409, "conflict")
}
