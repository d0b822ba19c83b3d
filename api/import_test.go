package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/semaphore"
	"pgregory.net/rapid"

	"clientes/store"
)

// imported asks the server to import a file.
func (f *fixture) imported(format Format, file string) answer {
	f.t.Helper()
	return f.as(store.Editor, "POST", "/clientes/import", file, "Content-Type", string(format))
}

// rowFaults gives "row:field:code" of each entry of errors, and how many there are in all.
func rowFaults(a answer) (faults string, count int64) {
	var p problem
	_ = json.Unmarshal([]byte(a.body), &p)
	var s []string
	for _, e := range p.Errors {
		row := "?"
		if e.Row != nil {
			row = fmt.Sprint(*e.Row)
		}
		s = append(s, row+":"+e.Field+":"+e.Code)
	}
	return strings.Join(s, " "), p.ErrorCount
}

// goodFile is a file and what has to come of it.
type goodFile struct {
	name string
	file string
	want []store.Cliente
}

func goodCSV() []goodFile {
	long := strings.Repeat
	return []goodFile{
		{"a column is enough", "name\nAna\nBia\n", []store.Cliente{{Name: "Ana"}, {Name: "Bia"}}},
		{"the last row has no end", "name\nAna", []store.Cliente{{Name: "Ana"}}},
		{"rows end in CRLF", "name,phone\r\nAna,1\r\nBia,\r\n", []store.Cliente{{Name: "Ana", Phone: "1"}, {Name: "Bia"}}},
		{
			"columns in any order and case, with blanks", " NOTES ,Address,EMAIL ,\tName,company\nn,a,a1@example.com,Ana,c\n",
			[]store.Cliente{{Name: "Ana", Email: "a1@example.com", Company: "c", Address: "a", Notes: "n"}},
		},
		{"a byte order mark", "\ufeffname,phone\nAna,1\n", []store.Cliente{{Name: "Ana", Phone: "1"}}},
		{"a byte order mark before a quote", "\ufeff\"name\",\"phone\"\n\"Ana\",\"1\"\n", []store.Cliente{{Name: "Ana", Phone: "1"}}},
		{"semicolons", "name;company\nAna;a,b\nBia;\"c;d\"\n", []store.Cliente{{Name: "Ana", Company: "a,b"}, {Name: "Bia", Company: "c;d"}}},
		{"semicolons after a byte order mark", "\ufeffname;phone\r\nAna;1\r\n", []store.Cliente{{Name: "Ana", Phone: "1"}}},
		{"semicolons in cells alone", "name,company\nAna,a;b\n", []store.Cliente{{Name: "Ana", Company: "a;b"}}},
		{"semicolons where there is one column", "name\nAna;Bia\n", []store.Cliente{{Name: "Ana;Bia"}}},
		{
			"line breaks and quotes in quotes", "name,notes,phone\n\"A \"\"B\"\", C\",\"l1\r\nl2\nl3\n\n\",\"\"\n\"\"\"\",\"\"\"\"\"\",1\n",
			[]store.Cliente{{Name: `A "B", C`, Notes: "l1\nl2\nl3\n\n"}, {Name: `"`, Notes: `""`, Phone: "1"}},
		},
		{"empty lines", "\r\n\nname;phone\n\n\r\nAna;1\n\n\n\nBia;2\r\n\n", []store.Cliente{{Name: "Ana", Phone: "1"}, {Name: "Bia", Phone: "2"}}},
		{"the server's own columns", "id,name,version,created_at,updated_at\n7,Ana,x,y,z\n,Bia,,,\n", []store.Cliente{{Name: "Ana"}, {Name: "Bia"}}},
		{"names are trimmed and other text is not", "name,phone\n  Ana\t, 1 \n", []store.Cliente{{Name: "Ana", Phone: " 1 "}}},
		{"text becomes NFC", "name\nJose\u0301\n", []store.Cliente{{Name: "José"}}},
		{"formulas are text", "name,phone,notes\n=1+1,+55,\"@x\t-1\"\n", []store.Cliente{{Name: "=1+1", Phone: "+55", Notes: "@x\t-1"}}},
		{
			"the longest texts", "name,phone,company,address,notes\n" + long("é", 200) + "," + long("1", 40) + "," + long("日", 200) + "," + long("a", 500) + "," + long("😀", 10_000),
			[]store.Cliente{{Name: long("é", 200), Phone: long("1", 40), Company: long("日", 200), Address: long("a", 500), Notes: long("😀", 10_000)}},
		},
		{"the longest row", "name\n" + long(" ", maxRow-3) + "Ana\nBia\n", []store.Cliente{{Name: "Ana"}, {Name: "Bia"}}},
		{"a header alone", "name,email\r\n", nil},
		{"a header alone, without an end", "name", nil},
	}
}

