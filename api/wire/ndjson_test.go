package wire

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"clientes/store"
)

// namesIn returns the names in a file of JSON; for a row at fault its message, "0: " before that of
// the file as a whole.
func namesIn(t *testing.T, file, charset string) (names []string) {
	t.Helper()
	how := Reading{Format: NDJSON, Charset: charset}
	for c, err := range Rows(strings.NewReader(file), how, Clientes()) {
		if err != nil {
			names = append(names, message(t, err))
		} else {
			names = append(names, c.Name)
		}
	}
	return names
}

// Files of JSON as programs write them, and what is said of those that cannot be read.
func TestShapesOfJSON(t *testing.T) {
	const pretty = "{\r\n  \"name\": \"Ana\",\r\n  \"notes\": \"{[\\\"\\\\\"\r\n}\r\n"
	both := []string{"Ana", "Bia"}
	for _, c := range []struct {
		name, file, charset string
		want                []string // a message, or its beginning if it ends in "…"
	}{
		{"H29 pretty", "{\n  \"name\": \"Ana\"\n}\n", "", both[:1]},
		{"H29 two pretty ones", pretty + strings.Replace(pretty, "Ana", "Bia", 1), "", both},
		{"H29 with lines between", pretty + "\n\n" + `{"name":"Bia"}`, "", both},
		{"H29 array", `[{"name":"Ana"},{"name":"Bia"}]`, "", both},
		{"H29 pretty array", "[\n  " + pretty + " ,\n  {\n\"name\": \"Bia\"\n}\n]\n", "", both},
		{"H29 array, an object a line", "[{\"name\":\"Ana\"}\n,{\"name\":\"Bia\"}\n]\n", "", both},
		{"H29 arrays, one after another", "[{\"name\":\"Ana\"}]\n[{\"name\":\"Bia\"}]\n[]", "",
			both},
		{"H29 empty array", "[]", "", nil},
		{"one after another", `{"name":"Ana"}{"name":"Bia"}`, "", both},
		{"ending in CR", "{\"name\":\"Ana\"}\r{\"name\":\"Bia\"}\r", "", both},
		{"record separators", "\x1e{\"name\":\"Ana\"}\n\x1e{\"name\":\"Bia\"}\n", "", both},
		{"a byte order mark", "\ufeff[{\"name\":\"Ana\"}]", "", both[:1]},
		{"two byte order marks", "\ufeff\ufeff{\"name\":\"Ana\"}", "", both[:1]},
		{"files joined", "\ufeff{\"name\":\"Ana\"}\n\ufeff{\"name\":\"Bia\"}\n", "", both},
		{"files joined without a line end", "{\"name\":\"Ana\"}\ufeff{\"name\":\"Bia\"}", "", both},
		{"UTF-16 of PowerShell", "\xff\xfe" + encoded(t, "utf-16le",
			"[\r\n{\"name\":\"Ana\"}]\r\n"), "",
			both[:1]},
		{"UTF-16, the high byte first", "\xfe\xff" + encoded(t, "utf-16be", "{\"name\":\"José\"}"),
			"",
			[]string{"José"}},
		{"windows-1252", "{\"name\":\"Jos\xe9\"}", "windows-1252", []string{"José"}},
		{"Ctrl-Z", "{\"name\":\"Ana\"}\r\n\x1a", "", both[:1]},
		{"Ctrl-Z in the line", "{\"name\":\"Ana\"}\x1a\r\n", "", both[:1]},
		{"NULs", "[{\"name\":\"Ana\"}]" + strings.Repeat("\x00", 3000), "", both[:1]},

		{"a line at fault, and others",
			"{\"name\":\"Ana\"}\n{\"name\":\"x\"\n{\"name\":\"Bia\"}\nx\n{}", "",
			[]string{"Ana", "The line ends before its JSON does, at byte 11…", "Bia",
				"The line is not JSON, at byte 0…", "A name is required."}},
		{"a string without an end", "{\"name\":\"Ana\n{\"name\":\"Bia\"}\n", "",
			[]string{"The line ends within a text, at byte 12…", "Bia"}},
		{"commas between lines", "{\"name\":\"Ana\"},\n{\"name\":\"Bia\"},\n", "",
			[]string{"0: A comma follows the object at line 1. Put the objects in brackets, " +
				"or leave the commas out."}},
		{"text after an object", "{\"name\":\"Ana\"} x\n{\"name\":\"Bia\"},x\n{\"name\":\"Eva\"}]\n",
			"",
			[]string{"Something follows the object, at byte 15…",
				"Something follows the object, at byte 14…",
				"Something follows the object, at byte 14…"}},
		{"a name twice in a pretty object",
			"{\n\"name\":\"Ana\",\n\"name\":\"Bia\"\n}\n{\"name\":\"Bia\"}", "",
			[]string{`The member "name" is there twice.`, "Bia"}},
		{"a lone surrogate in an array", `[{"name":"\ud800"},{"name":"Bia"}]`, "",
			[]string{"A text has half a character, a lone surrogate, at byte 9.", "Bia"}},
		{"a comma before the end", `[{"name":"Ana"},]`, "",
			[]string{"Ana", "The array has something other than objects in it…"}},
		{"no comma", `[{"name":"Ana"} {"name":"Bia"}]`, "",
			[]string{"Ana", "A comma is missing before the object, at line 1…"}},
		{"an array of arrays", `[["Ana"]]`, "",
			[]string{"0: The array has something other than objects in it."}},
		{"an array of texts", "[\n\"Ana\"]", "",
			[]string{"0: The array has something other than objects in it."}},
		{"an array of several things", `[{"name":"Ana"},"Bia"]`, "",
			[]string{"Ana", "The array has something other than objects in it…"}},
		{"an array on a line", "{\"name\":\"Ana\"}\n[1]\n{\"name\":\"Bia\"}", "",
			[]string{"Ana", "The line is an array; send one object…", "Bia"}},
		{"an array that is cut off", "[\n{\"name\":\"Ana\"},\n", "", []string{"Ana",
			"0: The array that begins at line 1 is not closed; the file may be cut off."}},
		{"an object that is cut off", "{\"name\":\"Ana\"}\n{\n\"name\":\n", "",
			[]string{"Ana", "The object is not closed, at line 2…"}},
		{"a string that is cut off", "[{\"name\":\"Ana", "",
			[]string{"The object is not closed, at line 1…"}},
		{"a pretty object at fault is one fault", "{\n\"name\": \"A\nb\"\n}\n{\n}\n", "",
			[]string{"The object is not valid JSON, at line 1…"}},
		{"brackets of the wrong kind", "{\"name\":[}\n{\"name\":\"Bia\"}", "",
			[]string{"A value is missing, at byte 9…", "Bia"}},

		{"wrapped", `{"clientes": [{"name":"Ana"}]}`, "",
			[]string{`0: The records stand in the member "clientes". ` +
				`Import its array alone, as jq .clientes writes it.`}},
		{"wrapped with a count", "{\n\"count\": 1,\n\"data\": [\n{\n\"name\": \"Ana\"", "",
			[]string{`0: The records stand in the member "data"…`}},
		{"wrapped, longer than a row", `{"data":[{"name":"` + strings.Repeat("x", maxRow), "",
			[]string{`0: The records stand in the member "data"…`}},
		{"CSV", "name,email\nAna,\n", "",
			[]string{"0: The file is not JSON. Write one object a line. If it is CSV…"}},
		{"CSV with quotes", "\"name\"\n\"Ana\"\n", "", []string{"0: The file is not JSON…"}},
		{"a web page", "<!DOCTYPE html>", "", []string{"0: The file is a web page…"}},
		{"a workbook", "PK\x03\x04\x14\x00xl/workbook.xml", "",
			[]string{"0: The file is a workbook of Excel…"}},
		{"Latin-1", "{\"name\":\"Ana\"}\n{\"name\":\"Jos\xe9\"}\n", "",
			[]string{"Ana", "0: The file is not UTF-8, at line 2. Save it as UTF-8, or name…"}},
		{"Latin-1 in an object at fault", "{\n\"name\":\"Jos\xe9\n", "",
			[]string{"0: The file is not UTF-8, at line 1…"}},
		{"UTF-16 without a mark", encoded(t, "utf-16le", `{"name":"Ana"}`), "",
			[]string{"0: The file is UTF-16LE without a byte order mark…"}},
		{"an object that is too long", "[\n{\"name\":\n\"" + strings.Repeat("x", maxRow) + "\"}]",
			"",
			[]string{"The row has more than 1048576 bytes, from line 2 on…"}},
		{"brackets without an end", strings.Repeat(`{"a":`, maxRow), "",
			[]string{"The row has more than 1048576 bytes…"}},
	} {
		names := namesIn(t, c.file, c.charset)
		if !slices.EqualFunc(names, c.want, func(got, want string) bool {
			start, part := strings.CutSuffix(want, "…")
			return got == want || part && strings.HasPrefix(got, start)
		}) {
			t.Errorf("%s: %q", c.name, names)
		}
	}
}

