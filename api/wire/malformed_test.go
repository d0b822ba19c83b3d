package wire

import (
	"errors"
	"testing"

	"clientes/store"
)

// Whatever is wrong with a body, the message says what to do about it.
func TestMalformedBodies(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"Q3 JSON number", `{"name": "A", "phone": 5511999}`,
			`The member "phone" has to be a text, in quotes, at byte 23.`},
		{"Q3 true", `{"name":true}`, `The member "name" has to be a text, in quotes, at byte 8.`},
		{"Q3 array", `{"name":["A"]}`, `The member "name" has to be a text, in quotes, at byte 8.`},
		{"Q3 object", `{"name":"A","address":{"city":"X"}}`,
			`The member "address" has to be a text, in quotes, at byte 22.`},
		{"empty", ``, "The body is empty; send a JSON object."},
		{"white space", " \n", "The body is empty; send a JSON object."},
		{"array", `[{"name":"A"}]`,
			"The body is an array; send one object, without the square brackets."},
		{"twice JSON", `"{\"name\":\"A\"}"`,
			"The body is a JSON text; send the object itself, turned into JSON once only."},
		{"null", `null`, "The body is not a JSON object; send one, in braces."},
		{"number", ` 5 `, "The body is not a JSON object; send one, in braces."},
		{"object Object", `[object Object]`,
			"The body is the name of an object; send the object itself, turned into JSON."},
		{"form", `name=Ana&phone=1`,
			"The body is not JSON, at byte 1; it looks like a form. Send a JSON object."},
		{"text", `Ana`, "The body is not JSON, at byte 0; send a JSON object."},
		{"XML", `<cliente/>`, "The body is not JSON, at byte 0; send a JSON object."},
		{"UTF-16", "{\x00\"\x00", "The body is in UTF-16, at byte 0; send it in UTF-8."},
		{"UTF-16 with mark", "\xff\xfe{\x00",
			"The body is in UTF-16, at byte 0; send it in UTF-8."},
		{"gzip", "\x1f\x8b\b\x00",
			"The body is compressed, at byte 0; say so with Content-Encoding: gzip."},
		{"Latin-1", "{\"name\":\"Jos\xe9\"}", "The body is not valid UTF-8, at byte 12."},
		{"two values", `{"name":"A"} {"name":"B"}`,
			"Something follows the object, at byte 13; send one object and nothing else."},
		{"cut off", `{"name":"A"`,
			"The body ends before its JSON does, at byte 11; was it cut off?"},
		{"cut off in a text", `{"name":"A`,
			"The body ends within a text, at byte 10; was it cut off?"},
		{"trailing comma", `{"name":"A",}`, "There is a comma too many, at byte 11."},
		{"trailing comma and lines", "{\"name\":\"A\",\n}",
			"There is a comma too many, at byte 11."},
		{"trailing comma in an array", `{"a":[1,]}`, "There is a comma too many, at byte 7."},
		{"first comma", `{,"name":"A"}`, "There is a comma too many, at byte 1."},
		{"two commas", `{"name":"A",,"phone":"1"}`, "There is a comma too many, at byte 12."},
		{"single quotes", `{'name':'A'}`,
			"Names and texts are written in double quotation marks, at byte 1."},
		{"single quotes of a value", `{"name": 'A'}`,
			"Names and texts are written in double quotation marks, at byte 9."},
		{"template", "{\"name\":`A`}",
			"Names and texts are written in double quotation marks, at byte 8."},
		{"typographic quotes", `{“name”: “A”}`,
			"Names and texts are written in straight quotation marks, at byte 1."},
		{"typographic quotes of a value", `{"name": “A”}`,
			"Names and texts are written in straight quotation marks, at byte 9."},
		{"comment", "{\"name\":\"A\" // hers\n}",
			"JSON has no comments; remove the one at byte 12."},
		{"comment first", "// hers\n{\"name\":\"A\"}",
			"JSON has no comments; remove the one at byte 0."},
		{"comment of C", `{/* hers */"name":"A"}`,
			"JSON has no comments; remove the one at byte 1."},
		{"comment of a shell", "{\n# hers\n\"name\":\"A\"}",
			"JSON has no comments; remove the one at byte 2."},
		{"NaN", `{"name":NaN}`, "NaN is no value of JSON, at byte 8; write null."},
		{"Infinity", `{"name":-Infinity}`, "-Infinity is no value of JSON, at byte 9; write null."},
		{"None", `{"name": None}`, "None is no value of JSON, at byte 9; write null."},
		{"nil", `{"name":nil}`, "nil is no value of JSON, at byte 9; write null."},
		{"True", `{"disabled":True}`, "True is no value of JSON, at byte 12; write true."},
		{"undefined", `{"name":undefined}`,
			"undefined is no value of JSON, at byte 8; write null."},
		{"text without quotes", `{"name":Ana}`, "A text is written in quotation marks, at byte 8."},
		{"phone without quotes", `{"phone":+5511}`,
			"This is no number of JSON, at byte 9; write a text in quotation marks."},
		{"name without quotes", `{name:"A"}`,
			"The name of a member is written in quotation marks, at byte 2."},
		{"second name without quotes", `{"name":"A", phone:"1"}`,
			"The name of a member is written in quotation marks, at byte 13."},
		{"no value", `{"name":}`, "A value is missing, at byte 8; write null for none."},
		{"no colon", `{"name" "A"}`, "A colon is missing after the name, at byte 8."},
		{"equals sign", `{"name"="A"}`, "A colon is missing after the name, at byte 7."},
		{"no comma", `{"name":"A" "phone":"1"}`, "A comma is missing, at byte 12."},
		{"quotes in a text", `{"name":"Ana "Lu" Silva"}`,
			`A comma is missing at byte 14, or a quotation mark in a text is not written \".`},
		{"line feed in a text", "{\"notes\":\"a\nb\"}",
			`A line break within a text is written \n, at byte 11.`},
		{"tab in a text", "{\"notes\":\"a\tb\"}", `A tab within a text is written \t, at byte 11.`},
		{"NUL in a text", "{\"notes\":\"a\x00b\"}",
			`A control character within a text is written \u0000, at byte 11.`},
		{"backslash", `{"notes":"C:\Users"}`,
			`A backslash within a text is written \\, at byte 12.`},
		{"escaped apostrophe", `{"name":"D\'Ávila"}`,
			"An apostrophe within a text has no backslash before it, at byte 10."},
		{"lone surrogate", `{"name":"\ud800"}`,
			"A text has half a character, a lone surrogate, at byte 9."},
		{"short escape", `{"name":"\u12"}`, `A backslash within a text is written \\, at byte 9.`},
		{"escaped quotes", `{\"name\":\"A\"}`,
			"A quotation mark around a text has no backslash before it, at byte 1."},
		{"escaped quotes of a value", `{"name":\"A\"}`,
			"A quotation mark around a text has no backslash before it, at byte 8."},
		{"no-break space", "{\u00a0\"name\":\"A\"}",
			"The character U+00A0 may stand in a text only, at byte 1; remove it."},
		{"no-break space first", "\u00a0{\"name\":\"A\"}",
			"The character U+00A0 may stand in a text only, at byte 0; remove it."},
		{"zero-width space", "{\"name\":\u200b\"A\"}",
			"The character U+200B may stand in a text only, at byte 8; remove it."},
		{"form feed", "{\"name\":\"A\",\f\"phone\":\"1\"}",
			"The character U+000C may stand in a text only, at byte 12; remove it."},
		{"full-width comma", "{\"name\":\"A\"\uff0c\"phone\":\"1\"}",
			"The character U+FF0C is written , in JSON, at byte 11."},
		{"full-width colon", "{\"name\"\uff1a\"A\"}",
			"The character U+FF1A is written : in JSON, at byte 7."},
		{"XML with a declaration", `<?xml version="1.0"?><cliente/>`,
			"The body is not JSON, at byte 0; send a JSON object."},
		{"a hash table of PowerShell", `@{name=Ana}`,
			"The body is not JSON, at byte 0; send a JSON object."},
		{"twice", `{"name":"A","name":"B"}`, `The member "name" is there twice.`},
		{"other bracket", `{"name":"A"]`, "The body is not valid JSON, at byte 11."},
	} {
		t.Run(c.name, func(t *testing.T) {
			var body ClienteBody
			err := Unmarshal("body", []byte(c.body), &body)
			var malformed *MalformedError
			if !errors.As(err, &malformed) || malformed.Message != c.want {
				t.Errorf("%s\ngot  %v\nwant %s", c.body, err, c.want)
			}
		})
	}
}

