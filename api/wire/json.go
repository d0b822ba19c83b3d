package wire

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"clientes/store"
)

// MaxFieldErrors is the number of faults of one JSON object that are listed.
const MaxFieldErrors = 100

// MalformedError refuses JSON that cannot be read as what it should be.
type MalformedError struct {
	Message string // a sentence for the sender that names the place
}

func (e *MalformedError) Error() string { return e.Message }

// Unmarshal reads one JSON object strictly: each name once and in its exact case, valid Unicode,
// nothing after the object. A byte order mark before it is dropped. Any error is a
// [*MalformedError]. Its message calls the data by the name what: "body" or "line".
func Unmarshal(what string, data []byte, v any) error {
	data = bytes.TrimPrefix(data, []byte(bom))
	err := json.Unmarshal(data, v)
	var (
		syntax   *jsontext.SyntacticError
		semantic *json.SemanticError
	)
	switch {
	case err == nil && jsontext.Value(data).Kind() == '{':
		return nil
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		name := Excerpt(syntax.JSONPointer.LastToken())
		return &MalformedError{fmt.Sprintf("The member %q is there twice.", name)}
	case errors.As(err, &syntax):
		return &MalformedError{syntaxFault(what, data, syntax.ByteOffset)}
	case errors.As(err, &semantic) && semantic.JSONPointer != "":
		return &MalformedError{mistyped(semantic)}
	}
	return &MalformedError{notObject(what, data)}
}

// Member is one value of a JSON object. If it is absent or null, Value is the zero T.
type Member[T any] struct {
	Given bool // also if it is null
	Value T
}

// UnmarshalJSONFrom reads a T or null.
func (m *Member[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	m.Given = true
	return readNullable(dec, &m.Value)
}

// readNullable reads a value, and leaves v alone if it is null.
func readNullable(dec *jsontext.Decoder, v any) error {
	if dec.PeekKind() == 'n' {
		return dec.SkipValue()
	}
	return json.UnmarshalDecode(dec, v)
}

// ServerMembers are embedded in the body of a record. They take the members that the server sets,
// and in Unknown those that no field takes. The former are ignored, so that a client may send back
// the answer to a GET.
type ServerMembers struct {
	ID        jsontext.Value `json:"id"`
	Version   jsontext.Value `json:"version"`
	CreatedAt jsontext.Value `json:"created_at"`
	UpdatedAt jsontext.Value `json:"updated_at"`

	Unknown jsontext.Value `json:",embed"`
}

// serverMembers are the names of the members that the server sets, in the order of an export.
func serverMembers() []string { return []string{"id", "version", "created_at", "updated_at"} }

// UnknownMembers returns a [*store.InvalidError] that lists the members of an object, or nil if
// there are none. The object is what an embedded [jsontext.Value] of the struct has collected.
func UnknownMembers(collected jsontext.Value, of any) error {
	if len(collected) == 0 {
		return nil
	}
	// Duplicates were refused before. Looking for them again takes most of the time and memory.
	dec := jsontext.NewDecoder(bytes.NewReader(collected), jsontext.AllowDuplicateNames(true))
	o := object{known: memberNames(reflect.TypeOf(of))}
	if err := o.UnmarshalJSONFrom(dec); err != nil {
		return fmt.Errorf("read unknown members: %w", err) // the decoder wrote them
	}
	return o.fault()
}

// textMember is a text of a record: a member of its JSON object and a column of its CSV file.
type textMember struct {
	name string
	text *string
}

// object reads a JSON object into texts.
type object struct {
	members []textMember
	given   []bool   // whether the object has a member; nil if nobody wants to know
	ignored []string // members that are passed over
	known   []string // other members that the sender may have meant
	unknown []store.FieldError
}

var errNotObject = errors.New("not an object")

// UnmarshalJSONFrom reads an object whose members are strings or null. A null is "".
func (o *object) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	token, err := dec.ReadToken()
	switch {
	case err != nil || token.Kind() == 'n': // Unmarshal refuses a null that is the whole body
		return err
	case token.Kind() != '{':
		return errNotObject
	}
	var buf []byte
	for dec.PeekKind() != '}' {
		quoted, err := dec.ReadValue()
		if err != nil {
			return err
		}
		name, err := jsontext.AppendUnquote(buf[:0], quoted)
		if err != nil {
			return err
		}
		if err := o.readMember(dec, name); err != nil {
			return err
		}
		buf = name
	}
	_, err = dec.ReadToken()
	return err
}

func (o *object) readMember(dec *jsontext.Decoder, name []byte) error {
	for i, m := range o.members {
		if m.name == string(name) {
			if o.given != nil {
				o.given[i] = true
			}
			return readNullable(dec, m.text)
		}
	}
	if !slices.Contains(o.ignored, string(name)) && len(o.unknown) < MaxFieldErrors {
		fault := unknownMember(string(name), o.names())
		if dec.PeekKind() == '{' && len(o.members) > 0 {
			fault.Message = "There is no such member; send what is in it without an object around it."
		}
		o.unknown = append(o.unknown, fault)
	}
	return dec.SkipValue()
}

// names returns the names of the members that are known.
func (o *object) names() []string {
	names := o.known
	for _, m := range o.members {
		names = append(names, m.name)
	}
	return append(names, o.ignored...)
}

// fault returns an error for the members that are unknown, nil if there are none.
func (o *object) fault() error {
	if o.unknown == nil {
		return nil
	}
	return &store.InvalidError{Fields: o.unknown}
}

// appendText writes a JSON string.
func appendText(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // its error reports invalid UTF-8, which it has replaced
	return b
}
