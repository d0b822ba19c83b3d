package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	driver "modernc.org/sqlite"
	"zombiezen.com/go/sqlite"

	"clientes/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate creates the file that the URL names, readable by its owner alone, and applies the
// migrations that the database lacks. Any number of processes may call it at once: they take turns,
// by a lock on a file beside it with the suffix ".lock". The system frees the lock when its holder
// dies. It leaves migrations of a newer program alone. If this program must not write beside one of
// them, Migrate returns a [*store.NewerSchemaError] and changes nothing. It also refuses a file
// that is damaged, or whose WAL is of another one.
func Migrate(ctx context.Context, databaseURL string) error {
	return MigrateReporting(ctx, databaseURL, func(store.MigrationProgress) {})
}

// MigrateReporting is [Migrate]. It calls report when a migration begins, and again with each part
// of its rows that is done, where it counts them. The calls come one at a time.
func MigrateReporting(ctx context.Context, databaseURL string,
	report func(store.MigrationProgress)) error {
	path, err := pathOf(databaseURL)
	if err != nil {
		return err
	}
	if err := checkFile(path); err != nil {
		return explain(path, "migrate "+path, fileError(err))
	}
	if err := checkForeign(ctx, path); err != nil {
		return err
	}
	// goose has no lock of its own for SQLite, and without one, concurrent starts fail.
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, 10*time.Millisecond); err != nil {
		return explain(path, "migrate "+path+": wait for the lock", fileError(err))
	}
	defer lock.Close()
	if err := checkBeforeUse(ctx, path); err != nil {
		return explain(path, "migrate "+path, engineError(err))
	}
	if err := migrate(ctx, path, report); err != nil {
		return explain(path, "migrate "+path, engineError(err))
	}
	if err := rebuild(ctx, path, report); err != nil {
		return explain(path, "rebuild "+path, engineError(err))
	}
	return seedAt(ctx, path)
}

// checkBeforeUse returns why the file must not be served as it is.
func checkBeforeUse(ctx context.Context, path string) error {
	allowWriting(path)
	frames, err := checkPair(path)
	if err != nil || isAbsent(path) {
		return err
	}
	return checkDamage(ctx, path, frames)
}

// allowWriting makes the files beside the database writable for their owner if the database is.
// SQLite makes them with the mode of the database. So a database that was read-only once would stay
// so, whatever its own mode is now. It opens none of them, which would cost this process its locks.
func allowWriting(path string) {
	info, err := os.Stat(path)
	if err != nil || info.Mode()&0o200 == 0 {
		return
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if beside, err := os.Stat(path + suffix); err == nil && beside.Mode()&0o200 == 0 {
			os.Chmod(path+suffix, info.Mode().Perm()) // if it fails, the call that writes says why
		}
	}
}

func isAbsent(path string) bool {
	info, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0
}

// Schema returns the state of the database's schema. An absent file lacks all migrations and stays
// absent.
func Schema(ctx context.Context, databaseURL string) (store.Schema, error) {
	path, err := pathOf(databaseURL)
	if err != nil {
		return store.Schema{}, err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			return store.Schema{}, explain(path, "look at "+path, err)
		}
		all, err := known()
		return store.Schema{Migrations: all}, err
	}
	if err := checkForeign(ctx, path); err != nil {
		return store.Schema{}, err
	}
	var bad *badFileError
	if _, err := checkPair(path); errors.As(err, &bad) {
		return store.Schema{}, err
	}
	p, err := placeAt(ctx, path)
	if err != nil {
		return store.Schema{}, explain(path, "read the migrations of "+path, err)
	}
	return p.Schema, nil
}

// checkFile refuses a file that is no database, before anything is created beside it: a path that
// was meant for something else should not get a lock file.
func checkFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return syscall.EISDIR
	case !info.Mode().IsRegular():
		return errors.New("it is not a file; correct DATABASE_URL")
	case info.Size() == 0:
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	const magic = "SQLite format 3\x00" // https://www.sqlite.org/fileformat2.html
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(file, head); err != nil || string(head) != magic {
		return errors.New("it is a file of something else, not an SQLite database; " +
			"name another file in DATABASE_URL")
	}
	return nil
}

// migrate does the work of Migrate for the holder of the lock.
func migrate(ctx context.Context, path string,
	report func(store.MigrationProgress)) (err error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		// SQLite would create a file that everyone may read, password hashes included. The files
		// that SQLite puts beside it get its mode.
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		file.Close()
	}
	p, err := placeAt(ctx, path)
	if err != nil {
		return err
	}
	if err := p.CheckRequired(); err != nil {
		return err
	}
	if p.Check() == nil && !p.carry {
		return nil
	}

	connector, err := driver.NewConnector(dsn(path))
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, db.Close()) }()
	// Without one transaction around it: see repairClientes.
	repair := func(ctx context.Context, db *sql.DB) error {
		return repairClientes(ctx, db, report)
	}
	apply := func(m store.Migration, table string, last int64) error {
		report(store.MigrationProgress{Name: m.Name})
		provider, err := provider(db, table, last,
			goose.NewGoMigration(foldVersion, &goose.GoFunc{RunTx: foldClientes}, nil),
			goose.NewGoMigration(repairVersion, &goose.GoFunc{RunDB: repair}, nil))
		if err != nil {
			return err
		}
		_, err = provider.UpByOne(ctx)
		return migrationError(ctx, m, err)
	}
	for _, m := range p.Migrations {
		// Programs that know only the early ones are not ready beside those that they do not know.
		if p.carry && !m.Applied && m.Version <= store.LastEarly {
			if err := apply(m, store.EarlyTable, store.LastEarly); err != nil {
				return err
			}
		}
	}
	if p.carry {
		if err := carryOver(ctx, db); err != nil {
			return fmt.Errorf("note the migrations in %s: %w", store.MigrationTable,
				engineError(err))
		}
	}
	for _, m := range p.Migrations {
		if !m.Applied && (!p.carry || m.Version > store.LastEarly) {
			if err := apply(m, store.MigrationTable, store.SchemaVersion); err != nil {
				return err
			}
		}
	}
	p, err = placeAt(ctx, path)
	if err != nil {
		return err
	}
	return p.Check()
}

