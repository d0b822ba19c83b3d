package api

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"clientes/store"
)

// maxBody is the largest body of a request, in bytes.
const maxBody = 1 << 20

// The media types that bodies come in.
const (
	mediaJSON       = "application/json"
	mediaMergePatch = "application/merge-patch+json"
	mediaForm       = "application/x-www-form-urlencoded"
)

// body reads a body of one of the media types. An empty body is of type "" and no error, whatever type the client
// names for nothing: the decoder of a body that must be there refuses it.
func (r *request) body(types ...string) (media string, body []byte, err error) {
	media, wrong := r.media(types)
	switch length := r.Request.ContentLength; {
	case length > maxBody:
		return "", nil, errBodyTooLarge
	case length > 0 && wrong != nil:
		return "", nil, wrong // unread
	}
	body, err = r.read()
	switch {
	case err != nil:
		return "", nil, err
	case len(body) == 0:
		return "", nil, nil
	}
	return media, body, wrong
}

// media gives the media type of the body, or what is wrong with it.
func (r *request) media(types []string) (string, error) {
	h := r.Request.Header
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset, hasCharset := params["charset"]
	encoding := h.Get("Content-Encoding")
	switch {
	case err != nil || !slices.Contains(types, media):
		return "", &requestError{errUnsupportedMediaType, "Send a body with the Content-Type " + strings.Join(types, " or ") + "."}
	case hasCharset && !strings.EqualFold(charset, "utf-8"):
		return "", &requestError{errUnsupportedMediaType, "Send the body in UTF-8."}
	case encoding != "" && !strings.EqualFold(encoding, "identity"):
		return "", &requestError{errUnsupportedMediaType, "Send the body without a Content-Encoding."}
	}
	return media, nil
}

const (
	// smallBody is what any number of requests may send at once, in bytes.
	smallBody = 64 << 10

	// maxBodies is what the larger ones may come to together until they are decoded, in bytes: strangers who hold
	// back the end of theirs must not take memory without bound.
	maxBodies = 64 << 20
)

// read reads the body, if it is not too large and not too many large ones are on their way.
func (r *request) read() ([]byte, error) {
	length := r.Request.ContentLength
	if length < 0 {
		length = maxBody // sent in chunks: it may become this
	}
	if length > smallBody {
		if !r.server.bodies.TryAcquire(length) {
			return nil, errTooManyBodies
		}
		r.reserved += length
	}
	body, err := io.ReadAll(http.MaxBytesReader(r.Writer, r.Request.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, errBodyTooLarge
	case err != nil:
		return nil, malformed("The body did not arrive whole.")
	}
	return body, nil
}

// smallJSON is what any number of requests may decode at once, in bytes.
const smallJSON = 8 << 10

// unmarshal is the function of that name for the body of a request. The larger ones take turns: a body of 1 MiB that
// is all short names takes a quarter of a second and twenty times its size to decode.
func (r *request) unmarshal(body []byte, v any) error {
	if len(body) > smallJSON {
		ctx := r.Request.Context()
		if err := r.server.decoding.Acquire(ctx, 1); err != nil {
			return err
		}
		defer r.server.decoding.Release(1)
	}
	return unmarshal(body, v)
}

// object reads a body that is a JSON object, of one of the media types.
func (r *request) object(v any, types ...string) error {
	_, body, err := r.body(types...)
	if err != nil {
		return err
	}
	return r.unmarshal(body, v)
}

// unmarshal reads one JSON object strictly: names once and in their exact case, nothing after it, no broken
// Unicode. The fault that it gives names the place.
func unmarshal(body []byte, v any) error {
	err := json.Unmarshal(body, v)
	var (
		syntax   *jsontext.SyntacticError
		semantic *json.SemanticError
	)
	switch {
	case err == nil && jsontext.Value(body).Kind() == '{':
		return nil
	case len(body) == 0:
		return malformed("The body is empty.")
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return malformed("The member %q is there twice.", printable(syntax.JSONPointer.LastToken()))
	case errors.As(err, &syntax):
		return malformed("The body is not valid JSON, at byte %d.", syntax.ByteOffset)
	case errors.As(err, &semantic) && semantic.JSONPointer != "":
		return malformed("The member %q has the wrong type, at byte %d.", printable(string(semantic.JSONPointer[1:])), semantic.ByteOffset)
	}
	return malformed("The body is not a JSON object.")
}

// optionalText is a text member of a body, which may be absent or null: both mean "".
type optionalText struct {
	given bool
	text  string
}

// UnmarshalJSONFrom reads a string or null.
func (t *optionalText) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	t.given = true
	if dec.PeekKind() == 'n' {
		return dec.SkipValue()
	}
	return json.UnmarshalDecode(dec, &t.text)
}

// optionalBool is a member of a body that is true or false, and may be absent; null means false.
type optionalBool struct {
	given, is bool
}

// UnmarshalJSONFrom reads true, false or null.
func (t *optionalBool) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	t.given = true
	if dec.PeekKind() == 'n' {
		return dec.SkipValue()
	}
	return json.UnmarshalDecode(dec, &t.is)
}

// unknownMembers gives a fault for each member of an object that no field took, as many as are told.
func unknownMembers(object jsontext.Value) error {
	if len(object) == 0 {
		return nil
	}
	var e store.InvalidError
	// Duplicates were refused before, and looking for them again takes most of the time and memory.
	dec := jsontext.NewDecoder(bytes.NewReader(object), jsontext.AllowDuplicateNames(true))
	if _, err := dec.ReadToken(); err != nil {
		return malformed("The body is not a JSON object.")
	}
	for dec.PeekKind() == '"' && len(e.Fields) < maxFieldErrors {
		name, err := dec.ReadToken()
		if err == nil {
			e.Fields = append(e.Fields, store.FieldError{
				Field: printable(name.String()), Code: "unknown_member", Message: "There is no such member.",
			})
			err = dec.SkipValue()
		}
		if err != nil {
			return malformed("The body is not a JSON object.")
		}
	}
	if e.Fields == nil {
		return nil
	}
	return &e
}

// recordRest is what the body of a record has beside what may be written. The members that the server sets are ignored, so
// that what GET gave can be sent back; any other is at fault.
type recordRest struct {
	ID        jsontext.Value `json:"id"`
	Version   jsontext.Value `json:"version"`
	CreatedAt jsontext.Value `json:"created_at"`
	UpdatedAt jsontext.Value `json:"updated_at"`

	Unknown jsontext.Value `json:",embed"`
}

// required gives a fault if a text is missing.
func required(field string, t optionalText) error {
	if t.text != "" {
		return nil
	}
	return store.Invalid(field, "required", "The "+field+" is required.")
}
