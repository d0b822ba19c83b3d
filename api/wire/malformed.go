package wire

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// mistyped returns the sentence on a value of another type than the member has.
func mistyped(err *json.SemanticError) string {
	for inner := err; errors.As(inner.Err, &inner); {
		err = inner
	}
	name := Excerpt(string(err.JSONPointer[1:]))
	expected := "is not what it has to be"
	if err.GoType != nil {
		switch err.GoType.Kind() {
		case reflect.String:
			expected = "has to be a text, in quotes"
		case reflect.Bool:
			expected = "has to be true or false, without quotes"
		case reflect.Int, reflect.Int64:
			expected = "has to be a whole number, without quotes"
		case reflect.Slice:
			expected = "has to be a list, in square brackets"
		case reflect.Struct, reflect.Map:
			expected = "has to be an object, in braces"
		}
	}
	return fmt.Sprintf("The member %q %s, at byte %d.", name, expected, err.ByteOffset)
}

// notObject returns the sentence on JSON that is no object.
func notObject(what string, data []byte) string {
	data = bytes.TrimSpace(data)
	switch jsontext.Value(data).Kind() {
	case '[':
		if string(data) == "[object Object]" { // what JavaScript makes of an object
			return "The " + what + " is the name of an object; send the object itself, turned into JSON."
		}
		return "The " + what + " is an array; send one object, without the square brackets."
	case '"':
		return "The " + what + " is a JSON text; send the object itself, turned into JSON once only."
	}
	return "The " + what + " is not a JSON object; send one, in braces."
}

// syntaxFault returns the sentence on what is no JSON from a byte on.
func syntaxFault(what string, data []byte, offset int64) string {
	begin := bytes.TrimSpace(data)
	switch {
	case len(begin) == 0:
		return "The " + what + " is empty; send a JSON object."
	case bytes.HasPrefix(begin, []byte("\xff\xfe")), bytes.HasPrefix(begin, []byte("\xfe\xff")),
		len(begin) > 1 && (begin[0] == 0) != (begin[1] == 0):
		return "The " + what + " is in UTF-16, at byte 0; send it in UTF-8."
	case bytes.HasPrefix(begin, []byte("\x1f\x8b")):
		return "The " + what + " is compressed, at byte 0; say so with Content-Encoding: gzip."
	}
	s := placeOf(data, offset)
	if hint := s.hint(what); hint != "" {
		return fmt.Sprintf(hint, offset)
	}
	return fmt.Sprintf("The %s is not valid JSON, at byte %d.", what, offset)
}

// place is where in a text JSON ends.
type place struct {
	between []byte // what follows the last whole token, up to the bad one: white space, a comma
	token   []byte // the bad token and what follows it
	at      int    // where in token the fault is

	object bool  // in an object, else in an array or in neither
	top    bool  // in neither
	before int64 // tokens before it in the object, the array or the text
}

// placeOf reads the tokens before a fault.
func placeOf(data []byte, offset int64) place {
	// Duplicates are no matter here, and looking for them takes most of the time.
	dec := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true))
	for {
		if _, n := dec.StackIndex(dec.StackDepth()); dec.StackDepth() == 0 && n > 0 {
			break // the one value is whole
		}
		if _, err := dec.ReadToken(); err != nil {
			break
		}
	}
	end := min(dec.InputOffset(), offset)
	token := bytes.TrimLeft(data[end:], " \t\r\n,:")
	if start := int64(len(data) - len(token)); start > offset { // the fault is a comma or a colon
		token = data[offset:]
	}
	start := int64(len(data) - len(token))
	kind, before := dec.StackIndex(dec.StackDepth())
	return place{
		between: data[end:start], token: token, at: int(offset - start),
		object: kind == '{', top: dec.StackDepth() == 0, before: before,
	}
}

