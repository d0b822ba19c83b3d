package wire

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"clientes/store"
)

// maxCells is the most cells of a row, that of the largest spreadsheets. A row of commas would
// otherwise take many times the memory of its bytes.
const maxCells = 1 << 14

// lineEnd is what ends the rows of a file. The end of the heading shows it.
type lineEnd int

const (
	unknownEnd lineEnd = iota
	lf                 // LF or CRLF, beside which a CR alone is no end
	cr                 // CR alone, as old Macs write it; LF and CRLF end a row too
)

// csvReader reads the rows of a CSV file, none of them longer than maxRow. It takes the dialects
// that programs write, and refuses what programs read differently.
//
// The package encoding/csv does not do for this: it knows no CR, and its LazyQuotes takes a quote
// that never closes, and text after a quote, for content.
type csvReader struct {
	text
	comma   byte
	special [256]bool // the bytes that a cell without quotes cannot simply go on with
	ends    lineEnd
	line    int // of the byte after those that were looked at
	row     int // line of the row's beginning
	heading []string
	record  []string
	cells   []byte // the text of the record's cells
	cuts    []int  // where each of them ends in cells
	slashed bool   // whether a cell of the row ends in a backslash before its quote
	bare    bool   // whether a cell of the row has a quote and is not quoted
}

func newCSVReader(from io.Reader, how Reading, secret bool) *csvReader {
	return &csvReader{text: openText(from, how, secret), line: 1}
}

// next returns a row. A row that is not CSV is a [*store.InvalidError], and is the last one. What
// is wrong with the file as a whole is a [*store.RowsError].
func (in *csvReader) next() ([]string, error) {
	if in.comma == 0 {
		if err := in.begin(); err != nil {
			return nil, err
		}
	}
	for {
		joined, err := in.skip()
		if err != nil {
			return nil, err
		}
		if err := in.read(); err != nil {
			return nil, err
		}
		switch {
		case in.heading == nil:
			if !isBlank(in.record) {
				in.heading = namesOf(in.record)
			}
		case in.how.HeaderAbsent:
		case in.isHeading():
			continue // files were joined, or pages printed
		case in.hasHeadings(joined):
			// Two files were joined. The second has a heading of its own.
			return nil, store.Invalid("", "malformed", fmt.Sprintf(
				"Another file begins at line %d, with other columns; import it alone. "+
					"Nothing after it was looked at.", in.row))
		}
		return in.record, nil
	}
}

// isHeading reports whether the row is the heading once more.
func (in *csvReader) isHeading() bool {
	return len(in.record) == len(in.heading) &&
		(len(in.record) > 1 || in.how.Columns == nil) &&
		strings.EqualFold(strings.TrimSpace(in.record[0]), in.heading[0]) &&
		slices.Equal(namesOf(in.record), in.heading)
}

// hasHeadings reports whether the row has a name of the heading if it begins another file, else
// whether it has several names of it and nothing else.
func (in *csvReader) hasHeadings(begins bool) bool {
	found := 0
	for _, cell := range in.record {
		switch cell = strings.TrimSpace(cell); {
		case cell == "":
		case slices.ContainsFunc(in.heading, func(name string) bool {
			return strings.EqualFold(name, cell)
		}):
			found++
		case !begins:
			return false
		}
	}
	return found > 1 || begins && found > 0
}

// namesOf returns a heading in the form in which another one is compared with it.
func namesOf(record []string) []string {
	names := make([]string, len(record))
	for i, cell := range record {
		names[i] = strings.ToLower(strings.TrimSpace(cell))
	}
	return names
}

// begin finds the separator: that of a line "sep=", else that of the heading.
func (in *csvReader) begin() error {
	if _, err := in.skip(); err != nil {
		return err
	}
	in.has(readChunk)
	start := in.buf[in.start:]
	if what := textKindOf(start); what != "" {
		return fileFault("malformed", fmt.Sprintf("The file is %s.", what))
	}
	if looksLikeJSON(start) {
		return fileFault("malformed", "The file is JSON, not CSV. Import it as "+
			"application/x-ndjson, or with --format ndjson.")
	}
	in.long = false // only of the sample
	comma, n := sepLine(start)
	if n > 0 {
		in.use(n)
		if _, err := in.skip(); err != nil && err != io.EOF {
			return err
		}
		in.line++
	}
	if comma == 0 && in.how.Tabs {
		comma = '\t'
	}
	in.comma = separator(in.buf[in.start:], comma)
	if in.comma == 0 {
		return fileFault("malformed", "Commas, semicolons or tabs may separate the cells: each "+
			"row has as many of both. Put a line before the first one that says which: sep=;")
	}
	for _, c := range []byte{in.comma, '\n', '\r', '"'} {
		in.special[c] = true
	}
	return nil
}

