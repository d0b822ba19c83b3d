package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

// longTransaction is how long a transaction of another program may be open. A backup takes as long.
const longTransaction = 5 * time.Minute

// lockWait is how long a server may wait for a lock that another program holds.
const lockWait = time.Second

// transactions looks for those of others that a server waits for, and for old ones. None of the
// rows that changed since those began can be removed.
func (x *examination) transactions(ctx context.Context) ([]store.Finding, error) {
	type long struct {
		pid         int32
		minutes     int64
		state, what string
	}
	var all []long
	var prepared, blocking []string
	sees := false
	err := x.ask(ctx, func(b *pgx.Batch) {
		b.Queue(`
			SELECT DISTINCT other.pid::text
			FROM pg_stat_activity AS waiting
			JOIN pg_stat_activity AS other ON other.pid = ANY (pg_blocking_pids(waiting.pid))
			WHERE waiting.datname = current_database() AND waiting.application_name = $1
				AND waiting.wait_event_type = 'Lock'
				AND clock_timestamp() - waiting.query_start > make_interval(secs => $2)
				AND other.application_name <> $1 AND other.wait_event_type IS DISTINCT FROM 'Lock'
			LIMIT 3`, x.name, lockWait.Seconds()).
			Query(func(rows pgx.Rows) (err error) {
				blocking, err = pgx.CollectRows(rows, pgx.RowTo[string])
				return err
			})
		b.Queue(`
			SELECT pid, (extract(epoch FROM clock_timestamp() - xact_start) / 60)::bigint,
				coalesce(state, ''), coalesce(nullif(application_name, ''), usename::text, '')
			FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()
				AND backend_type = 'client backend' AND application_name <> $1
				AND clock_timestamp() - xact_start > make_interval(secs => $2)
			ORDER BY xact_start
			LIMIT 3`, x.name, longTransaction.Seconds()).
			Query(func(rows pgx.Rows) error {
				var l long
				to := []any{&l.pid, &l.minutes, &l.state, &l.what}
				_, err := pgx.ForEachRow(rows, to, func() error {
					all = append(all, l)
					return nil
				})
				return err
			})
		b.Queue(`
			SELECT quote_literal(gid)
			FROM pg_prepared_xacts
			WHERE database = current_database()
				AND clock_timestamp() - prepared > make_interval(secs => $1)
			ORDER BY prepared
			LIMIT 3`, longTransaction.Seconds()).
			Query(func(rows pgx.Rows) (err error) {
				prepared, err = pgx.CollectRows(rows, pgx.RowTo[string])
				return err
			})
		b.Queue(`SELECT pg_has_role('pg_read_all_stats', 'USAGE')`).
			QueryRow(func(row pgx.Row) error { return row.Scan(&sees) })
	})
	if err != nil {
		return nil, err
	}
	var found []store.Finding
	for _, pid := range blocking {
		found = append(found, failure("SELECT pg_terminate_backend("+pid+"), as its role or a "+
			"superuser", "a server waits for a lock that the process %s of the database holds, "+
			"which is no server", pid)...)
	}
	for _, l := range all {
		cure := fmt.Sprintf("end it: SELECT pg_terminate_backend(%d)", l.pid)
		if strings.HasPrefix(l.state, "idle") {
			cure += "; idle_in_transaction_session_timeout does so by itself"
		}
		found = append(found, warning(cure, "a transaction of %s has been open for %d minutes "+
			"(%s), and keeps deleted rows from being removed", l.what, l.minutes, l.state)...)
	}
	for _, gid := range prepared {
		found = append(found, warning("COMMIT PREPARED "+gid+", or ROLLBACK PREPARED "+gid,
			"the prepared transaction %s is not ended, and keeps deleted rows from being removed",
			gid)...)
	}
	switch {
	case len(found) > 0:
		return found, nil
	case !sees:
		return okay("no transaction of this role has been open for long; those of other roles are "+
			"seen with GRANT pg_read_all_stats TO %s", pgx.Identifier{x.roleName()}.Sanitize()), nil
	}
	return okay("no transaction of others has been open for %.0f minutes",
		longTransaction.Minutes()), nil
}

// maxLag is how many bytes of the log a standby may lack, and a slot for none may hold.
const maxLag = 64 << 20

// replication looks at what waits for standbys, and for what they hold back.
func (x *examination) replication(ctx context.Context) ([]store.Finding, error) {
	var found []store.Finding
	standby, required, connected := false, "", 0
	var slots, late []string
	err := x.ask(ctx, func(b *pgx.Batch) {
		b.Queue(`
			SELECT pg_is_in_recovery(), current_setting('synchronous_standby_names'),
				(SELECT count(*) FROM pg_stat_replication)`).
			QueryRow(func(row pgx.Row) error { return row.Scan(&standby, &required, &connected) })
		b.Queue(`
			SELECT quote_literal(slot_name)
			FROM pg_replication_slots
			WHERE NOT active AND (restart_lsn IS NOT NULL OR xmin IS NOT NULL)
			ORDER BY slot_name`).
			Query(func(rows pgx.Rows) (err error) {
				slots, err = pgx.CollectRows(rows, pgx.RowTo[string])
				return err
			})
		b.Queue(`
			SELECT coalesce(nullif(application_name, ''), 'at ' || host(client_addr),
					'of this machine')
				|| ' by ' || pg_size_pretty(lag)
			FROM pg_stat_replication, pg_wal_lsn_diff(
				CASE
					WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
					ELSE pg_current_wal_lsn()
				END, replay_lsn) AS lag
			WHERE lag > $1
			ORDER BY lag DESC`, maxLag).
			Query(func(rows pgx.Rows) (err error) {
				late, err = pgx.CollectRows(rows, pgx.RowTo[string])
				return err
			})
	})
	if err != nil {
		return nil, err
	}
	if !standby && required != "" && connected == 0 {
		found = append(found, failure("start the standby, or ALTER SYSTEM SET "+
			"synchronous_standby_names = ''; SELECT pg_reload_conf()",
			"every write waits for a standby (synchronous_standby_names), and none is "+
				"connected")...)
	}
	for _, slot := range slots {
		found = append(found, warning("start what reads it, or SELECT pg_drop_replication_slot("+
			slot+")", "nothing reads the replication slot %s, for which the server keeps its log "+
			"until the disk is full", slot)...)
	}
	if len(late) > 0 {
		found = append(found, warning("look into the log of the standby, at its load and at the "+
			"network in between", "a standby lacks what the primary has written: %s",
			strings.Join(late, ", "))...)
	}
	switch {
	case len(found) > 0:
		return found, nil
	case connected == 0:
		return okay("no standby follows the server"), nil
	}
	return okay("standbys that follow the server: %d; none lacks more than %d MiB", connected,
		maxLag>>20), nil
}

