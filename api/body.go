package api

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"clientes/api/wire"
	"clientes/auth/throttle"
	"clientes/store"
)

const (
	// maxBody is the largest body of a verified caller, in bytes.
	maxBody = 1 << 20

	// maxStrangersBody is the largest body on a route for anybody, in bytes.
	maxStrangersBody = 16 << 10
)

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
	if r.ContentLength > 0 && r.ContentLength <= r.maxBody() && wrong != nil {
		return "", nil, wrong // unread
	}
	body, err = r.read()
	switch {
	case err != nil:
		return "", nil, err
	case len(body) == 0:
		return "", nil, nil
	case wrong == nil && media == mediaForm && wire.BeginsAsJSON(body):
		wrong = unsupported("This is JSON, but it was sent as a form, as curl -d does: " +
			"add -H 'Content-Type: " + mediaJSON + "'.")
	}
	return media, body, wrong
}

// media returns the media type of the body if it is one of types.
func (r *request) media(types []string) (string, error) {
	given := r.Header.Get("Content-Type")
	media, params := parseContentType(given)
	if !slices.Contains(types, media) {
		return "", unsupported(wantedType(given, media, types))
	}
	if charset, has := params["charset"]; has && !isUTF8(charset) {
		return "", unsupported(fmt.Sprintf("The charset of the body is %q; send the body in UTF-8.",
			wire.Excerpt(charset)))
	}
	_, err := r.gzipped()
	return media, err
}

// wantedType returns what to tell a client whose body has another type than the route takes.
func wantedType(given, media string, types []string) string {
	wanted := "send it with the Content-Type " + strings.Join(types, " or ") + "."
	switch {
	case given == "":
		return "The body has no Content-Type; " + wanted
	case media == mediaForm:
		return "The body was sent as a form, as curl -d does unless it is told otherwise: " +
			"add -H 'Content-Type: " + types[0] + "', and send what it says."
	}
	return fmt.Sprintf("The body came as %q; ", wire.Excerpt(given)) + wanted
}

// parseContentType reads a Content-Type (RFC 9110 section 8.3.1). It passes over parameters that
// are empty, and all of them if one has no value: "application/json; utf-8" is often sent. The
// media type is "" if it cannot be read.
func parseContentType(given string) (media string, params map[string]string) {
	var parts []string
	for part := range strings.SplitSeq(given, ";") {
		if strings.Trim(part, " \t") != "" {
			parts = append(parts, part)
		}
	}
	media, params, err := mime.ParseMediaType(strings.Join(parts, ";"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return "", nil
	}
	return media, params
}

// isUTF8 reports whether a charset is UTF-8, or a part of it, as people write it. The Encoding
// Standard of the WHATWG has utf8 as a label, too.
func isUTF8(charset string) bool {
	switch strings.ToLower(strings.Trim(charset, "' ")) {
	case "utf-8", "utf8", "us-ascii", "ascii":
		return true
	}
	return false
}

const (
	// smallBody is what a body may have without a place in a room, in bytes. net/http has as much
	// for each connection anyway, and their number is bounded. A login or a usual record is
	// smaller, so that no other body can keep it out.
	smallBody = 4 << 10

	// maxBodies is how many bytes the larger bodies of verified callers may have together until
	// they are decoded, and bodiesOfOne those of one user.
	maxBodies   = 64 << 20
	bodiesOfOne = 8 << 20

	// maxStrangersBodies and strangersOfOne are the same for the routes for anybody, where a
	// network of clients counts as one.
	maxStrangersBodies = 16 << 20
	strangersOfOne     = 1 << 20
)

// maxBody returns how large the body may be, in bytes.
func (r *request) maxBody() int64 {
	if r.caller().UserID == 0 {
		return maxStrangersBody
	}
	return maxBody
}

// read reads the body, and unpacks it if it is compressed. It refuses one that is too large, or
// that would be one large body too many.
func (r *request) read() ([]byte, error) {
	limit := r.maxBody()
	if packed, _ := r.gzipped(); !packed { // media refuses other encodings
		return r.readAll(limit, limit)
	}
	body, err := r.readAll(packedLimit(limit), limit)
	if err != nil || len(body) == 0 {
		return nil, err
	}
	return r.unpack(body, limit)
}

// readAll reads what arrives, at most most bytes, of a body that may have limit bytes. The room for
// it grows with what has arrived, because whoever only promises a large body must not take anything
// from others.
func (r *request) readAll(most, limit int64) ([]byte, error) {
	if r.ContentLength > most {
		return nil, bodyTooLarge(limit) // unread
	}
	from := http.MaxBytesReader(r.writer, r.Body, most)
	most++ // the byte beyond it is refused
	if r.ContentLength >= 0 {
		most = r.ContentLength + 1 // the last Read returns io.EOF
	}
	body := make([]byte, 0, min(most, smallBody))
	for {
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		var tooLarge *http.MaxBytesError
		switch {
		case err == io.EOF:
			return body, nil
		case errors.As(err, &tooLarge):
			return nil, bodyTooLarge(limit)
		case err != nil:
			return nil, malformed("The body did not arrive whole.")
		}
		if len(body) < cap(body) {
			continue
		}
		grown := min(2*int64(cap(body)), most)
		if err := r.reserve(grown); err != nil {
			return nil, err
		}
		body = append(make([]byte, 0, grown), body...)
	}
}

// reserve takes room for a body that has grown to n bytes. The end of [Server.decode] frees it.
func (r *request) reserve(n int64) error {
	room, who := r.room()
	err := room.take(who, n-r.reserved)
	if err == nil {
		r.reserved = n
	}
	return err
}

// release frees what reserve has taken.
func (r *request) release() {
	if r.reserved > 0 {
		room, who := r.room()
		room.leave(who, r.reserved)
	}
}

// room returns the room for the body, and who takes it: the user, or on a route for anybody the
// network.
func (r *request) room() (room *room, who string) {
	if caller := r.caller(); caller.UserID != 0 {
		return &r.server.bodies, occupant(caller)
	}
	return &r.server.strangersBodies, throttle.NetworkOf(r.exchange.ip)
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

// required returns a fault if a text is missing. Only a password may be white space.
func required(field string, t wire.Member[string]) error {
	if store.Trim(t.Value) != "" || field == "current" && t.Value != "" {
		return nil
	}
	return store.Invalid(field, "required", "The "+field+" is required.")
}