// skip goes to the beginning of a row. It reports whether it passed a byte order mark.
func (in *csvReader) skip() (mark bool, err error) {
	for {
		if !in.has(0) {
			return mark, in.stopped()
		}
		switch c := in.at(0); {
		case c == '\n':
			in.use(1)
			in.line++
		case c == '\r':
			if in.has(1) && in.at(1) == '\n' {
				in.use(1)
			}
			in.use(1)
			in.line++
		case c == bom[0] && in.skipMark():
			mark = true
		case (c == 0 || c == 0x1a) && in.padding(0):
			return mark, io.EOF
		default:
			return mark, nil
		}
	}
}

// stopped returns why there are no more bytes.
func (in *csvReader) stopped() error {
	if in.long {
		return in.tooLong()
	}
	return in.err
}

func (in *csvReader) tooLong() error {
	return store.Invalid("", "too_long", fmt.Sprintf(
		"The row has more than %d bytes, from line %d on; a quote may be missing before. "+
			"Nothing after it was looked at.", maxRow, max(in.row, 1)))
}

// refuse returns the fault of a row that is not CSV. What is wrong with the file as a whole comes
// before it.
func (in *csvReader) refuse(p int, format string, args ...any) error {
	p = min(p, len(in.buf)-in.start)
	whole := bytes.LastIndexByte(in.buf[in.start:in.start+p], '\n') + 1
	if err := in.checkRow(whole, in.row); err != nil {
		return err
	}
	what := fmt.Sprintf(format, args...)
	if bytes.Contains(in.buf[in.start:in.start+p], []byte(`\"`)) {
		what += ", and a backslash is text"
	}
	return store.Invalid("", "malformed", fmt.Sprintf(
		"The row is not CSV, at line %d: %s. Nothing after it was looked at.", in.line, what))
}

// read reads the cells of a row, whose first byte is there, into in.record.
func (in *csvReader) read() error {
	in.cells, in.cuts, in.row = in.cells[:0], in.cuts[:0], in.line
	in.slashed, in.bare = false, false
	p, last := 0, false
	for !last {
		var err error
		if q := in.blanks(p); in.has(q) && in.at(q) == '"' {
			p, last, err = in.quotedCell(q + 1)
		} else {
			p, last, err = in.plainCell(p)
		}
		if err != nil {
			return err
		}
		if in.cuts = append(in.cuts, len(in.cells)); len(in.cuts) > maxCells {
			return store.Invalid("", "too_long", fmt.Sprintf(
				"The row has more than %d cells, at line %d. Nothing after it was looked at.",
				maxCells, in.row))
		}
	}
	if in.slashed && in.bare {
		return in.refuse(p, "a cell ends in a backslash, and another has a quote "+
			`alone; a quote in a cell is written ""`)
	}
	raw := in.buf[in.start : in.start+p]
	if p > maxRow && len(bytes.TrimRight(raw, "\r\n")) > maxRow {
		return in.tooLong()
	}
	if err := in.checkRow(p, in.row); err != nil {
		return err
	}
	in.use(p)
	in.record = in.record[:0]
	all, from := string(in.cells), 0
	for _, to := range in.cuts {
		in.record = append(in.record, all[from:to])
		from = to
	}
	return nil
}

// blanks returns where the white space ends that begins at p. A byte order mark is white space.
func (in *csvReader) blanks(p int) int {
	for in.has(p) {
		switch c := in.at(p); {
		case c == ' ' || c == '\t' && in.comma != '\t':
			p++
		case c == bom[0] && in.has(p+2) && string(in.buf[in.start+p:in.start+p+3]) == bom:
			p += len(bom)
		default:
			return p
		}
	}
	return p
}