// hint returns a format with the place of the fault, or "" if there is no advice.
func (s *place) hint(what string) string {
	bad := s.token[s.at:]
	first, _ := utf8.DecodeRune(s.token)
	wantsName := s.object && s.before%2 == 0
	separated := s.before == 0 || bytes.ContainsAny(s.between, ",:")
	switch {
	case first == '"' && s.at > 0:
		return stringHint(what, bad)
	case len(bad) == 0:
		return "The " + what + " ends before its JSON does, at byte %d; was it cut off?"
	case s.top && s.before > 0:
		return "Something follows the object, at byte %d; send one object and nothing else."
	case first == '#', bytes.HasPrefix(s.token, []byte("//")), bytes.HasPrefix(s.token,
		[]byte("/*")):
		return "JSON has no comments; remove the one at byte %d."
	case first == '\'', first == '`':
		return "Names and texts are written in double quotation marks, at byte %d."
	case first == ',':
		return "There is a comma too many, at byte %d."
	case unicode.Is(unicode.Quotation_Mark, first) && first != '"':
		return "Names and texts are written in straight quotation marks, at byte %d."
	case first == '\\':
		return "A quotation mark around a text has no backslash before it, at byte %d."
	case first < ' ' || first >= utf8.RuneSelf && !unicode.IsLetter(first):
		return strayHint(first)
	case s.top && bytes.ContainsRune(s.token, '=') && !strings.ContainsRune("{<@", first):
		return "The " + what + " is not JSON, at byte %d; it looks like a form. Send a JSON object."
	case s.top:
		return "The " + what + " is not JSON, at byte %d; send a JSON object."
	case s.object && !wantsName && !separated:
		return "A colon is missing after the name, at byte %d."
	case !separated && first == '"':
		return "A comma is missing, at byte %d."
	case !separated && unicode.IsLetter(first):
		return `A comma is missing at byte %d, or a quotation mark in a text is not written \".`
	case wantsName && (unicode.IsLetter(first) || first == '_' || first == '$'):
		return "The name of a member is written in quotation marks, at byte %d."
	case wantsName:
		return ""
	case first == '}', first == ']':
		return "A value is missing, at byte %d; write null for none."
	}
	return valueHint(s.token)
}

// strayHint is the hint on a character that JSON has in texts only: the spaces of a web page, and
// the full-width marks of keyboards for Chinese and Japanese.
func strayHint(r rune) string {
	if meant := r - 0xfee0; strings.ContainsRune(`{}[]:,"`, meant) {
		return fmt.Sprintf("The character %U is written %c in JSON, at byte %%d.", r, meant)
	}
	return fmt.Sprintf("The character %U may stand in a text only, at byte %%d; remove it.", r)
}

// stringHint is the hint on a JSON string that goes wrong with what bad begins with.
func stringHint(what string, bad []byte) string {
	switch {
	case len(bad) == 0:
		return "The " + what + " ends within a text, at byte %d; was it cut off?"
	case bad[0] == '\n', bad[0] == '\r':
		return `A line break within a text is written \n, at byte %d.`
	case bad[0] == '\t':
		return `A tab within a text is written \t, at byte %d.`
	case bad[0] < ' ':
		return fmt.Sprintf(`A control character within a text is written \u%04x, at byte %%d.`,
			bad[0])
	case len(bad) > 1 && bad[0] == '\\' && bad[1] == 'u' && isHex(bad[2:]):
		return "A text has half a character, a lone surrogate, at byte %d."
	case len(bad) > 1 && bad[0] == '\\' && bad[1] == '\'':
		return "An apostrophe within a text has no backslash before it, at byte %d."
	case bad[0] == '\\':
		return `A backslash within a text is written \\, at byte %d.`
	case bad[0] >= utf8.RuneSelf:
		return "The " + what + " is not valid UTF-8, at byte %d."
	}
	return ""
}

func isHex(b []byte) bool {
	return len(b) >= 4 && len(bytes.Trim(b[:4], "0123456789abcdefABCDEF")) == 0
}

// otherWords are what other languages write for a value of JSON.
var otherWords = map[string]string{
	"None": "null", "nil": "null", "undefined": "null", "NULL": "null", "Null": "null",
	"NaN": "null", "nan": "null", "Infinity": "null", "-Infinity": "null", "inf": "null",
	"True": "true", "TRUE": "true", "yes": "true", "on": "true",
	"False": "false", "FALSE": "false", "no": "false", "off": "false",
}

// valueHint is the hint on what stands where a value belongs.
func valueHint(token []byte) string {
	word := token
	end := bytes.IndexFunc(token, func(r rune) bool { return !unicode.IsLetter(r) && r != '-' })
	if end >= 0 {
		word = token[:end]
	}
	if meant, ok := otherWords[string(word)]; ok {
		return string(word) + " is no value of JSON, at byte %d; write " + meant + "."
	}
	first, _ := utf8.DecodeRune(token)
	switch {
	case unicode.IsLetter(first):
		return "A text is written in quotation marks, at byte %d."
	case strings.ContainsRune("+-.0123456789", first):
		return "This is no number of JSON, at byte %d; write a text in quotation marks."
	}
	return ""
}
