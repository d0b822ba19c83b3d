package wire

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"slices"

	"clientes/store"
)

// ndjsonRows reads JSON objects: one a line, over several lines, in an array, one after another, or
// each after a record separator (RFC 7464).
func (n *Noun[T]) ndjsonRows(from io.Reader, how Reading) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var row T
		o := object{members: n.members(&row), ignored: n.ignored}
		in := jsonReader{text: openText(from, how, n.secret), line: 1}
		in.known = slices.Clone(n.ignored)
		for _, m := range o.members {
			in.known = append(in.known, m.name)
		}
		for {
			value, err := in.next()
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(*new(T), err)
				return
			}
			row, o.unknown = *new(T), nil
			if !yield(n.fromValue(value, &row, &o)) {
				return
			}
		}
	}
}

// fromValue reads a JSON text into the row that o reads into.
func (n *Noun[T]) fromValue(value []byte, row *T, o *object) (T, error) {
	what := "line"
	if bytes.IndexByte(value, '\n') >= 0 {
		what = "object"
	}
	if err := Unmarshal(what, value, o); err != nil {
		return *new(T), store.Invalid("", "malformed", err.Error())
	}
	return n.checked(*row, o.fault())
}

// jsonReader splits a file into JSON texts, none of them longer than maxRow. It looks only at
// quotes and brackets. [Unmarshal] decides whether a text is valid.
type jsonReader struct {
	text
	known   []string // members of a record
	line    int      // of the window's beginning
	used    int      // bytes of the text that was returned last, and lines
	lines   int
	some    bool // whether a text was returned
	array   int  // line of the array that the texts are in; 0 outside
	follows byte // what the last part of the array was: '[', ',' or '{'
	stack   []byte
}

// next returns the next text, which is good until the next call. It is an object, or a line that
// is none. A fault after which nothing can be read is a [*store.InvalidError] for the row, or a
// [*store.RowsError] for the file.
func (in *jsonReader) next() ([]byte, error) {
	in.use(in.used)
	in.line += in.lines
	in.used, in.lines = 0, 0
	if err := in.skip(); err != nil {
		return nil, err
	}
	first := !in.some
	in.some = true
	if in.at(0) != '{' {
		if first && in.array == 0 {
			return nil, in.notJSON()
		}
		if in.array > 0 {
			return nil, in.refuse("The array has something other than objects in it, or no comma")
		}
		return in.restOfLine(0)
	}
	return in.object(first)
}

// skip goes to the beginning of a text.
func (in *jsonReader) skip() error {
	for n := 0; ; n++ {
		if !in.has(0) {
			if err := in.stopped(); err != io.EOF {
				return err
			}
			return in.end()
		}
		switch c := in.at(0); {
		case n > maxRow:
			return in.tooLong()
		case c == '\n':
			in.line++
			n = 0
		case c == ' ' || c == '\t' || c == '\r' || c == 0x1e:
		case c == bom[0] && in.skipMark():
			continue
		case (c == 0 || c == 0x1a) && in.padding(0):
			return in.end()
		case c == '[' && in.array == 0 && in.opens():
			in.array, in.follows = in.line, '['
		case c == ']' && in.array > 0 && in.follows != ',':
			in.array = 0
		case c == ',' && in.array > 0 && in.follows == '{':
			in.follows = ','
		case c == '{' && in.array > 0 && in.follows == '{':
			return in.refuse("A comma is missing before the object")
		case (c == 0 || c == 0x1a) && in.stopped() != nil && in.stopped() != io.EOF:
			return in.stopped() // while it looked for the end
		default:
			return nil
		}
		in.use(1)
	}
}

// opens reports whether the array that begins the window has objects in it, or nothing.
func (in *jsonReader) opens() bool {
	for p := 1; in.has(p); p++ {
		switch in.at(p) {
		case ' ', '\t', '\r', '\n':
		case '{', ']':
			return true
		default:
			return false
		}
	}
	return in.err == io.EOF && !in.long // the array is cut off
}

// end returns [io.EOF], or a fault if the end comes within an array.
func (in *jsonReader) end() error {
	if in.array > 0 {
		return fileFault("malformed", fmt.Sprintf(
			"The array that begins at line %d is not closed; the file may be cut off.", in.array))
	}
	return io.EOF
}

// stopped returns why there are no more bytes, nil if there may be some.
func (in *jsonReader) stopped() error {
	if in.long {
		return in.tooLong()
	}
	return in.err
}

func (in *jsonReader) tooLong() error {
	return store.Invalid("", "too_long", fmt.Sprintf(
		"The row has more than %d bytes, from line %d on. Nothing after it was looked at.",
		maxRow, in.line))
}

func (in *jsonReader) refuse(what string) error {
	return store.Invalid("", "malformed", fmt.Sprintf(
		"%s, at line %d. Nothing after it was looked at.", what, in.line))
}

// notJSON returns the fault of a file that does not begin with an object or an array.
func (in *jsonReader) notJSON() error {
	in.has(readChunk)
	if in.err != nil && in.err != io.EOF {
		return in.err
	}
	start := in.buf[in.start:]
	line, _, _ := bytes.Cut(start, []byte("\n"))
	if err := in.checkRow(len(line), in.line); err != nil && !in.long {
		return err
	}
	if what := textKindOf(start); what != "" {
		return fileFault("malformed", fmt.Sprintf("The file is %s.", what))
	}
	if start[0] == '[' {
		return fileFault("malformed", "The array has something other than objects in it.")
	}
	return fileFault("malformed", "The file is not JSON. Write one object a line. If it is CSV, "+
		"import it as text/csv, or with --format csv.")
}

