// Package wiretest has files of customers for tests: files that package wire has to read, and files
// that it has to refuse. It also has parts of what package wire writes. They go by
// [store.Cliente.Texts], whose names and order only the Example of wire.Export spells out.
package wiretest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"clientes/store"
)

// MaxRow is the longest row of a file in bytes.
const MaxRow = 1 << 20

// GoodFile is a file that can be imported.
type GoodFile struct {
	Name string
	File string
	Want []store.Cliente
}

// GoodCSV returns CSV files that can be imported.
func GoodCSV() []GoodFile {
	long := strings.Repeat
	return []GoodFile{
		{"a column is enough", "name\nAna\nBia\n", []store.Cliente{{Name: "Ana"}, {Name: "Bia"}}},
		{"the last row has no end", "name\nAna", []store.Cliente{{Name: "Ana"}}},
		{"rows end in CRLF", "name,phone\r\nAna,1\r\nBia,\r\n",
			[]store.Cliente{{Name: "Ana", Phone: "1"}, {Name: "Bia"}}},
		{
			"columns in any order and case, with blanks",
			" NOTES ,Address,EMAIL ,\tName,company\nn,a,a1@example.com,Ana,c\n",
			[]store.Cliente{
				{Name: "Ana", Email: "a1@example.com", Company: "c", Address: "a", Notes: "n"},
			},
		},
		{"a byte order mark", "\ufeffname,phone\nAna,1\n",
			[]store.Cliente{{Name: "Ana", Phone: "1"}}},
		{"a byte order mark before a quote", "\ufeff\"name\",\"phone\"\n\"Ana\",\"1\"\n",
			[]store.Cliente{{Name: "Ana", Phone: "1"}}},
		{"semicolons", "name;company\nAna;a,b\nBia;\"c;d\"\n",
			[]store.Cliente{{Name: "Ana", Company: "a,b"}, {Name: "Bia", Company: "c;d"}}},
		{"semicolons after a byte order mark", "\ufeffname;phone\r\nAna;1\r\n",
			[]store.Cliente{{Name: "Ana", Phone: "1"}}},
		{"semicolons in cells alone", "name,company\nAna,a;b\n",
			[]store.Cliente{{Name: "Ana", Company: "a;b"}}},
		{"semicolons where there is one column", "name\nAna;Bia\n",
			[]store.Cliente{{Name: "Ana;Bia"}}},
		{
			"line breaks and quotes in quotes",
			"name,notes,phone\n\"A \"\"B\"\", C\",\"l1\r\nl2\nl3\n\n\",\"\"\n\"\"\"\",\"\"\"\"\"\",1\n",
			[]store.Cliente{
				{Name: `A "B", C`, Notes: "l1\nl2\nl3\n\n"}, {Name: `"`, Notes: `""`, Phone: "1"},
			},
		},
		{"empty lines", "\r\n\nname;phone\n\n\r\nAna;1\n\n\n\nBia;2\r\n\n",
			[]store.Cliente{{Name: "Ana", Phone: "1"}, {Name: "Bia", Phone: "2"}}},
		{"the server's own columns",
			"id,name,version,created_at,updated_at\n7,Ana,x,y,z\n,Bia,,,\n",
			[]store.Cliente{{Name: "Ana"}, {Name: "Bia"}}},
		{"H16 space around email", "name,email\nAda, a@example.com \n",
			[]store.Cliente{{Name: "Ada", Email: "a@example.com"}}},
		{"names and phones are trimmed, and a company is not",
			"name,phone,company\n  Ana\t, 1 , c \n",
			[]store.Cliente{{Name: "Ana", Phone: "1", Company: " c "}}},
		{"H12 address of two lines",
			"name,email,address\r\nAda,a7@example.com,\"Rua B, 2\r\nCampinas\"\r\n",
			[]store.Cliente{{Name: "Ada", Email: "a7@example.com", Address: "Rua B, 2\nCampinas"}}},
		{"H22 vertical tab", "name,notes\nAda,\"one\vtwo\"\n",
			[]store.Cliente{{Name: "Ada", Notes: "one\ntwo"}}},
		{"H23 lone CR in notes", "name,notes\nAda,\"one\rtwo\"\n",
			[]store.Cliente{{Name: "Ada", Notes: "one\ntwo"}}},
		{"text becomes NFC", "name\nJose\u0301\n", []store.Cliente{{Name: "José"}}},
		{"formulas are text", "name,phone,notes\n=1+1,+55,\"@x\t-1\"\n",
			[]store.Cliente{{Name: "=1+1", Phone: "+55", Notes: "@x\t-1"}}},
		{
			"the longest texts",
			"name,phone,company,address,notes\n" + long("é", 200) + "," + long("1", 40) + "," +
				long("日", 200) + "," + long("a", 500) + "," + long("😀", 10_000),
			[]store.Cliente{{
				Name: long("é", 200), Phone: long("1", 40), Company: long("日", 200),
				Address: long("a", 500), Notes: long("😀", 10_000),
			}},
		},
		{"the longest row", "name\n" + long(" ", MaxRow-3) + "Ana\nBia\n",
			[]store.Cliente{{Name: "Ana"}, {Name: "Bia"}}},
		{"H07 an empty last column", "name,email,\r\nAda,a6@example.com,\r\n",
			[]store.Cliente{{Name: "Ada", Email: "a6@example.com"}}},
		{"H07 empty columns everywhere", ",name,, \u200b\n,Ada,,\n, Bia, ,\n",
			[]store.Cliente{{Name: "Ada"}, {Name: "Bia"}}},
		{"H09 a short row", "name,email,notes\r\nAda,a2@example.com\r\nBia\r\n",
			[]store.Cliente{{Name: "Ada", Email: "a2@example.com"}, {Name: "Bia"}}},
		{"empty cells beyond the header", "name,phone\nAda,1,,\nBia,2, ,\n",
			[]store.Cliente{{Name: "Ada", Phone: "1"}, {Name: "Bia", Phone: "2"}}},
		{"H10 rows of commas", "name,email\r\nAda,a3@example.com\r\n,\r\n,\r\n",
			[]store.Cliente{{Name: "Ada", Email: "a3@example.com"}}},
		{"rows of commas and white space", ",,\nname,phone\n , \nAda,1\n\u00a0,\t\n,,,,\nBia,2\n",
			[]store.Cliente{{Name: "Ada", Phone: "1"}, {Name: "Bia", Phone: "2"}}},
		{"H25 two byte order marks", "\ufeff\ufeffname,email\r\nAda,a4@example.com\r\n",
			[]store.Cliente{{Name: "Ada", Email: "a4@example.com"}}},
		{"H25 characters that nobody sees",
			"\u200bNa\u00adme\u00a0,\u2060 E mail\u200e\nAda,a5@example.com\n",
			[]store.Cliente{{Name: "Ada", Email: "a5@example.com"}}},
		{"a phone after an apostrophe", "name,phone\nAda,'+55 11 90000-0001\nBia,'11900000001\n",
			[]store.Cliente{{Name: "Ada", Phone: "+55 11 90000-0001"}, {Name: "Bia",
				Phone: "11900000001"}}},
		{"apostrophes in texts", "name,notes\n'Ada',\"'tis\"\n",
			[]store.Cliente{{Name: "'Ada'", Notes: "'tis"}}},
		{
			"a file that was written for a spreadsheet",
			"\ufeffid,name,phone,notes,spreadsheet_safe\r\n1,'=1+1,'+55,\"'- a\n- b\",\r\n2,''@x,5,'tis\r\n",
			[]store.Cliente{
				{Name: "=1+1", Phone: "+55", Notes: "- a\n- b"}, {Name: "'@x", Phone: "5",
					Notes: "'tis"},
			},
		},
		{"tabs", "name\temail\nAna\tx1@example.com\n",
			[]store.Cliente{{Name: "Ana", Email: "x1@example.com"}}},
		{"UTF-16", "\xff\xfe" + utf16("name\r\nAna\r\n", false), []store.Cliente{{Name: "Ana"}}},
		{"UTF-16, the other way around", "\xfe\xff" + utf16("name\r\nAna\r\n", true),
			[]store.Cliente{{Name: "Ana"}}},
		{"a quote in a word", "name\nAna\nBi\"a\n", []store.Cliente{{Name: "Ana"}, {Name: `Bi"a`}}},
		{"a header alone", "name,email\r\n", nil},
		{"a header alone, without an end", "name", nil},
	}
}

