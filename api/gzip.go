package api

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"

	"clientes/api/wire"
)

// gzipped reports whether the body is compressed with gzip. It returns an error if it is encoded in
// another way.
func (r *request) gzipped() (bool, error) {
	var given []string
	for _, v := range r.Header["Content-Encoding"] {
		for one := range strings.SplitSeq(v, ",") {
			if one = strings.ToLower(strings.Trim(one, " \t")); one != "" {
				given = append(given, one)
			}
		}
	}
	encoding := strings.Join(given, ", ")
	switch encoding {
	case "", "identity":
		return false, nil
	case "gzip", "x-gzip": // RFC 9110 section 8.4.1.3
		return true, nil
	}
	return false, unsupported(fmt.Sprintf("The Content-Encoding of the body is %q; "+
		"send the body with gzip, or without an encoding.", wire.Excerpt(encoding)))
}

// packedLimit returns how many bytes a compressed body may have that unpacks to limit bytes: those
// that cannot be compressed grow by little.
func packedLimit(limit int64) int64 { return limit + limit>>10 + 1<<10 }

// unpack unpacks a body that has arrived. Only now, because unpacking takes 40 KiB of memory, which
// nobody may hold who sends a body slowly. Few do it at once.
func (r *request) unpack(packed []byte, limit int64) ([]byte, error) {
	if err := r.server.decoding.Acquire(r.Context(), 1); err != nil {
		return nil, err
	}
	defer r.server.decoding.Release(1)
	from := &unpacker{from: bytes.NewReader(packed), left: limit, tooLarge: bodyTooLarge(limit)}
	body := make([]byte, 0, smallBody)
	for {
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case err == io.EOF:
			return body, nil
		case err != nil:
			return nil, err
		case len(body) < cap(body):
			continue
		}
		grown := min(2*int64(cap(body)), limit+1)
		if err := r.reserve(int64(cap(packed)) + grown); err != nil {
			return nil, err
		}
		body = append(make([]byte, 0, grown), body...)
	}
}

// unpacker unpacks gzip. It refuses what it reads if that has more than left bytes, so that a small
// file cannot fill the memory or the disk.
type unpacker struct {
	from     io.Reader
	left     int64
	tooLarge error

	gzip *gzip.Reader
	err  error // why the file is refused; an error of from is not kept
}

// Read implements [io.Reader].
func (u *unpacker) Read(p []byte) (n int, err error) {
	if u.err != nil {
		return 0, u.err
	}
	if u.gzip == nil {
		if u.gzip, err = gzip.NewReader(u.from); err != nil {
			u.gzip = nil
			return 0, u.refuse(err)
		}
	}
	n, err = u.gzip.Read(p)
	if u.left -= int64(n); u.left < 0 {
		u.err = u.tooLarge
		return 0, u.err
	}
	if err != nil && err != io.EOF {
		err = u.refuse(err)
	}
	return n, err
}

// refuse returns what the client is told of a file that is no gzip. Other errors are those of from.
func (u *unpacker) refuse(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case err == io.EOF, errors.Is(err, gzip.ErrHeader):
		u.err = malformed("The Content-Encoding is gzip, but the body is not, or not up to its end.")
	case errors.Is(err, io.ErrUnexpectedEOF):
		u.err = malformed("The gzip data of the body ends too early, or something follows it.")
	case errors.Is(err, gzip.ErrChecksum), errors.As(err, &corrupt):
		u.err = malformed("The gzip data of the body is damaged.")
	default:
		return err
	}
	return u.err
}
