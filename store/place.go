package store

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// MigrationTable is the table in which every engine notes the migrations of a database.
const MigrationTable = "clientes_migrations"

// Earlier programs noted the migrations up to LastEarly in EarlyTable, and those after it in
// MigrationTable. EarlyTable has the name that goose uses by default, so it may belong to another
// program.
const (
	EarlyTable = "goose_db_version"
	LastEarly  = 14
)

// MadeTable is a table that a migration makes.
type MadeTable struct {
	Name    string
	Version int64    // of the migration
	Columns []string // those it has from the beginning; none if the table is a virtual one
}

var (
	createTable = regexp.MustCompile(`(?ms)^CREATE (VIRTUAL )?TABLE (\w+) .*?^\)`)
	columnLine  = regexp.MustCompile(`(?m)^\t([a-z_]+) `)
)

// MadeTables returns the tables that a migration makes, in the form of the files in migrations: a
// statement begins at the beginning of a line, and each column has a line of its own.
func MadeTables(version int64, text string) (made []MadeTable) {
	up, _, _ := strings.Cut(text, "-- +goose Down")
	for _, create := range createTable.FindAllStringSubmatch(up, -1) {
		t := MadeTable{Name: create[2], Version: version}
		if create[1] == "" {
			for _, column := range columnLine.FindAllStringSubmatch(create[0], -1) {
				t.Columns = append(t.Columns, column[1])
			}
		}
		made = append(made, t)
	}
	return made
}

// Place is what an engine finds where a database of this program is, or is to be made.
type Place struct {
	Name   string              // "the schema public of the database shop"
	Own    string              // what to do if the place belongs to something else
	Mark   string              // by what another program has marked it as its own, or ""
	Tables map[string][]string // the columns of each table and view, by its name

	Noted    []Migration // in MigrationTable
	Early    []Migration // in EarlyTable, whoever wrote them there
	Required int64       // see [Schema]
}

// Ours reports whether any table there is one that this program has made. Tables of other programs
// may have the same names, so it compares the columns, too.
func (p Place) Ours(made []MadeTable) bool {
	return slices.ContainsFunc(made, func(t MadeTable) bool {
		return len(t.Columns) > 0 && p.holds(t)
	})
}

func (p Place) holds(t MadeTable) bool {
	columns, found := p.Tables[t.Name]
	for _, column := range t.Columns {
		found = found && slices.Contains(columns, column)
	}
	return found
}

// HasNotes reports whether a table has the columns of one in which goose notes migrations.
func (p Place) HasNotes(table string) bool {
	return p.holds(MadeTable{Name: table, Columns: []string{"version_id", "is_applied", "tstamp"}})
}

// Schema merges the migrations of this program with those that the place holds. It reports whether
// EarlyTable has some of ours that MigrationTable lacks. It returns a [*PlaceError] if the place
// belongs to something else, or if the tables there are not those that its migrations have made.
func (p Place) Schema(known []Migration, made []MadeTable) (s Schema, carry bool, err error) {
	applied := p.Noted
	isFirst := func(m Migration) bool { return m.Version == 1 }
	switch {
	case p.Ours(made):
		if !slices.ContainsFunc(applied, isFirst) {
			for _, m := range p.Early {
				if m.Version <= LastEarly {
					applied, carry = append(applied, m), true
				}
			}
		}
	case len(applied) == 0:
		err = p.checkFree()
	}
	s = Schema{Migrations: MergeMigrations(known, applied), Required: p.Required}
	if err == nil && s.CheckRequired() == nil {
		err = p.checkTables(s, made)
	}
	return s, carry, err
}

// checkFree refuses a place that something else uses. A table of migrations without any is left of
// a start that was interrupted.
func (p Place) checkFree() error {
	others := maps.Clone(p.Tables)
	if p.HasNotes(MigrationTable) {
		delete(others, MigrationTable)
	}
	if len(p.Early) == 0 && p.HasNotes(EarlyTable) {
		delete(others, EarlyTable)
	}
	fault := ""
	switch {
	case len(others) > 0:
		fault = fmt.Sprintf("%s has tables of something else (%s)", p.Name,
			someOf(slices.Sorted(maps.Keys(others))))
	case p.Mark != "":
		fault = fmt.Sprintf("%s belongs to something else (%s)", p.Name, p.Mark)
	default:
		return nil
	}
	return &PlaceError{Fault: fault, Cure: p.Own, Foreign: true}
}

// checkTables compares the tables with the migrations that are noted.
func (p Place) checkTables(s Schema, made []MadeTable) error {
	applied := make(map[int64]bool)
	for _, m := range s.Migrations {
		applied[m.Version] = m.Applied
	}
	var missing, unknown, taken []string
	for _, t := range made {
		_, exists := p.Tables[t.Name]
		switch holds := p.holds(t); {
		case applied[t.Version] && !holds:
			missing = append(missing, t.Name)
		case !applied[t.Version] && holds:
			unknown = append(unknown, t.Name)
		case !applied[t.Version] && exists:
			taken = append(taken, t.Name)
		}
	}
	fault := ""
	switch {
	case len(taken) > 0:
		return &PlaceError{
			Fault: fmt.Sprintf("%s has something else of a name that a table of clientes is to have (%s)",
				p.Name, someOf(taken)),
			Cure: "rename it",
		}
	case len(missing) > 0:
		fault = fmt.Sprintf("%s lacks tables of clientes that its migrations made (%s)", p.Name,
			someOf(missing))
	case len(unknown) > 0:
		fault = fmt.Sprintf("%s has tables of clientes (%s) whose migrations are not noted in %s",
			p.Name, someOf(unknown), MigrationTable)
	default:
		return nil
	}
	return &PlaceError{Fault: fault, Cure: "restore a backup that has all, or " + p.Own}
}

// someOf lists the first few names.
func someOf(names []string) string {
	const most = 5
	if more := len(names) - most; more > 0 {
		names = append(names[:most:most], fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}