// plainCell reads a cell without quotes around it. It returns where the next cell begins, and
// whether this one was the last of the row. A quote in such a cell is text, unless a quoted part
// with a separator in it may be meant.
func (in *csvReader) plainCell(p int) (next int, last bool, err error) {
	from, quotes, opens := len(in.cells), 0, false
	for {
		b := in.buf[in.start:]
		i := p
		for i < len(b) && !in.special[b[i]] {
			i++
		}
		in.cells = append(in.cells, b[p:i]...)
		if p = i; p == len(b) {
			switch {
			case in.has(p):
				continue
			case in.stopped() != io.EOF:
				return 0, false, in.stopped()
			}
			text := bytes.TrimRight(in.cells[from:], "\x00\x1a")
			in.cells = in.cells[:from+len(text)]
			last = true
			break
		}
		if b[p] == '"' {
			if before, _ := utf8.DecodeLastRune(in.cells[from:]); len(in.cells) > from &&
				before != '"' && before != utf8.RuneError &&
				!unicode.IsLetter(before) && !unicode.IsNumber(before) &&
				in.has(p+1) && bytes.IndexByte([]byte(" \t\r\n\""), in.at(p+1)) < 0 &&
				in.at(p+1) != in.comma {
				opens = true
			}
			quotes++
			in.bare = true
			in.cells = append(in.cells, '"')
			p++
			continue
		}
		p, last, err = in.cellEnd(p)
		break
	}
	if err == nil && opens && quotes%2 == 1 {
		err = in.refuse(p, "a quote opens within a cell; put the whole cell in quotes")
	}
	return p, last, err
}

// quotedCell reads a cell whose opening quote stands before p.
func (in *csvReader) quotedCell(p int) (next int, last bool, err error) {
	opened := in.line
	for {
		b := in.buf[in.start+p:]
		i := bytes.IndexByte(b, '"')
		if i >= 0 {
			b = b[:i]
		}
		in.cells = append(in.cells, b...)
		in.line += in.lineEnds(b)
		p += len(b)
		if i < 0 {
			switch {
			case in.has(p):
				continue
			case in.long:
				return 0, false, store.Invalid("", "too_long", fmt.Sprintf(
					"The row has more than %d bytes; the quote that opens at line %d may have "+
						"no end. Nothing after it was looked at.", maxRow, opened))
			case in.err != io.EOF:
				return 0, false, in.err
			}
			in.line = opened
			return 0, false, in.refuse(p, "the quote that opens there is never closed; close it, or take it away")
		}
		if p++; in.has(p) && in.at(p) == '"' {
			in.cells = append(in.cells, '"')
			p++
			continue
		}
		break
	}
	if p >= 2 && in.at(p-2) == '\\' {
		in.slashed = true
	}
	p = in.blanks(p)
	switch {
	case !in.has(p):
		if err := in.stopped(); err != io.EOF {
			return 0, false, err
		}
		return p, true, nil
	case in.special[in.at(p)] && in.at(p) != '"':
		return in.cellEnd(p)
	case (in.at(p) == 0 || in.at(p) == 0x1a) && in.padding(p):
		return p, true, nil
	}
	return 0, false, in.refuse(p,
		"text follows the closing quote of a cell whose quote opens at line %d; "+
			`a quote in a cell is written ""`, opened)
}

// lineEnds returns how many lines end in a part of a cell.
func (in *csvReader) lineEnds(b []byte) int {
	if in.ends == cr {
		return bytes.Count(b, []byte("\r"))
	}
	return bytes.Count(b, []byte("\n"))
}

// cellEnd goes beyond the separator or the line end at p.
func (in *csvReader) cellEnd(p int) (next int, last bool, err error) {
	switch in.at(p) {
	case in.comma:
		return p + 1, false, nil
	case '\n':
		if in.ends == unknownEnd {
			in.ends = lf
		}
		in.line++
		return p + 1, true, nil
	}
	end := p + 1 // after the CR
	if in.ends == lf {
		for in.has(end) && in.at(end) == '\r' {
			end++ // some programs write CR CR LF
		}
	}
	switch {
	case in.has(end) && in.at(end) == '\n':
		if end++; in.ends == unknownEnd {
			in.ends = lf
		}
	case !in.has(end) && in.stopped() != io.EOF:
		return 0, false, in.stopped()
	case in.has(end) && in.ends == lf:
		return 0, false, in.refuse(p, "a carriage return stands alone outside quotes; "+
			"end all lines alike, or put the cell in quotes")
	case in.ends == unknownEnd:
		in.ends = cr
	}
	in.line++
	return end, true, nil
}