// GoodNDJSON returns NDJSON files that can be imported.
func GoodNDJSON() []GoodFile {
	return []GoodFile{
		{"a member is enough", "{\"name\":\"Ana\"}\n{\"name\":\"Bia\"}\n",
			[]store.Cliente{{Name: "Ana"}, {Name: "Bia"}}},
		{"the last line has no end", `{"name":"Ana"}`, []store.Cliente{{Name: "Ana"}}},
		{"lines end in CRLF", "{\"name\":\"Ana\"}\r\n{\"name\":\"Bia\"}\r\n",
			[]store.Cliente{{Name: "Ana"}, {Name: "Bia"}}},
		{"a byte order mark", "\ufeff{\"name\":\"Ana\"}\n", []store.Cliente{{Name: "Ana"}}},
		{"blank lines", "\n \t\r\n{\"name\":\"Ana\"}\n\n\n  {\"name\":\"Bia\"}  \n\t\n",
			[]store.Cliente{{Name: "Ana"}, {Name: "Bia"}}},
		{
			"every member",
			`{"notes":"l1\r\nl2\t\"é\"","email":"b1@example.com","address":"a","company":"c","phone":"1","name":" Ana "}`,
			[]store.Cliente{{
				Name: "Ana", Email: "b1@example.com", Phone: "1", Company: "c", Address: "a",
				Notes: "l1\nl2\t\"é\"",
			}},
		},
		{"null is nothing",
			`{"name":"Ana","email":null,"phone":null,"company":null,"address":null,"notes":null}`,
			[]store.Cliente{{Name: "Ana"}}},
		{"the server's own members",
			`{"id":7,"name":"Ana","version":"x","created_at":null,"updated_at":[{}]}`,
			[]store.Cliente{{Name: "Ana"}}},
		{"escapes and NFC", `{"n\u0061me":"Jose\u0301 \ud83d\ude00"}`,
			[]store.Cliente{{Name: "José 😀"}}},
		{"the longest line", `{"name":"` + strings.Repeat(" ", MaxRow-14) +
			"Ana\"}\r\n{\"name\":\"Bia\"}\n", []store.Cliente{{Name: "Ana"}, {Name: "Bia"}}},
		{"two objects in a line", `{"name":"Ana"} {"name":"Bia"}`,
			[]store.Cliente{{Name: "Ana"}, {Name: "Bia"}}},
		{"an object over several lines", "{\n\"name\":\"Ana\"\n}\n",
			[]store.Cliente{{Name: "Ana"}}},
		{"an array", `[{"name":"Ana"}]`, []store.Cliente{{Name: "Ana"}}},
		{"UTF-16", "\xff\xfe" + utf16(`{"name":"Ana"}`, false), []store.Cliente{{Name: "Ana"}}},
		{"a byte order mark on another line", "{\"name\":\"Ana\"}\n\ufeff{\"name\":\"Bia\"}\n",
			[]store.Cliente{{Name: "Ana"}, {Name: "Bia"}}},
		{"an empty file", "", nil},
		{"white space alone", "\ufeff\n \n\t\n", nil},
	}
}

