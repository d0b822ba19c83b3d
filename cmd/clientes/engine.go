package main

import (
	"context"
	"errors"
	"io"
	"slices"

	"clientes/store"
	"clientes/store/postgres"
	"clientes/store/sqlite"
)

// engine is one of the two kinds of database, chosen by the scheme of a URL.
type engine struct {
	open       func(ctx context.Context, url string) (store.Store, error)
	migrate    func(ctx context.Context, url string, report func(store.MigrationProgress)) error
	migrations func(ctx context.Context, url string) ([]store.Migration, error)
}

// engineOf returns the engine of a URL in which [config.CheckDatabaseURL] found no fault.
func engineOf(databaseURL string) engine {
	if postgres.IsURL(databaseURL) {
		return engine{
			open: func(ctx context.Context, url string) (store.Store, error) {
				return postgres.Open(ctx, url, store.Options{})
			},
			migrate:    postgres.MigrateReporting,
			migrations: postgres.Migrations,
		}
	}
	return engine{
		open: func(ctx context.Context, url string) (store.Store, error) {
			return sqlite.Open(ctx, url, store.Options{})
		},
		migrate:    sqlite.MigrateReporting,
		migrations: sqlite.Migrations,
	}
}

// errNoTables means that a database has never been migrated.
var errNoTables = errors.New("there is nothing in the database yet: `clientes migrate` makes its tables, " +
	"`clientes quickstart` also fills them")

// errUnfinishedCopy means that a database holds only a part of another one.
var errUnfinishedCopy = errors.New("a copy into this database was begun and is not finished: " +
	"give the same `clientes copy` again and it goes on, or drop the database")

// openMigrated opens the store after it applied the migrations that the database lacks.
func openMigrated(
	ctx context.Context, databaseURL string, tell tellMigration,
) (store.Store, error) {
	st, err := migrateAndOpen(ctx, databaseURL, tell)
	return whole(ctx, st, err)
}

func migrateAndOpen(
	ctx context.Context, databaseURL string, tell tellMigration,
) (store.Store, error) {
	e := engineOf(databaseURL)
	if err := e.migrateTelling(ctx, databaseURL, tell); err != nil {
		return nil, err
	}
	return e.open(ctx, databaseURL)
}

// openToWrite opens the store for a command that writes. It makes the tables of a fresh database.
// It leaves an older one alone, since the servers that run on it may not know another schema.
func openToWrite(ctx context.Context, databaseURL string) (store.Store, error) {
	st, err := openToRead(ctx, databaseURL)
	if errors.Is(err, errNoTables) {
		return openMigrated(ctx, databaseURL, tellTo(io.Discard)) // a quick one
	}
	return st, err
}

// openToRead opens the store for a command that must not change it. A fresh database is
// errNoTables.
func openToRead(ctx context.Context, databaseURL string) (store.Store, error) {
	st, err := openReady(ctx, databaseURL)
	return whole(ctx, st, err)
}

// openToCopyInto is [openToWrite] for the one command that may use a database before a copy into it
// is finished.
func openToCopyInto(ctx context.Context, databaseURL string) (store.Store, error) {
	st, err := openReady(ctx, databaseURL)
	if errors.Is(err, errNoTables) {
		return migrateAndOpen(ctx, databaseURL, tellTo(io.Discard))
	}
	return st, err
}

// openReady opens the store if this program can work with its schema. A database without one is
// errNoTables.
func openReady(ctx context.Context, databaseURL string) (store.Store, error) {
	e := engineOf(databaseURL)
	migrations, err := e.migrations(ctx, databaseURL)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(migrations, func(m store.Migration) bool { return m.Applied }) {
		return nil, errNoTables
	}
	if err := (store.Schema{Migrations: migrations}).Check(); err != nil {
		return nil, err
	}
	return e.open(ctx, databaseURL)
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
