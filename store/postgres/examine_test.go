package postgres_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"clientes/store"
	"clientes/store/postgres"
	"clientes/store/postgres/postgrestest"
)

// found returns the findings of a check.
func found(t *testing.T, url, id string) (of []store.Finding) {
	t.Helper()
	for _, f := range postgres.Examine(soon(t), url) {
		if f.ID == id {
			of = append(of, f)
		}
	}
	return of
}

// wantFinding fails the test unless a check has one finding, of this level, with these words. It
// returns the cure.
func wantFinding(t *testing.T, url, id string, level store.Level, message, cure string) string {
	t.Helper()
	of := found(t, url, id)
	if len(of) != 1 || of[0].Level != level || !strings.Contains(of[0].Message, message) ||
		!strings.Contains(of[0].Cure, cure) || (of[0].Cure == "") != (level == store.LevelOK) {
		t.Fatalf("%s: got %q, want %s: %s; %s", id, of, level, message, cure)
	}
	return of[0].Cure
}

// at returns the URL of another database of a cluster.
func at(t *testing.T, clusterURL, database string, options ...string) string {
	t.Helper()
	u, err := url.Parse(clusterURL)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + database
	return with(t, u.String(), options...)
}

// One cluster is enough for what belongs to a database.
func TestExamine(t *testing.T) {
	t.Parallel()
	cluster := postgrestest.Start(t)
	sound(t, cluster)
	script(t, cluster.URL, `CREATE ROLE owner LOGIN; CREATE ROLE app LOGIN;
		CREATE ROLE locked LOGIN PASSWORD 'right'`)
	t.Run("a sound database", func(t *testing.T) { examineSound(t, cluster) })
	t.Run("faults", func(t *testing.T) { examineFaults(t, cluster) })
	t.Run("another locale", func(t *testing.T) { examineLocales(t, cluster) })
	t.Run("databases that cannot be opened", func(t *testing.T) { examineClosed(t, cluster) })
	t.Run("a pooler", func(t *testing.T) { examinePooler(t, cluster) })
}

func examineSound(t *testing.T, cluster *postgrestest.Cluster) {
	url := cluster.Migrated(t, postgres.Migrate)
	ids := make(map[string]bool)
	before := inventory(t, url)
	for _, f := range postgres.Examine(soon(t), url) {
		if f.Level != store.LevelOK || f.Message == "" || f.Cure != "" {
			t.Errorf("got %+v", f)
		}
		if ids[f.ID] {
			t.Errorf("%s comes twice", f.ID)
		}
		ids[f.ID] = true
	}
	if after := inventory(t, url); after != before {
		t.Errorf("from\n%s\nto\n%s", before, after)
	}
	if len(ids) < 19 {
		t.Errorf("only %d checks", len(ids))
	}
}

// sound makes a cluster durable, which the clusters of tests are not.
func sound(t *testing.T, cluster *postgrestest.Cluster) {
	t.Helper()
	for _, statement := range []string{"ALTER SYSTEM SET fsync = on",
		"ALTER SYSTEM SET full_page_writes = on", "SELECT pg_reload_conf()"} {
		execute(t, cluster.URL, statement)
	}
	reloaded(t, cluster, "fsync", "on")
}

// reloaded waits until new connections have a setting.
func reloaded(t *testing.T, cluster *postgrestest.Cluster, setting, value string) {
	t.Helper()
	until(t, setting+" is "+value, func() bool {
		is := ask[string](t, beside(t, cluster.URL), "SELECT current_setting('"+setting+"')")
		return is == value
	})
}