// BadFile is a file that is refused.
type BadFile struct {
	Name   string
	File   string
	Faults string // "row:field:code" of each, in order
}

// utf16 returns ASCII as two bytes a character.
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

// BadCSV returns CSV files that are refused. Some of them are refused only by a store in which a
// customer has the email taken@example.com.
func BadCSV() []BadFile {
	long := strings.Repeat
	return []BadFile{
		{"an empty file", "", "0:name:required"},
		{"a byte order mark alone", "\ufeff", "0:name:required"},
		{"empty lines alone", "\n\r\n\n", "0:name:required"},
		{"no column of names", "email\nfree@example.com\n", "0:name:required"},
		{"no header", "Ana,ana@example.com\n",
			"0::unknown_member"},
		{"an unknown column", "name,nome\nAna,x\n", "0:nome:unknown_member"},
		{"several unknown columns", "name,nome,e-mail\nAna,x,y\n", "0::unknown_member"},
		{"a column without a name", "name,\nAna,\nBia,x\nCarla,y\n", "0::unknown_member"},
		{"a column twice", "name,phone,Name, PHONE\nAna,1,Bia,2\n",
			"0:name:duplicate 0:phone:duplicate"},
		{"a column of the server twice", "id,name,id\n1,Ana,1\n", "0:id:duplicate"},
		{"wrong numbers of columns", "name,phone\nAna\nBia,1,2\nCarla,3\n\"Dora,4\"\nEva,5,,\n",
			"2::wrong_columns 4::wrong_columns"},
		{"a quote that opens in a cell", "name,notes\nAna,\nBia,says \"a, b\"\nCarla,\n",
			"2::malformed"},
		{"text after a quote", "name,phone\n\"Ana\"x,1\n", "1::malformed"},
		{"a quote in quotes", "name\n\"A\"n\"a\"\n", "1::malformed"},
		{"a quote that never closes", "name,phone\nAna,1\n\"Bia,2\nCarla,3\n", "2::malformed"},
		{"a quote alone at the end", "name\nAna\n\"", "2::malformed"},
		{"a quote that never closes in the header", "\"name\nAna\n", "0::malformed"},
		{"a row that is too long", "name\nAna\n" + long("x", MaxRow+8192+1) + "\nBia\n",
			"2::too_long"},
		{"a quote that makes a row too long", "name\nAna\n\"Bia\n" + long("Carla\n", MaxRow/4),
			"2::too_long"},
		{"a header that is too long", "name" + long(" ", MaxRow+8192) + "\nAna\n", "0::malformed"},
		{"Latin-1", "name,phone\nAna,1\nJos\xe9,1\xa02\n",
			"0::invalid_text"},
		{"Latin-1 in the header", "name,endere\xe7o\n", "0::invalid_text"},
		{"a letter in two cells of the header", "name,\xc3,\xa9\nx,y,z\n", "0::invalid_text"},
		{"UTF-16 without a mark", utf16("name", false), "0::invalid_text"},
		{"a picture", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "0::malformed"},
		{"NUL", "name,notes\nA\x00na,\nBia,\x00\n",
			"1:name:invalid_characters 2:notes:invalid_characters"},
		{
			"control characters",
			"name,phone,notes\nA\tna,\x7f,a\x1bb\n\"A\nna\",\"1\r2\",\"a\rb\"\nAna,1\u00852,ok\n",
			"1:name:invalid_characters 1:phone:invalid_characters 1:notes:invalid_characters " +
				"2:name:invalid_characters 2:phone:invalid_characters " +
				"3:phone:invalid_characters",
		},
		{"no name", "name,phone\n,1\n \t,2\n", "1:name:required 2:name:required"},
		{
			"every fault of a row",
			"name,email,phone,company,address,notes\n,x," + long("1", 41) + "," + long("c", 201) +
				"," + long("a", 501) + "," + long("n", 10_001) + "\n",
			"1:name:required 1:email:invalid_email 1:phone:too_long 1:company:too_long " +
				"1:address:too_long 1:notes:too_long",
		},
		{"an email twice", "name,email\nAna,x@example.com\nBia,\nCarla,X@EXAMPLE.com\nDora,\n",
			"3:email:taken"},
		{"an email that a record has", "name,email\nAna,free@example.com\nBia,Taken@example.com\n",
			"2:email:taken"},
		{"H26 a mangled phone", "name,phone\r\nAda,5.51199E+12\r\n", "1:phone:mangled"},
		{
			"what spreadsheets leave",
			"name,phone,company,notes\n#NAME?,#REF!,#N/A,########\nAda,\"=\"\"0055\"\"\",'=x,'-y\n",
			"1:name:spreadsheet 1:phone:spreadsheet 1:company:spreadsheet 1:notes:spreadsheet " +
				"2:phone:spreadsheet 2:company:spreadsheet 2:notes:spreadsheet",
		},
		{"two emails in a cell", "name,email\nAda,a@example.com ::: b@example.com\n",
			"1:email:invalid_email"},
		{"rows with nothing are not counted", "name,email\n,\nAda,\n,\n,x\n",
			"2:name:required 2:email:invalid_email"},
		// A store is not asked about rows that are not valid.
		{"an email twice, and another that is none",
			"name,email\nAna,x@example.com\nBia,X@example.com\nCarla,x\n", "3:email:invalid_email"},
	}
}

