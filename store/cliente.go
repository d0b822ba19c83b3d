package store

import (
	"context"
	"iter"
	"regexp"
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

// The longest name and the longest notes of a Cliente, in code points after normalization.
const (
	MaxName  = 200
	MaxNotes = 10_000
)

// Clientes keeps the customer records and their histories. The argument by is the id of the user
// who makes a change; 0 stands for the command line.
type Clientes interface {
	// CreateCliente keeps a new record and returns it with its ID, Version, CreatedAt and
	// UpdatedAt. It ignores what c has in these. If another record has the email, it returns a
	// [*ConflictError] on "email".
	CreateCliente(ctx context.Context, by int64, c Cliente) (Cliente, error)

	// CreateClienteOnce is CreateCliente with an idempotency key: concurrent or repeated calls of
	// one user with one key create one record. The first call returns it, and the others return it
	// as it was created, with replayed set. The key has at most [MaxIdempotencyKey] bytes and is
	// kept together with the record, for [IdempotencyTTL] at least.
	//
	// It returns [ErrKeyReused] if the key stands for another record, and [ErrKeyInProgress] if
	// another call with the key takes longer than a caller waits. A call that fails leaves the key
	// free.
	CreateClienteOnce(ctx context.Context, by int64, c Cliente, key string) (
		_ Cliente, replayed bool, _ error)

	// DeleteIdempotencyKeys removes up to limit keys that were first used before the given time,
	// and returns how many it removed.
	DeleteIdempotencyKeys(ctx context.Context, before time.Time, limit int) (int, error)

	// Cliente returns one record, or [ErrNotFound].
	Cliente(ctx context.Context, id int64) (Cliente, error)

	// Clientes returns up to limit records of a selection, those after a position in its order. The
	// zero Position is before all records. The page is a keyset page: without a filter it costs the
	// same wherever it lies. If there are no records, the slice is empty, not nil.
	Clientes(ctx context.Context, s Selection, after Position, limit int) ([]Cliente, error)

	// CountClientes returns the number of records that a filter lets through.
	CountClientes(ctx context.Context, f Filter) (int64, error)

	// EachCliente calls each with every record of a selection, in its order. It sees all records as
	// they stood at one moment, and holds few of them in memory at a time. An error of each ends
	// the walk and is returned unwrapped. The walk takes as long as each does, but at most an hour
	// on an engine that others share.
	EachCliente(ctx context.Context, s Selection, each func(Cliente) error) error

	// UpdateCliente calls update with the record and keeps what update returns, as one atomic step.
	// Version counts up and UpdatedAt is now; ID and CreatedAt stay, whatever update returns. If
	// update alters none of the texts, nothing is written and the record is returned as it was.
	//
	// An error of update is returned unwrapped, and nothing is written. The store may call update
	// again with a newer record. It returns ErrNotFound for an unknown id, and a *ConflictError on
	// "email" if another record has the email.
	UpdateCliente(ctx context.Context, by, id int64,
		update func(Cliente) (Cliente, error)) (Cliente, error)

	// DeleteCliente calls check with the record and removes it if check returns nil, as one atomic
	// step. An error of check is returned unwrapped. It returns ErrNotFound for an unknown id, and
	// so does a second call for the same id.
	DeleteCliente(ctx context.Context, by, id int64, check func(Cliente) error) error

	// RestoreCliente makes the texts of a [Change] those of the record again, as a new version and
	// one atomic step. A record that was deleted comes back with its ID and CreatedAt. If the
	// record has these texts, nothing is written and it is returned as it was.
	//
	// It calls check with the record as it is, or with the zero Cliente if there is none. An error
	// of check is returned unwrapped, and nothing is written. The store may call check again. It
	// returns ErrNotFound if the history of the id has no change of this version, and a
	// *ConflictError on "email" if another record has the email.
	RestoreCliente(ctx context.Context, by, id, version int64, check func(Cliente) error) (
		Cliente, error)

	// ClienteHistory returns up to limit changes of one record, the newest first: those below a
	// version, or all if below is 0. A change is kept in the same step as the record, and stays
	// when the record is deleted. The slice is empty, not nil, if no change matches, which includes
	// a record that was last changed before histories were kept. It returns ErrNotFound for an id
	// that no record has or had.
	ClienteHistory(ctx context.Context, id, below int64, limit int) ([]Change, error)

	// ImportClientes keeps all rows as new records, in their order, or none of them. It returns how
	// many there are. The rows must be valid, and it may iterate over them again. An error that
	// they yield is returned unwrapped.
	//
	// If two rows have the same email, or a row and another record, it returns a [*RowsError],
	// which counts rows from 1. The call may take minutes. On SQLite all other writers, logins
	// included, wait meanwhile or give up with ErrUnavailable.
	ImportClientes(ctx context.Context, by int64, rows iter.Seq2[Cliente, error]) (int64, error)

	// CheckImport returns what ImportClientes would return, but keeps nothing and delays nobody.
	CheckImport(ctx context.Context, rows iter.Seq2[Cliente, error]) (int64, error)
}

// Text is one writable text of a [Cliente].
type Text struct {
	*TextRule
	Value *string // may be set
}

// TextRule is the name of a text and what makes one valid. It never changes. A [Text] points to its
// rule because a page of customers copies hundreds of texts.
type TextRule struct {
	Name string // the member's name on the wire, in CSV files and in the databases
	Max  int    // the longest text after normalization: in code points, an email in bytes

	validate func(v *invalid, field, s string, limit int) string
	searched int // how Cliente.Matches looks at the text: unsearched, fromBeginning or anywhere
}

// textRules are in the order in which the texts are shown.
var textRules = [...]*TextRule{
	{"name", MaxName, (*invalid).name, fromBeginning},
	{"email", MaxEmail, (*invalid).email, fromBeginning},
	{"phone", 40, (*invalid).phone, anywhere},
	{"company", 200, (*invalid).line, fromBeginning},
	{"address", 500, (*invalid).lines, unsearched},
	{"notes", MaxNotes, (*invalid).lines, unsearched},
}

// ClienteTexts is the number of writable texts of a [Cliente].
const ClienteTexts = len(textRules)

// Texts returns the writable texts of c, in the order of their rules. Validation, comparison, the
// fingerprint, search, the engines' statements, JSON, CSV and merge patches all go by this one
// table. If a text of the rules is missing here, the package does not compile.
func (c *Cliente) Texts() [ClienteTexts]Text {
	return [...]Text{
		{textRules[0], &c.Name},
		{textRules[1], &c.Email},
		{textRules[2], &c.Phone},
		{textRules[3], &c.Company},
		{textRules[4], &c.Address},
		{textRules[5], &c.Notes},
	}
}

// TextNames returns the names of the writable texts of a [Cliente], in the order of their rules.
func TextNames() []string {
	names := make([]string, ClienteTexts)
	for i, rule := range textRules {
		names[i] = rule.Name
	}
	return names
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

// Validate returns c with its texts in the form that is stored: NFC, no white space around name,
// email and phone, and one newline for each end of a line. If any field is at fault, it returns an
// [*InvalidError] that lists all of them.
func (c Cliente) Validate() (Cliente, error) {
	var v invalid
	for _, t := range c.Texts() {
		*t.Value = t.validate(&v, t.Name, *t.Value, t.Max)
	}
	if message := mangledPhone(c.Phone); message != "" {
		v.add("phone", "mangled", message)
	}
	return c, v.err()
}

var (
	// exponent matches a phone in a spreadsheet's scientific notation. Smaller powers of ten have
	// fewer digits than a phone.
	exponent = regexp.MustCompile(
		`(?i)^[+-]?(?:[0-9]{1,3}(?:[.,][0-9]*)?E\+?|[0-9]+E\+)(?:0?[6-9]|[1-9][0-9])$`)

	// fraction matches a phone that a program has taken for a number. The mark before the fraction
	// differs from that between thousands, which may stand in a phone.
	fraction = regexp.MustCompile(`^(?:[0-9]{7,}[.,]|[0-9]{1,3}(?:(?:\.[0-9]{3}){2,},|` +
		`(?:,[0-9]{3}){2,}\.|(?:[ '’\x{a0}\x{202f}][0-9]{3}){2,}[.,]))00?$`)

	// moment matches one that a program has taken for a date.
	moment = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}`)
)

// mangledPhone returns a sentence about a phone that a program has taken for a number and spoiled.
// It is "" for any other.
func mangledPhone(phone string) string {
	if !strings.ContainsAny(phone, "eE.,:") {
		return "" // without the regular expressions, which take longer
	}
	phone = strings.TrimSpace(phone)
	switch {
	case exponent.MatchString(phone):
		return "A spreadsheet has rounded this phone, and its last digits are lost. " +
			"Format the column as text there, and enter the phone again."
	case fraction.MatchString(phone):
		return "A program has taken this phone for a number; leave out the " +
			phone[strings.LastIndexAny(phone, ".,"):] + " at its end."
	case moment.MatchString(phone):
		return "A program has taken this phone for a date; enter the phone again."
	}
	return ""
}