// Each is a database at fault, what it says, and what it says after the commands of the cure.
func examineFaults(t *testing.T, cluster *postgrestest.Cluster) {
	skew := func(interval string) string {
		return `CREATE SCHEMA skew;
			CREATE FUNCTION skew.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
				'SELECT pg_catalog.clock_timestamp() + interval ''` + interval + `'''`
	}
	aged := func(age int) string {
		return fmt.Sprintf(`CREATE SCHEMA skew;
			CREATE FUNCTION skew.age(xid) RETURNS int LANGUAGE sql AS 'SELECT %d'`, age)
	}
	type test struct {
		name, id   string
		fresh      bool // not migrated
		broken     string
		options    []string
		level      store.Level
		says, cure string
		heal       []string // commands of the cure; $DB stands for the name of the database
		own        bool     // the cure has no command for that
		healed     []string // options after the cure, if it is about these
		after      string
	}
	for _, test := range []test{
		{name: "an index of searches that is absent", id: "database-search",
			broken: `DROP INDEX clientes_search`, level: store.LevelWarn,
			says: "searches have no index",
			heal: []string{`CREATE INDEX CONCURRENTLY clientes_search ON "public"."clientes" ` +
				`USING gin (search public.gin_trgm_ops)`}, after: "searches have their index"},
		{name: "no pg_trgm", id: "database-search", broken: `DROP EXTENSION pg_trgm CASCADE`,
			level: store.LevelWarn, says: "the extension pg_trgm is not there",
			heal: []string{`CREATE EXTENSION pg_trgm SCHEMA public`,
				`CREATE INDEX CONCURRENTLY clientes_search ON "public"."clientes" ` +
					`USING gin (search public.gin_trgm_ops)`}, after: "searches have their index"},
		{name: "an index that is not finished", id: "database-search",
			broken: `UPDATE pg_index SET indisvalid = false
				WHERE indexrelid = 'clientes_search'::regclass`,
			level: store.LevelWarn, says: "is not finished",
			heal: []string{`DROP INDEX "public"."clientes_search"`,
				`CREATE INDEX CONCURRENTLY clientes_search ON "public"."clientes" ` +
					`USING gin (search public.gin_trgm_ops)`}, after: "searches have their index"},
		{name: "no right to make temporary tables", id: "database-rights",
			broken: `REVOKE TEMPORARY ON DATABASE $DB FROM public;
				GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
				GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app`,
			options: []string{"user", "app"}, level: store.LevelFail,
			says: "the role app may not make temporary tables",
			heal: []string{`GRANT TEMPORARY ON DATABASE "$DB" TO "app"`},
			after: "the role app may read and write all tables; the next version's migrations " +
				"take `clientes migrate` as the role that owns them"},
		{name: "no right on some tables", id: "database-rights",
			broken: `GRANT SELECT ON ALL TABLES IN SCHEMA public TO app;
				GRANT INSERT, UPDATE, DELETE ON users TO app;
				GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app`,
			options: []string{"user", "app"}, level: store.LevelFail,
			says: "may not read and write all tables of clientes (addresses, ",
			heal: []string{`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN ` +
				`SCHEMA "public" TO "app"`},
			after: "may read and write all tables"},
		{name: "no right to update some sequences", id: "database-rights",
			broken: `GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
				GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app;
				GRANT UPDATE ON audit_id_seq TO app`,
			options: []string{"user", "app"}, level: store.LevelWarn,
			says:  "may not update all sequences of clientes (clientes_id_seq, mails_id_seq, users_id_seq)",
			heal:  []string{`GRANT USAGE, UPDATE ON ALL SEQUENCES IN SCHEMA "public" TO "app"`},
			after: "may read and write all tables"},
		{name: "no right to use a sequence", id: "database-rights",
			broken: `GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
				GRANT UPDATE ON ALL SEQUENCES IN SCHEMA public TO app;
				GRANT USAGE ON audit_id_seq, mails_id_seq, users_id_seq TO app`,
			options: []string{"user", "app"}, level: store.LevelFail,
			says:  "sequences of clientes (clientes_id_seq), which imports",
			heal:  []string{`GRANT USAGE, UPDATE ON ALL SEQUENCES IN SCHEMA "public" TO "app"`},
			after: "may read and write all tables"},
		{name: "row-level security", id: "database-rights",
			broken: `GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
				GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app;
				ALTER TABLE clientes ENABLE ROW LEVEL SECURITY`,
			options: []string{"user", "app"}, level: store.LevelFail,
			says:  "row-level security hides rows of clientes from the role app (clientes)",
			heal:  []string{`ALTER TABLE "public"."clientes" DISABLE ROW LEVEL SECURITY`},
			after: "may read and write all tables"},
		{name: "no right to migrate", id: "database-rights", fresh: true,
			options: []string{"user", "app"}, level: store.LevelFail,
			says:  "the role app may not create tables in the schema public",
			heal:  []string{`ALTER DATABASE "$DB" OWNER TO "app"`},
			after: "the role app has the rights that it needs"},
		{name: "a database that takes no writes", id: "database-writable",
			broken: `ALTER DATABASE $DB SET default_transaction_read_only = on`,
			level:  store.LevelFail, says: "the database is read-only",
			heal:  []string{`ALTER DATABASE "$DB" SET default_transaction_read_only = off`},
			after: "takes writes"},
		{name: "a role that takes no writes in this database", id: "database-writable",
			broken: `ALTER DATABASE $DB SET default_transaction_read_only = off;
				ALTER ROLE app IN DATABASE $DB SET default_transaction_read_only = on`,
			options: []string{"user", "app"}, level: store.LevelFail,
			says:  "the database is read-only",
			heal:  []string{`ALTER ROLE "app" IN DATABASE "$DB" SET default_transaction_read_only = off`},
			after: "takes writes"},
		{name: "a URL that wants no writes", id: "database-writable",
			options: []string{"default_transaction_read_only", "on"}, level: store.LevelFail,
			says: "the database is read-only", cure: "out of DATABASE_URL",
			healed: []string{"default_transaction_read_only", "off"}, after: "takes writes"},
		{name: "a limit in the URL", id: "database-timeouts",
			options: []string{"statement_timeout", "100"}, level: store.LevelWarn,
			says: "not at fault: statement_timeout", cure: "take statement_timeout out of",
			healed: []string{"statement_timeout", "0"}, after: "no limit of the server"},
		{name: "commits that do not wait", id: "database-durability",
			broken: `ALTER DATABASE $DB SET synchronous_commit = off`, level: store.LevelFail,
			says: "synchronous_commit is off", cure: "may also be one of the role, the database",
			own: true, heal: []string{`ALTER DATABASE $DB RESET synchronous_commit`},
			after: "what the database has answered is on its disk"},
		{name: "limits that end calls", id: "database-timeouts",
			broken: `ALTER ROLE app SET statement_timeout = '2s';
				ALTER ROLE app SET lock_timeout = 100;
				ALTER ROLE app SET idle_session_timeout = '1min'`,
			options: []string{"user", "app"}, level: store.LevelWarn,
			says: "not at fault: idle_session_timeout, lock_timeout, statement_timeout",
			heal: []string{`ALTER ROLE "app" SET statement_timeout = 0`,
				`ALTER ROLE "app" SET lock_timeout = 0`,
				`ALTER ROLE "app" SET idle_session_timeout = 0`},
			after: "no limit of the server"},
		{name: "autovacuum off for a table", id: "database-vacuum",
			broken: `ALTER TABLE sessions SET (autovacuum_enabled = off)`, level: store.LevelWarn,
			says:  "autovacuum is off for the table sessions",
			heal:  []string{`ALTER TABLE "public"."sessions" RESET (autovacuum_enabled)`},
			after: "deleted rows are removed"},
		{name: "many deleted rows", id: "database-vacuum",
			broken: `INSERT INTO probe (id, at)
				SELECT n, now() FROM generate_series(1000, 13000) AS n;
				DELETE FROM probe WHERE id >= 1000;
				SELECT pg_stat_force_next_flush()`,
			level: store.LevelWarn, says: "the table probe has more deleted rows than others",
			heal: []string{`VACUUM (ANALYZE) "public"."probe"`}, after: "deleted rows are removed"},
		{name: "a clock that is wrong by a minute", id: "database-clock", broken: skew("1 minute"),
			options: []string{"search_path", "skew,pg_catalog,public"}, level: store.LevelFail,
			says: "the clock of the database is 1m0s ahead of that of this machine",
			cure: "take the time from the network", healed: []string{"search_path", "public"},
			after: "agree"},
		{name: "a clock that is wrong by seconds", id: "database-clock", broken: skew("-3 seconds"),
			options: []string{"search_path", "skew,pg_catalog,public"}, level: store.LevelWarn,
			says: "the clock of the database is 3s behind that of this machine",
			cure: "take the time from the network", healed: []string{"search_path", "public"},
			after: "agree"},
		{name: "a server that is too old", id: "database-version",
			broken: `CREATE SCHEMA old;
				CREATE FUNCTION old.current_setting(text) RETURNS text LANGUAGE sql AS $$
					SELECT CASE $1
						WHEN 'server_version_num' THEN '130009'
						ELSE pg_catalog.current_setting($1)
					END $$`,
			options: []string{"search_path", "old,pg_catalog,public"}, level: store.LevelFail,
			says:   "the server of the database is PostgreSQL 13",
			cure:   "upgrade it: clientes needs PostgreSQL 14 or newer",
			healed: []string{"search_path", "public"}, after: "the server is PostgreSQL"},
		{name: "transaction numbers that run out", id: "database-wraparound",
			broken:  aged(1_100_000_000),
			options: []string{"search_path", "skew,pg_catalog,public"}, level: store.LevelWarn,
			says: "has used 51% of the transaction numbers", cure: "run VACUUM FREEZE",
			healed: []string{"search_path", "public"}, after: "transaction numbers left"},
		{name: "transaction numbers that are nearly used up", id: "database-wraparound",
			broken: aged(2_050_000_000), options: []string{"search_path", "skew,pg_catalog,public"},
			level: store.LevelFail, says: "has used 95% of the transaction numbers",
			cure: "run VACUUM FREEZE", healed: []string{"search_path", "public"},
			after: "transaction numbers left"},
		{name: "no tables yet", id: "database-schema", fresh: true, level: store.LevelWarn,
			says: "there are no tables of clientes in the database yet",
			cure: "run `clientes migrate`",
			heal: []string{"clientes migrate"}, after: "the schema has all"},
		{name: "an older schema", id: "database-schema", level: store.LevelWarn,
			broken: `DELETE FROM clientes_migrations WHERE version_id = 17; DROP TABLE probe`,
			says:   "the database lacks the migrations 00017_probe.sql",
			cure:   "run `clientes migrate`",
			heal:   []string{"clientes migrate"}, after: "the schema has all"},
		{name: "a newer schema", id: "database-schema", level: store.LevelFail,
			broken: `UPDATE identity SET required_version = 99`,
			says:   "a newer clientes has changed the database",
			cure:   "run a version of clientes that knows it",
			own:    true, heal: []string{`UPDATE identity SET required_version = 15`},
			after: "the schema has all"},
		{name: "a copy that is not finished", id: "database-schema", level: store.LevelFail,
			broken: `UPDATE identity SET copying = 'x'`, says: "a copy into the database was begun",
			cure: "give the same `clientes copy` again", own: true,
			heal:  []string{`UPDATE identity SET copying = ''`},
			after: "the schema has all"},
		{name: "tables of another program", id: "database-schema", fresh: true,
			broken: `CREATE TABLE posts (id int)`, level: store.LevelFail,
			says: "the schema public of the database $DB has tables of something else (posts)",
			cure: "give clientes a database of its own", own: true,
			heal:  []string{"DROP TABLE posts", "clientes migrate"},
			after: "the schema has all"},
		{name: "a table that is lost", id: "database-schema", broken: `DROP TABLE mails`,
			level: store.LevelFail, says: "lacks tables of clientes that its migrations made " +
				"(mails)",
			cure: "restore a backup that has all"},
	} {
		t.Run(test.name, func(t *testing.T) {
			url := cluster.Database(t)
			if !test.fresh {
				url = cluster.Migrated(t, postgres.Migrate)
			}
			name := strings.TrimPrefix(parsed(t, url).Path, "/")
			fill := func(text string) string { return strings.ReplaceAll(text, "$DB", name) }
			if test.broken != "" {
				script(t, url, fill(test.broken))
			}
			cure := wantFinding(t, with(t, url, test.options...), test.id, test.level,
				fill(test.says), fill(test.cure))
			for _, statement := range test.heal {
				statement = fill(statement)
				if !strings.Contains(cure, statement) && !test.own {
					t.Fatalf("the cure is %q, without %s", cure, statement)
				}
				if statement == "clientes migrate" {
					must(t, postgres.Migrate(soon(t), with(t, url, test.options...)))
					continue
				}
				if strings.HasPrefix(statement, "ALTER DATABASE") {
					execute(t, cluster.URL, statement) // a read-only one takes nothing
					continue
				}
				execute(t, url, statement)
			}
			if test.after != "" {
				wantFinding(t, with(t, with(t, url, test.options...), test.healed...), test.id,
					store.LevelOK, fill(test.after), "")
			}
		})
	}
}