// BadNDJSON returns NDJSON files that are refused, with the same customer in the store as [BadCSV].
func BadNDJSON() []BadFile {
	return []BadFile{
		{"half an object", "{\"name\":\"Ana\"}\n{\"name\":\"Bia\"\n{\"name\":\"Carla\"}\n",
			"2::malformed"},
		{"other values", "{}\n\"Ana\"\n7\nnull\ntrue\nAna\n",
			"1:name:required 2::malformed 3::malformed 4::malformed 5::malformed 6::malformed"},
		{"CSV", "name\nAna\n", "0::malformed"},
		{"rows are counted without blank lines", "\n\n{\"name\":\"Ana\"}\n\n  \n{}\n",
			"2:name:required"},
		{"a member twice", `{"name":"Ana","name":"Bia"}`, "1::malformed"},
		{"a member of the server twice", `{"name":"Ana","id":1,"id":1}`, "1::malformed"},
		{"unknown members", `{"nome":"Ana","name":"Bia","x":{"y":[]}}`,
			"1:nome:unknown_member 1:x:unknown_member"},
		{"a member in another case", `{"Name":"Ana"}`, "1:Name:unknown_member 1:name:required"},
		{"a member of another type",
			"{\"name\":1}\n{\"name\":[\"Ana\"]}\n{\"name\":\"Ana\",\"phone\":5}\n",
			"1::malformed 2::malformed 3::malformed"},
		{"lone surrogates", `{"name":"\ud800"}`, "1::malformed"},
		{"Latin-1", "{\"name\":\"Jos\xe9\"}", "0::invalid_text"},
		{"NUL", "{\"name\":\"A\x00\"}\n\x00\n{\"name\":\"A\\u0000\"}\n",
			"1::malformed 2::malformed 3:name:invalid_characters"},
		{"a line that is too long", "{\"name\":\"Ana\"}\n{\"name\":\"" +
			strings.Repeat(" ", MaxRow) + "Bia\"}\n{}\n", "2::too_long"},
		{"white space that is too long", strings.Repeat(" ", MaxRow+3) + "\n{}\n", "1::too_long"},
		{"every fault of a row", `{"email":"x","phone":"\u0000","nome":""}`,
			"1:nome:unknown_member 1:name:required 1:email:invalid_email 1:phone:invalid_characters"},
		{"an email twice",
			"{\"name\":\"Ana\",\"email\":\"ß@example.com\"}\n" +
				"{\"name\":\"Bia\",\"email\":\"SS@EXAMPLE.com\"}\n", "2:email:taken"},
		{"an email that a record has", `{"name":"Ana","email":"TAKEN@example.com"}`,
			"1:email:taken"},
	}
}

