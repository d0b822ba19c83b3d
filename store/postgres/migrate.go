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
	"github.com/pressly/goose/v3/database"

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
// [*store.NewerSchemaError] and changes nothing. If the schema that search_path names first belongs
// to something else, lacks tables of ours, or cannot be used, it returns a [*store.PlaceError] and
// changes nothing.
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
	// Most starts find nothing to do, and need neither the lock nor its connection: nothing takes a
	// migration back.
	p, err := placeAt(ctx, once)
	if err == nil && !p.isUpToDate() {
		err = locked(ctx, once, func(ctx context.Context, c *pgx.ConnConfig) error {
			return migrate(ctx, c, report)
		})
	}
	if bad := (*store.PlaceError)(nil); errors.As(err, &bad) {
		return bad
	}
	if err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	return nil
}

// Schema returns the state of the database's schema. It changes nothing. If the schema that
// search_path names first belongs to something else, it returns a [*store.PlaceError].
func Schema(ctx context.Context, databaseURL string) (store.Schema, error) {
	config, err := configOf(databaseURL, callTimeout)
	if err != nil {
		return store.Schema{}, err
	}
	p, err := placeAt(ctx, unprepared(config.ConnConfig))
	if bad := (*store.PlaceError)(nil); errors.As(err, &bad) {
		return store.Schema{}, bad
	}
	if err != nil {
		return store.Schema{}, fmt.Errorf("read the migrations of the database: %w", err)
	}
	return p.Schema, nil
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
func migrate(ctx context.Context, config *pgx.ConnConfig,
	report func(store.MigrationProgress)) (err error) {
	p, err := placeAt(ctx, config)
	if err != nil {
		return err
	}
	if err := p.CheckRequired(); err != nil {
		return err
	}
	if p.isUpToDate() {
		return nil
	}
	if p.Check() != nil || !p.noted {
		if err := p.checkUse(); err != nil {
			return err
		}
	}

	config = config.Copy()
	// goose notes when it applied a migration as the session's time of day.
	config.RuntimeParams["timezone"] = "UTC"
	if p.schema != p.current {
		config.RuntimeParams["search_path"] = pgx.Identifier{p.schema}.Sanitize()
	}
	db := sql.OpenDB(leased{stdlib.GetConnector(*config)})
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
				engineError(ctx, nil, err))
		}
	}
	for _, m := range p.Migrations {
		if !m.Applied && (!p.carry || m.Version > store.LastEarly) {
			if err := apply(m, store.MigrationTable, store.SchemaVersion); err != nil {
				return err
			}
		}
	}
	p, err = placeAt(ctx, config)
	if err != nil {
		return err
	}
	return p.Check()
}

// migrationError returns the server's word for a migration that failed, without goose's.
func migrationError(ctx context.Context, m store.Migration, err error) error {
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) {
		err = pg
	}
	err = engineError(ctx, nil, err)
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
	ours, err := database.NewStore(goose.DialectPostgres, store.MigrationTable)
	if err != nil {
		return err
	}
	exists := false
	err = tx.QueryRowContext(ctx, `
		SELECT to_regclass('`+store.MigrationTable+`') IS NOT NULL`).Scan(&exists)
	if err == nil && !exists {
		err = ours.CreateVersionTable(ctx, tx)
	}
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO `+store.MigrationTable+` (version_id, is_applied, tstamp)
		SELECT version_id, true, coalesce(min(tstamp), now())
		FROM `+store.EarlyTable+`
		WHERE is_applied AND version_id <= $1 AND version_id NOT IN (
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
	return goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName(table), goose.WithExcludeVersions(later),
		goose.WithGoMigrations(inGo...), goose.WithAllowOutofOrder(true),
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
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

// placeAt is placeOf on a connection of its own.
func placeAt(ctx context.Context, config *pgx.ConnConfig) (place, error) {
	conn, err := connect(ctx, config)
	if err != nil {
		return place{}, err
	}
	defer disconnect(ctx, conn)
	return placeOf(ctx, conn)
}

// selectSchema selects the migrations that the database holds, each with the last one that a
// program must know in order to write.
const selectSchema = `
	SELECT version_id, tstamp AT TIME ZONE 'UTC', (SELECT max(required_version) FROM identity)
	FROM ` + store.MigrationTable + `
	WHERE version_id > 0 AND is_applied
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