// vacuum looks at whether deleted rows are removed.
func (x *examination) vacuum(ctx context.Context) ([]store.Finding, error) {
	names, err := tableNames()
	if err != nil {
		return nil, err
	}
	off := false
	var dead, stopped []string
	err = x.ask(ctx, func(b *pgx.Batch) {
		b.Queue(`
			SELECT NOT (current_setting('autovacuum')::bool
				AND current_setting('track_counts')::bool)`).
			QueryRow(func(row pgx.Row) error { return row.Scan(&off) })
		b.Queue(`
			SELECT relname::text
			FROM pg_class, unnest(reloptions) AS option
			WHERE relnamespace = to_regnamespace(quote_ident($1)) AND relname = ANY ($2)
				AND option IN ('autovacuum_enabled=false', 'autovacuum_enabled=off')
			ORDER BY relname`, x.place.schema, names).
			Query(func(rows pgx.Rows) (err error) {
				stopped, err = pgx.CollectRows(rows, pgx.RowTo[string])
				return err
			})
		b.Queue(`
			SELECT relname::text
			FROM pg_stat_user_tables
			WHERE schemaname = $1 AND relname = ANY ($2)
				AND n_dead_tup > 10000 + n_live_tup
			ORDER BY relname`, x.place.schema, names).
			Query(func(rows pgx.Rows) (err error) {
				dead, err = pgx.CollectRows(rows, pgx.RowTo[string])
				return err
			})
	})
	if err != nil {
		return nil, err
	}
	var found []store.Finding
	if off {
		found = append(found, warning("ALTER SYSTEM SET autovacuum = on; ALTER SYSTEM SET "+
			"track_counts = on; SELECT pg_reload_conf()",
			"autovacuum is off, so the tables grow with every change")...)
	}
	for _, name := range stopped {
		found = append(found, warning(fmt.Sprintf("ALTER TABLE %s RESET (autovacuum_enabled)",
			x.place.in(name)), "autovacuum is off for the table %s, which grows with every change",
			name)...)
	}
	for _, name := range dead {
		found = append(found, warning(fmt.Sprintf("VACUUM (ANALYZE) %s; if it does not help, look "+
			"at database-transactions and database-replication", x.place.in(name)),
			"the table %s has more deleted rows than others", name)...)
	}
	if len(found) > 0 {
		return found, nil
	}
	return okay("deleted rows are removed"), nil
}

// Transactions have numbers of 32 bits, half of which are the past. The server stops taking writes
// some three million before the end. Autovacuum begins at 200 million.
const (
	oldTransactions    = 1_000_000_000
	oldestTransactions = 2_000_000_000
)

func (x *examination) wraparound(ctx context.Context) ([]store.Finding, error) {
	database, age := "", int64(0)
	err := x.row(ctx, `
		SELECT datname::text, age(datfrozenxid)::bigint
		FROM pg_database
		ORDER BY age(datfrozenxid) DESC
		LIMIT 1`, &database, &age)
	if err != nil {
		return nil, err
	}
	is := warning
	switch {
	case age < oldTransactions:
		return okay("the server has transaction numbers left"), nil
	case age > oldestTransactions:
		is = failure
	}
	return is("connect to the database "+database+" as a superuser and run VACUUM FREEZE; "+
		"if it does not help, look at database-transactions and database-replication",
		"the database %s has used %d%% of the transaction numbers after which the server takes no "+
			"writes", database, age*100/(1<<31)), nil
}

// backup looks at the archive of the server's log. When pg_dump ran, nobody notes.
func (x *examination) backup(ctx context.Context) ([]store.Finding, error) {
	archives, failing, since := false, false, int64(0)
	err := x.row(ctx, `
		SELECT current_setting('archive_mode') <> 'off',
			coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false),
			coalesce(extract(epoch FROM clock_timestamp() - last_archived_time), -1)::bigint
		FROM pg_stat_archiver`, &archives, &failing, &since)
	if err != nil {
		return nil, err
	}
	switch {
	case !archives:
		return okay("the server does not say when it was backed up: it keeps no archive of its " +
			"log, and pg_dump leaves no note; see that one of last night is there"), nil
	case failing:
		return warning("look into the server's log, and at archive_command",
			"the server cannot archive its log, which it keeps until the disk is full"), nil
	case since < 0:
		return okay("the server archives its log, and nothing was to be archived yet"), nil
	}
	return okay("the server archived a part of its log %s ago",
		(time.Duration(since) * time.Second).Round(time.Minute)), nil
}
