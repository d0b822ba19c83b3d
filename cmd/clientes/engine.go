package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"clientes/cmd/clientes/config"
	"clientes/store"
	"clientes/store/postgres"
	"clientes/store/sqlite"
)

// engine is one of the two kinds of database, chosen by the scheme of a URL.
type engine struct {
	open    func(ctx context.Context, url string, o store.Options) (store.Store, error)
	migrate func(ctx context.Context, url string, report func(store.MigrationProgress)) error
	schema  func(ctx context.Context, url string) (store.Schema, error)
	shown   func(url string) string // without passwords
	canMake func(url string) error  // why no fresh database can be made there, if that is clear
	examine func(ctx context.Context, url string) []store.Finding
}

// engineOf returns the engine of a URL in which [config.CheckDatabaseURL] found no fault.
func engineOf(databaseURL string) engine {
	if postgres.IsURL(databaseURL) {
		return engine{
			open: func(ctx context.Context, url string, o store.Options) (store.Store, error) {
				return postgres.Open(ctx, url, o)
			},
			migrate: postgres.MigrateReporting,
			schema:  postgres.Schema,
			shown:   postgres.MaskURL,
			canMake: func(string) error { return nil }, // only trying would tell
			examine: postgres.Examine,
		}
	}
	return engine{
		open: func(ctx context.Context, url string, o store.Options) (store.Store, error) {
			return sqlite.Open(ctx, url, o)
		},
		migrate: sqlite.MigrateReporting,
		schema:  sqlite.Schema,
		shown:   sqlite.MaskURL,
		canMake: sqlite.CanMake,
		examine: sqlite.Examine,
	}
}

// errNoTables means that a database has never been migrated.
var errNoTables = errors.New("there is nothing in the database yet: `clientes migrate` makes its tables, " +
	"`clientes quickstart` also fills them")

// noFileError is an [errNoTables] of an embedded database of which there is not even the file.
type noFileError struct {
	path string // absolute, so that a wrong folder is noticed
}

func (e *noFileError) Error() string {
	return fmt.Sprintf("there is no database %s: go to the folder of the server, or correct DATABASE_URL; "+
		"`clientes migrate` makes that database, `clientes quickstart` also fills it", e.path)
}

func (e *noFileError) Is(target error) bool { return target == errNoTables }

// noTables returns the error for a database that was never migrated.
func noTables(databaseURL string) error {
	if path, ok := absent(databaseURL); ok {
		return &noFileError{path}
	}
	return errNoTables
}

// absent returns the path of an embedded database, and whether there is no such file.
func absent(databaseURL string) (path string, _ bool) {
	if !sqlite.IsURL(databaseURL) {
		return "", false
	}
	path = strings.TrimPrefix(databaseURL, "sqlite:")
	_, err := os.Stat(path)
	if whole, err := filepath.Abs(path); err == nil {
		path = whole
	}
	return path, errors.Is(err, fs.ErrNotExist)
}

// errUnfinishedCopy means that a database holds only a part of another one.
var errUnfinishedCopy = errors.New("a copy into this database was begun and is not finished: " +
	"give the same `clientes copy` again and it goes on, or drop the database")

// openMigrated opens the store after it applied the migrations that the database lacks. It also
// returns whether these were all, so that it has made the database.
func openMigrated(
	ctx context.Context, databaseURL string, tell tellMigration, o store.Options,
) (made bool, st store.Store, err error) {
	made, st, err = migrateAndOpen(ctx, databaseURL, tell, o)
	st, err = whole(ctx, st, err)
	return made, st, err
}

func migrateAndOpen(
	ctx context.Context, databaseURL string, tell tellMigration, o store.Options,
) (made bool, st store.Store, err error) {
	e := engineOf(databaseURL)
	made, err = e.migrateTelling(ctx, databaseURL, tell)
	if err != nil {
		return made, nil, err
	}
	st, err = e.open(ctx, databaseURL, o)
	return made, st, err
}

