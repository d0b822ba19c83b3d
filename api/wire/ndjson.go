package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"

	"clientes/store"
)

// ndjsonRows reads a JSON object a line. Lines of white space are no rows.
func (n *Noun[T]) ndjsonRows(from io.Reader) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var row T
		o := object{members: n.members(&row), ignored: n.ignored}
		lines := bufio.NewScanner(from)
		lines.Buffer(make([]byte, 64<<10), maxRow+len("\r\n"))
		for first := true; lines.Scan(); first = false {
			line := lines.Bytes()
			if first {
				line = bytes.TrimPrefix(line, []byte(bom))
			}
			if line = bytes.Trim(line, " \t\r"); len(line) == 0 {
				continue
			}
			row, o.unknown = *new(T), nil
			if !yield(n.fromLine(line, &row, &o)) {
				return
			}
		}
		switch err := lines.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			yield(*new(T), store.Invalid("", "too_long", fmt.Sprintf(
				"The line has more than %d bytes. Nothing after it was looked at.", maxRow)))
		case err != nil:
			yield(*new(T), err)
		}
	}
}

// fromLine reads a line into the row that o reads into.
func (n *Noun[T]) fromLine(line []byte, row *T, o *object) (T, error) {
	if err := Unmarshal("line", line, o); err != nil {
		message := err.Error()
		if line[0] == '[' {
			message = "The line is a JSON array; give one object a line."
		}
		return *new(T), store.Invalid("", "malformed", message)
	}
	return n.checked(*row, o.fault())
}
