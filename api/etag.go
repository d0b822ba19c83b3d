package api

import (
	"strconv"
	"strings"
)

// versionTag returns the entity tag of a record's version.
func versionTag(version int64) string {
	return `"` + strconv.FormatInt(version, 10) + `"`
}

// matchesStrongly reports whether the values of If-Match name this tag (RFC 9110 section 13.1.1).
// Anything that is no entity tag matches nothing.
func matchesStrongly(values []string, tag string) bool {
	return matches(values, tag, false)
}

// matchesWeakly reports whether the values of If-None-Match name this tag, weak or not (RFC 9110
// section 13.1.2).
func matchesWeakly(values []string, tag string) bool {
	return matches(values, tag, true)
}

func matches(values []string, tag string, weakly bool) bool {
	for _, v := range values {
		for one := range strings.SplitSeq(v, ",") {
			one = strings.Trim(one, " \t")
			if weakly {
				one = strings.TrimPrefix(one, "W/")
			}
			if one == tag || one == "*" {
				return true
			}
		}
	}
	return false
}