// TextNames returns the names of a customer's texts, in their order.
func TextNames() (names []string) {
	for _, t := range new(store.Cliente).Texts() {
		names = append(names, t.Name)
	}
	return names
}

// Header returns the first line of a CSV file of customers that was exported.
func Header() string {
	return "id," + strings.Join(TextNames(), ",") + ",version,created_at,updated_at\r\n"
}

// Cells returns the texts of c as they follow each other in a line of CSV. They must be quoted
// already where CSV has to quote them.
func Cells(c store.Cliente) string {
	var cells []string
	for _, t := range c.Texts() {
		cells = append(cells, *t.Value)
	}
	return strings.Join(cells, ",")
}

// Members returns the texts of c as they follow each other in a JSON object. They must be escaped
// already where JSON has to escape them.
func Members(c store.Cliente) string {
	var members []string
	for _, t := range c.Texts() {
		members = append(members, `"`+t.Name+`":"`+*t.Value+`"`)
	}
	return strings.Join(members, ",")
}

// Endless is a reader that repeats a text without an end.
type Endless struct {
	Text string
	N    int64 // the bytes that were read
}

// Read implements [io.Reader].
func (e *Endless) Read(p []byte) (n int, err error) {
	for n < len(p) {
		n += copy(p[n:], e.Text[(e.N+int64(n))%int64(len(e.Text)):])
	}
	e.N += int64(n)
	return n, nil
}

