package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"clientes/api/wire/wiretest"
	"clientes/auth/authtest"
	"clientes/store"
)

func TestClientes(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		a := f.as(store.Editor, "POST", "/clientes",
			`{"name":" Ana ","email":"Ana@example.com","phone":"+55 11 99999-0000"}`)
		f.want(a, 201, "")
		var c store.Cliente
		unmarshalCliente(t, a.body, &c)
		if c.ID != 1 || c.Name != "Ana" || c.Email != "Ana@example.com" || c.Version != 1 ||
			c.Company != "" || c.Notes != "" {
			t.Errorf("created %s", a.body)
		}
		if got := a.header.Get("Location"); got != "/clientes/1" {
			t.Errorf("Location: %s", got)
		}
		if got := a.header.Get("ETag"); got != `"1"` {
			t.Errorf("ETag: %s", got)
		}
		got := f.as(store.Viewer, "GET", "/clientes/1", "")
		if got.body != a.body || got.header.Get("ETag") != `"1"` {
			t.Errorf("created %s, got %s", a.body, got.body)
		}

		// The answer to a GET can be PUT back, and changes nothing.
		same := f.as(store.Editor, "PUT", "/clientes/1", a.body)
		if f.want(same, 200, ""); same.body != a.body {
			t.Errorf("PUT of the same gave %s", same.body)
		}
		if a := f.as(store.Editor, "PATCH", "/clientes/1", `{}`); a.header.Get("ETag") != `"1"` {
			t.Errorf("an empty PATCH gave %s", a.header.Get("ETag"))
		}

		a = f.as(store.Editor, "PATCH", "/clientes/1", `{"phone":null,"notes":"a\r\nb"}`,
			"Content-Type", mediaMergePatch)
		f.want(a, 200, "")
		unmarshalCliente(t, a.body, &c)
		if c.Phone != "" || c.Notes != "a\nb" || c.Name != "Ana" || c.Version != 2 ||
			a.header.Get("ETag") != `"2"` {
			t.Errorf("patched to %s", a.body)
		}
		a = f.as(store.Editor, "PUT", "/clientes/1", `{"name":"Bia"}`)
		f.want(a, 200, "")
		unmarshalCliente(t, a.body, &c)
		if c.Name != "Bia" || c.Email != "" || c.Notes != "" || c.Version != 3 {
			t.Errorf("replaced by %s", a.body)
		}

		a = f.as(store.Editor, "DELETE", "/clientes/1", "")
		if f.want(a, 204, ""); a.body != "" || a.header.Get("Content-Type") != "" {
			t.Errorf("DELETE answered %v %s", a.header, a.body)
		}
		for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
			body := ""
			if method[0] == 'P' {
				body = `{"name":"x"}`
			}
			f.want(f.as(store.Editor, method, "/clientes/1", body), 404, "not_found")
		}
		a = f.as(store.Editor, "POST", "/clientes", `{"name":"Carla"}`)
		if a.header.Get("Location") != "/clientes/2" {
			t.Errorf("an id is used again: %s", a.header.Get("Location"))
		}
	})
}

// unmarshalCliente reads a record as a client does. It ends the test unless the record has each
// member and no other.
func unmarshalCliente(t testing.TB, body string, c *store.Cliente) {
	t.Helper()
	var v struct {
		ID        int64             `json:"id"`
		Version   int64             `json:"version"`
		CreatedAt time.Time         `json:"created_at"`
		UpdatedAt time.Time         `json:"updated_at"`
		Texts     map[string]string `json:",embed"`
	}
	authtest.Must(t, json.Unmarshal([]byte(body), &v))
	*c = store.Cliente{
		ID: v.ID, Version: v.Version, CreatedAt: v.CreatedAt, UpdatedAt: v.UpdatedAt,
	}
	for _, text := range c.Texts() {
		*text.Value = v.Texts[text.Name]
	}
	names := slices.Sorted(slices.Values(wiretest.TextNames()))
	if got := slices.Sorted(maps.Keys(v.Texts)); !slices.Equal(got, names) {
		t.Fatalf("%s has the texts %q, not %q", body, got, names)
	}
}

