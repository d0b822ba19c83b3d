// Package wire reads and writes customers and users as JSON, CSV and NDJSON, for the API and the
// commands alike.
//
// What it reads becomes a domain value of package store, or a fault that names the row and the
// field; it never returns half a value. What it writes as CSV or NDJSON it reads back unchanged.
// It knows nothing of HTTP, of databases, or of users who call. Only its messages do: they tell a
// sender what to write in a header, a parameter or a flag.
package wire

import (
	"strings"
	"unicode/utf8"
)

// Reading is how a file with many records is read.
type Reading struct {
	Format  Format
	Charset string // the file's encoding as its sender named it; "" if nobody did

	// Columns says what the columns of a CSV file are, from the left, whatever its first line says:
	// what [Noun.Columns] returned. If it is nil, the first line says it.
	Columns      []string
	HeaderAbsent bool // whether the first line of a CSV file is its first row
	Tabs         bool // whether the cells of a CSV file are separated by tabs, if it has any
}

// Format is a format of files with many records. Its text is the media type.
type Format string

// The formats of import and export.
const (
	CSV    Format = "text/csv"             // RFC 4180, with a header
	NDJSON Format = "application/x-ndjson" // one JSON object a line

	// SpreadsheetCSV is CSV of which a spreadsheet runs nothing, with a byte order mark so that it
	// takes the text for UTF-8. Only exports know it: to import such a file, read it as CSV.
	SpreadsheetCSV Format = "text/csv; header=present"
)

// bom is the byte order mark that some programs put before UTF-8.
const bom = "\ufeff"

// Excerpt returns the beginning of a stranger's text as valid UTF-8, short enough for a message.
func Excerpt(s string) string {
	const limit = 64 // characters
	s = strings.ToValidUTF8(s, "\uFFFD")
	if utf8.RuneCountInString(s) > limit {
		s = string([]rune(s)[:limit]) + "…"
	}
	return s
}
