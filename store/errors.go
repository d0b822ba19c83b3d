package store

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrNotFound means that there is no such record, or no longer.
	ErrNotFound = errors.New("no such record")

	// ErrUnavailable means that the engine could not be reached, or was too busy for too long. The
	// caller may try again later. A write that ended so may have been kept.
	ErrUnavailable = errors.New("the store is unavailable")

	// ErrOverloaded refuses a call because more of them wait for a connection than get one soon.
	// It was not begun, so it wrote nothing. The caller may try again in a second.
	ErrOverloaded = errors.New("too many calls wait for the store")

	// ErrSchema means that migrations are missing from the database. If it holds one that this
	// program had to know, the error is a [*NewerSchemaError].
	ErrSchema = errors.New("the schema is not the one this program needs")

	// ErrKeyReused refuses an idempotency key that already stands for another record.
	ErrKeyReused = errors.New("the idempotency key was used for another record")

	// ErrKeyInProgress means that another call with the same idempotency key is still at work.
	ErrKeyInProgress = errors.New("another call with the same idempotency key is at work")

	// ErrLastAdmin refuses a change that would leave no enabled admin.
	ErrLastAdmin = errors.New("the last active admin cannot be deleted, disabled or demoted")

	// ErrUserChanged refuses a session whose user was deleted or disabled, or had all sessions
	// ended, after the login began.
	ErrUserChanged = errors.New("the user changed while the login was under way")

	// ErrTooManyKeys refuses a key of a user who has [MaxKeys] that live.
	ErrTooManyKeys = errors.New("the user has as many keys as one may have")

	// ErrNotEmpty refuses to begin a copy into a database that holds anything.
	ErrNotEmpty = errors.New("a copy goes into an empty database only")

	// ErrCopyDisturbed means that the target of a copy does not hold what the copy wrote. Something
	// else wrote to the target or to the source, or another copy is at work.
	ErrCopyDisturbed = errors.New(
		"something else wrote to one of the databases while the copy was under way")
)

// EngineError is an [ErrUnavailable] whose cause an operator can remove. Its text is for the log
// and the command line: it says what happened and what helps, and holds no SQL.
type EngineError struct {
	What   string // what happened: "the disk is full"
	Detail string // the engine's own word for it: "SQLITE_FULL"
	Cure   string // what to do: "make room on it"
	Err    error  // of the engine; its text may hold SQL
}

func (e *EngineError) Error() string {
	return fmt.Sprintf("%s (%s); %s", e.What, e.Detail, e.Cure)
}

// Unwrap returns [ErrUnavailable] and the engine's own error.
func (e *EngineError) Unwrap() []error { return []error{ErrUnavailable, e.Err} }

// PlaceError refuses the place that a URL names for a database. An operator can cure it. Its text
// is a whole sentence, for the log and the command line, to which callers add nothing.
type PlaceError struct {
	Fault   string // what is wrong with the place: "there is no folder /nope"
	Cure    string // what to do: "make it, or name another file"
	Foreign bool   // something else uses the place
	Err     error  // of the engine or the system, or nil
}

func (e *PlaceError) Error() string { return e.Fault + ": " + e.Cure }

// Unwrap returns the error of the engine or the system.
func (e *PlaceError) Unwrap() error { return e.Err }

// ConflictError refuses a write because another record has the same value in a unique field.
type ConflictError struct {
	Field string // the field's name on the wire: "email", "user"
}

func (e *ConflictError) Error() string { return fmt.Sprintf("another record has this %s", e.Field) }

// InvalidError lists every invalid field of a record.
type InvalidError struct {
	Fields []FieldError // at least one
}

// Invalid returns an [*InvalidError] of one field.
func Invalid(field, code, message string) error {
	return &InvalidError{Fields: []FieldError{{Field: field, Code: code, Message: message}}}
}

// FieldError describes what is wrong with one field: a sentence for a person and a word for a
// program.
type FieldError struct {
	Field   string // the field's name on the wire
	Code    string // stable, snake_case: "required", "too_long"…
	Message string // a sentence for whoever sent the value; it never repeats the value
}

func (e *InvalidError) Error() string {
	s := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		s[i] = f.Field + ": " + f.Message
	}
	return strings.Join(s, "; ")
}

// invalid collects faults.
type invalid []FieldError

func (v *invalid) add(field, code, message string) {
	*v = append(*v, FieldError{Field: field, Code: code, Message: message})
}

func (v invalid) err() error {
	if len(v) == 0 {
		return nil
	}
	return &InvalidError{Fields: v}
}

// JoinInvalid joins the faults of two checks of one record into one *InvalidError. Either error may
// be nil. If one of them is no *InvalidError, it is returned alone.
func JoinInvalid(a, b error) error {
	var x, y *InvalidError
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case !errors.As(a, &x):
		return a
	case !errors.As(b, &y):
		return b
	}
	return &InvalidError{Fields: append(x.Fields[:len(x.Fields):len(x.Fields)], y.Fields...)}
}