// The address is one of this machine, but nobody can tell that from the URL.
func TestExamineTLS(t *testing.T) {
	t.Parallel()
	nothing, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, nothing.Close())
	_, port, err := net.SplitHostPort(nothing.Addr().String())
	must(t, err)
	url := "postgres://u:hunter2@0.0.0.0:" + port + "/shop"
	for _, mode := range []string{"prefer", "require"} {
		wantFinding(t, with(t, url, "sslmode", mode), "database-tls", store.LevelWarn,
			"whoever is on the way to 0.0.0.0 can read", "add sslmode=verify-full to DATABASE_URL")
	}
	wantFinding(t, with(t, url, "sslmode", "verify-full"), "database-tls", store.LevelOK,
		"nobody on a network", "")
}

func parsed(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	must(t, err)
	return u
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What belongs to the whole server is at fault here, one after the other.
func TestExamineFindsAFaultOfTheServerAndItsCureHelps(t *testing.T) {
	t.Parallel()
	cluster := postgrestest.Start(t, "max_prepared_transactions = 2", "archive_mode = on",
		"archive_command = 'true'")
	url := cluster.Migrated(t, postgres.Migrate)
	name := strings.TrimPrefix(parsed(t, url).Path, "/")
	// The commands of a cure are separated by semicolons.
	run := func(commands string) {
		t.Helper()
		for command := range strings.SplitSeq(commands, "; ") {
			execute(t, url, command)
		}
	}
	setting := func(setting, value string) {
		t.Helper()
		run("ALTER SYSTEM SET " + setting + " = '" + value + "'; SELECT pg_reload_conf()")
		reloaded(t, cluster, setting, value)
	}
	// The settings of a cure have come to new connections.
	after := func(id, says string) {
		t.Helper()
		until(t, id+" is ok", func() bool { return found(t, url, id)[0].Level == store.LevelOK })
		wantFinding(t, url, id, store.LevelOK, says, "")
	}

	t.Run("a server that writes nothing to its disk", func(t *testing.T) {
		const cure = "ALTER SYSTEM SET fsync = on; ALTER SYSTEM SET full_page_writes = on; " +
			"SELECT pg_reload_conf()"
		wantFinding(t, url, "database-durability", store.LevelFail,
			"in a crash: fsync, full_page_writes is off",
			cure)
		run(cure)
		after("database-durability", "is on its disk")
	})
	t.Run("autovacuum off", func(t *testing.T) {
		setting("autovacuum", "off")
		const cure = "ALTER SYSTEM SET autovacuum = on; ALTER SYSTEM SET track_counts = on; " +
			"SELECT pg_reload_conf()"
		wantFinding(t, url, "database-vacuum", store.LevelWarn, "autovacuum is off", cure)
		run(cure)
		after("database-vacuum", "deleted rows are removed")
	})
	t.Run("a slot that nothing reads", func(t *testing.T) {
		run("SELECT pg_create_physical_replication_slot('old', true)")
		const cure = "SELECT pg_drop_replication_slot('old')"
		wantFinding(t, url, "database-replication", store.LevelWarn,
			"nothing reads the replication slot 'old'", cure)
		run(cure)
		after("database-replication", "no standby follows")
	})
	t.Run("writes that wait for a standby which is not there", func(t *testing.T) {
		setting("synchronous_standby_names", "gone")
		const cure = "ALTER SYSTEM SET synchronous_standby_names = ''; SELECT pg_reload_conf()"
		wantFinding(t, url, "database-replication", store.LevelFail, "none is connected", cure)
		run(cure)
		after("database-replication", "no standby follows")
	})
	t.Run("a pooler in session mode", func(t *testing.T) {
		pooled := cluster.Pooler(t, 3, "pool_mode = session")(url)
		wantFinding(t, pooled, "database-pooler", store.LevelOK, "it keeps prepared statements", "")
	})
	t.Run("a log that is not archived", func(t *testing.T) {
		wantFinding(t, url, "database-backup", store.LevelOK, "the server archive", "")
		setting("archive_command", "false")
		run("CREATE TABLE written AS SELECT 1; SELECT pg_switch_wal()")
		until(t, "the archive fails", func() bool {
			return found(t, url, "database-backup")[0].Level == store.LevelWarn
		})
		wantFinding(t, url, "database-backup", store.LevelWarn, "cannot archive its log",
			"archive_command")
		setting("archive_command", "true")
		after("database-backup", "the server archived a part of its log")
	})
	t.Run("transactions that nobody ends", func(t *testing.T) {
		script(t, url, `CREATE SCHEMA skew;
			CREATE FUNCTION skew.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
				'SELECT pg_catalog.clock_timestamp() + interval ''10 minutes'''`)
		later := with(t, url, "search_path", "skew,pg_catalog,public")
		idle := beside(t, with(t, url, "application_name", "shop"))
		if _, err := idle.Exec(t.Context(), "BEGIN"); err != nil {
			t.Fatal(err)
		}
		pid := ask[int](t, idle, "SELECT pg_backend_pid()")
		of := found(t, later, "database-transactions")
		cure := "SELECT pg_terminate_backend(" + strconv.Itoa(pid) + ")"
		if !slices.ContainsFunc(of, func(f store.Finding) bool {
			return f.Level == store.LevelWarn && strings.Contains(f.Cure, cure) && strings.Contains(
				f.Message, "a transaction of shop has been open for 10 minutes (idle in "+
					"transaction)")
		}) {
			t.Errorf("got %q", of)
		}
		run(cure)
		until(t, "the transaction is over", func() bool {
			return found(t, later, "database-transactions")[0].Level == store.LevelOK
		})
		script(t, url, "BEGIN; CREATE TABLE kept AS SELECT 1; PREPARE TRANSACTION 'forgotten'")
		wantFinding(t, later, "database-transactions", store.LevelWarn,
			"the prepared transaction 'forgotten' is not ended", "ROLLBACK PREPARED 'forgotten'")
		run("ROLLBACK PREPARED 'forgotten'")
		wantFinding(t, later, "database-transactions", store.LevelOK, "no transaction of others",
			"")
	})
	t.Run("a lock that a server waits for", func(t *testing.T) {
		holder := beside(t, with(t, url, "application_name", "shop"))
		pid := strconv.Itoa(ask[int](t, holder, "SELECT pg_backend_pid()"))
		_, err := holder.Exec(t.Context(), "BEGIN; LOCK TABLE sessions")
		must(t, err)
		server := beside(t, with(t, url, "application_name", "clientes"))
		waited := make(chan error, 1)
		go func() {
			_, err := server.Exec(t.Context(), "SELECT FROM sessions")
			waited <- err
		}()
		cure := "SELECT pg_terminate_backend(" + pid + ")"
		until(t, "the lock is seen", func() bool {
			f := found(t, url, "database-transactions")[0]
			return f.Level == store.LevelFail && strings.Contains(f.Cure, cure)
		})
		run(cure)
		must(t, <-waited)
		wantFinding(t, url, "database-transactions", store.LevelOK, "", "")
	})
	t.Run("too few connections", func(t *testing.T) {
		run(`CREATE ROLE app LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO app`)
		app := with(t, url, "user", "app")
		for range 17 { // of two servers
			beside(t, with(t, app, "application_name", "clientes"))
		}
		run("ALTER ROLE app CONNECTION LIMIT 30")
		wantFinding(t, app, "database-connections", store.LevelWarn,
			`the role "app" takes 30 connections, of which others have 0, and clientes may open `+
				`32 (servers: 2, each with 16)`,
			`lower pool_max_conns in DATABASE_URL to 15, or raise the limit (ALTER ROLE "app" `+
				`CONNECTION LIMIT -1)`)
		wantFinding(t, with(t, app, "pool_max_conns", "15"), "database-connections", store.LevelOK,
			"clientes may open 30", "")
		run(`ALTER ROLE "app" CONNECTION LIMIT -1; ALTER DATABASE ` + name + ` CONNECTION LIMIT 19`)
		wantFinding(t, app, "database-connections", store.LevelWarn, `takes 19 connections`,
			`ALTER DATABASE "`+name+`" CONNECTION LIMIT -1`)
		run(`ALTER DATABASE "` + name + `" CONNECTION LIMIT -1`)
		wantFinding(t, app, "database-connections", store.LevelOK, "the server takes 297", "")
		wantFinding(t, with(t, app, "pool_max_conns", "300"), "database-connections",
			store.LevelFail,
			"the server takes 297", "ALTER SYSTEM SET max_connections = N, and restart it")
	})
}

func examineLocales(t *testing.T, cluster *postgrestest.Cluster) {
	const create = "CREATE DATABASE plain TEMPLATE template0 "
	plain := at(t, cluster.URL, "plain")
	for _, test := range []struct{ id, options, level, says, cure, healed string }{
		{"database-encoding", "ENCODING 'LATIN1' LOCALE 'C'", "fail",
			"the encoding of the database plain is LATIN1",
			"CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0", "ENCODING 'UTF8'"},
		{"database-locale", "LOCALE 'C'", "warn", "the locale of the database plain is C",
			"CREATE DATABASE … TEMPLATE template0 LOCALE 'C.UTF-8'", "LOCALE 'C.UTF-8'"},
	} {
		execute(t, cluster.URL, create+test.options)
		wantFinding(t, plain, test.id, store.Level(test.level), test.says, test.cure)
		execute(t, cluster.URL, "DROP DATABASE plain")
		execute(t, cluster.URL, create+test.healed)
		wantFinding(t, plain, test.id, store.LevelOK, "the ", "")
		execute(t, cluster.URL, "DROP DATABASE plain")
	}
}

func examinePooler(t *testing.T, cluster *postgrestest.Cluster) {
	url := cluster.Pooler(t, 3)(cluster.Migrated(t, postgres.Migrate))
	wantFinding(t, url, "database-pooler", store.LevelFail, "a pooler in transaction mode",
		"add default_query_exec_mode=exec to the URL")
	wantFinding(t, url, "database-connections", store.LevelOK, "so its limits count", "")
	wantFinding(t, with(t, url, "default_query_exec_mode", "exec"), "database-pooler",
		store.LevelOK, "the URL has its mode", "")
}

// Each is a database that cannot be opened. Nothing but that can be said of it.
func examineClosed(t *testing.T, cluster *postgrestest.Cluster) {
	for _, statement := range []string{"CREATE DATABASE shop OWNER locked",
		"CREATE DATABASE closed", "REVOKE CONNECT ON DATABASE closed FROM public"} {
		execute(t, cluster.URL, statement)
	}
	file := ask[string](t, beside(t, cluster.URL), "SHOW hba_file")
	script(t, cluster.URL, `
		COPY (VALUES ('local all locked scram-sha-256'), ('local all all trust')) TO '`+file+`';
		SELECT pg_reload_conf()`)
	nothing, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, nothing.Close())
	shop := at(t, cluster.URL, "shop", "user", "locked")
	until(t, "passwords are wanted", func() bool {
		_, err := postgrestest.Connect(t.Context(), shop)
		return err != nil
	})
	closed := at(t, cluster.URL, "closed", "user", "locked", "password", "right")
	for name, test := range map[string]struct{ url, says, cure, heal, healed string }{
		"a server that does not run": {"postgres://u:hunter2@" + nothing.Addr().String() + "/shop",
			"the server of the database cannot be reached: nothing listens there",
			"check that the database runs", "", shop + "&password=right"},
		"a wrong password": {shop + "&password=hunter2",
			"the password of user locked is wrong", "correct them in the URL", "",
			shop + "&password=right"},
		"no password": {shop, "the server wants the password of user locked, and there is none",
			"write it in the URL", "", shop + "&password=right"},
		"no such database": {at(t, cluster.URL, "shopp"), "there is no database named shopp",
			"make it with CREATE DATABASE", "CREATE DATABASE shopp", at(t, cluster.URL, "shopp")},
		"no right to connect": {closed, "user locked may not connect to the database",
			`GRANT CONNECT ON DATABASE "closed" TO "locked"`,
			`GRANT CONNECT ON DATABASE "closed" TO "locked"`,
			closed},
		"an option that nobody knows": {shop + "&nosuch=hunter2", "nosuch",
			"correct DATABASE_URL", "", shop + "&password=right"},
	} {
		t.Run(name, func(t *testing.T) {
			of := found(t, test.url, "database-open")
			if len(of) != 1 || of[0].Level != store.LevelFail ||
				!strings.Contains(of[0].Message, test.says) ||
				!strings.Contains(of[0].Cure, test.cure) {
				t.Errorf("got %q, want %s; %s", of, test.says, test.cure)
			}
			for _, f := range postgres.Examine(soon(t), test.url) {
				if strings.Contains(f.Message+f.Cure, "hunter2") {
					t.Errorf("it tells the password: %q", f)
				}
			}
			if test.heal != "" {
				execute(t, cluster.URL, test.heal)
			}
			wantFinding(t, test.healed, "database-open", store.LevelOK, "reaches the database", "")
		})
	}
	t.Run("a caller who has no time", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
		defer cancel()
		of := postgres.Examine(ctx, shop)
		if len(of) != 2 || of[1].Level != store.LevelFail {
			t.Errorf("got %q", of)
		}
	})
}