// migrationError returns SQLite's word for a migration that failed, without goose's.
func migrationError(ctx context.Context, m store.Migration, err error) error {
	if e := (*driver.Error)(nil); errors.As(err, &e) {
		err = e
	}
	err = engineError(err)
	if known := (*store.EngineError)(nil); err == nil || errors.As(err, &known) ||
		ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("migration %s: %w", m.Name, err)
}

// carryOver notes the migrations in our own table that are noted in goose's. They stay there, too:
// earlier programs read both tables.
func carryOver(ctx context.Context, db *sql.DB) (err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	ours, err := database.NewStore(goose.DialectSQLite3, store.MigrationTable)
	if err != nil {
		return err
	}
	exists := false
	err = tx.QueryRowContext(ctx, `
		SELECT EXISTS (
			SELECT 1
			FROM sqlite_schema
			WHERE type = 'table' AND name = ?)`, store.MigrationTable).Scan(&exists)
	if err == nil && !exists {
		err = ours.CreateVersionTable(ctx, tx)
	}
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO `+store.MigrationTable+` (version_id, is_applied, tstamp)
		SELECT version_id, 1, coalesce(min(tstamp), datetime('now'))
		FROM `+store.EarlyTable+`
		WHERE is_applied AND version_id <= ? AND version_id NOT IN (
			SELECT version_id
			FROM `+store.MigrationTable+`)
		GROUP BY version_id
		ORDER BY version_id`,
		store.LastEarly)
	if err != nil {
		return err
	}
	return tx.Commit()
}

// provider returns what applies the migrations up to last and notes them in the table.
func provider(db *sql.DB, table string, last int64, inGo ...*goose.Migration) (
	*goose.Provider, error) {
	all, err := known()
	if err != nil {
		return nil, err
	}
	var later []int64
	for _, m := range all {
		if m.Version > last {
			later = append(later, m.Version)
		}
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, files,
		goose.WithTableName(table), goose.WithExcludeVersions(later),
		goose.WithGoMigrations(inGo...), goose.WithAllowOutofOrder(true),
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
}

// dsn names the file for database/sql. Transactions take the write lock at once: one that asks for
// it later fails if another process has written in between.
func dsn(path string) string {
	u := url.URL{Scheme: "file", Path: "/" + strings.TrimPrefix(filepath.ToSlash(path), "/")}
	u.RawQuery = url.Values{
		"_busy_timeout": {strconv.FormatInt(callTimeout.Milliseconds(), 10)},
		"_journal_mode": {"WAL"},
		"_synchronous":  {"FULL"},
		"_txlock":       {"immediate"},
		"_pragma":       {"secure_delete(1)"},
	}.Encode()
	return u.String()
}

// status merges the migrations of this program with those that are noted in the database.
func status(ctx context.Context, conn *sqlite.Conn) (store.Schema, error) {
	all, err := known()
	if err != nil {
		return store.Schema{}, err
	}
	noted, err := one(conn, scanBool, `
		SELECT EXISTS (
			SELECT 1
			FROM sqlite_schema
			WHERE type = 'table' AND name = ?)`,
		store.MigrationTable)
	if err != nil || !noted {
		return store.Schema{Migrations: all}, err
	}
	applied, err := list(ctx, conn, nil, scanMigration, `
		SELECT version_id, unixepoch(tstamp) * 1000
		FROM `+store.MigrationTable+`
		WHERE version_id > 0 AND is_applied`)
	if err != nil {
		return store.Schema{}, err
	}
	schema := store.Schema{Migrations: store.MergeMigrations(all, applied)}
	required, err := one(conn, scanBool, `
		SELECT EXISTS (
			SELECT 1
			FROM pragma_table_info('identity')
			WHERE name = 'required_version')`)
	if err == nil && required {
		schema.Required, err = requiredVersion(conn)
	}
	return schema, err
}

// requiredVersion returns the [store.Schema.Required] of the database.
func requiredVersion(conn *sqlite.Conn) (int64, error) {
	return one(conn, scanInteger, `
		SELECT max(required_version)
		FROM identity`)
}

func scanMigration(stmt *sqlite.Stmt) store.Migration {
	return store.Migration{Version: stmt.ColumnInt64(0), At: instant(stmt, 1)}
}

// known returns the migrations of this program, none of them applied.
func known() ([]store.Migration, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	files = append(files, foldName, repairName)
	has := make([]store.Migration, len(files))
	for i, file := range files {
		version, err := goose.NumericComponent(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		has[i] = store.Migration{Version: version, Name: path.Base(file)}
	}
	slices.SortFunc(has, store.Migration.Compare)
	return has, nil
}