// NaughtyTexts returns texts that programs easily spoil by quoting, escaping, cutting, running,
// trimming or normalizing them.
func NaughtyTexts() []string {
	return []string{
		"=1+1", "+1", "-1", "@SUM(A1)", "|cmd", "'", `"`, `""`, `"a`, `a"b`, `","`, ",", ";", ",,,",
		"\\", `\.`, `\N`, `\n`, "NULL", "null", "undefined",
		"true", "0", "00", "1e3", "1,5", "--", "#", "#comment", "//", "/*", "<b>", "&amp;", "%00",
		"%s%n", "$1", "${x}", "{}", "[]", "`", "~",
		" lead", "trail ", "  ", "\u00a0", "\u3000", "a  b", "\u200b", "\ufeff", "\ufeffx",
		"\u2028", "\u2029", "\u202e", "\u061c", "\ufffd", "\uffff", "\U0010ffff",
		"e\u0301\u0323", "á", "Å", "ﬁ", "ﷺ", "ß", "ẞ", "İı", "Ǆǅǆ", "ﻼ", "한국어", "각", "日本語", "𠮷野家",
		"العربية", "עברית", "ไทย", "हिन्दी",
		"😀", "👩‍👩‍👧‍👦", "🇧🇷", "👍🏽", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢", "\U000e0001",
		"'; DROP TABLE clientes; --", "<script>alert(1)</script>",
	}
}

// NaughtyClientes returns customers with such texts, and with letters of every script of Unicode,
// in every field. Their notes have several lines.
func NaughtyClientes(t testing.TB) (list []store.Cliente) {
	t.Helper()
	all := NaughtyTexts()
	for _, name := range slices.Sorted(maps.Keys(unicode.Scripts)) {
		all = append(all, lettersOf(unicode.Scripts[name]))
	}
	for i, text := range all {
		notes := text + "\n\t" + text + "\n\n" + text + "\n"
		var c store.Cliente
		for _, t := range c.Texts() {
			if utf8.RuneCountInString(text) <= t.Max {
				*t.Value = text
			}
		}
		c.Notes = notes
		if store.Trim(text) != text {
			c.Name = "n" + text + "m" // or what nobody sees around it would be dropped
		}
		for _, email := range []string{
			fmt.Sprintf("%s.%d@example.com", text, i), fmt.Sprintf("n%d@example.com", i),
		} {
			c.Email = email
			if _, err := c.Validate(); err == nil {
				break // it may stand in an address
			}
		}
		c, err := c.Validate() // NFC
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

// lettersOf returns a few characters of a script: its first, its last and some between.
func lettersOf(script *unicode.RangeTable) string {
	var all []rune
	add := func(lo, hi, stride rune) {
		for r := lo; r <= hi; r += stride {
			if !unicode.IsControl(r) {
				all = append(all, r)
			}
		}
	}
	for _, r := range script.R16 {
		add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	for _, r := range script.R32 {
		add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	var some []rune
	for i := range 6 {
		some = append(some, all[i*(len(all)-1)/5])
	}
	return string(some)
}