func goodNDJSON() []goodFile {
	return []goodFile{
		{"a member is enough", "{\"name\":\"Ana\"}\n{\"name\":\"Bia\"}\n", []store.Cliente{{Name: "Ana"}, {Name: "Bia"}}},
		{"the last line has no end", `{"name":"Ana"}`, []store.Cliente{{Name: "Ana"}}},
		{"lines end in CRLF", "{\"name\":\"Ana\"}\r\n{\"name\":\"Bia\"}\r\n", []store.Cliente{{Name: "Ana"}, {Name: "Bia"}}},
		{"a byte order mark", "\ufeff{\"name\":\"Ana\"}\n", []store.Cliente{{Name: "Ana"}}},
		{"blank lines", "\n \t\r\n{\"name\":\"Ana\"}\n\n\n  {\"name\":\"Bia\"}  \n\t\n", []store.Cliente{{Name: "Ana"}, {Name: "Bia"}}},
		{
			"every member", `{"notes":"l1\r\nl2\t\"é\"","email":"b1@example.com","address":"a","company":"c","phone":"1","name":" Ana "}`,
			[]store.Cliente{{Name: "Ana", Email: "b1@example.com", Phone: "1", Company: "c", Address: "a", Notes: "l1\nl2\t\"é\""}},
		},
		{"null is nothing", `{"name":"Ana","email":null,"phone":null,"company":null,"address":null,"notes":null}`, []store.Cliente{{Name: "Ana"}}},
		{"the server's own members", `{"id":7,"name":"Ana","version":"x","created_at":null,"updated_at":[{}]}`, []store.Cliente{{Name: "Ana"}}},
		{"escapes and NFC", `{"n\u0061me":"Jose\u0301 \ud83d\ude00"}`, []store.Cliente{{Name: "José 😀"}}},
		{"the longest line", `{"name":"` + strings.Repeat(" ", maxRow-14) + "Ana\"}\r\n{\"name\":\"Bia\"}\n", []store.Cliente{{Name: "Ana"}, {Name: "Bia"}}},
		{"an empty file", "", nil},
		{"white space alone", "\ufeff\n \n\t\n", nil},
	}
}

func TestImport(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for format, files := range map[Format][]goodFile{CSV: goodCSV(), NDJSON: goodNDJSON()} {
			for _, c := range files {
				before := len(f.all())
				a := f.imported(format, c.file)
				if want := fmt.Sprintf(`{"imported":%d}`, len(c.want)); a.status != 200 || a.body != want {
					t.Errorf("%s, %s: answered %d %s", format, c.name, a.status, a.body)
					continue
				}
				added := f.all()[before:]
				if !slices.EqualFunc(added, c.want, store.Cliente.SameText) {
					t.Errorf("%s, %s: led to %+v", format, c.name, added)
				}
				for _, c := range added {
					path := clienteLocation(c.ID)
					h := f.history(path + "/history")
					if len(h) != 1 || h[0].Action != "created" || h[0].User != "the-editor" || string(h[0].Record) != clienteJSON(c) || c.Version != 1 {
						t.Errorf("%s has the history %+v", path, h)
					}
				}
			}
		}
	})
}

// badFile is a file and what has to be said of it.
type badFile struct {
	name   string
	file   string
	faults string // "row:field:code" of each, in order
}

// utf16 writes ASCII as two bytes a character.
func utf16(s string, bigEndian bool) string {
	var b []byte
	for i := range len(s) {
		if bigEndian {
			b = append(b, 0, s[i])
		} else {
			b = append(b, s[i], 0)
		}
	}
	return string(b)
}

func badCSV() []badFile {
	long := strings.Repeat
	return []badFile{
		{"an empty file", "", "0:name:required"},
		{"a byte order mark alone", "\ufeff", "0:name:required"},
		{"empty lines alone", "\n\r\n\n", "0:name:required"},
		{"no column of names", "email\nfree@example.com\n", "0:name:required"},
		{"no header", "Ana,ana@example.com\n", "0:ana:unknown_member 0:ana@example.com:unknown_member 0:name:required"},
		{"an unknown column", "name,nome\nAna,x\n", "0:nome:unknown_member"},
		{"a column without a name", "name,\nAna,\n", "0::unknown_member"},
		{"a column twice", "name,phone,Name, PHONE\nAna,1,Bia,2\n", "0:name:duplicate 0:phone:duplicate"},
		{"a column of the server twice", "id,name,id\n1,Ana,1\n", "0:id:duplicate"},
		{"tabs for commas", "name\temail\nAna\tx\n", "0:name\temail:unknown_member 0:name:required"},
		{"wrong numbers of columns", "name,phone\nAna\nBia,1,2\nCarla,3\n\"Dora,4\"\n", "1::wrong_columns 2::wrong_columns 4::wrong_columns"},
		{"a bare quote", "name\nAna\nBi\"a\nCarla\n", "2::malformed"},
		{"text after a quote", "name,phone\n\"Ana\"x,1\n", "1::malformed"},
		{"a quote in quotes", "name\n\"A\"n\"a\"\n", "1::malformed"},
		{"a quote that never closes", "name,phone\nAna,1\n\"Bia,2\nCarla,3\n", "2::malformed"},
		{"a quote alone at the end", "name\nAna\n\"", "2::malformed"},
		{"a bare quote in the header", "na\"me\nAna\n", "0::malformed"},
		{"a quote that never closes in the header", "\"name\nAna\n", "0::malformed"},
		{"a row that is too long", "name\nAna\n" + long("x", maxRow+8192+1) + "\nBia\n", "2::too_long"},
		{"a quote that makes a row too long", "name\nAna\n\"Bia\n" + long("Carla\n", maxRow/4), "2::too_long"},
		{"a header that is too long", "name" + long(" ", maxRow+8192) + "\nAna\n", "0::malformed"},
		{"Latin-1", "name,phone\nAna,1\nJos\xe9,1\xa02\n", "2:name:invalid_text 2:phone:invalid_text"},
		{"Latin-1 in the header", "name,endere\xe7o\n", "0::invalid_text"},
		{"UTF-16", "\xff\xfe" + utf16("name\r\nAna\r\n", false), "0::invalid_text"},
		{"UTF-16, the other way around", "\xfe\xff" + utf16("name\r\nAna\r\n", true), "0::invalid_text"},
		{"UTF-16 without a mark", utf16("name", false), "0:n\x00a\x00m\x00e\x00:unknown_member 0:name:required"},
		{"a picture", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "0::invalid_text"},
		{"NUL", "name,notes\nA\x00na,\nBia,\x00\n", "1:name:invalid_characters 2:notes:invalid_characters"},
		{
			"control characters", "name,phone,notes\nA\tna,\x7f,a\x1bb\n\"A\nna\",\"1\r2\",a\rb\nAna,\u0085,ok\n",
			"1:name:invalid_characters 1:phone:invalid_characters 1:notes:invalid_characters " +
				"2:name:invalid_characters 2:phone:invalid_characters 2:notes:invalid_characters 3:phone:invalid_characters",
		},
		{"no name", "name,phone\n,1\n \t,2\n", "1:name:required 2:name:required"},
		{
			"every fault of a row", "name,email,phone,company,address,notes\n,x," + long("1", 41) + "," + long("c", 201) + "," + long("a", 501) + "," + long("n", 10_001) + "\n",
			"1:name:required 1:email:invalid_email 1:phone:too_long 1:company:too_long 1:address:too_long 1:notes:too_long",
		},
		{"an email twice", "name,email\nAna,x@example.com\nBia,\nCarla,X@EXAMPLE.com\nDora,\n", "3:email:taken"},
		{"an email that a record has", "name,email\nAna,free@example.com\nBia,Taken@example.com\n", "2:email:taken"},
		// The store is not asked about what is not valid.
		{"an email twice, and another that is none", "name,email\nAna,x@example.com\nBia,X@example.com\nCarla,x\n", "3:email:invalid_email"},
	}
}

