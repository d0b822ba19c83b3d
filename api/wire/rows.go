package wire

import (
	"io"
	"iter"

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
		required: []string{"user"}, // a user without a hash sets a password by a link
		missing:  "This column is required.",
		secret:   true,
	}
}

// Rows returns each row of a file, or a [*store.InvalidError] in its place. Any other error is the
// last one: a [*store.RowsError] for the file as a whole, or what the reader returned.
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
