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
	// lockSchema is 10: see 00015_required_version.sql.
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
// processes may call it at once: they take turns, and wait until ctx ends. It leaves migrations of
// a newer program alone. If this program must not write beside one of them, Migrate returns a
// [*store.NewerSchemaError] and changes nothing.
func Migrate(ctx context.Context, databaseURL string) error {
	return MigrateReporting(ctx, databaseURL, func(store.MigrationProgress) {})
}

// MigrateReporting is [Migrate]. It calls report when a migration begins, and again with each part
// of its rows that is done, where it counts them. The calls come one at a time.
func MigrateReporting(ctx context.Context, databaseURL string,
	report func(store.MigrationProgress)) error {
	config, err := configOf(databaseURL, callTimeout)
	if err != nil {
		return err
	}
	once := unprepared(config.ConnConfig)
	err = locked(ctx, once, func(ctx context.Context, c *pgx.ConnConfig) error {
		return migrate(ctx, c, report)
	})
	if err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	return nil
}

// Schema returns the state of the database's schema. It changes nothing.
func Schema(ctx context.Context, databaseURL string) (store.Schema, error) {
	config, err := configOf(databaseURL, callTimeout)
	if err != nil {
		return store.Schema{}, err
	}
	schema, err := statusOf(ctx, unprepared(config.ConnConfig))
	if err != nil {
		return store.Schema{}, fmt.Errorf("read the migrations of the database: %w", err)
	}
	return schema, nil
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

// Programs that knew no migration after this one are not ready on a database whose table
// goose_db_version holds another one, and they do not start. But they can live with additive
// migrations. So what comes after is noted in a table that they do not read.
const (
	lastEarly  = 14
	earlyTable = "goose_db_version"
	lateTable  = "clientes_migrations"
)

// migrate does the work of Migrate for the holder of the lock.
func migrate(ctx context.Context, config *pgx.ConnConfig,
	report func(store.MigrationProgress)) (err error) {
	schema, err := statusOf(ctx, config)
	if err != nil {
		return err
	}
	if err := schema.CheckRequired(); err != nil {
		return err
	}
	if err := checkServer(ctx, config); err != nil {
		return err
	}

	// goose notes when it applied a migration as the session's time of day.
	config = config.Copy()
	config.RuntimeParams["timezone"] = "UTC"
	db := sql.OpenDB(leased{stdlib.GetConnector(*config)})
	defer func() { err = errors.Join(err, db.Close()) }()
	early, err := provider(db, earlyTable, 1, lastEarly,
		goose.NewGoMigration(foldVersion, &goose.GoFunc{RunTx: foldClientes}, nil))
	if err != nil {
		return err
	}
	// Without one transaction around it: see repairClientes.
	repair := func(ctx context.Context, db *sql.DB) error {
		return repairClientes(ctx, db, report)
	}
	late, err := provider(db, lateTable, lastEarly+1, store.SchemaVersion,
		goose.NewGoMigration(repairVersion, &goose.GoFunc{RunDB: repair}, nil))
	if err != nil {
		return err
	}
	for _, m := range schema.Migrations {
		if m.Applied {
			continue
		}
		report(store.MigrationProgress{Name: m.Name})
		p := early
		if m.Version > lastEarly {
			p = late
		}
		if _, err := p.UpByOne(ctx); err != nil {
			return engineError(ctx, nil, err)
		}
	}
	return nil
}

// provider returns what applies the migrations from first to last and notes them in the table.
func provider(db *sql.DB, table string, first, last int64,
	inGo ...*goose.Migration) (*goose.Provider, error) {
	all, err := known()
	if err != nil {
		return nil, err
	}
	var others []int64
	for _, m := range all {
		if m.Version < first || m.Version > last {
			others = append(others, m.Version)
		}
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName(table), goose.WithExcludeVersions(others),
		goose.WithGoMigrations(inGo...),
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
}

// oldestServer is the oldest version of PostgreSQL that knows what the migrations use.
const oldestServer = 140000

// checkVersion refuses a server that is too old for the migrations, before the first of them.
func checkVersion(version int) error {
	if version < oldestServer {
		return fmt.Errorf("its server is PostgreSQL %d, and 14 or newer is needed", version/10000)
	}
	return nil
}

// checkServer refuses a server that is too old, and a database whose encoding is not UTF-8: it
// could not keep most text, and would return some of it altered.
func checkServer(ctx context.Context, config *pgx.ConnConfig) error {
	conn, err := connect(ctx, config)
	if err != nil {
		return err
	}
	defer disconnect(ctx, conn)
	var encoding string
	var version int
	err = conn.QueryRow(ctx, `
		SELECT current_setting('server_encoding'), current_setting('server_version_num')::int`,
	).Scan(&encoding, &version)
	if err != nil {
		return fmt.Errorf("read the encoding: %w", engineError(ctx, conn, err))
	}
	if err := checkVersion(version); err != nil {
		return err
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
func statusOf(ctx context.Context, config *pgx.ConnConfig) (store.Schema, error) {
	conn, err := connect(ctx, config)
	if err != nil {
		return store.Schema{}, err
	}
	defer disconnect(ctx, conn)
	return status(ctx, conn)
}

// status merges the migrations of this program with those that are noted in the database.
func status(ctx context.Context, conn *pgx.Conn) (schema store.Schema, err error) {
	all, err := known()
	if err != nil {
		return store.Schema{}, err
	}
	withRequired := func(m *store.Migration) []any {
		return append(toMigration(m), &schema.Required)
	}
	applied, err := list(ctx, conn, nil, withRequired, selectSchema)
	if isMissing(err) { // it was not migrated beyond lastEarly
		applied, err = list(ctx, conn, nil, toMigration, `
			SELECT version_id, tstamp AT TIME ZONE 'UTC'
			FROM `+earlyTable+`
			WHERE version_id > 0 AND is_applied
			ORDER BY version_id`)
	}
	if isMissing(err) { // nobody has migrated it
		err = nil
	}
	if err != nil {
		return store.Schema{}, err
	}
	schema.Migrations = store.MergeMigrations(all, applied)
	return schema, nil
}

// selectSchema selects the migrations that the database holds, each with the last one that a
// program must know in order to write.
const selectSchema = `
	SELECT version_id, tstamp AT TIME ZONE 'UTC', (SELECT max(required_version) FROM identity)
	FROM (
		SELECT version_id, tstamp
		FROM ` + earlyTable + `
		WHERE is_applied
		UNION ALL
		SELECT version_id, tstamp
		FROM ` + lateTable + `
		WHERE is_applied
	) AS noted
	WHERE version_id > 0
	ORDER BY version_id`

// isMissing reports whether there is no such table or column.
func isMissing(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "42703")
}

func toMigration(m *store.Migration) []any { return []any{&m.Version, &m.At} }

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
