package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"clientes/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Advisory locks have numbers instead of names. The first number keeps ours apart from those of
// other programs in the same database.
const (
	lockSpace       int32 = 0x636c6965 // "clie"
	lockMigrations  int32 = 1
	lockAdmins      int32 = 2
	lockUserImports int32 = 3
)

// A migrator shows every lockBeat that it lives, by a message on the lock's connection. After
// lockLease without one, the server ends the connection and frees the lock, and so it does with the
// locks of a migration under way. That happens only if the machine is gone or stopped: when just
// the process ends, its connections close at once.
const (
	lockBeat  = 2 * time.Second
	lockLease = 10 * time.Second
)

// lockPause is how long a migrator waits before it tries the lock again.
const lockPause = 100 * time.Millisecond

// Migrate applies the migrations that the database lacks, each in a transaction. Any number of
// processes may call it at once: they take turns, and wait until ctx ends. If the database holds
// migrations of a newer program, Migrate returns [store.ErrSchema] and changes nothing.
func Migrate(ctx context.Context, databaseURL string) error {
	config, err := configOf(databaseURL)
	if err != nil {
		return err
	}
	if err := locked(ctx, config.ConnConfig, migrate); err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	return nil
}

// Migrations returns the migrations that the database holds and lacks, by version. One that this
// program does not know has no Name. It changes nothing.
func Migrations(ctx context.Context, databaseURL string) ([]store.Migration, error) {
	config, err := configOf(databaseURL)
	if err != nil {
		return nil, err
	}
	has, err := statusOf(ctx, config.ConnConfig)
	if err != nil {
		return nil, fmt.Errorf("read the migrations of the database: %w", err)
	}
	return has, nil
}

// locked calls do while no other process is in locked on the same database.
//
// goose offers two locks, and neither fits. Its advisory lock belongs to a session, which behind a
// pooler in transaction mode is not ours alone. Its table of locks has leases, so a crash bars the
// next start for half a minute. It is polled only every five seconds, and the table itself is
// created without a lock.
//
// This lock is an advisory one of a transaction that stays open meanwhile, on a connection of its
// own. Every pooler must leave that connection to us, and the server frees the lock when the
// process ends. Between two tries a migrator closes its transaction. If the waiting migrators held
// all places of a pooler, the holder of the lock could not go on.
func locked(ctx context.Context, config *pgx.ConnConfig,
	do func(context.Context, *pgx.ConnConfig) error) error {
	conn, err := connect(ctx, config)
	if err != nil {
		return err
	}
	defer disconnect(ctx, conn)
	if err := takeLock(ctx, conn); err != nil {
		return err
	}
	doing, stop := context.WithCancelCause(ctx)
	var beating sync.WaitGroup
	beating.Go(func() {
		if err := keepLock(ctx, conn, doing.Done()); err != nil {
			stop(err)
		}
	})
	err = do(doing, config)
	if err != nil && ctx.Err() == nil && doing.Err() != nil {
		err = context.Cause(doing)
	}
	stop(nil)
	beating.Wait()
	return err
}

// takeLock waits for the lock. It leaves the transaction open that holds it.
func takeLock(ctx context.Context, conn *pgx.Conn) error {
	for {
		got := false
		b := new(pgx.Batch)
		b.Queue("BEGIN")
		b.Queue(limitIdle(lockLease))
		b.Queue("SELECT pg_try_advisory_xact_lock($1, $2)", lockSpace, lockMigrations).
			QueryRow(func(row pgx.Row) error { return row.Scan(&got) })
		if err := send(ctx, conn, b); err != nil {
			return fmt.Errorf("lock the migrations: %w", err)
		}
		if got {
			return nil
		}
		if _, err := exec(ctx, conn, "ROLLBACK"); err != nil {
			return fmt.Errorf("lock the migrations: %w", err)
		}
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			return fmt.Errorf("wait for another migrator: %w", ctx.Err())
		}
	}
}

