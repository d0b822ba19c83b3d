package store

import (
	"context"
	"iter"
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

// Clientes keeps the customer records and what happened to them. Whoever changes a record is named by the id of a user;
// 0 is nobody who logged in: the command line.
type Clientes interface {
	// CreateCliente keeps a new record and gives it back with the ID, Version, CreatedAt and UpdatedAt
	// that it got; what c says of these is ignored. An email that another record has is a
	// *ConflictError on "email".
	CreateCliente(ctx context.Context, by int64, c Cliente) (Cliente, error)

	// CreateClienteOnce is CreateCliente for a caller who may ask again. The key, of at most MaxIdempotencyKey bytes, is kept
	// together with the record, so that of several calls of one user with the same key, also at once, one makes it and the
	// others get it as it was made, and are told so. A key that was used for another record within IdempotencyTTL is ErrKeyReused, one that is at work for
	// longer than a caller will wait ErrKeyInProgress. A call that fails leaves the key free.
	CreateClienteOnce(ctx context.Context, by int64, c Cliente, key string) (_ Cliente, replayed bool, _ error)

	// DeleteIdempotencyKeys removes up to limit keys that were first used before the given time, and says how many it
	// removed.
	DeleteIdempotencyKeys(ctx context.Context, before time.Time, limit int) (int, error)

	// Cliente gives one record, or ErrNotFound.
	Cliente(ctx context.Context, id int64) (Cliente, error)

	// Clientes gives up to limit records of a selection, those that come after a place in its order: a keyset page,
	// which without a filter costs the same wherever it lies. The zero Position is before all of them. It gives an empty
	// slice when there are none.
	Clientes(ctx context.Context, s Selection, after Position, limit int) ([]Cliente, error)

	// CountClientes says how many records a filter lets through.
	CountClientes(ctx context.Context, f Filter) (int64, error)

	// EachCliente calls each with every record of a selection, in its order, all of them as they stood at one moment,
	// and holds few of them at a time. An error of each ends it and is given back unwrapped. It takes as long as each does,
	// an hour at most on an engine that others share.
	EachCliente(ctx context.Context, s Selection, each func(Cliente) error) error

	// UpdateCliente hands the record to change and keeps what it gives back, as one atomic step: Version
	// counts up, UpdatedAt is now, and ID and CreatedAt stay whatever change made of them. When change
	// alters no writable member nothing is written and the record is given back as it was. An error of
	// change is given back unwrapped and nothing is written; the store may call change again, with a
	// newer record. An unknown ID is ErrNotFound, an email that another record has a *ConflictError.
	UpdateCliente(ctx context.Context, by, id int64, change func(Cliente) (Cliente, error)) (Cliente, error)

	// DeleteCliente hands the record to check and removes it if check gives nil, as one atomic step. An
	// error of check is given back unwrapped. An unknown ID is ErrNotFound, also the second time.
	DeleteCliente(ctx context.Context, by, id int64, check func(Cliente) error) error

	// ClienteHistory gives up to limit changes of one record, the newest first, those below a version, or with 0 all.
	// They are kept in the same step as the change itself, and stay when the record is deleted. It gives an empty slice
	// for a record that was not changed since histories are kept, or not below that version; and ErrNotFound for an ID
	// that no record has or had.
	ClienteHistory(ctx context.Context, id, below int64, limit int) ([]Change, error)

	// ImportClientes keeps all of the rows as new records, in their order, or none, and says how many there are. The
	// rows are valid, and may be asked for again. An error among them is given back unwrapped. Emails that two rows or a row
	// and another record have are a *RowsError that counts the rows from 1. It may take minutes; on SQLite whoever else
	// writes, a login too, waits meanwhile or gives up with ErrUnavailable.
	ImportClientes(ctx context.Context, by int64, rows iter.Seq2[Cliente, error]) (int64, error)

	// CheckImport is ImportClientes that keeps nothing, and keeps nobody waiting.
	CheckImport(ctx context.Context, rows iter.Seq2[Cliente, error]) (int64, error)
}

// ClienteTexts is the number of writable texts of a [Cliente].
const ClienteTexts = 6

// Text is one writable text of a [Cliente] and the rules that it must keep.
type Text struct {
	Name  string  // the member's name on the wire, in CSV files and in the databases
	Value *string // the text itself, which may be set
	Max   int     // the longest text after normalization: in code points, an email in bytes

	validate func(v *invalid, field, s string, limit int) string
	searched int // how Cliente.Matches looks at the text: unsearched, fromBeginning or anywhere
}

// Texts returns the writable texts of c, in the order in which they are shown. Validation,
// comparison, the fingerprint, search, the engines' statements, JSON, CSV and merge patches all go
// by this one table.
func (c *Cliente) Texts() [ClienteTexts]Text {
	return [...]Text{
		{"name", &c.Name, MaxName, (*invalid).name, fromBeginning},
		{"email", &c.Email, MaxEmail, (*invalid).email, fromBeginning},
		{"phone", &c.Phone, MaxPhone, (*invalid).line, anywhere},
		{"company", &c.Company, MaxCompany, (*invalid).line, fromBeginning},
		{"address", &c.Address, MaxAddress, (*invalid).line, unsearched},
		{"notes", &c.Notes, MaxNotes, (*invalid).notes, unsearched},
	}
}

// SameText reports whether c and d have the same writable texts, so that writing d over c would
// change nothing.
func (c Cliente) SameText(d Cliente) bool {
	other := d.Texts()
	for i, t := range c.Texts() {
		if *t.Value != *other[i].Value {
			return false
		}
	}
	return true
}

// Size returns how many bytes the writable texts of c have together.
func (c *Cliente) Size() int {
	size := 0
	for _, t := range c.Texts() {
		size += len(*t.Value)
	}
	return size
}

// Validate returns c with its texts in the form that is stored: NFC, the name trimmed, CRLF in the
// notes as LF. If any field is at fault, it returns an [*InvalidError] that lists all of them.
func (c Cliente) Validate() (Cliente, error) {
	var v invalid
	for _, t := range c.Texts() {
		*t.Value = t.validate(&v, t.Name, *t.Value, t.Max)
	}
	return c, v.err()
}
