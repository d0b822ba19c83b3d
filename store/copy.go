package store

import (
	"context"
	"slices"
)

// Table is what a copy of a database has to know of one of its tables.
type Table struct {
	Name    string
	Columns []Column
	Key     int  // how many of the columns, from the first one on, are the primary key
	IDs     bool // the key is an id, which the engine gives and never gives twice
}

// Column is one column of a Table.
type Column struct {
	Name string
	Kind Kind
}

// Kind says which Go value a column holds.
type Kind int

// The kinds of columns.
const (
	KindInteger    Kind = iota // an int64
	KindText                   // a string
	KindBoolean                // a bool
	KindTime                   // a time.Time, see Instant
	KindTimeOrNull             // a time.Time, or nil
)

// Names gives the names of the columns. The first Key of them are those of the key.
func (t Table) Names() []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}

// KeyOf gives the key of a row.
func (t Table) KeyOf(row []any) []any { return row[:t.Key:t.Key] }

// Tables gives every table whose rows a copy takes along, in an order in which they can be written: one that another
// names comes before it. Not among them is what an engine makes anew of these (indexes, the place of each end in the
// order in which sessions ended), and what says which database it is.
func Tables() []Table {
	return []Table{
		{Name: "users", Key: 1, IDs: true, Columns: slices.Concat(integers("id"),
			texts("name", "name_key", "email", "email_key", "pending_email", "role", "password_hash"), booleans("disabled"),
			integers("generation", "link_generation", "mark_generation"), texts("mfa_secret", "mfa_recovery"),
			booleans("mfa_on"), integers("mfa_last_step"), times("created_at", "updated_at"))},
		{Name: "sessions", Key: 1, Columns: slices.Concat(texts("id"), integers("user_id", "counter", "parent"),
			times("rotated_at", "created_at", "last_used_at", "expires_at", "token_exp"), timesOrNull("ended_at"),
			texts("ip", "user_agent"))},
		{Name: "addresses", Key: 2, Columns: slices.Concat(integers("user_id"), texts("prefix"), times("last_seen"))},
		{Name: "attempts", Key: 1, Columns: slices.Concat(texts("key"), integers("count"),
			times("since", "last_at", "blocked_until", "forget_at"))},
		{Name: "mails", Key: 1, IDs: true, Columns: slices.Concat(integers("id", "user_id"), texts("kind", "address", "detail"),
			integers("link_generation"), times("created_at", "next_try"), integers("tries"))},
		{Name: "audit", Key: 1, IDs: true, Columns: slices.Concat(integers("id"), texts("kind"), integers("user_id", "actor_id"),
			texts("ip", "user_agent", "request_id", "detail", "key"), times("window_at"), integers("count"),
			times("at", "last_at"))},
		{Name: "clientes", Key: 1, IDs: true, Columns: slices.Concat(integers("id", "version"),
			times("created_at", "updated_at"), clienteTexts(), texts("name_key", "email_key", "search"))},
		{Name: "cliente_history", Key: 2, Columns: slices.Concat(integers("cliente_id", "version"),
			texts("action"), integers("user_id"), texts("user_name"),
			times("at", "created_at", "updated_at"), clienteTexts())},
		{Name: "idempotency_keys", Key: 2, Columns: slices.Concat(integers("user_id"), texts("key", "fingerprint"),
			integers("cliente_id"), times("used_at"))},
	}
}

func integers(names ...string) []Column    { return columns(KindInteger, names) }
func texts(names ...string) []Column       { return columns(KindText, names) }
func booleans(names ...string) []Column    { return columns(KindBoolean, names) }
func times(names ...string) []Column       { return columns(KindTime, names) }
func timesOrNull(names ...string) []Column { return columns(KindTimeOrNull, names) }

// clienteTexts returns the columns of a customer's texts.
func clienteTexts() []Column {
	var names []string
	for _, t := range new(Cliente).Texts() {
		names = append(names, t.Name)
	}
	return texts(names...)
}

func columns(kind Kind, names []string) []Column {
	all := make([]Column, len(names))
	for i, name := range names {
		all[i] = Column{name, kind}
	}
	return all
}

// Identity says which database it is that a store keeps everything in.
type Identity struct {
	ID      string // no other database has it, but one that was restored or cloned from this one
	Copying string // the ID of the database of which a copy into this one is not finished; "" if there is none
}

// Extent says how much there is of a table.
type Extent struct {
	Rows    int64
	LastKey []any // of the last row by ascending key, nil if there is no row
	LastID  int64 // the highest id that was ever given, 0 if none was or Table.IDs is false
}

// Copying is what it takes to copy everything from one database into another one, of the same engine or not: row by
// row, as it stands in the tables. A copy takes as many calls as it likes, of as many processes. From BeginCopy to
// FinishCopy the target says so in its Identity, and nothing but the copy should use it, for it is not whole.
type Copying interface {
	// Identity says which database this is, and whether it is whole.
	Identity(ctx context.Context) (Identity, error)

	// Extent says how much there is of a table. It looks at every row.
	Extent(ctx context.Context, t Table) (Extent, error)

	// ReadRows gives up to limit rows of a table, by ascending key (texts byte by byte): those after a key, or with nil
	// from the first one on. A row has a value for each column of the table, of the type that its Kind says.
	ReadRows(ctx context.Context, t Table, after []any, limit int) ([][]any, error)

	// BeginCopy notes that the database with this ID is being copied into this one. Once begun it may be called again.
	// A database that has any row, or into which another one is being copied, is ErrNotEmpty and stays as it is.
	BeginCopy(ctx context.Context, source string) error

	// WriteRows adds rows that ReadRows of the source gave to a table, all of them or none. Not to have begun that copy,
	// or to have finished it, is ErrCopyDisturbed, and so is a row that can not stand beside those that are there.
	WriteRows(ctx context.Context, source string, t Table, rows [][]any) error

	// FinishCopy makes a whole database of what was copied. No id is given any more up to those in lastIDs, by table,
	// which are what Extent of the source says. Sessions that had ended end in the order of this database, so that
	// EndedSessions gives them with every Watermark from before. Not to have begun that copy, or to have finished it, is
	// ErrCopyDisturbed.
	FinishCopy(ctx context.Context, source string, lastIDs map[string]int64) error
}