// A member of another type is named with the type that it should have.
func TestMistypedMembers(t *testing.T) {
	var v struct {
		Text Member[string] `json:"text"`
		Flag Member[bool]   `json:"flag"`
		All  bool           `json:"all"`
		N    Member[int64]  `json:"n"`
	}
	for body, want := range map[string]string{
		`{"text":1}`:        `The member "text" has to be a text, in quotes, at byte 8.`,
		`{"flag":"false"}`:  `The member "flag" has to be true or false, without quotes, at byte 8.`,
		`{"flag":0}`:        `The member "flag" has to be true or false, without quotes, at byte 8.`,
		`{"all":"yes"}`:     `The member "all" has to be true or false, without quotes, at byte 7.`,
		`{"all":[true]}`:    `The member "all" has to be true or false, without quotes, at byte 7.`,
		`{"n":"5"}`:         `The member "n" has to be a whole number, without quotes, at byte 5.`,
		`{"n":5.5}`:         `The member "n" has to be a whole number, without quotes, at byte 5.`,
		`{"text":{"a":{}}}`: `The member "text" has to be a text, in quotes, at byte 8.`,
	} {
		if err := Unmarshal("body", []byte(body), &v); err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", body, err, want)
		}
	}
}

func TestUnknownMembersNameTheNearest(t *testing.T) {
	for name, want := range map[string]string{
		"Name": "name", "NAME": "name", "E-mail": "email", "eMail": "email", "e_mail": "email",
		"telefone": "phone", "Teléfono": "phone", "phone_number": "phone", "nome": "name",
		"nombre": "name", "full_name": "name", "empresa": "company", "Endereço": "address",
		"dirección": "address", "observações": "notes", "note": "notes", "emial": "email",
		"nmae": "name", "adress": "address", "createdAt": "created_at", "x": "", "": "", "😀": "",
		"birthday": "", "nam": "name",
	} {
		var body ClienteBody
		if err := Unmarshal("body", []byte(`{"name":"A","`+name+`":"x"}`), &body); err != nil {
			t.Fatal(err)
		}
		_, err := body.Cliente()
		message := "There is no such member."
		if want != "" {
			message = `There is no such member; did you mean "` + want + `"?`
		}
		var invalid *store.InvalidError
		if !errors.As(err, &invalid) || invalid.Fields[0].Message != message {
			t.Errorf("%q: %v, want %s", name, err, message)
		}
	}
	for _, wrapped := range []string{`{"cliente":{"name":"A"}}`, `{"data":{"name":"A"}}`} {
		var body ClienteBody
		if err := Unmarshal("body", []byte(wrapped), &body); err != nil {
			t.Fatal(err)
		}
		_, err := body.Cliente()
		const want = "There is no such member; send what is in it without an object around it."
		var invalid *store.InvalidError
		if !errors.As(err, &invalid) || invalid.Fields[0].Message != want {
			t.Errorf("%s: %v", wrapped, err)
		}
	}
}
