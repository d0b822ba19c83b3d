package store

import "fmt"

// MaxRowErrors is how many faults of an import are told; the others are counted.
const MaxRowErrors = 100

// RowsError lists the faults of an import.
type RowsError struct {
	Rows  []RowError // the first of them, by row
	Count int64      // how many there are
}

// RowError says what is wrong with one field of one row.
type RowError struct {
	Row int64 // from 1; 0 is what stands before the first one: the header of a CSV file
	FieldError
}

func (e *RowsError) Error() string {
	first := e.Rows[0]
	return fmt.Sprintf("row %d: %s: %s (%d faults in all)", first.Row, first.Field, first.Message, e.Count)
}

// Add counts a fault and keeps it if it is one of the first.
func (e *RowsError) Add(row int64, fault FieldError) {
	e.Count++
	if len(e.Rows) < MaxRowErrors {
		e.Rows = append(e.Rows, RowError{row, fault})
	}
}

// Err gives e if it has counted any fault.
func (e *RowsError) Err() error {
	if e.Count == 0 {
		return nil
	}
	return e
}

// TakenEmail is the fault of a row with an email that an earlier row or another record has.
func TakenEmail() FieldError {
	return FieldError{Field: "email", Code: "taken", Message: "Another record has this email."}
}
