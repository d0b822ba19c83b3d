package store

import (
	"context"
	"slices"
	"time"
)

// Table describes one table of a database to a copy.
type Table struct {
	Name    string
	Columns []Column
	Key     int  // how many of the columns, from the first one on, are the primary key
	IDs     bool // the key is an id, which the engine assigns and never uses twice
}

// Column is one column of a [Table].
type Column struct {
	Name string
	Kind Kind
}

// Kind is the type of the Go values in a column.
type Kind int

// The kinds of columns.
const (
	KindInteger    Kind = iota // an int64
	KindText                   // a string
	KindBoolean                // a bool
	KindTime                   // a time.Time, see Instant
	KindTimeOrNull             // a time.Time, or nil
)

// Names returns the names of the columns. The first Key of them are the primary key.
func (t Table) Names() []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}

// KeyOf returns the key of a row.
func (t Table) KeyOf(row []any) []any { return row[:t.Key:t.Key] }

// Tables returns every table whose rows a copy takes along, in an order in which they can be
// written: a table comes after those that it refers to. What an engine derives from these is
// missing (indexes, the order in which sessions ended), and so is the identity of the database.
func Tables() []Table {
	return []Table{
		{Name: "users", Key: 1, IDs: true, Columns: slices.Concat(
			integers("id", "generation", "link_generation", "mark_generation", "mfa_last_step"),
			texts("name", "name_key", "email", "email_key", "pending_email", "role",
				"password_hash", "mfa_secret", "mfa_recovery"),
			booleans("disabled", "mfa_on"),
			times("created_at", "updated_at"))},
		{Name: "sessions", Key: 1, Columns: slices.Concat(
			texts("id", "ip", "user_agent", "amr",
				"key_hash", "key_name", "key_role", "key_scopes"),
			integers("user_id", "counter", "parent"),
			booleans("remembered"),
			times("rotated_at", "created_at", "last_used_at", "expires_at", "token_exp"),
			timesOrNull("ended_at"))},
		{Name: "addresses", Key: 2, Columns: slices.Concat(
			integers("user_id"),
			texts("prefix"),
			times("last_seen"))},
		{Name: "attempts", Key: 1, Columns: slices.Concat(
			texts("key"),
			integers("count"),
			times("since", "last_at", "blocked_until", "forget_at"))},
		{Name: "mails", Key: 1, IDs: true, Columns: slices.Concat(
			integers("id", "user_id", "link_generation", "tries"),
			texts("kind", "address", "detail"),
			times("created_at", "next_try"))},
		{Name: "audit", Key: 1, IDs: true, Columns: slices.Concat(
			integers("id", "user_id", "actor_id", "cliente_id", "count"),
			texts("kind", "ip", "user_agent", "request_id", "detail", "key"),
			times("window_at", "at", "last_at"))},
		{Name: "clientes", Key: 1, IDs: true, Columns: slices.Concat(
			integers("id", "version"),
			texts(TextNames()...),
			texts("name_key", "email_key", "search"),
			times("created_at", "updated_at"))},
		{Name: "cliente_history", Key: 2, Columns: slices.Concat(
			integers("cliente_id", "version", "user_id", "seq"),
			texts("action", "user_name"),
			booleans("restored"),
			integers("erased"),
			texts(TextNames()...),
			times("at", "created_at", "updated_at"))},
		{Name: "idempotency_keys", Key: 2, Columns: slices.Concat(
			integers("user_id"),
			texts("key", "fingerprint"),
			integers("cliente_id"),
			times("used_at"))},
		{Name: "erasures", Key: 1, Columns: slices.Concat(
			integers("cliente_id", "version"),
			times("at"))},
		{Name: "erased_users", Key: 1, Columns: slices.Concat(
			integers("user_id"),
			times("at"),
			timesOrNull("checked_at"))},
	}
}

func integers(names ...string) []Column    { return columns(KindInteger, names) }
func texts(names ...string) []Column       { return columns(KindText, names) }
func booleans(names ...string) []Column    { return columns(KindBoolean, names) }
func times(names ...string) []Column       { return columns(KindTime, names) }
func timesOrNull(names ...string) []Column { return columns(KindTimeOrNull, names) }

func columns(kind Kind, names []string) []Column {
	all := make([]Column, len(names))
	for i, name := range names {
		all[i] = Column{name, kind}
	}
	return all
}

// Identity names a database.
type Identity struct {
	ID      string // unique, unless the database was restored or cloned
	Copying string // the source of an unfinished copy into this one; "" if there is none

	OrderBegan time.Time // when the order of its changes began: see FeedPosition
}

// Extent is how much a table holds.
type Extent struct {
	Rows    int64
	LastKey []any // of the last row by ascending key, nil if there is no row
	LastID  int64 // the highest id that was ever used, 0 if none was or Table.IDs is false
}

// Copying copies everything from one database into another, of the same engine or not, row by row.
// A copy may take any number of calls, by any number of processes. From BeginCopy to FinishCopy the
// target is incomplete and its Identity says so: only the copy may use it.
type Copying interface {
	// Identity returns which database this is, and whether it is complete.
	Identity(ctx context.Context) (Identity, error)

	// Extent returns how much a table holds. It looks at every row.
	Extent(ctx context.Context, t Table) (Extent, error)

	// ReadRows returns up to limit rows of a table, by ascending key; texts are ordered byte by
	// byte. It begins after a key, or with nil at the first row. A row has a value for each column
	// of the table, of the type that its Kind names. If there are no rows, the slice is empty, not
	// nil.
	ReadRows(ctx context.Context, t Table, after []any, limit int) ([][]any, error)

	// BeginCopy notes that the database with the ID source is being copied into this one. It may be
	// called again for the same source. It returns [ErrNotEmpty], and changes nothing, if this
	// database has any row or another copy is under way.
	BeginCopy(ctx context.Context, source string) error

	// WriteRows adds rows that ReadRows of the source returned, all of them or none. It returns
	// [ErrCopyDisturbed] if no copy of the source is under way, or if a row conflicts with one that
	// is there.
	WriteRows(ctx context.Context, source string, t Table, rows [][]any) error

	// FinishCopy makes the copied database complete. From then on no table assigns an id up to its
	// entry in lastIDs; these are the LastID of the source's Extent. Sessions that had ended get
	// the next place in this database's own order, so SessionEnds returns them for every earlier
	// Watermark. Positions in the Feed of the source are good in the copy. It returns
	// ErrCopyDisturbed if no copy of the source is under way.
	FinishCopy(ctx context.Context, source Identity, lastIDs map[string]int64) error
}