func TestTextComesBackAsItWas(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for _, text := range []string{
			`=1+1`, `"quoted" \ /`, `'; DROP TABLE clientes; --`, `%_*`,
			`<script>alert(1)</script>`, "😀 ß ﷺ \u202e \u2028",
			"日本語", "المغرب", "á", strings.Repeat("😀", 200),
		} {
			notes := text + "\n\t" + text
			record := map[string]string{"name": "x", "company": text, "notes": notes}
			body, err := json.Marshal(record)
			authtest.Must(t, err)
			a := f.as(store.Editor, "POST", "/clientes", string(body))
			f.want(a, 201, "")
			var c store.Cliente
			unmarshalCliente(t, f.as(store.Viewer, "GET", a.header.Get("Location"), "").body, &c)
			if c.Company != text || c.Notes != notes {
				t.Errorf("%q came back as %q, %q", text, c.Company, c.Notes)
			}
		}
	})
}

func TestClienteBodies(t *testing.T) {
	f := onSQLite(t)
	f.add(store.Cliente{Name: "Ana", Email: "ana@example.com"})
	many := make([]string, 150)
	for i := range many {
		many[i] = fmt.Sprintf(`"x%03d":1`, i)
	}
	for _, c := range []struct {
		name, body   string
		status       int
		code, faults string
	}{
		{"no name", `{}`, 422, "validation_failed", "name:required"},
		{"a name of null", `{"name":null}`, 422, "validation_failed", "name:required"},
		{"every fault at once", `{"email":"x","phone":"\u0000","nome":"Ana"}`, 422,
			"validation_failed",
			"nome:unknown_member name:required email:invalid_email phone:invalid_characters"},
		{"Name for name", `{"Name":"Ana"}`,
			422, "validation_failed", "Name:unknown_member name:required"},
		{"what the server sets",
			`{"name":"B","id":9,"version":"x","created_at":null,"updated_at":[]}`, 201, "", ""},
		{"null for optional text",
			`{"name":"B","email":null,"phone":null,"company":null,"address":null,"notes":null}`,
			201, "", ""},
		{"an email that another has", `{"name":"B","email":"ANA@EXAMPLE.COM"}`,
			409, "conflict", "email:taken"},
		{"a number for a name", `{"name":1}`, 400, "malformed_body", ""},
		{"an object for a name", `{"name":{"first":"Ana"}}`, 400, "malformed_body", ""},
		{"an array", `[{"name":"Ana"}]`, 400, "malformed_body", ""},
		{"null", `null`, 400, "malformed_body", ""},
		{"two values", `{"name":"Ana"} {}`, 400, "malformed_body", ""},
		{"a comma too many", `{"name":"Ana",}`, 400, "malformed_body", ""},
		{"a name twice", `{"name":"Ana","name":"Bia"}`, 400, "malformed_body", ""},
		{"a comment", `{"name":"Ana"/**/}`, 400, "malformed_body", ""},
		{"NaN", `{"name":NaN}`, 400, "malformed_body", ""},
		{"a lone surrogate", `{"name":"\udc00"}`, 400, "malformed_body", ""},
		{"a lone surrogate in a name", `{"\ud800":1,"name":"x"}`, 400, "malformed_body", ""},
		{"broken UTF-8", "{\"name\":\"\xc3\x28\"}", 400, "malformed_body", ""},
		{"a byte order mark", "\ufeff{\"name\":\"x\"}", 201, "", ""},
		{"two byte order marks", "\ufeff\ufeff{\"name\":\"x\"}", 400, "malformed_body", ""},
		{"deep nesting",
			`{"name":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`,
			400, "malformed_body", ""},
		{"deep nesting in an unknown member", `{"x":` + strings.Repeat(`{"a":`, 100_000),
			400, "malformed_body", ""},
		{"too large", `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "body_too_large", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := f.as(store.Editor, "POST", "/clientes", c.body)
			f.want(a, c.status, c.code)
			if a.faults() != c.faults {
				t.Errorf("faults %q, want %q", a.faults(), c.faults)
			}
		})
	}
	a := f.as(store.Editor, "POST", "/clientes", "{"+strings.Join(many, ",")+"}")
	if strings.Count(a.faults(), ":") != 100 {
		t.Errorf("%d faults are listed", strings.Count(a.faults(), ":"))
	}
	a = f.as(store.Editor, "POST", "/clientes", `{"name":7}`)
	if !strings.Contains(a.body, "name") {
		t.Errorf("the message does not name the place: %s", a.body)
	}
	for media, status := range map[string]int{
		"": 415, "text/plain": 415, mediaForm: 415, mediaMergePatch: 415, "application/xml": 415,
		"nonsense;;": 415, "application/json;charset=utf-8": 201, "APPLICATION/JSON": 201,
	} {
		a := f.as(store.Editor, "POST", "/clientes", `{"name":"x"}`, "Content-Type", media)
		if a.status != status {
			t.Errorf("%q answered %d", media, a.status)
		}
	}
	f.want(f.as(store.Editor, "POST", "/clientes", `{"name":"x"}`, "Content-Encoding", "gzip"),
		400, "malformed_body") // it is not gzip
	f.want(f.as(store.Editor, "PATCH", "/clientes/1", `{"name":"x"}`,
		"Content-Type", "application/json-patch+json"),
		415, "unsupported_media_type")
	f.want(f.as(store.Editor, "PATCH", "/clientes/1", `"x"`), 400, "malformed_body")
	f.want(f.as(store.Editor, "PATCH", "/clientes/1", `{"name":null}`), 422, "validation_failed")
	f.want(f.as(store.Editor, "PATCH", "/clientes/1", `{"nome":"x"}`), 422, "validation_failed")
}

func TestMergePatch(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		whole := store.Cliente{
			Name: "Ana", Email: "ana@example.com", Phone: "1",
			Company: "c", Address: "a", Notes: "n",
		}
		for i, c := range []struct {
			patch string
			want  func(*store.Cliente)
		}{
			{`{}`, func(*store.Cliente) {}},
			{`{"name":"Bia"}`, func(c *store.Cliente) { c.Name = "Bia" }},
			{`{"email":null}`, func(c *store.Cliente) { c.Email = "" }},
			{`{"phone":null}`, func(c *store.Cliente) { c.Phone = "" }},
			{`{"company":null}`, func(c *store.Cliente) { c.Company = "" }},
			{`{"address":null}`, func(c *store.Cliente) { c.Address = "" }},
			{`{"notes":null}`, func(c *store.Cliente) { c.Notes = "" }},
			{`{"notes":""}`, func(c *store.Cliente) { c.Notes = "" }},
			{`{"email":null,"phone":"2","company":null,"notes":"a\r\nb"}`,
				func(c *store.Cliente) {
					c.Email, c.Phone, c.Company, c.Notes = "", "2", "", "a\nb"
				}},
			{`{"email":"NEW@example.com","id":99,"version":7,"created_at":"x","updated_at":null}`,
				func(c *store.Cliente) { c.Email = "NEW@example.com" }},
		} {
			before := f.add(whole)
			want := before
			if c.want(&want); want != before {
				want.Version = 2
			}
			media := []string{mediaMergePatch, mediaJSON}[i%2]
			a := f.as(store.Editor, "PATCH", clientePath(before.ID), c.patch, "Content-Type", media)
			f.want(a, 200, "")
			var got store.Cliente
			unmarshalCliente(t, a.body, &got)
			want.UpdatedAt = got.UpdatedAt
			if got != want || a.header.Get("ETag") != versionTag(want.Version) {
				t.Errorf("%s led to %+v, want %+v", c.patch, got, want)
			}
			again := f.as(store.Viewer, "GET", clientePath(before.ID), "")
			if again.body != a.body {
				t.Errorf("%s answered %s, and there is %s", c.patch, a.body, again.body)
			}
			f.want(f.as(store.Editor, "DELETE", clientePath(before.ID), ""), 204, "")
		}
	})
}

// The answer to a GET can be PUT back even if its texts are hard to write.
func TestAnAnswerToGETCanBePUTBack(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for i, c := range wiretest.NaughtyClientes(t) {
			if i%8 != 0 {
				continue // a few of each kind will do
			}
			path := clientePath(f.add(c).ID)
			before := f.as(store.Viewer, "GET", path, "")
			f.want(f.as(store.Editor, "PUT", path, `{"name":"x"}`), 200, "")
			back := f.as(store.Editor, "PUT", path, before.body, "If-Match", `"2"`)
			if f.want(back, 200, ""); back.header.Get("ETag") != `"3"` {
				t.Errorf("%s went back as %s", before.body, back.body)
			}
			again := f.as(store.Editor, "PUT", path, back.body)
			if f.want(again, 200, ""); again.body != back.body {
				t.Errorf("%s went back as %s", back.body, again.body)
			}
			var was, is store.Cliente
			unmarshalCliente(t, before.body, &was)
			unmarshalCliente(t, again.body, &is)
			if !is.SameText(was) || !is.SameText(c) {
				t.Errorf("%+v became %+v and then %+v", c, was, is)
			}
			f.want(f.as(store.Editor, "DELETE", path, ""), 204, "")
		}
	})
}

func TestConditionalRequests(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		path := clientePath(f.add(store.Cliente{Name: "Ana"}).ID)
		for tag, status := range map[string]int{
			`"1"`: 304, `W/"1"`: 304, `*`: 304, `"0", "1"`: 304, `"2"`: 200, `""`: 200, `"11"`: 200,
			`W/"0" ,, W/"1",`: 304, `"1-gzip"`: 304, `W/"1-gzip"`: 304, `"1--gzip"`: 304,
			`"1-br"`: 304, `"1-zstd"`: 304, `"a,b","1"`: 304, `"2-gzip"`: 200, `"1-x"`: 200,
			`1`: 400, `w/"1"`: 400, `"`: 400, `"1`: 400, `1"`: 400, `'1'`: 400, `"1" "2"`: 400,
			`*, "1"`: 400, `"1", *`: 400, `W/1`: 400, `W/`: 400, `,`: 400, `"a b"`: 400,
		} {
			a := f.as(store.Viewer, "GET", path, "", "If-None-Match", tag)
			if a.status != status || (status == 304) != (a.body == "") ||
				status != 400 && a.header.Get("ETag") != `"1"` {
				t.Errorf("If-None-Match: %s answered %d %s", tag, a.status, a.body)
			}
			if status == 400 && (a.code() != "invalid_parameter" ||
				!strings.Contains(a.body, "If-None-Match")) {
				t.Errorf("If-None-Match: %s answered %s", tag, a.body)
			}
		}
		// The server sends no Last-Modified, so dates mean nothing.
		f.want(f.as(store.Viewer, "GET", path, "",
			"If-Modified-Since", "Sun, 29 Nov 2099 10:00:00 GMT"), 200, "")
		for _, method := range []string{"PUT", "PATCH", "DELETE"} {
			for _, tag := range []string{`"2"`, `W/"2"`, `"2-gzip"`, `"1-x"`, `"11"`, `""`} {
				f.want(f.as(store.Editor, method, path, `{"name":"x"}`, "If-Match", tag),
					412, "version_mismatch")
			}
			// L10 if-match-unquoted, and what is as unreadable.
			for _, tag := range []string{`1`, `"`, `"1`, `'1'`, `W/1`, `* "1"`, `"1";`, `\"1\"`} {
				a := f.as(store.Editor, method, path, `{"name":"x"}`, "If-Match", tag)
				f.want(a, 400, "invalid_parameter")
				if !strings.Contains(a.body, "If-Match") || !strings.Contains(a.body, "quotes") {
					t.Errorf("If-Match: %s answered %s", tag, a.body)
				}
			}
		}
		f.want(f.as(store.Editor, "PUT", path, `{"name":"Bia"}`, "If-Match", `"1"`), 200, "")
		f.want(f.as(store.Editor, "PUT", path, `{"name":"Carla"}`, "If-Match", `"1"`),
			412, "version_mismatch")
		f.want(f.as(store.Editor, "PATCH", path, `{"name":"Dora"}`, "If-Match", `"1", "2"`),
			200, "")
		f.want(f.as(store.Editor, "PATCH", path, `{"name":"Eva"}`, "If-Match", `*`), 200, "")
		f.want(f.as(store.Editor, "PUT", "/clientes/999", `{"name":"x"}`, "If-Match", `*`),
			404, "not_found")
		f.want(f.as(store.Editor, "DELETE", path, "", "If-Match", `"4"`), 204, "")
	})
}

