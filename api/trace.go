package api

import (
	"net/http"
	"strings"
)

// traceID returns the trace id of a request by W3C Trace Context, "" if there is none. A malformed
// header counts as none, and so do several.
func traceID(h http.Header) string {
	given := h["Traceparent"]
	if len(given) != 1 {
		return ""
	}
	// version "-" trace-id "-" parent-id "-" flags; later versions may add more behind a "-".
	const length = 2 + 1 + 32 + 1 + 16 + 1 + 2
	s := given[0]
	switch {
	case len(s) < length, s[2] != '-', s[35] != '-', s[52] != '-':
		return ""
	case len(s) > length && (s[:2] == "00" || s[length] != '-'):
		return ""
	}
	version, id, parent, flags := s[:2], s[3:35], s[36:52], s[53:length]
	switch {
	case !isHex(version), !isHex(id), !isHex(parent), !isHex(flags), version == "ff":
		return ""
	case strings.Trim(id, "0") == "", strings.Trim(parent, "0") == "":
		return ""
	}
	return id
}

// isHex reports whether s is of lower-case hexadecimal digits, which are the only ones allowed.
func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