func badNDJSON() []badFile {
	return []badFile{
		{"half an object", "{\"name\":\"Ana\"}\n{\"name\":\"Bia\"\n{\"name\":\"Carla\"}\n", "2::malformed"},
		{"two objects in a line", `{"name":"Ana"} {"name":"Bia"}`, "1::malformed"},
		{"an object over several lines", "{\n\"name\":\"Ana\"\n}\n", "1::malformed 2::malformed 3::malformed"},
		{"an array", `[{"name":"Ana"}]`, "1::malformed"},
		{"other values", "\"Ana\"\n7\nnull\ntrue\nAna\n", "1::malformed 2::malformed 3::malformed 4::malformed 5::malformed"},
		{"CSV", "name\nAna\n", "1::malformed 2::malformed"},
		{"rows are counted without blank lines", "\n\n{\"name\":\"Ana\"}\n\n  \n{}\n", "2:name:required"},
		{"a member twice", `{"name":"Ana","name":"Bia"}`, "1::malformed"},
		{"a member of the server twice", `{"name":"Ana","id":1,"id":1}`, "1::malformed"},
		{"unknown members", `{"nome":"Ana","name":"Bia","x":{"y":[]}}`, "1:nome:unknown_member 1:x:unknown_member"},
		{"a member in another case", `{"Name":"Ana"}`, "1:Name:unknown_member 1:name:required"},
		{"a member of another type", "{\"name\":1}\n{\"name\":[\"Ana\"]}\n{\"name\":\"Ana\",\"phone\":5}\n", "1::malformed 2::malformed 3::malformed"},
		{"lone surrogates", `{"name":"\ud800"}`, "1::malformed"},
		{"Latin-1", "{\"name\":\"Jos\xe9\"}", "1::malformed"},
		{"UTF-16", "\xff\xfe" + utf16(`{"name":"Ana"}`, false), "1::malformed"},
		{"NUL", "{\"name\":\"A\x00\"}\n\x00\n{\"name\":\"A\\u0000\"}\n", "1::malformed 2::malformed 3:name:invalid_characters"},
		{"a byte order mark on another line", "{\"name\":\"Ana\"}\n\ufeff{\"name\":\"Bia\"}\n", "2::malformed"},
		{"a line that is too long", "{\"name\":\"Ana\"}\n{\"name\":\"" + strings.Repeat(" ", maxRow) + "Bia\"}\n{}\n", "2::too_long"},
		{"white space that is too long", strings.Repeat(" ", maxRow+3) + "\n{}\n", "1::too_long"},
		{"every fault of a row", `{"email":"x","phone":"\u0000","nome":""}`, "1:nome:unknown_member 1:name:required 1:email:invalid_email 1:phone:invalid_characters"},
		{"an email twice", "{\"name\":\"Ana\",\"email\":\"ß@example.com\"}\n{\"name\":\"Bia\",\"email\":\"SS@EXAMPLE.com\"}\n", "2:email:taken"},
		{"an email that a record has", `{"name":"Ana","email":"TAKEN@example.com"}`, "1:email:taken"},
	}
}

func TestImportOfBadFiles(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		f.add(store.Cliente{Name: "Ana", Email: "taken@example.com"})
		for format, files := range map[Format][]badFile{CSV: badCSV(), NDJSON: badNDJSON()} {
			for _, c := range files {
				a := f.imported(format, c.file)
				f.want(a, 422, "validation_failed")
				faults, count := rowFaults(a)
				if faults != c.faults || count != int64(strings.Count(c.faults, " ")+1) {
					t.Errorf("%s, %s: %d faults %q, want %q", format, c.name, count, faults, c.faults)
				}
			}
		}
		if all := f.all(); len(all) != 1 {
			t.Errorf("there are %d records", len(all))
		}
		f.want(f.imported(CSV, "name,email\nBia,free@example.com\n"), 200, "") // no fault has taken it
	})
}