// openToAdd opens the store for a command that adds to it. It makes a fresh database, and says so
// on standard error. It leaves an older one alone, since the servers that run on it may not know
// another schema. [program.configureToAdd] comes before it.
func (p *program) openToAdd(ctx context.Context, c config.Config) (store.Store, error) {
	st, err := openExisting(ctx, c.DatabaseURL)
	if !errors.Is(err, errNoTables) {
		return st, err
	}
	if err := engineOf(c.DatabaseURL).canMake(c.DatabaseURL); err != nil {
		return nil, err
	}
	made := "the tables in " + engineOf(c.DatabaseURL).shown(c.DatabaseURL)
	if path, ok := absent(c.DatabaseURL); ok {
		made = "the database " + path
	}
	// A quick one, of which there is nothing to tell.
	_, st, err = openMigrated(ctx, c.DatabaseURL, tellTo(io.Discard), store.Options{})
	if err == nil {
		fmt.Fprintf(p.stderr, "clientes: made %s\n", made)
	}
	return st, err
}

// configureToAdd is [program.configure] for a command that makes a database if there is none. Where
// nothing is set and nothing is there, somebody is probably in the wrong folder, and gets an error.
func (p *program) configureToAdd() (config.Config, error) {
	c, err := p.configure()
	if err != nil {
		return c, err
	}
	if path, ok := absent(c.DatabaseURL); ok && c.IsUnset() {
		return c, fmt.Errorf("there is no database %s, no .env beside it, and DATABASE_URL is not set: go to "+
			"the folder of the server, or give `clientes migrate` first to make that database", path)
	}
	return c, nil
}

// openToCheck opens the store for a command that only says what [program.openToAdd] would lead to.
// For a fresh database, which must not be made, it returns an empty store.
func openToCheck(ctx context.Context, databaseURL string) (store.Store, error) {
	st, err := openExisting(ctx, databaseURL)
	if errors.Is(err, errNoTables) {
		return emptyStore{}, engineOf(databaseURL).canMake(databaseURL)
	}
	return st, err
}

// emptyStore answers what dry runs want to know of a store, as one with nothing in it.
type emptyStore struct{ store.Store }

func (emptyStore) CheckImport(
	ctx context.Context, rows iter.Seq2[store.Cliente, error],
) (int64, error) {
	return store.CheckEmails(ctx, rows, func(string) (bool, error) { return false, nil })
}

func (emptyStore) CheckUsers(_ context.Context, users []store.User) error {
	return store.TakenUsers(users, make(map[string]bool), make(map[string]bool))
}

func (emptyStore) Close() error { return nil }

// openExisting opens the store for a command that needs what is in it, to read or to change that.
// It makes no tables: a fresh database is errNoTables.
func openExisting(ctx context.Context, databaseURL string) (store.Store, error) {
	st, err := openReady(ctx, databaseURL)
	return whole(ctx, st, err)
}

// openToCopyInto opens or makes the store for the one command that may use a database before a copy
// into it is finished.
func openToCopyInto(ctx context.Context, databaseURL string) (store.Store, error) {
	st, err := openReady(ctx, databaseURL)
	if errors.Is(err, errNoTables) {
		_, st, err = migrateAndOpen(ctx, databaseURL, tellTo(io.Discard), store.Options{})
	}
	return st, err
}

// isFresh reports whether a database with this schema was never migrated.
func isFresh(schema store.Schema) bool {
	applied := func(m store.Migration) bool { return m.Applied }
	return !slices.ContainsFunc(schema.Migrations, applied)
}

// openReady opens the store if this program can work with its schema. A database without one is
// errNoTables. It does not ask [store.Store.Ready], which writes.
func openReady(ctx context.Context, databaseURL string) (store.Store, error) {
	e := engineOf(databaseURL)
	schema, err := e.schema(ctx, databaseURL)
	switch {
	case err != nil:
		return nil, err
	case isFresh(schema):
		return nil, noTables(databaseURL)
	}
	if err := schema.Check(); err != nil {
		return nil, err
	}
	return e.open(ctx, databaseURL, store.Options{})
}

// whole returns what an opening returned. If a copy into the store is unfinished, it closes the
// store and returns errUnfinishedCopy.
func whole(ctx context.Context, st store.Store, err error) (store.Store, error) {
	if err != nil {
		return nil, err
	}
	is, err := st.Identity(ctx)
	if err == nil && is.Copying != "" {
		err = errUnfinishedCopy
	}
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return st, nil
}
