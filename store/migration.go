package store

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

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
// version. Both must be in this order. A migration that only the database holds has no Name.
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

// CheckKnown returns [ErrSchema] if a database holds a migration that this program does not know.
func CheckKnown(has []Migration) error {
	for _, m := range has {
		if m.Name == "" {
			return fmt.Errorf("a newer program has migrated it to version %d: %w",
				m.Version, ErrSchema)
		}
	}
	return nil
}

// CheckMigrations returns ErrSchema if a database lacks a migration, or holds one that this program
// does not know.
func CheckMigrations(has []Migration) error {
	for _, m := range has {
		if !m.Applied {
			return fmt.Errorf("migration %s is missing: %w", m.Name, ErrSchema)
		}
	}
	return CheckKnown(has)
}