// restOfLine returns the text up to the end of the line that p is in.
func (in *jsonReader) restOfLine(p int) ([]byte, error) {
	for ; ; p++ {
		if !in.has(p) {
			if err := in.stopped(); err != io.EOF {
				return nil, err
			}
			break
		}
		if in.at(p) == '\n' {
			break
		}
	}
	return in.taken(p)
}

// taken returns the first n bytes.
func (in *jsonReader) taken(n int) ([]byte, error) {
	value := bytes.TrimRight(in.buf[in.start:in.start+n], " \t\r\n")
	if len(value) > maxRow {
		return nil, in.tooLong()
	}
	if err := in.checkRow(len(value), in.line); err != nil {
		return nil, err
	}
	in.used = n
	in.lines = bytes.Count(in.buf[in.start:in.start+n], []byte("\n"))
	return value, nil
}

// object returns the object that begins the window. If it goes wrong within its first line, it
// returns that line, and the texts after it can be read.
func (in *jsonReader) object(first bool) ([]byte, error) {
	in.stack = in.stack[:0]
	var (
		before   byte // the last byte that is no white space
		name     [2]int
		newLines = 0
		fresh    = false // whether only white space stands before on this line
	)
	for p := 0; ; p++ {
		if !in.has(p) {
			if err := in.stopped(); err != io.EOF {
				return nil, err
			}
			if err := in.checkRow(p, in.line); err != nil {
				return nil, err
			}
			return nil, in.refuse("The object is not closed")
		}
		top := byte(0)
		if len(in.stack) > 0 {
			top = in.stack[len(in.stack)-1]
		}
		switch c := in.at(p); c {
		case ' ', '\t', '\r':
			continue
		case '\n':
			newLines++
			fresh = true
			continue
		case '"':
			end, err := in.stringEnd(p + 1)
			switch {
			case err != nil:
				return nil, err
			case in.at(end) == '\n':
				return in.broken(end, newLines)
			case len(in.stack) == 1:
				name = [2]int{p + 1, end}
			}
			p = end
		case '{', '[':
			switch {
			case top == 0, top == '{' && before == ':',
				top == '[' && (before == '[' || before == ','):
			case c == '{' && fresh && in.array == 0:
				return in.taken(p) // the end of the object is missing, and here begins another
			default:
				return in.broken(p, newLines)
			}
			if c == '{' && first && len(in.stack) == 2 && top == '[' {
				if err := in.wrapped(name); err != nil {
					return nil, err
				}
			}
			in.stack = append(in.stack, c)
		case '}', ']':
			if c == '}' && top != '{' || c == ']' && top != '[' {
				return in.broken(p, newLines)
			}
			if in.stack = in.stack[:len(in.stack)-1]; len(in.stack) == 0 {
				return in.closed(p + 1)
			}
		}
		before, fresh = in.at(p), false
	}
}

// stringEnd returns where the string ends that p is in: at its quote, or at a line end, which no
// string may have.
func (in *jsonReader) stringEnd(p int) (int, error) {
	for ; in.has(p); p++ {
		switch in.at(p) {
		case '"', '\n':
			return p, nil
		case '\\':
			p++
		}
	}
	if err := in.stopped(); err != io.EOF {
		return 0, err
	}
	return 0, in.refuse("The object is not closed")
}

// broken returns the line of an object that goes wrong at p. Beyond one line nobody knows where the
// next object begins.
func (in *jsonReader) broken(p, newLines int) ([]byte, error) {
	if newLines == 0 && in.array == 0 {
		return in.restOfLine(p)
	}
	if err := in.checkRow(p, in.line); err != nil {
		return nil, err
	}
	return nil, in.refuse("The object is not valid JSON")
}

// closed returns the object of n bytes, or its line if that goes on with something else.
func (in *jsonReader) closed(n int) ([]byte, error) {
	if in.array > 0 {
		in.follows = '{'
		return in.taken(n)
	}
	p := n
	for ; in.has(p); p++ {
		switch in.at(p) {
		case ' ', '\t', '\r':
			continue
		case '\n', '{', '[', 0x1e, bom[0]:
			return in.taken(n)
		case 0, 0x1a:
			if in.padding(p) {
				return in.taken(n)
			}
		case ',':
			rest, err := in.restOfLine(p)
			if err == nil && string(bytes.TrimSpace(rest[p:])) == "," {
				err = fileFault("malformed", fmt.Sprintf("A comma follows the object at line %d. "+
					"Put the objects in brackets, or leave the commas out.", in.line))
			}
			return rest, err
		}
		return in.restOfLine(p)
	}
	if err := in.stopped(); err != io.EOF && !in.long {
		return nil, err
	}
	return in.taken(n)
}

// wrapped returns a fault for an object which has the records in an array: `{"clientes": [{`.
func (in *jsonReader) wrapped(name [2]int) error {
	member := string(in.buf[in.start+name[0] : in.start+name[1]])
	if slices.Contains(in.known, member) {
		return nil
	}
	return fileFault("malformed", fmt.Sprintf("The records stand in the member %q. Import its "+
		"array alone, as jq .%s writes it.", Excerpt(member), Excerpt(member)))
}