// TestTheFirstHundredFaults holds that the first are told and all are counted, whoever finds them.
func TestTheFirstHundredFaults(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for name, c := range map[string]struct {
			format Format
			file   string
			each   string // what is said of a row
			first  int    // the row that it begins with
			count  int64
		}{
			"CSV":      {CSV, "name,email\n" + strings.Repeat("Ana,\n", 5) + strings.Repeat(",x\n", 151), "name:required email:invalid_email", 6, 302},
			"NDJSON":   {NDJSON, strings.Repeat("{}\n", 120), "name:required", 1, 120},
			"emails":   {CSV, "name,email\n" + strings.Repeat("Ana,ana@example.com\n", 160), "email:taken", 2, 159},
			"the most": {NDJSON, strings.Repeat("{}\n", store.MaxRowErrors), "name:required", 1, store.MaxRowErrors},
		} {
			var want []string
			for row := c.first; len(want) < store.MaxRowErrors; row++ {
				for _, s := range strings.Fields(c.each) {
					want = append(want, fmt.Sprint(row, ":", s))
				}
			}
			a := f.imported(c.format, c.file)
			f.want(a, 422, "validation_failed")
			if faults, count := rowFaults(a); faults != strings.Join(want, " ") || count != c.count {
				t.Errorf("%s: %d faults: %s", name, count, faults)
			}
		}
		if all := f.all(); len(all) != 0 {
			t.Errorf("there are %d records", len(all))
		}
	})
}

func TestImportOnTheWire(t *testing.T) {
	f := newFixture(t, engines()[0].open(t))
	const file = "name\nAna\n"
	for media, status := range map[string]int{
		"text/csv": 200, "Text/CSV": 200, "text/csv;charset=utf-8": 200, `text/csv; charset="UTF-8"; header=present`: 200,
		"": 415, "text/plain": 415, "application/json": 415, "application/csv": 415, "multipart/form-data; boundary=x": 415, "application/x-www-form-urlencoded": 415,
		"application/vnd.ms-excel": 415, "text/csv; charset=iso-8859-1": 415, "text/csv; charset=utf-16": 415, "text/csv;;": 415, "text": 415, "*/*": 415,
		"text/csv, text/csv": 415,
	} {
		if a := f.as(store.Editor, "POST", "/clientes/import", file, "Content-Type", media); a.status != status {
			t.Errorf("%q answered %d %s", media, a.status, a.body)
		}
	}
	f.want(f.as(store.Editor, "POST", "/clientes/import", `{"name":"Ana"}`, "Content-Type", "APPLICATION/X-NDJSON; charset=utf-8"), 200, "")
	for encoding, status := range map[string]int{"identity": 200, "gzip": 415, "br": 415, "identity, gzip": 415} {
		if a := f.as(store.Editor, "POST", "/clientes/import", file, "Content-Type", "text/csv", "Content-Encoding", encoding); a.status != status {
			t.Errorf("Content-Encoding: %s answered %d %s", encoding, a.status, a.body)
		}
	}
	f.want(f.as(store.Admin, "POST", "/clientes/import", file, "Content-Type", "text/csv"), 200, "")
	f.want(f.as(store.Viewer, "POST", "/clientes/import", file, "Content-Type", "text/csv"), 403, "forbidden")
	f.want(f.call("POST", "/clientes/import", file, "Content-Type", "text/csv"), 401, "token_missing")
}

// TestMethodsOfImportAndExport holds that they are no customers: a pattern of another route covers their paths.
func TestMethodsOfImportAndExport(t *testing.T) {
	f := newFixture(t, engines()[0].open(t))
	for path, allow := range map[string][]string{
		"/clientes/import": {"OPTIONS", "POST"},
		"/clientes/export": {"GET", "HEAD", "OPTIONS"},
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "OPTIONS"} {
			if slices.Contains(allow, method) && method != "OPTIONS" {
				continue
			}
			body := ""
			if method[0] == 'P' {
				body = `{"name":"Ana"}`
			}
			// Also for who may not call them, and for who asks for one of them.
			for _, a := range []answer{f.as(store.Admin, method, path, body), f.call(method, path, body), f.as(store.Viewer, method, path, body, "If-Match", "*")} {
				switch got := sortedList(a.header.Get("Allow")); {
				case got != strings.Join(allow, ", "):
					t.Errorf("%s %s: Allow: %q", method, path, got)
				case method == "OPTIONS" && a.status != 204, method != "OPTIONS" && a.status != 405:
					t.Errorf("%s %s answered %d", method, path, a.status)
				case method != "OPTIONS" && method != "HEAD":
					f.want(a, 405, "method_not_allowed")
				}
			}
		}
		// Another spelling is another path, and no way around.
		for _, other := range []string{path + "/", path + "/history", strings.ReplaceAll(path, "port", "%70ort"), strings.ToUpper(path)} {
			f.want(f.as(store.Admin, "GET", other, ""), 404, "not_found")
		}
	}
	if all := f.all(); len(all) != 0 {
		t.Errorf("there are %d records", len(all))
	}
}

