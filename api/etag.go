package api

import (
	"strconv"
	"strings"
)

// versionTag returns the entity tag of a record's version.
func versionTag(version int64) string {
	return `"` + strconv.FormatInt(version, 10) + `"`
}

// tags is what If-Match or If-None-Match names: entity tags, or any version.
type tags struct {
	any   bool
	given []string // without W/
}

// parseTags reads the values of If-Match or If-None-Match (RFC 9110 section 13.1.1). A list may
// have empty elements. It reports whether the header can be read.
func parseTags(values []string) (t tags, ok bool) {
	for _, rest := range values {
		for {
			rest = strings.TrimLeft(rest, " \t,")
			if rest == "" {
				break
			}
			var tag string
			if tag, rest, ok = cutTag(rest); !ok {
				return tags{}, false
			}
			rest = strings.TrimLeft(rest, " \t")
			if rest != "" && rest[0] != ',' {
				return tags{}, false
			}
			if tag == "*" {
				t.any = true
			} else {
				t.given = append(t.given, tag)
			}
		}
	}
	// A "*" stands alone. Nothing at all names no version.
	return t, t.any != (len(t.given) > 0)
}

// cutTag cuts the entity tag, or "*", from the beginning of a text, without W/. Within the quotes
// anything may stand but white space, control characters and quotes.
func cutTag(s string) (tag, rest string, ok bool) {
	if s[0] == '*' {
		return "*", s[1:], true
	}
	s = strings.TrimPrefix(s, "W/")
	if s == "" || s[0] != '"' {
		return "", "", false
	}
	end := strings.IndexByte(s[1:], '"') + 2
	none := func(c rune) bool { return c <= ' ' || c == 0x7f }
	if end < 2 || strings.ContainsFunc(s[:end], none) {
		return "", "", false
	}
	return s[:end], s[end:], true
}

// match reports whether the tags name this one. They do if they are weak, or have the suffix that a
// proxy adds when it compresses: the version is that of the record, whatever its encoding.
func (t tags) match(tag string) bool {
	if t.any {
		return true
	}
	for _, given := range t.given {
		if given == tag || withoutEncoding(given) == tag {
			return true
		}
	}
	return false
}

// withoutEncoding removes what Apache (-gzip), nginx's and Caddy's modules (-br, -zstd) and Jetty
// (--gzip) put at the end of an entity tag.
func withoutEncoding(tag string) string {
	for _, suffix := range []string{"gzip", "br", "zstd", "deflate", "df"} {
		if short, ok := strings.CutSuffix(tag, "-"+suffix+`"`); ok {
			return strings.TrimSuffix(short, "-") + `"`
		}
	}
	return tag
}

// tags reads If-Match or If-None-Match. It returns nil if the header is absent.
func (r *request) tags(header string) (*tags, error) {
	values := r.Header[header]
	if values == nil {
		return nil, nil
	}
	t, ok := parseTags(values)
	if !ok {
		return nil, invalidParameter("The header %s is an ETag as the server sent it, in quotes: "+
			`%s: "1" (or several, with commas between them, or * alone).`, header, header)
	}
	return &t, nil
}