// keepLock shows the server every lockBeat that this process lives, until done. It returns an error
// if the lock was lost.
func keepLock(ctx context.Context, conn *pgx.Conn, done <-chan struct{}) error {
	for {
		select {
		case <-time.After(lockBeat):
		case <-done:
			return nil
		}
		// On a network that drops everything it would hang for longer than the server keeps the
		// lock.
		beat, cancel := context.WithTimeout(ctx, lockLease-lockBeat)
		err := conn.Ping(beat)
		cancel()
		if err != nil {
			return fmt.Errorf("the lock was lost: %w", engineError(ctx, conn, err))
		}
	}
}

// migrate does the work of Migrate for the holder of the lock.
func migrate(ctx context.Context, config *pgx.ConnConfig) (err error) {
	has, err := statusOf(ctx, config)
	if err != nil {
		return err
	}
	if err := store.CheckKnown(has); err != nil {
		return err
	}
	if err := checkEncoding(ctx, config); err != nil {
		return err
	}

	// goose notes when it applied a migration as the session's time of day.
	config = config.Copy()
	config.RuntimeParams["timezone"] = "UTC"
	db := sql.OpenDB(leased{stdlib.GetConnector(*config)})
	defer func() { err = errors.Join(err, db.Close()) }()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true),
		goose.WithGoMigrations(
			goose.NewGoMigration(foldVersion, &goose.GoFunc{RunTx: foldClientes}, nil)))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return engineError(ctx, nil, err)
}

// checkEncoding refuses a database whose encoding is not UTF-8: it could not keep most text, and
// would return some of it altered.
func checkEncoding(ctx context.Context, config *pgx.ConnConfig) error {
	conn, err := connect(ctx, config)
	if err != nil {
		return err
	}
	defer disconnect(ctx, conn)
	var encoding string
	err = conn.QueryRow(ctx, "SELECT current_setting('server_encoding')").Scan(&encoding)
	if err != nil {
		return fmt.Errorf("read the encoding: %w", engineError(ctx, conn, err))
	}
	if encoding != "UTF8" {
		return fmt.Errorf("its encoding is %s, and UTF8 is needed: "+
			"CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0", encoding)
	}
	return nil
}

// leased opens connections whose transactions end when their process is silent for lockLease.
type leased struct{ driver.Connector }

// Connect implements [driver.Connector].
func (l leased) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := l.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return leasedConn{conn.(*stdlib.Conn)}, nil
}

type leasedConn struct{ *stdlib.Conn }

// BeginTx implements [driver.ConnBeginTx].
func (c leasedConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	tx, err := c.Conn.BeginTx(ctx, options)
	if err != nil {
		return nil, err
	}
	if _, err := c.Conn.Conn().Exec(ctx, limitIdle(lockLease)); err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return tx, nil
}

// connect opens a connection outside of any pool, for long use or before there is a pool.
func connect(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, connectError(ctx, err)
	}
	return conn, nil
}

// disconnect closes a connection of connect, even if ctx has ended. It returns when the server has
// let the connection go.
func disconnect(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	conn.Close(ctx)
}

// statusOf is status on a connection of its own.
func statusOf(ctx context.Context, config *pgx.ConnConfig) ([]store.Migration, error) {
	conn, err := connect(ctx, config)
	if err != nil {
		return nil, err
	}
	defer disconnect(ctx, conn)
	return status(ctx, conn)
}

// status merges the migrations of this program with those that goose has noted in the database.
func status(ctx context.Context, conn *pgx.Conn) ([]store.Migration, error) {
	has, err := known()
	if err != nil {
		return nil, err
	}
	applied, err := list(ctx, conn, nil, toMigration, selectApplied)
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) && pg.Code == "42P01" {
		return has, nil // no such table: nobody has migrated it
	}
	if err != nil {
		return nil, err
	}
	return store.MergeMigrations(has, applied), nil
}

const selectApplied = `
	SELECT version_id, tstamp AT TIME ZONE 'UTC'
	FROM goose_db_version
	WHERE version_id > 0 AND is_applied
	ORDER BY version_id`

func toMigration(m *store.Migration) []any { return []any{&m.Version, &m.At} }

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