// A standby, another pooler and a network that says nothing take seconds each.
func TestExamineLong(t *testing.T) {
	if !long() {
		t.Skip("it takes a minute, and runs with TEST_LONG")
	}
	t.Run("a standby", examineStandby)
	t.Run("a pooler in statement mode, and a line that says nothing", func(t *testing.T) {
		cluster := postgrestest.Start(t)
		pooled := cluster.Migrated(t, postgres.Migrate)
		pooled = cluster.Pooler(t, 3, "pool_mode = statement")(pooled)
		wantFinding(t, pooled, "database-schema", store.LevelFail,
			"the pooler before the server takes no transactions",
			"set its pool_mode to transaction or session")

		cable, url := postgrestest.NewCable(t, cluster.URL)
		cable.Cut(postgrestest.Silent)
		begun := time.Now()
		wantFinding(t, url, "database-open", store.LevelFail,
			"cannot be reached: it does not answer",
			"look for a firewall in between")
		t.Logf("after %s", time.Since(begun).Round(100*time.Millisecond))
		cable.Join()
		wantFinding(t, url, "database-open", store.LevelOK, "reaches the database", "")
	})
}

func examineStandby(t *testing.T) {
	cluster := postgrestest.Start(t, "wal_keep_size = 1GB")
	url := cluster.Migrated(t, postgres.Migrate)
	name := strings.TrimPrefix(parsed(t, url).Path, "/")
	after := func(id, says string) {
		t.Helper()
		until(t, id+" is ok", func() bool { return found(t, url, id)[0].Level == store.LevelOK })
		wantFinding(t, url, id, store.LevelOK, says, "")
	}
	standby := cluster.Standby(t)
	behind := at(t, standby.URL, name)
	wantFinding(t, behind, "database-writable", store.LevelFail, "the database is read-only",
		"lead the URL to the primary")
	after("database-replication", "standbys that follow the server: 1")
	execute(t, behind, "SELECT pg_wal_replay_pause()")
	for range 5 {
		execute(t, url, "SELECT pg_logical_emit_message(false, 'x', 'y')")
		execute(t, url, "SELECT pg_switch_wal()")
	}
	until(t, "the standby is late", func() bool {
		return found(t, url, "database-replication")[0].Level == store.LevelWarn
	})
	wantFinding(t, url, "database-replication", store.LevelWarn,
		"a standby lacks what the primary has written: walreceiver by ", "its load")
	execute(t, behind, "SELECT pg_wal_replay_resume()")
	after("database-replication", "standbys that follow the server: 1")
	standby.Promote()
	wantFinding(t, behind, "database-writable", store.LevelOK, "takes writes", "")
}