// Where the objects end does not depend on how many bytes come at once.
func TestJSONByteByByte(t *testing.T) {
	file := "\ufeff[\r\n{\"name\":\"A\\\"}{\"}\r\n," +
		"\r\n{\r\n\"name\":\"B\"}]\r\n{\"name\":\"C\"}{\"name\":\"D\"}\x1a\x1a"
	how := Reading{Format: NDJSON}
	var names string
	for c, err := range Rows(iotest.OneByteReader(strings.NewReader(file)), how, Clientes()) {
		if err != nil {
			t.Fatal(err)
		}
		names += c.Name + " "
	}
	if names != `A"}{ B C D ` {
		t.Errorf("the names are %s", names)
	}
}

// No message about users repeats what may be a secret.
func TestNoMessageRepeatsASecret(t *testing.T) {
	for _, file := range []string{
		"{\"user\":\"Jos\xe9\",\"password_hash\":\"sesame\"}", "sesame", `{"user":"sesame" "x":1}`,
		`{"a":{"b":[{"user":"sesame`,
	} {
		for _, err := range Rows(strings.NewReader(file), Reading{Format: NDJSON}, Users()) {
			var rows *store.RowsError
			if err == nil || strings.Contains(err.Error(),
				"sesame") || strings.Contains(err.Error(), "José") {
				t.Errorf("%q: %v", file, err)
			}
			if errors.As(err, &rows) && rows.Count != 1 {
				t.Errorf("%q: %v", file, err)
			}
		}
	}
}
