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

// body reads a body of one of the media types. An empty body is of type "" and no error, whatever type the client
// names for nothing: the decoder of a body that must be there refuses it.
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

// media gives the media type of the body, or what is wrong with it.
func (r *request) media(types []string) (string, error) {
	h := r.Header
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
	length := r.ContentLength
	if length < 0 {
		length = maxBody // sent in chunks: it may become this
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

// smallJSON is what any number of requests may decode at once, in bytes.
const smallJSON = 8 << 10

// unmarshal is the function of that name for the body of a request. The larger ones take turns: a body of 1 MiB that
// is all short names takes a quarter of a second and twenty times its size to decode.
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
func required(field string, t wire.Text) error {
	if t.Value != "" {
		return nil
	}
	return store.Invalid(field, "required", "The "+field+" is required.")
}