// L11 if-match-weak, and what other proxies make of a tag.
func TestTagsOfProxies(t *testing.T) {
	f := onSQLite(t)
	path := clientePath(f.add(store.Cliente{Name: "Ana"}).ID)
	for i, form := range []string{
		`W/"%d"`, `"%d-gzip"`, `W/"%d-gzip"`, `"%d--gzip"`, `"%d-br"`, `"%d-zstd"`, `"7" , W/"%d"`,
	} {
		tag := fmt.Sprintf(form, i+1)
		f.want(f.as(store.Editor, "PATCH", path, fmt.Sprintf(`{"name":"%d"}`, i),
			"If-Match", tag), 200, "")
		f.want(f.as(store.Editor, "PATCH", path, `{"name":"x"}`, "If-Match", tag),
			412, "version_mismatch")
	}
}

func FuzzParseTags(f *testing.F) {
	for _, s := range []string{
		`"1"`, `W/"1"`, `*`, `"1", "2"`, `1`, `"1-gzip"`, `,,`, `*,*`, `"a,b"`, "\"\x80\"",
	} {
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, one, other string) {
		read, ok := parseTags([]string{one, other})
		if ok && !read.any && len(read.given) == 0 {
			t.Errorf("%q and %q name nothing", one, other)
		}
		for _, tag := range read.given {
			if len(tag) < 2 || tag[0] != '"' || tag[len(tag)-1] != '"' || !read.match(tag) {
				t.Errorf("%q and %q name %q", one, other, tag)
			}
		}
	})
}

func TestRequireIfMatch(t *testing.T) {
	f := onSQLite(t, func(c *Config) { c.RequireIfMatch = true })
	path := clientePath(f.add(store.Cliente{Name: "Ana"}).ID)
	f.want(f.as(store.Editor, "PUT", path, `{"name":"x"}`), 428, "precondition_required")
	f.want(f.as(store.Editor, "PATCH", path, `{"name":"x"}`), 428, "precondition_required")
	f.want(f.as(store.Editor, "DELETE", path, ""), 428, "precondition_required")
	f.want(f.as(store.Editor, "PUT", path, `{"name":"x"}`, "If-Match", `"1"`), 200, "")
	f.want(f.as(store.Editor, "DELETE", path, "", "If-Match", `"2"`), 204, "")
}

func TestIDsInPaths(t *testing.T) {
	f := onSQLite(t)
	f.add(store.Cliente{Name: "Ana"})
	for _, id := range []string{
		"0", "-1", "+1", "01", "1.0", "1e0", "x", "%31", "1%2F", "1%00", "99999999999999999999",
		"1%2Fhistory", "１", "9223372036854775807",
	} {
		f.want(f.as(store.Viewer, "GET", "/clientes/"+id, ""), 404, "not_found")
	}
}
