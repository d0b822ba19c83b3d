package api

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"clientes/store"
)

// maxRow is the longest row of an import, in bytes, whatever its format.
const maxRow = 1 << 20

// bom is what some programs put before UTF-8.
const bom = "\ufeff"

// csvColumns are the columns of an export, in its order. An import ignores those that the server sets itself.
func csvColumns() []string {
	return slices.Concat([]string{"id"}, textNames(), []string{"version", "created_at", "updated_at"})
}

// textOf gives where a column is in a record, nil if the server sets it.
func textOf(column string, c *store.Cliente) *string {
	i := slices.Index(textNames(), column)
	if i < 0 {
		return nil
	}
	return texts(c)[i]
}

// readCSV gives each row of a CSV file, checked and in the form that is stored, or what is wrong with it. Row 0 is the
// header, whose columns may stand in any order. An error of each ends it and is given back.
func readCSV(from io.Reader, each func(row int64, c store.Cliente, fault error) error) error {
	in := &csvInput{Reader: bufio.NewReaderSize(from, 64<<10)}
	if start, _ := in.Peek(len(bom)); string(start) == bom {
		in.Discard(len(bom))
	}
	r := csv.NewReader(in)
	r.ReuseRecord = true
	r.FieldsPerRecord = -1
	r.Comma = in.separator()

	header, err := in.next(r)
	var parse *csv.ParseError
	switch {
	case errors.Is(err, io.EOF):
		return each(0, store.Cliente{}, store.Invalid("name", "required", "The file is empty: its first line has to name the columns."))
	case errors.As(err, &parse), errors.Is(err, errRowTooLong):
		return each(0, store.Cliente{}, store.Invalid("", "malformed", "The first line does not name the columns of a CSV file."))
	case err != nil:
		return err
	}
	columns := make([]string, len(header))
	for i, name := range header {
		if !utf8.ValidString(name) {
			return each(0, store.Cliente{}, store.Invalid("", "invalid_text", "The file is not UTF-8."))
		}
		columns[i] = strings.ToLower(strings.TrimSpace(name))
	}
	if err := checkHeader(columns); err != nil {
		return each(0, store.Cliente{}, err)
	}

	for row := int64(1); ; row++ {
		record, err := in.next(r)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errRowTooLong):
			return each(row, store.Cliente{}, store.Invalid("", "too_long", fmt.Sprintf(
				"The row has more than %d bytes; a quote may be missing before. Nothing after it was looked at.", maxRow)))
		case errors.As(err, &parse):
			return each(row, store.Cliente{}, store.Invalid("", "malformed", fmt.Sprintf(
				"The row is not CSV, at line %d: %s. Nothing after it was looked at.", parse.Line, parse.Err)))
		case err != nil:
			return err
		case len(record) != len(columns):
			err = store.Invalid("", "wrong_columns", fmt.Sprintf("The row has %d columns, and the header %d.", len(record), len(columns)))
			if err := each(row, store.Cliente{}, err); err != nil {
				return err
			}
			continue
		}
		var c store.Cliente
		for i, column := range columns {
			if to := textOf(column, &c); to != nil {
				*to = record[i]
			}
		}
		c, err = c.Validate()
		if err := each(row, c, err); err != nil {
			return err
		}
	}
}

// checkHeader says what is wrong with the names of the columns.
func checkHeader(columns []string) error {
	var e store.InvalidError
	known, seen := make(map[string]bool), make(map[string]bool)
	for _, name := range csvColumns() {
		known[name] = true
	}
	for _, name := range columns {
		switch {
		case !known[name]:
			e.Fields = append(e.Fields, store.FieldError{Field: printable(name), Code: "unknown_member", Message: "There is no such column."})
		case seen[name]:
			e.Fields = append(e.Fields, store.FieldError{Field: name, Code: "duplicate", Message: "The column is there twice."})
		}
		seen[name] = true
	}
	if !seen["name"] {
		e.Fields = append(e.Fields, store.FieldError{Field: "name", Code: "required", Message: "A column with the names is required."})
	}
	if e.Fields == nil {
		return nil
	}
	return &e
}

var errRowTooLong = errors.New("the row is too long")

// csvInput is what a csv.Reader reads from: not more than maxRow for one row, or a quote that is not closed would have it
// hold the rest of the file.
type csvInput struct {
	*bufio.Reader
	left int   // of the row
	err  error // why the row is not there whole
}

// next reads a row.
func (in *csvInput) next(r *csv.Reader) ([]string, error) {
	in.left = maxRow + 4096 // the reader's own buffer may be of the next one
	record, err := r.Read()
	if in.err != nil {
		return nil, in.err // what is there of the row may also look as if it were not CSV
	}
	return record, err
}

// Read keeps the promise of io.Reader.
func (in *csvInput) Read(p []byte) (int, error) {
	if in.left <= 0 {
		in.err = errRowTooLong
		return 0, in.err
	}
	n, err := in.Reader.Read(p[:min(len(p), in.left)])
	in.left -= n
	if err != nil && err != io.EOF {
		in.err = err
	}
	return n, err
}

// separator says what stands between the columns: a semicolon where the first line has one and no comma, as spreadsheets
// write in countries whose numbers have a comma.
func (in *csvInput) separator() rune {
	start, _ := in.Peek(4096)
	line, _, _ := bytes.Cut(bytes.TrimLeft(start, "\r\n"), []byte("\n"))
	if bytes.ContainsRune(line, ';') && !bytes.ContainsRune(line, ',') {
		return ';'
	}
	return ','
}

// appendCSVHeader writes the names of the columns.
func appendCSVHeader(b []byte) []byte {
	return append(append(b, strings.Join(csvColumns(), ",")...), "\r\n"...)
}

// appendCSV writes a record as RFC 4180 has it, byte for byte as it is. By hand, in less than half the time
// that csv.Writer takes (BenchmarkExport), which also would make CRLF of every line break in a text if it ends rows in one.
func appendCSV(b []byte, c store.Cliente) []byte {
	b = strconv.AppendInt(b, c.ID, 10)
	for _, s := range texts(&c) {
		b = appendCell(append(b, ','), *s)
	}
	b = strconv.AppendInt(append(b, ','), c.Version, 10)
	for _, t := range [...]time.Time{c.CreatedAt, c.UpdatedAt} {
		b = appendInstant(append(b, ','), t)
	}
	return append(b, "\r\n"...)
}

func appendCell(b []byte, s string) []byte {
	quoted := false
	for i := range len(s) {
		switch s[i] {
		case '"', ',', '\r', '\n':
			quoted = true
		}
	}
	if !quoted {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' {
			b = append(b, '"')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}