// endless is a reader of a text again and again, which knows how much was read.
type endless struct {
	text string
	read int64
}

func (e *endless) Read(p []byte) (n int, err error) {
	for n < len(p) {
		n += copy(p[n:], e.text[(e.read+int64(n))%int64(len(e.text)):])
	}
	e.read += int64(n)
	return n, nil
}

// TestARowWithoutAnEndIsGivenUp holds that little is read, and so held, of what never ends.
func TestARowWithoutAnEndIsGivenUp(t *testing.T) {
	for _, c := range []struct {
		format Format
		start  string
		rest   string
		row    int64
	}{
		{CSV, "name\nAna\n\"", "x", 2},
		{CSV, "name\nAna\n", "x", 2},
		{CSV, "name\nAna\n\"", "Bia\r\n", 2},
		{CSV, "name\nAna\n", "x,", 2},
		{CSV, "name\nAna\n", "\x00", 2},
		{CSV, "", "\x00", 0},
		{CSV, "", "x,", 0},
		{CSV, "\"", "\n", 0},
		{NDJSON, "{\"name\":\"Ana\"}\n", "{", 2},
		{NDJSON, "{\"name\":\"Ana\"}\n", " ", 2},
		{NDJSON, "", "\x00", 1},
	} {
		rest := &endless{text: c.rest}
		_, err := NewSpool(io.MultiReader(strings.NewReader(c.start), rest), c.format)
		var faults *store.RowsError
		if !errors.As(err, &faults) || faults.Count != 1 || faults.Rows[0].Row != c.row {
			t.Errorf("%s of %q and then %q: %v", c.format, c.start, c.rest, err)
		}
		if rest.read > maxRow+128<<10 {
			t.Errorf("%s of %q and then %q: read %d bytes", c.format, c.start, c.rest, rest.read)
		}
	}
}

// TestAFileThatCanNotBeRead holds that the error of the reader is what is told, wherever it comes.
func TestAFileThatCanNotBeRead(t *testing.T) {
	broken := errors.New("the line is cut")
	for format, file := range map[Format]string{
		CSV:    "\ufeffname,notes\r\n\"A \"\"B\"\"\",\"l1\nl2\"\r\n\r\nBia,\r\n",
		NDJSON: "\ufeff{\"name\":\"Ana\"}\r\n\n{\"name\":\"Bia\",\"notes\":\"x\"}\n",
	} {
		for cut := range len(file) {
			_, err := NewSpool(io.MultiReader(strings.NewReader(file[:cut]), iotest.ErrReader(broken)), format)
			if !errors.Is(err, broken) {
				t.Errorf("%s after %q: %v", format, file[:cut], err)
			}
		}
		s, err := NewSpool(iotest.OneByteReader(strings.NewReader(file)), format)
		if err != nil || s.Len() != 2 {
			t.Fatalf("%s byte by byte: %v", format, err)
		}
		s.Close()
	}
}

// TestAnImportThatIsTooLarge holds that one byte more than may be is refused, whether it is announced or not, and that
// nothing of a file is held in memory.
func TestAnImportThatIsTooLarge(t *testing.T) {
	f := newFixture(t, engines()[0].open(t))
	w := f.dial()
	w.begin(store.Editor, "POST", "/clientes/import", []string{"Content-Type: text/csv", fmt.Sprint("Content-Length: ", maxImport+1)}, "")
	f.want(w.answer(), 413, "body_too_large") // nothing of it was sent
	w = f.dial()
	w.beginImport(fmt.Sprint("Content-Length: ", maxImport)) // just what may be
	must(t, w.Close())

	// In chunks nobody knows before. Blank lines take the least time to read.
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	blanks := &endless{text: strings.Repeat(" ", 32<<10-1) + "\n"}
	req, err := http.NewRequestWithContext(t.Context(), "POST", f.url+"/clientes/import", io.LimitReader(blanks, maxImport+1))
	must(t, err)
	req.Header.Set("Content-Type", string(NDJSON))
	req.Header.Set("x-access-token", f.tokens[store.Editor])
	resp, err := http.DefaultTransport.RoundTrip(req)
	must(t, err)
	a, err := f.read(resp)
	must(t, err)
	f.want(a, 413, "body_too_large")
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > maxImport/8 {
		t.Errorf("%d bytes were allocated on its way", grown)
	}

	// A client that reads no answer before it has sent everything gets it, too.
	w = f.dial()
	const more = 64 << 20 // than any socket holds
	w.begin(store.Editor, "POST", "/clientes/import", []string{"Content-Type: text/csv", fmt.Sprint("Content-Length: ", more)}, "")
	_, err = io.CopyN(w, &endless{text: "\x00"}, more)
	must(t, err)
	a = w.answer()
	if faults, _ := rowFaults(a); a.status != 422 || faults != "0::malformed" {
		t.Errorf("answered %d %s", a.status, a.body)
	}
	f.want(f.imported(CSV, "name\nAna\n"), 200, "")
}

// free says whether all places of import, or of export, are.
func free(places *semaphore.Weighted) bool {
	if !places.TryAcquire(maxTransfers) {
		return false
	}
	places.Release(maxTransfers)
	return true
}

// beginImport sends the head of an import and waits until the server has let it in.
func (w *wire) beginImport(headers ...string) {
	w.f.t.Helper()
	w.begin(store.Editor, "POST", "/clientes/import", append(headers, "Content-Type: text/csv", "Expect: 100-continue"), "")
	resp, err := http.ReadResponse(w.in, nil)
	must(w.f.t, err)
	if resp.StatusCode != http.StatusContinue {
		w.f.t.Fatalf("answered %s", resp.Status)
	}
}

