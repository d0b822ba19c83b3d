package store

import (
	"context"
	"fmt"
	"iter"
)

// MaxRowErrors is how many faults of an import are listed. Any further ones are only counted.
const MaxRowErrors = 100

// RowsError lists the faults of an import.
type RowsError struct {
	Rows  []RowError // the first of them, by row
	Count int64      // how many there are
}

// RowError describes what is wrong with one field of one row.
type RowError struct {
	Row int64 // from 1; 0 is the file as a whole
	FieldError
}

func (e *RowsError) Error() string {
	first := e.Rows[0]
	return fmt.Sprintf("row %d: %s: %s (%d faults in all)",
		first.Row, first.Field, first.Message, e.Count)
}

// Add counts a fault, and lists it if it is one of the first.
func (e *RowsError) Add(row int64, fault FieldError) {
	e.Count++
	if len(e.Rows) < MaxRowErrors {
		e.Rows = append(e.Rows, RowError{row, fault})
	}
}

// Err returns e if it has counted any fault, else nil.
func (e *RowsError) Err() error {
	if e.Count == 0 {
		return nil
	}
	return e
}

// TakenEmail returns the fault of a row whose email an earlier row or another record has.
func TakenEmail() FieldError {
	return FieldError{Field: "email", Code: "taken", Message: "Another record has this email."}
}

// CheckEmails returns the number of rows, or a [*RowsError] if an earlier row or another record has
// an email of theirs. Taken reports whether a record has the email of that key. It is called once
// for each key.
func CheckEmails(ctx context.Context, rows iter.Seq2[Cliente, error],
	taken func(key string) (bool, error)) (int64, error) {
	var row int64
	var faults RowsError
	seen := make(map[string]bool)
	for c, err := range rows {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return 0, err
		}
		row++
		if c.Email == "" {
			continue
		}
		key := EmailKey(c.Email)
		is := seen[key]
		seen[key] = true
		if !is {
			is, err = taken(key)
		}
		switch {
		case err != nil:
			return 0, fmt.Errorf("row %d: %w", row, err)
		case is:
			faults.Add(row, TakenEmail())
		}
	}
	return row, faults.Err()
}
