package store

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// SchemaVersion is the number of the last migration that this program knows.
const SchemaVersion = 23

// Migration is one numbered step of an engine's schema.
type Migration struct {
	Version int64  // counts from 1, the same number on both engines
	Name    string // the file's name, "" if this program does not know it
	Applied bool
	At      time.Time // when it was applied, the zero time if it was not
}

// Compare orders migrations by version.
func (m Migration) Compare(n Migration) int { return cmp.Compare(m.Version, n.Version) }

// MergeMigrations returns the migrations that a program knows and those that a database holds, by
// version. The known ones must be in this order. A migration that only the database holds has no
// Name.
func MergeMigrations(known, applied []Migration) []Migration {
	all := slices.Clone(known)
	for _, m := range applied {
		m.Applied, m.At = true, Instant(m.At)
		i, found := slices.BinarySearchFunc(all, m, Migration.Compare)
		if found {
			m.Name = all[i].Name
			all[i] = m
		} else {
			all = slices.Insert(all, i, m)
		}
	}
	return all
}

// Schema is the state of a database's schema.
type Schema struct {
	Migrations []Migration // those that this program knows or the database holds, by version

	// Required is the number of the last breaking migration that the database holds. A program must
	// know it in order to write. Whoever does not know a later migration may ignore it.
	Required int64
}

// CheckRequired returns a [*NewerSchemaError] if this program must not write to the database.
func (s Schema) CheckRequired() error {
	if s.Required > SchemaVersion {
		return &NewerSchemaError{Required: s.Required}
	}
	return nil
}

// Check returns [ErrSchema] if the database lacks a migration, or if this program must not write to
// it.
func (s Schema) Check() error {
	if err := s.CheckRequired(); err != nil {
		return err
	}
	for _, m := range s.Migrations {
		if !m.Applied {
			return fmt.Errorf("migration %s is missing: %w", m.Name, ErrSchema)
		}
	}
	return nil
}

// NewerSchemaError is an [ErrSchema] that no migration of this program can end: a newer program has
// changed the database so that this one must not write to it.
type NewerSchemaError struct {
	Required int64 // the migration that a program must know
}

func (e *NewerSchemaError) Error() string {
	return fmt.Sprintf("a newer clientes has changed the database: it takes one that knows "+
		"migration %d, and this one knows %d at most", e.Required, SchemaVersion)
}

// Is reports whether target is ErrSchema.
func (e *NewerSchemaError) Is(target error) bool { return target == ErrSchema }

// MigrationProgress is how far a migration is that is under way.
type MigrationProgress struct {
	Name string // the file's name

	// Done is how many rows are done, and Total how many there are. Both are 0 if the migration
	// does not count them.
	Done, Total int64
}