func TestTooManyImportsAtOnce(t *testing.T) {
	f := newFixture(t, engines()[0].open(t))
	const file = "name,email\nAna,"
	var under []*wire
	for range maxTransfers {
		w := f.dial()
		w.beginImport("Content-Length: 30")
		w.send(file)
		under = append(under, w)
	}
	a := f.imported(CSV, file)
	if f.want(a, 503, "overloaded"); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	f.want(f.as(store.Viewer, "GET", "/clientes/export", ""), 200, "") // which has places of its own
	f.want(f.as(store.Editor, "POST", "/clientes", `{"name":"Bia"}`), 201, "")
	for i, w := range under {
		w.send(fmt.Sprintf("%d@example.com\n\n", i))
		f.want(w.answer(), 200, "")
	}
	f.want(f.imported(CSV, file), 200, "")
	if all := f.all(); len(all) != maxTransfers+2 {
		t.Errorf("there are %d records", len(all))
	}
}

// TestAnImportLeavesNoFile looks at the folder of temporary files and at what this process holds open of it.
func TestAnImportLeavesNoFile(t *testing.T) {
	for _, e := range engines() {
		t.Run(e.name, func(t *testing.T) {
			st := e.open(t) // which has temporary files of its own
			folder := t.TempDir()
			t.Setenv("TMPDIR", folder)
			f := newFixture(t, st)
			const name = "clientes-import-"
			held := func() (n int) {
				links, err := filepath.Glob("/proc/self/fd/*")
				must(t, err)
				for _, link := range links {
					if to, _ := os.Readlink(link); strings.Contains(to, filepath.Join(folder, name)) {
						n++
					}
				}
				return n
			}
			w := f.dial()
			w.beginImport("Content-Length: 1000000")
			w.send("name,email\n" + strings.Repeat("Ana,\n", 50_000))
			if runtime.GOOS == "linux" {
				f.eventually("the file is there", func() bool { return held() == 1 })
			}
			if left, err := os.ReadDir(folder); err != nil || runtime.GOOS != "windows" && len(left) != 0 {
				t.Errorf("it has a name: %v, %v", left, err)
			}
			must(t, w.Close()) // the client hangs up half-way
			f.eventually("the place is free", func() bool { return free(f.server.imports) })
			if n := held(); n != 0 {
				t.Errorf("%d files are still held", n)
			}
			f.want(f.imported(CSV, "name\nAna\n"), 200, "")
			f.want(f.imported(CSV, "name\n\"\n"), 422, "validation_failed")
			f.want(f.imported(CSV, "name,email\nAna,a@example.com\nBia,a@example.com\n"), 422, "validation_failed")
			left, err := os.ReadDir(folder)
			if n := held(); n != 0 || err != nil || len(left) != 0 || !free(f.server.imports) {
				t.Errorf("%d files are held, left: %v, %v", n, left, err)
			}
			if all := f.all(); len(all) != 1 {
				t.Errorf("there are %d records", len(all))
			}
		})
	}
}

// watchedImports is a store whose imports do something before each row.
type watchedImports struct {
	store.Store
	before func(ctx context.Context, row int)
}

func (s *watchedImports) ImportClientes(ctx context.Context, by int64, rows iter.Seq2[store.Cliente, error]) (int64, error) {
	return s.Store.ImportClientes(ctx, by, func(yield func(store.Cliente, error) bool) {
		row := 0
		for c, err := range rows {
			row++
			if s.before(ctx, row); !yield(c, err) {
				return
			}
		}
	})
}

// TestWhoHangsUpWhileRowsAreKept holds that none of them is.
func TestWhoHangsUpWhileRowsAreKept(t *testing.T) {
	for _, e := range engines() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			st := e.open(t)
			hangUp := make(chan bool)
			watched := &watchedImports{Store: st, before: func(ctx context.Context, row int) {
				if row == 3 {
					hangUp <- true
					<-ctx.Done()
				}
			}}
			f := newFixture(t, st, func(c *Config) { c.Store = watched })
			w := f.dial()
			file := "name\n" + strings.Repeat("Ana\n", 5)
			w.begin(store.Editor, "POST", "/clientes/import",
				[]string{"Content-Type: text/csv", fmt.Sprint("Content-Length: ", len(file)), "X-Request-Id: the-one"}, file)
			soon(t, hangUp)
			must(t, w.Close())
			f.eventually("the place is free", func() bool { return free(f.server.imports) })
			if all := f.all(); len(all) != 0 {
				t.Errorf("there are %d records", len(all))
			}
			f.eventually("it is logged", func() bool { return strings.Contains(f.log.String(), "the-one") })
			if line := f.logLine("the-one"); strings.Contains(line, `"level":"ERROR"`) {
				t.Errorf("it is logged as a fault of ours: %s", line)
			}
		})
	}
}

// hasty serves with less patience than stall: what is taken off each deadline that a handler sets on its connection.
type hasty struct {
	http.ResponseWriter
	read, write time.Duration
}

func (h hasty) Unwrap() http.ResponseWriter { return h.ResponseWriter }

func (h hasty) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		t = t.Add(-h.read)
	}
	return http.NewResponseController(h.ResponseWriter).SetReadDeadline(t)
}

