package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"clientes/api/wire"
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

// body reads a body of one of the media types. An empty body has the type "" and is no error,
// whatever type the client names for it. A decoder that needs a body refuses the empty one.
func (r *request) body(types ...string) (media string, body []byte, err error) {
	media, wrong := r.media(types)
	switch length := r.ContentLength; {
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

// media returns the media type of the body if it is one of types.
func (r *request) media(types []string) (string, error) {
	h := r.Header
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset, hasCharset := params["charset"]
	encoding := h.Get("Content-Encoding")
	switch {
	case err != nil || !slices.Contains(types, media):
		allowed := strings.Join(types, " or ")
		return "", unsupported("Send a body with the Content-Type " + allowed + ".")
	case hasCharset && !strings.EqualFold(charset, "utf-8"):
		return "", unsupported("Send the body in UTF-8.")
	case encoding != "" && !strings.EqualFold(encoding, "identity"):
		return "", unsupported("Send the body without a Content-Encoding.")
	}
	return media, nil
}

const (
	// smallBody is the largest body that any number of requests may send at once, in bytes.
	smallBody = 64 << 10

	// maxBodies is how many bytes larger bodies may have together until they are decoded. Without
	// it, strangers who hold back the end of their bodies could take all memory.
	maxBodies = 64 << 20
)

// read reads the body. It refuses one that is too large, or that would be one large body too many.
func (r *request) read() ([]byte, error) {
	length := r.ContentLength
	if length < 0 {
		length = maxBody // a body in chunks may become that large
	}
	if length > smallBody {
		if !r.server.bodies.TryAcquire(length) {
			return nil, errTooManyBodies
		}
		r.reserved += length
	}
	body, err := io.ReadAll(http.MaxBytesReader(r.writer, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, errBodyTooLarge
	case err != nil:
		return nil, malformed("The body did not arrive whole.")
	}
	return body, nil
}

// smallJSON is the largest body that any number of requests may decode at once, in bytes.
const smallJSON = 8 << 10

// unmarshal reads a JSON object strictly, see [wire.Unmarshal]. Larger bodies wait for each other,
// because a body of 1 MiB with nothing but short names takes a quarter of a second and twenty times
// its size to decode.
func (r *request) unmarshal(body []byte, v any) error {
	if len(body) > smallJSON {
		ctx := r.Context()
		if err := r.server.decoding.Acquire(ctx, 1); err != nil {
			return err
		}
		defer r.server.decoding.Release(1)
	}
	return wire.Unmarshal("body", body, v)
}

// object reads a body that is a JSON object, of one of the media types.
func (r *request) object(v any, types ...string) error {
	_, body, err := r.body(types...)
	if err != nil {
		return err
	}
	return r.unmarshal(body, v)
}

// required returns a fault if a text is missing.
func required(field string, t wire.Member[string]) error {
	if t.Value != "" {
		return nil
	}
	return store.Invalid(field, "required", "The "+field+" is required.")
}
