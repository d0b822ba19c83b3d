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
	"time"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"
	driver "modernc.org/sqlite"
	"zombiezen.com/go/sqlite"

	"clientes/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate creates the file that the URL names, readable by its owner alone, and applies the
// migrations that the database lacks. Any number of processes may call it at once: they take turns,
// by a lock on a file beside it with the suffix ".lock". The system frees the lock when its holder
// dies. If the database holds migrations of a newer program, Migrate returns [store.ErrSchema] and
// changes nothing. It also refuses a file that is damaged, or whose WAL is of another one.
func Migrate(ctx context.Context, databaseURL string) error {
	path, err := pathOf(databaseURL)
	if err != nil {
		return err
	}
	if err := checkFile(path); err != nil {
		return fmt.Errorf("migrate %s: %w", path, err)
	}
	// goose has no lock of its own for SQLite, and without one, concurrent starts fail.
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, 10*time.Millisecond); err != nil {
		return fmt.Errorf("migrate %s: wait for the lock: %w", path, err)
	}
	defer lock.Close()
	if err := checkBeforeUse(ctx, path); err != nil {
		return err
	}
	if err := migrate(ctx, path); err != nil {
		return fmt.Errorf("migrate %s: %w", path, err)
	}
	return seedAt(ctx, path)
}

// checkBeforeUse returns why the file must not be served as it is.
func checkBeforeUse(ctx context.Context, path string) error {
	frames, err := checkPair(path)
	if err != nil || isAbsent(path) {
		return err
	}
	return checkDamage(ctx, path, frames)
}

func isAbsent(path string) bool {
	info, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0
}

// Migrations returns the migrations that the database holds and lacks, by version. One that this
// program does not know has no Name. An absent file lacks them all and stays absent.
func Migrations(ctx context.Context, databaseURL string) ([]store.Migration, error) {
	path, err := pathOf(databaseURL)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return known()
	}
	if _, err := checkPair(path); err != nil {
		return nil, err
	}
	has, err := statusOf(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("read the migrations of %s: %w", path, err)
	}
	return has, nil
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
	case !info.Mode().IsRegular():
		return errors.New("it is not a file")
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
		return errors.New("it is a file of something else, not an SQLite database")
	}
	return nil
}

// migrate does the work of Migrate for the holder of the lock.
func migrate(ctx context.Context, path string) (err error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		// SQLite would create a file that everyone may read, password hashes included. The files
		// that SQLite puts beside it get its mode.
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		file.Close()
	}
	has, err := statusOf(ctx, path)
	if err != nil {
		return err
	}
	if err := store.CheckKnown(has); err != nil {
		return err
	}

	connector, err := driver.NewConnector(dsn(path))
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, db.Close()) }()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files,
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true),
		goose.WithGoMigrations(
			goose.NewGoMigration(foldVersion, &goose.GoFunc{RunTx: foldClientes}, nil)))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
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
	}.Encode()
	return u.String()
}

// statusOf is status on a connection of its own.
func statusOf(ctx context.Context, path string) ([]store.Migration, error) {
	conn, err := connect(ctx, path, "query_only = ON")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return status(ctx, conn)
}

// status merges the migrations of this program with those that goose has noted in the database.
func status(ctx context.Context, conn *sqlite.Conn) ([]store.Migration, error) {
	has, err := known()
	if err != nil {
		return nil, err
	}
	noted, err := one(conn, scanBool, `
		SELECT EXISTS (
			SELECT 1
			FROM sqlite_schema
			WHERE type = 'table' AND name = 'goose_db_version')`)
	if err != nil || !noted {
		return has, err
	}
	applied, err := list(ctx, conn, nil, scanMigration, `
		SELECT version_id, unixepoch(tstamp) * 1000
		FROM goose_db_version
		WHERE version_id > 0 AND is_applied
		ORDER BY version_id`)
	if err != nil {
		return nil, err
	}
	return store.MergeMigrations(has, applied), nil
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
	files = append(files, foldName)
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
