package api

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzhttp"
	"github.com/klauspost/compress/gzip"
)

// minCompressed is how many bytes an answer has at least that is compressed.
const minCompressed = 1 << 10

// compressor returns what compresses the answers of a handler. An entity tag stays as it is: a
// version is that of the record, whatever its encoding. Two encodings may share a strong tag here,
// because no answer is a range of bytes, which a client could join with those of the other one.
//
// The level is the lowest, because this is done for every answer again.
func compressor() (func(http.Handler) http.HandlerFunc, error) {
	wrap, err := gzhttp.NewWrapper(
		gzhttp.MinSize(minCompressed), gzhttp.CompressionLevel(gzip.BestSpeed),
		gzhttp.EnableZstd(false), gzhttp.SetContentType(false),
		gzhttp.ContentTypeFilter(isText))
	if err != nil {
		return nil, fmt.Errorf("compress answers: %w", err)
	}
	return wrap, nil
}

// isText reports whether a media type is of what compression makes smaller. A stream of events is
// sent as it is: it would hold a compressor for hours, and its parts are small.
func isText(mediaType string) bool {
	if mediaType == mediaEvents {
		return false
	}
	return strings.HasPrefix(mediaType, "text/") || strings.HasPrefix(mediaType, "application/")
}

// secretRoutes are the paths at which the answer to a POST has a token or another secret in it.
// Such an answer is never compressed. Whoever sees its length, and has some say in what else is in
// it, could guess the secret bit by bit: a right guess makes the answer shorter (CRIME, BREACH).
//
// No other answer has anything to guess. It goes to a caller who proves who they are with a header,
// which no page of a stranger can have a browser send.
func secretRoutes() map[string]bool {
	return map[string]bool{
		"/login": true, "/refresh": true, "/password/reset": true,
		"/me/mfa": true, "/me/mfa/confirm": true, "/me/mfa/recovery": true,
	}
}

// acceptsGzip reports whether the answer to a request may be in gzip (RFC 9110 section 12.5.3). A
// "*" does not count: programs send it that want the bytes as they are. Nor may it be if the client
// asks for a range, although it gets the whole.
func acceptsGzip(r *http.Request) bool {
	if r.Header["Range"] != nil {
		return false
	}
	for _, v := range r.Header["Accept-Encoding"] {
		for one := range strings.SplitSeq(v, ",") {
			coding, params, _ := strings.Cut(one, ";")
			if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
				continue
			}
			q, given := strings.CutPrefix(strings.ToLower(strings.TrimSpace(params)), "q=")
			if !given {
				return true
			}
			quality, err := strconv.ParseFloat(q, 64)
			return err == nil && quality > 0
		}
	}
	return false
}

// compressOnce returns a file compressed as well as can be, or nil if that is not worth it.
func compressOnce(body []byte, mediaType string) []byte {
	if len(body) < minCompressed || !isText(mediaType) {
		return nil
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err == nil {
		_, err = z.Write(body)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return nil // a buffer takes everything
	}
	return b.Bytes()
}
