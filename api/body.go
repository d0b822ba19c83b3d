package api

import (
	"errors"
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

// read reads the body. It refuses one that is too large, or that would be one large body too many.
// The room for it grows with what has arrived, because whoever only promises a large body must not
// take anything from others.
func (r *request) read() ([]byte, error) {
	limit := r.maxBody()
	if r.ContentLength > limit {
		return nil, bodyTooLarge(limit) // unread
	}
	most := limit + 1 // the byte beyond the limit is refused
	if r.ContentLength >= 0 {
		most = r.ContentLength + 1 // the last Read returns io.EOF
	}
	from := http.MaxBytesReader(r.writer, r.Body, limit)
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
	return &r.server.strangersBodies, throttle.NetworkOf(r.client.ClientIP())
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
