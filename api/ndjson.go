package api

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"clientes/store"
)

// readNDJSON gives each line of a file of JSON objects, checked and in the form that is stored, or what is wrong with it:
// the same that would be wrong with the body of a create. Lines of white space are no rows. An error of each ends it and
// is given back.
func readNDJSON(from io.Reader, each func(row int64, c store.Cliente, fault error) error) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(make([]byte, 64<<10), maxRow+len("\r\n"))
	row := int64(0)
	for first := true; lines.Scan(); first = false {
		line := lines.Bytes()
		if first {
			line = bytes.TrimPrefix(line, []byte(bom))
		}
		if line = bytes.Trim(line, " \t\r"); len(line) == 0 {
			continue
		}
		row++
		var in clienteInput
		err := unmarshal(line, &in)
		var malformed *requestError
		switch {
		case errors.As(err, &malformed):
			message := strings.Replace(malformed.message, "The body", "The line", 1)
			if line[0] == '[' {
				message = "The line is a JSON array; give one object a line."
			}
			err = store.Invalid("", "malformed", message)
		case err == nil:
			err = in.check(in.replace(store.Cliente{}))
		}
		if err := each(row, in.replace(store.Cliente{}), err); err != nil {
			return err
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return each(row+1, store.Cliente{}, store.Invalid("", "too_long", fmt.Sprintf(
			"The line has more than %d bytes. Nothing after it was looked at.", maxRow)))
	}
	return lines.Err()
}

func appendNDJSON(b []byte, c store.Cliente) []byte {
	return append(clienteView(c).appendJSON(b), '\n')
}
