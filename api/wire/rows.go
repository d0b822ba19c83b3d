package wire

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"clientes/store"
)

// maxRow is the longest row of a file in bytes, in either format.
const maxRow = 1 << 20

// Noun describes to [Rows] the kind of record that the rows of a file hold.
type Noun[T any] struct {
	members  func(*T) []textMember // the columns that are read, and where they go
	ignored  []string              // columns that may be there
	required []string              // columns that must be there
	missing  string                // the message where one of them is not
	check    func(T) (T, error)    // returns the row as stored; nil if others do that
	secret   bool                  // whether a cell may hold a secret, so no message repeats one
}

// Clientes are customers. Their rows are valid and in the form that is stored.
func Clientes() Noun[store.Cliente] {
	return Noun[store.Cliente]{
		members:  clienteMembers,
		ignored:  serverMembers(), // so that an export can be imported
		required: []string{"name"},
		missing:  "A column with the names is required.",
		check:    store.Cliente.Validate,
	}
}

// Users are users with the hashes of their passwords. Their rows are as they stand in the file.
func Users() Noun[store.User] {
	return Noun[store.User]{
		members: func(u *store.User) []textMember {
			return []textMember{
				{"user", &u.Name}, {"email", &u.Email}, {"role", (*string)(&u.Role)},
				{"password_hash", &u.PasswordHash},
			}
		},
		required: []string{"user", "password_hash"},
		missing:  "This column is required.",
		secret:   true,
	}
}

// Rows returns each row of a file, or a [*store.InvalidError] in its place. Any other error is the
// last one: a [*store.RowsError] for the header of a CSV file, or what the reader returned.
func Rows[T any](from io.Reader, how Reading, noun Noun[T]) iter.Seq2[T, error] {
	if how.Format == NDJSON {
		return noun.ndjsonRows(from, how)
	}
	return noun.csvRows(from, how)
}

// checked returns a row in the form that is stored, or all that is wrong with it.
func (n *Noun[T]) checked(row T, fault error) (T, error) {
	if n.check != nil {
		checked, err := n.check(row)
		if fault == nil && err == nil {
			return checked, nil // without JoinInvalid, which allocates
		}
		fault = store.JoinInvalid(fault, err)
	}
	if fault != nil {
		return *new(T), fault
	}
	return row, nil
}

// csvRows reads a CSV file whose first line names the columns, in any order.
func (n *Noun[T]) csvRows(from io.Reader, how Reading) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var row T
		in := newCSVReader(from, how, n.secret)
		cells, err := n.header(in, &row)
		for err == nil {
			var record []string
			if record, err = in.next(); err != nil {
				break
			}
			row = *new(T)
			if !yield(n.fromRecord(record, &row, cells)) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(*new(T), err)
		}
	}
}

// fromRecord reads a record of a CSV file into the row that the cells are in.
func (n *Noun[T]) fromRecord(record []string, row *T, cells []*string) (T, error) {
	if len(record) != len(cells) {
		return *new(T), store.Invalid("", "wrong_columns", fmt.Sprintf(
			"The row has %d columns, and the header %d.", len(record), len(cells)))
	}
	for i, text := range cells {
		if text != nil {
			*text = record[i]
		}
	}
	return n.checked(*row, nil)
}

// header reads the header of a CSV file. It returns where each column goes in the row, nil for
// those that are ignored, or a [*store.RowsError].
func (n *Noun[T]) header(in *csvReader, row *T) ([]*string, error) {
	var faults store.RowsError
	add := func(field, code, message string) {
		faults.Add(0, store.FieldError{Field: field, Code: code, Message: message})
	}
	names, err := in.next()
	var malformed *store.InvalidError
	switch {
	case errors.Is(err, io.EOF):
		add(n.required[0], "required", "The file is empty: its first line has to name the columns.")
		return nil, faults.Err()
	case errors.As(err, &malformed):
		add("", "malformed", "The first line does not name the columns of a CSV file.")
		return nil, faults.Err()
	case err != nil:
		return nil, err
	case slices.ContainsFunc(names, func(name string) bool { return !utf8.ValidString(name) }):
		add("", "invalid_text", "The file is not UTF-8.")
		return nil, faults.Err()
	}
	members := n.members(row)
	cells := make([]*string, len(names))
	seen := make(map[string]bool)
	for i, name := range names {
		name = strings.ToLower(strings.TrimSpace(name))
		m := slices.IndexFunc(members, func(m textMember) bool { return m.name == name })
		switch {
		case m < 0 && !slices.Contains(n.ignored, name):
			add(n.unknownColumn(i, name, members))
		case seen[name]:
			add(name, "duplicate", "The column is there twice.")
		case m >= 0:
			cells[i] = members[m].text
		}
		seen[name] = true
	}
	for _, name := range n.required {
		if !seen[name] {
			add(name, "required", n.missing)
		}
	}
	return cells, faults.Err()
}

// unknownColumn returns the fault of a column with a name that is not known. Where the header was
// forgotten, the name is the cell of a row.
func (n *Noun[T]) unknownColumn(
	i int, name string, members []textMember,
) (field, code, message string) {
	if !n.secret {
		return Excerpt(name), "unknown_member", "There is no such column."
	}
	var known []string
	for _, m := range members {
		known = append(known, m.name)
	}
	message = fmt.Sprintf("Column %d is none of %s.", i+1, strings.Join(known, ", "))
	return "", "unknown_member", message
}