func (h hasty) SetWriteDeadline(t time.Time) error {
	if !t.IsZero() {
		t = t.Add(-h.write)
	}
	return http.NewResponseController(h.ResponseWriter).SetWriteDeadline(t)
}

// serveWith has the fixture's requests answered by another http.Server.
func (f *fixture) serveWith(change func(*http.Server)) {
	f.t.Helper()
	other := httptest.NewUnstartedServer(f.server)
	change(other.Config)
	other.Start()
	f.t.Cleanup(other.Close)
	f.url = other.URL
}

// tinyTimeouts are over long before anything is done.
const tinyTimeouts = 50 * time.Millisecond

func setTinyTimeouts(s *http.Server) {
	s.ReadHeaderTimeout, s.IdleTimeout = time.Minute, time.Minute
	s.ReadTimeout, s.WriteTimeout = tinyTimeouts, tinyTimeouts
}

// TestASlowSenderIsHeardOut sends files for longer than the server's own timeouts, and each answer arrives.
func TestASlowSenderIsHeardOut(t *testing.T) {
	f := newFixture(t, engines()[0].open(t))
	f.serveWith(setTinyTimeouts)
	for _, c := range []struct {
		name, file string
		status     int
		code       string
	}{
		{"a good file", "name\nAna\nBia\n", 200, ""},
		{"a bad file", "name\n\nA\tna\n", 422, "validation_failed"},
		{"an email that is taken", "name,email\nAna,a@b\nBia,a@b\n", 422, "validation_failed"},
	} {
		w := f.dial()
		w.begin(store.Editor, "POST", "/clientes/import", []string{"Content-Type: text/csv", fmt.Sprint("Content-Length: ", len(c.file))}, "")
		for i := range len(c.file) {
			if i%7 == 0 {
				time.Sleep(tinyTimeouts) // the longer, the surer
			}
			w.send(c.file[i : i+1])
		}
		f.want(w.answer(), c.status, c.code)
	}
	// So is one that breaks off.
	w := f.dial()
	w.begin(store.Editor, "POST", "/clientes/import", []string{"Content-Type: text/csv", "Transfer-Encoding: chunked"}, "")
	time.Sleep(2 * tinyTimeouts)
	w.send("5\r\nname\n\r\nz\r\n")
	f.want(w.answer(), 400, "malformed_body")
	if all := f.all(); len(all) != 2 {
		t.Errorf("there are %d records", len(all))
	}
}

// TestAStoreMayTakeItsTime keeps rows for longer than the server's own timeouts, and than a sender may be silent.
func TestAStoreMayTakeItsTime(t *testing.T) {
	for _, e := range engines() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			st := e.open(t)
			const silence = 200 * time.Millisecond
			slow := &watchedImports{Store: st, before: func(ctx context.Context, row int) {
				if row > 1 {
					return
				}
				select {
				case <-ctx.Done():
					t.Error("a deadline passed, and the client seems to have hung up")
				case <-time.After(2 * silence):
				}
			}}
			f := newFixture(t, st, func(c *Config) { c.Store = slow })
			f.serveWith(func(s *http.Server) {
				setTinyTimeouts(s)
				s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					f.server.ServeHTTP(hasty{w, stall - silence, 0}, r)
				})
			})
			file := "name\n" + strings.Repeat("Ana\n", 5) // all of it comes with the head
			w := f.dial()
			for round := range 2 { // on one connection, which is as good as before
				w.begin(store.Editor, "POST", "/clientes/import", []string{"Content-Type: text/csv", fmt.Sprint("Content-Length: ", len(file))}, file)
				a := w.answer()
				if f.want(a, 200, ""); a.body != `{"imported":5}` || len(f.all()) != 5*(round+1) {
					t.Errorf("answered %s, and there are %d", a.body, len(f.all()))
				}
			}
		})
	}
}

// TestASilentSenderIsLetGo holds that a place is not held by who has stopped sending.
func TestASilentSenderIsLetGo(t *testing.T) {
	f := newFixture(t, engines()[0].open(t))
	f.serveWith(func(s *http.Server) {
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			f.server.ServeHTTP(hasty{w, stall - tinyTimeouts, 0}, r)
		})
	})
	for _, sent := range []string{"", "name", "name\nAna\n", "name\n\"An", "name\n,\n"} {
		w := f.dial()
		w.begin(store.Editor, "POST", "/clientes/import", []string{"Content-Type: text/csv", "Content-Length: 1000"}, sent)
		a := w.answer()
		f.want(a, 400, "malformed_body")
		if !a.last || !free(f.server.imports) {
			t.Errorf("after %q the connection stays: %t, the place is free: %t", sent, !a.last, free(f.server.imports))
		}
	}
	if all := f.all(); len(all) != 0 {
		t.Errorf("there are %d records", len(all))
	}
}

// deadlines is a connection that remembers until when it may be read and written.
type deadlines struct {
	http.ResponseWriter
	read, write time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { d.read = t; return nil }
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = t; return nil }

