package wire

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"

	"clientes/store"
)

var errRowTooLong = errors.New("the row is too long")

// csvReader reads the rows of a CSV file, none of them longer than maxRow. Without that limit a
// quote that is never closed would make it hold the rest of the file.
type csvReader struct {
	csv  *csv.Reader
	from *bufio.Reader
	left int   // of the row, in bytes
	err  error // why the row did not arrive whole
}

func newCSVReader(from io.Reader) *csvReader {
	in := &csvReader{from: bufio.NewReaderSize(from, 64<<10)}
	if start, _ := in.from.Peek(len(bom)); string(start) == bom {
		in.from.Discard(len(bom))
	}
	in.csv = csv.NewReader(in)
	in.csv.ReuseRecord = true
	in.csv.FieldsPerRecord = -1
	in.csv.Comma = in.separator()
	return in
}

// separator returns a semicolon if the first line has one and no comma. Spreadsheets write it in
// countries whose numbers have a comma.
func (in *csvReader) separator() rune {
	start, _ := in.from.Peek(4096)
	line, _, _ := bytes.Cut(bytes.TrimLeft(start, "\r\n"), []byte("\n"))
	if bytes.ContainsRune(line, ';') && !bytes.ContainsRune(line, ',') {
		return ';'
	}
	return ','
}

// next returns a row. A row that is not CSV is a [*store.InvalidError], and is the last one.
func (in *csvReader) next() ([]string, error) {
	in.left = maxRow + 4096 // the buffer of the csv.Reader may be part of the next row
	record, err := in.csv.Read()
	if in.err != nil {
		err = in.err // the part that arrived may also look as if it were not CSV
	}
	if err != nil {
		return nil, faultOfCSV(err)
	}
	return record, nil
}

// faultOfCSV returns a [*store.InvalidError] for a row that is not CSV or is too long. It returns
// any other error as it is.
func faultOfCSV(err error) error {
	var parse *csv.ParseError
	switch {
	case errors.Is(err, errRowTooLong):
		return store.Invalid("", "too_long", fmt.Sprintf(
			"The row has more than %d bytes; a quote may be missing before. "+
				"Nothing after it was looked at.", maxRow))
	case errors.As(err, &parse):
		return store.Invalid("", "malformed", fmt.Sprintf(
			"The row is not CSV, at line %d: %s. Nothing after it was looked at.",
			parse.Line, parse.Err))
	}
	return err
}

// Read implements [io.Reader] for the csv.Reader.
func (in *csvReader) Read(p []byte) (int, error) {
	if in.left <= 0 {
		in.err = errRowTooLong
		return 0, in.err
	}
	n, err := in.from.Read(p[:min(len(p), in.left)])
	in.left -= n
	if err != nil && err != io.EOF {
		in.err = err
	}
	return n, err
}
