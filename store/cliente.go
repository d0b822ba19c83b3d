package store

import (
	"context"
	"strings"
	"time"
)

// Cliente is one customer record.
type Cliente struct {
	ID        int64 // from 1, never used twice
	Name      string
	Email     string // "" when there is none, else unique without regard to case
	Phone     string
	Company   string
	Address   string
	Notes     string
	Version   int64 // 1 when created, one more with every change
	CreatedAt time.Time
	UpdatedAt time.Time
}

// The longest texts of a Cliente, in code points after normalization.
const (
	MaxName    = 200
	MaxPhone   = 40
	MaxCompany = 200
	MaxAddress = 500
	MaxNotes   = 10_000
)

// Clientes keeps the customer records.
type Clientes interface {
	// CreateCliente keeps a new record and gives it back with the ID, Version, CreatedAt and UpdatedAt
	// that it got; what c says of these is ignored. An email that another record has is a
	// *ConflictError on "email".
	CreateCliente(ctx context.Context, c Cliente) (Cliente, error)

	// Cliente gives one record, or ErrNotFound.
	Cliente(ctx context.Context, id int64) (Cliente, error)

	// Clientes gives up to limit records with an ID above after, by ascending ID: a keyset page, which
	// costs the same wherever it lies. It gives an empty slice when there are none.
	Clientes(ctx context.Context, after int64, limit int) ([]Cliente, error)

	// UpdateCliente hands the record to change and keeps what it gives back, as one atomic step: Version
	// counts up, UpdatedAt is now, and ID and CreatedAt stay whatever change made of them. When change
	// alters no writable member nothing is written and the record is given back as it was. An error of
	// change is given back unwrapped and nothing is written; the store may call change again, with a
	// newer record. An unknown ID is ErrNotFound, an email that another record has a *ConflictError.
	UpdateCliente(ctx context.Context, id int64, change func(Cliente) (Cliente, error)) (Cliente, error)

	// DeleteCliente hands the record to check and removes it if check gives nil, as one atomic step. An
	// error of check is given back unwrapped. An unknown ID is ErrNotFound, also the second time.
	DeleteCliente(ctx context.Context, id int64, check func(Cliente) error) error
}

// SameText says whether d has the same writable members as c, so that writing it would change nothing.
func (c Cliente) SameText(d Cliente) bool {
	return c.Name == d.Name && c.Email == d.Email && c.Phone == d.Phone &&
		c.Company == d.Company && c.Address == d.Address && c.Notes == d.Notes
}

// Validate gives c with its text in the form that is kept (NFC, the name trimmed, CRLF in the notes as
// LF), or an *InvalidError that lists every field at fault.
func (c Cliente) Validate() (Cliente, error) {
	var v invalid
	if c.Name = strings.TrimSpace(c.Name); c.Name == "" {
		v.add("name", "required", "A name is required.")
	}
	c.Name = v.line("name", c.Name, MaxName)
	c.Email = v.email("email", c.Email)
	c.Phone = v.line("phone", c.Phone, MaxPhone)
	c.Company = v.line("company", c.Company, MaxCompany)
	c.Address = v.line("address", c.Address, MaxAddress)
	c.Notes = v.notes("notes", c.Notes, MaxNotes)
	return c, v.err()
}