// TestDeadlinesOfTransfers holds that each step has its time anew, and an upload an end.
func TestDeadlinesOfTransfers(t *testing.T) {
	c := &clock{at: time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)}
	conn := &deadlines{ResponseWriter: httptest.NewRecorder()}
	up := &upload{from: &endless{text: "x"}, connection: http.NewResponseController(conn), now: c.now, end: c.now().Add(maxUpload)}
	down := &download{to: conn, connection: http.NewResponseController(conn), now: c.now, format: CSV}
	for passed := time.Duration(0); passed < maxUpload+2*stall; passed += 10 * time.Second {
		_, err := up.Read(make([]byte, 1))
		must(t, err)
		_, err = down.Write([]byte("x"))
		must(t, err)
		want := c.now().Add(stall)
		if !conn.write.Equal(want) {
			t.Errorf("after %s it may be written until %s", passed, conn.write)
		}
		if passed > maxUpload-stall {
			want = up.end
		}
		if !conn.read.Equal(want) {
			t.Errorf("after %s it may be read until %s", passed, conn.read)
		}
		c.add(10 * time.Second)
	}
}

// writeFile writes records as an export does.
func writeFile(f Format, list []store.Cliente) []byte {
	var b []byte
	if f == CSV {
		b = appendCSVHeader(b)
	}
	for _, c := range list {
		if f == CSV {
			b = appendCSV(b, c)
		} else {
			b = appendNDJSON(b, c)
		}
	}
	return b
}

// spooled gives what a spool holds.
func spooled(t interface{ Fatal(...any) }, s *Spool) (list []store.Cliente) {
	for c, err := range s.Rows() {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

// TestASpoolGivesWhatItWasGiven does so as often as it is asked, and for any text.
func TestASpoolGivesWhatItWasGiven(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringN(0, 300, -1), rapid.SampledFrom(naughtyTexts()))
	rapid.Check(t, func(t *rapid.T) {
		var list []store.Cliente
		for range rapid.IntRange(0, 20).Draw(t, "rows") {
			c := store.Cliente{
				Name: text.Draw(t, "name"), Phone: text.Draw(t, "phone"), Company: text.Draw(t, "company"),
				Address: text.Draw(t, "address"), Notes: text.Draw(t, "notes"),
			}
			if c, err := c.Validate(); err == nil {
				list = append(list, c)
			}
		}
		for _, f := range []Format{CSV, NDJSON} {
			s, err := NewSpool(bytes.NewReader(writeFile(f, list)), f)
			if err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			if s.Len() != int64(len(list)) || !slices.Equal(spooled(t, s), list) || !slices.Equal(spooled(t, s), list) {
				t.Errorf("%s: %+v became %+v", f, list, spooled(t, s))
			}
			for c, err := range s.Rows() { // some of them, and then all again
				if err != nil || c != list[0] {
					t.Errorf("%s: the first is %+v, %v", f, c, err)
				}
				break
			}
			if !slices.Equal(spooled(t, s), list) {
				t.Errorf("%s: after half of them came %+v", f, spooled(t, s))
			}
			s.Close()
		}
	})
}

// fuzzReader holds a reader of a format to what it promises of any file.
func fuzzReader(t *testing.T, f Format, read func(io.Reader, func(int64, store.Cliente, error) error) error, file []byte) {
	var valid []store.Cliente
	last := int64(-1)
	faulty := false
	err := read(bytes.NewReader(file), func(row int64, c store.Cliente, fault error) error {
		if row != last+1 && !(last == -1 && row == 1) {
			t.Errorf("after row %d of %q comes %d", last, file, row)
		}
		last = row
		var invalid *store.InvalidError
		switch {
		case fault == nil:
			if again, err := c.Validate(); err != nil || again != c {
				t.Errorf("%+v of %q is not valid: %v", c, file, err)
			}
			valid = append(valid, c)
		case !errors.As(fault, &invalid) || len(invalid.Fields) == 0:
			t.Errorf("row %d of %q: %v", row, file, fault)
		default:
			faulty = true
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%q gives %v", file, err)
	}
	s, err := NewSpool(bytes.NewReader(file), f)
	if faults := new(store.RowsError); faulty != errors.As(err, &faults) || !faulty && err != nil {
		t.Fatalf("%q gives %v", file, err)
	}
	if err == nil {
		if !slices.Equal(spooled(t, s), valid) {
			t.Errorf("%q is spooled as %+v", file, spooled(t, s))
		}
		s.Close()
	}
	// What is valid is the same after it was written and read.
	n := 0
	if err := read(bytes.NewReader(writeFile(f, valid)), func(row int64, c store.Cliente, fault error) error {
		if n++; fault != nil || row != int64(n) || n > len(valid) || c != valid[n-1] {
			t.Errorf("%q: row %d was written and read as %+v, %v", file, row, c, fault)
		}
		return nil
	}); err != nil || n != len(valid) {
		t.Errorf("%q: %d of %d rows were read again, %v", file, n, len(valid), err)
	}
}

// addShort adds the files that are short: the long ones would take the fuzzer all its time.
func addShort(f *testing.F, file string) {
	if len(file) < 1<<10 {
		f.Add([]byte(file))
	}
}

func FuzzReadCSV(f *testing.F) {
	for _, c := range goodCSV() {
		addShort(f, c.file)
	}
	for _, c := range badCSV() {
		addShort(f, c.file)
	}
	f.Fuzz(func(t *testing.T, file []byte) { fuzzReader(t, CSV, readCSV, file) })
}

func FuzzReadNDJSON(f *testing.F) {
	for _, c := range goodNDJSON() {
		addShort(f, c.file)
	}
	for _, c := range badNDJSON() {
		addShort(f, c.file)
	}
	f.Fuzz(func(t *testing.T, file []byte) { fuzzReader(t, NDJSON, readNDJSON, file) })
}
